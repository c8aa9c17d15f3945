/* A token is as good as a password that nobody chose: it must be long enough not to be guessed, then a plain hash of it
 * can be kept, compared and handed to the gateway without harm. */
#include "cli/tokens.h"

#include "base/buf.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 10, TOKEN_MOST = 512 };

struct tokens {
    struct sha256 v[TOKENS_MAX];
    size_t n;
};

static enum rc add(struct tokens *t, struct str token, const char *from, size_t line, struct err *err)
{
    char place[40] = "";
    if (line)
        snprintf(place, sizeof place, ":%zu", line);
    if (token.n < TOKEN_LEAST || token.n > TOKEN_MOST)
        return err_set(err, RC_USAGE, "%s%s: a token has %d to %d characters; `openssl rand -hex 32` makes a good one",
                       from, place, TOKEN_LEAST, TOKEN_MOST);
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= ' ' || token.p[i] > '~')
            return err_set(err, RC_USAGE, "%s%s: a token consists of visible ASCII characters, without spaces", from,
                           place);
    if (t->n == TOKENS_MAX)
        return err_set(err, RC_USAGE, "%s%s: more than %d tokens", from, place, TOKENS_MAX);
    t->v[t->n++] = sha256_of(token);
    return RC_OK;
}

static enum rc read_lines(struct tokens *t, const char *path, struct str text, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t line = 1; text.n && rc == RC_OK; line++) {
        size_t end = str_find(text, STR("\n"));
        struct str token = str_trim(end == SIZE_MAX ? text : str_n(text.p, end));
        if (token.n && token.p[0] != '#')
            rc = add(t, token, path, line, err);
        text = end == SIZE_MAX ? str_n("", 0) : str_from(text, end + 1);
    }
    if (rc == RC_OK && !t->n)
        return err_set(err, RC_USAGE, "%s: there is no token in it", path);
    return rc;
}

static enum rc read_file(struct tokens *t, const char *path, struct err *err)
{
    static char text[FILE_MAX];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 || fstat(fd, &st) != 0 ? -1 : pread(fd, text, sizeof text, 0);
    enum rc rc;
    if (n < 0)
        rc = err_set(err, RC_USAGE, "--token-file %s: %s", path, strerror(errno));
    else if (S_ISREG(st.st_mode) && st.st_mode & S_IRWXO)
        rc = err_set(err, RC_USAGE, "--token-file %s: everybody may read it (mode %04o); chmod 600 it", path,
                     (unsigned)st.st_mode & 07777);
    else if (n == sizeof text)
        rc = err_set(err, RC_USAGE, "--token-file %s: larger than %d bytes", path, FILE_MAX - 1);
    else
        rc = read_lines(t, path, str_n(text, (size_t)n), err);
    explicit_bzero(text, sizeof text);
    if (fd >= 0)
        close(fd);
    return rc;
}

enum rc tokens_read(const char *path, int *ret, size_t *n, struct err *err)
{
    struct tokens t = {.n = 0};
    const char *env = getenv("TREADLE_TOKEN");
    enum rc rc = path ? read_file(&t, path, err) : RC_OK;
    if (rc == RC_OK && env && *env)
        rc = add(&t, str_c(env), "TREADLE_TOKEN", 0, err);
    unsetenv("TREADLE_TOKEN");
    *ret = -1;
    *n = t.n;
    if (rc != RC_OK || !t.n)
        return rc;
    int fd = memfd_create("treadle-tokens", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t size = t.n * sizeof t.v[0];
    if (fd < 0 || write(fd, t.v, size) != (ssize_t)size ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        err_set(err, RC_IO, "no memory file for the tokens: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return err->rc;
    }
    *ret = fd;
    return RC_OK;
}
