/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest: what it has written by a time is worked out when somebody looks.
 *
 * A write gives its page a token that the page has not had. Where pages come in order, one token a
 * lap does that, and chunks stay uniform; at random, each write has its own.
 */
#include "guest.h"

#include "choice.h"
#include "fail.h"

#include <string.h>

enum {
    WORD_PAGES = 64,
    /* So many writes for each page of a set leave e^-16 of it as it was: more are not carried out
       one by one when somebody looks at last. */
    RANDOM_WRITES_A_PAGE_MAX = 16
};

#define TOKEN_INITIAL 1u
#define TOKEN_FIRST   2u /* of a write */
#define TOKEN_COUNT   (RAM_TOKEN_FILLED(0) - TOKEN_FIRST)
#define NS_PER_S      UINT64_C(1000000000)

struct place {
    uint32_t block;
    uint64_t page;
    uint64_t left; /* pages to the block's end, this one too */
};

/* ---- the dirty log */

static uint64_t log_words(const struct guest_log *log)
{
    return log->page_count / WORD_PAGES + (log->page_count % WORD_PAGES != 0);
}

static void log_fill(struct guest_log *log)
{
    uint64_t whole = log->page_count / WORD_PAGES;

    memset(log->words, 0xff, (size_t)whole * sizeof(*log->words));
    if (log->page_count % WORD_PAGES != 0) {
        log->words[whole] = (UINT64_C(1) << log->page_count % WORD_PAGES) - 1;
    }
    log->set_count = log->page_count;
}

static inline void log_set(struct guest_log *log, uint64_t page)
{
    uint64_t *word = &log->words[page / WORD_PAGES];
    uint64_t bit = UINT64_C(1) << page % WORD_PAGES;

    log->set_count += (*word & bit) == 0;
    *word |= bit;
}

static void log_set_range(struct guest_log *log, uint64_t first_page, uint64_t page_count)
{
    while (page_count > 0) {
        uint64_t *word = &log->words[first_page / WORD_PAGES];
        uint64_t bit = first_page % WORD_PAGES;
        uint64_t count = page_count < WORD_PAGES - bit ? page_count : WORD_PAGES - bit;
        uint64_t mask = (count == WORD_PAGES ? UINT64_MAX : (UINT64_C(1) << count) - 1) << bit;

        log->set_count += (uint64_t)__builtin_popcountll(mask & ~*word);
        *word |= mask;
        first_page += count;
        page_count -= count;
    }
}

/* ---- small things */

/* 0 to bound - 1: the number scaled down, exact to 2^-64 of it. */
static inline uint64_t draw_below(uint64_t *generator, uint64_t bound)
{
    return (uint64_t)((unsigned __int128)generator_next(generator) * bound >> 64);
}

/* After 4 billion writes tokens come again: a page that has kept one for so long is none. */
static void spend_tokens(struct guest *guest, uint64_t count)
{
    guest->next_token =
        TOKEN_FIRST +
        (uint32_t)((guest->next_token - TOKEN_FIRST + count % TOKEN_COUNT) % TOKEN_COUNT);
}

static uint64_t total_pages(const struct guest *guest)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < guest->ram->block_count; i++) {
        count += guest->log[i].page_count;
    }
    return count;
}

/* The place of a page counted through all blocks. */
static inline struct place place_of(const struct guest *guest, uint64_t page)
{
    struct place place = {.page = page};

    while (place.page >= guest->log[place.block].page_count) {
        place.page -= guest->log[place.block].page_count;
        place.block++;
    }
    place.left = guest->log[place.block].page_count - place.page;
    return place;
}

static bool is_rezeroed(struct guest *guest)
{
    return guest->options->rezero_permille != 0 &&
           draw_below(&guest->generator, 1000) < guest->options->rezero_permille;
}

static inline void write_page(struct guest *guest, struct place place, uint32_t token)
{
    ram_set(guest->ram, place.block, place.page, 1, token);
    log_set(&guest->log[place.block], place.page);
}

/* ---- the workloads: so many writes, now */

static void write_nothing(struct guest *guest, uint64_t count)
{
    (void)guest;
    (void)count;
}

