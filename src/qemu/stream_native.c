/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig's own stream behind the hook: every byte is expected, so every other is refused. */
#include <string.h>

#include "native.h"
#include "stream_steps.h"

static bool is_footer(const uint8_t *bytes, uint8_t section_id)
{
    const uint8_t footer[] = {QEMU_STREAM_RECORD_FOOTER, 0, 0, 0, section_id};

    return memcmp(bytes, footer, sizeof(footer)) == 0;
}

static enum qemu_stream_event take_setup_end(struct qemu_stream *stream)
{
    if (qemu_stream_field_number(stream, 0, 8) != QEMU_STREAM_RAM_FLAG_END_OF_SECTION ||
        !is_footer(stream->field + 8, NATIVE_RAM_SECTION_ID)) {
        return qemu_stream_break_off(stream, "the RAM section does not end behind its hook");
    }
    return qemu_stream_go_to(stream, STEP_NATIVE_RECORD);
}

static enum qemu_stream_event take_native_record(struct qemu_stream *stream)
{
    switch (stream->field[0]) {
    case QEMU_STREAM_RECORD_SECTION_FULL:
        return qemu_stream_go_to(stream, STEP_NATIVE_STATE_HEADER);
    case QEMU_STREAM_RECORD_COMMAND:
        return qemu_stream_go_to(stream, STEP_NATIVE_PREPARE);
    case QEMU_STREAM_RECORD_END:
        return qemu_stream_break_off(stream, "ends before the source asked to prepare");
    default:
        return qemu_stream_break_off(stream, "record 0x%02x where device state belongs",
                                     stream->field[0]);
    }
}

/* The record byte before these has been taken already. */
static enum qemu_stream_event take_state_header(struct qemu_stream *stream)
{
    uint8_t expected[NATIVE_STATE_HEADER_BYTES];
    uint32_t state_bytes = qemu_stream_field_u32(stream, NATIVE_STATE_HEADER_BYTES - 1 - 4);

    if (state_bytes == 0 || state_bytes > NATIVE_STATE_BYTES_MAX) {
        return qemu_stream_break_off(stream, "state section of %u bytes, 1 to %d are possible",
                                     state_bytes, NATIVE_STATE_BYTES_MAX);
    }
    native_write_state_header(expected, sizeof(expected), state_bytes);
    if (memcmp(stream->field, expected + 1, sizeof(expected) - 1) != 0) {
        return qemu_stream_break_off(stream,
                                     "a section that is not device state of this version of rdmig");
    }
    return qemu_stream_collect(stream, STEP_NATIVE_STATE_BYTES, state_bytes);
}

static enum qemu_stream_event take_state_bytes(struct qemu_stream *stream)
{
    return qemu_stream_go_to(stream, STEP_NATIVE_STATE_FOOTER);
}

static enum qemu_stream_event take_state_footer(struct qemu_stream *stream)
{
    if (!is_footer(stream->field, NATIVE_STATE_SECTION_ID)) {
        return qemu_stream_break_off(stream, "a state section without its footer");
    }
    return qemu_stream_go_to(stream, STEP_NATIVE_RECORD);
}

static enum qemu_stream_event take_prepare(struct qemu_stream *stream)
{
    if (qemu_stream_field_number(stream, 0, 4) != (uint32_t)NATIVE_COMMAND_PREPARE << 16) {
        return qemu_stream_break_off(
            stream, "command 0x%04x with %u bytes, only 0x%04x with none is known",
            (unsigned int)qemu_stream_field_number(stream, 0, 2),
            (unsigned int)qemu_stream_field_number(stream, 2, 2), NATIVE_COMMAND_PREPARE);
    }
    qemu_stream_go_to(stream, STEP_NATIVE_END);
    return QEMU_STREAM_PREPARED;
}

static enum qemu_stream_event take_end(struct qemu_stream *stream)
{
    if (stream->field[0] != QEMU_STREAM_RECORD_END) {
        return qemu_stream_break_off(stream, "record 0x%02x where the end mark belongs",
                                     stream->field[0]);
    }
    qemu_stream_go_to(stream, STEP_ENDED);
    return QEMU_STREAM_ENDED;
}

static enum qemu_stream_event take_after_end(struct qemu_stream *stream)
{
    return qemu_stream_break_off(stream, "goes on behind its end mark");
}

/* By step, counted from STEP_NATIVE_SETUP_END. */
const struct step_rule qemu_stream_native_rules[] = {
    [0] = {KIND_KEPT, NATIVE_SETUP_END_BYTES, take_setup_end},
    [STEP_NATIVE_RECORD - STEP_NATIVE_SETUP_END] = {KIND_KEPT, 1, take_native_record},
    [STEP_NATIVE_STATE_HEADER -
        STEP_NATIVE_SETUP_END] = {KIND_KEPT, NATIVE_STATE_HEADER_BYTES - 1, take_state_header},
    [STEP_NATIVE_STATE_BYTES - STEP_NATIVE_SETUP_END] = {KIND_STATE, 0, take_state_bytes},
    [STEP_NATIVE_STATE_FOOTER -
        STEP_NATIVE_SETUP_END] = {KIND_KEPT, NATIVE_STATE_FOOTER_BYTES, take_state_footer},
    [STEP_NATIVE_PREPARE -
        STEP_NATIVE_SETUP_END] = {KIND_KEPT, NATIVE_PREPARE_BYTES - 1, take_prepare},
    [STEP_NATIVE_END - STEP_NATIVE_SETUP_END] = {KIND_KEPT, 1, take_end},
    [STEP_ENDED - STEP_NATIVE_SETUP_END] = {KIND_KEPT, 1, take_after_end},
};
