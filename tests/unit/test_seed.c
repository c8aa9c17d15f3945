/* Later runs in the same workspace: they read only what has changed, keep it once, lose nothing with the runs before
 * them, and believe nothing that is damaged, of another start of the machine, or another's. */
#include "../snapshot_util.h"
#include "base/rng.h"

#include <sys/mman.h>

struct run_of_test {
    char store[100];
    struct snapshots s;
};

static char *at(struct place_of_test *p, const char *name)
{
    return arena_cstr(&p->arena, arena_printf(&p->arena, "%s/%s", p->dir, name));
}

static void begin(struct place_of_test *p)
{
    test_begin(p);
    assert_int_equal(mkdir(at(p, "home"), 0700), 0);
}

static void run_begin(struct place_of_test *p, struct run_of_test *r, int number)
{
    snprintf(r->store, sizeof r->store, "%s/home/run%d", p->dir, number);
    OK(p, snapshots_init(&r->s, r->store, r->store, &p->workspace, &p->err));
    r->s.seed.state_dir = at(p, "home");
}

static struct sha256 look(struct place_of_test *p, struct run_of_test *r)
{
    struct sha256 id;
    OK(p, snapshot_take(&r->s, NULL, &id, &p->err));
    return id;
}

static void run_end(struct run_of_test *r)
{
    snapshots_done(&r->s);
}

static void run_remove(struct run_of_test *r)
{
    assert_int_equal(nftw(r->store, test_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Without any seed. */
static struct sha256 as_it_is(struct place_of_test *p)
{
    struct snapshots s;
    struct sha256 id;
    OK(p, snapshots_init(&s, at(p, "alone"), at(p, "alone"), &p->workspace, &p->err));
    OK(p, snapshot_take(&s, NULL, &id, &p->err));
    snapshots_done(&s);
    assert_int_equal(nftw(at(p, "alone"), test_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    return id;
}

static void read_all(struct place_of_test *p, struct objects *o, const struct sha256 *id)
{
    struct changes c = {.a = &p->arena};
    OK(p, tree_diff(o, NULL, id, STR(""), &c, &p->err));
    for (size_t i = 0; i < c.n; i++) {
        struct str text;
        if (c.v[i].after.type == NODE_FILE || c.v[i].after.type == NODE_LINK)
            OK(p, object_read(o, &c.v[i].after.hash, 1 << 20, &p->arena, &text, &p->err));
    }
}

/* The snapshot is right, and all of it can be read in a process that knows nothing else. */
static void check(struct place_of_test *p, struct run_of_test *r, const struct sha256 *id)
{
    struct sha256 want = as_it_is(p);
    struct snapshots s;
    assert_memory_equal(id, &want, sizeof want);
    OK(p, snapshots_read(&s, r->store, r->store, &p->err));
    read_all(p, &s.objects, id);
    snapshots_done(&s);
}

enum { FILES = 300 };
static void fill(struct place_of_test *p)
{
    char name[40], text[80];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "d%d/f%d", i / 30, i);
        snprintf(text, sizeof text, "the text of file %d, and some more of it", i);
        test_write(p->root, name, text);
    }
    assert_int_equal(symlink("d0/f0", at(p, "ws/link")), 0);
    char *large = arena_alloc(&p->arena, 200001);
    memset(large, 'x', 200000);
    test_write(p->root, "large", large);
    usleep(20000); /* what is of the very tick in which it is looked at is looked at again */
}

static int unshared_files;
static int add_unshared(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)path, (void)f;
    unshared_files += type == FTW_F && st->st_nlink == 1;
    return 0;
}

static int unshared(const struct run_of_test *r)
{
    unshared_files = 0;
    assert_int_equal(nftw(r->store, add_unshared, 16, FTW_PHYS), 0);
    return unshared_files;
}

static void later_runs(void **state)
{
    (void)state;
    struct place_of_test p;
    struct run_of_test one, two, three;
    begin(&p);
    fill(&p);
    run_begin(&p, &one, 1);
    struct sha256 first = look(&p, &one);
    assert_int_equal(one.s.scan.looked, FILES + 2);
    run_begin(&p, &two, 2); /* while the first one lives */
    struct sha256 second = look(&p, &two);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(two.s.scan.looked, 0);
    assert_int_equal(unshared(&two), 0);
    run_end(&one);
    run_remove(&one); /* takes nothing from the second */
    check(&p, &two, &second);

    test_write(p.root, "d1/f30", "another text of the same size, as it is!");
    assert_int_equal(unlink(at(&p, "ws/d2/f60")), 0);
    test_write(p.root, "d2/new", "new");
    run_begin(&p, &three, 3);
    struct sha256 third = look(&p, &three);
    assert_int_equal(three.s.scan.looked, 2);
    check(&p, &three, &third);
    run_end(&two);
    run_remove(&two);
    check(&p, &three, &third);
    run_end(&three);

    run_begin(&p, &three, 3); /* another life of the same run */
    struct sha256 again = look(&p, &three);
    assert_memory_equal(&third, &again, sizeof third);
    assert_in_range(three.s.scan.looked, 0, 2); /* of the very tick */
    run_end(&three);
    run_remove(&three);
    seeds_sweep(at(&p, "home"));
    test_tree(at(&p, "home"), "seeds/:700");
    test_end(&p);
}

static int not_fixed;
static int add_not_fixed(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)f;
    if (type == FTW_F && (strstr(path, "/objects/") || strstr(path, "/packs/")))
        not_fixed += (st->st_mode & 07777) != 0400;
    else
        not_fixed += (st->st_mode & 077) != 0;
    return 0;
}

static void nobody_else_can_read_or_write_it(void **state)
{
    (void)state;
    struct place_of_test p;
    struct run_of_test r;
    begin(&p);
    fill(&p);
    for (int i = 1; i < 3; i++) {
        run_begin(&p, &r, i);
        (void)look(&p, &r);
        run_end(&r);
    }
    not_fixed = 0;
    assert_int_equal(nftw(at(&p, "home"), add_not_fixed, 16, FTW_PHYS), 0);
    assert_int_equal(not_fixed, 0);
    test_end(&p);
}

static char *only_pack(struct place_of_test *p, const char *store)
{
    char *dir = arena_cstr(&p->arena, arena_printf(&p->arena, "%s/packs", store)), *ret = NULL;
    struct dirent **v;
    int n = scandir(dir, &v, NULL, test_by_name);
    assert_int_equal(n, 3);
    ret = arena_cstr(&p->arena, arena_printf(&p->arena, "%s/%s", dir, v[2]->d_name));
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    return ret;
}

/* One byte in the middle is another: at `part` of eight. */
static void damage(const char *path, int part)
{
    struct stat st;
    char c = 0;
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, &c, 1, st.st_size * part / 8) == 1);
    c = (char)(c ^ 1);
    assert_int_equal(pwrite(fd, &c, 1, st.st_size * part / 8), 1);
    close(fd);
    assert_int_equal(chmod(path, 0400), 0);
}

