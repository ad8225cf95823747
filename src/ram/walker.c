/* SPDX-License-Identifier: BSD-2-Clause */
#include "walker.h"

/* Zeros shorter than this between data go with the data: a COMPRESS costs a round trip, a few pages
 * more cost less. */
#define ZERO_RUN_BYTES_MIN (UINT64_C(256) << 10)
/* Data is pushed in pieces, so that the link has work while the next piece is looked at: the first
 * one is small, for until then it has none, and each is twice the one before it, up to the most. */
#define FIRST_PUSH_BYTES (UINT64_C(1) << 20)
#define PUSH_BYTES_MAX   (UINT64_C(16) << 20)
/* Zeros are pushed in pieces of this much, so that the destination fills while the rest is looked
 * at. */
#define ZERO_PUSH_BYTES (UINT64_C(1) << 30)
/* A call yields when something has come: what the peer has answered waits for the caller's loop,
 * and with it the link, once its queue has run dry. Without any it ends after so long or so much memory
 * looked at; where memory is slow, or looked at for the first time, it is the time. */
#define SCAN_NS_PER_CALL    UINT64_C(4000000)
#define SCAN_BYTES_PER_CALL (UINT64_C(64) << 20)
/* Looked at between two looks at the descriptor and at the clock. */
#define CLOCK_BYTES (UINT64_C(1) << 20)
/* Pages looked at in one go: their dirty bits are cleared before and, where zeros and data meet,
 * partly set again. */
#define PIECE_PAGE_COUNT UINT64_C(256)
#define LOOK_GROWTH      2u
/* Chunks looked at ahead: at first; at most two runs, or this with ram_walker_lookahead(). */
#define FIRST_LOOK_CHUNK_COUNT 64u
#define LOOKAHEAD_CHUNK_COUNT  2048u
/* In holes, which are not read, pieces grow to this many. */
#define HOLE_PAGE_COUNT UINT64_C(16384)
/* A page of a hole costs this part of one that is read. */
#define HOLE_COST_PART 64
#define SECOND_NS      UINT64_C(1000000000)
/* A cap that no link reaches is none: the bucket counts with signs, and with room to spare. */
#define BANDWIDTH_MAX (UINT64_C(1) << 56)
#define BURST_NS      (SECOND_NS / 50)
/* A century: so that no cap, however low, makes a time that is none. */
#define PAUSE_NS_MAX (UINT64_C(100) * 365 * 86400 * SECOND_NS)

/* ---- the table of calls */

static struct ram_bitmap *dirty_of(const struct ram_walker *walker, uint32_t block_index)
{
    return walker->calls->dirty(walker->context, block_index);
}

static uint64_t scan_run(const struct ram_walker *walker, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count, bool *is_zero)
{
    return walker->calls->scan_run(walker->context, block_index, first_page, page_count, is_zero);
}

static uint64_t hole_run(const struct ram_walker *walker, uint64_t first_page, uint64_t page_count)
{
    if (!walker->calls->hole_run)
        return 0;
    return walker->calls->hole_run(walker->context, walker->block_index, first_page, page_count);
}

static bool has_room(const struct ram_walker *walker)
{
    return walker->calls->has_room(walker->context);
}

static bool should_yield(const struct ram_walker *walker)
{
    return walker->calls->should_yield && walker->calls->should_yield(walker->context);
}

static uint64_t now_ns(const struct ram_walker *walker)
{
    return walker->calls->now_ns(walker->context);
}

/* Looks at one page first: most memory in use shows its data there, and scan_run would count on
 * over all of it. */
static bool is_zero_run(const struct ram_walker *walker, uint32_t block_index, uint64_t first_page,
                        uint64_t page_count)
{
    bool is_zero;

    (void)scan_run(walker, block_index, first_page, 1, &is_zero);
    if (!is_zero || page_count == 1)
        return is_zero;
    return scan_run(walker, block_index, first_page, page_count, &is_zero) == page_count && is_zero;
}

/* ---- jobs */

