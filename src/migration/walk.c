/* SPDX-License-Identifier: BSD-2-Clause */
/* What the walker walks over here: the VMM's memory, read as it is where it was ever allocated; and
 * whom it gives ranges to: the core. */
#include "source.h"

#include "access.h"

#include <errno.h>

/* The walker knows no header of the protocol, and must mean the same by a page and a chunk. */
_Static_assert(RAM_WALK_PAGE_BYTES == RDMIG_PAGE_BYTES, "a page is a page");
_Static_assert(RAM_WALK_CHUNK_BYTES / RDMIG_PAGE_BYTES == RDMIG_CHUNK_BYTES / RAM_WALK_PAGE_BYTES,
               "a chunk is a chunk");

static struct memory_block *block_of(void *context, uint32_t block_index)
{
    struct rdmig_source *source = context;

    return &source->memory.blocks[block_index];
}

static struct ram_bitmap *dirty(void *context, uint32_t block_index)
{
    return &block_of(context, block_index)->dirty;
}

static uint64_t length_bytes(void *context, uint32_t block_index)
{
    return block_of(context, block_index)->length_bytes;
}

/* Reads what can be read. What cannot is no zeros, and fails the migration behind the walk. */
static uint64_t read_run(struct rdmig_source *source, const uint8_t *at, uint64_t page_count,
                         bool *is_zero)
{
    if (!source->unreadable &&
        holes_make_readable(source->holes, at, page_count * RDMIG_PAGE_BYTES))
        return access_scan_run(at, page_count, is_zero);
    for (uint64_t i = 0; i < page_count && !source->unreadable; i++, at += RDMIG_PAGE_BYTES) {
        if (holes_make_readable(source->holes, at, RDMIG_PAGE_BYTES))
            continue;
        source->unreadable = at;
        source->unreadable_code = errno;
    }
    *is_zero = false;
    return page_count;
}

/* What was never allocated is zero and must not be read; what was is read. */
static uint64_t scan_run(void *context, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count, bool *is_zero)
{
    struct rdmig_source *source = context;
    const uint8_t *at = block_of(context, block_index)->host_addr + first_page * RDMIG_PAGE_BYTES;
    uint64_t done_count = 0;
    uint64_t known_count;
    uint64_t count;

    do {
        bool is_hole;
        bool is_part_zero = true;

        known_count = holes_query(source->holes, at, page_count - done_count, &is_hole);
        count = is_hole ? known_count : read_run(source, at, known_count, &is_part_zero);
        if (done_count == 0)
            *is_zero = is_part_zero;
        if (is_part_zero != *is_zero)
            break;
        done_count += count;
        at += count * RDMIG_PAGE_BYTES;
    } while (count == known_count && done_count < page_count);
    return done_count;
}

static uint64_t hole_run(void *context, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count)
{
    struct rdmig_source *source = context;
    const uint8_t *at = block_of(context, block_index)->host_addr + first_page * RDMIG_PAGE_BYTES;
    bool is_hole;
    const uint64_t count = holes_query(source->holes, at, page_count, &is_hole);

    return is_hole ? count : 0;
}

static bool has_room(void *context)
{
    const struct rdmig_source *source = context;

    return rdmig_conn_range_room_count(link_conn(source->link)) > 0;
}

static bool push(void *context, const struct ram_range *range)
{
    struct rdmig_source *source = context;
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_RANGE_PUSHED,
        .block_index = range->block_index,
        .offset_bytes = range->offset_bytes,
        .length = range->length_bytes,
        .register_end_bytes = range->register_end_bytes,
        .is_zero = range->is_zero,
    };

    return link_step(source->link, &event) == RDMIG_OK;
}

static uint64_t now_ns(void *context)
{
    (void)context;
    return link_now_ns();
}

static bool should_yield(void *context)
{
    const struct rdmig_source *source = context;

    return waker_is_link_readable(link_fd(source->link));
}

void source_init_walker(struct rdmig_source *source)
{
    static const struct ram_walk_calls calls = {
        .dirty = dirty,
        .length_bytes = length_bytes,
        .scan_run = scan_run,
        .hole_run = hole_run,
        .has_room = has_room,
        .push = push,
        .now_ns = now_ns,
        .should_yield = should_yield,
    };

    ram_walker_init(&source->walker, &calls, source, source->memory.block_count,
                    source->options.run_chunk_count, source->options.bandwidth_bytes_per_s);
}
