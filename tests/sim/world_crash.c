/* Death in the simulated world: what of the journal is left, and who goes on without the engine. Included behind
 * world.c. */
static void forget_due(struct world *w)
{
    for (; w->due; w->due = w->due->next_due)
        w->due->due = 0;
}

static void die(struct world *w)
{
    bool all = w->alone || choose(w, 3) == 0; /* the power fails */
    bool dies[2] = {all || choose(w, 3) == 0, all || choose(w, 3) == 0};
    for (size_t i = w->nevents; i-- > 0;)
        leave_orphan(w, i, dies[who(w->events[i].effect)]);
    for (size_t of = 0; of < 2; of++) {
        w->lives[of] += dies[of];
        w->absent_until[of] = 0;
    }
    drop_run(w);
    forget_due(w);
    w->now += (int64_t)choose(w, 5000);
}

void world_crash(struct world *w)
{
    w->crashes++;
    /* of the batches under way a prefix made it */
    uint64_t last = w->durable + choose(w, w->batch - w->durable + 1);
    w->kept += last - w->durable;
    w->lost += w->batch - last;
    for (uint64_t b = w->durable + 1; b <= last; b++)
        made_durable(w, b);
    size_t n = 0;
    while (n < w->ndisk && (w->disk[n].batch == 0 || w->disk[n].batch <= last))
        n++;
    w->ndisk = n;
    die(w);
}

void world_cut(struct world *w, size_t n)
{
    w->crashes++;
    CHECK(n && n <= w->ndisk && w->disk[n - 1].batch > w->durable);
    w->ndisk = n;
    forget_due(w); /* a result of the batch that is cut may be gone */
    for (uint64_t b = w->durable + 1, last = w->disk[n - 1].batch; b <= last; b++)
        made_durable(w, b);
    die(w);
}
