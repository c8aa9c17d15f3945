#include "cart.h"
#include "price.h"
#include <stdio.h>

#define ADD(a, b) ((a) + (b))
enum kind { A, B };

static int
hidden(int a)
{
    return a; /* int not_one(void) {} */
}

int cart_add(struct cart *c, int price)
{
#ifdef DEBUG
    puts("int not_two(void) {}");
#endif
    return hidden(ADD((int)c->n, price));
}

int (*cart_handler(int a))(int)
{
    (void)a;
    return hidden;
}

struct cart *cart_new(void) { return NULL; }

#if A
unsigned long long cart_big(void)
{
    return price_sum();
}
#endif

void cart_old(a, b)
int a;
char *b;
{
}
