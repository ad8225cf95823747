/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/fabric.h"

#include "support/pool.h"

#include <stdlib.h>
#include <string.h>

enum { MOVE_COUNT = 14 };

/* ---- chance */

uint64_t fabric_random(struct fabric *fabric)
{
    fabric->random ^= fabric->random << 13;
    fabric->random ^= fabric->random >> 7;
    fabric->random ^= fabric->random << 17;
    return fabric->random;
}

uint32_t fabric_below(struct fabric *fabric, uint32_t limit)
{
    return (uint32_t)((fabric_random(fabric) >> 16) % limit);
}

/* ---- making it */

static void open_side(struct fabric_side *side, const struct rdmig_conn_config *config)
{
    side->memory_bytes = rdmig_conn_footprint_bytes(config);
    side->memory = pool_take(side->memory_bytes);
    side->control = pool_take(rdmig_conn_control_bytes());
    assert_int_equal(rdmig_conn_init(&side->conn, config, side->memory, side->memory_bytes,
                                     side->control, rdmig_conn_control_bytes(), 0),
                     RDMIG_OK);
}

void fabric_open(struct fabric *fabric, uint64_t seed, const struct rdmig_conn_config *source,
                 const struct rdmig_conn_config *destination)
{
    static const uint64_t lengths[FABRIC_BLOCKS] = {5 * MIB + 8192, MIB, 2 * MIB + 4096};
    struct rdmig_conn_config each = *source;

    memset(fabric, 0, sizeof(*fabric));
    fabric->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint32_t i = 0; i < FABRIC_BLOCKS; i++) {
        fabric->source_blocks[i] =
            (struct rdmig_block){SOURCE_HOST0 + i * (64 * MIB), lengths[i], 0};
        fabric->destination_blocks[i] = (struct rdmig_block){
            DESTINATION_HOST0 + i * (64 * MIB), lengths[i], (FABRIC_BLOCKS - i) * (16 * MIB)};
    }
    each.struct_bytes = sizeof(each);
    each.role = RDMIG_ROLE_SOURCE;
    open_side(&fabric->source, &each);
    each = *destination;
    each.struct_bytes = sizeof(each);
    each.role = RDMIG_ROLE_DESTINATION;
    open_side(&fabric->destination, &each);
}

static void close_side(struct fabric_side *side)
{
    assert_int_equal(rdmig_conn_deinit(side->conn), RDMIG_OK);
    pool_give(side->memory, side->memory_bytes);
    pool_give(side->control, rdmig_conn_control_bytes());
    free(side->tables);
}

void fabric_close(struct fabric *fabric)
{
    close_side(&fabric->source);
    close_side(&fabric->destination);
}

uint64_t fabric_page_count(const struct fabric *fabric, uint32_t block_index)
{
    return fabric->source_blocks[block_index].length_bytes / FABRIC_PAGE_BYTES;
}

static struct fabric_side *other(struct fabric *fabric, const struct fabric_side *side)
{
    return side == &fabric->source ? &fabric->destination : &fabric->source;
}

/* ---- queues */

static void enqueue(struct fabric_queue *queue, const struct rdmig_action *action)
{
    assert_true(queue->count < FABRIC_QUEUE_MAX);
    queue->actions[queue->count++] = *action;
}

static struct rdmig_action dequeue(struct fabric_queue *queue, uint32_t at)
{
    const struct rdmig_action action = queue->actions[at];

    queue->count--;
    memmove(&queue->actions[at], &queue->actions[at + 1], (queue->count - at) * sizeof(action));
    return action;
}

static void complete(struct fabric_cqes *cqes, uint64_t tag, enum rdmig_status status)
{
    assert_true(cqes->count < FABRIC_QUEUE_MAX);
    cqes->events[cqes->count++] =
        (struct rdmig_event){.kind = RDMIG_EVENT_COMPLETED, .tag = tag, .status = status};
}

/* ---- actions */

static void bring_down(struct fabric *fabric, struct fabric_side *side)
{
    struct fabric_side *peer = other(fabric, side);

    if (side->is_down)
        return;
    side->is_down = true;
    while (side->sends.count > 0)
        complete(&side->send_cqes, dequeue(&side->sends, 0).tag, RDMIG_STATUS_FLUSHED);
    while (side->recvs.count > 0)
        complete(&side->recv_cqes, dequeue(&side->recvs, 0).tag, RDMIG_STATUS_FLUSHED);
    peer->is_disconnect_due = peer->is_connected || peer->is_disconnect_due;
}

