/* EXEC_FILES: what each operation selects, does and refuses; that a failure or a crash half-way leaves either all or
 * nothing; that nothing outside of the workspace, and nothing of somebody else's, is touched. */
#include "executor/fileop.h"

#include "executor/files.h"
#include "executor_util.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Prepares and applies what the request says, with the plan in between as the engine does it. */
static struct answer do_it(struct util *u, const char *request)
{
    struct answer a = util_do(u, EXEC_FILES, "{'phase':'prepare',%s}", request);
    const struct val *plan = VAL_GET(&a.v, "plan");
    if (!a.ok || !plan)
        return a;
    return util_do(u, EXEC_FILES, "{'phase':'apply','plan':%s,%s}", json_text(&u->arena, plan).p, request);
}

static void assert_file(struct util *u, const char *name, const char *text)
{
    char *got = util_read(u->ws, name);
    if ((got != NULL) != (text != NULL) || (text && strcmp(got, text) != 0))
        fail_msg("%s is %s; expected %s", name, got ? got : "(absent)", text ? text : "(absent)");
    free(got);
}

/* Names below `dir`, sorted, a slash behind directories. */
static char tree_text[1 << 16];
static int tree_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)flag;
    if (ftw->level)
        snprintf(tree_text + strlen(tree_text), sizeof tree_text - strlen(tree_text), "%s%s\n",
                 strstr(path, "/ws/") + 4, S_ISDIR(st->st_mode) ? "/" : "");
    return 0;
}
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static const char *tree(struct util *u)
{
    static char sorted[1 << 16];
    char *line[1000];
    size_t n = 0;
    tree_text[0] = sorted[0] = 0;
    nftw(u->ws, tree_one, 16, FTW_PHYS);
    for (char *p = tree_text, *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = 0;
        line[n++] = p;
    }
    qsort(line, n, sizeof *line, by_text);
    for (size_t i = 0; i < n; i++)
        snprintf(sorted + strlen(sorted), sizeof sorted - strlen(sorted), "%s%s", i ? " " : "", line[i]);
    return sorted;
}

static void plant(struct util *u)
{
    util_remove_tree(u->ws);
    CHECK(mkdir(u->ws, 0755) == 0);
    executor_free(u->x);
    struct err err;
    struct executor_options o = {
        .loop = u->loop, .run_dir = u->run, .workspace = u->ws, .output_dir = u->out, .workflow_dir = u->wf};
    if (executor_new(&o, &u->x, &err))
        PANIC("%s", err.msg);
    util_write(u->ws, "a.txt", "A");
    util_write(u->ws, "b.txt", "B");
    util_write(u->ws, "src/one.c", "1");
    util_write(u->ws, "src/two.h", "2");
    util_write(u->ws, "src/deep/three.c", "3");
    util_write(u->ws, "src/deep/.hidden.c", "h");
    util_write(u->ws, ".git/config", "g");
}

#define PLANTED ".git/ .git/config a.txt b.txt src/ src/deep/ src/deep/.hidden.c src/deep/three.c src/one.c src/two.h"

/* An operation, and the tree after it; NULL: an error of that class, and the tree as planted. */
static const struct {
    const char *request, *tree, *class;
} cases[] = {
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'new/dir/c.txt'",
     ".git/ .git/config a.txt b.txt new/ new/dir/ new/dir/c.txt src/ src/deep/ src/deep/.hidden.c src/deep/three.c "
     "src/one.c src/two.h",
     NULL},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'src'",
     ".git/ .git/config a.txt b.txt src/ src/a.txt src/deep/ src/deep/.hidden.c src/deep/three.c src/one.c src/two.h",
     NULL},
    {"'operation':'copy','sources':[{'path':'src/**/*.c'}],'destination':'out'",
     ".git/ .git/config a.txt b.txt out/ out/one.c out/three.c src/ src/deep/ src/deep/.hidden.c src/deep/three.c "
     "src/one.c src/two.h",
     NULL},
    {"'operation':'copy','sources':[{'path':'src/**/*.c'}],'destination':'out','preserve_structure':true",
     ".git/ .git/config a.txt b.txt out/ out/deep/ out/deep/three.c out/one.c src/ src/deep/ src/deep/.hidden.c "
     "src/deep/three.c src/one.c src/two.h",
     NULL},
    {"'operation':'move','sources':[{'path':'src'}],'destination':'lib'",
     ".git/ .git/config a.txt b.txt lib/ lib/deep/ lib/deep/.hidden.c lib/deep/three.c lib/one.c lib/two.h", NULL},
    {"'operation':'move','sources':[{'path':'src'},{'path':'a.txt'}],'destination':'lib'",
     ".git/ .git/config b.txt lib/ lib/a.txt lib/src/ lib/src/deep/ lib/src/deep/.hidden.c lib/src/deep/three.c "
     "lib/src/one.c lib/src/two.h",
     NULL},
    {"'operation':'move','sources':[{'pattern':'src/{one,two}.*'}],'destination':'.'",
     ".git/ .git/config a.txt b.txt one.c src/ src/deep/ src/deep/.hidden.c src/deep/three.c two.h", NULL},
    {"'operation':'move','sources':[{'path':'a.txt'}],'destination':'b.txt'",
     ".git/ .git/config b.txt src/ src/deep/ src/deep/.hidden.c src/deep/three.c src/one.c src/two.h", NULL},
    {"'operation':'copy','sources':[{'path':'src','exclude':['deep','*.h']}],'destination':'out'",
     ".git/ .git/config a.txt b.txt out/ out/one.c src/ src/deep/ src/deep/.hidden.c src/deep/three.c src/one.c "
     "src/two.h",
     NULL},
    {"'operation':'copy','sources':[{'path':'src'}],'destination':'out','recursive':false",
     ".git/ .git/config a.txt b.txt out/ out/one.c out/two.h src/ src/deep/ src/deep/.hidden.c src/deep/three.c "
     "src/one.c src/two.h",
     NULL},
    {"'operation':'delete','sources':[{'path':'src'}]", ".git/ .git/config a.txt b.txt", NULL},
    {"'operation':'delete','files':[],'sources':[{'path':'**/*.c'},{'path':'src/one.c'}]",
     ".git/ .git/config a.txt b.txt src/ src/deep/ src/deep/.hidden.c src/two.h", NULL},
    {"'operation':'delete','files':[],'sources':[{'path':'**/*.c'}],'dry_run':true", PLANTED, NULL},
    {"'operation':'delete','files':[],'sources':[{'path':'*.none'}]", PLANTED, NULL},
    {"'operation':'delete','files':[],'sources':[{'path':'*.txt','older_than_ms':60000}]", PLANTED, NULL},
    {"'operation':'delete','sources':[{'path':'.git'}]", NULL, "invalid"},
    {"'operation':'delete','sources':[{'path':'.'}]", NULL, "invalid"},
    {"'operation':'delete','sources':[{'path':'..'}]", NULL, "invalid"},
    {"'operation':'delete','sources':[{'path':'/etc/passwd'}]", NULL, "invalid"},
    {"'operation':'delete','sources':[{'path':'none'}]", NULL, "not_found"},
    {"'operation':'copy','sources':[{'path':'none'}],'destination':'x'", NULL, "not_found"},
    {"'operation':'copy','sources':[{'path':'*.none'}],'destination':'x'", NULL, "not_found"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'../x'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'a.txt'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'.git/x'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'b.txt','overwrite':false", NULL, "exists"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'no/b.txt','create_destination':false", NULL,
     "not_found"},
    {"'operation':'copy','sources':[{'path':'a.txt'},{'path':'b.txt'}],'destination':'src/one.c'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'src'}],'destination':'src/deep/x'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'a.txt'}],'destination':'a.txt/x'", NULL, "invalid"},
    {"'operation':'move','sources':[{'path':'.'}],'destination':'x'", NULL, "invalid"},
    {"'operation':'move','sources':[],'destination':'x'", NULL, "invalid"},
    {"'operation':'copy','sources':[{'path':'[a'}],'destination':'x'", NULL, "invalid"},
    {"'operation':'burn','sources':[{'path':'a.txt'}]", NULL, "invalid"},
};

