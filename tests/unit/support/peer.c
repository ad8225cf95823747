/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/peer.h"

#include "support/ownership.h"

#include <string.h>

enum { PEER_BLOCKS_MAX = 4, COMMANDS_MAX = 2000 };

static uint64_t host_of(uint32_t block_index)
{
    return PEER_HOST + block_index * (UINT64_C(1) << 40);
}

struct bench *peer_source(const struct rdmig_conn_config *config, uint64_t peer_limit_bytes,
                          const uint64_t *lengths, uint32_t block_count)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, config);
    const uint32_t flags = bench->config.capability_flags;
    const bool is_pipelined = (flags & RDMIG_CAPABILITY_PIPELINE) != 0;
    struct rdmig_block blocks[PEER_BLOCKS_MAX] = {{0}};
    uint64_t place = 0;

    assert_true(block_count <= PEER_BLOCKS_MAX);
    bench->is_quiet = true;
    for (uint32_t i = 0; i < block_count; i++)
        blocks[i].length_bytes = lengths[i];
    bench_establish_pipelined(bench, flags, RDMIG_CREDIT_COUNT_MAX, peer_limit_bytes);
    bench_provide(bench, blocks, block_count);
    for (uint32_t i = 0; i < (is_pipelined ? RDMIG_CREDIT_COUNT_MAX : 1); i++)
        bench_receive_ready(bench);
    assert_int_equal(FEED(bench, EXCHANGE_REQUESTED), RDMIG_OK);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    for (uint32_t i = 0; i < block_count; i++) {
        message_block(bench->message, host_of(i), place, lengths[i], 0);
        place += lengths[i];
    }
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED], 1);
    bench->automatic = AUTO_WRITE | AUTO_OPERATION;
    bench_begin(bench);
    return bench;
}

static struct bench_tag *oldest_send(struct bench *bench)
{
    for (size_t i = 0; i < bench->tag_count; i++) {
        if (bench->tags[i].is_out && bench->tags[i].action.kind == RDMIG_ACTION_POST_SEND)
            return &bench->tags[i];
    }
    return NULL;
}

bool peer_serve_one(struct bench *bench)
{
    const struct bench_tag *tag = oldest_send(bench);
    struct rdmig_action action;
    uint32_t type;
    uint32_t repeat;
    uint8_t *slot;

    if (!tag)
        return false;
    action = tag->action;
    slot = bench->control + action.memory_offset_bytes;
    ownership_give(slot, action.length); /* hardware reads it */
    type = bytes_u32(slot + 4);
    repeat = bytes_u32(slot + 8);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, repeat);
    for (uint32_t i = 0; type == RDMIG_MESSAGE_REGISTER_REQUEST && i < repeat; i++)
        message_result(bench->message, 0xa0 + i, host_of(bytes_u32(slot + 16 + i * 24 + 8)));
    assert_int_equal(FEED(bench, COMPLETED, .tag = action.tag, .status = RDMIG_STATUS_OK),
                     RDMIG_OK);
    if (type == RDMIG_MESSAGE_REGISTER_REQUEST)
        bench_receive(bench, bench->message);
    if (type == RDMIG_MESSAGE_UNREGISTER_REQUEST)
        bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    bench_receive_ready(bench);
    return true;
}

void peer_serve(struct bench *bench)
{
    for (int i = 0; peer_serve_one(bench); i++)
        assert_true(i < COMMANDS_MAX);
}
