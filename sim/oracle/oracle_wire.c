/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: their form, their order, and what they name. Read here for themselves, from the wire's
 * own description: no code of the protocol core is used. */
#include "oracle_internal.h"

#include "fail.h"

#include <inttypes.h>

enum {
    HEADER_BYTES = 16,
    MESSAGE_BYTES_MAX = 524288,
    REPEAT_MAX = 4096,
    STOCK_STREAM_BYTES_MAX = 32768,
    DEFAULT_RUN_CHUNKS = 64 /* of an engine of ours whose options do not say */
};

enum direction { FROM_SOURCE, FROM_DESTINATION, FROM_EITHER };

struct rule {
    const char *name;
    enum direction direction;
    uint32_t entry_bytes; /* 0: no entries */
    uint32_t answer;      /* NONE: READY is all that follows */
    bool is_command;      /* needs a READY */
};

static const struct rule rules[ORACLE_TYPE_COUNT] = {
    [ORACLE_NONE] = {"NONE", FROM_EITHER, 0, ORACLE_NONE, false},
    [ORACLE_ERROR] = {"ERROR", FROM_EITHER, 0, ORACLE_NONE, false},
    [ORACLE_READY] = {"READY", FROM_DESTINATION, 0, ORACLE_NONE, false},
    [ORACLE_QEMU_FILE] = {"QEMU_FILE", FROM_SOURCE, 0, ORACLE_NONE, true},
    [ORACLE_BLOCKS_REQUEST] = {"RAM_BLOCKS_REQUEST", FROM_SOURCE, 0, ORACLE_BLOCKS_RESULT, true},
    [ORACLE_BLOCKS_RESULT] = {"RAM_BLOCKS_RESULT", FROM_DESTINATION, 32, ORACLE_NONE, false},
    [ORACLE_COMPRESS] = {"COMPRESS", FROM_SOURCE, 24, ORACLE_NONE, true},
    [ORACLE_REGISTER_REQUEST] = {"REGISTER_REQUEST", FROM_SOURCE, 24, ORACLE_REGISTER_RESULT, true},
    [ORACLE_REGISTER_RESULT] = {"REGISTER_RESULT", FROM_DESTINATION, 16, ORACLE_NONE, false},
    [ORACLE_REGISTER_FINISHED] = {"REGISTER_FINISHED", FROM_SOURCE, 0, ORACLE_NONE, true},
    [ORACLE_UNREGISTER_REQUEST] = {"UNREGISTER_REQUEST", FROM_SOURCE, 24,
                                   ORACLE_UNREGISTER_FINISHED, true},
    [ORACLE_UNREGISTER_FINISHED] = {"UNREGISTER_FINISHED", FROM_DESTINATION, 0, ORACLE_NONE, false},
};

static uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint64_t be64(const uint8_t *bytes)
{
    return (uint64_t)be32(bytes) << 32 | be32(bytes + 4);
}

/* False: not a message. */
static bool read_message(const uint8_t *bytes, uint32_t length_bytes, struct oracle_message *out)
{
    if (length_bytes < HEADER_BYTES || length_bytes > MESSAGE_BYTES_MAX)
        return false;
    out->body_bytes = be32(bytes);
    out->type = be32(bytes + 4);
    out->repeat = be32(bytes + 8);
    out->padding = be32(bytes + 12);
    out->body = bytes + HEADER_BYTES;
    return out->body_bytes == length_bytes - HEADER_BYTES && out->type > ORACLE_NONE &&
           out->type < ORACLE_TYPE_COUNT;
}

static uint32_t entry_count(const struct oracle_message *message)
{
    const uint32_t entry_bytes = rules[message->type].entry_bytes;

    return entry_bytes == 0 ? 0 : message->body_bytes / entry_bytes;
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
    const uint32_t entry_bytes = rules[message->type].entry_bytes;

    if (message->type == ORACLE_QEMU_FILE)
        return message->body_bytes > 0 && message->body_bytes <= stream_bytes_max(oracle);
    if (entry_bytes == 0)
        return message->body_bytes == 0;
    if (message->body_bytes == 0 || message->body_bytes % entry_bytes != 0)
        return false;
    if (message->type == ORACLE_BLOCKS_RESULT)
        return entry_count(message) == oracle->world->options->guest.block_count;
    if (message->type == ORACLE_REGISTER_RESULT && !oracle->is_ours[RDMIG_ROLE_DESTINATION])
        return entry_count(message) == 1;
    return entry_count(message) == (message->repeat == 0 ? 1 : message->repeat);
}

