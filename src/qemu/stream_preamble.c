/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream up to the hook of the RAM section's setup: the same for a QEMU's and our own. */
#include <stdlib.h>
#include <string.h>

#include "native.h"
#include "stream_steps.h"
#include "text/text.h"

enum {
    /* A stream that has not come to its RAM section by here is not going to. */
    PREAMBLE_BYTES_MAX = 4 * 1024 * 1024,
    CAPABILITY_COUNT_MAX = 4096
};

static bool field_is(const struct qemu_stream *stream, const char *text)
{
    size_t length_bytes = strlen(text);

    return stream->wanted_bytes == length_bytes && memcmp(stream->field, text, length_bytes) == 0;
}

static enum qemu_stream_event take_magic(struct qemu_stream *stream)
{
    if (qemu_stream_field_u32(stream, 0) != QEMU_STREAM_MAGIC) {
        return qemu_stream_break_off(stream,
                                     "does not begin with QEVM, so it is no migration stream");
    }
    return qemu_stream_go_to(stream, STEP_VERSION);
}

static enum qemu_stream_event take_version(struct qemu_stream *stream)
{
    if (qemu_stream_field_u32(stream, 0) != QEMU_STREAM_VERSION) {
        return qemu_stream_break_off(stream, "stream version %u, only version %u is understood",
                                     qemu_stream_field_u32(stream, 0), QEMU_STREAM_VERSION);
    }
    return qemu_stream_go_to(stream, STEP_FIRST_RECORD);
}

/* A record before the RAM section; which ones may stand here depends on the step. */
static enum qemu_stream_event take_preamble_record(struct qemu_stream *stream)
{
    uint8_t record = stream->field[0];

    if (stream->position_bytes > PREAMBLE_BYTES_MAX) {
        return qemu_stream_break_off(stream, "no RAM section in the first %d bytes",
                                     PREAMBLE_BYTES_MAX);
    }
    if (record == QEMU_STREAM_RECORD_CONFIGURATION && stream->step == STEP_FIRST_RECORD) {
        return qemu_stream_go_to(stream, STEP_CONFIG_LENGTH);
    }
    if (stream->format == QEMU_STREAM_FORMAT_UNKNOWN) {
        stream->format = QEMU_STREAM_FORMAT_QEMU;
    }
    if (record == QEMU_STREAM_RECORD_SECTION_START) {
        return qemu_stream_go_to(stream, STEP_SECTION_ID);
    }
    if (record == QEMU_STREAM_RECORD_SUBSECTION && stream->step == STEP_CONFIGURED_RECORD) {
        return qemu_stream_go_to(stream, STEP_SUBSECTION_NAME_LENGTH);
    }
    if (record == QEMU_STREAM_RECORD_COMMAND && stream->format == QEMU_STREAM_FORMAT_QEMU) {
        return qemu_stream_go_to(stream, STEP_COMMAND_HEADER);
    }
    if (record == QEMU_STREAM_RECORD_SECTION_FULL) {
        return qemu_stream_break_off(stream,
                                     "a device's state stands before the RAM section; remove the "
                                     "device that migrates early (virtio-mem) from the source");
    }
    return qemu_stream_break_off(stream, "record 0x%02x cannot stand before the RAM section",
                                 record);
}

static enum qemu_stream_event take_config_length(struct qemu_stream *stream)
{
    uint32_t length_bytes = qemu_stream_field_u32(stream, 0);

    if (length_bytes == 0 || length_bytes > QEMU_STREAM_FIELD_BYTES_MAX) {
        return qemu_stream_break_off(stream, "machine name of %u bytes, 1 to %d are possible",
                                     length_bytes, QEMU_STREAM_FIELD_BYTES_MAX);
    }
    if (length_bytes == strlen(NATIVE_CONFIGURATION_NAME)) {
        return qemu_stream_collect(stream, STEP_CONFIG_NAME_SHORT, length_bytes);
    }
    return qemu_stream_collect(stream, STEP_CONFIG_NAME_OTHER, length_bytes);
}

static enum qemu_stream_event take_config_name(struct qemu_stream *stream)
{
    if (stream->step == STEP_CONFIG_NAME_SHORT && field_is(stream, NATIVE_CONFIGURATION_NAME)) {
        stream->format = QEMU_STREAM_FORMAT_NATIVE;
        return qemu_stream_go_to(stream, STEP_NATIVE_FIRST_SECTION);
    }
    stream->format = QEMU_STREAM_FORMAT_QEMU;
    return qemu_stream_go_to(stream, STEP_CONFIGURED_RECORD);
}

