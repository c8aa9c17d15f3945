/* What snapshots of a workspace cost: bench_snapshot [FILES] makes a tree of that many in /tmp, takes a first one, and
 * then some of the unchanged tree. */
#include "executor/snapshot.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PER_DIR = 20, ROUNDS = 20 };

static void make_tree(const char *root, long files)
{
    char path[300];
    for (long i = 0; i < files; i++) {
        if (i % PER_DIR == 0) {
            snprintf(path, sizeof path, "%s/dir%04ld", root, i / PER_DIR);
            if (mkdir(path, 0755) != 0)
                perror(path);
        }
        snprintf(path, sizeof path, "%s/dir%04ld/source_file_%ld.c", root, i / PER_DIR, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || dprintf(fd, "int f%ld(void) { return %ld; }\n", i, i) < 0)
            perror(path);
        close(fd);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double take(struct snapshots *s)
{
    struct err err;
    struct sha256 id;
    int64_t begun = clock_mono_us();
    if (snapshot_take(s, NULL, &id, &err) != RC_OK) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return (double)(clock_mono_us() - begun) / 1e3;
}

int main(int argc, char **argv)
{
    long files = argc > 1 ? strtol(argv[1], NULL, 10) : 20000;
    char dir[] = "/tmp/bench_snapshot.XXXXXX", root[100], store[100], command[200];
    struct arena a = {0};
    struct beneath workspace;
    struct err err;
    if (!mkdtemp(dir))
        return 1;
    snprintf(root, sizeof root, "%s/ws", dir);
    snprintf(store, sizeof store, "%s/store", dir);
    if (mkdir(root, 0755) != 0 || beneath_init(&workspace, &a, root, false, &err) != RC_OK)
        return 1;
    make_tree(root, files);
    for (int run = 1; run <= 2; run++) {
        struct snapshots s;
        double took[ROUNDS];
        if (snapshots_init(&s, store, store, &workspace, &err) != RC_OK)
            return 1;
        printf("%ld files, run %d: first %.1f ms", files, run, take(&s));
        usleep(20000); /* so that nothing is of this very tick of the clock */
        printf(", second %.1f ms", take(&s));
        for (int i = 0; i < ROUNDS; i++)
            took[i] = take(&s);
        qsort(took, ROUNDS, sizeof *took, by_size);
        printf(", unchanged %.1f ms (median of %d; %.1f to %.1f)\n", took[ROUNDS / 2], ROUNDS, took[0],
               took[ROUNDS - 1]);
        snapshots_done(&s);
    }
    beneath_done(&workspace);
    arena_done(&a);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