static void test_cases(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plant(u);
        struct answer a = do_it(u, cases[i].request);
        if (a.ok != (cases[i].tree != NULL))
            fail_msg("%s -> %s", cases[i].request, json_text(&u->arena, &a.v).p);
        if (!a.ok && strcmp(util_text(&a, "class"), cases[i].class) != 0)
            fail_msg("%s -> %s", cases[i].request, json_text(&u->arena, &a.v).p);
        const char *got = tree(u), *want = cases[i].tree ? cases[i].tree : PLANTED;
        if (strcmp(got, want) != 0)
            fail_msg("%s\n  left %s\n  expected %s", cases[i].request, got, want);
    }
}

static void test_content(void **state)
{
    struct util *u = *state;
    plant(u);
    assert_true(do_it(u, "'operation':'copy','sources':[{'path':'a.txt'}],'destination':'b.txt'").ok);
    assert_file(u, "a.txt", "A");
    assert_file(u, "b.txt", "A");
    assert_true(do_it(u, "'operation':'move','sources':[{'path':'src/one.c'}],'destination':'b.txt'").ok);
    assert_file(u, "b.txt", "1");
    struct answer a = do_it(u, "'operation':'copy','sources':[{'path':'src'}],'destination':'out','source':'src'");
    assert_string_equal(util_text(&a, "status"), "completed");
    assert_int_equal(util_int(&a, "count"), 3);
    assert_int_equal(util_int(&a, "bytes"), 3);
    assert_int_equal(VAL_GET(&a.v, "files")->arr.n, 3);
    assert_file(u, "out/deep/.hidden.c", "h");
}

/* A larger file with zeros, times and modes; links as links. */
static void test_binary(void **state)
{
    struct util *u = *state;
    char path[200], other[200];
    struct stat st, copy;
    plant(u);
    snprintf(path, sizeof path, "%s/src/big", u->ws);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0750);
    for (int i = 0; i < 3000000; i += 1000) {
        char piece[1000] = {(char)i, (char)(i >> 8), 0, (char)0xFF};
        assert_int_equal(write(fd, piece, sizeof piece), sizeof piece);
    }
    assert_int_equal(futimens(fd, (struct timespec[2]){{1000, 0}, {2000, 5}}), 0);
    close(fd);
    snprintf(other, sizeof other, "%s/src/link", u->ws);
    assert_int_equal(symlink("one.c", other), 0);
    struct answer a =
        do_it(u, "'operation':'copy','sources':[{'path':'src'}],'destination':'out','preserve_timestamps':true");
    assert_true(a.ok);
    snprintf(other, sizeof other, "%s/out/big", u->ws);
    assert_true(stat(path, &st) == 0 && stat(other, &copy) == 0);
    assert_int_equal(copy.st_size, 3000000);
    assert_int_equal(copy.st_mode & 0777, 0750);
    assert_int_equal(copy.st_mtim.tv_sec, 2000);
    assert_int_equal(copy.st_mtim.tv_nsec, 5);
    assert_true(st.st_ino != copy.st_ino);
    char cmd[800];
    snprintf(cmd, sizeof cmd, "cmp -s %s %s && test \"$(readlink %s/out/link)\" = one.c", path, other, u->ws);
    assert_int_equal(system(cmd), 0);
}

