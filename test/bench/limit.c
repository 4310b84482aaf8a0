/*
 * The physical limit of starting a container: the kernel calls of Docker's default configuration, issued from C
 * with nothing around them. `limit BUNDLE PROGRAM [ARG...]` runs the program in the bundle's rootfs and exits with
 * its status. No error handling beyond a message: it measures, it does not contain.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[4096];
static char **command;

static const char *in_root(const char *path)
{
	static char joined[8192];
	snprintf(joined, sizeof joined, "%s%s", root, path);
	return joined;
}

static void must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(125);
	}
}

static void mount_file_systems(void)
{
	must(mount("", "/", 0, MS_REC | MS_SLAVE, 0), "make / a slave");
	must(mount(root, root, 0, MS_BIND | MS_REC, 0), "bind rootfs");
	must(mount("proc", in_root("/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "mount proc");
	must(mount("tmpfs", in_root("/dev"), "tmpfs", MS_NOSUID, "mode=755,size=65536k"), "mount dev");
	mkdir(in_root("/dev/pts"), 0755);
	mkdir(in_root("/dev/shm"), 0755);
	mkdir(in_root("/dev/mqueue"), 0755);
	must(mount("devpts", in_root("/dev/pts"), "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"), "mount devpts");
	must(mount("shm", in_root("/dev/shm"), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"),
	     "mount shm");
	must(mount("mqueue", in_root("/dev/mqueue"), "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0), "mount mqueue");
	must(mount("sysfs", in_root("/sys"), "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0), "mount sysfs");
}

static void make_devices(void)
{
	static const struct { const char *path; int major, minor; } devices[] = {
		{ "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 },
		{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
	};
	static const char *links[][2] = {
		{ "/proc/self/fd", "/dev/fd" }, { "/proc/self/fd/0", "/dev/stdin" }, { "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" }, { "pts/ptmx", "/dev/ptmx" },
	};
	umask(0);
	for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
		must(mknod(in_root(devices[i].path), S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)), "mknod");
	for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
		must(symlink(links[i][0], in_root(links[i][1])), "symlink");
	umask(022);
}

static void hide_paths(void)
{
	static const char *readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
	static const char *masked[] = { "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug" };
	static const char *masked_directories[] = { "/proc/acpi", "/proc/scsi", "/sys/firmware" };

	/* What a kernel does not have is not there to be hidden: no check. */
	for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++) {
		mount(readonly[i], readonly[i], 0, MS_BIND | MS_REC, 0);
		mount(readonly[i], readonly[i], 0,
		      MS_BIND | MS_REC | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
	}
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++)
		mount("/dev/null", masked[i], 0, MS_BIND, 0);
	for (unsigned i = 0; i < sizeof masked_directories / sizeof *masked_directories; i++)
		mount("tmpfs", masked_directories[i], "tmpfs", MS_RDONLY, 0);
}

static int child(void *unused)
{
	(void)unused;
	mount_file_systems();
	make_devices();
	must(chdir(root), "chdir");
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(chdir("/"), "chdir /");
	hide_paths();
	must(sethostname("limit", 5), "sethostname");
	for (int capability = 0; capability < 41; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	syscall(SYS_close_range, 3, ~0U, 4);
	execv(command[0], command);
	perror(command[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	int status, pid;
	char *stack = malloc(1 << 16);
	int namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWNET;

	if (argc < 3) {
		fprintf(stderr, "usage: limit BUNDLE PROGRAM [ARG...]\n");
		return 125;
	}
	snprintf(root, sizeof root, "%s/rootfs", argv[1]);
	command = argv + 2;
	pid = clone(child, stack + (1 << 16), namespaces | CLONE_VM | CLONE_VFORK | SIGCHLD, 0);
	must(pid, "clone");
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
