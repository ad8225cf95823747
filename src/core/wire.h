/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of the protocol (docs/protocol.md section W): byte-wise big-endian loads and stores, no
 * casts. */
#ifndef RDMIG_CORE_WIRE_H
#define RDMIG_CORE_WIRE_H

#include <rdmig/core.h>

#define WIRE_BLOCK_ENTRY_BYTES    32u
#define WIRE_REGISTER_ENTRY_BYTES 24u
#define WIRE_RESULT_ENTRY_BYTES   16u
#define WIRE_COMPRESS_ENTRY_BYTES 24u

struct wire_header {
    uint32_t length_bytes; /* of the data after the header */
    uint32_t type;
    uint32_t repeat;
};

struct wire_private_data {
    uint32_t version;
    uint32_t flags;
    /* With PIPELINE, clause W11; 0 without. */
    uint32_t credit_count;
    uint64_t bytes;
};

/* RAM_BLOCKS_RESULT, clause W7 */
struct wire_block {
    uint64_t host_addr;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint32_t rkey;
};

/* REGISTER_REQUEST and UNREGISTER_REQUEST, clause W8 */
struct wire_register {
    uint64_t key;
    uint32_t block_index;
    uint64_t extra_chunk_count;
};

/* REGISTER_RESULT, clause W9 */
struct wire_result {
    uint32_t rkey;
    uint64_t host_addr;
};

/* COMPRESS, clause W10 */
struct wire_compress {
    uint32_t value;
    uint32_t block_index;
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

/*
 * Reads the header of a message of received_bytes and checks clauses W3 to W6 as far as they hold
 * for every type: REASON_NONE, or what is wrong, with what was expected and what came.
 */
enum rdmig_reason wire_read_header(const uint8_t *bytes, uint64_t received_bytes,
                                   struct wire_header *out, uint64_t *expected, uint64_t *actual);
void wire_write_header(uint8_t *bytes, const struct wire_header *header);

/* Size of one entry of this type's data; 0: the type has no entries (no data, or stream bytes). */
uint32_t wire_entry_bytes(uint32_t type);

/* Sent only while no other command is in progress (clause C17). */
bool message_is_exclusive(uint32_t type);

/* Both take 8 bytes, or all of them when the flag says so. Returns how many were written. */
uint32_t wire_write_private_data(uint8_t *bytes, const struct wire_private_data *data);
/* length_bytes: those there are, at least 8. With PIPELINE among the flags, and fewer bytes than it
 * needs, the members for it are 0. */
void wire_read_private_data(const uint8_t *bytes, uint64_t length_bytes,
                            struct wire_private_data *out);
void wire_write_block(uint8_t *bytes, const struct wire_block *entry);
void wire_read_block(const uint8_t *bytes, struct wire_block *out);
void wire_write_register(uint8_t *bytes, const struct wire_register *entry);
void wire_read_register(const uint8_t *bytes, struct wire_register *out);
void wire_write_result(uint8_t *bytes, const struct wire_result *entry);
void wire_read_result(const uint8_t *bytes, struct wire_result *out);
void wire_write_compress(uint8_t *bytes, const struct wire_compress *entry);
void wire_read_compress(const uint8_t *bytes, struct wire_compress *out);

#endif
