/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMM calls on the source (include/rdmig/rdmig.h has the contract). */
#include "source.h"

#include "memory_kinds.h"

#include "qemu/native.h"

#include <stdlib.h>
#include <string.h>

#define STATE_BYTES_MAX (UINT64_C(256) << 10) /* of the VMM's state in one section */

static int open_link(struct rdmig_source *source, const char *host, const char *service,
                     struct rdmig_error *error)
{
    struct link_config config = {.host = host,
                                 .service = service,
                                 .is_relaxed_wanted = source->options.relaxed_ordering,
                                 .is_on_demand_wanted = source->options.on_demand_paging,
                                 .trace = &source->trace};
    struct budget_facts facts;
    int result;

    budget_ask_system(&facts);
    result = budget_decide(source->options.pinned_limit_bytes, &facts,
                           memory_piece_bytes(&source->memory), &source->budget, error);
    if (result != RDMIG_OK)
        return result;
    options_conn_config(&source->options, RDMIG_ROLE_SOURCE, &source->budget,
                        source->memory.bytes_total, &config.conn);
    result = link_create(&source->link, &config, error);
    return result == RDMIG_OK ? waker_open(&source->waker, link_fd(source->link), error) : result;
}

static int open_source(struct rdmig_source *source, const char *host, const char *service,
                       const struct rdmig_ram_block *blocks, uint32_t block_count,
                       const struct rdmig_options *options, struct rdmig_error *error)
{
    int result = options_complete(options, &source->options, error);

    if (result == RDMIG_OK && (!host || !service || host[0] == '\0' || service[0] == '\0')) {
        error_set(error, RDMIG_REASON_CALLER, 0, "name the destination's host and port",
                  "no host or no port to connect to was given");
        result = -RDMIG_E_INVALID;
    }
    if (result == RDMIG_OK)
        result = memory_init(&source->memory, blocks, block_count, true, error);
    if (result == RDMIG_OK)
        result = memory_kinds_check(&source->memory, false, error);
    if (result == RDMIG_OK)
        source->holes = holes_create();
    if (result == RDMIG_OK && (!source->holes || !source_build_prefix(source))) {
        error_set(error, RDMIG_REASON_MEMORY, 0, "free memory", "no memory for the source");
        result = -RDMIG_E_MEMORY;
    }
    return result == RDMIG_OK ? open_link(source, host, service, error) : result;
}

int rdmig_source_create(struct rdmig_source **out, const char *host, const char *service,
                        const struct rdmig_ram_block *blocks, uint32_t block_count,
                        const struct rdmig_options *options, struct rdmig_error *error)
{
    struct rdmig_source *source = calloc(1, sizeof(*source));
    int result;

    *out = NULL;
    if (error)
        *error = (struct rdmig_error){0};
    if (!source) {
        error_set(error, RDMIG_REASON_MEMORY, 0, "free memory", "no memory for the source");
        return -RDMIG_E_MEMORY;
    }
    source->waker = (struct waker){.epoll_fd = -1, .timer_fd = -1};
    source->stats.start_ns = link_now_ns(); /* the first use of RDMA in a process takes long */
    result = open_source(source, host, service, blocks, block_count, options, error);
    if (result != RDMIG_OK) {
        rdmig_source_destroy(source);
        return result;
    }
    source_init_walker(source);
    source_advance(source);
    *out = source;
    return RDMIG_OK;
}

void rdmig_source_destroy(struct rdmig_source *source)
{
    if (!source)
        return;
    waker_close(&source->waker);
    link_destroy(source->link);
    memory_free(&source->memory);
    holes_destroy(source->holes);
    free(source->outbox);
    free(source);
}

int rdmig_source_fd(const struct rdmig_source *source)
{
    return source->waker.epoll_fd;
}

int rdmig_source_process(struct rdmig_source *source)
{
    link_process(source->link);
    source_advance(source);
    return RDMIG_OK;
}

int rdmig_source_wait(struct rdmig_source *source, enum rdmig_source_state state,
                      uint32_t timeout_ms)
{
    const uint64_t start_ns = link_now_ns();

    (void)rdmig_source_process(source);
    while (rdmig_source_state(source) == state) {
        const int result = rdmig_source_is_closed(source)
                               ? -RDMIG_E_STATE
                               : waker_wait(&source->waker, wait_left_ms(start_ns, timeout_ms));

        if (result != RDMIG_OK)
            return result;
        (void)rdmig_source_process(source);
    }
    return RDMIG_OK;
}

bool rdmig_source_is_closed(const struct rdmig_source *source)
{
    return source->stage >= SOURCE_STAGE_COMPLETED && link_is_closed(source->link);
}

