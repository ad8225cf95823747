/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands: what they name, read here for themselves from the wire's own description, and which are
 * under way. */
#include "oracle_internal.h"

#include "fail.h"

#include <inttypes.h>

enum { DEFAULT_RUN_CHUNKS = 64 /* of an engine of ours whose options do not say */ };

/* A run is that part of the limit on pinned memory at the most (clause R13). */
enum { LIMIT_RUNS = 8 };

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
    struct oracle_range range = {0, 0, oracle_be32(entry + 4)};

    if (range.block >= oracle->world->options->guest.block_count)
        return range;
    range.offset_bytes = oracle_be64(entry + 8) - oracle->blocks[range.block].ram_offset;
    range.length_bytes = oracle_be64(entry + 16);
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
    struct oracle_range range = {0, 0, oracle_be32(entry + 8)};
    uint64_t offset_bytes;

    if (range.block >= oracle->world->options->guest.block_count)
        return range;
    offset_bytes = oracle_be64(entry) - oracle->blocks[range.block].ram_offset;
    if (offset_bytes < oracle_block_bytes(oracle, range.block))
        set_chunks(oracle, &range, offset_bytes / oracle->chunk_bytes, oracle_be64(entry + 16));
    return range;
}

/* The region that starts at the chunk, as long as it is known to be. */
static struct oracle_range read_unregister(const struct oracle *oracle, const uint8_t *entry)
{
    struct oracle_range range = {0, 0, oracle_be32(entry + 8)};
    const struct oracle_block *block;
    const uint64_t chunk = oracle_be64(entry);

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
    const uint32_t entry_bytes = oracle_entry_bytes(message->type);

    out->type = message->type;
    out->entry_count = oracle_entry_count(message);
    out->is_answered = false;
    out->range_count = 0;
    for (uint32_t i = 0; i < out->entry_count; i++) {
        const uint8_t *entry = message->body + (size_t)i * entry_bytes;

        if (message->type == ORACLE_COMPRESS)
            *add_range(out) = read_compress(oracle, entry);
        else if (message->type == ORACLE_REGISTER_REQUEST)
            *add_range(out) = read_register(oracle, entry);
        else
            *add_range(out) = read_unregister(oracle, entry);
    }
}

/* ---- those under way */

struct oracle_command *oracle_commands_add(struct oracle *oracle, struct oracle_commands *commands,
                                           const struct oracle_message *message)
{
    struct oracle_command *command;

    if (commands->count == ORACLE_COMMANDS_MAX)
        return NULL;
    command = oracle_commands_at(commands, commands->count++);
    read_command(oracle, message, command);
    return command;
}

struct oracle_command *oracle_commands_at(struct oracle_commands *commands, uint32_t index)
{
    return &commands->places[(commands->first + index) % ORACLE_COMMANDS_MAX];
}

struct oracle_command *oracle_commands_head(struct oracle_commands *commands)
{
    return commands->count == 0 ? NULL : oracle_commands_at(commands, 0);
}

void oracle_commands_pop(struct oracle_commands *commands)
{
    if (commands->count == 0)
        return;
    commands->first = (commands->first + 1) % ORACLE_COMMANDS_MAX;
    commands->count--;
}

void oracle_commands_free(struct oracle_commands *commands)
{
    for (uint32_t i = 0; i < ORACLE_COMMANDS_MAX; i++)
        free(commands->places[i].ranges);
}

const struct oracle_command *oracle_obeyed(const struct oracle *oracle, uint32_t type)
{
    const struct oracle_commands *obeyed = &oracle->obeyed;

    if (obeyed->count == 0 || obeyed->places[obeyed->first].type != type)
        return NULL;
    return &obeyed->places[obeyed->first];
}

/* The oldest; when READYs come as they like, the oldest of its kind. */
struct oracle_command *oracle_answered(struct oracle *oracle, uint32_t answer_type)
{
    const bool is_honest = oracle->is_honest[RDMIG_ROLE_DESTINATION];

    for (uint32_t i = 0; i < oracle->asked.count && (i == 0 || !is_honest); i++) {
        struct oracle_command *asked = oracle_commands_at(&oracle->asked, i);

        if (oracle_answer_type(asked->type) == answer_type && !asked->is_answered)
            return asked;
    }
    return NULL;
}

/* ---- what the source may ask for */

bool oracle_check_ranges(struct oracle *oracle, const struct oracle_command *command)
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
                        oracle_type_name(command->type), command->ranges[i].block);
        return false;
    }
    return true;
}

static uint64_t run_chunks_max(const struct oracle *oracle)
{
    const struct engine_options *engine = &oracle->world->options->engine[RDMIG_ROLE_SOURCE];
    const uint64_t limit_bytes = oracle_limit_bytes(oracle, RDMIG_ROLE_SOURCE);
    uint64_t chunks_max =
        engine->run_chunk_count != 0 ? engine->run_chunk_count : DEFAULT_RUN_CHUNKS;

    if (limit_bytes != 0 && chunks_max > limit_bytes / LIMIT_RUNS / oracle->chunk_bytes)
        chunks_max = limit_bytes / LIMIT_RUNS / oracle->chunk_bytes;
    return chunks_max > 0 ? chunks_max : 1;
}

/* Without PIPELINE nothing comes in batches but what the options say (clause C18). */
static uint32_t batch_max(const struct oracle *oracle, uint32_t type)
{
    const uint32_t set = oracle->world->options->engine[RDMIG_ROLE_SOURCE].register_batch_count;

    if (oracle->is_pipelined)
        return ORACLE_BATCH_MAX;
    return type == ORACLE_REGISTER_REQUEST && set != 0 ? set : 1;
}

void oracle_check_batch(struct oracle *oracle, const struct oracle_command *command)
{
    const uint64_t chunks_max = run_chunks_max(oracle);

    if (command->range_count > batch_max(oracle, command->type))
        world_break(oracle->world, "batch", "%" PRIu32 " entries in one %s", command->range_count,
                    oracle_type_name(command->type));
    for (uint32_t i = 0; command->type == ORACLE_REGISTER_REQUEST && i < command->range_count;
         i++) {
        if (command->ranges[i].length_bytes > chunks_max * oracle->chunk_bytes)
            world_break(oracle->world, "run_length",
                        "a registration of %" PRIu64 " bytes, more than %" PRIu64 " chunks",
                        command->ranges[i].length_bytes, chunks_max);
    }
}

static bool is_social(uint32_t type)
{
    return type == ORACLE_COMPRESS || type == ORACLE_REGISTER_REQUEST ||
           type == ORACLE_UNREGISTER_REQUEST;
}

/* Clause C17. */
void oracle_check_alone(struct oracle *oracle, uint32_t type)
{
    for (uint32_t i = oracle->readies_early; i < oracle->asked.count; i++) {
        const uint32_t other = oracle_commands_at(&oracle->asked, i)->type;

        if (is_social(type) && is_social(other))
            continue;
        world_break(oracle->world, "alone", "the source sent %s while %s was under way",
                    oracle_type_name(type), oracle_type_name(other));
        return;
    }
}
