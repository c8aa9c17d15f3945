/* PCRE2's interpreter with a meter.
 *
 * PCRE2's own match limit bounds the backtracking from one starting point, not the sum over all of them, and does not
 * see the characters that one repeated item runs over: `a*[bc]` on a megabyte of `a` takes minutes and never meets it.
 * So every pattern is compiled with automatic callouts: before each item of the pattern the meter below is charged for
 * being called, for the characters passed since the last time, and for what an item may have run over in vain (the
 * largest lower bound of a counted repeat; for a back reference, the longest group so far). The budget is a number of
 * such units, no clock: what a search decides is the same on every machine and in every replay. The limits of PCRE2
 * remain for the memory.
 *
 * No JIT: it would need writable executable memory in the engine, and its fast path skips nothing that matters here. */
#include "data/regex.h"

#include "base/panic.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum {
    PATTERN_MAX = 64 << 10,
    CALL_COST = 16,     /* one callout costs about as much time as running over that many characters */
    REFERENCE_COST = 8, /* for a character compared with a back reference, letter case ignored */
    MATCH_LIMIT = 10000000,
    HEAP_LIMIT_KIB = 64 << 10,
};
static const uint64_t budget = 320000000; /* about half a second */

struct regex {
    uint32_t magic;
    pcre2_code *code;
    uint32_t repeat; /* the largest lower bound of a counted repeat */
    bool back_references;
    size_t pattern_n;
    char pattern[];
};
enum { REGEX_MAGIC = 0x52474558 };

struct meter {
    uint64_t left;
    size_t last;
    const struct regex *r;
};

/* The largest lower bound of a counted repeat; an overestimate is harmless. (What a repeat runs over beyond its lower
 * bound it has matched, and the next callout sees that.) */
static uint32_t largest_repeat(struct str pattern)
{
    uint32_t max = 0;
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] != '{')
            continue;
        uint32_t n = 0;
        for (i++; i < pattern.n && pattern.p[i] >= '0' && pattern.p[i] <= '9'; i++)
            n = n > UINT16_MAX ? n : n * 10 + (uint32_t)(pattern.p[i] - '0');
        i--;
        if (n > max)
            max = n;
    }
    return max;
}

/* Is the next item \1, \g.., \k.. or (?P=..)? */
static bool at_back_reference(const struct regex *r, size_t at)
{
    struct str item = str_from((struct str){r->pattern, r->pattern_n}, at);
    if (item.n < 2 || item.p[0] != '\\')
        return str_starts(item, STR("(?P="));
    return (item.p[1] >= '1' && item.p[1] <= '9') || item.p[1] == 'g' || item.p[1] == 'k';
}

