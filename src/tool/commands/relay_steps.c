/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay.h"

#include <rdmig/core.h>
#include <time.h>

/* One part of COMPARE_SHARE: a processor that is shared with a guest must not be eaten up. */
#define COMPARE_SHARE 2
/* What a pause can save up, about as much as the longest wait of the loop brings. */
#define COMPARE_ALLOWANCE_NS_MAX INT64_C(100000000)

static bool refuse(struct relay *relay, enum relay_side side, const char *reason,
                   const char *remedy, const char *detail)
{
    relay->side = side;
    return tool_error_set(session_error(&relay->session), reason, remedy, "%s", detail);
}

static bool is_incoming_leaving(enum rdmig_destination_state state)
{
    return state == RDMIG_DESTINATION_CANCELLING || state == RDMIG_DESTINATION_FAILED ||
           state == RDMIG_DESTINATION_CANCELLED;
}

static bool is_outgoing_leaving(enum rdmig_source_state state)
{
    return state == RDMIG_SOURCE_CANCELLING || state == RDMIG_SOURCE_FAILED ||
           state == RDMIG_SOURCE_CANCELLED;
}

enum relay_side relay_failed_side(const struct relay *relay)
{
    if (is_incoming_leaving(rdmig_destination_state(relay->session.destination)))
        return RELAY_SIDE_SOURCE;
    if (relay->session.source != NULL &&
        is_outgoing_leaving(rdmig_source_state(relay->session.source)))
        return RELAY_SIDE_DESTINATION;
    return RELAY_SIDE_NONE;
}

/* True unless the call was refused. By a side that has failed meanwhile it may be. */
static bool check(struct relay *relay, const char *call, int64_t result)
{
    return result >= 0 || (relay_failed_side(relay) == RELAY_SIDE_NONE &&
                           session_check(&relay->session, call, result));
}

#define CALL(relay, function, ...) check(relay, #function, function(__VA_ARGS__))

/* ---- the beginning */

/*
 * What the side of the destination may pin: what the side of the source leaves. A stock source
 * unregisters nothing, so that one needs all of the RAM, and its messages where the user's number is to
 * cover both. Never 0, which would be the library's own choice.
 */
static uint64_t outgoing_limit_bytes(const struct relay *relay)
{
    const uint64_t given_bytes = relay->session.args->pinned_limit_bytes;
    const uint64_t limit_bytes = given_bytes != 0 ? given_bytes : rdmig_pinned_limit_bytes();
    uint64_t taken_bytes = given_bytes != 0 ? rdmig_conn_control_bytes() : 0;

    if (limit_bytes == UINT64_MAX)
        return UINT64_MAX;
    for (uint32_t i = 0; i < relay->shadow.count; i++)
        taken_bytes += relay->shadow.blocks[i].length_bytes;
    return limit_bytes > taken_bytes ? limit_bytes - taken_bytes : 1;
}

static bool begin_outgoing(struct relay *relay)
{
    struct session *session = &relay->session;
    struct rdmig_options options;

    session_fill_options(session, &options);
    options.stream_format = RDMIG_STREAM_QEMU;
    options.pinned_limit_bytes = outgoing_limit_bytes(relay);
    if (session_connect(session, &session->args->relay_to, relay->shadow.blocks,
                        relay->shadow.count, &options))
        return true;
    relay->side = RELAY_SIDE_DESTINATION;
    return false;
}

/* The source's blocks are known: memory for them, twice, and a connection to the destination. */
static void begin(struct relay *relay)
{
    struct session *session = &relay->session;

    if (!rdmig_destination_is_qemu_stream(session->destination)) {
        refuse(relay, RELAY_SIDE_SOURCE, TOOL_REASON_SOURCE_KIND,
               "let it send to an rdmig recv at the destination", "it is an rdmig, not a QEMU");
    } else if (session_allocate_memory(session) &&
               shadow_allocate(&relay->shadow, &session->rams, session_error(session)) &&
               begin_outgoing(relay)) {
        session_provide_blocks(session);
    }
}

/* ---- the stream */

static bool read_bytes(struct relay *relay, uint64_t length_bytes)
{
    struct relay_stream *stream = &relay->stream;
    size_t piece_bytes =
        length_bytes < RELAY_STREAM_BYTES ? (size_t)length_bytes : RELAY_STREAM_BYTES;
    uint8_t *place = relay_stream_reserve(stream, piece_bytes);
    int64_t got;

    if (place == NULL)
        return refuse(relay, RELAY_SIDE_NONE, rdmig_reason_name(RDMIG_REASON_MEMORY), "free memory",
                      "no memory for the end of the byte stream");
    got = rdmig_destination_stream_read(relay->session.destination, place, piece_bytes);
    if (!check(relay, "rdmig_destination_stream_read", got) || got == 0)
        return false;
    relay_stream_added(stream, (size_t)got);
    return true;
}

