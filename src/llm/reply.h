#pragma once
/* One HTTP reply of a model provider in progress: what the core of the parser (reply.c) and the codecs share.
 *
 * The core sorts the bytes into SSE events, one JSON body, or the body of an error, bounds them, and decides whether
 * the reply is whole. A codec collects what the events say in the fields below and builds the provider's part of the
 * canonical reply. Everything that is kept lies in `a` or in the buffers; reply_free() frees it all. */
#include "base/buf.h"
#include "data/val.h"
#include "llm/prices.h"
#include "llm/provider.h"
#include "llm/sse.h"

/* A block of the answer: Anthropic's content block, Gemini's part, OpenAI's tool call. */
struct reply_part {
    int64_t index;         /* the provider's number of it */
    struct val start;      /* as announced */
    struct buf text;       /* what deltas added: text, thinking, or the JSON text of a tool's input */
    struct buf signature;  /* Anthropic: of a thinking block */
    struct val_list notes; /* Anthropic: citations */
    struct str id, name;   /* OpenAI: of the tool call */
    bool tool, open;
};

/* What went wrong, first come first kept. */
struct reply_failure {
    enum rc rc; /* RC_OK: nothing */
    struct str code, message;
    int64_t retry_after_ms; /* -1: unknown */
};

struct reply_parser {
    const struct provider *provider;
    struct arena a;
    enum { FORM_UNKNOWN, FORM_EVENTS, FORM_BODY } form;
    struct sse sse;
    struct buf body;
    struct arena events_arena; /* of the events that were parsed last; nothing is kept there */
    size_t total, events;
    int status;             /* 0: no head yet */
    int should_retry;       /* x-should-retry: 1, 0, or -1 for absent */
    int64_t retry_after_ms; /* of the headers; -1: absent */
    struct str request_id, content_type;
    struct reply_failure failure;

    /* Collected by the codec. */
    bool whole;         /* the provider's end mark has arrived; what follows is ignored */
    struct buf text;    /* the answer's text so far */
    struct buf refusal; /* OpenAI: why the model refused */
    struct reply_part *part;
    size_t nparts, parts_cap;
    struct str model, stop; /* `stop`: the provider's word */
    struct str token;       /* Gemini: to continue with */
    struct str blocked;     /* Gemini: why the prompt was blocked */
    struct usage usage;
    struct val_list warnings;
};

/* What a codec's finish() makes. */
struct reply_result {
    struct val raw;
    struct val_list tool_calls; /* each {id, name, input} */
    const char *stop_reason;    /* canonical */
};

struct reply_ops {
    const char *end_data; /* the data of an event that is the end mark ("[DONE]"), or NULL */
    /* One event of the stream. */
    void (*event)(struct reply_parser *r, struct str name, const struct val *data);
    /* A whole reply in one JSON body. */
    void (*body)(struct reply_parser *r, const struct val *body);
    /* An error's JSON (`body` is NULL when it was none). `status` 0: inside a stream that began well. Must fail. */
    void (*error)(struct reply_parser *r, int status, const struct val *body);
    /* Builds the result of a whole reply in `a`; may fail. */
    void (*finish)(struct reply_parser *r, struct arena *a, struct reply_result *ret);
};

/* ---- for codecs ---- */

/* Records the failure unless there is one already. */
void reply_fail(struct reply_parser *r, enum rc rc, struct str code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for an error that the provider told; fills in what it left out. `status` 0: inside a stream. */
void reply_fail_status(struct reply_parser *r, enum rc rc, int status, struct str code, struct str message);
/* A new part with that index, or NULL after failing because there are too many. */
struct reply_part *reply_part_add(struct reply_parser *r, int64_t index, const struct val *start);
/* The part with that index, or NULL. */
struct reply_part *reply_part_find(struct reply_parser *r, int64_t index);
/* More of the answer's text; fails when it is too much. */
void reply_text_add(struct reply_parser *r, struct buf *also, struct str text);
void reply_warn(struct reply_parser *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Keeps the text of a string member when it is one. */
void reply_keep(struct reply_parser *r, struct str *where, const struct val *v);
/* A count of tokens: not negative, and not absurd; `fallback` when absent or null. */
int64_t reply_count(const struct val *object, struct str key, int64_t fallback);
/* Parses a tool's input. An empty text is {}. False: it is no JSON object. */
bool reply_input(struct arena *a, struct str text, struct val *ret);
/* Adds {id, name, input}. */
void reply_tool_call(struct reply_result *result, struct str id, struct str name, struct val input);

/* A row of a codec's table of error words. */
struct reply_error_word {
    const char *word;
    enum rc rc;
    bool always; /* whatever the HTTP status; otherwise only inside a stream, where there is no status */
};
/* The class of an error by its status, or by its word where that says more. Words end with a NULL one. */
enum rc reply_error_class(int status, struct str word, const struct reply_error_word *words);
/* Whether `message` has one of the phrases with which servers say that a prompt is too long. */
bool reply_says_too_long(struct str message);

/* ---- time in headers; for reply.c and its tests ---- */

/* "1.5" seconds or an HTTP date, in milliseconds from `now_ms`; -1 when it is neither or out of range. */
int64_t reply_retry_after(struct str value, int64_t now_ms);
/* An HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT") as milliseconds since 1970, or -1. */
int64_t reply_http_date(struct str s);
/* A decimal number of `unit` milliseconds ("0.25"), rounded up; -1 when it is none or more than 2^31-1 ms. */
int64_t reply_decimal_ms(struct str s, int64_t unit);
