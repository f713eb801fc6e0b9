#define _GNU_SOURCE
#include "disks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define DISK_DEADLINE_MS 10000
#define MAX_WORDS 32
#define BLANK_BYTES 1048576

/* Finds the block device with this serial; the driver announces disks a little after it was loaded. */
static bool find_disk(const char *serial, char *device, size_t size)
{
    DIR *disks = opendir("/sys/block");
    bool found = false;
    for (struct dirent *entry; disks && !found && (entry = readdir(disks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/sys/block/%.200s/serial", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(name, sizeof name, file) && strcmp(name, serial) == 0) {
            snprintf(device, size, "/dev/%.200s", entry->d_name);
            found = true;
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
        if (waited_ms >= DISK_DEADLINE_MS)
            fail("cannot find the disk", serial);
        nanosleep(&pause_10_ms, NULL);
    }
}

static bool is_blank(const char *device)
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
            return false;
    return length > 0;
}

/* Reads the words of the command that makes a file system, one a line; their number. */
static size_t read_mkfs(const char *type, char *text, size_t size, char **words)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/mkfs/%s", type);
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
    words[read_mkfs(type, text, sizeof text, words)] = device;
    pid_t mkfs = fork();
    if (mkfs == 0) {
        execvp(words[0], words);
        fail("cannot run", words[0]);
    }
    if (mkfs < 0 || waitpid(mkfs, &status, 0) != mkfs || status != 0) {
        errno = EIO;
        fail("cannot make a file system by", words[0]);
    }
}

static bool mount_disk(const char *serial, const char *target, unsigned long flags)
{
    char key[32], type[16], device[256] = "";
    snprintf(key, sizeof key, "freepage.%s", serial);
    if (!find_argument(key, type, sizeof type))
        return false;
    await_disk(serial, device, sizeof device);
    if (!(flags & MS_RDONLY) && is_asked_for("freepage.format") && is_blank(device))
        make_file_system(type, device);
    mkdir(target, 0755);
    if (mount(device, target, type, flags, NULL) != 0) {
        printf("freepage-init: the disk %s has the file system %s\n", serial, type);
        fail("cannot mount", target);
    }
    return true;
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

void mount_disks(void)
{
    if (mount_disk("tools", "/tools", MS_RDONLY))
        link_tools();
    mount_disk("data", "/data", 0);
}
