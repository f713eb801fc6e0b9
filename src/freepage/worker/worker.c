/*
 * The worker: allocates, touches, holds and frees memory inside an instance, at times fixed beforehand.
 *
 * One controller process reads commands (one flat JSON object a line) from stdin and writes replies and events to
 * stdout; docs/worker-protocol.md describes both. Each process of the schedule is one forked child, which writes its
 * events into one pipe that the controller forwards, so that lines never mix. Times are CLOCK_MONOTONIC nanoseconds.
 * What the controller said last is kept, and said again to whoever lost it.
 *
 * "worker sample ..." prints the kernel's counters of a node instead.
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PROTOCOL_VERSION 2
#define LINE_BYTES 65536
#define FILE_BYTES 262144
#define KEPT_BYTES 262144
#define KEPT_LINE_BYTES 65536
#define NODE_FILE_BYTES 1048576
#define MAX_NODE_FILES 32
#define SAID_BYTES 2097152
#define WRITE_BYTES 4096
#define MAX_PROCESSES 1024
#define MAX_FIELDS 16
#define MAX_ORDER 32
#define LARGEST (INT64_MAX / 4)
#define LEAVE_MS 5000
#define LONGEST_POLL_MS 60000
#define WORK_FOLDER "/data"
#define NS_PER_S 1000000000LL

enum action { ALLOCATE, FREE, RUN };
enum scan { ONCE, SEQUENTIAL, RANDOM };

struct step {
    int64_t at_ns;
    enum action action;
    enum scan scan;
    int64_t bytes;
    int64_t stride;
    int64_t iteration;
    uint64_t seed;
    bool barrier;
    char *argv;
    int64_t timeout_ns;
};

/* The common time of one barrier: the step with this index starts at `at_ns`. */
struct meeting {
    int64_t index, at_ns;
};

/* `go` is a pipe that carries meetings from the controller, if there are any barriers. */
struct process {
    struct step *steps;
    size_t count, room;
    pid_t pid;
    bool running, meets;
    int go[2];
};

static struct process processes[MAX_PROCESSES];
static int process_count;
static int running_count;
static int failed_count;
static bool started;
static int started_count;
static char start_id[32];
static bool spoken_to;

/* The process group of the program that each process runs, or 0; shared with the processes and their programs. */
static volatile pid_t *programs;

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

static void kill_program(int process)
{
    if (programs[process] > 0)
        kill(-programs[process], SIGKILL);
    programs[process] = 0;
}

/* Waits for our own processes only: as the init of a container we may have inherited some that go on for long. */
static _Noreturn void finish(int status)
{
    for (int i = 0; i < process_count; i++)
        if (processes[i].running)
            kill(processes[i].pid, SIGKILL);
    for (int i = 0; i < process_count; i++) {
        while (processes[i].running && waitpid(processes[i].pid, NULL, 0) < 0 && errno == EINTR)
            ;
        kill_program(i);
    }
    _exit(status);
}

static bool has_room(int timeout_ms)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, timeout_ms) > 0 && (out.revents & (POLLOUT | POLLERR | POLLNVAL));
}

/*
 * Waits until stdout takes bytes. Whoever closed our stdin and does not read either has left, and the worker ends;
 * but a host that never spoke may only not have opened its side of the virtio port yet.
 */
static void wait_for_room(void)
{
    const struct timespec pause_10_ms = {.tv_nsec = 10000000};
    int left_ms = LEAVE_MS;
    while (!has_room(0)) {
        struct pollfd ends[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT}, {.fd = STDIN_FILENO, .events = POLLRDHUP}};
        if (poll(ends, 2, -1) <= 0 || !(ends[0].revents & POLLHUP || ends[1].revents))
            continue;
        nanosleep(&pause_10_ms, NULL);
        if (spoken_to && (left_ms -= 10) <= 0)
            finish(0);
    }
}

/*
 * Writes all of it. To stdout it goes in pieces that a pipe with any room takes without blocking, so that the end of
 * stdin is seen while nobody reads; a reader that is gone ends the process.
 */
