#pragma once
/* Tables of keys as pieces of a JSON Schema (draft 7, which editors' language servers understand), for cmd_schema.c.
 *
 * Everything is made in the maker's arena. `$ref` stands alone in its map, as that draft wants it; what editors show or
 * leave out is said by their own keywords: `deprecationMessage`, `doNotSuggest`, `errorMessage`, `enumDescriptions`. */
#include "data/json.h"
#include "flow/keys.h"

struct maker {
    struct arena a;
    struct val_map defs;
};

/* A table, and what is so of all its keys. */
struct key_table {
    const struct step_key *keys;
    const struct unused_key *unused; /* or NULL */
    bool holes;                      /* a template may stand for numbers and the like */
    bool nulls;                      /* a key without a value is as good as none */
    bool once;                       /* two keys that mean the same are an error */
    bool older;                      /* other spellings are told as older forms */
    const char *shared;              /* keys become definitions of this name, a `_` and theirs; NULL: they do not */
};

/* A schema written as JSON here in the source. */
struct val piece(struct maker *k, const char *text);
struct val piece_reference(struct maker *k, const char *name);
void piece_define(struct maker *k, const char *name, struct val schema);
/* The texts between bars. */
struct val piece_texts(struct maker *k, const char *bars);
/* {enum: [name(0), …]} */
struct val piece_names(struct maker *k, const char *(*name)(size_t));
/* {anyOf: [others…, last]} */
struct val piece_any(struct maker *k, const char *others, struct val last);

/* The keys' schemas, where `properties` has none of that name yet; then the keys without an effect. */
void table_properties(struct maker *k, struct val_map *properties, const struct key_table *t);
/* Adds to `required`, and to `all` what cannot be said there: a key that must be there has several spellings, a value
 * is given under two of them. */
void table_rules(struct maker *k, struct val_list *required, struct val_list *all, const struct key_table *t);
/* An object with the keys of `t`, by its rules, and those of `more` (or NULL), without them, and no others. */
struct val table_object(struct maker *k, const struct key_table *t, const struct key_table *more);
