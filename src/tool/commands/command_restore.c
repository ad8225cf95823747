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
#include "session.h"
#include "signals.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_BUFFER_BYTES ((size_t)256 << 10)
enum restore_step {
    RESTORE_STREAM, /* up to the next hook, or the end mark */
    RESTORE_EXCHANGE,
    RESTORE_ROUND,
    RESTORE_AWAIT_LOADED, /* all device state is there: the QEMU has to ask for more */
    RESTORE_END,          /* the end mark and what is behind it */
    RESTORE_FINISH,
    RESTORE_HANDED_OVER
};

struct restore {
    struct session session;
    struct rdmig_source *source;
    struct image_reader captured;
    enum restore_step step;
    size_t round_index;      /* of the next round */
    uint64_t position_bytes; /* in the stream: read into the buffer so far */
    uint8_t *buffer;
    size_t buffer_start;
    size_t buffer_end;
};

static bool prepare(struct restore *restore)
{
    struct session *session = &restore->session;
    const struct tool_args *args = session->args;
    struct tool_error *error = session_error(session);
    struct rdmig_options options;
    struct rdmig_error from;
    int result;

    restore->buffer = malloc(STREAM_BUFFER_BYTES);
    if (restore->buffer == NULL) {
        tool_error_set(error, rdmig_reason_name(RDMIG_REASON_MEMORY), "free memory",
                       "no memory to read the byte stream with");
        return false;
    }
    if (!image_reader_open(&restore->captured, args->from_path, error) ||
        !image_reader_open_blocks(&restore->captured, &session->rams, readonly_is_pinned(), error))
        return false;
    session->report.block_count = session->rams.count;
    session_copy_begin(session, "reading", true);
    if (!ramfile_set_load(&session->rams, session_copy_proceed, session, error) ||
        session_must_stop(session))
        return false;
    signals_watch(&session->rams);
    session_fill_options(session, &options);
    options.stream_format = RDMIG_STREAM_QEMU;
    memset(&from, 0, sizeof(from));
    result = rdmig_source_create(&restore->source, args->address.host, args->address.port,
                                 session->rams.blocks, session->rams.count, &options, &from);
    if (result < 0) {
        session_create_failed(session, result, &from);
        return false;
    }
    return true;
}

/* Where the stream has to be cut: at the next round's hook, and at the end mark. */
static uint64_t limit_bytes(const struct restore *restore)
{
    const struct manifest_read *manifest = &restore->captured.manifest;

    if (restore->round_index < manifest->round_count)
        return manifest->rounds[restore->round_index].hook_position_bytes;
    return restore->step == RESTORE_END ? manifest->stream_bytes
                                        : manifest->end_mark_position_bytes;
}

static bool refill(struct restore *restore)
{
    uint64_t left_bytes = limit_bytes(restore) - restore->position_bytes;
    size_t piece_bytes =
        left_bytes < STREAM_BUFFER_BYTES ? (size_t)left_bytes : STREAM_BUFFER_BYTES;

    if (!image_reader_read_stream(&restore->captured, restore->position_bytes, restore->buffer,
                                  piece_bytes, session_error(&restore->session)))
        return false;
    restore->position_bytes += piece_bytes;
    restore->buffer_start = 0;
    restore->buffer_end = piece_bytes;
    return true;
}

static enum restore_step step_behind_stream(const struct restore *restore)
{
    if (restore->step == RESTORE_END)
        return RESTORE_FINISH;
    if (restore->round_index == restore->captured.manifest.round_count)
        return RESTORE_AWAIT_LOADED;
    return restore->round_index == 0 ? RESTORE_EXCHANGE : RESTORE_ROUND;
}

