/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

static uint32_t load32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t load64(const uint8_t *bytes)
{
    return (uint64_t)load32(bytes) << 32 | load32(bytes + 4);
}

static void store32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 24);
    bytes[1] = (uint8_t)(value >> 16);
    bytes[2] = (uint8_t)(value >> 8);
    bytes[3] = (uint8_t)value;
}

static void store64(uint8_t *bytes, uint64_t value)
{
    store32(bytes, (uint32_t)(value >> 32));
    store32(bytes + 4, (uint32_t)value);
}

/* What the data of each type looks like; entry_bytes 0: none, unless it is a stream. */
static const struct {
    uint32_t entry_bytes;
    bool is_stream;
} bodies[RDMIG_MESSAGE_TYPE_COUNT] = {
    [RDMIG_MESSAGE_QEMU_FILE] = {0, true},
    [RDMIG_MESSAGE_RAM_BLOCKS_RESULT] = {WIRE_BLOCK_ENTRY_BYTES, false},
    [RDMIG_MESSAGE_COMPRESS] = {WIRE_COMPRESS_ENTRY_BYTES, false},
    [RDMIG_MESSAGE_REGISTER_REQUEST] = {WIRE_REGISTER_ENTRY_BYTES, false},
    [RDMIG_MESSAGE_REGISTER_RESULT] = {WIRE_RESULT_ENTRY_BYTES, false},
    [RDMIG_MESSAGE_UNREGISTER_REQUEST] = {WIRE_REGISTER_ENTRY_BYTES, false},
};

uint32_t wire_entry_bytes(uint32_t type)
{
    return type < RDMIG_MESSAGE_TYPE_COUNT ? bodies[type].entry_bytes : 0;
}

bool message_is_exclusive(uint32_t type)
{
    return type != RDMIG_MESSAGE_REGISTER_REQUEST && type != RDMIG_MESSAGE_UNREGISTER_REQUEST &&
           type != RDMIG_MESSAGE_COMPRESS;
}

/*
 * RAM_BLOCKS_RESULT counts its entries by len alone (stock leaves repeat at 1), and
 * REGISTER_RESULT's repeat may disagree with its len (clause R5): both are judged by who reads
 * them, against what was asked.
 */
static bool is_repeat_free(uint32_t type)
{
    return type == RDMIG_MESSAGE_RAM_BLOCKS_RESULT || type == RDMIG_MESSAGE_REGISTER_RESULT;
}

static enum rdmig_reason check_body(const struct wire_header *header, uint64_t *expected,
                                    uint64_t *actual)
{
    const uint32_t entry_bytes = bodies[header->type].entry_bytes;

    if (bodies[header->type].is_stream)
        return RDMIG_REASON_NONE;
    *actual = header->length_bytes;
    if (entry_bytes == 0) {
        *expected = 0;
        return header->length_bytes == 0 ? RDMIG_REASON_NONE : RDMIG_REASON_MESSAGE_BODY;
    }
    *expected = entry_bytes;
    if (header->length_bytes == 0 || header->length_bytes % entry_bytes != 0)
        return RDMIG_REASON_MESSAGE_BODY;
    if (is_repeat_free(header->type))
        return RDMIG_REASON_NONE;
    *expected = (uint64_t)(header->repeat == 0 ? 1 : header->repeat) * entry_bytes;
    return header->length_bytes == *expected ? RDMIG_REASON_NONE : RDMIG_REASON_MESSAGE_BODY;
}

