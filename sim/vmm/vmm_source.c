/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM at the source: connects, goes through rounds until little is left, stops the guest, hands
 * over the device state, and lets the guest run on when it is told that the migration has failed.
 * With a QEMU stream it writes that itself; with our own the library frames it.
 */
#include "vmm_source.h"

#include "fail.h"
#include "guest.h"
#include "oracle.h"

#include <inttypes.h>
#include <string.h>

/* Its process may have been frozen meanwhile. */
#define TIME_SLACK_NS UINT64_C(1000000)

enum { WORDS_AFTER_ROUND = 3, LAST_TURN_MAX = 120, WAIT_MS_MAX = 20 };

static struct vmm_source *source_of(struct party *party)
{
    return (struct vmm_source *)party;
}

static struct world *world_of(const struct vmm_source *source)
{
    return source->vmm.party.world;
}

static bool is_peer_stock(const struct vmm_source *source)
{
    return world_of(source)->options->kind[RDMIG_ROLE_DESTINATION] == PARTY_STOCK;
}

static void expect(struct vmm_source *source, const char *call, int result)
{
    if (result != RDMIG_OK)
        world_break(world_of(source), "call", "source: %s says %s in state %u", call,
                    rdmig_result_text(result), (unsigned)rdmig_source_state(source->handle));
}

/* ---- the stream */

static void write_words(struct vmm_source *source, enum stream_word word, uint64_t count)
{
    struct vmm_outbox *outbox = &source->outbox;

    if (count == 0 || outbox->item_count == VMM_OUTBOX_ITEMS)
        return;
    outbox->items[outbox->item_count].word = word;
    outbox->items[outbox->item_count].count = count;
    outbox->item_count++;
}

static bool is_outbox_empty(const struct vmm_source *source)
{
    return source->outbox.start == source->outbox.end && source->outbox.item_count == 0;
}

static void fill_outbox(struct vmm_outbox *outbox)
{
    if (outbox->start < outbox->end)
        return;
    outbox->start = 0;
    outbox->end = 0;
    while (outbox->item_count > 0 && outbox->end + STREAM_WORD_BYTES <= VMM_OUTBOX_BYTES) {
        outbox->end +=
            stream_write(&outbox->writer, outbox->items[0].word, outbox->bytes + outbox->end);
        if (--outbox->items[0].count > 0)
            continue;
        outbox->item_count--;
        for (uint32_t i = 0; i < outbox->item_count; i++)
            outbox->items[i] = outbox->items[i + 1];
    }
}

/* In odd pieces now and then. True: some were taken. */
static bool pump_outbox(struct vmm_source *source)
{
    struct vmm_outbox *outbox = &source->outbox;
    uint64_t length_bytes;
    int64_t taken_bytes;

    fill_outbox(outbox);
    length_bytes = outbox->end - outbox->start;
    if (length_bytes == 0)
        return false;
    if (process_chance(&source->vmm.process, 4))
        length_bytes = 1 + choice_below(world_of(source)->choice, (uint32_t)length_bytes);
    vmm_call_begins(&source->vmm);
    taken_bytes =
        rdmig_source_stream_write(source->handle, outbox->bytes + outbox->start, length_bytes);
    vmm_call_ended(&source->vmm, "stream_write");
    if (taken_bytes < 0 || (uint64_t)taken_bytes > length_bytes)
        world_break(world_of(source), "call", "source: stream_write says %" PRId64, taken_bytes);
    else
        outbox->start += (uint32_t)taken_bytes;
    source->vmm.party.numbers.stream_bytes += taken_bytes > 0 ? (uint64_t)taken_bytes : 0;
    return taken_bytes > 0;
}

/* ---- the end */

