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

static const struct habit operators[] = {
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
    {"else", "condition ? value : other"},
    {"unless", "not (condition) ? value : other"},
    {"xor", "a != b"},
    {"instanceof", "type(x) == 'object'"},
    {"for", "map(list, (x) => …) or filter(list, (x) => …)"},
    {"ilike", "lower(x) matches 'regular expression'"},
    {"regex", "matches 'regular expression'"},
    {"defined", "exists"},
};

const char *expr_foreign_operator(struct str word)
{
    return LOOK_UP(operators, word);
}

static const struct habit prefixes[] = {
    {"if", "condition ? value : other (a condition alone needs no `if`)"},
    {"unless", "not (condition)"},
    {"typeof", "type(x)"},
    {"lambda", "(x) => …"},
    {"function", "(x) => …"},
    {"new", "date('2024-12-31') for a time, {} and [] for objects and lists"},
    {"await", "the value alone"},
    {"void", "null"},
    {"return", "the value alone"},
    {"let", "the value alone; a set_variable step keeps it"},
    {"var", "the value alone; a set_variable step keeps it"},
    {"const", "the value alone; a set_variable step keeps it"},
    {"f", "'text ' + string(x), or text around {{ x }}"},
    {"r", "the text in plain quotes; its backslashes stay"},
};

const char *expr_foreign_prefix(struct str word)
{
    const char *instead = LOOK_UP(prefixes, word);
    return instead ? instead : expr_foreign_operator(word);
}

static const struct habit tests[] = {
    {"defined", "x exists"},
    {"undefined", "not (x exists)"},
    {"none", "x is null"},
    {"None", "x is null"},
    {"nil", "x is null"},
    {"Null", "x is null"},
    {"NULL", "x is null"},
    {"true", "x == true"},
    {"True", "x == true"},
    {"false", "x == false"},
    {"False", "x == false"},
    {"string", "type(x) == 'string'"},
    {"str", "type(x) == 'string'"},
    {"number", "type(x) in ['integer', 'number']"},
    {"integer", "type(x) == 'integer'"},
    {"int", "type(x) == 'integer'"},
    {"float", "type(x) == 'number'"},
    {"boolean", "type(x) == 'boolean'"},
    {"bool", "type(x) == 'boolean'"},
    {"list", "type(x) == 'array'"},
    {"array", "type(x) == 'array'"},
    {"sequence", "type(x) == 'array'"},
    {"iterable", "type(x) == 'array'"},
    {"dict", "type(x) == 'object'"},
    {"object", "type(x) == 'object'"},
    {"mapping", "type(x) == 'object'"},
    {"odd", "x % 2 == 1"},
    {"even", "x % 2 == 0"},
    {"divisibleby", "x % n == 0"},
    {"in", "x in list"},
};

const char *expr_foreign_test(struct str word)
{
    return LOOK_UP(tests, word);
}

static const struct habit functions[] = {
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
    {"isset", "x exists"},
    {"isNaN", "type(x)"},
    {"isArray", "type(x) == 'array'"},
    {"isinstance", "type(x) == 'array'"},
    {"startswith", "starts_with"},
    {"endswith", "ends_with"},
    {"lstrip", "trim"},
    {"rstrip", "trim"},
    {"trimStart", "trim"},
    {"trimEnd", "trim"},
    {"charAt", "x[0]"},
    {"at", "x[-1]"},
    {"substr", "substring"},
    {"findIndex", "index_of"},
    {"index", "index_of"},
    {"has", "x.field exists"},
    {"hasOwnProperty", "x.field exists"},
    {"has_key", "x.field exists"},
    {"extend", "concat"},
    {"add_item", "append"},
    {"stringify", "json"},
    {"dumps", "json"},
    {"parse", "parse_json"},
    {"loads", "parse_json"},
    {"match", "capture"},
    {"search", "capture"},
    {"exec", "capture"},
    {"findall", "find_all"},
    {"matchAll", "find_all"},
    {"regex_match", "matches"},
    {"regex_search", "capture"},
    {"regex_findall", "find_all"},
    {"regex_replace", "capture or find_all to take parts, replace(text, old, new) for plain text"},
    {"re_replace", "capture or find_all to take parts, replace(text, old, new) for plain text"},
    {"replaceAll", "replace"},
    {"format", "text with holes, or 'a' + string(x)"},
    {"sprintf", "text with holes, or 'a' + string(x)"},
    {"printf", "text with holes, or 'a' + string(x)"},
    {"toFixed", "round"},
    {"trunc", "int"},
    {"strftime", "iso"},
    {"isoformat", "iso"},
    {"toISOString", "iso"},
    {"date_format", "iso"},
    {"formatDate", "iso"},
    {"format_date", "iso"},
    {"strptime", "date"},
    {"to_date", "date"},
    {"parse_date", "date"},
    {"Date", "date"},
    {"timedelta", "days"},
    {"selectattr", "filter"},
    {"rejectattr", "filter"},
    {"reject", "filter"},
    {"pluck", "map"},
    {"groupby", "group_by"},
    {"reduce", "sum, or a for_loop with a variable"},
    {"enumerate", "map(list, (x, i) => …)"},
    {"zip", "map(a, (x, i) => [x, b[i]])"},
    {"list", "the value alone, or entries(object)"},
    {"dict", "{key: value}"},
    {"tuple", "[a, b]"},
    {"set", "unique"},
    {"print", "the value alone"},
    {"coalesce_null", "coalesce"},
    {"d", "default"},
    {"ifnull", "default"},
    {"nvl", "default"},
    {"title", "upper(x[:1]) + x[1:]"},
    {"capitalize", "upper(x[:1]) + x[1:]"},
    {"escape", "quote for shells, json for JSON"},
    {"shlex_quote", "quote"},
    {"basename", "last(split(path, '/'))"},
    {"md5", "hash"},
    {"count_distinct", "length(unique(x))"},
    {"random", "a command"},
    {"uuid", "run.id"},
    {"env", "env.NAME, listed in `env`"},
    {"getenv", "env.NAME, listed in `env`"},
    {"eval", "a condition, or switch"},
};

const char *expr_foreign_function(struct str name)
{
    return LOOK_UP(functions, name);
}

static const struct habit names[] = {
    {"True", "true"},
    {"TRUE", "true"},
    {"False", "false"},
    {"FALSE", "false"},
    {"None", "null"},
    {"nil", "null"},
    {"NULL", "null"},
    {"undefined", "null"},
    {"Null", "null"},
    {"yes", "true"},
    {"on", "true"},
    {"no", "false"},
    {"off", "false"},
    {"Yes", "true"},
    {"No", "false"},
    {"process", "env.NAME, and list it in the workflow's `env`"},
    {"os", "env.NAME, and list it in the workflow's `env`"},
    {"ENV", "env.NAME, and list it in the workflow's `env`"},
    {"secrets", "the name in `secrets` of the command that needs it"},
    {"this", "item in a quoted condition or a task, loop.item in a loop"},
    {"self", "item in a quoted condition or a task, loop.item in a loop"},
    {"forEach", "a for_loop"},
};

const char *expr_foreign_name(struct str name)
{
    return LOOK_UP(names, name);
}
