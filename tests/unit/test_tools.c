/* What models are told by Read, Write, Edit, Glob and Grep, and what happens to the files. */
#include "base/clock.h"
#include "base/sha256.h"
#include "data/tool_schemas.h"
#include "executor/globmatch.h"
#include "executor/launcher.h"
#include "executor_util.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct util u;
    util_begin(&u, 0);
    util_write(u.dir, "secret", "secret");
    util_write(u.ws, "a.txt", "one\ntwo\nthree\n");
    util_write(u.ws, "src/main.c", "int main(void)\n{\n    return 0; // FINDME\n}\n");
    util_write(u.ws, "src/util.c", "int util;\n");
    util_write(u.ws, "src/deep/x/y.py", "print('FINDME')\n");
    util_write(u.ws, "docs/a.md", "# A\n");
    util_write(u.ws, ".hidden/z.md", "findme\n");
    util_write(u.ws, ".git/config", "FINDME\n");
    util_write(u.ws, "sub/.git/config", "FINDME\n");
    util_write(u.ws, "empty", "");
    char link[160];
    snprintf(link, sizeof link, "%s/out", u.ws);
    assert_int_equal(symlink("../secret", link), 0);
    snprintf(link, sizeof link, "%s/up", u.ws);
    assert_int_equal(symlink("..", link), 0);
    snprintf(link, sizeof link, "%s/to-a", u.ws);
    assert_int_equal(symlink("a.txt", link), 0);
    snprintf(link, sizeof link, "%s/git", u.ws);
    assert_int_equal(symlink(".git", link), 0);
    snprintf(link, sizeof link, "%s/fifo", u.ws);
    assert_int_equal(mkfifo(link, 0600), 0);
    *state = &u;
    return 0;
}

/* Calls a tool; `%` in the input stands for the workspace's path, `'` for `"`. */
static struct answer call(struct util *u, const char *tool, const char *input, const char *more)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (; *input; input++)
        if (*input == '%')
            buf_addz(&b, u->ws);
        else
            buf_addc(&b, *input);
    struct answer a = util_do(u, EXEC_TOOL, "{'tool':'%s','input':%s%s}", tool, buf_str(&b).p, more);
    buf_done(&b);
    return a;
}

struct expect {
    const char *tool, *input;
    bool is_error;
    const char *text; /* all of it, or with "~" in front: a part of it */
};

static void check(struct util *u, const struct expect *e, const struct answer *a)
{
    const char *text = util_text(a, "text");
    bool good = a->ok && util_true(a, "is_error") == e->is_error;
    good = good && (e->text[0] == '~' ? strstr(text, e->text + 1) != NULL : strcmp(text, e->text) == 0);
    if (!good)
        print_message("%s %s\n  got: %s\n  not: %s\n", e->tool, e->input, json_text(&u->arena, &a->v).p, e->text);
    assert_true(good);
}

/* ---- Read ---- */

