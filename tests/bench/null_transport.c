/* SPDX-License-Identifier: BSD-2-Clause */
#include "null_transport.h"

#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { SETTLE_TURNS_MAX = 100000000 };

int null_step(struct null_transport *transport, struct null_end *end, struct rdmig_event event)
{
    event.now_ns = ++transport->now_ns;
    return rdmig_conn_step(end->conn, &event);
}

/* For what a core may never refuse. */
static void feed(struct null_transport *transport, struct null_end *end, struct rdmig_event event)
{
    const int result = null_step(transport, end, event);

    if (result != RDMIG_OK)
        bench_fail("the core refused %s: %s", rdmig_event_name(event.kind),
                   rdmig_result_text(result));
}

static void complete(struct null_transport *transport, struct null_end *end, uint64_t tag,
                     enum rdmig_status status)
{
    feed(
        transport, end,
        (struct rdmig_event){
            .kind = RDMIG_EVENT_COMPLETED, .tag = tag, .status = status, .rkey = ++end->next_rkey});
}

static bool complete_late(struct null_transport *transport, struct null_end *end)
{
    const uint32_t count = end->late_count;

    end->late_count = 0;
    for (uint32_t i = 0; i < count; i++)
        complete(transport, end, end->late_tags[i], RDMIG_STATUS_OK);
    return count != 0;
}

/* ---- actions */

static void post_recv(struct null_transport *transport, struct null_end *end,
                      const struct rdmig_action *action)
{
    if (end->is_down) {
        complete(transport, end, action->tag, RDMIG_STATUS_FLUSHED);
        return;
    }
    if (end->recv_count == RDMIG_RECV_SLOT_COUNT)
        bench_fail("more receives are posted than there are slots");
    end->recvs[(end->recv_first + end->recv_count) % RDMIG_RECV_SLOT_COUNT] = *action;
    end->recv_count++;
}

static void post_send(struct null_transport *transport, struct null_end *end,
                      const struct rdmig_action *action)
{
    struct null_end *peer = end->peer;
    const struct rdmig_action *recv = &peer->recvs[peer->recv_first];

    if (end->is_down || peer->is_down) {
        complete(transport, end, action->tag, RDMIG_STATUS_FLUSHED);
        return;
    }
    if (peer->recv_count == 0)
        bench_fail("a message was sent and no receive was posted for it");
    memcpy(peer->control + recv->memory_offset_bytes, end->control + action->memory_offset_bytes,
           (size_t)action->length);
    peer->recv_first = (peer->recv_first + 1) % RDMIG_RECV_SLOT_COUNT;
    peer->recv_count--;
    transport->wire_bytes += action->length;
    (void)complete_late(transport, end); /* work is done in the order of posting */
    complete(transport, end, action->tag, RDMIG_STATUS_OK);
    feed(transport, peer,
         (struct rdmig_event){
             .kind = RDMIG_EVENT_RECEIVED, .tag = recv->tag, .length = action->length});
}

static void post_write(struct null_transport *transport, struct null_end *end,
                       const struct rdmig_action *action)
{
    if (!action->is_signalled)
        return;
    if (!transport->is_late) {
        complete(transport, end, action->tag, RDMIG_STATUS_OK);
        return;
    }
    if (end->late_count == NULL_LATE_MAX)
        bench_fail("more writes are out than a send queue holds");
    end->late_tags[end->late_count++] = action->tag;
}

static void leave(struct null_transport *transport, struct null_end *end)
{
    end->is_down = true;
    while (end->recv_count > 0) {
        const uint64_t tag = end->recvs[end->recv_first].tag;

        end->recv_first = (end->recv_first + 1) % RDMIG_RECV_SLOT_COUNT;
        end->recv_count--;
        complete(transport, end, tag, RDMIG_STATUS_FLUSHED);
    }
    if (!end->peer->is_down)
        feed(transport, end->peer, (struct rdmig_event){.kind = RDMIG_EVENT_DISCONNECTED});
}

static void provide_blocks(struct null_transport *transport, struct null_end *end)
{
    const size_t tables_bytes = rdmig_blocks_footprint_bytes(end->blocks, end->block_count);

    end->tables = malloc(tables_bytes);
    if (end->tables == NULL)
        bench_fail("out of memory for block tables; free some");
    feed(transport, end,
         (struct rdmig_event){.kind = RDMIG_EVENT_BLOCKS_PROVIDED,
                              .blocks = end->blocks,
                              .block_count = end->block_count,
                              .memory = end->tables,
                              .length = tables_bytes});
}

/* Both roles hear of the connection as soon as the destination accepts. */
static void accept_connection(struct null_transport *transport, const struct rdmig_action *action)
{
    uint8_t bytes[RDMIG_PRIVATE_DATA_BYTES_MAX];

    memcpy(bytes, action->bytes, (size_t)action->length);
    feed(transport, &transport->destination, (struct rdmig_event){.kind = RDMIG_EVENT_ESTABLISHED});
    feed(transport, &transport->source,
         (struct rdmig_event){
             .kind = RDMIG_EVENT_ESTABLISHED, .bytes = bytes, .length = action->length});
}

