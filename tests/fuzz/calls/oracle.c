/* SPDX-License-Identifier: BSD-2-Clause */
/* What has to be true of both handles after each call, whatever the calls were. */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "FAIL %s: %s\n", world.call ? world.call : "start", what);
    abort();
}

/* ---- words for people */

/* Bytes of the character at text; 0: it is none, or one that does something to a terminal. */
static uint32_t character_bytes(const uint8_t *text)
{
    const uint32_t count = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (text[0] < 0x20 || text[0] == 0x7f || (text[0] >= 0x80 && text[0] < 0xc2) || text[0] > 0xf4)
        return 0;
    for (uint32_t i = 1; i < count; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    return text[0] == 0xc2 && text[1] < 0xa0 ? 0 : count;
}

void oracle_line(const char *line, size_t capacity_bytes)
{
    const size_t length_bytes = strnlen(line, capacity_bytes);

    require(length_bytes > 0, "an error without a sentence");
    require(length_bytes < capacity_bytes, "a sentence without an end");
    for (size_t i = 0; i < length_bytes;) {
        const uint32_t count = character_bytes((const uint8_t *)line + i);

        require(count > 0, "a sentence that is no text, or does something to a terminal");
        i += count;
    }
}

void oracle_trace(void *opaque, const char *line)
{
    require(opaque == &world, "a trace for somebody else");
    require(line[0] >= '0' && line[0] <= '9' && strchr(line, ' '), "a line without its time");
    oracle_line(line, 4096);
}

static bool may_pass(enum rdmig_reason reason)
{
    switch (reason) {
    case RDMIG_REASON_TIME_LIMIT:
    case RDMIG_REASON_PEER_UNREACHABLE:
    case RDMIG_REASON_PEER_REJECTED:
    case RDMIG_REASON_CONNECT_TIMEOUT:
    case RDMIG_REASON_PEER_SILENT:
    case RDMIG_REASON_PEER_DISCONNECTED:
    case RDMIG_REASON_CONNECTION_LOST:
    case RDMIG_REASON_SEND_FAILED:
    case RDMIG_REASON_WRITE_FAILED:
    case RDMIG_REASON_RECV_FAILED:
        return true;
    default:
        return false;
    }
}

void oracle_error(const struct rdmig_error *error)
{
    require(error->reason != RDMIG_REASON_NONE, "a failure without a reason");
    require(strcmp(rdmig_reason_name(error->reason), "unknown") != 0, "a reason without a name");
    require(error->reason != RDMIG_REASON_INTERNAL, "INTERNAL: a fault of the library");
    require(rdmig_reason_is_retryable(error->reason) == may_pass(error->reason),
            "a reason that may pass, or not, wrongly");
    oracle_line(error->detail, sizeof(error->detail));
    oracle_line(error->remedy, sizeof(error->remedy));
}

/* ---- looking */

static void look_at_source(struct view *view)
{
    const struct rdmig_source *source = world.source;

    view->source.state = rdmig_source_state(source);
    view->source.error = *rdmig_source_error(source);
    rdmig_source_progress(source, &view->source.progress, sizeof(view->source.progress));
    view->source.estimate_ns = rdmig_source_downtime_estimate_ns(source);
    view->source.has_converged = rdmig_source_converged(source);
    view->source.is_closed = rdmig_source_is_closed(source);
    view->source.fd = rdmig_source_fd(source);
}

static void look_at_destination(struct view *view)
{
    const struct rdmig_destination *destination = world.destination;
    struct rdmig_progress *progress = &view->destination.progress;

    view->destination.state = rdmig_destination_state(destination);
    view->destination.error = *rdmig_destination_error(destination);
    rdmig_destination_progress(destination, progress, sizeof(*progress));
    view->destination.received_bytes = rdmig_destination_stream_received_bytes(destination);
    view->destination.round_position_bytes = rdmig_destination_round_position_bytes(destination);
    (void)rdmig_destination_announced(destination, &view->destination.announced_count);
    view->destination.is_qemu_stream = rdmig_destination_is_qemu_stream(destination);
    view->destination.is_closed = rdmig_destination_is_closed(destination);
    view->destination.fd = rdmig_destination_fd(destination);
}

static void look(struct view *view)
{
    memset(view, 0, sizeof(*view));
    if (world.source)
        look_at_source(view);
    if (world.destination)
        look_at_destination(view);
}

/* ---- progress */

static void check_grown(const struct rdmig_progress *before, const struct rdmig_progress *after)
{
    const uint64_t pairs[][2] = {
        {before->bytes_written, after->bytes_written},
        {before->bytes_zero, after->bytes_zero},
        {before->bytes_stream, after->bytes_stream},
        {before->rounds, after->rounds},
        {before->control_messages, after->control_messages},
        {before->control_bytes, after->control_bytes},
        {before->round_trips, after->round_trips},
        {before->registrations, after->registrations},
        {before->pinned_peak_bytes, after->pinned_peak_bytes},
        {before->setup_ns, after->setup_ns},
        {before->total_ns, after->total_ns},
        {before->bytes_total, after->bytes_total},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        require(pairs[i][0] <= pairs[i][1], "a number has become smaller");
    require(before->bytes_total == 0 || before->bytes_total == after->bytes_total,
            "the size of the guest has changed");
    require(before->pinned_limit_bytes == after->pinned_limit_bytes, "the limit has changed");
}

/* A source without PIPELINE is like a QEMU, which lets go of nothing. */
static void check_numbers(const struct rdmig_progress *progress, bool is_limit_kept)
{
    require(progress->pinned_bytes <= progress->pinned_peak_bytes,
            "more is pinned than at the most");
    require(!is_limit_kept || progress->pinned_limit_bytes == UINT64_MAX ||
                progress->pinned_peak_bytes <=
                    progress->pinned_limit_bytes - rdmig_conn_control_bytes(),
            "more is pinned than the limit allows");
    require(progress->setup_ns <= progress->total_ns, "the setup took longer than all of it");
    require(progress->pin_all_refusal <= RDMIG_PIN_ALL_REFUSED_BY_PEER, "a refusal that is none");
    require(!progress->pin_all || progress->pin_all_refusal == RDMIG_PIN_ALL_NOT_REFUSED,
            "pin-all was granted and refused");
}

/* ---- states */

static bool is_source_step(enum rdmig_source_state from, enum rdmig_source_state to)
{
    switch (from) {
    case RDMIG_SOURCE_CONNECTING:
        return to != RDMIG_SOURCE_SENDING && to != RDMIG_SOURCE_FINISHING &&
               to != RDMIG_SOURCE_COMPLETED;
    case RDMIG_SOURCE_IDLE:
        return to != RDMIG_SOURCE_COMPLETED;
    case RDMIG_SOURCE_SENDING:
        return to != RDMIG_SOURCE_CONNECTING && to != RDMIG_SOURCE_FINISHING &&
               to != RDMIG_SOURCE_COMPLETED;
    case RDMIG_SOURCE_FINISHING:
        return to >= RDMIG_SOURCE_CANCELLING;
    case RDMIG_SOURCE_CANCELLING:
        return to == RDMIG_SOURCE_FAILED || to == RDMIG_SOURCE_CANCELLED;
    default:
        return false;
    }
}

/* IDLE is left by a call that says so, or by failing. */
static bool is_asked(enum rdmig_source_state from, enum rdmig_source_state to)
{
    static const struct {
        const char *call;
        enum rdmig_source_state to;
    } calls[] = {
        {"rdmig_source_start_round", RDMIG_SOURCE_SENDING},
        {"rdmig_source_begin_round", RDMIG_SOURCE_SENDING},
        {"rdmig_source_stream_flush", RDMIG_SOURCE_SENDING},
        {"rdmig_source_exchange_blocks", RDMIG_SOURCE_CONNECTING},
        {"rdmig_source_finish", RDMIG_SOURCE_FINISHING},
        {"rdmig_source_finish_with", RDMIG_SOURCE_FINISHING},
    };

    if (from != RDMIG_SOURCE_IDLE || to >= RDMIG_SOURCE_CANCELLING)
        return true;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(world.call, calls[i].call) == 0 && calls[i].to == to)
            return true;
    }
    return false;
}

