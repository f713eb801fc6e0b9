/*
 * PID 1 of a guest: mounts what is needed, loads the modules listed in /modules/order, and runs /worker on the virtio
 * port called "freepage". When the worker ends, the guest powers off.
 *
 * Kernel arguments it knows: freepage.order=N writes page_reporting_order once the balloon driver has registered
 * (kernels 5.14 to 6.1 overwrite the boot parameter); freepage.worker=PATH runs another worker; freepage.tools=TYPE
 * mounts the disk with the serial "tools" at /tools, read-only, and makes it where programs are looked for;
 * freepage.data=TYPE mounts the disk with the serial "data" at /data.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "freepage"
#define PORT_DEADLINE_MS 10000

static void power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static void fail(const char *what, const char *which)
{
    printf("freepage-init: %s %s: %s\n", what, which, strerror(errno));
    fflush(stdout);
    power_off();
}

static void mount_at(const char *type, const char *target)
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

/* Copies what follows `key=` on the kernel's command line; false when it is not there. */
static int find_argument(const char *key, char *value, size_t size)
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
            return 1;
        }
    }
    return 0;
}

static void set_reporting_order(void)
{
    const char *path = "/sys/module/page_reporting/parameters/page_reporting_order";
    char order[16];
    if (!find_argument("freepage.order", order, sizeof order))
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, order, strlen(order)) < 0)
        fail("cannot write", path);
    close(fd);
}

/* Finds the block device with this serial; the driver announces disks a little after it was loaded. */
static int find_disk(const char *serial, char *device, size_t size)
{
    DIR *disks = opendir("/sys/block");
    int found = 0;
    for (struct dirent *entry; disks && !found && (entry = readdir(disks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/sys/block/%.200s/serial", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(name, sizeof name, file) && strcmp(name, serial) == 0) {
            snprintf(device, size, "/dev/%.200s", entry->d_name);
            found = 1;
        }
        fclose(file);
    }
    if (disks)
        closedir(disks);
    return found;
}

static int mount_disk(const char *serial, const char *target, unsigned long flags)
{
    const struct timespec pause_10_ms = {.tv_nsec = 10000000};
    char key[32], type[16], device[256] = "";
    snprintf(key, sizeof key, "freepage.%s", serial);
    if (!find_argument(key, type, sizeof type))
        return 0;
    for (int waited_ms = 0; !find_disk(serial, device, sizeof device); waited_ms += 10) {
        errno = ETIMEDOUT;
        if (waited_ms >= PORT_DEADLINE_MS)
            fail("cannot find the disk", serial);
        nanosleep(&pause_10_ms, NULL);
    }
    mkdir(target, 0755);
    if (mount(device, target, type, flags, NULL) != 0) {
        printf("freepage-init: the disk %s has the file system %s\n", serial, type);
        fail("cannot mount", target);
    }
    return 1;
}

/* What programs expect beside themselves: their folders, and what containers have in /dev too. */
static void mount_disks(void)
{
    static const char *const links[][2] = {
        {"/bin", "tools/bin"}, {"/sbin", "tools/sbin"}, {"/lib", "tools/lib"}, {"/lib64", "tools/lib64"},
        {"/usr", "tools/usr"}, {"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"},
        {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    };
    mount_disk("data", "/data", 0);
    if (!mount_disk("tools", "/tools", MS_RDONLY))
        return;
    mount_at("tmpfs", "/dev/shm");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][1], links[i][0]) != 0 && errno != EEXIST)
            fail("cannot link", links[i][0]);
}

static int is_our_port(const char *port)
{
    char path[300], name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%.200s/name", port);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(name, sizeof name, file))
        name[0] = '\0';
    fclose(file);
    return strcmp(name, PORT_NAME "\n") == 0;
}

static int open_port(void)
{
    char path[300];
    DIR *ports = opendir("/sys/class/virtio-ports");
    int fd = -1;
    for (struct dirent *entry; ports && fd < 0 && (entry = readdir(ports));) {
        if (!is_our_port(entry->d_name))
            continue;
        snprintf(path, sizeof path, "/dev/%.200s", entry->d_name);
        fd = open(path, O_RDWR);
    }
    if (ports)
        closedir(ports);
    return fd;
}

/* The driver announces its ports a little after it was loaded. */
static int wait_for_port(void)
{
    const struct timespec pause_10_ms = {.tv_nsec = 10000000};
    for (int waited_ms = 0; waited_ms < PORT_DEADLINE_MS; waited_ms += 10) {
        int fd = open_port();
        if (fd >= 0)
            return fd;
        nanosleep(&pause_10_ms, NULL);
    }
    errno = ETIMEDOUT;
    fail("cannot find the virtio port", PORT_NAME);
    return -1;
}

static void run_worker(int port)
{
    char path[256] = "/worker";
    find_argument("freepage.worker", path, sizeof path);
    dup2(port, STDIN_FILENO);
    dup2(port, STDOUT_FILENO);
    close(port);
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
    load_modules();
    set_reporting_order();
    mount_disks();
    int port = wait_for_port();
    pid_t worker = fork();
    if (worker < 0)
        fail("cannot fork", "");
    if (worker == 0)
        run_worker(port);
    close(port);
    for (pid_t ended; (ended = wait(&status)) != worker;)
        if (ended < 0 && errno != EINTR)
            fail("lost", "the worker");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        printf("freepage-init: the worker ended with status %#x\n", status);
    fflush(stdout);
    power_off();
}
