/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rounds of the source's VMM: the guest's dirty log, hints of free pages, when the guest is stopped;
 * and walking the pages itself, for a VMM that does.
 */
#include "vmm_source.h"

#include "fail.h"
#include "guest.h"

#include <inttypes.h>

#define MS_NS UINT64_C(1000000)

static struct world *world_of(const struct vmm_source *source)
{
    return source->vmm.party.world;
}

static uint64_t page_count_of(const struct vmm_source *source, uint32_t block)
{
    return world_of(source)->options->guest.block_bytes[block] / SIM_PAGE_BYTES;
}

static uint32_t block_count_of(const struct vmm_source *source)
{
    return world_of(source)->options->guest.block_count;
}

static void expect(struct vmm_source *source, const char *call, int result)
{
    if (result != RDMIG_OK)
        world_break(world_of(source), "call", "source: %s says %s in state %u", call,
                    rdmig_result_text(result), (unsigned)rdmig_source_state(source->handle));
}

/* ---- making it */

static void make_pages(struct vmm_pages *pages, uint64_t page_count, bool are_set)
{
    pages->words = sim_allocated(malloc(ram_bitmap_word_count(page_count) * sizeof(uint64_t)));
    ram_bitmap_init(&pages->bitmap, pages->words, page_count);
    if (are_set)
        (void)ram_bitmap_set_range(&pages->bitmap, 0, page_count);
}

void vmm_rounds_make(struct vmm_source *source)
{
    uint64_t words_max = 0;

    for (uint32_t i = 0; i < block_count_of(source); i++) {
        const uint64_t page_count = page_count_of(source, i);
        const uint64_t word_count = ram_bitmap_word_count(page_count);

        if (word_count > words_max)
            words_max = word_count;
        if (world_of(source)->options->has_big_ram)
            continue;
        make_pages(&source->late[i], page_count, true);
        make_pages(&source->owed[i], page_count, true);
        make_pages(&source->free[i], page_count, false);
    }
    source->log_words = sim_allocated(malloc(words_max * sizeof(uint64_t)));
}

void vmm_rounds_free(struct vmm_source *source)
{
    for (uint32_t i = 0; i < RAM_BLOCKS_MAX; i++) {
        free(source->late[i].words);
        free(source->owed[i].words);
        free(source->free[i].words);
    }
    free(source->log_words);
}

bool vmm_rounds_is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    const struct vmm_source *source = (const struct vmm_source *)party;

    return ram_bitmap_test(&source->late[block].bitmap, page) ||
           ram_bitmap_test(&source->free[block].bitmap, page);
}

bool vmm_rounds_is_free(const struct party *party, uint32_t block, uint64_t page)
{
    const struct vmm_source *source = (const struct vmm_source *)party;

    return source->free[block].words && ram_bitmap_test(&source->free[block].bitmap, page);
}

uint64_t vmm_rounds_dirty_bytes(const struct vmm_source *source)
{
    struct rdmig_progress progress;

    rdmig_source_progress(source->handle, &progress, sizeof(progress));
    return progress.bytes_dirty;
}

/* ---- dirty pages */

static void note_marks(struct vmm_source *source, uint32_t block, const uint64_t *words,
                       uint64_t first_page, uint64_t page_count)
{
    if (!source->late[block].words)
        return;
    (void)ram_bitmap_merge(&source->late[block].bitmap, first_page, words, page_count);
    (void)ram_bitmap_merge(&source->owed[block].bitmap, first_page, words, page_count);
    for (uint64_t i = 0; i < page_count; i++) {
        if ((words[i / 64] >> (i % 64) & 1) != 0)
            (void)ram_bitmap_clear_range(&source->free[block].bitmap, first_page + i, 1);
    }
}

static void mark_log(struct vmm_source *source, uint32_t block)
{
    const uint64_t page_count = page_count_of(source, block);

    expect(source, "mark_dirty",
           rdmig_source_mark_dirty(source->handle, block, source->log_words, 0, page_count));
    source->has_marked = true;
    note_marks(source, block, source->log_words, 0, page_count);
}

struct hint {
    uint32_t block; /* RAM_BLOCKS_MAX: none */
    uint64_t first_page;
    uint64_t page_count;
};

/* What the guest says that it does not need: it may think better of it at any time. */
static struct hint draw_hint(struct vmm_source *source)
{
    struct choice *choice = world_of(source)->choice;
    struct hint hint = {.block = RAM_BLOCKS_MAX};
    uint32_t page_count;

