/* What comes of an effect in the simulated world: a function of the seed and of the frame's path, never of how often
 * Treadle died, for what a model is asked again it answers again. Included behind world.c. */
/* Some calls are never answered; a step's timeout comes long before they give up. */
static bool hangs(enum effect_kind kind, struct str path)
{
    return kind == EFFECT_MODEL && str_hash(path, 13) % 10 == 0 && str_find(path, STR("/same/")) == SIZE_MAX;
}

static struct val text_of(struct arena *a, const char *key, const char *text)
{
    struct val_map m = val_map_new(a);
    val_map_set(&m, str_c(key), val_str(arena_str(a, str_c(text))));
    return val_map_done(&m);
}

static struct val tool_result(struct world *w, struct arena *a, const struct val *request, bool *ok)
{
    struct str phase = val_get_str(request, STR("phase"), STR("")), tool = val_get_str(request, STR("tool"), STR(""));
    const struct val *plan = VAL_GET(request, "plan"), *input = VAL_GET(request, "input");
    struct val_map m = val_map_new(a);
    *ok = true;
    if (str_is(phase, "prepare")) {
        struct str place = val_get_str(request, STR("place"), STR("")); /* each has files of its own */
        struct str path = val_get_str(input, STR("file_path"), STR("x"));
        struct file *f = file_of(w, arena_printf(a, "%.*s:%.*s", STR_ARG(place), STR_ARG(path)));
        struct val_map p = val_map_new(a);
        struct str seed = arena_printf(a, "%s %.*s", f->hash, STR_ARG(json_canonical(a, input)));
        struct sha256 h = sha256_of(seed);
        struct sha256_hex x = sha256_hex(&h);
        VAL_MAP_SET(&p, "path", val_str(str_c(f->path)));
        VAL_MAP_SET(&p, "before", val_str(arena_str(a, str_c(f->hash))));
        VAL_MAP_SET(&p, "after", val_str(arena_str(a, str_c(x.z))));
        VAL_MAP_SET(&m, "plan", val_map_done(&p));
        return val_map_done(&m);
    }
    if (plan) {
        struct file *f = file_of(w, val_get_str(plan, STR("path"), STR("x")));
        struct str before = val_get_str(plan, STR("before"), STR("")), after = val_get_str(plan, STR("after"), STR(""));
        if (str_is(phase, "settle")) {
            const char *o = str_is(after, f->hash) ? "done" : str_is(before, f->hash) ? "again" : "changed";
            return text_of(a, "outcome", o);
        }
        if (!str_is(before, f->hash))
            violate(w, "file %s changed twice", f->path);
        snprintf(f->hash, sizeof f->hash, "%.*s", STR_ARG(after));
        return text_of(a, "text", "The file has been written.");
    }
    VAL_MAP_SET(&m, "text", val_str(arena_printf(a, "%.*s said so", STR_ARG(tool))));
    VAL_MAP_SET(&m, "is_error", val_false);
    return val_map_done(&m);
}

/* A directory that a called workflow has for its own: by where it lies, and the workspace around it. */
static struct file *directory_of(struct world *w, struct arena *a, const struct val *request, struct str path)
{
    struct str place = val_get_str(request, STR("place"), STR("")), root = val_get_str(request, STR("root"), STR(""));
    return file_of(w, arena_printf(a, "directory %.*s:%.*s%s%.*s", STR_ARG(place), STR_ARG(root), root.n ? "/" : "",
                                   STR_ARG(path)));
}

static void directory_changes(struct world *w, struct arena *a, const struct val *request, struct val_map *done)
{
    struct str what = val_get_str(request, STR("operation"), STR("")),
               path = val_get_str(request, STR("path"), STR(""));
    bool make = str_is(what, "make_directory");
    if (!make && !str_is(what, "remove_directory"))
        return;
    struct file *f = directory_of(w, a, request, path);
    snprintf(f->hash, sizeof f->hash, "%s", make ? "here" : "gone");
    VAL_MAP_SET(done, "path", val_str(path));
    VAL_MAP_SET(done, "created", val_bool(make && str_hash(path, 5) % 3));
}

