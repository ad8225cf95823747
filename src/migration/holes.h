/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages the host has never allocated: they read as zeros, and only looking at them would
 * allocate them (shared memory) or map the zero page and page tables for them (private memory).
 *
 * A hole is named only where the kernel says so for certain: private anonymous memory by
 * /proc/self/pagemap (neither present nor swapped out; by the PAGEMAP_SCAN ioctl where the kernel
 * has it), shared memory in a tmpfs (memfd, /dev/shm, shared anonymous) by SEEK_DATA on a
 * descriptor of its own of the same file: there, page tables and the page cache's residency say
 * nothing about a page that is swapped out; huge pages by mincore(), which looks at the page tables
 * for them, and what a hugetlbfs has besides by reading the file, which makes no page: zeros count
 * as a hole there. All other memory counts as allocated and is read, as if this did not exist:
 * private mappings of other files (what is not mapped there is in the file), devices, memory whose
 * missing pages come from a userfaultfd handler, shared memory whose file cannot be opened again,
 * and everything where /proc is not to be had or the processor's page is not 4096 bytes. The zero
 * page, pages merged by KSM and huge pages are present, so they are read; pages under migration or
 * poisoned count as swapped out, so they are too.
 *
 * When a hole may be believed. A page is sent, or not, for the last time after its last write was
 * reported as dirty. Reports come only between two calls of the handle; so what was found out in
 * the same call is younger than every report, and a later write is reported later. Answers are
 * kept for that long and no longer: the handle says holes_invalidate() at the beginning of each piece
 * of work. "Allocated" may be older: at worst a page is read for nothing.
 *
 * What kind of memory lies where is found out once, when it is first asked for, and must stay so.
 * The userfaultfd question is asked when the first hole is found, and costs the kernel a walk over
 * the page tables of the process: some 6 ms a GiB in pages of 4 KiB.
 */
#ifndef RDMIG_MIGRATION_HOLES_H
#define RDMIG_MIGRATION_HOLES_H

#include <stdbool.h>
#include <stdint.h>

struct holes;

/* NULL: no memory. Whatever else is missing only means that nothing is a hole. */
struct holes *holes_create(void);
void holes_destroy(struct holes *holes);

/* What is known is from now on too old. */
void holes_invalidate(struct holes *holes);

/*
 * How many pages from address (page-aligned) on, 1 to page_count (> 0), are all never allocated or
 * all, for all one knows, allocated, as the first one is; *is_hole says which. A shorter run than
 * there is may be given. Asking for more than 16 Ki pages at once gains nothing.
 */
uint64_t holes_query(struct holes *holes, const void *address, uint64_t page_count, bool *is_hole);

/* How many bytes of files all the looks so far have read: holes among huge pages are not free. */
uint64_t holes_read_bytes(const struct holes *holes);

/*
 * Before memory that is no hole is read, or written: true, it can be, without a signal. False, with
 * errno: huge pages are short, the file ends before, nothing is mapped there that can be read.
 * Memory that could be short is allocated by it, as reading would.
 */
bool holes_make_readable(struct holes *holes, const void *address, uint64_t length_bytes);
bool holes_make_writable(struct holes *holes, void *address, uint64_t length_bytes);

#endif
