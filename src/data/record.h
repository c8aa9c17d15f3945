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
/* What records mean, beside their form: raised when an older Treadle would carry a run on wrongly. 2: what a session's
 * history was is told by its size and hash, and it is read again from the session; in 1 the record has all of it. */
enum { RECORD_SEMANTICS = 2 };
struct record {
    uint64_t seq; /* given by the store, increasing; 0 when appending */
    enum record_kind kind;
    struct str path;
    uint32_t attempt;
    int64_t time_ms;
    struct str data; /* JSON */
};
