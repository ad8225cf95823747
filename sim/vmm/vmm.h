/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM that uses the library: the real rdmig_source or rdmig_destination, and who calls it. What
 * it does when, and whether it does all that it may, are decisions of the world.
 *
 * What must hold is seen from here, too: who owns the guest by what the VMM is told, and that
 * progress, estimates and the time that calls take are as the header promises (vmm_watch.c).
 */
#ifndef SIM_VMM_H
#define SIM_VMM_H

#include "party.h"
#include "process.h"
#include "stream.h"

#include "ram/bitmap.h"

#include <rdmig/rdmig.h>

struct vmm_watch {
    struct rdmig_progress last;
    uint64_t call_start_ns;
    bool has_last;
};

struct vmm {
    struct party party; /* first */
    struct process process;
    struct vmm_watch watch;
    uint64_t idle_until_ns; /* it has something else to do; 0: it has not */
    bool is_over;           /* it was told how it ended, or has given up the handle */
    bool is_native;         /* the stream */
};

void vmm_init(struct vmm *vmm, const struct party_class *class, struct world *world,
              struct port *port, void (*turn)(struct party *party));
void vmm_options(const struct vmm *vmm, struct rdmig_options *options);
/* The guest's blocks: names, and where they are at this end. */
void vmm_blocks(const struct vmm *vmm, struct rdmig_ram_block *blocks,
                char names[][STREAM_NAME_BYTES]);
/* Now and then it thinks before it acts: true: not now, there is a turn later. */
bool vmm_hesitates(struct vmm *vmm);
/* A decision, where such are drawn at all, that makes trouble: never in the liveness phase. */
bool vmm_mischief(struct vmm *vmm, uint32_t one_in);
void vmm_managed(struct party *party, const struct cm_event *event);
void vmm_completed(struct party *party, const struct completion *completion);
bool vmm_is_closed(const struct party *party);
void vmm_count(struct party *party);

/* ---- vmm_watch.c: around each call that does not wait, and now and then */

void vmm_call_begins(struct vmm *vmm);
void vmm_call_ended(struct vmm *vmm, const char *name);
/* Behind a call that waits, which began at start_ns. */
void vmm_watch_wait(struct vmm *vmm, int result, uint64_t start_ns, uint32_t timeout_ms);
void vmm_watch_progress(struct vmm *vmm, const struct rdmig_progress *now);

#endif
