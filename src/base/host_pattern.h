#pragma once
/* Names of hosts as a list of allowed ones has them: "name", "name:port", "*.name", "*.name:port". */
#include "base/str.h"

#include <stdint.h>

/* What an entry of a list may look like. No NUL, no other character than those of names. */
bool host_pattern_valid(struct str pattern);
/* Does it mean this host? Without a port in it: 80 and 443. Case counts for nothing, nor does a dot at the end of a
 * name. `*.name` means what is below the name, not itself. An invalid pattern means nothing. */
bool host_pattern_matches(struct str pattern, struct str name, uint16_t port);

/* A name as it stands in a request. */
bool host_name_valid(struct str name);
/* Splits "name[:port]"; *port is 0 when there is none. False when what follows the colon is no port. */
bool host_split(struct str s, struct str *name, unsigned *port);
/* Without a dot at its end. */
struct str host_bare(struct str name);
