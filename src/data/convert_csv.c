/* CSV after RFC 4180, with what is met in practice: lines may end in LF, CRLF or CR, quotes within an unquoted field
 * are taken as they are, blank lines are left out.
 *
 * Refused, with the line: text behind a closing quote, a quote that is never closed, a row with another number of
 * fields than the first, a column name that occurs twice. Guessing at any of them would shift columns silently. A row
 * of one empty field is written as `""`, since a blank line is no row. */
#include "data/convert_int.h"
#include "data/json.h"

struct reader {
    struct str text;
    size_t at, line;
    char delimiter;
    struct arena *a;
    struct val_list row;
    size_t nodes;
    struct err *err;
};

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

/* Past the line end at r->at, if one is there. */
static void skip_line_end(struct reader *r)
{
    if (r->at < r->text.n && r->text.p[r->at] == '\r')
        r->at++;
    else if (r->at < r->text.n && r->text.p[r->at] == '\n') {
        r->at++;
        r->line++;
        return;
    } else {
        return;
    }
    if (r->at < r->text.n && r->text.p[r->at] == '\n')
        r->at++;
    r->line++;
}

static enum rc quoted(struct reader *r, struct str *ret)
{
    size_t began = r->line, from = ++r->at, n = 0;
    char *p = NULL; /* made at the first doubled quote */
    for (;; r->at++) {
        if (r->at == r->text.n)
            return err_set(r->err, RC_INVALID, "line %zu: the quote is never closed", began);
        char c = r->text.p[r->at];
        if (c == '\n')
            r->line++;
        if (c == '"') {
            if (r->at + 1 == r->text.n || r->text.p[r->at + 1] != '"')
                break;
            if (!p) {
                size_t end = r->at; /* how much there can be at most */
                while (end < r->text.n &&
                       !(r->text.p[end] == '"' && (end + 1 == r->text.n || r->text.p[end + 1] != '"')))
                    end += r->text.p[end] == '"' ? 2 : 1;
                p = arena_alloc(r->a, (end < r->text.n ? end : r->text.n) - from + 1);
                n = r->at - from;
                memcpy(p, r->text.p + from, n);
            }
            r->at++;
        }
        if (p)
            p[n++] = c;
    }
    *ret = p ? str_n(p, n) : arena_str(r->a, str_n(r->text.p + from, r->at - from));
    r->at++;
    if (r->at < r->text.n && r->text.p[r->at] != r->delimiter && !ends_line(r->text.p[r->at]))
        return err_set(r->err, RC_INVALID,
                       "line %zu: text behind a closing quote; expected the delimiter (a quote inside of quotes is "
                       "written twice)",
                       r->line);
    return RC_OK;
}

/* One row into r->row; a blank line gives none. */
static enum rc read_row(struct reader *r)
{
    r->row = val_list_new(r->a);
    if (r->at < r->text.n && ends_line(r->text.p[r->at])) {
        skip_line_end(r);
        return RC_OK;
    }
    for (;;) {
        struct str field = {0};
        if (r->at < r->text.n && r->text.p[r->at] == '"') {
            enum rc rc = quoted(r, &field);
            if (rc)
                return rc;
        } else {
            size_t from = r->at;
            while (r->at < r->text.n && r->text.p[r->at] != r->delimiter && !ends_line(r->text.p[r->at]))
                r->at++;
            field = arena_str(r->a, str_n(r->text.p + from, r->at - from));
        }
        if (++r->nodes > CONVERT_NODES_MAX)
            return err_set(r->err, RC_LIMIT, "line %zu: more than %d values", r->line, CONVERT_NODES_MAX);
        val_list_push(&r->row, val_str(field));
        if (r->at == r->text.n || r->text.p[r->at] != r->delimiter)
            break;
        r->at++;
    }
    skip_line_end(r);
    return RC_OK;
}

