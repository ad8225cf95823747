/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each row of the table makes one event that the core must refuse, and says what it is refused with
 * in a running connection; whoever is not running, or has failed, refuses it for that.
 */
#include "ours_wrong.h"

#include <string.h>

static const uint8_t some_bytes[RDMIG_MESSAGE_BYTES_MAX + 1];

static bool is_source(const struct ours *ours)
{
    return ours->party.role == RDMIG_ROLE_SOURCE;
}

static bool is_running(const struct ours *ours)
{
    return rdmig_conn_phase(ours->conn) == RDMIG_PHASE_RUNNING;
}

/* An event of a role's application: who is not running refuses it as such, the other role as well.
 */
static bool make_role_event(struct ours *ours, struct wrong_call *call, enum rdmig_event_kind kind,
                            uint32_t says)
{
    const bool is_mine = (kind == RDMIG_EVENT_STREAM_CONSUMED) != is_source(ours);

    call->event.kind = kind;
    call->says = is_mine ? says : SAYS(STATE);
    if (!is_running(ours))
        call->says = SAYS(STATE);
    if (rdmig_conn_failure(ours->conn))
        call->says = SAYS(FAILED);
    return true;
}

/* ---- the stream */

static bool stream_of_nothing(struct ours *ours, struct wrong_call *call)
{
    call->event.bytes = some_bytes;
    return make_role_event(ours, call, RDMIG_EVENT_STREAM_WRITTEN, SAYS(INVALID) | SAYS(STATE));
}

static bool stream_from_nowhere(struct ours *ours, struct wrong_call *call)
{
    call->event.length = 1;
    return make_role_event(ours, call, RDMIG_EVENT_STREAM_WRITTEN, SAYS(INVALID) | SAYS(STATE));
}

static bool stream_too_long(struct ours *ours, struct wrong_call *call)
{
    call->event.bytes = some_bytes;
    call->event.length = rdmig_conn_stream_room_bytes(ours->conn) + 1;
    return make_role_event(ours, call, RDMIG_EVENT_STREAM_WRITTEN, SAYS(AGAIN) | SAYS(STATE));
}

static bool consumed_nothing(struct ours *ours, struct wrong_call *call)
{
    return make_role_event(ours, call, RDMIG_EVENT_STREAM_CONSUMED,
                           ours->unconsumed_bytes > 0 ? SAYS(INVALID) : SAYS(STATE));
}

static bool consumed_too_much(struct ours *ours, struct wrong_call *call)
{
    call->event.length = ours->unconsumed_bytes + 1;
    return make_role_event(ours, call, RDMIG_EVENT_STREAM_CONSUMED,
                           ours->unconsumed_bytes > 0 ? SAYS(INVALID) : SAYS(STATE));
}

static bool flush_for_nothing(struct ours *ours, struct wrong_call *call)
{
    call->event.flush = (enum rdmig_flush)7;
    return make_role_event(ours, call, RDMIG_EVENT_FLUSH_REQUESTED, SAYS(INVALID) | SAYS(STATE));
}

static bool flush_twice(struct ours *ours, struct wrong_call *call)
{
    return (ours->is_flush_asked || !is_source(ours)) &&
           make_role_event(ours, call, RDMIG_EVENT_FLUSH_REQUESTED, SAYS(STATE));
}

/* ---- ranges and rounds */

static bool make_range(struct ours *ours, struct wrong_call *call)
{
    const uint32_t block = choice_below(ours->party.world->choice, ours->block_count);
    const bool may_push = ours->is_exchanged && !ours->is_round_closing && !ours->is_flush_asked;

    call->event.block_index = block;
    call->event.length = 1;
    return make_role_event(ours, call, RDMIG_EVENT_RANGE_PUSHED,
                           may_push ? SAYS(INVALID) : SAYS(STATE));
}

static bool range_of_no_block(struct ours *ours, struct wrong_call *call)
{
    (void)make_range(ours, call);
    call->event.block_index = ours->block_count;
    return true;
}

