/* claude_extract: an answer in a wanted form, and what can be picked out of it.
 *
 * With `format: json` or a `schema` the answer is data: it is asked for as JSON, checked, and asked for again with the
 * errors. What post-processing finds stands in `extracted`, and behind the text only where the text is not JSON. Wishes
 * about the form that no program can fulfil afterwards (sections, style, number of points) are put to the model. */
#include "agent/content.h"
#include "base/buf.h"
#include "data/json.h"
#include "step/model.h"

enum { SUMMARY_DEFAULT = 500, INSTRUCTIONS_MAX = 64 << 10 };

struct extraction {
    const struct val *config; /* extraction_config, or an empty object */
    struct str format;
    int64_t max_summary;
    bool metadata;
};

static bool read_config(struct frame *f, struct model_state *s, struct extraction *x)
{
    static const char *const formats[] = {"text", "json", "structured", "summary", "markdown"};
    bool schema = VAL_GET(s->config, "schema") || f->def->output_schema, known = false;
    x->config = VAL_GET(s->config, "extraction_config");
    x->config = val_is(x->config, VAL_OBJECT) ? x->config : &val_empty_object;
    if (!frame_text(f, x->config, "output_format", schema ? STR("json") : STR("text"), &x->format) ||
        !frame_text(f, x->config, "format", x->format, &x->format) ||
        !frame_int(f, x->config, "max_summary_length", SUMMARY_DEFAULT, 1, INT32_MAX, &x->max_summary) ||
        !frame_bool(f, x->config, "include_metadata", false, &x->metadata))
        return false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        known |= str_is(x->format, formats[i]);
    if (!known)
        step_failf(f, RC_INVALID, "`format` is `%.*s`; expected text, json, structured, summary or markdown",
                   STR_ARG(str_n(x->format.p, x->format.n < 60 ? x->format.n : 60)));
    return known;
}

static bool prepare(struct frame *f, struct model_state *s)
{
    struct extraction *x = ARENA_NEW(&f->arena, struct extraction);
    const struct val *written = VAL_GET(s->config, "schema");
    s->own = x;
    if (!read_config(f, s, x))
        return false;
    if (written && written->type != VAL_NULL)
        return model_read_schema(f, written, &s->options.schema);
    if (!s->options.schema && str_is(x->format, "json")) {
        struct val_map m = val_map_new(&f->arena);
        VAL_MAP_SET(&m, "type", VAL_LIT("object"));
        struct val *v = ARENA_NEW(&f->arena, struct val);
        *v = val_map_done(&m);
        s->options.schema = v;
        s->options.loose = true; /* any JSON will do, and text that is none is better than nothing */
    }
    return true;
}

/* ---- what only the model can do ---- */

static void add_sections(struct buf *b, const struct val *sections)
{
    if (!val_is(sections, VAL_ARRAY) || !sections->arr.n)
        return;
    buf_addz(b, "\n- Use these sections, in this order:");
    for (size_t i = 0; i < sections->arr.n; i++) {
        const struct val *v = &sections->arr.v[i];
        struct str name = val_is(v, VAL_STR) ? v->s : val_get_str(v, STR("name"), STR("section"));
        buf_printf(b, "\n  - %.*s", STR_ARG(name));
        if (VAL_GET(v, "max_length"))
            buf_printf(b, " (at most %lld characters)", (long long)val_get_int(v, STR("max_length"), 0));
        if (VAL_GET(v, "item_limit"))
            buf_printf(b, " (at most %lld items)", (long long)val_get_int(v, STR("item_limit"), 0));
        struct str priority = val_get_str(v, STR("priority_only"), STR(""));
        if (priority.n)
            buf_printf(b, " (only those of %.*s priority)", STR_ARG(priority));
    }
}

static void add_if(struct buf *b, const struct val *c, const char *block, const char *key, const char *wish)
{
    const struct val *where = block ? val_get(c, str_c(block)) : c;
    if (val_get_bool(where, str_c(key), false))
        buf_printf(b, "\n- %s", wish);
}

static struct str finish_prompt(struct frame *f, struct model_state *s, struct str prompt)
{
    const struct extraction *x = s->own;
    const struct val *c = x->config;
    struct buf b;
    buf_init(&b, INSTRUCTIONS_MAX);
    add_sections(&b, VAL_GET(c, "sections"));
    struct str style = val_get_str(c, STR("summary_style"), STR("")),
               fence = val_get_str(c, STR("code_fence_style"), STR(""));
    if (style.n)
        buf_printf(&b, "\n- Style of the summary: %.*s.", STR_ARG(style));
    if (VAL_GET(c, "max_points"))
        buf_printf(&b, "\n- At most %lld points.", (long long)val_get_int(c, STR("max_points"), 0));
    if (str_is(x->format, "summary"))
        buf_printf(&b, "\n- At most %lld characters in all.", (long long)x->max_summary);
    if (VAL_GET(c, "heading_level"))
        buf_printf(&b, "\n- Headings begin at level %lld.", (long long)val_get_int(c, STR("heading_level"), 1));
    if (fence.n)
        buf_printf(&b, "\n- Fences of code blocks: %.*s.", STR_ARG(fence));
    add_if(&b, c, NULL, "include_key_metrics", "Include the key metrics.");
    add_if(&b, c, NULL, "include_toc", "Begin with a table of contents.");
    add_if(&b, c, "code_block_processing", "identify_language", "Name the language of each code block.");
    add_if(&b, c, "code_block_processing", "syntax_highlight", "Mark code blocks so that they can be highlighted.");
    add_if(&b, c, "code_block_processing", "extract_imports", "List what each code block imports.");
    add_if(&b, c, "recommendation_format", "include_priority", "Give each recommendation a priority.");
    add_if(&b, c, "recommendation_format", "include_effort", "Estimate the effort of each recommendation.");
    add_if(&b, c, "recommendation_format", "group_by_category", "Group recommendations by category.");
    if (b.n && !b.overflow)
        prompt = arena_printf(&f->arena, "%.*s\n\nForm of the answer:%.*s", STR_ARG(prompt), STR_ARG(buf_str(&b)));
    buf_done(&b);
    return prompt;
}

