/* One step of a process' schedule: what it asks for, its memory, what it cost, and the event that tells of it. */
#ifndef FREEPAGE_STEP_H
#define FREEPAGE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum action { ALLOCATE, FREE, RUN };
enum scan { ONCE, SEQUENTIAL, RANDOM };

/* `at_ns` is after the schedule's zero; `argv` has the arguments of a program, separated by newlines. */
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

/* What a process and the programs it ran have used. */
struct usage {
    int64_t user_ns, system_ns, read_bytes;
    long minor_faults, major_faults;
};

/* What one step did and cost; `bytes` is what was asked for, or what was really released. */
struct outcome {
    int64_t bytes, start_ns, end_ns;
    struct usage before, after;
    int error;
    char failure[80];
};

/* The one block a process holds; `address` is NULL while it holds none. */
struct block {
    char *address;
    int64_t bytes;
};

/* The words of the protocol for an action or a scan; false when `word` is NULL or none of them. */
bool read_action(const char *word, enum action *action);
bool read_scan(const char *word, enum scan *scan);

/* Both return 0 or errno; an allocation releases first what is held. */
int allocate(struct block *block, const struct step *step);
int release(struct block *block);

/* Touches the block as the step's scan says until `until_ns`; returns at once where it is to be left alone. */
void hold(const struct block *block, const struct step *step, int64_t until_ns);

struct usage read_usage(void);

void write_step_event(int pipe, int process, size_t index, const struct step *step, int64_t planned_ns,
                      const struct outcome *done);

#endif
