/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's actions carried out on the port, as src/verbs carries them out on hardware, and what
 * the hardware gives back. Which tags are out is known here too: each is answered once.
 */
#include "ours.h"

#include "fail.h"

#include <inttypes.h>
#include <string.h>

/* Posted behind a disconnect: when it comes back, everything before it is done with, also the
 * silent writes that nothing else stands for. */
#define MARKER_ID UINT64_MAX

enum { POISON_HEAD_BYTES = 64, POISON_TAIL_BYTES = 16, POISON_BYTE = 0xb5 };

static struct ours_send *send_at(struct ours *ours, uint64_t place)
{
    return &ours->sends.entries[place % ours->sends.depth];
}

static struct ours_receive *find_receive(struct ours *ours, uint64_t tag)
{
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (ours->receives[i].is_out && ours->receives[i].tag == tag)
            return &ours->receives[i];
    }
    return NULL;
}

/* ---- the tag oracle */

static void break_tag(struct ours *ours, uint64_t tag, const char *what)
{
    world_break(ours->party.world, "tag", "%s: 0x%" PRIx64 " %s", role_name(ours->party.role), tag,
                what);
}

static bool is_out(struct ours *ours, uint64_t tag)
{
    for (uint64_t i = ours->sends.first; i != ours->sends.end; i++) {
        if (send_at(ours, i)->tag == tag)
            return true;
    }
    for (uint32_t i = 0; i < OURS_OPERATIONS_MAX && ours->operation_count > 0; i++) {
        if (ours->operations[i].is_out && ours->operations[i].action.tag == tag)
            return true;
    }
    return find_receive(ours, tag) != NULL;
}

void ours_check_tags(struct ours *ours)
{
    for (uint64_t i = ours->sends.first; i != ours->sends.end; i++)
        break_tag(ours, send_at(ours, i)->tag, "is out when the connection is closed");
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (ours->receives[i].is_out)
            break_tag(ours, ours->receives[i].tag, "is out when the connection is closed");
    }
    for (uint32_t i = 0; i < OURS_OPERATIONS_MAX; i++) {
        if (ours->operations[i].is_out)
            break_tag(ours, ours->operations[i].action.tag, "is out when the connection is closed");
    }
}

static void answer(struct ours *ours, uint64_t tag, enum rdmig_status status, int32_t os_code)
{
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = tag, .status = status, .os_code = os_code};

    ours_tell(ours, &event);
}

/* ---- posting */

static uint8_t *control_at(struct ours *ours, const struct rdmig_action *action)
{
    const uint64_t capacity_bytes = ours->control.length_bytes;

    if (action->memory_offset_bytes > capacity_bytes ||
        action->length > capacity_bytes - action->memory_offset_bytes) {
        world_break(ours->party.world, "footprint", "%s: a message outside control memory",
                    role_name(ours->party.role));
        return NULL;
    }
    return ours->control.bytes + action->memory_offset_bytes;
}

static void break_overrun(struct ours *ours, const char *which)
{
    world_break(ours->party.world, "queue overrun", "%s: no place is left in the %s queue",
                role_name(ours->party.role), which);
}

/* What has not been received must not be read: it is made to look like nothing that could come. */
static void post_receive(struct ours *ours, const struct rdmig_action *action)
{
    uint8_t *buffer = control_at(ours, action);
    struct ours_receive *receive = NULL;

    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (!ours->receives[i].is_out)
            receive = &ours->receives[i];
        else if (buffer && ours->receives[i].buffer == buffer)
            world_break(ours->party.world, "buffer", "%s: posted twice to receive into",
                        role_name(ours->party.role));
    }
    if (!receive || !buffer) {
        break_overrun(ours, "receive");
        return;
    }
    if (ours->is_destroyed) {
        answer(ours, action->tag, RDMIG_STATUS_FLUSHED, 0);
        return;
    }
    *receive = (struct ours_receive){action->tag, buffer, (uint32_t)action->length, true};
    memset(buffer, POISON_BYTE, POISON_HEAD_BYTES);
    memset(buffer + action->length - POISON_TAIL_BYTES, POISON_BYTE, POISON_TAIL_BYTES);
    port_spend(ours->party.port, ours->party.world->costs.post_ns);
    if (!port_post_recv(ours->party.port, action->tag, buffer, (uint32_t)action->length))
        break_overrun(ours, "receive");
}

