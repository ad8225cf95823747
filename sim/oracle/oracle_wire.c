/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: their form and their order. Read here for themselves, from the wire's own description:
 * no code of the protocol core is used. */
#include "oracle_internal.h"

#include <inttypes.h>

enum {
    HEADER_BYTES = 16,
    MESSAGE_BYTES_MAX = 524288,
    REPEAT_MAX = 4096,
    STOCK_STREAM_BYTES_MAX = 32768
};

/* False: not a message. */
static bool read_message(const uint8_t *bytes, uint32_t length_bytes, struct oracle_message *out)
{
    if (length_bytes < HEADER_BYTES || length_bytes > MESSAGE_BYTES_MAX)
        return false;
    out->body_bytes = oracle_be32(bytes);
    out->type = oracle_be32(bytes + 4);
    out->repeat = oracle_be32(bytes + 8);
    out->padding = oracle_be32(bytes + 12);
    out->body = bytes + HEADER_BYTES;
    return out->body_bytes == length_bytes - HEADER_BYTES && out->type > ORACLE_NONE &&
           out->type < ORACLE_TYPE_COUNT;
}

/* ---- form */

static uint32_t stream_bytes_max(const struct oracle *oracle)
{
    const uint32_t set = oracle->world->options->engine[RDMIG_ROLE_SOURCE].stream_message_bytes;

    if (!oracle->is_ours[RDMIG_ROLE_SOURCE])
        return STOCK_STREAM_BYTES_MAX;
    return set != 0 ? set : MESSAGE_BYTES_MAX - HEADER_BYTES;
}

static bool fits_body(const struct oracle *oracle, const struct oracle_message *message)
{
    const uint32_t entry_bytes = oracle_rules[message->type].entry_bytes;

    if (message->type == ORACLE_QEMU_FILE)
        return message->body_bytes > 0 && message->body_bytes <= stream_bytes_max(oracle);
    if (entry_bytes == 0)
        return message->body_bytes == 0;
    if (message->body_bytes == 0 || message->body_bytes % entry_bytes != 0)
        return false;
    if (message->type == ORACLE_BLOCKS_RESULT)
        return oracle_entry_count(message) == oracle->world->options->guest.block_count;
    if (message->type == ORACLE_REGISTER_RESULT && !oracle->is_ours[RDMIG_ROLE_DESTINATION])
        return oracle_entry_count(message) == 1;
    return oracle_entry_count(message) == (message->repeat == 0 ? 1 : message->repeat);
}

static bool check_form(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                       uint32_t length_bytes, struct oracle_message *out)
{
    struct world *world = oracle->world;
    const enum oracle_direction direction =
        from == RDMIG_ROLE_SOURCE ? ORACLE_FROM_SOURCE : ORACLE_FROM_DESTINATION;

    if (!read_message(bytes, length_bytes, out)) {
        world_break(world, "header", "the %s sent %" PRIu32 " bytes that are no message",
                    role_name(from), length_bytes);
        return false;
    }
    if (oracle_rules[out->type].direction != direction &&
        oracle_rules[out->type].direction != ORACLE_FROM_EITHER)
        world_break(world, "header", "%s in the wrong direction", oracle_rules[out->type].name);
    else if (out->repeat > REPEAT_MAX || out->padding != 0)
        world_break(world, "header", "%s with repeat %" PRIu32 ", padding %" PRIu32,
                    oracle_rules[out->type].name, out->repeat, out->padding);
    else if (!fits_body(oracle, out))
        world_break(world, "header", "%s with repeat %" PRIu32 " and %" PRIu32 " bytes of data",
                    oracle_rules[out->type].name, out->repeat, out->body_bytes);
    else
        return true;
    return false;
}

/* ---- the source posts */

static bool is_about_ram(uint32_t type)
{
    return type == ORACLE_COMPRESS || type == ORACLE_REGISTER_REQUEST ||
           type == ORACLE_REGISTER_FINISHED || type == ORACLE_UNREGISTER_REQUEST;
}