static void write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        if (fd == STDOUT_FILENO)
            wait_for_room();
        ssize_t written = write(fd, text, length < WRITE_BYTES ? length : WRITE_BYTES);
        if (written >= 0) {
            text += written;
            length -= (size_t)written;
        } else if (errno != EAGAIN && errno != EINTR && fd == STDOUT_FILENO) {
            finish(1);
        } else if (errno != EAGAIN && errno != EINTR) {
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

/* ---- what the controller says: numbered lines, the last of which are kept ---------------------------------------- */

/* A ring of whole lines; `at` is where the oldest of them starts. */
static struct {
    char bytes[KEPT_BYTES];
    size_t at, length;
    int64_t forgotten;
} kept;

static char saying[SAID_BYTES];
static int64_t said_count;

static void forget_first(void)
{
    char last;
    do {
        last = kept.bytes[kept.at];
        kept.at = (kept.at + 1) % KEPT_BYTES;
        kept.length--;
    } while (last != '\n');
    kept.forgotten++;
}

static void keep(const char *line, size_t length)
{
    while (kept.length + length > KEPT_BYTES)
        forget_first();
    for (size_t i = 0; i < length; i++)
        kept.bytes[(kept.at + kept.length++) % KEPT_BYTES] = line[i];
}

/* Writes what is kept of the lines from number `from` on. */
static void write_kept(int64_t from)
{
    size_t skipped = 0;
    for (int64_t number = kept.forgotten + 1; number < from; skipped++)
        number += kept.bytes[(kept.at + skipped) % KEPT_BYTES] == '\n';
    size_t start = (kept.at + skipped) % KEPT_BYTES, length = kept.length - skipped;
    size_t straight = length < KEPT_BYTES - start ? length : KEPT_BYTES - start;
    write_all(STDOUT_FILENO, kept.bytes + start, straight);
    write_all(STDOUT_FILENO, kept.bytes, length - straight);
}

/* Of a line too long to be kept, only its number is: whoever lost it asks its question once more. */
static void keep_number(void)
{
    char line[64];
    keep(line, (size_t)sprintf(line, "{\"n\":%" PRId64 ",\"type\":\"forgotten\"}\n", said_count));
}

/* Starts a line with its number; where its rest goes in `saying`. */
static size_t begin_line(void)
{
    return (size_t)sprintf(saying, "{\"n\":%" PRId64 ",", ++said_count);
}

static void end_line(size_t length)
{
    saying[length++] = '\n';
    if (length <= KEPT_LINE_BYTES)
        keep(saying, length);
    else
        keep_number();
    write_all(STDOUT_FILENO, saying, length);
}

/* Says one line: `format` gives all of it but the brace and the number it starts with. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    size_t at = begin_line();
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(saying + at, sizeof saying - at - 1, format, arguments);
    va_end(arguments);
    end_line(at + (size_t)length);
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

/* ---- reading commands: one flat JSON object a line ------------------------------------------------------------- */

enum kind { TEXT, NUMBER, OTHER };

struct field {
    const char *key, *text;
    size_t length;
    int64_t number;
    enum kind kind;
};

/* One line taken apart; `id` is what its reply starts with: empty, or the id and a comma. */
struct command {
    struct field fields[MAX_FIELDS];
    int count;
    char id[32];
};

static char *skip_space(char *at)
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

static char *read_code_unit(char *at, uint32_t *unit)
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

static char *read_code_point(char *at, uint32_t *point)
{
    uint32_t low;
    if (!(at = read_code_unit(at, point)) || (*point & 0xf800) != 0xd800)
        return at;
    if (*point >= 0xdc00 || at[0] != '\\' || at[1] != 'u' || !(at = read_code_unit(at + 2, &low)))
        return NULL;
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return low >= 0xdc00 && low < 0xe000 ? at : NULL;
}

static char *read_escape(char *at, char **out)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *found = *at ? strchr(plain, *at) : NULL;
    uint32_t point;
    if (found) {
        *(*out)++ = meaning[found - plain];
        return at + 1;
    }
    if (*at != 'u' || !(at = read_code_point(at + 1, &point)))
        return NULL;
    *out = put_utf8(*out, point);
    return at;
}

/* Reads a string whose opening quote is at `at` into its own place: the value is never longer than its source. */
static char *read_string(char *at, const char **text, size_t *length)
{
    char *out = at + 1;
    if (*at++ != '"')
        return NULL;
    *text = out;
    while (*at && *at != '"') {
        if (*at != '\\')
            *out++ = *at++;
        else if (!(at = read_escape(at + 1, &out)))
            return NULL;
    }
    if (*at != '"')
        return NULL;
    *length = (size_t)(out - *text);
    *out = '\0';
    return at + 1;
}

static char *read_value(char *at, struct field *field)
{
    char *end, *number_end;
    if (*at == '"') {
        field->kind = TEXT;
        return read_string(at, &field->text, &field->length);
    }
    end = at + strcspn(at, ",} \t\r");
    if (end == at || *at == '[' || *at == '{')
        return NULL;
    errno = 0;
    field->number = strtoll(at, &number_end, 10);
    field->kind = number_end == end && !errno ? NUMBER : OTHER;
    return end;
}

static char *read_field(char *at, struct field *field)
{
    size_t length;
    if (!(at = read_string(skip_space(at), &field->key, &length)) || *(at = skip_space(at)) != ':')
        return NULL;
    return (at = read_value(skip_space(at + 1), field)) ? skip_space(at) : NULL;
}

/* Takes a line apart in its own place; false when it is not one whole flat object. */
static bool parse_command(char *line, const char *end, struct command *command)
{
    char *at = skip_space(line);
    command->count = 0;
    if (*at++ != '{')
        return false;
    if (*(at = skip_space(at)) != '}')
        do {
            if (command->count == MAX_FIELDS || !(at = read_field(at, &command->fields[command->count++])))
                return false;
        } while (*at == ',' && at++);
    return *at == '}' && skip_space(at + 1) == end;
}

static const struct field *find_field(const struct command *command, const char *key)
{
    for (int i = 0; i < command->count; i++)
        if (strcmp(command->fields[i].key, key) == 0)
            return &command->fields[i];
    return NULL;
}

/* Replaces what is in `number` if the key is there; false when its value is no integer or out of range. */
static bool find_number(const struct command *command, const char *key, int64_t *number)
{
    const struct field *field = find_field(command, key);
    if (!field)
        return true;
    *number = field->number;
    return field->kind == NUMBER && field->number >= 0 && field->number < LARGEST;
}