static enum qemu_stream_event take_subsection_name_length(struct qemu_stream *stream)
{
    if (stream->field[0] == 0) {
        return qemu_stream_break_off(stream, "a subsection of the configuration has no name");
    }
    return qemu_stream_collect(stream, STEP_SUBSECTION_NAME, stream->field[0]);
}

/* Subsections carry no length either: the data of each kind has to be known to pass over it. */
static enum qemu_stream_event take_subsection_name(struct qemu_stream *stream)
{
    enum { VERSION_BYTES = 4, PAGE_BITS_BYTES = 4, UUID_BYTES = 16 };

    if (field_is(stream, "configuration/capabilities")) {
        return qemu_stream_go_to(stream, STEP_CAPABILITY_COUNT);
    }
    if (field_is(stream, "configuration/target-page-bits")) {
        return qemu_stream_collect(stream, STEP_SUBSECTION_DATA, VERSION_BYTES + PAGE_BITS_BYTES);
    }
    if (field_is(stream, "configuration/uuid")) {
        return qemu_stream_collect(stream, STEP_SUBSECTION_DATA, VERSION_BYTES + UUID_BYTES);
    }
    return qemu_stream_break_off(
        stream,
        "unknown subsection '%s' of the configuration; switch off the source's "
        "migration capability that adds it",
        text_name_of(stream->field, stream->wanted_bytes).text);
}

static enum qemu_stream_event take_subsection_data(struct qemu_stream *stream)
{
    return qemu_stream_go_to(stream, STEP_CONFIGURED_RECORD);
}

static enum qemu_stream_event next_capability(struct qemu_stream *stream)
{
    if (stream->capabilities_left_count == 0) {
        return qemu_stream_go_to(stream, STEP_CONFIGURED_RECORD);
    }
    stream->capabilities_left_count--;
    return qemu_stream_go_to(stream, STEP_CAPABILITY_NAME_LENGTH);
}

static enum qemu_stream_event take_capability_count(struct qemu_stream *stream)
{
    stream->capabilities_left_count = qemu_stream_field_u32(stream, 4); /* behind the version */
    if (stream->capabilities_left_count > CAPABILITY_COUNT_MAX) {
        return qemu_stream_break_off(stream, "%u migration capabilities, at most %d are possible",
                                     stream->capabilities_left_count, CAPABILITY_COUNT_MAX);
    }
    return next_capability(stream);
}

static enum qemu_stream_event take_capability_name_length(struct qemu_stream *stream)
{
    return qemu_stream_collect(stream, STEP_CAPABILITY_NAME, stream->field[0]);
}

static enum qemu_stream_event take_capability_name(struct qemu_stream *stream)
{
    if (field_is(stream, "x-ignore-shared")) {
        return qemu_stream_break_off(stream,
                                     "the source leaves out shared memory; switch its capability "
                                     "x-ignore-shared off");
    }
    return next_capability(stream);
}

static enum qemu_stream_event take_command_header(struct qemu_stream *stream)
{
    return qemu_stream_collect(stream, STEP_COMMAND_DATA, qemu_stream_field_number(stream, 2, 2));
}

static enum qemu_stream_event take_command_data(struct qemu_stream *stream)
{
    return qemu_stream_go_to(stream, STEP_PREAMBLE_RECORD);
}

static enum qemu_stream_event take_section_id(struct qemu_stream *stream)
{
    if (stream->format == QEMU_STREAM_FORMAT_NATIVE &&
        qemu_stream_field_u32(stream, 0) != NATIVE_RAM_SECTION_ID) {
        return qemu_stream_break_off(stream, "RAM section with number %u, expected %d",
                                     qemu_stream_field_u32(stream, 0), NATIVE_RAM_SECTION_ID);
    }
    return qemu_stream_go_to(stream, STEP_SECTION_NAME_LENGTH);
}

static enum qemu_stream_event take_section_name_length(struct qemu_stream *stream)
{
    return qemu_stream_collect(stream, STEP_SECTION_NAME, stream->field[0]);
}

static enum qemu_stream_event take_section_name(struct qemu_stream *stream)
{
    if (!field_is(stream, QEMU_STREAM_RAM_NAME)) {
        return qemu_stream_break_off(
            stream,
            "section '%s' stands before the RAM section; switch off what adds it at "
            "the source (block migration, dirty bitmaps)",
            text_name_of(stream->field, stream->wanted_bytes).text);
    }
    return qemu_stream_go_to(stream, STEP_SECTION_INSTANCE);
}

