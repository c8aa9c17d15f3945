/* Requests as such: files of a workflow and its outputs, order and number of answers, the end of an executor, the lock
 * that proves death; and the parts that cut and clean output. */
#include "executor/executor.h"

#include "base/clock.h"
#include "base/sha256.h"
#include "executor/capture.h"
#include "executor/launcher.h"
#include "executor_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- EXEC_READ ---- */

static const struct {
    const char *request; /* `%` is the test's directory */
    const char *text;    /* NULL: an error of this class and code */
    const char *class, *code;
} file_reads[] = {
    {"{'path':'p.md'}", "beside the workflow", "", ""},
    {"{'path':'sub/q.md','base':'workflow'}", "below", "", ""},
    {"{'path':'../shared.md'}", "shared", "", ""},
    {"{'path':'%/shared.md'}", "shared", "", ""},
    {"{'path':'here.md'}", "in the current directory", "", ""},
    {"{'path':'only-ws.md'}", "in the workspace", "", ""},
    {"{'path':'both.md'}", "both: workflow", "", ""},
    {"{'path':'both.md','base':'workspace'}", "both: workspace", "", ""},
    {"{'path':'empty.md'}", "", "", ""},
    {"{'path':'p.md','max':5}", NULL, "limit", "too_large"},
    {"{'path':'p.md','max':19}", "beside the workflow", "", ""},
    {"{'path':'none.md'}", NULL, "not_found", "not_found"},
    {"{'path':'../none.md'}", NULL, "not_found", "not_found"},
    {"{'path':'p.md','base':'workspace'}", NULL, "not_found", "not_found"},
    {"{'path':'../shared.md','base':'workspace'}", NULL, "invalid", "outside"},
    {"{'path':'%/shared.md','base':'workspace'}", NULL, "invalid", "outside"},
    {"{'path':'link.md','base':'workspace'}", NULL, "invalid", "outside"},
    {"{'path':'binary'}", NULL, "invalid", "not_text"},
    {"{'path':'fifo'}", NULL, "invalid", "bad_request"},
    {"{'path':'/dev/zero'}", NULL, "invalid", "bad_request"},
    {"{'path':'p.md','encoding':'latin-1'}", "beside the workflow", "", ""},
    {"{'path':'binary','encoding':'latin-1'}", "a\xc3\xbf", "", ""},
    {"{'path':'binary','encoding':'UTF-16LE'}", "\xef\xbd\xa1", "", ""},
    {"{'path':'binary','encoding':'ascii'}", NULL, "invalid", "not_text"},
    {"{'path':'p.md','encoding':'utf-16'}", NULL, "invalid", "not_text"},
    {"{'path':'p.md','encoding':'ebcdic'}", NULL, "invalid", "not_text"},
    {"{'path':'big'}", NULL, "limit", "too_large"},
    {"{'path':''}", NULL, "invalid", "bad_request"},
    {"{'path':'a\\u0000b'}", NULL, "invalid", "bad_request"},
    {"{'path':1}", NULL, "invalid", "bad_request"},
    {"{'path':'p.md','base':'moon'}", NULL, "invalid", "bad_request"},
    {"[]", NULL, "invalid", "bad_request"},
};

static struct answer do_in_dir(struct util *u, enum exec_kind kind, const char *request)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    for (; *request; request++)
        if (*request == '%')
            buf_addz(&b, u->dir);
        else
            buf_addc(&b, *request);
    struct answer a = util_do(u, kind, "%s", buf_str(&b).p);
    buf_done(&b);
    return a;
}

