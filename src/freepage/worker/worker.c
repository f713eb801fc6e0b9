/*
 * The worker: allocates, touches, holds and frees memory inside an instance, at times fixed beforehand.
 *
 * One controller process reads commands (one flat JSON object a line) from stdin and writes replies and events to
 * stdout; docs/worker-protocol.md describes both. Each process of the schedule is one forked child, which writes its
 * events into one pipe that the controller forwards, so that lines never mix. Times are CLOCK_MONOTONIC nanoseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL_VERSION 1
#define LINE_BYTES 65536
#define FILE_BYTES 262144
#define MAX_PROCESSES 1024
#define NS_PER_S 1000000000LL

enum action { ALLOCATE, FREE };
enum scan { ONCE, SEQUENTIAL, RANDOM };

struct step {
    int64_t at_ns;
    enum action action;
    enum scan scan;
    int64_t bytes;
    int64_t stride;
    int64_t iteration;
    uint64_t seed;
};

struct process {
    struct step *steps;
    size_t count, room;
    pid_t pid;
    bool running;
};

static struct process processes[MAX_PROCESSES];
static int process_count;
static int running_count;
static int failed_count;
static bool started;

/* ---- time ---------------------------------------------------------------------------------------------------- */

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
    if (at_ns <= 0)
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* Writes all of it, also into a non-blocking virtio port; a reader that is gone ends the process. */
static void write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written >= 0) {
            text += written;
            length -= (size_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            poll(&room, 1, -1);
        } else if (errno != EINTR) {
            _exit(1);
        }
    }
}

__attribute__((format(printf, 2, 3))) static void write_line(int fd, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    write_all(fd, line, (size_t)length + 1);
}

/* Appends bytes as the inside of a JSON string: what is not ASCII is written as the Latin-1 code point of the byte. */
static size_t escape(char *out, const char *text, size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c == '\n') {
            out[at++] = '\\';
            out[at++] = 'n';
        } else if (c < 0x20 || c >= 0x7f) {
            at += (size_t)sprintf(out + at, "\\u%04x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    out[at] = '\0';
    return at;
}

static void complain(const char *what)
{
    write_line(STDOUT_FILENO, "{\"type\":\"error\",\"message\":\"%s\"}", what);
}

/* ---- reading commands: one flat JSON object a line ------------------------------------------------------------- */

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *read_code_unit(const char *at, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, at++) {
        int digit = hex_digit(*at);
        if (digit < 0)
            return NULL;
        *unit = *unit * 16 + (uint32_t)digit;
    }
    return at;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

static const char *read_escape(const char *at, char **out)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *found = *at ? strchr(plain, *at) : NULL;
    uint32_t unit, low;
    if (found) {
        *(*out)++ = meaning[found - plain];
        return at + 1;
    }
    if (*at != 'u' || !(at = read_code_unit(at + 1, &unit)))
        return NULL;
    if (unit >= 0xd800 && unit < 0xdc00 && at[0] == '\\' && at[1] == 'u') {
        if (!(at = read_code_unit(at + 2, &low)))
            return NULL;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, unit);
    return at;
}

/* Reads a string whose opening quote is at `at`; the value, never longer than its source, goes to `out`. */
static const char *read_string(const char *at, char *out)
{
    if (*at++ != '"')
        return NULL;
    while (*at && *at != '"') {
        if (*at == '\\') {
            if (!(at = read_escape(at + 1, &out)))
                return NULL;
        } else {
            *out++ = *at++;
        }
    }
    *out = '\0';
    return *at == '"' ? at + 1 : NULL;
}

static const char *skip_value(const char *at)
{
    static char unused[LINE_BYTES];
    if (*at == '"')
        return read_string(at, unused);
    const char *end = at + strcspn(at, ",}");
    return end > at ? end : NULL;
}

/* Finds the value of `key` in a flat object; NULL when it is not there or the object is not well formed. */
static const char *find_value(const char *line, const char *key)
{
    static char name[LINE_BYTES];
    const char *at = skip_space(line);
    if (*at++ != '{')
        return NULL;
    for (;;) {
        at = read_string(skip_space(at), name);
        if (!at || *(at = skip_space(at)) != ':')
            return NULL;
        at = skip_space(at + 1);
        if (strcmp(name, key) == 0)
            return at;
        if (!(at = skip_value(at)) || *(at = skip_space(at)) != ',')
            return NULL;
        at++;
    }
}

