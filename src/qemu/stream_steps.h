/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside the stream parser: what stream.c (the feeding loop), stream_preamble.c (all up to the
 * hook) and stream_native.c (rdmig's own stream behind it) share. Nobody else includes this.
 */
#ifndef RDMIG_QEMU_STREAM_STEPS_H
#define RDMIG_QEMU_STREAM_STEPS_H

#include "stream.h"

/*
 * What the parser is collecting. Each step is one field: its bytes are gathered (or skipped, or
 * handed to the caller), then its handler looks at them and chooses the next step.
 */
enum step {
    STEP_MAGIC,
    STEP_VERSION,
    STEP_FIRST_RECORD,         /* a configuration, a command or a section may follow */
    STEP_CONFIGURED_RECORD,    /* a subsection of the configuration, a command or a section */
    STEP_PREAMBLE_RECORD,      /* a command or a section */
    STEP_NATIVE_FIRST_SECTION, /* nothing but the RAM section */
    STEP_CONFIG_LENGTH,
    STEP_CONFIG_NAME_SHORT, /* as long as our own name: kept for the comparison */
    STEP_CONFIG_NAME_OTHER,
    STEP_SUBSECTION_NAME_LENGTH,
    STEP_SUBSECTION_NAME,
    STEP_SUBSECTION_DATA,
    STEP_CAPABILITY_COUNT,
    STEP_CAPABILITY_NAME_LENGTH,
    STEP_CAPABILITY_NAME,
    STEP_COMMAND_HEADER,
    STEP_COMMAND_DATA,
    STEP_SECTION_ID,
    STEP_SECTION_NAME_LENGTH,
    STEP_SECTION_NAME,
    STEP_SECTION_INSTANCE,
    STEP_TOTAL,
    STEP_BLOCK_NAME_LENGTH,
    STEP_BLOCK_NAME,
    STEP_BLOCK_LENGTH,
    STEP_HOOK,
    STEP_OPAQUE, /* a QEMU's stream behind its first hook */
    STEP_NATIVE_SETUP_END,
    STEP_NATIVE_RECORD,
    STEP_NATIVE_STATE_HEADER,
    STEP_NATIVE_STATE_BYTES,
    STEP_NATIVE_STATE_FOOTER,
    STEP_NATIVE_PREPARE,
    STEP_NATIVE_END,
    STEP_ENDED,
    STEP_BROKEN
};

/* The feeding loop looks the length up: the steps do not know the rules. No field is as long. */
#define WANTED_BY_RULE UINT64_MAX

struct qemu_stream {
    enum step step;
    enum qemu_stream_format format;
    uint64_t position_bytes;
    uint64_t hook_position_bytes;
    uint64_t wanted_bytes; /* length of the field being collected, or WANTED_BY_RULE */
    uint64_t had_bytes;    /* of these, seen so far */
    uint32_t capabilities_left_count;
    uint64_t ram_left_bytes; /* of the RAM section's total, not yet covered by blocks */
    struct qemu_stream_block *blocks;
    uint32_t block_count;
    uint32_t block_capacity_count;
    uint8_t field[QEMU_STREAM_NAME_BYTES_MAX];
    char error[256];
};

/* What a step's handler tells the feeding loop; all but NEED_MORE end the feed. */
typedef enum qemu_stream_event step_handler(struct qemu_stream *stream);

enum step_kind { KIND_KEPT, KIND_SKIPPED, KIND_STATE, KIND_ENDLESS };

struct step_rule {
    enum step_kind kind;
    uint32_t field_bytes; /* 0: given by whoever chooses the step */
    step_handler *handle;
};

/* The steps up to STEP_OPAQUE, and those behind it less STEP_NATIVE_SETUP_END. */
extern const struct step_rule qemu_stream_preamble_rules[];
extern const struct step_rule qemu_stream_native_rules[];

/* stream_field.c. Chooses the next step; go_to for those whose length is fixed. Both return NEED_MORE. */
enum qemu_stream_event qemu_stream_collect(struct qemu_stream *stream, enum step step,
                                           uint64_t wanted_bytes);
enum qemu_stream_event qemu_stream_go_to(struct qemu_stream *stream, enum step step);

/* Ends the parsing for good with this cause; returns BROKEN. */
__attribute__((format(printf, 2, 3))) enum qemu_stream_event
qemu_stream_break_off(struct qemu_stream *stream, const char *format, ...);

/* A big-endian number inside the field just collected. */
uint64_t qemu_stream_field_number(const struct qemu_stream *stream, uint32_t offset_bytes,
                                  uint32_t length_bytes);
uint32_t qemu_stream_field_u32(const struct qemu_stream *stream, uint32_t offset_bytes);

#endif
