/* SPDX-License-Identifier: BSD-2-Clause */
/* What is lent to the core: memory between guard strips, and the list of regions it had made. */
#include "ours.h"

#include "fail.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 64, GUARD_BYTE = 0xa7, LENT_BYTE = 0x5c, CACHE_COUNT = 4 };

static size_t rounded_up(size_t length_bytes)
{
    return (length_bytes + GUARD_BYTES - 1) / GUARD_BYTES * GUARD_BYTES;
}

static void make(struct ours_memory *memory, size_t length_bytes)
{
    memory->base =
        sim_allocated(aligned_alloc(GUARD_BYTES, rounded_up(length_bytes) + 2 * GUARD_BYTES));
    memory->bytes = memory->base + GUARD_BYTES;
    memory->length_bytes = length_bytes;
    memset(memory->base, GUARD_BYTE, GUARD_BYTES);
    memset(memory->bytes + length_bytes, GUARD_BYTE, GUARD_BYTES);
}

void ours_memory_take(struct ours_memory *memory, size_t length_bytes)
{
    make(memory, length_bytes);
    memset(memory->bytes, LENT_BYTE, length_bytes);
}

void ours_memory_give_back(struct ours_memory *memory)
{
    free(memory->base);
    *memory = (struct ours_memory){0};
}

static bool is_guard(const uint8_t *bytes)
{
    for (uint32_t i = 0; i < GUARD_BYTES; i++) {
        if (bytes[i] != GUARD_BYTE)
            return false;
    }
    return true;
}

bool ours_memory_is_whole(const struct ours_memory *memory)
{
    return !memory->base ||
           (is_guard(memory->base) && is_guard(memory->bytes + memory->length_bytes));
}

/* ---- control memory: 2.5 MiB, too much to be made and filled for every world */

static _Thread_local struct ours_memory cache[CACHE_COUNT];

void ours_control_take(struct ours_memory *memory)
{
    for (uint32_t i = 0; i < CACHE_COUNT; i++) {
        if (!cache[i].base)
            continue;
        *memory = cache[i];
        cache[i] = (struct ours_memory){0};
        return;
    }
    make(memory, rdmig_conn_control_bytes());
}

void ours_control_give_back(struct ours_memory *memory)
{
    for (uint32_t i = 0; i < CACHE_COUNT && memory->base && ours_memory_is_whole(memory); i++) {
        if (cache[i].base)
            continue;
        cache[i] = *memory;
        *memory = (struct ours_memory){0};
    }
    ours_memory_give_back(memory);
}

/* ---- regions */

/* Where it is, or would be. */
static uint32_t place_of(const struct ours_regions *regions, uint32_t region)
{
    uint32_t first = 0;
    uint32_t end = regions->count;

    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;

        if (regions->entries[middle].region < region)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

struct ours_region *ours_regions_find(struct ours_regions *regions, uint32_t region)
{
    const uint32_t place = place_of(regions, region);

    if (place == regions->count || regions->entries[place].region != region)
        return NULL;
    return &regions->entries[place];
}

bool ours_regions_add(struct ours_regions *regions, const struct ours_region *region)
{
    const uint32_t place = place_of(regions, region->region);

    if (ours_regions_find(regions, region->region))
        return false;
    if (regions->count == regions->capacity) {
        regions->capacity = regions->capacity ? 2 * regions->capacity : 64;
        regions->entries =
            sim_allocated(realloc(regions->entries, regions->capacity * sizeof(*regions->entries)));
    }
    memmove(&regions->entries[place + 1], &regions->entries[place],
            (regions->count - place) * sizeof(*regions->entries));
    regions->entries[place] = *region;
    regions->count++;
    return true;
}

void ours_regions_remove(struct ours_regions *regions, struct ours_region *region)
{
    const uint32_t place = (uint32_t)(region - regions->entries);

    regions->count--;
    memmove(region, region + 1, (regions->count - place) * sizeof(*region));
}
