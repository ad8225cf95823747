/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/drive.h"

#include <stdlib.h>
#include <string.h>

const char *const source_stage_names[SOURCE_STAGE_COUNT] = {
    "idle",
    "connecting",
    "established",
    "credited",
    "awaiting blocks",
    "exchanged",
    "awaiting result",
    "writing",
    "awaiting unregistered",
    "finishing",
    "failing",
    "closed",
};

const char *const destination_stage_names[DESTINATION_STAGE_COUNT] = {
    "idle",        "connecting",    "awaiting", "listed",       "offering",  "streaming", "listing",
    "registering", "unregistering", "filling",  "ending round", "finishing", "failing",   "closed",
};

static const struct rdmig_block source_blocks[2] = {
    {.host_addr = SOURCE_HOST0, .length_bytes = BLOCK0_BYTES},
    {.host_addr = SOURCE_HOST1, .length_bytes = BLOCK1_BYTES},
};

static const struct rdmig_block destination_blocks[2] = {
    {DESTINATION_HOST0, BLOCK0_BYTES, DESTINATION_PLACE0},
    {DESTINATION_HOST1, BLOCK1_BYTES, DESTINATION_PLACE1},
};

/* ---- pieces */

void bench_provide(struct bench *bench, const struct rdmig_block *blocks, uint32_t block_count)
{
    const size_t tables_bytes = rdmig_blocks_footprint_bytes(blocks, block_count);

    assert_true(tables_bytes > 0);
    assert_null(bench->tables);
    bench->tables = malloc(tables_bytes);
    assert_non_null(bench->tables);
    memset(bench->tables, 0xc3, tables_bytes);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = blocks, .block_count = block_count,
                          .memory = bench->tables, .length = tables_bytes),
                     RDMIG_OK);
}

void source_provide(struct bench *bench)
{
    bench_provide(bench, source_blocks, 2);
}

void destination_provide(struct bench *bench)
{
    bench_provide(bench, destination_blocks, 2);
}

/* With PIPELINE all 24 bytes, otherwise the first 8 (clause W11). */
static int feed_private_data(struct bench *bench, enum rdmig_event_kind kind, uint32_t flags,
                             uint32_t credits, uint64_t value)
{
    const bool is_long = (flags & RDMIG_CAPABILITY_PIPELINE) != 0;
    uint8_t bytes[24] = {0, 0, 0, 1};

    bytes_put_u32(bytes + 4, flags);
    bytes_put_u32(bytes + 8, credits);
    bytes_put_u32(bytes + 16, (uint32_t)(value >> 32));
    bytes_put_u32(bytes + 20, (uint32_t)value);
    return bench_feed(
        bench, (struct rdmig_event){.kind = kind, .bytes = bytes, .length = is_long ? 24 : 8});
}

int bench_establish_pipelined(struct bench *bench, uint32_t flags, uint32_t credits,
                              uint64_t limit_bytes)
{
    return feed_private_data(bench, RDMIG_EVENT_ESTABLISHED, flags, credits, limit_bytes);
}

int bench_request_pipelined(struct bench *bench, uint32_t flags, uint32_t credits,
                            uint64_t ram_bytes)
{
    return feed_private_data(bench, RDMIG_EVENT_CONNECT_REQUESTED, flags, credits, ram_bytes);
}

int bench_establish(struct bench *bench, uint32_t version, uint32_t flags)
{
    uint8_t bytes[8];

    bytes_put_u32(bytes, version);
    bytes_put_u32(bytes + 4, flags);
    return FEED(bench, ESTABLISHED, .bytes = bytes, .length = sizeof(bytes));
}

int bench_connect_request(struct bench *bench, uint32_t version, uint32_t flags)
{
    uint8_t bytes[8];

    bytes_put_u32(bytes, version);
    bytes_put_u32(bytes + 4, flags);
    return FEED(bench, CONNECT_REQUESTED, .bytes = bytes, .length = sizeof(bytes));
}

int bench_receive_ready(struct bench *bench)
{
    return bench_receive_plain(bench, RDMIG_MESSAGE_READY);
}

void drive_step_received(struct bench *bench)
{
    const struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED,
                                      .now_ns = bench->now_ns,
                                      .tag = bench->recv_tags[0],
                                      .length = bench->message->length_bytes};
    size_t at = 0;

    while (bench->tags[at].action.tag != event.tag)
        at++;
    bench_forget(bench, event.tag); /* gives its slot back, too */
    memcpy(bench->control + bench->tags[at].action.memory_offset_bytes, bench->message->bytes,
           bench->message->length_bytes);
    assert_int_equal(rdmig_conn_step(bench->conn, &event), RDMIG_OK);
    assert_null(rdmig_conn_check(bench->conn));
}