static const struct expect reads[] = {
    {"Read", "{'file_path':'a.txt'}", false, "1\tone\n2\ttwo\n3\tthree\n"},
    {"Read", "{'file_path':'%/a.txt'}", false, "1\tone\n2\ttwo\n3\tthree\n"},
    {"Read", "{'file_path':'to-a','extra':1}", false, "1\tone\n2\ttwo\n3\tthree\n"},
    {"Read", "{'file_path':'a.txt','offset':2,'limit':1}", false,
     "2\ttwo\n\n(Lines 2 to 2 of 3, 14 bytes in all. Use offset 3 to go on.)\n"},
    {"Read", "{'file_path':'a.txt','offset':'3'}", false, "3\tthree\n\n(Lines 3 to 3 of 3, 14 bytes in all.)\n"},
    {"Read", "{'file_path':'a.txt','offset':2.0,'limit':null}", false, "~2\ttwo\n3\tthree\n"},
    {"Read", "{'file_path':'a.txt','offset':9}", true, "~only 3 lines"},
    {"Read", "{'file_path':'empty'}", false, "(The file exists but is empty.)"},
    {"Read", "{'file_path':'a.tyt'}", true, "a.tyt does not exist. Did you mean a.txt?"},
    {"Read", "{'file_path':'src/mian.c'}", true, "src/mian.c does not exist. Did you mean src/main.c?"},
    {"Read", "{'file_path':'nothing-like-it'}", true, "nothing-like-it does not exist"},
    {"Read", "{'file_path':'src'}", true, "src is a directory"},
    {"Read", "{'file_path':'fifo'}", true, "fifo is not a regular file"},
    {"Read", "{'file_path':'out'}", true, "~leads out"},
    {"Read", "{'file_path':'up/secret'}", true, "~leads out"},
    {"Read", "{'file_path':'../secret'}", true, "~leads out"},
    {"Read", "{'file_path':'/etc/passwd'}", true, "~is outside of"},
    {"Read", "{'file_path':'/proc/self/environ'}", true, "~is outside of"},
    {"Read", "{'file_path':''}", true, "~directory"},
    {"Read", "{}", true, "The required parameter file_path is missing."},
    {"Read", "{'file_path':3}", true, "The parameter file_path must be a string, not integer."},
    {"Read", "{'file_path':'a.txt','offset':-1}", true, "~offset must be a whole number"},
    {"Read", "{'file_path':'a.txt','limit':0}", true, "~limit must be a whole number"},
    {"Read", "{'file_path':'a.txt','limit':1.5}", true, "~limit must be a whole number"},
    {"Read", "{'file_path':'a\\u0000b'}", true, "~NUL"},
    {"Read", "[]", true, "~must be an object"},
    {"Read", "null", true, "~must be an object"},
    {"Bash", "{}", true, "~command"},
    {"Bash", "{'command':' '}", true, "~command"},
    {"Bash", "{'command':'x','timeout':'soon'}", true, "~timeout"},
    {"Bash", "{'command':'echo a; echo b >&2'}", false, "a\nb"},
    {"Bash", "{'command':'echo a; exit 3'}", true, "Exit code 3\na"},
    {"Bash", "{'command':'true'}", false, "(no output)"},
    {"Bash", "{'command':'sleep 100','timeout':50}", true, "The command was stopped after 0.05 seconds (timeout)."},
    {"Bash", "{'command':'kill -9 $$'}", true, "Killed by signal SIGKILL"},
};

static void test_read(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        struct answer a = call(u, reads[i].tool, reads[i].input, "");
        check(u, &reads[i], &a);
    }
}

static void test_read_large(void **state)
{
    struct util *u = *state;
    struct buf b;
    buf_init(&b, 64 << 20);
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "line %d\r\n", i + 1);
    util_write(u->ws, "many", buf_str(&b).p);
    struct answer a = call(u, "Read", "{'file_path':'many'}", "");
    const char *text = util_text(&a, "text");
    assert_memory_equal(text, "1\tline 1\n2\tline 2\n", 18);
    assert_non_null(strstr(text, "\n2000\tline 2000\n\n(Lines 1 to 2000 of 5000, "));
    assert_non_null(strstr(text, "Use offset 2001 to go on.)\n"));
    a = call(u, "Read", "{'file_path':'many','offset':4999}", "");
    assert_memory_equal(util_text(&a, "text"), "4999\tline 4999\n5000\tline 5000\n", 30);

    buf_clear(&b);
    for (int i = 0; i < 1500; i++) /* 1,500 lines of 500 characters do not fit into 256 KB */
        buf_printf(&b, "%0500d\n", i);
    util_write(u->ws, "wide", buf_str(&b).p);
    a = call(u, "Read", "{'file_path':'wide'}", "");
    text = util_text(&a, "text");
    assert_in_range(strlen(text), 250000, 263000);
    const char *note = strstr(text, "(Lines 1 to ");
    assert_non_null(note);
    char input[100];
    snprintf(input, sizeof input, "{'file_path':'wide','offset':%ld,'limit':1}", strtol(note + 12, NULL, 10) + 1);
    a = call(u, "Read", input, "");
    assert_memory_equal(util_text(&a, "text"), input + 29, 3); /* the next line, by its number */

    buf_clear(&b);
    for (int i = 0; i < 3000; i++)
        buf_addz(&b, "\xC3\xA9"); /* two bytes a character, cut within one */
    util_write(u->ws, "long", buf_str(&b).p);
    a = call(u, "Read", "{'file_path':'long'}", "");
    text = util_text(&a, "text");
    assert_null(strstr(text, "\xEF\xBF\xBD"));
    assert_non_null(strstr(text, " [... the rest of this line is left out]\n"));
    util_write(u->ws, "latin", "caf\xE9\n");
    a = call(u, "Read", "{'file_path':'latin'}", "");
    assert_string_equal(util_text(&a, "text"), "1\tcaf\xEF\xBF\xBD\n");
    a = util_do(u, EXEC_COMMAND, "{'shell':'printf a\\\\\\\\000b > binary'}");
    a = call(u, "Read", "{'file_path':'binary'}", "");
    assert_true(util_true(&a, "is_error"));
    buf_done(&b);
}

/* ---- Write and Edit ---- */