/* A place in the send queue; false: the action has been answered. */
static bool place_send(struct ours *ours, const struct rdmig_action *action)
{
    if (ours->has_left || ours->is_destroyed) {
        answer(ours, action->tag, RDMIG_STATUS_FLUSHED, 0);
        return false;
    }
    if (ours->sends.end - ours->sends.first == ours->sends.depth) {
        break_overrun(ours, "send");
        return false;
    }
    *send_at(ours, ours->sends.end) =
        (struct ours_send){.tag = action->tag, .is_signalled = action->is_signalled};
    ours->sends.end++;
    port_spend(ours->party.port, ours->party.world->costs.post_ns);
    return true;
}

static void post_send(struct ours *ours, const struct rdmig_action *action)
{
    const uint8_t *bytes = control_at(ours, action);

    if (!action->is_signalled)
        break_tag(ours, action->tag, "is a SEND that nobody would hear of");
    if (!bytes || !place_send(ours, action))
        return;
    /* The type is in bytes 4 to 7. */
    send_at(ours, ours->sends.end - 1)->is_stream = bytes[7] == RDMIG_MESSAGE_QEMU_FILE;
    if (bytes[7] == RDMIG_MESSAGE_QEMU_FILE)
        ours->posted_bytes += action->length - RDMIG_HEADER_BYTES;
    if (!port_post_send(ours->party.port, action->tag, bytes, (uint32_t)action->length, true))
        break_overrun(ours, "send");
}

static void post_write(struct ours *ours, const struct rdmig_action *action)
{
    const struct ours_region *region = ours_regions_find(&ours->regions, action->region);
    const struct write_request request = {
        .id = action->tag,
        .local_key = region ? region->key : 0,
        .block = action->block_index,
        .offset_bytes = action->offset_bytes,
        .length_bytes = action->length,
        .remote_addr = action->remote_addr,
        .rkey = action->rkey,
        .is_signalled = action->is_signalled,
    };

    if (!region || action->length == 0) {
        world_break(ours->party.world, "region", "%s: a write from region %" PRIu32,
                    role_name(ours->party.role), action->region);
        return;
    }
    if (place_send(ours, action) && !port_post_write(ours->party.port, &request))
        break_overrun(ours, "send");
}

static void post_probe(struct ours *ours, const struct rdmig_action *action)
{
    const struct write_request request = {.id = action->tag, .is_signalled = true};

    if (!action->is_signalled)
        break_tag(ours, action->tag, "is a probe that nobody would hear of");
    if (place_send(ours, action) && !port_post_write(ours->party.port, &request))
        break_overrun(ours, "send");
}

/* ---- leaving */

static void disconnect(struct ours *ours)
{
    const struct write_request marker = {.id = MARKER_ID, .is_signalled = true};

    ours->has_left = true;
    if (ours->is_destroyed)
        return;
    /* A request that nobody has answered is refused when its identifier goes. */
    if (ours->is_request_open)
        port_reject(ours->party.port, NULL, 0);
    ours->is_request_open = false;
    port_disconnect(ours->party.port);
    /* Without one, what was silent stays out until the core abandons the queue pair. */
    (void)port_post_write(ours->party.port, &marker);
}

static void return_sends(struct ours *ours)
{
    while (ours->sends.first != ours->sends.end) {
        const uint64_t tag = send_at(ours, ours->sends.first)->tag;

        ours->sends.first++;
        ours->old_send_tag = tag;
        answer(ours, tag, RDMIG_STATUS_FLUSHED, 0);
    }
}

void ours_return_all(struct ours *ours)
{
    return_sends(ours);
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        struct ours_receive *receive = &ours->receives[i];

        if (!receive->is_out)
            continue;
        receive->is_out = false;
        ours->old_receive_tag = receive->tag;
        answer(ours, receive->tag, RDMIG_STATUS_FLUSHED, 0);
    }
}

static void abandon(struct ours *ours)
{
    ours->has_left = true;
    ours->is_destroyed = true;
    port_destroy(ours->party.port);
    ours_return_all(ours);
}

/* ---- all of them */

static void check_tag(struct ours *ours, const struct rdmig_action *action)
{
    if (is_out(ours, action->tag))
        break_tag(ours, action->tag, "is given out a second time");
}

