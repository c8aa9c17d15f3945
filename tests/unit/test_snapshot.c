/* Snapshots: what they see, what they do not, that no change is missed, and copies made of them. */
#include "../snapshot_util.h"

#include "executor/fresh.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The file system of the test: on NFS a lock that excludes others needs a descriptor that may write, and servers that
 * keep none answer ENOLCK. Takes the place of the C library's in this program. */
static bool no_locks;
int flock(int fd, int operation)
{
    bool exclusive = (operation & ~LOCK_NB) == LOCK_EX, reads = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
    if (no_locks || (exclusive && reads)) {
        errno = no_locks ? ENOLCK : EBADF;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void check_diff(struct place_of_test *p, const struct sha256 *from, const struct sha256 *to,
                       const char *expected)
{
    struct changes c = {.a = &p->arena};
    OK(p, tree_diff(&p->s.objects, from, to, STR(""), &c, &p->err));
    test_changes(&c, expected);
}

static char *at(struct place_of_test *p, const char *name)
{
    return arena_cstr(&p->arena, arena_printf(&p->arena, "%s/%s", p->root, name));
}

static void what_differs(void **state)
{
    (void)state;
    struct place_of_test p;
    test_begin(&p);
    test_write(p.root, "a", "one");
    test_write(p.root, "d/b", "two");
    test_write(p.root, "d/deep/c", "three");
    assert_int_equal(symlink("a", at(&p, "l")), 0);
    assert_int_equal(mkdir(at(&p, "empty"), 0700), 0);
    struct sha256 first = test_take(&p), again = test_take(&p);
    assert_memory_equal(&first, &again, sizeof first);
    check_diff(&p, &first, &again, "");
    check_diff(&p, NULL, &first, "+a +d +d/b +d/deep +d/deep/c +empty +l");

    test_write(p.root, "a", "ONE");
    assert_int_equal(chmod(at(&p, "d/b"), 0600), 0);
    assert_int_equal(unlink(at(&p, "d/deep/c")), 0);
    assert_int_equal(rmdir(at(&p, "d/deep")), 0);
    test_write(p.root, "d/deep", "a file now");
    assert_int_equal(rmdir(at(&p, "empty")), 0);
    assert_int_equal(unlink(at(&p, "l")), 0);
    assert_int_equal(symlink("b", at(&p, "l")), 0);
    test_write(p.root, "new/x", "");
    struct sha256 second = test_take(&p);
    check_diff(&p, &first, &second, "~a ~d/b ~d/deep -d/deep/c -empty ~l +new +new/x");
    check_diff(&p, &second, &first, "~a ~d/b ~d/deep +d/deep/c +empty ~l -new -new/x");

    struct node n;
    OK(&p, snapshot_lookup(&p.s, &first, STR("d/deep/c"), &n, &p.err));
    assert_int_equal(n.type, NODE_FILE);
    OK(&p, snapshot_lookup(&p.s, &second, STR("d/deep/c"), &n, &p.err));
    assert_int_equal(n.type, NODE_NONE);
    test_end(&p);
}

static void what_is_left_alone(void **state)
{
    (void)state;
    struct place_of_test p;
    struct str *guarded;
    size_t n, left;
    test_begin(&p);
    test_write(p.root, "a", "one");
    test_write(p.root, ".git/config", "x");
    test_write(p.root, "sub/.git/config", "x");
    assert_int_equal(mkfifo(at(&p, "pipe"), 0600), 0);
    struct sha256 first = test_take(&p);
    test_write(p.root, ".git/config", "changed");
    struct sha256 second;
    OK(&p, scan_take(&p.s.scan, &p.s.objects, NULL, &second, &left, &p.err));
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(left, 1);
    OK(&p, snapshot_guarded(&p.s, &first, &p.arena, &guarded, &n, &p.err));
    assert_int_equal(n, 2);
    assert_true(str_is(guarded[0], ".git") && str_is(guarded[1], "sub/.git"));
    test_end(&p);
}

/* Same size, same time of change, and within one tick of the clock: seen all the same, ten thousand times. */
static void no_change_is_missed(void **state)
{
    (void)state;
    struct place_of_test p;
    test_begin(&p);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    for (int i = 0; i < 10000; i++) {
        char text[2] = {(char)('a' + i % 26), 0};
        test_write(p.root, "d/f", text);
        int fd = open(at(&p, "d/f"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(futimens(fd, times), 0);
        close(fd);
        if (i % 3 == 0) /* a name comes and goes within the tick as well */
            test_write(p.root, "d/g", text);
        else
            (void)unlink(at(&p, "d/g"));
        struct sha256 id = test_take(&p), want = sha256_of(str_n(text, 1));
        struct node n;
        OK(&p, snapshot_lookup(&p.s, &id, STR("d/f"), &n, &p.err));
        assert_memory_equal(&n.hash, &want, sizeof want);
        OK(&p, snapshot_lookup(&p.s, &id, STR("d/g"), &n, &p.err));
        assert_int_equal(n.type, i % 3 ? NODE_NONE : NODE_FILE);
    }
    test_end(&p);
}

static void too_large(void **state)
{
    (void)state;
    struct place_of_test p;
    struct sha256 id;
    test_begin(&p);
    int fd = open(at(&p, "huge"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SCAN_BYTES_MAX + 1), 0);
    close(fd);
    assert_int_equal(snapshot_take(&p.s, NULL, &id, &p.err), RC_LIMIT);
    assert_int_equal(unlink(at(&p, "huge")), 0);
    struct buf path;
    buf_init(&path, 600);
    for (int i = 0; i < SCAN_DEPTH_MAX + 2; i++)
        buf_addz(&path, "d/");
    buf_addc(&path, 'f');
    test_write(p.root, path.p, "x");
    buf_done(&path);
    assert_int_equal(snapshot_take(&p.s, NULL, &id, &p.err), RC_LIMIT);
    test_end(&p);
}

static void copies(void **state)
{
    (void)state;
    struct place_of_test p;
    char to[100];
    struct scan copy;
    struct stat a, b;
    test_begin(&p);
    test_write(p.root, "a", "one");
    test_write(p.root, "d/b", "two");
    test_write(p.root, ".git/config", "x");
    assert_int_equal(chmod(at(&p, "d/b"), 0751), 0);
    assert_int_equal(chmod(at(&p, "d"), 0555), 0);
    assert_int_equal(symlink("nowhere", at(&p, "l")), 0);
    struct sha256 id = test_take(&p), same;
    assert_int_equal(chmod(at(&p, "d"), 0755), 0); /* only what the snapshot saw is copied */
    test_write(p.root, "a", "changed since");
    snprintf(to, sizeof to, "%s/copy", p.dir);
    assert_int_equal(mkdir(to, 0755), 0);
    int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OK(&p, scan_copy(&p.s.scan, &p.s.objects, fd, NULL, &copy, &p.err));
    test_tree(to, ".git/:755 a:644:one d/:555 d/b:751:two l->nowhere");
    assert_true(lstat(at(&p, "d/b"), &a) == 0 && fstatat(fd, "d/b", &b, 0) == 0);
    assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec); /* so that make does not make everything anew */
    OK(&p, scan_take(&copy, &p.s.objects, NULL, &same, NULL, &p.err));
    assert_memory_equal(&id, &same, sizeof id);
    test_write(to, "a", "eno"); /* the same size, at once */
    OK(&p, scan_take(&copy, &p.s.objects, NULL, &same, NULL, &p.err));
    check_diff(&p, &id, &same, "~a");
    scan_done(&copy);
    assert_int_equal(fchmodat(fd, "d", 0755, 0), 0);
    close(fd);
    test_end(&p);
}

static void sharing(void **state)
{
    (void)state;
    struct place_of_test p;
    struct objects other;
    struct changes c = {0};
    char dir[100];
    test_begin(&p);
    test_write(p.root, "d/a", "one");
    test_write(p.root, "b", "two");
    struct sha256 id = test_take(&p);
    snprintf(dir, sizeof dir, "%s/other", p.dir);
    OK(&p, objects_init(&other, dir, true, &p.err));
    OK(&p, tree_share(&p.s.objects, &other, &id, &p.err));
    c.a = &p.arena;
    OK(&p, tree_diff(&other, NULL, &id, STR("below"), &c, &p.err));
    test_changes(&c, "+below/b +below/d +below/d/a");
    struct str text;
    OK(&p, object_read(&other, &c.v[2].after.hash, 100, &p.arena, &text, &p.err));
    assert_true(str_is(text, "one"));
    assert_int_equal(object_read(&other, &c.v[2].after.hash, 2, &p.arena, &text, &p.err), RC_LIMIT);
    struct sha256 none = {{1}};
    assert_int_equal(object_read(&other, &none, 2, &p.arena, &text, &p.err), RC_CORRUPT);
    objects_done(&other);
    test_end(&p);
}

/* What a writer who died has left goes; what one still writes stays. */
static void sweeping(void **state)
{
    (void)state;
    struct place_of_test p;
    struct fresh ours, theirs;
    test_begin(&p);
    int dir = p.s.objects.dir.fd;
    static const char *const below[] = {"objects/", "packs/"};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        OK(&p, fresh_open(dir, below[i], "a test", &ours, &p.err));
        OK(&p, fresh_open(dir, below[i], "a test", &theirs, &p.err));
        close(theirs.fd);
        objects_sweep(&p.s.objects);
        assert_int_equal(faccessat(dir, ours.name, F_OK, 0), 0);
        assert_int_equal(faccessat(dir, theirs.name, F_OK, 0), -1);
        close(ours.fd);
        objects_sweep(&p.s.objects);
        assert_int_equal(faccessat(dir, ours.name, F_OK, 0), -1);
    }
    test_write(p.root, "a", "one");
    struct sha256 id = test_take(&p), content = sha256_of(STR("one"));
    objects_sweep(&p.s.objects);
    test_reopen(&p);
    struct node n;
    OK(&p, snapshot_lookup(&p.s, &id, STR("a"), &n, &p.err));
    assert_memory_equal(&n.hash, &content, sizeof content);
    test_end(&p);
}

static void where_nothing_can_be_locked(void **state)
{
    (void)state;
    struct place_of_test p;
    struct fresh f;
    test_begin(&p);
    no_locks = true;
    assert_int_equal(fresh_open(p.s.objects.dir.fd, "objects/", "a test", &f, &p.err), RC_IO);
    no_locks = false;
    assert_non_null(strstr(p.err.msg, "a test: "));
    assert_non_null(strstr(p.err.msg, strerror(ENOLCK)));
    DIR *d = opendir(at(&p, "../store/objects"));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        assert_int_equal(e->d_name[strspn(e->d_name, ".")], 0); /* nothing but itself and its parent */
    closedir(d);
    test_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs),
        cmocka_unit_test(what_is_left_alone),
        cmocka_unit_test(no_change_is_missed),
        cmocka_unit_test(too_large),
        cmocka_unit_test(copies),
        cmocka_unit_test(sharing),
        cmocka_unit_test(sweeping),
        cmocka_unit_test(where_nothing_can_be_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
