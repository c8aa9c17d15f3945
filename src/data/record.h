#pragma once
/* One entry of a run's journal, as the engine appends it and the store keeps it. */
#include "base/str.h"

enum record_kind {                 /* stored as numbers: append only */
                   RECORD_RUN = 1, /* path "": the start: workflow hash, inputs, versions */
                   RECORD_OPEN,    /* a frame was entered; what its templates evaluated to */
                   RECORD_INTENT,  /* an attempt at an effect is about to start */
                   RECORD_RESULT,  /* what came of that attempt, or of an attempt at a whole step */
                   RECORD_DONE,    /* a frame ended: its result */
                   RECORD_WRITE,   /* variables changed */
                   RECORD_RESUME,  /* the run was resumed; which ended frames are open again */
                   RECORD_NOTE,    /* for people: a warning, a hold */
                   RECORD_END,     /* path "": how the run ended */
                   RECORD_SIGNAL   /* path "", attempt N: signal number N arrived (flow/wait.h) */
};
struct record {
    uint64_t seq; /* given by the store, increasing; 0 when appending */
    enum record_kind kind;
    struct str path;
    uint32_t attempt;
    int64_t time_ms;
    struct str data; /* JSON */
};
