#pragma once
/* A value without the keys that this process knows by their fingerprints (base/keyprint.h). */
#include "data/val.h"

/* `v` itself, borrowed, when no key is in it; else a copy in `a`. Names in objects are looked at, too. */
struct val val_covered(struct arena *a, const struct val *v);
/* The same of a JSON text: parsed and written anew only if there is a key in it. */
struct str json_covered(struct arena *a, struct str json);
