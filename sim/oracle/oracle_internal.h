/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracles from inside. From low to high: oracle_messages.c has the wire's own description,
 * oracle_ranges.c ranges of blocks, oracle_negotiation.c what the two ends have agreed on,
 * oracle_commands.c what commands name and which are under way, oracle_regions.c regions,
 * oracle_memory.c RDMA Writes, fills and rounds, oracle_wire.c the messages and when they may be
 * sent, oracle.c who is honest and who owns the guest, oracle_watch.c what the fabric tells.
 */
#ifndef SIM_ORACLE_INTERNAL_H
#define SIM_ORACLE_INTERNAL_H

#include "guest.h"
#include "oracle.h"
#include "party.h"

#define ORACLE_CHUNK_BYTES (UINT64_C(1) << 20)
enum {
    ORACLE_CREDITS_MAX = 4,
    ORACLE_BATCH_MAX = 64,
    /* More than an honest source can have under way, or an end of ours receives for. */
    ORACLE_COMMANDS_MAX = 32
};

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

enum oracle_direction { ORACLE_FROM_SOURCE, ORACLE_FROM_DESTINATION, ORACLE_FROM_EITHER };

struct oracle_rule {
    const char *name;
    enum oracle_direction direction;
    uint32_t entry_bytes; /* 0: no entries */
    uint32_t answer;      /* NONE: READY is all that follows */
    bool is_command;      /* needs a READY */
};

extern const struct oracle_rule oracle_rules[ORACLE_TYPE_COUNT];

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
    uint32_t type;
    uint32_t entry_count;
    bool is_answered;
    uint32_t range_count;
    uint32_t range_capacity;
    struct oracle_range *ranges;
};

/* Commands that no READY has followed yet, oldest first: as the source has posted them, or as they
 * have arrived at the destination. */
struct oracle_commands {
    struct oracle_command places[ORACLE_COMMANDS_MAX]; /* a ring */
    uint32_t first;
    uint32_t count;
};

enum { ORACLE_CHUNK_BARE, ORACLE_CHUNK_ASKED, ORACLE_CHUNK_LIVE };

/* A chunk as the source may see it: answers that have arrived there, commands that it has posted.
 */
struct oracle_chunk {
    uint32_t rkey;
    uint32_t run_chunk_count; /* not 0: a region of so many chunks starts here */
    uint8_t state;
    bool is_unanswered; /* the run that starts here was asked for, and got no answer */
    bool is_far_gone;   /* the destination has let go of one here; ours is there still */
};

/* A block as the source was told. */
struct oracle_block {
    uint64_t addr;
    uint64_t ram_offset;
    uint32_t rkey;
    uint64_t chunk_count;
    struct oracle_chunk *chunks; /* NULL: no region yet */
};

/* The private data of one end. */
struct oracle_offer {
    uint32_t version;
    uint32_t flags;
    uint32_t credit_count;
    uint64_t bytes;
};

enum oracle_owner { ORACLE_OWNER_SOURCE, ORACLE_OWNER_DESTINATION, ORACLE_OWNER_NOBODY };

struct oracle {
    struct world *world;
    const struct port *ports[2];
    bool is_honest[2];
    bool is_ours[2];
    bool are_both_honest;
    uint64_t chunk_bytes; /* 1 MiB; two stock ends may have another */
    bool is_error_posted[2];
    /* Agreed on, as soon as the destination has said so. */
    struct oracle_offer offered;
    bool has_agreed;
    bool is_pin_all;
    bool is_pipelined;
    uint32_t credit_count;
    uint64_t named_limit_bytes; /* by the destination; 0: none */
    /* At the source. */
    uint64_t readies_arrived;
    uint32_t readies_early;      /* a hostile destination's, that came before their command */
    uint32_t unregistered_early; /* UNREGISTER_FINISHED, likewise */
    uint64_t commands_posted;
    struct oracle_commands asked; /* until the READY after it arrives */
    uint64_t held_bytes;          /* of regions: from being asked for until both ends let go */
    bool is_exchange_asked;
    bool is_exchanged;
    struct oracle_block blocks[OPTION_BLOCKS_MAX];
    uint32_t unsignalled_count; /* writes in a row */
    /* At the destination. */
    uint64_t readies_posted;
    uint64_t commands_arrived;
    struct oracle_commands obeyed; /* until the READY after it is posted */
    uint64_t nonsense_arrived; /* number of the first command that must not be obeyed; 0: none */
    bool is_filling;
    struct oracle_range fill;
    enum oracle_owner owner;
};

