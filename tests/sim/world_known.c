/* What the simulated world knows of the steps that generate_known.c writes: results of this run in the cache, made by
 * one at a time; and effects that are not to be done again once they were interrupted. Included behind world.c. */
static bool is_part_of(const char *path, const char *step)
{
    char inner[40];
    size_t n = strlen(step);
    snprintf(inner, sizeof inner, "/%s/", step);
    return strstr(path, inner) || (strncmp(path, step, n) == 0 && path[n] == '/');
}

static bool is_shared_call(const struct pending_event *p)
{
    return p->kind == WORLD_EFFECT && p->effect == EFFECT_MODEL && is_part_of(p->path, "same");
}

/* It is about to be made. */
static void known_begins(struct world *w, const struct pending_event *p)
{
    for (size_t i = 0; is_shared_call(p) && i < w->nevents; i++) {
        const struct pending_event *o = &w->events[i];
        if (o != p && is_shared_call(o) && !o->under_way && !o->outcome && !o->lost && strcmp(o->path, p->path) != 0)
            violate(w, "%s is made while %s makes the same", p->path, o->path);
    }
    if (is_shared_call(p) && w->same_kept)
        violate(w, "%s is made though it has been kept", p->path);
    w->same_made += is_shared_call(p);
    bool own = p->effect == EFFECT_MODEL || p->effect == EFFECT_COMMAND;
    if (own && is_part_of(p->path, "frail") && deed_of(w, str_c(p->path))->lost && !w->options.force)
        violate(w, "%s is done again though it was interrupted", p->path);
}

/* True: the cache answers so. */
static bool known_cache(struct world *w, const struct pending_event *p, struct val_map *ret)
{
    const struct val *request = &p->request->val;
    if (!is_part_of(p->path, "same"))
        return false;
    bool find = str_is(val_get_str(request, STR("op"), STR("")), "find");
    if (!find) {
        box_unref(w->same_kept); /* of one who died before it could say so */
        w->same_kept = box_new(VAL_GET(request, "result"));
        return true;
    }
    VAL_MAP_SET(ret, "found", val_bool(w->same_kept != NULL));
    if (w->same_kept)
        VAL_MAP_SET(ret, "result", w->same_kept->val);
    w->same_found += w->same_kept != NULL;
    return true;
}
