/* What authors write out of habit from other languages, and what it is here: for messages only, nothing of it is
 * accepted.
 *
 * The nearest name by spelling would mislead: `True` is near to `run`, and `size` to nothing. */
#include "data/expr_int.h"

struct habit {
    const char *word, *instead;
};

static const char *look_up(const struct habit *table, size_t n, struct str word)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(word, table[i].word))
            return table[i].instead;
    return NULL;
}
#define LOOK_UP(table, word) look_up(table, sizeof(table) / sizeof *(table), word)

const char *expr_foreign_operator(struct str word)
{
    static const struct habit table[] = {
        {"AND", "and"},
        {"And", "and"},
        {"OR", "or"},
        {"Or", "or"},
        {"NOT", "not"},
        {"Not", "not"},
        {"IN", "in"},
        {"equals", "=="},
        {"eq", "=="},
        {"is_equal", "=="},
        {"ne", "!="},
        {"lt", "<"},
        {"le", "<="},
        {"gt", ">"},
        {"ge", ">="},
        {"mod", "%"},
        {"div", "/"},
        {"includes", "contains"},
        {"has", "contains"},
        {"notin", "not_in"},
        {"startsWith", "starts_with"},
        {"startswith", "starts_with"},
        {"endsWith", "ends_with"},
        {"endswith", "ends_with"},
        {"like", "matches 'regular expression'"},
        {"match", "matches 'regular expression'"},
        {"isEmpty", "empty"},
        {"exist", "exists"},
        {"any", "any(list, 'condition')"},
        {"all", "all(list, 'condition')"},
        {"if", "condition ? value : other"},
        {"then", "condition ? value : other"},
    };
    return LOOK_UP(table, word);
}

const char *expr_foreign_function(struct str name)
{
    static const struct habit table[] = {
        {"size", "length"},
        {"strlen", "length"},
        {"uniq", "unique"},
        {"distinct", "unique"},
        {"str", "string"},
        {"toString", "string"},
        {"to_string", "string"},
        {"String", "string"},
        {"Number", "float"},
        {"number", "float"},
        {"parseInt", "int"},
        {"to_int", "int"},
        {"integer", "int"},
        {"parseFloat", "float"},
        {"to_json", "json"},
        {"tojson", "json"},
        {"from_json", "parse_json"},
        {"fromjson", "parse_json"},
        {"strip", "trim"},
        {"includes", "contains"},
        {"indexOf", "index_of"},
        {"mean", "average"},
        {"some", "any"},
        {"every", "all"},
        {"select", "filter"},
        {"where", "filter"},
        {"sorted", "sort"},
        {"sort_by", "sort"},
        {"reversed", "reverse"},
        {"push", "append"},
        {"today", "now"},
        {"test", "matches"},
        {"defined", "exists"},
        {"uppercase", "upper"},
        {"lowercase", "lower"},
        {"typeof", "type"},
        {"items", "entries"},
        {"ceiling", "ceil"},
        {"sha256", "hash"},
        {"shell_quote", "quote"},
        {"AND", "and"},
        {"OR", "or"},
        {"NOT", "not"},
        {"Not", "not"},
        {"if", "c ? a : b"},
        {"isNull", "x is null"},
        {"is_null", "x is null"},
        {"get", "x.field || other"},
    };
    return LOOK_UP(table, name);
}

const char *expr_foreign_name(struct str name)
{
    static const struct habit table[] = {
        {"True", "true"}, {"TRUE", "true"}, {"False", "false"},    {"FALSE", "false"}, {"None", "null"},
        {"nil", "null"},  {"NULL", "null"}, {"undefined", "null"}, {"Null", "null"},   {"yes", "true"},
        {"on", "true"},   {"no", "false"},  {"off", "false"},      {"Yes", "true"},    {"No", "false"},
    };
    return LOOK_UP(table, name);
}