/* Links lead nowhere: not out of the workspace, not through a directory that was swapped. */
static void test_links(void **state)
{
    struct util *u = *state;
    char link[600], target[200];
    plant(u);
    util_write(u->dir, "outside/secret", "S");
    snprintf(link, sizeof link, "%s/door", u->ws);
    snprintf(target, sizeof target, "%s/outside", u->dir);
    assert_int_equal(symlink(target, link), 0);
    static const char *const refused[] = {
        "'operation':'copy','sources':[{'path':'door/secret'}],'destination':'x'",
        "'operation':'copy','sources':[{'path':'a.txt'}],'destination':'door/x'",
        "'operation':'copy','sources':[{'path':'a.txt'}],'destination':'door/'",
        "'operation':'delete','sources':[{'path':'door/secret'}]",
        "'operation':'move','sources':[{'path':'door/secret'}],'destination':'x'",
        "'operation':'convert','source':'door/secret','destination':'x','from':'csv','to':'json'",
        "'operation':'convert','source':'a.txt','destination':'door/x','from':'csv','to':'json'",
        "'operation':'stream_process','source':'door/secret','processor':'uppercase'",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (do_it(u, refused[i]).ok)
            fail_msg("%s was done", refused[i]);
    assert_false(util_do(u, EXEC_FILES, "{'operation':'list','path':'door'}").ok);
    assert_true(do_it(u, "'operation':'copy','files':[],'sources':[{'path':'**'}],'destination':'all'").ok);
    assert_file(u, "all/secret", NULL);
    assert_true(do_it(u, "'operation':'delete','sources':[{'path':'door'}]").ok); /* the link, not what it leads to */
    snprintf(target, sizeof target, "%s/outside/secret", u->dir);
    assert_int_equal(access(target, F_OK), 0);
    assert_int_not_equal(access(link, F_OK), 0);

    /* between prepare and apply a directory becomes a link to elsewhere */
    const char *request = "'operation':'copy','sources':[{'path':'a.txt'}],'destination':'src/deep/a.txt'";
    struct answer a = util_do(u, EXEC_FILES, "{'phase':'prepare',%s}", request);
    assert_true(a.ok);
    snprintf(link, sizeof link, "mv %s/src/deep %s/src/was && ln -s %s/outside %s/src/deep", u->ws, u->ws, u->dir,
             u->ws);
    assert_int_equal(system(link), 0);
    a = util_do(u, EXEC_FILES, "{'phase':'apply','plan':%s,%s}", json_text(&u->arena, VAL_GET(&a.v, "plan")).p,
                request);
    assert_false(a.ok);
    snprintf(target, sizeof target, "%s/outside/a.txt", u->dir);
    assert_int_not_equal(access(target, F_OK), 0);
}

/* Somebody exchanges a directory and a link to elsewhere, all the time: operations succeed or fail, inside. */
static void test_swap_race(void **state)
{
    struct util *u = *state;
    char link[200], target[200], dir[200];
    size_t done = 0;
    plant(u);
    util_write(u->dir, "outside/one.c", "S");
    snprintf(link, sizeof link, "%s/link", u->ws);
    snprintf(dir, sizeof dir, "%s/src", u->ws);
    snprintf(target, sizeof target, "%s/outside", u->dir);
    assert_int_equal(symlink(target, link), 0);
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)renameat2(AT_FDCWD, link, AT_FDCWD, dir, RENAME_EXCHANGE);
    for (int i = 0; i < 300 || (!done && i < 100000); i++) { /* on a busy machine few succeed */
        char request[200];
        int n = i % 3 == 2 ? i - 2 : i;
        if (i % 3 == 0)
            snprintf(request, sizeof request, "'operation':'copy','sources':[{'path':'a.txt'}],'destination':'src/n%d'",
                     n);
        else if (i % 3 == 1)
            snprintf(request, sizeof request, "'operation':'copy','sources':[{'path':'src/one.c'}],'destination':'c%d'",
                     n);
        else
            snprintf(request, sizeof request, "'operation':'delete','sources':[{'path':'src/n%d'}]", n);
        done += do_it(u, request).ok;
        snprintf(request, sizeof request, "c%d", n);
        char *got = i % 3 == 1 ? util_read(u->ws, request) : NULL;
        if (got && strcmp(got, "1") != 0)
            fail_msg("%s holds `%s`", request, got);
        free(got);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    DIR *d = opendir(target);
    struct dirent *de;
    while ((de = readdir(d)))
        assert_true(de->d_name[0] == '.' ? !strstr(de->d_name, "treadle") : strcmp(de->d_name, "one.c") == 0);
    closedir(d);
    assert_true(done > 0);
}

/* Somebody changes a file between prepare and apply: nothing happens at all. */
static void test_changed_meanwhile(void **state)
{
    struct util *u = *state;
    static const char *const requests[] = {
        "'operation':'move','sources':[{'path':'src'},{'path':'a.txt'}],'destination':'lib'",
        "'operation':'copy','sources':[{'path':'src'},{'path':'a.txt'}],'destination':'lib'",
        "'operation':'delete','files':[],'sources':[{'path':'src'},{'path':'a.txt'}]",
        "'operation':'copy','sources':[{'path':'b.txt'}],'destination':'a.txt'",
        "'operation':'stream_process','source':'a.txt','processor':'lowercase'",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        plant(u);
        struct answer a = util_do(u, EXEC_FILES, "{'phase':'prepare',%s}", requests[i]);
        assert_true(a.ok);
        util_write(u->ws, "a.txt", "changed");
        a = util_do(u, EXEC_FILES, "{'phase':'apply','plan':%s,%s}", json_text(&u->arena, VAL_GET(&a.v, "plan")).p,
                    requests[i]);
        assert_false(a.ok);
        assert_string_equal(util_text(&a, "class"), "exists");
        assert_string_equal(tree(u), PLANTED);
        assert_file(u, "a.txt", "changed");
    }
}

/* Applies a plan in a process of its own, where a fault goes off. Its exit code: 0, the error class's number, or 99 for
 * the crash. */
static int in_child(struct util *u, const char *fault, const char *request, const struct val *plan)
{
    char *const argv[] = {(char[]){"test_fileops"}, u->ws, arena_cstr(&u->arena, str_c(request)),
                          arena_cstr(&u->arena, json_text(&u->arena, plan)), NULL};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("TREADLE_FAULT", fault, 1);
        execv("/proc/self/exe", argv);
        _exit(98);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child(char **argv)
{
    struct util u = {0};
    struct beneath root;
    struct err err;
    struct val ret, plan = util_json(&u, argv[3]);
    char *text = arena_cstr(&u.arena, arena_printf(&u.arena, "{%s}", argv[2]));
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct val request = util_json(&u, text);
    atomic_bool cancel = false;
    if (beneath_init(&root, &u.arena, argv[1], false, &err))
        return 97;
    struct fileop op = {
        .arena = &u.arena, .root = &root, .request = &request, .plan = &plan, .phase = TOOL_APPLY, .cancel = &cancel};
    int rc = (int)fileop_run(&op, &ret, &err);
    beneath_done(&root);
    arena_done(&u.arena);
    return rc;
}

#define WITH_OLD                                                                                                 \
    ".git/ .git/config a.txt b.txt lib/ lib/b.txt src/ src/deep/ src/deep/.hidden.c src/deep/three.c src/one.c " \
    "src/two.h"
static const char *const moves = "'operation':'move','sources':[{'path':'src'},{'path':'a.txt'},{'path':'b.txt'}],"
                                 "'destination':'lib'";
static const char *const copies = "'operation':'copy','sources':[{'path':'src'},{'path':'b.txt'}],'destination':'lib'";
static const char *const deletes =
    "'operation':'delete','files':[],'sources':[{'path':'src'},{'path':'*.txt'},{'path':'lib/b.txt'}]";
static const char *const rewrites = "'operation':'stream_process','source':'b.txt','processor':'lowercase'";

static struct val prepared(struct util *u, const char *request)
{
    plant(u);
    util_write(u->ws, "lib/b.txt", "old");
    struct answer a = util_do(u, EXEC_FILES, "{'phase':'prepare',%s}", request);
    assert_true(a.ok);
    assert_non_null(VAL_GET(&a.v, "plan"));
    return *VAL_GET(&a.v, "plan");
}

static void assert_untouched(struct util *u)
{
    assert_string_equal(tree(u), WITH_OLD);
    assert_file(u, "lib/b.txt", "old");
    assert_file(u, "a.txt", "A");
    assert_file(u, "b.txt", "B");
}

/* A disk that is full at the N-th copy, an error after the N-th change: all is as before. */
static void test_rolled_back(void **state)
{
    struct util *u = *state;
    static const struct {
        const char *fault, *const *request;
        enum rc rc;
        int times;
    } broken[] = {{"fileop.full", &copies, RC_DISK_FULL, 5},
                  {"fileop.fail", &copies, RC_IO, 5},
                  {"fileop.fail", &moves, RC_IO, 6},
                  {"fileop.fail", &deletes, RC_IO, 7},
                  {"fileop.fail", &rewrites, RC_IO, 1}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        for (int n = 1; n <= broken[i].times; n++) {
            char fault[60];
            struct val plan = prepared(u, *broken[i].request);
            snprintf(fault, sizeof fault, "%s=%d", broken[i].fault, n);
            assert_int_equal(in_child(u, fault, *broken[i].request, &plan), broken[i].rc);
            assert_untouched(u);
        }
}

static struct answer settle(struct util *u, const char *request, const struct val *plan)
{
    struct answer a = util_do(u, EXEC_FILES, "{'phase':'settle','plan':%s,%s}", json_text(&u->arena, plan).p, request);
    assert_true(a.ok);
    return a;
}

/* The process dies after the N-th change, or the N-th piece of cleaning up; before, nothing is settled away. */
static void test_crash_is_settled(void **state)
{
    struct util *u = *state;
    static const struct {
        const char *const *request, *after;
        int items;
    } all[] = {
        {&moves,
         ".git/ .git/config lib/ lib/a.txt lib/b.txt lib/src/ lib/src/deep/ lib/src/deep/.hidden.c "
         "lib/src/deep/three.c lib/src/one.c lib/src/two.h",
         6},
        {&copies,
         ".git/ .git/config a.txt b.txt lib/ lib/b.txt lib/src/ lib/src/deep/ lib/src/deep/.hidden.c "
         "lib/src/deep/three.c lib/src/one.c lib/src/two.h src/ src/deep/ src/deep/.hidden.c src/deep/three.c "
         "src/one.c src/two.h",
         5},
        {&deletes, ".git/ .git/config lib/", 7},
        {&rewrites, WITH_OLD, 1},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int n = 0; n <= 2 * all[i].items; n++) {
            char fault[60];
            struct val plan = prepared(u, *all[i].request);
            snprintf(fault, sizeof fault, "fileop.%s=%d", n > all[i].items ? "clean" : "commit",
                     n > all[i].items ? n - all[i].items : n);
            if (n)
                assert_int_equal(in_child(u, fault, *all[i].request, &plan), 99);
            struct answer a = settle(u, *all[i].request, &plan);
            if (n < all[i].items) {
                assert_string_equal(util_text(&a, "outcome"), "again");
                assert_untouched(u);
            } else {
                assert_string_equal(util_text(&a, "outcome"), "done");
                assert_string_equal(tree(u), all[i].after);
                assert_string_equal(val_get_str(VAL_GET(&a.v, "result"), STR("status"), STR("")).p, "completed");
            }
        }
}

/* It dies while it removes the directories that were emptied. */
static void test_crash_among_directories(void **state)
{
    struct util *u = *state;
    static const char *const *const requests[] = {&moves, &deletes};
    for (size_t i = 0; i < 2; i++)
        for (int n = 1; n <= 2; n++) {
            char fault[60];
            struct val plan = prepared(u, *requests[i]);
            snprintf(fault, sizeof fault, "fileop.rmdir=%d", n);
            assert_int_equal(in_child(u, fault, *requests[i], &plan), 99);
            struct answer a = settle(u, *requests[i], &plan);
            assert_string_equal(util_text(&a, "outcome"), "done");
            assert_null(strstr(tree(u), " src/"));
        }
}

/* After the crash somebody else has written to a path: it is said, and theirs stays. */
static void test_crash_and_somebody_else(void **state)
{
    struct util *u = *state;
    static const struct {
        const char *const *request, *file;
        int n; /* changes before the crash */
        const char *outcome;
    } all[] = {{&moves, "b.txt", 2, "changed"},
               {&moves, "lib/src/one.c", 6, "changed"},
               {&copies, "lib/src/one.c", 4, "changed"},
               {&deletes, "a.txt", 2, "changed"},
               {&copies, "lib/b.txt", 2, "changed"},
               {&rewrites, "b.txt", 1, "changed"},
               {&deletes, "a.txt", 7, "done"}}; /* a new file where ours was deleted */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char fault[60];
        struct val plan = prepared(u, *all[i].request);
        snprintf(fault, sizeof fault, "fileop.commit=%d", all[i].n);
        assert_int_equal(in_child(u, fault, *all[i].request, &plan), 99);
        util_write(u->ws, all[i].file, "somebody else's");
        struct answer a = settle(u, *all[i].request, &plan);
        assert_string_equal(util_text(&a, "outcome"), all[i].outcome);
        if (strcmp(all[i].outcome, "changed") == 0)
            assert_string_equal(util_text(&a, "path"), all[i].file);
        assert_file(u, all[i].file, "somebody else's");
    }
}

static void test_cancelled(void **state)
{
    struct util *u = *state;
    struct val plan = prepared(u, copies);
    struct answer a;
    char *text = arena_cstr(
        &u->arena, arena_printf(&u->arena, "{'phase':'apply','plan':%s,%s}", json_text(&u->arena, &plan).p, copies));
    uint64_t id = util_start(u, &a, EXEC_FILES, text);
    executor_cancel(u->x, id);
    util_wait(u);
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "class"), "cancelled");
    a = settle(u, copies, &plan);
    if (strcmp(util_text(&a, "outcome"), "again") == 0)
        assert_untouched(u);
    else
        assert_string_equal(util_text(&a, "outcome"), "done");
}

