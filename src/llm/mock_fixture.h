#pragma once
/* Fixtures of the mock: read, checked, matched.
 *
 * Everything a set of fixtures needs is copied into its own arena. Matching counts uses, so a set belongs to one mock.
 */
#include "base/err.h"
#include "data/regex.h"
#include "data/val.h"
#include "llm/provider.h"

enum mock_default { MOCK_SCHEMA, MOCK_ECHO, MOCK_FAIL };
enum mock_network { MOCK_NET_OK, MOCK_NET_RESET, MOCK_NET_REFUSED, MOCK_NET_TIMEOUT, MOCK_NET_HANG };

struct mock_fixture {
    size_t number; /* in the file, from 0 */
    uint32_t line, col;
    /* what it matches; empty or 0: anything */
    struct str step, provider, text;
    struct regex *regex; /* of `text`, or NULL */
    int64_t turn, attempt;
    int64_t times, used; /* times 0: without end */
    /* what it answers */
    const struct val *reply; /* an object, or NULL: as if nothing had matched */
    int64_t delay_ms;
    int64_t status; /* of an error, or 0 */
    struct str code, message;
    int64_t retry_after_ms; /* -1: none */
    enum mock_network network;
    int64_t cut_after; /* bytes; -1: whole */
};

struct mock_fixtures {
    struct arena a;
    struct mock_fixture *v;
    size_t n;
    enum mock_default otherwise;
};

/* What a call shows to match on. */
struct mock_call {
    struct str step, provider, last_message;
    unsigned turn, attempt;
};

/* `file`: NULL for bare --mock. RC_INVALID with "line:col: fixtures[N]: what is wrong". */
enum rc mock_fixtures_read(struct mock_fixtures *f, const struct val *file, struct err *err) MUST_CHECK;
void mock_fixtures_done(struct mock_fixtures *f);
/* The first fixture that matches and is not used up, counted as used; or NULL. *groups: captures of its text, borrowed
 * from the call. */
struct mock_fixture *mock_fixtures_match(struct mock_fixtures *f, const struct mock_call *call,
                                         struct regex_match *groups);
/* The same for a command: only fixtures that are meant for one, by `provider: command` or by the whole path of its
 * step. What it was about to run is the last message. */
struct mock_fixture *mock_fixtures_match_command(struct mock_fixtures *f, const struct mock_call *call);
/* For people: that nothing matched the call, and what came nearest. */
struct str mock_fixtures_explain(const struct mock_fixtures *f, const struct mock_call *call, struct arena *a);
/* A step's path against a pattern: `*` any text within a segment, `**` any text, `?` one byte but no slash. */
bool mock_glob(struct str pattern, struct str path);
