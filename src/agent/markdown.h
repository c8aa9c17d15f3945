#pragma once
/* Values as Markdown, for models to read: tables, headings and lists. Pure; what does not fit into `out` overflows it.
 */
#include "base/buf.h"
#include "data/val.h"

/* A list of lists as a table, its first row being the heads of the columns. */
void markdown_table(struct buf *out, const struct val *rows);
/* Any value: objects as headings and points, lists of flat objects as tables, other lists as points. */
void markdown_write(struct buf *out, const struct val *v);