/* False: it is not about the connection. */
static bool carry_out_connection(struct ours *ours, const struct rdmig_action *action)
{
    struct port *port = ours->party.port;

    switch (action->kind) {
    case RDMIG_ACTION_CONNECT:
        ours->is_connect_asked = true;
        port_connect(port, action->bytes, (uint32_t)action->length);
        return true;
    case RDMIG_ACTION_ACCEPT:
        ours->is_request_open = false;
        port_accept(port, action->bytes, (uint32_t)action->length);
        return true;
    case RDMIG_ACTION_REJECT:
        ours->is_request_open = false;
        port_reject(port, action->bytes, (uint32_t)action->length);
        return true;
    case RDMIG_ACTION_DISCONNECT:
        disconnect(ours);
        return true;
    case RDMIG_ACTION_ABANDON:
        abandon(ours);
        return true;
    default:
        return false;
    }
}

void ours_carry_out(struct ours *ours, const struct rdmig_action *action)
{
    switch (action->kind) {
    case RDMIG_ACTION_POST_RECV:
        check_tag(ours, action);
        post_receive(ours, action);
        break;
    case RDMIG_ACTION_POST_SEND:
        check_tag(ours, action);
        post_send(ours, action);
        break;
    case RDMIG_ACTION_POST_WRITE:
        check_tag(ours, action);
        post_write(ours, action);
        break;
    case RDMIG_ACTION_POST_PROBE:
        check_tag(ours, action);
        post_probe(ours, action);
        break;
    case RDMIG_ACTION_REGISTER:
    case RDMIG_ACTION_DEREGISTER:
        check_tag(ours, action);
        ours_start_operation(ours, action);
        break;
    case RDMIG_ACTION_FILL_RANGE:
    case RDMIG_ACTION_END_ROUND:
        check_tag(ours, action);
        ours_start_operation(ours, action);
        ours->application->notified(ours, action);
        break;
    default:
        if (!carry_out_connection(ours, action))
            ours->application->notified(ours, action);
        break;
    }
}

/* ---- what the hardware gives back */

static void give_back(struct ours *ours, const struct completion *completion)
{
    const bool is_flushed = completion->status == COMPLETION_FLUSHED;

    ours->watch.is_suspect = true;
    if (!is_flushed)
        ours_watch_error(ours, completion->os_code);
    answer(ours, completion->id, is_flushed ? RDMIG_STATUS_FLUSHED : RDMIG_STATUS_ERROR,
           completion->os_code);
}

static void take_receive(struct ours *ours, const struct completion *completion)
{
    struct ours_receive *receive = find_receive(ours, completion->id);
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_RECEIVED, .tag = completion->id, .length = completion->length_bytes};
    uint32_t left_bytes;

    if (!receive) {
        break_tag(ours, completion->id, "is no receive that is out");
        return;
    }
    receive->is_out = false;
    ours->old_receive_tag = completion->id;
    if (completion->status != COMPLETION_OK) {
        give_back(ours, completion);
        return;
    }
    left_bytes = receive->capacity_bytes - completion->length_bytes;
    memset(receive->buffer + completion->length_bytes, POISON_BYTE,
           left_bytes < POISON_HEAD_BYTES ? left_bytes : POISON_HEAD_BYTES);
    ours_watch_received(ours, receive->buffer, completion->length_bytes);
    ours_tell(ours, &event);
    ours_watch_heard(ours);
}

/* It stands for the silent ones before it. */
static void take_send(struct ours *ours, const struct completion *completion)
{
    uint64_t at = ours->sends.first;

    while (at != ours->sends.end && send_at(ours, at)->tag != completion->id)
        at++;
    if (at == ours->sends.end) {
        if (!ours->has_left) /* otherwise the marker has been quicker */
            break_tag(ours, completion->id, "is no send that is out");
        return;
    }
    for (uint64_t i = ours->sends.first; i != at; i++) {
        if (send_at(ours, i)->is_signalled)
            sim_fail("fabric", "a completion has overtaken another of its queue");
    }
    ours->old_silent_tag = send_at(ours, ours->sends.first)->tag;
    ours->old_send_tag = completion->id;
    ours->sends.first = at + 1;
    if (completion->status != COMPLETION_OK) {
        give_back(ours, completion);
        return;
    }
    answer(ours, completion->id, RDMIG_STATUS_OK, 0);
    ours_watch_heard(ours);
}

void ours_take_completion(struct ours *ours, const struct completion *completion)
{
    port_spend(ours->party.port, ours->party.world->costs.poll_ns);
    if (completion->is_recv)
        take_receive(ours, completion);
    else if (completion->id == MARKER_ID)
        return_sends(ours);
    else
        take_send(ours, completion);
}
