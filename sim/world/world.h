/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world: virtual time, what is to happen and when, and the log of what did. Nothing in a world
 * reads a clock, an address or anything else that could differ between two runs: the same decisions
 * give the same log, on every compiler.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "choice.h"
#include "costs.h"
#include "options.h"

#include <rdmig/core.h>

#include <stdio.h>

enum { LOG_RING_LINES = 48, LOG_LINE_BYTES = 200, BROKEN_TEXT_BYTES = 240 };

struct world;
struct fabric;
struct guest;
struct oracle;
struct party;
struct ram;

typedef void world_handler(struct world *world, void *subject, uint64_t argument);

struct happening {
    uint64_t at_ns;
    uint64_t order; /* first planned, first done, at the same time */
    world_handler *handler;
    void *subject;
    uint64_t argument;
};

struct world {
    uint64_t now_ns;
    uint64_t step_count;    /* happenings so far: a fault's moment is one of them */
    uint64_t handover_step; /* at which the source gave the guest up; 0: not yet */
    struct choice *choice;
    const struct options *options;
    struct costs costs;
    /* The things in it; made and freed by run.c. */
    struct fabric *fabric;
    struct guest *guest;
    struct ram *ram[2];     /* by enum rdmig_role */
    struct party *party[2]; /* by enum rdmig_role */
    struct oracle *oracle;
    bool is_calm; /* the liveness phase: no fault begins any more */
    /* Planned. */
    struct happening *heap;
    size_t heap_count;
    size_t heap_capacity;
    uint64_t next_order;
    /* The log. */
    uint64_t log_hash;
    uint64_t log_line_count;
    FILE *log_file; /* every line as well, or NULL */
    char ring[LOG_RING_LINES][LOG_LINE_BYTES];
    /* The first oracle that broke; empty: none. */
    char broken[BROKEN_TEXT_BYTES];
};

void world_init(struct world *world, const struct options *options, struct choice *choice);
void world_free(struct world *world);

/* Plans: handler(world, subject, argument) at that time, at once when it has passed. */
void world_at(struct world *world, uint64_t at_ns, world_handler *handler, void *subject,
              uint64_t argument);
/* Is anything planned for then, or before? */
bool world_has_planned(const struct world *world, uint64_t until_ns);
/* Does the next thing planned; false: nothing is. */
bool world_step(struct world *world);
/* Forgets everything planned. */
void world_forget(struct world *world);

/* One line: hashed with its time, kept in the ring, printed when there is a file. Nothing when
 * options->is_quiet. */
void world_log(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool world_is_logging(const struct world *world);
/* The ring, oldest line first. */
void world_print_ring(const struct world *world, FILE *file);

/* An oracle broke: what comes later does not count. Never returns early: callers go on safely. */
void world_break(struct world *world, const char *oracle, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool world_is_broken(const struct world *world);

/* One of options->jitter_steps delays: 0, then longer and longer ones, up to some times the link's
 * latency. */
uint64_t world_jitter_ns(struct world *world);

const char *role_name(enum rdmig_role role);

#endif
