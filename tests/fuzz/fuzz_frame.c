/* What roles read from one another: any bytes on a link leave each of them whole, as it must be when the other one is
 * broken, of another version, or no longer itself.
 *
 * The first byte chooses who listens: the keeper of egress and the executor, the engine's end of a link to them, the
 * gateway, the engine's host of runs, or a role on its control socket. The rest is what the other side sends: bytes as
 * they are, or (so that more than heads is reached) messages with good heads around them: a type, a number, a length of
 * two bytes, a body. */
#include "api/api.h"
#include "base/buf.h"
#include "base/panic.h"
#include "data/json.h"
#include "ipc/control.h"
#include "role/channel.h"
#include "role/host.h"
#include "role/keeper.h"
#include "role/remote.h"
#include "store/store.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SENT_MAX = 32 << 10, CALLS = 8, TURNS = 6, KEPT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(void *ctx)
{
    ev_stop(ctx);
}

static void turns(struct ev_loop *loop, int n)
{
    while (n--) {
        ev_timer(loop, 0, stop, loop);
        ev_run(loop);
    }
}

struct link {
    struct ev_loop *loop;
    int fd;
    struct buf heard;
};

/* One end for the role, which takes it; the other is ours. */
static int connect_link(struct link *l)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    l->fd = pair[0];
    buf_init(&l->heard, KEPT_MAX);
    return pair[1];
}

static void hear(struct link *l)
{
    char room[4096];
    for (ssize_t n; (n = recv(l->fd, room, sizeof room, MSG_DONTWAIT)) > 0;)
        buf_add(&l->heard, str_n(room, (size_t)n));
}