static void check_values(struct oracle *oracle, const struct oracle_message *message)
{
    for (uint32_t i = 0; i < oracle_entry_count(message); i++) {
        const uint32_t value = oracle_be32(message->body + (size_t)i * 24);

        if (value != 0)
            world_break(oracle->world, "compress_value", "COMPRESS with value %" PRIu32, value);
    }
}

/* What a command that keeps to the rules of its kind names. */
static void named(struct oracle *oracle, const struct oracle_message *message,
                  struct oracle_command *asked)
{
    switch (message->type) {
    case ORACLE_BLOCKS_REQUEST:
        if (oracle->is_exchange_asked)
            world_break(oracle->world, "exchange_twice", "a second RAM_BLOCKS_REQUEST");
        oracle->is_exchange_asked = true;
        break;
    case ORACLE_COMPRESS:
        check_values(oracle, message);
        oracle_compress_posted(oracle, asked);
        break;
    case ORACLE_REGISTER_REQUEST:
        oracle_register_posted(oracle, asked);
        break;
    case ORACLE_UNREGISTER_REQUEST:
        oracle_unregister_posted(oracle, asked);
        if (oracle->unregistered_early > 0) {
            oracle->unregistered_early--;
            asked->is_answered = true;
            oracle_unregister_answered(oracle, asked);
        }
        break;
    case ORACLE_REGISTER_FINISHED:
        oracle_round_posted(oracle);
        break;
    default:
        break;
    }
}

static void command_posted(struct oracle *oracle, const struct oracle_message *message)
{
    struct oracle_command *asked;

    if (is_about_ram(message->type) && (!oracle->is_exchanged || !oracle->is_exchange_asked)) {
        world_break(oracle->world, "register_before_exchange",
                    "%s before the blocks were exchanged", oracle_rules[message->type].name);
        return;
    }
    oracle_check_alone(oracle, message->type);
    asked = oracle_commands_add(oracle, &oracle->asked, message);
    if (!asked)
        return; /* who has so many under way has broken the rule of credits */
    if (!oracle_check_ranges(oracle, asked)) {
        asked->range_count = 0;
        return;
    }
    if (oracle->is_ours[RDMIG_ROLE_SOURCE])
        oracle_check_batch(oracle, asked);
    named(oracle, message, asked);
}

static void source_posted(struct oracle *oracle, const struct oracle_message *message)
{
    const bool is_ours = oracle->is_ours[RDMIG_ROLE_SOURCE];

    oracle->unsignalled_count = 0;
    if (!oracle_rules[message->type].is_command && !is_ours)
        return;
    if (oracle->commands_posted >= oracle->readies_arrived)
        world_break(oracle->world, "credit",
                    "the source sent %s, its command %" PRIu64 ", after %" PRIu64 " READY",
                    oracle_rules[message->type].name, oracle->commands_posted + 1,
                    oracle->readies_arrived);
    oracle->commands_posted++;
    if (oracle_rules[message->type].is_command)
        command_posted(oracle, message);
}

/* ---- the destination posts */

/* Those that were agreed on are for no command; each later one is for the oldest that has none. */
static void ready_posted(struct oracle *oracle)
{
    const struct oracle_command *obeyed = oracle_commands_head(&oracle->obeyed);

    oracle->readies_posted++;
    if (oracle->readies_posted > oracle->commands_arrived + oracle->credit_count)
        world_break(oracle->world, "credit",
                    "a READY while %" PRIu32 " are out: %" PRIu64 " after %" PRIu64 " commands",
                    oracle->credit_count, oracle->readies_posted, oracle->commands_arrived);
    if (oracle->nonsense_arrived > 0 &&
        oracle->readies_posted >= oracle->nonsense_arrived + oracle->credit_count)
        world_break(oracle->world, "nonsense_obeyed",
                    "READY after command %" PRIu64 ", which must fail the connection",
                    oracle->nonsense_arrived);
    if (oracle->readies_posted <= oracle->credit_count)
        return;
    if (oracle->is_filling)
        world_break(oracle->world, "zero_late", "READY while block %" PRIu32 " is being filled",
                    oracle->fill.block);
    if (obeyed && oracle_rules[obeyed->type].answer != ORACLE_NONE && !obeyed->is_answered)
        world_break(oracle->world, "ready_before_answer", "READY before %s",
                    oracle_rules[oracle_rules[obeyed->type].answer].name);
    oracle_commands_pop(&oracle->obeyed);
}