/*
 * A message that has been read to its end lets the source send the next one, and with its last one
 * sent a QEMU says that it has completed. So, behind the last round, a message's last byte is not
 * read before the destination has taken what came before it.
 */
static bool read_stream(struct relay *relay)
{
    uint64_t length_bytes = rdmig_destination_stream_available_bytes(relay->session.destination);
    size_t left_bytes = relay_stream_left_bytes(&relay->stream);
    size_t room_bytes = left_bytes < RELAY_STREAM_BYTES ? RELAY_STREAM_BYTES - left_bytes : 0;

    if (relay->stream.is_end_held) {
        /* The part of it that has to be kept is bounded by what may be a description. */
        room_bytes = RELAY_STREAM_BYTES;
        length_bytes -= length_bytes > 0 ? 1 : 0;
        if (relay_stream_passable_bytes(&relay->stream) > 0)
            return false;
    }
    if (length_bytes > room_bytes)
        length_bytes = room_bytes;
    return length_bytes > 0 && read_bytes(relay, length_bytes);
}

static uint64_t passed_bytes(const struct relay *relay)
{
    return relay->stream.position_bytes - relay_stream_left_bytes(&relay->stream);
}

/* State IDLE. True: something was passed on. */
static bool write_stream(struct relay *relay)
{
    struct relay_stream *stream = &relay->stream;
    size_t passable_bytes = relay_stream_passable_bytes(stream);
    int64_t taken;

    if (passable_bytes == 0)
        return false;
    taken = rdmig_source_stream_write(relay->session.source, stream->bytes + stream->start,
                                      passable_bytes);
    if (!check(relay, "rdmig_source_stream_write", taken) || taken == 0)
        return false;
    relay_stream_passed(stream, (size_t)taken);
    return true;
}

/* Behind the last round, all has been passed on that may be. */
static bool read_last_byte(struct relay *relay)
{
    if (relay->flushed_bytes < passed_bytes(relay)) {
        relay->flushed_bytes = passed_bytes(relay);
        return CALL(relay, rdmig_source_stream_flush, relay->session.source);
    }
    return rdmig_destination_stream_available_bytes(relay->session.destination) == 1 &&
           read_bytes(relay, 1);
}

/* ---- rounds */

static bool run_round(struct relay *relay)
{
    return CALL(relay, rdmig_source_start_round, relay->session.source) &&
           CALL(relay, rdmig_destination_resume, relay->session.destination);
}

/* The source has ended a round, and the stream is passed on up to its hook. */
static bool take_hook(struct relay *relay)
{
    enum relay_hook hook = relay_stream_hook(&relay->stream);

    if (hook == RELAY_HOOK_NONE)
        return refuse(relay, RELAY_SIDE_SOURCE, rdmig_reason_name(RDMIG_REASON_STREAM_BROKEN),
                      "use a QEMU that migrates over RDMA",
                      "commands came where its stream has no hook for them");
    relay->is_memory_whole = false;
    if (relay->hook_count++ == 0) {
        relay->step = RELAY_EXCHANGING;
        return CALL(relay, rdmig_source_exchange_blocks, relay->session.source);
    }
    if (hook == RELAY_HOOK_PART) {
        /* What the comparison finds goes in whichever round is running or next. */
        if (!relay->shadow.is_comparing)
            shadow_begin(&relay->shadow);
        return run_round(relay);
    }
    (void)rdmig_source_guest_stopped(relay->session.source);
    shadow_begin(&relay->shadow);
    relay->step = RELAY_COMPARING;
    return true;
}

/* The blocks are exchanged: the setup's round is an empty one. */
static bool end_setup(struct relay *relay)
{
    relay->step = RELAY_PASSING;
    return CALL(relay, rdmig_source_begin_round, relay->session.source) &&
           CALL(relay, rdmig_source_end_round, relay->session.source) &&
           CALL(relay, rdmig_destination_resume, relay->session.destination);
}

static bool end_comparing(struct relay *relay)
{
    if (relay->shadow.is_comparing)
        return false;
    relay->step = RELAY_LAST_ROUND;
    return CALL(relay, rdmig_source_start_round, relay->session.source);
}

/*
 * All memory is at the destination. Before that the source does not go on: its limit of time has
 * room for a round of any length where the round ends, but not where its stream is waited for
 * (clause E14).
 */
