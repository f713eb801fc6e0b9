#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Reads on until there are `most` bytes or no more; the number read, or minus errno. */
static ssize_t read_up_to(int fd, char *text, size_t most)
{
    size_t length = 0;
    while (length < most) {
        ssize_t got = read(fd, text + length, most - length);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        length += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)length;
}

static ssize_t read_from(int fd, char *text, size_t room, int64_t offset)
{
    if (offset >= 0 && lseek(fd, offset, SEEK_SET) < 0)
        return -errno;
    ssize_t length = read_up_to(fd, text, room + 1);
    if (length <= (ssize_t)room)
        return length;
    return offset >= 0 ? (ssize_t)room : -EFBIG;
}

ssize_t read_file(const char *path, char *text, size_t room, int64_t offset)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    ssize_t length = read_from(fd, text, room, offset);
    close(fd);
    return length;
}