/* Finds a text; NULL when it is not there or is no text. */
static const struct field *find_text(const struct command *command, const char *key)
{
    const struct field *field = find_field(command, key);
    return field && field->kind == TEXT ? field : NULL;
}

/* Finds a text without a NUL inside, as paths and words are. */
static const char *find_word(const struct command *command, const char *key)
{
    const struct field *field = find_text(command, key);
    return field && strlen(field->text) == field->length ? field->text : NULL;
}

static void complain(const struct command *command, const char *what)
{
    say("\"type\":\"error\",%s\"message\":\"%s\"}", command ? command->id : "", what);
}

/* ---- one process of the schedule ------------------------------------------------------------------------------- */

/* The order in which held memory is touched again: pages are `stride` bytes apart, `page` is the last one touched. */
struct walk {
    enum scan scan;
    int64_t pages, page;
    uint64_t state;
};

static struct walk start_walk(enum scan scan, int64_t pages, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    return (struct walk){.scan = scan, .pages = pages, .page = -1, .state = state ? state : 1};
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static int64_t next_page(struct walk *walk)
{
    walk->page = walk->scan == RANDOM ? (int64_t)(next_random(&walk->state) % (uint64_t)walk->pages)
                                      : (walk->page + 1) % walk->pages;
    return walk->page;
}

static void touch_all(volatile char *block, int64_t bytes, int64_t stride)
{
    for (int64_t at = 0; at < bytes; at += stride)
        block[at] = 1;
}

/* Touches again and again until `until_ns`, looking at the clock every few hundred pages (far less than 1 ms). */
static void hold(volatile char *block, const struct step *step, int64_t until_ns)
{
    struct walk walk = start_walk(step->scan, (step->bytes + step->stride - 1) / step->stride, step->seed);
    if (!block || step->scan == ONCE)
        return;
    while (clock_ns() < until_ns)
        for (int i = 0; i < 256; i++)
            block[next_page(&walk) * step->stride] = 1;
}

static int64_t timeval_ns(struct timeval value)
{
    return value.tv_sec * NS_PER_S + value.tv_usec * 1000LL;
}

struct usage {
    int64_t user_ns, system_ns, read_bytes;
    long minor_faults, major_faults;
};

/* What this process has used, and the programs it ran. */
static struct usage read_usage(void)
{
    struct rusage own, programs;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &programs);
    return (struct usage){
        .user_ns = timeval_ns(own.ru_utime) + timeval_ns(programs.ru_utime),
        .system_ns = timeval_ns(own.ru_stime) + timeval_ns(programs.ru_stime),
        .read_bytes = 512LL * (own.ru_inblock + programs.ru_inblock),
        .minor_faults = own.ru_minflt + programs.ru_minflt,
        .major_faults = own.ru_majflt + programs.ru_majflt,
    };
}

/* What one step did and cost; `bytes` is what was asked for, or what was really released. */
struct outcome {
    int64_t bytes, start_ns, end_ns;
    struct usage before, after;
    int error;
    char complaint[80];
};

static void write_event(int fd, int process, size_t index, const struct step *step, int64_t planned_ns,
                        const struct outcome *done)
{
    static const char *const actions[] = {[ALLOCATE] = "allocate", [FREE] = "free", [RUN] = "run"};
    char verdict[160] = "\"ok\":true";
    if (done->error)
        snprintf(verdict, sizeof verdict, "\"ok\":false,\"error\":\"%s\"", strerror(done->error));
    else if (done->complaint[0])
        snprintf(verdict, sizeof verdict, "\"ok\":false,\"error\":\"%s\"", done->complaint);
    write_line(fd,
               "{\"type\":\"step\",\"process\":%d,\"index\":%zu,\"iteration\":%" PRId64 ",\"action\":\"%s\","
               "\"bytes\":%" PRId64 ",\"planned_ns\":%" PRId64 ",\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64 ","
               "\"user_ns\":%" PRId64 ",\"system_ns\":%" PRId64 ",\"read_bytes\":%" PRId64 ","
               "\"minor_faults\":%ld,\"major_faults\":%ld,%s}",
               process, index, step->iteration, actions[step->action], done->bytes, planned_ns, done->start_ns,
               done->end_ns, done->after.user_ns - done->before.user_ns, done->after.system_ns - done->before.system_ns,
               done->after.read_bytes - done->before.read_bytes, done->after.minor_faults - done->before.minor_faults,
               done->after.major_faults - done->before.major_faults, verdict);
}

/* The one block a process holds; `address` is NULL while it holds none. */
struct block {
    char *address;
    int64_t bytes;
};

static int release(struct block *block)
{
    char *address = block->address;
    block->address = NULL;
    return address && munmap(address, (size_t)block->bytes) != 0 ? errno : 0;
}

