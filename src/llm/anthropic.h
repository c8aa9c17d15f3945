#pragma once
/* The Anthropic Messages API. */
#include "llm/provider.h"

enum rc anthropic_build(const struct val *request, const struct provider_config *config, struct arena *a,
                        struct http_request *ret, struct val_list *warnings, struct err *err) MUST_CHECK;
extern const struct reply_ops anthropic_reply;
