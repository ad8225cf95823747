/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile source's commands with entries: right ones, odd ones, and near misses at every limit.
 */
#include "hostile_source.h"

enum { BATCH_MAX = 4096 };

/* How many entries this message has. */
static uint32_t draw_batch(struct hostile *hostile)
{
    uint32_t pick;

    if (!hostile->is_odd[ODD_BATCHES])
        return 1;
    pick = hostile_pick(hostile, 64);
    if (pick == 63)
        return BATCH_MAX;
    return pick >= 60 ? HOSTILE_ENTRIES_MAX : 1 + pick % 6;
}

/* A limit, just missed or just kept; now and then missed by far. */
static uint64_t edge(struct hostile *hostile, uint64_t value)
{
    switch (hostile_pick(hostile, 6)) {
    case 0:
        return value - SIM_PAGE_BYTES;
    case 1:
        return value - 1;
    case 2:
        return value;
    case 3:
        return value + 1;
    case 4:
        return value + SIM_PAGE_BYTES;
    default:
        return hostile_bend(hostile, value);
    }
}

/* The length that a run starting there has, or will have; 0: none does. */
static uint64_t known_count(struct hostile_source *source, uint32_t block, uint64_t first_chunk)
{
    const struct hostile_region *region = hostile_find_region(&source->hostile, block, first_chunk);

    for (uint32_t i = 0; i < source->asked_count; i++) {
        for (uint32_t j = 0; j < source->asked[i].count; j++) {
            const struct hostile_region *run = &source->asked[i].runs[j];

            if (run->block == block && run->first_chunk == first_chunk)
                return run->chunk_count;
        }
    }
    return region ? region->chunk_count : 0;
}

static void draw_run(struct hostile_source *source, struct hostile_region *run)
{
    struct hostile *hostile = &source->hostile;
    const uint32_t block = hostile_pick(hostile, hostile->block_count);
    const uint64_t chunk_count = hostile_chunk_count(hostile, block);
    const uint32_t bound = chunk_count > 1024 ? 1024 : (uint32_t)chunk_count;
    const uint32_t first_chunk = hostile_pick(hostile, bound);
    const bool is_long = hostile_pick(hostile, 2) == 1;
    const uint32_t more = hostile_pick(hostile, is_long ? bound - first_chunk : 1);
    const uint64_t known = known_count(source, block, first_chunk);

    *run = (struct hostile_region){block, first_chunk, 1 + (uint64_t)more, 0, true};
    if (known > 0 && (run->chunk_count > known || !hostile->is_odd[ODD_AGAIN]))
        run->chunk_count = known;
}

/* A run that is there already, longer than it was, and inside its block still. */
static void bend_to_longer(struct hostile *hostile, uint64_t *key, uint32_t *block,
                           uint64_t *chunks)
{
    for (uint32_t i = 0; i < hostile->region_count; i++) {
        const struct hostile_region *region = &hostile->regions[i];

        if (!region->is_alive || region->first_chunk + region->chunk_count >=
                                     hostile_chunk_count(hostile, region->block))
            continue;
        *block = region->block;
        *key = hostile->blocks[*block].offset_bytes + region->first_chunk * HOSTILE_CHUNK_BYTES;
        *chunks = region->chunk_count;
        return;
    }
    *chunks = hostile_chunk_count(hostile, *block); /* none is: then too long for anything */
}

static void bend_run(struct hostile *hostile, const struct hostile_region *run, uint64_t *key,
                     uint32_t *block, uint64_t *chunks)
{
    const struct hostile_block *named = &hostile->blocks[*block];

    switch (hostile_pick(hostile, 10)) {
    case 0:
        *key = hostile_bend(hostile, *key);
        break;
    case 1:
        *chunks = hostile_bend(hostile, *chunks);
        break;
    case 2:
        *block = hostile_bend32(hostile, hostile->block_count);
        break;
    case 3:
        *key = edge(hostile, named->offset_bytes);
        break;
    case 4:
        *key = edge(hostile, named->offset_bytes + named->length_bytes);
        break;
    case 5: /* as many chunks as the block has from there, or one more */
        *chunks = edge(hostile, hostile_chunk_count(hostile, *block) - run->first_chunk);
        break;
    default:
        bend_to_longer(hostile, key, block, chunks);
        break;
    }
}

