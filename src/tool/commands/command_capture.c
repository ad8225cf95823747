/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig capture: one guest from a stock QEMU into a directory. Its blocks are received into shared
 * memory, since files cannot be pinned, and become files when the source has left in order.
 */
#include "../image/image_writer.h"
#include "commands.h"
#include "session.h"
#include "signals.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_BUFFER_BYTES ((size_t)256 << 10)
/* Far beyond any migration; a source that never ends a round in earnest is not to eat our memory.
 */
#define ROUND_COUNT_MAX (UINT32_C(1) << 20)

struct capture {
    struct session session;
    struct rdmig_destination *destination;
    struct image_writer image;
    uint8_t *buffer;
    struct manifest_round *rounds;
    size_t round_count;
    size_t round_capacity;
    uint64_t end_mark_position_bytes;
};

static bool prepare(struct capture *capture)
{
    struct session *session = &capture->session;
    const struct tool_args *args = session->args;
    struct rdmig_options options;
    struct rdmig_error error;
    int result;

    capture->buffer = malloc(STREAM_BUFFER_BYTES);
    if (capture->buffer == NULL) {
        tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_MEMORY),
                       "free memory", "no memory to receive the byte stream with");
        return false;
    }
    if (!image_writer_create(&capture->image, args->into_path, session_error(session)) ||
        session_must_stop(session))
        return false;
    session_fill_options(session, &options);
    options.report_rounds = true;
    memset(&error, 0, sizeof(error));
    result = rdmig_destination_create(&capture->destination, args->address.host, args->address.port,
                                      NULL, 0, &options, &error);
    if (result < 0) {
        session_create_failed(session, result, &error);
        return false;
    }
    session_print_listening(session, capture->destination);
    return true;
}

static void read_stream(struct capture *capture)
{
    struct session *session = &capture->session;
    int64_t got;

    do {
        got = rdmig_destination_stream_read(capture->destination, capture->buffer,
                                            STREAM_BUFFER_BYTES);
        if (got < 0)
            session_refused(session, "rdmig_destination_stream_read", got);
    } while (got > 0 && image_writer_write_stream(&capture->image, capture->buffer, (size_t)got,
                                                  session_error(session)));
}

static void provide_blocks(struct capture *capture)
{
    struct session *session = &capture->session;
    const struct rdmig_ram_block *announced;
    struct rdmig_error error;
    uint32_t count = 0;
    int result;

    if (!rdmig_destination_is_qemu_stream(capture->destination)) {
        tool_error_set(session_error(session), TOOL_REASON_SOURCE_KIND,
                       "receive it with rdmig recv", "the source is an rdmig, not a QEMU");
        return;
    }
    announced = rdmig_destination_announced(capture->destination, &count);
    session->report.block_count = count;
    if (!ramfile_set_allocate(&session->rams, announced, count, session_error(session)))
        return;
    signals_watch(&session->rams);
    result =
        rdmig_destination_provide_blocks(capture->destination, session->rams.blocks, count, &error);
    if (result < 0)
        session_blocks_refused(session, result, &error);
}

static bool grow_rounds(struct capture *capture)
{
    size_t capacity = capture->round_capacity == 0 ? 64 : capture->round_capacity * 2;
    struct manifest_round *rounds;

    if (capture->round_count < capture->round_capacity)
        return true;
    rounds = capacity > ROUND_COUNT_MAX
                 ? NULL
                 : realloc(capture->rounds, capacity * sizeof(*capture->rounds));
    if (rounds == NULL)
        return false;
    capture->rounds = rounds;
    capture->round_capacity = capacity;
    return true;
}

static void record_round(struct capture *capture)
{
    struct session *session = &capture->session;
    struct manifest_round *round;
    int result;

    if (!grow_rounds(capture)) {
        tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_MEMORY),
                       "slow the guest down at the source", "no memory for more than %zu rounds",
                       capture->round_count);
        return;
    }
    round = &capture->rounds[capture->round_count++];
    round->hook_position_bytes = rdmig_destination_round_position_bytes(capture->destination);
    round->finished_position_bytes = rdmig_destination_stream_received_bytes(capture->destination);
    result = rdmig_destination_resume(capture->destination);
    if (result < 0)
        session_refused(session, "rdmig_destination_resume", result);
}

