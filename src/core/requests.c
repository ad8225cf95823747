/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands with entries, at the destination: checked whole first, then handled one entry after the
 * other, each with an operation of the driver, then answered (clauses C8, C9, R2, R4, R6 to R8,
 * B5).
 */
#include "internal.h"

static const uint8_t *entry_bytes(const struct rdmig_conn *conn, uint32_t size_bytes)
{
    const struct destination *destination = &conn->u.destination;

    (void)CORE_NEVER(conn, destination->entry_index >= destination->entry_count ||
                               (uint64_t)destination->entry_count * size_bytes >
                                   RDMIG_MESSAGE_BYTES_MAX - RDMIG_HEADER_BYTES);
    return conn_message(conn, destination->slot) + RDMIG_HEADER_BYTES +
           (uint64_t)destination->entry_index * size_bytes;
}

static uint8_t *answer_bytes(struct rdmig_conn *conn, uint32_t size_bytes, uint32_t index)
{
    if (CORE_NEVER(conn, conn->u.destination.answer_slot >= SEND_SLOT_LARGE_COUNT ||
                             (uint64_t)(index + 1) * size_bytes >
                                 RDMIG_MESSAGE_BYTES_MAX - RDMIG_HEADER_BYTES))
        index = 0;
    return flight_send_bytes(conn, conn->u.destination.answer_slot) + RDMIG_HEADER_BYTES +
           (uint64_t)index * size_bytes;
}

/* ---- checking */

typedef enum rdmig_reason checker(const struct rdmig_conn *conn, const uint8_t *data,
                                  struct rdmig_failure *details);

static bool is_block(const struct rdmig_conn *conn, uint32_t block_index,
                     struct rdmig_failure *details)
{
    details->block_index = block_index;
    details->expected = conn->block_count;
    details->actual = block_index;
    return block_index < conn->block_count;
}

static enum rdmig_reason check_fill(const struct rdmig_conn *conn, const uint8_t *data,
                                    struct rdmig_failure *details)
{
    struct wire_compress entry;
    const struct block *block;

    wire_read_compress(data, &entry);
    if (!is_block(conn, entry.block_index, details))
        return RDMIG_REASON_BLOCK_INDEX;
    block = blocks_at(conn, entry.block_index);
    details->expected = block->length_bytes;
    details->actual = entry.offset_bytes;
    if (entry.offset_bytes < block->ram_offset_bytes ||
        entry.offset_bytes - block->ram_offset_bytes >= block->length_bytes)
        return RDMIG_REASON_RANGE;
    details->actual = entry.length_bytes;
    if (entry.length_bytes == 0 ||
        entry.length_bytes > block->length_bytes - (entry.offset_bytes - block->ram_offset_bytes))
        return RDMIG_REASON_RANGE;
    details->expected = UINT8_MAX;
    details->actual = entry.value;
    return entry.value > UINT8_MAX ? RDMIG_REASON_FILL_VALUE : RDMIG_REASON_NONE;
}

static uint32_t requested_chunk(const struct block *block, const struct wire_register *entry)
{
    return (uint32_t)((entry->key - block->ram_offset_bytes) / RDMIG_CHUNK_BYTES);
}

static enum rdmig_reason check_register(const struct rdmig_conn *conn, const uint8_t *data,
                                        struct rdmig_failure *details)
{
    struct wire_register entry;
    const struct block *block;
    uint32_t chunk_index;

    wire_read_register(data, &entry);
    if (!is_block(conn, entry.block_index, details))
        return RDMIG_REASON_BLOCK_INDEX;
    block = blocks_at(conn, entry.block_index);
    details->expected = block->length_bytes;
    details->actual = entry.key;
    if (entry.key < block->ram_offset_bytes ||
        entry.key - block->ram_offset_bytes >= block->length_bytes)
        return RDMIG_REASON_RANGE;
    chunk_index = requested_chunk(block, &entry);
    details->expected = block->chunk_count - chunk_index - 1;
    if (details->expected >= REGION_CHUNK_COUNT_MAX)
        details->expected = REGION_CHUNK_COUNT_MAX - 1;
    details->actual = entry.extra_chunk_count;
    return entry.extra_chunk_count > details->expected ? RDMIG_REASON_RANGE : RDMIG_REASON_NONE;
}