static void expect_file(struct util *u, const char *name, const char *content)
{
    char *text = util_read(u->ws, name);
    if (content)
        assert_string_equal(text ? text : "(no file)", content);
    else
        assert_null(text);
    free(text);
}

static const struct {
    struct expect e;
    const char *file, *content; /* afterwards; NULL: there is none */
} writes[] = {
    {{"Write", "{'file_path':'new','content':'N'}", false, "The file new has been created."}, "new", "N"},
    {{"Write", "{'file_path':'new','content':'N2'}", false, "The file new has been updated."}, "new", "N2"},
    {{"Write", "{'file_path':'p/q/r','content':''}", false, "The file p/q/r has been created."}, "p/q/r", ""},
    {{"Write", "{'file_path':'to-a','content':'via link'}", false, "The file a.txt has been updated."},
     "a.txt",
     "via link"},
    {{"Write", "{'file_path':'%/abs','content':'x'}", false, "The file abs has been created."}, "abs", "x"},
    {{"Write", "{'file_path':'out','content':'x'}", true, "~leads out"}, "../secret", "secret"},
    {{"Write", "{'file_path':'up/evil','content':'x'}", true, "~leads out"}, "../evil", NULL},
    {{"Write", "{'file_path':'../evil','content':'x'}", true, "~leads out"}, "../evil", NULL},
    {{"Write", "{'file_path':'a/../../evil','content':'x'}", true, "~"}, "../evil", NULL},
    {{"Write", "{'file_path':'/tmp/evil','content':'x'}", true, "~is outside of"}, "../evil", NULL},
    {{"Write", "{'file_path':'fifo','content':'x'}", true, "~not a regular file"}, "../evil", NULL},
    {{"Write", "{'file_path':'src','content':'x'}", true, "~is a directory"}, "../evil", NULL},
    {{"Write", "{'file_path':'.git/hooks/post-commit','content':'x'}", true, "~.git"}, ".git/hooks/post-commit", NULL},
    {{"Write", "{'file_path':'git/config','content':'x'}", true, "~.git"}, ".git/config", "FINDME\n"},
    {{"Write", "{'file_path':'sub/.git/config','content':'x'}", true, "~.git"}, "sub/.git/config", "FINDME\n"},
    {{"Write", "{'file_path':'new'}", true, "~content is missing"}, "new", "N2"},
    {{"Write", "{'file_path':'new','content':{}}", true, "~content must be a string"}, "new", "N2"},
    {{"Edit", "{'file_path':'src/util.c','old_string':'util','new_string':'u'}", false,
      "The file src/util.c has been updated."},
     "src/util.c",
     "int u;\n"},
    {{"Edit", "{'file_path':'src/util.c','old_string':'int','new_string':''}", false, "~updated"},
     "src/util.c",
     " u;\n"},
    {{"Edit", "{'file_path':'src/util.c','old_string':'absent','new_string':'y'}", true, "~was not found"},
     "src/util.c",
     " u;\n"},
    {{"Edit", "{'file_path':'src/main.c','old_string':'i','new_string':'X'}", true, "~occurs 3 times"},
     "src/util.c",
     " u;\n"},
    {{"Edit", "{'file_path':'src/main.c','old_string':'in','new_string':'II','replace_all':true}", false, "~updated"},
     "src/main.c",
     "IIt maII(void)\n{\n    return 0; // FINDME\n}\n"},
    {{"Edit", "{'file_path':'src/main.c','old_string':'a','new_string':'a'}", true, "~the same"}, "../evil", NULL},
    {{"Edit", "{'file_path':'src/main.c','old_string':'','new_string':'a'}", true, "~old_string is empty"},
     "../evil",
     NULL},
    {{"Edit", "{'file_path':'made','old_string':'','new_string':'m'}", false, "~created"}, "made", "m"},
    {{"Edit", "{'file_path':'maid','old_string':'x','new_string':'m'}", true,
      "maid does not exist. Did you mean made?"},
     "maid",
     NULL},
    {{"Edit", "{'file_path':'made','old_string':'m','new_string':'n','replace_all':'yes'}", true, "~replace_all"},
     "made",
     "m"},
    {{"Edit", "{'file_path':'.git/config','old_string':'FINDME','new_string':'n'}", true, "~.git"},
     ".git/config",
     "FINDME\n"},
};

static void test_write(void **state)
{
    struct util *u = *state;
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        struct answer a = call(u, writes[i].e.tool, writes[i].e.input, "");
        check(u, &writes[i].e, &a);
        expect_file(u, writes[i].file, writes[i].content);
    }
    assert_int_not_equal(access("/tmp/evil", F_OK), 0);
}

