#define _GNU_SOURCE
#include "commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "file.h"
#include "json.h"
#include "lines.h"
#include "process.h"

#define FILE_BYTES 262144

/* What a file becomes in a line always fits, with room for what stands around it. */
_Static_assert(ESCAPED_BYTES * FILE_BYTES + 4096 < LONGEST_LINE_BYTES, "a file could be longer than a line");

/* `id` is what the reply to a command starts with: nothing, or the id and a comma. */
struct command {
    struct object object;
    char id[32];
};

static void refuse(const struct command *command, const char *reason)
{
    send_line("\"type\":\"error\",%s\"message\":\"%s\"}", command->id, reason);
}

void refuse_line(const char *reason)
{
    refuse(&(struct command){.id = ""}, reason);
}

/* ---- the schedule ---------------------------------------------------------------------------------------------- */

/* A step and where it belongs. */
struct told_step {
    int64_t process, index;
    struct step step;
};

/* What is wrong with a step's words, if anything is. */
static const char *read_words(const struct object *object, struct step *step)
{
    if (!read_action(find_word(object, "action"), &step->action) ||
        (find_field(object, "scan") && !read_scan(find_word(object, "scan"), &step->scan)))
        return "step: action is allocate, free or run, scan is once, sequential or random";
    if (!find_number(object, "timeout_ns", &step->timeout_ns) ||
        (step->action == RUN && (!find_word(object, "argv") || step->timeout_ns <= 0)))
        return "step: argv or timeout_ns is missing or out of range";
    return NULL;
}

static bool find_step_numbers(const struct object *object, struct told_step *told)
{
    int64_t seed = 0, barrier = 0;
    struct step *step = &told->step;
    bool found = find_number(object, "process", &told->process) && find_number(object, "index", &told->index) &&
                 find_number(object, "at_ns", &step->at_ns) && find_number(object, "bytes", &step->bytes) &&
                 find_number(object, "stride", &step->stride) && find_number(object, "iteration", &step->iteration) &&
                 find_number(object, "seed", &seed) && find_number(object, "barrier", &barrier);
    step->seed = (uint64_t)seed;
    step->barrier = barrier != 0;
    return found;
}

/* What is wrong with a step's numbers, if anything is. */
static const char *read_numbers(const struct object *object, struct told_step *told)
{
    const struct step *step = &told->step;
    if (!find_step_numbers(object, told) || told->process < 0 || told->process >= MAX_PROCESSES || told->index < 0 ||
        step->at_ns < 0 || step->bytes < 0 || (step->bytes == 0 && step->action != RUN) || step->stride <= 0)
        return "step: process, index, at_ns, bytes, stride, iteration, seed or barrier is missing or out of range";
    return NULL;
}

/* What is wrong with where a step belongs, if anything is. */
static const char *check_position(const struct told_step *told)
{
    if (is_started())
        return "step: the schedule has already started";
    if ((size_t)told->index > count_steps((int)told->process))
        return "step: the step before it is missing";
    return NULL;
}

/* Appends a step; one that is there already is the repetition of a line that seemed lost. */
static void add_step(const struct command *command)
{
    struct told_step told = {.process = -1, .index = -1, .step = {.at_ns = -1, .bytes = -1, .stride = 4096}};
    const char *reason = read_words(&command->object, &told.step);
    if (!reason)
        reason = read_numbers(&command->object, &told);
    if (!reason && (size_t)told.index < count_steps((int)told.process))
        return;
    if (!reason)
        reason = check_position(&told);
    if (reason) {
        refuse(command, reason);
        return;
    }
    if (told.step.action == RUN && !(told.step.argv = strdup(find_word(&command->object, "argv"))))
        end_processes(1);
    append_step((int)told.process, &told.step);
}

static void confirm_load(const struct command *command)
{
    send_line("\"type\":\"loaded\",%s\"processes\":%d,\"steps\":%zu}", command->id, count_processes(),
              count_all_steps());
}

