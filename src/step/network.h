#pragma once
/* The key `network` of steps that start commands: what of the network these may reach. */
#include "flow/step.h"

#define NETWORK_KEY                                                                                            \
    {                                                                                                          \
        "network", KEY_ANY, .choices = "network", .fallback = "none",                                          \
                            .doc = "What commands may reach: none, full, or a list of hosts (`example.org`, "  \
                                   "`*.example.org:8080`). See [what commands can reach](sandbox.md#network)." \
    }

/* What is wrong with it as written; NULL is fine. */
void network_check(const struct val *v, struct problems *ps);
/* Of a step's evaluated configuration, NULL when it has none. False: the step has failed. */
bool network_read(struct frame *f, const struct val *config, const struct val **ret);