/* ---- oracle_negotiation.c */

/* Both ends agreed on it: asked for, and granted as far as an honest destination does. */
bool oracle_is_pin_all(const struct oracle *oracle);
/* What the end may have registered at a time, by its own limit and what it was told; 0: no limit.
 */
uint64_t oracle_limit_bytes(const struct oracle *oracle, enum rdmig_role role);
/* ---- oracle_ranges.c */

uint64_t oracle_block_bytes(const struct oracle *oracle, uint32_t block);
bool oracle_is_inside(const struct oracle *oracle, const struct oracle_range *range);
bool oracle_is_overlap(const struct oracle_range *a, const struct oracle_range *b);
/* Any write of the source, anywhere in the range. */
bool oracle_is_written(const struct oracle *oracle, const struct oracle_range *range);

/* ---- oracle_messages.c */

uint32_t oracle_be32(const uint8_t *bytes);
uint64_t oracle_be64(const uint8_t *bytes);
const char *oracle_type_name(uint32_t type);
/* Bytes of an entry of the type's data; 0: it has none. */
uint32_t oracle_entry_bytes(uint32_t type);
uint32_t oracle_entry_count(const struct oracle_message *message);
/* READY is all that follows: NONE. */
uint32_t oracle_answer_type(uint32_t type);

/* ---- oracle_commands.c */

/* A place at the end of the queue for the command, read as far as it has entries; NULL: full. */
struct oracle_command *oracle_commands_add(struct oracle *oracle, struct oracle_commands *commands,
                                           const struct oracle_message *message);
struct oracle_command *oracle_commands_at(struct oracle_commands *commands, uint32_t index);
/* The oldest; NULL: there is none. */
struct oracle_command *oracle_commands_head(struct oracle_commands *commands);
/* The one that an answer arriving at the source is for; NULL: none. */
struct oracle_command *oracle_answered(struct oracle *oracle, uint32_t answer_type);
void oracle_commands_pop(struct oracle_commands *commands);
void oracle_commands_free(struct oracle_commands *commands);
/* The command that the destination is to obey now, if it is of the type; NULL. */
const struct oracle_command *oracle_obeyed(const struct oracle *oracle, uint32_t type);

/* Breaks the world when an entry names what does not exist; false then. */
bool oracle_check_ranges(struct oracle *oracle, const struct oracle_command *command);
/* Of our source: how many entries, and how long their runs are. */
void oracle_check_batch(struct oracle *oracle, const struct oracle_command *command);
/* It is added to those that are under way: may it be? */
void oracle_check_alone(struct oracle *oracle, uint32_t type);

/* ---- oracle_regions.c */

struct oracle_chunk *oracle_chunks(struct oracle *oracle, uint32_t block);
uint64_t oracle_first_chunk(const struct oracle *oracle, const struct oracle_range *range);
uint64_t oracle_last_chunk(const struct oracle *oracle, const struct oracle_range *range);
void oracle_register_posted(struct oracle *oracle, const struct oracle_command *command);
void oracle_unregister_posted(struct oracle *oracle, const struct oracle_command *command);
/* An answer for the range, or for others of the same request only, has arrived at the source. */
void oracle_region_answered(struct oracle *oracle, const struct oracle_range *range,
                            bool is_answered, uint32_t rkey);
/* UNREGISTER_FINISHED has. */
void oracle_unregister_answered(struct oracle *oracle, const struct oracle_command *command);

/* ---- oracle_memory.c */

/* The source posts such a command; its ranges are inside their blocks. */
void oracle_compress_posted(struct oracle *oracle, const struct oracle_command *command);
void oracle_round_posted(struct oracle *oracle);
/* READY arrives at the source after this COMPRESS. */
void oracle_compress_settled(struct oracle *oracle, const struct oracle_command *command);
/* The destination takes the guest: every page must be there. */
void oracle_compare_all(struct oracle *oracle);

#endif
