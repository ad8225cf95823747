/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The glue between the machine and librdmig. Source: rounds from the dirty log while the guest
 * runs, until the rest can be sent within the downtime target; then the guest stops, one more
 * round, the vCPU's state, hand-over. Destination: memory arrives by itself, the state through the
 * stream; the guest starts when the library says that it is this end's.
 */
#include "migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_WORD       64
#define STATE_CAPACITY_STEP 16384
#define STATE_CAPACITY_MAX  (1 << 20)
/* Each that has not made the rest small enough takes longer than the downtime may: a minute at
 * least. */
#define ROUND_COUNT_MAX 200
/* For the source to hear that it has handed over: some milliseconds if it lives. */
#define CLOSE_MS 2000

static const char *const step_names[MIGRATION_STEP_COUNT] = {
    [MIGRATION_STEP_NONE] = "none",       [MIGRATION_STEP_CONNECT] = "connect",
    [MIGRATION_STEP_ROUNDS] = "rounds",   [MIGRATION_STEP_LAST_ROUND] = "last round",
    [MIGRATION_STEP_STATE] = "state",     [MIGRATION_STEP_HANDOVER] = "hand-over",
    [MIGRATION_STEP_GIVE_UP] = "give up", [MIGRATION_STEP_RECEIVE] = "receive",
    [MIGRATION_STEP_CONFIRM] = "confirm", [MIGRATION_STEP_OVER] = "over",
};

const char *migration_step_name(enum migration_step step)
{
    return step_names[step];
}

static void problem_from_library(struct problem *problem, const struct rdmig_error *error)
{
    (void)snprintf(problem->cause, sizeof(problem->cause), "%s", error->detail);
    (void)snprintf(problem->remedy, sizeof(problem->remedy), "%s", error->remedy);
}

/* A call refused in a state in which the header says it is taken: this file's fault, and said so.
 */
static int call_refused(struct problem *problem, const char *call, int64_t result)
{
    return problem_set(problem, "report it as a fault of minivmm", "%s was refused: %s", call,
                       rdmig_result_text((int)result));
}

static void blocks_describe(const struct machine *machine,
                            struct rdmig_ram_block blocks[MACHINE_BLOCK_COUNT])
{
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        blocks[i] = (struct rdmig_ram_block){.name = machine->block[i].name,
                                             .host_addr = machine->block[i].host,
                                             .length_bytes = machine->block[i].length_bytes};
}

bool migration_numbers(struct migration *migration, struct rdmig_progress *numbers)
{
    if (migration->source != NULL)
        rdmig_source_progress(migration->source, &migration->numbers, sizeof(migration->numbers));
    else if (migration->destination != NULL)
        rdmig_destination_progress(migration->destination, &migration->numbers,
                                   sizeof(migration->numbers));
    *numbers = migration->numbers;
    return migration->has_numbers;
}

void migration_end(struct migration *migration)
{
    struct rdmig_progress numbers;

    (void)migration_numbers(migration, &numbers);
    rdmig_source_destroy(migration->source);
    if (migration->destination != NULL)
        (void)rdmig_destination_wait_closed(migration->destination, CLOSE_MS);
    rdmig_destination_destroy(migration->destination);
    migration->source = NULL;
    migration->destination = NULL;
    free(migration->bitmap);
    migration->bitmap = NULL;
    free(migration->state);
    migration->state = NULL;
    migration->state_length = 0;
    migration->state_done = 0;
    if (migration->step != MIGRATION_STEP_NONE)
        migration->step = MIGRATION_STEP_OVER;
}

/* Forgets the migration before this one. */
static void migration_begin(struct migration *migration, struct machine *machine, bool is_source)
{
    *migration = (struct migration){.machine = machine, .was_source = is_source};
}

