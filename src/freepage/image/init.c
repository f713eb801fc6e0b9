/*
 * PID 1 of a guest: mounts what is needed, loads the modules listed in /modules/order, and runs /worker on the virtio
 * port called "freepage", or on the console. When the worker ends, the guest powers off.
 *
 * Kernel arguments it knows: freepage.worker=PATH runs another worker; freepage.console=1 lets the worker have the
 * kernel's console; freepage.deadline=SECONDS powers off then, whatever happens; freepage.tools=TYPE mounts the disk
 * with the serial "tools" at /tools, read-only, and makes it where programs are looked for; freepage.data=TYPE mounts
 * the disk with the serial "data" at /data, after making that file system on it if there is nothing but zeros and
 * freepage.format=1 allows it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disks.h"
#include "init.h"
#include "streams.h"

static _Noreturn void power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

void fail(const char *what, const char *which)
{
    printf("freepage-init: %s %s: %s\n", what, which, strerror(errno));
    fflush(stdout);
    power_off();
}

void mount_at(const char *type, const char *target)
{
    mkdir(target, 0755);
    if (mount(type, target, type, 0, NULL) != 0 && errno != EBUSY)
        fail("cannot mount", target);
}

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("cannot open", path);
    if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
        fail("cannot load", path);
    close(fd);
}

static void load_modules(void)
{
    char path[256];
    FILE *order = fopen("/modules/order", "re");
    if (!order)
        fail("cannot open", "/modules/order");
    while (fgets(path, sizeof path, order)) {
        path[strcspn(path, "\n")] = '\0';
        load_module(path);
    }
    fclose(order);
}

bool find_argument(const char *key, char *value, size_t size)
{
    static char line[4096];
    FILE *file = fopen("/proc/cmdline", "re");
    if (!file || !fgets(line, sizeof line, file))
        fail("cannot read", "/proc/cmdline");
    fclose(file);
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        size_t length = strlen(key);
        if (strncmp(word, key, length) == 0 && word[length] == '=') {
            snprintf(value, size, "%s", word + length + 1);
            return true;
        }
    }
    return false;
}

bool is_asked_for(const char *key)
{
    char value[8];
    return find_argument(key, value, sizeof value) && strcmp(value, "1") == 0;
}

static void give_up_at_deadline(int number)
{
    (void)number;
    reboot(RB_POWER_OFF);
}

/* So that no guest outlives who wanted it: docs/decisions/009-connections-that-break.md. */
static void set_deadline(void)
{
    char seconds[16];
    if (!find_argument("freepage.deadline", seconds, sizeof seconds))
        return;
    signal(SIGALRM, give_up_at_deadline);
    alarm((unsigned)strtoul(seconds, NULL, 10));
}

static _Noreturn void run_worker(int stream)
{
    char path[256] = "/worker";
    find_argument("freepage.worker", path, sizeof path);
    dup2(stream, STDIN_FILENO);
    dup2(stream, STDOUT_FILENO);
    close(stream);
    execl(path, path, (char *)NULL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    fail("cannot run", path);
}

int main(void)
{
    int status;
    mount_at("devtmpfs", "/dev");
    mount_at("proc", "/proc");
    mount_at("sysfs", "/sys");
    mount_at("tmpfs", "/tmp");
    set_deadline();
    load_modules();
    mount_disks();
    int stream = is_asked_for("freepage.console") ? open_console() : wait_for_port();
    pid_t worker = fork();
    if (worker < 0)
        fail("cannot fork", "");
    if (worker == 0)
        run_worker(stream);
    close(stream);
    for (pid_t ended; (ended = wait(&status)) != worker;)
        if (ended < 0 && errno != EINTR)
            fail("lost", "the worker");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        printf("freepage-init: the worker ended with status %#x\n", status);
    fflush(stdout);
    power_off();
}
