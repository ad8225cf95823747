/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest: writes to the memory of the end where it runs, as time passes, in one of a few ways,
 * and its dirty log, in the form in which KVM gives it. Lazy: what it would have done by now is
 * done when somebody looks (guest_advance), so an idle guest of terabytes costs nothing.
 */
#ifndef SIM_GUEST_H
#define SIM_GUEST_H

#include "options.h"
#include "ram.h"

#include <rdmig/core.h>

struct guest_log {
    uint64_t *words; /* page i is bit i % 64 of word i / 64 */
    uint64_t page_count;
    uint64_t set_count;
};

struct guest {
    const struct guest_options *options;
    struct ram *ram; /* where it runs */
    bool is_running;
    uint64_t advanced_ns; /* done up to here */
    uint64_t write_count;
    uint64_t generator;
    uint64_t position; /* sequential: the next page */
    uint32_t next_token;
    struct guest_log log[RAM_BLOCKS_MAX];
};

/* Fills the RAM as options->zero_percent and the workload say, runs from now_ns on; every page
 * starts out dirty. */
void guest_init(struct guest *guest, const struct guest_options *options, struct ram *ram,
                uint64_t seed, uint64_t now_ns);
void guest_free(struct guest *guest);

/* Does what it does until now_ns; nothing while it stands still. */
void guest_advance(struct guest *guest, uint64_t now_ns);
void guest_stop(struct guest *guest, uint64_t now_ns);
/* Goes on, with that memory under it (the other end's after a migration). */
void guest_resume(struct guest *guest, struct ram *ram, uint64_t now_ns);

/* Advances, then moves the block's dirty bits out into words (as many as the block needs), get and
 * clear as KVM does; returns how many were set. */
uint64_t guest_take_log(struct guest *guest, uint32_t block, uint64_t now_ns, uint64_t *words);
/* A migration that failed gives its undone pages back by marking everything. */
void guest_mark_all(struct guest *guest);
bool guest_is_dirty(const struct guest *guest, uint32_t block, uint64_t page);

#endif
