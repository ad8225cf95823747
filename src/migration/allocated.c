/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the kernel what it has allocated: the page tables of private memory, the file of shared.
 */
#include "holes_internal.h"

#include "ram/zero.h"

#include <errno.h>
#include <rdmig/rdmig.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is resident */

enum { RESIDENT_PAGE_COUNT = 256 };

/* Certainly allocated; what is not resident may be swapped out, or not allocated. */
struct resident {
    uint64_t first_page;
    uint64_t page_count;
    unsigned char pages[RESIDENT_PAGE_COUNT];
};

static bool is_resident(struct resident *resident, uintptr_t start, uint64_t page,
                        uint64_t end_page)
{
    const uint64_t left_count = end_page - page;
    const uintptr_t address = start + page * RDMIG_PAGE_BYTES;

    if (page < resident->first_page || page - resident->first_page >= resident->page_count) {
        resident->first_page = page;
        resident->page_count = left_count < RESIDENT_PAGE_COUNT ? left_count : RESIDENT_PAGE_COUNT;
        if (mincore((void *)address, resident->page_count * RDMIG_PAGE_BYTES, resident->pages) != 0)
            resident->page_count = 0;
    }
    return resident->page_count > 0 && (resident->pages[page - resident->first_page] & 1) != 0;
}

uint64_t allocated_by_residence(uintptr_t start, struct ram_bitmap *allocated)
{
    const uint64_t end_page =
        allocated->page_count < RESIDENT_PAGE_COUNT ? allocated->page_count : RESIDENT_PAGE_COUNT;
    struct resident resident = {0};
    uint64_t page = 0;

    while (page < end_page && is_resident(&resident, start, page, end_page))
        page++;
    ram_bitmap_set_range(allocated, 0, page);
    return page;
}

/* ---- huge pages: for them mincore() looks at the page tables, and knows of no swap */

enum { TABLE_PAGE_COUNT = 16384, READ_PAGE_COUNT = 16 };

/* The page that the next huge page begins with. Both count from start, which need not begin one. */
static uint64_t next_huge_page(uint64_t start_bytes, uint64_t page, uint64_t huge_page_bytes)
{
    const uint64_t in_huge_page_bytes = (start_bytes + page * RDMIG_PAGE_BYTES) % huge_page_bytes;

    return page + (huge_page_bytes - in_huge_page_bytes) / RDMIG_PAGE_BYTES;
}

static bool are_all_present(const unsigned char *pages, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if ((pages[i] & 1) == 0)
            return false;
    }
    return true;
}

/* Where there are no page tables kernels before 6.7 answer for wrong pages of the file, singly: so
 * a huge page is there only as a whole. */
uint64_t allocated_by_page_tables(uintptr_t start, uint64_t huge_page_bytes,
                                  struct ram_bitmap *allocated)
{
    const uint64_t count =
        allocated->page_count < TABLE_PAGE_COUNT ? allocated->page_count : TABLE_PAGE_COUNT;
    unsigned char pages[TABLE_PAGE_COUNT];
    uint64_t page = 0;

    /* NOLINTNEXTLINE(performance-no-int-to-ptr): an address out of /proc */
    if (mincore((void *)start, count * RDMIG_PAGE_BYTES, pages) != 0)
        return 0;
    while (page < count) {
        uint64_t end = next_huge_page(start, page, huge_page_bytes);

        if (end > count)
            end = count;
        if (are_all_present(pages + page, end - page))
            ram_bitmap_set_range(allocated, page, end - page);
        page = end;
    }
    return count;
}

uint64_t allocated_by_reading(int fd, uint64_t offset_bytes, uint64_t huge_page_bytes,
                              struct ram_bitmap *allocated, uint64_t *read_bytes)
{
    uint8_t bytes[READ_PAGE_COUNT * RDMIG_PAGE_BYTES];
    uint64_t page = ram_bitmap_next_clear(allocated, 0);

    while (page < allocated->page_count) {
        const uint64_t huge_end = next_huge_page(offset_bytes, page, huge_page_bytes);
        uint64_t count = ram_bitmap_next_set(allocated, page) - page;
        ssize_t got;

        if (count > READ_PAGE_COUNT)
            count = READ_PAGE_COUNT;
        if (count > huge_end - page)
            count = huge_end - page; /* what it reads as tells of one huge page */
        got = pread(fd, bytes, count * RDMIG_PAGE_BYTES,
                    (off_t)(offset_bytes + page * RDMIG_PAGE_BYTES));
        if (got != (ssize_t)(count * RDMIG_PAGE_BYTES))
            return page; /* the file's end, or a page that is broken: whoever reads is to find out */
        *read_bytes += (uint64_t)got;
        if (!ram_is_zero(bytes, (size_t)got))
            ram_bitmap_set_range(allocated, page, huge_end - page);
        page = ram_bitmap_next_clear(allocated, page + count);
    }
    return page;
}

/* ---- private memory, all at once: PAGEMAP_SCAN, Linux 6.7. The headers of older systems have not
 * got it; whether the kernel has is seen when it is called. */