static bool is_destination_step(enum rdmig_destination_state from, enum rdmig_destination_state to)
{
    if (to >= RDMIG_DESTINATION_FAILED || to == RDMIG_DESTINATION_CANCELLING)
        return from <= RDMIG_DESTINATION_CANCELLING;
    switch (from) {
    case RDMIG_DESTINATION_ROUND_ENDED:
        return to == RDMIG_DESTINATION_RECEIVING || to == RDMIG_DESTINATION_PREPARED;
    case RDMIG_DESTINATION_PREPARED:
        return to == RDMIG_DESTINATION_CONFIRMING || to == RDMIG_DESTINATION_COMPLETED;
    case RDMIG_DESTINATION_RECEIVING:
        return to == RDMIG_DESTINATION_ROUND_ENDED || to == RDMIG_DESTINATION_PREPARED;
    case RDMIG_DESTINATION_CONFIRMING:
        return to == RDMIG_DESTINATION_COMPLETED;
    default: /* several steps at once at the beginning */
        return to > from && from < RDMIG_DESTINATION_RECEIVING && to < RDMIG_DESTINATION_CONFIRMING;
    }
}

/* ---- what ended it */

static bool is_caused(enum rdmig_reason reason, uint32_t own_cancel, uint32_t own_limit)
{
    const uint32_t causes = world.causes;

    switch (reason) {
    case RDMIG_REASON_CANCELLED:
        return (causes & own_cancel) != 0;
    case RDMIG_REASON_TIME_LIMIT:
        return (causes & own_limit) != 0;
    case RDMIG_REASON_BLOCK_UNKNOWN:
    case RDMIG_REASON_BLOCK_COUNT:
    case RDMIG_REASON_BLOCK_LENGTH:
        return (causes & CAUSE_LISTS) != 0;
    case RDMIG_REASON_REGISTER_FAILED:
        return (causes & CAUSE_REGISTER) != 0;
    case RDMIG_REASON_PINNED_LIMIT:
        return (causes & CAUSE_LIMIT) != 0;
    case RDMIG_REASON_CONNECT_TIMEOUT:
    case RDMIG_REASON_PEER_SILENT:
        return (causes & (CAUSE_TIME | CAUSE_KILL)) != 0;
    case RDMIG_REASON_STREAM_BROKEN:
        return (causes & CAUSE_STREAM) != 0;
    case RDMIG_REASON_HANDOVER_UNKNOWN:
        return world.source_model.is_finished && own_cancel == CAUSE_SOURCE_CANCEL;
    case RDMIG_REASON_PEER_UNREACHABLE:
    case RDMIG_REASON_PEER_REJECTED:
    case RDMIG_REASON_PEER_DISCONNECTED:
    case RDMIG_REASON_CONNECTION_LOST:
    case RDMIG_REASON_PEER_ERROR:
    case RDMIG_REASON_STREAM_TRUNCATED:
        return (causes & CAUSE_ANY) != 0;
    default:
        return false;
    }
}

