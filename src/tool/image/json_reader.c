/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yajl/yajl_parse.h>

/* Of what is passed over. */
#define DEPTH_MAX 32u

struct json_reader {
    yajl_handle parser;
    const char *text;
    size_t text_bytes;
    size_t place; /* in the text; SIZE_MAX: where the parser is */
    const struct json_row *rows;
    size_t row_count;
    void *into;
    const struct json_row *open[JSON_ROW_COUNT_MAX]; /* objects and lists, the outermost first */
    size_t open_count;
    const struct json_row *due; /* the next value; NULL: one that is passed over, or a key */
    bool are_seen[JSON_ROW_COUNT_MAX];
    unsigned int skipped_depth; /* opened inside of what is passed over */
    bool is_complete;
    char *problem;
};

bool json_refuse(struct json_reader *reader, const char *format, ...)
{
    const size_t place =
        reader->place != SIZE_MAX ? reader->place : yajl_get_bytes_consumed(reader->parser);
    unsigned long line = 1;
    va_list arguments;
    int used;

    if (reader->problem[0] != '\0')
        return false;
    for (size_t i = 0; i < place && i < reader->text_bytes; i++)
        line += reader->text[i] == '\n';
    used = snprintf(reader->problem, JSON_PROBLEM_BYTES, "line %lu: ", line);
    va_start(arguments, format);
    vsnprintf(reader->problem + used, JSON_PROBLEM_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_skipping(const struct json_reader *reader)
{
    return reader->skipped_depth > 0 || reader->due == NULL;
}

/* False, with a problem, when a value of another kind is due. */
static bool check_kind(struct json_reader *reader, enum json_kind kind)
{
    static const char *const names[] = {"a string", "a whole number without a sign", "an object",
                                        "an array"};

    return reader->due->kind == kind || json_refuse(reader, "%s is due", names[reader->due->kind]);
}

static bool run_check(struct json_reader *reader, const struct json_row *row)
{
    return row->check == NULL || row->check(reader, reader->into);
}

static bool put_string(struct json_reader *reader, const char *bytes, size_t length_bytes)
{
    char *into = (char *)reader->into + reader->due->offset;

    if (memchr(bytes, 0, length_bytes) != NULL)
        return json_refuse(reader, "the string holds a zero byte");
    if (length_bytes >= reader->due->capacity_bytes)
        return json_refuse(reader, "the string is longer than %zu bytes",
                           reader->due->capacity_bytes - 1);
    memcpy(into, bytes, length_bytes);
    into[length_bytes] = '\0';
    return true;
}

static bool put_number(struct json_reader *reader, const char *digits, size_t digit_count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < digit_count; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return json_refuse(reader, "a whole number without a sign is due");
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(digits[i] - '0'), &number))
            return json_refuse(reader, "the number is beyond 2^64 - 1");
    }
    memcpy((char *)reader->into + reader->due->offset, &number, sizeof(number));
    return true;
}

/* ---- what the parser finds; 0 ends it */

static int take_string(void *context, const unsigned char *bytes, size_t length_bytes)
{
    struct json_reader *reader = context;

    return is_skipping(reader) || (check_kind(reader, JSON_STRING) &&
                                   put_string(reader, (const char *)bytes, length_bytes) &&
                                   run_check(reader, reader->due));
}

static int take_number(void *context, const char *digits, size_t digit_count)
{
    struct json_reader *reader = context;

    return is_skipping(reader) ||
           (check_kind(reader, JSON_NUMBER) && put_number(reader, digits, digit_count) &&
            run_check(reader, reader->due));
}

static int take_null(void *context)
{
    return is_skipping(context) || check_kind(context, JSON_WORD);
}

static int take_boolean(void *context, int value)
{
    (void)value;
    return take_null(context);
}

static int take_key(void *context, const unsigned char *key, size_t key_bytes)
{
    struct json_reader *reader = context;

    if (reader->skipped_depth > 0)
        return true;
    reader->due = NULL;
    for (size_t i = 1; i < reader->row_count; i++) {
        const struct json_row *row = &reader->rows[i];

        if (&reader->rows[row->parent] != reader->open[reader->open_count - 1] ||
            strlen(row->key) != key_bytes || memcmp(row->key, key, key_bytes) != 0)
            continue;
        if (reader->are_seen[i])
            return json_refuse(reader, "%s stands there twice", row->key);
        reader->are_seen[i] = true;
        reader->due = row;
    }
    return true;
}

