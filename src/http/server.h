#pragma once
/* A small HTTP/1.1 server: whole requests in, whole answers out, on an event loop.
 *
 * Everything is bounded: connections, the head of a request (16 KiB, 100 fields), its body, and the time for each.
 * Requests that are ambiguous (two lengths, length and chunks, two hosts, lines without CR LF, trailers) are refused
 * before anybody sees them. One request at a time is taken from a connection; more wait in the kernel. HEAD is a GET
 * whose answer has no body. */
#include "ev/loop.h"

struct http_server;
struct http_exchange; /* one request and its answer to come */

struct http_refusal {
    int status;         /* 0: none */
    const char *detail; /* for the client; static, plain text without quotes, at most 200 bytes. May be NULL */
};

struct http_server_options {
    struct ev_loop *loop;
    int fd;               /* listening, non-blocking; taken over. -1: connections come by http_server_adopt() */
    size_t body_max;      /* bytes of a request's body; more is 413 */
    unsigned connections; /* at once; then those that idle are closed for new ones. 0: 1024 */
    /* Judges a request by its head, before any of its body is read: who is not let in costs no more than that. NULL:
     * everybody is. A refusal ends the connection. */
    struct http_refusal (*admit)(void *ctx, struct http_exchange *x);
    /* Answers, now or later, by exactly one http_reply(). The request's parts live until then. */
    void (*request)(void *ctx, struct http_exchange *x);
    void *ctx;
};
struct http_server *http_server_new(const struct http_server_options *o);
/* Closes everything; exchanges that are not answered yet are freed too. */
void http_server_free(struct http_server *s);
/* A connection that somebody else accepted; takes the descriptor (non-blocking). `local`: a Unix socket. */
void http_server_adopt(struct http_server *s, int fd, bool local);
/* Accepts no more; connections end with their present answer. */
void http_server_drain(struct http_server *s);
size_t http_server_open(const struct http_server *s); /* connections */

/* The phrase that goes with a status, for titles of problem documents too. Static. */
const char *http_reason(int status);
struct str http_method(const struct http_exchange *x);
struct str http_path(const struct http_exchange *x);                     /* as sent, without the query */
struct str http_query(const struct http_exchange *x);                    /* behind the `?`, or empty */
struct str http_header(const struct http_exchange *x, const char *name); /* empty: absent. Case does not matter */
struct str http_body(const struct http_exchange *x);
bool http_local(const struct http_exchange *x); /* over a Unix socket */
/* A header field for the answer. */
void http_answer_header(struct http_exchange *x, const char *name, const char *value);
void http_reply(struct http_exchange *x, int status, const char *content_type, struct str body);
