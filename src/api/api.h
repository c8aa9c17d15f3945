#pragma once
/* The HTTP interface: which requests there are (api/routes.def), who may make them, and their answers.
 *
 * Changes are asked of the engine through `ask`; what only looks reads the journal, in short read transactions. Without
 * tokens (they come with the rest of the interface) requests are taken from a Unix socket or the loopback only, with
 * the Host and Origin checked, so that no web page can make a browser send one. */
#include "data/val.h"
#include "ev/loop.h"
#include "http/server.h"

struct api;
struct api_options {
    struct ev_loop *loop;
    const char *db; /* the journal file */
    /* Passes {do: …} on to the engine; the answer comes through api_answer() with this id. False: there is no engine
     * just now. */
    bool (*ask)(void *ctx, uint64_t id, const struct val *request);
    void *ctx;
};
struct api *api_new(const struct api_options *o);
void api_free(struct api *a); /* unanswered requests get no answer */
void api_request(struct api *a, struct http_exchange *x);
void api_answer(struct api *a, uint64_t id, int status, const struct val *body);
/* The engine is gone: what was asked may or may not have happened, and is answered so (503). */
void api_engine_lost(struct api *a);
