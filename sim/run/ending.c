/* SPDX-License-Identifier: BSD-2-Clause */
#include "ending.h"
#include "fabric.h"
#include "guest.h"
#include "oracle.h"

#include <inttypes.h>

/* What a calm attempt may take of any time limit, transient faults not counted. */
#define CALM_LIMIT_NS UINT64_C(30000000)

#define BIT(kind)     (UINT32_C(1) << (kind))
#define TRANSIENT_SET (BIT(FAULT_LINK_FLAP) | BIT(FAULT_FREEZE) | BIT(FAULT_DREQ_LOST))
_Static_assert(FAULT_KIND_COUNT <= 32, "a set of faults is 32 bits");

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {"open", "completed", "failed", "unknown"};

    return (unsigned)outcome < 4 ? names[outcome] : "unknown";
}

static bool is_ours(const struct world *world, enum rdmig_role role)
{
    return world->options->kind[role] == PARTY_OURS;
}

bool ending_is_party_over(const struct world *world, enum rdmig_role role)
{
    const struct party *party = world->party[role];

    return port_is_dead(party->port) || party->class->is_closed(party);
}

/* As fabric.c has it: a frozen process, a link that is down for a while. */
static uint64_t transient_ns(const struct world *world, const struct fault *fault)
{
    if (fault->kind == FAULT_FREEZE)
        return UINT64_C(1000000) * (1 + fault->argument % 64);
    if (fault->kind == FAULT_LINK_FLAP)
        return world->costs.retry_timeout_ns;
    return 0;
}

void ending_gather(struct ending *ending, const struct world *world)
{
    for (uint32_t i = 0; i < world->options->fault_count; i++) {
        const struct fault *fault = &world->options->faults[i];

        if (!fabric_fault_was_taken(world->fabric, i))
            continue;
        ending->faults_taken[fault->role] |= BIT(fault->kind);
        ending->transient_ns += transient_ns(world, fault);
    }
}

static bool is_short(uint64_t limit_ns, uint64_t need_ns)
{
    return limit_ns != 0 && limit_ns < need_ns;
}

/* Some limit may run out though nothing is wrong for longer than transient_ns. */
static bool has_short_limit(const struct world *world, const struct ending *ending)
{
    const uint64_t need_ns = CALM_LIMIT_NS + ending->transient_ns;

    for (uint32_t i = 0; i < 2; i++) {
        const struct engine_options *engine = &world->options->engine[i];

        if (is_ours(world, (enum rdmig_role)i) && (is_short(engine->connect_timeout_ns, need_ns) ||
                                                   is_short(engine->reply_timeout_ns, need_ns) ||
                                                   is_short(engine->idle_timeout_ns, need_ns) ||
                                                   is_short(engine->close_timeout_ns, need_ns)))
            return true;
    }
    return false;
}

/* No chunk fits: the source says so and leaves (clause R13). */
static bool has_hopeless_limit(const struct world *world)
{
    for (uint32_t i = 0; i < 2; i++) {
        const uint64_t limit_bytes = world->options->pinned_bytes_max[i];

        if (is_ours(world, (enum rdmig_role)i) && limit_bytes != 0 &&
            limit_bytes < RDMIG_CHUNK_BYTES)
            return true;
    }
    return false;
}

/* While the link is down, a request or a reply of the connection managers is lost for good. */
static bool has_lost_request(const struct world *world, uint32_t taken)
{
    return (taken & BIT(FAULT_LINK_FLAP)) != 0 && (world->party[0]->numbers.connected_ns == 0 ||
                                                   world->party[1]->numbers.connected_ns == 0);
}

static bool may_fail(const struct world *world, const struct ending *ending)
{
    const uint32_t taken = ending->faults_taken[0] | ending->faults_taken[1];
    const uint32_t fatal = taken & ~(uint32_t)TRANSIENT_SET;

    /* Two stock ends are a baseline, not what is tested: theirs race at the end. */
    if (!is_ours(world, RDMIG_ROLE_SOURCE) && !is_ours(world, RDMIG_ROLE_DESTINATION))
        return true;
    if (!ending->is_first)
        return false;
    /* Whether all had come cannot be known without word of the source's leaving. */
    if (world->party[RDMIG_ROLE_SOURCE]->has_no_prepare &&
        (taken & (BIT(FAULT_DREQ_LOST) | BIT(FAULT_LINK_FLAP))) != 0)
        return true;
    return world->party[0]->has_given_up || world->party[1]->has_given_up ||
           world->options->kind[0] == PARTY_HOSTILE || world->options->kind[1] == PARTY_HOSTILE ||
           fatal != 0 || has_lost_request(world, taken) || has_short_limit(world, ending) ||
           has_hopeless_limit(world);
}

