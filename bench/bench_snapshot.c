/* What snapshots of a workspace cost: bench_snapshot [FILES [RUNS]] makes a tree of that many files in /tmp. Beside
 * each first snapshot of a run stands what it takes to copy the tree's files one by one in the same minute; then come
 * later runs in the same workspace, and what all of them together keep on the disk. */
#include "executor/snapshot.h"

#include "base/clock.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PER_DIR = 20, ROUNDS = 20, RUNS = 10 };

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
        if (fd < 0)
            perror(path);
        for (long k = 0; k < 1 + i % 40; k++)
            if (dprintf(fd, "int f%ld_%ld(int x) { return x + %ld; } /* one of many lines of code */\n", i, k, k) < 0)
                perror(path);
        close(fd);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double since(int64_t begun)
{
    return (double)(clock_mono_us() - begun) / 1e3;
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
    return since(begun);
}

static double copy_tree(const char *dir)
{
    char command[300];
    snprintf(command, sizeof command, "cp -a %s/ws %s/copy", dir, dir);
    int64_t begun = clock_mono_us();
    if (system(command) != 0)
        exit(1);
    double ms = since(begun);
    snprintf(command, sizeof command, "rm -rf %s/copy", dir);
    return system(command) == 0 ? ms : 0;
}

/* Blocks of files below a directory; one with several names counts as many times as a part of one. */
static double kept;
static int add_blocks(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)path, (void)f;
    if (type == FTW_F)
        kept += (double)st->st_blocks * 512 / (double)st->st_nlink;
    else
        kept += (double)st->st_blocks * 512;
    return 0;
}

static double size_of(const char *dir)
{
    kept = 0;
    (void)nftw(dir, add_blocks, 16, FTW_PHYS);
    return kept / 1048576;
}

static double unchanged(struct snapshots *s)
{
    double took[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        took[i] = take(s);
    qsort(took, ROUNDS, sizeof *took, by_size);
    return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    long files = argc > 1 ? strtol(argv[1], NULL, 10) : 20000, runs = argc > 2 ? strtol(argv[2], NULL, 10) : RUNS;
    char dir[] = "/tmp/bench_snapshot.XXXXXX", root[100], home[100], store[140], command[200];
    struct arena a = {0};
    struct beneath workspace;
    struct err err;
    double first = 0, later = 0, alone = 0;
    if (!mkdtemp(dir))
        return 1;
    snprintf(root, sizeof root, "%s/ws", dir);
    snprintf(home, sizeof home, "%s/home", dir);
    if (mkdir(root, 0755) != 0 || mkdir(home, 0700) != 0 || beneath_init(&workspace, &a, root, false, &err) != RC_OK)
        return 1;
    make_tree(root, files);
    usleep(20000); /* so that nothing is of this very tick of the clock */
    double copied = copy_tree(dir);
    for (long run = 1; run <= runs; run++) {
        struct snapshots s;
        snprintf(store, sizeof store, "%s/run%ld", home, run);
        if (snapshots_init(&s, store, store, &workspace, &err) != RC_OK)
            return 1;
        s.seed.state_dir = home;
        double ms = take(&s);
        if (run == 1) {
            first = ms;
            alone = size_of(home);
            printf(
                "%ld files, %.1f MB on the disk: cp -a %.0f ms; first snapshot of the first run %.0f ms (%.2f of it), "
                "%.1f MB (%.2f of it); unchanged %.1f ms\n",
                files, size_of(root), copied, ms, ms / copied, alone, alone / size_of(root), unchanged(&s));
        }
        if (run == 2)
            later = ms;
        snapshots_done(&s);
    }
    if (runs > 1)
        printf(
            "first snapshot of the second run %.0f ms (%.3f of the first's); %ld runs keep %.1f MB (%.2f of one's)\n",
            later, later / first, runs, size_of(home), size_of(home) / alone);
    beneath_done(&workspace);
    arena_done(&a);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 ? 0 : 1;
}
