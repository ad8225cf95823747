/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What things cost in virtual time. Each figure with its source in costs.c; sets of them by name.
 */
#ifndef SIM_COSTS_H
#define SIM_COSTS_H

#include <stdbool.h>
#include <stdint.h>

struct costs {
    const char *name;
    uint64_t link_bits_per_s;     /* data rate of one direction */
    uint32_t payload_permille;    /* of it that is payload: packet headers take the rest */
    uint64_t latency_ns;          /* one way */
    uint64_t message_overhead_ns; /* the adapter's time a work request */
    uint64_t post_ns;             /* CPU: one work request */
    uint64_t poll_ns;             /* CPU: one completion */
    uint64_t wakeup_ns;           /* from an event to its handler when nobody was awake */
    uint64_t wakeup_cpu_ns;       /* CPU of that */
    uint64_t register_call_ns;    /* CPU: one registration */
    uint64_t register_page_ps;    /* CPU, picoseconds: each page of page_bytes in it */
    uint64_t deregister_call_ns;
    uint64_t deregister_page_ps;
    uint64_t page_bytes;            /* of the host's mappings: 4 KiB or 2 MiB */
    uint64_t fault_page_ns;         /* CPU: first touch of a page of page_bytes */
    uint64_t scan_data_page_ps;     /* CPU: finding that a 4 KiB page is not zero */
    uint64_t scan_zero_bytes_per_s; /* CPU: finding that memory is zero */
    uint64_t fill_bytes_per_s;      /* CPU: COMPRESS at the destination */
    uint64_t copy_bytes_per_s;      /* CPU: stream bytes */
    uint64_t bitmap_word_ps;        /* CPU: 64 pages of a dirty bitmap */
    uint64_t round_page_ns;    /* CPU: our destination's VMM at a round's end, each 4 KiB page */
    uint64_t retry_timeout_ns; /* until a work request to nobody fails */
    uint64_t connect_ns;       /* addresses, routes, connection manager: in all */
    /* The stock model's own. */
    uint64_t stock_page_ns;     /* CPU: one 4 KiB page through its save loop */
    uint64_t stock_wait_ns;     /* each time it blocks: its main loop, coroutine, poll */
    uint64_t stock_chunk_bytes; /* 1 MiB; adjustable from QEMU 11.1 on */
};

enum costs_kind {
    COSTS_FLAT,
    COSTS_SLOW_HOST,
    COSTS_MODERN,
    COSTS_MODERN_4K,
    COSTS_BENCH_2013,
    COSTS_BENCH_2026,
    COSTS_BENCH_2026_GIB, /* chunks of 1 GiB */
    COSTS_KIND_COUNT
};

const struct costs *costs_of(enum costs_kind kind);
/* False: no set of that name. */
bool costs_find(const char *name, enum costs_kind *kind);

/* Time for so many bytes at that rate, rounded up; 0 when the rate is 0 (costs nothing). */
uint64_t costs_time_ns(uint64_t length_bytes, uint64_t bytes_per_s);
uint64_t costs_wire_ns(const struct costs *costs, uint64_t length_bytes);
uint64_t costs_register_ns(const struct costs *costs, uint64_t length_bytes);
uint64_t costs_deregister_ns(const struct costs *costs, uint64_t length_bytes);

#endif
