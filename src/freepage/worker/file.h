/* Files of the instance. */
#ifndef FREEPAGE_FILE_H
#define FREEPAGE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Reads at most `room` bytes of a file into `text`, which has room for one more. The number read, or minus errno: EFBIG
 * for a longer file, unless `offset`, where to read from, is not negative.
 */
ssize_t read_file(const char *path, char *text, size_t room, int64_t offset);

#endif