static void test_read(void **state)
{
    struct util *u = *state;
    char path[160], back[4096];
    util_write(u->wf, "p.md", "beside the workflow");
    util_write(u->wf, "sub/q.md", "below");
    util_write(u->wf, "both.md", "both: workflow");
    util_write(u->wf, "empty.md", "");
    util_write(u->wf, "binary", "a\xFF");
    util_write(u->ws, "both.md", "both: workspace");
    util_write(u->ws, "only-ws.md", "in the workspace");
    util_write(u->dir, "shared.md", "shared");
    util_write(u->dir, "cwd/here.md", "in the current directory");
    snprintf(path, sizeof path, "%s/link.md", u->ws);
    assert_int_equal(symlink("../shared.md", path), 0);
    snprintf(path, sizeof path, "%s/fifo", u->wf);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/big", u->wf);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
    close(fd);
    assert_non_null(getcwd(back, sizeof back));
    snprintf(path, sizeof path, "%s/cwd", u->dir);
    assert_int_equal(chdir(path), 0);
    for (size_t i = 0; i < sizeof file_reads / sizeof *file_reads; i++) {
        struct answer a = do_in_dir(u, EXEC_READ, file_reads[i].request);
        if (a.ok != (file_reads[i].text != NULL) || (!a.ok && strcmp(util_text(&a, "code"), file_reads[i].code) != 0))
            print_message("%s -> %s\n", file_reads[i].request, json_text(&u->arena, &a.v).p);
        assert_int_equal(a.ok, file_reads[i].text != NULL);
        if (a.ok) {
            struct sha256 h = sha256_of(str_c(file_reads[i].text));
            assert_string_equal(util_text(&a, "text"), file_reads[i].text);
            assert_string_equal(util_text(&a, "sha256"), sha256_hex(&h).z);
            assert_true(util_text(&a, "path")[0] == '/');
        } else {
            assert_string_equal(util_text(&a, "class"), file_reads[i].class);
            assert_string_equal(util_text(&a, "code"), file_reads[i].code);
            assert_true(strlen(util_text(&a, "message")) > 5);
        }
    }
    assert_int_equal(chdir(back), 0);
}

/* The same files, for a workflow that came over the network. */
static const struct {
    const char *request, *text, *code;
} confined_reads[] = {
    {"{'path':'p.md'}", "beside the workflow", ""},
    {"{'path':'%/wf/p.md'}", "beside the workflow", ""},
    {"{'path':'sub/../p.md'}", "beside the workflow", ""},
    {"{'path':'only-ws.md'}", "in the workspace", ""},
    {"{'path':'%/ws/only-ws.md'}", "in the workspace", ""},
    {"{'path':'q.md','dir':'%/wf/sub'}", "below", ""},
    {"{'path':'../p.md','dir':'%/wf/sub'}", "beside the workflow", ""},
    {"{'path':'only-ws.md','dir':'%/wf/sub'}", "in the workspace", ""},
    {"{'path':'only-ws*'}", "=== only-ws.md ===\nin the workspace", ""},
    {"{'path':'%/ws/only-ws*'}", "=== only-ws.md ===\nin the workspace", ""},
    {"{'path':'sub'}", "=== sub/q.md ===\nbelow", ""},
    {"{'path':'here.md'}", NULL, "not_found"},
    {"{'path':'%/shared.md'}", NULL, "outside"},
    {"{'path':'../shared.md'}", NULL, "outside"},
    {"{'path':'../../shared.md','dir':'%/wf/sub'}", NULL, "outside"},
    {"{'path':'shared.md','dir':'%'}", NULL, "not_found"},
    {"{'path':'q.md','dir':'%/wf/../cwd'}", NULL, "outside"},
    {"{'path':'%/wf/none.md'}", NULL, "not_found"},
    {"{'path':'link.md'}", NULL, "outside"},
    {"{'path':'up/shared.md'}", NULL, "outside"},
    {"{'path':'up/shared*'}", NULL, "not_found"},
    {"{'path':'shared.md','dir':'%/ws/up'}", NULL, "outside"},
    {"{'path':'%/*.md'}", NULL, "outside"},
    {"{'path':'../*.md'}", NULL, "not_found"},
    {"{'path':'/dev/zero'}", NULL, "outside"},
    {"{'path':'/proc/self/environ'}", NULL, "outside"},
    {"{'path':'fifo'}", NULL, "outside"},
    {"{'path':'/'}", NULL, "outside"},
    {"{'path':'..'}", NULL, "outside"},
    {"{'path':'../ws-other/x'}", NULL, "outside"},
};