static void check_block_answer(struct oracle *oracle, const struct oracle_message *message)
{
    const struct port *port = oracle->ports[RDMIG_ROLE_DESTINATION];

    for (uint32_t i = 0; i < oracle_entry_count(message); i++) {
        const uint8_t *entry = message->body + (size_t)i * 32;

        if (oracle_be64(entry) != port_block_addr(port, i) ||
            oracle_be64(entry + 8) != port_block_ram_offset(port, i) ||
            oracle_be64(entry + 16) != oracle_block_bytes(oracle, i))
            world_break(oracle->world, "answer",
                        "RAM_BLOCKS_RESULT tells something else of block %" PRIu32, i);
    }
}

/* Its entries, against those of the request. */
static void check_region_answer(struct oracle *oracle, const struct oracle_message *message,
                                const struct oracle_command *obeyed)
{
    if (message->repeat != obeyed->entry_count) {
        world_break(oracle->world, "answer",
                    "REGISTER_RESULT with repeat %" PRIu32 " to a request of %" PRIu32,
                    message->repeat, obeyed->entry_count);
        return;
    }
    for (uint32_t i = 0; i < oracle_entry_count(message) && i < obeyed->range_count; i++) {
        const uint8_t *entry = message->body + (size_t)i * 16;

        if (oracle_be64(entry + 8) !=
            port_block_addr(oracle->ports[RDMIG_ROLE_DESTINATION], obeyed->ranges[i].block))
            world_break(oracle->world, "answer",
                        "REGISTER_RESULT with another address of block %" PRIu32,
                        obeyed->ranges[i].block);
    }
}

static void destination_posted(struct oracle *oracle, const struct oracle_message *message)
{
    struct oracle_command *obeyed = oracle_commands_head(&oracle->obeyed);

    if (message->type == ORACLE_READY) {
        ready_posted(oracle);
        return;
    }
    if (message->type == ORACLE_ERROR)
        return;
    if (!obeyed || oracle_rules[obeyed->type].answer != message->type || obeyed->is_answered) {
        world_break(oracle->world, "answer", "%s, for which nobody asked",
                    oracle_rules[message->type].name);
        return;
    }
    if (oracle->readies_posted < oracle->credit_count)
        world_break(oracle->world, "credit",
                    "%s after %" PRIu64 " READYs; %" PRIu32 " were agreed on",
                    oracle_rules[message->type].name, oracle->readies_posted, oracle->credit_count);
    obeyed->is_answered = true;
    if (message->type == ORACLE_BLOCKS_RESULT)
        check_block_answer(oracle, message);
    else if (message->type == ORACLE_REGISTER_RESULT)
        check_region_answer(oracle, message, obeyed);
}

void oracle_send_posted(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                        uint32_t length_bytes)
{
    struct oracle_message message;

    if (!oracle->is_honest[from] || !check_form(oracle, from, bytes, length_bytes, &message))
        return;
    if (oracle->is_error_posted[from])
        world_break(oracle->world, "after_error", "the %s sent %s after ERROR", role_name(from),
                    oracle_rules[message.type].name);
    oracle->is_error_posted[from] = oracle->is_error_posted[from] || message.type == ORACLE_ERROR;
    if (from == RDMIG_ROLE_SOURCE)
        source_posted(oracle, &message);
    else
        destination_posted(oracle, &message);
}

/* ---- arrivals */

/* A command that breaks a rule which its own bytes show: no honest destination says READY to it. */
static bool is_nonsense(struct oracle *oracle, const struct oracle_message *message,
                        const struct oracle_command *command)
{
    const bool is_first = !oracle->is_exchange_asked;

    if (message->type == ORACLE_QEMU_FILE)
        return false;
    if (message->repeat > REPEAT_MAX || !fits_body(oracle, message))
        return true;
    if (message->type == ORACLE_BLOCKS_REQUEST) {
        oracle->is_exchange_asked = true;
        return !is_first;
    }
    if (!oracle->is_exchanged ||
        (message->type != ORACLE_COMPRESS && message->type != ORACLE_REGISTER_REQUEST))
        return false;
    for (uint32_t i = 0; command && i < command->range_count; i++) {
        if (command->ranges[i].length_bytes == 0)
            return true;
    }
    return false;
}

