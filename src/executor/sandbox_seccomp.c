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

#include "base/panic.h"

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

/* One ground for an answer other than yes. Several may be about one call. */
struct rule {
    long nr;
    enum { ALWAYS, BITS /* is one of `operand` set in the argument? */, VALUE /* is it the argument? */, FAMILY } kind;
    unsigned arg, operand; /* FAMILY: how many of `families` are allowed */
    int error;
};
enum { MAX_RULES = 128, MAX_PROGRAM = 512, MAX_JUMP = 255 };
struct rules {
    struct rule r[MAX_RULES];
    size_t n;
};
struct program {
    struct sock_filter i[MAX_PROGRAM];
    unsigned short n;
};

static void refuse(struct rules *r, long nr, int kind, unsigned arg, unsigned operand, int error)
{
    size_t at = r->n++;
    CHECK(r->n <= MAX_RULES);
    for (; at > 0 && r->r[at - 1].nr > nr; at--) /* kept in order of the numbers */
        r->r[at] = r->r[at - 1];
    r->r[at] = (struct rule){.nr = nr, .kind = kind, .arg = arg, .operand = operand, .error = error};
}

/* A set-user-id file in the workspace would be a gift from the command to the world outside. */
static void no_setuid_files(struct rules *r)
{
    static const struct {
        int nr;
        unsigned arg;
    } modes[] = {
#ifdef SYS_chmod
        {SYS_chmod, 1},  {SYS_creat, 1},    {SYS_open, 2},      {SYS_mknod, 1},
#endif
        {SYS_fchmod, 1}, {SYS_fchmodat, 2}, {SYS_fchmodat2, 2}, {SYS_openat, 3}, {SYS_mknodat, 2},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        refuse(r, modes[i].nr, BITS, modes[i].arg, S_ISUID, EPERM);
}

static void list(struct rules *r, const struct sandbox_view *v)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        refuse(r, refused[i], ALWAYS, 0, 0, EPERM);
    refuse(r, SYS_clone3, ALWAYS, 0, 0, ENOSYS);
    if (!(v->flags & LAUNCH_INTERNAL))
        refuse(r, SYS_openat2, ALWAYS, 0, 0, ENOSYS);
    refuse(r, SYS_clone, BITS, 0, NEW_NAMESPACES & ~0xFFu, EPERM);
    refuse(r, SYS_unshare, BITS, 0, NEW_NAMESPACES, EPERM);
    for (size_t i = 0; i < sizeof ioctls / sizeof *ioctls; i++)
        refuse(r, SYS_ioctl, VALUE, 1, ioctls[i], EPERM);
    no_setuid_files(r);
    int abi = landlock_abi();
#ifdef SYS_truncate
    if (abi < 3 && v->tier == SANDBOX_STANDARD) /* Landlock does not look at it yet */
        refuse(r, SYS_truncate, ALWAYS, 0, 0, EPERM);
#endif
    /* Unix sockets: the strict world has none but the command's own, unless it shares the network namespace, where
     * abstract ones live; Landlock can keep it from those. In standard every socket file of the system is in reach. */
    bool own_network = v->tier == SANDBOX_STRICT && (v->flags & LAUNCH_NO_NETWORK);
    bool unix_too = v->tier == SANDBOX_STRICT && (own_network || abi >= LANDLOCK_ABI_SCOPES);
    unsigned allowed = v->tier == SANDBOX_STANDARD && (v->flags & LAUNCH_NO_NETWORK) ? 0 : unix_too ? 3 : 2;
    refuse(r, SYS_socket, FAMILY, 0, allowed, EAFNOSUPPORT);
}

static void put(struct program *p, unsigned short code, unsigned k, unsigned jt, unsigned jf)
{
    CHECK(p->n < MAX_PROGRAM && jt <= MAX_JUMP && jf <= MAX_JUMP);
    p->i[p->n++] = (struct sock_filter){code, (unsigned char)jt, (unsigned char)jf, k};
}

static void load(struct program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void answer(struct program *p, int error)
{
    put(p, BPF_RET | BPF_K, error ? SECCOMP_RET_ERRNO | (unsigned)error : SECCOMP_RET_ALLOW, 0, 0);
}

/* Answers when the rule says no; goes on behind when it has nothing against the call. */
static void put_rule(struct program *p, const struct rule *r)
{
    if (r->kind != ALWAYS)
        load(p, offsetof(struct seccomp_data, args) + r->arg * sizeof(uint64_t)); /* its lower half */
    if (r->kind == BITS)
        put(p, BPF_JMP | BPF_JSET | BPF_K, r->operand, 0, 1);
    else if (r->kind == VALUE)
        put(p, BPF_JMP | BPF_JEQ | BPF_K, r->operand, 0, 1);
    CHECK(r->kind != FAMILY || r->operand <= sizeof families / sizeof *families);
    for (unsigned i = 0; r->kind == FAMILY && i < r->operand; i++)
        put(p, BPF_JMP | BPF_JEQ | BPF_K, families[i], r->operand - i, 0);
    answer(p, r->error);
}

/* A search tree over the numbers, which are loaded. A plain list would be gone through to its end for each call that is
 * allowed, by each command's every open(); and by the kernel for every number there is, when the filter is installed.
 */
static void put_tree(struct program *p, const struct rule *r, size_t n)
{
    size_t mid = n / 2;
    CHECK(n > 0);
    while (mid > 0 && r[mid - 1].nr == r[mid].nr) /* what is about one call stays together */
        mid--;
    if (mid == 0)
        for (mid = n / 2; mid < n && r[mid].nr == r[0].nr;)
            mid++;
    if (mid < n) {
        unsigned short jump = p->n;
        put(p, BPF_JMP | BPF_JGE | BPF_K, (unsigned)r[mid].nr, 0, 0);
        put_tree(p, r, mid);
        CHECK(p->n - jump - 1 <= MAX_JUMP);
        p->i[jump].jt = (unsigned char)(p->n - jump - 1);
        put_tree(p, r + mid, n - mid);
        return;
    }
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)r->nr, 1, 0);
    answer(p, 0);
    for (size_t i = 0; i < n; i++)
        put_rule(p, r + i);
    if (r[n - 1].kind != ALWAYS)
        answer(p, 0);
}

static void build(struct program *p, const struct sandbox_view *v)
{
    struct rules r = {.n = 0};
    list(&r, v);
    load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    answer(p, ENOSYS);
    load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    put(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000 /* x32 */, 0, 1);
    answer(p, ENOSYS);
#endif
    put_tree(p, r.r, r.n);
}

bool seccomp_confine(const struct sandbox_view *v)
{
    struct program p = {.n = 0};
    build(&p, v);
    struct sock_fprog f = {.len = p.n, .filter = p.i};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) == 0;
}
