#pragma once
/* Text with holes: "Fix {{ steps.test.stderr }} in {{ inputs.file }}".
 *
 * Inside {{ }} stands an expression (data/expr.h). A template that is one hole and nothing else (spaces around it
 * allowed) keeps the type of its value; otherwise the result is text, where strings stand as they are, null as nothing,
 * and other values as JSON. `{{{{` is a literal `{{`. `${…}` is left alone here. */
#include "base/err.h"
#include "data/expr.h"

struct tmpl; /* owned by the arena it was parsed into; shared freely */

enum rc tmpl_parse(struct arena *a, struct str text, uint32_t line, uint32_t col, const struct tmpl **ret,
                   struct err *err) MUST_CHECK;
/* True when `text` has no hole: its value is itself (with `{{{{` undone). */
bool tmpl_is_constant(const struct tmpl *t);
enum rc tmpl_eval(const struct tmpl *t, struct expr_scope *scope, struct arena *a, struct val *ret,
                  struct err *err) MUST_CHECK;
enum rc tmpl_each_path(const struct tmpl *t,
                       enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err), void *ctx,
                       struct err *err) MUST_CHECK;

/* What the holes of a text for /bin/sh may do to it. A hole is safe when it is quote(…), a constant, or cannot yield
 * anything but a number or a boolean; so is one hole that is a list, which needs no shell. The first that is not: */
enum tmpl_shell {
    TMPL_SHELL_SAFE,
    TMPL_SHELL_RAW,          /* text that the shell will read as code */
    TMPL_SHELL_QUOTED_TWICE, /* quote(…) inside of quotes, which end where its own begin */
};
enum tmpl_shell tmpl_shell(const struct tmpl *t);

/* A whole value tree in which every string may be a template (keys are not). Strings without holes cost nothing. */
struct tmpl_tree;
enum rc tmpl_tree_parse(struct arena *a, const struct val *v, const struct tmpl_tree **ret, struct err *err) MUST_CHECK;
enum rc tmpl_tree_eval(const struct tmpl_tree *t, struct expr_scope *scope, struct arena *a, struct val *ret,
                       struct err *err) MUST_CHECK;
enum rc tmpl_tree_each_path(const struct tmpl_tree *t,
                            enum rc (*cb)(void *ctx, const struct expr_path *path, bool soft, struct err *err),
                            void *ctx, struct err *err) MUST_CHECK;