/* ---- list, validate, convert, process ---- */

static const char *names_of(struct util *u, const struct answer *a)
{
    static char text[1000];
    const struct val *files = VAL_GET(&a->v, "files");
    text[0] = 0;
    for (size_t i = 0; val_is(files, VAL_ARRAY) && i < files->arr.n; i++) {
        const struct val *f = &files->arr.v[i];
        struct str path = f->type == VAL_STR ? f->s : val_get_str(f, STR("path"), STR("?"));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", i ? " " : "",
                 STR_ARG(str_from(path, strlen(u->ws) + 1)));
    }
    return text;
}

static const struct {
    const char *request, *names;
} lists[] = {
    {"'details':false", "a.txt b.txt src"},
    {"'include_hidden':true", ".git-ignore a.txt b.txt src"},
    {"'recursive':true", "a.txt b.txt src/deep/three.c src/one.c src/two.h"},
    {"'path':'src','recursive':true,'include_hidden':true", "src/deep/.hidden.c src/deep/three.c src/one.c src/two.h"},
    {"'pattern':'**/*.{c,h}'", "src/deep/three.c src/one.c src/two.h"},
    {"'pattern':'*.c','recursive':true", "src/deep/three.c src/one.c"},
    {"'pattern':'src/*.c'", "src/one.c"},
    {"'pattern':'^[ab]','glob':false,'details':false", "a.txt b.txt"},
    {"'path':'src','recursive':true,'sort_by':'size','limit':2", "src/two.h src/deep/three.c"},
    {"'path':'src','recursive':true,'sort_by':'modified'", "src/one.c src/deep/three.c src/two.h"},
    {"'path':'src','recursive':true,'sort_by':'name','order':'desc'", "src/two.h src/deep/three.c src/one.c"},
};

