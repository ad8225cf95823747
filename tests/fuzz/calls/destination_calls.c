/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls on a destination, and what each may return. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

#define READ_BYTES_MAX 70000u

static struct destination_model *model(void)
{
    return &world.destination_model;
}

static enum rdmig_destination_state state(void)
{
    return world.view.destination.state;
}

static void expect(bool is_taken, int result)
{
    require(result == (is_taken ? 0 : -RDMIG_E_STATE), "taken, or refused, in the wrong state");
}

/* ---- life */

static void created(const struct rdmig_options *options, const struct list *list)
{
    memset(model(), 0, sizeof(*model()));
    model()->list = *list;
    model()->is_list_given = list->block_count > 0;
    if (options)
        model()->options = *options;
    model()->has_partner = world.source != NULL;
    world.was_source_told = world.was_destination_told = false;
    world.causes &= ~(unsigned)CAUSE_ALONE;
    if (options && options->time_limit_ms != 0)
        world.causes |= CAUSE_DESTINATION_LIMIT;
    if (options && (options->pinned_limit_bytes != 0 || options->reply_timeout_ms != 0 ||
                    options->connect_timeout_ms != 0 || options->probe_interval_ms != 0 ||
                    options->idle_timeout_ms != 0))
        world.causes |= CAUSE_LIMIT | CAUSE_TIME;
}

static void create(const char *host, const char *service, const struct list *list,
                   const struct rdmig_options *options, bool has_error)
{
    struct rdmig_destination *destination = (struct rdmig_destination *)&world;
    struct rdmig_error error;
    int result;

    memset(&error, 0x55, sizeof(error));
    oracle_before("rdmig_destination_create");
    result =
        rdmig_destination_create(&destination, host, service, list->is_null ? NULL : list->blocks,
                                 list->block_count, options, &error);
    require((result == 0) == (destination != NULL), "a handle and a result that contradict");
    require(result != 0 || list->is_good || list->block_count == 0, "a bad list was taken");
    if (result == 0) {
        require(!has_error || error.reason == RDMIG_REASON_NONE, "a success with a reason");
        require(rdmig_destination_port(destination) != 0, "no port");
        created(options, list);
        world.destination = destination;
        oracle_renew();
        return;
    }
    if (has_error)
        oracle_error(&error);
    require(result != -RDMIG_E_INVALID || !has_error || error.reason == RDMIG_REASON_CALLER ||
                error.reason == RDMIG_REASON_PINNED_LIMIT,
            "a mistake of the caller's that has another reason");
    require(result == -RDMIG_E_INVALID || result == -RDMIG_E_SYSTEM || result == -RDMIG_E_MEMORY,
            "create returned what it does not document");
    oracle_after(CALLER_NOBODY, 0);
}

void destination_create_sane(const struct rdmig_options *options, bool has_list)
{
    struct list list;

    list_all(true, &list);
    if (!has_list)
        list.block_count = 0;
    create("here", "0", &list, options, true);
    destination_process();
}

void call_destination_create(struct draw *draw)
{
    const char *host = "";
    const char *service = "0";
    bool has_options;
    struct rdmig_options options;
    struct list list;

    draw_options(draw, false, &options);
    draw_list(draw, true, &list);
    if (draw_seldom(draw))
        list.block_count = 0;
    if (list.is_good && (world.destination || world.source)) {
        list.block_count = 1;
        list.blocks[0].name = "";
        list.is_good = false;
    }
    if (list.block_count == 0 && (world.destination || world.source))
        return;
    if (draw_seldom(draw))
        host = service = NULL;
    has_options = !draw_seldom(draw);
    create(host, service, &list, has_options ? &options : NULL, !draw_seldom(draw));
}

void destination_destroy(void)
{
    oracle_before("rdmig_destination_destroy");
    (void)clock_was_interrupted();
    rdmig_destination_destroy(world.destination);
    (void)clock_was_interrupted();
    if (world.destination)
        world.causes |= CAUSE_DESTINATION_GONE;
    world.destination = NULL;
    oracle_renew();
}

void call_destination_destroy(struct draw *draw)
{
    (void)draw;
    destination_destroy();
}

/* ---- time */

void destination_process(void)
{
    if (!world.destination)
        return;
    oracle_before("rdmig_destination_process");
    oracle_after(CALLER_DESTINATION, rdmig_destination_process(world.destination));
}

void call_destination_process(struct draw *draw)
{
    (void)draw;
    destination_process();
}

void call_destination_wait(struct draw *draw)
{
    static const uint32_t timeouts_ms[] = {0, 0, 1, 10, 2000, 100000, INT32_MAX, UINT32_MAX};
    const uint32_t drawn = draw_below(draw, 16);
    const enum rdmig_destination_state from =
        drawn < 8 ? state() : (enum rdmig_destination_state)draw_wild(draw, 11);
    const uint32_t timeout_ms = timeouts_ms[drawn % 8];
    const uint64_t received_bytes = world.view.destination.received_bytes;
    const uint64_t start_ns = link_now_ns();
    int result;

    if (!world.destination)
        return;
    oracle_before("rdmig_destination_wait");
    (void)clock_was_interrupted();
    result = rdmig_destination_wait(world.destination, from, timeout_ms);
    require(result != 0 || rdmig_destination_state(world.destination) != from ||
                rdmig_destination_stream_received_bytes(world.destination) != received_bytes,
            "a wait for nothing");
    oracle_waited(result, timeout_ms, start_ns,
                  rdmig_destination_is_closed(world.destination) &&
                      rdmig_destination_state(world.destination) == from);
}

