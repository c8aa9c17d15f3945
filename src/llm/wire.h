#pragma once
/* What the three codecs share when they build a request: the frame of an HTTP request, reading the canonical request,
 * and fitting a JSON Schema to what a provider takes.
 *
 * Everything made here lives in the arena of the build. */
#include "data/val.h"
#include "llm/provider.h"

struct wire {
    struct arena *a;
    const struct val *request;
    const struct provider_config *config;
    struct val_list *warnings; /* may be NULL */
    struct err *err;
    struct str model;
    struct val_map body;
    struct http_header header[8];
    size_t nheaders;
};

/* Checks the request's frame: an object with a model and a list of messages. */
enum rc wire_init(struct wire *w, const struct val *request, const struct provider_config *config, struct arena *a,
                  struct val_list *warnings, struct err *err) MUST_CHECK;
/* Adds a header; refuses control characters in the value. */
enum rc wire_header(struct wire *w, const char *name, struct str value) MUST_CHECK;
void wire_warn(struct wire *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Merges the request's `extra` into the body (objects deeply), writes it, fills the HTTP request. */
enum rc wire_finish(struct wire *w, struct str url, struct http_request *ret) MUST_CHECK;
/* base_url and path joined; the default base when none is configured. */
struct str wire_url(struct wire *w, const char *default_base, struct str path);
bool wire_base_is(const struct wire *w, const char *default_base);

/* A message of the canonical request. */
struct wire_message {
    bool assistant;
    struct str text;           /* of the assistant; or the user's, when content is a plain text */
    const struct val *raw;     /* of the assistant, or NULL */
    const struct val *calls;   /* tool_calls of an assistant whose raw is another provider's, or NULL */
    const struct val *content; /* the user's blocks, or NULL */
};
size_t wire_message_count(const struct wire *w);
/* RC_INVALID names the message and what is wrong with it. */
enum rc wire_message(struct wire *w, size_t i, struct wire_message *ret) MUST_CHECK;

/* The numbers of a request; absent, of another type or null: false. */
bool wire_number(const struct wire *w, const char *key, struct val *ret);

enum wire_dialect { WIRE_ANTHROPIC, WIRE_GEMINI, WIRE_OPENAI };
/* A copy of the schema with only what the provider's structured output takes; limits that must go are told in the
 * description. False: the schema cannot be expressed there (free-form objects, recursion, …), ask in the prompt. */
bool wire_schema(struct arena *a, const struct val *schema, enum wire_dialect dialect, struct val *ret);
/* The request's tools as {name, description, SCHEMA_KEY: schema}, the schema as it is unless the provider takes only
 * some keywords. False: it has none. */
bool wire_tools(const struct wire *w, const char *schema_key, enum wire_dialect dialect, struct val_list *ret);
/* `system` with the wish for an answer that fits `schema` behind it. */
struct str wire_ask_for_schema(struct arena *a, struct str system, const struct val *schema);