static size_t longest_group(const pcre2_callout_block *b)
{
    size_t longest = 0;
    for (uint32_t g = 1; g < b->capture_top; g++) {
        PCRE2_SIZE from = b->offset_vector[2 * g], to = b->offset_vector[2 * g + 1];
        if (from != PCRE2_UNSET && to != PCRE2_UNSET && to > from && to - from > longest)
            longest = to - from;
    }
    return longest;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int charge(pcre2_callout_block *b, void *ctx)
{
    struct meter *m = ctx;
    size_t at = b->current_position, room = b->subject_length - at;
    uint64_t cost = CALL_COST + (at > m->last ? at - m->last : 0) + smaller(m->r->repeat, room);
    m->last = at;
    if (m->r->back_references && at_back_reference(m->r, b->pattern_position))
        cost += REFERENCE_COST * smaller(longest_group(b), room);
    if (cost > m->left)
        return PCRE2_ERROR_CALLOUT;
    m->left -= cost;
    return 0;
}

static enum rc fail_pcre2(int code, struct err *err)
{
    if (code == PCRE2_ERROR_CALLOUT || code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_HEAPLIMIT ||
        code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_RECURSELOOP)
        return err_set(err, RC_LIMIT, "the regular expression needs too many steps on this text");
    if (code == PCRE2_ERROR_NOMEMORY)
        PANIC("out of memory (regular expression)");
    unsigned char why[200];
    pcre2_get_error_message(code, why, sizeof why);
    return err_set(err, RC_INVALID, "the regular expression cannot be matched here: %s", why);
}

enum rc regex_compile(struct str pattern, bool ignore_case, struct regex **ret, struct err *err)
{
    if (pattern.n > PATTERN_MAX)
        return err_set(err, RC_INVALID, "a regular expression of %zu bytes; expected at most %d", pattern.n,
                       PATTERN_MAX);
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C;
    if (ignore_case)
        options |= PCRE2_CASELESS;
    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)(pattern.p ? pattern.p : ""), pattern.n, options, &code, &at, NULL);
    if (!compiled) {
        unsigned char why[200];
        pcre2_get_error_message(code, why, sizeof why);
        return err_set(err, RC_INVALID, "bad regular expression: %s (at byte %zu)", why, at);
    }
    struct regex *r = calloc(1, sizeof *r + pattern.n);
    if (!r)
        PANIC("out of memory (%zu bytes)", sizeof *r);
    uint32_t references = 0;
    pcre2_pattern_info(compiled, PCRE2_INFO_BACKREFMAX, &references);
    r->magic = REGEX_MAGIC;
    r->code = compiled;
    r->repeat = largest_repeat(pattern);
    r->back_references = references > 0;
    r->pattern_n = pattern.n;
    if (pattern.n)
        memcpy(r->pattern, pattern.p, pattern.n);
    *ret = r;
    return RC_OK;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    CHECK_OBJ(r, REGEX_MAGIC);
    pcre2_code_free(r->code);
    free(r);
}

static void take_groups(pcre2_match_data *data, int code, struct str subject, struct regex_match *ret)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    uint32_t pairs = pcre2_get_ovector_count(data), known = code > 0 ? (uint32_t)code : pairs;
    ret->found = true;
    ret->ngroups = pairs < REGEX_GROUPS ? pairs : REGEX_GROUPS;
    for (uint32_t g = 0; g < ret->ngroups; g++)
        if (g < known && at[2 * g] != PCRE2_UNSET) /* \K can put the start behind the end */
            ret->group[g] = str_n(subject.p + at[2 * g], at[2 * g + 1] > at[2 * g] ? at[2 * g + 1] - at[2 * g] : 0);
}

enum rc regex_search(const struct regex *r, struct str subject, size_t from, struct regex_match *ret, struct err *err)
{
    uint64_t units = budget;
    return regex_search_within(r, subject, from, &units, ret, err);
}

enum rc regex_search_within(const struct regex *r, struct str subject, size_t from, uint64_t *units,
                            struct regex_match *ret, struct err *err)
{
    CHECK_OBJ(r, REGEX_MAGIC);
    *ret = (struct regex_match){0};
    if (!subject.p)
        subject = STR("");
    if (from > subject.n || (from < subject.n && ((unsigned char)subject.p[from] & 0xc0) == 0x80))
        return err_set(err, RC_INVALID, "a search from byte %zu, which begins no character of the text", from);
    if (from == 0 && str_utf8_valid(subject) < subject.n)
        return err_set(err, RC_INVALID, "the text to search is not valid UTF-8");
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    if (!context || !data)
        PANIC("out of memory (regular expression)");
    uint64_t room = smaller(*units, budget);
    struct meter meter = {.left = room, .last = from, .r = r};
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
    pcre2_set_callout(context, charge, &meter);
    int code = pcre2_match(r->code, (PCRE2_SPTR)subject.p, subject.n, from, PCRE2_NO_UTF_CHECK, data, context);
    enum rc rc = RC_OK;
    if (code >= 0)
        take_groups(data, code, subject, ret);
    else if (code != PCRE2_ERROR_NOMATCH)
        rc = fail_pcre2(code, err);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    *units -= room - meter.left;
    return rc;
}
