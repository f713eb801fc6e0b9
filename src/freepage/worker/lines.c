#define _GNU_SOURCE
#include "lines.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "json.h"

#define KEPT_BYTES 262144
#define KEPT_LINE_BYTES 65536
#define WRITE_BYTES 4096
#define EVENT_BYTES 1024
#define LEAVE_MS 5000
#define PAUSE_MS 10

/* A pipe that poll() calls writable takes this much without blocking. */
_Static_assert(WRITE_BYTES <= PIPE_BUF, "a piece of a line could block in a pipe");
/* Processes share one pipe, which keeps a write whole only up to this size. */
_Static_assert(EVENT_BYTES <= PIPE_BUF, "lines of two processes could mix in their pipe");
_Static_assert(KEPT_LINE_BYTES < KEPT_BYTES, "a line to be kept has to fit into what is kept");

void (*end_worker)(int status) = _exit;
static bool reader_expected;

/* The line that is being made, without its newline. */
static struct {
    char bytes[LONGEST_LINE_BYTES];
    size_t length;
} line;
static int64_t sent_count;

/* A ring of whole lines; `at` is where the oldest of them starts. */
static struct {
    char bytes[KEPT_BYTES];
    size_t at, length;
    int64_t dropped_count;
} ring;

/* ---- writing --------------------------------------------------------------------------------------------------- */

void expect_reader(void)
{
    reader_expected = true;
}

static bool has_room(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) > 0 && (out.revents & (POLLOUT | POLLERR | POLLNVAL));
}

/*
 * Waits until stdout takes bytes. Whoever closed our stdin and does not read either has left, and the worker ends;
 * but a host that never spoke may only not have opened its side of the virtio port yet.
 */
static void wait_for_room(void)
{
    const struct timespec moment = {.tv_nsec = PAUSE_MS * 1000000};
    int left_ms = LEAVE_MS;
    while (!has_room()) {
        struct pollfd ends[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = STDIN_FILENO, .events = POLLRDHUP}};
        if (poll(ends, 2, -1) <= 0 || !(ends[0].revents & POLLHUP || ends[1].revents))
            continue;
        nanosleep(&moment, NULL);
        if (reader_expected && (left_ms -= PAUSE_MS) <= 0)
            end_worker(0);
    }
}

/* Writes to stdout in pieces that do not block, so that the end of stdin is seen while nobody reads. */
static void write_out(const char *bytes, size_t length)
{
    while (length > 0) {
        wait_for_room();
        ssize_t written = write(STDOUT_FILENO, bytes, length < WRITE_BYTES ? length : WRITE_BYTES);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            end_worker(1);
        bytes += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

void write_event(int pipe, const char *format, ...)
{
    char event[EVENT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(event, sizeof event - 1, format, arguments);
    va_end(arguments);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;
    if (length > sizeof event - 2)
        length = sizeof event - 2;
    event[length++] = '\n';
    while (write(pipe, event, length) < 0)
        if (errno != EAGAIN && errno != EINTR)
            _exit(1);
}

/* ---- what is kept ---------------------------------------------------------------------------------------------- */

static void drop_oldest(void)
{
    char last;
    do {
        last = ring.bytes[ring.at];
        ring.at = (ring.at + 1) % KEPT_BYTES;
        ring.length--;
    } while (last != '\n');
    ring.dropped_count++;
}

static void keep(const char *bytes, size_t length)
{
    while (ring.length + length > KEPT_BYTES)
        drop_oldest();
    for (size_t i = 0; i < length; i++)
        ring.bytes[(ring.at + ring.length++) % KEPT_BYTES] = bytes[i];
}

/* Of a line too long to be kept, only its number is: whoever lost it sends its request once more. */
static void keep_number(void)
{
    char bytes[64];
    keep(bytes, (size_t)snprintf(bytes, sizeof bytes, "{\"n\":%" PRId64 ",\"type\":\"forgotten\"}\n", sent_count));
}

bool send_again(int64_t from)
{
    size_t skipped = 0;
    if (from <= ring.dropped_count || from > sent_count + 1)
        return false;
    for (int64_t number = ring.dropped_count + 1; number < from; skipped++)
        number += ring.bytes[(ring.at + skipped) % KEPT_BYTES] == '\n';
    size_t start = (ring.at + skipped) % KEPT_BYTES, length = ring.length - skipped;
    size_t straight = length < KEPT_BYTES - start ? length : KEPT_BYTES - start;
    write_out(ring.bytes + start, straight);
    write_out(ring.bytes, length - straight);
    return true;
}

/* ---- one line -------------------------------------------------------------------------------------------------- */

/* One byte is left for the newline, one for the NUL of a printf. */
size_t line_room(void)
{
    return sizeof line.bytes - 2 - line.length;
}

__attribute__((format(printf, 1, 0))) static void add_formatted(const char *format, va_list arguments)
{
    size_t room = line_room();
    int wanted = vsnprintf(line.bytes + line.length, room + 1, format, arguments);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;
    line.length += length < room ? length : room;
}

void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_formatted(format, arguments);
    va_end(arguments);
}

void add_escaped(const char *text, size_t length)
{
    size_t most = line_room() / ESCAPED_BYTES;
    line.length += escape(line.bytes + line.length, text, length < most ? length : most);
}

void begin_line(void)
{
    line.length = 0;
    add("{\"n\":%" PRId64 ",", ++sent_count);
}

void end_line(void)
{
    line.bytes[line.length++] = '\n';
    if (line.length <= KEPT_LINE_BYTES)
        keep(line.bytes, line.length);
    else
        keep_number();
    write_out(line.bytes, line.length);
}

void send_line(const char *format, ...)
{
    va_list arguments;
    begin_line();
    va_start(arguments, format);
    add_formatted(format, arguments);
    va_end(arguments);
    end_line();
}