static void run_guest_on(struct vmm_source *source)
{
    struct world *world = world_of(source);

    if (source->has_given_guest)
        oracle_owner_took(world->oracle, RDMIG_ROLE_SOURCE);
    if (source->is_guest_stopped)
        guest_resume(world->guest, world->ram[RDMIG_ROLE_SOURCE],
                     process_now_ns(&source->vmm.process));
    source->vmm.party.outcome = OUTCOME_FAILED;
}

static void destroy_handle(struct vmm_source *source)
{
    vmm_count(&source->vmm.party);
    vmm_call_begins(&source->vmm);
    rdmig_source_destroy(source->handle);
    source->handle = NULL;
}

static void watch_progress(struct vmm_source *source)
{
    struct rdmig_progress progress;

    process_enter(&source->vmm.process);
    rdmig_source_progress(source->handle, &progress, sizeof(progress));
    vmm_watch_progress(&source->vmm, &progress);
}

/* What the handle says of the owner has to be what its state and its error say. */
static void watch_owner(struct vmm_source *source, enum rdmig_source_state state)
{
    const bool is_unknown =
        rdmig_source_error(source->handle)->reason == RDMIG_REASON_HANDOVER_UNKNOWN;
    const enum rdmig_ownership expected = state == RDMIG_SOURCE_COMPLETED ? RDMIG_GUEST_NOT_OWNED
                                          : is_unknown                    ? RDMIG_GUEST_UNKNOWN
                                                                          : RDMIG_GUEST_OWNED;

    if (rdmig_source_owns_guest(source->handle) != expected)
        world_break(world_of(source), "told", "the source's ownership is %u in state %u",
                    (unsigned)rdmig_source_owns_guest(source->handle), (unsigned)state);
}

static bool may_have_handed_over(const struct vmm_source *source)
{
    return source->has_given_guest &&
           link_may_have_handed_over(source->vmm.process.link, source->vmm.is_native,
                                     source->vmm.party.numbers.stream_bytes - STREAM_WORD_BYTES);
}

/* Told how it ended. */
static void take_end(struct vmm_source *source, enum rdmig_source_state state)
{
    struct party *party = &source->vmm.party;
    const struct rdmig_error *error = rdmig_source_error(source->handle);

    source->vmm.is_over = true;
    watch_progress(source);
    watch_owner(source, state);
    world_log(party->world, "source is told %u, reason %s", (unsigned)state,
              rdmig_reason_name(error->reason));
    if (state == RDMIG_SOURCE_COMPLETED) {
        party->outcome = OUTCOME_COMPLETED;
        party->numbers.completed_ns = process_now_ns(&source->vmm.process);
        if (source->vmm.watch.last.downtime_ns == 0 ||
            source->vmm.watch.last.downtime_ns >
                party->numbers.completed_ns - party->numbers.stopped_ns)
            world_break(party->world, "progress",
                        "the guest stood still for %" PRIu64 " ns, not %" PRIu64,
                        party->numbers.completed_ns - party->numbers.stopped_ns,
                        source->vmm.watch.last.downtime_ns);
        if (error->reason != RDMIG_REASON_NONE || !source->has_given_guest)
            world_break(party->world, "told", "the source is told COMPLETED, with a cause");
    } else {
        if (error->reason == RDMIG_REASON_NONE || error->reason == RDMIG_REASON_INTERNAL)
            world_break(party->world, "told", "the source is told FAILED, and the cause is %s",
                        rdmig_reason_name(error->reason));
        if ((state == RDMIG_SOURCE_CANCELLED) != (error->reason == RDMIG_REASON_CANCELLED) ||
            (state == RDMIG_SOURCE_CANCELLED && !source->is_cancelled))
            world_break(party->world, "told", "the source is told %u, and the cause is %s",
                        (unsigned)state, rdmig_reason_name(error->reason));
        if (error->reason != RDMIG_REASON_HANDOVER_UNKNOWN)
            run_guest_on(source);
        else
            party->outcome = OUTCOME_UNKNOWN;
        if (error->reason == RDMIG_REASON_HANDOVER_UNKNOWN && !may_have_handed_over(source))
            world_break(party->world, "told", "HANDOVER_UNKNOWN before the guest was handed over");
    }
}