static bool end_last_round(struct relay *relay)
{
    relay->step = RELAY_PASSING;
    relay->is_memory_whole = true;
    relay->stream.is_end_held = true;
    return CALL(relay, rdmig_destination_resume, relay->session.destination);
}

/* ---- the end */

/* The source has left, all it sent is read, and passed on but for the stream's end. */
static bool take_end(struct relay *relay)
{
    if (!relay_stream_is_complete(&relay->stream))
        return refuse(relay, RELAY_SIDE_SOURCE, rdmig_reason_name(RDMIG_REASON_STREAM_TRUNCATED),
                      "see the source's own message; its guest runs on there",
                      "it left before the end of its stream");
    if (!relay->is_memory_whole)
        return refuse(relay, RELAY_SIDE_SOURCE, rdmig_reason_name(RDMIG_REASON_STREAM_BROKEN),
                      "report it with the version of that QEMU",
                      "its stream has no last part of the memory");
    if (!CALL(relay, rdmig_destination_confirm, relay->session.destination))
        return false;
    relay->stream.is_end_held = false;
    relay->step = RELAY_ENDING;
    return true;
}

static bool pass(struct relay *relay)
{
    enum rdmig_destination_state state = rdmig_destination_state(relay->session.destination);

    if (write_stream(relay))
        return true;
    if (relay_stream_passable_bytes(&relay->stream) > 0)
        return false;
    if (rdmig_destination_stream_available_bytes(relay->session.destination) == 0) {
        if (state == RDMIG_DESTINATION_ROUND_ENDED)
            return take_hook(relay);
        if (state == RDMIG_DESTINATION_PREPARED)
            return take_end(relay);
    }
    return relay->stream.is_end_held && read_last_byte(relay);
}

/* From its end mark on in one call: the QEMU there runs the guest from the mark on, and none of it
 * may leave before the hand-over has begun. */
static bool end_stream(struct relay *relay)
{
    struct relay_stream *stream = &relay->stream;
    const size_t left_bytes = relay_stream_left_bytes(stream);
    const uint8_t *start = stream->bytes + stream->start;

    relay->step = RELAY_HANDED_OVER;
    relay_stream_passed(stream, left_bytes);
    return CALL(relay, rdmig_source_finish_with, relay->session.source, start, left_bytes);
}

static bool (*const steps[])(struct relay *) = {
    [RELAY_PASSING] = pass,
    [RELAY_EXCHANGING] = end_setup,
    [RELAY_COMPARING] = end_comparing,
    [RELAY_LAST_ROUND] = end_last_round,
    [RELAY_ENDING] = end_stream,
};

static bool take_steps(struct relay *relay)
{
    bool has_moved = false;

    if (rdmig_destination_state(relay->session.destination) == RDMIG_DESTINATION_BLOCKS_NEEDED) {
        begin(relay);
        return true;
    }
    if (relay->session.source == NULL)
        return false;
    if (relay->step < RELAY_ENDING)
        has_moved = read_stream(relay);
    if (relay->step != RELAY_HANDED_OVER &&
        rdmig_source_state(relay->session.source) == RDMIG_SOURCE_IDLE)
        has_moved = steps[relay->step](relay) || has_moved;
    return has_moved;
}

static bool mark_changed(void *context, uint32_t block_index, uint64_t offset_bytes,
                         uint64_t length_bytes)
{
    struct relay *relay = context;

    return CALL(relay, rdmig_source_mark_range, relay->session.source, block_index, offset_bytes,
                length_bytes);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* While the guest runs, comparing has a share of the time; when it stands still, all of it. */
static bool may_compare(struct relay *relay)
{
    uint64_t now = now_ns();

    if (!relay->shadow.is_comparing)
        return false;
    relay->compare_allowance_ns += (int64_t)(now - relay->compared_ns) / COMPARE_SHARE;
    if (relay->compare_allowance_ns > COMPARE_ALLOWANCE_NS_MAX)
        relay->compare_allowance_ns = COMPARE_ALLOWANCE_NS_MAX;
    relay->compared_ns = now;
    return relay->step == RELAY_COMPARING || relay->compare_allowance_ns > 0;
}

/* True: a piece was compared. */
static bool compare(struct relay *relay)
{
    uint64_t start_ns;

    if (!may_compare(relay))
        return false;
    start_ns = relay->compared_ns;
    shadow_compare(&relay->shadow, mark_changed, relay);
    relay->compared_ns = now_ns();
    relay->compare_allowance_ns -= (int64_t)(relay->compared_ns - start_ns);
    return true;
}

bool relay_advance(void *context)
{
    struct relay *relay = context;
    const bool has_moved = take_steps(relay);

    return compare(relay) || has_moved;
}