void ram_walker_init(struct ram_walker *walker, const struct ram_walk_calls *calls, void *context,
                     uint32_t block_count, uint32_t run_chunk_count, uint64_t bandwidth_bytes_per_s)
{
    *walker = (struct ram_walker){
        .calls = calls,
        .context = context,
        .block_count = block_count,
        .run_chunk_count = run_chunk_count,
        .look_chunk_count =
            run_chunk_count < FIRST_LOOK_CHUNK_COUNT ? run_chunk_count : FIRST_LOOK_CHUNK_COUNT,
        .look_chunk_count_max = LOOK_GROWTH * run_chunk_count,
        .is_first_round = true,
        .piece_page_count = PIECE_PAGE_COUNT,
        .push_bytes = FIRST_PUSH_BYTES,
        .bandwidth_bytes_per_s = bandwidth_bytes_per_s > BANDWIDTH_MAX ? 0 : bandwidth_bytes_per_s,
        .filled_ns = calls->now_ns(context),
    };
}

void ram_walker_lookahead(struct ram_walker *walker)
{
    if (walker->look_chunk_count_max < LOOKAHEAD_CHUNK_COUNT)
        walker->look_chunk_count_max = LOOKAHEAD_CHUNK_COUNT;
}

static void set_block(struct ram_walker *walker, uint32_t block_index)
{
    walker->block_index = block_index;
    walker->page = 0;
    walker->end_page = dirty_of(walker, block_index)->page_count;
}

void ram_walker_start_round(struct ram_walker *walker)
{
    walker->is_active = true;
    walker->is_whole_round = true;
    walker->look_end_bytes = 0;
    walker->push_bytes = FIRST_PUSH_BYTES;
    set_block(walker, 0);
}

void ram_walker_end_round(struct ram_walker *walker)
{
    walker->is_first_round = walker->is_first_round && !walker->has_pushed;
}

bool ram_walker_add(struct ram_walker *walker, uint32_t block_index, uint64_t offset_bytes,
                    uint64_t length_bytes)
{
    struct ram_bitmap *dirty = dirty_of(walker, block_index);
    const uint64_t first_page = offset_bytes / RAM_WALK_PAGE_BYTES;
    const uint64_t end_page = (offset_bytes + length_bytes - 1) / RAM_WALK_PAGE_BYTES + 1;

    if (walker->is_active && (block_index != walker->block_index || first_page != walker->end_page))
        return false;
    ram_bitmap_set_range(dirty, first_page, end_page - first_page);
    if (!walker->is_active) {
        walker->block_index = block_index;
        walker->page = first_page;
    }
    walker->end_page = end_page;
    walker->is_active = true;
    walker->is_whole_round = false;
    return true;
}

/* ---- the bandwidth cap */

void ram_walker_charge(struct ram_walker *walker, uint64_t length_bytes)
{
    if (walker->bandwidth_bytes_per_s != 0)
        walker->allowance_bytes -= (double)length_bytes;
}

/* True: some may be sent. False: not before *resume_ns. */
static bool has_allowance(struct ram_walker *walker, uint64_t *resume_ns)
{
    const double rate = (double)walker->bandwidth_bytes_per_s / (double)SECOND_NS;
    const uint64_t at_ns = now_ns(walker);
    double pause_ns;

    if (walker->bandwidth_bytes_per_s == 0)
        return true;
    walker->allowance_bytes += rate * (double)(at_ns - walker->filled_ns);
    walker->filled_ns = at_ns;
    if (walker->allowance_bytes > rate * (double)BURST_NS)
        walker->allowance_bytes = rate * (double)BURST_NS;
    if (walker->allowance_bytes > 0)
        return true;
    /* Long enough for a page at least, so that a low cap does not turn into a busy loop. */
    pause_ns = ((double)RAM_WALK_PAGE_BYTES - walker->allowance_bytes) / rate;
    *resume_ns = at_ns + (pause_ns < (double)PAUSE_NS_MAX ? (uint64_t)pause_ns : PAUSE_NS_MAX);
    return false;
}

static uint64_t push_limit_bytes(const struct ram_walker *walker)
{
    const uint64_t burst_bytes = walker->bandwidth_bytes_per_s / (SECOND_NS / BURST_NS) /
                                 RAM_WALK_PAGE_BYTES * RAM_WALK_PAGE_BYTES;

    if (walker->bandwidth_bytes_per_s == 0 || burst_bytes > walker->push_bytes)
        return walker->push_bytes;
    return burst_bytes < RAM_WALK_PAGE_BYTES ? RAM_WALK_PAGE_BYTES : burst_bytes;
}

