/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoders of the wire: any bytes as a message, judged by a decoder of the test's own; every
 * entry that was accepted must be written back as it came, but for the padding.
 */
#include <core/wire.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes);

enum { ENTRY_BYTES_MAX = 32 };

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "FAIL wire: %s\n", what);
    abort();
}

static uint64_t big_endian(const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value << 8 | *bytes++;
    return value;
}

/* Equal, but for the four bytes of padding at that place (none: beyond the end). */
static bool is_same(const uint8_t *a, const uint8_t *b, unsigned count, unsigned padding_at)
{
    for (unsigned i = 0; i < count; i++) {
        const bool is_padding = i >= padding_at && i < padding_at + 4;

        if (is_padding ? b[i] != 0 : a[i] != b[i])
            return false;
    }
    return true;
}

static void check_block(const uint8_t *bytes)
{
    uint8_t back[WIRE_BLOCK_ENTRY_BYTES];
    struct wire_block entry;

    wire_read_block(bytes, &entry);
    require(entry.host_addr == big_endian(bytes, 8), "a block's host_addr");
    require(entry.rkey == big_endian(bytes + 24, 4), "a block's rkey");
    wire_write_block(back, &entry);
    require(is_same(bytes, back, sizeof(back), 28), "a block does not come back");
}

static void check_register(const uint8_t *bytes)
{
    uint8_t back[WIRE_REGISTER_ENTRY_BYTES];
    struct wire_register entry;

    wire_read_register(bytes, &entry);
    require(entry.block_index == big_endian(bytes + 8, 4), "a request's block");
    wire_write_register(back, &entry);
    require(is_same(bytes, back, sizeof(back), 12), "a request does not come back");
}

static void check_result(const uint8_t *bytes)
{
    uint8_t back[WIRE_RESULT_ENTRY_BYTES];
    struct wire_result entry;

    wire_read_result(bytes, &entry);
    require(entry.host_addr == big_endian(bytes + 8, 8), "a result's host_addr");
    wire_write_result(back, &entry);
    require(is_same(bytes, back, sizeof(back), 4), "a result does not come back");
}

static void check_compress(const uint8_t *bytes)
{
    uint8_t back[WIRE_COMPRESS_ENTRY_BYTES];
    struct wire_compress entry;

    wire_read_compress(bytes, &entry);
    require(entry.length_bytes == big_endian(bytes + 16, 8), "a fill's length");
    wire_write_compress(back, &entry);
    require(is_same(bytes, back, sizeof(back), ENTRY_BYTES_MAX), "a fill does not come back");
}

static void check_entry(uint32_t type, const uint8_t *bytes)
{
    switch (type) {
    case RDMIG_MESSAGE_RAM_BLOCKS_RESULT:
        check_block(bytes);
        break;
    case RDMIG_MESSAGE_REGISTER_REQUEST:
    case RDMIG_MESSAGE_UNREGISTER_REQUEST:
        check_register(bytes);
        break;
    case RDMIG_MESSAGE_REGISTER_RESULT:
        check_result(bytes);
        break;
    case RDMIG_MESSAGE_COMPRESS:
        check_compress(bytes);
        break;
    default:
        require(false, "a type without entries has some");
    }
}

static void check_message(const uint8_t *bytes, size_t length_bytes)
{
    struct wire_header header;
    uint8_t back[RDMIG_HEADER_BYTES];
    uint64_t expected;
    uint64_t actual;
    uint32_t entry_bytes;
    const enum rdmig_reason reason =
        wire_read_header(bytes, length_bytes, &header, &expected, &actual);

    require((length_bytes < RDMIG_HEADER_BYTES) == (reason == RDMIG_REASON_MESSAGE_SHORT),
            "too short, or not");
    if (reason != RDMIG_REASON_NONE)
        return;
    require(big_endian(bytes, 4) + RDMIG_HEADER_BYTES == length_bytes, "a length that is wrong");
    require(header.type > 0 && header.type <= 11, "a type that is none");
    require(header.repeat <= RDMIG_REPEAT_MAX, "a repeat that is too large");
    wire_write_header(back, &header);
    require(is_same(bytes, back, sizeof(back), 12), "a header does not come back");
    entry_bytes = wire_entry_bytes(header.type);
    require(entry_bytes <= ENTRY_BYTES_MAX, "an entry that is too long");
    require(entry_bytes > 0 || header.type == RDMIG_MESSAGE_QEMU_FILE || header.length_bytes == 0,
            "data where there is none");
    for (uint32_t at = 0; entry_bytes > 0 && at < header.length_bytes; at += entry_bytes) {
        require(header.length_bytes - at >= entry_bytes, "half an entry");
        check_entry(header.type, bytes + RDMIG_HEADER_BYTES + at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes)
{
    uint8_t message[4096];

    check_message(bytes, length_bytes);
    /* And with a length that fits, which bytes at random seldom have. */
    if (length_bytes >= RDMIG_HEADER_BYTES && length_bytes <= sizeof(message)) {
        const size_t data_bytes = length_bytes - RDMIG_HEADER_BYTES;

        memcpy(message, bytes, length_bytes);
        message[0] = 0;
        message[1] = 0;
        message[2] = (uint8_t)(data_bytes >> 8);
        message[3] = (uint8_t)data_bytes;
        check_message(message, length_bytes);
    }
    return 0;
}
