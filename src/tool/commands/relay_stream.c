/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay_stream.h"

#include "../../qemu/stream.h"

#include <stdlib.h>
#include <string.h>

/* The end mark, 0x06 and the description's be32 length. */
#define END_HEAD_BYTES 6u
/* Of a section: 0x7e and a be32. */
#define FOOTER_BYTES 5u

bool relay_stream_init(struct relay_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->bytes = malloc(RELAY_STREAM_BYTES);
    stream->capacity_bytes = stream->bytes == NULL ? 0 : RELAY_STREAM_BYTES;
    return stream->bytes != NULL;
}

void relay_stream_free(struct relay_stream *stream)
{
    free(stream->bytes);
    memset(stream, 0, sizeof(*stream));
}

uint8_t *relay_stream_reserve(struct relay_stream *stream, size_t length_bytes)
{
    size_t left_bytes = relay_stream_left_bytes(stream);
    uint8_t *bytes;

    if (stream->start > 0) {
        memmove(stream->bytes, stream->bytes + stream->start, left_bytes);
        stream->start = 0;
        stream->end = left_bytes;
    }
    if (length_bytes > stream->capacity_bytes - left_bytes) {
        /* By halves, so that a long description is not copied too often. */
        size_t capacity_bytes = left_bytes + length_bytes + left_bytes / 2;

        bytes = realloc(stream->bytes, capacity_bytes);
        if (bytes == NULL)
            return NULL;
        stream->bytes = bytes;
        stream->capacity_bytes = capacity_bytes;
    }
    return stream->bytes + stream->end;
}

void relay_stream_added(struct relay_stream *stream, size_t length_bytes)
{
    const uint8_t *added = stream->bytes + stream->end;
    size_t kept_bytes =
        length_bytes < sizeof(stream->recent) ? sizeof(stream->recent) - length_bytes : 0;
    size_t taken_bytes = sizeof(stream->recent) - kept_bytes;

    memmove(stream->recent, stream->recent + taken_bytes, kept_bytes);
    memcpy(stream->recent + kept_bytes, added + length_bytes - taken_bytes, taken_bytes);
    stream->end += length_bytes;
    stream->position_bytes += length_bytes;
}

/* Whether the stream may end with these bytes, more of them perhaps still to come. */
static bool may_be_end(const uint8_t *bytes, size_t length_bytes)
{
    uint64_t description_bytes;

    if (length_bytes > 1 && bytes[1] != QEMU_STREAM_RECORD_DESCRIPTION)
        return false;
    if (length_bytes < END_HEAD_BYTES)
        return true;
    description_bytes =
        (uint64_t)bytes[2] << 24 | (uint64_t)bytes[3] << 16 | (uint64_t)bytes[4] << 8 | bytes[5];
    return description_bytes <= RELAY_DESCRIPTION_BYTES_MAX &&
           length_bytes - END_HEAD_BYTES <= description_bytes &&
           (length_bytes == END_HEAD_BYTES || bytes[END_HEAD_BYTES] == '{') &&
           /* JSON holds no NUL. */
           memchr(bytes + END_HEAD_BYTES, 0, length_bytes - END_HEAD_BYTES) == NULL;
}

size_t relay_stream_passable_bytes(const struct relay_stream *stream)
{
    const uint8_t *start = stream->bytes + stream->start;
    size_t left_bytes = relay_stream_left_bytes(stream);
    size_t at = 0;

    while (stream->is_end_held && at < left_bytes) {
        const uint8_t *mark = memchr(start + at, QEMU_STREAM_RECORD_END, left_bytes - at);

        if (mark == NULL)
            break;
        at = (size_t)(mark - start);
        if (may_be_end(mark, left_bytes - at))
            return at;
        at++;
    }
    return left_bytes;
}

void relay_stream_passed(struct relay_stream *stream, size_t length_bytes)
{
    stream->start += length_bytes;
}

enum relay_hook relay_stream_hook(const struct relay_stream *stream)
{
    static const uint8_t hook[RELAY_HOOK_BYTES] = {0, 0, 0, 0, 0, 0, 0, QEMU_STREAM_RAM_FLAG_HOOK};

    if (memcmp(stream->recent + RELAY_PART_BYTES - RELAY_HOOK_BYTES, hook, sizeof(hook)) != 0)
        return RELAY_HOOK_NONE;
    return stream->recent[0] == QEMU_STREAM_RECORD_SECTION_PART ? RELAY_HOOK_PART
                                                                : RELAY_HOOK_OTHER;
}

bool relay_stream_is_complete(const struct relay_stream *stream)
{
    const uint8_t *start = stream->bytes + stream->start;
    size_t left_bytes = relay_stream_left_bytes(stream);
    size_t end_mark_offset = 1;

    if (!stream->is_end_held || left_bytes == 0)
        return false;
    if (left_bytes == 1) { /* no description: the end mark behind a footer */
        const uint8_t *mark = stream->recent + sizeof(stream->recent) - 1;

        return *mark == QEMU_STREAM_RECORD_END &&
               mark[-(int)FOOTER_BYTES] == QEMU_STREAM_RECORD_FOOTER;
    }
    return qemu_stream_find_end(start, left_bytes, &end_mark_offset) && end_mark_offset == 0;
}
