/* Content of files: copied, compared, hashed, in pieces.
 *
 * A copy first asks the file system to share the data (FICLONE), then lets the kernel copy (copy_file_range), and reads
 * and writes only where neither works. All of them look at the cancel flag between pieces. */
#include "base/fault.h"
#include "base/fd.h"
#include "base/sha256.h"
#include "executor/fileop_int.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PIECE = 256 << 10, RANGE = 16 << 20 };

static enum rc fail(struct err *err, const char *doing)
{
    return err_set(err, rc_of_errno(errno), "%s: %s", doing, strerror(errno));
}

static enum rc copy_by_hand(struct fileop *op, int from, int to, struct err *err)
{
    char *p = malloc(PIECE);
    enum rc rc = p ? RC_OK : err_set(err, RC_IO, "out of memory");
    while (rc == RC_OK) {
        ssize_t n = fd_read_full(from, p, PIECE);
        if (n < 0)
            rc = fail(err, "reading");
        else if (n && !fd_write_all(to, str_n(p, (size_t)n)))
            rc = fail(err, "writing");
        else
            rc = fileop_over(op, err);
        if (n < PIECE)
            break;
    }
    free(p);
    return rc;
}

enum rc file_copy(struct fileop *op, int from, int to, struct err *err)
{
    if (fault_hit("fileop.full")) {
        errno = ENOSPC;
        return fail(err, "writing");
    }
    if (ioctl(to, FICLONE, from) == 0)
        return RC_OK;
    for (bool any = false;; any = true) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, RANGE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return fail(err, "writing");
        if (n < 0 || (n == 0 && !any)) /* not between these; or a file of the kernel's, which says it is empty */
            return copy_by_hand(op, from, to, err);
        if (n == 0)
            return RC_OK;
        enum rc rc = fileop_over(op, err);
        if (rc)
            return rc;
    }
}

enum rc file_compare(struct fileop *op, int a, int b, struct err *err)
{
    char *p = malloc((size_t)2 * PIECE);
    enum rc rc = p ? RC_OK : err_set(err, RC_IO, "out of memory");
    for (ssize_t n = PIECE; rc == RC_OK && n == PIECE;) {
        n = fd_read_full(a, p, PIECE);
        ssize_t m = fd_read_full(b, p + PIECE, PIECE);
        if (n < 0 || m < 0)
            rc = fail(err, "reading");
        else if (n != m || memcmp(p, p + PIECE, (size_t)n) != 0)
            rc = err_set(err, RC_EXISTS, "the files differ");
        else
            rc = fileop_over(op, err);
    }
    free(p);
    return rc;
}

enum rc file_hash(struct fileop *op, int fd, struct sha256_hex *ret, struct err *err)
{
    struct sha256_stream *s = sha256_new();
    char *p = malloc(PIECE);
    enum rc rc = p ? RC_OK : err_set(err, RC_IO, "out of memory");
    for (ssize_t n = PIECE; rc == RC_OK && n == PIECE;) {
        n = fd_read_full(fd, p, PIECE);
        if (n < 0)
            rc = fail(err, "reading");
        else
            sha256_add(s, str_n(p, (size_t)n));
        if (rc == RC_OK)
            rc = fileop_over(op, err);
    }
    free(p);
    struct sha256 h = sha256_end(s);
    *ret = sha256_hex(&h);
    return rc;
}
