/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_MS      UINT64_C(1000000)
#define REPLACEMENT    "\xef\xbf\xbd" /* U+FFFD */
#define SEQUENCE_BYTES 4u             /* of the longest UTF-8 sequence */

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

/*
 * Length of the UTF-8 sequence that starts here, 0 when it is none (overlong, a surrogate, beyond
 * U+10FFFF, cut short: the terminating 0 is no continuation byte, so nothing behind it is read).
 */
static size_t sequence_length(const unsigned char *at)
{
    uint32_t code;
    size_t length;
    size_t i;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

    if (at[0] < 0x80) {
        return 1;
    }
    if ((at[0] & 0xe0) == 0xc0) {
        length = 2;
    } else if ((at[0] & 0xf0) == 0xe0) {
        length = 3;
    } else if ((at[0] & 0xf8) == 0xf0) {
        length = SEQUENCE_BYTES;
    } else {
        return 0;
    }
    code = at[0] & (0x7fu >> length);
    for (i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3fu);
    }
    if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 0;
    }
    return length;
}

static void write_control(FILE *out, unsigned char byte)
{
    switch (byte) {
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
        fprintf(out, "\\u%04x", byte);
    }
}

static void write_quoted(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t length;

    fputc('"', out);
    for (; *at != '\0'; at += length == 0 ? 1 : length) {
        length = sequence_length(at);
        if (length == 0) {
            fputs(REPLACEMENT, out);
        } else if (*at == '"' || *at == '\\') {
            fputc('\\', out);
            fputc(*at, out);
        } else if (*at < 0x20 || *at == 0x7f) {
            write_control(out, *at);
        } else {
            fwrite(at, 1, length, out);
        }
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
    if (json->needs_comma) {
        fputc(',', json->out);
    }
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