static void write_at_random(struct guest *guest, uint64_t page_count, uint64_t count)
{
    if (count / RANDOM_WRITES_A_PAGE_MAX >= page_count) {
        count = page_count * RANDOM_WRITES_A_PAGE_MAX;
    }
    while (count-- > 0) {
        bool is_zero = is_rezeroed(guest);
        uint64_t page = draw_below(&guest->generator, page_count);

        write_page(guest, place_of(guest, page), is_zero ? RAM_TOKEN_ZERO : guest->next_token);
        spend_tokens(guest, 1);
    }
}

static void write_random(struct guest *guest, uint64_t count)
{
    write_at_random(guest, total_pages(guest), count);
}

static void write_hot_set(struct guest *guest, uint64_t count)
{
    uint64_t hot = guest->options->hot_page_count;
    uint64_t page_count = guest->log[0].page_count;

    hot = hot < page_count ? hot : page_count;
    write_at_random(guest, hot > 0 ? hot : 1, count);
}

/* A lap writes every page of its kind: of several in a row only the last can still be seen. */
static uint64_t skip_laps(struct guest *guest, uint64_t lap_pages, uint64_t count)
{
    uint64_t laps = count / lap_pages;

    if (laps < 2) {
        return count;
    }
    spend_tokens(guest, laps - 1);
    return count - (laps - 1) * lap_pages;
}

static void advance_position(struct guest *guest, uint64_t pages, uint64_t end)
{
    guest->position += pages;
    if (guest->position >= end) {
        guest->position = 0;
        spend_tokens(guest, 1);
    }
}

static void write_sequential(struct guest *guest, uint64_t count)
{
    uint64_t end = total_pages(guest);

    count = skip_laps(guest, end, count);
    while (count > 0) {
        struct place place = place_of(guest, guest->position);
        uint64_t run = count < place.left ? count : place.left;

        if (guest->options->rezero_permille != 0) {
            run = 1;
            write_page(guest, place, is_rezeroed(guest) ? RAM_TOKEN_ZERO : guest->next_token);
        } else {
            ram_set(guest->ram, place.block, place.page, run, guest->next_token);
            log_set_range(&guest->log[place.block], place.page, run);
        }
        count -= run;
        advance_position(guest, run, end);
    }
}

static void write_sparse(struct guest *guest, uint64_t count)
{
    uint64_t end = total_pages(guest);
    uint64_t stride = guest->options->stride > 0 ? guest->options->stride : 1;

    count = skip_laps(guest, 1 + (end - 1) / stride, count);
    while (count-- > 0) {
        write_page(guest, place_of(guest, guest->position),
                   is_rezeroed(guest) ? RAM_TOKEN_ZERO : guest->next_token);
        advance_position(guest, stride, end);
    }
}

static void (*const workloads[WORKLOAD_COUNT])(struct guest *, uint64_t) = {
    [WORKLOAD_IDLE] = write_nothing,          [WORKLOAD_HOT_SET] = write_hot_set,
    [WORKLOAD_SEQUENTIAL] = write_sequential, [WORKLOAD_RANDOM] = write_random,
    [WORKLOAD_SPARSE] = write_sparse,
};

/* ---- the beginning */

/* Runs that are zero or not, each by itself. In a block too large to look at page by page they end
 * where chunks do. */
static void fill_block(struct guest *guest, uint32_t block, uint64_t *generator)
{
    enum { SMALL_BLOCK_PAGES = 1 << 20 };
    uint64_t page_count = guest->log[block].page_count;
    uint64_t run_pages = guest->options->zero_run_pages;
    uint32_t zero_percent = guest->options->zero_percent;
    uint64_t count;

    if (zero_percent == 0 || zero_percent >= 100) {
        run_pages = page_count;
    } else if (run_pages == 0 || page_count > SMALL_BLOCK_PAGES) {
        run_pages = 1 + (run_pages > 0 ? (run_pages - 1) / RAM_PAGES_PER_CHUNK : 0);
        run_pages *= RAM_PAGES_PER_CHUNK;
    }
    for (uint64_t page = 0; page < page_count; page += count) {
        count = page_count - page < run_pages ? page_count - page : run_pages;
        ram_set(guest->ram, block, page, count,
                draw_below(generator, 100) < zero_percent ? RAM_TOKEN_ZERO : TOKEN_INITIAL);
    }
}

