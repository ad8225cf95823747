/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON (RFC 8259) whose shape is known, read by libyajl into a struct of the caller's: tables say
 * which members an object has, and where their values go. All members have to be there once, in any
 * order; others, of a later version, are passed over.
 */
#ifndef RDMIG_TOOL_JSON_READER_H
#define RDMIG_TOOL_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_reader;

/* Looks at what has been taken. False after json_refuse(). */
typedef bool json_check(struct json_reader *reader, void *into);

enum json_kind {
    JSON_STRING, /* no NUL in it; terminated, or it is too long */
    JSON_NUMBER, /* uint64_t: without sign, fraction or exponent */
    JSON_LIST,   /* of objects */
    JSON_OTHER   /* no member is that */
};

struct json_member {
    const char *key;
    enum json_kind kind;
    size_t offset;                  /* in the caller's struct */
    size_t capacity_bytes;          /* of a string */
    const struct json_shape *shape; /* of a list's objects */
    json_check *check;              /* NULL: none is due */
};

/* At most 32 members. */
struct json_shape {
    const struct json_member *members;
    size_t count;
    json_check *check; /* of all members together; NULL: none is due */
};

#define JSON_PROBLEM_BYTES 160u

/* False: problem is "line 7: ...". */
bool json_read(const char *text, size_t text_bytes, const struct json_shape *shape, void *into,
               char problem[JSON_PROBLEM_BYTES]);

/* For checks; the first problem counts. Returns false. */
__attribute__((format(printf, 2, 3))) bool json_refuse(struct json_reader *reader,
                                                       const char *format, ...);

#endif
