/* The fixture file: a table of keys drives the check, so that an unknown key is an error with its place and the nearest
 * name, never a fixture that silently does not do what it seems to say.
 *
 * `times` counts in memory: a process that starts again begins at zero. */
#include "llm/mock_fixture.h"

#include <math.h>

static const char match_keys[] = "step provider text turn attempt";
static const char fixture_keys[] = "match reply delay error times";
static const char reply_keys[] = "text json tool_calls stop_reason usage exit_code stderr";
static const char call_keys[] = "name input id";
static const char error_keys[] = "status retry_after code message network cut_after";
static const char usage_keys[] = "input_tokens output_tokens cache_read_tokens cache_write_tokens";
static const char file_keys[] = "fixtures default";
static const char stop_words[] = "end_turn max_tokens tool_use stop_sequence refusal pause other";

/* ---- checking ---- */

static bool next_word(struct str *words, struct str *word)
{
    *words = str_trim(*words);
    if (words->n == 0)
        return false;
    const char *space = memchr(words->p, ' ', words->n);
    word->p = words->p;
    word->n = space ? (size_t)(space - words->p) : words->n;
    *words = str_from(*words, word->n);
    return true;
}

/* Whether `s` is one of the words; if not, *nearest is the one it may have been meant to be. */
static bool one_of(struct str s, const char *words, struct str *nearest)
{
    struct str rest = str_c(words), word;
    unsigned best = 3;
    *nearest = (struct str){0};
    while (next_word(&rest, &word)) {
        unsigned d = str_distance(s, word, 3);
        if (str_eq(s, word))
            return true;
        if (d < best)
            best = d, *nearest = word;
    }
    return false;
}

static enum rc bad(struct err *err, const struct val *v, const char *what)
{
    return err_set(err, RC_INVALID, "%u:%u: %s, not %s", v->line, v->col, what, val_type_name(v));
}

static enum rc check_word(const struct val *v, const char *what, const char *words, struct err *err)
{
    struct str nearest;
    if (!val_is(v, VAL_STR))
        return err_set(err, RC_INVALID, "%u:%u: %s must be one of: %s", v->line, v->col, what, words);
    if (one_of(v->s, words, &nearest))
        return RC_OK;
    return err_set(err, RC_INVALID, "%u:%u: %s must be one of: %s; \"%.*s\" is none%s%.*s%s", v->line, v->col, what,
                   words, STR_ARG(v->s), nearest.n ? " (did you mean \"" : "", STR_ARG(nearest),
                   nearest.n ? "\"?)" : "");
}

static enum rc check_keys(const struct val *v, const char *what, const char *keys, struct err *err)
{
    if (!val_is(v, VAL_OBJECT))
        return err_set(err, RC_INVALID, "%u:%u: %s must be an object with some of: %s", v->line, v->col, what, keys);
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct member *m = &v->obj.m[i];
        struct str nearest;
        if (one_of(m->key, keys, &nearest))
            continue;
        if (nearest.n)
            return err_set(err, RC_INVALID, "%u:%u: unknown key \"%.*s\" in %s; did you mean \"%.*s\"?", m->line,
                           m->col, STR_ARG(m->key), what, STR_ARG(nearest));
        return err_set(err, RC_INVALID, "%u:%u: unknown key \"%.*s\" in %s, which has: %s", m->line, m->col,
                       STR_ARG(m->key), what, keys);
    }
    return RC_OK;
}

static enum rc read_text(const struct val *from, const char *key, struct str *ret, struct err *err)
{
    const struct val *v = val_get(from, str_c(key));
    if (!v)
        return RC_OK;
    if (!val_is(v, VAL_STR) || v->s.n == 0)
        return err_set(err, RC_INVALID, "%u:%u: \"%s\" must be a text, and not empty", v->line, v->col, key);
    *ret = v->s;
    return RC_OK;
}

