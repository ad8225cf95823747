/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on a source, and what each may return. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

static struct source_model *model(void)
{
    return &world.source_model;
}

static enum rdmig_source_state state(void)
{
    return world.view.source.state;
}

static bool is_over(void)
{
    return state() >= RDMIG_SOURCE_COMPLETED;
}

static bool is_open(void)
{
    return state() < RDMIG_SOURCE_FINISHING;
}

static bool is_idle_with_blocks(void)
{
    return state() == RDMIG_SOURCE_IDLE && (!world.is_qemu || model()->is_exchange_asked);
}

/* Exactly one of the two, and what was done shows. */
static void expect(bool is_taken, int result)
{
    require(result == (is_taken ? 0 : -RDMIG_E_STATE), "taken, or refused, in the wrong state");
}

/* ---- life */

static void created(const struct rdmig_options *options, const struct list *list)
{
    memset(model(), 0, sizeof(*model()));
    model()->list = *list;
    if (options)
        model()->options = *options;
    model()->has_partner = world.destination != NULL;
    world.is_qemu = options && options->stream_format == RDMIG_STREAM_QEMU;
    world.written_bytes = 0;
    world.was_source_told = world.was_destination_told = false;
    guest_reset();
    for (uint32_t i = 0; i < list->block_count; i++)
        guest_marked(list, i, 0, list->blocks[i].length_bytes / RDMIG_PAGE_BYTES);
    world.guest.is_dirty_exact = true;
    world.causes |= world.destination ? 0 : CAUSE_ALONE;
    if (options && options->time_limit_ms != 0)
        world.causes |= CAUSE_SOURCE_LIMIT;
    if (options && (options->pinned_limit_bytes != 0 || options->reply_timeout_ms != 0 ||
                    options->connect_timeout_ms != 0 || options->probe_interval_ms != 0))
        world.causes |= CAUSE_LIMIT | CAUSE_TIME;
    world.destination_model.has_partner = true;
}

static void create(const char *host, const char *service, const struct list *list,
                   const struct rdmig_options *options, bool is_wrong, bool has_error)
{
    struct rdmig_source *source = (struct rdmig_source *)&world;
    struct rdmig_error error;
    int result;

    memset(&error, 0x55, sizeof(error));
    oracle_before("rdmig_source_create");
    result = rdmig_source_create(&source, host, service, list->is_null ? NULL : list->blocks,
                                 list->block_count, options, has_error ? &error : NULL);
    require((result == 0) == (source != NULL), "a handle and a result that contradict each other");
    require(result != 0 || list->is_good, "a list that no call takes was taken");
    require(result != 0 || !is_wrong, "no host or no port, and a source");
    if (result == 0) {
        require(!has_error || error.reason == RDMIG_REASON_NONE, "a success with a reason");
        created(options, list);
        world.source = source;
        oracle_renew();
        return;
    }
    require(source == NULL, "a refused create left a handle");
    if (has_error)
        oracle_error(&error);
    require(result != -RDMIG_E_INVALID || !has_error || error.reason == RDMIG_REASON_CALLER ||
                error.reason == RDMIG_REASON_PINNED_LIMIT,
            "a mistake of the caller's that has another reason");
    require(result == -RDMIG_E_INVALID || result == -RDMIG_E_SYSTEM || result == -RDMIG_E_MEMORY,
            "create returned what it does not document");
    oracle_after(CALLER_NOBODY, 0);
}

void source_create_sane(const struct rdmig_options *options)
{
    struct list list;

    list_all(false, &list);
    create("there", "4444", &list, options, false, true);
}

/* A source belongs to one destination: another one's news are not for it. */
void call_source_create(struct draw *draw)
{
    static const char *const hosts[] = {"there", "10.0.0.1", NULL, ""};
    const uint32_t which = draw_below(draw, 4);
    const char *host = hosts[draw_seldom(draw) ? which : 0];
    const char *service = draw_seldom(draw) ? hosts[2 + which % 2] : "4444";
    const bool is_wrong = !host || !service || host[0] == '\0' || service[0] == '\0';
    struct rdmig_options options;
    struct list list;
    bool has_options;

    draw_options(draw, draw_seldom(draw), &options);
    draw_list(draw, false, &list);
    if (list.is_good && !is_wrong &&
        (world.source || (world.destination && world.destination_model.has_partner)))
        list.blocks[0].name = "", list.is_good = false;
    if (draw_seldom(draw)) {
        list.block_count = 0;
        list.is_good = false;
    }
    has_options = !draw_seldom(draw);
    create(host, service, &list, has_options ? &options : NULL, is_wrong, !draw_seldom(draw));
}