static void post(struct fabric *fabric, struct fabric_side *side, const struct rdmig_action *action)
{
    if (action->kind == RDMIG_ACTION_POST_RECV) {
        if (side->is_down)
            complete(&side->recv_cqes, action->tag, RDMIG_STATUS_FLUSHED);
        else
            enqueue(&side->recvs, action);
        return;
    }
    if (action->kind == RDMIG_ACTION_POST_WRITE)
        oracle_write(fabric, action);
    if (action->kind == RDMIG_ACTION_POST_SEND)
        oracle_send(fabric, side, action);
    if (side->is_down)
        complete(&side->send_cqes, action->tag, RDMIG_STATUS_FLUSHED);
    else
        enqueue(&side->sends, action);
}

static void carry_out(struct fabric *fabric, struct fabric_side *side,
                      const struct rdmig_action *action)
{
    side->seen[action->kind]++;
    switch (action->kind) {
    case RDMIG_ACTION_POST_RECV:
    case RDMIG_ACTION_POST_SEND:
    case RDMIG_ACTION_POST_WRITE:
    case RDMIG_ACTION_POST_PROBE:
        post(fabric, side, action);
        break;
    case RDMIG_ACTION_FILL_RANGE:
        oracle_no_write_there(fabric, action); /* clause C9 */
        enqueue(&side->operations, action);
        break;
    case RDMIG_ACTION_REGISTER:
        oracle_pinned(side, action);
        enqueue(&side->operations, action);
        break;
    case RDMIG_ACTION_DEREGISTER:
    case RDMIG_ACTION_END_ROUND:
        enqueue(&side->operations, action);
        break;
    case RDMIG_ACTION_CONNECT:
    case RDMIG_ACTION_ACCEPT:
        assert_true(action->length <= sizeof(fabric->connect_data));
        memcpy(fabric->connect_data, action->bytes, (size_t)action->length);
        fabric->connect_bytes = (uint32_t)action->length;
        fabric->initial_ready_pending =
            action->length > 8 ? bytes_u32(fabric->connect_data + 8) : 1;
        break;
    case RDMIG_ACTION_DISCONNECT:
        bring_down(fabric, side);
        break;
    case RDMIG_ACTION_DELIVER_STREAM:
        assert_int_equal(side->delivered_bytes, 0);
        side->delivered = action->bytes;
        side->delivered_bytes = action->length;
        break;
    default:
        break;
    }
}

static bool drain(struct fabric *fabric, struct fabric_side *side)
{
    struct rdmig_action action;

    if (!side->is_undrained)
        return false;
    for (int i = 0; rdmig_conn_next_action(side->conn, &action); i++) {
        assert_true(i < 10000);
        carry_out(fabric, side, &action);
        assert_null(rdmig_conn_check(side->conn));
    }
    side->is_undrained = false;
    return true;
}

int fabric_feed(struct fabric *fabric, struct fabric_side *side, struct rdmig_event event)
{
    int result;

    event.now_ns = fabric->now_ns;
    result = rdmig_conn_step(side->conn, &event);
    assert_null(rdmig_conn_check(side->conn));
    side->is_undrained = true;
    if (fabric_below(fabric, 3) != 0)
        drain(fabric, side);
    return result;
}

/* ---- what hardware does */

static void copy_pages(struct fabric *fabric, const struct rdmig_action *action)
{
    const uint64_t first = action->offset_bytes / FABRIC_PAGE_BYTES;
    const uint64_t count = action->length / FABRIC_PAGE_BYTES;

    assert_int_equal(action->offset_bytes % FABRIC_PAGE_BYTES, 0);
    assert_int_equal(action->length % FABRIC_PAGE_BYTES, 0);
    assert_true(fabric->remote[action->rkey].is_alive); /* still, clause R8 */
    memcpy(&fabric->destination_ram[action->block_index][first],
           &fabric->source_ram[action->block_index][first], count * sizeof(uint32_t));
}