int rdmig_source_wait_closed(struct rdmig_source *source, uint32_t timeout_ms)
{
    const uint64_t start_ns = link_now_ns();

    if (source->stage < SOURCE_STAGE_COMPLETED)
        return -RDMIG_E_STATE;
    (void)rdmig_source_process(source);
    while (!rdmig_source_is_closed(source)) {
        if (!waker_wait_until_over(&source->waker, start_ns, timeout_ms))
            return -RDMIG_E_AGAIN;
        (void)rdmig_source_process(source);
    }
    return RDMIG_OK;
}

/* ---- dirty memory and rounds */

static bool is_over(const struct rdmig_source *source)
{
    return source->stage >= SOURCE_STAGE_COMPLETED;
}

/* From finish() on no round is to come that could send what is marked: taken, it would be lost. */
static bool has_rounds_to_come(const struct rdmig_source *source)
{
    return source->stage < SOURCE_STAGE_PREPARING;
}

int rdmig_source_mark_dirty(struct rdmig_source *source, uint32_t block_index,
                            const uint64_t *words, uint64_t first_page, uint64_t page_count)
{
    struct ram_bitmap *dirty;

    if (!has_rounds_to_come(source))
        return -RDMIG_E_STATE;
    if (block_index >= source->memory.block_count || (!words && page_count > 0) ||
        first_page % 64 != 0)
        return -RDMIG_E_INVALID;
    dirty = &source->memory.blocks[block_index].dirty;
    if (first_page >= dirty->page_count || page_count > dirty->page_count - first_page)
        return -RDMIG_E_INVALID;
    (void)ram_bitmap_merge(dirty, first_page, words, page_count);
    source->is_log_current = true;
    return RDMIG_OK;
}

static bool is_range(const struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                     uint64_t length_bytes)
{
    return block_index < source->memory.block_count && length_bytes > 0 &&
           offset_bytes < source->memory.blocks[block_index].length_bytes &&
           length_bytes <= source->memory.blocks[block_index].length_bytes - offset_bytes;
}

int rdmig_source_mark_range(struct rdmig_source *source, uint32_t block_index,
                            uint64_t offset_bytes, uint64_t length_bytes)
{
    const uint64_t first_page = offset_bytes / RDMIG_PAGE_BYTES;

    if (!has_rounds_to_come(source))
        return -RDMIG_E_STATE;
    if (!is_range(source, block_index, offset_bytes, length_bytes))
        return -RDMIG_E_INVALID;
    (void)ram_bitmap_set_range(&source->memory.blocks[block_index].dirty, first_page,
                               (offset_bytes + length_bytes - 1) / RDMIG_PAGE_BYTES - first_page +
                                   1);
    source->is_log_current = true;
    return RDMIG_OK;
}

int rdmig_source_mark_free(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                           uint64_t length_bytes)
{
    const uint64_t first_page = (offset_bytes + RDMIG_PAGE_BYTES - 1) / RDMIG_PAGE_BYTES;
    const uint64_t end_page = (offset_bytes + length_bytes) / RDMIG_PAGE_BYTES;

    if (is_over(source))
        return -RDMIG_E_STATE;
    if (!is_range(source, block_index, offset_bytes, length_bytes))
        return -RDMIG_E_INVALID;
    if (end_page > first_page)
        (void)ram_bitmap_clear_range(&source->memory.blocks[block_index].dirty, first_page,
                                     end_page - first_page);
    return RDMIG_OK;
}

static void open_round(struct rdmig_source *source, enum source_stage stage)
{
    source_rate_round_begins(source);
    source_enter(source, stage);
}

int rdmig_source_start_round(struct rdmig_source *source)
{
    if (source->stage != SOURCE_STAGE_IDLE || !source->stats.exchanged_ns)
        return -RDMIG_E_STATE;
    open_round(source, SOURCE_STAGE_ROUND);
    ram_walker_start_round(&source->walker);
    source_advance(source);
    return RDMIG_OK;
}

int rdmig_source_begin_round(struct rdmig_source *source)
{
    if (source->stage != SOURCE_STAGE_IDLE || !source->stats.exchanged_ns)
        return -RDMIG_E_STATE;
    open_round(source, SOURCE_STAGE_PUSHING);
    return RDMIG_OK;
}

int rdmig_source_push(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                      uint64_t length_bytes)
{
    if (source->stage != SOURCE_STAGE_PUSHING)
        return -RDMIG_E_STATE;
    if (!is_range(source, block_index, offset_bytes, length_bytes))
        return -RDMIG_E_INVALID;
    if (!ram_walker_add(&source->walker, block_index, offset_bytes, length_bytes)) {
        source_advance(source); /* may finish what the walker has in hand */
        if (source->stage != SOURCE_STAGE_PUSHING ||
            !ram_walker_add(&source->walker, block_index, offset_bytes, length_bytes))
            return -RDMIG_E_AGAIN;
    }
    return RDMIG_OK;
}

