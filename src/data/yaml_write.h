#pragma once
/* Value trees as YAML: one document in block style that yaml_parse() reads back as an equal value. */
#include "base/buf.h"
#include "data/val.h"

/* At most 64 levels deep. Text that YAML 1.1 or 1.2 would take for something else is quoted; text of several lines
 * stands in a block where it can. Non-finite numbers become null, as in JSON. Ends with a newline. */
void yaml_write(struct buf *out, const struct val *v);
