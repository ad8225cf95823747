/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One end's guest memory without its bytes: a page is a token. 0 is a page of zeros; every other
 * value names what the page of that block and number holds after so many changes. A chunk whose
 * pages all have the same token costs 16 bytes, so terabytes fit.
 *
 * A page that arrives anywhere but at its own place becomes RAM_TOKEN_MISPLACED, which equals
 * nothing.
 */
#ifndef SIM_RAM_H
#define SIM_RAM_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_PAGE_BYTES          UINT64_C(4096)
#define RAM_TOKEN_ZERO          0u
#define RAM_TOKEN_MISPLACED     UINT32_MAX
#define RAM_TOKEN_FILLED(value) (0xfffffe00u + (value)) /* filled with a byte that is not 0 */
enum { RAM_PAGES_PER_CHUNK = 256, RAM_BLOCKS_MAX = 96 };

struct ram_chunk {
    uint32_t *tokens; /* of each page; NULL: all have the one below */
    uint32_t token;
    bool is_touched; /* its pages exist at the host */
};

struct ram_block {
    uint64_t page_count;
    uint64_t chunk_count;
    struct ram_chunk *chunks;
};

struct ram {
    uint32_t block_count;
    struct ram_block blocks[RAM_BLOCKS_MAX];
};

/* Everything zero and untouched. Lengths in bytes, multiples of SIM_PAGE_BYTES. */
void ram_init(struct ram *ram, uint32_t block_count, const uint64_t *length_bytes);
void ram_free(struct ram *ram);

uint32_t ram_get(const struct ram *ram, uint32_t block, uint64_t page);
/* All these take ranges inside their block only (asserted). */
void ram_set(struct ram *ram, uint32_t block, uint64_t first_page, uint64_t page_count,
             uint32_t token);
/* What an RDMA Write does: pages of from, as they are now, to a place of to. */
void ram_copy(struct ram *to, uint32_t to_block, uint64_t to_page, const struct ram *from,
              uint32_t from_block, uint64_t from_page, uint64_t page_count);
/* How many pages from first_page on, at most page_count_max, are all zero or all not, as the first
 * is. */
uint64_t ram_run(const struct ram *ram, uint32_t block, uint64_t first_page,
                 uint64_t page_count_max, bool *is_zero);
/* Are all the pages zero? */
bool ram_is_all_zero(const struct ram *ram, uint32_t block, uint64_t first_page,
                     uint64_t page_count);
/* Equal in every page that is_exempt (may be NULL) does not excuse; otherwise the first that
 * differs. */
typedef bool ram_exemption(const void *context, uint32_t block, uint64_t page);
bool ram_is_equal(const struct ram *a, const struct ram *b, ram_exemption *is_exempt,
                  const void *context, uint32_t *block, uint64_t *page);
/* Marks the chunks of a range as touched; returns how many bytes of them were not before. */
uint64_t ram_touch(struct ram *ram, uint32_t block, uint64_t offset_bytes, uint64_t length_bytes);

#endif
