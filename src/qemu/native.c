/* SPDX-License-Identifier: BSD-2-Clause */
#include "native.h"

#include <stdbool.h>
#include <string.h>

#include "stream.h"

enum {
    /* "QEVM", version, configuration record, section start, total */
    PREFIX_FIXED_BYTES = 4 + 4 + (1 + 4 + 7) + (1 + 4 + 1 + 3 + 4 + 4) + 8,
    BLOCK_FIXED_BYTES = 1 + 8,
    HOOK_BYTES = 8
};

/* Where the next byte goes. Capacity is checked once, before the first byte of a piece. */
struct writer {
    uint8_t *next;
};

static void put_big_endian(struct writer *writer, uint64_t value, unsigned int length_bytes)
{
    for (unsigned int i = 0; i < length_bytes; i++) {
        *writer->next++ = (uint8_t)(value >> (8 * (length_bytes - 1 - i)));
    }
}

static void put_u8(struct writer *writer, uint8_t value)
{
    put_big_endian(writer, value, 1);
}

static void put_u32(struct writer *writer, uint32_t value)
{
    put_big_endian(writer, value, 4);
}

static void put_u64(struct writer *writer, uint64_t value)
{
    put_big_endian(writer, value, 8);
}

static void put_text(struct writer *writer, const char *text, size_t length_bytes)
{
    memcpy(writer->next, text, length_bytes);
    writer->next += length_bytes;
}

static void put_name(struct writer *writer, const char *name)
{
    size_t length_bytes = strlen(name);

    put_u8(writer, (uint8_t)length_bytes);
    put_text(writer, name, length_bytes);
}

static void put_footer(struct writer *writer, uint32_t section_id)
{
    put_u8(writer, QEMU_STREAM_RECORD_FOOTER);
    put_u32(writer, section_id);
}

static bool block_is_valid(const struct native_block *block)
{
    size_t name_bytes = block->name != NULL ? strlen(block->name) : 0;

    return name_bytes >= 1 && name_bytes <= QEMU_STREAM_NAME_BYTES_MAX &&
           block->length_bytes != 0 && (block->length_bytes & QEMU_STREAM_RAM_FLAGS_MASK) == 0;
}

/* False when the blocks cannot be sent. Cannot overflow size_t: the count and names are bounded. */
static bool measure_blocks(const struct native_block *blocks, size_t block_count,
                           size_t *encoded_bytes, uint64_t *total_bytes)
{
    *encoded_bytes = 0;
    *total_bytes = 0;
    if (block_count == 0 || block_count > QEMU_STREAM_BLOCK_COUNT_MAX) {
        return false;
    }
    for (size_t i = 0; i < block_count; i++) {
        if (!block_is_valid(&blocks[i]) || blocks[i].length_bytes > UINT64_MAX - *total_bytes) {
            return false;
        }
        *encoded_bytes += BLOCK_FIXED_BYTES + strlen(blocks[i].name);
        *total_bytes += blocks[i].length_bytes;
    }
    return true;
}

size_t native_prefix_bytes(const struct native_block *blocks, size_t block_count)
{
    size_t encoded_bytes;
    uint64_t total_bytes;

    if (!measure_blocks(blocks, block_count, &encoded_bytes, &total_bytes)) {
        return 0;
    }
    return PREFIX_FIXED_BYTES + encoded_bytes + HOOK_BYTES;
}

size_t native_write_prefix(uint8_t *buffer, size_t capacity_bytes,
                           const struct native_block *blocks, size_t block_count)
{
    struct writer writer = {buffer};
    size_t encoded_bytes;
    uint64_t total_bytes;

    if (!measure_blocks(blocks, block_count, &encoded_bytes, &total_bytes) ||
        capacity_bytes < PREFIX_FIXED_BYTES + encoded_bytes + HOOK_BYTES) {
        return 0;
    }
    put_u32(&writer, QEMU_STREAM_MAGIC);
    put_u32(&writer, QEMU_STREAM_VERSION);
    put_u8(&writer, QEMU_STREAM_RECORD_CONFIGURATION);
    put_u32(&writer, (uint32_t)strlen(NATIVE_CONFIGURATION_NAME));
    put_text(&writer, NATIVE_CONFIGURATION_NAME, strlen(NATIVE_CONFIGURATION_NAME));
    put_u8(&writer, QEMU_STREAM_RECORD_SECTION_START);
    put_u32(&writer, NATIVE_RAM_SECTION_ID);
    put_name(&writer, QEMU_STREAM_RAM_NAME);
    put_u32(&writer, 0);
    put_u32(&writer, QEMU_STREAM_RAM_VERSION);
    put_u64(&writer, total_bytes | QEMU_STREAM_RAM_FLAG_MEM_SIZE);
    for (size_t i = 0; i < block_count; i++) {
        put_name(&writer, blocks[i].name);
        put_u64(&writer, blocks[i].length_bytes);
    }
    put_u64(&writer, QEMU_STREAM_RAM_FLAG_HOOK);
    return (size_t)(writer.next - buffer);
}

size_t native_write_setup_end(uint8_t *buffer, size_t capacity_bytes)
{
    struct writer writer = {buffer};

    if (capacity_bytes < NATIVE_SETUP_END_BYTES) {
        return 0;
    }
    put_u64(&writer, QEMU_STREAM_RAM_FLAG_END_OF_SECTION);
    put_footer(&writer, NATIVE_RAM_SECTION_ID);
    return (size_t)(writer.next - buffer);
}

size_t native_write_state_header(uint8_t *buffer, size_t capacity_bytes, size_t state_bytes)
{
    struct writer writer = {buffer};

    if (capacity_bytes < NATIVE_STATE_HEADER_BYTES || state_bytes == 0 ||
        state_bytes > NATIVE_STATE_BYTES_MAX) {
        return 0;
    }
    put_u8(&writer, QEMU_STREAM_RECORD_SECTION_FULL);
    put_u32(&writer, NATIVE_STATE_SECTION_ID);
    put_name(&writer, NATIVE_STATE_NAME);
    put_u32(&writer, 0);
    put_u32(&writer, NATIVE_STATE_VERSION);
    put_u32(&writer, (uint32_t)state_bytes);
    return (size_t)(writer.next - buffer);
}

size_t native_write_state_footer(uint8_t *buffer, size_t capacity_bytes)
{
    struct writer writer = {buffer};

    if (capacity_bytes < NATIVE_STATE_FOOTER_BYTES) {
        return 0;
    }
    put_footer(&writer, NATIVE_STATE_SECTION_ID);
    return (size_t)(writer.next - buffer);
}

size_t native_write_prepare(uint8_t *buffer, size_t capacity_bytes)
{
    struct writer writer = {buffer};

    if (capacity_bytes < NATIVE_PREPARE_BYTES) {
        return 0;
    }
    put_u8(&writer, QEMU_STREAM_RECORD_COMMAND);
    put_big_endian(&writer, NATIVE_COMMAND_PREPARE, 2);
    put_big_endian(&writer, 0, 2);
    return (size_t)(writer.next - buffer);
}

size_t native_write_end(uint8_t *buffer, size_t capacity_bytes)
{
    if (capacity_bytes < NATIVE_END_BYTES) {
        return 0;
    }
    buffer[0] = QEMU_STREAM_RECORD_END;
    return NATIVE_END_BYTES;
}