/* ---- pushing */

/* Is some of the chunk at this offset to be sent: dirty and not zero, as far as one can see? */
static bool is_chunk_wanted(const struct ram_walker *walker, uint64_t at_bytes,
                            uint64_t length_bytes)
{
    const struct ram_bitmap *dirty = dirty_of(walker, walker->segment_block);
    const uint64_t left_bytes = length_bytes - at_bytes;
    const uint64_t look_bytes =
        left_bytes < RAM_WALK_CHUNK_BYTES ? left_bytes : RAM_WALK_CHUNK_BYTES;
    const uint64_t first_page = at_bytes / RAM_WALK_PAGE_BYTES;

    return ram_bitmap_test(dirty, first_page) &&
           !is_zero_run(walker, walker->segment_block, first_page,
                        look_bytes / RAM_WALK_PAGE_BYTES);
}

static void adapt_look(struct ram_walker *walker, bool was_all_wanted)
{
    if (!was_all_wanted)
        walker->look_chunk_count = walker->run_chunk_count;
    else if (walker->look_chunk_count <= walker->look_chunk_count_max / LOOK_GROWTH)
        walker->look_chunk_count *= LOOK_GROWTH;
    else
        walker->look_chunk_count = walker->look_chunk_count_max;
}

/* Looks on from at_bytes, as far ahead of start_bytes as it may; returns how far all is wanted. */
static uint64_t look_ahead(struct ram_walker *walker, uint64_t start_bytes, uint64_t end_bytes,
                           uint64_t at_bytes)
{
    const uint64_t length_bytes =
        walker->calls->length_bytes(walker->context, walker->segment_block);
    const uint64_t chunk_start_bytes = start_bytes / RAM_WALK_CHUNK_BYTES * RAM_WALK_CHUNK_BYTES;
    uint64_t limit_bytes = chunk_start_bytes + walker->look_chunk_count * RAM_WALK_CHUNK_BYTES;

    if (limit_bytes > length_bytes)
        limit_bytes = length_bytes;
    at_bytes = (at_bytes + RAM_WALK_CHUNK_BYTES - 1) / RAM_WALK_CHUNK_BYTES * RAM_WALK_CHUNK_BYTES;
    while (at_bytes < limit_bytes && is_chunk_wanted(walker, at_bytes, length_bytes))
        at_bytes += RAM_WALK_CHUNK_BYTES;
    /* What stopped it once stops it again. */
    walker->is_look_stopped = at_bytes < limit_bytes || limit_bytes == length_bytes;
    adapt_look(walker, at_bytes >= limit_bytes);
    if (at_bytes <= limit_bytes)
        return at_bytes;
    return limit_bytes > end_bytes ? limit_bytes : end_bytes;
}

/*
 * How far registrations for data that ends here may reach: over the chunks that will be sent too.
 * Only in the first round: later most of it is registered, and a look costs more than it saves.
 * Looking is cheap where memory is in use, one page a chunk: so it goes twice as far each time
 * that all was wanted, and back to one run when it was not. It looks again when half of that is
 * left: scanning is about as slow as a fast link, and registering must not wait for it.
 */
static uint64_t register_end_bytes(struct ram_walker *walker, uint64_t start_bytes,
                                   uint64_t end_bytes)
{
    const bool is_inside =
        walker->look_block == walker->segment_block && walker->look_end_bytes >= end_bytes;
    const uint64_t enough_bytes = walker->look_chunk_count / 2 * RAM_WALK_CHUNK_BYTES;

    if (!walker->is_first_round || !walker->is_whole_round || walker->is_pin_all)
        return end_bytes;
    if (is_inside &&
        (walker->is_look_stopped || walker->look_end_bytes - end_bytes >= enough_bytes))
        return walker->look_end_bytes;
    walker->look_end_bytes =
        look_ahead(walker, start_bytes, end_bytes, is_inside ? walker->look_end_bytes : end_bytes);
    walker->look_block = walker->segment_block;
    return walker->look_end_bytes;
}

/* The caller has made sure of the room; a refusal here would lose dirty pages, so they are marked
 * again. */
