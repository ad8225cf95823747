/* SPDX-License-Identifier: BSD-2-Clause */
#include "run.h"
#include "ending.h"
#include "fabric.h"
#include "guest.h"
#include "oracle.h"

#include <inttypes.h>
#include <string.h>

/* What a party that is not ours has, after ours is done, to notice it: a stock one may never. */
#define GRACE_NS        UINT64_C(100000000)
#define CALM_TIMEOUT_NS UINT64_C(2000000000)
/* To the library a time of 0 is none. */
#define START_NS UINT64_C(1)

static struct party *(*const makers[PARTY_KIND_COUNT][2])(struct world *, struct port *) = {
    [PARTY_OURS] = {vmm_source_make, vmm_destination_make},
    [PARTY_STOCK] = {stock_source_make, stock_destination_make},
    [PARTY_HOSTILE] = {hostile_source_make, hostile_destination_make},
};

struct attempt {
    uint32_t number; /* 1: as drawn. 2: the liveness phase */
    uint64_t first_step;
    uint64_t ours_over_ns; /* when the last of ours was over; UINT64_MAX: not yet */
    bool has_cancel;       /* a fault that only this file carries out */
    struct ending ending;
};

static void begin_attempt(struct world *world, struct attempt *attempt)
{
    world_log(world, "attempt %" PRIu32 ": %s to %s", attempt->number,
              party_kind_name(world->options->kind[RDMIG_ROLE_SOURCE]),
              party_kind_name(world->options->kind[RDMIG_ROLE_DESTINATION]));
    attempt->first_step = world->step_count;
    attempt->ours_over_ns = UINT64_MAX;
    attempt->ending.is_first = attempt->number == 1;
    attempt->ending.started_ns = world->now_ns;
    for (uint32_t i = 0; i < world->options->fault_count; i++)
        attempt->has_cancel |= world->options->faults[i].kind == FAULT_CANCEL;
    world->fabric = fabric_make(world);
    oracle_watch(world->oracle, world->fabric);
    for (uint32_t i = 0; i < 2; i++) {
        struct port *port = fabric_port(world->fabric, (enum rdmig_role)i);

        world->party[i] = makers[world->options->kind[i]][i](world, port);
        port_attach(port, world->party[i]);
    }
    world->party[RDMIG_ROLE_DESTINATION]->class->start(world->party[RDMIG_ROLE_DESTINATION]);
    world->party[RDMIG_ROLE_SOURCE]->class->start(world->party[RDMIG_ROLE_SOURCE]);
}

static void end_attempt(struct world *world)
{
    world_forget(world);
    for (uint32_t i = 0; i < 2; i++) {
        world->party[i]->class->free(world->party[i]);
        world->party[i] = NULL;
    }
    fabric_free(world->fabric);
    world->fabric = NULL;
}

/* Without any of ours, both count. */
static bool are_ours_over(const struct world *world)
{
    const enum party_kind *kind = world->options->kind;
    const bool has_ours = kind[0] == PARTY_OURS || kind[1] == PARTY_OURS;

    for (uint32_t i = 0; i < 2; i++) {
        if ((kind[i] == PARTY_OURS || !has_ours) &&
            !ending_is_party_over(world, (enum rdmig_role)i))
            return false;
    }
    return true;
}

static bool is_over(const struct world *world, struct attempt *attempt)
{
    if (!are_ours_over(world))
        return false;
    if (ending_is_party_over(world, RDMIG_ROLE_SOURCE) &&
        ending_is_party_over(world, RDMIG_ROLE_DESTINATION))
        return true;
    if (attempt->ours_over_ns == UINT64_MAX)
        attempt->ours_over_ns = world->now_ns;
    return world->now_ns - attempt->ours_over_ns > GRACE_NS;
}