/* ---- blocks */

static void check_provided(int result, const struct list *list, const struct rdmig_error *error)
{
    const enum rdmig_destination_state now = rdmig_destination_state(world.destination);

    require(state() == RDMIG_DESTINATION_BLOCKS_NEEDED || result == -RDMIG_E_STATE,
            "blocks were not refused in another state than BLOCKS_NEEDED");
    require(state() != RDMIG_DESTINATION_BLOCKS_NEEDED || result != -RDMIG_E_STATE,
            "blocks were refused in state BLOCKS_NEEDED");
    require(list->is_good || result == -RDMIG_E_INVALID || result == -RDMIG_E_STATE,
            "a bad list was not refused");
    require(!list->is_good || result == 0 || result == -RDMIG_E_FAILED || result == -RDMIG_E_STATE,
            "a good list was refused");
    if (result == -RDMIG_E_INVALID || result == -RDMIG_E_FAILED)
        require((error->reason == RDMIG_REASON_CALLER) == (result == -RDMIG_E_INVALID),
                "a mistake of the caller's, and another reason");
    if (result == -RDMIG_E_FAILED) {
        require(now == RDMIG_DESTINATION_CANCELLING || now == RDMIG_DESTINATION_FAILED,
                "FAILED, and the migration goes on");
        require(memcmp(error, rdmig_destination_error(world.destination), sizeof(*error)) == 0,
                "the call and the handle give two causes");
    }
    if (result == 0)
        require(error->reason == RDMIG_REASON_NONE, "a success with a reason");
    else
        oracle_error(error);
}

static void provide(const struct list *list, bool has_error)
{
    struct rdmig_error error;
    int result;

    memset(&error, 0x55, sizeof(error));
    oracle_before("rdmig_destination_provide_blocks");
    if (state() == RDMIG_DESTINATION_BLOCKS_NEEDED && list->is_good) {
        model()->list = *list;
        model()->is_list_given = true;
        if (!world.source || !list_is_same(list, &world.source_model.list))
            world.causes |= CAUSE_LISTS;
    }
    result =
        rdmig_destination_provide_blocks(world.destination, list->is_null ? NULL : list->blocks,
                                         list->block_count, has_error ? &error : NULL);
    if (has_error)
        check_provided(result, list, &error);
    oracle_after(CALLER_DESTINATION, result);
}

void call_destination_provide(struct draw *draw)
{
    struct list list;

    if (!world.destination)
        return;
    draw_list(draw, true, &list);
    if (draw_seldom(draw)) {
        list.block_count = 0;
        list.is_good = false;
    }
    provide(&list, !draw_seldom(draw));
}

/* ---- the stream and the rounds */

static int64_t read_stream(void *bytes, uint64_t capacity_bytes)
{
    const uint64_t from = model()->read_bytes;
    int64_t result;

    oracle_before("rdmig_destination_stream_read");
    result = rdmig_destination_stream_read(world.destination, bytes, capacity_bytes);
    require(bytes || result == -RDMIG_E_INVALID, "read into nothing");
    require(result != -RDMIG_E_INVALID || !bytes, "a read that was refused");
    require(result >= 0 || result == -RDMIG_E_INVALID || result == -RDMIG_E_FAILED,
            "stream_read returned what it does not document");
    require(result != -RDMIG_E_FAILED || world.view.destination.error.reason != RDMIG_REASON_NONE,
            "FAILED, and nothing has failed");
    if (result > 0) {
        require((uint64_t)result <= capacity_bytes, "more than there is room for was read");
        require(from + (uint64_t)result <= world.written_bytes, "more than was written was read");
        require(memcmp(bytes, world.written + from, (size_t)result) == 0, "other bytes were read");
        model()->read_bytes += (uint64_t)result;
    }
    oracle_after(CALLER_DESTINATION, result);
    return result;
}

void call_destination_read(struct draw *draw)
{
    static uint8_t bytes[READ_BYTES_MAX];
    const bool is_null = draw_seldom(draw);
    const uint64_t capacity_bytes = draw_seldom(draw) ? READ_BYTES_MAX : draw_below(draw, 600);

    if (world.destination)
        (void)read_stream(is_null ? NULL : bytes, capacity_bytes);
}

void call_destination_resume(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.destination)
        return;
    oracle_before("rdmig_destination_resume");
    result = rdmig_destination_resume(world.destination);
    expect(state() == RDMIG_DESTINATION_ROUND_ENDED, result);
    oracle_after(CALLER_DESTINATION, result);
}

/* ---- the end */

