/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a core of ours owes its driver and its peer, seen from outside it: a broken rule ends in a
 * failure (clauses B5, E2), the first cause is kept (E2), who fails says so when it may and then
 * leaves (E3, E4), and a silent peer is asked whether it lives (C13).
 */
#include "ours.h"

#include <inttypes.h>
#include <string.h>

#define CLOSE_TIMEOUT_NS UINT64_C(2000000000) /* the core's, when none is set */

static void break_rule(struct ours *ours, const char *oracle, const char *what)
{
    world_break(ours->party.world, oracle, "%s: %s", role_name(ours->party.role), what);
}

static bool is_up(const struct ours *ours)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);

    return phase == RDMIG_PHASE_RUNNING || phase == RDMIG_PHASE_CONNECTING;
}

static uint32_t load32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t load64(const uint8_t *bytes)
{
    return (uint64_t)load32(bytes) << 32 | load32(bytes + 4);
}

static uint32_t type_of(const uint8_t *message, uint32_t length_bytes)
{
    return length_bytes < RDMIG_HEADER_BYTES ? 0 : load32(message + 4);
}

/* ---- messages that cannot be right, whatever has gone before */

static bool is_range_bad(uint64_t offset_bytes, uint64_t length_bytes, uint64_t block_bytes)
{
    return length_bytes == 0 || offset_bytes >= block_bytes ||
           length_bytes > block_bytes - offset_bytes;
}

static bool is_entry_bad(const struct ours *ours, uint32_t type, const uint8_t *entry)
{
    const bool is_compress = type == RDMIG_MESSAGE_COMPRESS;
    const uint32_t index = load32(entry + (is_compress ? 4 : 8));
    const uint64_t key = load64(entry + (is_compress ? 8 : 0));
    const uint64_t last = load64(entry + 16); /* length, or chunks after the first */
    const struct rdmig_block *block = &ours->blocks[index < ours->block_count ? index : 0];
    const uint64_t chunk_count = (block->length_bytes + RDMIG_CHUNK_BYTES - 1) / RDMIG_CHUNK_BYTES;
    const uint64_t offset_bytes = key - block->ram_offset_bytes;

    if (index >= ours->block_count)
        return true;
    if (type == RDMIG_MESSAGE_UNREGISTER_REQUEST)
        return key >= chunk_count;
    if (key < block->ram_offset_bytes)
        return true;
    if (is_compress)
        return load32(entry) > UINT8_MAX || is_range_bad(offset_bytes, last, block->length_bytes);
    return offset_bytes >= block->length_bytes ||
           last >= chunk_count - offset_bytes / RDMIG_CHUNK_BYTES;
}

static bool is_command_bad(const struct ours *ours, uint32_t type, const uint8_t *message,
                           uint32_t length_bytes)
{
    enum { ENTRY_BYTES = 24 };

    if (type != RDMIG_MESSAGE_COMPRESS && type != RDMIG_MESSAGE_REGISTER_REQUEST &&
        type != RDMIG_MESSAGE_UNREGISTER_REQUEST)
        return false;
    for (uint32_t at = RDMIG_HEADER_BYTES; at + ENTRY_BYTES <= length_bytes; at += ENTRY_BYTES) {
        if (is_entry_bad(ours, type, message + at))
            return true;
    }
    return (length_bytes - RDMIG_HEADER_BYTES) % ENTRY_BYTES != 0;
}

static bool is_message_bad(const struct ours *ours, const uint8_t *message, uint32_t length_bytes)
{
    const uint32_t to_source = 1u << RDMIG_MESSAGE_ERROR | 1u << RDMIG_MESSAGE_READY |
                               1u << RDMIG_MESSAGE_RAM_BLOCKS_RESULT |
                               1u << RDMIG_MESSAGE_REGISTER_RESULT |
                               1u << RDMIG_MESSAGE_UNREGISTER_FINISHED;
    const uint32_t without_data = 1u << RDMIG_MESSAGE_ERROR | 1u << RDMIG_MESSAGE_READY |
                                  1u << RDMIG_MESSAGE_RAM_BLOCKS_REQUEST |
                                  1u << RDMIG_MESSAGE_REGISTER_FINISHED |
                                  1u << RDMIG_MESSAGE_UNREGISTER_FINISHED;
    const bool is_source = ours->party.role == RDMIG_ROLE_SOURCE;
    const uint32_t type = type_of(message, length_bytes);

    if (length_bytes < RDMIG_HEADER_BYTES || load32(message) != length_bytes - RDMIG_HEADER_BYTES ||
        load32(message + 8) > 4096)
        return true;
    if (type == RDMIG_MESSAGE_NONE || type >= RDMIG_MESSAGE_TYPE_COUNT)
        return true;
    if ((without_data >> type & 1) != 0 && length_bytes != RDMIG_HEADER_BYTES)
        return true;
    return type != RDMIG_MESSAGE_ERROR && (to_source >> type & 1) != (is_source ? 1 : 0);
}

