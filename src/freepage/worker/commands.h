/* What the host tells the worker: one command a line. */
#ifndef FREEPAGE_COMMANDS_H
#define FREEPAGE_COMMANDS_H

#include <stdbool.h>

/* Does what one line says, in its own place, with its NUL at `end`; false when it says to quit. */
bool obey(char *line, const char *end);

/* Reports what is wrong with a line that cannot be taken for a command. */
void refuse_line(const char *reason);

#endif