static bool range_of_nothing(struct ours *ours, struct wrong_call *call)
{
    (void)make_range(ours, call);
    call->event.length = 0;
    return true;
}

static bool range_beyond(struct ours *ours, struct wrong_call *call)
{
    (void)make_range(ours, call);
    call->event.offset_bytes = ours->blocks[call->event.block_index].length_bytes;
    return true;
}

static bool range_too_long(struct ours *ours, struct wrong_call *call)
{
    const uint32_t which = choice_below(ours->party.world->choice, 2);

    (void)make_range(ours, call);
    call->event.offset_bytes = ours->blocks[call->event.block_index].length_bytes - 1;
    call->event.length = which == 0 ? 2 : UINT64_MAX;
    return true;
}

static bool range_registered_beyond(struct ours *ours, struct wrong_call *call)
{
    (void)make_range(ours, call);
    call->event.register_end_bytes = ours->blocks[call->event.block_index].length_bytes + 1;
    return true;
}

static bool range_without_room(struct ours *ours, struct wrong_call *call)
{
    (void)make_range(ours, call);
    if (call->says == SAYS(INVALID))
        call->says = SAYS(AGAIN);
    return rdmig_conn_range_room_count(ours->conn) == 0;
}

static bool round_closed_out_of_turn(struct ours *ours, struct wrong_call *call)
{
    return (!ours->is_exchanged || ours->is_round_closing) &&
           make_role_event(ours, call, RDMIG_EVENT_ROUND_CLOSED, SAYS(STATE));
}

static bool exchange_out_of_turn(struct ours *ours, struct wrong_call *call)
{
    return (!ours->are_blocks_provided || ours->is_exchange_asked || !is_source(ours)) &&
           make_role_event(ours, call, RDMIG_EVENT_EXCHANGE_REQUESTED, SAYS(STATE));
}

/* ---- regions */

static bool make_drop(struct ours *ours, struct wrong_call *call, uint32_t block, uint32_t chunk)
{
    const bool is_pinned =
        (rdmig_conn_capability_flags(ours->conn) & RDMIG_CAPABILITY_PIN_ALL) != 0;

    call->event.block_index = block;
    call->event.chunk_index = chunk;
    return make_role_event(ours, call, RDMIG_EVENT_UNREGISTER_REQUESTED,
                           ours->is_exchanged && !is_pinned ? SAYS(INVALID) : SAYS(STATE));
}

static bool drop_of_no_block(struct ours *ours, struct wrong_call *call)
{
    return make_drop(ours, call, ours->block_count, 0);
}

static bool drop_beyond(struct ours *ours, struct wrong_call *call)
{
    const uint64_t chunk_count =
        (ours->blocks[0].length_bytes + RDMIG_CHUNK_BYTES - 1) / RDMIG_CHUNK_BYTES;

    return make_drop(ours, call, 0, (uint32_t)chunk_count);
}

/* A chunk at which no region starts. */
static bool drop_of_no_region(struct ours *ours, struct wrong_call *call)
{
    const uint32_t block = choice_below(ours->party.world->choice, ours->block_count);
    const uint64_t chunk_count =
        (ours->blocks[block].length_bytes + RDMIG_CHUNK_BYTES - 1) / RDMIG_CHUNK_BYTES;
    const uint32_t chunk = choice_below(ours->party.world->choice, (uint32_t)chunk_count);

    for (uint32_t i = 0; i < ours->regions.count; i++) {
        const struct ours_region *region = &ours->regions.entries[i];

        if (region->block == block && region->offset_bytes == chunk * RDMIG_CHUNK_BYTES)
            return false;
    }
    return make_drop(ours, call, block, chunk);
}

