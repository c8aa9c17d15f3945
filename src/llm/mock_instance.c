/* An instance of a JSON Schema: what a mocked model answers when it must answer in a shape.
 *
 * First what the schema itself offers: const, enum, default, examples; then the smallest plausible value of its type.
 * References, allOf and the first branch of anyOf and oneOf are merged into the schema before that. Deterministic; a
 * list has one item where it may, text is the name of its property, so that a mock run reads like something.
 *
 * The schema comes from outside: depth, number of values, lengths and counts are bounded. Deep down only what is
 * required is made, which ends recursive schemas; one that requires itself has no finite instance and ends in null. */
#include "llm/mock.h"

#include "base/buf.h"
#include "llm/mock_pattern.h"

#include <math.h>

enum { MAX_DEPTH = 24, PLENTY_DEPTH = 5, MAX_VALUES = 20000, MAX_ITEMS = 1000, MAX_LENGTH = 10000, MAX_MERGES = 32 };

struct maker {
    struct arena *a;
    const struct val *root;
    unsigned values; /* made so far */
};

/* ---- merging schemas ---- */

static const struct val *follow(const struct maker *m, struct str ref)
{
    const struct val *v = m->root;
    if (!str_starts(ref, STR("#")))
        return NULL;
    ref = str_from(ref, 1);
    while (v && ref.n) {
        if (ref.p[0] != '/')
            return NULL;
        ref = str_from(ref, 1);
        const char *slash = memchr(ref.p, '/', ref.n);
        size_t n = slash ? (size_t)(slash - ref.p) : ref.n;
        char *key = arena_alloc(m->a, n + 1);
        size_t len = 0;
        for (size_t i = 0; i < n; i++) {
            char c = ref.p[i];
            if (c == '~' && i + 1 < n)
                c = ref.p[++i] == '1' ? '/' : '~';
            key[len++] = c;
        }
        int64_t index;
        bool numbered = v->type == VAL_ARRAY && str_to_i64(str_n(key, len), &index) && index >= 0;
        v = numbered ? val_at(v, (size_t)index) : val_get(v, str_n(key, len));
        ref = str_from(ref, n);
    }
    return v;
}

