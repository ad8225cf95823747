/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile peer: mostly it does what the protocol says, so that it gets far, and then something
 * else. Each world draws which kinds of hostility there are in it and how often, and which of the
 * things that are legal but never done by our own ends. It makes its messages by itself: no code of
 * the core is in it.
 *
 * hostile.c has its life (connection, receives, silence, leaving), hostile_messages.c bytes,
 * hostile_writes.c RDMA Writes and regions, and hostile_source.c and hostile_destination.c what
 * each end would properly do.
 */
#ifndef SIM_HOSTILE_H
#define SIM_HOSTILE_H

#include "party.h"

enum hostile_kind {
    HOSTILE_PRIVATE_DATA,
    HOSTILE_TRUNCATION, /* messages of 0 to 16 bytes and some */
    HOSTILE_HEADER,     /* len, type and repeat are not those of the message */
    HOSTILE_BODY,       /* len is that of the message, but not of its type and repeat */
    HOSTILE_ENTRIES,    /* block, key, offset, length, value ... */
    HOSTILE_ORDER,      /* a message that is not due */
    HOSTILE_CREDIT,     /* commands without a READY; READYs too many, too few, too early */
    HOSTILE_ANSWERS,    /* destination: results too many, too few, other ones */
    HOSTILE_STREAM,     /* source: any bytes, none */
    HOSTILE_ERROR,
    HOSTILE_SILENCE,
    HOSTILE_LEAVING,
    HOSTILE_WRITES, /* RDMA Writes that their key is not good for */
    HOSTILE_FLOOD,  /* more messages at once than anybody has receives for */
    HOSTILE_DELAYS,
    HOSTILE_RECEIVES, /* fewer than there should be, or too small */
    HOSTILE_WHENEVER, /* a message at any time */
    HOSTILE_LIMIT,    /* source: regions beyond the limit that it was told of */
    HOSTILE_KIND_COUNT
};

/* Legal, but not what our own ends do. */
enum oddity {
    ODD_BATCHES,      /* several entries a message */
    ODD_SMALL_STREAM, /* a few bytes a message */
    ODD_LARGE_STREAM,
    ODD_FILL_VALUES,   /* COMPRESS with something else than 0, of bytes and not of pages */
    ODD_AGAIN,         /* a region that is there already, or a part of one */
    ODD_NO_END,        /* leaves without the end of the stream, or ends it without PREPARE */
    ODD_PADDING,       /* header and entries */
    ODD_EARLY_READY,   /* with the acceptance */
    ODD_SHORT_RESULTS, /* stock's answer to a batch */
    ODD_OFFSETS,       /* blocks anywhere in the ram_addr space */
    ODD_PIN_ALL,       /* the other way than the options say */
    ODD_TOGETHER,      /* PIPELINE: commands under way that should be alone */
    ODD_FEW_CREDITS,   /* PIPELINE: not as many as there could be */
    ODDITY_COUNT
};

enum hostile_life { LIFE_NEW, LIFE_CONNECTING, LIFE_UP, LIFE_SILENT, LIFE_OVER };

enum {
    HOSTILE_RECEIVES_MAX = 9,
    HOSTILE_REGIONS_MAX = 64,
    HOSTILE_ENTRIES_MAX = 64, /* of a batch, that are remembered */
    HOSTILE_MESSAGES_MAX = 60,
    HOSTILE_WRITES_MAX = 40,
    HOSTILE_HEADER_BYTES = 16,
    HOSTILE_CREDITS_MAX = 4
};
#define HOSTILE_FLAG_PIN_ALL  0x1u
#define HOSTILE_FLAG_PIPELINE 0x10000u
#define HOSTILE_CHUNK_BYTES   (UINT64_C(1) << 20)
#define HOSTILE_WRITE_ID      (UINT64_C(1) << 32) /* of every write; a SEND's is its type */

/* Types on the wire. */
enum hostile_type {
    TYPE_NONE,
    TYPE_ERROR,
    TYPE_READY,
    TYPE_QEMU_FILE,
    TYPE_BLOCKS_REQUEST,
    TYPE_BLOCKS_RESULT,
    TYPE_COMPRESS,
    TYPE_REGISTER,
    TYPE_REGISTER_RESULT,
    TYPE_ROUND_END,
    TYPE_UNREGISTER,
    TYPE_UNREGISTERED,
    TYPE_COUNT
};

struct hostile;

struct hostile_role {
    void (*managed)(struct hostile *hostile, const struct cm_event *event);
    /* A message has come; it is the hardware's again afterwards. */
    void (*received)(struct hostile *hostile, const uint8_t *bytes, uint32_t length_bytes);
    /* Called after that, and at any other occasion. */
    void (*act)(struct hostile *hostile);
};

/* As the destination tells of it; the source believes it. */
struct hostile_block {
    uint64_t addr;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint32_t rkey;
    uint32_t local_key; /* of the whole block at home; 0: not made */
};

/* A run of chunks that the destination has registered: its own, or one that the source knows of. */
struct hostile_region {
    uint32_t block;
    uint64_t first_chunk;
    uint64_t chunk_count;
    uint32_t rkey;
    bool is_alive; /* a dead one's key is stale */
};

/* What private data say; as they come, all that is not there is 0. */
struct hostile_private {
    uint32_t flags;
    uint32_t credit_count;
    uint64_t bytes; /* the source's RAM, the destination's limit */
};