int source_push(struct bench *bench, uint32_t block_index, uint64_t offset_bytes, uint64_t length)
{
    return FEED(bench, RANGE_PUSHED, .block_index = block_index, .offset_bytes = offset_bytes,
                .length = length);
}

int source_push_zero(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                     uint64_t length)
{
    return FEED(bench, RANGE_PUSHED, .block_index = block_index, .offset_bytes = offset_bytes,
                .length = length, .is_zero = true);
}

int source_push_until(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                      uint64_t length, uint64_t register_end_bytes)
{
    return FEED(bench, RANGE_PUSHED, .block_index = block_index, .offset_bytes = offset_bytes,
                .length = length, .register_end_bytes = register_end_bytes);
}

int source_write_stream(struct bench *bench, const char *text)
{
    return FEED(bench, STREAM_WRITTEN, .bytes = text, .length = strlen(text));
}

int source_receive_blocks(struct bench *bench)
{
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, DESTINATION_PLACE0, BLOCK0_BYTES, 0xb0);
    message_block(bench->message, DESTINATION_HOST1, DESTINATION_PLACE1, BLOCK1_BYTES, 0xb1);
    return bench_receive(bench, bench->message);
}

int source_receive_result(struct bench *bench, uint32_t block_index, uint32_t rkey)
{
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 1);
    message_result(bench->message, rkey, destination_blocks[block_index].host_addr);
    return bench_receive(bench, bench->message);
}

int destination_receive_stream(struct bench *bench, const char *text)
{
    message_begin(bench->message, RDMIG_MESSAGE_QEMU_FILE, 0);
    message_data(bench->message, text, strlen(text));
    return bench_receive(bench, bench->message);
}

int destination_receive_register(struct bench *bench, uint32_t block_index, uint64_t chunk_index,
                                 uint64_t chunks)
{
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 1);
    message_chunk(bench->message,
                  destination_blocks[block_index].ram_offset_bytes + chunk_index * MIB, block_index,
                  chunks);
    return bench_receive(bench, bench->message);
}

int destination_receive_unregister(struct bench *bench, uint32_t block_index, uint64_t chunk_index)
{
    message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 1);
    message_chunk(bench->message, chunk_index, block_index, 0);
    return bench_receive(bench, bench->message);
}

int destination_receive_compress(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                                 uint64_t length_bytes)
{
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 1);
    message_compress(bench->message, 0, block_index,
                     destination_blocks[block_index].ram_offset_bytes + offset_bytes, length_bytes);
    return bench_receive(bench, bench->message);
}

/* ---- the source's stages */

static void must(int result)
{
    assert_int_equal(result, RDMIG_OK);
}

static uint32_t count_credits(const struct bench *bench)
{
    return (bench->config.capability_flags & RDMIG_CAPABILITY_PIPELINE) != 0
               ? RDMIG_CREDIT_COUNT_MAX
               : 1;
}

static void source_connect(struct bench *bench, enum source_stage stage)
{
    const uint32_t flags = bench->config.capability_flags;

    if (stage >= SOURCE_IS_CONNECTING)
        must(FEED(bench, STARTED));
    if (stage >= SOURCE_IS_ESTABLISHED)
        must(bench_establish_pipelined(bench, flags, RDMIG_CREDIT_COUNT_MAX, 0));
    if (stage >= SOURCE_IS_CREDITED) {
        source_provide(bench);
        for (uint32_t i = 0; i < count_credits(bench); i++)
            must(bench_receive_ready(bench));
    }
    if (stage >= SOURCE_AWAITS_BLOCKS)
        must(FEED(bench, EXCHANGE_REQUESTED));
    if (stage >= SOURCE_IS_EXCHANGED) {
        must(source_receive_blocks(bench));
        must(bench_receive_ready(bench));
        assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED], 1);
    }
}

static void source_use(struct bench *bench, enum source_stage stage)
{
    if (stage == SOURCE_AWAITS_RESULT || stage == SOURCE_IS_WRITING ||
        stage == SOURCE_AWAITS_UNREGISTERED)
        must(source_push(bench, 0, 0, 4096));
    if (stage == SOURCE_IS_WRITING)
        bench->automatic &= ~(unsigned int)AUTO_WRITE;
    if (stage == SOURCE_IS_WRITING || stage == SOURCE_AWAITS_UNREGISTERED) {
        must(source_receive_result(bench, 0, 0xa0));
        must(bench_receive_ready(bench));
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_WRITE], 1);
    }
    if (stage == SOURCE_AWAITS_UNREGISTERED)
        must(FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 0));
}