static enum rdmig_reason check_unregister(const struct rdmig_conn *conn, const uint8_t *data,
                                          struct rdmig_failure *details)
{
    struct wire_register entry;
    const struct block *block;

    wire_read_register(data, &entry);
    if (!is_block(conn, entry.block_index, details))
        return RDMIG_REASON_BLOCK_INDEX;
    block = blocks_at(conn, entry.block_index);
    details->expected = block->chunk_count;
    details->actual = entry.key;
    return entry.key >= block->chunk_count ? RDMIG_REASON_RANGE : RDMIG_REASON_NONE;
}

enum rdmig_reason request_check(const struct rdmig_conn *conn, const struct wire_header *header,
                                const uint8_t *data, struct rdmig_failure *details)
{
    static checker *const checkers[RDMIG_MESSAGE_TYPE_COUNT] = {
        [RDMIG_MESSAGE_COMPRESS] = check_fill,
        [RDMIG_MESSAGE_REGISTER_REQUEST] = check_register,
        [RDMIG_MESSAGE_UNREGISTER_REQUEST] = check_unregister,
    };
    const uint32_t size_bytes = wire_entry_bytes(header->type);
    enum rdmig_reason reason = RDMIG_REASON_NONE;

    *details = (struct rdmig_failure){.message_type = (enum rdmig_message_type)header->type,
                                      .block_index = NO_BLOCK};
    if (!conn->u.destination.are_blocks_listed)
        return RDMIG_REASON_BLOCKS_MISSING;
    if (CORE_NEVER(conn, size_bytes == 0 || !checkers[header->type]))
        return RDMIG_REASON_INTERNAL;
    for (uint32_t at = 0; at < header->length_bytes && reason == RDMIG_REASON_NONE;
         at += size_bytes)
        reason = checkers[header->type](conn, data + at, details);
    return reason;
}

/* ---- handling; a starter makes the action for an entry, and returns its kind, or NONE when none
 * was needed */

typedef enum operation_kind starter(struct rdmig_conn *conn, struct rdmig_action *action);

static void entry_done(struct rdmig_conn *conn)
{
    conn->u.destination.entry_index++;
    conn->u.destination.entry = STEP_NONE;
}

static void write_result(struct rdmig_conn *conn, uint32_t block_index, uint32_t rkey)
{
    const struct wire_result result = {rkey, blocks_at(conn, block_index)->host_addr};

    wire_write_result(answer_bytes(conn, WIRE_RESULT_ENTRY_BYTES, conn->u.destination.entry_index),
                      &result);
    entry_done(conn);
}

static void fail_region(struct rdmig_conn *conn, enum rdmig_reason reason,
                        const struct wire_register *entry, uint64_t expected, uint64_t actual)
{
    const struct rdmig_failure details = {
        .message_type = reason == RDMIG_REASON_REGION_UNKNOWN ? RDMIG_MESSAGE_UNREGISTER_REQUEST
                                                              : RDMIG_MESSAGE_REGISTER_REQUEST,
        .block_index = entry->block_index,
        .expected = expected,
        .actual = actual,
    };

    conn_fail(conn, reason, &details);
}

/* Clause R14: a source that was told of the limit keeps it. Of another the kernel will have to say
 * no. */
static bool fits_limit(struct rdmig_conn *conn, enum rdmig_message_type type, uint32_t block_index,
                       uint32_t chunk_index, uint32_t chunk_count)
{
    const uint64_t limit_bytes = conn->config.pinned_bytes_max;
    const struct rdmig_failure details = {
        .message_type = type,
        .block_index = block_index,
        .expected = limit_bytes,
        .actual = conn->u.destination.pinned_bytes +
                  blocks_run_bytes(conn, block_index, chunk_index, chunk_count),
    };

    if (!conn_is_pipelined(conn) || limit_bytes == 0 || details.actual <= limit_bytes)
        return true;
    conn_fail(conn, RDMIG_REASON_PINNED_LIMIT, &details);
    return false;
}