/* A stock destination leaves as soon as it has the guest: with the link down just then, the
 * acknowledgement that would have told the source is lost with it. */
static bool is_left_in_doubt(const struct world *world, const struct ending *ending, uint32_t role)
{
    return role == RDMIG_ROLE_SOURCE &&
           world->options->kind[RDMIG_ROLE_DESTINATION] == PARTY_STOCK &&
           world->party[RDMIG_ROLE_SOURCE]->outcome == OUTCOME_UNKNOWN &&
           world->party[RDMIG_ROLE_DESTINATION]->outcome == OUTCOME_COMPLETED &&
           (ending->faults_taken[0] | ending->faults_taken[1]) != 0;
}

static void check_completed(struct world *world, const struct ending *ending)
{
    const char *oracle = ending->is_first ? "what can finish finishes" : "liveness";

    if (may_fail(world, ending))
        return;
    for (uint32_t i = 0; i < 2; i++) {
        if (world->party[i]->outcome != OUTCOME_COMPLETED && !is_left_in_doubt(world, ending, i))
            world_break(world, oracle, "the %s (%s) is %s though nothing was in its way",
                        role_name((enum rdmig_role)i), world->party[i]->class->name,
                        outcome_name(world->party[i]->outcome));
    }
}

/* Nobody can hold the destination to having taken the guest. */
static bool is_destination_excused(const struct world *world, const struct ending *ending)
{
    switch (world->options->kind[RDMIG_ROLE_DESTINATION]) {
    case PARTY_OURS:
        return port_is_dead(world->party[RDMIG_ROLE_DESTINATION]->port) ||
               (world->party[RDMIG_ROLE_SOURCE]->has_no_prepare && may_fail(world, ending));
    case PARTY_STOCK:
        return ending->faults_taken[0] != 0 || ending->faults_taken[1] != 0;
    default:
        return true;
    }
}

static void check_guest(struct world *world, const struct ending *ending)
{
    const struct guest *guest = world->guest;
    const struct party *source = world->party[RDMIG_ROLE_SOURCE];
    const struct party *destination = world->party[RDMIG_ROLE_DESTINATION];
    const bool runs_at_source = guest->is_running && guest->ram == world->ram[RDMIG_ROLE_SOURCE];
    const bool is_at_destination = guest->ram == world->ram[RDMIG_ROLE_DESTINATION];

    if (is_ours(world, RDMIG_ROLE_SOURCE) && !port_is_dead(source->port)) {
        if (source->outcome == OUTCOME_OPEN)
            world_break(world, "outcome", "the source is closed and says nothing of how it went");
        if (source->outcome == OUTCOME_FAILED && !runs_at_source)
            world_break(world, "guest runs on", "the source failed and its guest does not run");
        if (source->outcome != OUTCOME_FAILED && runs_at_source)
            world_break(world, "guest runs on", "the source is %s and its guest runs there",
                        outcome_name(source->outcome));
        if (source->outcome == OUTCOME_COMPLETED && !is_at_destination &&
            !is_destination_excused(world, ending))
            world_break(world, "guest runs on", "the source completed and the guest is not there");
    }
    if (is_ours(world, RDMIG_ROLE_DESTINATION) && !port_is_dead(destination->port)) {
        if (destination->outcome == OUTCOME_OPEN || destination->outcome == OUTCOME_UNKNOWN)
            world_break(world, "outcome", "the destination is closed and its outcome is %s",
                        outcome_name(destination->outcome));
        if (is_at_destination != (destination->outcome == OUTCOME_COMPLETED))
            world_break(world, "guest runs on", "the destination is %s and the guest is %s",
                        outcome_name(destination->outcome),
                        is_at_destination ? "there" : "not there");
    }
}

