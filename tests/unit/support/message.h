/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protocol messages made and read by hand, from the protocol's description and independent of
 * src/core/wire.c: what the two have in common would otherwise never be found wrong.
 */
#ifndef RDMIG_TESTS_SUPPORT_MESSAGE_H
#define RDMIG_TESTS_SUPPORT_MESSAGE_H

#include <rdmig/core.h>

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_HEADER_BYTES = 16, MESSAGE_BYTES_MAX = 524288 };

struct message {
    size_t length_bytes; /* as it travels, header included */
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

/* Starts a message; the data follows piece by piece, and the header's len grows along. */
struct message *message_begin(struct message *message, uint32_t type, uint32_t repeat);
void message_u32(struct message *message, uint32_t value);
void message_u64(struct message *message, uint64_t value);
void message_data(struct message *message, const void *bytes, size_t length_bytes);

/* One entry each, in the order of the fields on the wire. */
void message_block(struct message *message, uint64_t host_addr, uint64_t offset_bytes,
                   uint64_t length_bytes, uint32_t rkey);
void message_chunk(struct message *message, uint64_t key, uint32_t block_index, uint64_t chunks);
void message_result(struct message *message, uint32_t rkey, uint64_t host_addr);
void message_compress(struct message *message, uint32_t value, uint32_t block_index,
                      uint64_t offset_bytes, uint64_t length_bytes);

/* What a message says, in words; for transcripts. */
void message_describe(char *text, size_t capacity_bytes, const uint8_t *bytes, size_t length_bytes);

uint32_t bytes_u32(const uint8_t *bytes);
uint64_t bytes_u64(const uint8_t *bytes);
void bytes_put_u32(uint8_t *bytes, uint32_t value);

#endif
