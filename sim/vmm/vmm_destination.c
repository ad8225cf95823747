/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM at the destination: gives its memory, reads the stream, says that it can run the guest,
 * runs it when it is told that it owns it, and destroys the handle behind that.
 */
#include "vmm.h"

#include "fail.h"
#include "guest.h"
#include "oracle.h"

#include <inttypes.h>
#include <string.h>

enum {
    PORTION_BYTES_MAX = 4096,
    LAST_TURN_MAX = 120,
    WAIT_MS_MAX = 20,
    CLOSE_WAIT_MS = 2000,
    ROUND_PAGES_MAX = 16384
};

struct vmm_destination {
    struct vmm vmm; /* first */
    struct rdmig_destination *handle;
    struct stream_reader reader;
    uint32_t turn_count;
    uint32_t last_turn; /* in which it gives up; 0: it does not */
    bool has_header;
    bool has_ended; /* the stream's last word has come */
    bool is_confirmed;
    bool is_cancelled;
    bool is_destroying; /* as soon as it may wait */
};

static struct vmm_destination *destination_of(struct party *party)
{
    return (struct vmm_destination *)party;
}

static struct world *world_of(const struct vmm_destination *destination)
{
    return destination->vmm.party.world;
}

static bool is_peer_hostile(const struct vmm_destination *destination)
{
    return world_of(destination)->options->kind[RDMIG_ROLE_SOURCE] == PARTY_HOSTILE;
}

static void expect(struct vmm_destination *destination, const char *call, int result)
{
    if (result != RDMIG_OK)
        world_break(world_of(destination), "call", "destination: %s says %s in state %u", call,
                    rdmig_result_text(result),
                    (unsigned)rdmig_destination_state(destination->handle));
}

/* ---- giving up */

static bool cancel_handle(struct vmm_destination *destination)
{
    int result;

    vmm_call_begins(&destination->vmm);
    result = rdmig_destination_cancel(destination->handle);
    vmm_call_ended(&destination->vmm, "cancel");
    if (result == RDMIG_OK)
        destination->is_cancelled = true;
    else if (result != -RDMIG_E_STATE || !destination->is_confirmed)
        expect(destination, "cancel", result);
    if (result == RDMIG_OK && destination->is_confirmed)
        world_break(world_of(destination), "call", "destination: cancelled what it has confirmed");
    return result == RDMIG_OK;
}

static void destroy_handle(struct vmm_destination *destination)
{
    vmm_count(&destination->vmm.party);
    process_enter(&destination->vmm.process);
    rdmig_destination_destroy(destination->handle);
    destination->handle = NULL;
}

static void give_up(struct vmm_destination *destination)
{
    if (destination->is_confirmed)
        return;
    destination->vmm.party.has_given_up = true;
    if (choice_below(world_of(destination)->choice, 2) == 0) {
        (void)cancel_handle(destination);
        return;
    }
    world_log(world_of(destination), "destination destroys its handle");
    destroy_handle(destination);
    destination->vmm.is_over = true;
    destination->vmm.party.outcome = OUTCOME_FAILED;
}

/* ---- the end */

static void watch_progress(struct vmm_destination *destination)
{
    struct rdmig_progress progress;

    process_enter(&destination->vmm.process);
    rdmig_destination_progress(destination->handle, &progress, sizeof(progress));
    vmm_watch_progress(&destination->vmm, &progress);
}

/* All that its source has written has been read, when the guest is this end's. */
static void check_stream(struct vmm_destination *destination)
{
    const struct world *world = world_of(destination);
    const uint64_t read_bytes = destination->vmm.party.numbers.stream_bytes;
    const struct party *source = world->party[RDMIG_ROLE_SOURCE];

    if (world->options->kind[RDMIG_ROLE_SOURCE] == PARTY_OURS &&
        read_bytes != source->numbers.stream_bytes)
        world_break(world_of(destination), "stream",
                    "the destination has read %" PRIu64 " bytes of %" PRIu64, read_bytes,
                    source->numbers.stream_bytes);
}

static void take_guest(struct vmm_destination *destination)
{
    struct party *party = &destination->vmm.party;
    struct world *world = party->world;
    const uint64_t now_ns = process_now_ns(&destination->vmm.process);

    if (!destination->is_confirmed)
        world_break(world, "told", "the destination is told COMPLETED, and has not confirmed");
    check_stream(destination);
    party->outcome = OUTCOME_COMPLETED;
    party->numbers.resumed_ns = now_ns;
    party->numbers.completed_ns = now_ns;
    oracle_owner_took(world->oracle, RDMIG_ROLE_DESTINATION);
    guest_resume(world->guest, world->ram[RDMIG_ROLE_DESTINATION], now_ns);
}

