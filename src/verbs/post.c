/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The send list: what is waiting, what the hardware has, what came back. Work requests are gathered
 * while the core gives send actions and handed over in one call. Only completions step the core,
 * and never while an action is being carried out whose bytes would go with the step.
 */
#include "link_internal.h"

#include <errno.h>
#include <string.h>

static struct link_send *entry_at(struct link_queue *queue, uint64_t index)
{
    return &queue->sends[index % queue->depth];
}

static void note_fault(struct link *link, enum link_fault_kind kind, int32_t os_code,
                       uint32_t vendor_error)
{
    if (link->fault.kind != LINK_FAULT_NONE)
        return;
    link->fault =
        (struct link_fault){.kind = kind, .os_code = os_code, .vendor_error = vendor_error};
}

static bool is_probe(const struct link_send *entry)
{
    return entry->request.num_sge == 0;
}

static bool is_signalled(const struct link_send *entry)
{
    return (entry->request.send_flags & IBV_SEND_SIGNALED) != 0;
}

/* ---- receives */

void post_receive(struct link *link, const struct rdmig_action *action)
{
    struct link_queue *queue = &link->queue;
    struct link_receive *free_slot = NULL;
    struct ibv_sge piece;
    struct ibv_recv_wr request;
    struct ibv_recv_wr *bad;
    int code;

    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT && free_slot == NULL; i++)
        if (!queue->receives[i].is_outstanding)
            free_slot = &queue->receives[i];
    if (!queue->has_pair || free_slot == NULL) {
        link_complete(link, action->tag,
                      queue->has_pair ? RDMIG_STATUS_ERROR : RDMIG_STATUS_FLUSHED,
                      queue->has_pair ? ENOMEM : 0);
        return;
    }
    piece = (struct ibv_sge){.addr = (uintptr_t)link->control_memory + action->memory_offset_bytes,
                             .length = (uint32_t)action->length,
                             .lkey = queue->control_mr->lkey};
    request = (struct ibv_recv_wr){.wr_id = action->tag, .sg_list = &piece, .num_sge = 1};
    code = ibv_post_recv(link->id->qp, &request, &bad);
    if (code == 0) {
        *free_slot = (struct link_receive){.tag = action->tag,
                                           .memory_offset_bytes = action->memory_offset_bytes,
                                           .is_outstanding = true};
        return;
    }
    note_fault(link, LINK_FAULT_REFUSED, code, 0);
    link_complete(link, action->tag, RDMIG_STATUS_ERROR, code);
}

/*
 * A completion that belongs to nothing outstanding. A second one for the same work may come when a
 * queue pair goes, and the first one counted. A success in mid-connection is another matter: the
 * device or its driver has lost count, and a message may be lost with it.
 */
static void note_stray(struct link *link, const struct ibv_wc *completion)
{
    if (completion->status == IBV_WC_SUCCESS && link->state == LINK_ESTABLISHED)
        link->is_miscounted = true;
}

/*
 * Clause W12. The peer chooses the operation: an RDMA Write with immediate data uses a RECV up,
 * too, and leaves in its memory what was there before; its length is that of the Write. (The flag
 * for a GRH says nothing here: devices set it for RoCE.)
 */
static bool is_plain_send(const struct ibv_wc *completion)
{
    return completion->opcode == IBV_WC_RECV &&
           (completion->wc_flags & (IBV_WC_WITH_IMM | IBV_WC_WITH_INV)) == 0;
}

/* No peer can make a RECV complete as something else, or with more bytes than it has room for. */
static bool is_possible_receive(const struct ibv_wc *completion)
{
    return completion->opcode == IBV_WC_RECV_RDMA_WITH_IMM ||
           (completion->opcode == IBV_WC_RECV && completion->byte_len <= RDMIG_MESSAGE_BYTES_MAX);
}

