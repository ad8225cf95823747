/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay_shadow.h"

#include "../../text/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Between two looks at the hardware. */
#define PIECE_BYTES (UINT64_C(4) << 20)
/* Compared at once; a hole is looked for in front of each, and reading one would fill it. */
#define UNIT_BYTES (UINT64_C(256) << 10)

static uint64_t unit_count(uint64_t length_bytes)
{
    return (length_bytes + UNIT_BYTES - 1) / UNIT_BYTES;
}

static bool allocate_block(struct shadow *shadow, uint32_t index, struct tool_error *error)
{
    const struct ramfile *file = &shadow->received->files[index];
    struct rdmig_ram_block *block = &shadow->blocks[index];
    void *address;

    shadow->are_touched[index] = calloc(unit_count(file->length_bytes), sizeof(bool));
    /* Private: a page of it that is only read takes no memory. */
    address = shadow->are_touched[index] == NULL
                  ? MAP_FAILED
                  : mmap(NULL, (size_t)file->length_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED)
        return tool_error_system(error, TOOL_REASON_MEMORY,
                                 "cannot make a second copy, %" PRIu64 " bytes, of block %s",
                                 file->length_bytes, text_name(file->name).text);
    block->name = file->name;
    block->host_addr = address;
    block->length_bytes = file->length_bytes;
    return true;
}

bool shadow_allocate(struct shadow *shadow, const struct ramfile_set *received,
                     struct tool_error *error)
{
    memset(shadow, 0, sizeof(*shadow));
    shadow->received = received;
    shadow->blocks = calloc(received->count, sizeof(*shadow->blocks));
    shadow->are_touched = calloc(received->count, sizeof(*shadow->are_touched));
    if (shadow->blocks == NULL || shadow->are_touched == NULL)
        return tool_error_memory(error, "no memory for the list of %u blocks", received->count);
    shadow->count = received->count;
    for (uint32_t i = 0; i < shadow->count; i++) {
        if (!allocate_block(shadow, i, error))
            return false;
    }
    return true;
}

void shadow_free(struct shadow *shadow)
{
    for (uint32_t i = 0; i < shadow->count; i++) {
        if (shadow->blocks[i].host_addr != NULL)
            munmap(shadow->blocks[i].host_addr, (size_t)shadow->blocks[i].length_bytes);
        free(shadow->are_touched[i]);
    }
    free(shadow->are_touched);
    free(shadow->blocks);
    memset(shadow, 0, sizeof(*shadow));
}

void shadow_begin(struct shadow *shadow)
{
    shadow->is_comparing = true;
    shadow->block_index = 0;
    shadow->offset_bytes = 0;
}

/*
 * The next unit, from this one on, that can differ: memory that was never touched is zero, and so
 * is the copy unless something was copied there before the memory became a hole again.
 */
static uint64_t skip_hole(const struct shadow *shadow, uint64_t offset_bytes)
{
    const struct ramfile *file = &shadow->received->files[shadow->block_index];
    const bool *is_touched = shadow->are_touched[shadow->block_index];
    off_t found = lseek(file->memory_fd, (off_t)offset_bytes, SEEK_DATA);
    uint64_t unit = offset_bytes / UNIT_BYTES;
    uint64_t end_unit = unit;

    if (found >= 0)
        end_unit = (uint64_t)found / UNIT_BYTES;
    else if (errno == ENXIO)
        end_unit = unit_count(file->length_bytes);
    while (unit < end_unit && !is_touched[unit])
        unit++;
    return unit * UNIT_BYTES;
}

/* Copies the pages of a unit that differ, and tells of them in runs. */
static bool compare_unit(const struct shadow *shadow, uint64_t offset_bytes, uint64_t length_bytes,
                         shadow_changed *changed, void *context)
{
    const uint8_t *received = shadow->received->files[shadow->block_index].host_addr;
    uint8_t *copy = shadow->blocks[shadow->block_index].host_addr;
    const uint64_t end_bytes = offset_bytes + length_bytes;
    uint64_t run_bytes = 0;
    uint64_t at;

    if (memcmp(copy + offset_bytes, received + offset_bytes, (size_t)length_bytes) == 0)
        return true;
    shadow->are_touched[shadow->block_index][offset_bytes / UNIT_BYTES] = true;
    for (at = offset_bytes; at < end_bytes; at += RDMIG_PAGE_BYTES) {
        if (memcmp(copy + at, received + at, RDMIG_PAGE_BYTES) != 0) {
            memcpy(copy + at, received + at, RDMIG_PAGE_BYTES);
            run_bytes += RDMIG_PAGE_BYTES;
        } else if (run_bytes > 0) {
            if (!changed(context, shadow->block_index, at - run_bytes, run_bytes))
                return false;
            run_bytes = 0;
        }
    }
    return run_bytes == 0 || changed(context, shadow->block_index, at - run_bytes, run_bytes);
}

/* The unit at which the comparison stands, or the next block. */
static uint64_t compare_some(struct shadow *shadow, shadow_changed *changed, void *context)
{
    const uint64_t length_bytes = shadow->received->files[shadow->block_index].length_bytes;
    uint64_t offset_bytes = shadow->offset_bytes;
    uint64_t unit_bytes;

    if (offset_bytes < length_bytes)
        offset_bytes = skip_hole(shadow, offset_bytes);
    if (offset_bytes >= length_bytes) {
        shadow->block_index++;
        shadow->offset_bytes = 0;
        return 0;
    }
    unit_bytes = length_bytes - offset_bytes;
    unit_bytes = unit_bytes < UNIT_BYTES ? unit_bytes : UNIT_BYTES;
    shadow->is_comparing = compare_unit(shadow, offset_bytes, unit_bytes, changed, context);
    shadow->offset_bytes = offset_bytes + unit_bytes;
    shadow->compared_bytes += unit_bytes;
    return unit_bytes;
}

void shadow_compare(struct shadow *shadow, shadow_changed *changed, void *context)
{
    uint64_t done_bytes = 0;

    while (shadow->is_comparing && done_bytes < PIECE_BYTES) {
        if (shadow->block_index == shadow->count)
            shadow->is_comparing = false;
        else
            done_bytes += compare_some(shadow, changed, context);
    }
}
