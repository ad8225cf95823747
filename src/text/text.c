/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <stdio.h>
#include <string.h>

#define SEQUENCE_BYTES_MAX 4u
/* Longer than any line of this file: an escape makes a line longer, never shorter. */
#define RAW_BYTES 2048u
#define CUT       "..."
#define CUT_BYTES (sizeof(CUT) - 1)

/* ---- characters */

size_t text_sequence(const uint8_t *bytes, size_t length_bytes, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t sequence_bytes = 0;

    if (length_bytes == 0)
        return 0;
    *code = bytes[0];
    if (bytes[0] < 0x80)
        return 1;
    if ((bytes[0] & 0xe0) == 0xc0)
        sequence_bytes = 2;
    else if ((bytes[0] & 0xf0) == 0xe0)
        sequence_bytes = 3;
    else if ((bytes[0] & 0xf8) == 0xf0)
        sequence_bytes = SEQUENCE_BYTES_MAX;
    if (sequence_bytes == 0 || sequence_bytes > length_bytes)
        return 0;
    *code = bytes[0] & (0x7fu >> sequence_bytes);
    for (size_t i = 1; i < sequence_bytes; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (bytes[i] & 0x3fu);
    }
    if (*code < smallest[sequence_bytes] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
        return 0;
    return sequence_bytes;
}

bool text_is_shown(uint32_t code)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } hidden[] = {
        {0x00, 0x1f},       /* C0 */
        {0x7f, 0x9f},       /* DEL, C1: one of these begins a terminal's commands */
        {0xad, 0xad},       /* soft hyphen */
        {0x61c, 0x61c},     /* direction */
        {0x180e, 0x180e},   /* no width */
        {0x200b, 0x200f},   /* no width, direction */
        {0x2028, 0x202e},   /* ends of lines and paragraphs, direction */
        {0x2060, 0x206f},   /* no width, direction */
        {0xfeff, 0xfeff},   /* byte order mark */
        {0xfff9, 0xfffb},   /* annotations */
        {0xe0000, 0xe007f}, /* tags */
    };

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (code >= hidden[i].first && code <= hidden[i].last)
            return false;
    }
    return true;
}

/* ---- pieces of a line: a character, or an escape */

struct piece {
    char text[SEQUENCE_BYTES_MAX + 1];
    size_t length;
    size_t taken_bytes;
};

static void escape(struct piece *piece, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\\'] = '\\'};
    const char letter = byte < sizeof(letters) ? letters[byte] : '\0';
    const char text[] = {'\\', letter != '\0' ? letter : 'x', digits[byte >> 4], digits[byte & 15]};

    piece->taken_bytes = 1;
    piece->length = letter != '\0' ? 2 : sizeof(text);
    memcpy(piece->text, text, piece->length);
}

static void take_piece(struct piece *piece, const uint8_t *bytes, size_t length_bytes, bool is_name)
{
    uint32_t code = 0;
    const size_t sequence_bytes = text_sequence(bytes, length_bytes, &code);
    const bool is_kept = is_name ? code >= ' ' && code < 0x7f && code != '\\' : text_is_shown(code);

    if (sequence_bytes == 0 || !is_kept) {
        escape(piece, bytes[0]);
        return;
    }
    piece->taken_bytes = sequence_bytes;
    piece->length = sequence_bytes;
    memcpy(piece->text, bytes, sequence_bytes);
}

static size_t show(char *out, size_t capacity_bytes, const uint8_t *bytes, size_t length_bytes,
                   bool is_name)
{
    const size_t room = capacity_bytes - 1;
    size_t used = 0;
    size_t cut = 0; /* the last place that leaves room for CUT */

    while (length_bytes > 0) {
        struct piece piece;

        take_piece(&piece, bytes, length_bytes, is_name);
        if (used + CUT_BYTES <= room)
            cut = used;
        if (used + piece.length > room)
            break;
        memcpy(out + used, piece.text, piece.length);
        used += piece.length;
        bytes += piece.taken_bytes;
        length_bytes -= piece.taken_bytes;
    }
    if (length_bytes > 0 && room >= CUT_BYTES) {
        memcpy(out + cut, CUT, CUT_BYTES);
        used = cut + CUT_BYTES;
    }
    out[used] = '\0';
    return used;
}

/* ---- names and lines */

struct text_name text_name_of(const uint8_t *bytes, uint64_t length_bytes)
{
    struct text_name name;

    (void)show(name.text, sizeof(name.text), bytes, (size_t)length_bytes, true);
    return name;
}

struct text_name text_name(const char *name)
{
    return text_name_of((const uint8_t *)name, strlen(name));
}

size_t text_line(char *out, size_t capacity_bytes, const char *text)
{
    return show(out, capacity_bytes, (const uint8_t *)text, strlen(text), false);
}

size_t text_vprint(char *out, size_t capacity_bytes, const char *format, va_list arguments)
{
    char raw[RAW_BYTES] = "";

    (void)vsnprintf(raw, sizeof(raw), format, arguments);
    return text_line(out, capacity_bytes, raw);
}

size_t text_print(char *out, size_t capacity_bytes, const char *format, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = text_vprint(out, capacity_bytes, format, arguments);
    va_end(arguments);
    return length;
}
