/* The library that is loaded, not the one that was compiled against. */
#include "store/store_version.h"

#include <sqlite3.h>
#include <stdio.h>

const char *store_version(void)
{
    static char text[40];
    snprintf(text, sizeof text, "SQLite %s", sqlite3_libversion());
    return text;
}