static enum rc read_count(const struct val *from, const char *key, int64_t min, int64_t max, int64_t *ret,
                          struct err *err)
{
    const struct val *v = val_get(from, str_c(key));
    if (!v)
        return RC_OK;
    if (!val_is(v, VAL_INT) || v->i < min || v->i > max)
        return err_set(err, RC_INVALID, "%u:%u: \"%s\" must be an integer from %lld to %lld", v->line, v->col, key,
                       (long long)min, (long long)max);
    *ret = v->i;
    return RC_OK;
}

/* Seconds as a number, or "50ms", "5s", "10m", "2h". */
static enum rc read_duration(const struct val *from, const char *key, int64_t *ret_ms, struct err *err)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60e3}, {"h", 3600e3}};
    const struct val *v = val_get(from, str_c(key));
    if (!v)
        return RC_OK;
    double ms = val_is_number(v) ? val_to_double(v, -1) * 1000 : -1;
    for (size_t i = 0; val_is(v, VAL_STR) && i < sizeof units / sizeof *units && ms < 0; i++) {
        struct str s = str_trim(v->s), unit = str_c(units[i].unit);
        if (!str_ends(s, unit) || s.n == unit.n)
            continue;
        double number = 0, scale = 1;
        bool point = false, good = true;
        for (size_t k = 0; k < s.n - unit.n; k++) {
            char c = s.p[k];
            good &= (c >= '0' && c <= '9') || (c == '.' && !point && k);
            point |= c == '.';
            if (c != '.')
                number = number * 10 + (c - '0'), scale *= point ? 10 : 1;
        }
        if (good)
            ms = number / scale * units[i].ms;
    }
    if (!(ms >= 0 && ms <= 86400e3))
        return err_set(err, RC_INVALID, "%u:%u: \"%s\" must be seconds, or a duration such as 50ms, up to 24h", v->line,
                       v->col, key);
    *ret_ms = (int64_t)ceil(ms);
    return RC_OK;
}

/* ---- the parts of a fixture ---- */

static enum rc read_match(struct mock_fixture *x, const struct val *v, struct err *err)
{
    enum rc rc = check_keys(v, "match", match_keys, err);
    if (rc == RC_OK)
        rc = read_text(v, "step", &x->step, err);
    if (rc == RC_OK)
        rc = read_text(v, "provider", &x->provider, err);
    if (rc == RC_OK)
        rc = read_text(v, "text", &x->text, err);
    if (rc == RC_OK)
        rc = read_count(v, "turn", 1, INT32_MAX, &x->turn, err);
    if (rc == RC_OK)
        rc = read_count(v, "attempt", 1, INT32_MAX, &x->attempt, err);
    if (rc != RC_OK || x->text.n == 0)
        return rc;
    struct err why;
    if (regex_compile(x->text, false, &x->regex, &why) != RC_OK)
        return err_set(err, RC_INVALID, "%u:%u: \"text\" is no regular expression: %s", VAL_GET(v, "text")->line,
                       VAL_GET(v, "text")->col, why.msg);
    return RC_OK;
}

static enum rc check_calls(const struct val *calls, struct err *err)
{
    if (!val_is(calls, VAL_ARRAY))
        return bad(err, calls, "\"tool_calls\" must be a list");
    for (size_t i = 0; i < calls->arr.n; i++) {
        const struct val *c = &calls->arr.v[i], *input = VAL_GET(c, "input");
        struct str name = {0}, id;
        enum rc rc = check_keys(c, "tool_calls", call_keys, err);
        if (rc == RC_OK)
            rc = read_text(c, "name", &name, err);
        if (rc == RC_OK)
            rc = read_text(c, "id", &id, err);
        if (rc != RC_OK)
            return rc;
        if (name.n == 0)
            return err_set(err, RC_INVALID, "%u:%u: a tool call needs a \"name\"", c->line, c->col);
        if (input && input->type != VAL_OBJECT)
            return bad(err, input, "the \"input\" of a tool call must be an object");
    }
    return RC_OK;
}

