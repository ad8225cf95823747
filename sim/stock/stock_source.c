/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stock source: one stage after the other, and inside a stage one command at a time. A command
 * waits for its READY, is posted, waits for its own completion, then for its answer if it has one.
 * RDMA Writes run beside it.
 */
#include "stock_source.h"

#include "oracle.h"

#include <inttypes.h>
#include <stdlib.h>

#define CLOSE_DELAY_NS UINT64_C(10000000) /* chosen */

static void run(struct stock_source *source);

/* ---- the end */

/* Its main loop closes the connection some time after its migration thread has ended: seldom
 * before the destination has read the end. */
static void complete(struct stock_source *source)
{
    struct port *port = source->party.port;

    source->party.outcome = OUTCOME_COMPLETED;
    source->party.numbers.completed_ns = port_time_ns(port);
    world_log(source->party.world, "stock source has completed");
    source->stage = STOCK_STAGE_LEAVING;
    port_at(port, port_time_ns(port) + CLOSE_DELAY_NS, stock_source_patience, source, 0);
}

/* What is under way comes back now; it may have arrived all the same. */
static void lose(struct stock_source *source)
{
    stock_channel_lose(&source->channel, stock_source_patience, source);
    if (!source->channel.is_sending && source->writes_in_flight == 0)
        stock_source_fail(source, "the connection is lost");
}

/* ---- commands */

/* The message with the end mark gives the guest away. */
static bool gives_up_guest(const struct stock_source *source)
{
    return source->stage == STOCK_STAGE_STATE && source->data_word_count == 0 &&
           source->last_word == STREAM_DATA && !source->is_end_posted;
}

static bool post_command(struct stock_source *source)
{
    struct stock_channel *channel = &source->channel;
    struct oracle *oracle = source->party.world->oracle;
    const bool is_end = gives_up_guest(source);
    /* The single-entry commands say so; the others leave it open. */
    const uint32_t repeat = source->command_type == STOCK_QEMU_FILE ? 0 : 1;

    port_spend(source->party.port, source->party.world->costs.post_ns);
    if (!stock_channel_keep(channel, source->command_answer != 0 ? 2 : 1)) {
        stock_source_fail(source, "a receive cannot be posted");
        return false;
    }
    if (is_end)
        oracle_owner_gave_up(oracle, RDMIG_ROLE_SOURCE);
    if (!stock_channel_send(channel, source->command_type, repeat, source->command_data_bytes)) {
        if (is_end)
            oracle_owner_took(oracle, RDMIG_ROLE_SOURCE);
        stock_source_fail(source, "a message cannot be posted");
        return false;
    }
    source->is_end_posted = is_end;
    source->has_credit = false;
    source->party.numbers.round_trips++;
    source->command = STOCK_COMMAND_POSTED;
    return true;
}

static bool run_command(struct stock_source *source)
{
    switch (source->command) {
    case STOCK_COMMAND_WANTED:
        return source->has_credit && post_command(source);
    case STOCK_COMMAND_POSTED:
        if (source->channel.is_sending)
            return false;
        source->command = source->command_answer ? STOCK_COMMAND_ASKED : STOCK_COMMAND_NONE;
        return true;
    case STOCK_COMMAND_ASKED:
        if (!source->is_answered)
            return false;
        source->command = STOCK_COMMAND_NONE;
        return true;
    default:
        return true;
    }
}

/* ---- the stream */

/* Fills the next message; when all is sent, on to the next stage. */
static bool run_stream(struct stock_source *source, enum stock_stage next)
{
    uint8_t *data = source->channel.send_memory + STOCK_HEADER_BYTES;
    uint32_t length_bytes = 0;

    if (!source->has_begun)
        length_bytes = stream_header(&source->party.world->options->guest, false, data);
    source->has_begun = true;
    while (source->data_word_count > 0 && length_bytes + STREAM_WORD_BYTES <= STOCK_STREAM_BYTES) {
        length_bytes += stream_write(&source->stream, STREAM_DATA, data + length_bytes);
        source->data_word_count--;
    }
    if (source->last_word != STREAM_DATA &&
        length_bytes + STREAM_WORD_BYTES <= STOCK_STREAM_BYTES) {
        length_bytes += stream_write(&source->stream, source->last_word, data + length_bytes);
        source->last_word = STREAM_DATA;
    }
    if (length_bytes == 0) {
        source->stage = next;
        return true;
    }
    port_spend(source->party.port,
               costs_time_ns(length_bytes, source->party.world->costs.copy_bytes_per_s));
    stock_source_command(source, STOCK_QEMU_FILE, length_bytes, 0, source->stage);
    return true;
}

/* ---- stages of the connection; those of rounds are in stock_round.c */

static bool run_nothing(struct stock_source *source)
{
    (void)source;
    return false;
}

static bool run_prefix(struct stock_source *source)
{
    return run_stream(source, STOCK_STAGE_BLOCKS_ASK);
}

static bool run_blocks_ask(struct stock_source *source)
{
    stock_source_command(source, STOCK_BLOCKS_REQUEST, 0, STOCK_BLOCKS_RESULT,
                         STOCK_STAGE_BLOCKS_TAKE);
    return true;
}

