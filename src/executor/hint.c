/* Two things go wrong with commands that worked a minute ago in a shell: there is no network, and a program is not
 * there, because only its name lies in a directory of PATH and the rest of it in somebody's home (pipx, pyenv, nvm).
 *
 * The first is told by the words that programs have for it. The second is certain: the program that was not found is
 * looked for here, outside, as the shell would; if what it is made of (what its link leads to, the interpreter of a
 * script) lies in no directory that the sandbox shows, that is why. */
#include "executor/hint.h"

#include "executor/sandbox.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORDS_MAX = 16 << 10, NOT_EXECUTABLE = 126, NOT_FOUND = 127, INTERPRETERS_MAX = 4 };

/* ---- the network ---- */

static bool speaks_of_network(struct str s)
{
    static const char *const words[] = {
        "Could not resolve host",               /* curl, git */
        "could not resolve host",               /* */
        "unable to resolve host address",       /* wget */
        "Temporary failure in name resolution", /* getaddrinfo: pip, Python, ssh */
        "Name or service not known",
        "No address associated with hostname",
        "EAI_AGAIN", /* node, npm */
        "ENETUNREACH",
        "ENOTFOUND",
        "Network is unreachable",
        "failed to lookup address information", /* Rust */
        "dial tcp: lookup ",                    /* Go */
        "Temporary failure resolving",          /* apt */
        "nodename nor servname",
        "Failed to establish a new connection", /* pip, requests */
        "CONNECT tunnel failed, response 403",  /* the proxy of a list of hosts */
        "Received HTTP code 403 from proxy",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_find(s, str_c(words[i])) != SIZE_MAX)
            return true;
    return false;
}

/* `curl -s` and `wget -q` say nothing, but by their exit code. */
static bool quiet_client(const struct command_spec *spec, int code)
{
    enum { CURL_NO_HOST = 6, WGET_NETWORK = 4 };
    bool found = false;
    for (size_t i = 0; i < spec->argc; i++)
        found |= (code == CURL_NO_HOST && str_find(spec->argv[i], STR("curl")) != SIZE_MAX) ||
                 (code == WGET_NETWORK && str_find(spec->argv[i], STR("wget")) != SIZE_MAX);
    return found;
}

static struct str network_hint(const struct command_spec *spec, struct arena *a)
{
    if (!(spec->flags & LAUNCH_PROXY))
        return STR("this step has no network; `network: [HOST, …]` or `network: full` gives it one");
    struct str hosts = STR("");
    for (size_t i = 0; i < spec->nhosts && hosts.n < 200; i++)
        hosts = arena_printf(a, "%.*s%s%.*s", STR_ARG(hosts), i ? ", " : "", STR_ARG(spec->hosts[i]));
    return arena_printf(a,
                        "of the network this step has only %.*s, through the proxy that HTTPS_PROXY names; add to its "
                        "`network`, or say `network: full`",
                        STR_ARG(hosts));
}

/* ---- programs ---- */

static bool within(struct str dir, struct str path)
{
    return dir.n && str_starts(path, dir) && (path.n == dir.n || dir.n == 1 || path.p[dir.n] == '/');
}

static bool is_shown(const struct command_spec *spec, struct str real)
{
    bool shown = within(spec->places[LAUNCH_PLACE_WORKSPACE], real);
    for (size_t i = 0; !shown && sandbox_system_dirs[i]; i++)
        shown = within(str_c(sandbox_system_dirs[i]), real);
    for (size_t i = LAUNCH_PLACES; !shown && i < spec->nplaces; i++)
        shown = within(spec->places[i], real);
    return shown;
}

/* What a script is started with: the path behind its "#!". */
static bool interpreter(const char *path, char ret[PATH_MAX])
{
    char head[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head - 1);
    if (fd >= 0)
        close(fd);
    if (n < 3 || head[0] != '#' || head[1] != '!')
        return false;
    head[n] = 0;
    const char *at = head + 2 + strspn(head + 2, " \t");
    snprintf(ret, PATH_MAX, "%.*s", (int)strcspn(at, " \t\n"), at);
    return ret[0] == '/';
}

/* The part of the program that the sandbox does not show; empty when it shows all of it. */
static struct str hidden_part(const struct command_spec *spec, const char *path, struct arena *a)
{
    char at[PATH_MAX], real[PATH_MAX];
    snprintf(at, sizeof at, "%s", path);
    for (int i = 0; i < INTERPRETERS_MAX && realpath(at, real); i++) {
        if (!is_shown(spec, str_c(real)))
            return arena_str(a, str_c(real));
        if (!interpreter(real, at))
            break;
    }
    return STR("");
}

