/* SPDX-License-Identifier: BSD-2-Clause */
#include "holes.h"

#include "holes_internal.h"

#include <fcntl.h>
#include <rdmig/rdmig.h>
#include <stdlib.h>
#include <unistd.h>

/* Pages looked at in one go: at least so many, so that single pages do not cost a system call each;
 * at most so many, so that the look takes well under a millisecond, also where it reads a file. */
enum { LOOK_COUNT_MIN = 64, LOOK_COUNT_MAX = 16384, READ_COUNT_MAX = 4096, WORD_BITS = 64 };

struct holes {
    int pagemap_fd; /* -1: nothing private is a hole */
    bool has_scan;
    bool has_presence_scan;
    bool is_off;
    uint64_t read_bytes; /* of files, to find holes */
    struct mappings mappings;
    /* What was made sure of by holes_make_readable(). */
    uintptr_t readable_start;
    uintptr_t readable_end;
    /* The window: what is known of the pages from start on. */
    uintptr_t start;
    struct ram_bitmap allocated;
    uint64_t words[LOOK_COUNT_MAX / WORD_BITS];
};

struct holes *holes_create(void)
{
    struct holes *holes = calloc(1, sizeof(*holes));

    if (!holes)
        return NULL;
    holes->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    holes->has_scan = true;
    holes->has_presence_scan = true;
    holes->is_off = sysconf(_SC_PAGESIZE) != (long)RDMIG_PAGE_BYTES;
    return holes;
}

void holes_destroy(struct holes *holes)
{
    if (!holes)
        return;
    mappings_free(&holes->mappings);
    if (holes->pagemap_fd >= 0)
        close(holes->pagemap_fd);
    free(holes);
}

static void forget_window(struct holes *holes)
{
    holes->allocated.page_count = 0;
}

void holes_invalidate(struct holes *holes)
{
    forget_window(holes);
    holes->readable_end = 0;
}

/* ---- the window */

/* Pages of the run at page in the window, at most page_count. */
static uint64_t run_in_window(const struct holes *holes, uint64_t page, uint64_t page_count,
                              bool *is_hole)
{
    struct ram_bitmap cut = holes->allocated;

    if (page_count < cut.page_count - page)
        cut.page_count = page + page_count;
    *is_hole = !ram_bitmap_test(&cut, page);
    return (*is_hole ? ram_bitmap_next_set(&cut, page) : ram_bitmap_next_clear(&cut, page)) - page;
}

static uint64_t ask_private(struct holes *holes, uintptr_t address)
{
    /* A guest's memory mostly is allocated, and this costs a tenth of the others there. */
    uint64_t known_count = allocated_by_residence(address, &holes->allocated);

    if (known_count > 0)
        return known_count;
    if (holes->has_scan)
        known_count = allocated_by_scan(holes->pagemap_fd, address, &holes->allocated);
    if (known_count > 0)
        return known_count;
    holes->has_scan = false;
    return allocated_by_pagemap(holes->pagemap_fd, address, &holes->allocated);
}

/*
 * Huge pages. Of a file they may be there and mapped by another process only, and the kernel may
 * take page tables that two share away at any time: so what has no page here is read from the file,
 * by a call that makes none.
 */
static uint64_t ask_huge(struct holes *holes, const struct mapping *mapping, uintptr_t address)
{
    struct ram_bitmap *allocated = &holes->allocated;

    if (mapping->kind == MAPPING_HUGE_PRIVATE)
        return allocated_by_page_tables(address, RDMIG_PAGE_BYTES, allocated);
    if (allocated->page_count > READ_COUNT_MAX)
        allocated->page_count = READ_COUNT_MAX;
    if (allocated_by_page_tables(address, mapping->huge_page_bytes, allocated) == 0)
        return 0;
    return allocated_by_reading(mapping->fd, mapping->offset_bytes + (address - mapping->start),
                                mapping->huge_page_bytes, allocated, &holes->read_bytes);
}

static uint64_t ask(struct holes *holes, struct mapping *mapping, uintptr_t address)
{
    const bool has_file = mapping->kind != MAPPING_PRIVATE && mapping->kind != MAPPING_HUGE_PRIVATE;

    if (has_file && !mapping_open(&holes->mappings, mapping))
        return 0;
    if (mapping->kind == MAPPING_PRIVATE)
        return ask_private(holes, address);
    if (mapping->kind == MAPPING_SHARED)
        return allocated_by_file(mapping->fd, mapping->offset_bytes + (address - mapping->start),
                                 address, &holes->allocated);
    return ask_huge(holes, mapping, address);
}

