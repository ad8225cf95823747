/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A party: who uses a port. Ours (the real core and what a VMM does around it), the model of a
 * stock QEMU, or a hostile one; each as a source and as a destination.
 */
#ifndef SIM_PARTY_H
#define SIM_PARTY_H

#include "fabric.h"
#include "world.h"

enum outcome {
    OUTCOME_OPEN,
    OUTCOME_COMPLETED,
    OUTCOME_FAILED,
    OUTCOME_UNKNOWN /* source: lost between handing the guest over and hearing that it arrived */
};

struct party_numbers {
    uint64_t round_trips;
    uint64_t control_messages;
    uint64_t bytes_written;
    uint64_t bytes_zero;
    uint64_t rounds;
    uint64_t engine_bytes; /* memory of the engine for this guest */
    uint64_t connected_ns; /* times of the world; 0: not yet */
    uint64_t exchanged_ns;
    uint64_t first_round_start_ns; /* the RAM phase: first byte of the first round ... */
    uint64_t ram_end_ns;           /* ... to the end of the last round's writes */
    uint64_t first_round_end_ns;
    uint64_t first_round_bytes; /* written and zeroed in it */
    uint64_t stopped_ns;        /* the guest */
    uint64_t estimate_ns;       /* source of ours: how long its last round would take */
    uint64_t resumed_ns;        /* destination: it runs here */
    uint64_t completed_ns;
    uint64_t stream_bytes; /* that its VMM has written, or read */
};

struct party_class {
    const char *name;
    void (*start)(struct party *party); /* connect, or listen */
    void (*completed)(struct party *party, const struct completion *completion);
    void (*managed)(struct party *party, const struct cm_event *event);
    void (*cancel)(struct party *party);          /* its user gives up */
    bool (*is_closed)(const struct party *party); /* nothing more will come of it */
    /* Source: pages that it knows to be dirty and has not sent yet. */
    bool (*is_pending)(const struct party *party, uint32_t block, uint64_t page);
    /* Source, may be NULL: pages that the guest does not need. */
    bool (*is_free)(const struct party *party, uint32_t block, uint64_t page);
    /* Fills in party->numbers as far as they are not kept up to date there. */
    void (*count)(struct party *party);
    void (*free)(struct party *party); /* itself too */
};

/* First member of each party's own struct. */
struct party {
    const struct party_class *class;
    struct world *world;
    struct port *port;
    enum rdmig_role role;
    enum outcome outcome;
    struct party_numbers numbers;
    bool has_no_prepare; /* source: hands the guest over without asking first, as a QEMU does */
    bool has_given_up;   /* its VMM: what fails of that is no fault */
};

/* Each makes a party for the port and becomes its owner; freed by its class. */
struct party *vmm_source_make(struct world *world, struct port *port);
struct party *vmm_destination_make(struct world *world, struct port *port);
struct party *stock_source_make(struct world *world, struct port *port);
struct party *stock_destination_make(struct world *world, struct port *port);
struct party *hostile_source_make(struct world *world, struct port *port);
struct party *hostile_destination_make(struct world *world, struct port *port);

/* The port calls its party back through this. */
void port_attach(struct port *port, struct party *party);

#endif
