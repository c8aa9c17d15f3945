#pragma once
/* The HTTP interface: which requests there are (api/routes.def), who may make them, and their answers.
 *
 * Changes are asked of the engine through `ask`; what only looks reads the journal, in short read transactions. With
 * tokens every request needs one, but for /healthz. Without, requests are taken from a Unix socket or the loopback
 * only, with the Host and Origin checked, so that no web page can make a browser send one. */
#include "base/sha256.h"
#include "data/val.h"
#include "ev/loop.h"
#include "http/server.h"

struct api;
struct api_options {
    struct ev_loop *loop;
    const char *db;              /* the journal file */
    const struct sha256 *tokens; /* hashes of those that open the door; live as long as the api */
    size_t ntokens;              /* 0: nobody needs one */
    /* Passes {do: …} on to the engine; the answer comes through api_answer() with this id. False: there is no engine
     * just now. */
    bool (*ask)(void *ctx, uint64_t id, const struct val *request);
    void *ctx;
};
struct api *api_new(const struct api_options *o);
void api_free(struct api *a); /* unanswered requests get no answer */
/* By the head alone; for http_server_options.admit. */
struct http_refusal api_admit(const struct api *a, struct http_exchange *x);
void api_request(struct api *a, struct http_exchange *x);
/* What the engine answers to question `id`: {status, body} as JSON. What is no such thing becomes a 500. */
void api_answer(struct api *a, uint64_t id, struct str text);
/* The engine is gone: what was asked may or may not have happened, and is answered so (503). */
void api_engine_lost(struct api *a);