static void put_run(struct hostile_source *source, struct hostile_message *message,
                    const struct hostile_region *run)
{
    struct hostile *hostile = &source->hostile;
    uint64_t key =
        hostile->blocks[run->block].offset_bytes + run->first_chunk * HOSTILE_CHUNK_BYTES;
    uint64_t chunks = run->chunk_count - 1;
    uint32_t block = run->block;

    if (hostile_does(hostile, HOSTILE_ENTRIES)) {
        bend_run(hostile, run, &key, &block, &chunks);
    } else if (hostile->is_odd[ODD_AGAIN]) {
        key += hostile_pick(hostile, SIM_PAGE_BYTES); /* any byte of the chunk names it */
        if (key - hostile->blocks[block].offset_bytes >= hostile->blocks[block].length_bytes)
            key = hostile->blocks[block].offset_bytes + hostile->blocks[block].length_bytes - 1;
    }
    hostile_put_register(hostile, message, key, block, chunks);
}

/* What it is going to know of the answer. The oldest is forgotten for it when there is no room. */
static struct hostile_asked *begin_asking(struct hostile_source *source)
{
    if (source->asked_count == HOSTILE_CREDITS_MAX) {
        source->asked_count--;
        for (uint32_t i = 0; i < source->asked_count; i++)
            source->asked[i] = source->asked[i + 1];
    }
    source->asked[source->asked_count].count = 0;
    return &source->asked[source->asked_count++];
}

static uint64_t run_bytes(const struct hostile *hostile, const struct hostile_region *run)
{
    const uint64_t left_bytes =
        hostile->blocks[run->block].length_bytes - run->first_chunk * HOSTILE_CHUNK_BYTES;
    const uint64_t whole_bytes = run->chunk_count * HOSTILE_CHUNK_BYTES;

    return whole_bytes < left_bytes ? whole_bytes : left_bytes;
}

bool hostile_is_over_limit(const struct hostile_source *source, uint64_t more_bytes)
{
    const struct hostile *hostile = &source->hostile;

    for (uint32_t i = 0; i < hostile->region_count; i++)
        more_bytes += hostile->regions[i].is_alive ? run_bytes(hostile, &hostile->regions[i]) : 0;
    for (uint32_t i = 0; i < source->asked_count; i++) {
        for (uint32_t j = 0; j < source->asked[i].count; j++)
            more_bytes += run_bytes(hostile, &source->asked[i].runs[j]);
    }
    return hostile->limit_bytes != 0 && more_bytes > hostile->limit_bytes;
}

void hostile_send_register(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    const uint32_t count = draw_batch(hostile);
    struct hostile_asked *asked = begin_asking(source);
    struct hostile_message message;

    if (!hostile_begin(hostile, &message, TYPE_REGISTER))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct hostile_region run;

        if (i < HOSTILE_ENTRIES_MAX) {
            draw_run(source, &run);
            if (hostile_is_over_limit(source, run_bytes(hostile, &run)) &&
                !hostile_does(hostile, HOSTILE_LIMIT))
                continue;
            asked->runs[asked->count++] = run;
        } else {
            run = asked->runs[i % (asked->count == 0 ? 1 : asked->count)];
        }
        if (asked->count > 0)
            put_run(source, &message, &run);
    }
    if (message.repeat == 0) { /* nothing fits: zeros do */
        source->asked_count--;
        hostile_send_compress(source);
        return;
    }
    if (count == 1 && hostile->is_odd[ODD_PADDING])
        message.repeat = 0; /* counts as 1 */
    hostile_send(hostile, &message);
}