/* What works in such a directory finds it. */
static void check_directory(struct world *w, const struct pending_event *p)
{
    const struct val *request = &p->request->val;
    struct str root = val_get_str(request, STR("root"), STR(""));
    struct arena a = {0};
    if (root.n && !VAL_GET(request, "place") && strcmp(directory_of(w, &a, &val_empty_object, root)->hash, "here") != 0)
        violate(w, "%s works in a directory that is not there", p->path);
    arena_done(&a);
}

/* One file for each operation, named by its path, since what matters is that it changes once. */
static struct val files_result(struct world *w, struct arena *a, const struct pending_event *p, bool *ok)
{
    const struct val *request = &p->request->val, *plan = VAL_GET(request, "plan");
    struct str phase = val_get_str(request, STR("phase"), STR(""));
    struct file *f = file_of(w, arena_printf(a, "files of %s", p->path));
    struct val_map m = val_map_new(a), done = val_map_new(a);
    uint64_t h = str_hash(str_c(p->path), 21);
    VAL_MAP_SET(&done, "operation", val_str(val_get_str(request, STR("operation"), STR(""))));
    VAL_MAP_SET(&done, "status", VAL_LIT("completed"));
    if (str_starts(val_get_str(request, STR("operation"), STR("")), STR("stream_")) && !VAL_GET(request, "chunks")) {
        struct val_list ends = val_list_new(a); /* of a file of up to three chunks */
        for (uint64_t i = 0; i < h % 4; i++)
            val_list_push(&ends, val_int((int64_t)i + 1));
        VAL_MAP_SET(&done, "stamp", VAL_LIT("as it was"));
        VAL_MAP_SET(&done, "ends", val_list_done(&ends));
        VAL_MAP_SET(&done, "text", val_str(arena_printf(a, "%lld\n", (long long)val_get_int(request, STR("from"), 0))));
        *ok = h % 37 != 0;
        return *ok ? val_map_done(&done) : text_of(a, "class", "conflict");
    }
    if (h % 7 == 0 && !str_is(phase, "settle")) {
        *ok = false;
        return text_of(a, "class", "not_found");
    }
    if (str_is(phase, "prepare") && h % 5) {
        struct val_map made = val_map_new(a);
        VAL_MAP_SET(&made, "before", val_str(arena_str(a, str_c(f->hash))));
        VAL_MAP_SET(&made, "after", val_str(arena_printf(a, "%s+", f->hash)));
        VAL_MAP_SET(&m, "plan", val_map_done(&made));
        return val_map_done(&m);
    }
    directory_changes(w, a, request, &done);
    if (!plan) /* only looked, or there was nothing to do */
        return val_map_done(&done);
    struct str before = val_get_str(plan, STR("before"), STR("?")), after = val_get_str(plan, STR("after"), STR("?"));
    if (str_is(phase, "settle")) {
        const char *o = str_is(after, f->hash) ? "done" : str_is(before, f->hash) ? "again" : "changed";
        VAL_MAP_SET(&m, "outcome", val_str(str_c(o)));
        VAL_MAP_SET(&m, "result", val_map_done(&done));
        return val_map_done(&m);
    }
    if (!str_is(before, f->hash))
        violate(w, "%s changed twice", f->path);
    snprintf(f->hash, sizeof f->hash, "%.*s", STR_ARG(after));
    return val_map_done(&done);
}

