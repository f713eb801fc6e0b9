#define _GNU_SOURCE
#include "streams.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define PORT_NAME "freepage"
#define PORT_DEADLINE_MS 10000
#define SET_CONSOLE_LEVEL 8
#define EMERGENCIES_ONLY 1

static bool is_our_port(const char *port)
{
    char path[300], name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%.200s/name", port);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
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

int wait_for_port(void)
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

int open_console(void)
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
