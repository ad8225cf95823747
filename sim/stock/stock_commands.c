/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the stock destination does with its memory when told to.
 *
 * Where a real one does not look before it leaps (a range outside its block, fewer entries than
 * repeat says), the model fails: what the real one does then is not for a simulator to have.
 */
#include "stock_destination.h"

#include "oracle.h"

static uint64_t block_bytes(const struct stock_destination *destination, uint32_t block)
{
    return destination->party.world->options->guest.block_bytes[block];
}

static uint8_t *answer_data(struct stock_destination *destination)
{
    return destination->channel.send_memory + STOCK_HEADER_BYTES;
}

static void answer(struct stock_destination *destination, uint32_t type, uint32_t repeat,
                   uint32_t data_bytes)
{
    destination->answer_type = type;
    destination->answer_repeat = repeat;
    destination->answer_bytes = data_bytes;
}

static void list_blocks(struct stock_destination *destination)
{
    const struct world *world = destination->party.world;
    const uint32_t block_count = world->options->guest.block_count;

    for (uint32_t i = 0; i < block_count; i++) {
        struct stock_destination_block *block = &destination->blocks[i];
        struct stock_block_entry entry = {
            .addr = fabric_block_addr(world->fabric, i),
            .ram_offset = fabric_block_ram_offset(world->fabric, i),
            .length_bytes = block_bytes(destination, i),
        };

        if (destination->is_pin_all && block->rkey == 0) {
            block->rkey = port_register(destination->party.port, i, 0, entry.length_bytes, true);
            if (block->rkey == 0) {
                stock_destination_fail(destination, "guest memory cannot be registered");
                return;
            }
        }
        entry.rkey = block->rkey;
        stock_write_block(answer_data(destination) + (size_t)i * STOCK_BLOCK_ENTRY_BYTES, &entry);
    }
    answer(destination, STOCK_BLOCKS_RESULT, block_count, block_count * STOCK_BLOCK_ENTRY_BYTES);
    destination->party.numbers.exchanged_ns = port_time_ns(destination->party.port);
}

/* One region over all that the entry asks for, unless one begins there already. 0: it cannot be. */
static uint32_t register_run(struct stock_destination *destination,
                             const struct stock_register_entry *entry)
{
    const uint64_t chunk_bytes = destination->chunk_bytes;
    struct stock_destination_block *block;
    uint64_t position;
    uint64_t chunk;
    uint64_t end_chunk;
    uint64_t end_bytes;

    if (entry->block >= destination->party.world->options->guest.block_count)
        return 0;
    block = &destination->blocks[entry->block];
    position = entry->key - fabric_block_ram_offset(destination->party.world->fabric, entry->block);
    if (position >= block_bytes(destination, entry->block))
        return 0;
    chunk = position / chunk_bytes;
    if (block->rkeys[chunk] != 0)
        return block->rkeys[chunk];
    end_chunk = entry->more_chunk_count < block->chunk_count - chunk
                    ? chunk + entry->more_chunk_count + 1
                    : block->chunk_count;
    end_bytes = end_chunk * chunk_bytes;
    if (end_bytes > block_bytes(destination, entry->block))
        end_bytes = block_bytes(destination, entry->block);
    block->rkeys[chunk] = port_register(destination->party.port, entry->block, chunk * chunk_bytes,
                                        end_bytes - chunk * chunk_bytes, true);
    return block->rkeys[chunk];
}

/* Obeys every entry, but has room for one result in its answer: the first. */
static void register_runs(struct stock_destination *destination,
                          const struct stock_message *message)
{
    const uint32_t count = message->repeat == 0 ? 1 : message->repeat;

    if (message->length_bytes < count * STOCK_REGISTER_ENTRY_BYTES) {
        stock_destination_fail(destination, "REGISTER_REQUEST with fewer entries than it says");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct stock_register_entry entry;
        struct stock_result_entry result;

        stock_read_register(message->data + (size_t)i * STOCK_REGISTER_ENTRY_BYTES, &entry);
        result.rkey = register_run(destination, &entry);
        if (result.rkey == 0) {
            stock_destination_fail(destination, "a run cannot be registered");
            return;
        }
        result.addr = fabric_block_addr(destination->party.world->fabric, entry.block);
        if (i == 0)
            stock_write_result(answer_data(destination), &result);
    }
    answer(destination, STOCK_REGISTER_RESULT, message->repeat, STOCK_RESULT_ENTRY_BYTES);
}