static void arrived_at_destination(struct oracle *oracle, const struct oracle_message *message)
{
    const struct oracle_command *command;

    if (!oracle_rules[message->type].is_command)
        return;
    oracle->commands_arrived++;
    /* UNREGISTER_REQUEST's regions are forgotten by now; nothing asks for them here. */
    command = oracle_commands_add(oracle, &oracle->obeyed, message);
    if (!oracle->is_honest[RDMIG_ROLE_SOURCE] && oracle->nonsense_arrived == 0 &&
        is_nonsense(oracle, message, command))
        oracle->nonsense_arrived = oracle->commands_arrived;
}

/* A hostile destination's list may arrive before it is asked for; a source that looks at it only
 * after it has asked cannot tell. */
static void learn_blocks(struct oracle *oracle, const struct oracle_message *message)
{
    const bool is_due = oracle->is_exchange_asked || !oracle->is_honest[RDMIG_ROLE_DESTINATION];

    if (!is_due || oracle->is_exchanged ||
        message->body_bytes != 32 * oracle->world->options->guest.block_count)
        return;
    for (uint32_t i = 0; i < oracle_entry_count(message); i++) {
        const uint8_t *entry = message->body + (size_t)i * 32;

        oracle->blocks[i].addr = oracle_be64(entry);
        oracle->blocks[i].ram_offset = oracle_be64(entry + 8);
        oracle->blocks[i].rkey = oracle_be32(entry + 24);
    }
    oracle->is_exchanged = true;
}

/* The first of several, or all. Those that got no answer may be asked for again. */
static void learn_regions(struct oracle *oracle, const struct oracle_message *message,
                          const struct oracle_command *asked)
{
    const uint32_t count = oracle_entry_count(message);

    for (uint32_t i = 0; i < asked->range_count; i++) {
        const struct oracle_range *range = &asked->ranges[i];
        const uint8_t *entry = i < count ? message->body + (size_t)i * 16 : NULL;
        const bool is_answered =
            entry && oracle_be64(entry + 8) == oracle->blocks[range->block].addr;

        oracle_region_answered(oracle, range, is_answered, is_answered ? oracle_be32(entry) : 0);
    }
}

static void ready_arrived(struct oracle *oracle)
{
    const struct oracle_command *asked = oracle_commands_head(&oracle->asked);

    if (++oracle->readies_arrived <= oracle->credit_count)
        return;
    if (!asked) {
        oracle->readies_early++;
        return;
    }
    if (asked->type == ORACLE_COMPRESS && oracle->are_both_honest)
        oracle_compress_settled(oracle, asked);
    oracle_commands_pop(&oracle->asked);
}

static void arrived_at_source(struct oracle *oracle, const struct oracle_message *message)
{
    struct oracle_command *asked;

    if (message->type == ORACLE_READY) {
        ready_arrived(oracle);
        return;
    }
    if (message->type == ORACLE_BLOCKS_RESULT)
        learn_blocks(oracle, message);
    asked = message->type == ORACLE_ERROR ? NULL : oracle_answered(oracle, message->type);
    if (!asked && message->type == ORACLE_UNREGISTER_FINISHED &&
        !oracle->is_honest[RDMIG_ROLE_DESTINATION])
        oracle->unregistered_early++; /* its source may look at it after it has asked */
    if (!asked)
        return;
    asked->is_answered = true;
    if (message->type == ORACLE_REGISTER_RESULT)
        learn_regions(oracle, message, asked);
    else if (message->type == ORACLE_UNREGISTER_FINISHED)
        oracle_unregister_answered(oracle, asked);
}

void oracle_send_arrived(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes)
{
    struct oracle_message message;

    if (!read_message(bytes, length_bytes, &message))
        return;
    if (from == RDMIG_ROLE_SOURCE)
        arrived_at_destination(oracle, &message);
    else
        arrived_at_source(oracle, &message);
}
