/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: which the source has asked for, has been told of and has let go of, which each end
 * makes, and how much of memory that is. What the source asks for counts as held until the
 * destination has said that it is gone and the source's own is (clause R13).
 */
#include "oracle_internal.h"

#include "fail.h"

#include <inttypes.h>

struct oracle_chunk *oracle_chunks(struct oracle *oracle, uint32_t block)
{
    struct oracle_block *at = &oracle->blocks[block];

    if (!at->chunks)
        at->chunks = sim_allocated(calloc((size_t)at->chunk_count, sizeof(*at->chunks)));
    return at->chunks;
}

uint64_t oracle_first_chunk(const struct oracle *oracle, const struct oracle_range *range)
{
    return range->offset_bytes / oracle->chunk_bytes;
}

uint64_t oracle_last_chunk(const struct oracle *oracle, const struct oracle_range *range)
{
    return (range->offset_bytes + range->length_bytes - 1) / oracle->chunk_bytes;
}

static void set_region(struct oracle *oracle, const struct oracle_range *range, uint8_t state,
                       uint32_t rkey)
{
    struct oracle_chunk *chunks = oracle_chunks(oracle, range->block);
    const uint64_t first = oracle_first_chunk(oracle, range);
    const uint64_t last = oracle_last_chunk(oracle, range);

    for (uint64_t i = first; i <= last; i++) {
        chunks[i].rkey = rkey;
        chunks[i].run_chunk_count = 0;
        chunks[i].state = state;
    }
    if (state != ORACLE_CHUNK_BARE)
        chunks[first].run_chunk_count = (uint32_t)(last - first + 1);
}

/* ---- the source */

/* A run of which stock said nothing is asked for again, and counts once. */
static void hold(struct oracle *oracle, const struct oracle_range *range)
{
    const uint64_t limit_bytes = oracle_limit_bytes(oracle, RDMIG_ROLE_SOURCE);
    struct oracle_chunk *chunk =
        &oracle_chunks(oracle, range->block)[oracle_first_chunk(oracle, range)];

    if (!chunk->is_unanswered)
        oracle->held_bytes += range->length_bytes;
    chunk->is_unanswered = false;
    if (oracle->is_ours[RDMIG_ROLE_SOURCE] && limit_bytes != 0 && oracle->held_bytes > limit_bytes)
        world_break(oracle->world, "pinned_limit",
                    "the source asks for more: %" PRIu64 " bytes of regions, %" PRIu64
                    " are the limit",
                    oracle->held_bytes, limit_bytes);
}

void oracle_register_posted(struct oracle *oracle, const struct oracle_command *command)
{
    struct world *world = oracle->world;

    if (oracle->are_both_honest && oracle_is_pin_all(oracle))
        world_break(world, "register_in_pin_all", "REGISTER_REQUEST, and all is pinned");
    for (uint32_t i = 0; i < command->range_count; i++) {
        const struct oracle_range *range = &command->ranges[i];
        const struct oracle_chunk *chunks = oracle_chunks(oracle, range->block);

        for (uint64_t j = oracle_first_chunk(oracle, range); j <= oracle_last_chunk(oracle, range);
             j++) {
            if (oracle->is_ours[RDMIG_ROLE_SOURCE] && chunks[j].state != ORACLE_CHUNK_BARE)
                world_break(world, "register_twice",
                            "chunk %" PRIu64 " of block %" PRIu32 " is registered already", j,
                            range->block);
        }
        set_region(oracle, range, ORACLE_CHUNK_ASKED, 0);
        hold(oracle, range);
    }
}

void oracle_region_answered(struct oracle *oracle, const struct oracle_range *range,
                            bool is_answered, uint32_t rkey)
{
    set_region(oracle, range, is_answered ? ORACLE_CHUNK_LIVE : ORACLE_CHUNK_BARE, rkey);
    oracle_chunks(oracle, range->block)[oracle_first_chunk(oracle, range)].is_unanswered =
        !is_answered;
}