void source_destroy(void)
{
    oracle_before("rdmig_source_destroy");
    rdmig_source_destroy(world.source);
    if (world.source && state() != RDMIG_SOURCE_COMPLETED)
        world.causes |= CAUSE_SOURCE_GONE;
    world.source = NULL;
    oracle_renew();
}

void call_source_destroy(struct draw *draw)
{
    (void)draw;
    source_destroy();
}

/* ---- time */

void source_process(void)
{
    if (!world.source)
        return;
    oracle_before("rdmig_source_process");
    oracle_after(CALLER_SOURCE, rdmig_source_process(world.source));
}

void call_source_process(struct draw *draw)
{
    (void)draw;
    source_process();
}

void call_source_wait(struct draw *draw)
{
    static const uint32_t timeouts_ms[] = {0, 0, 1, 10, 2000, 100000, INT32_MAX, UINT32_MAX};
    const uint32_t drawn = draw_below(draw, 16);
    const enum rdmig_source_state from =
        drawn < 8 ? state() : (enum rdmig_source_state)draw_wild(draw, 8);
    const uint32_t timeout_ms = timeouts_ms[drawn % 8];
    const uint64_t start_ns = link_now_ns();
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_wait");
    (void)clock_was_interrupted();
    result = rdmig_source_wait(world.source, from, timeout_ms);
    require(result != 0 || rdmig_source_state(world.source) != from, "a wait for nothing");
    oracle_waited(result, timeout_ms, start_ns,
                  rdmig_source_is_closed(world.source) && rdmig_source_state(world.source) == from);
}

/* ---- dirty memory */

void call_source_mark_dirty(struct draw *draw)
{
    static uint64_t words[(CALLS_PAGES_MAX + 63) / 64 + 1];
    const uint32_t block = (uint32_t)draw_wild(draw, model()->list.block_count);
    const bool is_block = world.source && block < model()->list.block_count;
    const uint64_t page_count =
        is_block ? model()->list.blocks[block].length_bytes / RDMIG_PAGE_BYTES : 100;
    const uint64_t first =
        draw_seldom(draw) ? draw_wild(draw, page_count) : draw_below(draw, 5) * UINT64_C(64);
    const uint64_t count = draw_wild(draw, page_count + 2);
    const uint8_t pattern = draw_byte(draw);
    const bool is_good = is_block && first % 64 == 0 && first < page_count &&
                         count <= page_count - first && (pattern != 0 || count == 0);
    /* The words that the call may read, and no more: the sanitizer sees it. */
    const uint64_t word_count = is_good ? (count + 63) / 64 : sizeof(words) / sizeof(words[0]);
    uint64_t *given = malloc(word_count * sizeof(*given) + 1);
    int result;

    if (!world.source || !given) {
        free(given);
        return;
    }
    memset(given, pattern, word_count * sizeof(*given));
    oracle_before("rdmig_source_mark_dirty");
    result = rdmig_source_mark_dirty(world.source, block, pattern ? given : NULL, first, count);
    free(given);
    if (is_open())
        require(result == (is_good ? 0 : -RDMIG_E_INVALID),
                "a log that was taken, or not, wrongly");
    require(is_open() || result < 0, "a log was taken that no round sends");
    require(result == 0 || result == -RDMIG_E_STATE || (result == -RDMIG_E_INVALID && !is_good),
            "mark_dirty returned what it does not document");
    if (result == 0) {
        for (uint64_t i = 0; i < count; i++) {
            if (pattern >> (i % 8) & 1)
                guest_marked(&model()->list, block, first + i, 1);
        }
        model()->is_log_current = true;
        model()->is_marked_in_round |= state() == RDMIG_SOURCE_SENDING;
    }
    oracle_after(CALLER_SOURCE, result);
}

struct range {
    uint32_t block;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    bool is_good;
};

static struct range draw_range(struct draw *draw)
{
    struct range range = {.block = (uint32_t)draw_wild(draw, model()->list.block_count)};
    uint64_t block_bytes = 0;

    if (range.block < model()->list.block_count)
        block_bytes = model()->list.blocks[range.block].length_bytes;
    if (draw_seldom(draw)) {
        range.offset_bytes = draw_wild(draw, block_bytes);
        range.length_bytes = draw_wild(draw, block_bytes - range.offset_bytes);
    } else {
        range.offset_bytes = draw_wild(draw, block_bytes / RDMIG_PAGE_BYTES) * RDMIG_PAGE_BYTES;
        range.length_bytes = (1 + draw_wild(draw, 20)) * RDMIG_PAGE_BYTES;
    }
    range.is_good = range.length_bytes > 0 && range.offset_bytes < block_bytes &&
                    range.length_bytes <= block_bytes - range.offset_bytes;
    return range;
}

