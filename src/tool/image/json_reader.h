/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A strict reader of JSON (RFC 8259) in memory, for files whose shape is known: the caller asks for
 * what is due next. The first thing that is not so ends the reading; all later calls return false.
 */
#ifndef RDMIG_TOOL_JSON_READER_H
#define RDMIG_TOOL_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_reader {
    const char *at;
    const char *end;
    uint64_t line;     /* from 1 */
    bool is_first;     /* nothing of the object or array just opened has been read */
    char problem[160]; /* "": none so far */
};

void json_reader_begin(struct json_reader *reader, const char *text, size_t text_bytes);
bool json_reader_is_good(const struct json_reader *reader);
/* Something that the caller found; "line 7: ..." unless there is a problem already. False. */
__attribute__((format(printf, 2, 3))) bool json_refuse(struct json_reader *reader,
                                                       const char *format, ...);

/*
 * { or [ is due; then the _next_ function for each member until it returns false, which at a
 * problem it does as well. A member's value has to be read, or skipped, before the next one.
 */
bool json_enter_object(struct json_reader *reader);
bool json_next_key(struct json_reader *reader, char *key, size_t capacity_bytes);
bool json_enter_array(struct json_reader *reader);
bool json_next_element(struct json_reader *reader);

/* Terminated; one that is longer, or holds a NUL, is a problem. */
bool json_read_string(struct json_reader *reader, char *text, size_t capacity_bytes);
/* A whole number from 0 to 2^64 - 1, without sign, fraction or exponent. */
bool json_read_uint(struct json_reader *reader, uint64_t *value);
/* Any value, nested at most a few dozen deep. */
bool json_skip(struct json_reader *reader);
/* Nothing but white space may be left. */
bool json_reader_end(struct json_reader *reader);

#endif
