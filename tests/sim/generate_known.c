/* Steps at the end of random workflows whose outcome is known whatever happens, so that what is a matter of time in
 * them may be, and is checked by other means than by comparing results:
 *
 *      same    iterations that would keep the same result in the cache: only one at a time may make it (world_known.c),
 *              and who it is does not matter (compare.c)
 *      frail   an effect that an interruption fails for good: it is not done again, and fails only then
 *      around  an inner loop reads the item and the index of the loop around it
 *      tables  data_transform: what joins, groups and flattens */
static void known_steps(struct generator *g, unsigned in)
{
    static const char *const sides[] = {"", ", join_type: left", ", join_type: inner"};
    static const char *const groups[] = {"group_by, key: odd", "group_by, key: \"item.n % 3\"",
                                         "group_by, key: odd, aggregate: {rows: count, sum: \"sum(n)\"}"};
    uint64_t which = rng_below(&g->known, 5);
    if (which == 0 || which == 4)
        buf_printf(&g->out,
                   "%*s- name: shared\n%*stype: for_loop\n%*sdata_source: \"range(1, %d)\"\n%*sparallel: true\n"
                   "%*stimeout: 100d\n%*ssteps: [{name: same, type: gemini, prompt: hello, timeout: 50d, cache: {key: "
                   "one}}]\n",
                   (int)in, "", (int)in + 2, "", (int)in + 2, "", 2 + (int)rng_below(&g->known, 4), (int)in + 2, "",
                   (int)in + 2, "", (int)in + 2, "");
    if (which == 1 || which == 4)
        buf_printf(&g->out, "%*s- {name: frail, type: %s, on_interrupt: fail, on_error: continue}\n", (int)in, "",
                   rng_below(&g->known, 2) ? "command, run: once" : "gemini, prompt: hello");
    if (which == 2)
        buf_printf(
            &g->out,
            "%*s- name: around\n%*stype: for_loop\n%*sdata_source: [a, b, c]\n%*sparallel: %s\n%*ssteps:\n"
            "%*s- {name: inner, type: for_loop, data_source: [1, 2], steps: [{name: tell, type: test_echo, value: "
            "\"{{ loop.parent.item }}{{ loop.parent.index }}{{ loop.item }}\"}]}\n",
            (int)in, "", (int)in + 2, "", (int)in + 2, "", (int)in + 2, "", rng_below(&g->known, 2) ? "true" : "false",
            (int)in + 2, "", (int)in + 4, "");
    if (which == 3) {
        buf_printf(&g->out, "%*s- name: tables\n%*stype: data_transform\n%*sinput_source: \"range(1, %d)\"\n", (int)in,
                   "", (int)in + 2, "", (int)in + 2, "", 4 + (int)rng_below(&g->known, 4000));
        buf_printf(&g->out, "%*soperations:\n%*s- {operation: map, expression: \"{n: item, odd: item %% 2}\"}\n",
                   (int)in + 2, "", (int)in + 4, "");
        buf_printf(&g->out, "%*s- {operation: join, left_field: n, right_source: state.rows, join_key: k%s}\n",
                   (int)in + 4, "", sides[rng_below(&g->known, 3)]);
        buf_printf(&g->out, "%*s- {operation: %s}\n", (int)in + 4, "", groups[rng_below(&g->known, 3)]);
        buf_printf(&g->out, "%*s- {operation: map, expression: \"[key, [value]]\"}\n%*s- {operation: flatten}\n",
                   (int)in + 4, "", (int)in + 4, "");
    }
}