static bool run_blocks_take(struct stock_source *source)
{
    const struct guest_options *options = &source->party.world->options->guest;
    const struct stock_message *answer = &source->answer;

    if (answer->length_bytes != options->block_count * STOCK_BLOCK_ENTRY_BYTES) {
        stock_source_fail(source, "another number of blocks there");
        return false;
    }
    for (uint32_t i = 0; i < options->block_count; i++) {
        struct stock_block_entry entry;

        stock_read_block(answer->data + (size_t)i * STOCK_BLOCK_ENTRY_BYTES, &entry);
        if (entry.length_bytes != options->block_bytes[i]) {
            stock_source_fail(source, "a block has another length there");
            return false;
        }
        source->remote[i].addr = entry.addr;
        source->remote[i].ram_offset = entry.ram_offset;
        source->remote[i].rkey = entry.rkey;
    }
    stock_channel_give_back(&source->channel, answer->buffer);
    source->party.numbers.exchanged_ns = port_time_ns(source->party.port);
    source->stage = STOCK_STAGE_SETUP_END;
    return true;
}

static bool run_setup_end(struct stock_source *source)
{
    stock_source_command(source, STOCK_REGISTER_FINISHED, 0, 0, STOCK_STAGE_ROUND_TAKE);
    return true;
}

static bool run_round_open(struct stock_source *source)
{
    return run_stream(source, STOCK_STAGE_WALK);
}

static bool run_state(struct stock_source *source)
{
    if (!source->is_end_posted)
        return run_stream(source, STOCK_STAGE_STATE);
    complete(source);
    return false;
}

static stock_stage_run *const stages[STOCK_STAGE_COUNT] = {
    [STOCK_STAGE_IDLE] = run_nothing,
    [STOCK_STAGE_CONNECTING] = run_nothing,
    [STOCK_STAGE_PREFIX] = run_prefix,
    [STOCK_STAGE_BLOCKS_ASK] = run_blocks_ask,
    [STOCK_STAGE_BLOCKS_TAKE] = run_blocks_take,
    [STOCK_STAGE_SETUP_END] = run_setup_end,
    [STOCK_STAGE_ROUND_TAKE] = stock_run_round_take,
    [STOCK_STAGE_ROUND_OPEN] = run_round_open,
    [STOCK_STAGE_WALK] = stock_run_walk,
    [STOCK_STAGE_PIECE] = stock_run_piece,
    [STOCK_STAGE_REGISTER_ASK] = stock_run_register_ask,
    [STOCK_STAGE_REGISTER_TAKE] = stock_run_register_take,
    [STOCK_STAGE_WRITE] = stock_run_write,
    [STOCK_STAGE_COMPRESS] = stock_run_compress,
    [STOCK_STAGE_PIECE_END] = stock_run_piece_end,
    [STOCK_STAGE_DRAIN] = stock_run_drain,
    [STOCK_STAGE_ROUND_END] = stock_run_round_end,
    [STOCK_STAGE_JUDGE] = stock_run_judge,
    [STOCK_STAGE_STATE] = run_state,
    [STOCK_STAGE_LEAVING] = run_nothing,
    [STOCK_STAGE_CLOSED] = run_nothing,
};

/* As far as it goes without waiting. */
static void run(struct stock_source *source)
{
    bool is_going = !source->is_planned;

    while (is_going) {
        if (source->stage >= STOCK_STAGE_LEAVING)
            return;
        if (source->command != STOCK_COMMAND_NONE)
            is_going = run_command(source);
        else
            is_going = stages[source->stage](source) && !source->is_planned;
    }
}

/* ---- what comes in */

static void take_message(struct stock_source *source, const struct stock_message *message)
{
    const bool is_expected_answer =
        source->command >= STOCK_COMMAND_POSTED && message->type == source->command_answer;

    if (is_expected_answer && !source->is_answered) {
        source->answer = *message;
        source->is_answered = true;
        return;
    }
    stock_channel_give_back(&source->channel, message->buffer);
    if (message->type == STOCK_ERROR) {
        source->has_credit = false; /* nothing is said to who has given up */
        stock_source_fail(source, "the destination sent ERROR");
    } else if (message->type != STOCK_READY || source->has_credit) {
        stock_source_fail(source, "a message that does not belong here");
    } else {
        source->has_credit = true;
        stock_channel_keep(&source->channel, 1);
    }
}

static void received(struct stock_source *source, const struct completion *completion)
{
    struct stock_message message;

    if (!stock_channel_received(&source->channel, completion)) {
        stock_source_fail(source, "a message that is none");
        return;
    }
    if (completion->status != COMPLETION_OK)
        lose(source);
    else if (stock_channel_take(&source->channel, &message))
        take_message(source, &message);
}

