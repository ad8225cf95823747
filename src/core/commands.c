/* SPDX-License-Identifier: BSD-2-Clause */
/* What the source sends: commands against credits, in the order the application gave things, RDMA
 * Writes next to them; and what the driver must do. */
#include "internal.h"

/* ---- commands */

static void send_stream(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t slot = source->stream_slot;
    const struct wire_header header = {.length_bytes = source->stream_bytes,
                                       .type = RDMIG_MESSAGE_QEMU_FILE};

    conn->counters.bytes_stream += source->stream_bytes;
    source->stream_slot = NO_SLOT;
    source->stream_bytes = 0;
    conn->stream_sends_outstanding++;
    commands_send(conn, slot, &header, conn->counters.bytes_stream, action);
}

/* All the ranges of zeros that can go now, in one message if the destination takes more than one
 * entry (clause C18). */
static void send_compress(struct rdmig_conn *conn, uint32_t slot, uint32_t position,
                          struct rdmig_action *action)
{
    const uint32_t count_max = conn_is_pipelined(conn) ? ENTRY_COUNT_MAX : 1;
    uint8_t *data = flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES;
    struct wire_header header = {.type = RDMIG_MESSAGE_COMPRESS};
    uint64_t work_bytes = 0;

    for (; position < conn->u.source.range_count && header.repeat < count_max; position++) {
        struct range *range = ranges_at(conn, position);
        const struct wire_compress entry = {
            .block_index = range->span.block_index,
            .offset_bytes = blocks_at(conn, range->span.block_index)->ram_offset_bytes +
                            range->span.start_bytes,
            .length_bytes = range->span.end_bytes - range->span.start_bytes,
        };

        if (!range->is_zero || range->state != STEP_WANTED || !ranges_may_zero(conn, position))
            continue;
        range->state = STEP_ASKED;
        range->serial = conn->u.source.command_serial + 1;
        wire_write_compress(data + header.length_bytes, &entry);
        header.length_bytes += WIRE_COMPRESS_ENTRY_BYTES;
        header.repeat++;
        work_bytes += entry.length_bytes;
    }
    commands_send(conn, slot, &header, work_bytes, action);
}

static bool is_round_done(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    /* Every write done (clause C10), every run settled. */
    return source->round == ROUND_CLOSING && source->range_count == 0 && source->run_count == 0 &&
           source->unregistration_count == 0 && !flight_has_writes(conn);
}

static void send_round_end(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    const struct wire_header header = {.type = RDMIG_MESSAGE_REGISTER_FINISHED, .repeat = 1};

    conn->u.source.round = ROUND_NONE;
    conn->counters.rounds++;
    conn_notify(conn, RDMIG_ACTION_NOTIFY_ROUND_ENDED);
    /* What it does with the round is the destination's own affair: a relay compares all memory, or
     * has it pinned at its other side. */
    commands_send(conn, slot, &header, conn->ram_bytes, action);
}

/* Pipelined commands: registrations before zeros, which can wait, since
 * registrations are waited for. With one credit the first that is queued goes first. */
static bool next_pipelined(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    uint32_t zero_position;

    if (unregistration_is_wanted(conn)) {
        unregistration_ask(conn, slot, action);
        return true;
    }
    if (registration_plan(conn, &zero_position)) {
        registration_ask(conn, slot, action);
        return true;
    }
    if (unregistration_is_wanted(conn)) { /* planning has found that room must be made */
        unregistration_ask(conn, slot, action);
        return true;
    }
    if (zero_position == NO_SLOT || conn->phase != RDMIG_PHASE_RUNNING)
        return false;
    send_compress(conn, slot, zero_position, action);
    return true;
}

/* What the destination pins before it answers; it may be the whole guest. */
static uint64_t pin_all_bytes(const struct rdmig_conn *conn)
{
    return (conn->capability_flags & RDMIG_CAPABILITY_PIN_ALL) != 0 ? conn->ram_bytes : 0;
}

static bool next_exclusive(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    const struct wire_header blocks_request = {.type = RDMIG_MESSAGE_RAM_BLOCKS_REQUEST,
                                               .repeat = 1};

    if (conn->u.source.exchange == STEP_WANTED) {
        conn->u.source.exchange = STEP_ASKED;
        commands_send(conn, slot, &blocks_request, pin_all_bytes(conn), action);
        return true;
    }
    if (is_round_done(conn)) {
        send_round_end(conn, slot, action);
        return true;
    }
    return false;
}

static bool is_stream_due(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    /* Before any command that was asked for after it: clause S2. */
    return source->stream_bytes > 0 &&
           (source->stream_bytes == conn->config.stream_message_bytes ||
            source->flush == STEP_WANTED || source->exchange == STEP_WANTED ||
            source->round != ROUND_NONE || unregistration_is_wanted(conn));
}

static bool next_command(struct rdmig_conn *conn, struct rdmig_action *action)
{
    uint32_t slot;
    bool is_sent;

    /* What was not found cannot have come but with an event: writes are many, and this is asked
     * before each. */
    if (!flight_can_post(conn) || !source_has_credit(conn) ||
        conn->u.source.idle_step == conn->step_number)
        return false;
    if (is_stream_due(conn)) {
        if (!credits_may_send(conn, RDMIG_MESSAGE_QEMU_FILE))
            return false;
        send_stream(conn, action);
        return true;
    }
    slot = flight_free_small(conn);
    if (slot == NO_SLOT)
        slot = flight_free_large(conn);
    is_sent = slot != NO_SLOT && ((credits_may_send(conn, RDMIG_MESSAGE_REGISTER_REQUEST) &&
                                   next_pipelined(conn, slot, action)) ||
                                  (credits_may_send(conn, RDMIG_MESSAGE_REGISTER_FINISHED) &&
                                   next_exclusive(conn, slot, action)));
    if (!is_sent) {
        conn->u.source.was_credit_starved = false; /* nothing was waiting for the credit */
        conn->u.source.idle_step = conn->step_number;
    }
    return is_sent;
}

/* ---- what the driver is to do */

/* Pin-all: our own regions, one a block, while the destination makes its (clause R7). */
static bool next_pin(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t block_index = source->pin_started_count;

    if ((conn->capability_flags & RDMIG_CAPABILITY_PIN_ALL) == 0 ||
        source->exchange != STEP_ASKED || block_index == conn->block_count ||
        !flight_start(conn, OPERATION_REGISTER, block_index, &action->tag))
        return false;
    source->pin_started_count++;
    blocks_region_action(conn, RDMIG_ACTION_REGISTER, block_index, 0,
                         blocks_at(conn, block_index)->chunk_count, action);
    return true;
}

bool source_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (conn_awaits_error_cause(conn))
        return false;
    /* Commands first, a round trip hangs on each; then writes, so that the link has work while we
     * register. */
    if (next_command(conn, action))
        return true;
    if (conn->phase != RDMIG_PHASE_RUNNING)
        return false; /* planning found that no chunk fits the limit */
    return ranges_next_write(conn, action) || next_pin(conn, action) ||
           unregistration_next_local(conn, action) || registration_next_local(conn, action);
}
