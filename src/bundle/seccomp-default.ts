/**
 * The system calls that a container may make when nothing else is said: what Docker's default profile allows
 * (moby/profiles, seccomp), on x86-64. Forbidden is what a container has no use for, what has no namespace of its own
 * (time, kernel modules, the kernel's log and keyring), and what has been the way out of containers before (mount,
 * unshare and user namespaces, io_uring, userfaultfd), unless a capability was given for it.
 */
import type { LinuxSeccomp, LinuxSeccompArgument, LinuxSeccompRule } from "../oci/runtime.ts";

/** Names of i386 and of the other ABIs stand here too; a filter takes those that its ABI has. */
const always = `
accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs
fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr
getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr
mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal
msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open
openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev
pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink
unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
arch_prctl modify_ldt`;

/** What a capability adds. */
const withCapability: Record<string, string> = {
  CAP_BPF: "bpf",
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_PERFMON: "perf_event_open",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules " +
    "lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname " +
    "sethostname setns syslog umount umount2 unshare",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module init_module finit_module",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday stime clock_settime clock_settime64",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYSLOG: "syslog",
};

/** Before Linux 4.8 a tracer could change a call after seccomp had passed it. */
const sinceLinux4_8 = "process_vm_readv process_vm_writev ptrace";

/** Every address family but AF_ALG (38) and AF_VSOCK (40): neither belongs to the network namespace. */
const socketFamilies: LinuxSeccompArgument[] = [
  { index: 0, op: "SCMP_CMP_LT", value: 38 },
  { index: 0, op: "SCMP_CMP_EQ", value: 39 },
  { index: 0, op: "SCMP_CMP_GT", value: 40 },
];

/** PER_LINUX, PER_LINUX32, UNAME26 with each, and the question for the present one. Others undo address randomisation. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET. */
const cloneNamespaces = 0x7e020000;
const ENOSYS = 38;

/**
 * Requests of ioctl(2) by which a file's owner takes it out of its project, and so out of what limits it:
 * FS_IOC_FSSETXATTR, and FS_IOC_SETFLAGS with the numbers that it has for programs of 64 and 32 bits.
 */
const projectChanges = [0x401c5820, 0x40086602, 0x40046602];

/**
 * The default profile for a container that holds these capabilities, on a kernel of that version.
 * @param kernel major and minor number.
 * @param keepsProjects whether it must not change what project a file belongs to, nor any other flag of the file.
 */
export function defaultSeccomp(
  capabilities: readonly string[],
  kernel: readonly [number, number],
  keepsProjects = false,
): LinuxSeccomp {
  const names = new Set(always.trim().split(/\s+/));
  if (keepsProjects) names.delete("ioctl");
  const add = (more: string): void => {
    for (const name of more.split(" ")) names.add(name);
  };
  if (kernel[0] > 4 || (kernel[0] === 4 && kernel[1] >= 8)) add(sinceLinux4_8);
  for (const capability of capabilities) {
    const more = withCapability[capability];
    if (more !== undefined) add(more);
  }
  const syscalls: LinuxSeccompRule[] = [
    { names: [...names], action: "SCMP_ACT_ALLOW" },
    ...socketFamilies.map((family): LinuxSeccompRule => {
      return { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [family] };
    }),
    ...personalities.map((value): LinuxSeccompRule => {
      return { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, op: "SCMP_CMP_EQ", value }] };
    }),
  ];
  if (keepsProjects) {
    for (const request of allBut(projectChanges)) {
      syscalls.push({ names: ["ioctl"], action: "SCMP_ACT_ALLOW", args: [{ index: 1, ...request }] });
    }
  }
  if (!capabilities.includes("CAP_SYS_ADMIN")) {
    const args: LinuxSeccompArgument[] = [{ index: 0, op: "SCMP_CMP_MASKED_EQ", value: cloneNamespaces, valueTwo: 0 }];
    syscalls.push({ names: ["clone"], action: "SCMP_ACT_ALLOW", args });
    // clone3 has its flags in memory, where a filter cannot look. ENOSYS makes C libraries use clone.
    syscalls.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls,
  };
}

/**
 * Comparisons of which one holds for every number of 32 bits but these. Those of libseccomp that allow something are
 * alternatives, so "not equal" to several cannot be said; and it would look at 64 bits, of which the kernel drops the
 * upper ones.
 */
function allBut(excluded: readonly number[], prefix = 0n, bits = 0): Omit<LinuxSeccompArgument, "index">[] {
  const rest = BigInt(32 - bits);
  const inside = excluded.filter((value) => BigInt(value) >> rest === prefix >> rest);
  if (inside.length === 0) {
    const mask = ((1n << BigInt(bits)) - 1n) << rest;
    return [{ op: "SCMP_CMP_MASKED_EQ", value: Number(mask), valueTwo: Number(prefix) }];
  }
  if (bits === 32) return [];
  return [prefix, prefix | (1n << (rest - 1n))].flatMap((half) => allBut(inside, half, bits + 1));
}
