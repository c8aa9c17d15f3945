#pragma once
/* EXEC_FILES: whole operations on files of the workspace, for workflows: copy, move, delete, list, validate, convert,
 * process; and making and removing the directory that is a called workflow's own.
 *
 * Runs on a pool thread. Everything stays beneath the workspace; nothing inside of version control directories (.git
 * and the like) is read or changed. An operation that changes something has two phases, so that a crash in between can
 * be told apart afterwards and is either completed or undone:
 *
 *   prepare   selects the files, looks at them and says what would be done: a plan; changes nothing
 *   apply     does all of it or nothing: if a file differs from the plan, or something fails, what was done is undone
 *   settle    after a crash: completes what needs only cleaning up ("done"), undoes everything else ("again"), or finds
 *             that somebody else has changed a path meanwhile ("changed": theirs stays as it is)
 *
 * Bounds: FILEOP_FILES_MAX entries, FILEOP_BYTES_MAX bytes, FILEOP_DEPTH_MAX levels; conversions FILEOP_CONVERT_MAX
 * bytes. Copies stream; memory does not grow with the size of files. */
#include "executor/tools.h"

enum { FILEOP_CHUNK_MAX = 4 << 20 }; /* bytes of a chunk of stream_read */
#define FILEOP_PIECES "pieces"       /* a directory in the run's */
enum { FILEOP_FILES_MAX = 50000, FILEOP_DEPTH_MAX = 64, FILEOP_CONVERT_MAX = 64 << 20 };
#define FILEOP_BYTES_MAX ((int64_t)64 << 30)

struct fileop {
    struct arena *arena;        /* of the call: request and result live in it */
    const struct beneath *root; /* the workspace */
    const char *run_dir;        /* where pieces are kept, or NULL */
    const struct val *request;
    const struct val *plan; /* what prepare returned, or NULL */
    enum tool_phase phase;
    const atomic_bool *cancel; /* set from the loop: undo and give up */
    const char *code;          /* out: an error code that says more than the class, or NULL */
};

/* Requests: {operation, phase?: prepare|apply|settle (apply), plan?: what prepare returned, and}
 *
 *   copy stream_copy move
 *       sources, destination, preserve_structure?, overwrite? (true), recursive? (true), preserve_timestamps?,
 *       create_destination? (true), include_hidden?, dry_run?, source?: as it is to be shown
 *       sources are [{path | pattern, exclude?: [pattern], older_than_ms?}]; a path with wildcards that does not exist
 *       is a pattern
 *   delete
 *       sources, recursive?, include_hidden?, dry_run?, files?: there: more than one path is meant
 *   make_directory
 *       path, fresh?: what is there must be empty -> {path: without links, created}
 *   remove_directory
 *       path -> {path, removed: files}: with all that is in it, whatever that is
 *   list
 *       path? (.), pattern?, glob? (true; false: a regular expression), recursive?, include_hidden?, limit?,
 *       sort_by?: path|name|size|modified, order?: asc|desc, details? (true: objects; false: paths)
 *   validate
 *       files: [{path | pattern, criteria?: as they are to be shown, must_exist? (true), must_be_file?, must_be_dir?,
 *       min_size?, max_size?, must_contain?, validate_json? (yaml, xml, csv), must_be_readable?, must_be_writable?}]
 *   convert
 *       source | value, destination, from, to: csv|json|jsonl|xml|yaml, format?: as it is to be shown,
 *       csv_delimiter?, csv_headers?, csv_columns?, json_indent?, overwrite?, create_destination?
 *   stream_process
 *       source, destination? (source), processor, pattern?, replacement?, overwrite?
 *   stream_index   source, destination?, overwrite?, chunk_size, chunk_lines?, chunk_by?: text|lines|characters
 *       -> {stamp: of the file as it is, bytes, begin: of the first chunk, ends: [of each, in bytes]}
 *   stream_read    source, stamp, from, to -> {text}
 *   stream_keep    stream: a name, index, text -> {bytes}; kept until the stream is joined
 *   stream_join    source, stamp, destination?, overwrite?, stream, chunks, processor: as it is to be shown
 *       source_changed: the file is not as its stamp says
 *
 * prepare gives {plan}, or the result where there is nothing to do (not for list, validate, and the streams' first
 * three, which have no phases); apply the result, as in docs/steps-files.md; settle {outcome, result, path?: what
 * somebody else has changed}. */
enum rc fileop_run(struct fileop *op, struct val *ret, struct err *err) MUST_CHECK;