static bool cancel_handle(struct vmm_source *source)
{
    int result;

    vmm_call_begins(&source->vmm);
    result = rdmig_source_cancel(source->handle);
    vmm_call_ended(&source->vmm, "cancel");
    if (result == RDMIG_OK)
        source->is_cancelled = true;
    else if (result != -RDMIG_E_STATE || !source->has_given_guest)
        expect(source, "cancel", result);
    return result == RDMIG_OK;
}

/* Of the VMMs that give up, some do so while the end of the stream is on its way: what they are told
 * of the owner counts then. */
static bool is_to_give_up(struct vmm_source *source)
{
    if (source->last_turn == 0)
        return false;
    return source->turn_count == source->last_turn ||
           (may_have_handed_over(source) && process_chance(&source->vmm.process, 2));
}

/* Cancels, or destroys the handle under way: then it is over with what it has been told so far. */
static void give_up(struct vmm_source *source)
{
    bool is_owner;

    source->vmm.party.has_given_up = true;
    if (choice_below(world_of(source)->choice, 2) == 0) {
        (void)cancel_handle(source);
        return;
    }
    world_log(world_of(source), "source destroys its handle");
    is_owner = rdmig_source_owns_guest(source->handle) == RDMIG_GUEST_OWNED;
    destroy_handle(source);
    source->vmm.is_over = true;
    if (is_owner)
        run_guest_on(source);
    else
        source->vmm.party.outcome = OUTCOME_UNKNOWN;
}

/* ---- from state to state */

static void finish(struct vmm_source *source)
{
    uint8_t end[STREAM_WORD_BYTES];
    int result;

    if (!source->vmm.is_native)
        (void)stream_write(&source->outbox.writer, STREAM_END, end);
    vmm_call_begins(&source->vmm);
    oracle_owner_gave_up(world_of(source)->oracle, RDMIG_ROLE_SOURCE);
    source->has_given_guest = true;
    result = source->vmm.is_native ? rdmig_source_finish(source->handle)
                                   : rdmig_source_finish_with(source->handle, end, sizeof(end));
    vmm_call_ended(&source->vmm, "finish");
    expect(source, "finish", result);
    if (!source->vmm.is_native && result == RDMIG_OK)
        source->vmm.party.numbers.stream_bytes += sizeof(end);
    source->stage = VMM_FINISHING;
}

static void end_setup(struct vmm_source *source)
{
    expect(source, "begin_round", rdmig_source_begin_round(source->handle));
    vmm_call_begins(&source->vmm);
    expect(source, "end_round", rdmig_source_end_round(source->handle));
    vmm_call_ended(&source->vmm, "end_round");
    source->stage = VMM_BETWEEN;
}

/* What comes after a round: another, or the device state. */
static void go_on_between(struct vmm_source *source)
{
    if (source->is_guest_stopped && source->is_round_last && vmm_rounds_dirty_bytes(source) == 0) {
        write_words(source, STREAM_DATA,
                    world_of(source)->options->state_bytes / STREAM_WORD_BYTES);
        source->stage = VMM_STATE;
        return;
    }
    if (!source->vmm.is_native)
        write_words(source, STREAM_HOOK, 1);
    source->stage = VMM_HOOKING;
}

static bool flush(struct vmm_source *source)
{
    if (source->vmm.is_native || source->is_flushed || !process_chance(&source->vmm.process, 2))
        return false;
    source->is_flushed = true;
    vmm_call_begins(&source->vmm);
    expect(source, "stream_flush", rdmig_source_stream_flush(source->handle));
    vmm_call_ended(&source->vmm, "stream_flush");
    return true;
}