void hostile_send_unregister(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    const uint32_t count = draw_batch(hostile);
    struct hostile_message message;

    if (!hostile_begin(hostile, &message, TYPE_UNREGISTER))
        return;
    for (uint32_t i = 0; i < hostile->region_count && message.repeat < count; i++) {
        struct hostile_region *region = &hostile->regions[i];
        uint64_t key = region->first_chunk;
        uint32_t block = region->block;
        const bool is_bent = hostile_does(hostile, HOSTILE_ENTRIES);

        if (!region->is_alive && !is_bent)
            continue;
        if (is_bent && hostile_pick(hostile, 4) == 3)
            block = hostile_bend32(hostile, hostile->block_count);
        else if (is_bent && hostile_pick(hostile, 2) == 1)
            key = edge(hostile, hostile_chunk_count(hostile, block));
        else if (is_bent)
            key = hostile_bend(hostile, key);
        hostile_put_register(hostile, &message, key, block, 0);
        region->is_alive = false;
    }
    if (message.repeat == 0) /* there is none */
        hostile_put_register(hostile, &message, 0, 0, 0);
    hostile_send(hostile, &message);
}

struct fill {
    uint32_t value;
    uint32_t block;
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

static void bend_fill(struct hostile *hostile, const struct hostile_block *block, struct fill *fill)
{
    const uint64_t end_bytes = block->offset_bytes + block->length_bytes;

    switch (hostile_pick(hostile, 10)) {
    case 0:
    case 1:
        fill->offset_bytes = edge(hostile, block->offset_bytes);
        break;
    case 2:
        fill->offset_bytes = edge(hostile, end_bytes);
        break;
    case 3:
    case 4: /* as far as the end of the block, or further */
        fill->length_bytes = edge(hostile, end_bytes - fill->offset_bytes);
        break;
    case 5: /* a sum of about 0 */
        fill->length_bytes = edge(hostile, 0 - fill->offset_bytes);
        break;
    case 6:
    case 7:
        fill->value = hostile_bend32(hostile, 256);
        break;
    case 8:
        fill->length_bytes = 0;
        break;
    default:
        fill->block = hostile_bend32(hostile, hostile->block_count);
        break;
    }
}

static void put_fill(struct hostile *hostile, struct hostile_message *message)
{
    const uint32_t index = hostile_pick(hostile, hostile->block_count);
    const struct hostile_block *block = &hostile->blocks[index];
    const uint64_t page_count = block->length_bytes / SIM_PAGE_BYTES;
    const uint32_t bound = page_count > 65536 ? 65536 : (uint32_t)page_count;
    const uint32_t first_page = hostile_pick(hostile, bound);
    const uint32_t more = hostile_pick(hostile, bound - first_page);
    struct fill fill = {
        .block = index,
        .offset_bytes = block->offset_bytes + first_page * SIM_PAGE_BYTES,
        .length_bytes = (1 + (uint64_t)more) * SIM_PAGE_BYTES,
    };

    if (hostile->is_odd[ODD_FILL_VALUES]) {
        fill.value = hostile_pick(hostile, 256);
        if (hostile_pick(hostile, 4) == 3) { /* a part of a page, at both ends */
            fill.offset_bytes += 100;
            fill.length_bytes -= 300;
        }
    }
    if (hostile_does(hostile, HOSTILE_ENTRIES))
        bend_fill(hostile, block, &fill);
    hostile_put_compress(message, fill.value, fill.block, fill.offset_bytes, fill.length_bytes);
}

void hostile_send_compress(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    const uint32_t count = draw_batch(hostile);
    struct hostile_message message;

    if (!hostile_begin(hostile, &message, TYPE_COMPRESS))
        return;
    for (uint32_t i = 0; i < count && i < HOSTILE_ENTRIES_MAX; i++)
        put_fill(hostile, &message);
    hostile_send(hostile, &message);
}
