/* SPDX-License-Identifier: BSD-2-Clause */
/* What both handles need: waking up, block lists, errors, options, numbers. */
#ifndef RDMIG_MIGRATION_COMMON_H
#define RDMIG_MIGRATION_COMMON_H

#include "ram/bitmap.h"
#include "verbs/link.h"

#include <rdmig/rdmig.h>

/* ---- waker.c, wait.c: one descriptor that is readable when something has come, or at a time of our own */

struct waker {
    int epoll_fd;
    int timer_fd;
    uint64_t deadline_ns; /* as the timer has it */
};

/* 0, or -SYSTEM with *error filled; nothing is left open then. */
int waker_open(struct waker *waker, int link_fd, struct rdmig_error *error);
void waker_close(struct waker *waker);
/* Readable from deadline_ns (CLOCK_MONOTONIC) on; RDMIG_NO_DEADLINE: only for the link; 0: at once.
 */
void waker_set(struct waker *waker, uint64_t deadline_ns);
/* Waits until readable or timeout_ms (UINT32_MAX: none) are over: 0, -AGAIN (time over), -SYSTEM
 * (interrupted). 0 may come early: look, and wait for what is left. */
int waker_wait(const struct waker *waker, uint32_t timeout_ms);
/* Has something come for the link that it has not taken in? */
bool waker_is_link_readable(int link_fd);
/* The same for a wait that no signal may shorten, begun at start_ns: true when readable, false when
 * the time is over. */
bool waker_wait_until_over(const struct waker *waker, uint64_t start_ns, uint32_t timeout_ms);
/* What is left of a wait that began at start_ns; 0: nothing. */
uint32_t wait_left_ms(uint64_t start_ns, uint32_t timeout_ms);

/* ---- budget.c, facts.c: how much memory may be pinned */

/* What the system says of it. UINT64_MAX: no limit. */
struct budget_facts {
    uint64_t page_bytes;    /* the kernel counts whole ones, each region for itself */
    uint64_t memlock_bytes; /* RLIMIT_MEMLOCK, if it holds for this process */
    uint64_t pinned_bytes;  /* that count against it already */
    uint64_t cgroup_bytes;  /* the memory cgroup's limit */
};

struct budget {
    uint64_t limit_bytes; /* of all that is pinned; UINT64_MAX: none */
    uint64_t ram_bytes;   /* what is left of it for guest RAM; UINT64_MAX: none */
};

void budget_ask_system(struct budget_facts *facts);
uint64_t budget_allowed_bytes(const struct budget_facts *facts);
/*
 * What follows from options.pinned_limit_bytes and the system. need_bytes: the most RAM that has to
 * be pinned in one piece. Too little for that and control memory: -INVALID (the option's fault) or
 * -SYSTEM with *error filled.
 */
int budget_decide(uint64_t wanted_bytes, const struct budget_facts *facts, uint64_t need_bytes,
                  struct budget *out, struct rdmig_error *error);
/* Has the budget room for ram_bytes of guest RAM at a time? */
bool budget_has_room(const struct budget *budget, uint64_t ram_bytes);

/* ---- cgroup.c */

/* The least limit of the memory cgroups that this process is in; UINT64_MAX: none. root: "" but for
 * tests, what stands before /proc and the mount points. */
uint64_t cgroup_limit_bytes(const char *root);

/* ---- options.c */

/* Options with their defaults; -INVALID with *error filled when they cannot be used. options may be
 * NULL. */
int options_complete(const struct rdmig_options *options, struct rdmig_options *out,
                     struct rdmig_error *error);
/* The core's configuration that follows from them; ram_bytes 0: not known. */
void options_conn_config(const struct rdmig_options *options, enum rdmig_role role,
                         const struct budget *budget, uint64_t ram_bytes,
                         struct rdmig_conn_config *out);
uint64_t options_limit_ns(uint32_t limit_ms);

/* ---- memory.c: RAM blocks with names */

struct memory_block {
    char *name;
    uint8_t *host_addr;
    uint64_t length_bytes;
    struct ram_bitmap dirty; /* source */
    uint64_t *words;
};

struct memory {
    struct memory_block *blocks;
    uint32_t block_count;
    uint64_t bytes_total;
};

/* Copies the list; -INVALID (with *error) for one that cannot be migrated, -MEMORY. with_dirty:
 * bitmaps, all set. */
int memory_init(struct memory *memory, const struct rdmig_ram_block *blocks, uint32_t block_count,
                bool with_dirty, struct rdmig_error *error);
void memory_free(struct memory *memory);
uint64_t memory_dirty_bytes(const struct memory *memory);
/* The most of it that has to be pinned in one piece: a chunk, or the longest block. */
uint64_t memory_piece_bytes(const struct memory *memory);
/* The core's list: blocks one after the other in ram_addr space, each aligned to 2 MiB. Caller
 * frees; NULL: no memory. */
struct rdmig_block *memory_core_blocks(const struct memory *memory);

/* ---- error.c */

/* Fills *error (may be NULL) unless it already holds a cause; the format is for detail. */
void error_set(struct rdmig_error *error, enum rdmig_reason reason, int os_code, const char *remedy,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- stats.c: what a migration has done so far */

struct stats {
    uint64_t start_ns;     /* create (source) or connection request (destination) */
    uint64_t exchanged_ns; /* 0: not yet */
    uint64_t stopped_ns;   /* guest stopped; 0: not yet */
    uint64_t ended_ns;     /* 0: not yet */
};

void stats_progress(const struct stats *stats, const struct link *link, const struct budget *budget,
                    struct rdmig_progress *out);
/* To a caller whose struct may be another version's. */
void stats_give(const struct rdmig_progress *full, struct rdmig_progress *out, size_t out_bytes);
/* A line of the trace for the state, and one for the cause, if there is one. */
void numbers_trace_state(const struct trace *trace, const char *state,
                         const struct rdmig_error *error);
/* Why pin-all was asked for and is not there, as far as it is known. */
enum rdmig_pin_all_refusal stats_pin_all_refusal(const struct rdmig_options *options,
                                                 enum rdmig_role role, const struct link *link);

#endif