static enum rc check_names(const struct val *names, size_t line, struct err *err)
{
    struct arena scratch = {0};
    struct val_map seen = val_map_new(&scratch);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < names->arr.n && rc == RC_OK; i++) {
        if (names->arr.v[i].type != VAL_STR)
            rc = err_set(err, RC_INVALID, "the name of column %zu is no text", i + 1);
        else if (!val_map_add(&seen, names->arr.v[i].s, val_null, 0, 0))
            rc =
                err_set(err, RC_INVALID, "line %zu: the column name \"%.*s\" occurs twice; expected different names",
                        line, STR_ARG(str_n(names->arr.v[i].s.p, names->arr.v[i].s.n < 60 ? names->arr.v[i].s.n : 60)));
    }
    arena_done(&scratch);
    return rc;
}

static struct val row_object(struct reader *r, const struct val *names)
{
    struct val_map m = val_map_new(r->a);
    val_map_reserve(&m, names->arr.n);
    for (size_t i = 0; i < names->arr.n; i++)
        val_map_set(&m, names->arr.v[i].s, r->row.v[i]);
    return val_map_done(&m);
}

enum rc csv_read(struct str text, const struct convert_options *o, struct arena *a, struct val *ret, struct err *err)
{
    struct reader r = {.text = text, .line = 1, .delimiter = o->delimiter ? o->delimiter : ',', .a = a, .err = err};
    struct val_list rows = val_list_new(a);
    struct val first = val_null;
    const struct val *names = o->columns;
    size_t bad = str_utf8_valid(text), fields = names ? names->arr.n : 0;
    if (bad != text.n)
        return err_set(err, RC_INVALID, "byte %zu is not UTF-8 text", bad);
    while (r.at < text.n) {
        size_t line = r.line;
        enum rc rc = read_row(&r);
        if (rc)
            return rc;
        if (!r.row.n)
            continue;
        if (fields && r.row.n != fields)
            return err_set(err, RC_INVALID, "line %zu: %zu fields; expected %zu, as in the first row", line, r.row.n,
                           fields);
        fields = r.row.n;
        if (!names && !o->no_headers) {
            first = val_list_done(&r.row);
            names = &first;
            if ((rc = check_names(names, line, err)) != RC_OK)
                return rc;
            continue;
        }
        val_list_push(&rows, names ? row_object(&r, names) : val_list_done(&r.row));
    }
    *ret = val_list_done(&rows);
    return RC_OK;
}

/* ---- writing ---- */

struct writer {
    struct buf *out;
    char delimiter;
    bool any; /* a row was written */
};

static void write_field(struct writer *w, const struct val *v, bool alone)
{
    struct buf own;
    struct str s = val_is(v, VAL_STR) ? v->s : STR("");
    buf_init(&own, w->out->max);
    if (v && v->type != VAL_STR) {
        convert_scalar(&own, v);
        s = buf_str(&own);
    }
    bool quote = alone && !s.n;
    for (size_t i = 0; i < s.n && !quote; i++)
        quote = s.p[i] == w->delimiter || s.p[i] == '"' || ends_line(s.p[i]);
    if (!w->out->n && str_starts(s, STR("\xEF\xBB\xBF")))
        quote = true; /* or it would be taken for a byte order mark */
    if (quote)
        buf_addc(w->out, '"');
    while (quote && s.n) {
        size_t at = str_find(s, STR("\""));
        buf_add(w->out, str_n(s.p, at == SIZE_MAX ? s.n : at + 1));
        if (at != SIZE_MAX)
            buf_addc(w->out, '"');
        s = at == SIZE_MAX ? str_n("", 0) : str_from(s, at + 1);
    }
    buf_add(w->out, s);
    if (quote)
        buf_addc(w->out, '"');
    w->out->overflow |= own.overflow;
    buf_done(&own);
}

static void row_begins(struct writer *w)
{
    if (w->any)
        buf_addc(w->out, '\n');
    w->any = true;
}

static void write_list(struct writer *w, const struct val *row)
{
    row_begins(w);
    for (size_t i = 0; i < row->arr.n; i++) {
        if (i)
            buf_addc(w->out, w->delimiter);
        write_field(w, &row->arr.v[i], row->arr.n == 1);
    }
}