/* Another one, while one is being let go of. */
static bool drop_before_its_turn(struct ours *ours, struct wrong_call *call)
{
    const struct ours_region *region;

    if (!ours->is_letting_go || ours->regions.count == 0)
        return false;
    region = &ours->regions.entries[choice_below(ours->party.world->choice, ours->regions.count)];
    (void)make_drop(ours, call, region->block,
                    (uint32_t)(region->offset_bytes / RDMIG_CHUNK_BYTES));
    if (call->says == SAYS(INVALID)) /* the very one, or one that is not made yet */
        call->says = SAYS(INVALID) | SAYS(AGAIN);
    return true;
}

/* ---- the list of blocks */

/* Memory that would do; each row spoils something. */
static bool make_blocks(struct ours *ours, struct wrong_call *call)
{
    static _Alignas(64) uint8_t tables[TABLE_BYTES_MAX];
    const size_t table_bytes = rdmig_blocks_footprint_bytes(ours->blocks, ours->block_count);

    if (table_bytes + 64 > TABLE_BYTES_MAX)
        return false;
    call->event = (struct rdmig_event){.kind = RDMIG_EVENT_BLOCKS_PROVIDED,
                                       .blocks = ours->blocks,
                                       .block_count = ours->block_count,
                                       .memory = tables,
                                       .length = table_bytes};
    call->says = ours->are_blocks_provided ? SAYS(STATE) : SAYS(INVALID);
    if (rdmig_conn_phase(ours->conn) > RDMIG_PHASE_RUNNING)
        call->says = SAYS(STATE);
    if (rdmig_conn_failure(ours->conn))
        call->says = SAYS(FAILED);
    return true;
}

static bool blocks_again(struct ours *ours, struct wrong_call *call)
{
    return (ours->are_blocks_provided || rdmig_conn_phase(ours->conn) > RDMIG_PHASE_RUNNING) &&
           make_blocks(ours, call);
}

static bool blocks_spoiled(struct ours *ours, struct wrong_call *call)
{
    static struct rdmig_block spoiled[RAM_BLOCKS_MAX];
    const uint32_t which = choice_below(ours->party.world->choice, 10);

    if (!make_blocks(ours, call))
        return false;
    memcpy(spoiled, ours->blocks, sizeof(spoiled));
    if (which == 0)
        call->event.memory = NULL;
    else if (which == 1)
        call->event.memory = (uint8_t *)call->event.memory + 1;
    else if (which == 2)
        call->event.length--;
    else if (which == 3)
        call->event.block_count = 0;
    else if (which == 4)
        call->event.block_count = RDMIG_BLOCK_COUNT_MAX + 1;
    else if (which == 5)
        call->event.blocks = NULL;
    else
        call->event.blocks = spoiled;
    if (which == 9) { /* each has numbers for its chunks, both together have not */
        call->event.block_count = 2;
        spoiled[0] = (struct rdmig_block){.length_bytes = UINT64_C(1) << 51};
        spoiled[1] = spoiled[0];
    }
    if (which == 6)
        spoiled[0].length_bytes = 0;
    else if (which == 7)
        spoiled[0].host_addr = UINT64_MAX;
    else if (which == 8)
        spoiled[0].ram_offset_bytes = UINT64_MAX - spoiled[0].length_bytes + 1;
    return true;
}

/* ---- the connection */

static bool make_plain(struct wrong_call *call, enum rdmig_event_kind kind, uint32_t says)
{
    call->event.kind = kind;
    call->says = says;
    return true;
}

static bool started_twice(struct ours *ours, struct wrong_call *call)
{
    return rdmig_conn_phase(ours->conn) != RDMIG_PHASE_IDLE &&
           make_plain(call, RDMIG_EVENT_STARTED, SAYS(STATE));
}

static bool requested_out_of_turn(struct ours *ours, struct wrong_call *call)
{
    call->event.bytes = some_bytes;
    call->event.length = RDMIG_PRIVATE_DATA_BYTES;
    return (is_source(ours) || !ours->is_started || ours->is_connect_asked) &&
           make_plain(call, RDMIG_EVENT_CONNECT_REQUESTED, SAYS(STATE));
}

