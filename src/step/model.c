/* The machine of all step types that ask a model: options, prompt, conversation, and the type's hooks in between.
 *
 * What is pinned is not the plain configuration but the settled options together with it: a run that is resumed where
 * CLAUDE_MODEL says something else, or by a version with other presets, goes on asking what it asked before. */
#include "step/model.h"

struct val *model_with(struct frame *f, const struct val *result, const char *field, struct val v)
{
    struct val_map m = val_map_new(&f->arena);
    val_map_merge(&m, result);
    val_map_set(&m, str_c(field), v);
    struct val *out = ARENA_NEW(&f->arena, struct val);
    *out = val_map_done(&m);
    return out;
}

/* ---- sessions ---- */

enum { TAG_SESSION_READ = 2 * PROMPT_TAG, TAG_SESSION_APPEND };

static void session_effect(struct frame *f, const char *segment, size_t tag, struct val_map *m)
{
    struct val *request = ARENA_NEW(&f->arena, struct val);
    struct str name = model_of(f)->session;
    VAL_MAP_SET(m, "name", val_str(name));
    if (model_of(f)->session_own)
        VAL_MAP_SET(m, "own", val_true);
    *request = val_map_done(m);
    frame_effect(f, segment, tag,
                 &(struct effect_plan){.kind = EFFECT_SESSION,
                                       .request = request,
                                       .on_interrupt = ON_INTERRUPT_RETRY,
                                       .apart = tag == TAG_SESSION_READ ? "messages" : NULL,
                                       .label = arena_printf(&f->arena, "session %.*s", STR_ARG(name)).p});
}

static void read_session(struct frame *f)
{
    if (model_of(f)->joined.n) {
        prompt_read_session(f, "session:read", TAG_SESSION_READ, model_of(f)->joined);
        return;
    }
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "op", VAL_LIT("read"));
    session_effect(f, "session:read", TAG_SESSION_READ, &m);
}

static void append_session(struct frame *f, struct model_state *s, const struct val *result)
{
    struct val_map m = val_map_new(&f->arena);
    struct str run = frame_run(f);
    struct val *kept = ARENA_NEW(&f->arena, struct val); /* the caller's lives no longer than this call */
    *kept = val_copy(&f->arena, result);
    s->result = kept;
    VAL_MAP_SET(&m, "op", VAL_LIT("append"));
    VAL_MAP_SET(&m, "key", val_str(arena_printf(&f->arena, "%.*s %.*s", STR_ARG(run), STR_ARG(f->base))));
    VAL_MAP_SET(&m, "messages", agent_messages(s->agent));
    if (s->session_fresh)
        VAL_MAP_SET(&m, "fresh", val_true);
    session_effect(f, "session:append", TAG_SESSION_APPEND, &m);
}

static void answered(struct frame *f, const struct val *result)
{
    struct model_state *s = model_of(f);
    if (s->session.n && !s->result) {
        append_session(f, s, result);
        return;
    }
    if (s->joined.n)
        result = model_with(f, result, "session_id", val_str(s->joined));
    if (s->kind->answered)
        s->kind->answered(f, s, result);
    else
        step_ok(f, result);
}

static void failed(struct frame *f, const struct failure *why)
{
    struct model_state *s = model_of(f);
    if (s->kind->failed)
        s->kind->failed(f, s, why);
    else
        step_fail(f, why);
}

static void ask(struct frame *f)
{
    struct model_state *s = model_of(f);
    s->asking = true;
    s->agent = agent_new(f, &s->options);
    struct val replies = prompt_replies(s->prompt);
    for (size_t i = 0; i < replies.arr.n; i++)
        agent_count(s->agent, &replies.arr.v[i]);
    agent_start(f, s->agent, s->asked);
}

/* All that the answer depends on; NULL where it is not only an answer: it belongs to a conversation, or tools do
 * something, and nobody has said that this does not matter. */
static const struct val *cache_key(struct frame *f, const struct model_state *s)
{
    bool acts = val_is(s->options.tools, VAL_ARRAY) && s->options.tools->arr.n;
    if (!f->def->cache || s->session.n || (acts && f->def->cache->unsaid))
        return NULL;
    struct val_map m = val_map_new(&f->arena);
    VAL_MAP_SET(&m, "config", *s->config);
    VAL_MAP_SET(&m, "prompt", val_str(s->asked));
    if (s->options.schema)
        VAL_MAP_SET(&m, "schema", *s->options.schema);
    if (s->options.functions)
        VAL_MAP_SET(&m, "functions", *s->options.functions);
    struct val *key = ARENA_NEW(&f->arena, struct val);
    *key = val_map_done(&m);
    return key;
}

