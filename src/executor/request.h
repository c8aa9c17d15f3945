#pragma once
/* Requests for commands, read and checked: from value trees to what command.h wants, and results back. */
#include "executor/beneath.h"
#include "executor/command.h"
#include "executor/limits.h"
#include "executor/redact.h"

#include "data/val.h"

enum {
    OUTPUT_LIMIT = 1 << 20,      /* of a command, each of stdout and stderr */
    OUTPUT_LIMIT_MAX = 64 << 20, /* what a request may ask for */
    TOOL_OUTPUT_LIMIT = 30000    /* of a tool: a model reads it */
};

/* Fills `spec` except for lock_fd, workspace_fd and self; its tier and places must be set. Texts are borrowed from
 * `req` and `a`. spec->cwd_fd is open on RC_OK and then the caller's to close. The values of secrets that the command
 * gets are added to `r`. RC_INVALID, RC_NOT_FOUND, RC_IO. */
enum rc request_command(const struct val *req, const struct beneath *workspace, struct arena *a, struct redactor *r,
                        struct command_spec *spec, struct err *err) MUST_CHECK;
/* The same for tool Bash: `req` is the tool request. RC_INVALID_REQUEST when the model's input is wrong; the message is
 * for the model. */
enum rc request_bash(const struct val *req, const struct beneath *workspace, struct arena *a, struct command_spec *spec,
                     struct err *err) MUST_CHECK;

/* Will it be without any network? */
bool request_offline(const struct val *req, enum sandbox_tier tier);

struct val result_command(const struct command_outcome *o, struct str hint, struct arena *a);
struct val result_bash(const struct command_outcome *o, struct str hint, int64_t timeout_ms, struct arena *a);
/* The error of a command that was stopped because it printed so much. */
struct val result_flooded(const struct val *error, uint64_t printed, struct arena *a);
/* {class, code, message} */
struct val result_error(const struct err *err, const char *code, struct arena *a);

/* A path option of a request, relative to the workspace; "." when absent. */
enum rc request_cwd(const struct val *req, const struct beneath *workspace, struct arena *a, struct str *ret,
                    struct err *err) MUST_CHECK;
/* Opens it, as spec->cwd_fd, and says so in spec->places. */
enum rc request_directory(const struct val *req, const struct beneath *workspace, struct arena *a,
                          struct command_spec *spec, struct err *err) MUST_CHECK;
/* What the command may use: `memory_limit` and `process_limit` of the request, within what the machine allows, and
 * `output_left`. */
void request_limits(const struct val *req, const struct command_limits *machine, struct command_spec *spec);
size_t request_output_limit(const struct val *req, size_t fallback);
