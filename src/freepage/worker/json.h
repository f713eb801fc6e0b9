/* Flat JSON objects, one a line, and the inside of JSON strings. */
#ifndef FREEPAGE_JSON_H
#define FREEPAGE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_FIELDS 16
/* Numbers of commands are below this, so that the sum of two of them cannot overflow. */
#define LARGEST_NUMBER (INT64_MAX / 4)

/* TEXT has `text` and `length`, INTEGER has `number`; OTHER is a fraction, true, false, null or a number too large. */
enum kind { TEXT, INTEGER, OTHER };

struct field {
    const char *key, *text;
    size_t key_length, length;
    int64_t number;
    enum kind kind;
};

struct object {
    struct field fields[MAX_FIELDS];
    int count;
};

/*
 * Takes a line apart in its own place; false when it is not one whole flat object of at most MAX_FIELDS fields.
 * `end` is where the line's NUL stands. Strings are taken for UTF-8 unchecked; a surrogate must have its other half.
 */
bool parse_object(char *line, const char *end, struct object *object);

/* The field of this name, the last one if there are several; NULL when there is none. */
const struct field *find_field(const struct object *object, const char *key);

/* Replaces `number` if the key is there; false when its value is no integer, negative or too large. */
bool find_number(const struct object *object, const char *key, int64_t *number);

/* A text without a NUL inside, as paths and words are; NULL when it is not there. */
const char *find_word(const struct object *object, const char *key);

/* Writes bytes as the inside of a JSON string and a NUL, at most 6 * length + 1 bytes: what is not ASCII becomes the
 * Latin-1 code point of the byte. The length without the NUL. */
size_t escape(char *out, const char *text, size_t length);

#endif
