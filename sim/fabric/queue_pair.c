/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue pair: work requests travel to the other end in the order of posting, are carried out
 * there in that order, and are acknowledged in it. Completions wait in one of two queues for the
 * process.
 */
#include "fabric_internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- digests: what the hardware has in hand must not change */

static uint64_t digest(const uint8_t *bytes, uint32_t length_bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < length_bytes; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint32_t digest_bytes(uint32_t length_bytes)
{
    return length_bytes < DIGEST_SEND_BYTES ? length_bytes : DIGEST_SEND_BYTES;
}

static uint32_t receive_digest_bytes(const struct receive *receive)
{
    return receive->capacity_bytes < DIGEST_RECV_BYTES ? receive->capacity_bytes
                                                       : DIGEST_RECV_BYTES;
}

/* ---- completion queues */

static void enlarge(struct completion_queue *queue)
{
    const uint32_t capacity = queue->capacity ? 2 * queue->capacity : 64;
    struct completion *entries = calloc(capacity, sizeof(*entries));

    if (!entries)
        abort();
    for (uint32_t i = 0; i < queue->count; i++)
        entries[i] = queue->entries[(queue->first + i) % queue->capacity];
    free(queue->entries);
    queue->entries = entries;
    queue->capacity = capacity;
    queue->first = 0;
}

static void hand_up(struct port *port, uint32_t which)
{
    struct completion_queue *queue = &port->queues[which];
    struct completion completion;

    if (queue->count == 0)
        return;
    completion = queue->entries[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    if (which == QUEUE_SEND) {
        /* The place in the send queue, and those of the silent ones before it, are free again. */
        while (port->reclaimed < port->head &&
               port->works[port->reclaimed % port->send_depth].id != completion.id)
            port->reclaimed++;
        if (port->reclaimed < port->head)
            port->reclaimed++;
    }
    port->party->class->completed(port->party, &completion);
}

static void take_completion(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;

    (void)world;
    if (port->state != PORT_GONE)
        hand_up(port, (uint32_t)argument);
}

void queue_pair_drain(struct port *port)
{
    while (port->queues[QUEUE_SEND].count + port->queues[QUEUE_RECV].count > 0) {
        uint32_t which = QUEUE_SEND;

        if (port->queues[QUEUE_SEND].count == 0)
            which = QUEUE_RECV;
        else if (port->queues[QUEUE_RECV].count > 0)
            which = choice_below(port->fabric->world->choice, QUEUE_COUNT);
        hand_up(port, which);
    }
}

static void complete(struct port *port, uint32_t which, const struct completion *completion)
{
    struct world *world = port->fabric->world;
    struct completion_queue *queue = &port->queues[which];

    if (queue->count == queue->capacity)
        enlarge(queue);
    queue->entries[(queue->first + queue->count) % queue->capacity] = *completion;
    queue->count++;
    if (queue->count > port->completion_depth)
        FABRIC_TELL(port->fabric, queue_overrun, port->role, "completion queue");
    port_at(port, world->now_ns + world_jitter_ns(world), take_completion, port, which);
}

static void complete_work(struct port *port, const struct work *work, enum completion_status status,
                          int32_t os_code)
{
    const struct completion completion = {.id = work->id, .status = status, .os_code = os_code};

    complete(port, QUEUE_SEND, &completion);
}

static void complete_receive(struct port *port, enum completion_status status, int32_t os_code,
                             uint32_t length_bytes)
{
    struct receive *receive = &port->receives[port->receive_first];
    const struct completion completion = {receive->id, status, os_code, length_bytes, true};

    if (receive->digest != digest(receive->buffer, receive_digest_bytes(receive)) &&
        status != COMPLETION_OK)
        FABRIC_TELL(port->fabric, buffer_touched, port->role, "receive");
    port->receive_first = (port->receive_first + 1) % port->receive_depth;
    port->receive_count--;
    complete(port, QUEUE_RECV, &completion);
}

/* ---- into error */

static struct work *work_at(struct port *port, uint64_t number)
{
    return &port->works[number % port->send_depth];
}

void queue_pair_fail(struct port *port)
{
    if (port->state == PORT_ERROR || port->state == PORT_GONE)
        return;
    port->state = PORT_ERROR;
    world_log(port->fabric->world, "%s queue pair in error", role_name(port->role));
    if (fabric_take_fault(port->fabric->world, FAULT_FLUSH_STUCK, port->role))
        port->is_flush_stuck = true;
    if (port->is_flush_stuck)
        return;
    for (; port->acked < port->head; port->acked++)
        complete_work(port, work_at(port, port->acked), COMPLETION_FLUSHED, 0);
    /* An adapter may find a cause of its own for the one it was working on. */
    if (port->receive_count > 0 &&
        fabric_take_fault(port->fabric->world, FAULT_RECV_ERROR, port->role))
        complete_receive(port, COMPLETION_ERROR, FABRIC_ERROR_LOCAL, 0);
    while (port->receive_count > 0)
        complete_receive(port, COMPLETION_FLUSHED, 0, 0);
}

/* Everything before it got through and says so; it did not; all after it is flushed. */
static void fail_work(struct port *port, uint64_t number, int32_t os_code)
{
    for (; port->acked < number; port->acked++) {
        if (work_at(port, port->acked)->is_signalled)
            complete_work(port, work_at(port, port->acked), COMPLETION_OK, 0);
    }
    world_log(port->fabric->world, "%s work %" PRIu64 " fails: %" PRId32, role_name(port->role),
              number, os_code);
    complete_work(port, work_at(port, number), COMPLETION_ERROR, os_code);
    port->acked = number + 1;
    queue_pair_fail(port);
}

/* ---- nobody answers */

static void give_up(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;

    (void)world;
    /* Only if it is still the same wait. */
    if (port->state != PORT_UP || port->retry_since_ns != argument)
        return;
    fail_work(port, port->acked, FABRIC_ERROR_RETRY);
}

static void await_answer(struct port *port)
{
    struct world *world = port->fabric->world;

    if (port->retry_since_ns != NEVER_NS)
        return;
    port->retry_since_ns = world->now_ns;
    world_at(world, world->now_ns + world->costs.retry_timeout_ns, give_up, port, world->now_ns);
}

/* ---- acknowledged */

static void acknowledge(struct world *world, void *subject, uint64_t number)
{
    struct port *port = subject;

    (void)world;
    fabric_apply_faults(port->fabric);
    if (port->state != PORT_UP || number < port->acked)
        return;
    if (fabric_is_link_down(port->fabric)) {
        await_answer(port);
        return;
    }
    for (; port->acked <= number; port->acked++) {
        const struct work *work = work_at(port, port->acked);

        if (work->kind == WORK_SEND &&
            work->digest != digest(work->bytes, digest_bytes(work->length_bytes)))
            FABRIC_TELL(port->fabric, buffer_touched, port->role, "send");
        if (work->is_signalled)
            complete_work(port, work, COMPLETION_OK, 0);
    }
    if (port->acked == port->arrived && port->arrived == port->due)
        port->retry_since_ns = NEVER_NS;
}

static void plan_acknowledgement(struct port *port, uint64_t number)
{
    struct world *world = port->fabric->world;
    const uint64_t jitter_ns = world_jitter_ns(world);
    uint64_t at_ns = world->now_ns + world->costs.latency_ns + jitter_ns;

    if (at_ns < port->last_ack_ns)
        at_ns = port->last_ack_ns;
    port->last_ack_ns = at_ns;
    world_at(world, at_ns, acknowledge, port, number);
}

/* ---- arrived */

/* The receiver could not take it: its queue pair is lost as well. */
static void refuse_message(struct port *port, uint64_t number, int32_t code_here,
                           int32_t code_there)
{
    struct port *peer = fabric_peer(port);

    complete_receive(peer, COMPLETION_ERROR, code_there, 0);
    queue_pair_fail(peer);
    fail_work(port, number, code_here);
}

static bool carry_out_send(struct port *port, uint64_t number)
{
    struct world *world = port->fabric->world;
    struct port *peer = fabric_peer(port);
    const struct work *work = work_at(port, number);
    struct receive *receive = &peer->receives[peer->receive_first];

    if (work->digest != digest(work->bytes, digest_bytes(work->length_bytes)))
        FABRIC_TELL(port->fabric, buffer_touched, port->role, "send");
    if (peer->receive_count == 0) {
        FABRIC_TELL(port->fabric, receive_missing, port->role);
        fail_work(port, number, FABRIC_ERROR_RNR);
        return false;
    }
    if (receive->digest != digest(receive->buffer, receive_digest_bytes(receive)))
        FABRIC_TELL(port->fabric, buffer_touched, peer->role, "receive");
    if (fabric_take_fault(world, FAULT_RECV_ERROR, peer->role)) {
        refuse_message(port, number, FABRIC_ERROR_RETRY, FABRIC_ERROR_LOCAL);
        return false;
    }
    if (work->length_bytes > receive->capacity_bytes) {
        refuse_message(port, number, FABRIC_ERROR_ACCESS, FABRIC_ERROR_LENGTH);
        return false;
    }
    FABRIC_TELL(port->fabric, send_arrived, port->role, work->bytes, work->length_bytes);
    if (work->length_bytes > 0)
        __builtin_memcpy(receive->buffer, work->bytes, work->length_bytes);
    complete_receive(peer, COMPLETION_OK, 0, work->length_bytes);
    if (fabric_take_fault(world, FAULT_DELIVERY_LOST, port->role))
        port->fabric->down_until_ns = NEVER_NS;
    return true;
}

static bool carry_out_write(struct port *port, uint64_t number)
{
    const struct work *work = work_at(port, number);
    const struct write_request *request = &work->write;
    const uint64_t end_bytes = request->offset_bytes + request->length_bytes;
    const char *fault;

    if (request->length_bytes == 0)
        return true;
    fault = regions_check(port, request);
    if (fault) {
        FABRIC_TELL(port->fabric, access_refused, port->role, request, fault);
        queue_pair_fail(fabric_peer(port));
        fail_work(port, number, FABRIC_ERROR_ACCESS);
        return false;
    }
    if (work->is_early_done && work->early_start_bytes == request->offset_bytes)
        regions_place(port, request, work->early_end_bytes, end_bytes);
    else if (work->is_early_done)
        regions_place(port, request, request->offset_bytes, work->early_start_bytes);
    else
        regions_place(port, request, request->offset_bytes, end_bytes);
    return true;
}

static bool can_reach(const struct port *port)
{
    const struct port *peer = fabric_peer(port);

    return !fabric_is_link_down(port->fabric) && peer->state == PORT_UP &&
           peer->process != PROCESS_DEAD;
}

/* Carries out what is due, in order, as far as it goes. */
void queue_pair_pump(struct port *port)
{
    if (port->state != PORT_UP)
        return;
    if (can_reach(port)) {
        port->retry_since_ns = NEVER_NS;
        if (port->acked < port->arrived) /* its acknowledgement was lost: it comes again */
            plan_acknowledgement(port, port->arrived - 1);
    }
    while (port->arrived < port->due && port->state == PORT_UP) {
        const uint64_t number = port->arrived;
        const struct work *work = work_at(port, number);

        if (work->is_doomed) {
            fail_work(port, number, FABRIC_ERROR_LOCAL);
            return;
        }
        if (!can_reach(port)) {
            await_answer(port);
            return;
        }
        if (work->kind == WORK_SEND ? !carry_out_send(port, number)
                                    : !carry_out_write(port, number))
            return;
        port->arrived++;
        if (work->is_signalled || work->kind == WORK_SEND)
            plan_acknowledgement(port, number);
    }
}

static void arrive(struct world *world, void *subject, uint64_t number)
{
    struct port *port = subject;

    (void)world;
    fabric_apply_faults(port->fabric);
    if (port->state != PORT_UP || number < port->due)
        return;
    port->due = number + 1;
    if (port->retry_since_ns == NEVER_NS || port->arrived == number)
        queue_pair_pump(port);
}

/* Some pages of a write arrive ahead of the rest. */
static void arrive_early(struct world *world, void *subject, uint64_t number)
{
    struct port *port = subject;
    struct work *work = work_at(port, number);

    (void)world;
    if (port->state != PORT_UP || number < port->arrived || number >= port->head ||
        !can_reach(port) || regions_check(port, &work->write))
        return;
    regions_place(port, &work->write, work->early_start_bytes, work->early_end_bytes);
    work->is_early_done = true;
}

/* ---- posted */

static void draw_early_part(struct port *port, struct work *work, uint64_t number,
                            uint64_t start_ns, uint64_t arrival_ns)
{
    struct world *world = port->fabric->world;
    const struct write_request *request = &work->write;
    const uint64_t half_bytes = request->length_bytes / 2 / SIM_PAGE_BYTES * SIM_PAGE_BYTES;
    uint32_t which;
    uint32_t quarter;

    if (!fabric_is_exact(port->fabric) || half_bytes == 0)
        return;
    which = choice_below(world->choice, 3);
    if (which == 0)
        return;
    quarter = choice_below(world->choice, 4);
    work->early_start_bytes = request->offset_bytes + (which == 1 ? 0 : half_bytes);
    work->early_end_bytes =
        request->offset_bytes + (which == 1 ? half_bytes : request->length_bytes);
    world_at(world, start_ns + (arrival_ns - start_ns) / 4 * quarter, arrive_early, port, number);
}

static void travel(struct port *port, struct work *work, uint64_t number, uint64_t length_bytes)
{
    struct world *world = port->fabric->world;
    const struct costs *costs = &world->costs;
    const uint64_t now_ns = port_time_ns(port);
    const uint64_t start_ns = now_ns > port->tx_free_ns ? now_ns : port->tx_free_ns;
    const uint64_t busy_ns = costs->message_overhead_ns + costs_wire_ns(costs, length_bytes);
    uint64_t arrival_ns;

    port->tx_free_ns = start_ns + busy_ns;
    port->traffic.busy_ns += busy_ns;
    arrival_ns = port->tx_free_ns + costs->latency_ns + world_jitter_ns(world);
    if (arrival_ns < port->last_arrival_ns)
        arrival_ns = port->last_arrival_ns;
    port->last_arrival_ns = arrival_ns;
    if (work->kind == WORK_WRITE)
        draw_early_part(port, work, number, start_ns, arrival_ns);
    world_at(world, arrival_ns, arrive, port, number);
}

/* A place in the send queue; NULL: full. */
static struct work *place_work(struct port *port)
{
    struct work *work;

    if (port->head - port->reclaimed >= port->send_depth || port->state == PORT_GONE)
        return NULL;
    work = work_at(port, port->head);
    *work = (struct work){0};
    return work;
}

static void post(struct port *port, struct work *work, uint64_t length_bytes)
{
    const uint64_t number = port->head++;

    if (fabric_take_fault(port->fabric->world, FAULT_WORK_ERROR, port->role))
        work->is_doomed = true;
    if (port->state == PORT_UP)
        travel(port, work, number, length_bytes);
    else if (!port->is_flush_stuck) {
        port->acked = port->head;
        complete_work(port, work, COMPLETION_FLUSHED, 0);
    }
}

bool port_post_send(struct port *port, uint64_t id, const uint8_t *bytes, uint32_t length_bytes,
                    bool is_signalled)
{
    struct work *work;

    if (port->state != PORT_UP && port->state != PORT_ERROR)
        return false;
    work = place_work(port);
    if (!work)
        return false;
    work->kind = WORK_SEND;
    work->id = id;
    work->is_signalled = is_signalled;
    work->bytes = bytes;
    work->length_bytes = length_bytes;
    work->digest = digest(bytes, digest_bytes(length_bytes));
    port->traffic.message_count++;
    port->traffic.message_bytes += length_bytes;
    /* In error, too: the end that posts it does not know yet, and goes on by the same rules. */
    FABRIC_TELL(port->fabric, send_posted, port->role, bytes, length_bytes);
    post(port, work, length_bytes);
    return true;
}

bool port_post_write(struct port *port, const struct write_request *request)
{
    struct work *work;

    if (port->state != PORT_UP && port->state != PORT_ERROR)
        return false;
    work = place_work(port);
    if (!work)
        return false;
    work->kind = WORK_WRITE;
    work->id = request->id;
    work->is_signalled = request->is_signalled;
    work->write = *request;
    port->traffic.write_count++;
    port->traffic.write_bytes += request->length_bytes;
    if (port->state == PORT_UP && request->length_bytes > 0)
        FABRIC_TELL(port->fabric, write_posted, port->role, request);
    post(port, work, request->length_bytes);
    return true;
}

bool port_post_recv(struct port *port, uint64_t id, uint8_t *buffer, uint32_t capacity_bytes)
{
    struct receive *receive;

    if (port->state == PORT_GONE || port->receive_count == port->receive_depth)
        return false;
    receive = &port->receives[(port->receive_first + port->receive_count) % port->receive_depth];
    *receive = (struct receive){id, buffer, capacity_bytes, 0};
    receive->digest = digest(buffer, receive_digest_bytes(receive));
    port->receive_count++;
    if (port->state == PORT_ERROR && !port->is_flush_stuck)
        complete_receive(port, COMPLETION_FLUSHED, 0, 0);
    return true;
}

void port_set_depths(struct port *port, uint32_t send_depth, uint32_t receive_depth,
                     uint32_t completion_depth)
{
    free(port->works);
    free(port->receives);
    port->works = calloc(send_depth, sizeof(*port->works));
    port->receives = calloc(receive_depth, sizeof(*port->receives));
    if (!port->works || !port->receives)
        abort();
    port->send_depth = send_depth;
    port->receive_depth = receive_depth;
    port->completion_depth = completion_depth;
}

void queue_pair_free(struct port *port)
{
    free(port->works);
    free(port->receives);
    free(port->queues[QUEUE_SEND].entries);
    free(port->queues[QUEUE_RECV].entries);
}

bool port_has_write_in_flight(const struct port *port, uint32_t block, uint64_t offset_bytes,
                              uint64_t length_bytes)
{
    for (uint64_t i = port->acked; i < port->head && port->state == PORT_UP; i++) {
        const struct work *work = &port->works[i % port->send_depth];

        if (work->kind == WORK_WRITE && work->write.block == block &&
            work->write.offset_bytes < offset_bytes + length_bytes &&
            offset_bytes < work->write.offset_bytes + work->write.length_bytes)
            return true;
    }
    return false;
}

uint32_t port_receives_posted(const struct port *port)
{
    return port->receive_count;
}