/* A source that has finished, and waits for the destination to leave (clause E13). */
static bool is_parting(const struct ours *ours)
{
    return rdmig_conn_phase(ours->conn) == RDMIG_PHASE_FINISHING && ours->is_drained &&
           !ours->has_left && ours->config.leave_timeout_ns > 0;
}

void ours_watch_received(struct ours *ours, const uint8_t *message, uint32_t length_bytes)
{
    struct ours_watch *watch = &ours->watch;
    const uint32_t type = type_of(message, length_bytes);
    const bool is_bad =
        is_message_bad(ours, message, length_bytes) ||
        ours_order_received(ours, type, message, length_bytes) ||
        (ours->party.role == RDMIG_ROLE_DESTINATION &&
         is_command_bad(ours, type, message, length_bytes) && ours_order_dooms(ours));

    watch->must_fail = is_up(ours) && is_bad;
    if (type == RDMIG_MESSAGE_ERROR && !is_message_bad(ours, message, length_bytes)) {
        watch->is_error_received = true;
        watch->must_fail = is_up(ours) || is_parting(ours);
    }
    if (type == RDMIG_MESSAGE_READY && length_bytes == RDMIG_HEADER_BYTES)
        watch->credit_count++;
}

void ours_watch_private_data(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes)
{
    const bool is_bad = ours_order_data_taken(ours, bytes, length_bytes);

    ours->watch.must_fail = is_up(ours) && is_bad;
}

/* Work, or a receive, comes back with an error: somebody must be told why. */
void ours_watch_error(struct ours *ours, int32_t os_code)
{
    ours->watch.must_fail = is_up(ours) && !ours->has_left && os_code != 0;
}

/* ---- after each step */

static bool is_same(const struct rdmig_failure *a, const struct rdmig_failure *b)
{
    return a->reason == b->reason && a->phase == b->phase && a->message_type == b->message_type &&
           a->block_index == b->block_index && a->expected == b->expected &&
           a->actual == b->actual && a->os_code == b->os_code;
}

static void log_failure(struct ours *ours, const struct rdmig_failure *failure)
{
    world_log(ours->party.world,
              "%s: %s in %s, message %s, block %" PRIu32 ", expected %" PRIu64 ", actual %" PRIu64
              ", os_code %" PRId32,
              role_name(ours->party.role), rdmig_reason_name(failure->reason),
              rdmig_phase_name(failure->phase), rdmig_message_name((uint32_t)failure->message_type),
              failure->block_index, failure->expected, failure->actual, failure->os_code);
}

void ours_watch_failure(struct ours *ours)
{
    struct ours_watch *watch = &ours->watch;
    const struct rdmig_failure *failure = rdmig_conn_failure(ours->conn);

    if (watch->must_fail && !failure)
        break_rule(ours, "failure", "what must fail a connection has not");
    watch->must_fail = false;
    if (failure && watch->has_failed && !is_same(failure, &watch->first))
        break_rule(ours, "first cause", "it has changed");
    if (!failure && watch->has_failed)
        break_rule(ours, "first cause", "it is forgotten");
    if (!failure || watch->has_failed)
        return;
    watch->has_failed = true;
    watch->first = *failure;
    watch->failed_ns = ours->stepped_ns;
    log_failure(ours, failure);
}

/* ---- leaving */

/* The peer does not know yet, and there is a way to tell it. */
static bool must_say_error(const struct ours *ours)
{
    const struct ours_watch *watch = &ours->watch;
    const uint64_t timeout_ns =
        ours->config.close_timeout_ns ? ours->config.close_timeout_ns : CLOSE_TIMEOUT_NS;

    if (!watch->has_failed || watch->first.phase != RDMIG_PHASE_RUNNING || ours->has_left ||
        watch->is_error_received || ours->stepped_ns - watch->failed_ns >= timeout_ns)
        return false;
    switch (watch->first.reason) {
    case RDMIG_REASON_PEER_ERROR:
    case RDMIG_REASON_PEER_DISCONNECTED:
    case RDMIG_REASON_CONNECTION_LOST:
    case RDMIG_REASON_SEND_FAILED:
    case RDMIG_REASON_WRITE_FAILED:
    case RDMIG_REASON_RECV_FAILED:
        return false;
    case RDMIG_REASON_CANCELLED:
    case RDMIG_REASON_REGISTER_FAILED:
    case RDMIG_REASON_PINNED_LIMIT:
        return ours->party.role == RDMIG_ROLE_DESTINATION || watch->credit_count > 0;
    default: /* a source's credit may have been what was wrong */
        return ours->party.role == RDMIG_ROLE_DESTINATION;
    }
}

