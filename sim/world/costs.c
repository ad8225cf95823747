/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What things cost. Behind each figure: "known" with where it is published or measured, "chosen"
 * where nothing better than the order of magnitude is, "fitted" where the calibration set it.
 *
 *   [libfabric]  ofiwg/libfabric #4738: 256 GB of 4 KiB pages registered in 20 s, 78 ms/GB
 *   [Mooncake]   Mooncake #855, #1238: 500 GB unregistered in 11.8 s, 23.5 ms/GB for
 *                all adapters of a host together
 *   [Kingsoft]   qemu-devel, June 2021: 64 GB of 2 MiB pages deregistered in 400 ms, 6.3 ms/GB
 *   [headers]    arithmetic on the packet formats, full packets
 *   [host]       measured on one core of the machine that runs the tests
 */
#include "costs.h"

#include <stddef.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * 1024)

#define GIGA UINT64_C(1000000000)
#define US   UINT64_C(1000)
#define MS   UINT64_C(1000000)

/* clang-format off */
#define MODERN_BUT_PAGES \
    .link_bits_per_s = 100 * GIGA, \
    .payload_permille = 980,    /* known: 4096 of 4178 bytes [headers] (RoCEv2, Ethernet) */ \
    .latency_ns = 2 * US,       /* chosen: an adapter pair and one switch */ \
    .message_overhead_ns = 100, /* chosen: 10 million messages a second */ \
    .post_ns = 150,             /* chosen: a work request and its doorbell */ \
    .poll_ns = 100,             /* chosen */ \
    .wakeup_ns = 8 * US,        /* chosen: interrupt, scheduler, poll() returns */ \
    .wakeup_cpu_ns = 2 * US,    /* chosen: what of it is this process's CPU */ \
    .register_call_ns = 20 * US, /* chosen: system call, key, adapter's command queue */ \
    .deregister_call_ns = 10 * US,  /* chosen: half of registering */ \
    .scan_data_page_ps = 52000, /* measured: `make bench`, one core of a cloud machine */ \
    .scan_zero_bytes_per_s = 12900000000, /* measured: the same over zeros in 4 KiB pages */ \
    .fill_bytes_per_s = 12 * GIGA, /* chosen: memcpy's 12 GB/s [host] */ \
    .copy_bytes_per_s = 8 * GIGA,  /* chosen: two thirds of 12 GB/s [host] */ \
    .bitmap_word_ps = 1000,        /* chosen: 8 GB/s of bitmap */ \
    .retry_timeout_ns = 500 * MS,  /* chosen: retry_count 5, about 67 ms each */ \
    .connect_ns = 3 * MS,          /* chosen */ \
    .stock_page_ns = 120,          /* fitted: with the 2026 bench */ \
    .stock_wait_ns = 485 * US,     /* fitted: with the 2026 bench */ \
    .stock_chunk_bytes = MIB,      /* known: the wire protocol's */

#define BENCH_2026_BUT_CHUNK \
    .link_bits_per_s = 200 * GIGA,  /* chosen: the next rate above 140 Gb/s */ \
    .payload_permille = 980,        /* known: [headers] */ \
    .latency_ns = 2 * US,           /* chosen */ \
    .message_overhead_ns = 100,     /* chosen */ \
    .post_ns = 150,                 /* chosen */ \
    .poll_ns = 100,                 /* chosen */ \
    .wakeup_ns = 8 * US,            /* chosen */ \
    .wakeup_cpu_ns = 2 * US,        /* chosen */ \
    .register_call_ns = 20 * US,    /* chosen */ \
    .register_page_ps = 16000000, /* chosen: as MODERN */ \
    .deregister_call_ns = 10 * US,  /* chosen */ \
    .deregister_page_ps = 13212000, /* known: [Kingsoft] */ \
    .page_bytes = 2 * MIB, \
    .fault_page_ns = 0, /* fitted: there already; with faults no other figure gives 17.5 GB/s */ \
    .scan_data_page_ps = 52000, /* measured: `make bench`, one core of a cloud machine */ \
    .scan_zero_bytes_per_s = 12900000000, /* measured: the same over zeros in 4 KiB pages */ \
    .fill_bytes_per_s = 12 * GIGA,      /* chosen: as MODERN */ \
    .copy_bytes_per_s = 8 * GIGA,       /* chosen */ \
    .bitmap_word_ps = 1000,             /* chosen */ \
    .retry_timeout_ns = 500 * MS,       /* chosen */ \
    .connect_ns = 3 * MS,               /* chosen */ \
    .stock_page_ns = 120,               /* fitted: 1 GiB chunks; below 167 the link hides most of it */ \
    .stock_wait_ns = 485 * US,          /* fitted: 1.0 GB/s at 1 MiB chunks */

