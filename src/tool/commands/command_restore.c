/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig restore: a captured guest into a stock QEMU that waits for it. Its stream goes over as it
 * came, hook by hook, since a QEMU reads commands nowhere but behind a hook; the memory, which was
 * captured as it was at the end, goes in the last of the rounds, and the others stay empty: what
 * comes behind it is the guest's downtime, and should be little. The end mark, which lets the QEMU
 * run the guest, goes when it has loaded everything before it: until then a failure is heard of.
 */
#include "../files/readonly.h"
#include "../image/image_reader.h"
#include "commands.h"
#include "drive.h"

#include <stdlib.h>

enum restore_step {
    RESTORE_STREAM, /* up to the next hook, or the end mark */
    RESTORE_EXCHANGE,
    RESTORE_ROUND,
    RESTORE_STOPPED,      /* the memory is over: what comes behind it is the guest's downtime */
    RESTORE_AWAIT_LOADED, /* all device state is there: the QEMU has to ask for more */
    RESTORE_FINISH,       /* the end mark and what is behind it */
    RESTORE_HANDED_OVER
};

struct restore {
    struct session session;
    struct image_reader reader;
    enum restore_step step;
    size_t round_index;      /* of the next round */
    uint64_t position_bytes; /* in the stream: read into the feed so far */
    struct drive_feed feed;
};

static bool prepare(struct restore *restore)
{
    struct session *session = &restore->session;
    struct tool_error *error = session_error(session);
    struct rdmig_options options;

    if (!image_reader_open(&restore->reader, session->args->from_path, error) ||
        !image_reader_open_blocks(&restore->reader, &session->rams, readonly_is_pinned(), error) ||
        !session_load_memory(session))
        return false;
    session_fill_options(session, &options);
    options.stream_format = RDMIG_STREAM_QEMU;
    return session_connect(session, &session->args->address, session->rams.blocks,
                           session->rams.count, &options);
}

/* Where the stream has to be cut: at the next round's hook, and at the end mark. */
static uint64_t limit_bytes(const struct restore *restore)
{
    const struct manifest_read *manifest = &restore->reader.manifest;

    return restore->round_index < manifest->round_count
               ? manifest->rounds[restore->round_index].hook_position_bytes
               : manifest->end_mark_position_bytes;
}

static size_t refill(void *context, uint8_t *bytes, size_t capacity_bytes)
{
    struct restore *restore = context;
    const uint64_t left_bytes = limit_bytes(restore) - restore->position_bytes;
    const size_t piece_bytes = left_bytes < capacity_bytes ? (size_t)left_bytes : capacity_bytes;

    if (!image_reader_read_stream(&restore->reader, restore->position_bytes, bytes, piece_bytes,
                                  session_error(&restore->session)))
        return 0;
    restore->position_bytes += piece_bytes;
    return piece_bytes;
}

static enum restore_step step_behind_stream(const struct restore *restore)
{
    if (restore->round_index == restore->reader.manifest.round_count)
        return RESTORE_AWAIT_LOADED;
    return restore->round_index == 0 ? RESTORE_EXCHANGE : RESTORE_ROUND;
}

/* True: as much as there is up to the limit has been taken. */
static bool write_stream(struct restore *restore)
{
    drive_send(&restore->session, &restore->feed, refill, restore);
    return rdmig_source_state(restore->session.source) == RDMIG_SOURCE_IDLE &&
           restore->feed.start == restore->feed.end &&
           restore->position_bytes == limit_bytes(restore);
}

static int run_round(struct restore *restore)
{
    struct rdmig_source *source = restore->session.source;
    int result;

    restore->step = RESTORE_STREAM;
    if (++restore->round_index == restore->reader.manifest.round_count) {
        restore->step = RESTORE_STOPPED;
        return rdmig_source_start_round(source);
    }
    result = rdmig_source_begin_round(source);
    return result < 0 ? result : rdmig_source_end_round(source);
}

/*
 * The end mark and what is behind it, a description of any length, in one call: the QEMU runs the
 * guest from the mark on, so none of it may leave before the hand-over has begun.
 */
static int finish(struct restore *restore)
{
    const uint64_t end_bytes = restore->reader.manifest.stream_bytes - restore->position_bytes;
    uint8_t *end = malloc(end_bytes);
    int result = -RDMIG_E_MEMORY;

    if (end && image_reader_read_stream(&restore->reader, restore->position_bytes, end, end_bytes,
                                        session_error(&restore->session)))
        result = rdmig_source_finish_with(restore->session.source, end, end_bytes);
    free(end);
    restore->step = RESTORE_HANDED_OVER;
    return result;
}

static bool advance(void *context)
{
    struct restore *restore = context;
    struct rdmig_source *source = restore->session.source;
    int result = 0;

    if (rdmig_source_state(source) != RDMIG_SOURCE_IDLE)
        return false;
    switch (restore->step) {
    case RESTORE_STREAM:
        if (!write_stream(restore))
            return false;
        restore->step = step_behind_stream(restore);
        break;
    case RESTORE_EXCHANGE:
        result = rdmig_source_exchange_blocks(source);
        restore->step = RESTORE_ROUND;
        break;
    case RESTORE_ROUND:
        result = run_round(restore);
        break;
    case RESTORE_STOPPED:
        (void)rdmig_source_guest_stopped(source);
        restore->step = RESTORE_STREAM;
        break;
    case RESTORE_AWAIT_LOADED:
        result = rdmig_source_stream_flush(source);
        restore->step = RESTORE_FINISH;
        break;
    case RESTORE_FINISH:
        result = finish(restore);
        break;
    case RESTORE_HANDED_OVER:
        return false;
    }
    (void)session_check(&restore->session, "a step of the migration", result);
    return true;
}

/* A QEMU does not say why it gave up, but for its own log. */
static void add_remedy(struct restore *restore)
{
    switch (rdmig_source_error(restore->session.source)->reason) {
    case RDMIG_REASON_PEER_ERROR:
    case RDMIG_REASON_PEER_DISCONNECTED:
    case RDMIG_REASON_PEER_SILENT:
    case RDMIG_REASON_BLOCK_COUNT:
    case RDMIG_REASON_BLOCK_LENGTH:
    case RDMIG_REASON_SEND_FAILED:
    case RDMIG_REASON_WRITE_FAILED:
    case RDMIG_REASON_CONNECTION_LOST:
        tool_error_add_remedy(
            session_error(&restore->session),
            "the QEMU there says more on its standard error: it has to be started "
            "with the captured guest's machine, memory size and devices");
        break;
    default:
        break;
    }
}

int restore_command(const struct tool_args *args)
{
    static const struct drive_calls calls = {.advance = advance};
    static struct restore restore = {.step = RESTORE_STREAM};
    int status;

    image_reader_init(&restore.reader);
    if (session_begin(&restore.session, args) && prepare(&restore)) {
        drive(&restore.session, &calls, &restore);
        drive_settle(&restore.session);
        if (restore.session.report.outcome == TOOL_FAILED)
            add_remedy(&restore);
    }
    status = session_end(&restore.session);
    /* The blocks, which session_end() closes, have their names and paths from it. */
    image_reader_close(&restore.reader);
    return status;
}
