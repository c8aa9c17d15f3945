#pragma once
/* The files of workflows that a workflow calls: read from the disk, or as a run is pinned to them.
 *
 * What is read is kept, so that it can be recorded with the run; a resumed run reads from the record. */
#include "data/val.h"
#include "flow/def.h"

struct called_file {
    struct str from, name; /* the directory of the file that names it; as named there */
    bool stored;
    struct workflow_text t;
};
struct called_files {
    struct arena *a; /* the owner's; everything here lives in it */
    struct called_file *v;
    size_t n, cap;
    struct str root_path; /* workflow_text.path of the run's own workflow */
    bool pinned;          /* answer from what is here, and from nothing else */
};

/* For flow: `ctx` is a struct called_files. */
enum rc called_read(void *ctx, struct str from, struct str name, bool stored, struct arena *a,
                    struct workflow_text *ret, struct err *err) MUST_CHECK;
/* Path and directory of the workflow file that a command names. RC_IO. */
enum rc called_place(const char *file, struct arena *a, struct workflow_text *ret, struct err *err) MUST_CHECK;

/* The directory of an absolute path to a file. */
struct str called_directory(struct str path);

/* What a journal holds of them: {root, files: [{from, name, stored, path, file, dir, sha256}]}; the texts are blobs. */
struct val called_val(const struct called_files *f, struct arena *a);
struct store;
/* Reads it back, texts from the store; pins `f`. */
enum rc called_from(struct called_files *f, const struct val *v, struct store *store, struct err *err) MUST_CHECK;
struct store_batch;
void called_put(const struct called_files *f, struct store_batch *b);
