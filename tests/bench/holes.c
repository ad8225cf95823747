/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding what was never allocated: a guest of 16 GiB with 64 MiB in use, and memory all in use. */
#include "bench.h"

#include "migration/holes.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_BYTES      (16 * BENCH_GIB)
#define GUEST_PAGE_COUNT (GUEST_BYTES / BENCH_PAGE_BYTES)
#define USED_COUNT       64u
#define USED_PAGE_COUNT  256u /* each */
#define FULL_PAGE_COUNT  BENCH_GIB_PAGES
#define GROUP            "holes"

/* What the walker asks for at once: in holes, and elsewhere (src/ram/walker.c). */
#define HOLE_PAGE_COUNT  16384u
#define PIECE_PAGE_COUNT 256u

struct guest {
    const char *label;
    bool is_shared;
    uint8_t *memory;
};

static struct guest guests[] = {
    {"16 GiB private, 64 MiB in use", false, NULL},
    {"16 GiB shared (memfd), 64 MiB in use", true, NULL},
};

#define GUEST_COUNT (sizeof(guests) / sizeof(guests[0]))

static void make_guest(struct guest *guest)
{
    const int fd = guest->is_shared ? memfd_create("bench", MFD_CLOEXEC) : -1;

    if (guest->is_shared && (fd < 0 || ftruncate(fd, (off_t)GUEST_BYTES) != 0))
        bench_fail("no memfd of 16 GiB: %s", strerror(errno));
    guest->memory =
        mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
             guest->is_shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, fd, 0);
    if (guest->memory == MAP_FAILED)
        bench_fail("no 16 GiB of address space: %s", strerror(errno));
    (void)madvise(guest->memory, GUEST_BYTES, MADV_NOHUGEPAGE);
    for (uint64_t i = 0; i < USED_COUNT; i++)
        memset(guest->memory + i * (GUEST_BYTES / USED_COUNT), 1,
               (size_t)USED_PAGE_COUNT * BENCH_PAGE_BYTES);
}

/* As the walker does it; returns the pages of holes. */
static uint64_t look_over(struct holes *holes, const uint8_t *memory, uint64_t page_count)
{
    uint64_t hole_count = 0;
    uint64_t page = 0;
    uint64_t asked_count = PIECE_PAGE_COUNT;

    while (page < page_count) {
        bool is_hole;
        uint64_t count;

        if (asked_count > page_count - page)
            asked_count = page_count - page;
        count = holes_query(holes, memory + page * BENCH_PAGE_BYTES, asked_count, &is_hole);
        asked_count = is_hole ? HOLE_PAGE_COUNT : PIECE_PAGE_COUNT;
        hole_count += is_hole ? count : 0;
        page += count;
    }
    return hole_count;
}

static void measure(struct holes *holes, const uint8_t *memory, uint64_t page_count,
                    uint64_t expected_count, struct bench_cost *cost)
{
    uint64_t hole_count;

    holes_invalidate(holes);
    bench_begin(cost);
    hole_count = look_over(holes, memory, page_count);
    bench_end(cost);
    if (hole_count != expected_count)
        bench_fail("%llu pages of %llu are called holes", (unsigned long long)hole_count,
                   (unsigned long long)page_count);
}

void bench_holes(struct bench *bench)
{
    static struct holes *holes;
    static uint8_t *full;
    struct bench_cost cost;

    /* All the memory first: what lies where is found out once. */
    for (size_t i = 0; i < GUEST_COUNT; i++) {
        if (!guests[i].memory)
            make_guest(&guests[i]);
    }
    if (!full)
        full = bench_map(BENCH_GIB, false, 1);
    if (!holes)
        holes = holes_create();
    if (!holes)
        bench_fail("out of memory; free some");
    for (size_t i = 0; i < GUEST_COUNT; i++) {
        measure(holes, guests[i].memory, GUEST_PAGE_COUNT,
                GUEST_PAGE_COUNT - (uint64_t)USED_COUNT * USED_PAGE_COUNT, &cost);
        bench_sample(bench, GROUP, guests[i].label, "look at all of it", "ms", cost.cpu_ns / 1e6);
    }
    measure(holes, full, FULL_PAGE_COUNT, 0, &cost);
    bench_sample(bench, GROUP, "private, all in use, 4 KiB pages", "time a page", "ns",
                 cost.cpu_ns / (double)FULL_PAGE_COUNT);
}
