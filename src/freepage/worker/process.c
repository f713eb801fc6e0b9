#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "lines.h"
#include "program.h"

/* The time of one barrier: the step with this index starts at `at_ns`. */
struct barrier {
    int64_t index, at_ns;
};

/* `barriers` is a pipe that carries the times of barriers from the controller, where there are any. */
struct process {
    struct step *steps;
    size_t count, room;
    pid_t pid;
    bool running, has_barriers;
    int barriers[2];
};

static struct process processes[MAX_PROCESSES];
static int process_count, running_count, failed_count;
static bool started;
static int events[2], ended[2];

/* ---- the schedule ---------------------------------------------------------------------------------------------- */

size_t count_steps(int process)
{
    return processes[process].count;
}

int count_processes(void)
{
    return process_count;
}

size_t count_all_steps(void)
{
    size_t count = 0;
    for (int i = 0; i < process_count; i++)
        count += processes[i].count;
    return count;
}

bool is_started(void)
{
    return started;
}

void append_step(int number, const struct step *step)
{
    struct process *process = &processes[number];
    if (process->count == process->room) {
        process->room = process->room ? 2 * process->room : 16;
        process->steps = realloc(process->steps, process->room * sizeof *step);
        if (!process->steps)
            end_processes(1);
    }
    process->steps[process->count++] = *step;
    process->has_barriers |= step->barrier;
    if (number >= process_count)
        process_count = number + 1;
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

/* Reports that the process waits at a barrier; the time it is told for it, which may come more than once. */
static int64_t wait_at_barrier(int number, size_t index)
{
    struct barrier told = {.index = -1};
    write_event(events[1], "{\"type\":\"waiting\",\"process\":%d,\"index\":%zu}", number, index);
    while (told.index != (int64_t)index) {
        ssize_t got = read(processes[number].barriers[0], &told, sizeof told);
        if (got != sizeof told && !(got < 0 && errno == EINTR))
            _exit(1);
    }
    return told.at_ns;
}

static _Noreturn void run_process(int number, int64_t zero_ns)
{
    const struct process *process = &processes[number];
    struct block block = {NULL, 0};
    for (size_t i = 0; i < process->count; i++) {
        const struct step *step = &process->steps[i];
        int64_t planned_ns = zero_ns + step->at_ns;
        sleep_until(planned_ns);
        if (step->barrier) {
            planned_ns = wait_at_barrier(number, i);
            sleep_until(planned_ns);
        }
        struct outcome done = do_step(&block, number, i, step);
        write_step_event(events[1], number, i, step, planned_ns, &done);
        if (i + 1 < process->count)
            hold(&block, step, zero_ns + process->steps[i + 1].at_ns);
    }
    _exit(0);
}

/* ---- starting -------------------------------------------------------------------------------------------------- */

static void note_ended_child(int number)
{
    int saved_errno = errno;
    (void)number;
    /* Where the pipe is full, the controller will look anyway. */
    ssize_t written = write(ended[1], "", 1);
    (void)written;
    errno = saved_errno;
}

bool open_processes(struct process_pipes *pipes)
{
    struct sigaction on_child = {.sa_handler = note_ended_child, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    if (!share_programs(MAX_PROCESSES) || pipe2(events, O_CLOEXEC) != 0 || pipe2(ended, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    *pipes = (struct process_pipes){.events = events[0], .ended = ended[0]};
    return sigaction(SIGCHLD, &on_child, NULL) == 0;
}

/* Forks one process, which keeps no end of `settled` open: closing it tells that it waits for its first step. */
static pid_t fork_process(int number, int64_t zero_ns, const int settled[2])
{
    pid_t controller = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    if (getppid() != controller)
        _exit(1);
    close(STDIN_FILENO);
    if (processes[number].has_barriers)
        close(processes[number].barriers[1]);
    close(events[0]);
    close(settled[0]);
    close(settled[1]);
    run_process(number, zero_ns);
}

static void report_process_ended(int number, int signal_number, const char *error)
{
    failed_count++;
    send_line("\"type\":\"process-ended\",\"process\":%d,\"signal\":%d,\"error\":\"%s\"}", number, signal_number,
              error);
}

static void start_process(int number, int64_t zero_ns, const int settled[2])
{
    struct process *process = &processes[number];
    if (!process->has_barriers || pipe2(process->barriers, O_CLOEXEC) == 0) {
        process->pid = fork_process(number, zero_ns, settled);
        process->running = process->pid > 0;
    }
    running_count += process->running;
    if (!process->running)
        report_process_ended(number, 0, strerror(errno));
    if (process->has_barriers && process->running)
        close(process->barriers[0]);
}

static void wait_until_closed(int fd)
{
    char byte;
    ssize_t got;
    while ((got = read(fd, &byte, 1)) > 0 || (got < 0 && errno == EINTR))
        ;
    close(fd);
}

int start_processes(int64_t zero_ns)
{
    int settled[2];
    if (pipe2(settled, O_CLOEXEC) != 0)
        return -1;
    started = true;
    for (int i = 0; i < process_count; i++)
        start_process(i, zero_ns, settled);
    close(events[1]);
    close(settled[1]);
    wait_until_closed(settled[0]);
    return running_count;
}

bool is_barrier(int64_t process, int64_t index)
{
    return started && process >= 0 && process < process_count && index >= 0 &&
           (size_t)index < processes[process].count && processes[process].steps[index].barrier;
}

bool open_barrier(int process, int64_t index, int64_t at_ns)
{
    struct barrier told = {.index = index, .at_ns = at_ns};
    if (!processes[process].running)
        return true;
    /* One that has just ended may not have been reaped yet. */
    return write(processes[process].barriers[1], &told, sizeof told) == sizeof told || errno == EPIPE;
}

/* ---- following and ending -------------------------------------------------------------------------------------- */

void forward_events(void)
{
    static char buffer[16384];
    static size_t length;
    ssize_t got = read(events[0], buffer + length, sizeof buffer - length);
    if (got <= 0)
        return;
    length += (size_t)got;
    const char *line = buffer, *end;
    while ((end = memchr(line, '\n', length - (size_t)(line - buffer)))) {
        send_line("%.*s", (int)(end - line - 1), line + 1);
        line = end + 1;
    }
    length -= (size_t)(line - buffer);
    memmove(buffer, line, length);
}

void report_if_done(void)
{
    if (started && running_count == 0)
        send_line("\"type\":\"done\",\"failed\":%d}", failed_count);
}

static void take_end(int number, int status)
{
    processes[number].running = false;
    kill_program(number);
    running_count--;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        report_process_ended(number, WIFSIGNALED(status) ? WTERMSIG(status) : 0, "ended before its schedule");
    report_if_done();
}

void reap_children(void)
{
    char drained[64];
    int status;
    pid_t pid;
    struct pollfd source = {.fd = events[0], .events = POLLIN};
    if (read(ended[0], drained, sizeof drained) <= 0)
        return;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        while (poll(&source, 1, 0) > 0 && (source.revents & POLLIN))
            forward_events();
        for (int i = 0; i < process_count; i++)
            if (processes[i].running && processes[i].pid == pid)
                take_end(i, status);
    }
}

/* Waits for our own processes only: as the init of a container we may have inherited some that go on for long. */
void end_processes(int status)
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
