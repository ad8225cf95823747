/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of blocks, and what is being written to them. */
#include "oracle_internal.h"

uint64_t oracle_block_bytes(const struct oracle *oracle, uint32_t block)
{
    return oracle->world->options->guest.block_bytes[block];
}

bool oracle_is_inside(const struct oracle *oracle, const struct oracle_range *range)
{
    if (range->block >= oracle->world->options->guest.block_count || range->length_bytes == 0)
        return false;
    return range->offset_bytes < oracle_block_bytes(oracle, range->block) &&
           range->length_bytes <= oracle_block_bytes(oracle, range->block) - range->offset_bytes;
}

bool oracle_is_overlap(const struct oracle_range *a, const struct oracle_range *b)
{
    return a->block == b->block && a->offset_bytes < b->offset_bytes + b->length_bytes &&
           b->offset_bytes < a->offset_bytes + a->length_bytes;
}

bool oracle_is_written(const struct oracle *oracle, const struct oracle_range *range)
{
    return port_has_write_in_flight(oracle->ports[RDMIG_ROLE_SOURCE], range->block,
                                    range->offset_bytes, range->length_bytes);
}