static int64_t find_number(const char *line, const char *key, int64_t otherwise)
{
    const char *at = find_value(line, key);
    char *end;
    if (!at)
        return otherwise;
    errno = 0;
    long long value = strtoll(at, &end, 10);
    return end == at || errno ? otherwise : value;
}

static bool find_text(const char *line, const char *key, char *out)
{
    const char *at = find_value(line, key);
    return at && read_string(at, out) != NULL;
}

/* ---- one process of the schedule ------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static void touch_all(volatile char *block, int64_t bytes, int64_t stride)
{
    for (int64_t at = 0; at < bytes; at += stride)
        block[at] = 1;
}

/* Touches again and again until `until_ns`, looking at the clock every few hundred pages. */
static void hold(volatile char *block, const struct step *step, int64_t until_ns)
{
    const int64_t pages = (step->bytes + step->stride - 1) / step->stride;
    uint64_t state = step->seed * 0x9e3779b97f4a7c15ULL + 1;
    int64_t page = 0;
    if (!block || step->scan == ONCE || pages == 0)
        return;
    while (clock_ns() < until_ns) {
        for (int i = 0; i < 256; i++) {
            page = step->scan == RANDOM ? (int64_t)(next_random(&state) % (uint64_t)pages) : (page + 1) % pages;
            block[page * step->stride] = 1;
        }
    }
}

static int64_t timeval_ns(struct timeval value)
{
    return value.tv_sec * NS_PER_S + value.tv_usec * 1000LL;
}

static void write_event(int fd, int process, int index, const struct step *step, int64_t zero_ns, int64_t start_ns,
                        const struct rusage *before, int error)
{
    struct rusage after;
    int64_t end_ns = clock_ns();
    getrusage(RUSAGE_SELF, &after);
    char outcome[160] = "\"ok\":true";
    if (error)
        snprintf(outcome, sizeof outcome, "\"ok\":false,\"error\":\"%s\"", strerror(error));
    write_line(fd,
               "{\"type\":\"step\",\"process\":%d,\"index\":%d,\"iteration\":%" PRId64 ",\"action\":\"%s\","
               "\"bytes\":%" PRId64 ",\"planned_ns\":%" PRId64 ",\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64 ","
               "\"user_ns\":%" PRId64 ",\"system_ns\":%" PRId64 ",\"minor_faults\":%ld,\"major_faults\":%ld,%s}",
               process, index, step->iteration, step->action == ALLOCATE ? "allocate" : "free", step->bytes,
               zero_ns + step->at_ns, start_ns, end_ns, timeval_ns(after.ru_utime) - timeval_ns(before->ru_utime),
               timeval_ns(after.ru_stime) - timeval_ns(before->ru_stime), after.ru_minflt - before->ru_minflt,
               after.ru_majflt - before->ru_majflt, outcome);
}