static void test_list(void **state)
{
    struct util *u = *state;
    char path[200];
    plant(u);
    util_write(u->ws, ".git-ignore", "");
    util_write(u->ws, "src/two.h", "larger");
    static const char *const age[] = {"src/two.h", "src/deep/three.c", "src/one.c"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", u->ws, age[i]);
        assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){{1000 + i, 0}, {1000 + i, 0}}, 0), 0);
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct answer a = util_do(u, EXEC_FILES, "{'operation':'list',%s}", lists[i].request);
        if (!a.ok || strcmp(names_of(u, &a), lists[i].names) != 0)
            fail_msg("%s -> %s", lists[i].request, json_text(&u->arena, &a.v).p);
    }
    struct answer a = util_do(u, EXEC_FILES, "{'operation':'list','path':'src','pattern':'one*'}");
    const struct val *one = val_at(VAL_GET(&a.v, "files"), 0);
    assert_string_equal(val_get_str(one, STR("name"), STR("")).p, "one.c");
    assert_string_equal(val_get_str(one, STR("type"), STR("")).p, "file");
    assert_string_equal(val_get_str(one, STR("modified"), STR("")).p, "1970-01-01T00:16:42Z");
    assert_int_equal(val_get_int(one, STR("size"), 0), 1);
}