/* State IDLE. True: something has moved. */
static bool act_idle(struct vmm_source *source)
{
    if (source->stage == VMM_ROUND) {
        vmm_rounds_ended(source);
        source->stage = VMM_BETWEEN;
        write_words(source, STREAM_DATA, WORDS_AFTER_ROUND);
    }
    if (vmm_hesitates(&source->vmm))
        return false;
    if (!is_outbox_empty(source))
        return pump_outbox(source);
    switch (source->stage) {
    case VMM_OPENING:
        source->stage = VMM_EXCHANGED;
        vmm_call_begins(&source->vmm);
        expect(source, "exchange_blocks", rdmig_source_exchange_blocks(source->handle));
        vmm_call_ended(&source->vmm, "exchange_blocks");
        return true;
    case VMM_EXCHANGED:
        end_setup(source);
        return true;
    case VMM_BETWEEN:
        go_on_between(source);
        return true;
    case VMM_HOOKING:
        source->stage = VMM_ROUND;
        vmm_rounds_begin(source);
        return true;
    case VMM_STATE:
        if (!flush(source))
            finish(source);
        return true;
    default:
        return false;
    }
}

static bool act(struct vmm_source *source)
{
    const enum rdmig_source_state state = rdmig_source_state(source->handle);

    if (source->vmm.is_over || world_is_broken(world_of(source)))
        return false;
    vmm_source_call_wrongly(source);
    switch (state) {
    case RDMIG_SOURCE_IDLE:
        return act_idle(source);
    case RDMIG_SOURCE_SENDING:
        return source->stage == VMM_ROUND && vmm_rounds_go_on(source);
    case RDMIG_SOURCE_COMPLETED:
    case RDMIG_SOURCE_FAILED:
    case RDMIG_SOURCE_CANCELLED:
        take_end(source, state);
        return false;
    default:
        return false;
    }
}

static void process(struct vmm_source *source)
{
    const enum rdmig_source_state state = rdmig_source_state(source->handle);

    if (!source->vmm.is_over && process_may_block(&source->vmm.process) &&
        process_chance(&source->vmm.process, 16)) {
        const uint32_t timeout_ms = choice_below(world_of(source)->choice, WAIT_MS_MAX);
        const uint64_t start_ns = process_now_ns(&source->vmm.process);
        int result;

        process_enter(&source->vmm.process);
        result = rdmig_source_wait(source->handle, state, timeout_ms);
        if (result == -RDMIG_E_STATE && rdmig_source_is_closed(source->handle))
            return;                    /* that state is for ever */
        if (result != -RDMIG_E_SYSTEM) /* a signal came */
            vmm_watch_wait(&source->vmm, result, start_ns, timeout_ms);
        return;
    }
    vmm_call_begins(&source->vmm);
    expect(source, "process", rdmig_source_process(source->handle));
    vmm_call_ended(&source->vmm, "process");
}

/* Behind its time limit it goes nowhere but to its end, within the time for closing. */
static void check_time_limit(struct vmm_source *source)
{
    const uint64_t limit_ns = source->time_limit_ms * UINT64_C(1000000);
    struct party_numbers numbers = {0};

    if (limit_ns == 0 || source->vmm.is_over || !source->vmm.process.link)
        return;
    link_count(source->vmm.process.link, &numbers);
    if (numbers.connected_ns == 0 ||
        process_now_ns(&source->vmm.process) < numbers.connected_ns + limit_ns + TIME_SLACK_NS)
        return;
    if (rdmig_source_state(source->handle) == RDMIG_SOURCE_IDLE ||
        rdmig_source_state(source->handle) == RDMIG_SOURCE_SENDING)
        world_break(world_of(source), "time limit", "it has passed, and the source goes on");
}