static void take_end(struct vmm_destination *destination, enum rdmig_destination_state state)
{
    struct party *party = &destination->vmm.party;
    const struct rdmig_error *error = rdmig_destination_error(destination->handle);

    destination->vmm.is_over = true;
    watch_progress(destination);
    world_log(party->world, "destination is told %u, reason %s", (unsigned)state,
              rdmig_reason_name(error->reason));
    if (state == RDMIG_DESTINATION_COMPLETED) {
        take_guest(destination);
        destination->is_destroying = process_chance(&destination->vmm.process, 2);
        return;
    }
    party->outcome = OUTCOME_FAILED;
    if (error->reason == RDMIG_REASON_NONE || error->reason == RDMIG_REASON_INTERNAL)
        world_break(party->world, "told", "the destination is told FAILED, and the cause is %s",
                    rdmig_reason_name(error->reason));
    if ((state == RDMIG_DESTINATION_CANCELLED) != (error->reason == RDMIG_REASON_CANCELLED) ||
        (state == RDMIG_DESTINATION_CANCELLED && !destination->is_cancelled))
        world_break(party->world, "told", "the destination is told %u, and the cause is %s",
                    (unsigned)state, rdmig_reason_name(error->reason));
}

/* ---- the stream */

static void take_words(struct vmm_destination *destination, const uint8_t *bytes,
                       uint32_t length_bytes)
{
    for (uint32_t at = 0; at < length_bytes;) {
        uint32_t taken_bytes;
        const enum stream_word word =
            stream_read(&destination->reader, bytes + at, length_bytes - at, &taken_bytes);

        at += taken_bytes;
        if (word == STREAM_END)
            destination->has_ended = true;
        if (word == STREAM_BROKEN && !is_peer_hostile(destination))
            world_break(world_of(destination), "stream", "word %" PRIu64 " is not the one sent",
                        destination->reader.word_count);
    }
}

/* In portions, as a VMM does. True: some has been read. */
static bool read_stream(struct vmm_destination *destination)
{
    uint8_t bytes[PORTION_BYTES_MAX];
    uint64_t capacity_bytes = sizeof(bytes);
    int64_t read_bytes;

    if (process_chance(&destination->vmm.process, 4))
        capacity_bytes = 1 + choice_below(world_of(destination)->choice, PORTION_BYTES_MAX);
    vmm_call_begins(&destination->vmm);
    read_bytes = rdmig_destination_stream_read(destination->handle, bytes, capacity_bytes);
    port_spend(destination->vmm.party.port,
               costs_time_ns(read_bytes > 0 ? (uint64_t)read_bytes : 0,
                             world_of(destination)->costs.copy_bytes_per_s));
    vmm_call_ended(&destination->vmm, "stream_read");
    if (read_bytes > (int64_t)capacity_bytes)
        world_break(world_of(destination), "call", "destination: more was read than there is room");
    if (read_bytes <= 0)
        return false;
    if (!destination->has_header && rdmig_destination_is_qemu_stream(destination->handle)) {
        uint8_t header[STREAM_HEADER_BYTES_MAX];

        destination->reader.skip_bytes =
            stream_header(&world_of(destination)->options->guest, false, header);
    }
    destination->has_header = true;
    destination->vmm.party.numbers.stream_bytes += (uint64_t)read_bytes;
    take_words(destination, bytes, (uint32_t)read_bytes);
    return true;
}

/* ---- from state to state */

/* In another order than the source's. */
static void provide_blocks(struct vmm_destination *destination)
{
    struct rdmig_ram_block blocks[OPTION_BLOCKS_MAX];
    char names[OPTION_BLOCKS_MAX][STREAM_NAME_BYTES];
    const uint32_t block_count = world_of(destination)->options->guest.block_count;
    struct rdmig_ram_block first;

    vmm_blocks(&destination->vmm, blocks, names);
    first = blocks[0];
    memmove(blocks, blocks + 1, (block_count - 1) * sizeof(*blocks));
    blocks[block_count - 1] = first;
    vmm_call_begins(&destination->vmm);
    if (rdmig_destination_provide_blocks(destination->handle, blocks, block_count, NULL) !=
            RDMIG_OK &&
        !is_peer_hostile(destination))
        world_break(world_of(destination), "call", "destination: its blocks are refused");
    vmm_call_ended(&destination->vmm, "provide_blocks");
}

static void confirm(struct vmm_destination *destination)
{
    if (rdmig_destination_is_qemu_stream(destination->handle) && !destination->has_ended) {
        (void)cancel_handle(destination); /* it has left before the end */
        return;
    }
    destination->is_confirmed = true;
    vmm_call_begins(&destination->vmm);
    expect(destination, "confirm", rdmig_destination_confirm(destination->handle));
    vmm_call_ended(&destination->vmm, "confirm");
}