void post_take_receive(struct link *link, const struct ibv_wc *completion)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED, .tag = completion->wr_id};
    struct link_receive *slot = NULL;

    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++)
        if (link->queue.receives[i].is_outstanding &&
            link->queue.receives[i].tag == completion->wr_id)
            slot = &link->queue.receives[i];
    if (slot == NULL) {
        note_stray(link, completion);
        return;
    }
    slot->is_outstanding = false;
    if (completion->status == IBV_WC_SUCCESS && !is_possible_receive(completion)) {
        note_fault(link, LINK_FAULT_IMPOSSIBLE, (int32_t)completion->opcode, 0);
        link_complete(link, completion->wr_id, RDMIG_STATUS_ERROR, (int32_t)completion->opcode);
    } else if (completion->status == IBV_WC_SUCCESS && !is_plain_send(completion)) {
        link_complete(link, completion->wr_id, RDMIG_STATUS_FOREIGN, (int32_t)completion->opcode);
    } else if (completion->status == IBV_WC_SUCCESS) {
        event.length = completion->byte_len;
        trace_message(link->config.trace, link->now_ns, "received",
                      (const uint8_t *)link->control_memory + slot->memory_offset_bytes,
                      event.length);
        link_step_core(link, &event);
    } else if (completion->status == IBV_WC_WR_FLUSH_ERR) {
        link_complete(link, completion->wr_id, RDMIG_STATUS_FLUSHED, 0);
    } else {
        note_fault(link, LINK_FAULT_COMPLETION, (int32_t)completion->status,
                   completion->vendor_err);
        link_complete(link, completion->wr_id, RDMIG_STATUS_ERROR, (int32_t)completion->status);
    }
}

/* ---- gathering sends */

/* A place at the end of the list, request and piece zeroed; NULL: none, and the action has been
 * answered. */
static struct link_send *append(struct link *link, const struct rdmig_action *action)
{
    struct link_queue *queue = &link->queue;
    struct link_send *entry;

    if (!queue->has_pair || link->state == LINK_CLOSING) {
        link_complete(link, action->tag, RDMIG_STATUS_FLUSHED, 0);
        return NULL;
    }
    if (queue->end - queue->first == queue->depth) {
        note_fault(link, LINK_FAULT_REFUSED, ENOMEM, 0);
        link_complete(link, action->tag, RDMIG_STATUS_ERROR, ENOMEM);
        return NULL;
    }
    entry = entry_at(queue, queue->end);
    memset(entry, 0, sizeof(*entry));
    entry->request.wr_id = action->tag;
    entry->state = LINK_SEND_WAITING;
    queue->end++;
    return entry;
}

static void set_piece(struct link_send *entry, uint64_t addr, uint32_t length, uint32_t lkey)
{
    entry->piece = (struct ibv_sge){.addr = addr, .length = length, .lkey = lkey};
    entry->request.sg_list = &entry->piece;
    entry->request.num_sge = 1;
}

void post_send(struct link *link, const struct rdmig_action *action)
{
    struct link_send *entry = append(link, action);

    if (entry == NULL)
        return;
    trace_message(link->config.trace, link->now_ns, "send",
                  (const uint8_t *)link->control_memory + action->memory_offset_bytes,
                  action->length);
    entry->request.opcode = IBV_WR_SEND;
    entry->request.send_flags = IBV_SEND_SIGNALED;
    set_piece(entry, (uintptr_t)link->control_memory + action->memory_offset_bytes,
              (uint32_t)action->length, link->queue.control_mr->lkey);
    post_flush(link);
}

void post_write(struct link *link, const struct rdmig_action *action)
{
    const struct ibv_mr *region = region_find(link, action->region);
    struct link_send *entry;

    if (region == NULL || action->length > UINT32_MAX ||
        !region_is_range(link, action->block_index, action->offset_bytes, action->length)) {
        note_fault(link, LINK_FAULT_REFUSED, EINVAL, 0);
        link_complete(link, action->tag, RDMIG_STATUS_ERROR, EINVAL);
        return;
    }
    entry = append(link, action);
    if (entry == NULL)
        return;
    entry->request.opcode = IBV_WR_RDMA_WRITE;
    entry->request.send_flags = action->is_signalled ? IBV_SEND_SIGNALED : 0;
    entry->request.wr.rdma.remote_addr = action->remote_addr;
    entry->request.wr.rdma.rkey = action->rkey;
    set_piece(entry, link->regions.blocks[action->block_index].host_addr + action->offset_bytes,
              (uint32_t)action->length, region->lkey);
    if (link->queue.end - link->queue.unposted >= LINK_SEND_LIST_MAX)
        post_flush(link);
}