static enum qemu_stream_event take_section_instance(struct qemu_stream *stream)
{
    if (qemu_stream_field_u32(stream, 0) != 0 ||
        qemu_stream_field_u32(stream, 4) != QEMU_STREAM_RAM_VERSION) {
        return qemu_stream_break_off(
            stream,
            "RAM section instance %u version %u, expected instance 0 version "
            "%u",
            qemu_stream_field_u32(stream, 0), qemu_stream_field_u32(stream, 4),
            QEMU_STREAM_RAM_VERSION);
    }
    return qemu_stream_go_to(stream, STEP_TOTAL);
}

static enum qemu_stream_event take_total(struct qemu_stream *stream)
{
    uint64_t record = qemu_stream_field_number(stream, 0, 8);

    if ((record & QEMU_STREAM_RAM_FLAGS_MASK) != QEMU_STREAM_RAM_FLAG_MEM_SIZE) {
        return qemu_stream_break_off(
            stream, "RAM section begins with flags 0x%03x, expected the size of RAM",
            (unsigned int)(record & QEMU_STREAM_RAM_FLAGS_MASK));
    }
    stream->ram_left_bytes = record & ~(uint64_t)QEMU_STREAM_RAM_FLAGS_MASK;
    if (stream->ram_left_bytes == 0) {
        return qemu_stream_break_off(stream, "the guest has no RAM");
    }
    return qemu_stream_go_to(stream, STEP_BLOCK_NAME_LENGTH);
}

static bool reserve_block(struct qemu_stream *stream)
{
    uint32_t capacity_count = stream->block_capacity_count;
    struct qemu_stream_block *blocks;

    if (stream->block_count < capacity_count) {
        return true;
    }
    capacity_count = capacity_count == 0 ? 16 : capacity_count * 2;
    blocks = realloc(stream->blocks, capacity_count * sizeof(*blocks));
    if (blocks == NULL) {
        return false;
    }
    stream->blocks = blocks;
    stream->block_capacity_count = capacity_count;
    return true;
}

static enum qemu_stream_event take_block_name_length(struct qemu_stream *stream)
{
    if (stream->field[0] == 0) {
        return qemu_stream_break_off(
            stream,
            "RAM block %u has no name; if the source has postcopy-ram on over "
            "huge pages, or x-ignore-shared, switch it off",
            stream->block_count);
    }
    if (stream->block_count == QEMU_STREAM_BLOCK_COUNT_MAX) {
        return qemu_stream_break_off(stream, "more than %d RAM blocks",
                                     QEMU_STREAM_BLOCK_COUNT_MAX);
    }
    if (!reserve_block(stream)) {
        return qemu_stream_break_off(stream, "no memory for the list of RAM blocks");
    }
    return qemu_stream_collect(stream, STEP_BLOCK_NAME, stream->field[0]);
}

static enum qemu_stream_event take_block_name(struct qemu_stream *stream)
{
    struct qemu_stream_block *block = &stream->blocks[stream->block_count];
    size_t length_bytes = (size_t)stream->wanted_bytes;

    if (memchr(stream->field, 0, length_bytes) != NULL) {
        return qemu_stream_break_off(stream, "the name of RAM block %u has a NUL inside",
                                     stream->block_count);
    }
    memset(block, 0, sizeof(*block));
    memcpy(block->name, stream->field, length_bytes);
    return qemu_stream_go_to(stream, STEP_BLOCK_LENGTH);
}

static int compare_names(const void *left, const void *right)
{
    const struct qemu_stream_block *const *left_block = left;
    const struct qemu_stream_block *const *right_block = right;

    return strcmp((*left_block)->name, (*right_block)->name);
}

/* By sorting: comparing each name with each is a second of work for a list that means harm. */
static enum qemu_stream_event check_names(struct qemu_stream *stream)
{
    const struct qemu_stream_block **sorted = calloc(stream->block_count, sizeof(*sorted));
    const struct qemu_stream_block *doubled = NULL;

    if (sorted == NULL) {
        return qemu_stream_break_off(stream, "no memory to check the list of RAM blocks");
    }
    for (uint32_t i = 0; i < stream->block_count; i++) {
        sorted[i] = &stream->blocks[i];
    }
    qsort(sorted, stream->block_count, sizeof(*sorted), compare_names);
    for (uint32_t i = 1; i < stream->block_count && doubled == NULL; i++) {
        doubled = strcmp(sorted[i - 1]->name, sorted[i]->name) == 0 ? sorted[i] : NULL;
    }
    free(sorted);
    if (doubled != NULL) {
        return qemu_stream_break_off(stream, "two RAM blocks are named '%s'",
                                     text_name(doubled->name).text);
    }
    return qemu_stream_go_to(stream, STEP_HOOK);
}