struct scan_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct scan_request {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; /* out */
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define SCAN_REQUEST _IOWR('f', 16, struct scan_request)
#define SCAN_FILE    (UINT64_C(1) << 2)
#define SCAN_PRESENT (UINT64_C(1) << 3)
#define SCAN_SWAPPED (UINT64_C(1) << 4)

enum { SCAN_REGION_COUNT = 64 };

uint64_t allocated_by_scan(int pagemap_fd, uintptr_t start, struct ram_bitmap *allocated)
{
    struct scan_region regions[SCAN_REGION_COUNT] = {0}; /* memcheck does not know who fills it */
    struct scan_request request = {
        .size = sizeof(request),
        .start = start,
        .end = start + allocated->page_count * RDMIG_PAGE_BYTES,
        .vec = (uint64_t)(uintptr_t)regions,
        .vec_len = SCAN_REGION_COUNT,
        .category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
        .return_mask = SCAN_FILE, /* what is of no interest: regions are split by what is */
    };
    const int count = ioctl(pagemap_fd, SCAN_REQUEST, &request);

    if (count < 0 || request.walk_end < start || request.walk_end > request.end)
        return 0;
    for (int i = 0; i < count; i++)
        ram_bitmap_set_range(allocated, (regions[i].start - start) / RDMIG_PAGE_BYTES,
                             (regions[i].end - regions[i].start) / RDMIG_PAGE_BYTES);
    return (request.walk_end - start) / RDMIG_PAGE_BYTES;
}

/* ---- private memory, a number a page */

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

enum { PAGEMAP_ENTRY_COUNT = 4096 };

/* False: it could not be asked. */
static bool read_entries(int pagemap_fd, uint64_t page, uint64_t count, uint64_t *entries)
{
    const size_t bytes = count * sizeof(entries[0]);

    return pread(pagemap_fd, entries, bytes, (off_t)(page * sizeof(entries[0]))) == (ssize_t)bytes;
}

uint64_t allocated_by_pagemap(int pagemap_fd, uintptr_t start, struct ram_bitmap *allocated)
{
    uint64_t entries[PAGEMAP_ENTRY_COUNT];
    const uint64_t first_page = start / RDMIG_PAGE_BYTES;
    uint64_t page = 0;

    /* The first pages that are there end a long look: what is behind them may not be asked for. */
    while (page < allocated->page_count && allocated->set_count == 0) {
        const uint64_t left_count = allocated->page_count - page;
        const uint64_t count = left_count < PAGEMAP_ENTRY_COUNT ? left_count : PAGEMAP_ENTRY_COUNT;

        if (!read_entries(pagemap_fd, first_page + page, count, entries))
            break;
        for (uint64_t i = 0; i < count; i++) {
            if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) != 0)
                ram_bitmap_set_range(allocated, page + i, 1);
        }
        page += count;
    }
    return page;
}

/* ---- what can be read without a fault */

/* One region, of what is not: none is what is wanted. False, too: it could not be asked. */
static bool scan_finds_none_missing(int pagemap_fd, uintptr_t start, uintptr_t end, bool *has_scan)
{
    struct scan_region region = {0};
    struct scan_request request = {
        .size = sizeof(request),
        .start = start,
        .end = end,
        .vec = (uint64_t)(uintptr_t)&region,
        .vec_len = 1,
        .max_pages = 1,
        .category_inverted = SCAN_PRESENT,
        .category_mask = SCAN_PRESENT,
        .return_mask = SCAN_PRESENT,
    };
    const int count = ioctl(pagemap_fd, SCAN_REQUEST, &request);

    *has_scan = count >= 0;
    return count == 0;
}

bool present_are_all(int pagemap_fd, bool *has_scan, uintptr_t start, uintptr_t end)
{
    uint64_t page = start / RDMIG_PAGE_BYTES;
    const uint64_t end_page = (end - 1) / RDMIG_PAGE_BYTES + 1;
    uint64_t entries[PAGEMAP_ENTRY_COUNT];

    if (*has_scan) {
        const bool is_found = scan_finds_none_missing(pagemap_fd, page * RDMIG_PAGE_BYTES,
                                                      end_page * RDMIG_PAGE_BYTES, has_scan);

        if (*has_scan)
            return is_found;
    }
    while (page < end_page) {
        const uint64_t left_count = end_page - page;
        const uint64_t count = left_count < PAGEMAP_ENTRY_COUNT ? left_count : PAGEMAP_ENTRY_COUNT;

        if (!read_entries(pagemap_fd, page, count, entries))
            return false;
        for (uint64_t i = 0; i < count; i++) {
            if ((entries[i] & PAGEMAP_PRESENT) == 0)
                return false;
        }
        page += count;
    }
    return true;
}

/* ---- shared memory */

/*
 * SEEK_DATA finds the end of a hole at once, however long it is. SEEK_HOLE is not asked: it would
 * walk over all data up to the next hole, a guest's whole memory if it has none, at 8 ns a page.
 */
uint64_t allocated_by_file(int fd, uint64_t offset_bytes, uintptr_t start,
                           struct ram_bitmap *allocated)
{
    const uint64_t end_page = allocated->page_count;
    struct resident resident = {0};
    struct stat about;
    uint64_t page = 0;

    while (page < end_page) {
        const off_t data_bytes =
            lseek(fd, (off_t)(offset_bytes + page * RDMIG_PAGE_BYTES), SEEK_DATA);

        if (data_bytes < 0 && errno != ENXIO)
            return 0;
        if (data_bytes < 0)
            break; /* a hole up to the end of the file */
        page = ((uint64_t)data_bytes - offset_bytes) / RDMIG_PAGE_BYTES;
        if (page >= end_page)
            break;
        do
            ram_bitmap_set_range(allocated, page++, 1);
        while (page < end_page && is_resident(&resident, start, page, end_page));
    }
    /* Behind the end of the file is no hole, but nothing: whoever reads there is to find out. */
    if (allocated->set_count == end_page)
        return end_page;
    if (fstat(fd, &about) != 0 ||
        (uint64_t)about.st_size < offset_bytes + end_page * RDMIG_PAGE_BYTES)
        return 0;
    return end_page;
}