static int allocate(char **block, const struct step *step)
{
    void *memory = mmap(NULL, (size_t)step->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return errno;
    *block = memory;
    touch_all(*block, step->bytes, step->stride);
    return 0;
}

static _Noreturn void run_process(int number, int64_t zero_ns, int fd)
{
    const struct process *process = &processes[number];
    char *block = NULL;
    int64_t held = 0;
    for (size_t i = 0; i < process->count; i++) {
        const struct step *step = &process->steps[i];
        struct rusage before;
        int error = 0;
        sleep_until(zero_ns + step->at_ns);
        getrusage(RUSAGE_SELF, &before);
        int64_t start_ns = clock_ns();
        if (block && munmap(block, (size_t)held) != 0)
            error = errno;
        block = NULL;
        if (step->action == ALLOCATE)
            error = allocate(&block, step);
        held = step->bytes;
        write_event(fd, number, (int)i, step, zero_ns, start_ns, &before, error);
        if (i + 1 < process->count)
            hold(block, step, zero_ns + process->steps[i + 1].at_ns);
    }
    _exit(0);
}

/* ---- the controller -------------------------------------------------------------------------------------------- */

static void add_step(const char *line)
{
    static char word[LINE_BYTES];
    int64_t number = find_number(line, "process", -1);
    struct step step = {
        .at_ns = find_number(line, "at_ns", -1),
        .bytes = find_number(line, "bytes", -1),
        .stride = find_number(line, "stride", 4096),
        .iteration = find_number(line, "iteration", 0),
        .seed = (uint64_t)find_number(line, "seed", 0),
    };
    if (number < 0 || number >= MAX_PROCESSES || step.at_ns < 0 || step.bytes <= 0 || step.stride <= 0 || started) {
        complain("step: process, at_ns, bytes or stride is missing or out of range, or it came after start");
        return;
    }
    if (!find_text(line, "action", word) || (strcmp(word, "allocate") != 0 && strcmp(word, "free") != 0)) {
        complain("step: action must be allocate or free");
        return;
    }
    step.action = strcmp(word, "free") == 0 ? FREE : ALLOCATE;
    if (find_text(line, "scan", word))
        step.scan = strcmp(word, "sequential") == 0 ? SEQUENTIAL : strcmp(word, "random") == 0 ? RANDOM : ONCE;
    struct process *process = &processes[number];
    if (process->count == process->room) {
        process->room = process->room ? 2 * process->room : 16;
        process->steps = realloc(process->steps, process->room * sizeof step);
        if (!process->steps)
            _exit(1);
    }
    process->steps[process->count++] = step;
    if (number >= process_count)
        process_count = (int)number + 1;
}

static void confirm_load(const char *line)
{
    size_t steps = 0;
    for (int i = 0; i < process_count; i++)
        steps += processes[i].count;
    write_line(STDOUT_FILENO, "{\"type\":\"loaded\",\"id\":%" PRId64 ",\"processes\":%d,\"steps\":%zu}",
               find_number(line, "id", 0), process_count, steps);
}

static void report_done_when_all_ended(void)
{
    if (started && running_count == 0)
        write_line(STDOUT_FILENO, "{\"type\":\"done\",\"failed\":%d}", failed_count);
}

static void start_processes(const char *line, int event_pipe[2])
{
    int64_t zero_ns = find_number(line, "zero_ns", -1);
    pid_t controller = getpid();
    if (started || zero_ns < 0) {
        complain("start: zero_ns is missing, or the schedule has already started");
        return;
    }
    started = true;
    for (int i = 0; i < process_count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != controller)
                _exit(1);
            close(STDIN_FILENO);
            close(event_pipe[0]);
            run_process(i, zero_ns, event_pipe[1]);
        }
        processes[i].pid = pid;
        processes[i].running = pid > 0;
        running_count += pid > 0;
        failed_count += pid < 0;
    }
    close(event_pipe[1]);
    write_line(STDOUT_FILENO, "{\"type\":\"started\",\"id\":%" PRId64 "}", find_number(line, "id", 0));
    report_done_when_all_ended();
}

static void send_file(const char *line)
{
    static char path[LINE_BYTES], text[FILE_BYTES], out[6 * FILE_BYTES + 256];
    int64_t id = find_number(line, "id", 0);
    size_t length = 0;
    ssize_t got = -1;
    if (!find_text(line, "path", path)) {
        complain("read: path is missing");
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && length < sizeof text && (got = read(fd, text + length, sizeof text - length)) > 0)
        length += (size_t)got;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 || got < 0) {
        write_line(STDOUT_FILENO, "{\"type\":\"text\",\"id\":%" PRId64 ",\"errno\":%d}", id, error);
        return;
    }
    size_t at = (size_t)sprintf(out, "{\"type\":\"text\",\"id\":%" PRId64 ",\"text\":\"", id);
    at += escape(out + at, text, length);
    at += (size_t)sprintf(out + at, "\"}\n");
    write_all(STDOUT_FILENO, out, at);
}

static void write_file(const char *line)
{
    static char path[LINE_BYTES], text[LINE_BYTES];
    int error = 0;
    if (!find_text(line, "path", path) || !find_text(line, "text", text)) {
        complain("write: path or text is missing");
        return;
    }
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        error = errno;
    if (fd >= 0 && close(fd) != 0)
        error = errno;
    write_line(STDOUT_FILENO, "{\"type\":\"written\",\"id\":%" PRId64 ",\"errno\":%d}", find_number(line, "id", 0),
               error);
}

/* Does what one line says; false when it says to quit. */
static bool obey(const char *line, int event_pipe[2])
{
    static char op[LINE_BYTES];
    if (!find_text(line, "op", op))
        complain("a line is not a flat JSON object with an op");
    else if (strcmp(op, "ping") == 0)
        write_line(STDOUT_FILENO, "{\"type\":\"pong\",\"id\":%" PRId64 ",\"clock_ns\":%" PRId64 "}",
                   find_number(line, "id", 0), clock_ns());
    else if (strcmp(op, "step") == 0)
        add_step(line);
    else if (strcmp(op, "loaded") == 0)
        confirm_load(line);
    else if (strcmp(op, "start") == 0)
        start_processes(line, event_pipe);
    else if (strcmp(op, "read") == 0)
        send_file(line);
    else if (strcmp(op, "write") == 0)
        write_file(line);
    else if (strcmp(op, "quit") == 0)
        return false;
    else
        complain("unknown op");
    return true;
}

