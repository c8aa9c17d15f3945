#pragma once
/* What stands in a source file: its functions, classes and the like, what it imports and exports.
 *
 * A file is parsed, outlined and its tree freed before the next one: memory is that of one tree and of the outlines. */
#include "code/files.h"

enum item_kind { ITEM_FUNCTION, ITEM_CLASS, ITEM_INTERFACE, ITEM_MODULE };

struct strs {
    const struct str *v;
    size_t n;
};
struct item {
    enum item_kind kind;
    const char *what; /* "function", "method", "struct", "trait", "module", …: the language's word */
    struct str name;
    struct str owner;        /* names of what it stands in: "Store.Item"; or empty */
    uint32_t line, end_line; /* of its name; of its end; from 1 */
    bool is_public, exported;
    bool markup;             /* a function with JSX in it */
    struct str signature;    /* up to its body, on one line */
    struct strs annotations; /* decorators, attributes, annotations before it, in order */
    struct strs bases;       /* what a class or module extends, implements, uses */
};
struct import {
    struct str target; /* as written, without quotes: "os.path", "./util", "crate::db", "stdio.h" */
    struct strs names; /* what of it: names in `from x import a, b` */
    uint32_t line;
    char how; /* of the language: see resolve.c; 0: a plain import */
};
struct export
{
    struct str name;
    const char *what;
    uint32_t line;
};
struct outline {
    const struct item *items;
    size_t nitems;
    const struct import *imports;
    size_t nimports;
    const struct export *exports; /* those that are no items: lists of names, defaults */
    size_t nexports;
    struct str package; /* Java, Go: the package declared */
    bool errors;        /* parts could not be parsed */
};
struct mention {
    uint32_t line, col;
    bool call, definition;
    struct str text; /* the line, trimmed */
};

enum { OUTLINE_FILE_MAX = 2 << 20, OUTLINE_FILE_US = 10000000 };

/* Into `a`. RC_NOT_FOUND, RC_VERSION: no grammar; RC_LIMIT, RC_TIMEOUT, RC_INVALID: this file cannot be looked into. */
enum rc outline_make(enum lang lang, struct str source, struct arena *a, const struct outline **ret,
                     struct err *err) MUST_CHECK;
/* Identifiers equal to `name`, in order, at most `max`. */
enum rc outline_mentions(enum lang lang, struct str source, struct str name, size_t max, struct arena *a,
                         struct mention **ret, size_t *n, struct err *err) MUST_CHECK;
