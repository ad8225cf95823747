/* SPDX-License-Identifier: BSD-2-Clause */
/* The codec of the wire: a message of each kind written and read back, over and over. */
#include "bench.h"

#include "core/wire.h"

#include <string.h>

enum { REPEAT_COUNT = 200000, ENTRIES_MAX = 64, MESSAGE_BYTES_MAX = 4096 };

static uint8_t message[MESSAGE_BYTES_MAX];

static void write_entry(uint32_t type, uint8_t *bytes, uint32_t i)
{
    switch (type) {
    case RDMIG_MESSAGE_RAM_BLOCKS_RESULT:
        wire_write_block(bytes, &(struct wire_block){i, i + 1, i + 2, i});
        break;
    case RDMIG_MESSAGE_REGISTER_REQUEST:
    case RDMIG_MESSAGE_UNREGISTER_REQUEST:
        wire_write_register(bytes, &(struct wire_register){i, i, 63});
        break;
    case RDMIG_MESSAGE_REGISTER_RESULT:
        wire_write_result(bytes, &(struct wire_result){i, i});
        break;
    default:
        wire_write_compress(bytes, &(struct wire_compress){0, i, i, i});
        break;
    }
}

static uint64_t read_entry(uint32_t type, const uint8_t *bytes)
{
    struct wire_block block;
    struct wire_register chunk;
    struct wire_result result;
    struct wire_compress compress;

    switch (type) {
    case RDMIG_MESSAGE_RAM_BLOCKS_RESULT:
        wire_read_block(bytes, &block);
        return block.host_addr + block.length_bytes;
    case RDMIG_MESSAGE_REGISTER_REQUEST:
    case RDMIG_MESSAGE_UNREGISTER_REQUEST:
        wire_read_register(bytes, &chunk);
        return chunk.key + chunk.extra_chunk_count;
    case RDMIG_MESSAGE_REGISTER_RESULT:
        wire_read_result(bytes, &result);
        return result.host_addr + result.rkey;
    default:
        wire_read_compress(bytes, &compress);
        return compress.offset_bytes + compress.length_bytes;
    }
}

static uint64_t message_bytes(uint32_t type, uint32_t entry_count)
{
    return RDMIG_HEADER_BYTES + (uint64_t)entry_count * wire_entry_bytes(type);
}

static void write_message(uint32_t type, uint32_t entry_count)
{
    const uint32_t entry_bytes = wire_entry_bytes(type);
    const struct wire_header header = {
        (uint32_t)(message_bytes(type, entry_count) - RDMIG_HEADER_BYTES), type,
        entry_count == 0 ? 1 : entry_count};

    wire_write_header(message, &header);
    for (uint32_t i = 0; i < entry_count; i++)
        write_entry(type, message + RDMIG_HEADER_BYTES + (size_t)i * entry_bytes, i);
}

static uint64_t read_message(uint32_t type, uint32_t entry_count)
{
    const uint32_t entry_bytes = wire_entry_bytes(type);
    struct wire_header header;
    uint64_t expected;
    uint64_t actual;
    uint64_t sum = 0;

    if (wire_read_header(message, message_bytes(type, entry_count), &header, &expected, &actual) !=
        RDMIG_REASON_NONE)
        bench_fail("the codec refuses its own message of type %u", type);
    for (uint32_t i = 0; i < entry_count; i++)
        sum += read_entry(type, message + RDMIG_HEADER_BYTES + (size_t)i * entry_bytes);
    return sum;
}

void bench_codec(struct bench *bench)
{
    static const struct {
        const char *label;
        uint32_t type;
        uint32_t entry_count;
    } messages[] = {
        {"READY", RDMIG_MESSAGE_READY, 0},
        {"REGISTER_REQUEST, 1 run", RDMIG_MESSAGE_REGISTER_REQUEST, 1},
        {"REGISTER_REQUEST, 64 runs", RDMIG_MESSAGE_REGISTER_REQUEST, ENTRIES_MAX},
        {"REGISTER_RESULT, 1 run", RDMIG_MESSAGE_REGISTER_RESULT, 1},
        {"REGISTER_RESULT, 64 runs", RDMIG_MESSAGE_REGISTER_RESULT, ENTRIES_MAX},
        {"COMPRESS, 1 range", RDMIG_MESSAGE_COMPRESS, 1},
        {"UNREGISTER_REQUEST, 1 run", RDMIG_MESSAGE_UNREGISTER_REQUEST, 1},
        {"RAM_BLOCKS_RESULT, 16 blocks", RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 16},
    };

    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct bench_cost cost;

        bench_begin(&cost);
        for (uint32_t k = 0; k < REPEAT_COUNT; k++)
            write_message(messages[i].type, messages[i].entry_count);
        bench_end(&cost);
        bench_sample(bench, "codec", messages[i].label, "writing a message", "ns",
                     cost.cpu_ns / REPEAT_COUNT);
        bench_begin(&cost);
        for (uint32_t k = 0; k < REPEAT_COUNT; k++)
            bench->check += read_message(messages[i].type, messages[i].entry_count);
        bench_end(&cost);
        bench_sample(bench, "codec", messages[i].label, "reading a message", "ns",
                     cost.cpu_ns / REPEAT_COUNT);
    }
}