int migration_send(struct migration *migration, struct machine *machine, const char *host,
                   const char *service, bool pin_all, struct problem *problem)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options), .pin_all = pin_all};
    struct rdmig_ram_block blocks[MACHINE_BLOCK_COUNT];
    struct rdmig_error error;

    migration_begin(migration, machine, true);
    migration->bitmap = calloc(machine->ram_bytes / GUEST_PAGE_BYTES / BITS_PER_WORD + 1,
                               sizeof(*migration->bitmap));
    if (migration->bitmap == NULL)
        return problem_set(problem, "free some memory", "out of memory");
    blocks_describe(machine, blocks);
    if (rdmig_source_create(&migration->source, host, service, blocks, MACHINE_BLOCK_COUNT,
                            &options, &error) != 0) {
        problem_from_library(problem, &error);
        migration_end(migration);
        return -1;
    }
    migration->has_numbers = true;
    migration->step = MIGRATION_STEP_CONNECT;
    return 0;
}

int migration_receive(struct migration *migration, struct machine *machine, const char *host,
                      const char *service, struct problem *problem)
{
    struct rdmig_ram_block blocks[MACHINE_BLOCK_COUNT];
    struct rdmig_error error;

    migration_begin(migration, machine, false);
    blocks_describe(machine, blocks);
    if (rdmig_destination_create(&migration->destination, host, service, blocks,
                                 MACHINE_BLOCK_COUNT, NULL, &error) != 0) {
        problem_from_library(problem, &error);
        return -1;
    }
    migration->has_numbers = true;
    migration->port = rdmig_destination_port(migration->destination);
    migration->step = MIGRATION_STEP_RECEIVE;
    return 0;
}

int migration_fd(const struct migration *migration)
{
    if (migration->source != NULL)
        return rdmig_source_fd(migration->source);
    if (migration->destination != NULL)
        return rdmig_destination_fd(migration->destination);
    return -1;
}

int migration_cancel(struct migration *migration, const struct problem *why)
{
    int result = 0;

    if (migration->source != NULL)
        result = rdmig_source_cancel(migration->source);
    else if (migration->destination != NULL)
        result = rdmig_destination_cancel(migration->destination);
    if (result != 0)
        return -1;
    if (why != NULL && migration->own_problem.cause[0] == '\0')
        migration->own_problem = *why;
    migration->step = MIGRATION_STEP_GIVE_UP;
    return 0;
}

/* ------------------------------------------------------------------------------------- source */

/* Tells the library what the guest has written since the last time. */
static int dirty_collect(struct migration *migration, struct problem *problem)
{
    struct machine *machine = migration->machine;

    for (uint32_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const uint64_t page_count = machine_block_pages(&machine->block[i]);
        int result;

        memset(migration->bitmap, 0,
               (page_count + BITS_PER_WORD - 1) / BITS_PER_WORD * sizeof(*migration->bitmap));
        if (machine->backend->tracking_collect(machine, i, migration->bitmap, problem) != 0)
            return -1;
        result = rdmig_source_mark_dirty(migration->source, i, migration->bitmap, 0, page_count);
        if (result != 0)
            return call_refused(problem, "rdmig_source_mark_dirty", result);
    }
    return 0;
}

static int round_start(struct migration *migration, enum migration_step step,
                       struct problem *problem)
{
    const int result = rdmig_source_start_round(migration->source);

    if (result != 0)
        return call_refused(problem, "rdmig_source_start_round", result);
    migration->step = step;
    return 0;
}

/* The rest is more than may be sent while the guest stands still. A VMM that has to leave its host
 * would stop the guest in the end, and let the downtime be as long as it is. */
static int next_round_start(struct migration *migration, struct problem *problem)
{
    if (migration->round_count++ >= ROUND_COUNT_MAX)
        return problem_set(problem, "let the guest write less, or use a faster network",
                           "the guest writes faster than its memory can be sent: after %d rounds "
                           "there is as much left as before",
                           ROUND_COUNT_MAX);
    return round_start(migration, MIGRATION_STEP_ROUNDS, problem);
}