static enum operation_kind start_register(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct wire_register entry;
    struct chunk chunk;
    uint32_t chunk_index;
    uint32_t chunk_count;

    wire_read_register(entry_bytes(conn, WIRE_REGISTER_ENTRY_BYTES), &entry);
    chunk_index = requested_chunk(blocks_at(conn, entry.block_index), &entry);
    chunk_count = (uint32_t)entry.extra_chunk_count + 1;
    chunk = blocks_chunk(conn, entry.block_index, chunk_index);
    if (chunk.count >= chunk_count) {
        write_result(conn, entry.block_index, chunk.value);
        return OPERATION_NONE;
    }
    if (chunk.count != 0) {
        fail_region(conn, RDMIG_REASON_REGION_CHANGED, &entry, chunk.count, chunk_count);
        return OPERATION_NONE;
    }
    if (!fits_limit(conn, RDMIG_MESSAGE_REGISTER_REQUEST, entry.block_index, chunk_index,
                    chunk_count))
        return OPERATION_NONE;
    blocks_region_action(conn, RDMIG_ACTION_REGISTER, entry.block_index, chunk_index, chunk_count,
                         action);
    return OPERATION_REGISTER;
}

static enum operation_kind start_unregister(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct wire_register entry;

    wire_read_register(entry_bytes(conn, WIRE_REGISTER_ENTRY_BYTES), &entry);
    if (blocks_chunk(conn, entry.block_index, (uint32_t)entry.key).count == 0) {
        fail_region(conn, RDMIG_REASON_REGION_UNKNOWN, &entry, 0, entry.key);
        return OPERATION_NONE;
    }
    blocks_region_action(conn, RDMIG_ACTION_DEREGISTER, entry.block_index, (uint32_t)entry.key, 1,
                         action);
    return OPERATION_DEREGISTER;
}

static enum operation_kind start_fill(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct wire_compress entry;

    wire_read_compress(entry_bytes(conn, WIRE_COMPRESS_ENTRY_BYTES), &entry);
    action->kind = RDMIG_ACTION_FILL_RANGE;
    action->block_index = entry.block_index;
    action->offset_bytes =
        entry.offset_bytes - blocks_at(conn, entry.block_index)->ram_offset_bytes;
    action->length = entry.length_bytes;
    action->fill_value = (uint8_t)entry.value;
    return OPERATION_FILL;
}

/* One block of the list; with pin-all its region first (clause R7). */
static enum operation_kind start_listing(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const uint32_t block_index = conn->u.destination.entry_index;
    const struct block *block = blocks_at(conn, block_index);
    const struct chunk chunk = blocks_chunk(conn, block_index, 0);
    const bool is_pin_all = (conn->capability_flags & RDMIG_CAPABILITY_PIN_ALL) != 0;
    struct wire_block entry = {block->host_addr, block->ram_offset_bytes, block->length_bytes, 0};

    if (is_pin_all && chunk.count == 0) {
        /* It was granted by what the source said of its RAM; ours may be larger. */
        if (!fits_limit(conn, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST, block_index, 0, block->chunk_count))
            return OPERATION_NONE;
        blocks_region_action(conn, RDMIG_ACTION_REGISTER, block_index, 0, block->chunk_count,
                             action);
        return OPERATION_REGISTER;
    }
    entry.rkey = chunk.value;
    wire_write_block(answer_bytes(conn, WIRE_BLOCK_ENTRY_BYTES, block_index), &entry);
    entry_done(conn);
    return OPERATION_NONE;
}

/* The blocks may have to come from the application first. */
static bool next_blocks_request(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;

    if (destination->blocks_request != STEP_NONE)
        return false;
    destination->blocks_request = STEP_ASKED;
    action->kind = RDMIG_ACTION_REQUEST_BLOCKS;
    return true;
}

/* READY is all that follows a COMPRESS: it does not wait for the answers before it, which may never
 * have left. */
static bool has_answer_slot(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;

    if (destination->state != DESTINATION_FILLING && destination->answer_slot == NO_SLOT)
        destination->answer_slot = flight_free_large(conn);
    return destination->state == DESTINATION_FILLING || destination->answer_slot != NO_SLOT;
}