static void test_confined_reads(void **state)
{
    struct util *u = *state;
    struct executor_options o = {.loop = u->loop,
                                 .run_dir = u->run,
                                 .workspace = u->ws,
                                 .workflow_dir = u->wf,
                                 .tier = SANDBOX_NONE,
                                 .not_here = true,
                                 .confined = true};
    struct err err;
    char path[160], back[4096];
    executor_free(u->x);
    assert_int_equal(executor_new(&o, &u->x, &err), RC_OK);
    util_write(u->wf, "p.md", "beside the workflow");
    util_write(u->wf, "sub/q.md", "below");
    util_write(u->ws, "only-ws.md", "in the workspace");
    util_write(u->dir, "shared.md", "shared");
    util_write(u->dir, "ws-other/x", "of a directory whose name begins as the workspace's");
    util_write(u->dir, "cwd/here.md", "in the current directory");
    snprintf(path, sizeof path, "%s/link.md", u->ws);
    assert_int_equal(symlink("../shared.md", path), 0);
    snprintf(path, sizeof path, "%s/up", u->ws);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/fifo", u->wf);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_non_null(getcwd(back, sizeof back));
    snprintf(path, sizeof path, "%s/cwd", u->dir);
    assert_int_equal(chdir(path), 0);
    for (size_t i = 0; i < sizeof confined_reads / sizeof *confined_reads; i++) {
        struct answer a = do_in_dir(u, EXEC_READ, confined_reads[i].request);
        bool good = confined_reads[i].text ? a.ok && strcmp(util_text(&a, "text"), confined_reads[i].text) == 0
                                           : !a.ok && strcmp(util_text(&a, "code"), confined_reads[i].code) == 0;
        if (!good)
            print_message("%s -> %s\n", confined_reads[i].request, json_text(&u->arena, &a.v).p);
        assert_true(good);
    }
    assert_int_equal(chdir(back), 0);
}

/* ---- EXEC_OUTPUT ---- */

static const struct {
    const char *request, *file, *content; /* file NULL: refused */
} outputs[] = {
    {"{'path':'report.md','text':'R'}", "report.md", "R"},
    {"{'path':'report.md','text':'R2'}", "report.md", "R2"},
    {"{'path':'a/b/c.txt','text':''}", "a/b/c.txt", ""},
    {"{'path':'%/out/deep/abs.txt','text':'A'}", "abs.txt", "A"},
    {"{'path':'../evil','text':'x'}", NULL, NULL},
    {"{'path':'a/../../evil','text':'x'}", NULL, NULL},
    {"{'path':'/tmp/evil-output','text':'x'}", NULL, NULL},
    {"{'path':'a','text':'x'}", NULL, NULL},
    {"{'path':'','text':'x'}", NULL, NULL},
    {"{'path':'x'}", NULL, NULL},
    {"{'path':'x','text':7}", NULL, NULL},
    {"{'text':'x'}", NULL, NULL},
};

