#pragma once
/* Workflows in more than one file: `extends`, `include` and `$if`, brought together before anything else is read.
 *
 * Values keep the places that they came from: the upper bits of a line number say which file. What was read, and what
 * the environment said, goes into the workflow's pinned text (a bundle), so a run can be resumed when the files have
 * changed or are gone. */
#include "base/map.h"
#include "flow/def.h"

enum {
    SOURCES_MAX = 63,       /* files of one workflow, the main one included */
    SOURCES_DEPTH_MAX = 10, /* files that extend or include one another in a row */
};

/* Where a place is: the file's number and the line in it. */
#define PLACE_SHIFT      26
#define PLACE_FILE(line) ((line) >> PLACE_SHIFT)
#define PLACE_LINE(line) ((line) & ((1u << PLACE_SHIFT) - 1))

struct composed {
    struct arena *a; /* owns all but `names` */
    struct problems *ps;
    const struct load_files *files; /* NULL: there are none beside the text */
    struct source *sources;         /* SOURCES_MAX; the first is the main file */
    size_t n;
    struct val *docs;   /* by source: what is in it */
    bool *read;         /* by source: it could be read */
    struct map names;   /* of anchors and components of the files that were included: struct named in the arena */
    struct val_map env; /* variables that some `$if` asked for, as they were found */
    bool used;          /* something was read beside the text: it must be pinned */
};

/* The document (of the first source) with all that it extends, includes and chooses. Mistakes are reported; what could
 * not be read is left out. False: the first source itself is no YAML. */
bool compose(struct composed *c, struct val *ret);
/* Frees what the arena does not own. */
void compose_done(struct composed *c);

/* The text to pin: the main file's own, or all files and answers in one. */
struct str bundle_write(const struct composed *c);
/* Is it such a text? Then *files answers from it, and the first source is the main file's. */
bool bundle_read(struct arena *a, struct str text, struct source *main, struct load_files *files);