static int allocate(struct block *block, const struct step *step)
{
    int error = release(block);
    void *memory = mmap(NULL, (size_t)step->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return errno;
    *block = (struct block){memory, step->bytes};
    touch_all(block->address, step->bytes, step->stride);
    return error;
}

/* ---- programs -------------------------------------------------------------------------------------------------- */

/* Where programs write, and where they start if there is no /data. */
static const char *output_folder(void)
{
    const char *chosen = getenv("FREEPAGE_OUTPUT");
    return chosen ? chosen : "/tmp";
}

/* Tells the process why its program cannot start, by errno. */
static _Noreturn void give_up(int failure)
{
    int error = errno;
    _exit(write(failure, &error, sizeof error) == sizeof error ? 127 : 126);
}

static bool put_at(int fd, int to)
{
    return fd == to || (fd >= 0 && dup2(fd, to) == to && close(fd) == 0);
}

static bool redirect(int to, int process, size_t index, const char *ending)
{
    char path[512];
    snprintf(path, sizeof path, "%.400s/run-%d-%zu.%s", output_folder(), process, index, ending);
    return put_at(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), to);
}

/* Takes the arguments apart in their own place; NULL when there is no memory. */
static char **split_arguments(char *text)
{
    size_t count = 1, at = 0;
    for (const char *c = text; *c; c++)
        count += *c == '\n';
    char **argv = calloc(count + 1, sizeof *argv);
    while (argv && text)
        argv[at++] = strsep(&text, "\n");
    return argv;
}

/* Becomes the program in a group of its own; `failure` takes errno where that cannot be. */
static _Noreturn void become_program(int process, size_t index, const struct step *step, pid_t parent, int failure)
{
    static char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/tmp", NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126);
    setpgid(0, 0);
    programs[process] = getpid();
    signal(SIGPIPE, SIG_DFL);
    char **argv = split_arguments(step->argv);
    if (!argv || !put_at(open("/dev/null", O_RDONLY), STDIN_FILENO) ||
        !redirect(STDOUT_FILENO, process, index, "out") || !redirect(STDERR_FILENO, process, index, "err") ||
        (chdir(WORK_FOLDER) != 0 && chdir(output_folder()) != 0))
        give_up(failure);
    environ = (char **)environment;
    execvp(argv[0], argv);
    give_up(failure);
}

/* Sleeps until a program ends or `until_ns`, where the kernel can tell (Linux 5.3), else for a moment. */
static void await_program(pid_t program, int64_t until_ns)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, program, 0), .events = POLLIN};
    int64_t left_ns = until_ns - clock_ns();
    if (ended.fd < 0) {
        nanosleep(&moment, NULL);
        return;
    }
    int64_t left_ms = left_ns > 0 ? left_ns / 1000000 + 1 : 0;
    poll(&ended, 1, left_ms < LONGEST_POLL_MS ? (int)left_ms : LONGEST_POLL_MS);
    close(ended.fd);
}

/* Waits for a program's end and kills what is left of its group; false when it takes longer than it may. */
static bool wait_for_program(pid_t program, int64_t until_ns, int *status)
{
    bool in_time = true;
    for (;;) {
        pid_t ended = waitpid(program, status, in_time ? WNOHANG : 0);
        if (ended == program || (ended < 0 && errno != EINTR))
            break;
        if (clock_ns() < until_ns) {
            await_program(program, until_ns);
        } else {
            kill(-program, SIGKILL);
            in_time = false;
        }
    }
    kill(-program, SIGKILL);
    return in_time;
}

static void describe_end(struct outcome *done, int status, bool in_time, const struct step *step)
{
    if (!in_time)
        snprintf(done->complaint, sizeof done->complaint, "did not end within %g s",
                 (double)step->timeout_ns / NS_PER_S);
    else if (WIFSIGNALED(status))
        snprintf(done->complaint, sizeof done->complaint, "was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(done->complaint, sizeof done->complaint, "ended with status %d", WEXITSTATUS(status));
}

/* Runs a program to its end; its output goes to files that the host reads afterwards. */
static void run_program(struct outcome *done, int process, size_t index, const struct step *step)
{
    int failure[2], status = 0, error = 0;
    if (pipe2(failure, O_CLOEXEC) != 0) {
        done->error = errno;
        return;
    }
    pid_t parent = getpid(), program = fork();
    if (program == 0)
        become_program(process, index, step, parent, failure[1]);
    if (program < 0)
        done->error = errno;
    close(failure[1]);
    if (program > 0) {
        bool failed = read(failure[0], &error, sizeof error) == sizeof error;
        bool in_time = wait_for_program(program, done->start_ns + step->timeout_ns, &status);
        programs[process] = 0;
        done->error = failed ? error : 0;
        describe_end(done, status, in_time, step);
    }
    close(failure[0]);
}

/* ---- one process goes through its steps ------------------------------------------------------------------------ */

static struct outcome do_step(struct block *block, int process, size_t index, const struct step *step)
{
    struct outcome done = {.bytes = step->bytes};
    if (step->action == FREE)
        done.bytes = block->address ? block->bytes : 0;
    done.before = read_usage();
    done.start_ns = clock_ns();
    if (step->action == RUN)
        run_program(&done, process, index, step);
    else
        done.error = step->action == ALLOCATE ? allocate(block, step) : release(block);
    done.end_ns = clock_ns();
    done.after = read_usage();
    return done;
}

/* Says that the process has come to a barrier, and gives the common time it is told; it may be told more than once. */
static int64_t meet(int number, size_t index, int events)
{
    struct meeting told = {.index = -1};
    write_line(events, "{\"type\":\"waiting\",\"process\":%d,\"index\":%zu}", number, index);
    while (told.index != (int64_t)index)
        if (read(processes[number].go[0], &told, sizeof told) != sizeof told && errno != EINTR)
            _exit(1);
    return told.at_ns;
}

static _Noreturn void run_process(int number, int64_t zero_ns, int events)
{
    const struct process *process = &processes[number];
    struct block block = {NULL, 0};
    for (size_t i = 0; i < process->count; i++) {
        const struct step *step = &process->steps[i];
        int64_t planned_ns = zero_ns + step->at_ns;
        sleep_until(planned_ns);
        if (step->barrier) {
            planned_ns = meet(number, i, events);
            sleep_until(planned_ns);
        }
        struct outcome done = do_step(&block, number, i, step);
        write_event(events, number, i, step, planned_ns, &done);
        if (i + 1 < process->count)
            hold(block.address, step, zero_ns + process->steps[i + 1].at_ns);
    }
    _exit(0);
}

/* ---- the controller -------------------------------------------------------------------------------------------- */

static bool read_action(const char *word, enum action *action)
{
    static const char *const words[] = {[ALLOCATE] = "allocate", [FREE] = "free", [RUN] = "run"};
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            *action = (enum action)i;
            return true;
        }
    return false;
}