/* Regions that the source's core is about to let go of, whoever wants it. */
static void watch_leaving(struct ours *ours, const uint8_t *message, uint32_t length_bytes)
{
    enum { ENTRY_BYTES = 24 };

    for (uint32_t at = RDMIG_HEADER_BYTES; at + ENTRY_BYTES <= length_bytes; at += ENTRY_BYTES) {
        const uint64_t offset_bytes = load64(message + at) * RDMIG_CHUNK_BYTES;
        const uint32_t block = load32(message + at + 8);

        for (uint32_t i = 0; i < ours->regions.count; i++) {
            struct ours_region *region = &ours->regions.entries[i];

            if (region->block == block && region->offset_bytes == offset_bytes)
                region->is_leaving = true;
        }
    }
}

static void watch_send(struct ours *ours, const struct rdmig_action *action)
{
    struct ours_watch *watch = &ours->watch;
    const uint8_t *message = ours->control.bytes + action->memory_offset_bytes;

    if (action->length >= RDMIG_HEADER_BYTES && load32(message + 4) == RDMIG_MESSAGE_ERROR)
        watch->is_error_posted = true;
    else if (watch->has_failed)
        break_rule(ours, "leaving", "a failed connection sends something else than ERROR");
    else if (watch->credit_count > 0)
        watch->credit_count--;
    if (!watch->has_failed && action->length >= RDMIG_HEADER_BYTES &&
        ours_order_sent(ours, message))
        break_rule(ours, "failure", "a command that must fail a connection has been obeyed");
    if (load32(message + 4) == RDMIG_MESSAGE_UNREGISTER_REQUEST)
        watch_leaving(ours, message, (uint32_t)action->length);
    if (watch->is_error_received)
        break_rule(ours, "leaving", "something is sent after ERROR has come");
}

void ours_watch_action(struct ours *ours, const struct rdmig_action *action)
{
    switch (action->kind) {
    case RDMIG_ACTION_POST_SEND:
        if (action->memory_offset_bytes < ours->control.length_bytes - RDMIG_HEADER_BYTES)
            watch_send(ours, action);
        break;
    case RDMIG_ACTION_CONNECT:
    case RDMIG_ACTION_ACCEPT:
        ours_order_data_given(ours, action->bytes, action->length);
        if (ours->watch.has_failed)
            break_rule(ours, "leaving", rdmig_action_name(action->kind));
        break;
    case RDMIG_ACTION_DISCONNECT:
        if (must_say_error(ours) && !ours->watch.is_error_posted)
            break_rule(ours, "leaving", "nothing has been said of the failure");
        break;
    case RDMIG_ACTION_REJECT:
    case RDMIG_ACTION_ABANDON:
    case RDMIG_ACTION_NOTIFY_FLUSHED:
    case RDMIG_ACTION_NOTIFY_CLOSED:
    case RDMIG_ACTION_DELIVER_STREAM: /* what arrives until the end counts: clause E12 */
        break;
    default:
        /* An action may be the very one that fails it. */
        if (ours->watch.has_failed)
            break_rule(ours, "leaving", rdmig_action_name(action->kind));
        break;
    }
}

/* ---- probes */

void ours_watch_heard(struct ours *ours)
{
    ours->watch.heard_ns = ours->stepped_ns;
}

/* Everything has been carried out that is due: a probe as well. */
void ours_watch_drained(struct ours *ours)
{
    const uint64_t interval_ns = ours->config.probe_interval_ns;

    if (!ours->is_drained || !ours->watch.is_time_told || interval_ns == 0 ||
        rdmig_conn_phase(ours->conn) != RDMIG_PHASE_RUNNING || ours->has_left ||
        ours->watch.is_suspect || ours->sends.first != ours->sends.end)
        return;
    if (ours->stepped_ns - ours->watch.heard_ns > interval_ns)
        break_rule(ours, "probe", "nothing was heard for long, and nobody asks");
}
