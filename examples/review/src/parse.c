#include <string.h>

void parse_name(const char *from)
{
    char name[16];
    strcpy(name, from);
}
