/*
 * The worker: allocates, touches, holds and frees memory inside an instance, at times fixed beforehand.
 *
 * One controller process reads commands (one flat JSON object a line) from stdin and writes replies and events to
 * stdout; docs/worker-protocol.md describes both. Each process of the schedule is one forked child (process.c), which
 * writes its events into one pipe that the controller forwards, so that lines never mix. Times are CLOCK_MONOTONIC
 * nanoseconds. Why lines are numbered and kept: docs/decisions/009-connections-that-break.md.
 *
 * "worker sample ..." sends the kernel's counters of a node instead (node.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "lines.h"
#include "node.h"
#include "process.h"

#define PROTOCOL_VERSION 2
#define COMMAND_BYTES 65536

/* What stdin has given so far of a line; `skipping` to the end of one that is too long. */
static struct {
    char bytes[COMMAND_BYTES];
    size_t length;
    bool skipping;
} input;

/* Obeys each whole line of the input and keeps what is behind the last one; false at quit. */
static bool obey_lines(void)
{
    char *line = input.bytes, *end;
    while ((end = memchr(line, '\n', input.length - (size_t)(line - input.bytes)))) {
        *end = '\0';
        if (!input.skipping && end > line && !obey(line, end))
            return false;
        input.skipping = false;
        line = end + 1;
    }
    input.length -= (size_t)(line - input.bytes);
    memmove(input.bytes, line, input.length);
    return true;
}

static void skip_line_too_long(void)
{
    if (input.length < sizeof input.bytes)
        return;
    if (!input.skipping)
        refuse_line("a line is longer than 64 KiB");
    input.skipping = true;
    input.length = 0;
}

/* Takes what stdin has; false at its end or at quit. */
static bool take_commands(void)
{
    ssize_t got = read(STDIN_FILENO, input.bytes + input.length, sizeof input.bytes - input.length);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    input.length += got > 0 ? (size_t)got : 0;
    expect_reader();
    if (!obey_lines())
        return false;
    skip_line_too_long();
    return true;
}

/* Pipes and files would take the place of a stream that is not there; only stderr can be done without. */
static bool has_streams(void)
{
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        return false;
    return fcntl(STDERR_FILENO, F_GETFD) >= 0 || open("/dev/null", O_WRONLY) == STDERR_FILENO;
}

static void report_ready(void)
{
    int64_t page = sysconf(_SC_PAGESIZE);
    send_line("\"type\":\"ready\",\"version\":%d,\"pid\":%d,\"clock_ns\":%" PRId64 ",\"page_bytes\":%" PRId64
              ",\"cpus\":%ld,\"memory_bytes\":%" PRId64 "}",
              PROTOCOL_VERSION, (int)getpid(), clock_ns(), page, sysconf(_SC_NPROCESSORS_ONLN),
              page * (int64_t)sysconf(_SC_PHYS_PAGES));
}

/* A serial console echoes, edits and translates until it is told not to; what it got before that is not for us. */
static void make_raw(int fd)
{
    struct termios terminal;
    if (tcgetattr(fd, &terminal) != 0)
        return;
    cfmakeraw(&terminal);
    terminal.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSAFLUSH, &terminal);
}

/* The first process of a container does not end by SIGTERM unless it says so. */
static _Noreturn void end_by_signal(int number)
{
    (void)number;
    end_processes(0);
}

/* Looks once at all there is to read; false when the worker is to end. */
static bool serve_once(struct pollfd sources[3])
{
    while (poll(sources, 3, -1) < 0)
        if (errno != EINTR)
            end_processes(1);
    if (sources[2].revents & POLLIN)
        forward_events();
    else if (sources[2].revents & POLLHUP)
        sources[2].fd = -1;
    if (sources[1].revents & POLLIN)
        reap_children();
    return !sources[0].revents || take_commands();
}

static int serve(void)
{
    struct process_pipes pipes;
    if (!open_processes(&pipes))
        return 1;
    make_raw(STDIN_FILENO);
    report_ready();
    struct pollfd sources[3] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = pipes.ended, .events = POLLIN},
        {.fd = pipes.events, .events = POLLIN},
    };
    while (serve_once(sources))
        ;
    end_processes(0);
}

static void exit_processes(int status)
{
    end_processes(status);
}

int main(int count, char **arguments)
{
    if (!has_streams())
        return 1;
    end_worker = exit_processes;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end_by_signal);
    if (count > 1 && strcmp(arguments[1], "sample") == 0)
        return run_sampler(count - 2, arguments + 2);
    return serve();
}
