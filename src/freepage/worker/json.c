#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *skip_space(char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

/* ---- strings --------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *read_code_unit(char *at, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, at++) {
        int digit = hex_digit(*at);
        if (digit < 0)
            return NULL;
        *unit = *unit * 16 + (uint32_t)digit;
    }
    return at;
}

static char *put_utf8(char *out, uint32_t point)
{
    static const unsigned char first[] = {0x00, 0xc0, 0xe0, 0xf0};
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    *out++ = (char)(first[more] | point >> 6 * more);
    while (more-- > 0)
        *out++ = (char)(0x80 | (point >> 6 * more & 0x3f));
    return out;
}

static char *read_code_point(char *at, uint32_t *point)
{
    uint32_t low;
    if (!(at = read_code_unit(at, point)) || (*point & 0xf800) != 0xd800)
        return at;
    if (*point >= 0xdc00 || at[0] != '\\' || at[1] != 'u' || !(at = read_code_unit(at + 2, &low)))
        return NULL;
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return low >= 0xdc00 && low < 0xe000 ? at : NULL;
}

static char *read_escape(char *at, char **out)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *found = *at ? strchr(plain, *at) : NULL;
    uint32_t point;
    if (found) {
        *(*out)++ = meaning[found - plain];
        return at + 1;
    }
    if (*at != 'u' || !(at = read_code_point(at + 1, &point)))
        return NULL;
    *out = put_utf8(*out, point);
    return at;
}

/* Reads a string whose opening quote is at `at` into its own place: the value is never longer than its source. */
static char *read_string(char *at, const char **text, size_t *length)
{
    char *out = at + 1;
    if (*at++ != '"')
        return NULL;
    *text = out;
    while ((unsigned char)*at >= 0x20 && *at != '"') {
        if (*at != '\\')
            *out++ = *at++;
        else if (!(at = read_escape(at + 1, &out)))
            return NULL;
    }
    if (*at != '"')
        return NULL;
    *length = (size_t)(out - *text);
    *out = '\0';
    return at + 1;
}

/* ---- other values ---------------------------------------------------------------------------------------------- */

/* Skips at least one digit; NULL where there is none. */
static const char *skip_digits(const char *at)
{
    size_t count = strspn(at, "0123456789");
    return count ? at + count : NULL;
}

static const char *skip_integer(const char *at)
{
    at += *at == '-';
    return *at == '0' ? at + 1 : skip_digits(at);
}

/* Skips what may follow the integer of a number: a fraction and an exponent. */
static const char *skip_fraction(const char *at)
{
    if (*at == '.' && !(at = skip_digits(at + 1)))
        return NULL;
    if (*at != 'e' && *at != 'E')
        return at;
    at++;
    return skip_digits(at + (*at == '+' || *at == '-'));
}

/* Skips true, false or null; NULL where there is none of them. */
static const char *skip_word(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    return NULL;
}

static char *read_value(char *at, struct field *field)
{
    if (*at == '"') {
        field->kind = TEXT;
        return read_string(at, &field->text, &field->length);
    }
    const char *integer_end = skip_integer(at);
    const char *end = integer_end ? skip_fraction(integer_end) : skip_word(at);
    errno = 0;
    field->number = integer_end ? strtoll(at, NULL, 10) : 0;
    field->kind = integer_end && end == integer_end && !errno ? INTEGER : OTHER;
    return end ? at + (end - at) : NULL;
}

/* ---- objects --------------------------------------------------------------------------------------------------- */

static char *read_field(char *at, struct field *field)
{
    if (!(at = read_string(skip_space(at), &field->key, &field->key_length)) || *(at = skip_space(at)) != ':')
        return NULL;
    return (at = read_value(skip_space(at + 1), field)) ? skip_space(at) : NULL;
}

bool parse_object(char *line, const char *end, struct object *object)
{
    char *at = skip_space(line);
    object->count = 0;
    if (*at++ != '{')
        return false;
    if (*(at = skip_space(at)) != '}')
        do {
            if (object->count == MAX_FIELDS || !(at = read_field(at, &object->fields[object->count++])))
                return false;
        } while (*at == ',' && at++);
    return *at == '}' && skip_space(at + 1) == end;
}

const struct field *find_field(const struct object *object, const char *key)
{
    size_t length = strlen(key);
    for (int i = object->count - 1; i >= 0; i--)
        if (object->fields[i].key_length == length && memcmp(object->fields[i].key, key, length) == 0)
            return &object->fields[i];
    return NULL;
}

bool find_number(const struct object *object, const char *key, int64_t *number)
{
    const struct field *field = find_field(object, key);
    if (!field)
        return true;
    *number = field->number;
    return field->kind == INTEGER && field->number >= 0 && field->number < LARGEST_NUMBER;
}

const char *find_word(const struct object *object, const char *key)
{
    const struct field *field = find_field(object, key);
    return field && field->kind == TEXT && strlen(field->text) == field->length ? field->text : NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static size_t escape_byte(char *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    if (c == '"' || c == '\\' || c == '\n') {
        out[0] = '\\';
        out[1] = c == '\n' ? 'n' : (char)c;
        return 2;
    }
    if (c >= 0x20 && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    memcpy(out, "\\u00", 4);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 0xf];
    return 6;
}

size_t escape(char *out, const char *text, size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < length; i++)
        at += escape_byte(out + at, (unsigned char)text[i]);
    out[at] = '\0';
    return at;
}
