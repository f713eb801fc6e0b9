/*
 * Lines to the host, on stdout: each is one JSON object that starts with its number, and the last of them are kept so
 * that they can be sent again. Lines of the processes go into one pipe that the controller forwards.
 */
#ifndef FREEPAGE_LINES_H
#define FREEPAGE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONGEST_LINE_BYTES 2097152
/* The most that one byte of text becomes inside a JSON string. */
#define ESCAPED_BYTES 6

/* Sends one line: `format` makes all of it but the brace and the number it starts with. */
__attribute__((format(printf, 1, 2))) void send_line(const char *format, ...);

/* A line made part by part: begin_line, any number of add and add_escaped, end_line. What does not fit is cut off. */
void begin_line(void);
__attribute__((format(printf, 1, 2))) void add(const char *format, ...);
void add_escaped(const char *text, size_t length);
void end_line(void);

/* The number of bytes that can still be added. */
size_t line_room(void);

/* Sends what was sent from line `from` on once more; false when it is no longer kept or was never sent. */
bool send_again(int64_t from);

/* A process writes one line, shorter than 1 KiB, into the controller's pipe; ends the process when that is gone. */
__attribute__((format(printf, 2, 3))) void write_event(int pipe, const char *format, ...);

/* From now on a host that neither reads nor writes has left. */
void expect_reader(void);

/* What ends the worker when nobody reads what it sends; _exit at first. */
extern void (*end_worker)(int status);

#endif