static void test_mode_is_kept(void **state)
{
    struct util *u = *state;
    struct stat st;
    char path[160];
    snprintf(path, sizeof path, "%s/src/util.c", u->ws);
    assert_int_equal(chmod(path, 0750), 0);
    struct answer a = call(u, "Edit", "{'file_path':'src/util.c','old_string':'int','new_string':'long'}", "");
    assert_false(util_true(&a, "is_error"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    a = call(u, "Write", "{'file_path':'plain','content':''}", "");
    snprintf(path, sizeof path, "%s/plain", u->ws);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

static const char edit_input[] = "{'file_path':'src/util.c','old_string':'util','new_string':'u'}";

/* prepare, and the `,'plan':…` that goes into the later phases. */
static const char *prepare(struct util *u, const char *tool, const char *input)
{
    struct answer a = call(u, tool, input, ",'phase':'prepare'");
    assert_true(a.ok);
    const struct val *plan = VAL_GET(&a.v, "plan");
    assert_non_null(plan);
    return arena_printf(&u->arena, ",'plan':%.*s", STR_ARG(json_text(&u->arena, plan))).p;
}

static const char *with_phase(struct util *u, const char *plan, const char *phase)
{
    return arena_printf(&u->arena, ",'phase':'%s'%s", phase, plan).p;
}

static void test_phases(void **state)
{
    struct util *u = *state;
    struct sha256 before = sha256_of(STR("int util;\n")), after = sha256_of(STR("int u;\n"));
    struct answer a = call(u, "Edit", edit_input, ",'phase':'prepare'");
    const struct val *p = VAL_GET(&a.v, "plan");
    assert_true(str_is(val_get_str(p, STR("path"), STR("")), "src/util.c"));
    assert_true(str_is(val_get_str(p, STR("before"), STR("")), sha256_hex(&before).z));
    assert_true(str_is(val_get_str(p, STR("after"), STR("")), sha256_hex(&after).z));
    assert_int_equal(val_get_int(p, STR("mode"), 0), 0644);
    expect_file(u, "src/util.c", "int util;\n");

    const char *plan = prepare(u, "Edit", edit_input);
    a = call(u, "Edit", edit_input, with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "again");
    a = call(u, "Edit", edit_input, with_phase(u, plan, "apply"));
    assert_false(util_true(&a, "is_error"));
    expect_file(u, "src/util.c", "int u;\n");
    a = call(u, "Edit", "null", with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "done");
    assert_string_equal(util_text(&a, "text"), "The file src/util.c has been updated.");
    a = call(u, "Edit", edit_input, with_phase(u, plan, "apply")); /* a second time: the file is not as before */
    assert_true(util_true(&a, "is_error"));
    assert_non_null(strstr(util_text(&a, "text"), "has changed"));

    util_write(u->ws, "src/util.c", "int util; // by somebody else\n");
    a = call(u, "Edit", edit_input, with_phase(u, plan, "apply"));
    assert_true(util_true(&a, "is_error"));
    a = call(u, "Edit", edit_input, with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "changed");
    expect_file(u, "src/util.c", "int util; // by somebody else\n");

    plan = prepare(u, "Write", "{'file_path':'w/new','content':'1'}");
    assert_non_null(strstr(plan, "\"before\":null"));
    expect_file(u, "w/new", NULL);
    char path[160];
    snprintf(path, sizeof path, "%s/w", u->ws);
    assert_int_not_equal(access(path, F_OK), 0); /* not even its directory */
    a = call(u, "Write", "{}", with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "again");
    util_write(u->ws, "w/new", "2");
    a = call(u, "Write", "{'file_path':'w/new','content':'1'}", with_phase(u, plan, "apply"));
    assert_true(util_true(&a, "is_error"));
    expect_file(u, "w/new", "2");
    a = call(u, "Write", "{}", with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "changed");
    util_write(u->ws, "w/new", "1");
    a = call(u, "Write", "{}", with_phase(u, plan, "settle"));
    assert_string_equal(util_text(&a, "outcome"), "done");
    assert_string_equal(util_text(&a, "text"), "The file w/new has been created.");

    a = call(u, "Edit", "{'file_path':'no','old_string':'a','new_string':'b'}", ",'phase':'prepare'");
    assert_true(a.ok && util_true(&a, "is_error"));
    a = call(u, "Read", "{'file_path':'a.txt'}", ",'phase':'prepare'");
    assert_true(a.ok && util_true(&a, "is_error"));
}

/* Plans come back from a journal; whatever they say, nothing outside is written or removed. */
static void test_hostile_plans(void **state)
{
    struct util *u = *state;
    static const char *const plans[] = {
        "{}",
        "[]",
        "'x'",
        "{'path':'../secret','before':null,'after':'00','mode':420}",
        "{'path':'/etc/x','before':null,'after':'00','mode':420}",
        "{'path':'out','before':null,'after':'00','mode':420}",
        "{'path':'x','before':null,'after':'../../secret','mode':420}",
        "{'path':'x','before':null,'after':7,'mode':420}",
        "{'path':'x','before':{},'after':'00','mode':420}",
        "{'path':'','before':null,'after':'00','mode':420}",
        "{'path':'x','before':null,'after':'00'}",
    };
    static const char *const phases[] = {"apply", "settle", "nonsense"};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        for (size_t k = 0; k < 3; k++) {
            char more[256];
            snprintf(more, sizeof more, ",'phase':'%s','plan':%s", phases[k], plans[i]);
            struct answer a = call(u, "Write", "{'file_path':'x','content':'x'}", more);
            bool fine = !a.ok || util_true(&a, "is_error") || strcmp(util_text(&a, "outcome"), "changed") == 0 ||
                        strcmp(util_text(&a, "outcome"), "again") == 0;
            if (!fine)
                print_message("%s -> %s\n", more, json_text(&u->arena, &a.v).p);
            assert_true(fine);
        }
    expect_file(u, "../secret", "secret");
    expect_file(u, "x", NULL);
}

/* A link redirected between the phases does not redirect the write. */
static void test_redirected_link(void **state)
{
    struct util *u = *state;
    char link[160];
    const char *input = "{'file_path':'to-a','content':'new'}";
    const char *plan = prepare(u, "Write", input);
    snprintf(link, sizeof link, "%s/to-a", u->ws);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("src/util.c", link), 0);
    struct answer a = call(u, "Write", input, with_phase(u, plan, "apply"));
    assert_false(util_true(&a, "is_error"));
    expect_file(u, "src/util.c", "int util;\n");
    expect_file(u, "a.txt", "new");
    snprintf(link, sizeof link, "%s/a.txt", u->ws); /* what the plan named becomes a link itself */
    plan = prepare(u, "Write", "{'file_path':'a.txt','content':'newer'}");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("src/util.c", link), 0);
    a = call(u, "Write", "{'file_path':'a.txt','content':'newer'}", with_phase(u, plan, "apply"));
    assert_true(util_true(&a, "is_error"));
    expect_file(u, "src/util.c", "int util;\n");
}

/* ---- races ---- */

static struct {
    char real[160], fake[160];
    atomic_bool stop;
    atomic_long swaps;
} race;

static void *swap_forever(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&race.stop)) {
        renameat2(AT_FDCWD, race.real, AT_FDCWD, race.fake, RENAME_EXCHANGE);
        atomic_fetch_add(&race.swaps, 1);
    }
    return NULL;
}

