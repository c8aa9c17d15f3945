#pragma once
/* Loading workflows in tests: one at a time, freed by load_done(). */
#include "base/buf.h"
#include "flow/def.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct loaded {
    struct arena a;
    struct problems ps;
    struct workflow *w;
    struct buf shown; /* the problems as people see them */
};
static struct loaded loaded;

static inline void load_done(void)
{
    workflow_unref(loaded.w);
    buf_done(&loaded.shown);
    arena_done(&loaded.a);
    loaded = (struct loaded){0};
}

/* Loads; the result may be NULL. What was loaded before is freed. */
static inline struct workflow *load_any(struct str text)
{
    load_done();
    loaded.ps.a = &loaded.a;
    buf_init(&loaded.shown, (size_t)4 << 20);
    loaded.w = workflow_load(text, STR("test.yaml"), &loaded.ps);
    problems_print(&loaded.shown, STR("test.yaml"), text, &loaded.ps);
    return loaded.w;
}
