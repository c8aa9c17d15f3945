/* Conversations in the simulated world: each only grows, and outlives everything.
 *
 * What a model is asked must go on from what the journal says was read, in whatever life it is asked. Sometimes a
 * session is no longer what it was when somebody wants to read it again. Included behind world.c. */

/* What said how much: `messages` of what was there when it was read, each {said: number}. */
static struct val said_first(struct arena *a, int64_t n)
{
    struct val_list l = val_list_new(a);
    for (int64_t i = 0; i < n; i++) {
        struct val_map m = val_map_new(a);
        VAL_MAP_SET(&m, "said", val_int(i));
        val_list_push(&l, val_map_done(&m));
    }
    return val_list_done(&l);
}

static struct val session_result(struct world *w, struct arena *a, const struct pending_event *p, bool *ok)
{
    const struct val *q = &p->request->val;
    struct str name = val_get_str(q, STR("name"), STR("")), key = val_get_str(q, STR("key"), STR(""));
    int64_t *exchanges = map_get(&w->sessions, name);
    struct val_map m = val_map_new(a);
    VAL_MAP_SET(&m, "turns", val_int(1)); /* how often others speak there depends on who comes first */
    if (str_is(val_get_str(q, STR("op"), STR("")), "append")) {
        struct str once = arena_printf(&w->arena, "%.*s: %.*s", STR_ARG(name), STR_ARG(key));
        if (!exchanges) {
            exchanges = ARENA_NEW(&w->arena, int64_t);
            map_put(&w->sessions, arena_str(&w->arena, name), exchanges);
        }
        if (!map_get(&w->sessions, once)) {
            map_put(&w->sessions, once, exchanges);
            ++*exchanges;
        }
        return val_map_done(&m);
    }
    int64_t bytes = exchanges ? *exchanges : 0;
    if (!is_apply(p)) {
        w->read_again++;
        bytes = val_get_int(VAL_GET(q, "plan"), STR("bytes"), -1);
        if (str_hash(str_c(p->path), 31) % 6 == 0) {
            *ok = false;
            deed_of(w, str_c(p->path))->committed = false; /* whoever forces the run wants it read anew */
            return text_of(a, "class", "conflict");
        }
    }
    VAL_MAP_SET(&m, "bytes", val_int(bytes));
    VAL_MAP_SET(&m, "messages", said_first(a, bytes));
    return val_map_done(&m);
}

/* What the newest attempt has recorded at `path`; -1: nothing has been read there. */
static int64_t recorded_bytes(const struct world *w, struct str path)
{
    int64_t bytes = -1;
    uint32_t attempt = 0;
    for (size_t i = 0; i < w->ndisk; i++) {
        const struct record *r = &w->disk[i].r;
        struct arena a = {0};
        struct val v;
        struct err err;
        if (r->kind == RECORD_RESULT && r->attempt >= attempt && str_eq(r->path, path) &&
            json_parse(&a, r->data, &JSON_LIMITS_DEFAULT, &v, &err) == RC_OK && VAL_GET(&v, "ok")) {
            attempt = r->attempt;
            bytes = val_get_int(VAL_GET(&v, "ok"), STR("bytes"), 0);
            if (VAL_GET(VAL_GET(&v, "ok"), "messages"))
                bytes = -2; /* what lies elsewhere is in the journal */
        }
        arena_done(&a);
    }
    return bytes;
}

/* May it begin anew? An exchange of a conversation has what its step says. */
static bool begins_anew(const struct world *w, struct str path)
{
    size_t at = str_find(path, STR("/conversation/"));
    if (at != SIZE_MAX)
        path = str_n(path.p, at + STR("/conversation").n);
    return !val_get_bool(step_of_effect(w, path), STR("continue_session"), true);
}

static void check_history(struct world *w, const struct pending_event *p)
{
    struct str path = str_c(p->path);
    size_t turn = str_find(path, STR("/turn:"));
    const struct val *messages = VAL_GET(&p->request->val, "messages");
    int64_t said = 0;
    while (val_at(messages, (size_t)said) && VAL_GET(val_at(messages, (size_t)said), "said"))
        said++;
    if (turn == SIZE_MAX)
        return;
    struct str step = str_n(path.p, turn);
    if (str_ends(step, STR("/fallback"))) /* claude_robust asks there when nothing else helps */
        step.n -= STR("/fallback").n;
    int64_t bytes = recorded_bytes(w, arena_printf(&w->arena, "%.*s/session:read", STR_ARG(step)));
    w->went_on += said > 0;
    if (!said && begins_anew(w, path))
        return;
    if (bytes != said && (said || bytes != -1))
        violate(w, "%s goes on from %lld exchanges, and %lld were read", p->path, (long long)said, (long long)bytes);
}
