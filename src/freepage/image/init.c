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
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "freepage"
#define PORT_DEADLINE_MS 10000
#define MAX_WORDS 32
#define BLANK_BYTES 1048576
#define SET_CONSOLE_LEVEL 8
#define EMERGENCIES_ONLY 1

static _Noreturn void power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

static _Noreturn void fail(const char *what, const char *which)
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

static int is_asked_for(const char *key)
{
    char value[8];
    return find_argument(key, value, sizeof value) && strcmp(value, "1") == 0;
}

static void give_up_at_deadline(int number)
{
    (void)number;
    reboot(RB_POWER_OFF);
}

/* So that no guest outlives who wanted it. */
static void set_deadline(void)
{
    char seconds[16];
    if (!find_argument("freepage.deadline", seconds, sizeof seconds))
        return;
    signal(SIGALRM, give_up_at_deadline);
    alarm((unsigned)strtoul(seconds, NULL, 10));
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

/* Waits for the disk with this serial. */
static void await_disk(const char *serial, char *device, size_t size)
{
    const struct timespec pause_10_ms = {.tv_nsec = 10000000};
    for (int waited_ms = 0; !find_disk(serial, device, size); waited_ms += 10) {
        errno = ETIMEDOUT;
        if (waited_ms >= PORT_DEADLINE_MS)
            fail("cannot find the disk", serial);
        nanosleep(&pause_10_ms, NULL);
    }
}

static int is_blank(const char *device)
{
    static char start[BLANK_BYTES];
    size_t length = 0;
    ssize_t got;
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("cannot open", device);
    while (length < sizeof start && (got = read(fd, start + length, sizeof start - length)) > 0)
        length += (size_t)got;
    close(fd);
    for (size_t i = 0; i < length; i++)
        if (start[i])
            return 0;
    return length > 0;
}

/* Reads the words of the command that makes a file system, one a line, and gives their number. */
static size_t read_maker(const char *type, char *text, size_t size, char **words)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/makers/%s", type);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    if (length == 0)
        fail("cannot make a file system called", type);
    text[length] = '\0';
    fclose(file);
    for (char *word = strtok(text, "\n"); word && count < MAX_WORDS; word = strtok(NULL, "\n"))
        words[count++] = word;
    return count;
}

static void make_file_system(const char *type, char *device)
{
    char text[1024], *words[MAX_WORDS + 2] = {NULL};
    int status;
    words[read_maker(type, text, sizeof text, words)] = device;
    pid_t maker = fork();
    if (maker == 0) {
        execvp(words[0], words);
        fail("cannot run", words[0]);
    }
    if (maker < 0 || waitpid(maker, &status, 0) != maker || status != 0) {
        errno = EIO;
        fail("cannot make a file system by", words[0]);
    }
}

static int mount_disk(const char *serial, const char *target, unsigned long flags)
{
    char key[32], type[16], device[256] = "";
    snprintf(key, sizeof key, "freepage.%s", serial);
    if (!find_argument(key, type, sizeof type))
        return 0;
    await_disk(serial, device, sizeof device);
    if (!(flags & MS_RDONLY) && is_asked_for("freepage.format") && is_blank(device))
        make_file_system(type, device);
    mkdir(target, 0755);
    if (mount(device, target, type, flags, NULL) != 0) {
        printf("freepage-init: the disk %s has the file system %s\n", serial, type);
        fail("cannot mount", target);
    }
    return 1;
}

/* What programs expect beside themselves: their folders, and what containers have in /dev too. */
static void link_tools(void)
{
    static const char *const links[][2] = {
        {"/bin", "tools/bin"}, {"/sbin", "tools/sbin"}, {"/lib", "tools/lib"}, {"/lib64", "tools/lib64"},
        {"/usr", "tools/usr"}, {"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"},
        {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    };
    mount_at("tmpfs", "/dev/shm");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][1], links[i][0]) != 0 && errno != EEXIST)
            fail("cannot link", links[i][0]);
}

/* The tools first: what makes a file system is among them. */
static void mount_disks(void)
{
    if (mount_disk("tools", "/tools", MS_RDONLY))
        link_tools();
    mount_disk("data", "/data", 0);
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
}

/* The kernel's console, which it keeps for emergencies from now on. */
static int open_console(void)
{
    char names[128] = "", path[160];
    FILE *file = fopen("/sys/class/tty/console/active", "re");
    if (!file || !fgets(names, sizeof names, file))
        fail("cannot read", "/sys/class/tty/console/active");
    fclose(file);
    names[strcspn(names, "\n")] = '\0';
    const char *last = strrchr(names, ' ');
    snprintf(path, sizeof path, "/dev/%s", last ? last + 1 : names);
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd < 0)
        fail("cannot open", path);
    klogctl(SET_CONSOLE_LEVEL, NULL, EMERGENCIES_ONLY);
    return fd;
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