static void answer_all_flushed(struct bench *bench)
{
    for (size_t i = 0; i < bench->tag_count; i++) {
        const struct bench_tag *tag = &bench->tags[i];

        if (tag->is_out)
            must(FEED(bench, COMPLETED, .tag = tag->action.tag, .status = RDMIG_STATUS_FLUSHED));
    }
}

struct bench *source_at(enum source_stage stage, const struct rdmig_conn_config *config)
{
    struct rdmig_conn_config complete = {0};
    struct bench *bench;

    if (config)
        complete = *config;
    complete.role = RDMIG_ROLE_SOURCE;
    bench = bench_open(&complete);
    bench->is_quiet = true;
    if (stage < SOURCE_IS_FINISHING) {
        source_connect(bench, stage);
        source_use(bench, stage);
    } else {
        source_connect(bench, SOURCE_IS_EXCHANGED);
    }
    if (stage == SOURCE_IS_FINISHING || stage == SOURCE_IS_CLOSED)
        must(FEED(bench, FINISH_REQUESTED));
    if (stage == SOURCE_IS_FAILING)
        must(FEED(bench, CANCEL_REQUESTED));
    if (stage == SOURCE_IS_CLOSED)
        answer_all_flushed(bench);
    bench_begin(bench);
    return bench;
}

/* ---- the destination's stages */

static void destination_connect(struct bench *bench, enum destination_stage stage)
{
    if (stage >= DESTINATION_IS_CONNECTING)
        must(FEED(bench, STARTED));
    if (stage >= DESTINATION_IS_AWAITING) {
        must(bench_request_pipelined(bench, bench->config.capability_flags, RDMIG_CREDIT_COUNT_MAX,
                                     BLOCK0_BYTES + BLOCK1_BYTES));
        must(FEED(bench, ESTABLISHED));
    }
    if (stage >= DESTINATION_IS_LISTED && stage != DESTINATION_IS_LISTING) {
        destination_provide(bench);
        must(bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST));
        assert_int_equal(bench->last[RDMIG_ACTION_POST_SEND].length, RDMIG_HEADER_BYTES);
    }
}

/* READY after READY, none of which completes: the last finds no slot. */
static void use_up_slots(struct bench *bench)
{
    bench->automatic &= ~(unsigned int)AUTO_SEND;
    for (uint32_t i = 0; i < count_credits(bench) + 1; i++) {
        must(destination_receive_stream(bench, "x"));
        must(FEED(bench, STREAM_CONSUMED, .length = 1));
    }
}

static void destination_use(struct bench *bench, enum destination_stage stage)
{
    switch (stage) {
    case DESTINATION_IS_OFFERING:
        use_up_slots(bench);
        break;
    case DESTINATION_IS_STREAMING:
        must(destination_receive_stream(bench, "bytes"));
        break;
    case DESTINATION_IS_LISTING:
        must(bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST));
        break;
    case DESTINATION_IS_REGISTERING:
        bench->automatic &= ~(unsigned int)AUTO_OPERATION;
        must(destination_receive_register(bench, 0, 1, 0));
        break;
    case DESTINATION_IS_UNREGISTERING:
        must(destination_receive_register(bench, 0, 1, 0));
        bench->automatic &= ~(unsigned int)AUTO_OPERATION;
        must(destination_receive_unregister(bench, 0, 1));
        break;
    case DESTINATION_IS_FILLING:
        bench->automatic &= ~(unsigned int)AUTO_OPERATION;
        must(destination_receive_compress(bench, 0, 0, 4096));
        break;
    case DESTINATION_IS_ENDING_ROUND:
        bench->automatic &= ~(unsigned int)AUTO_OPERATION;
        must(bench_receive_plain(bench, RDMIG_MESSAGE_REGISTER_FINISHED));
        break;
    case DESTINATION_IS_FINISHING:
    case DESTINATION_IS_CLOSED:
        must(FEED(bench, FINISH_REQUESTED));
        break;
    case DESTINATION_IS_FAILING:
        must(FEED(bench, CANCEL_REQUESTED));
        break;
    default:
        break;
    }
}

struct bench *destination_at(enum destination_stage stage, const struct rdmig_conn_config *config)
{
    struct rdmig_conn_config complete = {0};
    struct bench *bench;

    if (config)
        complete = *config;
    complete.role = RDMIG_ROLE_DESTINATION;
    bench = bench_open(&complete);
    bench->is_quiet = true;
    destination_connect(bench, stage);
    destination_use(bench, stage);
    if (stage == DESTINATION_IS_CLOSED) {
        must(FEED(bench, DISCONNECTED));
        answer_all_flushed(bench);
    }
    bench_begin(bench);
    return bench;
}
