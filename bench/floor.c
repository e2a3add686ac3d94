/* The kernel's own price of a container: the system calls of one default container with all
 * namespaces, its mounts, its control groups and a first program, and nothing else.
 *
 *   floor ROOT GROUP RUNS        a container; prints the median in milliseconds
 *   floor ROOT GROUP RUNS exec   a further process in one
 *   floor ROOT GROUP RUNS command
 *       the same by a command: a program that is started for it, and starts itself again from a
 *       read-only mount of its own file (CVE-2019-5736), as any runtime must that enters containers
 *
 * ROOT is a directory with proc, sys, dev and a static /bin/true; GROUP is made below each cgroup
 * hierarchy. What a runtime does beside this (reading a configuration, checking it, telling what
 * failed) is what it adds. No error is survived: the figure would be wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_HIERARCHIES = 16, MOST_RUNS = 10000 };

static char groups[MOST_HIERARCHIES][256];
static int hierarchies;

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(1);
    }
}

/* Mount points of cgroup v1 and v2, from mountinfo(5). */
static void find_hierarchies(const char *group)
{
    FILE *file = fopen("/proc/self/mountinfo", "r");
    char line[4096];
    while (file && fgets(line, sizeof line, file) && hierarchies < MOST_HIERARCHIES) {
        char point[200];
        const char *kind = strstr(line, " - cgroup");
        if (kind && sscanf(line, "%*s %*s %*s %*s %199s", point) == 1)
            snprintf(groups[hierarchies++], sizeof groups[0], "%s/%s", point, group);
    }
    if (file)
        fclose(file);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return; /* another version of cgroups */
    must(write(file, text, strlen(text)), path);
    close(file);
}

static void make_groups(void)
{
    for (int i = 0; i < hierarchies; i++) {
        must(mkdir(groups[i], 0755), groups[i]);
        write_file(groups[i], "cpuset.mems", "0");
        write_file(groups[i], "cpuset.cpus", "0");
    }
}

static void enter_groups(void)
{
    for (int i = 0; i < hierarchies; i++) {
        char path[512];
        snprintf(path, sizeof path, "%.400s/tasks", groups[i]);
        write_file(groups[i], access(path, F_OK) == 0 ? "tasks" : "cgroup.procs", "0");
    }
}

static void put(const char *kind, const char *target, unsigned long flags, const char *options)
{
    must(mount(kind, target, kind, flags, options), target);
}

static void furnish(const char *root)
{
    static const struct { const char *name; int minor; } nodes[] = {
        {"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9},
    };
    static const char *read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys",
                                      "proc/sysrq-trigger"};
    static const char *masked[] = {"proc/kcore", "proc/keys", "proc/timer_list"};
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    must(mount(root, root, NULL, MS_BIND | MS_REC, NULL), "root");
    must(chdir(root), "chdir");
    put("proc", "proc", 0, NULL);
    put("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    must(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755), "mkdir");
    put("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
    put("tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k");
    put("mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
    put("sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++)
        must(mknod(nodes[i].name, S_IFCHR | 0666, makedev(1, nodes[i].minor)), nodes[i].name);
    must(mknod("dev/tty", S_IFCHR | 0666, makedev(5, 0)), "dev/tty");
    must(symlink("/proc/self/fd", "dev/fd"), "dev/fd");
    for (unsigned i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        if (access(read_only[i], F_OK) < 0)
            continue;
        must(mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL), read_only[i]);
        must(mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), read_only[i]);
    }
    for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++)
        if (access(masked[i], F_OK) == 0)
            must(mount("/dev/null", masked[i], NULL, MS_BIND, NULL), masked[i]);
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount");
    must(chdir("/"), "chdir");
}

static void execute(void)
{
    char *const words[] = {"true", NULL}, *const environment[] = {NULL};
    execve("/bin/true", words, environment);
    must(-1, "execve");
}

/* Makes a container in the groups; its process does `first`. */
static long container(const char *root, void (*first)(void))
{
    struct clone_args arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET,
        .exit_signal = SIGCHLD,
    };
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    must(child, "clone3");
    if (child == 0) {
        enter_groups();
        must(unshare(CLONE_NEWCGROUP), "unshare");
        furnish(root);
        first();
    }
    return child;
}

