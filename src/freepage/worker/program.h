/* Programs that processes run: each in a process group of its own, whose end is waited for. */
#ifndef FREEPAGE_PROGRAM_H
#define FREEPAGE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "step.h"

/* Makes the table of programs that the controller and its processes share, one entry a process; false without memory. */
bool share_programs(int process_count);

/* Kills the program that a process runs, and all of its group. */
void kill_program(int process);

/* Runs a program to its end; its output goes to files that the host reads afterwards. */
void run_program(struct outcome *done, int process, size_t index, const struct step *step);

#endif