static void cross(struct fabric *fabric, struct fabric_side *side, const struct rdmig_action *send)
{
    struct fabric_side *peer = other(fabric, side);
    struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED, .length = send->length};
    struct rdmig_action recv;

    assert_true(peer->recvs.count >
                0); /* without a RECV the connection would break: clauses C1, C3 */
    recv = dequeue(&peer->recvs, 0);
    memcpy(peer->control + recv.memory_offset_bytes, side->control + send->memory_offset_bytes,
           (size_t)send->length);
    event.tag = recv.tag;
    event.offset_bytes = recv.memory_offset_bytes; /* for the oracle */
    assert_true(peer->recv_cqes.count < FABRIC_QUEUE_MAX);
    peer->recv_cqes.events[peer->recv_cqes.count++] = event;
}

/* The oldest entry of a send queue is carried out. */
static bool work_send_queue(struct fabric *fabric, struct fabric_side *side)
{
    struct rdmig_action action;

    if (side->sends.count == 0 || side->is_down)
        return false;
    /* Hardware tries for long before it gives up on a peer; word that it has left is quicker. */
    if (!fabric->is_broken && side->is_disconnect_due)
        return false;
    if (fabric->is_broken || other(fabric, side)->is_down) {
        /* Nobody answers: this one fails, the rest is flushed with the queue pair. */
        complete(&side->send_cqes, dequeue(&side->sends, 0).tag, RDMIG_STATUS_ERROR);
        bring_down(fabric, side);
        return true;
    }
    action = dequeue(&side->sends, 0);
    if (action.kind == RDMIG_ACTION_POST_SEND)
        cross(fabric, side, &action);
    else if (action.kind == RDMIG_ACTION_POST_WRITE)
        copy_pages(fabric, &action);
    if (action.is_signalled) {
        complete(&side->send_cqes, action.tag, RDMIG_STATUS_OK);
        side->silent_writes = 0;
    } else {
        side->silent_writes++;
    }
    return true;
}

static bool take_cqe(struct fabric *fabric, struct fabric_side *side, struct fabric_cqes *cqes)
{
    struct rdmig_event event;

    if (cqes->count == 0)
        return false;
    event = cqes->events[0];
    cqes->count--;
    memmove(&cqes->events[0], &cqes->events[1], cqes->count * sizeof(event));
    if (side == &fabric->source && event.kind == RDMIG_EVENT_RECEIVED)
        oracle_received(fabric, side->control + event.offset_bytes);
    event.offset_bytes = 0;
    assert_int_equal(fabric_feed(fabric, side, event), RDMIG_OK);
    return true;
}

static uint32_t end_operation(struct fabric *fabric, struct fabric_side *side,
                              const struct rdmig_action *action)
{
    struct fabric_region region = {true, action->block_index, action->offset_bytes, action->length};

    if (action->kind == RDMIG_ACTION_FILL_RANGE) {
        oracle_no_write_there(fabric, action);
        memset(
            &fabric->destination_ram[action->block_index][action->offset_bytes / FABRIC_PAGE_BYTES],
            0, action->length / FABRIC_PAGE_BYTES * sizeof(uint32_t));
    } else if (action->kind == RDMIG_ACTION_REGISTER && side == &fabric->source) {
        assert_false(action->is_remote_writable); /* clause R9 */
        assert_false(fabric->local[action->region].is_alive);
        fabric->local[action->region] = region;
    } else if (action->kind == RDMIG_ACTION_REGISTER) {
        assert_true(action->is_remote_writable);
        assert_true(fabric->remote_count + 1 < FABRIC_REGIONS_MAX);
        fabric->remote[++fabric->remote_count] = region;
        return fabric->remote_count;
    } else if (action->kind == RDMIG_ACTION_DEREGISTER && side == &fabric->source) {
        assert_true(fabric->local[action->region].is_alive);
        side->pinned_bytes -= fabric->local[action->region].length_bytes;
        fabric->local[action->region].is_alive = false;
    }
    return 0;
}