/* What is damaged is not believed, and never written over a file. */
static void damaged(void **state)
{
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        struct place_of_test p;
        struct run_of_test one, two;
        begin(&p);
        fill(&p);
        run_begin(&p, &one, 1);
        (void)look(&p, &one);
        run_end(&one);
        char *seen = at(&p, "home/run1/seen"), *pack = only_pack(&p, one.store);
        if (kind == 0)
            damage(seen, 4);
        else if (kind == 1)
            assert_int_equal(truncate(seen, 4000), 0);
        else if (kind == 2)
            assert_int_equal(unlink(pack), 0);
        else if (kind == 3)
            damage(pack, 7); /* the table */
        else if (kind == 4)
            assert_int_equal(truncate(pack, 5000), 0);
        else if (kind == 5)
            assert_int_equal(chmod(one.store, 0755), 0);
        else if (kind == 6) { /* another start of the machine */
            int fd = open(seen, O_RDWR | O_CLOEXEC);
            assert_int_equal(pwrite(fd, "00000000", 8, 16), 8);
            close(fd);
        } else if (geteuid() == 0) {
            assert_int_equal(chown(one.store, 65534, 65534), 0);
        } else {
            assert_int_equal(unlink(seen), 0);
        }
        run_begin(&p, &two, 2);
        struct sha256 id = look(&p, &two);
        assert_true(two.s.scan.looked > FILES / 2);
        check(&p, &two, &id);
        run_end(&two);
        test_end(&p);
    }
}

