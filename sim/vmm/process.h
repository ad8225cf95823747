/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process with one handle of the library in it: what src/migration has of its operating system,
 * in the world's terms. Its clock is the port's time, its descriptor is readable when its link has
 * news or its waker's time has come, and it is woken then: it has a turn.
 *
 * The library's functions take no process: the one whose turn it is is the current one.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "party.h"

#include "verbs/link.h"

struct process {
    struct world *world;
    struct port *port;
    struct party *party;
    enum rdmig_role role;
    void (*turn)(struct party *party);
    struct link *link; /* NULL: none */
    struct holes *holes;
    struct link *buried;  /* destroyed, and still named by what is planned */
    uint64_t deadline_ns; /* of the waker */
    uint64_t region_ns;   /* that the call has spent on regions, the longest one of them ... */
    uint64_t region_ns_max;
    uint64_t wait_number;
    uint64_t turn_ns; /* of its last turn, and how many it had then */
    uint32_t turn_count;
    bool has_waker;
    bool is_running; /* inside its turn */
    bool may_block;  /* ... which is one of its own, not somebody's call */
    bool is_turn_planned;
    bool is_blocked; /* inside a call that waits */
    bool is_woken;
    bool is_ending; /* the attempt is over: nothing waits any more */
};

void process_init(struct process *process, struct party *party, void (*turn)(struct party *party));
/* Frees what was buried. Its handle is destroyed by then. */
void process_end(struct process *process);

/* Before a call of the library. */
void process_enter(struct process *process);
struct process *process_current(void);
/* By the number that stands for its descriptors. */
struct process *process_of(int fd);

uint64_t process_now_ns(const struct process *process);
bool process_is_readable(const struct process *process);
/* Something has come: a turn now, or, as for a slow process, later. */
void process_signal(struct process *process);
/* A turn later on, whatever comes. */
void process_plan_turn(struct process *process, uint64_t delay_ns);
/* May it make a call that waits? Only one process at a time can, and only from a turn of its own. */
bool process_may_block(const struct process *process);
/* Waits inside a call: the world goes on meanwhile. True: readable; false: the time is over. */
bool process_block(struct process *process, uint64_t timeout_ns);
/* One in so many, where delays are drawn; never in the liveness phase if it is mischief. */
bool process_chance(struct process *process, uint32_t one_in);

/* ---- link.c, of the simulator */

bool link_has_news(const struct link *link);
void link_free_buried(struct link *link);
/* What the VMM's numbers take from it. */
void link_count(const struct link *link, struct party_numbers *numbers);
/* Is the range that the destination has to fill doomed by a fault? */
bool link_is_fill_doomed(struct link *link);
/* Native: the stream's last byte has been posted. A QEMU's: any byte behind the first end_bytes. */
bool link_may_have_handed_over(const struct link *link, bool is_native, uint64_t end_bytes);
/* Before a round an application may let go of a region, which src/migration never does. */
void link_let_go(struct link *link);

#endif