static bool check_form(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                       uint32_t length_bytes, struct oracle_message *out)
{
    struct world *world = oracle->world;
    const enum direction direction = from == RDMIG_ROLE_SOURCE ? FROM_SOURCE : FROM_DESTINATION;

    if (!read_message(bytes, length_bytes, out)) {
        world_break(world, "header", "the %s sent %" PRIu32 " bytes that are no message",
                    role_name(from), length_bytes);
        return false;
    }
    if (rules[out->type].direction != direction && rules[out->type].direction != FROM_EITHER)
        world_break(world, "header", "%s in the wrong direction", rules[out->type].name);
    else if (out->repeat > REPEAT_MAX || out->padding != 0)
        world_break(world, "header", "%s with repeat %" PRIu32 ", padding %" PRIu32,
                    rules[out->type].name, out->repeat, out->padding);
    else if (!fits_body(oracle, out))
        world_break(world, "header", "%s with repeat %" PRIu32 " and %" PRIu32 " bytes of data",
                    rules[out->type].name, out->repeat, out->body_bytes);
    else
        return true;
    return false;
}

/* ---- what a command names */

static struct oracle_range *add_range(struct oracle_command *command)
{
    if (command->range_count == command->range_capacity) {
        command->range_capacity = command->range_capacity == 0 ? 16 : 2 * command->range_capacity;
        command->ranges = sim_allocated(
            realloc(command->ranges, command->range_capacity * sizeof(*command->ranges)));
    }
    return &command->ranges[command->range_count++];
}

/* Block and bytes in it; a length of 0 stands for what is not inside any block. */
static struct oracle_range read_compress(const struct oracle *oracle, const uint8_t *entry)
{
    struct oracle_range range = {0, 0, be32(entry + 4)};

    if (range.block >= oracle->world->options->guest.block_count)
        return range;
    range.offset_bytes = be64(entry + 8) - oracle->blocks[range.block].ram_offset;
    range.length_bytes = be64(entry + 16);
    if (!oracle_is_inside(oracle, &range))
        range.length_bytes = 0;
    return range;
}

static void set_chunks(const struct oracle *oracle, struct oracle_range *range, uint64_t chunk,
                       uint64_t more_chunks)
{
    const uint64_t chunk_count = oracle->blocks[range->block].chunk_count;
    const uint64_t block_bytes = oracle_block_bytes(oracle, range->block);

    if (chunk >= chunk_count || more_chunks >= chunk_count - chunk)
        return;
    range->offset_bytes = chunk * oracle->chunk_bytes;
    range->length_bytes = (more_chunks + 1) * oracle->chunk_bytes;
    if (range->length_bytes > block_bytes - range->offset_bytes)
        range->length_bytes = block_bytes - range->offset_bytes;
}

static struct oracle_range read_register(const struct oracle *oracle, const uint8_t *entry)
{
    struct oracle_range range = {0, 0, be32(entry + 8)};
    uint64_t offset_bytes;

    if (range.block >= oracle->world->options->guest.block_count)
        return range;
    offset_bytes = be64(entry) - oracle->blocks[range.block].ram_offset;
    if (offset_bytes < oracle_block_bytes(oracle, range.block))
        set_chunks(oracle, &range, offset_bytes / oracle->chunk_bytes, be64(entry + 16));
    return range;
}

/* The region that starts at the chunk, as long as it is known to be. */
static struct oracle_range read_unregister(const struct oracle *oracle, const uint8_t *entry)
{
    struct oracle_range range = {0, 0, be32(entry + 8)};
    const struct oracle_block *block;
    const uint64_t chunk = be64(entry);