static enum rc read_reply(struct mock_fixture *x, const struct val *v, struct err *err)
{
    enum rc rc = check_keys(v, "reply", reply_keys, err);
    const struct val *text = VAL_GET(v, "text"), *stop = VAL_GET(v, "stop_reason");
    const struct val *usage = VAL_GET(v, "usage"), *calls = VAL_GET(v, "tool_calls");
    if (rc == RC_OK && text && text->type != VAL_STR)
        rc = bad(err, text, "the \"text\" of a reply must be a text (quote it, or use \"json\")");
    if (rc == RC_OK && text && VAL_GET(v, "json"))
        rc = err_set(err, RC_INVALID, "%u:%u: a reply has \"text\" or \"json\", not both", v->line, v->col);
    if (rc == RC_OK && stop)
        rc = check_word(stop, "\"stop_reason\"", stop_words, err);
    int64_t exit_code;
    if (rc == RC_OK)
        rc = read_count(v, "exit_code", 0, 255, &exit_code, err);
    if (rc == RC_OK && VAL_GET(v, "stderr") && !val_is(VAL_GET(v, "stderr"), VAL_STR))
        rc = bad(err, VAL_GET(v, "stderr"), "the \"stderr\" of a command's reply must be a text");
    if (rc == RC_OK && calls)
        rc = check_calls(calls, err);
    if (rc == RC_OK && usage)
        rc = check_keys(usage, "usage", usage_keys, err);
    for (size_t i = 0; rc == RC_OK && usage && i < usage->obj.n; i++) {
        if (!val_is(&usage->obj.m[i].val, VAL_INT) || usage->obj.m[i].val.i < 0)
            rc = bad(err, &usage->obj.m[i].val, "a count of tokens is wanted");
    }
    x->reply = v;
    return rc;
}

static enum rc read_error(struct mock_fixture *x, const struct val *v, struct err *err)
{
    static const char networks[] = "reset refused timeout hang";
    static const enum mock_network kinds[] = {MOCK_NET_RESET, MOCK_NET_REFUSED, MOCK_NET_TIMEOUT, MOCK_NET_HANG};
    const struct val *network = VAL_GET(v, "network");
    enum rc rc = check_keys(v, "error", error_keys, err);
    if (rc == RC_OK)
        rc = read_count(v, "status", 300, 599, &x->status, err);
    if (rc == RC_OK)
        rc = read_duration(v, "retry_after", &x->retry_after_ms, err);
    if (rc == RC_OK)
        rc = read_text(v, "code", &x->code, err);
    if (rc == RC_OK)
        rc = read_text(v, "message", &x->message, err);
    if (rc == RC_OK)
        rc = read_count(v, "cut_after", 0, INT32_MAX, &x->cut_after, err);
    if (rc == RC_OK && network)
        rc = check_word(network, "\"network\"", networks, err);
    if (rc != RC_OK)
        return rc;
    struct str rest = str_c(networks), word;
    for (size_t i = 0; network && next_word(&rest, &word); i++) {
        if (str_eq(word, network->s))
            x->network = kinds[i];
    }
    if ((x->status != 0) + (x->network != MOCK_NET_OK) + (x->cut_after >= 0) != 1)
        return err_set(err, RC_INVALID, "%u:%u: an error needs one of: status, network, cut_after", v->line, v->col);
    return RC_OK;
}

static enum rc read_fixture(struct mock_fixture *x, const struct val *v, struct err *err)
{
    const struct val *match = VAL_GET(v, "match"), *reply = VAL_GET(v, "reply"), *error = VAL_GET(v, "error");
    *x = (struct mock_fixture){.number = x->number, .line = v->line, .col = v->col};
    x->retry_after_ms = x->cut_after = -1;
    enum rc rc = check_keys(v, "a fixture", fixture_keys, err);
    if (rc == RC_OK && match)
        rc = read_match(x, match, err);
    if (rc == RC_OK && reply)
        rc = read_reply(x, reply, err);
    if (rc == RC_OK && error)
        rc = read_error(x, error, err);
    if (rc == RC_OK)
        rc = read_duration(v, "delay", &x->delay_ms, err);
    if (rc == RC_OK)
        rc = read_count(v, "times", 1, INT32_MAX, &x->times, err);
    if (rc == RC_OK && str_is(x->provider, "command") && (!reply || error))
        rc = err_set(err, RC_INVALID,
                     "%u:%u: a command is answered by a \"reply\": text or json on standard output, exit_code, stderr",
                     v->line, v->col);
    if (rc == RC_OK && reply && error && x->cut_after < 0)
        rc = err_set(err, RC_INVALID, "%u:%u: a fixture with this \"error\" has no use for a \"reply\"", v->line,
                     v->col);
    return rc;
}