static bool read_scan(const struct command *command, enum scan *scan)
{
    const char *word = find_word(command, "scan");
    *scan = ONCE;
    if (!find_field(command, "scan"))
        return true;
    if (word && strcmp(word, "sequential") == 0)
        *scan = SEQUENTIAL;
    else if (word && strcmp(word, "random") == 0)
        *scan = RANDOM;
    return *scan != ONCE || (word && strcmp(word, "once") == 0);
}

static void append_step(struct process *process, const struct step *step)
{
    if (process->count == process->room) {
        process->room = process->room ? 2 * process->room : 16;
        process->steps = realloc(process->steps, process->room * sizeof *step);
        if (!process->steps)
            finish(1);
    }
    process->steps[process->count++] = *step;
}

/* Where a step belongs, beside what it is. */
struct place {
    int64_t process, index;
};

/* What is wrong with a step's numbers, if anything is. */
static const char *read_numbers(const struct command *command, struct place *place, struct step *step)
{
    int64_t seed = 0, barrier = 0;
    if (!find_number(command, "process", &place->process) || !find_number(command, "index", &place->index) ||
        !find_number(command, "at_ns", &step->at_ns) || !find_number(command, "bytes", &step->bytes) ||
        !find_number(command, "stride", &step->stride) || !find_number(command, "iteration", &step->iteration) ||
        !find_number(command, "seed", &seed) || !find_number(command, "barrier", &barrier) || place->process < 0 ||
        place->process >= MAX_PROCESSES || place->index < 0 || step->at_ns < 0 || step->bytes < 0 ||
        (step->bytes == 0 && step->action != RUN) || step->stride <= 0)
        return "step: process, index, at_ns, bytes, stride, iteration, seed or barrier is missing or out of range";
    step->seed = (uint64_t)seed;
    step->barrier = barrier != 0;
    return NULL;
}

static const char *read_step(const struct command *command, struct place *place, struct step *step)
{
    if (!read_action(find_word(command, "action"), &step->action) || !read_scan(command, &step->scan))
        return "step: action is allocate, free or run, scan is once, sequential or random";
    if (!find_number(command, "timeout_ns", &step->timeout_ns) ||
        (step->action == RUN && (!find_word(command, "argv") || step->timeout_ns <= 0)))
        return "step: argv or timeout_ns is missing or out of range";
    return read_numbers(command, place, step);
}

/* Appends a step; one that is there already is the repetition of a line that seemed lost. */
static void add_step(const struct command *command)
{
    struct place place = {.process = -1, .index = -1};
    struct step step = {.at_ns = -1, .bytes = -1, .stride = 4096};
    const char *complaint = read_step(command, &place, &step);
    struct process *process = &processes[complaint ? 0 : place.process];
    if (!complaint && (size_t)place.index < process->count)
        return;
    if (!complaint && started)
        complaint = "step: the schedule has already started";
    else if (!complaint && (size_t)place.index > process->count)
        complaint = "step: the step before it is missing";
    if (complaint) {
        complain(command, complaint);
        return;
    }
    if (step.action == RUN && !(step.argv = strdup(find_word(command, "argv"))))
        finish(1);
    append_step(process, &step);
    process->meets |= step.barrier;
    if (place.process >= process_count)
        process_count = (int)place.process + 1;
}

static void confirm_load(const struct command *command)
{
    size_t steps = 0;
    for (int i = 0; i < process_count; i++)
        steps += processes[i].count;
    say("\"type\":\"loaded\",%s\"processes\":%d,\"steps\":%zu}", command->id, process_count, steps);
}

/* Says in which order a held block's pages would be touched, so that another worker can be compared with this one. */
static void show_order(const struct command *command)
{
    char order[MAX_ORDER * 21];
    int64_t seed = 0, pages = 0, count = 0;
    enum scan scan;
    size_t at = 0;
    if (!find_number(command, "seed", &seed) || !find_number(command, "pages", &pages) || pages <= 0 ||
        !find_number(command, "count", &count) || count <= 0 || count > MAX_ORDER || !read_scan(command, &scan)) {
        complain(command, "order: scan, seed, pages or count is missing or out of range");
        return;
    }
    struct walk walk = start_walk(scan, pages, (uint64_t)seed);
    while (count-- > 0)
        at += (size_t)sprintf(order + at, "%s%" PRId64, at ? " " : "", next_page(&walk));
    say("\"type\":\"order\",%s\"pages\":\"%s\"}", command->id, order);
}

