/* SPDX-License-Identifier: BSD-2-Clause */
/* The RAM block table and the table of chunks (docs/protocol.md sections B and R). */
#include "internal.h"

#define CHUNK_USED      0x80u                /* of a chunk's last byte */
#define CHUNK_TOTAL_MAX UINT64_C(0xffff0000) /* chunk numbers have 32 bits */

/* Number of chunks over all blocks; 0: the list cannot be used. */
static uint64_t count_chunks(const struct rdmig_block *blocks, uint32_t block_count)
{
    uint64_t total = 0;

    if (!blocks || block_count == 0 || block_count > RDMIG_BLOCK_COUNT_MAX)
        return 0;
    for (uint32_t i = 0; i < block_count; i++) {
        const uint64_t length_bytes = blocks[i].length_bytes;

        /* Sums that stay below 2^64 here let all later arithmetic on positions go without checks
         * (clause B3). */
        if (length_bytes == 0 || blocks[i].host_addr > UINT64_MAX - length_bytes ||
            blocks[i].ram_offset_bytes > UINT64_MAX - length_bytes)
            return 0;
        total += (length_bytes - 1) / RDMIG_CHUNK_BYTES + 1;
        if (total > CHUNK_TOTAL_MAX)
            return 0;
    }
    return total;
}

size_t rdmig_blocks_footprint_bytes(const struct rdmig_block *blocks, uint32_t block_count)
{
    const uint64_t chunk_count = count_chunks(blocks, block_count);

    if (chunk_count == 0)
        return 0;
    return block_count * sizeof(struct block) + (size_t)chunk_count * CHUNK_STATE_BYTES;
}

int blocks_provide(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    const size_t need_bytes = rdmig_blocks_footprint_bytes(event->blocks, event->block_count);
    uint64_t first_chunk = 0;

    if (conn->block_count != 0)
        return -RDMIG_E_STATE;
    if (need_bytes == 0 || !event->memory || event->length < need_bytes ||
        (uintptr_t)event->memory % sizeof(uint64_t) != 0)
        return -RDMIG_E_INVALID;
    memset(event->memory, 0, need_bytes);
    conn->blocks = event->memory;
    for (uint32_t i = 0; i < event->block_count; i++) {
        const struct rdmig_block *given = &event->blocks[i];
        struct block *block = &conn->blocks[i];

        block->host_addr = given->host_addr;
        block->length_bytes = given->length_bytes;
        block->ram_offset_bytes = given->ram_offset_bytes;
        block->first_chunk = (uint32_t)first_chunk;
        block->chunk_count = (uint32_t)((given->length_bytes - 1) / RDMIG_CHUNK_BYTES + 1);
        first_chunk += block->chunk_count;
        conn->ram_bytes += given->length_bytes;
    }
    conn->chunks = (uint8_t *)(conn->blocks + event->block_count);
    conn->block_count = event->block_count;
    return RDMIG_OK;
}

const struct block *blocks_at(const struct rdmig_conn *conn, uint32_t block_index)
{
    static const struct block none = {0};

    if (CORE_NEVER(conn, block_index >= conn->block_count))
        return &none;
    return &conn->blocks[block_index];
}

static inline bool is_chunk(const struct rdmig_conn *conn, uint32_t block_index,
                            uint32_t chunk_index)
{
    return block_index < conn->block_count && chunk_index < conn->blocks[block_index].chunk_count;
}

static uint8_t *chunk_state(const struct rdmig_conn *conn, uint32_t block_index,
                            uint32_t chunk_index)
{
    return conn->chunks +
           ((uint64_t)conn->blocks[block_index].first_chunk + chunk_index) * CHUNK_STATE_BYTES;
}

struct chunk blocks_chunk(const struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index)
{
    const uint8_t *state;
    struct chunk chunk = {0};

    if (CORE_NEVER(conn, !is_chunk(conn, block_index, chunk_index)))
        return chunk;
    state = chunk_state(conn, block_index, chunk_index);
    memcpy(&chunk.value, state, sizeof(chunk.value));
    chunk.count = (uint32_t)state[4] | (uint32_t)state[5] << 8 |
                  (uint32_t)(state[6] & (CHUNK_USED - 1u)) << 16;
    chunk.is_used = (state[6] & CHUNK_USED) != 0;
    return chunk;
}

/* A region counts as used when it is registered. */
void blocks_set_chunk(struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                      uint32_t value, uint32_t count)
{
    uint8_t *state;

    if (CORE_NEVER(conn, !is_chunk(conn, block_index, chunk_index) || count > REGION_MEMBER))
        return;
    state = chunk_state(conn, block_index, chunk_index);
    memcpy(state, &value, sizeof(value));
    state[4] = (uint8_t)count;
    state[5] = (uint8_t)(count >> 8);
    state[6] = (uint8_t)(count >> 16 | CHUNK_USED);
}

void blocks_set_used(struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                     bool is_used)
{
    uint8_t *state;

    if (CORE_NEVER(conn, !is_chunk(conn, block_index, chunk_index)))
        return;
    state = chunk_state(conn, block_index, chunk_index);
    state[6] = (uint8_t)(is_used ? state[6] | CHUNK_USED : state[6] & (CHUNK_USED - 1u));
}

/* The block and the place in it of a chunk counted over all blocks. */
void blocks_find_chunk(const struct rdmig_conn *conn, uint64_t number, uint32_t *block_index,
                       uint32_t *chunk_index)
{
    uint32_t low = 0;
    uint32_t high = conn->block_count;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;

        if (conn->blocks[middle].first_chunk <= number)
            low = middle;
        else
            high = middle;
    }
    *block_index = low;
    *chunk_index = 0;
    if (CORE_NEVER(conn, low >= conn->block_count || number - conn->blocks[low].first_chunk >=
                                                         conn->blocks[low].chunk_count))
        return;
    *chunk_index = (uint32_t)(number - conn->blocks[low].first_chunk);
}

/* Length of a run, cut at the block's end (clause R1). */
uint64_t blocks_run_bytes(const struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                          uint32_t chunk_count)
{
    const uint64_t run_bytes = chunk_count * RDMIG_CHUNK_BYTES;
    uint64_t left_bytes;

    if (CORE_NEVER(conn, !is_chunk(conn, block_index, chunk_index)))
        return 0;
    left_bytes = blocks_at(conn, block_index)->length_bytes - chunk_index * RDMIG_CHUNK_BYTES;
    return run_bytes < left_bytes ? run_bytes : left_bytes;
}

/* Fills in a REGISTER or DEREGISTER of a run, cut at the block's end (clause R1). */
void blocks_region_action(const struct rdmig_conn *conn, enum rdmig_action_kind kind,
                          uint32_t block_index, uint32_t chunk_index, uint32_t chunk_count,
                          struct rdmig_action *action)
{
    const struct block *block = blocks_at(conn, block_index);

    action->kind = kind;
    action->region = block->first_chunk + chunk_index;
    action->block_index = block_index;
    action->offset_bytes = chunk_index * RDMIG_CHUNK_BYTES;
    action->length = blocks_run_bytes(conn, block_index, chunk_index, chunk_count);
    action->is_remote_writable = conn->config.role == RDMIG_ROLE_DESTINATION;
}