/* clang-format on */
static const struct costs sets[COSTS_KIND_COUNT] = {
    /* Small worlds: all of it chosen, so that everything takes about as long as everything else,
       and any two things may overlap. */
    [COSTS_FLAT] =
        {
            .name = "flat",
            .link_bits_per_s = 100 * GIGA,
            .payload_permille = 1000,
            .latency_ns = 1 * US,
            .message_overhead_ns = 100,
            .post_ns = 100,
            .poll_ns = 100,
            .wakeup_ns = 0,
            .wakeup_cpu_ns = 0,
            .register_call_ns = 2 * US,
            .register_page_ps = 100000,
            .deregister_call_ns = 1 * US,
            .deregister_page_ps = 50000,
            .page_bytes = 4 * KIB,
            .fault_page_ns = 200,
            .scan_data_page_ps = 10000,
            .scan_zero_bytes_per_s = 10 * GIGA,
            .fill_bytes_per_s = 10 * GIGA,
            .copy_bytes_per_s = 10 * GIGA,
            .bitmap_word_ps = 1000,
            .retry_timeout_ns = 50 * MS,
            .connect_ns = 20 * US,
            .stock_page_ns = 100,
            .stock_wait_ns = 1 * US,
            .stock_chunk_bytes = MIB,
        },
    /* The same worlds on hosts that are about as slow with memory as may be (clause E14: 4.2 s a GiB,
       16 us a page): each thing that they are asked for takes them three quarters of that, 12 us a
       page. A limit that does not grow with it is too short even for a small guest. */
    [COSTS_SLOW_HOST] =
        {
            .name = "slow-host",
            .link_bits_per_s = 100 * GIGA,
            .payload_permille = 1000,
            .latency_ns = 1 * US,
            .message_overhead_ns = 100,
            .post_ns = 100,
            .poll_ns = 100,
            .wakeup_ns = 0,
            .wakeup_cpu_ns = 0,
            .register_call_ns = 2 * US,
            .register_page_ps = 8000000, /* with the fault 12 us a page */
            .deregister_call_ns = 1 * US,
            .deregister_page_ps = 12000000,
            .page_bytes = 4 * KIB,
            .fault_page_ns = 4000,
            .scan_data_page_ps = 10000,
            .scan_zero_bytes_per_s = 10 * GIGA,
            .fill_bytes_per_s = 488 * MIB, /* with the fault 12 us a page */
            .copy_bytes_per_s = 10 * GIGA,
            .bitmap_word_ps = 1000,
            .round_page_ns = 12000, /* a relay compares all memory */
            .retry_timeout_ns = 50 * MS,
            .connect_ns = 20 * US,
            .stock_page_ns = 100,
            .stock_wait_ns = 1 * US,
            .stock_chunk_bytes = MIB,
        },
    /* A server of today, 100 Gb/s RoCE, guest memory in 2 MiB pages. */
    [COSTS_MODERN] =
        {
            MODERN_BUT_PAGES.name = "modern", .page_bytes = 2 * MIB,
            .register_page_ps =
                16000000, /* chosen: 8.2 ms/GiB, a little more than undoing it takes */
            .deregister_page_ps = 13212000, /* known: 6.3 ms/GB [Kingsoft] */
            .fault_page_ns = 90 * US,       /* chosen: zeroing it at 23 GB/s; 320 us [host] */
        },
    /* The same with guest memory in 4 KiB pages. */
    [COSTS_MODERN_4K] =
        {
            MODERN_BUT_PAGES.name = "modern-4k", .page_bytes = 4 * KIB,
            .register_page_ps = 300000,  /* known: 0.3 us [libfabric] */
            .deregister_page_ps = 96000, /* known: 23.5 ms/GB [Mooncake] */
            .fault_page_ns = 250,        /* chosen: fault and zeroing of 4 KiB */
        },
    /* The bench on which the protocol's first figures were measured: 40 Gb/s InfiniBand (QDR),
       8 GB guest, 4 KiB pages: 9.5 Gb/s with dynamic registration, 26 Gb/s pinned. */
    [COSTS_BENCH_2013] =
        {
            .name = "bench-2013",
            .link_bits_per_s = 32 * GIGA, /* known: 40 Gb/s less 8b/10b coding */
            .payload_permille = 987,      /* known: 2048 of 2074 bytes [headers] (InfiniBand) */
            .latency_ns = 1300,           /* chosen: QDR's one way */
            .message_overhead_ns = 150,   /* chosen */
            .post_ns = 200,               /* chosen */
            .poll_ns = 150,               /* chosen */
            .wakeup_ns = 10 * US,         /* chosen */
            .wakeup_cpu_ns = 3 * US,      /* chosen */
            .register_call_ns = 5 * US,   /* chosen */
            .register_page_ps = 300000,   /* known: 0.3 us [libfabric] */
            .deregister_call_ns = 5 * US, /* chosen */
            .deregister_page_ps = 96000,  /* known: 23.5 ms/GB [Mooncake] */
            .page_bytes = 4 * KIB,
            .fault_page_ns = 500,       /* chosen: fault and zeroing of 4 KiB, no hypervisor */
            .scan_data_page_ps = 20000, /* chosen */
            .scan_zero_bytes_per_s = 8 * GIGA, /* chosen: one core's share of DDR3 */
            .fill_bytes_per_s = 6 * GIGA,      /* chosen */
            .copy_bytes_per_s = 4 * GIGA,      /* chosen */
            .bitmap_word_ps = 1500,            /* chosen */
            .retry_timeout_ns = 500 * MS,      /* chosen */
            .connect_ns = 3 * MS,              /* chosen */
            .stock_page_ns = 1257,             /* fitted: 26 Gb/s pinned */
            .stock_wait_ns = 133 * US,         /* fitted: 9.5 Gb/s dynamic */
            .stock_chunk_bytes = MIB,          /* known */
        },
    /* The bench of the adjustable chunk (QEMU 11.1): 8 GB guest, AMD host of 2026; about 1.0 GB/s
       at 1 MiB chunks, 17.5 GB/s at 1 GiB. Its adapter is not named: 140 Gb/s need 200 Gb/s. */
    [COSTS_BENCH_2026] =
        {
            BENCH_2026_BUT_CHUNK.name = "bench-2026",
            .stock_chunk_bytes = MIB, /* known: the default there */
        },
    [COSTS_BENCH_2026_GIB] =
        {
            BENCH_2026_BUT_CHUNK.name = "bench-2026-gib",
            .stock_chunk_bytes = 1024 * MIB, /* known: the largest that was tried */
        },
};

