#pragma once
/* What can be relied on in the file system that a file or directory is in. One that is not known can do nothing. */
enum {
    FS_LOCAL = 1,           /* this kernel alone changes it, and knows who has a file open */
    FS_DIRS_HAVE_TIMES = 2, /* a directory's times tell that a name has come or gone */
};
/* A set of these, of what is open as `fd`. */
unsigned fs_kind(int fd);