static void check_end(const struct rdmig_error *before, const struct rdmig_error *after,
                      bool is_failing, uint32_t own_cancel, uint32_t own_limit)
{
    if (before->reason != RDMIG_REASON_NONE)
        require(memcmp(before, after, sizeof(*before)) == 0, "the first cause was not kept");
    if (!is_failing)
        require(after->reason == RDMIG_REASON_NONE, "a reason, and nothing has failed");
    if (is_failing)
        require(after->reason != RDMIG_REASON_NONE, "an end without a reason");
    if (after->reason == RDMIG_REASON_NONE || before->reason == after->reason)
        return;
    oracle_error(after);
    if (!is_caused(after->reason, own_cancel, own_limit)) {
        fprintf(stderr, "%s: %s\n", rdmig_reason_name(after->reason), after->detail);
        require(false, "it has failed for a reason that is not there");
    }
}

/* ---- the source */

static void round_has_ended(const struct view *now)
{
    struct source_model *model = &world.source_model;

    model->is_in_round = false;
    model->has_round_ended = true;
    model->is_log_current = false;
    if (strcmp(world.call, "rdmig_source_end_round") == 0)
        model->is_pushing = false;
    if (now->source.progress.bytes_dirty == 0)
        guest_all_clean();
    else if (model->is_marked_in_round)
        world.guest.is_dirty_exact = false;
}

static void check_estimate(const struct view *now)
{
    const uint64_t dirty_bytes = now->source.progress.bytes_dirty;
    const uint64_t rate = now->source.progress.data_bytes_per_s;
    const uint32_t target_ms = world.source_model.options.downtime_target_ms;
    const uint64_t target_ns = (target_ms ? target_ms : 300) * UINT64_C(1000000);
    const struct source_model *model = &world.source_model;
    const bool is_idle = now->source.state == RDMIG_SOURCE_IDLE;

    if (is_idle) {
        require((now->source.estimate_ns == 0) == (dirty_bytes == 0) || rate > dirty_bytes,
                "an estimate of nothing, or none of something");
        require(rate != 0 || dirty_bytes == 0 || now->source.estimate_ns == UINT64_MAX,
                "an estimate without a rate");
    }
    require(now->source.has_converged ==
                (is_idle && model->has_round_ended && model->is_log_current &&
                 (target_ms == UINT32_MAX || now->source.estimate_ns <= target_ns)),
            "converged, or not, wrongly");
}

