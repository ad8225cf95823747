/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of JSON (RFC 8259) on a stdio stream. Commas are its own business; keys are NULL inside
 * arrays. Output errors stay in the stream: the caller asks ferror() once at the end.
 */
#ifndef RDMIG_TOOL_JSON_H
#define RDMIG_TOOL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    bool needs_comma; /* something stands before the next value in the same object or array */
    bool needs_break; /* the next value starts a line */
};

void json_begin(struct json *json, FILE *out);
/* The next value, or closing bracket, starts a new line: for files that people read. */
void json_break(struct json *json);
void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);

/* Any bytes: what is not UTF-8 becomes U+FFFD, since JSON has no way to hold it. NULL: null. */
void json_string(struct json *json, const char *key, const char *text);
void json_uint(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* Nanoseconds as milliseconds with the fraction. */
void json_milliseconds(struct json *json, const char *key, uint64_t value_ns);

/* Members of a struct, as they stand in an object: one table for each struct. */
enum json_field_kind {
    JSON_FIELD_U32,
    JSON_FIELD_U64,
    JSON_FIELD_LIMIT, /* uint64_t; UINT64_MAX, none, and 0, not known yet: null */
    JSON_FIELD_BOOL,
    JSON_FIELD_NS,        /* uint64_t, written as milliseconds */
    JSON_FIELD_TEXT,      /* char[]; empty: null */
    JSON_FIELD_BOOL_WORD, /* the row's words: one for false, one for true */
    JSON_FIELD_ENUM_WORD  /* one for each value, NULL: null */
};

struct json_field {
    const char *key;
    enum json_field_kind kind;
    size_t offset;
    const char *const *words; /* NULL: none are needed */
};

void json_fields(struct json *json, const struct json_field *fields, size_t count,
                 const void *from);

#endif