/* Tools are asked for in the first turns, as many as the path's hash says. */
static struct val model_result(const struct world *w, struct arena *a, const char *path, const struct val *request)
{
    bool same = strcmp(path, "same") == 0; /* whoever asks gets the same answer */
    uint64_t h = same ? 1 : str_hash(val_get_str(request, STR("step"), STR("")), 3);
    int64_t turn = val_get_int(request, STR("turn"), 1);
    struct val_map m = val_map_new(a), u = val_map_new(a);
    bool more = VAL_GET(request, "tools") && turn <= (int64_t)(h % 3);
    struct str text = arena_printf(a, "answer of %s", path);
    if (VAL_GET(request, "schema")) /* right at once, or after one, two or too many corrections */
        text = turn > (int64_t)(h % 5) ? STR("{\"a\": 1}") : STR("{}");
    VAL_MAP_SET(&m, "text", val_str(text));
    VAL_MAP_SET(&m, "raw", val_str(text));
    struct val_list calls = val_list_new(a);
    static const char *const tools[] = {"Read", "Write", "Bash", "Edit"};
    for (uint64_t i = 0; more && i < 1 + h / 7 % 2; i++) {
        struct val_map c = val_map_new(a);
        VAL_MAP_SET(&c, "id", val_str(arena_printf(a, "id%llu", (unsigned long long)i)));
        VAL_MAP_SET(&c, "name", val_str(str_c(tools[(h / 11 + i + (uint64_t)turn) % 4])));
        VAL_MAP_SET(&c, "input", text_of(a, "file_path", arena_printf(a, "%s.txt", path).p));
        val_list_push(&calls, val_map_done(&c));
    }
    VAL_MAP_SET(&m, "tool_calls", val_list_done(&calls));
    struct str stop = more                                ? STR("tool_use")
                      : h % 17 == 0 && turn == 1          ? STR("pause")
                      : h % 41 == 0 && w->failure_percent ? STR("refusal")
                                                          : STR("end_turn");
    VAL_MAP_SET(&m, "stop_reason", val_str(stop));
    VAL_MAP_SET(&u, "input_tokens", val_int(10));
    VAL_MAP_SET(&u, "output_tokens", val_int(5));
    VAL_MAP_SET(&m, "usage", val_map_done(&u));
    VAL_MAP_SET(&m, "cost_usd", val_double(0.001));
    return val_map_done(&m);
}

static struct val file_read(struct arena *a, const struct val *request)
{
    static const char *const texts[][2] = {{"sub.yaml", WORLD_WORKFLOW},
                                           {"sub", WORLD_WORKFLOW}, /* a stored one */
                                           {"parts.yaml", "greet:\n  hi: [{type: file, path: p.md}]\n"},
                                           {"rows.csv", "a,b\n1,2\n"}};
    struct val_map m = val_map_new(a);
    struct val_list files = val_list_new(a);
    struct str path = val_get_str(request, STR("path"), STR(""));
    const char *text = "4\n2\n3\n";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_is(path, texts[i][0]))
            text = texts[i][1];
    for (size_t i = 0; i < 3; i++)
        val_list_push(&files, val_str(arena_printf(a, "f%zu.c", i)));
    VAL_MAP_SET(&m, "path", VAL_LIT("/sim/sub.yaml"));
    VAL_MAP_SET(&m, "text", val_str(str_c(text)));
    if (val_get_bool(request, STR("list"), false))
        VAL_MAP_SET(&m, "files", val_list_done(&files));
    return val_map_done(&m);
}

static bool is_apply(const struct pending_event *p)
{
    return str_is(val_get_str(&p->request->val, STR("phase"), STR("apply")), "apply");
}

/* A failure that a crash undid is no failure: the effect will fail once more, so that as many count in each trial. */
static unsigned failures_recorded(const struct world *w, struct str path)
{
    unsigned n = 0;
    for (size_t i = 0; i < w->ndisk; i++)
        n += w->disk[i].r.kind == RECORD_RESULT && str_eq(w->disk[i].r.path, path) &&
             str_starts(w->disk[i].r.data, STR("{\"error\""));
    return n;
}