/* Starts the schedule, once; the same command again is answered again. */
static void start(const struct command *command)
{
    static char start_id[sizeof command->id];
    static int started_count;
    int64_t zero_ns = -1;
    bool repeated = is_started() && command->id[0] && strcmp(command->id, start_id) == 0;
    if (!repeated && (is_started() || !find_number(&command->object, "zero_ns", &zero_ns) || zero_ns < 0)) {
        refuse(command, "start: zero_ns is missing or out of range, or the schedule has already started");
        return;
    }
    if (!repeated && (started_count = start_processes(zero_ns)) < 0) {
        refuse(command, "start: cannot make a pipe");
        return;
    }
    memcpy(start_id, command->id, sizeof start_id);
    send_line("\"type\":\"started\",%s\"processes\":%d}", start_id, started_count);
    if (!repeated)
        report_if_done();
}

/* Hands its time to a process that waits at a barrier, unless it has ended. */
static void go(const struct command *command)
{
    int64_t process = -1, index = -1, at_ns = -1;
    const struct object *object = &command->object;
    if (!find_number(object, "process", &process) || !find_number(object, "index", &index) ||
        !find_number(object, "at_ns", &at_ns) || at_ns < 0 || !is_barrier(process, index))
        refuse(command, "go: process, index or at_ns is missing or out of range, or the step has no barrier");
    else if (!open_barrier((int)process, index, at_ns))
        refuse(command, "go: the process cannot be told");
    else
        send_line("\"type\":\"going\",%s\"process\":%" PRId64 ",\"index\":%" PRId64 "}", command->id, process, index);
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

static void answer_ping(const struct command *command)
{
    send_line("\"type\":\"pong\",%s\"clock_ns\":%" PRId64 "}", command->id, clock_ns());
}

/* Sends once more what was sent from line `from` on, and then that this was all. */
static void repeat(const struct command *command)
{
    int64_t from = 0;
    if (!find_number(&command->object, "from", &from) || !send_again(from))
        refuse(command, "again: the line it starts from is no longer kept, or has never been said");
    else
        send_line("\"type\":\"said\",%s\"from\":%" PRId64 "}", command->id, from);
}

static void send_file(const struct command *command)
{
    static char text[FILE_BYTES + 1];
    const char *path = find_word(&command->object, "path");
    int64_t offset = -1, bytes = FILE_BYTES;
    if (!path || !find_number(&command->object, "offset", &offset) ||
        !find_number(&command->object, "bytes", &bytes) || bytes > FILE_BYTES) {
        refuse(command, "read: path is missing, or offset or bytes is out of range");
        return;
    }
    ssize_t length = read_file(path, text, (size_t)bytes, offset);
    if (length < 0) {
        send_line("\"type\":\"text\",%s\"errno\":%d}", command->id, (int)-length);
        return;
    }
    begin_line();
    add("\"type\":\"text\",%s\"text\":\"", command->id);
    add_escaped(text, (size_t)length);
    add("\"}");
    end_line();
}

static const struct {
    const char *op;
    void (*obey)(const struct command *command);
} commands[] = {
    {"ping", answer_ping}, {"step", add_step}, {"loaded", confirm_load}, {"start", start},
    {"go", go},            {"again", repeat},  {"read", send_file},
};

static bool read_id(struct command *command)
{
    int64_t id = 0;
    bool there = find_field(&command->object, "id") != NULL, valid = find_number(&command->object, "id", &id);
    command->id[0] = '\0';
    if (there && valid)
        snprintf(command->id, sizeof command->id, "\"id\":%" PRId64 ",", id);
    return valid;
}

static void obey_op(const struct command *command, const char *op)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(op, commands[i].op) == 0) {
            commands[i].obey(command);
            return;
        }
    refuse(command, "unknown op");
}

bool obey(char *line, const char *end)
{
    struct command command;
    const char *op;
    if (!parse_object(line, end, &command.object) || !read_id(&command) || !(op = find_word(&command.object, "op"))) {
        refuse_line("a line is not a flat JSON object with an op and a numeric id");
        return true;
    }
    if (strcmp(op, "quit") == 0)
        return false;
    obey_op(&command, op);
    return true;
}
