/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection manager: request, reply, ready-to-use, and the end, each a message that takes its
 * time or is lost. */
#include "fabric_internal.h"

#include <inttypes.h>
#include <string.h>

static const char *const names[] = {
    [CM_CONNECT_REQUESTED] = "CONNECT_REQUESTED",
    [CM_ESTABLISHED] = "ESTABLISHED",
    [CM_REJECTED] = "REJECTED",
    [CM_UNREACHABLE] = "UNREACHABLE",
    [CM_DISCONNECTED] = "DISCONNECTED",
};

static void hand_up(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;
    struct cm_event event = {.kind = (enum cm_kind)argument};

    if (port->state == PORT_GONE)
        return;
    if (event.kind == CM_CONNECT_REQUESTED || event.kind == CM_ESTABLISHED) {
        event.bytes = fabric_peer(port)->private_data;
        event.length_bytes = fabric_peer(port)->private_data_bytes;
    }
    if (event.kind == CM_DISCONNECTED) {
        if (port->is_disconnect_told)
            return;
        port->is_disconnect_told = true;
        queue_pair_drain(port); /* what had arrived counts */
    }
    world_log(world, "%s cm %s", role_name(port->role), names[event.kind]);
    port->party->class->managed(port->party, &event);
}

void manager_tell(struct port *port, enum cm_kind kind, uint64_t delay_ns)
{
    struct world *world = port->fabric->world;
    const uint64_t jitter_ns = world_jitter_ns(world);
    uint64_t at_ns = world->now_ns + delay_ns + jitter_ns;

    if (at_ns < port->last_event_ns)
        at_ns = port->last_event_ns;
    port->last_event_ns = at_ns;
    port_at(port, at_ns, hand_up, port, kind);
}

static void keep_private_data(struct port *port, const uint8_t *bytes, uint32_t length_bytes)
{
    const uint32_t padded_bytes = port->fabric->world->options->private_data_bytes;
    uint32_t full_bytes = RDMIG_PRIVATE_DATA_BYTES;

    if (length_bytes > PRIVATE_DATA_BYTES_MAX)
        length_bytes = PRIVATE_DATA_BYTES_MAX;
    memset(port->private_data, 0, sizeof(port->private_data));
    if (length_bytes > 0)
        memcpy(port->private_data, bytes, length_bytes);
    port->private_data_bytes = length_bytes;
    /* What is shorter than a full set stays short: a peer may send too little. PIPELINE's flag is
     * bit 0 of byte 5, and makes the set longer (clause W11). */
    if (length_bytes >= RDMIG_PRIVATE_DATA_BYTES && (bytes[5] & 1) != 0)
        full_bytes = RDMIG_PRIVATE_DATA_BYTES_MAX;
    if (length_bytes >= full_bytes && padded_bytes > length_bytes)
        port->private_data_bytes =
            padded_bytes < PRIVATE_DATA_BYTES_MAX ? padded_bytes : PRIVATE_DATA_BYTES_MAX;
}

/* ---- request */

static void request_arrives(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;
    struct port *peer = fabric_peer(port);

    (void)argument;
    fabric_apply_faults(port->fabric);
    if (port->state != PORT_CONNECTING || fabric_is_link_down(port->fabric) ||
        fabric_take_fault(world, FAULT_CONNECT_LOST, port->role))
        return;
    if (fabric_take_fault(world, FAULT_UNREACHABLE, port->role))
        manager_tell(port, CM_UNREACHABLE, 0);
    else if (peer->state != PORT_LISTENING || peer->process == PROCESS_DEAD ||
             fabric_take_fault(world, FAULT_REJECTED, port->role))
        manager_tell(port, CM_REJECTED, world->costs.latency_ns);
    else {
        peer->state = PORT_CONNECTING;
        manager_tell(peer, CM_CONNECT_REQUESTED, 0);
    }
}

void port_connect(struct port *port, const uint8_t *bytes, uint32_t length_bytes)
{
    struct world *world = port->fabric->world;
    const uint64_t jitter_ns = world_jitter_ns(world);

    if (port->state != PORT_IDLE)
        return;
    port->state = PORT_CONNECTING;
    FABRIC_TELL(port->fabric, private_data, port->role, bytes, length_bytes);
    keep_private_data(port, bytes, length_bytes);
    world_at(world, port_time_ns(port) + world->costs.connect_ns + jitter_ns, request_arrives, port,
             0);
}