static void test_output(void **state)
{
    struct util *u = *state;
    char path[160], link[160];
    assert_int_not_equal(access(u->out, F_OK), 0); /* not before it is needed */
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        struct answer a = do_in_dir(u, EXEC_OUTPUT, outputs[i].request);
        assert_int_equal(a.ok, outputs[i].file != NULL);
        if (!a.ok)
            continue;
        char *text = util_read(u->out, outputs[i].file);
        assert_string_equal(text, outputs[i].content);
        free(text);
        snprintf(path, sizeof path, "%s/%s", u->out, outputs[i].file);
        assert_string_equal(util_text(&a, "path"), path);
        assert_int_equal(util_int(&a, "bytes"), strlen(outputs[i].content));
    }
    snprintf(path, sizeof path, "%s/out/evil", u->dir);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(link, sizeof link, "%s/way-out", u->out);
    assert_int_equal(symlink(u->dir, link), 0);
    struct answer a = util_do(u, EXEC_OUTPUT, "{'path':'way-out/evil','text':'x'}");
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "code"), "outside");
    snprintf(path, sizeof path, "%s/evil", u->dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* ---- answers ---- */

static void test_many_at_once(void **state)
{
    struct util *u = *state;
    enum { N = 60 };
    struct answer a[N];
    uint64_t id[N];
    util_write(u->ws, "f", "text\n");
    for (int i = 0; i < N; i++) {
        static const char *const kinds[] = {
            "{'tool':'Read','input':{'file_path':'f'}}", "{'tool':'Bash','input':{'command':'cat f'}}",
            "{'tool':'Grep','input':{'pattern':'text'}}", "{'tool':'Bash','input':{'command':'sleep 0.02; cat f'}}"};
        id[i] = util_start(u, &a[i], EXEC_TOOL, kinds[i % 4]);
    }
    for (int i = 0; i < N; i += 5)
        executor_cancel(u->x, id[i]);
    util_wait(u);
    for (int i = 0; i < N; i++) {
        assert_true(a[i].came);
        assert_int_equal(a[i].ok, i % 5 != 0);
        if (!a[i].ok) {
            assert_string_equal(util_text(&a[i], "class"), "cancelled");
            assert_string_equal(util_text(&a[i], "code"), "cancelled");
        }
    }
}

struct chain {
    struct util *u;
    int left;
};

static void on_link(void *ctx, uint64_t id, bool ok, const struct val *v)
{
    struct chain *c = ctx;
    assert_true(ok);
    assert_non_null(v);
    if (--c->left == 0) {
        ev_stop(c->u->loop);
        return;
    }
    struct val req = util_json(c->u, c->left % 2 ? "{\"shell\":\"true\"}" : "{\"argv\":[\"true\"]}");
    executor_start(c->u->x, id, EXEC_COMMAND, &req, on_link, c); /* from within: the id is free again */
}

static void test_start_from_done(void **state)
{
    struct util *u = *state;
    struct chain c = {u, 20};
    struct val req = util_json(u, "{\"shell\":\"true\"}");
    executor_start(u->x, 5, EXEC_COMMAND, &req, on_link, &c);
    ev_run(u->loop);
    assert_int_equal(c.left, 0);
}

static void never(void *ctx, uint64_t id, bool ok, const struct val *v)
{
    (void)ctx, (void)id, (void)ok, (void)v;
    fail_msg("an answer after the end");
}

/* Everything in flight at the end is dropped without a word and without a leak. */
static void test_free_in_flight(void **state)
{
    struct util *u = *state;
    static const struct {
        enum exec_kind kind;
        const char *request;
    } all[] = {
        {EXEC_COMMAND, "{\"shell\":\"sleep 100\"}"},
        {EXEC_COMMAND, "{\"bad\":\"request\"}"},
        {EXEC_TOOL, "{\"tool\":\"Grep\",\"input\":{\"pattern\":\"x\"}}"},
        {EXEC_TOOL, "{\"tool\":\"Bash\",\"input\":{}}"},
        {EXEC_READ, "{\"path\":\"x\"}"},
        {EXEC_OUTPUT, "{\"path\":\"x\",\"text\":\"y\"}"},
    };
    for (uint64_t i = 0; i < 300; i++) {
        struct val req = util_json(u, all[i % 6].request);
        executor_start(u->x, i + 1, all[i % 6].kind, &req, never, NULL);
    }
    int64_t begin = clock_mono_ms();
    executor_free(u->x);
    u->x = NULL;
    assert_in_range(clock_mono_ms() - begin, 0, 5500); /* what executor_free() promises, about */
    ev_run(u->loop);
}

static void test_new_refuses(void **state)
{
    struct util *u = *state;
    struct executor *x = NULL;
    struct err err;
    struct executor_options o = {.loop = u->loop, .run_dir = "relative", .workspace = u->ws};
    assert_int_equal(executor_new(&o, &x, &err), RC_INVALID);
    o.run_dir = u->run, o.workspace = "relative";
    assert_int_equal(executor_new(&o, &x, &err), RC_INVALID);
    o.workspace = "/proc/self/nope";
    assert_int_not_equal(executor_new(&o, &x, &err), RC_OK);
    assert_null(x);
    executor_free(NULL);
}

static void test_self_is_missing(void **state)
{
    struct util *u = *state;
    struct executor *x;
    struct err err;
    struct answer a = {.u = u};
    struct val req = util_json(u, "{\"shell\":\"true\"}");
    struct executor_options o = {.loop = u->loop, .run_dir = u->run, .workspace = u->ws, .self = "/nonexistent"};
    assert_int_equal(executor_new(&o, &x, &err), RC_OK);
    u->pending = 1;
    executor_start(x, 1, EXEC_COMMAND, &req, util_done, &a);
    util_wait(u);
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "code"), "start_failed");
    executor_free(x);
    o.self = "/bin/false"; /* starts, but is no launcher */
    assert_int_equal(executor_new(&o, &x, &err), RC_OK);
    a = (struct answer){.u = u};
    u->pending = 1;
    executor_start(x, 1, EXEC_COMMAND, &req, util_done, &a);
    util_wait(u);
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "code"), "start_failed");
    executor_free(x);
}

