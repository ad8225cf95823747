/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMA Writes and fills against each other, and the memory that comes of it. */
#include "oracle_internal.h"

#include <inttypes.h>

enum { DEFAULT_SIGNAL_INTERVAL = 64 /* of an engine of ours whose options do not say */ };

/* ---- RDMA Writes */

/* Dynamic: under the key that was answered for all of its chunks. Pin-all: under the block's. */
static bool is_key_good(struct oracle *oracle, const struct oracle_range *range, uint32_t rkey)
{
    const struct oracle_chunk *chunks = oracle->blocks[range->block].chunks;

    if (oracle_is_pin_all(oracle) && rkey == oracle->blocks[range->block].rkey)
        return true;
    if (!chunks)
        return false;
    for (uint64_t i = oracle_first_chunk(oracle, range); i <= oracle_last_chunk(oracle, range);
         i++) {
        if (chunks[i].state != ORACLE_CHUNK_LIVE || chunks[i].rkey != rkey)
            return false;
    }
    return true;
}

static bool is_zeroed_by(const struct oracle_command *asked, const struct oracle_range *range)
{
    for (uint32_t i = 0; asked->type == ORACLE_COMPRESS && i < asked->range_count; i++) {
        if (oracle_is_overlap(&asked->ranges[i], range))
            return true;
    }
    return false;
}

static void check_zeros(struct oracle *oracle, const struct oracle_range *range)
{
    bool is_over_zero = oracle->is_filling && oracle_is_overlap(&oracle->fill, range);

    /* A hostile destination's READY may be older than the COMPRESS that it seems to answer. */
    for (uint32_t i = 0; i < oracle->asked.count && oracle->is_honest[RDMIG_ROLE_DESTINATION]; i++)
        is_over_zero = is_over_zero || is_zeroed_by(oracle_commands_at(&oracle->asked, i), range);
    if (is_over_zero)
        world_break(oracle->world, "write_over_zero",
                    "a write to %" PRIu64 " of block %" PRIu32 " beside its COMPRESS",
                    range->offset_bytes, range->block);
}

static void check_engine_limits(struct oracle *oracle, const struct write_request *request)
{
    const struct engine_options *engine = &oracle->world->options->engine[RDMIG_ROLE_SOURCE];
    const uint32_t interval =
        engine->signal_interval != 0 ? engine->signal_interval : DEFAULT_SIGNAL_INTERVAL;

    oracle->unsignalled_count = request->is_signalled ? 0 : oracle->unsignalled_count + 1;
    if (oracle->unsignalled_count >= interval)
        world_break(oracle->world, "unsignalled", "%" PRIu32 " writes in a row without a signal",
                    oracle->unsignalled_count);
    if (engine->write_bytes_max != 0 && request->length_bytes > engine->write_bytes_max)
        world_break(oracle->world, "write_length", "a write of %" PRIu64 " bytes",
                    request->length_bytes);
}

static void check_write(struct oracle *oracle, const struct write_request *request)
{
    const struct oracle_range range = {request->offset_bytes, request->length_bytes,
                                       request->block};
    struct world *world = oracle->world;

    if (!oracle->is_exchanged)
        world_break(world, "register_before_exchange", "a write before the blocks were exchanged");
    else if (!oracle_is_inside(oracle, &range))
        world_break(world, "range_outside",
                    "a write of %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32,
                    range.length_bytes, range.offset_bytes, range.block);
    else if (!oracle->is_ours[RDMIG_ROLE_SOURCE] && !oracle->are_both_honest)
        return; /* it believes whatever address a REGISTER_RESULT names */
    else if (request->remote_addr != oracle->blocks[range.block].addr + range.offset_bytes)
        world_break(world, "write_misplaced",
                    "a write of %" PRIu64 " of block %" PRIu32 " to 0x%" PRIx64, range.offset_bytes,
                    range.block, request->remote_addr);
    else if (!is_key_good(oracle, &range, request->rkey))
        world_break(world, "write_outside",
                    "a write of %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32
                    " under 0x%" PRIx32 ", no key for it",
                    range.length_bytes, range.offset_bytes, range.block, request->rkey);
    else if (oracle_is_written(oracle, &range))
        world_break(world, "overlap",
                    "two writes in flight to %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32,
                    range.length_bytes, range.offset_bytes, range.block);
    else
        check_zeros(oracle, &range);
}

void oracle_write_posted(struct oracle *oracle, enum rdmig_role from,
                         const struct write_request *request)
{
    if (!oracle->is_honest[from])
        return;
    if (oracle->is_ours[from] && from == RDMIG_ROLE_SOURCE)
        check_engine_limits(oracle, request);
    if (request->length_bytes == 0)
        return;
    if (oracle->is_error_posted[from])
        world_break(oracle->world, "after_error", "the %s wrote after ERROR", role_name(from));
    if (from == RDMIG_ROLE_DESTINATION)
        world_break(oracle->world, "write_direction", "the destination wrote to the source");
    else
        check_write(oracle, request);
}

void oracle_access_refused(struct oracle *oracle, enum rdmig_role from,
                           const struct write_request *request, const char *why)
{
    const struct port *there = oracle->ports[1 - from];

    if (!oracle->are_both_honest || port_is_down(there))
        return;
    world_break(oracle->world, "write_outside",
                "a write of %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32 " was refused: %s",
                request->length_bytes, request->offset_bytes, request->block, why);
}

/* ---- zeros */