static enum qemu_stream_event take_block_length(struct qemu_stream *stream)
{
    struct qemu_stream_block *block = &stream->blocks[stream->block_count];
    uint64_t length_bytes = qemu_stream_field_number(stream, 0, 8);

    if (length_bytes == 0 || (length_bytes & QEMU_STREAM_RAM_FLAGS_MASK) != 0) {
        return qemu_stream_break_off(stream,
                                     "RAM block %u is 0x%llx bytes long, not a number of pages",
                                     stream->block_count, (unsigned long long)length_bytes);
    }
    if (length_bytes > stream->ram_left_bytes) {
        return qemu_stream_break_off(
            stream, "the RAM blocks up to number %u are longer than the guest's RAM",
            stream->block_count);
    }
    block->length_bytes = length_bytes;
    stream->block_count++;
    stream->ram_left_bytes -= length_bytes;
    if (stream->ram_left_bytes == 0) {
        return check_names(stream);
    }
    return qemu_stream_go_to(stream, STEP_BLOCK_NAME_LENGTH);
}

static enum qemu_stream_event take_hook(struct qemu_stream *stream)
{
    uint64_t record = qemu_stream_field_number(stream, 0, 8);

    if (record != QEMU_STREAM_RAM_FLAG_HOOK) {
        return qemu_stream_break_off(
            stream,
            "the source does not migrate over RDMA: record 0x%llx where the "
            "RDMA hook 0x80 belongs; migrate to an rdma: address",
            (unsigned long long)record);
    }
    stream->hook_position_bytes = stream->position_bytes;
    qemu_stream_go_to(stream, stream->format == QEMU_STREAM_FORMAT_NATIVE ? STEP_NATIVE_SETUP_END
                                                                          : STEP_OPAQUE);
    return QEMU_STREAM_BLOCKS_LISTED;
}

const struct step_rule qemu_stream_preamble_rules[] = {
    [STEP_MAGIC] = {KIND_KEPT, 4, take_magic},
    [STEP_VERSION] = {KIND_KEPT, 4, take_version},
    [STEP_FIRST_RECORD] = {KIND_KEPT, 1, take_preamble_record},
    [STEP_CONFIGURED_RECORD] = {KIND_KEPT, 1, take_preamble_record},
    [STEP_PREAMBLE_RECORD] = {KIND_KEPT, 1, take_preamble_record},
    [STEP_CONFIG_LENGTH] = {KIND_KEPT, 4, take_config_length},
    [STEP_CONFIG_NAME_SHORT] = {KIND_KEPT, 0, take_config_name},
    [STEP_CONFIG_NAME_OTHER] = {KIND_SKIPPED, 0, take_config_name},
    [STEP_SUBSECTION_NAME_LENGTH] = {KIND_KEPT, 1, take_subsection_name_length},
    [STEP_SUBSECTION_NAME] = {KIND_KEPT, 0, take_subsection_name},
    [STEP_SUBSECTION_DATA] = {KIND_SKIPPED, 0, take_subsection_data},
    [STEP_CAPABILITY_COUNT] = {KIND_KEPT, 8, take_capability_count},
    [STEP_CAPABILITY_NAME_LENGTH] = {KIND_KEPT, 1, take_capability_name_length},
    [STEP_CAPABILITY_NAME] = {KIND_KEPT, 0, take_capability_name},
    [STEP_COMMAND_HEADER] = {KIND_KEPT, 4, take_command_header},
    [STEP_COMMAND_DATA] = {KIND_SKIPPED, 0, take_command_data},
    [STEP_SECTION_ID] = {KIND_KEPT, 4, take_section_id},
    [STEP_SECTION_NAME_LENGTH] = {KIND_KEPT, 1, take_section_name_length},
    [STEP_SECTION_NAME] = {KIND_KEPT, 0, take_section_name},
    [STEP_SECTION_INSTANCE] = {KIND_KEPT, 8, take_section_instance},
    [STEP_TOTAL] = {KIND_KEPT, 8, take_total},
    [STEP_BLOCK_NAME_LENGTH] = {KIND_KEPT, 1, take_block_name_length},
    [STEP_BLOCK_NAME] = {KIND_KEPT, 0, take_block_name},
    [STEP_BLOCK_LENGTH] = {KIND_KEPT, 8, take_block_length},
    [STEP_HOOK] = {KIND_KEPT, 8, take_hook},
    [STEP_OPAQUE] = {KIND_ENDLESS, 0, NULL},
    [STEP_NATIVE_FIRST_SECTION] = {KIND_KEPT, 1, take_preamble_record},
};
