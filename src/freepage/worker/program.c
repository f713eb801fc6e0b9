#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define WORK_FOLDER "/data"
#define LONGEST_POLL_MS 60000

/* The process group of the program that each process runs, or 0. */
static volatile pid_t *groups;

bool share_programs(int process_count)
{
    size_t bytes = (size_t)process_count * sizeof *groups;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    groups = memory;
    return memory != MAP_FAILED;
}

void kill_program(int process)
{
    if (groups[process] > 0)
        kill(-groups[process], SIGKILL);
    groups[process] = 0;
}

/* ---- the program's side ---------------------------------------------------------------------------------------- */

/* Where programs write, and where they start if there is no /data. */
static const char *output_folder(void)
{
    const char *chosen = getenv("FREEPAGE_OUTPUT");
    return chosen ? chosen : "/tmp";
}

/* Reports by errno why the program cannot start. */
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

static bool redirect_all(int process, size_t index)
{
    return put_at(open("/dev/null", O_RDONLY), STDIN_FILENO) && redirect(STDOUT_FILENO, process, index, "out") &&
           redirect(STDERR_FILENO, process, index, "err");
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
    groups[process] = getpid();
    signal(SIGPIPE, SIG_DFL);
    char **argv = split_arguments(step->argv);
    if (!argv || !redirect_all(process, index) || (chdir(WORK_FOLDER) != 0 && chdir(output_folder()) != 0))
        give_up(failure);
    environ = (char **)environment;
    execvp(argv[0], argv);
    give_up(failure);
}

/* ---- the process' side ----------------------------------------------------------------------------------------- */

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
    char *failure = done->failure;
    if (!in_time)
        snprintf(failure, sizeof done->failure, "did not end within %g s", (double)step->timeout_ns / NS_PER_S);
    else if (WIFSIGNALED(status))
        snprintf(failure, sizeof done->failure, "was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(failure, sizeof done->failure, "ended with status %d", WEXITSTATUS(status));
}

/* Waits for a program that was forked; `failure` says by errno that it could not start, or closes. */
static void await_end(struct outcome *done, pid_t program, int process, int failure, const struct step *step)
{
    int status = 0, error = 0;
    bool failed = read(failure, &error, sizeof error) == sizeof error;
    bool in_time = wait_for_program(program, done->start_ns + step->timeout_ns, &status);
    groups[process] = 0;
    done->error = failed ? error : 0;
    describe_end(done, status, in_time, step);
}

void run_program(struct outcome *done, int process, size_t index, const struct step *step)
{
    int failure[2];
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
    if (program > 0)
        await_end(done, program, process, failure[0], step);
    close(failure[0]);
}
