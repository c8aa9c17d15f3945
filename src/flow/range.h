#pragma once
/* What the number of a key may be: one reading of its row for the loader, a run, the published schema and the docs.
 *
 * Ranges are in the unit that a plain number has in a workflow: seconds for KEY_DURATION and KEY_SECONDS, milliseconds
 * for KEY_MS, bytes for KEY_SIZE. Everything is pure; messages are for people and name the key. */
#include "flow/step.h"

struct key_range {
    double least, most; /* infinite where there is no bound */
    bool above;         /* more than `least`, not `least` itself */
};

/* KEY_INT to KEY_SIZE: is its value a number of some kind? */
static inline bool key_is_number(enum key_kind kind)
{
    return kind >= KEY_INT && kind <= KEY_SIZE;
}
/* The row whose range counts for `row`: its own, or that of the key that it is another spelling of. */
const struct step_key *key_ranged(const struct step_key *table, const struct step_key *row);
/* What the row says, within what its kind allows. */
struct key_range key_range(const struct step_key *row);
/* "0 to 2", "from 1", "above 0", or nothing; for tables. In `a`. */
struct str key_range_text(struct arena *a, const struct step_key *row);
/* Is it a number that the key may have? *ret: in the unit of the range. RC_INVALID: "`NAME` is out of range; expected a
 * number from 0 to 2". Only for rows of which key_is_number(). */
enum rc key_number(struct str name, const struct step_key *row, const struct val *v, double *ret,
                   struct err *err) MUST_CHECK;
/* Such a number as milliseconds, of a row that is about time. What is more than 0 stays so. */
int64_t key_ms(const struct step_key *row, double x);
/* "text", "a list", …: the words for what was found. */
const char *key_found(const struct val *v);
/* Checks the numbers of an evaluated object by its table, and those of the blocks in it that have tables of their own,
 * and puts numbers in the place of texts that templates made of them. Changed objects are made in `a`. `written` (or
 * NULL): the object as it stands in the workflow, for places. RC_INVALID, "LINE:COL: …" where the place is known. */
enum rc key_numbers(struct arena *a, const struct step_key *table, const struct val *written, struct val *object,
                    struct err *err) MUST_CHECK;
/* Checks an object as it stands in the workflow: reports keys that the table does not have, and numbers out of their
 * range that are no templates. `owner` says whose object it is, for messages. Other values have nothing to check. */
void key_check_object(struct problems *ps, const struct val *object, const struct step_key *table, const char *owner);
