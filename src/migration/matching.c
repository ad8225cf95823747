/* SPDX-License-Identifier: BSD-2-Clause */
/* The source's list of RAM blocks and this end's: matched by name, kept in the source's order
 * (clause B2). */
#include "destination.h"

#include "memory_kinds.h"

#include "text/text.h"

#include <stdlib.h>
#include <string.h>

/* This end's blocks by name: a source may have thousands, and both lists are walked in one call. */
struct by_name {
    const struct memory_block *block;
    bool is_wanted; /* the source has one of that name */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct by_name *)a)->block->name,
                  ((const struct by_name *)b)->block->name);
}

static struct by_name *sort_by_name(const struct memory *memory)
{
    struct by_name *sorted = calloc(memory->block_count, sizeof(*sorted));

    for (uint32_t i = 0; sorted && i < memory->block_count; i++)
        sorted[i].block = &memory->blocks[i];
    if (sorted)
        qsort(sorted, memory->block_count, sizeof(*sorted), compare_names);
    return sorted;
}

static int compare_to_name(const void *name, const void *entry)
{
    return strcmp(name, ((const struct by_name *)entry)->block->name);
}

static const struct memory_block *find(struct by_name *sorted, uint32_t count, const char *name)
{
    struct by_name *entry = bsearch(name, sorted, count, sizeof(*sorted), compare_to_name);

    if (!entry)
        return NULL;
    entry->is_wanted = true;
    return entry->block;
}

static bool check_match(struct rdmig_destination *destination, const struct rdmig_ram_block *wanted,
                        const struct memory_block *block)
{
    if (!block)
        error_set(&destination->error, RDMIG_REASON_BLOCK_UNKNOWN, 0,
                  "give both ends the same RAM blocks",
                  "the source has a RAM block %s that this end has not",
                  text_name(wanted->name).text);
    else if (block->length_bytes != wanted->length_bytes)
        error_set(&destination->error, RDMIG_REASON_BLOCK_LENGTH, 0,
                  "give both ends RAM blocks of the same sizes",
                  "RAM block %s has %llu bytes at the source and %llu here",
                  text_name(wanted->name).text, (unsigned long long)wanted->length_bytes,
                  (unsigned long long)block->length_bytes);
    else
        return true;
    return false;
}

/* A block that only this end has would never be filled. */
static void report_extra(struct rdmig_destination *destination, const struct by_name *sorted)
{
    for (uint32_t i = 0; i < destination->given.block_count; i++) {
        if (!sorted[i].is_wanted)
            error_set(&destination->error, RDMIG_REASON_BLOCK_UNKNOWN, 0,
                      "give both ends the same RAM blocks",
                      "this end has a RAM block %s that the source has not",
                      text_name(sorted[i].block->name).text);
    }
}

static bool order_blocks(struct rdmig_destination *destination, struct by_name *sorted,
                         struct rdmig_ram_block *ordered)
{
    for (uint32_t i = 0; i < destination->announced_count; i++) {
        const struct rdmig_ram_block *wanted = &destination->announced[i];
        const struct memory_block *block =
            find(sorted, destination->given.block_count, wanted->name);

        if (!check_match(destination, wanted, block))
            return false;
        ordered[i] = *wanted;
        ordered[i].host_addr = block->host_addr;
    }
    report_extra(destination, sorted);
    return destination->error.reason == RDMIG_REASON_NONE;
}

static int hand_to_link(struct rdmig_destination *destination)
{
    struct rdmig_block *blocks = memory_core_blocks(&destination->memory);
    const int result =
        blocks ? link_provide_blocks(destination->link, blocks, destination->memory.block_count)
               : -RDMIG_E_MEMORY;

    free(blocks);
    if (result == -RDMIG_E_FAILED)
        /* The link has failed meanwhile, and knows why. */
        explain_failure(destination->link, &destination->memory, &destination->error);
    if (result != RDMIG_OK)
        error_set(&destination->error, RDMIG_REASON_MEMORY, 0, "free memory",
                  "no memory for the tables of RAM chunks");
    return result;
}

int matching_provide(struct rdmig_destination *destination)
{
    struct rdmig_ram_block *ordered = calloc(destination->announced_count, sizeof(*ordered));
    struct by_name *sorted = sort_by_name(&destination->given);
    int result = -RDMIG_E_FAILED;

    if (!ordered || !sorted)
        error_set(&destination->error, RDMIG_REASON_MEMORY, 0, "free memory",
                  "no memory for the list of RAM blocks");
    else if (order_blocks(destination, sorted, ordered) &&
             memory_init(&destination->memory, ordered, destination->announced_count, false,
                         &destination->error) == RDMIG_OK)
        result = hand_to_link(destination);
    free(ordered);
    free(sorted);
    if (result == RDMIG_OK)
        destination_enter(destination, DESTINATION_STAGE_RECEIVING);
    return result;
}

/* The list has come. False: the migration has failed. */
bool matching_announce(struct rdmig_destination *destination)
{
    const uint32_t count = qemu_stream_block_count(destination->stream);

    destination->announced = calloc(count, sizeof(*destination->announced));
    if (!destination->announced) {
        error_set(&destination->error, RDMIG_REASON_MEMORY, 0, "free memory",
                  "no memory for the list of RAM blocks");
        return false;
    }
    destination->announced_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct qemu_stream_block *block = qemu_stream_block(destination->stream, i);

        destination->announced[i].name = block->name;
        destination->announced[i].length_bytes = block->length_bytes;
    }
    if (destination->given.block_count > 0)
        return matching_provide(destination) == RDMIG_OK;
    destination_enter(destination, DESTINATION_STAGE_BLOCKS_NEEDED);
    return true;
}
