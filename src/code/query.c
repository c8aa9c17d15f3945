/* A request: its queries one after the other, each of one or several questions. */
#include "code/query.h"

#include <stdio.h>

static const struct kind {
    const char *name, *field, *criteria;
    query_fn *run;
} kinds[] = {
#define X(kind, field, criteria, doc) {#kind, #field, criteria, query_##kind},
#include "data/code_queries.def"
#undef X
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static const struct kind *find(struct str name)
{
    for (size_t i = 0; i < NKINDS; i++)
        if (str_is(name, kinds[i].name))
            return &kinds[i];
    return NULL;
}

static enum rc ask(struct code *c, const struct member *m, const struct kind **kind, struct val *ret, struct err *err)
{
    struct val crit;
    *kind = find(m->key);
    if (!*kind)
        return err_set(err, RC_INVALID, "there is no question `%.*s`", STR_ARG(m->key));
    enum rc rc = criteria_read(c, (*kind)->criteria, &m->val, &crit, err);
    if (rc == RC_OK)
        rc = (*kind)->run(c, &crit, ret, err);
    return rc ? err_wrap(err, "%s", (*kind)->name) : RC_OK;
}

static bool is_asked(const struct val *v)
{
    return !(v->type == VAL_BOOL && !v->b);
}

static enum rc query(struct code *c, const struct val *questions, struct val *ret, struct err *err)
{
    struct val_map m = val_map_new(c->arena);
    const struct kind *kind = NULL;
    struct val answer = val_null;
    size_t asked = 0;
    enum rc rc = RC_OK;
    if (!val_is(questions, VAL_OBJECT))
        return err_set(err, RC_INVALID, "it is %s; expected an object such as {find_files: {pattern: \"**/*.py\"}}",
                       val_type_name(questions));
    for (size_t i = 0; rc == RC_OK && i < questions->obj.n; i++) {
        if (!is_asked(&questions->obj.m[i].val))
            continue;
        rc = ask(c, &questions->obj.m[i], &kind, &answer, err);
        if (rc)
            break;
        asked++;
        if (kind->field[0])
            val_map_set(&m, str_c(kind->field), answer);
        else
            val_map_merge(&m, &answer);
        if (str_is(str_c(kind->name), "find_entry_points")) /* as older workflows call them */
            VAL_MAP_SET(&m, "components", answer);
    }
    *ret = asked == 1 ? answer : val_map_done(&m);
    return rc;
}

enum rc code_answer(struct code *c, const struct val *request, struct val *ret, struct err *err)
{
    const struct val *queries = VAL_GET(request, "queries");
    struct val_map m = val_map_new(c->arena);
    enum rc rc = RC_OK;
    c->skipped = val_list_new(c->arena);
    for (size_t i = 0; val_is(queries, VAL_OBJECT) && i < queries->obj.n && rc == RC_OK; i++) {
        struct val answer = val_null;
        rc = query(c, &queries->obj.m[i].val, &answer, err);
        if (rc)
            return err_wrap(err, "query `%.*s`", STR_ARG(queries->obj.m[i].key));
        val_map_set(&m, queries->obj.m[i].key, answer);
    }
    if (val_get_bool(request, STR("context"), false)) {
        struct val context = val_null;
        rc = project_context(c, &context, err);
        VAL_MAP_SET(&m, "codebase", context);
    }
    if (c->skipped.n)
        VAL_MAP_SET(&m, "skipped_files", val_list_done(&c->skipped));
    *ret = val_map_done(&m);
    return rc;
}