static void push(struct ram_walker *walker, uint64_t start_bytes, uint64_t end_bytes, bool is_zero)
{
    const uint64_t reach_bytes =
        is_zero ? end_bytes : register_end_bytes(walker, start_bytes, end_bytes);
    const struct ram_range range = {
        .block_index = walker->segment_block,
        .offset_bytes = start_bytes,
        .length_bytes = end_bytes - start_bytes,
        .register_end_bytes = reach_bytes > end_bytes ? reach_bytes : end_bytes,
        .is_zero = is_zero,
    };

    walker->has_pushed = true;
    if (!walker->calls->push(walker->context, &range))
        ram_bitmap_set_range(dirty_of(walker, walker->segment_block),
                             start_bytes / RAM_WALK_PAGE_BYTES,
                             (end_bytes - start_bytes) / RAM_WALK_PAGE_BYTES);
    else if (!is_zero)
        ram_walker_charge(walker, end_bytes - start_bytes);
}

static uint64_t zero_bytes(const struct ram_walker *walker)
{
    return walker->zero_end_bytes - walker->data_end_bytes;
}

static bool is_segment_empty(const struct ram_walker *walker)
{
    return walker->zero_end_bytes == walker->data_start_bytes;
}

/* Pushes the first thing found: the data, or the zeros when there is no data. */
static void push_one(struct ram_walker *walker)
{
    if (walker->data_end_bytes > walker->data_start_bytes) {
        uint64_t end_bytes = walker->data_start_bytes + push_limit_bytes(walker);

        if (end_bytes > walker->data_end_bytes)
            end_bytes = walker->data_end_bytes;
        push(walker, walker->data_start_bytes, end_bytes, false);
        walker->data_start_bytes = end_bytes;
        if (walker->push_bytes < PUSH_BYTES_MAX)
            walker->push_bytes *= 2;
    } else {
        push(walker, walker->data_end_bytes, walker->zero_end_bytes, true);
        walker->data_start_bytes = walker->zero_end_bytes;
        walker->data_end_bytes = walker->zero_end_bytes;
    }
}

/* Zeros too short for a message of their own become data; a first round's lone zeros stay zeros,
 * they may never be touched. */
static void absorb_short_zeros(struct ram_walker *walker)
{
    const bool has_data = walker->data_end_bytes > walker->data_start_bytes;

    if (zero_bytes(walker) < ZERO_RUN_BYTES_MIN && (has_data || !walker->is_first_round))
        walker->data_end_bytes = walker->zero_end_bytes;
}

/* ---- walking */

/* Does the next piece begin where the segment ends? */
static bool is_adjacent(const struct ram_walker *walker, uint64_t first_page)
{
    return is_segment_empty(walker) || (walker->segment_block == walker->block_index &&
                                        walker->zero_end_bytes == first_page * RAM_WALK_PAGE_BYTES);
}

static void begin_segment(struct ram_walker *walker, uint64_t first_page)
{
    walker->segment_block = walker->block_index;
    walker->data_start_bytes = first_page * RAM_WALK_PAGE_BYTES;
    walker->data_end_bytes = walker->data_start_bytes;
    walker->zero_end_bytes = walker->data_start_bytes;
}

/* How many pages of a piece are alike, and in which way. */
static uint64_t look(struct ram_walker *walker, uint64_t first_page, uint64_t page_count,
                     bool *is_zero, uint64_t *looked_bytes)
{
    uint64_t count = hole_run(walker, first_page, page_count);

    *is_zero = count > 0;
    if (count > 0) {
        if (count == page_count && walker->piece_page_count < HOLE_PAGE_COUNT)
            walker->piece_page_count *= 2;
        *looked_bytes += count * RAM_WALK_PAGE_BYTES / HOLE_COST_PART;
        return count;
    }
    walker->piece_page_count = PIECE_PAGE_COUNT;
    if (page_count > PIECE_PAGE_COUNT)
        page_count = PIECE_PAGE_COUNT;
    count = scan_run(walker, walker->block_index, first_page, page_count, is_zero);
    *looked_bytes += count * RAM_WALK_PAGE_BYTES;
    return count;
}

