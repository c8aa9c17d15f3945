#pragma once
/* Egress: the role that calls model providers, and the only one that holds their keys.
 *
 * One call is one effect of kind EFFECT_MODEL; its request and reply are those of llm/provider.h. At most `max_calls`
 * are on the wire at once, the others wait in order. All callbacks come from the event loop. */
#include "base/keyprint.h"
#include "ev/loop.h"
#include "flow/io.h"

enum egress_mode { EGRESS_LIVE, EGRESS_MOCK, EGRESS_REPLAY };

struct egress_options {
    struct ev_loop *loop;
    enum egress_mode mode;
    const struct val *fixtures; /* EGRESS_MOCK: the parsed file, or NULL */
    const char *replay_file;    /* EGRESS_REPLAY */
    const char *record_file;    /* or NULL */
    bool keys_stay;             /* in the environment: another one will be made */
    unsigned max_calls;         /* 0: 2,000, less when few descriptors are to be had */
};
struct egress;

/* The fingerprints of the keys that the environment has. Returns the name of a variable whose key has none, because it
 * is too short or too long; NULL: all have. */
const char *egress_keyprints(struct keyprints *ret);
/* Makes them those of this process, which calls nobody but tells or records something of a run. */
void egress_know_keys(void);
/* Reads keys and addresses from the environment and removes the keys from it; their fingerprints become those of this
 * process. RC_INVALID, RC_IO. */
enum rc egress_new(const struct egress_options *o, struct egress **ret, struct err *err) MUST_CHECK;
void egress_free(struct egress *g);
/* RC_AUTH, naming the variable to set, when calls to the provider of that name ("claude", "openai", …) cannot work for
 * want of a key; RC_INVALID when there is no such provider. Always RC_OK for mock and replay, but for the name. */
enum rc egress_ready(const struct egress *g, struct str name, struct err *err) MUST_CHECK;

/* `done` comes exactly once, also after egress_cancel (then as error class cancelled). `e->request` is not kept. */
void egress_start(struct egress *g, const struct effect *e,
                  void (*done)(void *ctx, uint64_t id, bool ok, const struct val *result), void *ctx);
void egress_cancel(struct egress *g, uint64_t id);
