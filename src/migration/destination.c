/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VMM calls on the destination (include/rdmig/rdmig.h has the contract). */
#include "destination.h"

#include "memory_kinds.h"

#include <stdlib.h>

static int open_link(struct rdmig_destination *destination, const char *host, const char *service,
                     struct rdmig_error *error)
{
    struct link_config config = {.host = host,
                                 .service = service ? service : "0",
                                 .is_relaxed_wanted = destination->options.relaxed_ordering,
                                 .is_on_demand_wanted = destination->options.on_demand_paging,
                                 .trace = &destination->trace};
    struct budget_facts facts;
    int result;

    budget_ask_system(&facts);
    result = budget_decide(destination->options.pinned_limit_bytes, &facts,
                           memory_piece_bytes(&destination->given), &destination->budget, error);
    if (result != RDMIG_OK)
        return result;
    options_conn_config(&destination->options, RDMIG_ROLE_DESTINATION, &destination->budget,
                        destination->given.bytes_total, &config.conn);
    result = link_create(&destination->link, &config, error);
    return result == RDMIG_OK ? waker_open(&destination->waker, link_fd(destination->link), error)
                              : result;
}

static int take_blocks(struct rdmig_destination *destination, const struct rdmig_ram_block *blocks,
                       uint32_t block_count, struct rdmig_error *error)
{
    int result = memory_init(&destination->given, blocks, block_count, false, error);

    if (result == RDMIG_OK)
        result = memory_kinds_check(&destination->given, true, error);
    if (result != RDMIG_OK)
        memory_free(&destination->given);
    return result;
}

static int open_destination(struct rdmig_destination *destination, const char *host,
                            const char *service, const struct rdmig_ram_block *blocks,
                            uint32_t block_count, const struct rdmig_options *options,
                            struct rdmig_error *error)
{
    int result = options_complete(options, &destination->options, error);

    if (result == RDMIG_OK && block_count > 0)
        result = take_blocks(destination, blocks, block_count, error);
    if (result != RDMIG_OK)
        return result;
    destination->stream = qemu_stream_create();
    destination->holes = holes_create();
    if (!destination->stream || !destination->holes) {
        error_set(error, RDMIG_REASON_MEMORY, 0, "free memory", "no memory for the destination");
        return -RDMIG_E_MEMORY;
    }
    return open_link(destination, host, service, error);
}

int rdmig_destination_create(struct rdmig_destination **out, const char *host, const char *service,
                             const struct rdmig_ram_block *blocks, uint32_t block_count,
                             const struct rdmig_options *options, struct rdmig_error *error)
{
    struct rdmig_destination *destination = calloc(1, sizeof(*destination));
    int result;

    *out = NULL;
    if (error)
        *error = (struct rdmig_error){0};
    if (!destination) {
        error_set(error, RDMIG_REASON_MEMORY, 0, "free memory", "no memory for the destination");
        return -RDMIG_E_MEMORY;
    }
    destination->waker = (struct waker){.epoll_fd = -1, .timer_fd = -1};
    result = open_destination(destination, host, service, blocks, block_count, options, error);
    if (result != RDMIG_OK) {
        rdmig_destination_destroy(destination);
        return result;
    }
    destination_advance(destination);
    *out = destination;
    return RDMIG_OK;
}

void rdmig_destination_destroy(struct rdmig_destination *destination)
{
    if (!destination)
        return;
    waker_close(&destination->waker);
    link_destroy(destination->link);
    memory_free(&destination->memory);
    memory_free(&destination->given);
    qemu_stream_destroy(destination->stream);
    holes_destroy(destination->holes);
    free(destination->announced);
    free(destination->inbox);
    free(destination);
}

int rdmig_destination_fd(const struct rdmig_destination *destination)
{
    return destination->waker.epoll_fd;
}

int rdmig_destination_process(struct rdmig_destination *destination)
{
    link_process(destination->link);
    destination_advance(destination);
    return RDMIG_OK;
}

int rdmig_destination_wait(struct rdmig_destination *destination,
                           enum rdmig_destination_state state, uint32_t timeout_ms)
{
    const uint64_t start_ns = link_now_ns();
    const uint64_t received_bytes = rdmig_destination_stream_received_bytes(destination);

    (void)rdmig_destination_process(destination);
    /* New bytes of the stream end the wait too: unread, they would hold the source back for ever.
     */
    while (rdmig_destination_state(destination) == state &&
           rdmig_destination_stream_received_bytes(destination) == received_bytes) {
        const int result =
            rdmig_destination_is_closed(destination)
                ? -RDMIG_E_STATE
                : waker_wait(&destination->waker, wait_left_ms(start_ns, timeout_ms));

        if (result != RDMIG_OK)
            return result;
        (void)rdmig_destination_process(destination);
    }
    return RDMIG_OK;
}

bool rdmig_destination_is_closed(const struct rdmig_destination *destination)
{
    return destination->stage >= DESTINATION_STAGE_COMPLETED && link_is_closed(destination->link);
}

