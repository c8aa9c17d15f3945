/* Other runs in the workspace of the simulated world: they have the turn, let this one wait for it, and may write
 * whenever it has not got it. Included behind world.c. */
/* Longer than any step may take (extras.c), and all of them together shorter than any period within which restarts are
 * counted (generate.c), since that is a matter of the clock. */
enum { LONG_TURNS = 3 };
static const int64_t LONG_TURN_MS = 150ll * 24 * 3600 * 1000;

static bool io_turn_ask(void *ctx, struct turn_holder *who)
{
    struct world *w = ctx;
    if (w->turn_asked || (w->turn_has && !w->turn_leaving))
        violate(w, "the turn is asked for again");
    w->turns++;
    if (w->turn_has && choose(w, 2)) { /* it was not yet free for others, and none of them waits */
        w->turn_leaving = false;
        return true;
    }
    if (!w->turn_has && choose(w, 2)) {
        w->turn_has = true;
        return true;
    }
    snprintf(who->z, sizeof who->z, "run other is writing there");
    w->turns_waited++;
    w->turn_asked = true;
    bool long_time = w->long_turns < LONG_TURNS && choose(w, 30) == 0;
    w->long_turns += long_time;
    add_event(w, WORLD_TURN, (int64_t)choose(w, 300) + (long_time ? LONG_TURN_MS : 0));
    return false;
}

static void io_turn_leave(void *ctx)
{
    struct world *w = ctx;
    for (size_t i = w->nevents; w->turn_asked && i-- > 0;)
        if (w->events[i].kind == WORLD_TURN)
            drop_event(w, i);
    bool only_asked = w->turn_asked;
    w->turn_asked = false;
    if (w->turn_has && !w->turn_leaving) {
        w->turn_leaving = true;
        outbox_leave(w->outbox, ++w->turn_number);
    } else if (!only_asked) {
        violate(w, "a turn is left that it has not");
    }
}

static void turn_left(void *ctx, uint64_t number)
{
    struct world *w = ctx;
    if (w->turn_leaving && number == w->turn_number)
        w->turn_has = w->turn_leaving = false;
}

static void turn_comes(struct world *w)
{
    w->turn_asked = w->turn_leaving = false;
    w->turn_has = true;
    run_turn(w->run);
}

/* A command that works in a view of its own needs no turn. */
static bool in_own_view(const struct world *w, const struct pending_event *p)
{
    const struct val *step = p->effect == EFFECT_COMMAND ? step_of_effect(w, str_c(p->path)) : NULL;
    return str_is(val_get_str(step, STR("workspace"), STR("")), "isolated");
}

/* Another run may write there at any time at which this one has not the turn. */
static void check_turn(struct world *w, const struct pending_event *p)
{
    const struct val *q = &p->request->val;
    struct str tool = val_get_str(q, STR("tool"), STR("")), action = val_get_str(q, STR("action"), STR(""));
    bool apart = VAL_GET(q, "place") || in_own_view(w, p);
    bool changes =
        p->effect == EFFECT_COMMAND ||
        (p->effect == EFFECT_TOOL && (str_is(tool, "Write") || str_is(tool, "Edit") || str_is(tool, "Bash"))) ||
        (p->effect == EFFECT_FILES && VAL_GET(q, "plan")) ||
        (p->effect == EFFECT_WORKSPACE && !str_is(action, "isolate"));
    if (changes && !apart && !w->turn_has)
        violate(w, "%s writes to the workspace out of turn", p->path);
}