static bool established_out_of_turn(struct ours *ours, struct wrong_call *call)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);

    call->event.bytes = some_bytes;
    call->event.length = RDMIG_PRIVATE_DATA_BYTES;
    if (phase == RDMIG_PHASE_FAILING) /* it may cross our giving up */
        return false;
    return (phase != RDMIG_PHASE_CONNECTING || !ours->is_connect_asked || ours->is_request_open) &&
           make_plain(call, RDMIG_EVENT_ESTABLISHED, SAYS(STATE));
}

/* Something of the stream waits for its message to be full. */
static bool has_stream_waiting(const struct ours *ours)
{
    const uint64_t message_bytes = ours->config.stream_message_bytes
                                       ? ours->config.stream_message_bytes
                                       : RDMIG_STREAM_BYTES_MAX;
    const uint64_t room_bytes = rdmig_conn_stream_room_bytes(ours->conn);

    return room_bytes > 0 && room_bytes < message_bytes;
}

static bool finished_too_early(struct ours *ours, struct wrong_call *call)
{
    const bool is_busy = is_source(ours) && (ours->is_round_open || ours->is_round_closing ||
                                             ours->is_flush_asked || has_stream_waiting(ours));

    (void)make_plain(call, RDMIG_EVENT_FINISH_REQUESTED, SAYS(STATE));
    if (rdmig_conn_failure(ours->conn))
        call->says = SAYS(FAILED);
    return is_busy || !is_running(ours);
}

/* Something of it is on its way. */
static bool has_stream_out(const struct ours *ours)
{
    for (uint64_t i = ours->sends.first; i != ours->sends.end; i++) {
        if (ours->sends.entries[i % ours->sends.depth].is_stream)
            return true;
    }
    return false;
}

/* Something has come back undone, and nobody has said why; or the stream has not arrived yet. */
static bool finished_in_doubt(struct ours *ours, struct wrong_call *call)
{
    return is_source(ours) && is_running(ours) &&
           (ours->watch.is_suspect || has_stream_out(ours)) &&
           make_plain(call, RDMIG_EVENT_FINISH_REQUESTED, SAYS(STATE));
}

static bool cancelled_too_late(struct ours *ours, struct wrong_call *call)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);

    return (phase == RDMIG_PHASE_FINISHING || phase == RDMIG_PHASE_CLOSED) &&
           make_plain(call, RDMIG_EVENT_CANCEL_REQUESTED, SAYS(STATE));
}

static bool event_of_no_kind(struct ours *ours, struct wrong_call *call)
{
    const uint32_t beyond = choice_below(ours->party.world->choice, 2);

    return make_plain(call,
                      beyond == 0 ? RDMIG_EVENT_KIND_COUNT : (enum rdmig_event_kind)UINT32_MAX,
                      SAYS(INVALID));
}

/* ---- tags */

/* A tag that is out, of the things that tags have an old use of; 0: none. */
static uint64_t tag_out(struct ours *ours)
{
    for (uint32_t i = 0; i < OURS_OPERATIONS_MAX && ours->operation_count > 0; i++) {
        if (ours->operations[i].is_out)
            return ours->operations[i].action.tag;
    }
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (ours->receives[i].is_out)
            return ours->receives[i].tag;
    }
    return 0;
}