static uint64_t first_page(const struct range *range)
{
    return range->offset_bytes / RDMIG_PAGE_BYTES;
}

/* All pages that it touches. */
static uint64_t touched_count(const struct range *range)
{
    return (range->offset_bytes + range->length_bytes - 1) / RDMIG_PAGE_BYTES - first_page(range) +
           1;
}

void call_source_mark_range(struct draw *draw)
{
    const struct range range = draw_range(draw);
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_mark_range");
    result =
        rdmig_source_mark_range(world.source, range.block, range.offset_bytes, range.length_bytes);
    if (is_open())
        require(result == (range.is_good ? 0 : -RDMIG_E_INVALID), "a range taken, or not, wrongly");
    require(is_open() || result == -RDMIG_E_STATE, "a range was marked that no round sends");
    require(result == 0 || result == -RDMIG_E_STATE ||
                (result == -RDMIG_E_INVALID && !range.is_good),
            "mark_range returned what it does not document");
    if (result == 0) {
        guest_marked(&model()->list, range.block, first_page(&range), touched_count(&range));
        model()->is_log_current = true;
        model()->is_marked_in_round |= state() == RDMIG_SOURCE_SENDING;
    }
    oracle_after(CALLER_SOURCE, result);
}

void call_source_mark_free(struct draw *draw)
{
    const struct range range = draw_range(draw);
    const uint64_t from = (range.offset_bytes + RDMIG_PAGE_BYTES - 1) / RDMIG_PAGE_BYTES;
    const uint64_t to = (range.offset_bytes + range.length_bytes) / RDMIG_PAGE_BYTES;
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_mark_free");
    result =
        rdmig_source_mark_free(world.source, range.block, range.offset_bytes, range.length_bytes);
    if (is_open())
        require(result == (range.is_good ? 0 : -RDMIG_E_INVALID), "a range freed, or not, wrongly");
    require(!is_over() || result == -RDMIG_E_STATE, "a range was freed at an end");
    require(result == 0 || result == -RDMIG_E_STATE ||
                (result == -RDMIG_E_INVALID && !range.is_good),
            "mark_free returned what it does not document");
    if (result == 0 && to > from) {
        guest_freed(&model()->list, range.block, from, to - from);
        model()->is_marked_in_round |= state() == RDMIG_SOURCE_SENDING;
    }
    oracle_after(CALLER_SOURCE, result);
}

/* ---- rounds */

static void open_round(int result, bool is_pushing)
{
    expect(is_idle_with_blocks(), result);
    if (result == 0) {
        model()->is_in_round = true;
        model()->is_pushing = is_pushing;
        model()->is_marked_in_round = false;
    }
    oracle_after(CALLER_SOURCE, result);
}

void call_source_start_round(struct draw *draw)
{
    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_start_round");
    open_round(rdmig_source_start_round(world.source), false);
}

void call_source_begin_round(struct draw *draw)
{
    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_begin_round");
    open_round(rdmig_source_begin_round(world.source), true);
}

static bool is_pushing(void)
{
    return state() == RDMIG_SOURCE_SENDING && model()->is_pushing;
}

void call_source_push(struct draw *draw)
{
    const struct range range = draw_range(draw);
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_push");
    result = rdmig_source_push(world.source, range.block, range.offset_bytes, range.length_bytes);
    if (!is_pushing())
        require(result == -RDMIG_E_STATE, "pushed in the wrong state");
    else if (!range.is_good)
        require(result == -RDMIG_E_INVALID, "a range that is none was pushed");
    else
        require(result == 0 || result == -RDMIG_E_AGAIN, "push returned what it does not document");
    if (result == 0)
        guest_pushed(&model()->list, range.block, first_page(&range), touched_count(&range));
    /* Refused for want of room it has worked, as process() would have. */
    oracle_after(CALLER_SOURCE, result == -RDMIG_E_AGAIN ? 0 : result);
}

void call_source_end_round(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_end_round");
    result = rdmig_source_end_round(world.source);
    expect(is_pushing(), result);
    if (result == 0)
        model()->is_pushing = false;
    oracle_after(CALLER_SOURCE, result);
}

/* ---- the stream */

