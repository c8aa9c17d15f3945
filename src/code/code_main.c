/* Reads the request and answers it, in a child of its own: the parsers are not ours, and they do crash (libtree-sitter
 * 0.20.7 does on a file of a hundred thousand brackets). A child that dies at a file is followed by another, which
 * leaves that file out and says so; so one hostile file costs its own answer and nothing else. The child leaves its
 * answer in a memory file, which counts only if it ended well. */
#include "code/code.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "code/query.h"
#include "data/json.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_MAX = 4 << 20, DEFAULT_MS = 300000, CPU_S = 900, TRIES = 50 };
static const size_t answer_max = (size_t)48 << 20;

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static void limit(int what, rlim_t soft, rlim_t hard)
{
    struct rlimit r = {.rlim_cur = soft, .rlim_max = hard};
    (void)setrlimit((__rlimit_resource_t)what, &r);
}

static void limit_myself(void)
{
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_CPU, CPU_S, CPU_S + 5);
#ifndef SANITIZED /* their shadow is larger than any sensible limit */
    limit(RLIMIT_AS, (rlim_t)3 << 30, (rlim_t)3 << 30);
#endif
}

static enum rc answer(struct code *c, struct str text, struct val *ret, struct err *err)
{
    struct json_limits limits = JSON_LIMITS_DEFAULT;
    struct val request;
    char here[PATH_MAX];
    enum rc rc = json_parse(c->arena, text, &limits, &request, err);
    if (rc)
        return err_wrap(err, "the request");
    int64_t ms = val_get_int(&request, STR("timeout_ms"), DEFAULT_MS);
    c->deadline_ms += ms > 0 && ms < DEFAULT_MS * 100 ? ms : DEFAULT_MS;
    if (!getcwd(here, sizeof here))
        return err_set(err, RC_IO, "the workspace: %s", strerror(errno));
    rc = beneath_init(&c->root, c->arena, here, false, err);
    return rc ? rc : code_answer(c, &request, ret, err);
}

/* {ok: RESULT} or {error: {class, message}} */
static void put(struct buf *out, struct arena *a, const struct val *result, const struct err *err)
{
    struct val_map m = val_map_new(a), e = val_map_new(a);
    if (err) {
        VAL_MAP_SET(&e, "class", val_str(str_c(rc_name(err->rc))));
        VAL_MAP_SET(&e, "message", val_str(str_n(err->msg, str_utf8_valid(str_c(err->msg)))));
        VAL_MAP_SET(&m, "error", val_map_done(&e));
    } else {
        VAL_MAP_SET(&m, "ok", *result);
    }
    struct val v = val_map_done(&m);
    json_write(out, &v, JSON_COMPACT);
}

/* In the child: never returns. */
static void work(struct str request, int64_t began_ms, struct strs deadly, int fd)
{
    struct arena arena = {0};
    struct code c = {.arena = &arena, .root = {.fd = -1}, .deadline_ms = began_ms, .deadly = deadly};
    struct buf out;
    struct val result = val_null;
    struct err err;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit_myself();
    buf_init(&out, answer_max);
    enum rc rc = answer(&c, request, &result, &err);
    put(&out, &arena, &result, rc ? &err : NULL);
    if (out.overflow) {
        err_set(&err, RC_LIMIT, "the answer is larger than %zu MB; ask about fewer files, or set `limit`",
                answer_max >> 20);
        buf_clear(&out);
        put(&out, &arena, NULL, &err);
    }
    bool said = fd_write_all(fd, buf_str(&out));
    buf_done(&out);
    beneath_done(&c.root);
    files_done(&c.files);
    arena_done(&arena);
    exit(said ? 0 : 1);
}

/* ---- the parent ---- */

static bool copy_out(int fd)
{
    char chunk[65536];
    ssize_t n = 1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return false;
    while (n > 0) {
        n = fd_read(fd, chunk, sizeof chunk);
        if (n > 0 && !fd_write_all(STDOUT_FILENO, str_n(chunk, (size_t)n)))
            return false;
    }
    return n == 0;
}

/* One try; false: it died, of *status. */
static bool try_once(struct str request, int64_t began_ms, struct strs deadly, int fd, int *status)
{
    code_at[0] = 0;
    *status = -1;
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        work(request, began_ms, deadly, fd);
    if (pid < 0)
        return false;
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
}

static int give_up(int status)
{
    struct arena arena = {0};
    struct buf out;
    struct err err;
    buf_init(&out, 65536);
    if (code_at[0])
        err_set(&err, RC_TOOL,
                "more than %d files crash their parsers, such as %.300s; leave them out with "
                "`exclude_patterns`",
                TRIES - 1, code_at);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        err_set(&err, RC_LIMIT, "the code query needs too much memory; ask about fewer files");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        err_set(&err, RC_TIMEOUT, "the code query needs too much processor time; ask about fewer files");
    else
        err_set(&err, RC_TOOL, "the code query died (status %d)", status);
    put(&out, &arena, NULL, &err);
    bool said = fd_write_all(STDOUT_FILENO, buf_str(&out));
    buf_done(&out);
    arena_done(&arena);
    return said ? 0 : 1;
}

int code_main(void)
{
    struct arena arena = {0};
    struct buf in;
    struct str deadly[TRIES];
    int64_t began_ms = clock_mono_ms();
    int status = 0, fd = memfd_create("treadle-code", MFD_CLOEXEC);
    size_t n = 0;
    code_at = mmap(NULL, CODE_AT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    buf_init(&in, REQUEST_MAX);
    if (fd < 0 || code_at == MAP_FAILED || !fd_read_all(STDIN_FILENO, &in))
        return 1;
    bool done = false;
    while (!done && n < TRIES) {
        done = try_once(buf_str(&in), began_ms, (struct strs){deadly, n}, fd, &status);
        if (!done && !code_at[0])
            break;
        if (!done)
            deadly[n++] = arena_str(&arena, str_c(code_at));
    }
    int rc = done ? !copy_out(fd) : give_up(status);
    buf_done(&in);
    arena_done(&arena);
    close(fd);
    munmap(code_at, CODE_AT_SIZE);
    return rc;
}
