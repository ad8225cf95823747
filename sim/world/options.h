/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that makes one world differ from another. Drawn (a swarm: each world draws which
 * faults exist in it at all), or read from a scenario file of `name = value` lines.
 */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "choice.h"
#include "costs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { OPTION_BLOCKS_MAX = 96, OPTION_FAULTS_MAX = 3 };

enum party_kind { PARTY_OURS, PARTY_STOCK, PARTY_HOSTILE, PARTY_KIND_COUNT };

enum workload {
    WORKLOAD_IDLE,
    WORKLOAD_HOT_SET,    /* hot_page_count pages at random, anywhere in the first part of block 0 */
    WORKLOAD_SEQUENTIAL, /* page after page, over and over */
    WORKLOAD_RANDOM,
    WORKLOAD_SPARSE, /* one page in stride, in order */
    WORKLOAD_COUNT
};

struct guest_options {
    uint32_t block_count;
    uint64_t block_bytes[OPTION_BLOCKS_MAX]; /* multiples of 4096 */
    enum workload workload;
    uint64_t writes_per_s; /* pages; "faster than the link" is only a number here */
    uint64_t hot_page_count;
    uint32_t stride;
    uint32_t zero_percent;    /* of its memory at the start, in runs */
    uint32_t zero_run_pages;  /* length of such a run */
    uint32_t rezero_permille; /* of its writes that write zeros */
};

/*
 * What may go wrong. Each happens at a moment (the number of a happening in the world) and to an
 * end. A transient one ends by itself and must be survived; the others must be noticed.
 */
#define FAULT_MAP(X)                                                                               \
    X(NONE)                                                                                        \
    X(LINK_DOWN)       /* nothing gets through any more, nobody is told */                         \
    X(LINK_FLAP)       /* transient: down for less than the retry timeout */                       \
    X(PROCESS_DEATH)   /* the end is gone; its kernel says so, or (argument odd) cannot */         \
    X(FREEZE)          /* transient: no CPU for a while; its hardware lives */                     \
    X(FREEZE_FOR_EVER) /* the same without an end */                                               \
    X(WORK_ERROR)      /* the next send-queue work request of the end fails at home */             \
    X(RECV_ERROR)      /* the next receive of the end fails */                                     \
    X(REGISTER_FAILS)  /* the next registration of the end fails */                                \
    X(FILL_FAILS)      /* the next fill fails */                                                   \
    X(ROUND_REFUSED)   /* the application refuses the end of a round */                            \
    X(CANCEL)          /* the application gives up */                                              \
    X(REJECTED)        /* the destination's host refuses the connection */                         \
    X(UNREACHABLE)     /* connecting fails */                                                      \
    X(CONNECT_LOST)    /* the request is lost; nobody says so */                                   \
    X(DREQ_LOST)       /* the peer does not hear of a disconnect */                                \
    X(FLUSH_STUCK)     /* a queue pair in error gives nothing back until it is destroyed */        \
    X(DEVICE_REMOVED)  /* the end's adapter goes */                                                \
    X(DELIVERY_LOST)   /* the acknowledgement of the end's next message is lost with the link */
enum fault_kind {
#define FAULT_ENUM(name) FAULT_##name,
    FAULT_MAP(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KIND_COUNT
};

/* Moments from here on count from the hand-over, where a few steps decide who owns the guest. */
#define FAULT_MOMENT_HANDOVER (UINT64_C(1) << 32)

struct fault {
    enum fault_kind kind;
    uint32_t role;   /* enum rdmig_role: the end it happens to */
    uint64_t moment; /* world.step_count from which on it may happen */
    uint32_t argument;
};

struct engine_options { /* of an end of ours; 0: the default of the core */
    uint32_t run_chunk_count;
    uint32_t register_batch_count;
    uint32_t send_queue_depth;
    uint32_t signal_interval;
    uint32_t stream_message_bytes;
    uint64_t write_bytes_max;
    uint64_t connect_timeout_ns;
    uint64_t reply_timeout_ns;
    uint64_t probe_interval_ns;
    uint64_t idle_timeout_ns;
    uint64_t close_timeout_ns;
    uint64_t leave_timeout_ns; /* source: of a destination that is not ours (clause E13) */
};

struct options {
    enum party_kind kind[2]; /* by enum rdmig_role */
    bool is_pin_all[2];      /* asked for; granted */
    /* Ends of ours, and hostile ones: PIPELINE (clause W11) is offered; granted. Stock has never
     * heard of it. */
    bool is_pipelined[2];
    uint64_t pinned_bytes_max[2]; /* of an end of ours, or named by a hostile destination; 0: no
                                     limit */
    bool is_ram_told;             /* the source says how much memory its guest has */
    struct guest_options guest;
    struct engine_options engine[2];
    uint32_t state_bytes;       /* device state in the stream */
    uint32_t prefix_bytes;      /* stream before the first hook */
    uint32_t round_count_max;   /* then the guest is stopped whatever is left */
    uint64_t downtime_limit_ns; /* stop when what is left takes less than this */
    enum costs_kind costs;
    uint64_t link_bits_per_s;     /* 0: the set's own */
    uint32_t jitter_steps;        /* delays to choose from; 1: none */
    uint32_t private_data_bytes;  /* what the connection manager hands up: 8, or padded to this */
    uint32_t unregister_permille; /* of its regions that our source lets go of between rounds */
    uint32_t wrong_call_permille; /* of steps that are followed by a call that must be refused */
    uint32_t pause_permille;      /* of our actions behind which events come before the next one */
    uint32_t fault_count;
    struct fault faults[OPTION_FAULTS_MAX];
    uint64_t time_limit_ns; /* virtual: a world that is not over by then is stuck */
    uint64_t step_limit;
    bool is_quiet;    /* no log: for large worlds */
    bool has_big_ram; /* no oracle that looks at every page at every round */
};

/* A plain world: ours to ours, a small guest, no fault, no jitter. */
void options_init(struct options *options);
/* Draws a world from the choice. */
void options_draw(struct options *options, struct choice *choice);
/*
 * Sets options as `name = value` lines say ('#' begins a comment; sizes take K, M, G, T; times take
 * ns, us, ms, s). NULL, or what is wrong with which line (static text).
 */
const char *options_read(struct options *options, FILE *file);
/* One name = value; NULL or what is wrong. */
const char *options_set(struct options *options, const char *name, const char *value);
/* The whole set as a scenario file that gives the same world. */
void options_print(const struct options *options, FILE *file);

const char *fault_name(enum fault_kind kind);
const char *party_kind_name(enum party_kind kind);
const char *workload_name(enum workload workload);

#endif
