/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32u

/* Where the characters of a string go. text NULL: nowhere. */
struct sink {
    char *text;
    size_t capacity_bytes;
    size_t length_bytes;
};

void json_reader_begin(struct json_reader *reader, const char *text, size_t text_bytes)
{
    memset(reader, 0, sizeof(*reader));
    reader->at = text;
    reader->end = text + text_bytes;
    reader->line = 1;
}

bool json_reader_is_good(const struct json_reader *reader)
{
    return reader->problem[0] == '\0';
}

bool json_refuse(struct json_reader *reader, const char *format, ...)
{
    va_list arguments;
    int used;

    if (!json_reader_is_good(reader))
        return false;
    used = snprintf(reader->problem, sizeof(reader->problem),
                    "line %llu: ", (unsigned long long)reader->line);
    va_start(arguments, format);
    vsnprintf(reader->problem + used, sizeof(reader->problem) - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

/* The next byte that is no white space; -1 at the end. */
static int peek(struct json_reader *reader)
{
    for (; reader->at < reader->end; reader->at++) {
        switch (*reader->at) {
        case '\n':
            reader->line++;
            break;
        case ' ':
        case '\t':
        case '\r':
            break;
        default:
            return (unsigned char)*reader->at;
        }
    }
    return -1;
}

static bool take(struct json_reader *reader, char wanted, const char *what)
{
    if (!json_reader_is_good(reader))
        return false;
    if (peek(reader) != wanted)
        return json_refuse(reader, "%s is due", what);
    reader->at++;
    return true;
}

bool json_enter_object(struct json_reader *reader)
{
    reader->is_first = take(reader, '{', "an object");
    return reader->is_first;
}

bool json_enter_array(struct json_reader *reader)
{
    reader->is_first = take(reader, '[', "an array");
    return reader->is_first;
}

/* True: a member comes. */
static bool proceed(struct json_reader *reader, char closing)
{
    bool is_first = reader->is_first;

    if (!json_reader_is_good(reader))
        return false;
    reader->is_first = false;
    if (peek(reader) == closing) {
        reader->at++;
        return false;
    }
    return is_first || take(reader, ',', closing == '}' ? "a comma or }" : "a comma or ]");
}

bool json_next_element(struct json_reader *reader)
{
    return proceed(reader, ']');
}

/* ----------------------------------------------------------------------------------------- strings
 */

static bool put(struct json_reader *reader, struct sink *sink, char byte)
{
    if (sink->text == NULL)
        return true;
    if (byte == '\0')
        return json_refuse(reader, "the string holds a zero byte");
    if (sink->length_bytes + 1 >= sink->capacity_bytes)
        return json_refuse(reader, "the string is longer than %zu bytes", sink->capacity_bytes - 1);
    sink->text[sink->length_bytes++] = byte;
    return true;
}

static bool put_code(struct json_reader *reader, struct sink *sink, uint32_t code)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    unsigned int length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    bool is_put = put(reader, sink, (char)(leads[length] | code >> (6 * (length - 1))));

    for (unsigned int i = length - 1; i > 0 && is_put; i--)
        is_put = put(reader, sink, (char)(0x80 | (code >> (6 * (i - 1)) & 0x3f)));
    return is_put;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The four digits behind \u. */
static bool take_unit(struct json_reader *reader, uint32_t *unit)
{
    *unit = 0;
    for (unsigned int i = 0; i < 4; i++) {
        int value = reader->at < reader->end ? hex_value(*reader->at) : -1;

        if (value < 0)
            return json_refuse(reader, "four hexadecimal digits are due behind \\u");
        *unit = *unit << 4 | (uint32_t)value;
        reader->at++;
    }
    return true;
}

static bool take_unicode(struct json_reader *reader, struct sink *sink)
{
    uint32_t code;
    uint32_t low;

    if (!take_unit(reader, &code))
        return false;
    if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 2 && reader->at[0] == '\\' &&
        reader->at[1] == 'u') {
        reader->at += 2;
        if (!take_unit(reader, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            return put_code(reader, sink, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
    }
    if (code >= 0xd800 && code < 0xe000)
        return json_refuse(reader, "half of a surrogate pair");
    return put_code(reader, sink, code);
}

static bool take_escape(struct json_reader *reader, struct sink *sink)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *found;
    char byte;

    if (reader->at == reader->end)
        return json_refuse(reader, "the string is cut short");
    byte = *reader->at++;
    if (byte == 'u')
        return take_unicode(reader, sink);
    found = byte == '\0' ? NULL : strchr(escapes, byte);
    if (found == NULL)
        return json_refuse(reader, "there is no such escape sequence");
    return put(reader, sink, meanings[found - escapes]);
}

static bool take_string(struct json_reader *reader, struct sink *sink)
{
    if (!take(reader, '"', "a string"))
        return false;
    while (reader->at < reader->end) {
        char byte = *reader->at++;

        if (byte == '"') {
            if (sink->text != NULL)
                sink->text[sink->length_bytes] = '\0';
            return true;
        }
        if ((unsigned char)byte < 0x20)
            return json_refuse(reader, "a control character in a string");
        if (byte == '\\' ? !take_escape(reader, sink) : !put(reader, sink, byte))
            return false;
    }
    return json_refuse(reader, "the string is cut short");
}

bool json_read_string(struct json_reader *reader, char *text, size_t capacity_bytes)
{
    struct sink sink = {.text = text, .capacity_bytes = capacity_bytes};

    text[0] = '\0';
    return take_string(reader, &sink);
}

bool json_next_key(struct json_reader *reader, char *key, size_t capacity_bytes)
{
    return proceed(reader, '}') && json_read_string(reader, key, capacity_bytes) &&
           take(reader, ':', "a colon");
}

/* ----------------------------------------------------------------------------------------- numbers
 */

static bool is_digit(const struct json_reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

bool json_read_uint(struct json_reader *reader, uint64_t *value)
{
    const char *start;
    uint64_t number = 0;

    if (!json_reader_is_good(reader))
        return false;
    (void)peek(reader);
    start = reader->at;
    for (; is_digit(reader); reader->at++) {
        uint64_t digit = (uint64_t)(*reader->at - '0');

        if (number > (UINT64_MAX - digit) / 10)
            return json_refuse(reader, "the number is beyond 2^64 - 1");
        number = number * 10 + digit;
    }
    if (reader->at == start || (*start == '0' && reader->at - start > 1) ||
        (reader->at < reader->end && strchr(".eE", *reader->at) != NULL && *reader->at != '\0'))
        return json_refuse(reader, "a whole number without a sign is due");
    *value = number;
    return true;
}

static bool skip_digits(struct json_reader *reader)
{
    if (!is_digit(reader))
        return json_refuse(reader, "a digit is due");
    while (is_digit(reader))
        reader->at++;
    return true;
}

static bool skip_number(struct json_reader *reader)
{
    if (*reader->at == '-')
        reader->at++;
    if (reader->at < reader->end && *reader->at == '0')
        reader->at++;
    else if (!skip_digits(reader))
        return false;
    if (reader->at < reader->end && *reader->at == '.') {
        reader->at++;
        if (!skip_digits(reader))
            return false;
    }
    if (reader->at < reader->end && (*reader->at | 0x20) == 'e') {
        reader->at++;
        if (reader->at < reader->end && (*reader->at == '+' || *reader->at == '-'))
            reader->at++;
        return skip_digits(reader);
    }
    return true;
}

/* ------------------------------------------------------------------------------------ other values
 */

static bool skip_word(struct json_reader *reader)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);

        if ((size_t)(reader->end - reader->at) >= length &&
            memcmp(reader->at, words[i], length) == 0) {
            reader->at += length;
            return true;
        }
    }
    return json_refuse(reader, "a value is due");
}

static bool skip_scalar(struct json_reader *reader)
{
    struct sink nowhere = {NULL, 0, 0};
    int first = peek(reader);

    if (first == '"')
        return take_string(reader, &nowhere);
    return first == '-' || (first >= '0' && first <= '9') ? skip_number(reader) : skip_word(reader);
}

/* A member of the group that closes with this; its key is skipped. */
static bool skip_to_member(struct json_reader *reader, char closing)
{
    struct sink nowhere = {NULL, 0, 0};

    return proceed(reader, closing) &&
           (closing == ']' || (take_string(reader, &nowhere) && take(reader, ':', "a colon")));
}

/* Without recursion: how deep it goes is the file's doing. */
bool json_skip(struct json_reader *reader)
{
    char closings[DEPTH_MAX];
    unsigned int depth = 0;

    if (!json_reader_is_good(reader))
        return false;
    do {
        int first = peek(reader);

        if (first == '{' || first == '[') {
            if (depth == DEPTH_MAX)
                return json_refuse(reader, "nested more than %u deep", DEPTH_MAX);
            closings[depth++] = first == '{' ? '}' : ']';
            reader->at++;
            reader->is_first = true;
        } else if (!skip_scalar(reader)) {
            return false;
        }
        while (depth > 0 && !skip_to_member(reader, closings[depth - 1])) {
            if (!json_reader_is_good(reader))
                return false;
            depth--;
        }
    } while (depth > 0);
    return true;
}

bool json_reader_end(struct json_reader *reader)
{
    if (json_reader_is_good(reader) && peek(reader) != -1)
        return json_refuse(reader, "something stands behind the end");
    return json_reader_is_good(reader);
}