/* Of two bounds the stricter one; of two lists of names both; of two sets of properties both; else the second. */
static struct val merge_member(struct arena *a, struct str key, const struct val *x, const struct val *y)
{
    static const char *const lower[] = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"};
    static const char *const upper[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"};
    for (size_t i = 0; i < 5; i++) {
        if (str_is(key, lower[i]))
            return val_to_double(x, -INFINITY) > val_to_double(y, -INFINITY) ? *x : *y;
        if (str_is(key, upper[i]))
            return val_to_double(x, INFINITY) < val_to_double(y, INFINITY) ? *x : *y;
    }
    if (str_is(key, "required") && x->type == VAL_ARRAY && y->type == VAL_ARRAY) {
        struct val_list l = val_list_new(a);
        for (size_t i = 0; i < x->arr.n; i++)
            val_list_push(&l, x->arr.v[i]);
        for (size_t i = 0; i < y->arr.n; i++)
            val_list_push(&l, y->arr.v[i]);
        return val_list_done(&l);
    }
    if (str_is(key, "properties") && x->type == VAL_OBJECT && y->type == VAL_OBJECT) {
        struct val_map m = val_map_new(a);
        val_map_merge(&m, x);
        for (size_t i = 0; i < y->obj.n; i++) {
            const struct val *old = val_get(x, y->obj.m[i].key);
            struct val both = y->obj.m[i].val;
            if (old) { /* described twice: both hold */
                struct val_list l = val_list_new(a);
                struct val_map all = val_map_new(a);
                val_list_push(&l, *old);
                val_list_push(&l, both);
                VAL_MAP_SET(&all, "allOf", val_list_done(&l));
                both = val_map_done(&all);
            }
            val_map_set(&m, y->obj.m[i].key, both);
        }
        return val_map_done(&m);
    }
    return *y;
}

static struct val merge(struct arena *a, const struct val *x, const struct val *y)
{
    if (y->type != VAL_OBJECT)
        return *x;
    struct val_map m = val_map_new(a);
    val_map_merge(&m, x);
    for (size_t i = 0; i < y->obj.n; i++) {
        const struct member *k = &y->obj.m[i];
        const struct val *old = val_get(x, k->key);
        val_map_set(&m, k->key, old ? merge_member(a, k->key, old, &k->val) : k->val);
    }
    return val_map_done(&m);
}

static struct val without(struct arena *a, const struct val *schema, const char *key)
{
    struct val_map m = val_map_new(a);
    for (size_t i = 0; i < schema->obj.n; i++) {
        if (!str_is(schema->obj.m[i].key, key))
            val_map_set(&m, schema->obj.m[i].key, schema->obj.m[i].val);
    }
    return val_map_done(&m);
}

static const struct val *first_branch(const struct val *list)
{
    for (size_t i = 0; val_is(list, VAL_ARRAY) && i < list->arr.n; i++) {
        if (!str_is(val_get_str(&list->arr.v[i], STR("type"), (struct str){0}), "null"))
            return &list->arr.v[i];
    }
    return val_at(list, 0);
}

/* The schema with its combinators worked in. */
static struct val flatten(struct maker *m, const struct val *schema)
{
    struct val s = *schema;
    for (unsigned round = 0; round < MAX_MERGES && s.type == VAL_OBJECT; round++) {
        const struct val *ref = VAL_GET(&s, "$ref"), *all = VAL_GET(&s, "allOf");
        const struct val *any = VAL_GET(&s, "anyOf"), *one = VAL_GET(&s, "oneOf");
        const struct val *branch = NULL;
        if (ref) {
            branch = ref->type == VAL_STR ? follow(m, ref->s) : NULL;
            s = without(m->a, &s, "$ref");
        } else if (all) {
            s = without(m->a, &s, "allOf");
            for (size_t i = 0; val_is(all, VAL_ARRAY) && i < all->arr.n; i++) {
                struct val part = all->arr.v[i];
                const struct val *target = follow(m, val_get_str(&part, STR("$ref"), STR("?")));
                if (target && part.type == VAL_OBJECT) {
                    part = without(m->a, &part, "$ref");
                    part = merge(m->a, &part, target);
                }
                s = merge(m->a, &s, &part);
            }
        } else if (any || one) {
            branch = first_branch(any ? any : one);
            s = without(m->a, &s, any ? "anyOf" : "oneOf");
        } else {
            break;
        }
        if (branch)
            s = merge(m->a, &s, branch);
    }
    return s;
}

/* ---- values ---- */

static struct str type_of(const struct val *s)
{
    static const struct {
        const char *key, *type;
    } hints[] = {{"properties", "object"}, {"required", "object"}, {"items", "array"},    {"prefixItems", "array"},
                 {"minItems", "array"},    {"minimum", "number"},  {"maximum", "number"}, {"multipleOf", "number"}};
    const struct val *type = VAL_GET(s, "type");
    if (val_is(type, VAL_STR))
        return type->s;
    for (size_t i = 0; val_is(type, VAL_ARRAY) && i < type->arr.n; i++) {
        if (val_is(&type->arr.v[i], VAL_STR) && !str_is(type->arr.v[i].s, "null"))
            return type->arr.v[i].s;
    }
    if (type)
        return STR("null");
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        if (val_get(s, str_c(hints[i].key)))
            return str_c(hints[i].type);
    }
    return STR("string");
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static double limit(const struct val *s, const char *key, double fallback)
{
    return val_to_double(val_get(s, str_c(key)), fallback);
}

/* Whether a default or an example may stand for the schema: its own author can be wrong. */
static bool plausible(const struct val *s, const struct val *v)
{
    struct str type = type_of(s), is = str_c(val_type_name(v));
    const struct val *types = VAL_GET(s, "type");
    bool fits = str_eq(type, is) || (str_is(type, "number") && val_is_number(v)) || !types;
    if (!fits || (val_is(types, VAL_ARRAY) && v->type == VAL_NULL))
        return false;
    if (val_is_number(v)) {
        double d = val_to_double(v, 0);
        return d >= limit(s, "minimum", -INFINITY) && d <= limit(s, "maximum", INFINITY) &&
               d > limit(s, "exclusiveMinimum", -INFINITY) && d < limit(s, "exclusiveMaximum", INFINITY);
    }
    if (v->type == VAL_STR)
        return (double)characters(v->s) >= limit(s, "minLength", 0) &&
               (double)characters(v->s) <= limit(s, "maxLength", INFINITY);
    if (v->type == VAL_ARRAY)
        return (double)v->arr.n >= limit(s, "minItems", 0) && (double)v->arr.n <= limit(s, "maxItems", INFINITY);
    const struct val *required = VAL_GET(s, "required");
    for (size_t i = 0; v->type == VAL_OBJECT && val_is(required, VAL_ARRAY) && i < required->arr.n; i++) {
        if (!val_is(&required->arr.v[i], VAL_STR) || !val_get(v, required->arr.v[i].s))
            return false;
    }
    return true;
}

static const char *format_example(struct str format)
{
    static const struct {
        const char *format, *example;
    } formats[] = {
        {"date-time", "2026-01-01T00:00:00Z"},
        {"date", "2026-01-01"},
        {"time", "00:00:00Z"},
        {"duration", "PT1S"},
        {"email", "user@example.com"},
        {"hostname", "example.com"},
        {"ipv4", "192.0.2.1"},
        {"ipv6", "2001:db8::1"},
        {"uri", "https://example.com/"},
        {"uri-reference", "/"},
        {"uuid", "00000000-0000-4000-8000-000000000000"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (str_is(format, formats[i].format))
            return formats[i].example;
    }
    return NULL;
}

static struct val make_string(struct maker *m, const struct val *s, struct str name, size_t ordinal)
{
    const char *example = format_example(val_get_str(s, STR("format"), (struct str){0}));
    struct str pattern = val_get_str(s, STR("pattern"), (struct str){0}), text;
    if (example)
        return val_str(str_c(example));
    double min = limit(s, "minLength", 0), max = limit(s, "maxLength", MAX_LENGTH);
    size_t least = min > MAX_LENGTH ? MAX_LENGTH : min > 0 ? (size_t)min : 0;
    size_t most = max > MAX_LENGTH ? MAX_LENGTH : max > 0 ? (size_t)max : 0;
    if (pattern.n && mock_pattern(m->a, pattern, least, &text))
        return val_str(text);
    struct buf b;
    buf_init(&b, (size_t)MAX_LENGTH * 8);
    buf_add(&b, name.n ? name : STR("text"));
    if (ordinal)
        buf_printf(&b, " %zu", ordinal + 1);
    while (characters(buf_str(&b)) < least && !b.overflow)
        buf_addc(&b, '.');
    size_t n = 0, count = 0;
    for (; n < b.n; n++) {
        bool begins = ((unsigned char)b.p[n] & 0xC0) != 0x80;
        if (begins && count++ == most)
            break;
    }
    text = arena_str(m->a, str_n(b.p, n));
    buf_done(&b);
    return val_str(text);
}

static struct val make_number(const struct val *s, bool integer, size_t ordinal)
{
    double min = limit(s, "minimum", -INFINITY), max = limit(s, "maximum", INFINITY);
    double above = limit(s, "exclusiveMinimum", -INFINITY), below = limit(s, "exclusiveMaximum", INFINITY);
    double step = limit(s, "multipleOf", 0), d = 1 + (double)ordinal;
    if (integer) {
        min = fmax(ceil(min), floor(above) + 1);
        max = fmin(floor(max), ceil(below) - 1);
    } else if (d <= above || d >= below) { /* strictly between the bounds, of whichever kind they are */
        double low = fmax(min, above), high = fmin(max, below);
        d = isinf(high) ? low + 1 : isinf(low) ? high - 1 : low + (high - low) / 2;
    }
    d = d < min ? min : d > max ? max : d;
    if (step > 0) {
        d = ceil(d / step) * step;
        if (d > max)
            d = floor(max / step) * step;
    }
    if (integer || (d == floor(d) && fabs(d) < 1e15))
        return fabs(d) < 9e18 ? val_int((int64_t)d) : val_int(0);
    return isfinite(d) ? val_double(d) : val_int(0);
}

static struct val make(struct maker *m, const struct val *schema, struct str name, unsigned depth, size_t ordinal);

static struct val make_array(struct maker *m, const struct val *s, struct str name, unsigned depth)
{
    const struct val *items = VAL_GET(s, "items"), *prefix = VAL_GET(s, "prefixItems");
    bool unique = val_get_bool(s, STR("uniqueItems"), false);
    double min = limit(s, "minItems", 0), max = limit(s, "maxItems", MAX_ITEMS);
    size_t n = min > MAX_ITEMS ? MAX_ITEMS : min > 0 ? (size_t)min : 0;
    size_t fixed = val_is(prefix, VAL_ARRAY) ? prefix->arr.n : 0;
    if (n < fixed)
        n = fixed;
    bool any_items = items ? items->type != VAL_BOOL : !fixed;
    if (n == 0 && depth < PLENTY_DEPTH && max >= 1 && any_items)
        n = 1;
    if ((double)n > max)
        n = max > 0 ? (size_t)max : 0;
    struct val_list l = val_list_new(m->a);
    for (size_t i = 0; i < n && m->values < MAX_VALUES; i++) {
        const struct val *one = i < fixed ? &prefix->arr.v[i] : items ? items : &val_true;
        val_list_push(&l, make(m, one, name, depth + 1, unique ? i : 0));
    }
    return val_list_done(&l);
}

static bool is_required(const struct val *s, struct str key)
{
    const struct val *required = VAL_GET(s, "required");
    for (size_t i = 0; val_is(required, VAL_ARRAY) && i < required->arr.n; i++) {
        if (val_is(&required->arr.v[i], VAL_STR) && str_eq(required->arr.v[i].s, key))
            return true;
    }
    return false;
}

static struct val make_object(struct maker *m, const struct val *s, unsigned depth)
{
    const struct val *properties = VAL_GET(s, "properties"), *required = VAL_GET(s, "required");
    const struct val *more = VAL_GET(s, "additionalProperties");
    struct val_map out = val_map_new(m->a);
    for (size_t i = 0; val_is(properties, VAL_OBJECT) && i < properties->obj.n && m->values < MAX_VALUES; i++) {
        const struct member *p = &properties->obj.m[i];
        if (depth < PLENTY_DEPTH || is_required(s, p->key))
            val_map_set(&out, p->key, make(m, &p->val, p->key, depth + 1, 0));
    }
    for (size_t i = 0; val_is(required, VAL_ARRAY) && i < required->arr.n && m->values < MAX_VALUES; i++) {
        const struct val *key = &required->arr.v[i];
        if (val_is(key, VAL_STR) && !val_get(properties, key->s))
            val_map_set(&out, key->s, make(m, more ? more : &val_true, key->s, depth + 1, 0));
    }
    double min = limit(s, "minProperties", 0);
    for (size_t i = 1; (double)out.n < min && i <= MAX_ITEMS && m->values < MAX_VALUES; i++) {
        struct str key = arena_printf(m->a, "key_%zu", i);
        val_map_set(&out, key, make(m, more ? more : &val_true, key, depth + 1, 0));
    }
    return val_map_done(&out);
}

static struct val make(struct maker *m, const struct val *schema, struct str name, unsigned depth, size_t ordinal)
{
    if (++m->values > MAX_VALUES || depth > MAX_DEPTH)
        return val_null;
    struct val s = flatten(m, schema);
    if (s.type != VAL_OBJECT)
        return val_str(name.n ? name : STR("text"));
    const struct val *constant = VAL_GET(&s, "const"), *choices = VAL_GET(&s, "enum");
    const struct val *preset = VAL_GET(&s, "default"), *examples = VAL_GET(&s, "examples");
    if (constant)
        return *constant;
    if (val_is(choices, VAL_ARRAY) && choices->arr.n)
        return choices->arr.v[ordinal % choices->arr.n];
    if (preset && ordinal == 0 && plausible(&s, preset))
        return *preset;
    const struct val *example = val_at(examples, ordinal);
    if (example && plausible(&s, example))
        return *example;
    struct str type = type_of(&s);
    if (str_is(type, "object"))
        return make_object(m, &s, depth);
    if (str_is(type, "array"))
        return make_array(m, &s, name, depth);
    if (str_is(type, "integer") || str_is(type, "number"))
        return make_number(&s, str_is(type, "integer"), ordinal);
    if (str_is(type, "boolean"))
        return val_bool(ordinal % 2 == 0);
    return str_is(type, "null") ? val_null : make_string(m, &s, name, ordinal);
}

struct val mock_instance(struct arena *a, const struct val *schema)
{
    struct maker m = {.a = a, .root = schema};
    struct arena scratch = {0};
    m.a = &scratch;
    struct val made = make(&m, schema, (struct str){0}, 0, 0);
    struct val v = val_copy(a, &made);
    arena_done(&scratch);
    return v;
}
