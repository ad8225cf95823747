/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile peer's RDMA Writes, and the regions that it made, or knows of. */
#include "hostile.h"

#include <inttypes.h>

bool hostile_may_write(struct hostile *hostile)
{
    return hostile_is_up(hostile) && hostile->write_count < HOSTILE_WRITES_MAX;
}

void hostile_write(struct hostile *hostile, struct write_request *request)
{
    struct hostile_block *block = &hostile->blocks[request->block];
    bool is_posted;

    if (block->local_key == 0)
        block->local_key =
            port_register(hostile->party.port, request->block, 0, block->length_bytes, false);
    request->id = HOSTILE_WRITE_ID;
    request->local_key = block->local_key;
    request->is_signalled = true;
    is_posted = block->local_key != 0 && port_post_write(hostile->party.port, request);
    port_spend(hostile->party.port, hostile->party.world->costs.post_ns);
    world_log(hostile->party.world,
              "hostile %s: writes %" PRIu64 " bytes of block %" PRIu32 " at %" PRIu64 " to %" PRIx64
              " key %" PRIx32 "%s",
              role_name(hostile->party.role), request->length_bytes, request->block,
              request->offset_bytes, request->remote_addr, request->rkey,
              is_posted ? "" : ", not posted");
    hostile->write_count++;
    hostile->writes_out += is_posted ? 1 : 0;
}

void hostile_write_anywhere(struct hostile *hostile)
{
    struct write_request request = {0};
    const struct hostile_block *block;
    uint32_t region_index;

    if (!hostile_may_write(hostile))
        return;
    request.block = hostile_pick(hostile, hostile->block_count);
    block = &hostile->blocks[request.block];
    request.length_bytes = SIM_PAGE_BYTES;
    request.remote_addr = block->addr;
    request.rkey = block->rkey;
    if (hostile->region_count > 0) {
        const struct hostile_region *region;

        region_index = hostile_pick(hostile, hostile->region_count);
        region = &hostile->regions[region_index]; /* alive or not */
        request.rkey = region->rkey;
        request.remote_addr =
            hostile->blocks[region->block].addr + region->first_chunk * HOSTILE_CHUNK_BYTES;
        if (hostile_pick(hostile, 2) == 1) /* the first byte behind it */
            request.remote_addr += region->chunk_count * HOSTILE_CHUNK_BYTES;
    }
    request.remote_addr = hostile_bend(hostile, request.remote_addr);
    request.rkey = hostile_bend32(hostile, request.rkey);
    hostile_write(hostile, &request);
}

/* ---- regions */

uint64_t hostile_chunk_count(const struct hostile *hostile, uint32_t block)
{
    return (hostile->blocks[block].length_bytes - 1) / HOSTILE_CHUNK_BYTES + 1;
}

struct hostile_region *hostile_find_region(struct hostile *hostile, uint32_t block,
                                           uint64_t first_chunk)
{
    for (uint32_t i = 0; i < hostile->region_count; i++) {
        struct hostile_region *region = &hostile->regions[i];

        if (region->is_alive && region->block == block && region->first_chunk == first_chunk)
            return region;
    }
    return NULL;
}

void hostile_add_region(struct hostile *hostile, const struct hostile_region *region)
{
    for (uint32_t i = 0; i < hostile->region_count && hostile->region_count == HOSTILE_REGIONS_MAX;
         i++) {
        if (!hostile->regions[i].is_alive) {
            hostile->regions[i] = *region;
            return;
        }
    }
    if (hostile->region_count < HOSTILE_REGIONS_MAX)
        hostile->regions[hostile->region_count++] = *region;
}