enum rc mock_fixtures_read(struct mock_fixtures *f, const struct val *file, struct err *err)
{
    *f = (struct mock_fixtures){.otherwise = MOCK_SCHEMA};
    if (!file || file->type == VAL_NULL)
        return RC_OK;
    struct val own = val_copy(&f->a, file);
    const struct val *list = VAL_GET(&own, "fixtures"), *otherwise = VAL_GET(&own, "default");
    enum rc rc = check_keys(&own, "the fixture file", file_keys, err);
    if (rc == RC_OK && list && list->type != VAL_ARRAY && list->type != VAL_NULL)
        rc = bad(err, list, "\"fixtures\" must be a list");
    if (rc == RC_OK && otherwise)
        rc = check_word(otherwise, "\"default\"", "echo schema fail", err);
    if (rc != RC_OK) {
        mock_fixtures_done(f);
        return rc;
    }
    /* A file that lists its answers and says nothing of the rest means the rest to be answered as without a file. */
    if (otherwise)
        f->otherwise = str_is(otherwise->s, "echo")   ? MOCK_ECHO
                       : str_is(otherwise->s, "fail") ? MOCK_FAIL
                                                      : MOCK_SCHEMA;
    size_t n = val_is(list, VAL_ARRAY) ? list->arr.n : 0;
    f->v = arena_calloc(&f->a, n, sizeof *f->v);
    for (size_t i = 0; i < n; i++) {
        f->n = i + 1;
        f->v[i].number = i;
        rc = read_fixture(&f->v[i], &list->arr.v[i], err);
        if (rc != RC_OK) {
            struct err inner = *err;
            mock_fixtures_done(f);
            size_t place = str_find(str_c(inner.msg), STR(": "));
            return err_set(err, rc, "%.*s: fixtures[%zu]%s", (int)place, inner.msg, i, inner.msg + place);
        }
    }
    return RC_OK;
}

void mock_fixtures_done(struct mock_fixtures *f)
{
    for (size_t i = 0; i < f->n; i++)
        regex_free(f->v[i].regex);
    arena_done(&f->a);
    f->n = 0;
}

/* ---- matching ---- */

bool mock_glob(struct str pattern, struct str path)
{
    /* Where to go on after a mismatch: behind the last `*`, or, when that may not swallow more, behind the last `**`.
     */
    size_t star = SIZE_MAX, star_at = 0, all = SIZE_MAX, all_at = 0, p = 0, s = 0;
    while (s < path.n || p < pattern.n) {
        char c = p < pattern.n ? pattern.p[p] : 0;
        if (p < pattern.n && c == '*') {
            if (p + 1 < pattern.n && pattern.p[p + 1] == '*') {
                p += 2;
                all = p, all_at = s, star = SIZE_MAX;
            } else {
                p++;
                star = p, star_at = s;
            }
        } else if (p < pattern.n && s < path.n && (c == path.p[s] || (c == '?' && path.p[s] != '/'))) {
            p++, s++;
        } else if (star != SIZE_MAX && star_at < path.n && path.p[star_at] != '/') {
            p = star, s = ++star_at;
        } else if (all != SIZE_MAX && all_at < path.n) {
            p = all, s = ++all_at, star = SIZE_MAX;
        } else {
            return false;
        }
    }
    return true;
}

static bool same_provider(struct str a, struct str b)
{
    const struct provider *p = provider_by_name(a);
    return str_eq(a, b) || (p && p == provider_by_name(b));
}

enum criterion { STEP, PROVIDER, TURN, ATTEMPT, TEXT, USED_UP, CRITERIA };

