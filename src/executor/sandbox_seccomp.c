/* The system calls that a confined command has no business with, refused by a BPF program made by hand.
 *
 * It is a list of what is forbidden. A list of what is allowed would be shorter to argue about, but a command may be
 * any program, and each new C library uses calls that the last one did not; so the list holds what changes the world of
 * others (mounts, namespaces, modules, clocks, tracing) and what has been a way out of kernels again and again (bpf,
 * io_uring, userfaultfd, keyrings, rare socket families). The other borders do not depend on it.
 *
 * Refused means EPERM, as if by lack of privilege; ENOSYS where a C library then takes another way (clone3, whose flags
 * cannot be looked at; openat2, whose modes cannot; everything of another architecture's numbering, which would be a
 * way around the list). */
#include "executor/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the filter of system calls knows x86-64 and aarch64"
#endif

/* Newer than Debian's headers. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define SYS_listmount_      458
#define SYS_statmount_      457
#define SYS_open_tree_attr_ 467

#define NEW_NAMESPACES                                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
     CLONE_NEWTIME)

static const unsigned refused[] = {
    /* looking into and steering other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    SYS_process_madvise,
    SYS_perf_event_open,
    /* mounts, roots and namespaces */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_setns,
    SYS_open_tree_attr_,
    SYS_statmount_,
    SYS_listmount_,
    /* files by handle, past all directories */
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_fanotify_init,
    SYS_quotactl,
    SYS_quotactl_fd,
    /* programs in the kernel, and other ways into it */
    SYS_bpf,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_vhangup,
    SYS_syslog,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS__sysctl,
    SYS_uselib,
    SYS_ustat,
    SYS_create_module,
    SYS_get_kernel_syms,
    SYS_query_module,
    SYS_nfsservctl,
    SYS_lookup_dcookie,
#endif
    /* the machine */
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_move_pages,
    SYS_migrate_pages,
};
static const unsigned families[] = {AF_INET, AF_INET6, AF_UNIX};
/* Terminal requests that type for the user. */
static const unsigned ioctls[] = {0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */, 0x5423 /* TIOCSETD */};

enum { MAX_PROGRAM = 400 };
struct program {
    struct sock_filter i[MAX_PROGRAM];
    unsigned short n;
};

#define ARG_LOW(k) (unsigned)(offsetof(struct seccomp_data, args) + (k) * sizeof(unsigned long long))

static void put(struct program *p, unsigned short code, unsigned k, unsigned char jt, unsigned char jf)
{
    p->i[p->n++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct program *p, unsigned offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void answer(struct program *p, int error)
{
    put(p, BPF_RET | BPF_K, error ? SECCOMP_RET_ERRNO | (unsigned)error : SECCOMP_RET_ALLOW, 0, 0);
}

/* With the call's number loaded. */
static void refuse(struct program *p, long nr, int error)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1);
    answer(p, error);
}

/* Refuses the call when a bit of `mask` is set in its argument; loads the number again for who follows. */
static void refuse_bits(struct program *p, long nr, unsigned arg, unsigned mask, int error)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 4);
    load(p, ARG_LOW(arg));
    put(p, BPF_JMP | BPF_JSET | BPF_K, mask, 0, 1);
    answer(p, error);
    load(p, offsetof(struct seccomp_data, nr));
}

static void refuse_value(struct program *p, long nr, unsigned arg, unsigned value, int error)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 4);
    load(p, ARG_LOW(arg));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    answer(p, error);
    load(p, offsetof(struct seccomp_data, nr));
}

/* Allows the call with the families of the list only. */
static void sockets(struct program *p, long nr, const unsigned *list, size_t n)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, (unsigned char)(n + 3));
    load(p, ARG_LOW(0));
    for (size_t i = 0; i < n; i++)
        put(p, BPF_JMP | BPF_JEQ | BPF_K, list[i], (unsigned char)(n - i), 0);
    answer(p, EAFNOSUPPORT);
    answer(p, 0);
}

/* A set-user-id file in the workspace would be a gift from the command to the world outside. */
static void no_setuid_files(struct program *p)
{
#ifdef SYS_chmod
    refuse_bits(p, SYS_chmod, 1, S_ISUID, EPERM);
    refuse_bits(p, SYS_creat, 1, S_ISUID, EPERM);
    refuse_bits(p, SYS_open, 2, S_ISUID, EPERM);
    refuse_bits(p, SYS_mknod, 1, S_ISUID, EPERM);
#endif
    refuse_bits(p, SYS_fchmod, 1, S_ISUID, EPERM);
    refuse_bits(p, SYS_fchmodat, 2, S_ISUID, EPERM);
    refuse_bits(p, SYS_fchmodat2, 2, S_ISUID, EPERM);
    refuse_bits(p, SYS_openat, 3, S_ISUID, EPERM);
    refuse_bits(p, SYS_mknodat, 2, S_ISUID, EPERM);
}

static void build(struct program *p, const struct sandbox_view *v)
{
    load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    answer(p, ENOSYS);
    load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    put(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000 /* x32 */, 0, 1);
    answer(p, ENOSYS);
#endif
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        refuse(p, refused[i], EPERM);
    refuse(p, SYS_clone3, ENOSYS);
    if (!(v->flags & LAUNCH_INTERNAL))
        refuse(p, SYS_openat2, ENOSYS);
    refuse_bits(p, SYS_clone, 0, NEW_NAMESPACES & ~0xFFu, EPERM);
    refuse_bits(p, SYS_unshare, 0, NEW_NAMESPACES, EPERM);
    for (size_t i = 0; i < sizeof ioctls / sizeof *ioctls; i++)
        refuse_value(p, SYS_ioctl, 1, ioctls[i], EPERM);
    no_setuid_files(p);
    int abi = landlock_abi();
#ifdef SYS_truncate
    if (abi < 3 && v->tier == SANDBOX_STANDARD) /* Landlock does not look at it yet */
        refuse(p, SYS_truncate, EPERM);
#endif
    /* Unix sockets: the strict world has none but the command's own, unless it shares the network namespace, where
     * abstract ones live; Landlock can keep it from those. In standard every socket file of the system is in reach. */
    bool own_network = v->tier == SANDBOX_STRICT && (v->flags & LAUNCH_NO_NETWORK);
    bool unix_too = v->tier == SANDBOX_STRICT && (own_network || abi >= LANDLOCK_ABI_SCOPES);
    size_t n = v->tier == SANDBOX_STANDARD && (v->flags & LAUNCH_NO_NETWORK) ? 0 : unix_too ? 3 : 2;
    sockets(p, SYS_socket, families, n);
    load(p, offsetof(struct seccomp_data, nr));
    answer(p, 0);
}

bool seccomp_confine(const struct sandbox_view *v)
{
    struct program p = {.n = 0};
    build(&p, v);
    struct sock_fprog f = {.len = p.n, .filter = p.i};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) == 0;
}
