/* Names that try to leave a directory, and names that only look as if they did. */
#include "executor/beneath.h"

#include "executor/files.h"
#include "executor_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cmocka.h>

static char top[64], root[80];
static struct beneath b;
static struct arena arena;

static void link_to(const char *target, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
    struct err err;
    char path[256];
    (void)state;
    snprintf(top, sizeof top, "/tmp/treadle-test-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(root, sizeof root, "%s/root", top);
    if (beneath_init(&b, &arena, root, true, &err) != RC_OK)
        fail_msg("%s", err.msg);
    util_write(top, "secret", "secret");
    util_write(top, "root-not/x", "neighbour with the same beginning");
    util_write(root, "a", "A");
    util_write(root, "d/b", "B");
    util_write(root, "d/e/c", "C");
    link_to("d/b", "to-b");
    link_to("../a", "d/to-a");
    link_to("d", "to-d");
    link_to("../secret", "out");
    link_to("..", "up");
    link_to("/etc", "etc");
    link_to("/", "slash");
    link_to("loop", "loop");
    link_to("d/../../secret", "winding");
    link_to("missing", "dangling");
    link_to("../new-outside", "dangling-out");
    link_to("/proc/self/root", "magic");
    link_to("/proc/self/cwd/secret", "magic-cwd");
    snprintf(path, sizeof path, "%s/a", root);
    link_to(path, "absolute-inside");
    snprintf(path, sizeof path, "%s/fifo", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/device", root);
    (void)mknod(path, S_IFCHR | 0600, makedev(1, 5)); /* /dev/zero; needs root */
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/socket", root);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&un, sizeof un), 0);
    close(s);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    beneath_done(&b);
    util_remove_tree(top);
    arena_done(&arena);
    return 0;
}

/* `%` stands for the root's path. */
static struct str expand(const char *text)
{
    struct buf o;
    buf_init(&o, 8192);
    for (; *text; text++)
        if (*text == '%')
            buf_addz(&o, root);
        else
            buf_addc(&o, *text);
    struct str s = arena_str(&arena, buf_str(&o));
    buf_done(&o);
    return s;
}

static const struct {
    const char *cwd, *path, *content; /* content NULL: refused with `rc` */
    enum rc rc;
} cases[] = {
    {".", "a", "A", RC_OK},
    {".", "./a", "A", RC_OK},
    {".", "d//b", "B", RC_OK},
    {".", "d/../a", "A", RC_OK},
    {"d", "../a", "A", RC_OK},
    {"d/e", "c", "C", RC_OK},
    {"d", "b", "B", RC_OK},
    {"", "a", "A", RC_OK},
    {"d", "%/a", "A", RC_OK},
    {".", "%/d/b", "B", RC_OK},
    {".", "%//d/b", "B", RC_OK},
    {".", "to-b", "B", RC_OK},
    {".", "d/to-a", "A", RC_OK},
    {".", "to-d/e/c", "C", RC_OK},
    {".", "to-d/to-a", "A", RC_OK},
    {".", "missing", NULL, RC_NOT_FOUND},
    {".", "a/x", NULL, RC_NOT_FOUND},
    {".", "dangling", NULL, RC_NOT_FOUND},
    {".", "..", NULL, RC_INVALID},
    {".", "../secret", NULL, RC_INVALID},
    {"d", "../../secret", NULL, RC_INVALID},
    {".", "d/../../secret", NULL, RC_INVALID},
    {".", "d/e/../../../secret", NULL, RC_INVALID},
    {".", "../root/a", NULL, RC_INVALID}, /* out and in again is out */
    {".", "up/root/a", NULL, RC_INVALID},
    {".", "out", NULL, RC_INVALID},
    {".", "winding", NULL, RC_INVALID},
    {".", "etc/passwd", NULL, RC_INVALID},
    {".", "slash/etc/passwd", NULL, RC_INVALID},
    {".", "absolute-inside", NULL, RC_INVALID},
    {".", "magic/etc/passwd", NULL, RC_INVALID},
    {".", "magic-cwd", NULL, RC_INVALID},
    {".", "dangling-out", NULL, RC_INVALID},
    {".", "loop", NULL, RC_INVALID},
    {".", "/etc/passwd", NULL, RC_INVALID},
    {".", "/proc/self/root/etc/passwd", NULL, RC_INVALID},
    {".", "%-not/x", NULL, RC_INVALID}, /* a prefix of the name is not a parent */
    {".", "%/../secret", NULL, RC_INVALID},
    {".", "%", NULL, RC_INVALID}, /* a directory */
    {".", "d", NULL, RC_INVALID},
    {".", ".", NULL, RC_INVALID},
    {".", "", NULL, RC_INVALID},
    {".", "fifo", NULL, RC_INVALID},
    {".", "device", NULL, RC_INVALID},
    {".", "socket", NULL, RC_INVALID},
};

static void test_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str rel, text;
        struct err err = {0};
        struct stat st;
        int fd;
        if (geteuid() != 0 && strcmp(cases[i].path, "device") == 0)
            continue;
        enum rc rc = beneath_relative(&b, &arena, str_c(cases[i].cwd), expand(cases[i].path), &rel, &err);
        if (rc == RC_OK)
            rc = beneath_open_file(&b, rel, O_RDONLY, &fd, &st, &err);
        if (rc != cases[i].rc)
            print_message("%s + %s: %s (%s)\n", cases[i].cwd, cases[i].path, rc_name(rc), err.msg);
        assert_int_equal(rc, cases[i].rc);
        if (rc) {
            assert_true(strlen(err.msg) > 0);
            continue;
        }
        assert_int_equal(file_slurp(fd, 100, &arena, &text, &err), RC_OK);
        assert_true(str_is(text, cases[i].content));
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
    }
}