/* A directory and a link to the outside change places all the time, while tools use it. TREADLE_SWAPS says how often at
 * least (200); it goes on until tools have got through, too, however the threads are scheduled. */
static void test_swap_race(void **state)
{
    struct util *u = *state;
    pthread_t thread;
    char outside[160];
    int reads_done = 0, writes_done = 0;
    util_write(u->dir, "outside/file", "secret");
    util_write(u->ws, "swap/file", "public");
    snprintf(race.real, sizeof race.real, "%s/swap", u->ws);
    snprintf(race.fake, sizeof race.fake, "%s/swap-link", u->ws);
    snprintf(outside, sizeof outside, "%s/outside", u->dir);
    assert_int_equal(symlink(outside, race.fake), 0);
    atomic_store(&race.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, swap_forever, NULL), 0);
    const char *text = getenv("TREADLE_SWAPS");
    long wanted = text ? strtol(text, NULL, 10) : 200;
    int64_t give_up = clock_mono_ms() + 600000;
    for (int i = 0; i < 700 || atomic_load(&race.swaps) < wanted || !reads_done || !writes_done; i++) {
        assert_true(clock_mono_ms() < give_up);
        char input[160];
        struct answer a = call(u, "Read", "{'file_path':'swap/file'}", "");
        assert_null(strstr(util_text(&a, "text"), "secret"));
        reads_done += !util_true(&a, "is_error");
        snprintf(input, sizeof input, "{'file_path':'swap/written-%d','content':'w'}", i % 10);
        a = call(u, "Write", input, "");
        writes_done += !util_true(&a, "is_error");
        a = call(u, "Grep", "{'pattern':'secret','path':'swap'}", "");
        assert_null(strstr(util_text(&a, "text"), "file:"));
        arena_done(&u->arena);
    }
    atomic_store(&race.stop, true);
    pthread_join(thread, NULL);
    print_message("%ld swaps; %d reads and %d writes got through\n", atomic_load(&race.swaps), reads_done, writes_done);
    DIR *d = opendir(outside);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d));)
        assert_true(de->d_name[0] == '.' || strcmp(de->d_name, "file") == 0);
    closedir(d);
    expect_file(u, "../outside/file", "secret");
}