int rdmig_source_end_round(struct rdmig_source *source)
{
    if (source->stage != SOURCE_STAGE_PUSHING)
        return -RDMIG_E_STATE;
    source_enter(source, SOURCE_STAGE_PUSHED);
    source_advance(source);
    return RDMIG_OK;
}

/* ---- the stream */

static uint8_t *outbox_at(struct rdmig_source *source)
{
    return source->outbox + source->outbox_end;
}

static uint64_t outbox_room(const struct rdmig_source *source)
{
    return source->outbox_capacity - NATIVE_PREPARE_BYTES - source->outbox_end;
}

static uint64_t append_native(struct rdmig_source *source, const void *bytes, uint64_t length_bytes)
{
    const uint64_t frame_bytes = NATIVE_STATE_HEADER_BYTES + NATIVE_STATE_FOOTER_BYTES;

    if (outbox_room(source) <= frame_bytes)
        return 0;
    if (length_bytes > outbox_room(source) - frame_bytes)
        length_bytes = outbox_room(source) - frame_bytes;
    if (length_bytes > STATE_BYTES_MAX)
        length_bytes = STATE_BYTES_MAX;
    source->outbox_end +=
        native_write_state_header(outbox_at(source), outbox_room(source), length_bytes);
    memcpy(outbox_at(source), bytes, length_bytes);
    source->outbox_end += length_bytes;
    source->outbox_end += native_write_state_footer(outbox_at(source), outbox_room(source));
    return length_bytes;
}

static uint64_t append_plain(struct rdmig_source *source, const void *bytes, uint64_t length_bytes)
{
    if (length_bytes > outbox_room(source))
        length_bytes = outbox_room(source);
    memcpy(outbox_at(source), bytes, length_bytes);
    source->outbox_end += length_bytes;
    return length_bytes;
}

int64_t rdmig_source_stream_write(struct rdmig_source *source, const void *bytes,
                                  uint64_t length_bytes)
{
    const bool is_native = source->options.stream_format == RDMIG_STREAM_NATIVE;
    uint64_t taken_bytes;

    if (source->stage != SOURCE_STAGE_IDLE)
        return source->stage >= SOURCE_STAGE_CLOSING ? -RDMIG_E_FAILED : -RDMIG_E_STATE;
    if (!bytes || length_bytes == 0)
        return length_bytes == 0 ? 0 : -RDMIG_E_INVALID;
    taken_bytes = is_native ? append_native(source, bytes, length_bytes)
                            : append_plain(source, bytes, length_bytes);
    ram_walker_charge(&source->walker, taken_bytes);
    source_advance(source);
    return (int64_t)taken_bytes;
}

int rdmig_source_stream_flush(struct rdmig_source *source)
{
    if (source->options.stream_format != RDMIG_STREAM_QEMU || source->stage != SOURCE_STAGE_IDLE)
        return -RDMIG_E_STATE;
    source_enter(source, SOURCE_STAGE_FLUSHING);
    source_advance(source);
    return RDMIG_OK;
}

int rdmig_source_exchange_blocks(struct rdmig_source *source)
{
    if (source->options.stream_format != RDMIG_STREAM_QEMU || source->stage != SOURCE_STAGE_IDLE ||
        source->stats.exchanged_ns)
        return -RDMIG_E_STATE;
    source_enter(source, SOURCE_STAGE_OPENING);
    source_advance(source);
    return RDMIG_OK;
}

/* ---- the end */

uint64_t rdmig_source_downtime_estimate_ns(const struct rdmig_source *source)
{
    const uint64_t dirty_bytes = memory_dirty_bytes(&source->memory);
    const uint64_t rate_bytes_per_s = source_rate_data_bytes_per_s(source);
    double estimate_ns;

    if (dirty_bytes == 0)
        return 0;
    if (rate_bytes_per_s == 0)
        return UINT64_MAX;
    estimate_ns = (double)dirty_bytes * 1e9 / (double)rate_bytes_per_s;
    return estimate_ns >= 0x1p63 ? UINT64_MAX : (uint64_t)estimate_ns;
}

bool rdmig_source_converged(const struct rdmig_source *source)
{
    const uint32_t target_ms = source->options.downtime_target_ms;

    /* What the guest has written since the round ended is in no estimate before its log is. */
    if (source->stage != SOURCE_STAGE_IDLE || !source->rate.has_round_ended ||
        !source->is_log_current)
        return false;
    return target_ms == UINT32_MAX ||
           rdmig_source_downtime_estimate_ns(source) <= options_limit_ns(target_ms);
}