static void check_dirty(const struct view *now)
{
    const uint64_t dirty_bytes = now->source.progress.bytes_dirty;

    require(dirty_bytes <= 2 * now->source.progress.bytes_total, "more is dirty than there is");
    if (now->source.state == RDMIG_SOURCE_IDLE && world.guest.is_dirty_exact)
        require(dirty_bytes == guest_dirty_bytes(&world.source_model.list),
                "what is dirty is not what was marked");
}

static void check_source_states(const struct view *before, const struct view *now)
{
    const enum rdmig_source_state from = before->source.state;
    const enum rdmig_source_state to = now->source.state;

    require(to <= RDMIG_SOURCE_CANCELLED, "a state that is none");
    require(strcmp(rdmig_source_state_name(to), "unknown") != 0, "a state without a name");
    require(!before->source.is_closed ||
                memcmp(&before->source, &now->source, sizeof(now->source)) == 0,
            "closed, and something has changed");
    require(!now->source.is_closed || to >= RDMIG_SOURCE_COMPLETED, "closed before the end");
    require(now->source.is_closed || to <= RDMIG_SOURCE_COMPLETED, "an end that is not closed");
    require(from == to || is_source_step(from, to), "a step that the source does not take");
    require(from == to || is_asked(from, to), "a step that nobody asked for");
    require(to != RDMIG_SOURCE_CANCELLED || world.source_model.is_cancelled, "cancelled by nobody");
    require(to != RDMIG_SOURCE_FAILED || !world.source_model.is_cancelled,
            "cancelled, and failed for it");
    require((to == RDMIG_SOURCE_CANCELLED) ==
                (to > RDMIG_SOURCE_COMPLETED && now->source.error.reason == RDMIG_REASON_CANCELLED),
            "a state and a reason that contradict each other");
    if (to == RDMIG_SOURCE_COMPLETED && from != to) {
        require((world.causes & CAUSE_LISTS) == 0, "complete, and the blocks were not the same");
        require(world.source_model.is_finished, "complete, and never finished");
        /* Clause E13: a QEMU is waited for, and says ERROR before it leaves. */
        require(!world.is_qemu || !world.is_like_qemu || !world.destination ||
                    now->destination.error.reason == RDMIG_REASON_NONE ||
                    (world.causes & (CAUSE_TIME | CAUSE_KILL)) != 0,
                "complete, and the destination has failed");
        if (world.destination)
            guest_check_arrived(&world.source_model.list, &world.destination_model.list);
    }
}

/* Before finish() the guest is the source's, and at the end the state says whose it is. */
static void check_owner(const struct view *now)
{
    const enum rdmig_ownership owner = rdmig_source_owns_guest(world.source);
    const bool is_unknown = now->source.error.reason == RDMIG_REASON_HANDOVER_UNKNOWN;

    if (now->source.state == RDMIG_SOURCE_COMPLETED)
        require(owner == RDMIG_GUEST_NOT_OWNED, "complete, and the guest is here");
    else if (now->source.state != RDMIG_SOURCE_FINISHING)
        require(owner == (is_unknown ? RDMIG_GUEST_UNKNOWN : RDMIG_GUEST_OWNED),
                "an owner that the error contradicts");
    else
        require(owner != RDMIG_GUEST_NOT_OWNED, "given away before the end");
}

static void check_source(const struct view *before, const struct view *now)
{
    const enum rdmig_source_state to = now->source.state;

    check_source_states(before, now);
    check_owner(now);
    check_end(&before->source.error, &now->source.error,
              to >= RDMIG_SOURCE_CANCELLING && to != RDMIG_SOURCE_COMPLETED, CAUSE_SOURCE_CANCEL,
              CAUSE_SOURCE_LIMIT);
    if (before->source.state == RDMIG_SOURCE_SENDING && to != RDMIG_SOURCE_SENDING &&
        world.source_model.is_in_round) {
        if (to == RDMIG_SOURCE_IDLE)
            round_has_ended(now);
        world.source_model.is_in_round = false;
        world.source_model.is_pushing = false;
    }
    check_grown(&before->source.progress, &now->source.progress);
    check_numbers(&now->source.progress, true);
    check_estimate(now);
    check_dirty(now);
    require(now->source.fd == before->source.fd, "another descriptor");
    require(world.source_model.options.pin_all ||
                now->source.progress.pin_all_refusal == RDMIG_PIN_ALL_NOT_REFUSED,
            "pin-all was refused and not asked for");
    if (before->source.state >= RDMIG_SOURCE_COMPLETED)
        require(before->source.progress.total_ns == now->source.progress.total_ns,
                "the time goes on after the end");
}

