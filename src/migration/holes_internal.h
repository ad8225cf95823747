/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of holes.c: kinds of memory (mappings.c, descriptors.c), and asking the kernel
 * (allocated.c, populate.c). */
#ifndef RDMIG_MIGRATION_HOLES_INTERNAL_H
#define RDMIG_MIGRATION_HOLES_INTERNAL_H

#include "ram/bitmap.h"

#include <sys/types.h>

/* ---- descriptors.c */

enum { DESCRIPTOR_PATH_BYTES = 32 };

struct descriptor {
    int number;
    char *name; /* of its file, when it was listed */
    /* What was found out by opening it. */
    bool is_known;
    dev_t device;
    ino_t inode;
};

struct descriptors {
    struct descriptor *items; /* in order of name */
    uint32_t count;
    bool is_listed;
};

/* The first whose file has this name, and those of the same name after it; NULL: none. */
struct descriptor *descriptors_find(struct descriptors *descriptors, const char *name);
struct descriptor *descriptors_next(const struct descriptors *descriptors,
                                    struct descriptor *descriptor);
/* Does it lead to that name yet? The VMM may have closed it, and opened something else. */
bool descriptor_is_still(const struct descriptor *descriptor);
void descriptor_path(int number, char path[DESCRIPTOR_PATH_BYTES]);
void descriptors_free(struct descriptors *descriptors);

/* ---- mappings.c */

enum mapping_kind {
    MAPPING_UNKNOWN, /* read it */
    MAPPING_PRIVATE, /* anonymous: what has no page is zero */
    MAPPING_SHARED,  /* a file in a tmpfs: what is a hole in the file is zero */
    MAPPING_HUGE,    /* a file in a hugetlbfs: what has no page here is what the file reads as */
    MAPPING_HUGE_PRIVATE, /* anonymous huge pages: what has no page is zero */
    /* A private mapping of a file. In a hugetlbfs: what has no page is what the file reads as. */
    MAPPING_PRIVATE_FILE
};

struct mapping {
    uintptr_t start;
    uintptr_t end;
    enum mapping_kind kind;
    bool is_certain;    /* its missing pages come from nobody else (a userfaultfd handler) */
    uintptr_t seen_end; /* so far as smaps has said so */
    /* of a file */
    char *name;          /* NULL: none, or not known */
    uintptr_t piece_end; /* where the first of the pieces ends that it was joined of */
    dev_t device;
    ino_t inode;
    uint64_t offset_bytes;    /* of start in the file */
    int fd;                   /* -1: not opened yet */
    uint64_t huge_page_bytes; /* of a file in a hugetlbfs, once it is open */
};

struct mappings {
    struct mapping *items; /* in order of address */
    uint32_t count;
    bool is_listed;
    bool is_smaps_read;
    struct descriptors descriptors;
};

/* What lies at the address; NULL: nothing is known to. Valid until mappings_free(). */
struct mapping *mappings_find(struct mappings *mappings, uintptr_t address);
/* Shared: opens the file, once. False: it cannot be had, the mapping's kind is unknown now. */
bool mapping_open(struct mappings *mappings, struct mapping *mapping);
/* Makes sure that missing pages are zero, once. False: perhaps not, its kind is unknown now. */
bool mapping_verify(struct mappings *mappings, struct mapping *mapping);
void mappings_free(struct mappings *mappings);

/* ---- populate.c */

/* Has the kernel make the pages, so that reading (writing) gives no signal. False: errno. */
bool memory_populate(const void *address, uint64_t length_bytes, bool is_written);

/* ---- allocated.c */

/*
 * Each sets the bits of what is allocated from start on, in a bitmap of clear pages, and returns
 * for how many pages it is known now; 0: it cannot be told this way.
 */
/* Any memory that has a page at start: the run of those, cheaply, at most 256. */
uint64_t allocated_by_residence(uintptr_t start, struct ram_bitmap *allocated);
/* Private memory, two ways. */
uint64_t allocated_by_scan(int pagemap_fd, uintptr_t start, struct ram_bitmap *allocated);
uint64_t allocated_by_pagemap(int pagemap_fd, uintptr_t start, struct ram_bitmap *allocated);
/* Huge pages, whose page tables tell all that is mapped here. huge_page_bytes: at least 4096. */
uint64_t allocated_by_page_tables(uintptr_t start, uint64_t huge_page_bytes,
                                  struct ram_bitmap *allocated);
/*
 * Of huge pages of a file, those that are clear still: sets what does not read as zeros in the file
 * at offset_bytes, which is mapped at the bitmap's first page. Reading a file of a hugetlbfs makes
 * no page. Adds to *read_bytes what it has read.
 */
uint64_t allocated_by_reading(int fd, uint64_t offset_bytes, uint64_t huge_page_bytes,
                              struct ram_bitmap *allocated, uint64_t *read_bytes);
/*
 * Has every page of [start, end) memory behind it that is mapped? Where one has not, it may come
 * (from swap, from the file), or cannot: a page that the hardware has lost, a guard page. False,
 * too, where that cannot be asked. *has_scan: the kernel may have PAGEMAP_SCAN.
 */
bool present_are_all(int pagemap_fd, bool *has_scan, uintptr_t start, uintptr_t end);
/* Shared memory. offset_bytes: of start in the file, which is mapped there. */
uint64_t allocated_by_file(int fd, uint64_t offset_bytes, uintptr_t start,
                           struct ram_bitmap *allocated);

#endif