/* Has all of the stream come, and did the source mean that to be its end? */
static bool is_stream_whole(void)
{
    return world.source_model.is_finished &&
           world.view.destination.received_bytes == world.written_bytes;
}

static void confirm(void)
{
    const bool is_all_read = world.view.destination.received_bytes == model()->read_bytes;
    int result;

    oracle_before("rdmig_destination_confirm");
    result = rdmig_destination_confirm(world.destination);
    expect(state() == RDMIG_DESTINATION_PREPARED && is_all_read, result);
    if (result == 0 && world.is_qemu && !is_stream_whole())
        model()->is_misjudged = true;
    oracle_after(CALLER_DESTINATION, result);
}

void call_destination_confirm(struct draw *draw)
{
    (void)draw;
    if (world.destination)
        confirm();
}

void call_destination_cancel(struct draw *draw)
{
    int result;

    (void)draw;
    if (!world.destination)
        return;
    oracle_before("rdmig_destination_cancel");
    result = rdmig_destination_cancel(world.destination);
    require(result ==
                (state() == RDMIG_DESTINATION_CONFIRMING || state() == RDMIG_DESTINATION_COMPLETED
                     ? -RDMIG_E_STATE
                     : 0),
            "cancel: taken, or refused, in the wrong state");
    if (result == 0)
        world.causes |= CAUSE_DESTINATION_CANCEL;
    if (result == 0 && state() < RDMIG_DESTINATION_CANCELLING)
        model()->is_cancelled = true;
    oracle_after(CALLER_DESTINATION, result);
}

void call_destination_progress(struct draw *draw)
{
    const size_t whole_bytes = sizeof(struct rdmig_progress);
    const size_t length_bytes = (size_t)draw_below(draw, (uint32_t)whole_bytes + 40);
    uint8_t *out = malloc(length_bytes + 1);

    if (world.destination && out) {
        oracle_before("rdmig_destination_progress");
        out[length_bytes] = 0x55;
        rdmig_destination_progress(world.destination, (struct rdmig_progress *)(void *)out,
                                   length_bytes);
        require(memcmp(out, &world.view.destination.progress,
                       length_bytes < whole_bytes ? length_bytes : whole_bytes) == 0,
                "a part of the numbers is not that of the whole");
        require(out[length_bytes] == 0x55, "numbers beyond the caller's struct");
        oracle_after(CALLER_NOBODY, 0);
    }
    free(out);
}

/* ---- its VMM */

void destination_serve(void)
{
    static uint8_t bytes[4999];
    struct list list;

    destination_process();
    if (!world.destination)
        return;
    if (state() == RDMIG_DESTINATION_BLOCKS_NEEDED && world.is_providing) {
        list_all(true, &list);
        provide(&list, true);
    }
    if (state() == RDMIG_DESTINATION_ROUND_ENDED && world.is_resuming)
        call_destination_resume(NULL);
    while (world.is_reading && state() < RDMIG_DESTINATION_CANCELLING &&
           read_stream(bytes, sizeof(bytes)) > 0)
        ;
    if (state() == RDMIG_DESTINATION_PREPARED && world.is_confirming && world.is_reading &&
        (!world.is_qemu || is_stream_whole()))
        confirm();
}

/* ---- others */

void call_destination_wait_closed(struct draw *draw)
{
    static const uint32_t timeouts_ms[] = {0, 1, 2000, 100000};
    const uint32_t timeout_ms = timeouts_ms[draw_below(draw, 4)];
    const uint64_t start_ns = link_now_ns();
    int result;

    if (!world.destination)
        return;
    oracle_before("rdmig_destination_wait_closed");
    (void)clock_was_interrupted();
    result = rdmig_destination_wait_closed(world.destination, timeout_ms);
    (void)clock_was_interrupted();
    require((result == -RDMIG_E_STATE) == (state() < RDMIG_DESTINATION_CANCELLING),
            "waited, or not, in the wrong state");
    require(result != 0 || rdmig_destination_is_closed(world.destination),
            "waited, and it is not closed");
    require(result != -RDMIG_E_AGAIN || link_now_ns() - start_ns >= (uint64_t)timeout_ms * 1000000,
            "a wait was over too soon");
    require(result == 0 || result == -RDMIG_E_AGAIN || result == -RDMIG_E_STATE,
            "wait_closed returned what it does not document");
    oracle_after(CALLER_BOTH, result == -RDMIG_E_AGAIN ? 0 : result);
}

void call_destination_set_trace(struct draw *draw)
{
    const uint32_t kinds = (uint32_t)draw_wild(draw, 16);
    const bool has_writer = !draw_seldom(draw);
    int result;

    if (!world.destination)
        return;
    oracle_before("rdmig_destination_set_trace");
    result = rdmig_destination_set_trace(world.destination, kinds, has_writer ? oracle_trace : NULL,
                                         &world);
    require(result == (kinds < 16 && (has_writer || kinds == 0) ? 0 : -RDMIG_E_INVALID),
            "a trace taken, or not, wrongly");
    oracle_after(CALLER_NOBODY, 0);
}