    if (range.block >= oracle->world->options->guest.block_count)
        return range;
    block = &oracle->blocks[range.block];
    if (chunk < block->chunk_count && block->chunks && block->chunks[chunk].run_chunk_count > 0)
        set_chunks(oracle, &range, chunk, block->chunks[chunk].run_chunk_count - 1);
    return range;
}

static void read_command(const struct oracle *oracle, const struct oracle_message *message,
                         struct oracle_command *out)
{
    const uint32_t entry_bytes = rules[message->type].entry_bytes;
    const uint32_t count = entry_count(message);

    out->type = message->type;
    out->range_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = message->body + (size_t)i * entry_bytes;

        if (message->type == ORACLE_COMPRESS)
            *add_range(out) = read_compress(oracle, entry);
        else if (message->type == ORACLE_REGISTER_REQUEST)
            *add_range(out) = read_register(oracle, entry);
        else
            *add_range(out) = read_unregister(oracle, entry);
    }
}

static bool check_ranges(struct oracle *oracle, const struct oracle_command *command)
{
    for (uint32_t i = 0; i < command->range_count; i++) {
        if (command->ranges[i].length_bytes > 0)
            continue;
        if (command->type == ORACLE_UNREGISTER_REQUEST)
            world_break(oracle->world, "unregister_unknown",
                        "UNREGISTER_REQUEST of what is no region, in block %" PRIu32,
                        command->ranges[i].block);
        else
            world_break(oracle->world, "range_outside", "%s outside block %" PRIu32,
                        rules[command->type].name, command->ranges[i].block);
        return false;
    }
    return true;
}

/* ---- the source posts */

static void check_run_lengths(struct oracle *oracle, const struct oracle_command *command)
{
    const struct engine_options *engine = &oracle->world->options->engine[RDMIG_ROLE_SOURCE];
    const uint64_t chunks_max =
        engine->run_chunk_count != 0 ? engine->run_chunk_count : DEFAULT_RUN_CHUNKS;
    const uint32_t batch_max = engine->register_batch_count != 0 ? engine->register_batch_count : 1;

    if (command->range_count > batch_max)
        world_break(oracle->world, "batch", "%" PRIu32 " runs in one REGISTER_REQUEST",
                    command->range_count);
    for (uint32_t i = 0; i < command->range_count; i++) {
        if (command->ranges[i].length_bytes > chunks_max * oracle->chunk_bytes)
            world_break(oracle->world, "run_length",
                        "a registration of %" PRIu64 " bytes, more than %" PRIu64 " chunks",
                        command->ranges[i].length_bytes, chunks_max);
    }
}

static bool is_about_ram(uint32_t type)
{
    return type == ORACLE_COMPRESS || type == ORACLE_REGISTER_REQUEST ||
           type == ORACLE_REGISTER_FINISHED || type == ORACLE_UNREGISTER_REQUEST;
}

static void command_posted(struct oracle *oracle, const struct oracle_message *message)
{
    struct oracle_command *asked = &oracle->asked;

    if (is_about_ram(message->type) && !oracle->is_exchanged) {
        world_break(oracle->world, "register_before_exchange",
                    "%s before the blocks were exchanged", rules[message->type].name);
        return;
    }
    read_command(oracle, message, asked);
    if (!check_ranges(oracle, asked)) {
        asked->range_count = 0;
        return;
    }
    switch (message->type) {
    case ORACLE_BLOCKS_REQUEST:
        if (oracle->is_exchange_asked)
            world_break(oracle->world, "exchange_twice", "a second RAM_BLOCKS_REQUEST");
        oracle->is_exchange_asked = true;
        break;
    case ORACLE_COMPRESS:
        for (uint32_t i = 0; i < asked->range_count; i++) {
            const uint32_t value = be32(message->body + (size_t)i * 24);

            if (value != 0)
                world_break(oracle->world, "compress_value", "COMPRESS with value %" PRIu32, value);
        }
        oracle_compress_posted(oracle, asked);
        break;
    case ORACLE_REGISTER_REQUEST:
        if (oracle->is_ours[RDMIG_ROLE_SOURCE])
            check_run_lengths(oracle, asked);
        oracle_register_posted(oracle, asked);
        break;
    case ORACLE_UNREGISTER_REQUEST:
        oracle_unregister_posted(oracle, asked);
        break;
    case ORACLE_REGISTER_FINISHED:
        oracle_round_posted(oracle);
        break;
    default:
        break;
    }
}