static void confirm(struct capture *capture)
{
    struct session *session = &capture->session;
    int result;

    if (!image_writer_check_stream(&capture->image, &capture->end_mark_position_bytes,
                                   session_error(session)))
        return;
    result = rdmig_destination_confirm(capture->destination);
    if (result < 0)
        session_refused(session, "rdmig_destination_confirm", result);
}

/* True: something was done, so look again before waiting. */
static bool advance(struct capture *capture, enum rdmig_destination_state state)
{
    switch (state) {
    case RDMIG_DESTINATION_BLOCKS_NEEDED:
        provide_blocks(capture);
        return true;
    case RDMIG_DESTINATION_ROUND_ENDED:
        record_round(capture);
        return true;
    case RDMIG_DESTINATION_PREPARED:
        confirm(capture);
        return true;
    default:
        return false;
    }
}

/* Bounded by the library's deadlines once a source has come; until then it waits for one. */
static void drive(struct capture *capture)
{
    struct session *session = &capture->session;

    for (;;) {
        enum rdmig_destination_state state;

        rdmig_destination_process(capture->destination);
        rdmig_destination_progress(capture->destination, &session->report.progress,
                                   sizeof(session->report.progress));
        state = rdmig_destination_state(capture->destination);
        session_show_destination(session, state);
        if (session_has_ended(state))
            return;
        if (!session_must_stop(session) && state != RDMIG_DESTINATION_LISTENING) {
            read_stream(capture);
            /* Reading may bring on what was held back. */
            state = rdmig_destination_state(capture->destination);
        }
        if (session_must_stop(session))
            (void)rdmig_destination_cancel(capture->destination);
        else if (advance(capture, state))
            continue;
        session_wait(session, rdmig_destination_fd(capture->destination), -1);
    }
}

/* The guest is stopped at the source and can be continued there: a cancel loses nothing. */
static bool store(struct capture *capture)
{
    struct session *session = &capture->session;
    struct tool_error *error = session_error(session);
    const struct ramfile_set *rams = &session->rams;
    struct manifest manifest = {
        .blocks = rams->blocks,
        .block_count = rams->count,
        .rounds = capture->rounds,
        .round_count = capture->round_count,
        .stream_bytes = capture->image.stream_bytes,
        .end_mark_position_bytes = capture->end_mark_position_bytes,
        .is_pin_all = session->report.progress.pin_all,
    };

    session_copy_begin(session, "writing", true);
    for (uint32_t i = 0; i < rams->count; i++) {
        if (!image_writer_store_block(&capture->image, &rams->files[i], i, session_copy_proceed,
                                      session, error))
            return false;
        session->copy_before_bytes += rams->files[i].length_bytes;
    }
    return image_writer_write_manifest(&capture->image, &manifest, error) &&
           !session_must_stop(session) && image_writer_commit(&capture->image, error);
}

int capture_command(const struct tool_args *args)
{
    struct capture capture;
    struct session *session = &capture.session;

    memset(&capture, 0, sizeof(capture));
    image_writer_init(&capture.image);
    if (session_begin(session, args) && prepare(&capture)) {
        drive(&capture);
        session_settle_destination(session, capture.destination);
    }
    /* Before the copy: it unpins the memory. */
    session_wait_closed(capture.destination);
    rdmig_destination_destroy(capture.destination);
    if (session->report.outcome == TOOL_COMPLETED && !store(&capture) &&
        session->report.outcome == TOOL_COMPLETED)
        session->report.outcome = TOOL_FAILED;
    image_writer_close(&capture.image);
    free(capture.rounds);
    free(capture.buffer);
    return session_end(session);
}
