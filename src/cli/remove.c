/* Files are removed by name, one after the other, never a whole tree: a directory with something unexpected in it
 * stays, and the message says what it holds. The snapshots know their own tree (executor/exec_workspace.h). */
#include "cli/remove.h"

#include "executor/exec_workspace.h"
#include "executor/executor.h"
#include "executor/seed.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROVE_DEAD_MS = 2000, LEFTOVER_S = 3600 };

static enum rc remove_directory(const char *dir, struct err *err)
{
    static const char *const ours[] = {"exec.lock", "control.sock"};
    char path[4096];
    workspace_remove(dir);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, ours[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return err_set(err, RC_IO, "%s: %s", path, strerror(errno));
    }
    if (rmdir(dir) == 0 || errno == ENOENT)
        return RC_OK;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return err_set(err, RC_EXISTS, "%s holds files that are not Treadle's; the run itself is deleted", dir);
    return err_set(err, RC_IO, "%s: %s", dir, strerror(errno));
}

enum rc remove_run(const struct home_run *r, struct err *err)
{
    int pid = store_owner(r->journal);
    if (pid)
        return err_set(err, RC_BUSY, "run %s is carried on by process %d; treadle cancel %s ends it", r->id, pid,
                       r->id);
    enum rc rc = executor_prove_dead(r->dir, PROVE_DEAD_MS, err);
    if (rc == RC_OK)
        rc = store_unlink(r->journal, err);
    return rc == RC_OK ? remove_directory(r->dir, err) : rc;
}

static bool leftover(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || time(NULL) - st.st_mtime < LEFTOVER_S)
        return false;
    if (name[0] == '.')
        return str_starts(str_c(name), STR(".fork-"));
    snprintf(path, sizeof path, "%s/%s/journal.db", dir, name);
    return access(path, F_OK) != 0;
}

void remove_seeds(void)
{
    char home[2100];
    struct err ignored;
    if (home_dir(home, sizeof home, &ignored) == RC_OK)
        seeds_sweep(home);
}

size_t remove_leftovers(bool dry)
{
    char home[2100], runs[2200];
    struct err err;
    if (home_dir(home, sizeof home, &err) != RC_OK)
        return 0;
    snprintf(runs, sizeof runs, "%s/runs", home);
    DIR *d = opendir(runs);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (str_is(str_c(e->d_name), ".") || str_is(str_c(e->d_name), "..") || !leftover(runs, e->d_name))
            continue;
        struct home_run r = {0};
        snprintf(r.id, sizeof r.id, "%.70s", e->d_name);
        snprintf(r.dir, sizeof r.dir, "%s/%s", runs, e->d_name);
        snprintf(r.journal, sizeof r.journal, "%s/journal.db", r.dir);
        if (dry || remove_run(&r, &err) == RC_OK)
            n++;
    }
    if (d)
        closedir(d);
    return n;
}
