#pragma once
/* Files of data as values and back: CSV, JSON, JSON lines, XML and YAML, each to and from the one value tree.
 *
 * Pure and bounded: at most CONVERT_DEPTH_MAX levels and CONVERT_NODES_MAX values. Texts are UTF-8 (CSV and JSON may
 * begin with a byte order mark). What does not fit the other format is an error that says where, never dropped.
 *
 * CSV   rows of fields after RFC 4180. With `headers` the first row names the columns and a file is a list of objects;
 *       `columns` names them when the file has no such row; otherwise it is a list of lists. Every field is text.
 * Written are a list of objects (columns in the order they are first met), an object (one row), a list of lists, or a
 *       list of scalars (one column, `value`); null is an empty field, a list or object inside a field is JSON.
 * XML   {"root": content}. An element is text, or null when it has nothing at all; with attributes or children it is an
 *       object: "@name" for an attribute, the child's name for a child (a list when it occurs more than once), "#text"
 *       for text of its own. No document type, no entities but the five predefined. Names that XML does not allow are
 *       written with _xHHHH_ for each bad character and read back. What is no object of one member gets a root `root`,
 *       elements of a list within a list, and of the root, are called `item`. Reading what was written from a value
 * read gives that value; numbers, booleans, lists of one and empty lists do not come back as such. YAML  as data/yaml.h
 * reads it. Written in block style; quotes where YAML 1.1 or 1.2 would see something else. */
#include "base/buf.h"
#include "base/err.h"
#include "data/val.h"

enum convert_format { CONVERT_CSV, CONVERT_JSON, CONVERT_JSONL, CONVERT_XML, CONVERT_YAML, CONVERT_COUNT };
enum { CONVERT_DEPTH_MAX = 60, CONVERT_NODES_MAX = 4000000 };

struct convert_options {
    char delimiter;            /* CSV; 0: a comma */
    bool no_headers;           /* CSV: there is no row of names */
    const struct val *columns; /* CSV: names of the columns (list of text), or NULL */
    unsigned indent;           /* JSON, XML: spaces a level; 0: all in one line */
};

/* "csv", "json", "jsonl", "xml", "yaml" (and "yml"); CONVERT_COUNT: none of them. */
enum convert_format convert_format_named(struct str name);
const char *convert_format_name(enum convert_format f);

/* RC_INVALID ("line 3: …"), RC_LIMIT. Everything in *ret is copied into `a`. */
enum rc convert_read(enum convert_format f, struct str text, const struct convert_options *o, struct arena *a,
                     struct val *ret, struct err *err) MUST_CHECK;
/* RC_INVALID: the value has no such form. RC_LIMIT: larger than `out` may become. */
enum rc convert_write(enum convert_format f, const struct val *v, const struct convert_options *o, struct buf *out,
                      struct err *err) MUST_CHECK;