static void source_completed(struct party *party, const struct completion *completion)
{
    struct stock_source *source = (struct stock_source *)party;
    const bool is_ok = completion->status == COMPLETION_OK;

    if (source->stage == STOCK_STAGE_CLOSED)
        return;
    port_spend(party->port, party->world->costs.poll_ns);
    switch ((enum stock_work)(completion->id >> STOCK_WORK_SHIFT)) {
    case STOCK_WORK_ERROR:
        stock_source_close(source);
        return;
    case STOCK_WORK_SEND:
        source->channel.is_sending = false;
        break;
    case STOCK_WORK_WRITE:
        if (is_ok)
            stock_round_written(source, completion->id);
        else
            source->writes_in_flight--;
        break;
    case STOCK_WORK_RECV:
        if (source->stage != STOCK_STAGE_LEAVING)
            received(source, completion);
        break;
    }
    if (source->stage >= STOCK_STAGE_LEAVING)
        return;
    if (!is_ok && completion->id >> STOCK_WORK_SHIFT != STOCK_WORK_RECV)
        stock_source_fail(source, "a work request failed");
    else if (source->is_end_posted && !source->channel.is_sending)
        run(source); /* it has arrived, whatever became of the connection since */
    else if (source->channel.is_lost)
        lose(source);
    else
        run(source);
}

static void established(struct stock_source *source, const struct cm_event *event)
{
    uint32_t version;
    uint32_t flags;

    if (!stock_read_private(event, &version, &flags) || version != STOCK_VERSION) {
        stock_source_fail(source, "another version there");
        return;
    }
    source->is_pin_all = source->is_pin_all && (flags & STOCK_PIN_ALL) != 0;
    source->party.numbers.connected_ns = port_time_ns(source->party.port);
    stock_source_stream(source, source->party.world->options->prefix_bytes / STREAM_WORD_BYTES,
                        STREAM_HOOK);
    source->stage = STOCK_STAGE_PREFIX;
    run(source);
}

static void source_managed(struct party *party, const struct cm_event *event)
{
    struct stock_source *source = (struct stock_source *)party;

    if (source->stage >= STOCK_STAGE_LEAVING) {
        if (event->kind == CM_DISCONNECTED)
            stock_source_close(source);
        return;
    }
    if (event->kind == CM_ESTABLISHED && source->stage == STOCK_STAGE_CONNECTING) {
        established(source, event);
    } else if (event->kind == CM_DISCONNECTED) {
        lose(source);
    } else {
        source->has_credit = false;
        stock_source_fail(source, "no connection");
    }
}

/* ---- the party */

static void source_start(struct party *party)
{
    struct stock_source *source = (struct stock_source *)party;
    const struct costs *costs = &party->world->costs;
    uint8_t bytes[STOCK_PRIVATE_BYTES];

    port_set_depths(party->port, STOCK_SEND_DEPTH, STOCK_RECV_DEPTH, STOCK_COMPLETION_DEPTH);
    port_set_wait(party->port, costs->stock_wait_ns, costs->wakeup_cpu_ns);
    source->is_pin_all = party->world->options->is_pin_all[RDMIG_ROLE_SOURCE];
    if (source->is_pin_all && !stock_round_pin(source)) {
        stock_source_fail(source, "guest memory cannot be registered");
        return;
    }
    if (!stock_channel_keep(&source->channel, 1)) {
        stock_source_fail(source, "a receive cannot be posted");
        return;
    }
    source->stage = STOCK_STAGE_CONNECTING;
    stock_write_private(bytes, STOCK_VERSION, source->is_pin_all ? STOCK_PIN_ALL : 0);
    port_connect(party->port, bytes, sizeof(bytes));
}

static void source_cancel(struct party *party)
{
    struct stock_source *source = (struct stock_source *)party;

    if (source->stage == STOCK_STAGE_LEAVING)
        stock_source_close(source);
    stock_source_fail(source, "cancelled");
}

static bool source_is_closed(const struct party *party)
{
    return ((const struct stock_source *)party)->stage == STOCK_STAGE_CLOSED;
}

static bool source_is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    return stock_round_is_pending((const struct stock_source *)party, block, page);
}

static void source_count(struct party *party)
{
    const struct stock_source *source = (const struct stock_source *)party;

    party->numbers.engine_bytes = sizeof(*source) + source->dirty.memory_bytes +
                                  source->chunk_count * sizeof(*source->chunks) +
                                  (uint64_t)STOCK_RECV_COUNT * STOCK_RECV_BYTES;
}

static void source_free(struct party *party)
{
    struct stock_source *source = (struct stock_source *)party;

    stock_round_free(source);
    stock_channel_free(&source->channel);
    free(source);
}

struct party *stock_source_make(struct world *world, struct port *port)
{
    static const struct party_class class = {
        .name = "stock source",
        .start = source_start,
        .completed = source_completed,
        .managed = source_managed,
        .cancel = source_cancel,
        .is_closed = source_is_closed,
        .is_pending = source_is_pending,
        .count = source_count,
        .free = source_free,
    };
    struct stock_source *source = calloc(1, sizeof(*source));

    if (!source)
        abort();
    source->party =
        (struct party){.class = &class, .world = world, .port = port, .role = RDMIG_ROLE_SOURCE};
    source->party.has_no_prepare = true;
    source->run = run;
    stock_channel_init(&source->channel, &source->party);
    stock_round_init(source);
    return &source->party;
}