static void write_stream(const void *bytes, uint64_t length_bytes)
{
    int64_t result;

    oracle_before("rdmig_source_stream_write");
    result = rdmig_source_stream_write(world.source, bytes, length_bytes);
    if (state() == RDMIG_SOURCE_IDLE)
        require(bytes || length_bytes == 0 ? result >= 0 && (uint64_t)result <= length_bytes
                                           : result == -RDMIG_E_INVALID,
                "stream_write returned what it does not document");
    else
        require(result == -RDMIG_E_STATE || result == -RDMIG_E_FAILED, "written in a wrong state");
    require(result != -RDMIG_E_FAILED || world.view.source.error.reason != RDMIG_REASON_NONE,
            "FAILED, and nothing has failed");
    if (result > 0) {
        memcpy(world.written + world.written_bytes, bytes, (size_t)result);
        world.written_bytes += (uint64_t)result;
    }
    oracle_after(CALLER_SOURCE, result);
}

void call_source_stream_write(struct draw *draw)
{
    static uint8_t bytes[UINT64_C(600) << 10];
    uint64_t length_bytes =
        draw_seldom(draw) ? draw_below(draw, 600) << 10 : draw_below(draw, 5000);

    if (!world.source)
        return;
    if (length_bytes > CALLS_STREAM_MAX - world.written_bytes)
        length_bytes = CALLS_STREAM_MAX - world.written_bytes;
    for (uint64_t i = 0; i < length_bytes; i++)
        bytes[i] = (uint8_t)((world.written_bytes + i) * 31 >> 3);
    if (world.is_qemu)
        world.causes |= CAUSE_STREAM;
    write_stream(draw_seldom(draw) ? NULL : bytes, length_bytes);
}

static uint8_t *put(uint8_t *at, uint64_t value, uint32_t count)
{
    while (count-- > 0)
        *at++ = (uint8_t)(value >> 8 * count);
    return at;
}

/* The beginning of a QEMU's stream, with the source's blocks. */
void call_source_opening(struct draw *draw)
{
    static const uint8_t head[] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3, 7, 0, 0,
                                   0,   2,   'p', 'c', 1, 0, 0, 0, 2, 3, 'r',
                                   'a', 'm', 0,   0,   0, 0, 0, 0, 0, 4};
    uint8_t bytes[1400];
    uint8_t *at = bytes + sizeof(head);
    const struct list *list = &model()->list;
    uint64_t total_bytes = 0;

    (void)draw;
    if (!world.source || !world.is_qemu || world.written_bytes > CALLS_STREAM_MAX / 2)
        return;
    if (world.written_bytes > 0)
        world.causes |= CAUSE_STREAM;
    memcpy(bytes, head, sizeof(head));
    for (uint32_t i = 0; i < list->block_count; i++)
        total_bytes += list->blocks[i].length_bytes;
    at = put(at, total_bytes | 4, 8);
    for (uint32_t i = 0; i < list->block_count; i++) {
        const size_t name_bytes = strlen(list->blocks[i].name);

        *at++ = (uint8_t)name_bytes;
        memcpy(at, list->blocks[i].name, name_bytes);
        at = put(at + name_bytes, list->blocks[i].length_bytes, 8);
    }
    at = put(at, 0x80, 8);
    write_stream(bytes, (uint64_t)(at - bytes));
}

void call_source_stream_flush(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_stream_flush");
    result = rdmig_source_stream_flush(world.source);
    expect(world.is_qemu && state() == RDMIG_SOURCE_IDLE, result);
    oracle_after(CALLER_SOURCE, result);
}

void call_source_exchange_blocks(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    if (world.written_bytes == 0)
        world.causes |= CAUSE_STREAM; /* asked for before they were named */
    oracle_before("rdmig_source_exchange_blocks");
    result = rdmig_source_exchange_blocks(world.source);
    expect(world.is_qemu && state() == RDMIG_SOURCE_IDLE && !model()->is_exchange_asked, result);
    model()->is_exchange_asked |= result == 0;
    oracle_after(CALLER_SOURCE, result);
}

/* ---- the end */

void call_source_finish(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_finish");
    result = rdmig_source_finish(world.source);
    expect(is_idle_with_blocks() && world.view.source.progress.bytes_dirty == 0, result);
    model()->is_finished |= result == 0;
    oracle_after(CALLER_SOURCE, result);
}