static const struct {
    const char *file, *problem; /* NULL: valid */
} validations[] = {
    {"'path':'a.txt'", NULL},
    {"'path':'none'", "does not exist"},
    {"'path':'none','must_exist':false", NULL},
    {"'path':'a.txt','must_be_dir':true", "is not a directory"},
    {"'path':'src','must_be_file':true", "is not a file"},
    {"'path':'a.txt','min_size':2", "has 1 bytes; expected at least 2"},
    {"'path':'a.txt','max_size':0", "has 1 bytes; expected at most 0"},
    {"'path':'a.txt','must_contain':['A','x']", "does not contain \"x\""},
    {"'path':'good.json','validate_json':true,'must_contain':'1'", NULL},
    {"'path':'a.txt','validate_json':true", "is no valid json: 1:1"},
    {"'path':'a.txt','must_be_readable':true,'must_be_writable':true", NULL},
    {"'pattern':'src/**/*.c','min_size':1", NULL},
    {"'pattern':'src/**/*.c','max_size':0", "expected at most 0"},
    {"'pattern':'*.none'", "matches no file"},
    {"'path':'../x'", "leads out"},
};

static void test_validate(void **state)
{
    struct util *u = *state;
    plant(u);
    util_write(u->ws, "good.json", "[1]");
    for (size_t i = 0; i < sizeof validations / sizeof *validations; i++) {
        struct answer a = util_do(u, EXEC_FILES, "{'operation':'validate','files':[{%s}]}", validations[i].file);
        const struct val *first = val_at(VAL_GET(&a.v, "results"), 0);
        const char *problem = val_get_str(first, STR("problem"), STR("")).p;
        if (!a.ok || (validations[i].problem ? !strstr(problem, validations[i].problem) : problem[0] != 0))
            fail_msg("%s -> %s", validations[i].file, json_text(&u->arena, &a.v).p);
        assert_string_equal(util_text(&a, "status"), validations[i].problem ? "invalid" : "all_valid");
    }
}

static void test_convert(void **state)
{
    struct util *u = *state;
    plant(u);
    util_write(u->ws, "d.csv", "a;b\n1;x\n");
    const char *request = "'operation':'convert','source':'d.csv','destination':'out/d.json','from':'csv','to':'json',"
                          "'csv_delimiter':';','format':'csv_to_json'";
    assert_true(do_it(u, request).ok);
    assert_file(u, "out/d.json", "[{\"a\":\"1\",\"b\":\"x\"}]");
    assert_true(do_it(u, "'operation':'convert','value':{'k':[1,null]},'destination':'v.yaml','to':'yaml'").ok);
    assert_file(u, "v.yaml", "k:\n- 1\n- null\n");
    struct answer a =
        do_it(u, "'operation':'convert','source':'a.txt','destination':'v.yaml','from':'json','to':'yaml'");
    assert_string_equal(util_text(&a, "code"), "bad_data");
    a = do_it(u, "'operation':'convert','value':7,'destination':'v.csv','to':'csv'");
    assert_string_equal(util_text(&a, "code"), "bad_data");
    a = do_it(u, "'operation':'convert','value':7,'destination':'v.yaml','to':'yaml','overwrite':false");
    assert_string_equal(util_text(&a, "class"), "exists");
    assert_file(u, "v.yaml", "k:\n- 1\n- null\n");

    /* a crash before, after, and somebody else in between */
    const char *again = "'operation':'convert','value':[7],'destination':'v.yaml','to':'yaml'";
    a = util_do(u, EXEC_FILES, "{'phase':'prepare',%s}", again);
    struct val plan = *VAL_GET(&a.v, "plan");
    a = settle(u, again, &plan);
    assert_string_equal(util_text(&a, "outcome"), "again");
    util_write(u->ws, "v.yaml", "- 7\n");
    a = settle(u, again, &plan);
    assert_string_equal(util_text(&a, "outcome"), "done");
    util_write(u->ws, "v.yaml", "- 8\n");
    a = settle(u, again, &plan);
    assert_string_equal(util_text(&a, "outcome"), "changed");
    a = util_do(u, EXEC_FILES, "{'phase':'apply','plan':%s,%s}", json_text(&u->arena, &plan).p, again);
    assert_string_equal(util_text(&a, "class"), "exists");
    assert_file(u, "v.yaml", "- 8\n");
}

static const struct {
    const char *processor, *before, *after;
} processes[] = {
    {"'processor':'identity'", "xé\n", "xé\n"},
    {"'processor':'uppercase'", "Straße é ж x\n", "STRAßE É Ж X\n"},
    {"'processor':'lowercase'", "ÀB", "àb"},
    {"'processor':'trim'", "  \n a b \n\n", "a b"},
    {"'processor':'trim'", " \n ", ""},
    {"'processor':'replace','pattern':'ab','replacement':'ba'", "aab ab abab b", "aba ba baba b"},
    {"'processor':{'type':'replace','pattern':'x','replacement':''}", "axbx", "ab"},
};

static void test_process(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < sizeof processes / sizeof *processes; i++) {
        plant(u);
        util_write(u->ws, "t.txt", processes[i].before);
        char request[300];
        snprintf(request, sizeof request, "'operation':'stream_process','source':'t.txt',%s", processes[i].processor);
        struct answer a = do_it(u, request);
        if (!a.ok)
            fail_msg("%s -> %s", request, json_text(&u->arena, &a.v).p);
        assert_file(u, "t.txt", processes[i].after);
    }
    assert_false(do_it(u, "'operation':'stream_process','source':'t.txt','processor':'shred'").ok);
    assert_false(do_it(u, "'operation':'stream_process','source':'t.txt','processor':'replace'").ok);
}

