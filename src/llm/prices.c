/* List prices: the built-in table (prices.def) behind the rows of a file.
 *
 * Rows are scanned in order, the file's first, so a file's row for a model hides the built-in ones, tiers included. Two
 * hundred rows at most are scanned once per model call, which costs nothing beside the call. A price that is not known
 * is NaN: it spreads through the sum, and a sum that is NaN is "unknown" to the caller. A file that cannot be used
 * makes every price unknown rather than silently wrong: whoever sets a price file does so because the table is not
 * right for them. */
#include "llm/prices.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "data/json.h"
#include "llm/provider.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_FILE = 1 << 20 };

struct price {
    struct str provider, model;
    int64_t until, prompt;
    double input, output, write_5m, write_1h, read;
};

#define NO NAN
static const struct price builtin[] = {
#define X(provider_, model_, until_, prompt_, input_, output_, write_5m_, write_1h_, read_) \
    {{provider_, sizeof provider_ - 1},                                                     \
     {model_, sizeof model_ - 1},                                                           \
     until_,                                                                                \
     prompt_,                                                                               \
     input_,                                                                                \
     output_,                                                                               \
     write_5m_,                                                                             \
     write_1h_,                                                                             \
     read_},
#include "llm/prices.def"
#undef X
};

static struct {
    pthread_once_t once;
    struct arena a;
    struct price *row;
    size_t n;
    bool broken;
} file = {.once = PTHREAD_ONCE_INIT};

/* ---- the file ---- */

static enum rc read_price(const struct val *v, struct str key, double fallback, double *ret, struct err *err)
{
    const struct val *p = val_get(v, key);
    *ret = fallback;
    if (!p)
        return RC_OK;
    *ret = val_to_double(p, NAN);
    if (!val_is_number(p) || !isfinite(*ret) || *ret < 0)
        return err_set(err, RC_INVALID, "\"%.*s\" must be a number of dollars, not negative", STR_ARG(key));
    return RC_OK;
}

static enum rc read_row(const struct val *v, const char *other_key, struct price *ret, struct err *err)
{
    struct {
        const char *key;
        double *where;
        double fallback;
    } fields[] = {
        {"input", &ret->input, NAN},          {"output", &ret->output, NAN},           {"cache_read", &ret->read, NAN},
        {"cache_write", &ret->write_5m, NAN}, {"cache_write_1h", &ret->write_1h, NAN},
    };
    if (!val_is(v, VAL_OBJECT))
        return err_set(err, RC_INVALID, "a price is an object");
    for (size_t i = 0; i < v->obj.n; i++) {
        struct str key = v->obj.m[i].key;
        bool known = str_is(key, other_key);
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            known |= str_is(key, fields[k].key);
        if (!known)
            return err_set(err, RC_INVALID, "unknown key \"%.*s\"", STR_ARG(key));
    }
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
        enum rc rc = read_price(v, str_c(fields[k].key), fields[k].fallback, fields[k].where, err);
        if (rc != RC_OK)
            return rc;
    }
    if (isnan(ret->input) || isnan(ret->output))
        return err_set(err, RC_INVALID, "\"input\" and \"output\" are needed");
    return RC_OK;
}

/* A model's rows: each one holds up to where the next begins, the last without end. */
static enum rc read_model(struct price model, const struct val *v, struct price *row, size_t *n, struct err *err)
{
    struct price base = model;
    enum rc rc = read_row(v, "above", &base, err);
    if (rc != RC_OK)
        return rc;
    row[(*n)++] = base;
    const struct val *above = VAL_GET(v, "above");
    if (above && !val_is(above, VAL_ARRAY))
        return err_set(err, RC_INVALID, "\"above\" must be a list");
    for (size_t i = 0; above && i < above->arr.n; i++) {
        const struct val *tier = &above->arr.v[i];
        struct price p = model;
        if ((rc = read_row(tier, "prompt", &p, err)) != RC_OK)
            return rc;
        int64_t from = val_get_int(tier, STR("prompt"), 0);
        if (from <= (i ? row[*n - 2].prompt : 0))
            return err_set(err, RC_INVALID, "\"prompt\" of each \"above\" must be a growing number of tokens");
        row[*n - 1].prompt = from;
        row[(*n)++] = p;
    }
    return RC_OK;
}