static const char *describe(const struct world *world, enum rdmig_role role)
{
    const struct party *party = world->party[role];

    if (port_is_dead(party->port))
        return "dead";
    if (party->class->is_closed(party))
        return "closed";
    return port_is_down(party->port) ? "open, its queue pair down"
                                     : "open, its queue pair not down";
}

static void break_stuck(struct world *world, const char *why)
{
    world_break(world, "stuck",
                "%s; source (%s): %s, %" PRIu32 " receives posted; destination (%s): %s, %" PRIu32
                " receives posted",
                why, world->party[0]->class->name, describe(world, RDMIG_ROLE_SOURCE),
                port_receives_posted(world->party[0]->port), world->party[1]->class->name,
                describe(world, RDMIG_ROLE_DESTINATION),
                port_receives_posted(world->party[1]->port));
}

/* False: it has taken too long. */
static bool is_within_limits(struct world *world, const struct attempt *attempt)
{
    const struct options *options = world->options;

    if (options->time_limit_ns &&
        world->now_ns - attempt->ending.started_ns > options->time_limit_ns) {
        break_stuck(world, "the time limit has passed");
        return false;
    }
    if (options->step_limit && world->step_count - attempt->first_step > options->step_limit) {
        break_stuck(world, "the step limit has passed");
        return false;
    }
    return true;
}

static void cancel_if_due(struct world *world)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct party *party = world->party[i];

        if (!port_is_dead(party->port) && !party->class->is_closed(party) &&
            fabric_take_fault(world, FAULT_CANCEL, (enum rdmig_role)i))
            party->class->cancel(party);
    }
}

/* A destination that no source has come to waits until its user has had enough. */
static bool give_up_listening(struct world *world)
{
    struct party *party = world->party[RDMIG_ROLE_DESTINATION];

    if (world->options->kind[RDMIG_ROLE_DESTINATION] != PARTY_OURS ||
        ending_is_party_over(world, RDMIG_ROLE_DESTINATION) || party->numbers.connected_ns != 0)
        return false;
    world_log(world, "no source has come");
    party->class->cancel(party);
    return ending_is_party_over(world, RDMIG_ROLE_DESTINATION) || world->heap_count > 0;
}

static void note_decisions(const struct world *world, const struct run_report *report)
{
    if (report->decisions_before_step && world->step_count < report->step_capacity)
        report->decisions_before_step[world->step_count] = (uint32_t)world->choice->made_count;
}

static void drive(struct world *world, struct attempt *attempt, const struct run_report *report)
{
    while (!world_is_broken(world) && !is_over(world, attempt) &&
           is_within_limits(world, attempt)) {
        if (attempt->number == 1)
            note_decisions(world, report);
        if (!world_step(world)) {
            if (give_up_listening(world))
                continue;
            /* A stock peer waits for ever where nobody answers it; ours may not. */
            if (!are_ours_over(world))
                break_stuck(world, "nothing is going to happen any more");
            break;
        }
        if (attempt->has_cancel)
            cancel_if_due(world);
    }
}

static void keep_numbers(const struct world *world, const struct attempt *attempt,
                         struct run_result *result)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct party *party = world->party[i];

        result->outcome[i] = party->outcome;
        result->numbers[i] = party->numbers;
        result->faults_taken[i] = attempt->ending.faults_taken[i];
        port_traffic(party->port, &result->traffic[i]);
        result->cpu_ns[i] = port_cpu_ns(party->port);
        result->pinned_bytes_max[i] = port_pinned_bytes_max(party->port);
    }
    result->ended_ns = world->now_ns;
}

/* True: the source has its guest back, and should get it across at the next attempt. */
static bool run_attempt(struct world *world, uint32_t number, const struct run_report *report,
                        struct run_result *result)
{
    struct attempt attempt = {.number = number};
    bool is_again;

    begin_attempt(world, &attempt);
    drive(world, &attempt, report);
    ending_gather(&attempt.ending, world);
    ending_check(world, &attempt.ending);
    if (number == 1)
        keep_numbers(world, &attempt, result);
    result->attempt_count = number;
    is_again = !world_is_broken(world) && ending_allows_retry(world);
    end_attempt(world);
    return is_again;
}