bool request_next_action(struct rdmig_conn *conn, struct rdmig_action *action, bool *is_done)
{
    static starter *const starters[DESTINATION_STATE_COUNT] = {
        [DESTINATION_LISTING] = start_listing,
        [DESTINATION_REGISTERING] = start_register,
        [DESTINATION_UNREGISTERING] = start_unregister,
        [DESTINATION_FILLING] = start_fill,
    };
    struct destination *destination = &conn->u.destination;

    if (destination->state == DESTINATION_LISTING && conn->block_count == 0)
        return next_blocks_request(conn, action);
    if (!has_answer_slot(conn))
        return false;
    if (destination->state == DESTINATION_LISTING)
        destination->entry_count = conn->block_count;
    while (destination->entry_index < destination->entry_count) {
        enum operation_kind kind;

        if (destination->entry == STEP_ASKED)
            return false;
        if (CORE_NEVER(conn, destination->state >= DESTINATION_STATE_COUNT ||
                                 !starters[destination->state]))
            return false;
        kind = starters[destination->state](conn, action);
        if (kind != OPERATION_NONE) {
            destination->entry = STEP_ASKED;
            return flight_start(conn, kind, 0, &action->tag); /* one at a time: there is a place */
        }
        if (conn->phase != RDMIG_PHASE_RUNNING)
            return false;
    }
    *is_done = true;
    return false;
}

/* ---- the operation for the entry has succeeded */

static void block_registered(struct rdmig_conn *conn, uint32_t rkey)
{
    struct destination *destination = &conn->u.destination;
    uint32_t chunk_count = blocks_at(conn, destination->entry_index)->chunk_count;

    if (chunk_count > REGION_CHUNK_COUNT_MAX)
        chunk_count = REGION_CHUNK_COUNT_MAX;
    blocks_set_chunk(conn, destination->entry_index, 0, rkey, chunk_count);
    destination->pinned_bytes += blocks_run_bytes(conn, destination->entry_index, 0, chunk_count);
    destination->entry = STEP_NONE; /* the same entry once more: now it has its key */
}

static void run_registered(struct rdmig_conn *conn, uint32_t rkey)
{
    struct wire_register entry;
    uint32_t chunk_index;
    uint32_t chunk_count;

    wire_read_register(entry_bytes(conn, WIRE_REGISTER_ENTRY_BYTES), &entry);
    chunk_index = requested_chunk(blocks_at(conn, entry.block_index), &entry);
    chunk_count = (uint32_t)entry.extra_chunk_count + 1;
    blocks_set_chunk(conn, entry.block_index, chunk_index, rkey, chunk_count);
    conn->u.destination.pinned_bytes +=
        blocks_run_bytes(conn, entry.block_index, chunk_index, chunk_count);
    write_result(conn, entry.block_index, rkey);
}

static void run_unregistered(struct rdmig_conn *conn)
{
    struct wire_register entry;
    uint32_t chunk_count;

    wire_read_register(entry_bytes(conn, WIRE_REGISTER_ENTRY_BYTES), &entry);
    chunk_count = blocks_chunk(conn, entry.block_index, (uint32_t)entry.key).count;
    if (CORE_NEVER(conn, chunk_count == 0 || chunk_count > REGION_CHUNK_COUNT_MAX))
        return;
    conn->u.destination.pinned_bytes -=
        blocks_run_bytes(conn, entry.block_index, (uint32_t)entry.key, chunk_count);
    blocks_set_chunk(conn, entry.block_index, (uint32_t)entry.key, 0, 0);
    entry_done(conn);
}

static void range_filled(struct rdmig_conn *conn)
{
    struct wire_compress fill;

    wire_read_compress(entry_bytes(conn, WIRE_COMPRESS_ENTRY_BYTES), &fill);
    conn->counters.bytes_zero += fill.value == 0 ? fill.length_bytes : 0;
    entry_done(conn);
}

void request_operation_done(struct rdmig_conn *conn, uint32_t rkey)
{
    const struct destination *destination = &conn->u.destination;

    if (CORE_NEVER(conn, destination->entry != STEP_ASKED ||
                             destination->entry_index >= destination->entry_count))
        return;
    switch (destination->state) {
    case DESTINATION_LISTING:
        block_registered(conn, rkey);
        break;
    case DESTINATION_REGISTERING:
        run_registered(conn, rkey);
        break;
    case DESTINATION_UNREGISTERING:
        run_unregistered(conn);
        break;
    default:
        if (!CORE_NEVER(conn, destination->state != DESTINATION_FILLING))
            range_filled(conn);
        break;
    }
}