/* True: as much as there is up to the limit has been taken. */
static bool write_stream(struct restore *restore)
{
    while (rdmig_source_state(restore->source) == RDMIG_SOURCE_IDLE) {
        int64_t taken;

        if (restore->buffer_start == restore->buffer_end) {
            if (restore->position_bytes == limit_bytes(restore))
                return true;
            if (!refill(restore))
                return false;
        }
        taken = rdmig_source_stream_write(restore->source, restore->buffer + restore->buffer_start,
                                          restore->buffer_end - restore->buffer_start);
        if (taken < 0)
            session_refused(&restore->session, "rdmig_source_stream_write", taken);
        if (taken <= 0)
            return false;
        restore->buffer_start += (size_t)taken;
    }
    return false;
}

static bool is_memory_round(const struct restore *restore, size_t round_index)
{
    return round_index + 1 == restore->captured.manifest.round_count;
}

static int run_round(struct restore *restore)
{
    size_t index = restore->round_index++;
    int result;

    if (is_memory_round(restore, index))
        return rdmig_source_start_round(restore->source);
    result = rdmig_source_begin_round(restore->source);
    return result < 0 ? result : rdmig_source_end_round(restore->source);
}

/* State IDLE: the next thing to do. True: nothing but wait. */
static bool advance(struct restore *restore)
{
    bool must_wait = false;
    int result = 0;

    switch (restore->step) {
    case RESTORE_STREAM:
    case RESTORE_END:
        if (write_stream(restore))
            restore->step = step_behind_stream(restore);
        else
            must_wait = true;
        break;
    case RESTORE_EXCHANGE:
        result = rdmig_source_exchange_blocks(restore->source);
        restore->step = RESTORE_ROUND;
        break;
    case RESTORE_ROUND:
        result = run_round(restore);
        restore->step = RESTORE_STREAM;
        break;
    case RESTORE_AWAIT_LOADED:
        result = rdmig_source_stream_flush(restore->source);
        restore->step = RESTORE_END;
        break;
    case RESTORE_FINISH:
        result = rdmig_source_finish(restore->source);
        restore->step = RESTORE_HANDED_OVER;
        break;
    case RESTORE_HANDED_OVER:
        must_wait = true;
        break;
    }
    if (result < 0)
        session_refused(&restore->session, "a step of the migration", result);
    return must_wait;
}

/* Bounded by the library: each of its states has a deadline, and nothing here waits for another. */
static void drive(struct restore *restore)
{
    struct session *session = &restore->session;
    bool is_stopped_told = false;

    for (;;) {
        enum rdmig_source_state state;
        bool must_wait = true;

        rdmig_source_process(restore->source);
        rdmig_source_progress(restore->source, &session->report.progress,
                              sizeof(session->report.progress));
        state = rdmig_source_state(restore->source);
        session_show_source(session, state);
        if (session_source_has_ended(state))
            return;
        if (session_must_stop(session)) {
            /* Refused once the hand-over is on its way: the outcome comes by itself. */
            (void)rdmig_source_cancel(restore->source);
        } else if (state == RDMIG_SOURCE_IDLE) {
            /* What comes behind the memory would be the guest's downtime. */
            if (restore->round_index == restore->captured.manifest.round_count &&
                !is_stopped_told) {
                (void)rdmig_source_guest_stopped(restore->source);
                is_stopped_told = true;
            }
            must_wait = advance(restore);
        }
        if (must_wait)
            session_wait(session, rdmig_source_fd(restore->source), -1);
    }
}

/* A QEMU does not say why it gave up, but for its own log. */
static void add_remedy(struct restore *restore)
{
    switch (rdmig_source_error(restore->source)->reason) {
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
    struct restore restore = {.step = RESTORE_STREAM};
    int status;

    image_reader_init(&restore.captured);
    if (session_begin(&restore.session, args) && prepare(&restore)) {
        drive(&restore);
        session_settle_source(&restore.session, restore.source);
        if (restore.session.report.outcome == TOOL_FAILED)
            add_remedy(&restore);
    }
    rdmig_source_destroy(restore.source);
    free(restore.buffer);
    status = session_end(&restore.session);
    /* The blocks, which session_end() closes, have their names and paths from it. */
    image_reader_close(&restore.captured);
    return status;
}