static void test_no_descriptors_are_left(void **state)
{
    struct util *u = *state;
    struct answer a;
    util_do(u, EXEC_OUTPUT, "{'path':'x','text':'y'}"); /* opens the output directory for good */
    int before = dup(0);
    for (int i = 0; i < 20; i++) {
        a = util_do(u, EXEC_COMMAND, "{'shell':'echo x','stdin':'y'}");
        assert_true(a.ok);
        util_do(u, EXEC_COMMAND, "{'shell':'x','cwd':'none'}");
        util_do(u, EXEC_TOOL, "{'tool':'Write','input':{'file_path':'a/b','content':'c'}}");
        util_do(u, EXEC_TOOL, "{'tool':'Write','input':{'file_path':'a','content':'c'}}");
        util_do(u, EXEC_TOOL, "{'tool':'Edit','input':{'file_path':'a/b','old_string':'x','new_string':'y'}}");
        util_do(u, EXEC_TOOL, "{'tool':'Glob','input':{'pattern':'**'}}");
        util_do(u, EXEC_TOOL, "{'tool':'Grep','input':{'pattern':'c'}}");
        util_do(u, EXEC_READ, "{'path':'a/b','base':'workspace'}");
        util_do(u, EXEC_READ, "{'path':'a','base':'workspace'}");
    }
    int after = dup(0);
    assert_int_equal(after, before + 1);
    close(before);
    close(after);
}

/* ---- the lock ---- */

static void test_prove_dead(void **state)
{
    struct util *u = *state;
    struct err err;
    struct answer a;
    char path[160];
    assert_int_equal(executor_prove_dead(u->run, 0, &err), RC_OK); /* nothing ever ran */
    util_start(u, &a, EXEC_COMMAND, "{'shell':'sleep 0.3'}");
    assert_int_equal(executor_prove_dead(u->run, 0, &err), RC_BUSY); /* from the very start on */
    assert_non_null(strstr(err.msg, "exec.lock"));
    util_wait(u);
    assert_int_equal(executor_prove_dead(u->run, 0, &err), RC_OK);

    snprintf(path, sizeof path, "%s/exec.lock", u->run);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* somebody is proving just now, and does not end */
    a = util_do(u, EXEC_COMMAND, "{'shell':'echo ran >> ran'}");
    assert_false(a.ok);
    assert_string_equal(util_text(&a, "class"), "busy");
    close(fd);
    assert_null(util_read(u->ws, "ran"));
    a = util_do(u, EXEC_COMMAND, "{'shell':'echo ran >> ran'}");
    assert_true(a.ok);
}

/* ---- capture ---- */