/* An RDMA Write of nothing: no memory is touched, but the peer's hardware has to acknowledge it. */
void post_probe(struct link *link, const struct rdmig_action *action)
{
    struct link_send *entry = append(link, action);

    if (entry == NULL)
        return;
    entry->request.opcode = IBV_WR_RDMA_WRITE;
    entry->request.send_flags = IBV_SEND_SIGNALED;
    post_flush(link);
}

/* ---- handing over */

static bool has_signalled_outstanding(struct link_queue *queue)
{
    for (uint64_t i = queue->first; i != queue->unposted; i++) {
        const struct link_send *entry = entry_at(queue, i);

        if (entry->state == LINK_SEND_POSTED && is_signalled(entry))
            return true;
    }
    return false;
}

void post_return_waiting(struct link *link)
{
    struct link_queue *queue = &link->queue;

    for (; queue->unposted != queue->end; queue->unposted++) {
        entry_at(queue, queue->unposted)->state = LINK_SEND_RETURNED;
        queue->has_due = true;
    }
}

void post_flush(struct link *link)
{
    struct link_queue *queue = &link->queue;
    struct ibv_send_wr *bad = NULL;
    struct link_send *entry;
    int code;

    if (!queue->has_pair || queue->is_stalled || queue->unposted == queue->end)
        return;
    for (uint64_t i = queue->unposted; i != queue->end; i++)
        entry_at(queue, i)->request.next =
            i + 1 == queue->end ? NULL : &entry_at(queue, i + 1)->request;
    code = ibv_post_send(link->id->qp, &entry_at(queue, queue->unposted)->request, &bad);
    /* All before `bad` are posted; without an error there is no bad one, whatever the pointer says.
     */
    for (; queue->unposted != queue->end; queue->unposted++) {
        entry = entry_at(queue, queue->unposted);
        if (code != 0 && (bad == NULL || &entry->request == bad))
            break;
        entry->state = LINK_SEND_POSTED;
    }
    if (code == 0 || queue->unposted == queue->end)
        return;
    if (code == ENOMEM && has_signalled_outstanding(queue)) {
        queue->is_stalled = true;
        return;
    }
    note_fault(link, LINK_FAULT_REFUSED, code, 0);
    entry = entry_at(queue, queue->unposted);
    entry->state = LINK_SEND_FAILED;
    entry->os_code = code;
    queue->has_due = true;
    queue->unposted++;
    post_return_waiting(link);
}

void post_drain(struct link *link)
{
    struct ibv_send_wr marker = {
        .wr_id = LINK_DRAIN_ID, .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED};
    struct ibv_send_wr *bad;

    /* When it cannot be posted, unsignalled writes stay unanswered until the core abandons the
     * queue pair. */
    (void)ibv_post_send(link->id->qp, &marker, &bad);
}

/* ---- coming back */

static void forget_answered(struct link_queue *queue)
{
    while (queue->first != queue->unposted &&
           entry_at(queue, queue->first)->state == LINK_SEND_COMPLETED)
        queue->first++;
}

void post_complete_due(struct link *link)
{
    struct link_queue *queue = &link->queue;

    if (!queue->has_due)
        return;
    queue->has_due = false;
    /* Answers do not add entries: only actions do, and none is taken here. */
    for (uint64_t i = queue->first; i != queue->unposted; i++) {
        struct link_send *entry = entry_at(queue, i);
        bool is_failed = entry->state == LINK_SEND_FAILED;

        if (!is_failed && entry->state != LINK_SEND_RETURNED)
            continue;
        entry->state = LINK_SEND_COMPLETED;
        link_complete(link, entry->request.wr_id,
                      is_failed ? RDMIG_STATUS_ERROR : RDMIG_STATUS_FLUSHED,
                      is_failed ? entry->os_code : 0);
    }
    forget_answered(queue);
}

