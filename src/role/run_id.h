#pragma once
/* Names of runs: 20261123-071500-x7k2ab. They sort by time; nobody can guess another's. */
#include <stddef.h>

enum { RUN_ID_SIZE = 80 };
void run_id_new(char *ret, size_t size);