static void damage_is_no_content(void **state)
{
    (void)state;
    struct place_of_test p;
    struct run_of_test one, two;
    struct changes c = {0};
    size_t wrong = 0;
    begin(&p);
    fill(&p);
    run_begin(&p, &one, 1);
    (void)look(&p, &one);
    run_end(&one);
    damage(only_pack(&p, one.store), 1); /* some content, or a list: not looked at until it is wanted */
    run_begin(&p, &two, 2);
    struct sha256 id = look(&p, &two);
    c.a = &p.arena;
    enum rc rc = tree_diff(&two.s.objects, NULL, &id, STR(""), &c, &p.err);
    for (size_t i = 0; rc == RC_OK && i < c.n; i++) {
        struct str text;
        if (c.v[i].after.type != NODE_FILE)
            continue;
        enum rc got = object_read(&two.s.objects, &c.v[i].after.hash, 1 << 20, &p.arena, &text, &p.err);
        wrong += got == RC_CORRUPT;
        assert_true(got == RC_OK || got == RC_CORRUPT);
        int fd = memfd_create("x", MFD_CLOEXEC);
        assert_int_equal(object_write(&two.s.objects, &c.v[i].after.hash, fd, &p.err), got);
        close(fd);
    }
    assert_true(rc == RC_CORRUPT || wrong == 1);
    run_end(&two);
    test_end(&p);
}

/* Of a pack of which most is not in use any more nothing is taken: what a run keeps does not grow with the past. */
static void what_is_not_used_is_left(void **state)
{
    (void)state;
    struct place_of_test p;
    struct run_of_test r;
    int64_t before = 0, now = 0;
    begin(&p);
    fill(&p);
    for (int i = 1; i <= 8; i++) {
        char name[40], text[80];
        run_begin(&p, &r, i);
        struct sha256 id = look(&p, &r);
        check(&p, &r, &id);
        run_end(&r);
        int packs = 0;
        struct dirent **v;
        int n = scandir(arena_cstr(&p.arena, arena_printf(&p.arena, "%s/packs", r.store)), &v, NULL, test_by_name);
        for (int k = 0; k < n; k++) {
            struct stat st;
            char *path = arena_cstr(&p.arena, arena_printf(&p.arena, "%s/packs/%s", r.store, v[k]->d_name));
            if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
                now += st.st_size, packs++;
            free(v[k]);
        }
        free(v);
        if (i == 1)
            before = now;
        assert_in_range(now, before / 2, before * 3);
        now = 0;
        for (int k = 0; k < FILES; k++)
            if (k % 3 == i % 3) {
                snprintf(name, sizeof name, "d%d/f%d", k / 30, k);
                snprintf(text, sizeof text, "the text of file %d, and %d more of it", k, i * 1000);
                test_write(p.root, name, text);
            }
    }
    test_end(&p);
}

/* Whatever is done to the workspace and to earlier runs, the next one sees what is there. */
static void at_random(void **state)
{
    (void)state;
    struct place_of_test p;
    struct run_of_test r;
    struct rng rng;
    rng_seed(&rng, 7);
    begin(&p);
    fill(&p);
    for (int i = 1; i <= 25; i++) {
        char name[60], other[60], text[60];
        for (int k = (int)rng_below(&rng, 60); k > 0; k--) {
            int f = (int)rng_below(&rng, FILES);
            snprintf(name, sizeof name, "d%d/f%d", f / 30, f);
            snprintf(other, sizeof other, "ws/d%d/f%d", (int)rng_below(&rng, 10), (int)rng_below(&rng, FILES));
            snprintf(text, sizeof text, "the text of file %d, and some less of it", f);
            char *path = at(&p, arena_cstr(&p.arena, arena_printf(&p.arena, "ws/%s", name)));
            switch (rng_below(&rng, 6)) {
            case 0:
                (void)unlink(path);
                break;
            case 1:
                (void)rename(path, at(&p, other));
                break;
            case 2:
                (void)chmod(path, rng_below(&rng, 2) ? 0644 : 0755);
                break;
            case 3:
                (void)unlink(path);
                (void)!link(at(&p, other), path);
                break;
            default:
                (void)unlink(path);
                test_write(p.root, name, text);
            }
        }
        run_begin(&p, &r, i);
        struct sha256 id = look(&p, &r);
        check(&p, &r, &id);
        run_end(&r);
        int gone = (int)rng_below(&rng, (uint64_t)i) + 1;
        snprintf(r.store, sizeof r.store, "%s/home/run%d", p.dir, gone);
        if (access(r.store, F_OK) == 0)
            run_remove(&r);
    }
    test_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_runs),
        cmocka_unit_test(nobody_else_can_read_or_write_it),
        cmocka_unit_test(damaged),
        cmocka_unit_test(damage_is_no_content),
        cmocka_unit_test(what_is_not_used_is_left),
        cmocka_unit_test(at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
