/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig relay from inside. command_relay.c has the command, what it waits for and how it ends;
 * relay_steps.c what is done with the stream, the rounds and the memory in between.
 */
#ifndef RDMIG_TOOL_RELAY_H
#define RDMIG_TOOL_RELAY_H

#include "relay_shadow.h"
#include "relay_stream.h"
#include "session.h"

enum relay_step {
    RELAY_PASSING,    /* stream bytes, up to the next hook or the end */
    RELAY_EXCHANGING, /* first hook: the destination is asked for its blocks */
    RELAY_COMPARING,  /* last round: the source stands still until all memory is compared, */
    RELAY_LAST_ROUND, /* and the destination has what was found */
    RELAY_ENDING,     /* the source is done: the destination gets the stream's end */
    RELAY_HANDED_OVER /* all is written, and on its way */
};

/* Whose fault a failure is. */
enum relay_side { RELAY_SIDE_NONE, RELAY_SIDE_SOURCE, RELAY_SIDE_DESTINATION };

struct relay {
    struct session session; /* its destination is for the source QEMU, and the other way round; that
                               source exists when the blocks are known */
    struct shadow shadow;
    struct relay_stream stream;
    enum relay_step step;
    uint64_t compared_ns;         /* when the last piece was compared, or held back */
    int64_t compare_allowance_ns; /* how long comparing may take now */
    uint64_t hook_count;
    uint64_t flushed_bytes; /* of the stream: the destination has taken all up to here */
    bool is_memory_whole;   /* since the last hook the destination has all there is */
    bool has_source_left;   /* in order, when this began to give up */
    enum relay_side side;   /* which of them failed, or NONE */
};

/* The one that is going without having been told to, or NONE. */
enum relay_side relay_failed_side(const struct relay *relay);

/* Does what there is to do on either side, and compares a piece of the memory if it is time to;
 * true: something was done, so look again before waiting. Failures set the session's error.
 * context: the relay. */
bool relay_advance(void *context);

#endif