/* The options of the liveness phase: honest parties, no faults, nobody in a hurry. */
static void calm_options(const struct options *options, struct options *calm)
{
    *calm = *options;
    calm->fault_count = 0;
    for (uint32_t i = 0; i < 2; i++) {
        struct engine_options *engine = &calm->engine[i];

        if (calm->kind[i] == PARTY_HOSTILE)
            calm->kind[i] = PARTY_OURS;
        engine->connect_timeout_ns = 0;
        engine->reply_timeout_ns = 0;
        engine->idle_timeout_ns = 0;
        engine->close_timeout_ns = CALM_TIMEOUT_NS;
        /* Less than what no region fits into is no limit for who wants to get there. */
        if (calm->pinned_bytes_max[i] < RDMIG_CHUNK_BYTES)
            calm->pinned_bytes_max[i] = 0;
    }
}

static void run_liveness(struct world *world, const struct run_report *report,
                         struct run_result *result)
{
    const struct options *options = world->options;
    struct guest *guest = world->guest;
    struct options calm;

    calm_options(options, &calm);
    world->options = &calm;
    world->is_calm = true;
    oracle_restart(world->oracle);
    if (!guest->is_running)
        guest_resume(guest, world->ram[RDMIG_ROLE_SOURCE], world->now_ns);
    guest_advance(guest, world->now_ns);
    guest_mark_all(guest);
    run_attempt(world, 2, report, result);
    world->options = options;
}

static uint64_t model_bytes(const struct ram *ram)
{
    uint64_t bytes = sizeof(*ram);

    for (uint32_t i = 0; i < ram->block_count; i++) {
        const struct ram_block *block = &ram->blocks[i];

        bytes += block->chunk_count * sizeof(block->chunks[0]);
        for (uint64_t chunk = 0; chunk < block->chunk_count; chunk++)
            bytes += block->chunks[chunk].tokens ? RAM_PAGES_PER_CHUNK * sizeof(uint32_t) : 0;
    }
    return bytes;
}

static void keep_result(const struct world *world, struct run_result *result)
{
    result->is_passed = !world_is_broken(world);
    memcpy(result->broken, world->broken, sizeof(result->broken));
    result->log_hash = world->log_hash;
    result->step_count = world->step_count;
    result->decision_count = world->choice->made_count;
    for (uint32_t i = 0; i < 2; i++)
        result->simulator_bytes_max += model_bytes(world->ram[i]);
}

bool run_world(const struct options *options, struct choice *choice,
               const struct run_report *report, struct run_result *result)
{
    const struct guest_options *guest_options = &options->guest;
    static struct world world; /* its ring of lines is large */
    struct guest guest;
    struct ram ram[2];
    uint64_t seed;

    memset(result, 0, sizeof(*result));
    world_init(&world, options, choice);
    world.now_ns = START_NS;
    world.log_file = report->log_file;
    for (uint32_t i = 0; i < 2; i++) {
        ram_init(&ram[i], guest_options->block_count, guest_options->block_bytes);
        world.ram[i] = &ram[i];
    }
    seed = choice_below(choice, 65536);
    guest_init(&guest, guest_options, &ram[RDMIG_ROLE_SOURCE], seed, START_NS);
    world.guest = &guest;
    world.oracle = oracle_make(&world);
    if (run_attempt(&world, 1, report, result))
        run_liveness(&world, report, result);
    keep_result(&world, result);
    if (!result->is_passed && report->broken_file)
        world_print_ring(&world, report->broken_file);
    oracle_free(world.oracle);
    guest_free(&guest);
    for (uint32_t i = 0; i < 2; i++)
        ram_free(&ram[i]);
    world_free(&world);
    return result->is_passed;
}