static void test_capture(void **state)
{
    (void)state;
    /* Whatever the pieces, the same text comes out: first 5 and last 5 of what is more than 10. */
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t limit = 1; limit < 40; limit++)
        for (size_t n = 0; n < sizeof text; n++)
            for (size_t piece = 1; piece < 40; piece += 3) {
                struct capture c;
                struct arena a = {0};
                char want[128];
                size_t tail = limit / 2, head = limit - tail;
                capture_init(&c, limit);
                for (size_t at = 0; at < n; at += piece)
                    capture_add(&c, text + at, piece < n - at ? piece : n - at);
                if (n <= limit)
                    snprintf(want, sizeof want, "%.*s", (int)n, text);
                else
                    snprintf(want, sizeof want, "%.*s\n[... %zu bytes left out ...]\n%.*s", (int)head, text, n - limit,
                             (int)tail, text + n - tail);
                struct str got = capture_text(&c, &a);
                if (!str_is(got, want))
                    fail_msg("limit %zu, %zu bytes by %zu: %.*s", limit, n, piece, STR_ARG(got));
                assert_int_equal(capture_truncated(&c), n > limit);
                capture_done(&c);
                arena_done(&a);
            }
    struct capture c;
    struct arena a = {0};
    capture_init(&c, 8);
    for (int i = 0; i < 10; i++)
        capture_add(&c, "\xE2\x82\xAC", 3); /* cut within a character at both ends */
    assert_true(str_is(capture_text(&c, &a), "\xE2\x82\xAC\n[... 24 bytes left out ...]\n\xE2\x82\xAC"));
    capture_done(&c);
    arena_done(&a);
}

static const struct {
    const char *bytes, *clean; /* # stands for U+FFFD; as Python's errors="replace" has it */
} dirty[] = {
    {"", ""},
    {"plain", "plain"},
    {"\xC3\xA9", "\xC3\xA9"},
    {"\xFF", "#"},
    {"a\x80"
     "b",
     "a#b"},
    {"\xE2\x82", "#"},
    {"\xE2\x82|", "#|"},
    {"\xE2\x82\xE2\x82\xAC", "#\xE2\x82\xAC"},
    {"\xF0\x9F\x98", "#"},
    {"\xF0\x9F\x98|", "#|"},
    {"\xF0\x80\x80\x80", "####"},
    {"\xED\xA0\x80", "###"},
    {"\xC0\xAF", "##"},
    {"\xF5\x80", "##"},
    {"\xF4\x90\x80\x80", "####"},
    {"\xE0\x80\xAF", "###"},
    {"\xC3", "#"},
    {"\xC3\xC3\xA9", "#\xC3\xA9"},
};

static void test_clean(void **state)
{
    struct arena a = {0};
    (void)state;
    for (size_t i = 0; i < sizeof dirty / sizeof *dirty; i++) {
        struct buf want;
        buf_init(&want, 100);
        for (const char *p = dirty[i].clean; *p; p++)
            if (*p == '#')
                buf_addz(&want, "\xEF\xBF\xBD");
            else
                buf_addc(&want, *p);
        struct str got = text_clean(&a, str_c(dirty[i].bytes));
        if (!str_eq(got, buf_str(&want)))
            fail_msg("case %zu: %.*s", i, STR_ARG(got));
        assert_int_equal(str_utf8_valid(got), got.n);
        buf_done(&want);
    }
    arena_done(&a);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__launch") == 0)
        return launcher_main(proxy_main);
#define T(f) cmocka_unit_test_setup_teardown(f, util_setup, util_teardown)
    const struct CMUnitTest tests[] = {
        T(test_read),         T(test_confined_reads),         T(test_output),
        T(test_many_at_once), T(test_start_from_done),        T(test_free_in_flight),
        T(test_new_refuses),  T(test_self_is_missing),        T(test_no_descriptors_are_left),
        T(test_prove_dead),   cmocka_unit_test(test_capture), cmocka_unit_test(test_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
