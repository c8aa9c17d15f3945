#pragma once
#include <stddef.h>
struct cart { size_t n; };
typedef struct { int price; } item_t;
int cart_add(struct cart *c, int price);
static inline int cart_is_empty(const struct cart *c) { return c->n == 0; }