/* ---- Glob and Grep ---- */

static void set_time(struct util *u, const char *name, time_t t)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", u->ws, name);
    struct timeval tv[2] = {{.tv_sec = t}, {.tv_sec = t}};
    assert_int_equal(utimes(path, tv), 0);
}

static const struct expect searches[] = {
    {"Glob", "{'pattern':'**/*.c'}", false, "src/util.c\nsrc/main.c\n"},
    {"Glob", "{'pattern':'*.c'}", false, "No files found\n"},
    {"Glob", "{'pattern':'*.c','path':'src'}", false, "src/util.c\nsrc/main.c\n"},
    {"Glob", "{'pattern':'src/*.{c,py}'}", false, "src/util.c\nsrc/main.c\n"},
    {"Glob", "{'pattern':'**/{main.c,y.py}'}", false, "src/deep/x/y.py\nsrc/main.c\n"},
    {"Glob", "{'pattern':'%/src/m*'}", false, "~/ws/src/main.c\n"},
    {"Glob", "{'pattern':'**/config'}", false, "No files found\n"},
    {"Glob", "{'pattern':'**','path':'.git'}", false, ".git/config\n"},
    {"Glob", "{'pattern':'**/z.md'}", false, ".hidden/z.md\n"},
    {"Glob", "{'pattern':'**/secret'}", false, "No files found\n"},
    {"Glob", "{'pattern':'*','path':'up'}", true, "~leads out"},
    {"Glob", "{'pattern':'*','path':'..'}", true, "~leads out"},
    {"Glob", "{'pattern':'*','path':'/etc'}", true, "~is outside of"},
    {"Glob", "{'pattern':'/etc/*'}", true, "~is outside of"},
    {"Glob", "{'pattern':'../*'}", false, "No files found\n"},
    {"Glob", "{'pattern':'*','path':'a.txt'}", true, "~directory"},
    {"Glob", "{'pattern':'*','path':'nowhere'}", true, "~does not exist"},
    {"Glob", "{'pattern':'['}", true, "~not closed"},
    {"Glob", "{'pattern':''}", true, "~pattern"},
    {"Glob", "{}", true, "~pattern is missing"},
    {"Grep", "{'pattern':'FINDME'}", false, "src/deep/x/y.py\nsrc/main.c\n"},
    {"Grep", "{'pattern':'findme','-i':true}", false, ".hidden/z.md\nsrc/deep/x/y.py\nsrc/main.c\n"},
    {"Grep", "{'pattern':'FINDME','glob':'*.py'}", false, "src/deep/x/y.py\n"},
    {"Grep", "{'pattern':'FINDME','glob':'src/*.c'}", false, "src/main.c\n"},
    {"Grep", "{'pattern':'int','output_mode':'count'}", false,
     "src/deep/x/y.py:1\nsrc/main.c:1\nsrc/util.c:1\n\n3 matching lines in 3 files.\n"},
    {"Grep", "{'pattern':'o','path':'a.txt','output_mode':'content'}", false, "a.txt:1:one\na.txt:2:two\n"},
    {"Grep", "{'pattern':'o','path':'%/a.txt','output_mode':'content','-n':false}", false, "~/ws/a.txt:one\n"},
    {"Grep", "{'pattern':'void','path':'src','output_mode':'content','-A':1}", false,
     "src/main.c:1:int main(void)\nsrc/main.c-2-{\n"},
    {"Grep", "{'pattern':'return','path':'src','output_mode':'content','-C':1,'head_limit':2}", false,
     "src/main.c-2-{\nsrc/main.c:3:    return 0; // FINDME\n(The search stopped early: the output limit was "
     "reached.)\n"},
    {"Grep", "{'pattern':'^(two|three)$','path':'a.txt','output_mode':'content'}", false,
     "a.txt:2:two\na.txt:3:three\n"},
    {"Grep", "{'pattern':'one\\ntwo'}", false, "No files found\n"},
    {"Grep", "{'pattern':'nowhere-to-be-seen','output_mode':'content'}", false, "No matches found\n"},
    {"Grep", "{'pattern':'secret'}", false, "No files found\n"},
    {"Grep", "{'pattern':'secret','path':'out'}", true, "~leads out"},
    {"Grep", "{'pattern':'secret','path':'up'}", true, "~leads out"},
    {"Grep", "{'pattern':'x','path':'fifo'}", true, "~not a regular file"},
    {"Grep", "{'pattern':'x','path':'gone'}", true, "~does not exist"},
    {"Grep", "{'pattern':'('}", true, "~"},
    {"Grep", "{'pattern':'x','output_mode':'lines'}", true, "~output_mode"},
    {"Grep", "{'pattern':'x','-A':-1}", true, "~-A"},
    {"Grep", "{'pattern':'x','glob':'{a'}", false, "~No files"},
    {"Grep", "{'pattern':'x','glob':'[a'}", true, "~not closed"},
};

