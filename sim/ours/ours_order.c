/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Credits and the order of messages as an end of ours must see to them, kept from outside it
 * (clauses W11, C2, C3, C5, C6, C16, R4, R5, R12): which message of the peer's is out of turn, so
 * that the connection must fail.
 */
#include "ours.h"

enum { LONG_BYTES = RDMIG_PRIVATE_DATA_BYTES_MAX, RESULT_BYTES = 16 };

static uint32_t load32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool is_source(const struct ours *ours)
{
    return ours->party.role == RDMIG_ROLE_SOURCE;
}

/* ---- what is agreed on */

void ours_order_data_given(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes)
{
    struct ours_order *order = &ours->order;
    const bool is_pipelined =
        length_bytes >= LONG_BYTES && (load32(bytes + 4) & RDMIG_CAPABILITY_PIPELINE) != 0;

    /* A source learns how many of its credits it gets; until then READYs may come ahead. */
    order->credit_count = is_pipelined ? load32(bytes + 8) : 1;
    order->is_pipelined = is_pipelined;
}

/* True: no connection can come of it. */
bool ours_order_data_taken(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes)
{
    struct ours_order *order = &ours->order;
    uint32_t flags;

    if (length_bytes < RDMIG_PRIVATE_DATA_BYTES || load32(bytes) != RDMIG_PROTOCOL_VERSION)
        return true;
    flags = load32(bytes + 4) & ours->config.capability_flags;
    if ((flags & RDMIG_CAPABILITY_PIPELINE) == 0) {
        order->is_pipelined = false;
        order->credit_count = 1;
        return is_source(ours) && order->readies > 1;
    }
    if (length_bytes < LONG_BYTES || load32(bytes + 8) == 0)
        return true;
    if (!is_source(ours))
        return false;
    if (load32(bytes + 8) > order->credit_count)
        return true;
    order->credit_count = load32(bytes + 8);
    return order->readies > order->credit_count;
}

/* ---- at the source: commands that no READY has followed */

static uint32_t answer_of(uint32_t type)
{
    switch (type) {
    case RDMIG_MESSAGE_RAM_BLOCKS_REQUEST:
        return RDMIG_MESSAGE_RAM_BLOCKS_RESULT;
    case RDMIG_MESSAGE_REGISTER_REQUEST:
        return RDMIG_MESSAGE_REGISTER_RESULT;
    case RDMIG_MESSAGE_UNREGISTER_REQUEST:
        return RDMIG_MESSAGE_UNREGISTER_FINISHED;
    default:
        return RDMIG_MESSAGE_NONE;
    }
}

static struct ours_command *oldest(struct ours_order *order)
{
    return order->command_count == 0 ? NULL
                                     : &order->commands[order->first_command % OURS_COMMANDS_MAX];
}

static bool is_ready_wrong(struct ours_order *order)
{
    struct ours_command *command = oldest(order);

    if (++order->readies <= order->credit_count)
        return false;
    if (!command)
        return true;
    order->first_command++;
    order->command_count--;
    return answer_of(command->type) != RDMIG_MESSAGE_NONE && !command->is_answered;
}

static bool is_result_short(const struct ours_order *order, const struct ours_command *command,
                            const uint8_t *message, uint32_t length_bytes)
{
    const uint32_t count = (length_bytes - RDMIG_HEADER_BYTES) / RESULT_BYTES;

    if (load32(message + 8) != command->entry_count &&
        !(load32(message + 8) == 0 && command->entry_count == 1))
        return true;
    return count != command->entry_count && (order->is_pipelined || count != 1);
}

static bool is_answer_wrong(struct ours_order *order, uint32_t type, const uint8_t *message,
                            uint32_t length_bytes)
{
    struct ours_command *command = oldest(order);

    /* READYs that are for no command come before anything that is for one. */
    if (order->readies < order->credit_count || !command || command->is_answered ||
        answer_of(command->type) != type)
        return true;
    command->is_answered = true;
    return type == RDMIG_MESSAGE_REGISTER_RESULT &&
           is_result_short(order, command, message, length_bytes);
}

/* ---- both ends */

bool ours_order_sent(struct ours *ours, const uint8_t *message)
{
    struct ours_order *order = &ours->order;
    const uint32_t type = load32(message + 4);

    if (!is_source(ours)) {
        order->readies += type == RDMIG_MESSAGE_READY ? 1 : 0;
        return order->doomed != 0 && order->readies >= order->doomed + order->credit_count;
    }
    if (order->command_count == OURS_COMMANDS_MAX)
        return false; /* far beyond its credits: the oracles see to that */
    order->commands[(order->first_command + order->command_count++) % OURS_COMMANDS_MAX] =
        (struct ours_command){.type = type, .entry_count = load32(message + 8)};
    return false;
}

bool ours_order_dooms(struct ours *ours)
{
    struct ours_order *order = &ours->order;

    if (order->doomed == 0)
        order->doomed = order->received;
    return order->readies + 1 == order->received + order->credit_count;
}

/* A whole message of a known type, in the right direction. True: the connection must fail. */
bool ours_order_received(struct ours *ours, uint32_t type, const uint8_t *message,
                         uint32_t length_bytes)
{
    struct ours_order *order = &ours->order;

    if (type == RDMIG_MESSAGE_ERROR)
        return true;
    if (!is_source(ours))
        return ++order->received > order->readies;
    if (type == RDMIG_MESSAGE_READY)
        return is_ready_wrong(order);
    return is_answer_wrong(order, type, message, length_bytes);
}
