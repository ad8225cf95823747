/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include "../../text/text.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_MS     UINT64_C(1000000)
#define REPLACEMENT   "\xef\xbf\xbd" /* U+FFFD */
#define SUPPLEMENTARY 0x10000u       /* from here on a character is two units of UTF-16 */

void json_begin(struct json *json, FILE *out)
{
    json->out = out;
    json->needs_comma = false;
    json->needs_break = false;
}

void json_break(struct json *json)
{
    json->needs_break = true;
}

static void write_escape(FILE *out, uint32_t code)
{
    switch (code) {
    case '\n':
        fputs("\\n", out);
        break;
    case '\t':
        fputs("\\t", out);
        break;
    case '\r':
        fputs("\\r", out);
        break;
    default:
        if (code < SUPPLEMENTARY)
            fprintf(out, "\\u%04x", code);
        else
            fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((code - SUPPLEMENTARY) >> 10),
                    0xdc00 + (code & 0x3ff));
    }
}

/* What does something to a terminal is written as an escape: readers of JSON get what it was. */
static void write_quoted(FILE *out, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left_bytes = strlen(text);

    fputc('"', out);
    while (left_bytes > 0) {
        uint32_t code = 0;
        size_t length = text_sequence(at, left_bytes, &code);

        if (length == 0) {
            fputs(REPLACEMENT, out);
            length = 1;
        } else if (code == '"' || code == '\\') {
            fputc('\\', out);
            fputc(*at, out);
        } else if (!text_is_shown(code)) {
            write_escape(out, code);
        } else {
            fwrite(at, 1, length, out);
        }
        at += length;
        left_bytes -= length;
    }
    fputc('"', out);
}

static void write_break(struct json *json, const char *otherwise)
{
    fputs(json->needs_break ? "\n" : otherwise, json->out);
    json->needs_break = false;
}

static void begin_value(struct json *json, const char *key)
{
    if (json->needs_comma)
        fputc(',', json->out);
    write_break(json, json->needs_comma ? " " : "");
    if (key != NULL) {
        write_quoted(json->out, key);
        fputs(": ", json->out);
    }
    json->needs_comma = true;
}

static void open_group(struct json *json, const char *key, int bracket)
{
    begin_value(json, key);
    fputc(bracket, json->out);
    json->needs_comma = false;
}

static void close_group(struct json *json, int bracket)
{
    write_break(json, "");
    fputc(bracket, json->out);
    json->needs_comma = true;
}

void json_open_object(struct json *json, const char *key)
{
    open_group(json, key, '{');
}

void json_close_object(struct json *json)
{
    close_group(json, '}');
}

void json_open_array(struct json *json, const char *key)
{
    open_group(json, key, '[');
}

void json_close_array(struct json *json)
{
    close_group(json, ']');
}

void json_string(struct json *json, const char *key, const char *text)
{
    if (text == NULL) {
        json_null(json, key);
        return;
    }
    begin_value(json, key);
    write_quoted(json->out, text);
}

void json_uint(struct json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
    begin_value(json, key);
    fputs("null", json->out);
}

void json_milliseconds(struct json *json, const char *key, uint64_t value_ns)
{
    begin_value(json, key);
    /* Not as a double: a locale's decimal comma would end up in it. */
    fprintf(json->out, "%" PRIu64 ".%06" PRIu64, value_ns / NS_PER_MS, value_ns % NS_PER_MS);
}

static void write_field(struct json *json, const struct json_field *field, const void *from)
{
    const uint64_t *number = from;

    switch (field->kind) {
    case JSON_FIELD_U32:
        json_uint(json, field->key, *(const uint32_t *)from);
        break;
    case JSON_FIELD_LIMIT:
        if (*number == 0 || *number == UINT64_MAX) {
            json_null(json, field->key);
            break;
        }
        /* fall through */
    case JSON_FIELD_U64:
        json_uint(json, field->key, *number);
        break;
    case JSON_FIELD_BOOL:
        json_bool(json, field->key, *(const bool *)from);
        break;
    case JSON_FIELD_NS:
        json_milliseconds(json, field->key, *number);
        break;
    case JSON_FIELD_TEXT:
        json_string(json, field->key, *(const char *)from == '\0' ? NULL : from);
        break;
    case JSON_FIELD_BOOL_WORD:
        json_string(json, field->key, field->words[*(const bool *)from]);
        break;
    case JSON_FIELD_ENUM_WORD:
        json_string(json, field->key, field->words[*(const unsigned int *)from]);
        break;
    }
}

void json_fields(struct json *json, const struct json_field *fields, size_t count, const void *from)
{
    for (size_t i = 0; i < count; i++)
        write_field(json, &fields[i], (const char *)from + fields[i].offset);
}
