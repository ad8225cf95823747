/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracles from inside: oracle.c has who is honest and who owns the guest, oracle_wire.c what
 * the messages say and when they may be sent, oracle_memory.c RDMA Writes, fills, regions and
 * rounds.
 */
#ifndef SIM_ORACLE_INTERNAL_H
#define SIM_ORACLE_INTERNAL_H

#include "guest.h"
#include "oracle.h"
#include "party.h"

#define ORACLE_CHUNK_BYTES (UINT64_C(1) << 20)

/* As they stand on the wire. */
enum oracle_type {
    ORACLE_NONE,
    ORACLE_ERROR,
    ORACLE_READY,
    ORACLE_QEMU_FILE,
    ORACLE_BLOCKS_REQUEST,
    ORACLE_BLOCKS_RESULT,
    ORACLE_COMPRESS,
    ORACLE_REGISTER_REQUEST,
    ORACLE_REGISTER_RESULT,
    ORACLE_REGISTER_FINISHED,
    ORACLE_UNREGISTER_REQUEST,
    ORACLE_UNREGISTER_FINISHED,
    ORACLE_TYPE_COUNT
};

struct oracle_message {
    uint32_t body_bytes;
    uint32_t type;
    uint32_t repeat;
    uint32_t padding;
    const uint8_t *body;
};

struct oracle_range {
    uint64_t offset_bytes; /* in the block */
    uint64_t length_bytes;
    uint32_t block;
};

/* A command and what it names. */
struct oracle_command {
    uint32_t type; /* NONE: there is none */
    uint32_t range_count;
    uint32_t range_capacity;
    struct oracle_range *ranges;
};

enum oracle_chunk_state { ORACLE_CHUNK_BARE, ORACLE_CHUNK_ASKED, ORACLE_CHUNK_LIVE };

/* A chunk as the source may see it: answers that have arrived there, commands that it has posted.
 */
struct oracle_chunk {
    uint32_t rkey;
    uint32_t run_chunk_count; /* not 0: a region of so many chunks starts here */
    enum oracle_chunk_state state;
};

/* A block as the source was told. */
struct oracle_block {
    uint64_t addr;
    uint64_t ram_offset;
    uint32_t rkey;
    uint64_t chunk_count;
    struct oracle_chunk *chunks; /* NULL: no region yet */
};

enum oracle_owner { ORACLE_OWNER_SOURCE, ORACLE_OWNER_DESTINATION, ORACLE_OWNER_NOBODY };

struct oracle {
    struct world *world;
    bool is_honest[2];
    bool is_ours[2];
    bool are_both_honest;
    uint64_t chunk_bytes; /* 1 MiB; two stock ends may have another */
    bool is_error_posted[2];
    /* At the source. */
    uint64_t readies_arrived;
    uint64_t commands_posted;
    struct oracle_command asked; /* until the READY after it arrives */
    bool is_exchange_asked;
    bool is_exchanged;
    struct oracle_block blocks[OPTION_BLOCKS_MAX];
    uint32_t unsignalled_count; /* writes in a row */
    /* At the destination. */
    uint64_t readies_posted;
    uint64_t commands_arrived;
    uint64_t asks_arrived[ORACLE_TYPE_COUNT]; /* by type of the answer */
    uint64_t answers_posted[ORACLE_TYPE_COUNT];
    struct oracle_command obeyed; /* the last that arrived */
    uint64_t nonsense_arrived;    /* number of the first command that must not be obeyed; 0: none */
    bool is_filling;
    struct oracle_range fill;
    enum oracle_owner owner;
};

uint64_t oracle_block_bytes(const struct oracle *oracle, uint32_t block);
/* Both ends agreed on it: asked for, and granted as far as an honest destination does. */
bool oracle_is_pin_all(const struct oracle *oracle);
bool oracle_is_inside(const struct oracle *oracle, const struct oracle_range *range);
bool oracle_is_overlap(const struct oracle_range *a, const struct oracle_range *b);
/* Any write of the source, anywhere in the range. */
bool oracle_is_written(const struct oracle *oracle, const struct oracle_range *range);

/* ---- oracle_memory.c, for oracle_wire.c */

/* The source posts such a command; its ranges are inside their blocks. */
void oracle_compress_posted(struct oracle *oracle, const struct oracle_command *command);
void oracle_register_posted(struct oracle *oracle, const struct oracle_command *command);
void oracle_unregister_posted(struct oracle *oracle, const struct oracle_command *command);
void oracle_round_posted(struct oracle *oracle);
/* An answer for the range, or for others of the same request only, has arrived at the source. */
void oracle_region_answered(struct oracle *oracle, const struct oracle_range *range,
                            bool is_answered, uint32_t rkey);
/* READY arrives at the source after this COMPRESS. */
void oracle_compress_settled(struct oracle *oracle, const struct oracle_command *command);
/* The destination takes the guest: every page must be there. */
void oracle_compare_all(struct oracle *oracle);

#endif