static void report_done_when_all_ended(void)
{
    if (started && running_count == 0)
        say("\"type\":\"done\",\"failed\":%d}", failed_count);
}

/* Forks one process; it says that it waits for its first step by closing its end of `settled`. */
static pid_t start_process(int number, int64_t zero_ns, const int events[2], const int settled[2])
{
    pid_t controller = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    if (getppid() != controller)
        _exit(1);
    close(STDIN_FILENO);
    if (processes[number].meets)
        close(processes[number].go[1]);
    close(events[0]);
    close(settled[0]);
    close(settled[1]);
    run_process(number, zero_ns, events[1]);
}

static void wait_until_closed(int fd)
{
    char byte;
    ssize_t got;
    while ((got = read(fd, &byte, 1)) > 0 || (got < 0 && errno == EINTR))
        ;
    close(fd);
}

static void report_process_ended(int number, int signal_number, const char *error)
{
    failed_count++;
    say("\"type\":\"process-ended\",\"process\":%d,\"signal\":%d,\"error\":\"%s\"}", number, signal_number, error);
}

static void confirm_start(void)
{
    say("\"type\":\"started\",%s\"processes\":%d}", start_id, started_count);
}

static void start_all(const struct command *command, int64_t zero_ns, int events[2])
{
    int settled[2];
    if (pipe2(settled, O_CLOEXEC) != 0) {
        complain(command, "start: cannot make a pipe");
        return;
    }
    started = true;
    for (int i = 0; i < process_count; i++) {
        if (!processes[i].meets || pipe2(processes[i].go, O_CLOEXEC) == 0) {
            processes[i].pid = start_process(i, zero_ns, events, settled);
            processes[i].running = processes[i].pid > 0;
        }
        running_count += processes[i].running;
        if (!processes[i].running)
            report_process_ended(i, 0, strerror(errno));
        if (processes[i].meets && processes[i].running)
            close(processes[i].go[0]);
    }
    close(events[1]);
    close(settled[1]);
    wait_until_closed(settled[0]);
    started_count = running_count;
    snprintf(start_id, sizeof start_id, "%s", command->id);
    confirm_start();
    report_done_when_all_ended();
}

/* Starts the schedule, once; the same command again is answered again. */
static void start(const struct command *command, int events[2])
{
    int64_t zero_ns = -1;
    if (started && command->id[0] && strcmp(command->id, start_id) == 0)
        confirm_start();
    else if (started || !find_number(command, "zero_ns", &zero_ns) || zero_ns < 0)
        complain(command, "start: zero_ns is missing or out of range, or the schedule has already started");
    else
        start_all(command, zero_ns, events);
}

static bool is_barrier(int64_t number, int64_t index)
{
    return started && number >= 0 && number < process_count && index >= 0 &&
           (size_t)index < processes[number].count && processes[number].steps[index].barrier;
}

/* Hands a common time to a process that waits at a barrier, unless it has ended. */
static void go(const struct command *command)
{
    struct meeting told = {.index = -1, .at_ns = -1};
    int64_t number = -1;
    if (!find_number(command, "process", &number) || !find_number(command, "index", &told.index) ||
        !find_number(command, "at_ns", &told.at_ns) || told.at_ns < 0 || !is_barrier(number, told.index))
        complain(command, "go: process, index or at_ns is missing or out of range, or the step has no barrier");
    else if (processes[number].running && write(processes[number].go[1], &told, sizeof told) != sizeof told)
        complain(command, "go: the process cannot be told");
    else
        say("\"type\":\"going\",%s\"process\":%" PRId64 ",\"index\":%" PRId64 "}", command->id, number, told.index);
}

/* Says again what was said from line `from` on, and that this was all. */
static void repeat(const struct command *command)
{
    int64_t from = 0;
    if (!find_number(command, "from", &from) || from <= kept.forgotten || from > said_count + 1) {
        complain(command, "again: the line it starts from is no longer kept, or has never been said");
        return;
    }
    write_kept(from);
    say("\"type\":\"said\",%s\"from\":%" PRId64 "}", command->id, from);
}

/* Reads at most `room` bytes; the number read, or minus errno (EFBIG for a longer file, unless `offset` >= 0). */
static ssize_t read_file(const char *path, char *text, size_t room, int64_t offset)
{
    size_t length = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (offset >= 0 && lseek(fd, offset, SEEK_SET) < 0) {
        got = -errno;
        close(fd);
        return got;
    }
    while (length <= room && ((got = read(fd, text + length, room + 1 - length)) > 0 || (got < 0 && errno == EINTR)))
        length += got > 0 ? (size_t)got : 0;
    if (length > room && offset >= 0)
        length = room;
    else if (length > room)
        got = -EFBIG;
    else if (got < 0)
        got = -errno;
    close(fd);
    return got < 0 ? got : (ssize_t)length;
}

