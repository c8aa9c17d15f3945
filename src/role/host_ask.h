#pragma once
/* A request to the host until it is answered: between host_ask.c and host_ask_start.c.
 *
 * It is answered exactly once, and gone with its arena then. */
#include "role/host_int.h"

struct asked {
    struct host *host;
    host_answer *answer;
    void *ctx;
    struct arena arena;
    int status;
    struct val body;
};

/* Gives the answer that was set. */
void asked_reply(struct asked *q);
/* Sets a problem document (RFC 9457); `errors`: a list, or NULL. */
void asked_problem(struct asked *q, int status, struct str detail, const struct val *errors);
/* The same without a list, and gives it. */
void asked_refuse(struct asked *q, int status, const char *detail);
/* The HTTP status of an error. */
int asked_status(enum rc rc);
/* Sets {run_id, status}. */
void asked_accepted(struct asked *q, int status, const char *id, const char *run_status);
/* store_submit()'s callback: gives the answer that was set, or says that nothing was changed. */
void asked_durable(void *ctx, enum rc rc, const struct err *err);

/* host_ask_start.c: {do: "start"}. */
void asked_start(struct asked *q, const struct val *request);
