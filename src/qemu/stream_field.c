/* SPDX-License-Identifier: BSD-2-Clause */
/* What the steps of the parser tell of the field that was collected, and of the next one. */
#include "stream_steps.h"
#include "text/text.h"

#include <stdarg.h>

enum qemu_stream_event qemu_stream_collect(struct qemu_stream *stream, enum step step,
                                           uint64_t wanted_bytes)
{
    stream->step = step;
    stream->wanted_bytes = wanted_bytes;
    stream->had_bytes = 0;
    return QEMU_STREAM_NEED_MORE;
}

enum qemu_stream_event qemu_stream_go_to(struct qemu_stream *stream, enum step step)
{
    return qemu_stream_collect(stream, step, WANTED_BY_RULE);
}

enum qemu_stream_event qemu_stream_break_off(struct qemu_stream *stream, const char *format, ...)
{
    size_t used_bytes;
    va_list arguments;

    used_bytes =
        text_print(stream->error, sizeof(stream->error),
                   "migration stream, byte %llu: ", (unsigned long long)stream->position_bytes);
    va_start(arguments, format);
    (void)text_vprint(stream->error + used_bytes, sizeof(stream->error) - used_bytes, format,
                      arguments);
    va_end(arguments);
    stream->step = STEP_BROKEN;
    return QEMU_STREAM_BROKEN;
}

uint64_t qemu_stream_field_number(const struct qemu_stream *stream, uint32_t offset_bytes,
                                  uint32_t length_bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < length_bytes; i++) {
        value = value << 8 | stream->field[offset_bytes + i];
    }
    return value;
}

uint32_t qemu_stream_field_u32(const struct qemu_stream *stream, uint32_t offset_bytes)
{
    return (uint32_t)qemu_stream_field_number(stream, offset_bytes, 4);
}