/* What it does with all memory before it says that the round is over: a relay compares it. */
static void spend_round(struct vmm_destination *destination)
{
    const struct world *world = world_of(destination);
    uint64_t page_count = 0;

    for (uint32_t i = 0; i < world->options->guest.block_count; i++)
        page_count += world->options->guest.block_bytes[i] / SIM_PAGE_BYTES;
    /* Who probes every 50 us meanwhile shows nothing new. */
    if (!world->options->has_big_ram && page_count > ROUND_PAGES_MAX)
        page_count = ROUND_PAGES_MAX;
    port_spend(destination->vmm.party.port, page_count * world->costs.round_page_ns);
}

static void end_round(struct vmm_destination *destination)
{
    if (fabric_take_fault(world_of(destination), FAULT_ROUND_REFUSED, RDMIG_ROLE_DESTINATION)) {
        (void)cancel_handle(destination);
        return;
    }
    spend_round(destination);
    vmm_call_begins(&destination->vmm);
    expect(destination, "resume", rdmig_destination_resume(destination->handle));
    vmm_call_ended(&destination->vmm, "resume");
}

/* What must be refused, and change nothing. */
static void call_wrongly(struct vmm_destination *destination, enum rdmig_destination_state state)
{
    struct world *world = world_of(destination);
    const struct ratio ratio = {world->options->wrong_call_permille, 1000};
    struct rdmig_destination *handle = destination->handle;
    int result = -RDMIG_E_STATE;

    if (ratio.numerator == 0 || !choice_chance(world->choice, ratio))
        return;
    process_enter(&destination->vmm.process);
    switch (choice_below(world->choice, 3)) {
    case 0:
        if (state != RDMIG_DESTINATION_ROUND_ENDED)
            result = rdmig_destination_resume(handle);
        break;
    case 1:
        if (state != RDMIG_DESTINATION_PREPARED)
            result = rdmig_destination_confirm(handle);
        break;
    default:
        if (state != RDMIG_DESTINATION_BLOCKS_NEEDED)
            result = rdmig_destination_provide_blocks(handle, NULL, 0, NULL);
        break;
    }
    if (result != -RDMIG_E_STATE || rdmig_destination_state(handle) != state)
        world_break(world, "wrong call", "destination: %s in state %u", rdmig_result_text(result),
                    (unsigned)state);
}

/* True: something has moved. */
static bool act(struct vmm_destination *destination)
{
    const enum rdmig_destination_state state = rdmig_destination_state(destination->handle);

    if (destination->vmm.is_over || world_is_broken(world_of(destination)))
        return false;
    call_wrongly(destination, state);
    switch (state) {
    case RDMIG_DESTINATION_COMPLETED:
    case RDMIG_DESTINATION_FAILED:
    case RDMIG_DESTINATION_CANCELLED:
        take_end(destination, state);
        return false;
    case RDMIG_DESTINATION_CANCELLING:
    case RDMIG_DESTINATION_LISTENING:
        return false;
    default:
        break;
    }
    if (vmm_hesitates(&destination->vmm))
        return false;
    if (read_stream(destination))
        return true;
    switch (rdmig_destination_state(destination->handle)) {
    case RDMIG_DESTINATION_BLOCKS_NEEDED:
        provide_blocks(destination);
        return true;
    case RDMIG_DESTINATION_ROUND_ENDED:
        end_round(destination);
        return true;
    case RDMIG_DESTINATION_PREPARED:
        confirm(destination);
        return true;
    default:
        return rdmig_destination_state(destination->handle) != state;
    }
}

static void process(struct vmm_destination *destination)
{
    const enum rdmig_destination_state state = rdmig_destination_state(destination->handle);

    if (!destination->vmm.is_over && process_may_block(&destination->vmm.process) &&
        process_chance(&destination->vmm.process, 16)) {
        const uint32_t timeout_ms = choice_below(world_of(destination)->choice, WAIT_MS_MAX);
        const uint64_t start_ns = process_now_ns(&destination->vmm.process);
        int result;

        process_enter(&destination->vmm.process);
        result = rdmig_destination_wait(destination->handle, state, timeout_ms);
        if (result == -RDMIG_E_STATE && rdmig_destination_is_closed(destination->handle))
            return;                    /* that state is for ever */
        if (result != -RDMIG_E_SYSTEM) /* a signal came */
            vmm_watch_wait(&destination->vmm, result, start_ns, timeout_ms);
        return;
    }
    vmm_call_begins(&destination->vmm);
    expect(destination, "process", rdmig_destination_process(destination->handle));
    vmm_call_ended(&destination->vmm, "process");
}

