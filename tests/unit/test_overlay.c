/* What a command wrote to its view, in both of its forms: as overlayfs leaves it, made by hand here, and as a copy. */
#include "../snapshot_util.h"
#include "executor/overlay.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void make_workspace(struct place_of_test *p)
{
    test_write(p->root, "a", "one");
    test_write(p->root, "d/b", "two");
    test_write(p->root, "d/deep/c", "three");
    test_write(p->root, "keep/k", "four");
    test_write(p->root, ".git/config", "git");
}

static char *in_view(struct place_of_test *p, const struct overlay *v, const char *part, const char *name)
{
    return arena_cstr(&p->arena, arena_printf(&p->arena, "%s/views/%u/%s/%s", p->store, v->number, part, name));
}

static void layers(void **state)
{
    (void)state;
    struct place_of_test p;
    struct overlay v;
    test_begin(&p);
    make_workspace(&p);
    struct sha256 id = test_take(&p);
    OK(&p, overlay_new(&p.s, &id, STR("."), STR("."), false, &v, &p.err));
    struct changes c = {.a = &p.arena};
    size_t skipped;
    OK(&p, overlay_changes(&p.s, &v, &c, &skipped, &p.err));
    assert_int_equal(c.n, 0);

    const char *upper = in_view(&p, &v, "upper", "");
    test_write(upper, "a", "one"); /* opened for writing, and as before */
    test_write(upper, "d/new", "x");
    test_write(upper, ".git/index", "not looked at");
    if (mknod(in_view(&p, &v, "upper", "keep"), S_IFCHR | 0600, makedev(0, 0)) != 0) {
        overlay_drop(&p.s, &v);
        test_end(&p);
        skip(); /* only root makes what overlayfs does */
    }
    OK(&p, overlay_changes(&p.s, &v, &c, &skipped, &p.err));
    assert_int_equal(c.n, 3);
    bool gone = false, came = false;
    for (size_t i = 0; i < c.n; i++) {
        gone |= str_is(c.v[i].path, "keep/k") && c.v[i].after.type == NODE_NONE;
        came |= str_is(c.v[i].path, "d/new") && c.v[i].before.type == NODE_NONE;
    }
    assert_true(gone && came);

    /* a directory that hides what was below it */
    assert_int_equal(setxattr(in_view(&p, &v, "upper", "d"), "trusted.overlay.opaque", "y", 1, 0), 0);
    c = (struct changes){.a = &p.arena};
    OK(&p, overlay_changes(&p.s, &v, &c, &skipped, &p.err));
    size_t removed = 0;
    for (size_t i = 0; i < c.n; i++)
        removed += str_starts(c.v[i].path, STR("d/")) && c.v[i].after.type == NODE_NONE;
    assert_int_equal(removed, 3); /* d/b, d/deep, d/deep/c */
    overlay_drop(&p.s, &v);
    assert_int_equal(access(in_view(&p, &v, "upper", "a"), F_OK), -1);
    test_end(&p);
}

static void a_copy(void **state)
{
    (void)state;
    struct place_of_test p;
    struct overlay v;
    test_begin(&p);
    make_workspace(&p);
    struct sha256 id = test_take(&p);
    OK(&p, overlay_new(&p.s, &id, STR("d"), STR("."), true, &v, &p.err));
    const char *copy = in_view(&p, &v, "copy", "");
    test_tree(copy, ".git/:755 a:644:one d/:755 d/b:644:two d/deep/:755 d/deep/c:644:three keep/:755 keep/k:644:four");
    struct changes c = {.a = &p.arena};
    size_t skipped;
    OK(&p, overlay_changes(&p.s, &v, &c, &skipped, &p.err));
    assert_int_equal(c.n, 0);
    test_write(copy, "a", "eno");
    test_write(copy, "d/new", "x");
    test_write(p.root, "d/b", "somebody else's"); /* in the workspace: no change of the command's */
    assert_int_equal(unlink(in_view(&p, &v, "copy", "keep/k")), 0);
    assert_int_equal(rmdir(in_view(&p, &v, "copy", "keep")), 0);
    OK(&p, overlay_changes(&p.s, &v, &c, &skipped, &p.err));
    test_changes(&c, "~a +d/new -keep -keep/k");
    test_write(copy, "sub/.git/HEAD", "new");
    test_write(p.root, "sub/x", "");
    OK(&p, overlay_guarded(&p.s, &v, &p.err));
    test_tree(p.root, ".git/:755 .git/config:644:git a:644:one d/:755 d/b:644:somebody else's d/deep/:755 "
                      "d/deep/c:644:three keep/:755 keep/k:644:four sub/:755 sub/.git/:755 sub/.git/HEAD:644:new "
                      "sub/x:644:");
    overlay_drop(&p.s, &v);
    test_end(&p);
}

/* Views of an earlier life are swept up when a workspace is opened, but not while a command runs beside it. */
static void left_over(void **state)
{
    (void)state;
    struct place_of_test p;
    struct overlay v;
    test_begin(&p);
    make_workspace(&p);
    struct sha256 id = test_take(&p);
    const char *old = arena_cstr(&p.arena, arena_printf(&p.arena, "%s/views/1", p.store));
    assert_int_equal(mkdir(old, 0700), 0);
    OK(&p, overlay_new(&p.s, &id, STR("."), STR("."), false, &v, &p.err));
    assert_int_equal(v.number, 2);
    overlay_drop(&p.s, &v);
    assert_int_equal(access(old, F_OK), 0);
    test_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers), cmocka_unit_test(a_copy), cmocka_unit_test(left_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