/* Patterns and characters across the borders of pieces, whatever those are: against the same on the whole text. */
static void test_process_pieces(void **state)
{
    struct util *u = *state;
    size_t n = (size_t)900 << 10;
    char *text = calloc(1, n + 1), *want = calloc(1, 2 * n), path[200];
    plant(u);
    for (size_t i = 0; i < n; i++)
        text[i] = "ab\xC3\xA9"[i % 4];
    size_t m = 0;
    for (size_t i = 0; i < n; i++) /* each "b\xC3\xA9" becomes "-" */
        if (i + 2 < n && memcmp(text + i, "b\xC3\xA9", 3) == 0)
            want[m++] = '-', i += 2;
        else
            want[m++] = text[i];
    util_write(u->ws, "t.txt", text);
    assert_true(do_it(u,
                      "'operation':'stream_process','source':'t.txt','destination':'new/r.txt','processor':'replace',"
                      "'pattern':'bé','replacement':'-'")
                    .ok);
    struct str got;
    struct err err;
    snprintf(path, sizeof path, "%s/new/r.txt", u->ws);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_slurp(fd, n, &u->arena, &got, &err), RC_OK);
    close(fd);
    assert_int_equal(got.n, m);
    assert_memory_equal(got.p, want, m);
    assert_true(
        do_it(u, "'operation':'stream_process','source':'t.txt','destination':'u.txt','processor':'uppercase'").ok);
    snprintf(path, sizeof path, "%s/u.txt", u->ws);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_slurp(fd, n, &u->arena, &got, &err), RC_OK);
    close(fd);
    for (size_t i = 0; i < n; i++)
        if (got.p[i] != "AB\xC3\x89"[i % 4])
            fail_msg("byte %zu", i);
    memset(text, ' ', n);
    text[0] = 'x', text[n - 3] = 'y';
    util_write(u->ws, "t.txt", text);
    assert_true(do_it(u, "'operation':'stream_process','source':'t.txt','processor':'trim'").ok);
    struct stat st;
    snprintf(path, sizeof path, "%s/t.txt", u->ws);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, n - 2);
    free(text);
    free(want);
}

/* ---- chunks ---- */

static const struct {
    const char *text, *how, *chunks; /* the chunks: with a bar between them, or `!` and a part of the error */
} chunkings[] = {
    {"one\ntwo\nthree\n", "'chunk_size':8", "one\ntwo\n|three\n"},
    {"one\ntwo\nthree", "'chunk_size':7", "one\n|two\n|three"},
    {"one\ntwo\nthree\n", "'chunk_size':100", "one\ntwo\nthree\n"},
    {"one\ntwo\nthree\n", "'chunk_size':100,'chunk_lines':1", "one\n|two\n|three\n"},
    {"1\n2\n3\n4\n5\n", "'chunk_size':100,'chunk_lines':2", "1\n2\n|3\n4\n|5\n"},
    {"1\n2\n3\n4\n5", "'chunk_size':4,'chunk_lines':3", "1\n2\n|3\n4\n|5"},
    {"\n\n\n\n\n", "'chunk_size':4", "\n\n\n\n|\n"},
    {"a\r\nb\r\nc", "'chunk_size':4", "a\r\n|b\r\nc"},
    {"abc\r\n", "'chunk_size':4", "abc|\r\n"}, /* not between CR and LF */
    {"\r\r\r\r\r", "'chunk_size':4", "\r\r\r\r|\r"},
    {"\xC3\xA9\xC3\xA9\xC3\xA9", "'chunk_size':5", "\xC3\xA9\xC3\xA9|\xC3\xA9"},
    {"a\xF0\x9F\x98\x80z", "'chunk_size':4", "a|\xF0\x9F\x98\x80|z"},
    {"abcdefgh\nij\n", "'chunk_size':4", "abcd|efgh|\nij\n"}, /* a long line is cut, the next one whole again */
    {"ab\ncd\nef\n", "'chunk_size':4,'chunk_by':'characters'", "ab\nc|d\nef|\n"},
    {"ab\nabcdefgh\n", "'chunk_size':4,'chunk_by':'lines'", "!line 2 of t.txt is larger than a chunk (4 bytes)"},
    {"ab\nabcd", "'chunk_size':4,'chunk_by':'lines'", "ab\n|abcd"},
    {"\xEF\xBB\xBF"
     "a\nb\n",
     "'chunk_size':100", "a\nb\n"},
    {"\xEF\xBB\xBF", "'chunk_size':100", ""},
    {"", "'chunk_size':100", ""},
    {"ok\n\xE9t\xE9\n", "'chunk_size':100", "!t.txt is not UTF-8 (byte 3, line 2)"},
    {"ok\n\xC3", "'chunk_size':100", "!t.txt is not UTF-8 (byte 3, line 2)"},
};

/* The chunks as the steps would get them, each read by itself. */
static const char *chunks_of(struct util *u, const struct val *index)
{
    struct str all = {0};
    int64_t from = val_get_int(index, STR("begin"), -1);
    const struct val *ends = VAL_GET(index, "ends"), *stamp = VAL_GET(index, "stamp");
    for (size_t i = 0; val_at(ends, i); from = val_at(ends, i++)->i) {
        struct answer a =
            util_do(u, EXEC_FILES, "{'operation':'stream_read','source':'t.txt','stamp':%s,'from':%lld,'to':%lld}",
                    json_text(&u->arena, stamp).p, (long long)from, (long long)val_at(ends, i)->i);
        if (!a.ok)
            fail_msg("%s", json_text(&u->arena, &a.v).p);
        all = arena_printf(&u->arena, "%.*s%s%s", STR_ARG(all), i ? "|" : "", util_text(&a, "text"));
    }
    return all.n ? all.p : "";
}