static void source_posted(struct oracle *oracle, const struct oracle_message *message)
{
    const bool is_ours = oracle->is_ours[RDMIG_ROLE_SOURCE];

    oracle->unsignalled_count = 0;
    if (!rules[message->type].is_command && !is_ours)
        return;
    if (oracle->commands_posted >= oracle->readies_arrived)
        world_break(oracle->world, "credit",
                    "the source sent %s, its command %" PRIu64 ", after %" PRIu64 " READY",
                    rules[message->type].name, oracle->commands_posted + 1,
                    oracle->readies_arrived);
    oracle->commands_posted++;
    if (rules[message->type].is_command)
        command_posted(oracle, message);
}

/* ---- the destination posts */

static void ready_posted(struct oracle *oracle)
{
    if (oracle->readies_posted > oracle->commands_arrived)
        world_break(oracle->world, "credit",
                    "a READY while one is out: %" PRIu64 " after %" PRIu64 " commands",
                    oracle->readies_posted + 1, oracle->commands_arrived);
    oracle->readies_posted++;
    /* The first comes before any command. */
    if (oracle->nonsense_arrived > 0 && oracle->readies_posted > oracle->nonsense_arrived)
        world_break(oracle->world, "nonsense_obeyed",
                    "READY after command %" PRIu64 ", which must fail the connection",
                    oracle->nonsense_arrived);
    if (oracle->is_filling)
        world_break(oracle->world, "zero_late", "READY while block %" PRIu32 " is being filled",
                    oracle->fill.block);
    if (!oracle->are_both_honest)
        return;
    for (uint32_t type = 0; type < ORACLE_TYPE_COUNT; type++) {
        if (oracle->answers_posted[type] < oracle->asks_arrived[type])
            world_break(oracle->world, "ready_before_answer", "READY before %s", rules[type].name);
    }
}

static void check_block_answer(struct oracle *oracle, const struct oracle_message *message)
{
    const struct fabric *fabric = oracle->world->fabric;

    for (uint32_t i = 0; i < entry_count(message); i++) {
        const uint8_t *entry = message->body + (size_t)i * 32;

        if (be64(entry) != fabric_block_addr(fabric, i) ||
            be64(entry + 8) != fabric_block_ram_offset(fabric, i) ||
            be64(entry + 16) != oracle_block_bytes(oracle, i))
            world_break(oracle->world, "answer",
                        "RAM_BLOCKS_RESULT tells something else of block %" PRIu32, i);
    }
}

/* Its entries, against those of the request that came last. */
static void check_region_answer(struct oracle *oracle, const struct oracle_message *message)
{
    const struct oracle_command *obeyed = &oracle->obeyed;

    if (obeyed->type != ORACLE_REGISTER_REQUEST || message->repeat != obeyed->range_count) {
        world_break(oracle->world, "answer",
                    "REGISTER_RESULT with repeat %" PRIu32 " to a request of %" PRIu32,
                    message->repeat, obeyed->range_count);
        return;
    }
    for (uint32_t i = 0; i < entry_count(message); i++) {
        const uint8_t *entry = message->body + (size_t)i * 16;

        if (be64(entry + 8) != fabric_block_addr(oracle->world->fabric, obeyed->ranges[i].block))
            world_break(oracle->world, "answer",
                        "REGISTER_RESULT with another address of block %" PRIu32,
                        obeyed->ranges[i].block);
    }
}

static void destination_posted(struct oracle *oracle, const struct oracle_message *message)
{
    if (message->type == ORACLE_READY) {
        ready_posted(oracle);
        return;
    }
    if (message->type == ORACLE_ERROR)
        return;
    if (oracle->answers_posted[message->type] >= oracle->asks_arrived[message->type])
        world_break(oracle->world, "answer", "%s, for which nobody asked",
                    rules[message->type].name);
    oracle->answers_posted[message->type]++;
    if (message->type == ORACLE_BLOCKS_RESULT)
        check_block_answer(oracle, message);
    else if (message->type == ORACLE_REGISTER_RESULT && oracle->are_both_honest)
        check_region_answer(oracle, message);
}

