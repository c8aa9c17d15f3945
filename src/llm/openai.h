#pragma once
/* OpenAI's chat completions, and every server that imitates them. */
#include "llm/provider.h"

enum rc openai_build(const struct val *request, const struct provider_config *config, struct arena *a,
                     struct http_request *ret, struct val_list *warnings, struct err *err) MUST_CHECK;
extern const struct reply_ops openai_reply;
