/* The processes of the schedule: their steps, and one forked child for each, which does its steps at fixed times. */
#ifndef FREEPAGE_PROCESS_H
#define FREEPAGE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "step.h"

#define MAX_PROCESSES 1024

/* What the controller's poll() looks at: lines of the processes, and a byte for every child that has ended. */
struct process_pipes {
    int events, ended;
};

/* Makes what the processes need; false where that cannot be had. */
bool open_processes(struct process_pipes *pipes);

/* Ends every process and program, then the worker. A signal handler may call it. */
_Noreturn void end_processes(int status);

/* The schedule, before it is started; the processes that have steps are counted from 0 to the highest of them. */
size_t count_steps(int process);
int count_processes(void);
size_t count_all_steps(void);
void append_step(int process, const struct step *step);

bool is_started(void);

/* Starts the schedule, once; the number of processes that run and wait for their first step, -1 without a pipe. */
int start_processes(int64_t zero_ns);

/* Whether the schedule has started and this step of it has a barrier; any two numbers may be asked for. */
bool is_barrier(int64_t process, int64_t index);

/* Hands the time of a barrier to a process, unless it has ended; false when it cannot be written. */
bool open_barrier(int process, int64_t index, int64_t at_ns);

/* Sends every whole line that processes have written, so that no line of the controller lands inside of one. */
void forward_events(void);

/* Reaps the children that have ended, after their last events have been forwarded. */
void reap_children(void);

/* Sends that the schedule is done if it is. */
void report_if_done(void);

#endif