static bool answered_again(struct ours *ours, struct wrong_call *call)
{
    const uint64_t tags[] = {ours->old_silent_tag, ours->old_receive_tag, ours->old_operation_tag};
    const uint32_t which = choice_below(ours->party.world->choice, 3);
    const uint32_t status = choice_below(ours->party.world->choice, 5);

    call->event.tag = tags[which];
    call->event.status = (enum rdmig_status)status;
    return make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

static bool received_again(struct ours *ours, struct wrong_call *call)
{
    const uint64_t tags[] = {ours->old_send_tag, ours->old_receive_tag, ours->old_operation_tag};
    const uint32_t which = choice_below(ours->party.world->choice, 3);

    call->event.tag = tags[which];
    call->event.length = RDMIG_HEADER_BYTES;
    return make_plain(call, RDMIG_EVENT_RECEIVED, SAYS(INVALID));
}

/* The use before the one that is out, or the one after it. */
static bool answered_another_use(struct ours *ours, struct wrong_call *call)
{
    const uint64_t tag = tag_out(ours);
    const uint32_t which = choice_below(ours->party.world->choice, 2);

    call->event.tag = which == 0 ? tag - (1u << 16) : tag + (1u << 16);
    return tag != 0 && make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

static bool answered_what_is_not_posted(struct ours *ours, struct wrong_call *call)
{
    call->event.tag = ours->old_send_tag + ours->sends.end - ours->sends.first + 1 +
                      choice_below(ours->party.world->choice, 1000);
    return ours->old_send_tag != 0 && make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

static bool answered_no_kind(struct ours *ours, struct wrong_call *call)
{
    const uint32_t kind = 4 + choice_below(ours->party.world->choice, 252);

    call->event.tag = (uint64_t)kind << 56 | (tag_out(ours) & UINT64_C(0xffffffffffffff));
    return make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

/* An operation that there is no place for. */
static bool answered_no_place(struct ours *ours, struct wrong_call *call)
{
    const uint64_t tag = ours->operation_count > 0 ? tag_out(ours) : ours->old_operation_tag;

    call->event.tag = tag | 0xffff;
    return tag != 0 && make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

static const struct ours_receive *receive_out(const struct ours *ours)
{
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (ours->receives[i].is_out)
            return &ours->receives[i];
    }
    return NULL;
}

static bool received_too_much(struct ours *ours, struct wrong_call *call)
{
    const struct ours_receive *receive = receive_out(ours);

    call->event.tag = receive ? receive->tag : 0;
    call->event.length = RDMIG_MESSAGE_BYTES_MAX + 1;
    return receive && make_plain(call, RDMIG_EVENT_RECEIVED, SAYS(INVALID));
}

/* A receive that went well says how much has come. */
static bool received_without_length(struct ours *ours, struct wrong_call *call)
{
    const struct ours_receive *receive = receive_out(ours);

    call->event.tag = receive ? receive->tag : 0;
    return receive && make_plain(call, RDMIG_EVENT_COMPLETED, SAYS(INVALID));
}

/* ---- the table */

const struct wrong_call_row wrong_call_rows[] = {
    {stream_of_nothing, false},
    {stream_from_nowhere, false},
    {stream_too_long, false},
    {consumed_nothing, false},
    {consumed_too_much, false},
    {flush_for_nothing, false},
    {flush_twice, true},
    {range_of_no_block, true},
    {range_of_nothing, true},
    {range_beyond, true},
    {range_too_long, true},
    {range_registered_beyond, true},
    {range_without_room, true},
    {round_closed_out_of_turn, true},
    {exchange_out_of_turn, false},
    {drop_of_no_block, true},
    {drop_beyond, true},
    {drop_of_no_region, true},
    {drop_before_its_turn, true},
    {blocks_again, false},
    {blocks_spoiled, false},
    {started_twice, false},
    {requested_out_of_turn, false},
    {established_out_of_turn, false},
    {finished_too_early, true},
    {finished_in_doubt, false},
    {cancelled_too_late, false},
    {event_of_no_kind, false},
    {answered_again, false},
    {received_again, false},
    {answered_another_use, false},
    {answered_what_is_not_posted, false},
    {answered_no_kind, false},
    {answered_no_place, false},
    {received_too_much, false},
    {received_without_length, false},
};

const uint32_t wrong_call_row_count = sizeof(wrong_call_rows) / sizeof(wrong_call_rows[0]);