static void go_on(struct frame *f, struct model_state *s)
{
    if (!prompt_advance(f, s->prompt))
        return;
    s->asked = prompt_text(f, s->prompt);
    if (f->failing_set)
        return;
    if (s->kind->finish_prompt)
        s->asked = s->kind->finish_prompt(f, s, s->asked);
    frame_cache(f, cache_key(f, s), ask);
}

/* Steps of the Claude family may belong to a session that another step began: named in claude_options, or the one that
 * a claude_continue part goes on with. False: the step has failed, or something is not there yet. */
static bool join_session(struct frame *f, struct model_state *s)
{
    struct str name;
    if (!f->def->type->provider || !str_is(str_c(f->def->type->provider), "claude"))
        return true;
    const struct val *resume = VAL_GET(s->config, "resume_session");
    if (!frame_text(f, s->config, "session_id", STR(""), &name))
        return false;
    if (val_is(resume, VAL_STR) && resume->s.n && !str_is(resume->s, "true") && !str_is(resume->s, "false"))
        name = resume->s;
    else if (!name.n && resume && val_truthy(resume) && !(resume->type == VAL_STR && str_is(resume->s, "false")) &&
             !prompt_newest_session(f, &name))
        return false;
    if (!name.n && !prompt_session(f, s->prompt, &name))
        return false;
    s->joined = s->session = name;
    s->session_fresh = val_is(resume, VAL_BOOL) && !resume->b;
    s->session_max = INT64_MAX;
    return true;
}

static const struct val *settled_config(struct frame *f, const struct model_kind *kind)
{
    const struct val *pinned = frame_pinned(f);
    if (pinned)
        return pinned;
    const struct val *config = frame_config(f, false);
    const struct val *settled = config ? model_settle(f, kind, config) : NULL;
    return settled && frame_pin(f, settled) ? settled : NULL;
}

static void begin(struct frame *f, struct model_state *s)
{
    const struct model_kind *kind = s->kind;
    const struct val *config = settled_config(f, kind);
    if (!config)
        return;
    s->config = config;
    s->preset = val_get_str(config, STR("preset"), STR(""));
    s->options.answered = answered;
    s->options.failed = failed;
    if (!model_read(f, kind, config, &s->options) || (kind->prepare && !kind->prepare(f, s)))
        return;
    s->prompt = prompt_new(f, config, &s->options);
    if (!s->prompt || (!s->session.n && !join_session(f, s)))
        return;
    if (s->session.n)
        read_session(f);
    else
        go_on(f, s);
}

static void over_session(struct frame *f, const struct model_state *s)
{
    step_fail(f,
              &(struct failure){.rc = RC_LIMIT,
                                .code = STR("session_turns"),
                                .message = arena_printf(
                                    &f->arena, "session `%.*s` has had its %lld exchanges (session_config.max_turns)",
                                    STR_ARG(s->session), (long long)s->session_max),
                                .final = true});
}

static void session_done(struct frame *f, struct model_state *s, struct frame *child)
{
    if (!child_ok(child)) {
        step_fail_as(f, child);
        return;
    }
    struct val *r = ARENA_NEW(&f->arena, struct val);
    *r = val_copy(&f->arena, child_result(child));
    s->session_turns = val_get_int(r, STR("turns"), 0);
    if (s->joined.n && child->tag == TAG_SESSION_READ) /* another may be the newest by now */
        s->joined = s->session = val_get_str(r, STR("name"), s->session);
    if (s->joined.n && child->tag == TAG_SESSION_READ)
        s->session_own = val_get_bool(r, STR("own"), false);
    if (child->tag == TAG_SESSION_APPEND) {
        answered(f, s->result);
    } else if (!s->session_fresh && s->session_turns >= s->session_max) {
        over_session(f, s);
    } else {
        s->options.history = s->session_fresh ? NULL : VAL_GET(r, "messages");
        s->options.history_sha256 = val_get_str(r, STR("sha256"), STR(""));
        go_on(f, s);
    }
}

void model_enter(struct frame *f, const struct model_kind *kind)
{
    struct model_state *s = ARENA_NEW(&f->arena, struct model_state);
    f->type_state = s;
    s->kind = kind;
    if (!codebase_ask(f)) /* its answer comes before the templates are evaluated */
        begin(f, s);
}

void model_child_done(struct frame *f, struct frame *child)
{
    struct model_state *s = model_of(f);
    if (codebase_is(child)) {
        if (codebase_take(f, child))
            begin(f, s);
    } else if (child->tag == TAG_SESSION_READ || child->tag == TAG_SESSION_APPEND) {
        session_done(f, s, child);
    } else if (s->asking) {
        agent_child(f, s->agent, child);
    } else if (prompt_child(f, s->prompt, child)) {
        go_on(f, s);
    }
}
