/* SPDX-License-Identifier: BSD-2-Clause */
/* The stock source from inside: stock_source.c has the connection, the stages and the one command
 * that may be under way; stock_round.c what happens to pages. */
#ifndef SIM_STOCK_SOURCE_H
#define SIM_STOCK_SOURCE_H

#include "stock.h"

enum stock_stage {
    STOCK_STAGE_IDLE,
    STOCK_STAGE_CONNECTING,
    STOCK_STAGE_PREFIX,
    STOCK_STAGE_BLOCKS_ASK,
    STOCK_STAGE_BLOCKS_TAKE,
    STOCK_STAGE_SETUP_END,
    STOCK_STAGE_ROUND_TAKE,
    STOCK_STAGE_ROUND_OPEN,
    STOCK_STAGE_WALK,
    STOCK_STAGE_PIECE,
    STOCK_STAGE_REGISTER_ASK,
    STOCK_STAGE_REGISTER_TAKE,
    STOCK_STAGE_WRITE,
    STOCK_STAGE_COMPRESS,
    STOCK_STAGE_PIECE_END,
    STOCK_STAGE_DRAIN,
    STOCK_STAGE_ROUND_END,
    STOCK_STAGE_JUDGE,
    STOCK_STAGE_STATE,
    STOCK_STAGE_LEAVING, /* ERROR is on its way, or was not sent */
    STOCK_STAGE_CLOSED,
    STOCK_STAGE_COUNT
};

enum stock_command {
    STOCK_COMMAND_NONE,
    STOCK_COMMAND_WANTED, /* waits for a READY */
    STOCK_COMMAND_POSTED, /* waits for its completion */
    STOCK_COMMAND_ASKED   /* waits for its answer */
};

/* A block as the destination described it. */
struct stock_remote {
    uint64_t addr;
    uint64_t ram_offset;
    uint32_t rkey;        /* pin-all */
    uint32_t local_key;   /* pin-all */
    uint64_t first_chunk; /* counted over all blocks */
};

struct stock_chunk {
    uint32_t rkey;
    uint32_t local_key; /* 0: not registered */
    bool is_in_flight;
};

struct stock_source {
    struct party party;
    void (*run)(struct stock_source *); /* goes on, once it is no longer busy */
    struct stock_channel channel;
    enum stock_stage stage;
    bool is_planned; /* busy: goes on by itself */
    bool is_pin_all;
    bool has_credit;
    /* The command. */
    enum stock_command command;
    uint32_t command_type;
    uint32_t command_data_bytes;
    uint32_t command_answer; /* type; 0: READY is all that follows */
    bool is_answered;
    struct stock_message answer;
    /* The stream: what is to be written. */
    struct stream_writer stream;
    uint64_t data_word_count;
    enum stream_word last_word; /* DATA: none */
    bool has_begun;
    bool is_end_posted;
    /* RAM. */
    struct stock_dirty dirty;
    struct stock_remote remote[OPTION_BLOCKS_MAX];
    struct stock_chunk *chunks;
    uint64_t chunk_count;
    uint64_t chunk_bytes;
    struct stock_piece piece;
    uint64_t writes_in_flight;
    bool is_last_round;
    uint64_t round_start_ns;
    uint64_t round_bytes; /* written and zero, up to its start */
};

/* A stage: true when something was done (go on), false when it waits. */
typedef bool stock_stage_run(struct stock_source *source);

stock_stage_run stock_run_round_take, stock_run_walk, stock_run_piece, stock_run_register_ask,
    stock_run_register_take, stock_run_write, stock_run_compress, stock_run_piece_end,
    stock_run_drain, stock_run_round_end, stock_run_judge;

void stock_round_init(struct stock_source *source);
void stock_round_free(struct stock_source *source);
/* Pin-all: false: a registration failed. */
bool stock_round_pin(struct stock_source *source);
void stock_round_written(struct stock_source *source, uint64_t id);
bool stock_round_is_pending(const struct stock_source *source, uint32_t block, uint64_t page);

/* ---- stock_source_end.c */

void stock_source_close(struct stock_source *source);
world_handler stock_source_patience; /* it has lost it */
/* Data stand in the channel's memory already. */
void stock_source_command(struct stock_source *source, uint32_t type, uint32_t data_bytes,
                          uint32_t answer, enum stock_stage next);
/* Words for the stream: so many of data, then one of another kind. */
void stock_source_stream(struct stock_source *source, uint64_t data_word_count,
                         enum stream_word last_word);
/* Busy for so long, and then on to that stage. */
void stock_source_spend(struct stock_source *source, uint64_t time_ns, enum stock_stage next);
void stock_source_fail(struct stock_source *source, const char *why);

#endif