static void test_bad_names(void **state)
{
    struct str rel;
    struct err err;
    char *text = malloc(10000);
    (void)state;
    memset(text, 'x', 10000);
    assert_int_equal(beneath_relative(&b, &arena, STR("."), str_n("a\0b", 3), &rel, &err), RC_INVALID);
    assert_int_equal(beneath_relative(&b, &arena, str_n("d\0", 2), STR("b"), &rel, &err), RC_INVALID);
    assert_int_equal(beneath_relative(&b, &arena, STR("."), str_n(text, 10000), &rel, &err), RC_INVALID);
    assert_int_equal(beneath_relative(&b, &arena, str_n(text, 3000), str_n(text, 3000), &rel, &err), RC_INVALID);
    int fd;
    assert_int_equal(beneath_open(&b, str_n(text, 300), O_RDONLY, &fd, &err), RC_INVALID); /* one name too long */
    free(text);
}

static void test_init(void **state)
{
    struct beneath other;
    struct err err;
    char path[256];
    (void)state;
    assert_int_equal(beneath_init(&other, &arena, "relative", false, &err), RC_INVALID);
    assert_int_equal(beneath_init(&other, &arena, NULL, false, &err), RC_INVALID);
    snprintf(path, sizeof path, "%s/none", top);
    assert_int_equal(beneath_init(&other, &arena, path, false, &err), RC_NOT_FOUND);
    snprintf(path, sizeof path, "%s/a", root);
    assert_int_not_equal(beneath_init(&other, &arena, path, true, &err), RC_OK);
    snprintf(path, sizeof path, "%s/made/by/init///", top);
    assert_int_equal(beneath_init(&other, &arena, path, true, &err), RC_OK);
    assert_true(str_ends(other.path, STR("/made/by/init")));
    beneath_done(&other);
    /* The root directory itself works, and /proc's links are refused in it. */
    assert_int_equal(beneath_init(&other, &arena, "/", true, &err), RC_OK);
    int fd;
    struct stat st;
    struct str rel;
    assert_int_equal(beneath_relative(&other, &arena, STR("."), STR("/etc/passwd"), &rel, &err), RC_OK);
    assert_int_equal(beneath_open_file(&other, rel, O_RDONLY, &fd, &st, &err), RC_OK);
    close(fd);
    assert_int_equal(beneath_open(&other, STR("proc/self/root/etc/passwd"), O_RDONLY, &fd, &err), RC_INVALID);
    assert_int_equal(beneath_open(&other, STR("proc/self/exe"), O_RDONLY, &fd, &err), RC_INVALID);
    beneath_done(&other);
}

/* A workspace that was named through a link: its real name is accepted too, since that is what `pwd` tells. */
static void test_linked_root(void **state)
{
    struct beneath other;
    struct err err;
    struct str rel;
    char link[160];
    (void)state;
    snprintf(link, sizeof link, "%s/root-link", top);
    assert_int_equal(symlink("root", link), 0);
    assert_int_equal(beneath_init(&other, &arena, link, false, &err), RC_OK);
    assert_int_equal(beneath_relative(&other, &arena, STR("."), expand("%/d/b"), &rel, &err), RC_OK);
    assert_true(str_is(rel, "d/b"));
    struct place p;
    assert_int_equal(beneath_locate(&other, &arena, STR("to-b"), false, &p, &err), RC_OK);
    assert_true(str_is(p.path, "d/b"));
    place_done(&p);
    beneath_done(&other);
}