/* Takes what stdin has and obeys each whole line; false at its end or at quit. */
static bool take_commands(int event_pipe[2])
{
    static char buffer[LINE_BYTES];
    static size_t length;
    static bool skipping;
    ssize_t got = read(STDIN_FILENO, buffer + length, sizeof buffer - 1 - length);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    length += got > 0 ? (size_t)got : 0;
    char *line = buffer, *end;
    while ((end = memchr(line, '\n', length - (size_t)(line - buffer)))) {
        *end = '\0';
        if (!skipping && end > line && !obey(line, event_pipe))
            return false;
        skipping = false;
        line = end + 1;
    }
    length -= (size_t)(line - buffer);
    memmove(buffer, line, length);
    if (length == sizeof buffer - 1) {
        complain("a line is longer than 64 KiB");
        skipping = true;
        length = 0;
    }
    return true;
}

/* Forwards whole lines only, so that what the controller itself writes never lands inside one. */
static void forward_events(int fd)
{
    static char buffer[16384];
    static size_t length;
    ssize_t got = read(fd, buffer + length, sizeof buffer - length);
    if (got <= 0)
        return;
    length += (size_t)got;
    const char *last = memrchr(buffer, '\n', length);
    size_t whole = last ? (size_t)(last - buffer) + 1 : 0;
    write_all(STDOUT_FILENO, buffer, whole);
    memmove(buffer, buffer + whole, length - whole);
    length -= whole;
}

/* Reaps children that ended, after their last events were forwarded. */
static void reap(int event_fd)
{
    int status;
    pid_t pid;
    struct pollfd events = {.fd = event_fd, .events = POLLIN};
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        while (poll(&events, 1, 0) > 0 && (events.revents & POLLIN))
            forward_events(event_fd);
        for (int i = 0; i < process_count; i++) {
            if (!processes[i].running || processes[i].pid != pid)
                continue;
            processes[i].running = false;
            running_count--;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                failed_count++;
                write_line(STDOUT_FILENO, "{\"type\":\"process-ended\",\"process\":%d,\"signal\":%d}", i,
                           WIFSIGNALED(status) ? WTERMSIG(status) : 0);
            }
            report_done_when_all_ended();
        }
    }
}

static int child_signal_pipe[2];

static void note_child(int number)
{
    int kept = errno;
    (void)number;
    if (write(child_signal_pipe[1], "", 1) < 0)
        errno = kept;
    errno = kept;
}

static void greet(void)
{
    int64_t page = sysconf(_SC_PAGESIZE);
    write_line(STDOUT_FILENO,
               "{\"type\":\"ready\",\"version\":%d,\"pid\":%d,\"clock_ns\":%" PRId64 ",\"page_bytes\":%" PRId64
               ",\"cpus\":%ld,\"memory_bytes\":%" PRId64 "}",
               PROTOCOL_VERSION, (int)getpid(), clock_ns(), page, sysconf(_SC_NPROCESSORS_ONLN),
               page * (int64_t)sysconf(_SC_PHYS_PAGES));
}

int main(void)
{
    int event_pipe[2];
    struct sigaction on_child = {.sa_handler = note_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(event_pipe, O_CLOEXEC) != 0 || pipe2(child_signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return 1;
    sigaction(SIGCHLD, &on_child, NULL);
    greet();
    struct pollfd sources[3] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = child_signal_pipe[0], .events = POLLIN},
        {.fd = event_pipe[0], .events = POLLIN},
    };
    for (;;) {
        char drained[64];
        if (poll(sources, 3, -1) < 0 && errno != EINTR)
            break;
        if (sources[2].revents & POLLIN)
            forward_events(event_pipe[0]);
        else if (sources[2].revents & POLLHUP)
            sources[2].fd = -1;
        if (sources[1].revents & POLLIN && read(child_signal_pipe[0], drained, sizeof drained) > 0)
            reap(event_pipe[0]);
        if (sources[0].revents & (POLLIN | POLLHUP | POLLERR) && !take_commands(event_pipe))
            break;
    }
    for (int i = 0; i < process_count; i++)
        if (processes[i].running)
            kill(processes[i].pid, SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    return 0;
}