/* A round has ended with the guest running. In this order: what it has written meanwhile, whether
 * that is little enough, and then another round, or the last. */
static int rounds_go_on(struct migration *migration, struct problem *problem)
{
    if (dirty_collect(migration, problem) != 0)
        return -1;
    if (!rdmig_source_converged(migration->source))
        return next_round_start(migration, problem);
    if (vcpu_stop(migration->machine, problem) != 0)
        return -1;
    (void)rdmig_source_guest_stopped(migration->source);
    if (dirty_collect(migration, problem) != 0)
        return -1;
    return round_start(migration, MIGRATION_STEP_LAST_ROUND, problem);
}

static int state_write(struct migration *migration, struct problem *problem)
{
    int result;

    while (migration->state_done < migration->state_length) {
        const int64_t taken =
            rdmig_source_stream_write(migration->source, migration->state + migration->state_done,
                                      migration->state_length - migration->state_done);

        if (taken < 0)
            return call_refused(problem, "rdmig_source_stream_write", taken);
        if (taken == 0)
            return 0; /* the descriptor becomes readable when there is room again */
        migration->state_done += (size_t)taken;
    }
    /* What was written last may still be on its way. */
    if (rdmig_source_state(migration->source) != RDMIG_SOURCE_IDLE)
        return 0;
    migration->step = MIGRATION_STEP_HANDOVER;
    result = rdmig_source_finish(migration->source);
    return result == 0 ? 0 : call_refused(problem, "rdmig_source_finish", result);
}

/* The library waits for the VMM: the next thing in the order of a migration. */
static int source_go_on(struct migration *migration, struct problem *problem)
{
    switch (migration->step) {
    case MIGRATION_STEP_CONNECT:
        /* Tracking before the first page is read: no write may fall between. */
        if (machine_tracking_start(migration->machine, problem) != 0)
            return -1;
        return round_start(migration, MIGRATION_STEP_ROUNDS, problem);
    case MIGRATION_STEP_ROUNDS:
        return rounds_go_on(migration, problem);
    case MIGRATION_STEP_LAST_ROUND:
        if (state_save(migration->machine, &migration->state, &migration->state_length, problem) !=
            0)
            return -1;
        migration->step = MIGRATION_STEP_STATE;
        return state_write(migration, problem);
    case MIGRATION_STEP_STATE:
        return state_write(migration, problem);
    default:
        return 0;
    }
}

static enum migration_outcome source_outcome(const struct migration *migration,
                                             struct problem *problem)
{
    const enum rdmig_source_state state = rdmig_source_state(migration->source);
    const struct rdmig_error *error = rdmig_source_error(migration->source);

    if (state == RDMIG_SOURCE_COMPLETED)
        return MIGRATION_COMPLETED;
    if (state != RDMIG_SOURCE_FAILED && state != RDMIG_SOURCE_CANCELLED)
        return MIGRATION_UNDER_WAY;
    problem_from_library(problem, error);
    if (error->reason == RDMIG_REASON_HANDOVER_UNKNOWN) {
        (void)snprintf(problem->remedy, sizeof(problem->remedy),
                       "see whether the guest runs on the destination: if it does, quit here; if "
                       "it certainly does not, continue here");
        return MIGRATION_UNKNOWN;
    }
    if (migration->own_problem.cause[0] != '\0') {
        *problem = migration->own_problem;
        return MIGRATION_FAILED;
    }
    return state == RDMIG_SOURCE_FAILED ? MIGRATION_FAILED : MIGRATION_CANCELLED;
}

static void source_process(struct migration *migration)
{
    struct problem own = {.cause = ""};

    (void)rdmig_source_process(migration->source);
    if (rdmig_source_state(migration->source) == RDMIG_SOURCE_IDLE &&
        source_go_on(migration, &own) != 0)
        (void)migration_cancel(migration, &own);
}

