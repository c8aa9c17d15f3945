/* A variable is taken out of the environment here and is in /proc/PID/environ until the process executes itself anew:
 * the kernel shows there what a program began with. */
#include "cli/sealed.h"

#include "base/fd.h"
#include "base/keyprint.h"
#include "llm/provider.h"
#include "role/egress.h"
#include "role/run_env.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What every role may know: where things are, how to speak, how to be tested. A list, so that what nobody has thought
 * of is a secret; a name that ends with `*` stands for all that begin so. */
static const char *const common[] = {
    "PATH",          "HOME",          "USER",         "LOGNAME",       "SHELL",          "LANG",
    "LC_*",          "TERM",          "TZ",           "TMPDIR",        "XDG_*",          "TREADLE_*",
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",    "LISTEN_PID",     "LISTEN_FDNAMES",
    "LD_*",          "MALLOC_*",      "ASAN_OPTIONS", "LSAN_OPTIONS",  "UBSAN_OPTIONS",  "TSAN_OPTIONS",
    "GCOV_*",        "LLVM_PROFILE*", "SSL_CERT_DIR", "SSL_CERT_FILE", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX"};
/* For egress, besides keys and addresses: proxies, whose addresses may hold a password. */
static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                      "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"};

static bool is_one_of(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str s = str_c(names[i]);
        if (s.p[s.n - 1] == '*' ? str_starts(name, str_n(s.p, s.n - 1)) : str_eq(name, s))
            return true;
    }
    return false;
}

/* What runs do where their workflows say nothing: the engine reads it. */
static bool is_for_runs(struct str name)
{
    for (size_t i = 0; run_env_name(i); i++)
        if (str_is(name, run_env_name(i)))
            return true;
    return false;
}

static bool is_of_provider(struct str name)
{
    static const char *const providers[] = {"anthropic", "gemini", "openai"};
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++) {
        const struct provider *p = provider_by_name(str_c(providers[i]));
        if (p && (str_is(name, p->key_env) || str_is(name, p->base_env)))
            return true;
    }
    return false;
}

bool sealed_for_calls(struct str name)
{
    return is_of_provider(name) || is_one_of(name, proxies, sizeof proxies / sizeof *proxies);
}

static bool seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
}

/* Takes out of the environment what is not for all: NAME=VALUE, each followed by NUL, into a file for who is to have
 * it. */
static bool seal_environment(struct sealed *s)
{
    s->egress = memfd_create("treadle-secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    s->commands = memfd_create("treadle-variables", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->egress < 0 || s->commands < 0)
        return false;
    for (char **at = environ; at && *at;) {
        struct str line = str_c(*at);
        size_t eq = str_find(line, STR("="));
        struct str name = str_n(line.p, eq == SIZE_MAX ? 0 : eq);
        if (!name.n || is_for_runs(name) || is_one_of(name, common, sizeof common / sizeof *common)) {
            at++;
            continue;
        }
        if (!fd_write_all(sealed_for_calls(name) ? s->egress : s->commands, str_n(line.p, line.n + 1)))
            return false;
        char *plain = strndup(name.p, name.n);
        bool gone = plain && unsetenv(plain) == 0; /* the next one is at this place now */
        free(plain);
        if (!gone)
            return false;
    }
    return seal(s->egress) && seal(s->commands);
}

static bool make_prints(struct sealed *s, const char **without)
{
    struct keyprints prints;
    *without = egress_keyprints(&prints);
    s->prints = memfd_create("treadle-fingerprints", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return s->prints >= 0 && fd_write_all(s->prints, str_n((const char *)&prints, sizeof prints)) && seal(s->prints);
}

bool sealed_make(struct sealed *ret, const char **without)
{
    return make_prints(ret, without) && seal_environment(ret); /* in this order: the keys must be there yet */
}
