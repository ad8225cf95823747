/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds of a source of ours: the guest's dirty log, the walk over it, when it is little enough. */
#include "ours_source.h"

#include "fail.h"
#include "guest.h"
#include "ram.h"

#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)
/* Less data says nothing about the rate. */
#define SAMPLE_BYTES_MIN (UINT64_C(1) << 20)

enum {
    DEFAULT_RUN_CHUNK_COUNT = 64,
    LET_GO_MAX = 8,
    AGAIN_MAX = 3,
    ON_TOP_MAX = 4,
    ON_TOP_PAGES_MAX = 600
};

static uint64_t page_count_of(const struct source *source, uint32_t block)
{
    return source->ours.blocks[block].length_bytes / SIM_PAGE_BYTES;
}

static struct guest *guest_of(const struct source *source)
{
    return source->ours.party.world->guest;
}

static void spend(struct source *source, uint64_t time_ns)
{
    port_spend(source->ours.party.port, time_ns);
}

/* ---- what the walker asks */

static struct ram_bitmap *walk_dirty(void *context, uint32_t block_index)
{
    return &((struct source *)context)->dirty[block_index];
}

static uint64_t walk_length_bytes(void *context, uint32_t block_index)
{
    return ((struct source *)context)->ours.blocks[block_index].length_bytes;
}

static uint64_t walk_scan_run(void *context, uint32_t block_index, uint64_t first_page,
                              uint64_t page_count, bool *is_zero)
{
    struct source *source = context;
    const struct world *world = source->ours.party.world;
    const struct costs *costs = &world->costs;
    uint64_t count;

    guest_advance(world->guest, ours_now_ns(&source->ours));
    count = ram_run(world->ram[RDMIG_ROLE_SOURCE], block_index, first_page, page_count, is_zero);
    if (*is_zero)
        spend(source, costs_time_ns(count * SIM_PAGE_BYTES, costs->scan_zero_bytes_per_s));
    else
        spend(source, count * costs->scan_data_page_ps / 1000);
    return count;
}

static bool walk_has_room(void *context)
{
    return rdmig_conn_range_room_count(((struct source *)context)->ours.conn) > 0;
}

static bool walk_push(void *context, const struct ram_range *range)
{
    struct source *source = context;
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_RANGE_PUSHED,
        .block_index = range->block_index,
        .offset_bytes = range->offset_bytes,
        .length = range->length_bytes,
        .register_end_bytes = range->register_end_bytes,
        .is_zero = range->is_zero,
    };

    ours_tell(&source->ours, &event);
    if (range->is_zero)
        source->last_zeros = *range;
    source->has_pushed = true;
    source->ours.is_round_open = true;
    return true;
}

static uint64_t walk_now_ns(void *context)
{
    return ours_now_ns(&((struct source *)context)->ours);
}

/* Whatever happens to anybody meanwhile: it cannot be known yet whether it is for us. */
static bool walk_has_news(void *context)
{
    const struct ours *ours = &((struct source *)context)->ours;

    return world_has_planned(ours->party.world, ours_now_ns(ours));
}

static const struct ram_walk_calls calls = {.dirty = walk_dirty,
                                            .length_bytes = walk_length_bytes,
                                            .scan_run = walk_scan_run,
                                            .has_room = walk_has_room,
                                            .push = walk_push,
                                            .now_ns = walk_now_ns,
                                            .has_news = walk_has_news};

/* ---- making it */

void rounds_make(struct source *source)
{
    const struct ours *ours = &source->ours;
    uint64_t words_max = 0;

    for (uint32_t i = 0; i < ours->block_count; i++) {
        const uint64_t page_count = page_count_of(source, i);
        const uint64_t word_count = ram_bitmap_word_count(page_count);

        source->words[i] = sim_allocated(malloc(word_count * sizeof(uint64_t)));
        ram_bitmap_init(&source->dirty[i], source->words[i], page_count);
        if (word_count > words_max)
            words_max = word_count;
    }
    source->log_words = sim_allocated(malloc(words_max * sizeof(uint64_t)));
    ram_walker_init(
        &source->walker, &calls, source, ours->block_count,
        ours->config.run_chunk_count ? ours->config.run_chunk_count : DEFAULT_RUN_CHUNK_COUNT, 0);
}

void rounds_free(struct source *source)
{
    for (uint32_t i = 0; i < RAM_BLOCKS_MAX; i++)
        free(source->words[i]);
    free(source->log_words);
}

/* ---- dirty pages */