static void carry_out(struct null_transport *transport, struct null_end *end,
                      const struct rdmig_action *action)
{
    end->seen[action->kind]++;
    switch (action->kind) {
    case RDMIG_ACTION_POST_RECV:
        post_recv(transport, end, action);
        break;
    case RDMIG_ACTION_POST_SEND:
        post_send(transport, end, action);
        break;
    case RDMIG_ACTION_POST_WRITE:
        post_write(transport, end, action);
        break;
    case RDMIG_ACTION_FILL_RANGE:
        end->filled_bytes += action->length;
        complete(transport, end, action->tag, RDMIG_STATUS_OK);
        break;
    case RDMIG_ACTION_POST_PROBE:
    case RDMIG_ACTION_REGISTER:
    case RDMIG_ACTION_DEREGISTER:
    case RDMIG_ACTION_END_ROUND:
        complete(transport, end, action->tag, RDMIG_STATUS_OK);
        break;
    case RDMIG_ACTION_CONNECT:
        feed(transport, end->peer,
             (struct rdmig_event){.kind = RDMIG_EVENT_CONNECT_REQUESTED,
                                  .bytes = action->bytes,
                                  .length = action->length});
        break;
    case RDMIG_ACTION_ACCEPT:
        accept_connection(transport, action);
        break;
    case RDMIG_ACTION_DISCONNECT:
        leave(transport, end);
        break;
    case RDMIG_ACTION_REQUEST_BLOCKS:
        provide_blocks(transport, end);
        break;
    case RDMIG_ACTION_NOTIFY_PEER_ENDED:
        feed(transport, end, (struct rdmig_event){.kind = RDMIG_EVENT_FINISH_REQUESTED});
        break;
    case RDMIG_ACTION_REJECT:
    case RDMIG_ACTION_ABANDON:
    case RDMIG_ACTION_DELIVER_STREAM:
        bench_fail("the core asked for %s", rdmig_action_name(action->kind));
    default:
        break;
    }
}

static bool drain(struct null_transport *transport, struct null_end *end)
{
    struct rdmig_action action;
    bool is_any = false;

    while (rdmig_conn_next_action(end->conn, &action)) {
        carry_out(transport, end, &action);
        is_any = true;
    }
    return is_any;
}

void null_settle(struct null_transport *transport)
{
    for (uint32_t i = 0; i < SETTLE_TURNS_MAX; i++) {
        const bool is_source_busy = drain(transport, &transport->source);
        const bool is_destination_busy = drain(transport, &transport->destination);

        if (!is_source_busy && !is_destination_busy &&
            !complete_late(transport, &transport->source))
            return;
    }
    bench_fail("the two ends do not come to rest");
}

/* ---- opening and closing */

static void open_end(struct null_end *end, const struct rdmig_conn_config *config,
                     enum rdmig_role role)
{
    struct rdmig_conn_config own = *config;
    const size_t memory_bytes = rdmig_conn_footprint_bytes(config);
    const size_t control_bytes = rdmig_conn_control_bytes();

    own.role = role;
    end->role = role;
    end->memory = malloc(memory_bytes);
    end->control = aligned_alloc(RDMIG_CONTROL_MEMORY_ALIGNMENT, control_bytes);
    if (end->memory == NULL || end->control == NULL)
        bench_fail("out of memory for a connection; free some");
    if (rdmig_conn_init(&end->conn, &own, end->memory, memory_bytes, end->control, control_bytes,
                        0) != RDMIG_OK)
        bench_fail("the core refuses the benchmark's own settings");
}

void null_open(struct null_transport *transport, const struct rdmig_conn_config *config,
               const struct rdmig_block *blocks, uint32_t block_count, bool is_late)
{
    struct null_end *source = &transport->source;
    struct null_end *destination = &transport->destination;

    memset(transport, 0, sizeof(*transport));
    transport->is_late = is_late;
    *source = (struct null_end){.peer = destination, .blocks = blocks, .block_count = block_count};
    *destination = (struct null_end){.peer = source, .blocks = blocks, .block_count = block_count};
    open_end(source, config, RDMIG_ROLE_SOURCE);
    open_end(destination, config, RDMIG_ROLE_DESTINATION);
    feed(transport, destination, (struct rdmig_event){.kind = RDMIG_EVENT_STARTED});
    null_settle(transport);
    feed(transport, source, (struct rdmig_event){.kind = RDMIG_EVENT_STARTED});
    null_settle(transport);
    provide_blocks(transport, source);
    feed(transport, source, (struct rdmig_event){.kind = RDMIG_EVENT_EXCHANGE_REQUESTED});
    null_settle(transport);
    if (source->seen[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED] != 1)
        bench_fail("the blocks were not exchanged");
}

static void close_end(struct null_end *end)
{
    if (end->seen[RDMIG_ACTION_NOTIFY_CLOSED] != 1 || rdmig_conn_failure(end->conn) != NULL ||
        rdmig_conn_deinit(end->conn) != RDMIG_OK)
        bench_fail("the %s did not close in order",
                   end->role == RDMIG_ROLE_SOURCE ? "source" : "destination");
    free(end->memory);
    free(end->control);
    free(end->tables);
}

void null_close(struct null_transport *transport)
{
    feed(transport, &transport->source, (struct rdmig_event){.kind = RDMIG_EVENT_FINISH_REQUESTED});
    null_settle(transport);
    close_end(&transport->source);
    close_end(&transport->destination);
}