/* False: it cannot be told for this mapping. */
static bool fill_window(struct holes *holes, struct mapping *mapping, uintptr_t address,
                        uint64_t page_count)
{
    const uint64_t left_count = (mapping->end - address) / RDMIG_PAGE_BYTES;
    uint64_t look_count = page_count < LOOK_COUNT_MIN ? LOOK_COUNT_MIN : page_count;
    uint64_t known_count;

    if (look_count > LOOK_COUNT_MAX)
        look_count = LOOK_COUNT_MAX;
    if (look_count > left_count)
        look_count = left_count;
    ram_bitmap_init(&holes->allocated, holes->words, look_count);
    holes->start = address;
    known_count = ask(holes, mapping, address);
    if (known_count < holes->allocated.page_count)
        holes->allocated.page_count = known_count;
    if (known_count == 0) {
        mapping->kind = MAPPING_UNKNOWN;
        return false;
    }
    if (ram_bitmap_next_clear(&holes->allocated, 0) == known_count)
        return true; /* no hole: nobody need be certain */
    if (mapping_verify(&holes->mappings, mapping))
        return true;
    forget_window(holes);
    return false;
}

static bool is_in_window(const struct holes *holes, uintptr_t address)
{
    return address >= holes->start &&
           (address - holes->start) / RDMIG_PAGE_BYTES < holes->allocated.page_count;
}

uint64_t holes_query(struct holes *holes, const void *address, uint64_t page_count, bool *is_hole)
{
    const uintptr_t wanted = (uintptr_t)address;
    struct mapping *mapping;
    uint64_t left_count;

    if (is_in_window(holes, wanted)) {
        const uint64_t page = (wanted - holes->start) / RDMIG_PAGE_BYTES;
        const uint64_t count = run_in_window(holes, page, page_count, is_hole);

        /* A hole that goes on behind the window is looked at anew: holes are taken whole. Others
         * are not: where data and zeros alternate, each few pages would cost a look. */
        if (!*is_hole || count == page_count || page + count < holes->allocated.page_count)
            return count;
    }
    *is_hole = false;
    mapping = holes->is_off ? NULL : mappings_find(&holes->mappings, wanted);
    if (!mapping)
        return page_count;
    left_count = (mapping->end - wanted) / RDMIG_PAGE_BYTES;
    if (left_count < page_count)
        page_count = left_count;
    if (mapping->kind != MAPPING_UNKNOWN && fill_window(holes, mapping, wanted, page_count))
        return run_in_window(holes, 0, page_count, is_hole);
    return page_count;
}

uint64_t holes_read_bytes(const struct holes *holes)
{
    return holes->read_bytes;
}

/* ---- reading without a signal */

/* Anonymous memory and what a tmpfs has are there where they are mapped; where they are not, the
 * hardware may have lost them, the file may have ended, or its tmpfs be full. The rest may be short
 * of huge pages, too, or be no memory at all. */
static bool is_there(struct holes *holes, uintptr_t address, uintptr_t end)
{
    const struct mapping *mapping = holes->is_off ? NULL : mappings_find(&holes->mappings, address);

    return mapping && end <= mapping->end &&
           (mapping->kind == MAPPING_PRIVATE || mapping->kind == MAPPING_SHARED) &&
           present_are_all(holes->pagemap_fd, &holes->has_presence_scan, address, end);
}

bool holes_make_readable(struct holes *holes, const void *address, uint64_t length_bytes)
{
    const uintptr_t start = (uintptr_t)address;
    const uintptr_t end = start + length_bytes;

    if (start >= holes->readable_start && end <= holes->readable_end)
        return true;
    if (!is_there(holes, start, end) && !memory_populate(address, length_bytes, false))
        return false;
    holes->readable_start = start;
    holes->readable_end = end;
    return true;
}

bool holes_make_writable(struct holes *holes, void *address, uint64_t length_bytes)
{
    const uintptr_t start = (uintptr_t)address;

    return is_there(holes, start, start + length_bytes) ||
           memory_populate(address, length_bytes, true);
}
