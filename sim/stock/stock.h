/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The models of an unmodified QEMU, and what the two have in common: the encoding of messages
 * (written anew, so that no mistake of the core's is made twice) and the buffers of the control
 * channel.
 *
 * A stock end does one thing at a time: every message is signalled and its completion waited for.
 * It has no time limits: an end whose peer is silent waits until its user cancels it.
 */
#ifndef SIM_STOCK_H
#define SIM_STOCK_H

#include "guest.h"
#include "party.h"
#include "stream.h"

#define STOCK_RECV_BYTES    524288u
#define STOCK_HEADER_BYTES  16u
#define STOCK_STREAM_BYTES  32768u /* of the stream in one message */
#define STOCK_PRIVATE_BYTES 8u
#define STOCK_VERSION       1u
#define STOCK_PIN_ALL       1u
#define STOCK_REPEAT_MAX    4096u
#define STOCK_MERGE_BYTES   (UINT64_C(2) << 20)
enum {
    STOCK_SEND_DEPTH = 512,
    STOCK_RECV_DEPTH = 3,
    STOCK_COMPLETION_DEPTH = 1536,
    STOCK_RECV_COUNT = 3
};

enum stock_type {
    STOCK_ERROR = 1,
    STOCK_READY,
    STOCK_QEMU_FILE,
    STOCK_BLOCKS_REQUEST,
    STOCK_BLOCKS_RESULT,
    STOCK_COMPRESS,
    STOCK_REGISTER_REQUEST,
    STOCK_REGISTER_RESULT,
    STOCK_REGISTER_FINISHED,
    STOCK_UNREGISTER_REQUEST,
    STOCK_UNREGISTER_FINISHED,
    STOCK_TYPE_COUNT
};

/* ---- stock_wire.c: encoding */

struct stock_message {
    uint32_t type;
    uint32_t repeat;
    uint32_t length_bytes; /* of the data */
    const uint8_t *data;
    uint32_t buffer; /* the one it is in */
};

struct stock_block_entry {
    uint64_t addr;
    uint64_t ram_offset;
    uint64_t length_bytes;
    uint32_t rkey;
};

struct stock_register_entry {
    uint64_t key;
    uint32_t block;
    uint64_t more_chunk_count; /* after the first */
};

struct stock_result_entry {
    uint32_t rkey;
    uint64_t addr;
};

struct stock_compress_entry {
    uint32_t value;
    uint32_t block;
    uint64_t ram_offset;
    uint64_t length_bytes;
};

enum {
    STOCK_BLOCK_ENTRY_BYTES = 32,
    STOCK_REGISTER_ENTRY_BYTES = 24,
    STOCK_RESULT_ENTRY_BYTES = 16,
    STOCK_COMPRESS_ENTRY_BYTES = 24
};

const char *stock_type_name(uint32_t type);
void stock_write_header(uint8_t *out, uint32_t type, uint32_t repeat, uint32_t data_bytes);
/* False: the length is not the one received, or the type is unknown. */
bool stock_read_message(const uint8_t *bytes, uint32_t received_bytes, struct stock_message *out);
void stock_write_private(uint8_t *out, uint32_t version, uint32_t flags);
/* False: fewer than 8 bytes. */
bool stock_read_private(const struct cm_event *event, uint32_t *version, uint32_t *flags);
void stock_write_block(uint8_t *out, const struct stock_block_entry *entry);
void stock_read_block(const uint8_t *bytes, struct stock_block_entry *entry);
void stock_write_register(uint8_t *out, const struct stock_register_entry *entry);
void stock_read_register(const uint8_t *bytes, struct stock_register_entry *entry);
void stock_write_result(uint8_t *out, const struct stock_result_entry *entry);
void stock_read_result(const uint8_t *bytes, struct stock_result_entry *entry);
void stock_write_compress(uint8_t *out, const struct stock_compress_entry *entry);
void stock_read_compress(const uint8_t *bytes, struct stock_compress_entry *entry);

/* ---- stock_channel.c: one message out at a time; receives that are posted, full, or lent */

/* What a work request's id says: what it is, and of an RDMA Write the chunk and the pages. */
enum stock_work { STOCK_WORK_RECV = 1, STOCK_WORK_SEND, STOCK_WORK_ERROR, STOCK_WORK_WRITE };
#define STOCK_WORK_SHIFT  60u
#define STOCK_PAGES_SHIFT 32u

struct stock_channel {
    struct party *party;
    uint8_t *recv_memory; /* STOCK_RECV_COUNT buffers */
    uint8_t *send_memory; /* header and data of the one message */
    uint8_t error_memory[STOCK_HEADER_BYTES];
    uint32_t free_buffers[STOCK_RECV_COUNT];
    uint32_t free_count;
    uint32_t posted_count;
    struct stock_message received[STOCK_RECV_COUNT]; /* oldest first */
    uint32_t received_count;
    bool is_sending; /* posted, and its completion not seen */
    bool is_lost;    /* disconnected, or work came back flushed */
};

void stock_channel_init(struct stock_channel *channel, struct party *party);
void stock_channel_free(struct stock_channel *channel);
/* Posts receives until so many are. */
bool stock_channel_keep(struct stock_channel *channel, uint32_t receive_count);
/* Data stand in send_memory behind the header already. */
bool stock_channel_send(struct stock_channel *channel, uint32_t type, uint32_t repeat,
                        uint32_t data_bytes);
bool stock_channel_send_error(struct stock_channel *channel);
/* A receive came back; false: with a message that is none. */
bool stock_channel_received(struct stock_channel *channel, const struct completion *completion);
/* The oldest message; its buffer is the caller's until it gives it back. */
bool stock_channel_take(struct stock_channel *channel, struct stock_message *message);
void stock_channel_give_back(struct stock_channel *channel, uint32_t buffer);
/* The connection is gone: everything is to come back. Calls handler after a time, in case not. */
void stock_channel_lose(struct stock_channel *channel, world_handler *handler, void *subject);
/* How long what should come back may take to. */
uint64_t stock_patience_ns(const struct world *world);
/* Chunks are 1 MiB, but another size can be set at both ends when both are stock. */
uint64_t stock_chunk_bytes(const struct world *world);

/* ---- stock_dirty.c: the source's bitmap of what is to be sent */

struct stock_piece {
    uint64_t first_page;
    uint64_t page_count; /* 0: none */
    uint32_t block;
};

struct stock_dirty {
    uint32_t block_count;
    uint64_t page_count[OPTION_BLOCKS_MAX];
    uint64_t *words[OPTION_BLOCKS_MAX];
    uint64_t *scratch; /* as long as the longest */
    uint64_t set_count;
    uint64_t memory_bytes;
    /* Of the round. */
    uint32_t block;
    uint64_t page;
};

void stock_dirty_init(struct stock_dirty *dirty, const struct guest_options *options);
void stock_dirty_free(struct stock_dirty *dirty);
/* Takes over the guest's log; returns how many words that was. */
uint64_t stock_dirty_take(struct stock_dirty *dirty, struct guest *guest, uint64_t now_ns);
void stock_dirty_rewind(struct stock_dirty *dirty);
/* Clears the next row of dirty neighbours, cut at chunk ends, and says which; false: none is left.
 * *word_count: how many words were looked at. */
bool stock_dirty_next(struct stock_dirty *dirty, uint64_t pages_per_chunk,
                      struct stock_piece *piece, uint64_t *word_count);
bool stock_dirty_is_set(const struct stock_dirty *dirty, uint32_t block, uint64_t page);

#endif