static void say(struct link *l, struct str s, size_t piece)
{
    while (s.n) {
        size_t n = piece < s.n ? piece : s.n;
        ssize_t sent = send(l->fd, s.p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        turns(l->loop, 1);
        hear(l);
        if (sent <= 0)
            return; /* it has given the link up */
        s = str_from(s, (size_t)sent);
    }
}

/* What a role says is well-formed, whatever it was told; how many messages of `type` there are. */
static size_t check_heard(struct link *l, enum frame_type type)
{
    struct str s = buf_str(&l->heard);
    struct err err;
    size_t n = 0, used;
    while (s.n) {
        struct frame f;
        CHECK(frame_read(s, &used, &f, &err) == RC_OK);
        struct arena a = {0};
        struct val v;
        if (f.type == FRAME_CALL || f.type == FRAME_REPLY)
            CHECK(json_parse(&a, f.body, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK && v.type == VAL_OBJECT);
        arena_done(&a);
        n += f.type == type;
        s = str_from(s, used);
    }
    return n;
}

static void hang_up(struct link *l)
{
    hear(l);
    close(l->fd);
    turns(l->loop, TURNS);
}

/* ---- egress, the executor ---- */

struct worker {
    struct ev_loop *loop;
    struct {
        struct worker *worker;
        uint64_t id;
        port_done *done;
        void *ctx;
    } calls[CALLS * 64];
    size_t started, ended, cancelled;
};

static void end_call(void *ctx)
{
    struct worker *w = ctx;
    struct val v = w->ended % 3 ? val_int(1) : val_empty_object;
    size_t i = w->ended++;
    w->calls[i].done(w->calls[i].ctx, w->calls[i].id, i % 2, &v);
}

static void op_start(void *ctx, const struct keeper_call *c, port_done *done, void *done_ctx)
{
    struct worker *w = ctx;
    CHECK(c->request && w->started < sizeof w->calls / sizeof w->calls[0]);
    w->calls[w->started].id = c->id;
    w->calls[w->started].done = done;
    w->calls[w->started++].ctx = done_ctx;
    (void)port_exec_kind(c->kind);
    ev_timer(w->loop, 0, end_call, w);
}

static void op_cancel(void *ctx, const struct keeper_call *c)
{
    (void)c;
    ((struct worker *)ctx)->cancelled++;
}

static void op_forget(void *ctx, struct str run)
{
    (void)ctx;
    CHECK(run.n == 0 || run.p);
}

static void to_keeper(struct str sent, size_t piece)
{
    static const struct keeper_ops ops = {port_is_exec, op_start, op_cancel, op_forget};
    struct link l = {.loop = ev_loop_new()};
    struct worker w = {.loop = l.loop};
    struct keeper *k = keeper_new(l.loop, &ops, &w);
    keeper_link(k, connect_link(&l));
    say(&l, sent, piece);
    hang_up(&l);
    CHECK(w.started == w.ended && w.cancelled <= w.started);
    CHECK(check_heard(&l, FRAME_REPLY) <= sent.n);
    keeper_free(k);
    ev_loop_free(l.loop);
    buf_done(&l.heard);
}

/* ---- the engine, of egress and the executor ---- */

struct waiting {
    size_t done[CALLS + 1];
};

static void on_done(void *ctx, uint64_t effect, bool ok, const struct val *result)
{
    struct waiting *w = ctx;
    (void)ok;
    CHECK(effect >= 1 && effect <= CALLS && result);
    CHECK(++w->done[effect] == 1);
}

static void to_remote(struct str sent, size_t piece)
{
    struct link l = {.loop = ev_loop_new()};
    struct waiting w = {{0}};
    struct remote *r = remote_new(l.loop, NULL, NULL);
    struct buf life;
    buf_init(&life, 100);
    frame_write(&life, &(struct frame){FRAME_LIFE, 0, STR("one")});
    struct port *p = remote_port(r, STR("run"), &val_empty_object);
    remote_link(r, connect_link(&l));
    for (uint64_t i = 1; i <= CALLS; i++)
        p->start(p,
                 &(struct effect){.id = i,
                                  .kind = EFFECT_COMMAND,
                                  .path = STR("a"),
                                  .attempt = 1,
                                  .adopt = i % 2,
                                  .key = STR("k"),
                                  .request = &val_empty_object},
                 on_done, &w);
    say(&l, buf_str(&life), life.n);
    turns(l.loop, 2);
    p->cancel(p, 3);
    say(&l, sent, piece);
    for (uint64_t i = 1; i <= CALLS; i++)
        if (w.done[i])
            p->kept(p, i);
    hang_up(&l);
    for (int i = 0; i < CALLS; i++) /* those that were under way end, one in a turn */
        turns(l.loop, 1);
    for (size_t i = 1; i <= CALLS; i++)
        CHECK(w.done[i] == 1);
    CHECK(remote_in_flight(r) == 0);
    CHECK(check_heard(&l, FRAME_CALL) == CALLS);
    remote_port_free(p, true);
    remote_free(r);
    buf_done(&life);
    ev_loop_free(l.loop);
    buf_done(&l.heard);
}

/* ---- the gateway ---- */

struct gateway {
    struct api *api;
    struct channel *channel;
    size_t asked;
};

static bool ask(void *ctx, uint64_t id, const struct val *request)
{
    (void)id, (void)request;
    ((struct gateway *)ctx)->asked++;
    return true;
}

static void http_request(void *ctx, struct http_exchange *x)
{
    api_request(((struct gateway *)ctx)->api, x);
}

static void gateway_message(void *ctx, const struct frame *f)
{
    api_answer(((struct gateway *)ctx)->api, f->id, f->body);
}

static void gateway_closed(void *ctx, const char *why)
{
    struct gateway *g = ctx;
    (void)why;
    channel_free(g->channel);
    g->channel = NULL;
    api_engine_lost(g->api);
}

/* Questions 1 to CALLS are open; each client gets exactly one answer. */
static void to_gateway(struct str sent, size_t piece)
{
    static const struct channel_ops ops = {gateway_message, gateway_closed};
    static const char question[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct link l = {.loop = ev_loop_new()};
    struct gateway g = {0};
    int clients[CALLS];
    g.api = api_new(&(struct api_options){.loop = l.loop, .db = "/nonexistent/fuzz.db", .ask = ask, .ctx = &g});
    struct http_server *server = http_server_new(
        &(struct http_server_options){.loop = l.loop, .fd = -1, .body_max = 100, .request = http_request, .ctx = &g});
    for (int i = 0; i < CALLS; i++) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        clients[i] = pair[0];
        CHECK(send(pair[0], question, sizeof question - 1, 0) == sizeof question - 1);
        http_server_adopt(server, pair[1], true);
    }
    turns(l.loop, 2);
    CHECK(g.asked == CALLS);
    g.channel = channel_new(l.loop, connect_link(&l), &ops, &g);
    say(&l, sent, piece);
    hang_up(&l);
    for (int i = 0; i < CALLS; i++) {
        char answer[64 << 10];
        ssize_t n = recv(clients[i], answer, sizeof answer - 1, MSG_DONTWAIT);
        CHECK(n > 15);
        answer[n] = 0;
        CHECK(strncmp(answer, "HTTP/1.1 ", 9) == 0 && !strstr(answer + 9, "\nHTTP/1.1 "));
        close(clients[i]);
    }
    channel_free(g.channel);
    http_server_free(server);
    api_free(g.api);
    ev_loop_free(l.loop);
    buf_done(&l.heard);
}

/* ---- the engine, of the gateway ---- */

static char home[] = "/tmp/fuzz_frame.XXXXXX";
static struct ev_loop *engine_loop;
static struct store *store;
static struct host *host;
static size_t answered;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_home(void)
{
    host_free(host);
    store_close(store);
    ev_loop_free(engine_loop);
    nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void executing(void *ctx, struct str id, const struct run *run)
{
    (void)ctx, (void)id, (void)run;
}

static void failed(void *ctx, const struct err *err)
{
    (void)ctx;
    fprintf(stderr, "%s\n", err->msg);
    CHECK(false);
}

static void on_answer(void *ctx, int status, const struct val *body)
{
    (void)ctx;
    CHECK(status >= 200 && status <= 599 && body->type == VAL_OBJECT);
    answered++;
}

/* One host for all inputs: a journal is slow to make. It has begun nothing, so what is accepted waits. */
static void make_host(void)
{
    struct err err;
    char file[100];
    CHECK(mkdtemp(home));
    snprintf(file, sizeof file, "%s/service.db", home);
    engine_loop = ev_loop_new();
    CHECK(store_open(file, STORE_OWN, &store, &err) == RC_OK);
    CHECK(host_new(&(struct host_options){.loop = engine_loop,
                                          .store = store,
                                          .home = home,
                                          .mock = true,
                                          .executing = executing,
                                          .failed = failed},
                   &host, &err) == RC_OK);
    atexit(remove_home);
}

static void to_host(struct str sent)
{
    struct arena a = {0};
    struct val request;
    struct err err;
    if (!host)
        make_host();
    if (json_parse(&a, sent, &JSON_LIMITS_DEFAULT, &request, &err) == RC_OK) {
        answered = 0;
        host_ask(host, &request, on_answer, NULL);
        for (int i = 0; i < 100000 && !answered; i++)
            turns(engine_loop, 1);
        CHECK(answered == 1);
    }
    arena_done(&a);
}

/* ---- a role, of the supervisor ---- */

/* Packets: a byte that says whether there is a descriptor, two of length, the packet. */
static void to_control(struct str sent)
{
    int pair[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0 && fd >= 0);
    while (sent.n >= 3) {
        bool with_fd = sent.p[0] & 1;
        size_t n = (unsigned char)sent.p[1] | (size_t)(unsigned char)sent.p[2] << 8;
        sent = str_from(sent, 3);
        n = n < sent.n ? n : sent.n;
        union {
            struct cmsghdr align;
            char room[CMSG_SPACE(2 * sizeof(int))];
        } c = {0};
        struct iovec io = {(void *)(uintptr_t)sent.p, n};
        struct msghdr msg = {.msg_iov = &io, .msg_iovlen = 1};
        if (with_fd) {
            int fds[2] = {fd, fd};
            msg.msg_control = c.room;
            msg.msg_controllen = sizeof c.room;
            struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN((1 + (sent.n % 2)) * sizeof(int));
            memcpy(CMSG_DATA(head), fds, (1 + (sent.n % 2)) * sizeof(int));
        }
        if (sendmsg(pair[0], &msg, MSG_NOSIGNAL) < 0)
            break;
        char room[CONTROL_TEXT_MAX];
        struct control_message m;
        struct err err;
        enum rc rc = control_receive(pair[1], room, &m, &err);
        CHECK(rc == RC_OK || rc == RC_CORRUPT || rc == RC_NOT_FOUND);
        if (rc == RC_OK) {
            CHECK(m.kind < CONTROL_KINDS && m.text.n <= CONTROL_TEXT_MAX && control_kind_name(m.kind));
            if (m.fd >= 0)
                close(m.fd);
        }
        sent = str_from(sent, n);
    }
    close(pair[0]);
    close(pair[1]);
    close(fd);
}

static struct str with_heads(struct str s, struct buf *b)
{
    buf_init(b, 4 * SENT_MAX);
    while (s.n >= 4) {
        enum frame_type type = (enum frame_type)((unsigned char)s.p[0] % FRAME_TYPE_COUNT);
        uint64_t id = (unsigned char)s.p[1];
        size_t n = (unsigned char)s.p[2] | (size_t)(unsigned char)s.p[3] << 8;
        s = str_from(s, 4);
        n = n < s.n ? n : s.n;
        n = n < frame_body_max(type) ? n : frame_body_max(type);
        frame_write(b, &(struct frame){.type = type, .id = id, .body = str_n(s.p, n)});
        s = str_from(s, n);
    }
    return buf_str(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > SENT_MAX)
        return 0;
    struct str sent = str_n((const char *)data + 1, size - 1);
    size_t piece = data[0] & 0x10 ? 7 : SIZE_MAX;
    struct buf b = {0};
    struct str messages = data[0] & 8 ? sent : with_heads(sent, &b);
    switch (data[0] & 7) {
    case 0:
        to_keeper(messages, piece);
        break;
    case 1:
        to_remote(messages, piece);
        break;
    case 2:
        to_gateway(messages, piece);
        break;
    case 3:
        to_host(sent);
        break;
    case 4:
        to_control(sent);
        break;
    default:
        break;
    }
    buf_done(&b);
    return 0;
}