void oracle_unregister_posted(struct oracle *oracle, const struct oracle_command *command)
{
    for (uint32_t i = 0; i < command->range_count; i++) {
        const struct oracle_range *range = &command->ranges[i];
        const uint64_t first = oracle_first_chunk(oracle, range);

        if (oracle_chunks(oracle, range->block)[first].state != ORACLE_CHUNK_LIVE)
            world_break(oracle->world, "unregister_unknown",
                        "UNREGISTER_REQUEST of chunk %" PRIu64 " of block %" PRIu32
                        ", which is no region",
                        first, range->block);
        if (oracle_is_written(oracle, range))
            world_break(oracle->world, "unregister_in_use",
                        "UNREGISTER_REQUEST of chunk %" PRIu64 " of block %" PRIu32
                        " with a write in flight",
                        first, range->block);
        set_region(oracle, range, ORACLE_CHUNK_BARE, 0);
    }
}

void oracle_unregister_answered(struct oracle *oracle, const struct oracle_command *command)
{
    for (uint32_t i = 0; i < command->range_count; i++) {
        const struct oracle_range *range = &command->ranges[i];

        oracle_chunks(oracle, range->block)[oracle_first_chunk(oracle, range)].is_far_gone = true;
    }
}

void oracle_deregistered(struct oracle *oracle, enum rdmig_role role, uint32_t block,
                         uint64_t offset_bytes, uint64_t length_bytes)
{
    const struct oracle_range region = {offset_bytes, length_bytes, block};
    struct oracle_chunk *chunk;

    if (role != RDMIG_ROLE_SOURCE || !oracle->is_ours[RDMIG_ROLE_SOURCE] ||
        !oracle_is_inside(oracle, &region))
        return;
    chunk = &oracle_chunks(oracle, block)[oracle_first_chunk(oracle, &region)];
    if (!chunk->is_far_gone)
        world_break(oracle->world, "deregister_early",
                    "the source lets go of %" PRIu64 " of block %" PRIu32
                    ", and the destination has not said that it has",
                    offset_bytes, block);
    chunk->is_far_gone = false;
    if (oracle_is_written(oracle, &region))
        world_break(oracle->world, "unregister_in_use",
                    "the source lets go of %" PRIu64 " of block %" PRIu32 " with a write in flight",
                    offset_bytes, block);
    oracle->held_bytes -= length_bytes;
}

/* ---- regions that are made */

static bool is_asked_region(const struct oracle *oracle, const struct oracle_range *region)
{
    const struct oracle_command *obeyed = oracle_obeyed(oracle, ORACLE_REGISTER_REQUEST);

    for (uint32_t i = 0; obeyed && i < obeyed->range_count; i++) {
        const struct oracle_range *range = &obeyed->ranges[i];

        if (range->block == region->block && range->offset_bytes == region->offset_bytes &&
            range->length_bytes == region->length_bytes)
            return true;
    }
    return false;
}

/* What it really has, whatever was said. */
static void check_pinned(struct oracle *oracle, enum rdmig_role role, uint64_t length_bytes)
{
    const uint64_t limit_bytes = oracle_limit_bytes(oracle, role);
    const uint64_t pinned_bytes = port_pinned_bytes(oracle->ports[role]);

    if (limit_bytes != 0 && pinned_bytes + length_bytes > limit_bytes)
        world_break(oracle->world, "pinned_limit",
                    "the %s registers %" PRIu64 " bytes more than %" PRIu64 "; %" PRIu64
                    " are the limit",
                    role_name(role), length_bytes, pinned_bytes, limit_bytes);
}

void oracle_registered(struct oracle *oracle, enum rdmig_role role, uint32_t block,
                       uint64_t offset_bytes, uint64_t length_bytes, bool is_remote_writable)
{
    const struct oracle_range region = {offset_bytes, length_bytes, block};
    struct world *world = oracle->world;

    if (!oracle->is_ours[role])
        return;
    check_pinned(oracle, role, length_bytes);
    if (role == RDMIG_ROLE_SOURCE && is_remote_writable)
        world_break(world, "source_remote_writable", "the source lets others write block %" PRIu32,
                    block);
    if (!oracle_is_inside(oracle, &region) || offset_bytes % oracle->chunk_bytes != 0 ||
        (length_bytes % oracle->chunk_bytes != 0 &&
         offset_bytes + length_bytes != oracle_block_bytes(oracle, block)))
        world_break(world, "region_outside",
                    "the %s registers %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32,
                    role_name(role), length_bytes, offset_bytes, block);
    else if (role == RDMIG_ROLE_DESTINATION && oracle->are_both_honest &&
             !oracle_is_pin_all(oracle) && !is_asked_region(oracle, &region))
        world_break(world, "region_unasked",
                    "the destination registers %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32
                    ", for which nobody asked",
                    length_bytes, offset_bytes, block);
}