/* ---- the destination */

static void check_destination_states(const struct view *before, const struct view *now)
{
    const enum rdmig_destination_state from = before->destination.state;
    const enum rdmig_destination_state to = now->destination.state;

    require(to <= RDMIG_DESTINATION_CANCELLED, "a state that is none");
    require(strcmp(rdmig_destination_state_name(to), "unknown") != 0, "a state without a name");
    require(!now->destination.is_closed || to >= RDMIG_DESTINATION_COMPLETED,
            "closed before the end");
    require(now->destination.is_closed || to <= RDMIG_DESTINATION_COMPLETED,
            "an end that is not closed");
    require(from == to || is_destination_step(from, to),
            "a step that the destination does not take");
    require(to != RDMIG_DESTINATION_CANCELLED || world.destination_model.is_cancelled,
            "cancelled by nobody");
    require(to != RDMIG_DESTINATION_FAILED || !world.destination_model.is_cancelled,
            "cancelled, and failed for it");
    require(to != RDMIG_DESTINATION_ROUND_ENDED || world.destination_model.options.report_rounds,
            "a round was reported unasked");
    if (to == RDMIG_DESTINATION_COMPLETED && from != to) {
        require(pair_is_remote_write_revoked(RDMIG_ROLE_DESTINATION),
                "the guest may run, and the source reaches its memory");
        if (!world.is_qemu) {
            require(world.source_model.is_finished, "complete, and the source never finished");
            require(world.destination_model.read_bytes == world.written_bytes,
                    "complete, and not all of the state was read");
            guest_check_arrived(&world.source_model.list, &world.destination_model.list);
        }
    }
}

/* The source's blocks, in its order. */
static void check_announced(void)
{
    const struct list *list = &world.source_model.list;
    uint32_t count;
    const struct rdmig_ram_block *announced =
        rdmig_destination_announced(world.destination, &count);

    if (count == 0 || world.is_qemu)
        return;
    require(count == list->block_count, "another number of blocks was announced");
    for (uint32_t i = 0; i < count; i++)
        require(strcmp(announced[i].name, list->blocks[i].name) == 0 &&
                    announced[i].length_bytes == list->blocks[i].length_bytes,
                "another block was announced");
}

static void check_destination(const struct view *before, const struct view *now)
{
    const enum rdmig_destination_state to = now->destination.state;
    const bool is_failing = to >= RDMIG_DESTINATION_CANCELLING && to != RDMIG_DESTINATION_COMPLETED;

    check_destination_states(before, now);
    check_announced();
    check_end(&before->destination.error, &now->destination.error, is_failing,
              CAUSE_DESTINATION_CANCEL, CAUSE_DESTINATION_LIMIT);
    check_grown(&before->destination.progress, &now->destination.progress);
    check_numbers(&now->destination.progress, !world.is_like_qemu);
    require(rdmig_destination_stream_available_bytes(world.destination) ==
                now->destination.received_bytes - world.destination_model.read_bytes,
            "what can be read is not what has come");
    require(now->destination.received_bytes >= before->destination.received_bytes,
            "bytes of the stream have gone");
    require(now->destination.received_bytes <= world.written_bytes,
            "more bytes of the stream than were written");
    require(!now->destination.is_qemu_stream || world.is_qemu, "a QEMU's stream that is none");
    require(now->destination.fd == before->destination.fd, "another descriptor");
    if (before->destination.state >= RDMIG_DESTINATION_COMPLETED)
        require(before->destination.progress.total_ns == now->destination.progress.total_ns,
                "the time goes on after the end");
}

/* ---- both */

/* Whoever has once been told that the guest is his runs it from then on. */
static void check_owners(const struct view *now)
{
    if (world.source && (now->source.state == RDMIG_SOURCE_CANCELLED ||
                         (now->source.state == RDMIG_SOURCE_FAILED &&
                          now->source.error.reason != RDMIG_REASON_HANDOVER_UNKNOWN)))
        world.was_source_told = true;
    if (world.destination && now->destination.state == RDMIG_DESTINATION_COMPLETED &&
        !world.destination_model.is_misjudged)
        world.was_destination_told = true;
    require(!world.was_source_told || !world.was_destination_told, "two ends own the guest");
}