static bool open_group(struct json_reader *reader, enum json_kind kind)
{
    const struct json_row *row = reader->due;

    if (is_skipping(reader))
        return reader->skipped_depth++ < DEPTH_MAX ||
               json_refuse(reader, "nested more than %u deep", DEPTH_MAX);
    if (!check_kind(reader, kind))
        return false;
    reader->open[reader->open_count++] = row;
    reader->due = NULL;
    for (size_t i = 1; kind == JSON_LIST && i < reader->row_count; i++) {
        if (&reader->rows[reader->rows[i].parent] == row)
            reader->due = &reader->rows[i];
    }
    return true;
}

static int open_object(void *context)
{
    return open_group(context, JSON_OBJECT);
}

static int open_list(void *context)
{
    return open_group(context, JSON_LIST);
}

static int close_group(void *context)
{
    struct json_reader *reader = context;
    const struct json_row *row;

    if (reader->skipped_depth > 0) {
        reader->skipped_depth--;
        return true;
    }
    row = reader->open[--reader->open_count];
    for (size_t i = 1; row->kind == JSON_OBJECT && i < reader->row_count; i++) {
        if (&reader->rows[reader->rows[i].parent] != row)
            continue;
        if (!reader->are_seen[i])
            return json_refuse(reader, "%s is missing", reader->rows[i].key);
        reader->are_seen[i] = false;
    }
    reader->is_complete = reader->open_count == 0;
    /* Behind an object of a list another one may come. */
    reader->due = row->kind == JSON_OBJECT && !reader->is_complete ? row : NULL;
    return run_check(reader, row);
}

/* ---- the text */

/* The parser's own words, if it was not stopped by what was found. */
static void take_error(struct json_reader *reader)
{
    unsigned char *error = yajl_get_error(reader->parser, 0, NULL, 0);
    const char *words = error == NULL ? "no memory for its error" : (const char *)error;

    if (reader->is_complete)
        words = "something stands behind the end";
    json_refuse(reader, "%.*s", (int)strcspn(words, "\n"), words);
    if (error != NULL)
        yajl_free_error(reader->parser, error);
}

/* Which half of a surrogate pair an escape is, if it is one. */
enum half { HALF_NONE, HALF_HIGH, HALF_LOW };

static enum half half_of(const char *escape)
{
    if (escape[1] != 'u' || (escape[2] | 0x20) != 'd' || escape[3] < '8')
        return HALF_NONE;
    return strchr("89abAB", escape[3]) != NULL ? HALF_HIGH : HALF_LOW;
}

/*
 * The parser makes something of a half that stands alone. What it has taken is JSON, so escapes
 * are whole, and in strings only.
 */
static void check_pairs(struct json_reader *reader)
{
    const char *end = reader->text + reader->text_bytes;
    const char *at = memchr(reader->text, '\\', reader->text_bytes);

    while (at != NULL) {
        const enum half half = half_of(at);
        const bool is_pair = half == HALF_HIGH && at[6] == '\\' && half_of(at + 6) == HALF_LOW;

        if (half != HALF_NONE && !is_pair) {
            reader->place = (size_t)(at - reader->text);
            json_refuse(reader, "half of a surrogate pair");
        }
        at += is_pair ? 12 : 2;
        at = memchr(at, '\\', (size_t)(end - at));
    }
}

bool json_read(const char *text, size_t text_bytes, const struct json_row *rows, size_t row_count,
               void *into, char problem[JSON_PROBLEM_BYTES])
{
    static const yajl_callbacks callbacks = {.yajl_null = take_null,
                                             .yajl_boolean = take_boolean,
                                             .yajl_number = take_number,
                                             .yajl_string = take_string,
                                             .yajl_start_map = open_object,
                                             .yajl_map_key = take_key,
                                             .yajl_end_map = close_group,
                                             .yajl_start_array = open_list,
                                             .yajl_end_array = close_group};
    struct json_reader reader = {.text = text,
                                 .text_bytes = text_bytes,
                                 .place = SIZE_MAX,
                                 .rows = rows,
                                 .row_count = row_count,
                                 .into = into,
                                 .due = rows,
                                 .problem = problem};
    yajl_status status;

    problem[0] = '\0';
    reader.parser = yajl_alloc(&callbacks, NULL, &reader);
    if (reader.parser == NULL) {
        snprintf(problem, JSON_PROBLEM_BYTES, "no memory to read it with");
        return false;
    }
    status = yajl_parse(reader.parser, (const unsigned char *)text, text_bytes);
    if (status == yajl_status_ok) {
        reader.place = text_bytes;
        status = yajl_complete_parse(reader.parser);
    }
    if (status == yajl_status_ok)
        check_pairs(&reader);
    else
        take_error(&reader);
    yajl_free(reader.parser);
    return problem[0] == '\0';
}