static void write_object(struct writer *w, const struct val *row, const struct val *names)
{
    row_begins(w);
    for (size_t i = 0; i < names->arr.n; i++) {
        if (i)
            buf_addc(w->out, w->delimiter);
        write_field(w, val_get(row, names->arr.v[i].s), names->arr.n == 1);
    }
}

/* All keys, in the order they are first met. */
static struct val all_keys(struct arena *a, const struct val *rows)
{
    struct val_map seen = val_map_new(a);
    struct val_list l = val_list_new(a);
    for (size_t i = 0; i < rows->arr.n; i++)
        for (size_t k = 0; k < rows->arr.v[i].obj.n; k++)
            if (val_map_add(&seen, rows->arr.v[i].obj.m[k].key, val_null, 0, 0))
                val_list_push(&l, val_str(rows->arr.v[i].obj.m[k].key));
    return val_list_done(&l);
}

static enum rc write_objects(struct writer *w, const struct val *rows, const struct convert_options *o, struct err *err)
{
    struct arena scratch = {0};
    struct val found = val_null;
    const struct val *names = o->columns;
    if (!names)
        found = all_keys(&scratch, rows), names = &found;
    enum rc rc = check_names(names, 1, err);
    if (rc == RC_OK && !names->arr.n)
        rc = err_set(err, RC_INVALID, "the objects have no keys, so there are no columns");
    if (rc == RC_OK && !o->no_headers)
        write_list(w, names);
    for (size_t i = 0; i < rows->arr.n && rc == RC_OK; i++)
        write_object(w, &rows->arr.v[i], names);
    arena_done(&scratch);
    return rc;
}

static enum rc write_lists(struct writer *w, const struct val *rows, const struct convert_options *o, struct err *err)
{
    size_t fields = o->columns ? o->columns->arr.n : rows->arr.v[0].arr.n;
    if (o->columns && !o->no_headers)
        write_list(w, o->columns);
    for (size_t i = 0; i < rows->arr.n; i++) {
        if (rows->arr.v[i].arr.n != fields || !fields)
            return err_set(err, RC_INVALID, "row %zu has %zu fields; expected %zu, as in the first row", i + 1,
                           rows->arr.v[i].arr.n, fields);
        write_list(w, &rows->arr.v[i]);
    }
    return RC_OK;
}

enum rc csv_write(const struct val *v, const struct convert_options *o, struct buf *out, struct err *err)
{
    struct writer w = {.out = out, .delimiter = o->delimiter ? o->delimiter : ','};
    struct val one = {.type = VAL_ARRAY, .arr = {v, 1}};
    const struct val *rows = v->type == VAL_OBJECT ? &one : v;
    if (rows->type != VAL_ARRAY)
        return err_set(err, RC_INVALID, "%s cannot be CSV; expected a list of objects or of lists", val_type_name(v));
    size_t kinds[3] = {0};
    for (size_t i = 0; i < rows->arr.n; i++) {
        uint8_t t = rows->arr.v[i].type;
        kinds[t == VAL_OBJECT ? 0 : t == VAL_ARRAY ? 1 : 2]++;
    }
    if (kinds[0] == rows->arr.n && rows->arr.n)
        return write_objects(&w, rows, o, err);
    if (kinds[1] == rows->arr.n && rows->arr.n)
        return write_lists(&w, rows, o, err);
    if (kinds[2] != rows->arr.n)
        return err_set(err, RC_INVALID,
                       "a list of different kinds cannot be CSV; expected objects only, or lists only");
    struct val name = VAL_LIT("value"), names = {.type = VAL_ARRAY, .arr = {&name, 1}};
    if (rows->arr.n && !o->no_headers)
        write_list(&w, o->columns && o->columns->arr.n == 1 ? o->columns : &names);
    for (size_t i = 0; i < rows->arr.n; i++) {
        struct val row = {.type = VAL_ARRAY, .arr = {&rows->arr.v[i], 1}};
        write_list(&w, &row);
    }
    return RC_OK;
}
