/* SPDX-License-Identifier: BSD-2-Clause */
#include "message.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES_SHOWN = 4, STREAM_BYTES_SHOWN = 12 };

void bytes_put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 3; i >= 0; i--) {
        bytes[i] = (uint8_t)(value % 256);
        value /= 256;
    }
}

uint32_t bytes_u32(const uint8_t *bytes)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        value = value * 256 + bytes[i];
    }
    return value;
}

uint64_t bytes_u64(const uint8_t *bytes)
{
    return bytes_u32(bytes) * (UINT64_C(1) << 32) + bytes_u32(bytes + 4);
}

struct message *message_begin(struct message *message, uint32_t type, uint32_t repeat)
{
    message->length_bytes = MESSAGE_HEADER_BYTES;
    bytes_put_u32(message->bytes, 0);
    bytes_put_u32(message->bytes + 4, type);
    bytes_put_u32(message->bytes + 8, repeat);
    bytes_put_u32(message->bytes + 12, 0);
    return message;
}

void message_data(struct message *message, const void *bytes, size_t length_bytes)
{
    memcpy(message->bytes + message->length_bytes, bytes, length_bytes);
    message->length_bytes += length_bytes;
    bytes_put_u32(message->bytes, (uint32_t)(message->length_bytes - MESSAGE_HEADER_BYTES));
}

void message_u32(struct message *message, uint32_t value)
{
    uint8_t bytes[4];

    bytes_put_u32(bytes, value);
    message_data(message, bytes, sizeof(bytes));
}

void message_u64(struct message *message, uint64_t value)
{
    message_u32(message, (uint32_t)(value >> 32));
    message_u32(message, (uint32_t)(value & UINT32_MAX));
}

void message_block(struct message *message, uint64_t host_addr, uint64_t offset_bytes,
                   uint64_t length_bytes, uint32_t rkey)
{
    message_u64(message, host_addr);
    message_u64(message, offset_bytes);
    message_u64(message, length_bytes);
    message_u32(message, rkey);
    message_u32(message, 0);
}

void message_chunk(struct message *message, uint64_t key, uint32_t block_index, uint64_t chunks)
{
    message_u64(message, key);
    message_u32(message, block_index);
    message_u32(message, 0);
    message_u64(message, chunks);
}

void message_result(struct message *message, uint32_t rkey, uint64_t host_addr)
{
    message_u32(message, rkey);
    message_u32(message, 0);
    message_u64(message, host_addr);
}

void message_compress(struct message *message, uint32_t value, uint32_t block_index,
                      uint64_t offset_bytes, uint64_t length_bytes)
{
    message_u32(message, value);
    message_u32(message, block_index);
    message_u64(message, offset_bytes);
    message_u64(message, length_bytes);
}

/* ---- in words */

struct words {
    char *text;
    size_t capacity_bytes;
    size_t used_bytes;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(words->text + words->used_bytes, words->capacity_bytes - words->used_bytes,
                       format, arguments);
    va_end(arguments);
    words->used_bytes += (size_t)length;
    if (words->used_bytes >= words->capacity_bytes) {
        words->used_bytes = words->capacity_bytes - 1;
    }
}

static void say_block(struct words *words, const uint8_t *entry)
{
    say(words, "host=0x%" PRIx64 " offset=0x%" PRIx64 " length=0x%" PRIx64 " rkey=0x%" PRIx32,
        bytes_u64(entry), bytes_u64(entry + 8), bytes_u64(entry + 16), bytes_u32(entry + 24));
}

static void say_compress(struct words *words, const uint8_t *entry)
{
    say(words, "value=%" PRIu32 " block=%" PRIu32 " offset=0x%" PRIx64 " length=0x%" PRIx64,
        bytes_u32(entry), bytes_u32(entry + 4), bytes_u64(entry + 8), bytes_u64(entry + 16));
}

static void say_chunk(struct words *words, const uint8_t *entry)
{
    say(words, "key=0x%" PRIx64 " block=%" PRIu32 " chunks=%" PRIu64, bytes_u64(entry),
        bytes_u32(entry + 8), bytes_u64(entry + 16));
}

static void say_result(struct words *words, const uint8_t *entry)
{
    say(words, "rkey=0x%" PRIx32 " host=0x%" PRIx64, bytes_u32(entry), bytes_u64(entry + 8));
}

static void say_stream(struct words *words, const uint8_t *data, size_t length_bytes)
{
    say(words, " %zu bytes '", length_bytes);
    for (size_t i = 0; i < length_bytes && i < STREAM_BYTES_SHOWN; i++) {
        say(words, "%c", data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '.');
    }
    say(words, "'");
}

static const struct {
    const char *name;
    size_t entry_bytes;
    void (*say_entry)(struct words *words, const uint8_t *entry);
} kinds[] = {
    {"NONE", 0, NULL},
    {"ERROR", 0, NULL},
    {"READY", 0, NULL},
    {"QEMU_FILE", 0, NULL},
    {"RAM_BLOCKS_REQUEST", 0, NULL},
    {"RAM_BLOCKS_RESULT", 32, say_block},
    {"COMPRESS", 24, say_compress},
    {"REGISTER_REQUEST", 24, say_chunk},
    {"REGISTER_RESULT", 16, say_result},
    {"REGISTER_FINISHED", 0, NULL},
    {"UNREGISTER_REQUEST", 24, say_chunk},
    {"UNREGISTER_FINISHED", 0, NULL},
};

static void say_entries(struct words *words, uint32_t type, const uint8_t *data,
                        size_t length_bytes)
{
    const size_t entry_bytes = kinds[type].entry_bytes;
    const size_t entry_count = length_bytes / entry_bytes;

    for (size_t i = 0; i < entry_count && i < ENTRIES_SHOWN; i++) {
        say(words, " [");
        kinds[type].say_entry(words, data + i * entry_bytes);
        say(words, "]");
    }
    if (entry_count > ENTRIES_SHOWN) {
        say(words, " and %zu more", entry_count - ENTRIES_SHOWN);
    }
    if (length_bytes % entry_bytes != 0) {
        say(words, " and %zu bytes", length_bytes % entry_bytes);
    }
}

void message_describe(char *text, size_t capacity_bytes, const uint8_t *bytes, size_t length_bytes)
{
    struct words words = {text, capacity_bytes, 0};
    uint32_t type;

    text[0] = '\0';
    if (length_bytes < MESSAGE_HEADER_BYTES) {
        say(&words, "%zu bytes", length_bytes);
        return;
    }
    type = bytes_u32(bytes + 4);
    if (type >= sizeof(kinds) / sizeof(kinds[0])) {
        say(&words, "type %" PRIu32, type);
        return;
    }
    say(&words, "%s x%" PRIu32, kinds[type].name, bytes_u32(bytes + 8));
    if (bytes_u32(bytes) != length_bytes - MESSAGE_HEADER_BYTES) {
        say(&words, " len=%" PRIu32, bytes_u32(bytes));
    }
    if (bytes_u32(bytes + 12) != 0) {
        say(&words, " padding=%" PRIu32, bytes_u32(bytes + 12));
    }
    if (kinds[type].say_entry) {
        say_entries(&words, type, bytes + MESSAGE_HEADER_BYTES,
                    length_bytes - MESSAGE_HEADER_BYTES);
    } else if (length_bytes > MESSAGE_HEADER_BYTES || type == RDMIG_MESSAGE_QEMU_FILE) {
        say_stream(&words, bytes + MESSAGE_HEADER_BYTES, length_bytes - MESSAGE_HEADER_BYTES);
    }
}
