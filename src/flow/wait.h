#pragma once
/* What a run waits for from outside, as its journal says it: for the engine, and for whoever answers.
 *
 * A frame that waits records an INTENT whose data holds `wait`:
 *
 *     {for: "approval", message, choices: [text…], on_timeout?: choice, timeout_ms?, until_ms?}
 *     {for: "signal",   signal: name, schema?, timeout_ms?, until_ms?}
 *     {for: "time",     until_ms}
 *
 * and, once, a RESULT: {ok: the answer} or {error}, with `signal: N` where it was signal number N. A signal is a record
 * of its own (RECORD_SIGNAL, numbered from 1): {signal: name, data, id?, by?}. So an answer may be written into the
 * journal of a run that nobody carries on, by the same checks, and the run's next life finds it there. */
#include "flow/def.h"

enum {
    WAIT_NAME_MAX = 200,       /* bytes of a signal's name, and of its id */
    WAIT_TEXT_MAX = 16 << 10,  /* of a comment; of who answers */
    WAIT_DATA_MAX = 1 << 20,   /* bytes of an answer's data as JSON */
    WAIT_DATA_DEPTH_MAX = 100, /* its levels */
    WAIT_SIGNALS_MAX = 1000,   /* signals of a run that nobody has taken yet */
    WAIT_BYTES_MAX = 16 << 20, /* of their data */
    WAIT_CHOICES_MAX = 50,
};

/* Turns what somebody said, {choice, by?, comment?, data?}, into the result of the approval that `wait` describes.
 * RC_INVALID: no such choice (the message lists them), or too large; RC_TIMEOUT: its time is over. */
enum rc wait_decide(const struct val *wait, const struct val *answer, int64_t now_ms, struct arena *a, struct val *ret,
                    struct err *err) MUST_CHECK;
/* Whether data may be given to the signal's wait. RC_SCHEMA with paths, RC_INVALID. */
enum rc wait_accepts(const struct val *wait, const struct val *data, struct arena *a, struct err *err) MUST_CHECK;
/* The data of a RECORD_SIGNAL. RC_INVALID: a name or data beyond bounds. `id`, `by`: may be empty. */
enum rc wait_signal_record(struct str name, const struct val *data, struct str id, struct str by, struct arena *a,
                           struct val *ret, struct err *err) MUST_CHECK;
/* Whether some step of the workflow may wait for the signal. RC_NOT_FOUND with the nearest name. */
enum rc wait_signal_known(const struct workflow *w, struct str name, struct err *err) MUST_CHECK;
/* One line for people: "Ship it? (approve, reject)", "signal paid", "until 2026-12-01T09:00:00Z". */
struct str wait_text(const struct val *wait, struct arena *a);
/* What `treadle approve RUN STEP` needs behind it, with the blank before it: nothing where `approve`, which it says by
 * itself, is one of the choices. */
const char *wait_choice_option(const struct val *wait);
