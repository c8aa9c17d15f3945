#pragma once
/* What the two files of the migration share: edits of a text, and the value tree that they must lead to. */
#include "base/map.h"
#include "data/val.h"
#include "flow/keys.h"
#include "flow/migrate.h"

struct edit {
    size_t from, to; /* bytes of the text */
    struct str with;
    size_t order; /* of edits at one place */
};

struct migration {
    struct arena *a;
    struct str text;
    size_t *start; /* of line n, from 1; start[lines + 1] is the end */
    uint32_t lines;
    struct edit *edits;
    size_t n, cap, changes;
    int deeper; /* columns that all lines move to the right */
};

/* migrate_edit.c: places and edits */
void edits_init(struct migration *g, struct arena *a, struct str text);
/* The byte at a place; text.n when there is none. */
size_t edit_offset(const struct migration *g, uint32_t line, uint32_t col);
void edit_replace(struct migration *g, size_t from, size_t to, struct str with);
/* The key's text, which must stand there as it is (or in quotes). */
void edit_key(struct migration *g, const struct member *m, const char *name);
/* A scalar that stands in one line: its end. */
size_t edit_scalar_end(const struct migration *g, size_t from);
/* The end of a value in flow style, or of a scalar of one line. */
size_t edit_value_end(const struct migration *g, size_t from);
void edit_scalar(struct migration *g, const struct val *v, struct str with);
bool edit_is_flow(const struct migration *g, const struct val *container);
/* Spaces before the first other character of a line; `blank`: there is none. */
size_t edit_indent(const struct migration *g, uint32_t line, bool *blank);
/* The first line behind a block that begins at `line` with a key in column `col`; `list`: its value is a list. */
uint32_t edit_block_end(const struct migration *g, uint32_t line, uint32_t col, bool list);
void edit_shift(struct migration *g, uint32_t from, uint32_t to, size_t spaces);
struct str edits_apply(struct migration *g);

/* migrate_step.c: lists of steps */
struct val migrate_steps(struct migration *g, const struct val *list);
