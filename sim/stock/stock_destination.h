/* SPDX-License-Identifier: BSD-2-Clause */
/* The stock destination from inside: stock_destination.c has the connection, the stream and what is
 * said when; stock_commands.c what it does with memory. */
#ifndef SIM_STOCK_DESTINATION_H
#define SIM_STOCK_DESTINATION_H

#include "stock.h"

enum stock_end_stage {
    STOCK_END_IDLE,
    STOCK_END_LISTENING,
    STOCK_END_ACCEPTED,
    STOCK_END_SERVING,
    STOCK_END_LEAVING,
    STOCK_END_CLOSED
};

enum stock_mode { STOCK_MODE_STREAM, STOCK_MODE_COMMANDS };

struct stock_fill {
    uint64_t first_page;
    uint64_t page_count; /* 0: none */
    uint32_t block;
    uint32_t token;
};

struct stock_destination_block {
    uint64_t chunk_count;
    uint32_t *rkeys; /* by the region's first chunk; 0: none */
    uint32_t rkey;   /* pin-all */
};

struct stock_destination {
    struct party party;
    void (*run)(struct stock_destination *); /* goes on, once it is no longer busy */
    struct stock_channel channel;
    enum stock_end_stage stage;
    enum stock_mode mode;
    bool is_planned; /* busy: goes on by itself */
    bool is_pin_all;
    bool is_ready_given;
    bool is_set_up;
    /* A QEMU_FILE message that is being read. */
    bool has_stream;
    struct stock_message stream;
    uint32_t stream_taken_bytes;
    struct stream_reader reader;
    /* An answer to be sent; its data stand in the channel's memory. */
    uint32_t answer_type; /* 0: none */
    uint32_t answer_repeat;
    uint32_t answer_bytes;
    struct stock_fill fill;
    uint64_t chunk_bytes;
    struct stock_destination_block blocks[OPTION_BLOCKS_MAX];
};

/* Does as a command about RAM says; its answer, if it has one, is left in answer_type and what
 * follows. */
void stock_destination_obey(struct stock_destination *destination,
                            const struct stock_message *message);
/* A fill that was started takes effect. */
void stock_destination_end_fill(struct stock_destination *destination);

/* ---- stock_destination_end.c */

void stock_destination_close(struct stock_destination *destination);
world_handler stock_destination_patience; /* it has lost it */
void stock_destination_fail(struct stock_destination *destination, const char *why);
/* Busy for so long. */
void stock_destination_spend(struct stock_destination *destination, uint64_t time_ns);

#endif
