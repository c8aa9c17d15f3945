#pragma once
/* What Treadle hands to `treadle __launch`, and what comes back: the private agreement of command.c and launcher.c.
 *
 * The launcher is started with an empty environment and these descriptors; the plan (a sealed-off copy in memory, not
 * arguments, so that neither `ps` nor a size limit gets in the way) is one header followed by NUL-terminated strings:
 * `argc` arguments, `envc` lines NAME=VALUE, `placec` strings that say what may be seen (LAUNCH_PLACES and then pairs),
 * `hostc` names for the proxy. Both ends are the same program, so there are no versions in it. */
#include <stdint.h>

enum launch_fd {
    /* 0, 1, 2 are the command's own */
    LAUNCH_FD_LIFELINE = 3, /* socket: its end is Treadle's end; a byte asks for a stop with grace */
    LAUNCH_FD_PLAN,         /* memory file */
    LAUNCH_FD_REPORT,       /* pipe to write one struct launch_report to */
    LAUNCH_FD_CWD,          /* directory to start in, opened by Treadle beneath the workspace */
    LAUNCH_FD_LOCK,         /* exec.lock with a shared lock already on it: held until the last process is dead */
    LAUNCH_FD_WORKSPACE,    /* directory */
    LAUNCH_FD_VIEW,         /* with LAUNCH_VIEW: a directory as in overlay.h; else anything */
    LAUNCH_FD_CGROUP,       /* with LAUNCH_CGROUP: the group below which the command gets one; else anything */
    LAUNCH_FD_END
};

enum { LAUNCH_MAGIC = 0x4e4c5255, LAUNCH_MAX_PLAN = 64 << 20, LAUNCH_MAX_STRINGS = 65536 };
/* How much a command is confined; docs/reliability.md says what each means. */
enum sandbox_tier {
    SANDBOX_DEFAULT,  /* never in a plan: TREADLE_SANDBOX, else strict */
    SANDBOX_STRICT,   /* a world of its own made of namespaces, and all that standard has */
    SANDBOX_STANDARD, /* Landlock and seccomp: what a process may do to itself without any privilege */
    SANDBOX_NONE
};
enum launch_flags {
    LAUNCH_NO_NETWORK = 1, /* a network namespace with nothing but a loopback; refused where that cannot be had */
    LAUNCH_SUBREAPER = 2,  /* do not try namespaces (tests of the other way) */
    LAUNCH_PROXY = 4,      /* besides no network: a proxy to `hosts` on LAUNCH_PROXY_PORT of the loopback */
    LAUNCH_INTERNAL = 8,   /* the command is Treadle itself: it may run its own file and use openat2 */
    LAUNCH_VIEW = 16,      /* a view of its own over the workspace; refused where that cannot be had */
    LAUNCH_CGROUP = 32     /* a control group of its own, if it can be had */
};
enum { LAUNCH_PROXY_PORT = 3128 };
/* The first places, one string each (empty: there is none). After them come pairs NAME, REAL of directories that may
 * be read: REAL without links, to be seen as NAME. */
enum launch_place {
    LAUNCH_PLACE_WORKSPACE, /* absolute, without links */
    LAUNCH_PLACE_ALIAS,     /* as the user calls it */
    LAUNCH_PLACE_CWD,       /* below the workspace, without links */
    LAUNCH_PLACE_HOME,      /* becomes an empty directory */
    LAUNCH_PLACE_STATE,     /* where journals are: hidden */
    LAUNCH_PLACE_STATE_ID,  /* DEVICE:INODE of it */
    LAUNCH_PLACES
};
struct launch_header {
    uint32_t magic, tier, flags, argc, envc, placec, hostc;
    uint32_t grace_ms;  /* between TERM and KILL when a stop was asked for */
    uint32_t bytes;     /* of the strings */
    uint32_t processes; /* at most, threads counted */
    uint64_t memory;    /* bytes at most, of all together; 0: neither bound counts */
};

enum launch_limit { LAUNCH_LIMIT_NONE, LAUNCH_LIMIT_MEMORY, LAUNCH_LIMIT_PROCESSES };
enum launch_outcome {
    LAUNCH_EXITED = 1, /* value: exit code */
    LAUNCH_SIGNALED,   /* value: signal */
    LAUNCH_NO_EXEC,    /* value: errno of exec */
    LAUNCH_FAILED,     /* value: errno; stage: what failed; nothing of the command ran */
    LAUNCH_REFUSED,    /* the same, because the tier cannot be had here */
    LAUNCH_LIMIT       /* value: enum launch_limit; it was killed for using more than it may */
};
#define LAUNCH_STAGE_VIEW "view"
enum launch_isolation { LAUNCH_ISO_NONE, LAUNCH_ISO_PIDNS, LAUNCH_ISO_USERNS, LAUNCH_ISO_SUBREAPER };
struct launch_report {
    uint32_t magic;
    uint32_t outcome;   /* enum launch_outcome */
    int32_t value;      /* see there */
    uint32_t isolation; /* enum launch_isolation */
    uint32_t cgroup;    /* was it bounded by a control group? */
    char stage[48];     /* NUL-terminated */
};
