/* What the parts of a guest's init share. */
#ifndef FREEPAGE_INIT_H
#define FREEPAGE_INIT_H

#include <stdbool.h>
#include <stddef.h>

/* Prints what failed, with errno's word for it, and powers off. */
_Noreturn void fail(const char *what, const char *which);

/* Copies what follows `key=` on the kernel's command line; false when it is not there. */
bool find_argument(const char *key, char *value, size_t size);

/* Whether the kernel's command line has `key=1`. */
bool is_asked_for(const char *key);

/* Mounts a file system without a device. */
void mount_at(const char *type, const char *target);

#endif
