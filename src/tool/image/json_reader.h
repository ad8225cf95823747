/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON (RFC 8259) whose shape is known, read by libyajl into a struct of the caller's: a table says
 * what is due, and where it goes. An object's members have to be there once each, in any order;
 * others, of a later version, are passed over.
 */
#ifndef RDMIG_TOOL_JSON_READER_H
#define RDMIG_TOOL_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_reader;

/* Looks at what has been taken, a group when it closes. False after json_refuse(). */
typedef bool json_check(struct json_reader *reader, void *into);

enum json_kind {
    JSON_STRING, /* no NUL in it; terminated, or it is too long */
    JSON_NUMBER, /* uint64_t: without sign, fraction or exponent */
    JSON_OBJECT,
    JSON_LIST, /* of objects: the one row whose parent it is */
    JSON_WORD  /* null, true, false: no row is that */
};

struct json_row {
    const char *key;     /* in an object */
    unsigned int parent; /* the row of the object, or list; the first row is the outermost object */
    enum json_kind kind;
    size_t offset;         /* in the caller's struct */
    size_t capacity_bytes; /* of a string */
    json_check *check;     /* NULL: none is due */
};

#define JSON_ROW_COUNT_MAX 32u
#define JSON_PROBLEM_BYTES 160u

/* False: problem is "line 7: ...". */
bool json_read(const char *text, size_t text_bytes, const struct json_row *rows, size_t row_count,
               void *into, char problem[JSON_PROBLEM_BYTES]);

/* For checks; the first problem counts. Returns false. */
__attribute__((format(printf, 2, 3))) bool json_refuse(struct json_reader *reader,
                                                       const char *format, ...);

#endif