static void turn(struct party *party)
{
    struct vmm_source *source = source_of(party);

    if (!source->handle || world_is_broken(party->world))
        return;
    process(source);
    if (port_is_dead(party->port))
        return;
    check_time_limit(source);
    while (act(source))
        ;
    if (source->handle && rdmig_source_is_closed(source->handle) !=
                              (source->vmm.is_over && link_is_closed(source->vmm.process.link)))
        world_break(world_of(source), "closed", "is_closed() is wrong");
    if (process_chance(&source->vmm.process, 16) && source->handle)
        watch_progress(source);
    source->turn_count++;
    if (!source->vmm.is_over && is_to_give_up(source))
        give_up(source);
    if (source->vmm.is_over && source->handle && process_chance(&source->vmm.process, 4))
        destroy_handle(source);
}

/* ---- the class */

static void draw(struct vmm_source *source, struct rdmig_options *options)
{
    struct vmm *vmm = &source->vmm;
    struct choice *choice = world_of(source)->choice;

    source->is_pushing = process_chance(&vmm->process, 4);
    if (process_chance(&vmm->process, 3))
        options->downtime_target_ms = 1;
    if (process_chance(&vmm->process, 8))
        options->bandwidth_bytes_per_s = UINT64_C(500000000) << choice_below(choice, 4);
    if (vmm_mischief(vmm, 24)) {
        options->time_limit_ms = 1 + choice_below(choice, 8);
        source->time_limit_ms = options->time_limit_ms;
        vmm->party.has_given_up = true;
    }
    if (vmm_mischief(vmm, 24))
        source->last_turn = 1 + choice_below(choice, LAST_TURN_MAX);
    source->downtime_target_ms = options->downtime_target_ms ? options->downtime_target_ms : 300;
}

static void start(struct party *party)
{
    struct vmm_source *source = source_of(party);
    struct rdmig_ram_block blocks[OPTION_BLOCKS_MAX];
    char names[OPTION_BLOCKS_MAX][STREAM_NAME_BYTES];
    struct rdmig_options options;

    if (is_peer_stock(source) || process_chance(&source->vmm.process, 4))
        source->vmm.is_native = false;
    party->has_no_prepare = !source->vmm.is_native;
    vmm_options(&source->vmm, &options);
    draw(source, &options);
    vmm_blocks(&source->vmm, blocks, names);
    source->stage = VMM_BETWEEN;
    if (!source->vmm.is_native) {
        source->stage = VMM_OPENING;
        source->outbox.end =
            stream_header(&party->world->options->guest, false, source->outbox.bytes);
        write_words(source, STREAM_DATA, party->world->options->prefix_bytes / STREAM_WORD_BYTES);
        write_words(source, STREAM_HOOK, 1);
    }
    process_enter(&source->vmm.process);
    expect(source, "create",
           rdmig_source_create(&source->handle, "there", "4444", blocks,
                               party->world->options->guest.block_count, &options, NULL));
    process_plan_turn(&source->vmm.process, 0);
}

static void cancel(struct party *party)
{
    struct vmm_source *source = source_of(party);

    if (source->vmm.is_over || !source->handle)
        return;
    if (!cancel_handle(source))
        world_log(party->world, "source cannot be cancelled any more");
    process_signal(&source->vmm.process);
}

static void destroy(struct party *party)
{
    struct vmm_source *source = source_of(party);

    source->vmm.process.is_ending = true;
    if (source->handle)
        destroy_handle(source);
    process_end(&source->vmm.process);
    vmm_rounds_free(source);
    free(source);
}

static const struct party_class class = {
    .name = "library",
    .start = start,
    .completed = vmm_completed,
    .managed = vmm_managed,
    .cancel = cancel,
    .is_closed = vmm_is_closed,
    .is_pending = vmm_rounds_is_pending,
    .is_free = vmm_rounds_is_free,
    .count = vmm_count,
    .free = destroy,
};

struct party *vmm_source_make(struct world *world, struct port *port)
{
    struct vmm_source *source = sim_allocated(calloc(1, sizeof(*source)));

    vmm_init(&source->vmm, &class, world, port, turn);
    vmm_rounds_make(source);
    return &source->vmm.party;
}
