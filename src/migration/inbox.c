/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The byte stream on its way to the VMM (clauses S7 to S9). A message is parsed when it comes; the
 * VMM's bytes of it wait here, and the message is consumed, so the source goes on, when they have
 * been read.
 */
#include "destination.h"

#include <stdlib.h>
#include <string.h>

static bool append(struct rdmig_destination *destination, const uint8_t *bytes,
                   uint64_t length_bytes)
{
    const uint64_t need_bytes = destination->inbox_end + length_bytes;
    uint8_t *grown;

    if (need_bytes > destination->inbox_capacity) {
        grown = realloc(destination->inbox, need_bytes);
        if (!grown) {
            error_set(&destination->error, RDMIG_REASON_MEMORY, 0, "free memory",
                      "no memory for %llu bytes of the stream", (unsigned long long)need_bytes);
            return false;
        }
        destination->inbox = grown;
        destination->inbox_capacity = need_bytes;
    }
    memcpy(destination->inbox + destination->inbox_end, bytes, length_bytes);
    destination->inbox_end += length_bytes;
    return true;
}

static void fail_stream(struct rdmig_destination *destination)
{
    error_set(&destination->error, RDMIG_REASON_STREAM_BROKEN, 0,
              "use a source of the same kind: rdmig of a compatible version, or a QEMU that "
              "migrates over RDMA",
              "the source's byte stream is broken: %s", qemu_stream_error(destination->stream));
}

static void ended(struct rdmig_destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_FINISH_REQUESTED};

    if (destination->stage != DESTINATION_STAGE_CONFIRMING) {
        error_set(&destination->error, RDMIG_REASON_STREAM_BROKEN, 0,
                  "report it: this end never said that it was ready",
                  "the source handed the guest over before this end confirmed");
        return;
    }
    link_revoke_remote_write(destination->link); /* the guest may run from here on: clause R9 */
    destination_enter(destination, DESTINATION_STAGE_COMPLETED);
    destination->stats.ended_ns = link_now_ns();
    (void)link_step(destination->link, &event);
}

/* What one event of the parser means; false: stop parsing. */
static bool take(struct rdmig_destination *destination, enum qemu_stream_event event,
                 const struct qemu_stream_state *state)
{
    switch (event) {
    case QEMU_STREAM_BLOCKS_LISTED:
        if (qemu_stream_format(destination->stream) == QEMU_STREAM_FORMAT_NATIVE)
            destination->inbox_end = 0; /* all of it was our own framing, nothing is for the VMM */
        return matching_announce(destination);
    case QEMU_STREAM_STATE_BYTES:
        return append(destination, state->bytes, state->length_bytes);
    case QEMU_STREAM_PREPARED:
        destination->is_prepare_held = true;
        return true;
    case QEMU_STREAM_ENDED:
        ended(destination);
        return destination->stage == DESTINATION_STAGE_COMPLETED;
    case QEMU_STREAM_BROKEN:
        fail_stream(destination);
        return false;
    default: /* NEED_MORE */
        return true;
    }
}

static void parse(struct rdmig_destination *destination, const uint8_t *bytes,
                  uint64_t length_bytes)
{
    uint64_t at = 0;

    while (at < length_bytes) {
        struct qemu_stream_state state;
        size_t consumed_bytes;
        const enum qemu_stream_event event = qemu_stream_feed(
            destination->stream, bytes + at, length_bytes - at, &consumed_bytes, &state);

        at += consumed_bytes;
        if (!take(destination, event, &state))
            return;
        if (event == QEMU_STREAM_NEED_MORE && consumed_bytes == 0)
            return;
    }
}

bool inbox_deliver(struct rdmig_destination *destination, const uint8_t *bytes,
                   uint64_t length_bytes)
{
    const bool was_native = qemu_stream_format(destination->stream) == QEMU_STREAM_FORMAT_NATIVE;

    destination->message_bytes = length_bytes;
    destination->wire_bytes += length_bytes;
    /* Until the format is known, and for ever with QEMU's own, the VMM gets the bytes as they are.
     */
    if (was_native || append(destination, bytes, length_bytes))
        parse(destination, bytes, length_bytes);
    return destination->error.reason == RDMIG_REASON_NONE;
}

static bool is_readable(const struct rdmig_destination *destination)
{
    /* A native stream's beginning is held back until one can tell that it is none of the VMM's. */
    return qemu_stream_format(destination->stream) == QEMU_STREAM_FORMAT_QEMU ||
           destination->announced_count > 0;
}

bool inbox_finish_message(struct rdmig_destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_STREAM_CONSUMED,
                                .length = destination->message_bytes};

    if (destination->message_bytes == 0 || destination->is_prepare_held)
        return false;
    if (destination->inbox_start < destination->inbox_end && is_readable(destination))
        return false;
    destination->message_bytes = 0;
    if (is_readable(destination)) {
        destination->inbox_start = 0;
        destination->inbox_end = 0;
    }
    return link_step(destination->link, &event) == RDMIG_OK;
}

uint64_t inbox_readable_bytes(const struct rdmig_destination *destination)
{
    return is_readable(destination) ? destination->inbox_end - destination->inbox_start : 0;
}

uint64_t inbox_read(struct rdmig_destination *destination, void *bytes, uint64_t capacity_bytes)
{
    uint64_t length_bytes = inbox_readable_bytes(destination);

    if (length_bytes > capacity_bytes)
        length_bytes = capacity_bytes;
    if (length_bytes > 0)
        memcpy(bytes, destination->inbox + destination->inbox_start, length_bytes);
    destination->inbox_start += length_bytes;
    destination->read_bytes += length_bytes;
    return length_bytes;
}