static enum rc read_file(const struct val *v, struct arena *a, struct price **ret, size_t *ret_n, struct err *err)
{
    size_t max = 0;
    if (!val_is(v, VAL_OBJECT))
        return err_set(err, RC_INVALID, "an object of \"provider/model\" is wanted");
    for (size_t i = 0; i < v->obj.n; i++) {
        const struct val *above = VAL_GET(&v->obj.m[i].val, "above");
        max += 1 + (val_is(above, VAL_ARRAY) ? above->arr.n : 0);
    }
    *ret = arena_calloc(a, max, sizeof **ret);
    *ret_n = 0;
    for (size_t i = 0; i < v->obj.n; i++) {
        struct str key = v->obj.m[i].key;
        const char *slash = memchr(key.p, '/', key.n);
        size_t at = slash ? (size_t)(slash - key.p) : 0;
        const struct provider *p = provider_by_name(str_n(key.p, at));
        if (!p || at + 1 == key.n)
            return err_set(err, RC_INVALID, "\"%.*s\": \"provider/model\" is wanted, with a provider of ours",
                           STR_ARG(key));
        struct price model = {.provider = str_c(p->name), .model = arena_str(a, str_from(key, at + 1))};
        if (read_model(model, &v->obj.m[i].val, *ret, ret_n, err) != RC_OK)
            return err_wrap(err, "%.*s", STR_ARG(key));
    }
    return RC_OK;
}

static enum rc slurp(const char *path, struct buf *b, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        buf_add(b, str_n(chunk, n));
    bool bad = ferror(f) != 0;
    fclose(f);
    if (bad)
        return err_set(err, RC_IO, "%s: cannot be read", path);
    return b->overflow ? err_set(err, RC_INVALID, "%s: larger than %d bytes", path, MAX_FILE) : RC_OK;
}

static enum rc load(const char *path, struct err *err)
{
    struct buf text;
    struct val v;
    buf_init(&text, MAX_FILE);
    arena_done(&file.a);
    file.row = NULL;
    file.n = 0;
    file.broken = true;
    enum rc rc = slurp(path, &text, err);
    if (rc == RC_OK) {
        rc = json_parse(&file.a, buf_str(&text), &JSON_DATA, &v, err);
        if (rc == RC_OK)
            rc = read_file(&v, &file.a, &file.row, &file.n, err);
        if (rc != RC_OK)
            rc = err_wrap(err, "%s", path);
    }
    file.broken = rc != RC_OK;
    buf_done(&text);
    return rc;
}

static void load_from_environment(void)
{
    const char *path = getenv("TREADLE_PRICES");
    struct err err;
    if (path && *path && load(path, &err) != RC_OK)
        log_line(LOG_ERROR, "TREADLE_PRICES: %s; no call has a known price", err.msg);
}

enum rc prices_load(const char *path, struct err *err)
{
    pthread_once(&file.once, load_from_environment);
    if (path)
        return load(path, err);
    arena_done(&file.a);
    file.row = NULL;
    file.n = 0;
    file.broken = false;
    return RC_OK;
}

/* ---- looking up ---- */

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return true;
}

/* "-20261101", "@20261101" or "-2026-11-01": the name of a snapshot. Anything else behind a name is another model. */
static bool is_date(struct str s)
{
    if (s.n == 9)
        return (s.p[0] == '-' || s.p[0] == '@') && all_digits(str_from(s, 1));
    return s.n == 11 && s.p[0] == '-' && s.p[5] == '-' && s.p[8] == '-' && all_digits(str_n(s.p + 1, 4)) &&
           all_digits(str_n(s.p + 6, 2)) && all_digits(str_n(s.p + 9, 2));
}

static int64_t today(void)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    if (!gmtime_r(&now, &tm))
        return 0;
    return (tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday;
}

static const struct price *find(const struct price *row, size_t n, struct str provider, struct str model,
                                int64_t prompt, bool dated)
{
    for (size_t i = 0; i < n; i++) {
        const struct price *p = &row[i];
        if (!str_eq(p->provider, provider) || !str_starts(model, p->model))
            continue;
        struct str rest = str_from(model, p->model.n);
        if (dated ? !is_date(rest) : rest.n != 0)
            continue;
        if ((p->prompt == 0 || prompt <= p->prompt) && (p->until == 0 || today() <= p->until))
            return p;
    }
    return NULL;
}

/* 0 tokens cost nothing even where the price is unknown. */
static double cost(int64_t tokens, double price)
{
    return tokens ? (double)tokens * price / 1e6 : 0;
}

bool price_of(struct str provider, struct str model, const struct usage *u, double *ret_usd)
{
    pthread_once(&file.once, load_from_environment);
    const struct provider *known = provider_by_name(provider);
    if (!known || file.broken)
        return false;
    struct str name = str_c(known->name);
    int64_t prompt = u->input + u->cache_read + u->cache_write;
    const struct price *p = NULL;
    for (int dated = 0; !p && dated < 2; dated++) {
        p = find(file.row, file.n, name, model, prompt, dated);
        if (!p)
            p = find(builtin, sizeof builtin / sizeof *builtin, name, model, prompt, dated);
    }
    if (!p)
        return false;
    double usd = cost(u->input, p->input) + cost(u->output, p->output) + cost(u->cache_read, p->read) +
                 cost(u->cache_write - u->cache_write_1h, p->write_5m) + cost(u->cache_write_1h, p->write_1h);
    if (isnan(usd))
        return false;
    *ret_usd = usd;
    return true;
}