static void unregister_runs(struct stock_destination *destination,
                            const struct stock_message *message)
{
    const uint32_t count = message->repeat == 0 ? 1 : message->repeat;

    if (message->length_bytes < count * STOCK_REGISTER_ENTRY_BYTES) {
        stock_destination_fail(destination, "UNREGISTER_REQUEST with fewer entries than it says");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct stock_register_entry entry;
        struct stock_destination_block *block;

        stock_read_register(message->data + (size_t)i * STOCK_REGISTER_ENTRY_BYTES, &entry);
        block = &destination->blocks[entry.block % OPTION_BLOCKS_MAX];
        if (entry.block >= destination->party.world->options->guest.block_count ||
            entry.key >= block->chunk_count || block->rkeys[entry.key] == 0 ||
            !port_deregister(destination->party.port, block->rkeys[entry.key])) {
            stock_destination_fail(destination, "UNREGISTER_REQUEST of what is no region");
            return;
        }
        block->rkeys[entry.key] = 0;
    }
    answer(destination, STOCK_UNREGISTER_FINISHED, 1, 0);
}

static void start_fill(struct stock_destination *destination, const struct stock_message *message)
{
    struct world *world = destination->party.world;
    const struct costs *costs = &world->costs;
    struct stock_compress_entry entry;
    uint64_t position;
    uint64_t new_bytes;

    if (message->length_bytes < STOCK_COMPRESS_ENTRY_BYTES) {
        stock_destination_fail(destination, "COMPRESS without an entry");
        return;
    }
    stock_read_compress(message->data, &entry);
    if (entry.block >= world->options->guest.block_count) {
        stock_destination_fail(destination, "COMPRESS of a block that does not exist");
        return;
    }
    position = entry.ram_offset - fabric_block_ram_offset(world->fabric, entry.block);
    if (entry.length_bytes == 0 || position >= block_bytes(destination, entry.block) ||
        entry.length_bytes > block_bytes(destination, entry.block) - position ||
        position % SIM_PAGE_BYTES != 0 || entry.length_bytes % SIM_PAGE_BYTES != 0) {
        stock_destination_fail(destination, "COMPRESS outside its block, or of parts of pages");
        return;
    }
    destination->fill = (struct stock_fill){
        .first_page = position / SIM_PAGE_BYTES,
        .page_count = entry.length_bytes / SIM_PAGE_BYTES,
        .block = entry.block,
        .token = entry.value % 256 == 0 ? RAM_TOKEN_ZERO : RAM_TOKEN_FILLED(entry.value % 256),
    };
    destination->party.numbers.bytes_zero += entry.length_bytes;
    oracle_fill_started(world->oracle, entry.block, position, entry.length_bytes);
    new_bytes =
        ram_touch(world->ram[RDMIG_ROLE_DESTINATION], entry.block, position, entry.length_bytes);
    stock_destination_spend(destination,
                            costs_time_ns(entry.length_bytes, costs->fill_bytes_per_s) +
                                (new_bytes + costs->page_bytes - 1) / costs->page_bytes *
                                    costs->fault_page_ns);
}

void stock_destination_end_fill(struct stock_destination *destination)
{
    struct world *world = destination->party.world;
    const struct stock_fill *fill = &destination->fill;

    ram_set(world->ram[RDMIG_ROLE_DESTINATION], fill->block, fill->first_page, fill->page_count,
            fill->token);
    oracle_fill_ended(world->oracle);
    destination->fill.page_count = 0;
}

static void end_round(struct stock_destination *destination)
{
    destination->mode = STOCK_MODE_STREAM;
    if (destination->is_set_up)
        destination->party.numbers.rounds++;
    destination->is_set_up = true;
}

void stock_destination_obey(struct stock_destination *destination,
                            const struct stock_message *message)
{
    switch (message->type) {
    case STOCK_BLOCKS_REQUEST:
        list_blocks(destination);
        break;
    case STOCK_COMPRESS:
        start_fill(destination, message);
        break;
    case STOCK_REGISTER_REQUEST:
        register_runs(destination, message);
        break;
    case STOCK_UNREGISTER_REQUEST:
        unregister_runs(destination, message);
        break;
    case STOCK_REGISTER_FINISHED:
        end_round(destination);
        break;
    default:
        stock_destination_fail(destination, "a message that is no command about RAM");
        break;
    }
}
