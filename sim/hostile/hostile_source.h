/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile source from inside: hostile_source.c has what comes when, hostile_commands.c the
 * commands with entries. */
#ifndef SIM_HOSTILE_SOURCE_H
#define SIM_HOSTILE_SOURCE_H

#include "hostile.h"
#include "stream.h"

enum stage { STAGE_STREAM, STAGE_EXCHANGE, STAGE_RAM, STAGE_LAST, STAGE_ENDED };

/* Runs that one REGISTER_REQUEST has asked for. */
struct hostile_asked {
    struct hostile_region runs[HOSTILE_ENTRIES_MAX];
    uint32_t count;
};

/* Commands that no READY has come for. */
enum { HOSTILE_UNDER_WAY_MAX = 16 };

struct hostile_source {
    struct hostile hostile;
    enum stage stage;
    uint32_t credit_count;
    uint32_t ready_count;
    uint32_t under_way[HOSTILE_UNDER_WAY_MAX]; /* their types, the oldest first */
    uint32_t under_way_count;
    uint32_t round_count;   /* still to come */
    uint32_t command_count; /* still to come in this stage */
    bool is_exchanged;
    struct stream_writer writer;
    bool is_native; /* the stream: our own two ends'; otherwise a QEMU's */
    bool has_begun;
    bool has_setup_end; /* native: written behind the exchange */
    uint8_t word[STREAM_WORD_BYTES];
    uint32_t word_left_bytes;                        /* of it, not sent yet */
    struct hostile_asked asked[HOSTILE_CREDITS_MAX]; /* the oldest first */
    uint32_t asked_count;
};

/* Would it have more than it was told that it may? */
bool hostile_is_over_limit(const struct hostile_source *source, uint64_t more_bytes);

void hostile_send_register(struct hostile_source *source);
void hostile_send_unregister(struct hostile_source *source);
void hostile_send_compress(struct hostile_source *source);

#endif