void call_source_finish_with(struct draw *draw)
{
    static uint8_t end[UINT64_C(600) << 10];
    uint64_t length_bytes = draw_seldom(draw) ? draw_below(draw, 600) << 10 : draw_below(draw, 50);
    int result;

    if (!world.source)
        return;
    if (length_bytes > CALLS_STREAM_MAX - world.written_bytes)
        length_bytes = CALLS_STREAM_MAX - world.written_bytes;
    if (world.is_qemu)
        world.causes |= CAUSE_STREAM;
    oracle_before("rdmig_source_finish_with");
    result = rdmig_source_finish_with(world.source, end, length_bytes);
    if (result == -RDMIG_E_INVALID)
        require(length_bytes == 0, "an end of some bytes is invalid");
    else
        expect(world.is_qemu && length_bytes > 0 && is_idle_with_blocks() &&
                   world.view.source.progress.bytes_dirty == 0,
               result);
    if (result == 0) {
        memset(world.written + world.written_bytes, 0, (size_t)length_bytes);
        world.written_bytes += length_bytes;
        model()->is_finished = true;
    }
    oracle_after(CALLER_SOURCE, result);
}

void call_source_cancel(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_cancel");
    result = rdmig_source_cancel(world.source);
    if (state() == RDMIG_SOURCE_COMPLETED)
        require(result == -RDMIG_E_STATE, "cancelled after the end");
    else if (state() == RDMIG_SOURCE_FINISHING)
        require(result == 0 || result == -RDMIG_E_STATE, "cancel: not documented");
    else
        require(result == 0, "cancel was refused before the hand-over");
    if (result == 0)
        world.causes |= CAUSE_SOURCE_CANCEL;
    if (result == 0 && state() < RDMIG_SOURCE_CANCELLING)
        model()->is_cancelled = true;
    oracle_after(CALLER_SOURCE, result);
}

void call_source_guest_stopped(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.source)
        return;
    oracle_before("rdmig_source_guest_stopped");
    result = rdmig_source_guest_stopped(world.source);
    require(result == 0 || result == -RDMIG_E_STATE, "guest_stopped: not documented");
    require(!is_open() || result == 0, "guest_stopped was refused before the hand-over");
    require(!is_over() || result != 0, "guest_stopped was taken at an end");
    if (result == 0) /* the downtime is counted anew */
        world.view.source.progress.downtime_ns = 0;
    oracle_after(CALLER_SOURCE, result);
}

void call_source_progress(struct draw *draw)
{
    const size_t whole_bytes = sizeof(struct rdmig_progress);
    const size_t length_bytes = (size_t)draw_below(draw, (uint32_t)whole_bytes + 40);
    uint8_t *out = malloc(length_bytes + 1);

    if (world.source && out) {
        oracle_before("rdmig_source_progress");
        out[length_bytes] = 0x55;
        rdmig_source_progress(world.source, (struct rdmig_progress *)(void *)out, length_bytes);
        require(memcmp(out, &world.view.source.progress,
                       length_bytes < whole_bytes ? length_bytes : whole_bytes) == 0,
                "a part of the numbers is not that of the whole");
        for (size_t i = whole_bytes; i < length_bytes; i++)
            require(out[i] == 0, "what a later version has is not 0");
        require(out[length_bytes] == 0x55, "numbers beyond the caller's struct");
        oracle_after(CALLER_NOBODY, 0);
    }
    free(out);
}

/* ---- others */

void call_source_wait_closed(struct draw *draw)
{
    static const uint32_t timeouts_ms[] = {0, 1, 2000, 100000};
    const uint32_t timeout_ms = timeouts_ms[draw_below(draw, 4)];
    const uint64_t start_ns = link_now_ns();
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_wait_closed");
    (void)clock_was_interrupted();
    result = rdmig_source_wait_closed(world.source, timeout_ms);
    (void)clock_was_interrupted();
    require((result == -RDMIG_E_STATE) == (state() < RDMIG_SOURCE_CANCELLING),
            "waited, or not, in the wrong state");
    require(result != 0 || rdmig_source_is_closed(world.source), "waited, and it is not closed");
    require(result != -RDMIG_E_AGAIN || link_now_ns() - start_ns >= (uint64_t)timeout_ms * 1000000,
            "a wait was over too soon");
    require(result == 0 || result == -RDMIG_E_AGAIN || result == -RDMIG_E_STATE,
            "wait_closed returned what it does not document");
    oracle_after(CALLER_BOTH, result == -RDMIG_E_AGAIN ? 0 : result);
}

void call_source_set_trace(struct draw *draw)
{
    const uint32_t kinds = (uint32_t)draw_wild(draw, 16);
    const bool has_writer = !draw_seldom(draw);
    int result;

    if (!world.source)
        return;
    oracle_before("rdmig_source_set_trace");
    result = rdmig_source_set_trace(world.source, kinds, has_writer ? oracle_trace : NULL, &world);
    require(result == (kinds < 16 && (has_writer || kinds == 0) ? 0 : -RDMIG_E_INVALID),
            "a trace taken, or not, wrongly");
    oracle_after(CALLER_NOBODY, 0);
}