static void take_log(struct source *source)
{
    const struct costs *costs = &source->ours.party.world->costs;

    for (uint32_t i = 0; i < source->ours.block_count; i++) {
        const uint64_t page_count = page_count_of(source, i);

        spend(source, ram_bitmap_word_count(page_count) * costs->bitmap_word_ps / 1000);
        if (guest_take_log(guest_of(source), i, ours_now_ns(&source->ours), source->log_words) > 0)
            (void)ram_bitmap_merge(&source->dirty[i], 0, source->log_words, page_count);
    }
}

static uint64_t dirty_bytes(const struct source *source)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < source->ours.block_count; i++)
        pages += ram_bitmap_count(&source->dirty[i]);
    return pages * SIM_PAGE_BYTES;
}

bool rounds_is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    const struct source *source = (const struct source *)party;
    const struct ram_walker *walker = &source->walker;
    const uint64_t at_bytes = page * SIM_PAGE_BYTES;

    return ram_bitmap_test(&source->dirty[block], page) ||
           (walker->segment_block == block && at_bytes >= walker->data_start_bytes &&
            at_bytes < walker->zero_end_bytes);
}

/* ---- letting go of regions (clause R8) */

/* True: on its way. */
static bool let_one_go(struct source *source)
{
    struct ours *ours = &source->ours;
    const uint32_t index = choice_below(ours->party.world->choice, ours->regions.count);
    const struct ours_region *region = &ours->regions.entries[index];
    const bool is_leaving = region->is_leaving; /* it makes room for another by itself */
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_UNREGISTER_REQUESTED,
        .block_index = region->block,
        .chunk_index = (uint32_t)(region->offset_bytes / RDMIG_CHUNK_BYTES),
    };
    const int result = ours_step(ours, &event);

    source->ours.is_letting_go = result == RDMIG_OK;
    source->ours.let_go_region = region->region;
    /* Between rounds nothing is in flight and nothing is being registered. */
    if (result != RDMIG_OK && result != -RDMIG_E_FAILED && result != -RDMIG_E_STATE &&
        source->stage == STAGE_LETTING_GO && !is_leaving)
        world_break(ours->party.world, "refusal", "the source's core does not let go of a region");
    return source->ours.is_letting_go;
}

static bool wants_to_let_go(struct source *source)
{
    struct world *world = source->ours.party.world;
    const struct ratio ratio = {world->options->unregister_permille, 1000};

    if (ratio.numerator == 0 || source->ours.is_letting_go || source->walker.is_pin_all ||
        source->ours.regions.count == 0 || source->let_go_count == LET_GO_MAX ||
        !choice_chance(world->choice, ratio))
        return false;
    source->let_go_count++;
    return true;
}

bool rounds_let_go(struct source *source)
{
    return !wants_to_let_go(source) || !let_one_go(source);
}

/* ---- rounds */

/* As the library has it: rdmig_source_downtime_estimate_ns(). */
static uint64_t estimate_ns(const struct source *source)
{
    if (dirty_bytes(source) == 0)
        return 0;
    return source->bytes_per_s == 0 ? UINT64_MAX
                                    : costs_time_ns(dirty_bytes(source), source->bytes_per_s);
}

static bool is_little(const struct source *source)
{
    const struct options *options = source->ours.party.world->options;

    if (source->round_count == 0)
        return false;
    return source->round_count >= options->round_count_max ||
           estimate_ns(source) <= options->downtime_limit_ns;
}

static uint64_t moved_bytes(const struct source *source)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(source->ours.conn, &counters);
    return counters.bytes_written + counters.bytes_zero;
}

void rounds_begin(struct source *source)
{
    struct party_numbers *numbers = &source->ours.party.numbers;

    take_log(source);
    if (is_little(source)) {
        guest_stop(guest_of(source), ours_now_ns(&source->ours));
        source->is_guest_stopped = true;
        numbers->stopped_ns = ours_now_ns(&source->ours);
        take_log(source);
        numbers->estimate_ns = estimate_ns(source);
    }
    source->round_start_bytes = moved_bytes(source);
    if (source->round_count == 0)
        numbers->first_round_start_ns = ours_now_ns(&source->ours);
    source->again_count = 0;
    source->on_top_count = 0;
    source->let_go_count = 0; /* some may go in the middle of it, too */
    ram_walker_start_round(&source->walker);
    source->stage = STAGE_ROUND;
}

/* Data is data, also when it is all zero, clean, or on its way already; best of all where zeros are
 * on theirs. */