    if (!source->late[0].words || source->is_guest_stopped ||
        !process_chance(&source->vmm.process, 6))
        return hint;
    hint.block = choice_below(choice, block_count_of(source));
    page_count = (uint32_t)page_count_of(source, hint.block);
    hint.first_page = choice_below(choice, page_count);
    hint.page_count = 1 + choice_below(choice, page_count - (uint32_t)hint.first_page);
    return hint;
}

static void mark_hint(struct vmm_source *source, const struct hint *hint)
{
    /* Parts of pages at either end are not free. */
    const uint64_t before_bytes = hint->first_page > 0 ? 1 : 0;

    expect(source, "mark_free",
           rdmig_source_mark_free(source->handle, hint->block,
                                  hint->first_page * SIM_PAGE_BYTES - before_bytes,
                                  hint->page_count * SIM_PAGE_BYTES + before_bytes));
    (void)ram_bitmap_set_range(&source->free[hint->block].bitmap, hint->first_page,
                               hint->page_count);
    (void)ram_bitmap_clear_range(&source->owed[hint->block].bitmap, hint->first_page,
                                 hint->page_count);
}

/* The hints that have come, then the log, then both handed in, in this order. */
static void take_log(struct vmm_source *source)
{
    const struct costs *costs = &world_of(source)->costs;
    const struct hint hint = draw_hint(source);

    process_enter(&source->vmm.process);
    for (uint32_t i = 0; i < block_count_of(source); i++) {
        const uint64_t page_count = page_count_of(source, i);

        port_spend(source->vmm.party.port,
                   ram_bitmap_word_count(page_count) * costs->bitmap_word_ps / 1000);
        (void)guest_take_log(world_of(source)->guest, i, process_now_ns(&source->vmm.process),
                             source->log_words);
        if (hint.block == i)
            mark_hint(source, &hint);
        mark_log(source, i);
    }
}

/* What is marked, at the rate that the progress has. */
static void check_estimate(struct vmm_source *source, uint64_t estimate_ns)
{
    struct rdmig_progress progress;
    uint64_t expected_ns = UINT64_MAX;

    rdmig_source_progress(source->handle, &progress, sizeof(progress));
    if (progress.bytes_dirty == 0)
        expected_ns = 0;
    else if (progress.data_bytes_per_s != 0)
        expected_ns = costs_time_ns(progress.bytes_dirty, progress.data_bytes_per_s);
    if (estimate_ns < expected_ns - expected_ns / 64 ||
        (expected_ns != UINT64_MAX && estimate_ns > expected_ns + expected_ns / 64 + 1))
        world_break(world_of(source), "estimate",
                    "%" PRIu64 " ns for %" PRIu64 " bytes at %" PRIu64 " a second", estimate_ns,
                    progress.bytes_dirty, progress.data_bytes_per_s);
}

/* A device of the VMM's has written, or may have. */
static void mark_some(struct vmm_source *source)
{
    struct choice *choice = world_of(source)->choice;
    uint64_t words[2] = {0, 0};
    const uint32_t block = choice_below(choice, block_count_of(source));
    const uint32_t page = choice_below(choice, (uint32_t)page_count_of(source, block));

    expect(source, "mark_range",
           rdmig_source_mark_range(source->handle, block, page * SIM_PAGE_BYTES + 1, 1));
    source->has_marked = true;
    words[0] = UINT64_C(1) << (page % 64);
    note_marks(source, block, words, page - page % 64, page % 64 + 1);
}

/* ---- rounds */

static uint64_t moved_bytes(const struct vmm_source *source)
{
    struct rdmig_progress progress;

    rdmig_source_progress(source->handle, &progress, sizeof(progress));
    return progress.bytes_written + progress.bytes_zero;
}

/* The library's own answer is the one that the numbers give. */
static bool is_little(struct vmm_source *source)
{
    const struct options *options = world_of(source)->options;
    const uint64_t estimate_ns = rdmig_source_downtime_estimate_ns(source->handle);
    const bool is_converged =
        source->round_count > 0 && estimate_ns <= source->downtime_target_ms * MS_NS;

    if (rdmig_source_state(source->handle) == RDMIG_SOURCE_IDLE &&
        rdmig_source_converged(source->handle) != is_converged)
        world_break(world_of(source), "converged",
                    "converged() says %s with an estimate of %" PRIu64 " ns after %" PRIu32
                    " rounds",
                    is_converged ? "false" : "true", estimate_ns, source->round_count);
    check_estimate(source, estimate_ns);
    if (source->round_count == 0)
        return false;
    return source->round_count >= options->round_count_max ||
           estimate_ns <= options->downtime_limit_ns;
}