static void test_search(void **state)
{
    struct util *u = *state;
    set_time(u, "src/main.c", 1000);
    set_time(u, "src/util.c", 2000);
    set_time(u, "src/deep/x/y.py", 1500);
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        struct answer a = call(u, searches[i].tool, searches[i].input, "");
        check(u, &searches[i], &a);
    }
    /* From another working directory, names are relative to that one. */
    struct answer a = call(u, "Glob", "{'pattern':'*.c'}", ",'cwd':'src'");
    assert_string_equal(util_text(&a, "text"), "util.c\nmain.c\n");
    a = call(u, "Read", "{'file_path':'../a.txt','limit':1}", ",'cwd':'src'");
    assert_memory_equal(util_text(&a, "text"), "1\tone\n", 6);
    a = call(u, "Grep", "{'pattern':'one','path':'../a.txt'}", ",'cwd':'src'");
    assert_string_equal(util_text(&a, "text"), "../a.txt\n");
    a = call(u, "Glob", "{'pattern':'*'}", ",'cwd':'up'");
    assert_false(a.ok);
    a = call(u, "Search", "{}", "");
    assert_false(a.ok);
}

static void test_grep_context(void **state)
{
    struct util *u = *state;
    struct answer a;
    struct buf b;
    buf_init(&b, 1 << 16);
    for (int i = 1; i <= 30; i++)
        buf_printf(&b, "%s%d\n", i == 5 || i == 7 || i == 20 || i == 30 ? "hit" : "line", i);
    util_write(u->ws, "ctx", buf_str(&b).p);
    buf_done(&b);
    a = call(u, "Grep", "{'pattern':'hit','path':'ctx','output_mode':'content','-B':2,'-A':1}", "");
    assert_string_equal(util_text(&a, "text"),
                        "ctx-3-line3\nctx-4-line4\nctx:5:hit5\nctx-6-line6\nctx:7:hit7\nctx-8-line8\n--\n"
                        "ctx-18-line18\nctx-19-line19\nctx:20:hit20\nctx-21-line21\n--\n"
                        "ctx-28-line28\nctx-29-line29\nctx:30:hit30\n");
    a = call(u, "Grep", "{'pattern':'hit','path':'ctx','output_mode':'content','-B':100}", "");
    assert_non_null(strstr(util_text(&a, "text"), "ctx-1-line1\n"));
    assert_null(strstr(util_text(&a, "text"), "--\n"));
}

/* Patterns that would take for ever elsewhere. */
static void test_bounded(void **state)
{
    struct util *u = *state;
    char big[5001];
    memset(big, 'a', 5000);
    big[5000] = 0;
    util_write(u->ws, "aaa", big);
    int64_t begin = clock_mono_ms();
    struct answer a = call(u, "Grep", "{'pattern':'(a+)+b|(a|aa)*c','path':'aaa'}", "");
    assert_true(a.ok);
    assert_in_range(clock_mono_ms() - begin, 0, 30000);
    a = call(u, "Grep", "{'pattern':'a','path':'aaa','output_mode':'content'}", "");
    assert_in_range(strlen(util_text(&a, "text")), 2000, 2100);
    for (int i = 0; i < 1200; i++) {
        char name[32];
        snprintf(name, sizeof name, "many/f%04d", i);
        util_write(u->ws, name, "x\n");
    }
    a = call(u, "Glob", "{'pattern':'many/*'}", "");
    assert_non_null(strstr(util_text(&a, "text"), "\n(200 more files are not shown;"));
    a = call(u, "Glob", "{'pattern':'many/*'}", ",'output_limit':1000");
    assert_in_range(strlen(util_text(&a, "text")), 900, 1200);
    a = call(u, "Grep", "{'pattern':'x','path':'many'}", "");
    assert_non_null(strstr(util_text(&a, "text"), "the output limit was reached"));
    char deep[256];
    memset(deep, 'd', sizeof deep);
    for (int i = 1; i < 160; i += 2)
        deep[i] = '/';
    snprintf(deep + 160, 2, "f");
    util_write(u->ws, deep, "needle\n");
    a = call(u, "Grep", "{'pattern':'needle','path':'d'}", "");
    assert_non_null(strstr(util_text(&a, "text"), "nest too deeply"));
}

