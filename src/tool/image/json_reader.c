/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yajl/yajl_parse.h>

/* An object in a list in an object is what shapes can say; the text may say more. */
#define FRAME_COUNT_MAX 8u
/* Of what is passed over. */
#define DEPTH_MAX 32u

/* An object or a list that has been opened. */
struct frame {
    const struct json_shape *shape; /* of the object, or of each in the list */
    bool is_list;
    uint32_t seen;                    /* members, by their bits */
    const struct json_member *member; /* whose value is due; NULL: one that is passed over */
};

struct json_reader {
    yajl_handle parser;
    const char *text;
    size_t text_bytes;
    const struct json_shape *shape;
    void *into;
    struct frame frames[FRAME_COUNT_MAX];
    size_t frame_count;
    unsigned int skipped_depth; /* opened inside of what is passed over */
    bool is_complete;
    size_t place; /* in the text; SIZE_MAX: where the parser is */
    char *problem;
};

static bool is_good(const struct json_reader *reader)
{
    return reader->problem[0] == '\0';
}

static unsigned long line_of(const struct json_reader *reader)
{
    const size_t at =
        reader->place != SIZE_MAX ? reader->place : yajl_get_bytes_consumed(reader->parser);
    unsigned long line = 1;

    for (size_t i = 0; i < at && i < reader->text_bytes; i++)
        line += reader->text[i] == '\n';
    return line;
}

bool json_refuse(struct json_reader *reader, const char *format, ...)
{
    va_list arguments;
    int used;

    if (!is_good(reader))
        return false;
    used = snprintf(reader->problem, JSON_PROBLEM_BYTES, "line %lu: ", line_of(reader));
    va_start(arguments, format);
    vsnprintf(reader->problem + used, JSON_PROBLEM_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

static struct frame *top(struct json_reader *reader)
{
    return reader->frame_count == 0 ? NULL : &reader->frames[reader->frame_count - 1];
}

static bool is_skipping(struct json_reader *reader)
{
    const struct frame *frame = top(reader);

    return reader->skipped_depth > 0 || (frame != NULL && !frame->is_list && frame->member == NULL);
}

static const char *const due[] = {
    [JSON_STRING] = "a string is due",
    [JSON_NUMBER] = "a whole number without a sign is due",
    [JSON_LIST] = "an array is due",
};

/* The member whose value this is; NULL with a problem if another kind of value is due. */
static const struct json_member *take_up(struct json_reader *reader, enum json_kind kind)
{
    const struct frame *frame = top(reader);
    const bool is_object_due = frame == NULL || frame->is_list;

    if (!is_object_due && frame->member->kind == kind)
        return frame->member;
    json_refuse(reader, "%s", is_object_due ? "an object is due" : due[frame->member->kind]);
    return NULL;
}

static bool check_member(struct json_reader *reader, const struct json_member *member)
{
    return member->check == NULL || member->check(reader, reader->into);
}

/* ---- what the parser finds; 0 ends it */

static bool put_string(struct json_reader *reader, const struct json_member *member,
                       const char *bytes, size_t length_bytes)
{
    char *into = (char *)reader->into + member->offset;

    if (memchr(bytes, 0, length_bytes) != NULL)
        return json_refuse(reader, "the string holds a zero byte");
    if (length_bytes >= member->capacity_bytes)
        return json_refuse(reader, "the string is longer than %zu bytes",
                           member->capacity_bytes - 1);
    memcpy(into, bytes, length_bytes);
    into[length_bytes] = '\0';
    return true;
}

static bool put_number(struct json_reader *reader, const struct json_member *member,
                       const char *digits, size_t digit_count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < digit_count; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return json_refuse(reader, "%s", due[JSON_NUMBER]);
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(digits[i] - '0'), &number))
            return json_refuse(reader, "the number is beyond 2^64 - 1");
    }
    memcpy((char *)reader->into + member->offset, &number, sizeof(number));
    return true;
}

static int take_string(void *context, const unsigned char *bytes, size_t length_bytes)
{
    const struct json_member *member = NULL;

    return is_skipping(context) ||
           ((member = take_up(context, JSON_STRING)) != NULL &&
            put_string(context, member, (const char *)bytes, length_bytes) &&
            check_member(context, member));
}

static int take_number(void *context, const char *digits, size_t digit_count)
{
    const struct json_member *member = NULL;

    return is_skipping(context) ||
           ((member = take_up(context, JSON_NUMBER)) != NULL &&
            put_number(context, member, digits, digit_count) && check_member(context, member));
}

/* null, true and false: no member is that. */
static int take_word(void *context)
{
    return is_skipping(context) || take_up(context, JSON_OTHER) != NULL;
}

static int take_boolean(void *context, int value)
{
    (void)value;
    return take_word(context);
}

static bool skip_deeper(struct json_reader *reader)
{
    if (reader->skipped_depth == DEPTH_MAX)
        return json_refuse(reader, "nested more than %u deep", DEPTH_MAX);
    reader->skipped_depth++;
    return true;
}