int rdmig_source_guest_stopped(struct rdmig_source *source)
{
    if (source->stage >= SOURCE_STAGE_HANDING_OVER)
        return -RDMIG_E_STATE;
    source->stats.stopped_ns = link_now_ns();
    return RDMIG_OK;
}

int rdmig_source_finish(struct rdmig_source *source)
{
    const bool is_native = source->options.stream_format == RDMIG_STREAM_NATIVE;

    if (source->stage != SOURCE_STAGE_IDLE || !source->stats.exchanged_ns ||
        memory_dirty_bytes(&source->memory) > 0)
        return -RDMIG_E_STATE;
    source_enter(source, is_native ? SOURCE_STAGE_PREPARING : SOURCE_STAGE_HANDING_OVER);
    if (is_native) /* its room is kept free: a full outbox is no reason to refuse */
        source->outbox_end += native_write_prepare(outbox_at(source), NATIVE_PREPARE_BYTES);
    source_advance(source);
    return RDMIG_OK;
}

/* Room for length_bytes more, beside what waits. False: no memory, and nothing has changed. */
static bool grow_outbox(struct rdmig_source *source, uint64_t length_bytes)
{
    const uint64_t capacity_bytes = source->outbox_end + length_bytes + NATIVE_PREPARE_BYTES;
    uint8_t *outbox;

    if (length_bytes > PTRDIFF_MAX) /* no memory is so long, and the sum might wrap */
        return false;
    if (capacity_bytes <= source->outbox_capacity)
        return true;
    outbox = realloc(source->outbox, capacity_bytes);
    if (!outbox)
        return false;
    source->outbox = outbox;
    source->outbox_capacity = capacity_bytes;
    return true;
}

int rdmig_source_finish_with(struct rdmig_source *source, const void *bytes, uint64_t length_bytes)
{
    if (source->options.stream_format != RDMIG_STREAM_QEMU || source->stage != SOURCE_STAGE_IDLE ||
        !source->stats.exchanged_ns || memory_dirty_bytes(&source->memory) > 0)
        return -RDMIG_E_STATE;
    if (!bytes || length_bytes == 0)
        return -RDMIG_E_INVALID;
    if (!grow_outbox(source, length_bytes))
        return -RDMIG_E_MEMORY;
    /* All that was written before is no end: what leaves behind it may be. */
    source->end_stream_bytes =
        source->stream_given_bytes + source->outbox_end - source->outbox_start;
    memcpy(outbox_at(source), bytes, (size_t)length_bytes);
    source->outbox_end += length_bytes;
    source_enter(source, SOURCE_STAGE_HANDING_OVER);
    source_advance(source);
    return RDMIG_OK;
}

enum rdmig_ownership rdmig_source_owns_guest(const struct rdmig_source *source)
{
    const bool is_unknown = source->stage == SOURCE_STAGE_AWAITING_PEER_CLOSE ||
                            source->error.reason == RDMIG_REASON_HANDOVER_UNKNOWN ||
                            source_has_end_left(source);

    if (source->stage == SOURCE_STAGE_COMPLETED)
        return RDMIG_GUEST_NOT_OWNED;
    return is_unknown ? RDMIG_GUEST_UNKNOWN : RDMIG_GUEST_OWNED;
}

int rdmig_source_cancel(struct rdmig_source *source)
{
    if (source->stage == SOURCE_STAGE_HANDING_OVER ||
        source->stage == SOURCE_STAGE_AWAITING_PEER_CLOSE ||
        source->stage == SOURCE_STAGE_COMPLETED)
        return -RDMIG_E_STATE;
    error_set(&source->error, RDMIG_REASON_CANCELLED, 0,
              "start the migration again when it is wanted", "the migration was cancelled here");
    source_fail(source, 0);
    source_advance(source);
    return RDMIG_OK;
}

const struct rdmig_error *rdmig_source_error(const struct rdmig_source *source)
{
    return &source->error;
}

void rdmig_source_progress(const struct rdmig_source *source, struct rdmig_progress *out,
                           size_t out_bytes)
{
    struct rdmig_progress full = {.bytes_total = source->memory.bytes_total,
                                  .bytes_dirty = memory_dirty_bytes(&source->memory),
                                  .throughput_bytes_per_s = source->rate.covered_bytes_per_s,
                                  .data_bytes_per_s = source_rate_data_bytes_per_s(source)};

    if (link_conn(source->link) && !is_over(source))
        full.bytes_dirty += rdmig_conn_bytes_pending(link_conn(source->link));
    stats_progress(&source->stats, source->link, &source->budget, &full);
    full.pin_all_refusal = stats_pin_all_refusal(&source->options, RDMIG_ROLE_SOURCE, source->link);
    stats_give(&full, out, out_bytes);
}