void guest_init(struct guest *guest, const struct guest_options *options, struct ram *ram,
                uint64_t seed, uint64_t now_ns)
{
    memset(guest, 0, sizeof(*guest));
    guest->options = options;
    guest->ram = ram;
    guest->generator = seed;
    guest->next_token = TOKEN_FIRST;
    guest->advanced_ns = now_ns;
    guest->is_running = true;
    for (uint32_t i = 0; i < ram->block_count; i++) {
        struct guest_log *log = &guest->log[i];

        log->page_count = ram->blocks[i].page_count;
        log->words = sim_allocated(calloc((size_t)log_words(log), sizeof(*log->words)));
        log_fill(log);
        fill_block(guest, i, &guest->generator);
    }
}

void guest_free(struct guest *guest)
{
    for (uint32_t i = 0; i < RAM_BLOCKS_MAX; i++) {
        free(guest->log[i].words);
    }
    memset(guest, 0, sizeof(*guest));
}

/* ---- as time passes */

/* Writes of a guest that ran from 0 to that time: the whole part of at_ns * rate / 1 s. The
 * difference of two such counts has no drift, however often and at what times it is asked for. */
static uint64_t writes_until(uint64_t rate_per_s, uint64_t at_ns)
{
    return (uint64_t)((unsigned __int128)at_ns * rate_per_s / NS_PER_S);
}

void guest_advance(struct guest *guest, uint64_t now_ns)
{
    uint64_t rate_per_s = guest->options->writes_per_s;
    uint64_t count;

    if (!guest->is_running || now_ns <= guest->advanced_ns) {
        return;
    }
    count = writes_until(rate_per_s, now_ns) - writes_until(rate_per_s, guest->advanced_ns);
    guest->advanced_ns = now_ns;
    if (guest->options->workload == WORKLOAD_IDLE || guest->ram->block_count == 0 || count == 0) {
        return;
    }
    guest->write_count += count;
    workloads[guest->options->workload](guest, count);
}

void guest_stop(struct guest *guest, uint64_t now_ns)
{
    guest_advance(guest, now_ns);
    guest->is_running = false;
}

void guest_resume(struct guest *guest, struct ram *ram, uint64_t now_ns)
{
    if (ram->block_count != guest->ram->block_count) {
        sim_fail("guest", "goes on in a memory with other blocks");
    }
    guest_advance(guest, now_ns);
    guest->ram = ram;
    guest->is_running = true;
    if (now_ns > guest->advanced_ns) {
        guest->advanced_ns = now_ns;
    }
}

uint64_t guest_take_log(struct guest *guest, uint32_t block, uint64_t now_ns, uint64_t *words)
{
    struct guest_log *log;
    uint64_t set_count;
    size_t length_bytes;

    if (block >= guest->ram->block_count) {
        sim_fail("guest", "the log of a block that does not exist");
    }
    guest_advance(guest, now_ns);
    log = &guest->log[block];
    set_count = log->set_count;
    length_bytes = (size_t)log_words(log) * sizeof(*words);
    if (set_count == 0) { /* terabytes of nothing are not cleared again */
        memset(words, 0, length_bytes);
        return 0;
    }
    memcpy(words, log->words, length_bytes);
    memset(log->words, 0, length_bytes);
    log->set_count = 0;
    return set_count;
}

void guest_mark_all(struct guest *guest)
{
    for (uint32_t i = 0; i < guest->ram->block_count; i++) {
        log_fill(&guest->log[i]);
    }
}

bool guest_is_dirty(const struct guest *guest, uint32_t block, uint64_t page)
{
    return block < guest->ram->block_count && page < guest->log[block].page_count &&
           (guest->log[block].words[page / WORD_PAGES] >> page % WORD_PAGES & 1) != 0;
}