/* Looks at a piece of a dirty run and adds it to the segment. */
static void take_piece(struct ram_walker *walker, uint64_t first_page, uint64_t page_count,
                       uint64_t *looked_bytes)
{
    struct ram_bitmap *dirty = dirty_of(walker, walker->block_index);
    bool is_zero;
    uint64_t taken_count;

    if (is_segment_empty(walker))
        begin_segment(walker, first_page);
    ram_bitmap_clear_range(dirty, first_page, page_count);
    taken_count = look(walker, first_page, page_count, &is_zero, looked_bytes);
    ram_bitmap_set_range(dirty, first_page + taken_count, page_count - taken_count);
    walker->page = first_page + taken_count;
    walker->zero_end_bytes = walker->page * RAM_WALK_PAGE_BYTES;
    if (!is_zero)
        walker->data_end_bytes = walker->zero_end_bytes;
}

/* The next dirty piece of the job; false: none left. */
static bool next_piece(struct ram_walker *walker, uint64_t *first_page, uint64_t *page_count)
{
    while (walker->is_active) {
        const struct ram_bitmap *dirty = dirty_of(walker, walker->block_index);

        if (ram_bitmap_next_run(dirty, walker->page, walker->piece_page_count, first_page,
                                page_count) &&
            *first_page < walker->end_page) {
            if (*page_count > walker->end_page - *first_page)
                *page_count = walker->end_page - *first_page;
            return true;
        }
        walker->is_active = walker->is_whole_round && walker->block_index + 1 < walker->block_count;
        if (walker->is_active)
            set_block(walker, walker->block_index + 1);
    }
    return false;
}

/*
 * Is the front of the segment ready to go? Data: when zeros long enough or nothing adjacent follow,
 * or there is plenty. Zeros without data: when they have ended, or there is plenty.
 */
static bool is_due(const struct ram_walker *walker, bool is_closed)
{
    if (is_segment_empty(walker))
        return false;
    if (is_closed)
        return true;
    if (walker->data_end_bytes > walker->data_start_bytes)
        return zero_bytes(walker) >= ZERO_RUN_BYTES_MIN ||
               walker->data_end_bytes - walker->data_start_bytes >= push_limit_bytes(walker);
    return zero_bytes(walker) >= ZERO_PUSH_BYTES;
}

/* New data after long zeros: the zeros must go first. True: the piece may be taken into the
 * segment. */
static bool may_take(const struct ram_walker *walker, uint64_t first_page)
{
    if (!is_adjacent(walker, first_page))
        return false;
    if (is_segment_empty(walker) || zero_bytes(walker) < ZERO_RUN_BYTES_MIN)
        return true;
    return is_zero_run(walker, walker->block_index, first_page, 1);
}

/* What one call has done, and when it looks at the clock and ends. */
struct call {
    uint64_t looked_bytes;
    uint64_t clock_at_bytes;
    uint64_t end_ns;
};

static bool is_over(const struct ram_walker *walker, struct call *call)
{
    if (call->looked_bytes < call->clock_at_bytes)
        return false;
    call->clock_at_bytes = call->looked_bytes + CLOCK_BYTES;
    return call->looked_bytes >= SCAN_BYTES_PER_CALL || should_yield(walker) ||
           now_ns(walker) >= call->end_ns;
}

enum ram_walk ram_walker_walk(struct ram_walker *walker, bool is_ending, uint64_t *resume_ns)
{
    struct call call = {.clock_at_bytes = CLOCK_BYTES, .end_ns = now_ns(walker) + SCAN_NS_PER_CALL};

    for (;;) {
        uint64_t first_page = 0;
        uint64_t page_count = 0;
        const bool has_piece = next_piece(walker, &first_page, &page_count);
        const bool is_closed =
            has_piece ? !may_take(walker, first_page) : walker->is_whole_round || is_ending;

        if (is_closed)
            absorb_short_zeros(walker);
        if (is_due(walker, is_closed)) {
            if (!has_room(walker))
                return RAM_WALK_BLOCKED;
            if (!has_allowance(walker, resume_ns))
                return RAM_WALK_PAUSED;
            push_one(walker);
            continue;
        }
        if (!has_piece)
            return RAM_WALK_DONE;
        if (is_over(walker, &call)) {
            *resume_ns = 0;
            return RAM_WALK_PAUSED;
        }
        take_piece(walker, first_page, page_count, &call.looked_bytes);
    }
}