enum rdmig_reason wire_read_header(const uint8_t *bytes, uint64_t received_bytes,
                                   struct wire_header *out, uint64_t *expected, uint64_t *actual)
{
    *out = (struct wire_header){0};
    *expected = RDMIG_HEADER_BYTES;
    *actual = received_bytes;
    if (received_bytes < RDMIG_HEADER_BYTES)
        return RDMIG_REASON_MESSAGE_SHORT;
    out->length_bytes = load32(bytes);
    out->type = load32(bytes + 4);
    out->repeat = load32(bytes + 8);
    *expected = (uint64_t)out->length_bytes + RDMIG_HEADER_BYTES;
    if (*expected != received_bytes)
        return RDMIG_REASON_MESSAGE_LENGTH;
    *expected = RDMIG_MESSAGE_TYPE_COUNT - 1;
    *actual = out->type;
    if (out->type == RDMIG_MESSAGE_NONE || out->type >= RDMIG_MESSAGE_TYPE_COUNT)
        return RDMIG_REASON_MESSAGE_TYPE;
    *expected = RDMIG_REPEAT_MAX;
    *actual = out->repeat;
    if (out->repeat > RDMIG_REPEAT_MAX)
        return RDMIG_REASON_MESSAGE_REPEAT;
    return check_body(out, expected, actual);
}

void wire_write_header(uint8_t *bytes, const struct wire_header *header)
{
    store32(bytes, header->length_bytes);
    store32(bytes + 4, header->type);
    store32(bytes + 8, header->repeat);
    store32(bytes + 12, 0);
}

uint32_t wire_write_private_data(uint8_t *bytes, const struct wire_private_data *data)
{
    store32(bytes, data->version);
    store32(bytes + 4, data->flags);
    if ((data->flags & RDMIG_CAPABILITY_PIPELINE) == 0)
        return RDMIG_PRIVATE_DATA_BYTES;
    store32(bytes + 8, data->credit_count);
    store32(bytes + 12, 0);
    store64(bytes + 16, data->bytes);
    return RDMIG_PRIVATE_DATA_BYTES_MAX;
}

void wire_read_private_data(const uint8_t *bytes, uint64_t length_bytes,
                            struct wire_private_data *out)
{
    *out = (struct wire_private_data){.version = load32(bytes), .flags = load32(bytes + 4)};
    if ((out->flags & RDMIG_CAPABILITY_PIPELINE) == 0 ||
        length_bytes < RDMIG_PRIVATE_DATA_BYTES_MAX)
        return;
    out->credit_count = load32(bytes + 8);
    out->bytes = load64(bytes + 16);
}

void wire_write_block(uint8_t *bytes, const struct wire_block *entry)
{
    store64(bytes, entry->host_addr);
    store64(bytes + 8, entry->offset_bytes);
    store64(bytes + 16, entry->length_bytes);
    store32(bytes + 24, entry->rkey);
    store32(bytes + 28, 0);
}

void wire_read_block(const uint8_t *bytes, struct wire_block *out)
{
    out->host_addr = load64(bytes);
    out->offset_bytes = load64(bytes + 8);
    out->length_bytes = load64(bytes + 16);
    out->rkey = load32(bytes + 24);
}

void wire_write_register(uint8_t *bytes, const struct wire_register *entry)
{
    store64(bytes, entry->key);
    store32(bytes + 8, entry->block_index);
    store32(bytes + 12, 0);
    store64(bytes + 16, entry->extra_chunk_count);
}

void wire_read_register(const uint8_t *bytes, struct wire_register *out)
{
    out->key = load64(bytes);
    out->block_index = load32(bytes + 8);
    out->extra_chunk_count = load64(bytes + 16);
}

void wire_write_result(uint8_t *bytes, const struct wire_result *entry)
{
    store32(bytes, entry->rkey);
    store32(bytes + 4, 0);
    store64(bytes + 8, entry->host_addr);
}

void wire_read_result(const uint8_t *bytes, struct wire_result *out)
{
    out->rkey = load32(bytes);
    out->host_addr = load64(bytes + 8);
}

void wire_write_compress(uint8_t *bytes, const struct wire_compress *entry)
{
    store32(bytes, entry->value);
    store32(bytes + 4, entry->block_index);
    store64(bytes + 8, entry->offset_bytes);
    store64(bytes + 16, entry->length_bytes);
}

void wire_read_compress(const uint8_t *bytes, struct wire_compress *out)
{
    out->value = load32(bytes);
    out->block_index = load32(bytes + 4);
    out->offset_bytes = load64(bytes + 8);
    out->length_bytes = load64(bytes + 16);
}