static void push_some_data(struct source *source, uint32_t block)
{
    struct choice *choice = source->ours.party.world->choice;
    const uint32_t page_count = (uint32_t)page_count_of(source, block);
    const uint32_t zeros_page = (uint32_t)(source->last_zeros.offset_bytes / SIM_PAGE_BYTES);
    const bool is_over_zeros = source->last_zeros.length_bytes > 0 &&
                               source->last_zeros.block_index == block &&
                               choice_below(choice, 2) == 1;
    const uint32_t first = is_over_zeros ? zeros_page : choice_below(choice, page_count);
    const uint32_t left = page_count - first;
    const uint32_t count =
        1 + choice_below(choice, left < ON_TOP_PAGES_MAX ? left : ON_TOP_PAGES_MAX);
    const uint32_t reach = choice_below(choice, left - count + 1);
    const struct ram_range range = {
        .block_index = block,
        .offset_bytes = first * SIM_PAGE_BYTES,
        .length_bytes = count * SIM_PAGE_BYTES,
        .register_end_bytes = (first + count + reach) * SIM_PAGE_BYTES,
    };

    (void)walk_push(source, &range);
}

/* What is zero now may be said to be, whatever is on its way: a write of later is in the log. */
static void push_some_zeros(struct source *source, uint32_t block)
{
    struct world *world = source->ours.party.world;
    const uint32_t page_count = (uint32_t)page_count_of(source, block);
    const uint32_t first = choice_below(world->choice, page_count);
    struct ram_range range = {.block_index = block, .offset_bytes = first * SIM_PAGE_BYTES};
    bool is_zero;

    range.length_bytes =
        walk_scan_run(source, block, first, page_count - first, &is_zero) * SIM_PAGE_BYTES;
    range.register_end_bytes = range.offset_bytes + range.length_bytes;
    range.is_zero = true;
    if (is_zero)
        (void)walk_push(source, &range);
}

/* An application may push what it likes, in any order, over what it has pushed already. */
static void push_on_top(struct source *source)
{
    struct choice *choice = source->ours.party.world->choice;
    const uint32_t any_block = choice_below(choice, source->ours.block_count);
    const uint32_t which = choice_below(choice, 3);
    const uint32_t block = which == 2 ? source->last_zeros.block_index : any_block;

    source->on_top_count++;
    if (!walk_has_room(source) || page_count_of(source, block) > UINT32_MAX)
        return;
    if (which == 0)
        push_some_zeros(source, block);
    else
        push_some_data(source, block);
}

/* Ends the round; or goes over what has become dirty meanwhile, while the rest is still on its way.
 */
static bool end_walk(struct source *source)
{
    struct ours *ours = &source->ours;

    if (source->again_count < AGAIN_MAX && ours_chance(ours, 4)) {
        source->again_count++;
        take_log(source);
        ram_walker_start_round(&source->walker);
        return true;
    }
    if (!ours_ask(ours, RDMIG_EVENT_ROUND_CLOSED))
        return false;
    source->stage = STAGE_ENDING_ROUND;
    ours->is_round_closing = true;
    return true;
}

bool rounds_walk(struct source *source)
{
    struct ours *ours = &source->ours;
    uint64_t resume_ns = RDMIG_NO_DEADLINE;
    enum ram_walk walk;

    if (ours_is_exact(ours) && wants_to_let_go(source))
        (void)let_one_go(source);
    if (source->on_top_count < ON_TOP_MAX && ours_chance(ours, 8))
        push_on_top(source);
    source->has_pushed = false;
    walk = ram_walker_walk(&source->walker, true, &resume_ns);
    if (walk == RAM_WALK_DONE)
        return end_walk(source);
    /* After a call's worth of work others have their turn. */
    if (walk == RAM_WALK_PAUSED)
        ours_go_on_soon(ours);
    return source->has_pushed && walk == RAM_WALK_BLOCKED;
}

/* As src/migration/source_rate.c: a sample goes on over rounds until it is large enough; until then
 * a small one is better than none. */
static void measure(struct source *source)
{
    struct rdmig_conn_counters counters;
    uint64_t passed_ns;
    uint64_t bytes;

    rdmig_conn_counters(source->ours.conn, &counters);
    bytes = counters.bytes_written - source->sampled_bytes;
    passed_ns = counters.data_ns - source->sampled_ns;
    if (bytes == 0 || (bytes < SAMPLE_BYTES_MIN && source->sampled_bytes > 0))
        return;
    source->bytes_per_s =
        (uint64_t)((unsigned __int128)bytes * SECOND_NS / (passed_ns > 0 ? passed_ns : 1));
    if (bytes < SAMPLE_BYTES_MIN)
        return;
    source->sampled_bytes = counters.bytes_written;
    source->sampled_ns = counters.data_ns;
}

void rounds_ended(struct source *source)
{
    struct party_numbers *numbers = &source->ours.party.numbers;

    measure(source);
    ram_walker_end_round(&source->walker);
    if (source->round_count++ == 0) {
        numbers->first_round_end_ns = ours_now_ns(&source->ours);
        numbers->first_round_bytes = moved_bytes(source) - source->round_start_bytes;
    }
    if (source->is_guest_stopped)
        numbers->ram_end_ns = ours_now_ns(&source->ours);
}
