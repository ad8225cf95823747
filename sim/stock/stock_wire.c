/* SPDX-License-Identifier: BSD-2-Clause */
/* The stock models' own encoding: everything big-endian. */
#include "stock.h"

static void put32(uint8_t *out, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put64(uint8_t *out, uint64_t value)
{
    put32(out, (uint32_t)(value >> 32));
    put32(out + 4, (uint32_t)value);
}

static uint32_t get32(const uint8_t *bytes)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < 4; i++)
        value = value << 8 | bytes[i];
    return value;
}

static uint64_t get64(const uint8_t *bytes)
{
    return (uint64_t)get32(bytes) << 32 | get32(bytes + 4);
}

const char *stock_type_name(uint32_t type)
{
    static const char *const names[STOCK_TYPE_COUNT] = {"NONE",
                                                        "ERROR",
                                                        "READY",
                                                        "QEMU_FILE",
                                                        "RAM_BLOCKS_REQUEST",
                                                        "RAM_BLOCKS_RESULT",
                                                        "COMPRESS",
                                                        "REGISTER_REQUEST",
                                                        "REGISTER_RESULT",
                                                        "REGISTER_FINISHED",
                                                        "UNREGISTER_REQUEST",
                                                        "UNREGISTER_FINISHED"};

    return type < STOCK_TYPE_COUNT ? names[type] : "unknown";
}

void stock_write_header(uint8_t *out, uint32_t type, uint32_t repeat, uint32_t data_bytes)
{
    put32(out, data_bytes);
    put32(out + 4, type);
    put32(out + 8, repeat);
    put32(out + 12, 0);
}

bool stock_read_message(const uint8_t *bytes, uint32_t received_bytes, struct stock_message *out)
{
    if (received_bytes < STOCK_HEADER_BYTES)
        return false;
    out->length_bytes = get32(bytes);
    out->type = get32(bytes + 4);
    out->repeat = get32(bytes + 8);
    out->data = bytes + STOCK_HEADER_BYTES;
    return out->length_bytes == received_bytes - STOCK_HEADER_BYTES && out->type >= STOCK_ERROR &&
           out->type < STOCK_TYPE_COUNT && out->repeat <= STOCK_REPEAT_MAX;
}

void stock_write_private(uint8_t *out, uint32_t version, uint32_t flags)
{
    put32(out, version);
    put32(out + 4, flags);
}

bool stock_read_private(const struct cm_event *event, uint32_t *version, uint32_t *flags)
{
    if (!event->bytes || event->length_bytes < STOCK_PRIVATE_BYTES)
        return false;
    *version = get32(event->bytes);
    *flags = get32(event->bytes + 4);
    return true;
}

void stock_write_block(uint8_t *out, const struct stock_block_entry *entry)
{
    put64(out, entry->addr);
    put64(out + 8, entry->ram_offset);
    put64(out + 16, entry->length_bytes);
    put32(out + 24, entry->rkey);
    put32(out + 28, 0);
}

void stock_read_block(const uint8_t *bytes, struct stock_block_entry *entry)
{
    entry->addr = get64(bytes);
    entry->ram_offset = get64(bytes + 8);
    entry->length_bytes = get64(bytes + 16);
    entry->rkey = get32(bytes + 24);
}

void stock_write_register(uint8_t *out, const struct stock_register_entry *entry)
{
    put64(out, entry->key);
    put32(out + 8, entry->block);
    put32(out + 12, 0);
    put64(out + 16, entry->more_chunk_count);
}

void stock_read_register(const uint8_t *bytes, struct stock_register_entry *entry)
{
    entry->key = get64(bytes);
    entry->block = get32(bytes + 8);
    entry->more_chunk_count = get64(bytes + 16);
}

void stock_write_result(uint8_t *out, const struct stock_result_entry *entry)
{
    put32(out, entry->rkey);
    put32(out + 4, 0);
    put64(out + 8, entry->addr);
}

void stock_read_result(const uint8_t *bytes, struct stock_result_entry *entry)
{
    entry->rkey = get32(bytes);
    entry->addr = get64(bytes + 8);
}

void stock_write_compress(uint8_t *out, const struct stock_compress_entry *entry)
{
    put32(out, entry->value);
    put32(out + 4, entry->block);
    put64(out + 8, entry->ram_offset);
    put64(out + 16, entry->length_bytes);
}

void stock_read_compress(const uint8_t *bytes, struct stock_compress_entry *entry)
{
    entry->value = get32(bytes);
    entry->block = get32(bytes + 4);
    entry->ram_offset = get64(bytes + 8);
    entry->length_bytes = get64(bytes + 16);
}