static bool push(struct json_reader *reader, const struct json_shape *shape, bool is_list)
{
    if (reader->frame_count == FRAME_COUNT_MAX)
        return json_refuse(reader, "nested too deep");
    reader->frames[reader->frame_count++] = (struct frame){.shape = shape, .is_list = is_list};
    return true;
}

static int open_object(void *context)
{
    struct json_reader *reader = context;
    const struct frame *frame = top(reader);

    if (is_skipping(reader))
        return skip_deeper(reader);
    if (frame == NULL || frame->is_list)
        return push(reader, frame == NULL ? reader->shape : frame->shape, false);
    return take_up(reader, JSON_OTHER) != NULL;
}

static int open_list(void *context)
{
    struct json_reader *reader = context;
    const struct json_member *member;

    if (is_skipping(reader))
        return skip_deeper(reader);
    member = take_up(reader, JSON_LIST);
    return member != NULL && push(reader, member->shape, true);
}

static int take_key(void *context, const unsigned char *key, size_t key_bytes)
{
    struct json_reader *reader = context;
    struct frame *frame = top(reader);

    if (reader->skipped_depth > 0)
        return true;
    frame->member = NULL;
    for (size_t i = 0; i < frame->shape->count; i++) {
        const struct json_member *member = &frame->shape->members[i];

        if (strlen(member->key) != key_bytes || memcmp(member->key, key, key_bytes) != 0)
            continue;
        if ((frame->seen >> i & 1) != 0)
            return json_refuse(reader, "%s stands there twice", member->key);
        frame->seen |= UINT32_C(1) << i;
        frame->member = member;
    }
    return true;
}

static int close_object(void *context)
{
    struct json_reader *reader = context;
    const struct frame *frame = top(reader);

    if (reader->skipped_depth > 0) {
        reader->skipped_depth--;
        return true;
    }
    for (size_t i = 0; i < frame->shape->count; i++) {
        if ((frame->seen >> i & 1) == 0)
            return json_refuse(reader, "%s is missing", frame->shape->members[i].key);
    }
    reader->is_complete = --reader->frame_count == 0;
    return frame->shape->check == NULL || frame->shape->check(reader, reader->into);
}

static int close_list(void *context)
{
    struct json_reader *reader = context;

    if (reader->skipped_depth > 0) {
        reader->skipped_depth--;
        return true;
    }
    reader->frame_count--;
    return check_member(reader, top(reader)->member);
}

/* The parser's own words, if it was not stopped by what was found. */
static void take_error(struct json_reader *reader)
{
    unsigned char *error = yajl_get_error(reader->parser, 0, NULL, 0);

    if (reader->is_complete)
        json_refuse(reader, "something stands behind the end");
    else if (error == NULL)
        json_refuse(reader, "no memory for its error");
    else
        json_refuse(reader, "%.*s", (int)strcspn((const char *)error, "\n"), (const char *)error);
    if (error != NULL)
        yajl_free_error(reader->parser, error);
}

/* Which half of a surrogate pair an escape is, if it is one. */
enum half { HALF_NONE, HALF_HIGH, HALF_LOW };

static enum half half_of(const char *escape)
{
    const char *digit =
        escape[1] != 'u' || (escape[2] | 0x20) != 'd' ? NULL : strchr("89abABcdefCDEF", escape[3]);

    return digit == NULL ? HALF_NONE : strchr("89abAB", *digit) != NULL ? HALF_HIGH : HALF_LOW;
}

/* The parser makes something of a half that stands alone. What it has taken is JSON, so escapes
 * are whole, and in strings only. */
static bool check_pairs(struct json_reader *reader)
{
    const char *end = reader->text + reader->text_bytes;
    const char *at = memchr(reader->text, '\\', reader->text_bytes);

    while (at != NULL) {
        const enum half half = half_of(at);
        const bool is_pair = half == HALF_HIGH && at[6] == '\\' && half_of(at + 6) == HALF_LOW;

        if (half != HALF_NONE && !is_pair) {
            reader->place = (size_t)(at - reader->text);
            return json_refuse(reader, "half of a surrogate pair");
        }
        at += is_pair ? 12 : 2;
        at = memchr(at, '\\', (size_t)(end - at));
    }
    return true;
}

bool json_read(const char *text, size_t text_bytes, const struct json_shape *shape, void *into,
               char problem[JSON_PROBLEM_BYTES])
{
    static const yajl_callbacks callbacks = {.yajl_null = take_word,
                                             .yajl_boolean = take_boolean,
                                             .yajl_number = take_number,
                                             .yajl_string = take_string,
                                             .yajl_start_map = open_object,
                                             .yajl_map_key = take_key,
                                             .yajl_end_map = close_object,
                                             .yajl_start_array = open_list,
                                             .yajl_end_array = close_list};
    struct json_reader reader = {.text = text,
                                 .text_bytes = text_bytes,
                                 .shape = shape,
                                 .into = into,
                                 .place = SIZE_MAX,
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
    if (status != yajl_status_ok)
        take_error(&reader);
    else
        check_pairs(&reader);
    yajl_free(reader.parser);
    return is_good(&reader);
}
