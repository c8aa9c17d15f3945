#pragma once
/* The options that `run`, `resume` and `fork` share: how models are reached and what is shown. */
#include "cli/args.h"
#include "cli/session.h"

#define RUN_OPTIONS                                                                                          \
    {"mock", 0, "FIXTURES", "Make answers up: no network, no cost. With a file: scripted answers.", true},   \
        {"record", 0, "FILE", "Append every exchange with a model to FILE.", false},                         \
        {"replay", 0, "FILE", "Answer from a recording instead of the network.", false},                     \
        {"json", 0, NULL, "Print the result as one JSON object.", false},                                    \
        {"sandbox", 0, "TIER", "How far commands are confined: strict (default), standard or none.", false}, \
        {"wait", 0, NULL, "Stay while the run waits for an answer or a signal, rather than end.", false},    \
    {                                                                                                        \
        "quiet", 'q', NULL, "No progress.", false                                                            \
    }

/* Fills mode, fixtures, replay_file, record_file, json, quiet, stay and tier. RC_USAGE, RC_NOT_FOUND. */
enum rc run_options_read(struct session *s, const struct args *args, struct err *err) MUST_CHECK;