static const struct {
    const char *pattern, *path;
    bool match, enter; /* `enter`: what glob_may_enter() says of the path as a directory */
} globs[] = {
    {"*.c", "a.c", true, false},
    {"*.c", "d/a.c", false, false},
    {"**/*.c", "a.c", true, true},
    {"**/*.c", "d/e/a.c", true, true},
    {"a/**", "a", true, true},
    {"a/**", "a/b/c", true, true},
    {"a/**/z", "a/z", true, true},
    {"a/**/z", "a/b/c/z", true, true},
    {"a/**/z", "b/z", false, false},
    {"a/*/z", "a/b", false, true},
    {"**/b/**/d", "a/b/c/b/c/d", true, true},
    {"**/b/**/d", "a/c/d", false, true},
    {"?.c", "a.c", true, false},
    {"?.c", "\xC3\xA9.c", true, false},
    {"?.c", "ab.c", false, false},
    {"[a-c]x", "bx", true, false},
    {"[a-c]x", "dx", false, false},
    {"[!a-c]x", "dx", true, false},
    {"[]]x", "]x", true, false},
    {"[a-]x", "-x", true, false},
    {"{a,b{c,d}}.x", "bd.x", true, false},
    {"{a,b{c,d}}.x", "b.x", false, false},
    {"{src,lib}/*.c", "lib/a.c", true, false},
    {"a{,b}", "a", true, false},
    {"a{b", "a{b", true, false},
    {"\\*", "*", true, false},
    {"\\*", "a", false, false},
    {"./a", "a", true, false},
    {"a//b", "a/b", true, false},
    {"*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, false},
    {"**/a/**/a/**/a/**/b", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", false, true},
};

static void test_globs(void **state)
{
    struct arena a = {0};
    struct err err;
    const struct glob *g;
    (void)state;
    for (size_t i = 0; i < sizeof globs / sizeof *globs; i++) {
        assert_int_equal(glob_compile(&a, str_c(globs[i].pattern), &g, &err), RC_OK);
        if (glob_match(g, str_c(globs[i].path)) != globs[i].match ||
            glob_may_enter(g, str_c(globs[i].path)) != globs[i].enter)
            fail_msg("%s on %s", globs[i].pattern, globs[i].path);
    }
    assert_int_equal(glob_compile(&a, STR("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"), &g, &err), RC_INVALID);
    assert_int_equal(glob_compile(&a, STR("{{{{{{{{{{{{{{{{{{{{a}}}}}}}}}}}}}}}}}}}}"), &g, &err), RC_INVALID);
    assert_int_equal(glob_compile(&a, STR("a[/]"), &g, &err), RC_INVALID);
    arena_done(&a);
}

static void test_schemas(void **state)
{
    struct util *u = *state;
    static const char *const names[] = {"Read", "Write", "Edit", "Bash", "Glob", "Grep"};
    unsigned n = 0;
    while (tool_schemas_at(n).n) {
        struct val v = util_json(u, tool_schemas_at(n).p);
        assert_true(str_is(val_get_str(&v, STR("name"), STR("")), names[n]));
        assert_true(val_get_str(&v, STR("description"), STR("")).n > 20);
        const struct val *schema = VAL_GET(&v, "input_schema"), *required = VAL_GET(schema, "required");
        for (size_t i = 0; i < required->arr.n; i++)
            assert_non_null(val_get(VAL_GET(schema, "properties"), required->arr.v[i].s));
        assert_true(str_eq(tool_schemas_get(str_c(names[n])), tool_schemas_at(n)));
        n++;
    }
    assert_int_equal(n, 6);
    assert_int_equal(tool_schemas_get(STR("Search")).n, 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__launch") == 0)
        return launcher_main(proxy_main);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_read),
        T(test_read_large),
        T(test_write),
        T(test_mode_is_kept),
        T(test_phases),
        T(test_hostile_plans),
        T(test_redirected_link),
        T(test_swap_race),
        T(test_search),
        T(test_grep_context),
        T(test_bounded),
        T(test_schemas),
        cmocka_unit_test(test_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