static struct val effect_result(struct world *w, const struct pending_event *p, struct arena *a, bool *ok)
{
    struct deed *d = deed_of(w, str_c(p->path));
    const struct val *request = &p->request->val;
    bool apply = is_apply(p);
    *ok = true;
    if (p->cancelled) {
        *ok = false;
        return text_of(a, "class", "cancelled");
    }
    if (p->effect == EFFECT_MODEL && str_hash(str_c(p->path), 9) % 40 == 0 && w->failure_percent &&
        !is_shared_call(p)) {
        *ok = false; /* some questions never get an answer */
        return text_of(a, "class", "invalid_request");
    }
    if (p->effect == EFFECT_CODE && str_hash(str_c(p->path), 11) % 6 == 0 && w->failure_percent) {
        *ok = false; /* a file named there does not exist */
        return text_of(a, "class", "not_found");
    }
    if (hangs(p->effect, str_c(p->path))) {
        *ok = false;
        return text_of(a, "class", "timeout");
    }
    unsigned failed = d->failures ? failures_recorded(w, str_c(p->path)) : 0;
    if (apply && failed < d->failures && p->effect == EFFECT_MODEL) {
        *ok = false;
        return text_of(a, "class", (d->failures - failed) % 2 ? "network" : "rate_limit");
    }
    struct val_map m = val_map_new(a);
    if (writes(p) && !apply)
        return command_phase(w, a, p);
    if (writes(p))
        files_change(w, p, true);
    switch (p->effect) {
    case EFFECT_MODEL:
        return model_result(w, a, is_shared_call(p) ? "same" : p->path, request);
    case EFFECT_TOOL:
        return tool_result(w, a, request, ok);
    case EFFECT_FILES:
        return files_result(w, a, p, ok);
    case EFFECT_WORKSPACE:
        return files_workspace(w, a, request, ok);
    case EFFECT_COMMAND: {
        struct val_map c = val_map_new(a);
        uint64_t h = str_hash(str_c(p->path), 5);
        VAL_MAP_SET(&c, "exit_code", val_int(h % 4 == 0));
        VAL_MAP_SET(&c, "stdout", val_str(STR("out")));
        VAL_MAP_SET(&c, "stderr", val_str(STR("")));
        return val_map_done(&c);
    }
    case EFFECT_READ:
        return file_read(a, request);
    case EFFECT_SESSION:
        return session_result(w, a, p, ok);
    case EFFECT_CACHE: /* what earlier runs have kept is a matter of the entry */
        if (known_cache(w, p, &m))
            return val_map_done(&m);
        if (str_hash(str_c(p->path), 23) % 7 == 0) {
            *ok = false;
            return text_of(a, "class", "io");
        }
        if (str_is(val_get_str(request, STR("op"), STR("")), "find")) {
            bool found = str_hash(val_get_str(request, STR("entry"), STR("")), 29) % 3 == 0;
            VAL_MAP_SET(&m, "found", val_bool(found));
            if (found)
                VAL_MAP_SET(&m, "result", text_of(a, "text", "kept by an earlier run"));
        }
        return val_map_done(&m);
    case EFFECT_CHECKPOINT: { /* what was saved by other runs is a matter of the name */
        struct str name = val_get_str(request, STR("name"), STR("")),
                   act = val_get_str(request, STR("action"), STR(""));
        bool recall = str_is(act, "recall"), load = recall || str_is(act, "load"),
             found = recall || str_hash(name, 17) % 2;
        if (load)
            VAL_MAP_SET(&m, "found", val_bool(found));
        if (!load || found)
            VAL_MAP_SET(&m, "saved_ms", val_int(1000));
        if (load && found)
            VAL_MAP_SET(&m, "state",
                        text_of(a, recall ? "kept_0" : arena_printf(a, "v_%.*s", STR_ARG(name)).p, "loaded"));
        return val_map_done(&m);
    }
    case EFFECT_OUTPUT:
        VAL_MAP_SET(&m, "path", VAL_LIT("/out/file"));
        return val_map_done(&m);
    case EFFECT_CODE: {
        struct val_map c = val_map_new(a);
        VAL_MAP_SET(&c, "project_type", VAL_LIT("sim"));
        if (val_get_bool(request, STR("context"), false))
            VAL_MAP_SET(&m, "codebase", val_map_done(&c));
        VAL_MAP_SET(&m, "q", val_empty_array);
        return val_map_done(&m);
    }
    case EFFECT_LOAD:
        break;
    }
    return val_null;
}