static void send_file(const struct command *command)
{
    static char text[FILE_BYTES + 1];
    const char *path = find_word(command, "path");
    int64_t offset = -1, bytes = FILE_BYTES;
    if (!path || !find_number(command, "offset", &offset) || !find_number(command, "bytes", &bytes) ||
        bytes > FILE_BYTES) {
        complain(command, "read: path is missing, or offset or bytes is out of range");
        return;
    }
    ssize_t length = read_file(path, text, (size_t)bytes, offset);
    if (length < 0) {
        say("\"type\":\"text\",%s\"errno\":%d}", command->id, (int)-length);
        return;
    }
    size_t at = begin_line();
    at += (size_t)sprintf(saying + at, "\"type\":\"text\",%s\"text\":\"", command->id);
    at += escape(saying + at, text, (size_t)length);
    end_line(at + (size_t)sprintf(saying + at, "\"}"));
}

/* Writes a file that exists, in one write as the kernel's own files want it; 0 or errno. */
static int write_file(const char *path, const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    ssize_t written = write(fd, text, length);
    int error = written < 0 ? errno : (size_t)written < length ? EIO : 0;
    return close(fd) != 0 && !error ? errno : error;
}

static void take_file(const struct command *command)
{
    const char *path = find_word(command, "path");
    const struct field *text = find_text(command, "text");
    if (!path || !text) {
        complain(command, "write: path or text is missing");
        return;
    }
    say("\"type\":\"written\",%s\"errno\":%d}", command->id, write_file(path, text->text, text->length));
}

static void answer_ping(const struct command *command)
{
    say("\"type\":\"pong\",%s\"clock_ns\":%" PRId64 "}", command->id, clock_ns());
}

static bool read_id(struct command *command)
{
    int64_t id = 0;
    bool there = find_field(command, "id") != NULL, valid = find_number(command, "id", &id);
    command->id[0] = '\0';
    if (there && valid)
        snprintf(command->id, sizeof command->id, "\"id\":%" PRId64 ",", id);
    return valid;
}

/* Does what one line says; false when it says to quit. */
static bool obey(char *line, const char *end, int events[2])
{
    struct command command = {.count = 0};
    const char *op;
    if (!parse_command(line, end, &command) || !read_id(&command) || !(op = find_word(&command, "op")))
        complain(NULL, "a line is not a flat JSON object with an op and a numeric id");
    else if (strcmp(op, "ping") == 0)
        answer_ping(&command);
    else if (strcmp(op, "step") == 0)
        add_step(&command);
    else if (strcmp(op, "loaded") == 0)
        confirm_load(&command);
    else if (strcmp(op, "order") == 0)
        show_order(&command);
    else if (strcmp(op, "start") == 0)
        start(&command, events);
    else if (strcmp(op, "go") == 0)
        go(&command);
    else if (strcmp(op, "again") == 0)
        repeat(&command);
    else if (strcmp(op, "read") == 0)
        send_file(&command);
    else if (strcmp(op, "write") == 0)
        take_file(&command);
    else if (strcmp(op, "quit") == 0)
        return false;
    else
        complain(&command, "unknown op");
    return true;
}

/* Takes what stdin has and obeys each whole line; false at its end or at quit. */
static bool take_commands(int events[2])
{
    static char buffer[LINE_BYTES];
    static size_t length;
    static bool skipping;
    ssize_t got = read(STDIN_FILENO, buffer + length, sizeof buffer - length);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    length += got > 0 ? (size_t)got : 0;
    spoken_to = true;
    char *line = buffer, *end;
    while ((end = memchr(line, '\n', length - (size_t)(line - buffer)))) {
        *end = '\0';
        if (!skipping && end > line && !obey(line, end, events))
            return false;
        skipping = false;
        line = end + 1;
    }
    length -= (size_t)(line - buffer);
    memmove(buffer, line, length);
    if (length == sizeof buffer) {
        if (!skipping)
            complain(NULL, "a line is longer than 64 KiB");
        skipping = true;
        length = 0;
    }
    return true;
}

/* Says every whole line that processes have written, so that what the controller itself says never lands inside one. */
static void forward_events(int fd)
{
    static char buffer[16384];
    static size_t length;
    ssize_t got = read(fd, buffer + length, sizeof buffer - length);
    if (got <= 0)
        return;
    length += (size_t)got;
    const char *line = buffer, *end;
    while ((end = memchr(line, '\n', length - (size_t)(line - buffer)))) {
        say("%.*s", (int)(end - line - 1), line + 1);
        line = end + 1;
    }
    length -= (size_t)(line - buffer);
    memmove(buffer, line, length);
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
            kill_program(i);
            running_count--;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                report_process_ended(i, WIFSIGNALED(status) ? WTERMSIG(status) : 0, "ended before its schedule");
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

/* Pipes and files would take the place of a stream that is not there; only stderr can be done without. */
static bool has_streams(void)
{
    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        return false;
    return fcntl(STDERR_FILENO, F_GETFD) >= 0 || open("/dev/null", O_WRONLY) == STDERR_FILENO;
}

static bool share_programs(void)
{
    size_t bytes = MAX_PROCESSES * sizeof *programs;
    programs = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return programs != MAP_FAILED;
}

static void greet(void)
{
    int64_t page = sysconf(_SC_PAGESIZE);
    say("\"type\":\"ready\",\"version\":%d,\"pid\":%d,\"clock_ns\":%" PRId64 ",\"page_bytes\":%" PRId64
        ",\"cpus\":%ld,\"memory_bytes\":%" PRId64 "}",
        PROTOCOL_VERSION, (int)getpid(), clock_ns(), page, sysconf(_SC_NPROCESSORS_ONLN),
        page * (int64_t)sysconf(_SC_PHYS_PAGES));
}

/* A serial console echoes, edits and translates until it is told not to; what it got before that is not for us. */
static void make_raw(int fd)
{
    struct termios settings;
    if (tcgetattr(fd, &settings) != 0)
        return;
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSAFLUSH, &settings);
}

