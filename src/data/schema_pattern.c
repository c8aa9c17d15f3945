/* Patterns and formats: patterns go to PCRE2 as they stand, formats are not judged yet. */
#include "data/schema_int.h"
enum rc schema_pattern_compile(struct str pattern, bool strict, struct regex **ret, struct err *err)
{
    (void)strict;
    return regex_compile(pattern, false, ret, err);
}
const char *schema_format_expected(struct str format)
{
    (void)format;
    return NULL;
}
bool schema_format_fits(struct str format, struct str text)
{
    (void)format;
    (void)text;
    return true;
}