static void test_chunks(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < sizeof chunkings / sizeof *chunkings; i++) {
        plant(u);
        util_write(u->ws, "t.txt", chunkings[i].text);
        struct answer a = util_do(u, EXEC_FILES, "{'operation':'stream_index','source':'t.txt',%s}", chunkings[i].how);
        const char *want = chunkings[i].chunks;
        if (a.ok != (want[0] != '!'))
            fail_msg("%zu: %s", i, json_text(&u->arena, &a.v).p);
        if (a.ok)
            assert_string_equal(chunks_of(u, &a.v), want);
        else if (!strstr(util_text(&a, "message"), want + 1))
            fail_msg("%s; expected %s", util_text(&a, "message"), want + 1);
    }
}

/* Random texts and sizes, over the borders of the pieces that the file is read in: the chunks are the file, each is
 * text, none is too large, and behind each but the last stands a line end or the next would not have fitted. */
static void test_chunks_are_the_file(void **state)
{
    struct util *u = *state;
    static const char *const bits[] = {"a", "\n", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\r\n", "word ", "x"};
    size_t n = (size_t)600 << 10, len = 0;
    char *text = calloc(1, n + 8);
    uint64_t seed = 12345;
    plant(u);
    while (len < n) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const char *bit = bits[(seed >> 33) % 8];
        memcpy(text + len, bit, strlen(bit));
        len += strlen(bit);
    }
    util_write(u->ws, "t.txt", text);
    static const int sizes[] = {4, 7, 31, 1000, 65536, 300000};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        if (len / (size_t)sizes[k] > 40000)
            continue;
        struct answer a =
            util_do(u, EXEC_FILES, "{'operation':'stream_index','source':'t.txt','chunk_size':%d}", sizes[k]);
        assert_true(a.ok);
        const struct val *ends = VAL_GET(&a.v, "ends");
        int64_t from = 0;
        for (size_t i = 0; i < ends->arr.n; i++) {
            int64_t to = ends->arr.v[i].i;
            struct str s = str_n(text + from, (size_t)(to - from));
            assert_true(to > from && to - from <= sizes[k]);
            assert_int_equal(str_utf8_valid(s), s.n);
            assert_false((size_t)to < len && text[to] == '\n' && text[to - 1] == '\r' && s.n > 1);
            if ((size_t)to < len && text[to - 1] != '\n' && memchr(s.p, '\n', s.n))
                fail_msg("chunk %zu of size %d leaves a line that it could have ended with", i, sizes[k]);
            from = to;
        }
        assert_int_equal(from, len);
    }
    free(text);
}

static struct answer join(struct util *u, const struct val *stamp, int chunks, const char *more)
{
    char request[400];
    snprintf(request, sizeof request,
             "'operation':'stream_join','source':'t.txt','stamp':%s,'stream':'s','chunks':%d%s",
             json_text(&u->arena, stamp).p, chunks, more);
    return do_it(u, request);
}

static void test_pieces_are_joined(void **state)
{
    struct util *u = *state;
    static const char *const index = "{'operation':'stream_index','source':'t.txt','chunk_size':4}";
    plant(u);
    util_write(u->ws, "t.txt", "aaa\nbbb\n");
    struct answer i = util_do(u, EXEC_FILES, index), a;
    const struct val *stamp = VAL_GET(&i.v, "stamp");
    a = util_do(u, EXEC_FILES, "{'operation':'stream_keep','stream':'s','index':1,'text':'two'}");
    assert_true(a.ok);
    a = join(u, stamp, 2, ",'destination':'new/r.txt'");
    assert_false(a.ok); /* the first is missing */
    assert_non_null(strstr(util_text(&a, "message"), "chunk 1 is not there any more"));
    assert_true(util_do(u, EXEC_FILES, "{'operation':'stream_keep','stream':'s','index':0,'text':'one '}").ok);
    a = join(u, stamp, 2, ",'destination':'new/r.txt'");
    assert_true(a.ok);
    assert_file(u, "new/r.txt", "one two");
    assert_file(u, "t.txt", "aaa\nbbb\n");
    a = join(u, stamp, 2, "");
    assert_false(a.ok); /* the pieces went with the file that they became */

    /* of somebody else's change of the source nothing is made */
    i = util_do(u, EXEC_FILES, index);
    stamp = VAL_GET(&i.v, "stamp");
    assert_true(util_do(u, EXEC_FILES, "{'operation':'stream_keep','stream':'s','index':0,'text':'x'}").ok);
    util_write(u->ws, "t.txt", "changed\n");
    a = util_do(u, EXEC_FILES, "{'operation':'stream_read','source':'t.txt','stamp':%s,'from':0,'to':4}",
                json_text(&u->arena, stamp).p);
    assert_string_equal(util_text(&a, "code"), "source_changed");
    a = join(u, stamp, 1, "");
    assert_string_equal(util_text(&a, "code"), "source_changed");
    assert_file(u, "t.txt", "changed\n");
    assert_true(util_do(u, EXEC_FILES, "{'operation':'stream_keep','stream':'e','index':0,'text':''}").ok);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cases, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_content, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_binary, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_links, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_swap_race, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_rolled_back, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_crash_is_settled, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_crash_among_directories, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_crash_and_somebody_else, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_list, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_validate, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_convert, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_process, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_process_pieces, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_chunks, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_chunks_are_the_file, util_setup, util_teardown),
        cmocka_unit_test_setup_teardown(test_pieces_are_joined, util_setup, util_teardown),
    };
    if (argc == 4)
        return child(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