struct hostile_received {
    uint32_t slot;
    uint32_t length_bytes;
};

/* First member of each role's own struct. */
struct hostile {
    struct party party;
    const struct hostile_role *role;
    enum hostile_life life;
    struct ratio rates[HOSTILE_KIND_COUNT];
    bool is_odd[ODDITY_COUNT];
    uint32_t message_count;
    uint32_t last_type; /* of a message that it has sent */
    uint32_t write_count;
    uint32_t writes_out;
    uint32_t tick_count;
    uint64_t arena_used_bytes;
    uint32_t receive_bytes; /* capacity of each */
    struct hostile_received inbox[HOSTILE_RECEIVES_MAX];
    uint32_t inbox_first;
    uint32_t inbox_count;
    bool is_step_planned;
    bool is_pin_all;       /* agreed on */
    uint32_t credit_count; /* likewise: 1 without PIPELINE */
    uint64_t limit_bytes;  /* source: that it was told of; 0: none */
    struct hostile_block blocks[RAM_BLOCKS_MAX];
    uint32_t block_count;
    struct hostile_region regions[HOSTILE_REGIONS_MAX];
    uint32_t region_count;
};

/* ---- decisions; each call is a statement of its own */

uint32_t hostile_pick(struct hostile *hostile, uint32_t bound);
/* Does it do that now? No decision in a world without that kind. */
bool hostile_does(struct hostile *hostile, enum hostile_kind kind);
/* The value itself, or one somewhere near, or an edge of the 64 (32) bits. */
uint64_t hostile_bend(struct hostile *hostile, uint64_t value);
uint32_t hostile_bend32(struct hostile *hostile, uint32_t value);

/* ---- hostile.c */

/* Fills in what both roles have in common. */
void hostile_init(struct hostile *hostile, struct world *world, struct port *port,
                  const struct party_class *class, const struct hostile_role *role);
/* Draws what kind of peer this is, and posts its receives. */
void hostile_open(struct hostile *hostile);
void hostile_completed(struct party *party, const struct completion *completion);
void hostile_managed(struct party *party, const struct cm_event *event);
void hostile_cancel(struct party *party);
bool hostile_is_closed(const struct party *party);
bool hostile_is_pending(const struct party *party, uint32_t block, uint64_t page);
void hostile_count(struct party *party);
void hostile_free(struct party *party);

bool hostile_is_up(const struct hostile *hostile);
void hostile_leave(struct hostile *hostile);
void hostile_fall_silent(struct hostile *hostile);
/* Goes on: at once, or after a while if there are delays in this world. */
void hostile_plan_step(struct hostile *hostile);
uint64_t hostile_delay_ns(struct hostile *hostile);

/* ---- hostile_writes.c */

/* False: it had better not write anything. */
bool hostile_may_write(struct hostile *hostile);
/* Posts an RDMA Write from its own memory, which it registers first. */
void hostile_write(struct hostile *hostile, struct write_request *request);
/* One that the hardware must refuse (or not: it may guess right). */
void hostile_write_anywhere(struct hostile *hostile);

uint64_t hostile_chunk_count(const struct hostile *hostile, uint32_t block);
/* The region alive that starts at the chunk, or NULL. */
struct hostile_region *hostile_find_region(struct hostile *hostile, uint32_t block,
                                           uint64_t first_chunk);
/* Takes the place of a dead one when there is no room; forgets it when there is none either. */
void hostile_add_region(struct hostile *hostile, const struct hostile_region *region);

/* ---- hostile_messages.c */

struct hostile_message {
    uint8_t *bytes; /* header first */
    uint32_t capacity_bytes;
    uint32_t type;
    uint32_t repeat;
    uint32_t body_bytes;
};

/* False: enough was said in this world; it has left. */
bool hostile_begin(struct hostile *hostile, struct hostile_message *message,
                   enum hostile_type type);
void hostile_put32(struct hostile_message *message, uint32_t value);
void hostile_put64(struct hostile_message *message, uint64_t value);
void hostile_put_bytes(struct hostile_message *message, const uint8_t *bytes,
                       uint32_t length_bytes);
void hostile_put_padding(struct hostile *hostile, struct hostile_message *message);
void hostile_put_register(struct hostile *hostile, struct hostile_message *message, uint64_t key,
                          uint32_t block, uint64_t chunks);
void hostile_put_compress(struct hostile_message *message, uint32_t value, uint32_t block,
                          uint64_t offset_bytes, uint64_t length_bytes);
/* Bends it, as this world has it, and posts it. */
void hostile_send(struct hostile *hostile, struct hostile_message *message);
void hostile_send_empty(struct hostile *hostile, enum hostile_type type, uint32_t repeat);
/* A message of any type whose entries might be right. */
void hostile_send_any(struct hostile *hostile);

struct hostile_header {
    uint32_t length_bytes;
    uint32_t type;
    uint32_t repeat;
};
/* What came, as far as it came: length_bytes is cut to that. False: no whole header. */
bool hostile_read_header(const uint8_t *bytes, uint32_t received_bytes,
                         struct hostile_header *header);
uint32_t hostile_get32(const uint8_t *bytes);
uint64_t hostile_get64(const uint8_t *bytes);
/* Returns how many bytes of out (of 64) are to be sent. */
uint32_t hostile_private_data(struct hostile *hostile, const struct hostile_private *told,
                              uint8_t *out);
struct hostile_private hostile_read_private(const struct cm_event *event);

#endif