const struct costs *costs_of(enum costs_kind kind)
{
    return &sets[(unsigned int)kind < COSTS_KIND_COUNT ? kind : COSTS_FLAT];
}

bool costs_find(const char *name, enum costs_kind *kind)
{
    for (unsigned int i = 0; i < COSTS_KIND_COUNT; i++) {
        if (strcmp(name, sets[i].name) == 0) {
            *kind = (enum costs_kind)i;
            return true;
        }
    }
    return false;
}

/* factor_a * factor_b / divisor, rounded up; as much as there can be when it does not fit. */
static uint64_t scale_up(uint64_t factor_a, uint64_t factor_b, uint64_t divisor)
{
    unsigned __int128 product = (unsigned __int128)factor_a * factor_b;
    unsigned __int128 quotient;

    if (product <= UINT64_MAX) { /* nearly always: one division of 64 bits */
        return (uint64_t)product / divisor + ((uint64_t)product % divisor != 0);
    }
    quotient = product / divisor + (product % divisor != 0);
    return quotient < UINT64_MAX ? (uint64_t)quotient : UINT64_MAX;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

uint64_t costs_time_ns(uint64_t length_bytes, uint64_t bytes_per_s)
{
    return bytes_per_s == 0 ? 0 : scale_up(length_bytes, GIGA, bytes_per_s);
}

uint64_t costs_wire_ns(const struct costs *costs, uint64_t length_bytes)
{
    /* bits a millisecond that are payload: bits/s * permille, less the million in common; exact
       for every real rate, all of which are whole megabits */
    uint64_t payload_bits_per_ms =
        scale_up(costs->link_bits_per_s, costs->payload_permille, 1000 * US);

    if (payload_bits_per_ms == 0) {
        return 0;
    }
    return scale_up(length_bytes, 8 * MS, payload_bits_per_ms);
}

static uint64_t pages_ns(const struct costs *costs, uint64_t length_bytes, uint64_t call_ns,
                         uint64_t page_ps)
{
    uint64_t page_count = scale_up(length_bytes, 1, costs->page_bytes);

    return add_capped(call_ns, scale_up(page_count, page_ps, 1000));
}

uint64_t costs_register_ns(const struct costs *costs, uint64_t length_bytes)
{
    return pages_ns(costs, length_bytes, costs->register_call_ns, costs->register_page_ps);
}

uint64_t costs_deregister_ns(const struct costs *costs, uint64_t length_bytes)
{
    return pages_ns(costs, length_bytes, costs->deregister_call_ns, costs->deregister_page_ps);
}