void oracle_compress_posted(struct oracle *oracle, const struct oracle_command *command)
{
    for (uint32_t i = 0; i < command->range_count; i++) {
        if (oracle_is_written(oracle, &command->ranges[i]))
            world_break(oracle->world, "write_over_zero",
                        "COMPRESS of %" PRIu64 " of block %" PRIu32 " beside a write in flight",
                        command->ranges[i].offset_bytes, command->ranges[i].block);
    }
}

void oracle_compress_settled(struct oracle *oracle, const struct oracle_command *command)
{
    const struct ram *ram = oracle->world->ram[RDMIG_ROLE_DESTINATION];

    for (uint32_t i = 0; i < command->range_count; i++) {
        const struct oracle_range *range = &command->ranges[i];
        const uint64_t first = (range->offset_bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES;
        const uint64_t end = (range->offset_bytes + range->length_bytes) / SIM_PAGE_BYTES;

        if (end > first && !ram_is_all_zero(ram, range->block, first, end - first))
            world_break(oracle->world, "zero_late",
                        "READY, and %" PRIu64 " of block %" PRIu32 " is not filled with zeros",
                        range->offset_bytes, range->block);
    }
}

static bool is_asked_fill(const struct oracle *oracle, const struct oracle_range *fill)
{
    const struct oracle_command *obeyed = oracle_obeyed(oracle, ORACLE_COMPRESS);

    for (uint32_t i = 0; obeyed && i < obeyed->range_count; i++) {
        const struct oracle_range *range = &obeyed->ranges[i];

        if (range->block == fill->block && fill->offset_bytes >= range->offset_bytes &&
            fill->offset_bytes + fill->length_bytes <= range->offset_bytes + range->length_bytes)
            return true;
    }
    return false;
}

void oracle_fill_started(struct oracle *oracle, uint32_t block, uint64_t offset_bytes,
                         uint64_t length_bytes)
{
    const struct oracle_range fill = {offset_bytes, length_bytes, block};
    struct world *world = oracle->world;

    if (!oracle->is_honest[RDMIG_ROLE_DESTINATION])
        return;
    if (!oracle_is_inside(oracle, &fill)) {
        world_break(world, "fill_outside",
                    "a fill of %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32, length_bytes,
                    offset_bytes, block);
        return;
    }
    if (oracle->is_filling)
        world_break(world, "fill_twice", "a fill begins while another runs");
    oracle->is_filling = true;
    oracle->fill = fill;
    if (!oracle->are_both_honest)
        return;
    if (!is_asked_fill(oracle, &fill))
        world_break(world, "fill_unasked",
                    "a fill of %" PRIu64 " bytes at %" PRIu64 " of block %" PRIu32
                    ", for which nobody asked",
                    length_bytes, offset_bytes, block);
    if (oracle_is_written(oracle, &fill))
        world_break(world, "write_over_zero",
                    "a fill of %" PRIu64 " of block %" PRIu32 " beside a write in flight",
                    offset_bytes, block);
}

void oracle_fill_ended(struct oracle *oracle)
{
    oracle->is_filling = false;
}

/* ---- rounds */

/* Not sent yet, and the source knows: in the guest's log, or in its own. */
static bool is_owed(const void *context, uint32_t block, uint64_t page)
{
    const struct oracle *oracle = context;
    const struct world *world = oracle->world;
    const struct party *source = world->party[RDMIG_ROLE_SOURCE];

    if (guest_is_dirty(world->guest, block, page))
        return true;
    return source && source->class->is_pending && source->class->is_pending(source, block, page);
}

static void compare_round(struct oracle *oracle)
{
    struct world *world = oracle->world;
    uint32_t block = 0;
    uint64_t page = 0;

    if (world->options->has_big_ram || world->guest->ram != world->ram[RDMIG_ROLE_SOURCE])
        return;
    guest_advance(world->guest, world->now_ns);
    if (!ram_is_equal(world->ram[RDMIG_ROLE_SOURCE], world->ram[RDMIG_ROLE_DESTINATION], is_owed,
                      oracle, &block, &page))
        world_break(world, "round_end",
                    "the round is over, and page %" PRIu64 " of block %" PRIu32 " differs", page,
                    block);
}

/* All of the round is there by now. When it arrives, some of the next may be under way. */
void oracle_round_posted(struct oracle *oracle)
{
    for (uint32_t i = 0; i < oracle->world->options->guest.block_count; i++) {
        const struct oracle_range all = {0, oracle_block_bytes(oracle, i), i};

        if (oracle_is_written(oracle, &all))
            world_break(oracle->world, "round_end",
                        "REGISTER_FINISHED with a write to block %" PRIu32 " in flight", i);
    }
    if (oracle->are_both_honest)
        compare_round(oracle);
}

static bool is_free(const void *context, uint32_t block, uint64_t page)
{
    const struct party *source = context;

    return source && source->class->is_free && source->class->is_free(source, block, page);
}

void oracle_compare_all(struct oracle *oracle)
{
    struct world *world = oracle->world;
    uint32_t block = 0;
    uint64_t page = 0;

    if (!ram_is_equal(world->ram[RDMIG_ROLE_SOURCE], world->ram[RDMIG_ROLE_DESTINATION], is_free,
                      world->party[RDMIG_ROLE_SOURCE], &block, &page))
        world_break(world, "ram_differs",
                    "the destination took the guest; page %" PRIu64 " of block %" PRIu32 " differs",
                    page, block);
}
