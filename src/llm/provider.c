/* The table of providers. */
#include "llm/provider.h"

#include "llm/anthropic.h"
#include "llm/gemini.h"
#include "llm/openai.h"

static const struct provider providers[] = {
    {"anthropic", "claude", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com", true,
     anthropic_build, &anthropic_reply},
    {"gemini", "gemini", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com", true,
     gemini_build, &gemini_reply},
    {"openai", "openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1", true, openai_build,
     &openai_reply},
};

static const struct {
    const char *name, *provider;
} other_names[] = {{"google", "gemini"}};

const struct provider *provider_by_name(struct str name)
{
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++) {
        if (str_is(name, other_names[i].name))
            name = str_c(other_names[i].provider);
    }
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++) {
        if (str_is(name, providers[i].name) || str_is(name, providers[i].mock_name))
            return &providers[i];
    }
    return NULL;
}

bool provider_needs_key(const struct provider *p, struct str base_url)
{
    while (base_url.n && base_url.p[base_url.n - 1] == '/')
        base_url.n--;
    bool own_server = base_url.n && !str_is(base_url, p->default_base);
    return p->key_required && !(own_server && str_is(str_c(p->name), "openai"));
}