/* Which criteria a fixture misses for this call. */
static unsigned misses(const struct mock_fixture *x, const struct mock_call *call, struct regex_match *groups)
{
    struct err ignored;
    *groups = (struct regex_match){.found = false};
    bool text = true;
    if (x->regex)
        text = regex_search(x->regex, call->last_message, 0, groups, &ignored) == RC_OK && groups->found;
    return (unsigned)(x->step.n && !mock_glob(x->step, call->step)) << STEP |
           (unsigned)(x->provider.n && !same_provider(x->provider, call->provider)) << PROVIDER |
           (unsigned)(x->turn && x->turn != call->turn) << TURN |
           (unsigned)(x->attempt && x->attempt != call->attempt) << ATTEMPT | (unsigned)!text << TEXT |
           (unsigned)(x->times && x->used >= x->times) << USED_UP;
}

struct mock_fixture *mock_fixtures_match(struct mock_fixtures *f, const struct mock_call *call,
                                         struct regex_match *groups)
{
    for (size_t i = 0; i < f->n; i++) {
        struct mock_fixture *x = &f->v[i];
        if (misses(x, call, groups) == 0) {
            x->used++;
            return x;
        }
    }
    return NULL;
}

struct mock_fixture *mock_fixtures_match_command(struct mock_fixtures *f, const struct mock_call *call)
{
    for (size_t i = 0; i < f->n; i++) {
        struct mock_fixture *x = &f->v[i];
        struct regex_match groups;
        bool meant = str_is(x->provider, "command") || (!x->provider.n && x->step.n && str_eq(x->step, call->step));
        if (meant && x->reply && misses(x, call, &groups) == 0) {
            x->used++;
            return x;
        }
    }
    return NULL;
}

static struct str excerpt(struct str s)
{
    if (s.n > 80)
        s.n = 80;
    s.n = str_utf8_valid(s);
    return s;
}

struct str mock_fixtures_explain(const struct mock_fixtures *f, const struct mock_call *call, struct arena *a)
{
    const struct mock_fixture *best = NULL;
    unsigned best_score = ~0u, missed = 0;
    struct buf b;
    buf_init(&b, 4000);
    for (size_t i = 0; i < f->n; i++) {
        struct regex_match groups;
        unsigned m = misses(&f->v[i], call, &groups);
        unsigned far = m & 1u << STEP ? str_distance(f->v[i].step, call->step, 20) : 0;
        unsigned score = (unsigned)__builtin_popcount(m) * 32 + far;
        if (score < best_score)
            best = &f->v[i], best_score = score, missed = m;
    }
    buf_printf(&b, "no fixture matches step \"%.*s\", turn %u, attempt %u, provider %.*s, last message \"%.*s\"",
               STR_ARG(call->step), call->turn, call->attempt, STR_ARG(call->provider),
               STR_ARG(excerpt(call->last_message)));
    if (best) {
        buf_printf(&b, "; nearest is fixtures[%zu] (%u:%u), where", best->number, best->line, best->col);
        const char *comma = "";
        for (unsigned c = 0; c < CRITERIA; c++) {
            if (!(missed & 1u << c))
                continue;
            buf_addz(&b, comma);
            comma = ",";
            if (c == STEP)
                buf_printf(&b, " step is \"%.*s\"", STR_ARG(best->step));
            else if (c == PROVIDER)
                buf_printf(&b, " provider is %.*s", STR_ARG(best->provider));
            else if (c == TEXT)
                buf_printf(&b, " text is \"%.*s\"", STR_ARG(excerpt(best->text)));
            else if (c == USED_UP)
                buf_printf(&b, " all %lld times are used up", (long long)best->times);
            else
                buf_printf(&b, " %s is %lld", c == TURN ? "turn" : "attempt",
                           (long long)(c == TURN ? best->turn : best->attempt));
        }
    } else {
        buf_addz(&b, "; there are no fixtures");
    }
    struct str text = arena_str(a, buf_str(&b));
    buf_done(&b);
    return text;
}
