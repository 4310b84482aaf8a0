/*
 * The init of `--init`: process 1 of a container whose own program is not made for that. It starts the program, hands
 * signals on to it, reaps whatever is orphaned, and ends with the program's status, 128 + n after a signal n.
 *
 * Freestanding, for x86-64 Linux: program.ts holds what the compiler makes of this file with
 *
 *     cc -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
 *        -fno-pic -no-pie -Wl,-s,--build-id=none,-z,noseparate-code,-z,norelro,-z,noexecstack init.c
 *
 * so that tsd needs neither a compiler nor a file of the host's.
 */
typedef long word;
typedef unsigned long mask;

enum { SYS_write = 1, SYS_rt_sigprocmask = 14, SYS_ioctl = 16, SYS_getpid = 39, SYS_fork = 57, SYS_execve = 59, SYS_wait4 = 61,
       SYS_kill = 62, SYS_setpgid = 109, SYS_rt_sigtimedwait = 128, SYS_exit_group = 231 };
enum { SIG_SETMASK = 2, SIGCHLD = 17, WNOHANG = 1, TIOCSPGRP = 0x5410, PATH_MAX = 4096 };
enum { ENOENT = 2, EACCES = 13, ENOTDIR = 20 };

/* Signals of the program's own faults cannot be waited for: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS. */
static const mask forwarded = ~((1UL << 3) | (1UL << 4) | (1UL << 5) | (1UL << 6) | (1UL << 7) | (1UL << 10) | (1UL << 30));

static word call(word number, word a, word b, word c, word d) {
  word result;
  register word r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

static word length(const char *text) {
  word count = 0;
  while (text[count]) count++;
  return count;
}

static void say(const char *text) { call(SYS_write, 2, (word)text, length(text), 0); }

/* As execvp(3): names with a slash as they are, others along PATH. Returns the last errno that tells something. */
static word execute(char **command, char **environment) {
  const char *name = command[0];
  for (const char *c = name; *c; c++)
    if (*c == '/') return call(SYS_execve, (word)name, (word)command, (word)environment, 0);
  const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (char **e = environment; *e; e++)
    if ((*e)[0] == 'P' && (*e)[1] == 'A' && (*e)[2] == 'T' && (*e)[3] == 'H' && (*e)[4] == '=') path = *e + 5;
  word outcome = -ENOENT;
  char file[PATH_MAX];
  while (1) {
    word used = 0;
    while (*path && *path != ':') {
      if (used < PATH_MAX - 1) file[used++] = *path;
      path++;
    }
    if (used == 0) file[used++] = '.';
    if (used + 1 + length(name) < PATH_MAX) {
      file[used++] = '/';
      for (const char *c = name; *c; c++) file[used++] = *c;
      file[used] = 0;
      word result = call(SYS_execve, (word)file, (word)command, (word)environment, 0);
      if (result != -ENOENT && result != -ENOTDIR) outcome = result;
    }
    if (!*path) return outcome;
    path++;
  }
}

static void run(char **command, char **environment, const mask *former) {
  /* A process group of its own, in the terminal's foreground if there is one: job control and ^C work as without init. */
  call(SYS_setpgid, 0, 0, 0, 0);
  int group = call(SYS_getpid, 0, 0, 0, 0);
  call(SYS_ioctl, 0, TIOCSPGRP, (word)&group, 0);
  call(SYS_rt_sigprocmask, SIG_SETMASK, (word)former, 0, 8);
  word failed = execute(command, environment);
  say("tsd-init: cannot execute ");
  say(command[0]);
  say(failed == -ENOENT || failed == -ENOTDIR ? ": not found\n" : failed == -EACCES ? ": permission denied\n" : "\n");
  call(SYS_exit_group, failed == -ENOENT || failed == -ENOTDIR ? 127 : 126, 0, 0, 0);
}

__attribute__((used, noreturn)) static void begin(word *stack) {
  char **command = (char **)(stack + 2);
  char **environment = (char **)(stack + 1) + stack[0] + 1;
  if (command[0] && command[0][0] == '-' && command[0][1] == '-' && !command[0][2]) command++;
  if (!command[0]) {
    say("tsd-init: no command\n");
    call(SYS_exit_group, 125, 0, 0, 0);
  }
  mask former;
  call(SYS_rt_sigprocmask, SIG_SETMASK, (word)&forwarded, (word)&former, 8);
  word child = call(SYS_fork, 0, 0, 0, 0);
  if (child == 0) run(command, environment, &former);
  if (child < 0) call(SYS_exit_group, 125, 0, 0, 0);
  while (1) {
    word signal = call(SYS_rt_sigtimedwait, (word)&forwarded, 0, 0, 8);
    if (signal > 0 && signal != SIGCHLD) call(SYS_kill, child, signal, 0, 0);
    int status, ended = -1;
    word pid;
    while ((pid = call(SYS_wait4, -1, (word)&status, WNOHANG, 0)) > 0)
      if (pid == child) ended = status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
    if (ended >= 0) call(SYS_exit_group, ended, 0, 0, 0);
  }
}

__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call begin\n");
