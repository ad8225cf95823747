/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "stream_steps.h"

static const struct step_rule *rule_of(enum step step)
{
    if (step >= STEP_NATIVE_SETUP_END) {
        return &qemu_stream_native_rules[step - STEP_NATIVE_SETUP_END];
    }
    return &qemu_stream_preamble_rules[step];
}

struct qemu_stream *qemu_stream_create(void)
{
    struct qemu_stream *stream = calloc(1, sizeof(*stream));

    if (stream != NULL) {
        qemu_stream_go_to(stream, STEP_MAGIC);
    }
    return stream;
}

void qemu_stream_destroy(struct qemu_stream *stream)
{
    if (stream != NULL) {
        free(stream->blocks);
        free(stream);
    }
}

/* Takes what the field still lacks from the input; returns the number of bytes taken. */
static size_t take_bytes(struct qemu_stream *stream, enum step_kind kind, const uint8_t *bytes,
                         size_t length_bytes)
{
    uint64_t lacking_bytes = stream->wanted_bytes - stream->had_bytes;
    size_t taken_bytes = length_bytes;

    if (kind != KIND_ENDLESS && lacking_bytes < length_bytes) {
        taken_bytes = (size_t)lacking_bytes;
    }
    if (kind == KIND_KEPT) {
        memcpy(stream->field + stream->had_bytes, bytes, taken_bytes);
    }
    if (kind != KIND_ENDLESS) {
        stream->had_bytes += taken_bytes;
    }
    stream->position_bytes += taken_bytes;
    return taken_bytes;
}

/*
 * Bounded: each turn takes at least one byte or completes a field, and no two fields of length 0
 * follow each other without one byte between them.
 */
enum qemu_stream_event qemu_stream_feed(struct qemu_stream *stream, const uint8_t *bytes,
                                        size_t length_bytes, size_t *consumed_bytes,
                                        struct qemu_stream_state *state)
{
    size_t used_bytes = 0;
    enum qemu_stream_event event = QEMU_STREAM_NEED_MORE;

    *consumed_bytes = 0;
    *state = (struct qemu_stream_state){NULL, 0};
    if (stream->step == STEP_BROKEN) {
        return QEMU_STREAM_BROKEN;
    }
    while (event == QEMU_STREAM_NEED_MORE) {
        const struct step_rule *rule = rule_of(stream->step);

        if (stream->wanted_bytes == WANTED_BY_RULE) {
            stream->wanted_bytes = rule->field_bytes;
        }
        if (rule->kind != KIND_ENDLESS && stream->had_bytes == stream->wanted_bytes) {
            event = rule->handle(stream);
        } else if (used_bytes < length_bytes) {
            const uint8_t *next = bytes + used_bytes;
            size_t taken_bytes = take_bytes(stream, rule->kind, next, length_bytes - used_bytes);

            used_bytes += taken_bytes;
            if (rule->kind == KIND_STATE) {
                *state = (struct qemu_stream_state){next, taken_bytes};
                event = QEMU_STREAM_STATE_BYTES;
            }
        } else {
            break;
        }
    }
    *consumed_bytes = used_bytes;
    return event;
}

enum qemu_stream_format qemu_stream_format(const struct qemu_stream *stream)
{
    return stream->format;
}

uint64_t qemu_stream_position(const struct qemu_stream *stream)
{
    return stream->position_bytes;
}

uint64_t qemu_stream_hook_position(const struct qemu_stream *stream)
{
    return stream->hook_position_bytes;
}

uint32_t qemu_stream_block_count(const struct qemu_stream *stream)
{
    /* A list that is not complete has not been checked: nobody shall use it. */
    return stream->hook_position_bytes != 0 ? stream->block_count : 0;
}

const struct qemu_stream_block *qemu_stream_block(const struct qemu_stream *stream, uint32_t index)
{
    return index < qemu_stream_block_count(stream) ? &stream->blocks[index] : NULL;
}

const char *qemu_stream_error(const struct qemu_stream *stream)
{
    return stream->error;
}

static bool ends_with_description(const uint8_t *bytes, size_t length_bytes, size_t mark_offset)
{
    enum { HEAD_BYTES = 6 };
    const uint8_t *mark = bytes + mark_offset;
    size_t json_bytes;

    if (length_bytes - mark_offset < HEAD_BYTES + 2) {
        return false;
    }
    json_bytes = length_bytes - mark_offset - HEAD_BYTES;
    return mark[0] == QEMU_STREAM_RECORD_END && mark[1] == QEMU_STREAM_RECORD_DESCRIPTION &&
           ((size_t)mark[2] << 24 | (size_t)mark[3] << 16 | (size_t)mark[4] << 8 | mark[5]) ==
               json_bytes &&
           mark[HEAD_BYTES] == '{' && bytes[length_bytes - 1] == '}';
}

bool qemu_stream_find_end(const uint8_t *bytes, size_t length_bytes, size_t *end_mark_offset)
{
    enum { FOOTER_BYTES = 5, LENGTH_END = 5 };
    size_t last_nul = length_bytes;

    if (length_bytes > FOOTER_BYTES && bytes[length_bytes - 1] == QEMU_STREAM_RECORD_END &&
        bytes[length_bytes - 1 - FOOTER_BYTES] == QEMU_STREAM_RECORD_FOOTER) {
        *end_mark_offset = length_bytes - 1;
        return true;
    }
    /* JSON holds no NUL, so the last one is the end mark itself or in the length behind it. */
    while (last_nul > 0 && bytes[last_nul - 1] != 0) {
        last_nul--;
    }
    for (size_t back = 1; back <= LENGTH_END + 1 && back <= last_nul; back++) {
        if (ends_with_description(bytes, length_bytes, last_nul - back)) {
            *end_mark_offset = last_nul - back;
            return true;
        }
    }
    return false;
}
