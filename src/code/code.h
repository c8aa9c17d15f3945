#pragma once
/* The hidden sub-command `treadle __code`: answers questions about the source code in its working directory.
 *
 * A process of its own, started by the executor under a launcher for one request, because it feeds hostile files to
 * parsers that are not ours: whatever they do to it, a time limit and limits of memory and processor time end it, and
 * nothing else is touched. It only reads, beneath its working directory; `git` is the one program it starts.
 *
 * Standard input: one JSON object
 *     {queries: {NAME: {KIND: criteria, …}, …}, context?: true, timeout_ms?}
 * with the kinds and criteria of data/code_queries.def. Standard output: one JSON object,
 *     {ok: {NAME: answer, …, codebase? (with context), skipped_files?: [{path, reason}]}} or {error: {class, message}}
 * Exit code 0 in both cases. A file that crashes its parser is among the skipped ones. */

int code_main(void);