static const struct {
    const char *path, *found; /* NULL: refused */
    bool exists;
} places[] = {
    {"a", "a", true},
    {"to-b", "d/b", true},
    {"to-d/e/c", "d/e/c", true},
    {"d/to-a", "a", true},
    {"new", "new", false},
    {"to-d/new", "d/new", false},
    {"x/y/z", "x/y/z", false},
    {"d/../n2", "n2", false},
    {"to-d/../n3", "n3", false},
    {"../new", NULL, false},
    {"up/new", NULL, false},
    {"etc/new", NULL, false},
    {"out", NULL, false},
    {"dangling", NULL, false},
    {"dangling-out", NULL, false},
    {"loop", NULL, false},
    {"d", NULL, false},
    {"fifo", NULL, false},
    {"d/", NULL, false},
    {"new/", NULL, false},
    {"new/.", NULL, false},
    {"new/..", NULL, false},
    {".", NULL, false},
    {"a/x", NULL, false},
    {"socket", NULL, false},
    {"absolute-inside", NULL, false},
};

static void test_locate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (int make = 0; make < 2; make++) {
            struct place p;
            struct err err = {0};
            enum rc rc = beneath_locate(&b, &arena, str_c(places[i].path), make, &p, &err);
            if ((rc == RC_OK) != (places[i].found != NULL))
                print_message("%s: %s (%s)\n", places[i].path, rc_name(rc), err.msg);
            assert_int_equal(rc == RC_OK, places[i].found != NULL);
            if (rc)
                continue;
            assert_true(str_is(p.path, places[i].found));
            assert_int_equal(p.exists, places[i].exists);
            assert_true(p.dir >= 0 || !make);
            place_done(&p);
        }
    }
    char path[256];
    snprintf(path, sizeof path, "%s/new-outside", top);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/new", top);
    assert_int_not_equal(access(path, F_OK), 0);
}

static char *content_of(const char *name)
{
    return util_read(root, name);
}

static void test_replace(void **state)
{
    struct place p;
    struct err err;
    struct sha256 a = sha256_of(STR("A")), wrong = sha256_of(STR("other"));
    char *text;
    (void)state;
    assert_int_equal(beneath_locate(&b, &arena, STR("a"), false, &p, &err), RC_OK);
    assert_int_equal(place_replace(&p, &arena, STR("A2"), 0600, &wrong, &err), RC_EXISTS);
    assert_string_equal(text = content_of("a"), "A"); /* exchanged back */
    free(text);
    assert_int_equal(place_replace(&p, &arena, STR("A2"), 0600, NULL, &err), RC_EXISTS);
    assert_string_equal(text = content_of("a"), "A");
    free(text);
    assert_int_equal(place_replace(&p, &arena, STR("A2"), 0640, &a, &err), RC_OK);
    assert_string_equal(text = content_of("a"), "A2");
    free(text);
    place_done(&p);
    assert_int_equal(beneath_locate(&b, &arena, STR("a"), false, &p, &err), RC_OK);
    assert_int_equal(p.st.st_mode & 07777, 0640);
    place_done(&p);

    assert_int_equal(beneath_locate(&b, &arena, STR("fresh"), true, &p, &err), RC_OK);
    assert_int_equal(place_replace(&p, &arena, STR("F"), 0644, &a, &err), RC_EXISTS); /* nothing is there */
    assert_null(content_of("fresh"));
    assert_int_equal(place_replace(&p, &arena, STR("F"), 0644, NULL, &err), RC_OK);
    assert_int_equal(place_put(&p, &arena, STR("G"), 0644, &err), RC_OK);
    assert_string_equal(text = content_of("fresh"), "G");
    free(text);
    place_done(&p);

    /* The neighbour of a crash is in nobody's way. */
    DIR *d = opendir(root);
    for (struct dirent *de; (de = readdir(d));)
        assert_null(strstr(de->d_name, ".tmp"));
    closedir(d);
}

static void test_slurp_limit(void **state)
{
    struct str text;
    struct err err;
    (void)state;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC); /* its size is said to be 0 */
    assert_int_equal(file_slurp(fd, 1 << 20, &arena, &text, &err), RC_OK);
    assert_true(text.n > 1000);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(file_slurp(fd, 500, &arena, &text, &err), RC_LIMIT);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),        cmocka_unit_test(test_bad_names), cmocka_unit_test(test_init),
        cmocka_unit_test(test_linked_root), cmocka_unit_test(test_locate),    cmocka_unit_test(test_replace),
        cmocka_unit_test(test_slurp_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