void port_listen(struct port *port)
{
    if (port->state == PORT_IDLE)
        port->state = PORT_LISTENING;
}

/* ---- reply */

/* The requester takes it: both know. Ready-to-use travels back. */
static void reply_arrives(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject; /* of the source */
    struct port *peer = fabric_peer(port);

    (void)argument;
    fabric_apply_faults(port->fabric);
    if (fabric_is_link_down(port->fabric))
        return;
    if (port->state != PORT_CONNECTING || port->process == PROCESS_DEAD) {
        manager_tell(peer, CM_UNREACHABLE, world->costs.latency_ns);
        return;
    }
    port->state = PORT_UP;
    manager_tell(port, CM_ESTABLISHED, 0);
    manager_tell(peer, CM_ESTABLISHED, world->costs.latency_ns);
    queue_pair_pump(peer); /* it may have sent already */
}

void port_accept(struct port *port, const uint8_t *bytes, uint32_t length_bytes)
{
    struct world *world = port->fabric->world;
    const uint64_t jitter_ns = world_jitter_ns(world);

    if (port->state != PORT_CONNECTING)
        return;
    port->state = PORT_UP;
    FABRIC_TELL(port->fabric, private_data, port->role, bytes, length_bytes);
    keep_private_data(port, bytes, length_bytes);
    world_at(world, port_time_ns(port) + world->costs.latency_ns + jitter_ns, reply_arrives,
             fabric_peer(port), 0);
}

void port_reject(struct port *port, const uint8_t *bytes, uint32_t length_bytes)
{
    struct port *peer = fabric_peer(port);

    (void)bytes;
    (void)length_bytes;
    if (port->state != PORT_CONNECTING)
        return;
    port->state = PORT_IDLE;
    if (!fabric_is_link_down(port->fabric))
        manager_tell(peer, CM_REJECTED, port->fabric->world->costs.latency_ns);
}

/* ---- the end */

static void leave_arrives(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;

    (void)world;
    (void)argument;
    fabric_apply_faults(port->fabric);
    if (!fabric_is_link_down(port->fabric))
        manager_tell(port, CM_DISCONNECTED, 0);
}

/* Tells the peer, once, if the message is not lost. */
void manager_leave(struct port *port, bool is_peer_told)
{
    struct world *world = port->fabric->world;
    struct port *peer = fabric_peer(port);
    const bool was_connected = port->state == PORT_UP || port->state == PORT_ERROR;
    uint64_t jitter_ns;

    if (!was_connected || peer->state == PORT_GONE || !is_peer_told ||
        fabric_take_fault(world, FAULT_DREQ_LOST, port->role))
        return;
    jitter_ns = world_jitter_ns(world);
    world_at(world, port_time_ns(port) + world->costs.latency_ns + jitter_ns, leave_arrives, peer,
             0);
}

/* The reply to our leaving: an event for us too, unless it is lost. */
static void tell_ourselves(struct port *port)
{
    struct world *world = port->fabric->world;
    bool is_lost = false;

    if (fabric_is_exact(port->fabric))
        is_lost = choice_chance(world->choice, (struct ratio){1, 4});
    if (!is_lost && !fabric_is_link_down(port->fabric))
        manager_tell(port, CM_DISCONNECTED, 2 * world->costs.latency_ns);
}

/* Whoever was asked and goes instead of answering has its connection manager refuse. */
static void refuse_for(struct port *port)
{
    struct port *peer = fabric_peer(port);

    if (port->role == RDMIG_ROLE_DESTINATION && port->state == PORT_CONNECTING &&
        peer->state == PORT_CONNECTING && !fabric_is_link_down(port->fabric))
        manager_tell(peer, CM_REJECTED, port->fabric->world->costs.latency_ns);
}

void port_disconnect(struct port *port)
{
    const enum port_state state = port->state;

    if (state == PORT_GONE)
        return;
    refuse_for(port);
    if (state == PORT_UP || state == PORT_ERROR) {
        manager_leave(port, true);
        tell_ourselves(port);
    }
    queue_pair_fail(port);
}

void port_destroy(struct port *port)
{
    refuse_for(port);
    port->state = PORT_GONE;
    port->receive_count = 0;
    port->queues[QUEUE_SEND].count = 0;
    port->queues[QUEUE_RECV].count = 0;
    port->acked = port->head;
}