/* The next directory of PATH that is named in full; empty at the end. */
static struct str next_in_path(const char **at)
{
    while (*at && **at) {
        struct str dir = str_n(*at, strcspn(*at, ":"));
        *at += dir.n + ((*at)[dir.n] == ':');
        if (dir.n > 1 && dir.p[0] == '/')
            return dir;
    }
    return STR("");
}

/* Where a shell of ours would find it; empty: nowhere. */
static struct str found_outside(struct str name, struct arena *a)
{
    const char *at = getenv("PATH");
    for (struct str dir; (dir = next_in_path(&at)).n;) {
        const char *path = arena_printf(a, "%.*s/%.*s", STR_ARG(dir), STR_ARG(name)).p;
        if (access(path, X_OK) == 0)
            return str_c(path);
    }
    return STR("");
}

static struct str parent_of(struct str path)
{
    while (path.n > 1 && path.p[path.n - 1] != '/')
        path.n--;
    path.n -= path.n > 1;
    return path;
}

/* The directory beside which one of PATH lies and that holds the file (of ~/.pyenv/shims and ~/.pyenv/libexec/pyenv it
 * is ~/.pyenv); empty: there is none, or no such file. Other paths are not looked at: a hostile command may have said
 * them to learn what is there. */
static struct str tool_of(const struct command_spec *spec, const char *file)
{
    const char *at = getenv("PATH");
    for (struct str dir; (dir = next_in_path(&at)).n;) {
        struct str tool = parent_of(dir);
        if (tool.n > 1 && !within(tool, spec->places[LAUNCH_PLACE_HOME]) && within(tool, str_c(file)) &&
            !strstr(file, "/..") && access(file, F_OK) == 0)
            return tool;
    }
    return STR("");
}

/* "sh: 1: poetry: not found", "bash: line 1: poetry: command not found", "poetry: No such file or directory". */
static struct str missing_in(struct str line)
{
    static const char *const ends[] = {": not found", ": command not found", ": No such file or directory",
                                       ": Permission denied"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct str end = str_c(ends[i]);
        if (line.n <= end.n || !str_eq(str_from(line, line.n - end.n), end))
            continue;
        line.n -= end.n;
        size_t at = line.n;
        while (at && line.p[at - 1] != ' ')
            at--;
        line = str_from(line, at);
        while (line.n && (line.p[0] == '\'' || line.p[0] == '"'))
            line = str_from(line, 1);
        while (line.n && (line.p[line.n - 1] == '\'' || line.p[line.n - 1] == '"'))
            line.n--;
        return line.n < NAME_MAX && !memchr(line.p, 0, line.n) ? line : STR("");
    }
    return STR("");
}

/* What to show of a program that lies there: what its directory bin is in. */
static struct str tree_of(struct str file)
{
    struct str dir = parent_of(file);
    return dir.n > 4 && str_eq(str_from(dir, dir.n - 4), STR("/bin")) ? parent_of(dir) : dir;
}

static struct str hidden_hint(struct str needs, struct str hidden, struct str tree, struct arena *a)
{
    return arena_printf(a,
                        "%.*s%s%.*s, which the sandbox does not show; TREADLE_SANDBOX_READ=%.*s in the environment of "
                        "treadle shows it",
                        STR_ARG(needs), needs.n ? " needs " : "it needs ", STR_ARG(hidden), STR_ARG(tree));
}

static struct str program_hint(const struct command_spec *spec, struct str said, struct arena *a)
{
    while (said.n) {
        size_t end = str_find(said, STR("\n"));
        struct str line = end == SIZE_MAX ? said : str_n(said.p, end), name = missing_in(line);
        said = str_from(said, end == SIZE_MAX ? said.n : end + 1);
        const char *file = arena_cstr(a, name);
        if (file[0] == '/') {
            struct str tool = tool_of(spec, file), real = tool.n ? hidden_part(spec, file, a) : STR("");
            if (real.n)
                return hidden_hint(STR(""), name, tool, a);
        } else if (name.n && !strchr(file, '/')) {
            struct str path = found_outside(name, a), real = path.n ? hidden_part(spec, path.p, a) : STR("");
            if (real.n)
                return hidden_hint(path, real, tree_of(real), a);
        }
    }
    return STR("");
}

struct str hint_of(const struct command_spec *spec, const struct command_outcome *o, struct arena *a)
{
    struct str said = o->errors.n ? o->errors : o->out;
    if (spec->tier == SANDBOX_NONE || o->exit_code <= 0 || o->timed_out || o->limit)
        return STR("");
    if (said.n > WORDS_MAX)
        said = str_from(said, said.n - WORDS_MAX);
    if ((spec->flags & LAUNCH_NO_NETWORK) && (speaks_of_network(said) || quiet_client(spec, o->exit_code)))
        return network_hint(spec, a);
    if (o->exit_code == NOT_FOUND || o->exit_code == NOT_EXECUTABLE)
        return program_hint(spec, said, a);
    return STR("");
}
