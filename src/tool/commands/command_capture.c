/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig capture: one guest from a stock QEMU into a directory. Its blocks are received into shared
 * memory, since files cannot be pinned, and become files when the source has left in order.
 */
#include "../image/image_writer.h"
#include "commands.h"
#include "drive.h"

#include <stdlib.h>
#include <string.h>

struct capture {
    struct session session;
    struct image_writer writer;
    struct manifest_round *rounds;
    size_t round_count;
    uint64_t end_mark_position_bytes;
};

static bool take_stream(void *context, const void *bytes, size_t length_bytes,
                        struct tool_error *error)
{
    struct capture *capture = context;

    return image_writer_write_stream(&capture->writer, bytes, length_bytes, error);
}

static void provide_blocks(struct capture *capture)
{
    struct session *session = &capture->session;

    if (!rdmig_destination_is_qemu_stream(session->destination))
        tool_error_set(session_error(session), TOOL_REASON_SOURCE_KIND,
                       "receive it with rdmig recv", "the source is an rdmig, not a QEMU");
    else if (session_allocate_memory(session))
        session_provide_blocks(session);
}

static void record_round(struct capture *capture)
{
    struct session *session = &capture->session;
    struct manifest_round *rounds =
        capture->round_count == MANIFEST_ROUND_COUNT_MAX
            ? NULL
            : manifest_grow(capture->rounds, capture->round_count, sizeof(*rounds));
    struct manifest_round *round;

    if (rounds == NULL) {
        tool_error_set(session_error(session), TOOL_REASON_MEMORY,
                       "slow the guest down at the source", "no memory for more than %zu rounds",
                       capture->round_count);
        return;
    }
    capture->rounds = rounds;
    round = &rounds[capture->round_count++];
    round->hook_position_bytes = rdmig_destination_round_position_bytes(session->destination);
    round->finished_position_bytes = rdmig_destination_stream_received_bytes(session->destination);
    (void)SESSION_CALL(session, rdmig_destination_resume, session->destination);
}

static void confirm(struct capture *capture)
{
    struct session *session = &capture->session;

    if (image_writer_check_stream(&capture->writer, &capture->end_mark_position_bytes,
                                  session_error(session)))
        (void)SESSION_CALL(session, rdmig_destination_confirm, session->destination);
}

static bool advance(void *context)
{
    struct capture *capture = context;
    struct session *session = &capture->session;

    if (rdmig_destination_state(session->destination) != RDMIG_DESTINATION_LISTENING)
        drive_receive(session, take_stream, capture);
    if (session_must_stop(session))
        return false;
    /* Reading may have brought on what was held back. */
    switch (rdmig_destination_state(session->destination)) {
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

/* The guest is stopped at the source and can be continued there: a cancel loses nothing. */
static bool store(struct capture *capture)
{
    struct session *session = &capture->session;
    struct tool_error *error = session_error(session);
    const struct ramfile_set *rams = &session->rams;
    const struct manifest manifest = {
        .blocks = rams->blocks,
        .block_count = rams->count,
        .rounds = capture->rounds,
        .round_count = capture->round_count,
        .stream_bytes = capture->writer.stream_bytes,
        .end_mark_position_bytes = capture->end_mark_position_bytes,
        .is_pin_all = session->report.progress.pin_all,
    };

    session_copy_begin(session, "writing", true);
    for (uint32_t i = 0; i < rams->count; i++) {
        if (!image_writer_store_block(&capture->writer, &rams->files[i], i, session_copy_proceed,
                                      session, error))
            return false;
        session->copy_before_bytes += rams->files[i].length_bytes;
    }
    return image_writer_write_manifest(&capture->writer, &manifest, error) &&
           !session_must_stop(session) && image_writer_commit(&capture->writer, error);
}

int capture_command(const struct tool_args *args)
{
    static const struct drive_calls calls = {.advance = advance};
    struct capture capture = {.round_count = 0};
    struct session *session = &capture.session;

    image_writer_init(&capture.writer);
    if (session_begin(session, args) &&
        image_writer_create(&capture.writer, args->into_path, session_error(session)) &&
        !session_must_stop(session) && session_listen(session, NULL, 0, true)) {
        drive(session, &calls, &capture);
        drive_settle(session);
    }
    /* Before the copy: it unpins the memory. */
    session_destroy_handles(session);
    if (session->report.outcome == TOOL_COMPLETED && !store(&capture) &&
        session->report.outcome == TOOL_COMPLETED)
        session->report.outcome = TOOL_FAILED;
    image_writer_close(&capture.writer);
    free(capture.rounds);
    return session_end(session);
}