/* The first process of a container does not end by SIGTERM unless it says so. */
static _Noreturn void leave(int number)
{
    (void)number;
    finish(0);
}

/* ---- samples of a node ------------------------------------------------------------------------------------------- */

/* A file to read at every tick, and what the lines to keep of it start with; all are kept without `prefixes`. */
struct node_file {
    const char *path;
    char *prefixes;
};

/* Takes "FILE:PREFIX,PREFIX" apart in its own place. */
static struct node_file read_node_argument(char *argument)
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
    size_t kept_bytes = 0;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (starts_with_one_of(line, prefixes)) {
            memmove(text + kept_bytes, line, (size_t)(next - line));
            kept_bytes += (size_t)(next - line);
        }
    }
    return kept_bytes;
}

/* Appends what a file holds now as JSON: its text, or null where it cannot be read or there is no room for it. */
static size_t append_node_file(size_t at, const struct node_file *file)
{
    static char text[NODE_FILE_BYTES + 1];
    ssize_t length = read_file(file->path, text, NODE_FILE_BYTES, -1);
    if (length >= 0) {
        text[length] = '\0';
        length = file->prefixes ? (ssize_t)pick_lines(text, file->prefixes) : length;
    }
    at += (size_t)sprintf(saying + at, "\"");
    at += escape(saying + at, file->path, strlen(file->path));
    at += (size_t)sprintf(saying + at, "\":");
    if (length < 0 || at + 6 * (size_t)length + LINE_BYTES > sizeof saying)
        return at + (size_t)sprintf(saying + at, "null");
    at += (size_t)sprintf(saying + at, "\"");
    at += escape(saying + at, text, (size_t)length);
    return at + (size_t)sprintf(saying + at, "\"");
}

static void say_sample(const struct node_file *files, int count)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    size_t at = begin_line();
    at += (size_t)sprintf(saying + at, "\"type\":\"sample\",\"clock_ns\":%" PRId64 ",\"wall_ns\":%lld,", clock_ns(),
                          wall.tv_sec * NS_PER_S + wall.tv_nsec);
    at += (size_t)sprintf(saying + at, "\"page_bytes\":%ld,\"files\":{", sysconf(_SC_PAGESIZE));
    for (int i = 0; i < count; i++) {
        at += (size_t)sprintf(saying + at, "%s", i ? "," : "");
        at = append_node_file(at, &files[i]);
    }
    end_line(at + (size_t)sprintf(saying + at, "}}"));
}

/* Says a sample at every tick of a fixed grid; ticks that were missed are left out. */
static _Noreturn void sample(int64_t interval_ns, const struct node_file *files, int count)
{
    for (int64_t tick_ns = clock_ns();;) {
        sleep_until(tick_ns);
        say_sample(files, count);
        tick_ns += ((clock_ns() - tick_ns) / interval_ns + 1) * interval_ns;
    }
}

static int run_sampler(int count, char **arguments)
{
    struct node_file files[MAX_NODE_FILES];
    long interval_ms = count > 0 ? strtol(arguments[0], NULL, 10) : 0;
    if (interval_ms <= 0 || count < 2 || count - 1 > MAX_NODE_FILES) {
        fprintf(stderr, "worker sample INTERVAL_MS FILE[:PREFIX,PREFIX...] ... (at most %d files)\n", MAX_NODE_FILES);
        return 2;
    }
    for (int i = 1; i < count; i++)
        files[i - 1] = read_node_argument(arguments[i]);
    sample(interval_ms * 1000000LL, files, count - 1);
}

/* ---- the worker itself ------------------------------------------------------------------------------------------- */

static int serve(void)
{
    int event_pipe[2];
    struct sigaction on_child = {.sa_handler = note_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    if (!share_programs() || pipe2(event_pipe, O_CLOEXEC) != 0 || pipe2(child_signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return 1;
    sigaction(SIGCHLD, &on_child, NULL);
    make_raw(STDIN_FILENO);
    greet();
    struct pollfd sources[3] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = child_signal_pipe[0], .events = POLLIN},
        {.fd = event_pipe[0], .events = POLLIN},
    };
    for (;;) {
        char drained[64];
        if (poll(sources, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            finish(1);
        }
        if (sources[2].revents & POLLIN)
            forward_events(event_pipe[0]);
        else if (sources[2].revents & POLLHUP)
            sources[2].fd = -1;
        if (sources[1].revents & POLLIN && read(child_signal_pipe[0], drained, sizeof drained) > 0)
            reap(event_pipe[0]);
        if (sources[0].revents && !take_commands(event_pipe))
            finish(0);
    }
}

int main(int count, char **arguments)
{
    if (!has_streams())
        return 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, leave);
    if (count > 1 && strcmp(arguments[1], "sample") == 0)
        return run_sampler(count - 2, arguments + 2);
    return serve();
}