/*
 * Entries before `limit` which the hardware finished in silence. After the OK of a write or send
 * the core knows of them (see core.h); otherwise they are given back as undone, behind the answer
 * that names the cause.
 */
static void settle_silent(struct link_queue *queue, uint64_t limit, bool is_known)
{
    for (uint64_t i = queue->first; i != limit; i++) {
        struct link_send *entry = entry_at(queue, i);

        if (entry->state != LINK_SEND_POSTED || is_signalled(entry))
            continue;
        entry->state = is_known ? LINK_SEND_COMPLETED : LINK_SEND_RETURNED;
        queue->has_due = queue->has_due || !is_known;
    }
}

/* The marker is back: everything posted before it is done with, completion seen or not. */
static void take_marker(struct link *link)
{
    struct link_queue *queue = &link->queue;

    for (uint64_t i = queue->first; i != queue->unposted; i++)
        if (entry_at(queue, i)->state == LINK_SEND_POSTED) {
            entry_at(queue, i)->state = LINK_SEND_RETURNED;
            queue->has_due = true;
        }
    post_complete_due(link);
}

/* A device that completes another operation than was posted has lost count: nothing of it is
 * believed. */
static bool is_of_kind(const struct link_send *entry, const struct ibv_wc *completion)
{
    return completion->opcode ==
           (entry->request.opcode == IBV_WR_SEND ? IBV_WC_SEND : IBV_WC_RDMA_WRITE);
}

/* It has failed, or was given back. */
static void take_failed(struct link *link, uint64_t index, const struct ibv_wc *completion)
{
    const bool is_flush = completion->status == IBV_WC_WR_FLUSH_ERR;

    if (!is_flush)
        note_fault(link, LINK_FAULT_COMPLETION, (int32_t)completion->status,
                   completion->vendor_err);
    link_complete(link, completion->wr_id, is_flush ? RDMIG_STATUS_FLUSHED : RDMIG_STATUS_ERROR,
                  is_flush ? 0 : (int32_t)completion->status);
    settle_silent(&link->queue, index, false);
    post_complete_due(link);
}

void post_take_send(struct link *link, const struct ibv_wc *completion)
{
    struct link_queue *queue = &link->queue;
    struct link_send *entry = NULL;
    uint64_t index;

    if (completion->wr_id == LINK_DRAIN_ID) {
        take_marker(link);
        return;
    }
    for (index = queue->first; index != queue->unposted; index++) {
        entry = entry_at(queue, index);
        if (entry->state == LINK_SEND_POSTED && entry->request.wr_id == completion->wr_id)
            break;
    }
    if (index == queue->unposted) {
        note_stray(link, completion);
        return;
    }
    queue->is_stalled = false;
    entry->state = LINK_SEND_COMPLETED;
    if (completion->status == IBV_WC_SUCCESS && !is_of_kind(entry, completion)) {
        note_fault(link, LINK_FAULT_IMPOSSIBLE, (int32_t)completion->opcode, 0);
        link_complete(link, completion->wr_id, RDMIG_STATUS_ERROR, (int32_t)completion->opcode);
        settle_silent(queue, index, false);
        post_complete_due(link);
    } else if (completion->status == IBV_WC_SUCCESS) {
        /* A probe's OK stands for itself only. */
        if (!is_probe(entry))
            settle_silent(queue, index, true);
        link_complete(link, completion->wr_id, RDMIG_STATUS_OK, 0);
    } else {
        take_failed(link, index, completion);
    }
    forget_answered(queue);
}

void post_return_all(struct link *link)
{
    struct link_queue *queue = &link->queue;

    for (uint64_t i = queue->first; i != queue->unposted; i++)
        if (entry_at(queue, i)->state == LINK_SEND_POSTED) {
            entry_at(queue, i)->state = LINK_SEND_RETURNED;
            queue->has_due = true;
        }
    post_return_waiting(link);
    post_complete_due(link);
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (!queue->receives[i].is_outstanding)
            continue;
        queue->receives[i].is_outstanding = false;
        link_complete(link, queue->receives[i].tag, RDMIG_STATUS_FLUSHED, 0);
    }
}