/* ---- the result ---- */

static struct val metadata(struct frame *f, const struct extraction *x, const struct content *c, size_t original)
{
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "format", val_str(x->format));
    VAL_MAP_SET(&m, "use_content_extractor", val_bool(val_get_bool(x->config, STR("use_content_extractor"), true)));
    VAL_MAP_SET(&m, "post_processing_applied", c->applied);
    VAL_MAP_SET(&m, "original_length", val_int((int64_t)original));
    VAL_MAP_SET(&m, "processed_length", val_int((int64_t)c->text.n));
    VAL_MAP_SET(&m, "step_name", val_str(f->def->name));
    return val_map_done(&m);
}

/* Any JSON counts as it is, other text becomes {content}. */
static struct val data_of(struct frame *f, const struct val *result, struct str text)
{
    const struct val *data = VAL_GET(result, "data");
    struct val v;
    struct err err;
    if (data)
        return *data;
    if (json_parse(&f->arena, str_trim(text), &JSON_DATA, &v, &err) == RC_OK && v.type == VAL_ARRAY)
        return v;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "content", val_str(text));
    VAL_MAP_SET(&m, "format", VAL_LIT("json"));
    return val_map_done(&m);
}

static void answered(struct frame *f, struct model_state *s, const struct val *result)
{
    const struct extraction *x = s->own;
    struct str text = val_get_str(result, STR("text"), STR(""));
    struct content c =
        content_process(&f->arena, text, x->format, VAL_GET(x->config, "post_processing"), x->max_summary);
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, result);
    if (str_is(x->format, "json")) {
        struct val data = data_of(f, result, text);
        VAL_MAP_SET(&m, "data", data);
        c.text = json_text(&f->arena, &data);
    }
    VAL_MAP_SET(&m, "text", val_str(c.text));
    VAL_MAP_SET(&m, "extraction_applied", val_true);
    if (c.extracted.obj.n)
        VAL_MAP_SET(&m, "extracted", c.extracted);
    if (x->metadata)
        VAL_MAP_SET(&m, "extraction_metadata", metadata(f, x, &c, text.n));
    struct val v = val_map_done(&m);
    step_ok(f, &v);
}

static const struct model_kind kind = {
    .preset = "analysis", .prepare = prepare, .finish_prompt = finish_prompt, .answered = answered};

static void enter(struct frame *f)
{
    model_enter(f, &kind);
}

/* ---- checks before a run ---- */

static void check(const struct step_def *s, struct problems *ps)
{
    const struct val *c = VAL_GET(s->source, "extraction_config"), *steps = VAL_GET(c, "post_processing");
    model_check(s, ps);
    model_check_schema(VAL_GET(s->source, "schema"), "schema", ps);
    for (size_t i = 0; val_at(steps, i); i++) {
        const struct val *v = val_at(steps, i);
        if (val_is(v, VAL_STR) && str_find(v->s, STR("{{")) == SIZE_MAX && !content_step_known(v->s))
            problem_add(ps, true, v->line, v->col,
                        "unknown post-processing step `%.*s`; expected extract_code_blocks, extract_recommendations, "
                        "extract_key_points, extract_links, extract_entities, extract_errors, extract_metrics, "
                        "extract_dependencies, generate_summary or format_markdown",
                        (int)(v->s.n < 60 ? v->s.n : 60), v->s.p);
    }
}

static const struct step_key keys[] = {
    CLAUDE_KEYS,
    PRESET_KEY("analysis"),
    {"extraction_config", KEY_OBJECT, .choices = "extraction_config",
     .doc = "{format: text | json | structured | summary | markdown, post_processing: [steps], max_summary_length, "
            "include_metadata}, and wishes about the form."},
    {"schema", KEY_DATA, .choices = "schema_or_none",
     .doc = "The form of the data: a JSON Schema, the short form {name: string, tags: array}, or a known name."},
    {0}};

const struct step_type step_claude_extract = {
    .name = "claude_extract",
    .doc = "Asks Claude for an answer in a wanted form, and picks things out of it.",
    .keys = keys,
    .provider = "claude",
    .result_doc = MODEL_RESULT "|extraction_applied|extracted|extraction_metadata|violations",
    .check = check,
    .enter = enter,
    .makes_key = true,
    .child_done = model_child_done};
