#pragma once
/* Asks the living service that owns a journal: a request of its HTTP interface, over the socket beside the journal.
 *
 * That socket takes requests of the service's user only, and no token. Nothing is done when nobody listens. */
#include "cli/home.h"
#include "data/val.h"

/* Listens there; a descriptor. RC_BUSY: a service lives. RC_IO. */
enum rc service_listen(const char *journal, int *ret, struct err *err) MUST_CHECK;
/* For commands that change a run: POST /v1/runs/RUN/WHAT with that body. False: `name` is none of a service's. True:
 * the service was asked, or none is running, and what came of it was told; *code is the exit code. `done`: what has
 * happened then, as in "is cancelled". */
bool service_did(const char *name, const char *what, const struct val *body, const char *done, int *code);
