/* Network file systems and FUSE have other masters than this kernel. What overlayfs does with the times of directories
 * that it merges is not promised anywhere. */
#include "executor/fs_kind.h"

#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

static const struct {
    unsigned magic, kind;
} known[] = {
    {EXT4_SUPER_MAGIC, FS_LOCAL | FS_DIRS_HAVE_TIMES}, /* ext2 and ext3, too */
    {XFS_SUPER_MAGIC, FS_LOCAL | FS_DIRS_HAVE_TIMES},
    {BTRFS_SUPER_MAGIC, FS_LOCAL | FS_DIRS_HAVE_TIMES},
    {F2FS_SUPER_MAGIC, FS_LOCAL | FS_DIRS_HAVE_TIMES},
    {TMPFS_MAGIC, FS_LOCAL | FS_DIRS_HAVE_TIMES},
    {RAMFS_MAGIC, FS_LOCAL},
    {OVERLAYFS_SUPER_MAGIC, FS_LOCAL},
};

unsigned fs_kind(int fd)
{
    struct statfs s;
    for (size_t i = 0; fstatfs(fd, &s) == 0 && i < sizeof known / sizeof *known; i++)
        if ((unsigned)s.f_type == known[i].magic)
            return known[i].kind;
    return 0;
}