int rdmig_destination_wait_closed(struct rdmig_destination *destination, uint32_t timeout_ms)
{
    const uint64_t start_ns = link_now_ns();

    if (destination->stage < DESTINATION_STAGE_COMPLETED)
        return -RDMIG_E_STATE;
    (void)rdmig_destination_process(destination);
    while (!rdmig_destination_is_closed(destination)) {
        if (!waker_wait_until_over(&destination->waker, start_ns, timeout_ms))
            return -RDMIG_E_AGAIN;
        (void)rdmig_destination_process(destination);
    }
    return RDMIG_OK;
}

uint16_t rdmig_destination_port(const struct rdmig_destination *destination)
{
    return link_port(destination->link);
}

const struct rdmig_ram_block *
rdmig_destination_announced(const struct rdmig_destination *destination, uint32_t *block_count)
{
    *block_count = destination->announced_count;
    return destination->announced;
}

/* Blocks at another moment than the one for them: what became of the migration, if anything did. */
static int refuse_blocks(const struct rdmig_destination *destination, struct rdmig_error *error)
{
    if (error && destination->error.reason != RDMIG_REASON_NONE)
        *error = destination->error;
    error_set(error, RDMIG_REASON_CALLER, 0, "give RAM blocks once, in state BLOCKS_NEEDED",
              "the destination is not waiting for RAM blocks");
    return -RDMIG_E_STATE;
}

int rdmig_destination_provide_blocks(struct rdmig_destination *destination,
                                     const struct rdmig_ram_block *blocks, uint32_t block_count,
                                     struct rdmig_error *error)
{
    int result;

    if (error)
        *error = (struct rdmig_error){0};
    if (destination->stage != DESTINATION_STAGE_BLOCKS_NEEDED)
        return refuse_blocks(destination, error);
    result = take_blocks(destination, blocks, block_count, error);
    if (result != RDMIG_OK)
        return result;
    result = matching_provide(destination);
    if (result != RDMIG_OK)
        destination_fail(destination);
    if (result != RDMIG_OK && error)
        *error = destination->error;
    destination_advance(destination);
    return result;
}

uint64_t rdmig_destination_stream_available_bytes(const struct rdmig_destination *destination)
{
    return inbox_readable_bytes(destination);
}

uint64_t rdmig_destination_stream_received_bytes(const struct rdmig_destination *destination)
{
    return destination->read_bytes + inbox_readable_bytes(destination);
}

int64_t rdmig_destination_stream_read(struct rdmig_destination *destination, void *bytes,
                                      uint64_t capacity_bytes)
{
    uint64_t read_bytes;

    if (!bytes)
        return -RDMIG_E_INVALID;
    if (destination->stage >= DESTINATION_STAGE_CLOSING)
        return -RDMIG_E_FAILED;
    read_bytes = inbox_read(destination, bytes, capacity_bytes);
    if (read_bytes > 0)
        destination_advance(destination);
    return (int64_t)read_bytes;
}

bool rdmig_destination_is_qemu_stream(const struct rdmig_destination *destination)
{
    return qemu_stream_format(destination->stream) == QEMU_STREAM_FORMAT_QEMU;
}

uint64_t rdmig_destination_round_position_bytes(const struct rdmig_destination *destination)
{
    return destination->round_position_bytes;
}

int rdmig_destination_resume(struct rdmig_destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED, .tag = destination->round_tag};

    if (destination->stage != DESTINATION_STAGE_ROUND_ENDED)
        return -RDMIG_E_STATE;
    destination_enter(destination, DESTINATION_STAGE_RECEIVING);
    destination->round_tag = 0;
    (void)link_step(destination->link, &event);
    destination_advance(destination);
    return RDMIG_OK;
}

int rdmig_destination_confirm(struct rdmig_destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_FINISH_REQUESTED};

    if (destination->stage != DESTINATION_STAGE_PREPARED ||
        destination->inbox_start < destination->inbox_end)
        return -RDMIG_E_STATE;
    if (destination->is_prepare_held) {
        destination->is_prepare_held = false;
        destination_enter(destination, DESTINATION_STAGE_CONFIRMING);
    } else {
        destination_enter(destination, DESTINATION_STAGE_COMPLETED);
        destination->stats.ended_ns = link_now_ns();
        (void)link_step(destination->link, &event);
    }
    destination_advance(destination);
    return RDMIG_OK;
}

int rdmig_destination_cancel(struct rdmig_destination *destination)
{
    if (destination->stage == DESTINATION_STAGE_CONFIRMING ||
        destination->stage == DESTINATION_STAGE_COMPLETED)
        return -RDMIG_E_STATE;
    error_set(&destination->error, RDMIG_REASON_CANCELLED, 0,
              "start the migration again when it is wanted", "the migration was cancelled here");
    destination_fail(destination);
    destination_advance(destination);
    return RDMIG_OK;
}

const struct rdmig_error *rdmig_destination_error(const struct rdmig_destination *destination)
{
    return &destination->error;
}

void rdmig_destination_progress(const struct rdmig_destination *destination,
                                struct rdmig_progress *out, size_t out_bytes)
{
    struct rdmig_progress full = {0};

    for (uint32_t i = 0; i < destination->announced_count; i++)
        full.bytes_total += destination->announced[i].length_bytes;
    stats_progress(&destination->stats, destination->link, &destination->budget, &full);
    full.pin_all_refusal =
        stats_pin_all_refusal(&destination->options, RDMIG_ROLE_DESTINATION, destination->link);
    stats_give(&full, out, out_bytes);
}