/* It waits for the source to go, for 2 s at the most, and can only while nobody else waits. */
static void destroy_if_possible(struct vmm_destination *destination)
{
    const uint64_t start_ns = process_now_ns(&destination->vmm.process);
    uint64_t passed_ns;
    int result;

    if (!process_may_block(&destination->vmm.process)) {
        process_plan_turn(&destination->vmm.process, 100000);
        return;
    }
    process_enter(&destination->vmm.process);
    result = rdmig_destination_wait_closed(destination->handle, CLOSE_WAIT_MS);
    vmm_watch_wait(&destination->vmm, result, start_ns, CLOSE_WAIT_MS);
    if (!port_is_dead(destination->vmm.party.port) && !world_is_broken(world_of(destination)) &&
        (result == RDMIG_OK) != link_is_closed(destination->vmm.process.link))
        world_break(world_of(destination), "closed", "wait_closed() says %s",
                    rdmig_result_text(result));
    destroy_handle(destination);
    passed_ns = process_now_ns(&destination->vmm.process) - start_ns;
    if (passed_ns > UINT64_C(2200000000) && !port_is_dead(destination->vmm.party.port))
        world_break(world_of(destination), "call time",
                    "waiting for the source to go took %" PRIu64 " ns", passed_ns);
}

static void turn(struct party *party)
{
    struct vmm_destination *destination = destination_of(party);

    if (!destination->handle || world_is_broken(party->world))
        return;
    process(destination);
    if (port_is_dead(party->port))
        return;
    while (act(destination))
        ;
    if (rdmig_destination_is_closed(destination->handle) !=
        (destination->vmm.is_over && link_is_closed(destination->vmm.process.link)))
        world_break(world_of(destination), "closed", "is_closed() is wrong");
    if (process_chance(&destination->vmm.process, 16) && destination->handle)
        watch_progress(destination);
    if (++destination->turn_count == destination->last_turn && !destination->vmm.is_over)
        give_up(destination);
    if (destination->is_destroying && destination->handle)
        destroy_if_possible(destination);
}

/* ---- the class */

static void draw(struct vmm_destination *destination, struct rdmig_options *options,
                 bool *are_blocks_given)
{
    struct vmm *vmm = &destination->vmm;
    struct choice *choice = world_of(destination)->choice;

    options->stream_format = RDMIG_STREAM_NATIVE;
    *are_blocks_given = !process_chance(&vmm->process, 3);
    options->report_rounds = process_chance(&vmm->process, 2);
    if (vmm_mischief(vmm, 24)) {
        options->time_limit_ms = 1 + choice_below(choice, 8);
        vmm->party.has_given_up = true;
    }
    if (vmm_mischief(vmm, 24))
        destination->last_turn = 1 + choice_below(choice, LAST_TURN_MAX);
}

static void start(struct party *party)
{
    struct vmm_destination *destination = destination_of(party);
    struct rdmig_ram_block blocks[OPTION_BLOCKS_MAX];
    char names[OPTION_BLOCKS_MAX][STREAM_NAME_BYTES];
    struct rdmig_options options;
    bool are_blocks_given;

    vmm_options(&destination->vmm, &options);
    draw(destination, &options, &are_blocks_given);
    vmm_blocks(&destination->vmm, blocks, names);
    process_enter(&destination->vmm.process);
    expect(destination, "create",
           rdmig_destination_create(
               &destination->handle, "here", "4444", are_blocks_given ? blocks : NULL,
               are_blocks_given ? party->world->options->guest.block_count : 0, &options, NULL));
}

static void cancel(struct party *party)
{
    struct vmm_destination *destination = destination_of(party);

    if (destination->vmm.is_over || !destination->handle)
        return;
    if (!cancel_handle(destination))
        world_log(party->world, "destination cannot be cancelled any more");
    process_signal(&destination->vmm.process);
}

static void destroy(struct party *party)
{
    struct vmm_destination *destination = destination_of(party);

    destination->vmm.process.is_ending = true;
    if (destination->handle)
        destroy_handle(destination);
    process_end(&destination->vmm.process);
    free(destination);
}

static const struct party_class class = {
    .name = "library",
    .start = start,
    .completed = vmm_completed,
    .managed = vmm_managed,
    .cancel = cancel,
    .is_closed = vmm_is_closed,
    .count = vmm_count,
    .free = destroy,
};

struct party *vmm_destination_make(struct world *world, struct port *port)
{
    struct vmm_destination *destination = sim_allocated(calloc(1, sizeof(*destination)));

    vmm_init(&destination->vmm, &class, world, port, turn);
    return &destination->vmm.party;
}
