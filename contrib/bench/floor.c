/*
 * floor: the least a rootless container costs on this kernel, to measure rpod against.
 *
 *   floor [--net none|host|slirp4netns|pasta] [--uids "0 1000 1 1 100000 65536"] [--gids …] LOWER STATE PROGRAM [ARG…]
 *
 * Forks into new user, mount, pid, ipc, uts, cgroup (and net) namespaces, has newuidmap and newgidmap (at the same time)
 * map the ids, mounts an overlay of LOWER with STATE/{upper,work}, /proc, a /dev with bound devices, pivots, runs PROGRAM
 * and waits. With slirp4netns or pasta, PROGRAM starts once the helper says that the network is ready. Without --uids the caller's
 * own id is mapped to root, by writing the map itself. No record, no log, no security profile: what is left out is rpod's work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* newuidmap PID INSIDE OUTSIDE COUNT …, not waited for. */
static pid_t start_mapper(const char *program, pid_t pid, const char *map)
{
	static char words[2][512];
	static int used;
	char *copy = words[used++ & 1], *argv[40], number[16];
	int n = 0;
	pid_t child;

	snprintf(number, sizeof number, "%d", pid);
	snprintf(copy, sizeof words[0], "%s", map);
	argv[n++] = (char *)program;
	argv[n++] = number;
	for (char *word = strtok(copy, " "); word && n < 39; word = strtok(NULL, " "))
		argv[n++] = word;
	argv[n] = NULL;
	if ((errno = posix_spawnp(&child, program, NULL, NULL, argv, environ)))
		die(program);
	return child;
}

static void expect_success(pid_t child, const char *what)
{
	int status;
	if (waitpid(child, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "floor: %s failed\n", what);
		_exit(125);
	}
}

static void map_ids(pid_t pid, const char *uids, const char *gids)
{
	if (uids) {
		pid_t uid_mapper = start_mapper("newuidmap", pid, uids);
		pid_t gid_mapper = start_mapper("newgidmap", pid, gids ? gids : uids);
		expect_success(uid_mapper, "newuidmap");
		expect_success(gid_mapper, "newgidmap");
		return;
	}
	char path[64], map[64];
	snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
	put(path, "deny");
	snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	snprintf(map, sizeof map, "0 %d 1", getuid());
	put(path, map);
	snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
	snprintf(map, sizeof map, "0 %d 1", getgid());
	put(path, map);
}

static void bind_device(const char *name)
{
	char target[64], source[64];
	snprintf(source, sizeof source, "/dev/%s", name);
	snprintf(target, sizeof target, "dev/%s", name);
	int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		die(target);
	close(fd);
	if (mount(source, target, NULL, MS_BIND, NULL))
		die(target);
}

/* In the directory that has upper, work and root. */
static void enter_root(const char *lower)
{
	static const char *devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
	char options[8192];

	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		die("make / a slave");
	snprintf(options, sizeof options, "userxattr,lowerdir=%s,upperdir=upper,workdir=work", lower);
	if (mount("overlay", "root", "overlay", 0, options))
		die("mount overlay");
	if (chdir("root"))
		die("chdir");
	mkdir("proc", 0755);
	mkdir("dev", 0755);
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL))
		die("mount proc");
	if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"))
		die("mount /dev");
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		bind_device(devices[i]);
	mkdir("dev/pts", 0755);
	if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"))
		die("mount /dev/pts");
	mkdir("dev/shm", 01777);
	if (mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"))
		die("mount /dev/shm");
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		die("pivot_root");
}

static pid_t start_slirp4netns(pid_t pid)
{
	int ready[2];
	char number[16], ready_fd[16], byte;
	pid_t child;

	if (pipe(ready))
		die("pipe");
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	snprintf(number, sizeof number, "%d", pid);
	snprintf(ready_fd, sizeof ready_fd, "%d", ready[1]);
	char *argv[] = { "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd", ready_fd,
			 number, "tap0", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if ((errno = posix_spawnp(&child, "slirp4netns", &actions, NULL, argv, environ)))
		die("slirp4netns");
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("slirp4netns is not ready");
	close(ready[0]);
	return child;
}

/* It goes to the background when the network is ready, and leaves its pid in a file. */
static pid_t start_pasta(pid_t pid)
{
	char number[16], text[16] = "";
	pid_t child;

	snprintf(number, sizeof number, "%d", pid);
	char *argv[] = { "pasta", "--config-net", "--quiet", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U",
			 "none", "--pid", "pasta.pid", number, NULL };
	if ((errno = posix_spawnp(&child, "pasta", NULL, NULL, argv, environ)))
		die("pasta");
	expect_success(child, "pasta");
	int fd = open("pasta.pid", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || atoi(text) <= 1)
		die("pasta.pid");
	close(fd);
	unlink("pasta.pid");
	return atoi(text);
}

int main(int argc, char **argv)
{
	const char *net = "none", *uids = NULL, *gids = NULL;
	char path[4096], byte = 0;
	int go[2], status, i = 1;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		if (!strcmp(argv[i], "--net"))
			net = argv[i + 1];
		else if (!strcmp(argv[i], "--uids"))
			uids = argv[i + 1];
		else if (!strcmp(argv[i], "--gids"))
			gids = argv[i + 1];
	}
	if (argc - i < 3) {
		fprintf(stderr, "usage: floor [--net MODE] [--uids MAP] [--gids MAP] LOWER STATE PROGRAM [ARG...]\n");
		return 125;
	}
	const char *lower = argv[i], *state = argv[i + 1];
	char **program = argv + i + 2;

	/* A fresh directory for each run, so that runs at the same time do not meet. */
	snprintf(path, sizeof path, "%s/%d", state, getpid());
	if (mkdir(path, 0700) || chdir(path) || mkdir("upper", 0755) || mkdir("work", 0700) || mkdir("root", 0755))
		die(path);
	if (pipe2(go, O_CLOEXEC))
		die("pipe");

	unsigned long flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	if (strcmp(net, "host"))
		flags |= CLONE_NEWNET;
	pid_t child = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	if (child < 0)
		die("clone");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(go[0], &byte, 1) != 1)
			_exit(125);
		if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
			die("become root");
		enter_root(lower);
		/* The network may come up while the file systems are mounted. */
		if (read(go[0], &byte, 1) != 1)
			_exit(125);
		execvp(program[0], program);
		die(program[0]);
	}
	map_ids(child, uids, gids);
	if (write(go[1], &byte, 1) != 1)
		die("start");
	pid_t helper = !strcmp(net, "slirp4netns") ? start_slirp4netns(child) : !strcmp(net, "pasta") ? start_pasta(child) : 0;
	if (write(go[1], &byte, 1) != 1)
		die("start");
	if (waitpid(child, &status, 0) < 0)
		die("wait");
	if (helper) {
		kill(helper, SIGKILL);
		waitpid(helper, NULL, 0);
	}
	/* What the program wrote belongs to mapped ids; `true` writes nothing, so plain rmdir does. work/work is the kernel's. */
	rmdir("work/work");
	rmdir("work");
	rmdir("upper/proc");
	rmdir("upper/dev");
	rmdir("upper");
	rmdir("root");
	rmdir(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
