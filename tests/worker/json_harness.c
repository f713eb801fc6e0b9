/*
 * The worker's JSON alone. Reads lines and prints for each what json.c makes of it: "-" where it is refused, else its
 * fields as KEY=KIND:VALUE (in hexadecimal, but for integers), each with a space behind. "escape" prints them escaped.
 * Every line stands in memory of its own that is no longer than it, so that a sanitizer sees each step beyond it.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void print_hex(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static void print_field(const struct field *field)
{
    print_hex(field->key, field->key_length);
    if (field->kind == INTEGER) {
        printf("=i:%" PRId64 " ", field->number);
        return;
    }
    printf("=%c:", field->kind == TEXT ? 't' : 'o');
    if (field->kind == TEXT)
        print_hex(field->text, field->length);
    printf(" ");
}

static void parse(char *line, size_t length)
{
    struct object object;
    if (!parse_object(line, line + length, &object)) {
        puts("-");
        return;
    }
    for (int i = 0; i < object.count; i++)
        if (find_field(&object, object.fields[i].key) || strlen(object.fields[i].key) != object.fields[i].key_length)
            print_field(&object.fields[i]);
    puts("");
}

static void print_escaped(const char *line, size_t length)
{
    char *escaped = malloc(6 * length + 1);
    fwrite(escaped, 1, escape(escaped, line, length), stdout);
    puts("");
    free(escaped);
}

int main(int count, char **arguments)
{
    char *read = NULL;
    size_t room = 0;
    ssize_t got;
    while ((got = getline(&read, &room, stdin)) > 0) {
        size_t length = (size_t)got - (read[got - 1] == '\n');
        char *line = memcpy(malloc(length + 1), read, length);
        line[length] = '\0';
        if (count > 1 && strcmp(arguments[1], "escape") == 0)
            print_escaped(line, length);
        else
            parse(line, length);
        free(line);
    }
    free(read);
    return 0;
}