static void check_lists(void)
{
    if (world.source && world.destination && world.destination_model.is_list_given &&
        !list_is_same(&world.source_model.list, &world.destination_model.list))
        world.causes |= CAUSE_LISTS;
}

/* CALLS_TRACE=1 shows a run call by call: for people. */
static void trace(const struct view *now, int64_t result)
{
    static int is_on = -1;

    if (is_on < 0)
        is_on = getenv("CALLS_TRACE") != NULL;
    if (is_on)
        fprintf(stderr, "%.6f %s = %lld: source %d %s, destination %d %s\n",
                (double)link_now_ns() / 1e9, world.call, (long long)result,
                world.source ? (int)now->source.state : -1,
                rdmig_reason_name(now->source.error.reason),
                world.destination ? (int)now->destination.state : -1,
                rdmig_reason_name(now->destination.error.reason));
}

void oracle_before(const char *call)
{
    world.call = call;
}

void oracle_renew(void)
{
    check_lists();
    look(&world.view);
    trace(&world.view, 0);
    check_owners(&world.view);
    if (world.source)
        check_dirty(&world.view);
}

void oracle_after(enum caller caller, int64_t result)
{
    const struct view before = world.view;
    const bool is_refused =
        result == -RDMIG_E_STATE || result == -RDMIG_E_AGAIN || result == -RDMIG_E_INVALID;
    struct view now;

    look(&now);
    trace(&now, result);
    if (is_refused || caller == CALLER_NOBODY)
        require(memcmp(&before, &now, sizeof(now)) == 0, "a refused call has changed something");
    if (caller == CALLER_SOURCE)
        require(memcmp(&before.destination, &now.destination, sizeof(now.destination)) == 0,
                "a call on the source has changed the destination");
    if (caller == CALLER_DESTINATION)
        require(memcmp(&before.source, &now.source, sizeof(now.source)) == 0,
                "a call on the destination has changed the source");
    if (world.source)
        check_source(&before, &now);
    if (world.destination)
        check_destination(&before, &now);
    world.view = now;
    check_owners(&now);
}

void oracle_waited(int result, uint32_t timeout_ms, uint64_t start_ns, bool is_for_nothing)
{
    const bool was_interrupted = clock_was_interrupted();
    const uint64_t passed_ns = link_now_ns() - start_ns;

    require(result != -RDMIG_E_AGAIN || timeout_ms != UINT32_MAX, "a wait without end has ended");
    require(result != -RDMIG_E_AGAIN || passed_ns >= (uint64_t)timeout_ms * 1000000,
            "a wait was over too soon");
    require(timeout_ms > 0 || passed_ns == 0, "a wait of no time took some");
    require(result != -RDMIG_E_STATE || is_for_nothing, "nothing to wait for, and there is");
    require(result == 0 || result == -RDMIG_E_AGAIN || result == -RDMIG_E_STATE ||
                (result == -RDMIG_E_SYSTEM && was_interrupted),
            "wait returned what it does not document");
    oracle_after(CALLER_BOTH, 0);
}

/* ---- the end of a run */

static bool has_no_limit(uint32_t limit_ms)
{
    return limit_ms > 3600000;
}

void oracle_settled(void)
{
    const struct source_model *source = &world.source_model;
    const struct destination_model *destination = &world.destination_model;
    const enum rdmig_source_state at = world.view.source.state;
    const uint64_t cap = source->options.bandwidth_bytes_per_s;
    const bool has_pace = cap == 0 || cap > UINT32_MAX / 8; /* the others send little in a turn */

    world.call = "the end";
    if (world.source && !source->is_dead) {
        require(at != RDMIG_SOURCE_CANCELLING, "the source does not come to its end");
        require(at != RDMIG_SOURCE_FINISHING || has_no_limit(source->options.reply_timeout_ms),
                "the hand-over does not end");
        require(at != RDMIG_SOURCE_SENDING || source->is_pushing || !has_pace ||
                    has_no_limit(source->options.reply_timeout_ms),
                "the round does not end");
    }
    if (world.destination && !destination->is_dead)
        require(world.view.destination.state != RDMIG_DESTINATION_CANCELLING,
                "the destination does not come to its end");
    if (world.source && world.destination && !world.is_qemu && !destination->is_dead &&
        at == RDMIG_SOURCE_COMPLETED)
        require(world.view.destination.state == RDMIG_DESTINATION_COMPLETED,
                "no end owns the guest");
}
