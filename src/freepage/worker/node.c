#define _GNU_SOURCE
#include "node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "lines.h"

#define FILE_BYTES 1048576
#define MAX_FILES 32
#define NS_PER_MS 1000000LL
/* What is kept free for the files that follow: each at least says that it is null. */
#define RESERVED_BYTES 65536

/* A file to read at every tick, and what the lines to keep of it start with; all are kept without `prefixes`. */
struct node_file {
    const char *path;
    char *prefixes;
};

/* Takes "FILE:PREFIX,PREFIX" apart in its own place. */
static struct node_file read_argument(char *argument)
{
    struct node_file file = {.path = strsep(&argument, ":"), .prefixes = argument};
    return file;
}

static bool starts_with_one_of(const char *line, const char *prefixes)
{
    line += strspn(line, " \t");
    for (;;) {
        size_t length = strcspn(prefixes, ",");
        if (strncmp(line, prefixes, length) == 0)
            return true;
        if (!prefixes[length])
            return false;
        prefixes += length + 1;
    }
}

/* Keeps of a text, in its own place, the lines that start with one of the prefixes; its new length. */
static size_t pick_lines(char *text, const char *prefixes)
{
    size_t picked_bytes = 0;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (starts_with_one_of(line, prefixes)) {
            memmove(text + picked_bytes, line, (size_t)(next - line));
            picked_bytes += (size_t)(next - line);
        }
    }
    return picked_bytes;
}

/* Adds what a file holds now as JSON: its text, or null where it cannot be read or there is no room for it. */
static void add_file(const struct node_file *file)
{
    static char text[FILE_BYTES + 1];
    ssize_t length = read_file(file->path, text, FILE_BYTES, -1);
    if (length >= 0) {
        text[length] = '\0';
        length = file->prefixes ? (ssize_t)pick_lines(text, file->prefixes) : length;
    }
    add("\"");
    add_escaped(file->path, strlen(file->path));
    add("\":");
    if (length < 0 || ESCAPED_BYTES * (size_t)length + RESERVED_BYTES > line_room()) {
        add("null");
        return;
    }
    add("\"");
    add_escaped(text, (size_t)length);
    add("\"");
}

static void send_sample(const struct node_file *files, int count)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    begin_line();
    add("\"type\":\"sample\",\"clock_ns\":%" PRId64 ",\"wall_ns\":%" PRId64 ",", clock_ns(), timespec_ns(wall));
    add("\"page_bytes\":%ld,\"files\":{", sysconf(_SC_PAGESIZE));
    for (int i = 0; i < count; i++) {
        add("%s", i ? "," : "");
        add_file(&files[i]);
    }
    add("}}");
    end_line();
}

/* Sends a sample at every tick of a fixed grid; ticks that were missed are left out. */
static _Noreturn void sample(int64_t interval_ns, const struct node_file *files, int count)
{
    for (int64_t tick_ns = clock_ns();;) {
        sleep_until(tick_ns);
        send_sample(files, count);
        tick_ns += ((clock_ns() - tick_ns) / interval_ns + 1) * interval_ns;
    }
}

int run_sampler(int count, char **arguments)
{
    struct node_file files[MAX_FILES];
    long interval_ms = count > 0 ? strtol(arguments[0], NULL, 10) : 0;
    if (interval_ms <= 0 || interval_ms > INT64_MAX / NS_PER_MS || count < 2 || count - 1 > MAX_FILES) {
        fprintf(stderr, "worker sample INTERVAL_MS FILE[:PREFIX,PREFIX...] ... (at most %d files)\n", MAX_FILES);
        return 2;
    }
    for (int i = 1; i < count; i++)
        files[i - 1] = read_argument(arguments[i]);
    sample(interval_ms * NS_PER_MS, files, count - 1);
}