static void forget_remote(struct fabric *fabric, uint32_t region)
{
    uint64_t first = 0;

    for (uint32_t i = 0; i < FABRIC_BLOCKS; i++) {
        for (uint32_t k = 1; k <= fabric->remote_count; k++) {
            struct fabric_region *remote = &fabric->remote[k];

            if (remote->is_alive && remote->block_index == i &&
                first + remote->offset_bytes / MIB == region) {
                remote->is_alive = false;
                fabric->destination.pinned_bytes -= remote->length_bytes;
            }
        }
        first += (fabric->source_blocks[i].length_bytes + MIB - 1) / MIB;
    }
}

static bool take_operation(struct fabric *fabric, struct fabric_side *side)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED};
    struct rdmig_action action;

    if (side->operations.count == 0)
        return false;
    action = dequeue(&side->operations, fabric_below(fabric, side->operations.count));
    event.rkey = end_operation(fabric, side, &action);
    if (action.kind == RDMIG_ACTION_DEREGISTER && side == &fabric->destination)
        forget_remote(fabric, action.region);
    event.tag = action.tag;
    assert_int_equal(fabric_feed(fabric, side, event), RDMIG_OK);
    return true;
}

/* The connection manager: request, answer, and the end; what has completed is fed before the end.
 */
static bool manage(struct fabric *fabric, struct fabric_side *side)
{
    const bool is_source = side == &fabric->source;
    struct fabric_side *peer = other(fabric, side);

    if (side->is_disconnect_due && side->send_cqes.count == 0 && side->recv_cqes.count == 0) {
        side->is_disconnect_due = false;
        FABRIC_FEED(fabric, side, DISCONNECTED);
        return true;
    }
    if (side->is_connected || side->is_down || peer->is_down)
        return false;
    if (!is_source && !side->is_undrained && peer->seen[RDMIG_ACTION_CONNECT] == 1 &&
        side->seen[RDMIG_ACTION_ACCEPT] == 0) {
        return FABRIC_FEED(fabric, side, CONNECT_REQUESTED, .bytes = fabric->connect_data,
                           .length = fabric->connect_bytes) == RDMIG_OK;
    }
    if (fabric->destination.seen[RDMIG_ACTION_ACCEPT] == 0)
        return false;
    side->is_connected = true;
    assert_int_equal(FABRIC_FEED(fabric, side, ESTABLISHED, .bytes = fabric->connect_data,
                                 .length = fabric->connect_bytes),
                     RDMIG_OK);
    return true;
}

static bool try_move(struct fabric *fabric, uint32_t choice)
{
    struct fabric_side *side = choice % 2 == 0 ? &fabric->source : &fabric->destination;

    switch (choice / 2) {
    case 0:
    case 1:
        return work_send_queue(fabric, side);
    case 2:
        return take_cqe(fabric, side, &side->send_cqes);
    case 3:
        return take_cqe(fabric, side, &side->recv_cqes);
    case 4:
        return take_operation(fabric, side);
    case 5:
        return drain(fabric, side);
    default:
        return manage(fabric, side);
    }
}

bool fabric_move(struct fabric *fabric)
{
    const uint32_t first = fabric_below(fabric, MOVE_COUNT);

    for (uint32_t i = 0; i < MOVE_COUNT; i++) {
        if (try_move(fabric, (first + i) % MOVE_COUNT))
            return true;
    }
    return false;
}

void fabric_cut(struct fabric *fabric)
{
    fabric->is_broken = true;
    if (fabric_below(fabric, 2) == 0)
        bring_down(fabric, &fabric->source);
    if (fabric_below(fabric, 2) == 0)
        bring_down(fabric, &fabric->destination);
    fabric->source.is_disconnect_due = fabric->source.is_connected;
    fabric->destination.is_disconnect_due = fabric->destination.is_connected;
}

bool fabric_wait(struct fabric *fabric)
{
    const uint64_t a = rdmig_conn_deadline_ns(fabric->source.conn);
    const uint64_t b = rdmig_conn_deadline_ns(fabric->destination.conn);
    const uint64_t next = a < b ? a : b;

    if (next == RDMIG_NO_DEADLINE)
        return false;
    fabric->now_ns = next > fabric->now_ns ? next : fabric->now_ns;
    FABRIC_FEED(fabric, &fabric->source, TIME_PASSED);
    FABRIC_FEED(fabric, &fabric->destination, TIME_PASSED);
    return true;
}
