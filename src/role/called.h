#pragma once
/* The files of workflows that a workflow calls, as a run is pinned to them: in memory, and in its journal.
 *
 * What is read for a run is kept, so that it can be recorded with the run; a resumed run reads from the record. */
#include "data/val.h"
#include "flow/def.h"
#include "store/store.h"

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

/* RC_CORRUPT when it is not here. */
enum rc called_find(const struct called_files *f, struct str from, struct str name, bool stored,
                    struct workflow_text *ret, struct err *err) MUST_CHECK;
void called_keep(struct called_files *f, const struct called_file *c);
/* RC_INVALID, with its place, when a provider's key stands in the text of the workflow or of a file that it calls: what
 * is pinned is kept word for word. */
enum rc called_keyless(const struct called_files *f, struct str file, struct str text, struct err *err) MUST_CHECK;
/* The names of the secrets that the workflow and those that it calls list; in `a`. */
const struct str *called_secrets(const struct workflow *w, struct arena *a, size_t *n);
/* Are all secrets of the workflow, and of those that it calls, among the words of `offered`? Those that are not are
 * told to `problems`, a file at a time. */
bool called_offered(const struct workflow *w, struct str offered, struct arena *a,
                    void (*problems)(void *ctx, const struct workflow_text *t, const struct problems *ps), void *ctx);
/* The directory of an absolute path to a file. */
struct str called_directory(struct str path);

/* What a journal holds of them: {root, files: [{from, name, stored, path, file, dir, sha256}]}; the texts are blobs. */
struct val called_val(const struct called_files *f, struct arena *a);
void called_put(const struct called_files *f, struct store_batch *b);
/* Reads it back, texts from the store; pins `f`. */
enum rc called_from(struct called_files *f, const struct val *v, struct store *store, struct err *err) MUST_CHECK;