/* What failed at an end before it could be done, and cannot be made good. */
static void check_noticed(struct world *world, const struct ending *ending)
{
    const uint32_t lasting =
        BIT(FAULT_REGISTER_FAILS) | BIT(FAULT_FILL_FAILS) | BIT(FAULT_ROUND_REFUSED);

    for (uint32_t i = 0; i < 2; i++) {
        if (is_ours(world, (enum rdmig_role)i) && (ending->faults_taken[i] & lasting) != 0 &&
            world->party[i]->outcome == OUTCOME_COMPLETED)
            world_break(world, "failure ignored", "the %s completed though something failed there",
                        role_name((enum rdmig_role)i));
    }
}

static void check_times(struct world *world, const struct ending *ending, const struct party *party)
{
    const struct party_numbers *numbers = &party->numbers;
    const uint64_t times[] = {numbers->connected_ns,         numbers->exchanged_ns,
                              numbers->first_round_start_ns, numbers->first_round_end_ns,
                              numbers->stopped_ns,           numbers->ram_end_ns,
                              numbers->resumed_ns,           numbers->completed_ns};
    static const char *const names[] = {"connected",         "exchanged", "first round's start",
                                        "first round's end", "stopped",   "end of RAM",
                                        "resumed",           "completed"};
    uint64_t latest_ns = ending->started_ns;
    const char *before = "the attempt's start";

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (times[i] == 0)
            continue;
        if (times[i] < latest_ns)
            world_break(world, "numbers", "%s: %s at %" PRIu64 " ns, %s at %" PRIu64 " ns",
                        role_name(party->role), names[i], times[i], before, latest_ns);
        latest_ns = times[i];
        before = names[i];
    }
}

/* 8 bytes a chunk and 64 a block in the tables, 2 bits a page for what is dirty and what is walked,
 * and what does not depend on the guest. */
static uint64_t footprint_max(const struct options *options)
{
    uint64_t bytes = 256 * 1024;

    for (uint32_t i = 0; i < options->guest.block_count; i++)
        bytes += 256 + (options->guest.block_bytes[i] / RDMIG_CHUNK_BYTES + 1) * 8 +
                 options->guest.block_bytes[i] / 4096 / 4;
    return bytes;
}

static void check_numbers(struct world *world, const struct ending *ending, enum rdmig_role role)
{
    struct party *party = world->party[role];
    struct port_traffic traffic;

    if (!is_ours(world, role))
        return;
    port_traffic(party->port, &traffic);
    if (party->numbers.bytes_written > traffic.write_bytes)
        world_break(world, "numbers", "the %s counts %" PRIu64 " bytes written; %" PRIu64 " were",
                    role_name(role), party->numbers.bytes_written, traffic.write_bytes);
    if (party->numbers.engine_bytes > footprint_max(world->options))
        world_break(world, "memory",
                    "the %s's engine has %" PRIu64 " bytes; %" PRIu64 " are enough",
                    role_name(role), party->numbers.engine_bytes, footprint_max(world->options));
    check_times(world, ending, party);
}

void ending_check(struct world *world, const struct ending *ending)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct party *party = world->party[i];

        party->class->count(party);
        world_log(world, "%s %s: bytes written %" PRIu64 " zero %" PRIu64 " rounds %" PRIu64,
                  party->class->name, outcome_name(party->outcome), party->numbers.bytes_written,
                  party->numbers.bytes_zero, party->numbers.rounds);
    }
    if (world_is_broken(world))
        return;
    oracle_check_end(world->oracle);
    check_completed(world, ending);
    check_guest(world, ending);
    check_noticed(world, ending);
    check_numbers(world, ending, RDMIG_ROLE_SOURCE);
    check_numbers(world, ending, RDMIG_ROLE_DESTINATION);
}

bool ending_allows_retry(const struct world *world)
{
    const struct party *source = world->party[RDMIG_ROLE_SOURCE];

    if (world->guest->ram != world->ram[RDMIG_ROLE_SOURCE] || port_is_dead(source->port))
        return false;
    if (world->options->kind[RDMIG_ROLE_SOURCE] == PARTY_HOSTILE)
        return world->party[RDMIG_ROLE_DESTINATION]->outcome != OUTCOME_COMPLETED;
    return source->outcome == OUTCOME_FAILED;
}