static void end_of(long child)
{
    int status;
    must(waitpid(child, &status, 0), "waitpid");
    if (status != 0)
        _exit(1);
}

static void remove_groups(void)
{
    for (int i = 0; i < hierarchies; i++)
        while (rmdir(groups[i]) < 0)
            if (errno != EBUSY)
                must(-1, groups[i]);
}

static double since(struct timespec begin)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6;
}

static double run(const char *root)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    make_groups();
    end_of(container(root, execute));
    remove_groups();
    return since(begin);
}

/* A further process, which comes to the container's process-id namespace last. */
static double join(int container)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    long child = fork();
    must(child, "fork");
    if (child == 0) {
        enter_groups();
        must(setns(container, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
                                  | CLONE_NEWUTS | CLONE_NEWCGROUP), "setns");
        struct clone_args sibling = {.flags = CLONE_PARENT};
        long process = syscall(SYS_clone3, &sibling, sizeof sibling);
        must(process, "clone3");
        if (process == 0)
            execute();
        _exit(0);
    }
    end_of(-1);
    end_of(-1);
    return since(begin);
}

/* For the command below: by whom it enters which groups. */
static char *command[MOST_HIERARCHIES + 4];

static double run_command(void)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    long child = vfork();
    must(child, "vfork");
    if (child == 0) {
        execv("/proc/self/exe", command);
        _exit(1);
    }
    end_of(child);
    return since(begin);
}

/* The command: `join PID GROUP...`, and `joined PID GROUP...` from its own mount. */
static int run_as_command(int count, char **words)
{
    if (strcmp(words[0], "join") == 0) {
        struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
        long tree = syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        must(tree, "open_tree");
        must(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &read_only, sizeof read_only),
             "mount_setattr");
        words[0] = "joined";
        syscall(SYS_execveat, tree, "", words, (char *[]){NULL}, AT_EMPTY_PATH);
        must(-1, "execveat");
    }
    long descriptor = syscall(SYS_pidfd_open, atoi(words[1]), 0);
    must(descriptor, "pidfd_open");
    for (int i = 2; i < count; i++)
        snprintf(groups[hierarchies++], sizeof groups[0], "%s", words[i]);
    must(prctl(PR_SET_DUMPABLE, 0), "prctl");
    join((int)descriptor);
    return 0;
}

static void describe_command(long container)
{
    static char number[24];
    snprintf(number, sizeof number, "%ld", container);
    command[0] = "join";
    command[1] = number;
    for (int i = 0; i < hierarchies; i++)
        command[i + 2] = groups[i];
}

static int ready[2];

static void wait_for_ever(void)
{
    must(write(ready[1], "", 1), "write");
    for (;;)
        pause();
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int count, char **words)
{
    static double times[MOST_RUNS];
    if (strncmp(words[0], "join", 4) == 0)
        return run_as_command(count, words);
    int runs = count >= 4 ? atoi(words[3]) : 0;
    if (runs < 1 || runs > MOST_RUNS)
        return 2;
    find_hierarchies(words[2]);
    if (count == 4) {
        for (int i = 0; i < runs; i++)
            times[i] = run(words[1]);
    } else {
        make_groups();
        must(pipe2(ready, O_CLOEXEC), "pipe");
        long child = container(words[1], wait_for_ever);
        int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
        must(descriptor, "pidfd_open");
        must(read(ready[0], &(char){0}, 1), "read");
        int is_command = strcmp(words[4], "command") == 0;
        describe_command(child);
        for (int i = 0; i < runs; i++)
            times[i] = is_command ? run_command() : join(descriptor);
        must(kill((pid_t)child, SIGKILL), "kill");
        must(waitpid((pid_t)child, NULL, 0), "waitpid");
        remove_groups();
    }
    qsort(times, runs, sizeof *times, compare);
    printf("%.3f\n", times[runs / 2]);
    return 0;
}