static void stop_guest(struct vmm_source *source)
{
    struct party_numbers *numbers = &source->vmm.party.numbers;

    guest_stop(world_of(source)->guest, process_now_ns(&source->vmm.process));
    source->is_guest_stopped = true;
    numbers->stopped_ns = process_now_ns(&source->vmm.process);
    expect(source, "guest_stopped", rdmig_source_guest_stopped(source->handle));
    take_log(source);
    numbers->estimate_ns = rdmig_source_downtime_estimate_ns(source->handle);
}

static void forget_late(struct vmm_source *source)
{
    for (uint32_t i = 0; i < block_count_of(source) && source->late[i].words; i++)
        (void)ram_bitmap_clear_range(&source->late[i].bitmap, 0, page_count_of(source, i));
}

void vmm_rounds_begin(struct vmm_source *source)
{
    struct party_numbers *numbers = &source->vmm.party.numbers;

    if (process_chance(&source->vmm.process, 8))
        mark_some(source);
    take_log(source);
    if (!source->is_guest_stopped && is_little(source))
        stop_guest(source);
    source->is_round_last = source->is_guest_stopped;
    source->round_start_bytes = moved_bytes(source);
    source->last_dirty_bytes = vmm_rounds_dirty_bytes(source);
    source->last_round_start_ns = process_now_ns(&source->vmm.process);
    if (source->round_count == 0)
        numbers->first_round_start_ns = process_now_ns(&source->vmm.process);
    forget_late(source);
    if (source->vmm.is_native) /* otherwise a hook may not have left yet */
        link_let_go(source->vmm.process.link);
    source->push_block = 0;
    source->push_page = 0;
    source->has_marked = false;
    vmm_call_begins(&source->vmm);
    if (source->is_pushing && source->owed[0].words)
        expect(source, "begin_round", rdmig_source_begin_round(source->handle));
    else
        expect(source, "start_round", rdmig_source_start_round(source->handle));
    vmm_call_ended(&source->vmm, "start_round");
}

/* The next run of pages that it owes; false: there is none. */
static bool find_owed(struct vmm_source *source, uint64_t *page_count)
{
    for (; source->push_block < block_count_of(source); source->push_block++) {
        const struct ram_bitmap *owed = &source->owed[source->push_block].bitmap;

        source->push_page = ram_bitmap_next_set(owed, source->push_page);
        if (source->push_page < owed->page_count) {
            *page_count = ram_bitmap_next_clear(owed, source->push_page) - source->push_page;
            return true;
        }
        source->push_page = 0;
    }
    return false;
}

static bool push_one(struct vmm_source *source)
{
    uint64_t page_count;
    int result;

    if (!find_owed(source, &page_count)) {
        vmm_call_begins(&source->vmm);
        expect(source, "end_round", rdmig_source_end_round(source->handle));
        vmm_call_ended(&source->vmm, "end_round");
        return true;
    }
    if (process_chance(&source->vmm.process, 4))
        page_count = 1 + choice_below(world_of(source)->choice, (uint32_t)page_count);
    vmm_call_begins(&source->vmm);
    result = rdmig_source_push(source->handle, source->push_block,
                               source->push_page * SIM_PAGE_BYTES, page_count * SIM_PAGE_BYTES);
    vmm_call_ended(&source->vmm, "push");
    if (result == -RDMIG_E_AGAIN || rdmig_source_state(source->handle) != RDMIG_SOURCE_SENDING)
        return false;
    expect(source, "push", result);
    (void)ram_bitmap_clear_range(&source->owed[source->push_block].bitmap, source->push_page,
                                 page_count);
    return true;
}

bool vmm_rounds_go_on(struct vmm_source *source)
{
    const bool is_pushing = source->is_pushing && source->owed[0].words;

    if (!source->is_guest_stopped && process_chance(&source->vmm.process, 24))
        take_log(source);
    if (!source->is_guest_stopped && process_chance(&source->vmm.process, 48))
        mark_some(source);
    /* Behind the last block the round has been ended. */
    if (!is_pushing || source->push_block > block_count_of(source))
        return false;
    if (!push_one(source))
        return false;
    if (source->push_block == block_count_of(source))
        source->push_block++;
    return source->push_block < block_count_of(source);
}

void vmm_rounds_ended(struct vmm_source *source)
{
    struct party_numbers *numbers = &source->vmm.party.numbers;
    const uint64_t now_ns = process_now_ns(&source->vmm.process);

    if (!source->has_marked && rdmig_source_converged(source->handle))
        world_break(world_of(source), "converged", "converged() says true, and no log has come");

    if (source->round_count++ == 0) {
        numbers->first_round_end_ns = now_ns;
        numbers->first_round_bytes = moved_bytes(source) - source->round_start_bytes;
    }
    if (source->is_round_last)
        numbers->ram_end_ns = now_ns;
}