/* -------------------------------------------------------------------------------- destination */

/* Keeps what has come of the stream: it is short, and needed when it is complete. */
static int state_read(struct migration *migration, struct problem *problem)
{
    for (;;) {
        uint8_t part[STATE_CAPACITY_STEP];
        const int64_t count =
            rdmig_destination_stream_read(migration->destination, part, sizeof(part));
        uint8_t *longer;

        if (count < 0)
            return call_refused(problem, "rdmig_destination_stream_read", count);
        if (count == 0)
            return 0;
        if (migration->state_length + (size_t)count > STATE_CAPACITY_MAX)
            return problem_set(problem, "migrate from a minivmm",
                               "the guest's state is longer than any minivmm's");
        longer = realloc(migration->state, migration->state_length + (size_t)count);
        if (longer == NULL)
            return problem_set(problem, "free some memory", "out of memory");
        memcpy(longer + migration->state_length, part, (size_t)count);
        migration->state = longer;
        migration->state_length += (size_t)count;
    }
}

static int destination_go_on(struct migration *migration, struct problem *problem)
{
    int result;

    if (state_read(migration, problem) != 0)
        return -1;
    if (rdmig_destination_state(migration->destination) != RDMIG_DESTINATION_PREPARED)
        return 0;
    if (state_load(migration->machine, migration->state, migration->state_length, problem) != 0)
        return -1;
    migration->step = MIGRATION_STEP_CONFIRM;
    result = rdmig_destination_confirm(migration->destination);
    return result == 0 ? 0 : call_refused(problem, "rdmig_destination_confirm", result);
}

static void destination_process(struct migration *migration)
{
    struct problem own = {.cause = ""};

    (void)rdmig_destination_process(migration->destination);
    if (migration->step != MIGRATION_STEP_RECEIVE)
        return;
    switch (rdmig_destination_state(migration->destination)) {
    case RDMIG_DESTINATION_RECEIVING:
    case RDMIG_DESTINATION_PREPARED:
        if (destination_go_on(migration, &own) != 0)
            (void)migration_cancel(migration, &own);
        break;
    default:
        break;
    }
}

static enum migration_outcome destination_outcome(const struct migration *migration,
                                                  struct problem *problem)
{
    const enum rdmig_destination_state state = rdmig_destination_state(migration->destination);

    if (state == RDMIG_DESTINATION_COMPLETED)
        return MIGRATION_COMPLETED;
    if (state != RDMIG_DESTINATION_FAILED && state != RDMIG_DESTINATION_CANCELLED)
        return MIGRATION_UNDER_WAY;
    problem_from_library(problem, rdmig_destination_error(migration->destination));
    if (migration->own_problem.cause[0] != '\0') {
        *problem = migration->own_problem;
        return MIGRATION_FAILED;
    }
    return state == RDMIG_DESTINATION_FAILED ? MIGRATION_FAILED : MIGRATION_CANCELLED;
}

enum migration_outcome migration_process(struct migration *migration, struct problem *problem)
{
    enum migration_outcome outcome = MIGRATION_UNDER_WAY;

    *problem = (struct problem){.cause = ""};
    if (migration->source != NULL) {
        source_process(migration);
        outcome = source_outcome(migration, problem);
    } else if (migration->destination != NULL) {
        destination_process(migration);
        outcome = destination_outcome(migration, problem);
    }
    if (outcome == MIGRATION_UNDER_WAY)
        return outcome;
    /* Whoever owns the guest now lets it run before memory is taken out of the hardware's reach:
     * that takes time which is nobody's downtime. */
    if (migration->was_source) {
        machine_tracking_stop(migration->machine);
        if (outcome == MIGRATION_FAILED || outcome == MIGRATION_CANCELLED)
            vcpu_start(migration->machine);
    } else if (outcome == MIGRATION_COMPLETED) {
        vcpu_start(migration->machine);
    }
    migration_end(migration);
    return outcome;
}