void oracle_send_posted(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                        uint32_t length_bytes)
{
    struct oracle_message message;

    if (!oracle->is_honest[from] || !check_form(oracle, from, bytes, length_bytes, &message))
        return;
    if (oracle->is_error_posted[from])
        world_break(oracle->world, "after_error", "the %s sent %s after ERROR", role_name(from),
                    rules[message.type].name);
    oracle->is_error_posted[from] = oracle->is_error_posted[from] || message.type == ORACLE_ERROR;
    if (from == RDMIG_ROLE_SOURCE)
        source_posted(oracle, &message);
    else
        destination_posted(oracle, &message);
}

/* ---- arrivals */

/* A command that breaks a rule which its own bytes show: no honest destination says READY to it. */
static bool is_nonsense(struct oracle *oracle, const struct oracle_message *message)
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
    read_command(oracle, message, &oracle->obeyed);
    for (uint32_t i = 0; i < oracle->obeyed.range_count; i++) {
        if (oracle->obeyed.ranges[i].length_bytes == 0)
            return true;
    }
    return false;
}

static void arrived_at_destination(struct oracle *oracle, const struct oracle_message *message)
{
    if (!rules[message->type].is_command)
        return;
    oracle->commands_arrived++;
    if (rules[message->type].answer != ORACLE_NONE)
        oracle->asks_arrived[rules[message->type].answer]++;
    /* UNREGISTER_REQUEST's regions are forgotten by now; nothing asks for them here. */
    if (oracle->are_both_honest)
        read_command(oracle, message, &oracle->obeyed);
    if (!oracle->is_honest[RDMIG_ROLE_SOURCE] && oracle->nonsense_arrived == 0 &&
        is_nonsense(oracle, message))
        oracle->nonsense_arrived = oracle->commands_arrived;
}

static void learn_blocks(struct oracle *oracle, const struct oracle_message *message)
{
    if (!oracle->is_exchange_asked || oracle->is_exchanged ||
        message->body_bytes != 32 * oracle->world->options->guest.block_count)
        return;
    for (uint32_t i = 0; i < entry_count(message); i++) {
        const uint8_t *entry = message->body + (size_t)i * 32;

        oracle->blocks[i].addr = be64(entry);
        oracle->blocks[i].ram_offset = be64(entry + 8);
        oracle->blocks[i].rkey = be32(entry + 24);
    }
    oracle->is_exchanged = true;
}

/* The first of several, or all. Those that got no answer may be asked for again. */
static void learn_regions(struct oracle *oracle, const struct oracle_message *message)
{
    const uint32_t count = entry_count(message);

    if (oracle->asked.type != ORACLE_REGISTER_REQUEST)
        return;
    for (uint32_t i = 0; i < oracle->asked.range_count; i++) {
        const struct oracle_range *range = &oracle->asked.ranges[i];
        const uint8_t *entry = i < count ? message->body + (size_t)i * 16 : NULL;
        const bool is_answered = entry && be64(entry + 8) == oracle->blocks[range->block].addr;

        oracle_region_answered(oracle, range, is_answered, is_answered ? be32(entry) : 0);
    }
    oracle->asked.range_count = 0;
}

static void arrived_at_source(struct oracle *oracle, const struct oracle_message *message)
{
    if (message->type == ORACLE_BLOCKS_RESULT) {
        learn_blocks(oracle, message);
    } else if (message->type == ORACLE_REGISTER_RESULT) {
        learn_regions(oracle, message);
    } else if (message->type == ORACLE_READY) {
        oracle->readies_arrived++;
        if (oracle->asked.type == ORACLE_COMPRESS && oracle->are_both_honest)
            oracle_compress_settled(oracle, &oracle->asked);
        oracle->asked.type = ORACLE_NONE;
        oracle->asked.range_count = 0;
    }
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
