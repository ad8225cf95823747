/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is asked what, who owns the guest, and what must be true when an attempt is over.
 *
 * An oracle about an end is asked when that end is honest (ours, or the stock model); one about
 * both only when both are. Not asked of stock, and why:
 * - credit for ERROR: its source gives up at once and does not wait for a READY.
 * - receive_missing for an ERROR, of it or to it: it posts one receive for each message that it
 *   waits for, and an ERROR is one more. The connection ends either way.
 * - all answers of a batch: its destination answers the first of several REGISTER_REQUEST entries
 *   only, with repeat as asked (a known fault, clause R5).
 * - where it writes when its destination is hostile: it believes the address of every
 *   REGISTER_RESULT, whatever RAM_BLOCKS_RESULT said (clause R11 is ours).
 * - source_remote_writable, region_outside, region_unasked: it registers as it likes at home.
 * - register_twice, run_length, batch, unsignalled, write_length: limits of our engine's own
 *   options. Its READY discipline, its messages' form and its ranges are asked like ours.
 * - pinned_limit: it has none.
 * - no_owner when something went wrong, or its destination lost patience: without PREPARE its
 *   source believes in a hand-over that its destination may still refuse, and it may wait for ever.
 *   Without a fault it must own the guest.
 * Of a hostile source's nonsense an honest destination is asked to say no READY to a command whose
 * own bytes show that it breaks a rule. Of the rest: that the honest end keeps to the rules
 * meanwhile and that the guest stays where it is.
 */
#include "oracle_internal.h"

#include "fail.h"

#include <inttypes.h>
#include <string.h>

#define IMPATIENT_NS UINT64_C(1000000)
/* ... though it is long for a source that asks before it hands over. */
#define IMPATIENT_NS_UNASKED UINT64_C(50000000)

static const char *const owner_names[] = {
    [ORACLE_OWNER_SOURCE] = "the source",
    [ORACLE_OWNER_DESTINATION] = "the destination",
    [ORACLE_OWNER_NOBODY] = "nobody",
};

static void forget(struct oracle *oracle)
{
    for (uint32_t i = 0; i < OPTION_BLOCKS_MAX; i++)
        free(oracle->blocks[i].chunks);
    oracle_commands_free(&oracle->asked);
    oracle_commands_free(&oracle->obeyed);
}

static void begin(struct oracle *oracle, struct world *world)
{
    const struct options *options = world->options;

    memset(oracle, 0, sizeof(*oracle));
    oracle->world = world;
    for (uint32_t role = 0; role < 2; role++) {
        oracle->is_honest[role] = options->kind[role] != PARTY_HOSTILE;
        oracle->is_ours[role] = options->kind[role] == PARTY_OURS;
    }
    oracle->are_both_honest = oracle->is_honest[0] && oracle->is_honest[1];
    oracle->chunk_bytes = options->kind[0] == PARTY_STOCK && options->kind[1] == PARTY_STOCK
                              ? world->costs.stock_chunk_bytes
                              : ORACLE_CHUNK_BYTES;
    for (uint32_t i = 0; i < options->guest.block_count; i++)
        oracle->blocks[i].chunk_count =
            (options->guest.block_bytes[i] + oracle->chunk_bytes - 1) / oracle->chunk_bytes;
    oracle->credit_count = 1;
    oracle->owner = ORACLE_OWNER_SOURCE;
}

struct oracle *oracle_make(struct world *world)
{
    struct oracle *oracle = sim_allocated(malloc(sizeof(*oracle)));

    begin(oracle, world);
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    if (!oracle)
        return;
    forget(oracle);
    free(oracle);
}

void oracle_restart(struct oracle *oracle)
{
    if (oracle->is_honest[RDMIG_ROLE_SOURCE] && oracle->owner != ORACLE_OWNER_SOURCE)
        world_break(oracle->world, "restart", "a new attempt, but %s owns the guest",
                    owner_names[oracle->owner]);
    forget(oracle);
    begin(oracle, oracle->world);
}

static bool are_both_ours(const struct oracle *oracle)
{
    return oracle->is_ours[RDMIG_ROLE_SOURCE] && oracle->is_ours[RDMIG_ROLE_DESTINATION];
}

/* ---- the hardware's complaints */

void oracle_receive_missing(struct oracle *oracle, enum rdmig_role from)
{
    const struct port *there = oracle->ports[1 - from];

    if (!oracle->are_both_honest || port_is_down(there))
        return;
    if (oracle->is_error_posted[from] && !are_both_ours(oracle))
        return;
    world_break(oracle->world, "receive_missing", "a SEND of the %s found no posted receive",
                role_name(from));
}

void oracle_buffer_touched(struct oracle *oracle, enum rdmig_role role, const char *which)
{
    if (oracle->is_honest[role])
        world_break(oracle->world, "buffer_touched",
                    "the %s changed a %s buffer while the hardware had it", role_name(role), which);
}

void oracle_queue_overrun(struct oracle *oracle, enum rdmig_role role, const char *which)
{
    if (oracle->is_honest[role])
        world_break(oracle->world, "queue_overrun", "the %s overran its %s queue", role_name(role),
                    which);
}

/* ---- who owns the guest */

void oracle_owner_gave_up(struct oracle *oracle, enum rdmig_role role)
{
    const struct world *world = oracle->world;

    if (!oracle->is_honest[role])
        return;
    if (role != RDMIG_ROLE_SOURCE || oracle->owner != ORACLE_OWNER_SOURCE) {
        world_break(oracle->world, "ownership", "the %s gave the guest up; %s owns it",
                    role_name(role), owner_names[oracle->owner]);
        return;
    }
    oracle->owner = ORACLE_OWNER_NOBODY;
    oracle->world->handover_step = world->step_count;
    if (world->guest->is_running)
        world_break(oracle->world, "guest_runs_on", "the source gave up a guest that still runs");
}

static void destination_took(struct oracle *oracle)
{
    if (oracle->owner == ORACLE_OWNER_DESTINATION ||
        (oracle->owner == ORACLE_OWNER_SOURCE && oracle->is_honest[RDMIG_ROLE_SOURCE]))
        world_break(oracle->world, "two_owners", "the destination took the guest; %s owned it",
                    owner_names[oracle->owner]);
    oracle->owner = ORACLE_OWNER_DESTINATION;
    if (oracle->are_both_honest)
        oracle_compare_all(oracle);
}

void oracle_owner_took(struct oracle *oracle, enum rdmig_role role)
{
    if (!oracle->is_honest[role])
        return;
    if (role == RDMIG_ROLE_DESTINATION) {
        destination_took(oracle);
        return;
    }
    if (oracle->owner == ORACLE_OWNER_DESTINATION)
        world_break(oracle->world, "two_owners",
                    "the source took the guest back; the destination owns it");
    oracle->owner = ORACLE_OWNER_SOURCE;
}

/* ---- the end */

static bool runs_at(const struct world *world, enum rdmig_role role)
{
    return world->guest->is_running && world->guest->ram == world->ram[role];
}

/* A limit as short as these runs out though nothing is wrong (options_draw.c). */
static bool is_impatient(const struct oracle *oracle)
{
    const uint64_t limit_ns =
        oracle->world->options->engine[RDMIG_ROLE_DESTINATION].idle_timeout_ns;

    const uint64_t most_ns = oracle->world->party[RDMIG_ROLE_SOURCE]->has_no_prepare
                                 ? IMPATIENT_NS_UNASKED
                                 : IMPATIENT_NS;

    return oracle->is_ours[RDMIG_ROLE_DESTINATION] && limit_ns != 0 && limit_ns <= most_ns;
}

/* No hand-over got lost between two ends of which each did what it should. */
static bool is_loss_excused(const struct oracle *oracle)
{
    const struct world *world = oracle->world;

    if (!oracle->are_both_honest || port_is_dead(oracle->ports[RDMIG_ROLE_DESTINATION]))
        return true;
    return (!are_both_ours(oracle) || world->party[RDMIG_ROLE_SOURCE]->has_no_prepare) &&
           (world->party[RDMIG_ROLE_DESTINATION]->has_given_up ||
            port_faults_taken(oracle->ports[RDMIG_ROLE_SOURCE]) > 0 || is_impatient(oracle));
}

static void check_source_end(struct oracle *oracle)
{
    struct world *world = oracle->world;
    const bool is_dead = port_is_dead(oracle->ports[RDMIG_ROLE_SOURCE]);

    switch (world->party[RDMIG_ROLE_SOURCE]->outcome) {
    case OUTCOME_COMPLETED:
        if (oracle->owner == ORACLE_OWNER_SOURCE)
            world_break(world, "ownership", "the source completed and still owns the guest");
        else if (oracle->owner == ORACLE_OWNER_NOBODY && !is_loss_excused(oracle))
            world_break(world, "no_owner", "the source completed, and nobody owns the guest");
        break;
    case OUTCOME_FAILED:
        if (oracle->owner != ORACLE_OWNER_SOURCE)
            world_break(world, oracle->owner == ORACLE_OWNER_NOBODY ? "no_owner" : "two_owners",
                        "the source failed; %s owns the guest", owner_names[oracle->owner]);
        else if (!is_dead && !runs_at(world, RDMIG_ROLE_SOURCE))
            world_break(world, "guest_stands", "the source failed, and its guest does not run");
        break;
    case OUTCOME_UNKNOWN:
        if (oracle->owner == ORACLE_OWNER_SOURCE)
            world_break(world, "ownership",
                        "the source does not know who owns the guest, but owns it");
        break;
    case OUTCOME_OPEN:
        if (oracle->owner == ORACLE_OWNER_NOBODY && oracle->is_ours[RDMIG_ROLE_SOURCE] && !is_dead)
            world_break(world, "no_owner", "the source is not done, and nobody owns the guest");
        break;
    }
    if (oracle->owner != ORACLE_OWNER_SOURCE && runs_at(world, RDMIG_ROLE_SOURCE))
        world_break(world, "guest_runs_on", "the guest runs at the source; %s owns it",
                    owner_names[oracle->owner]);
}

static void check_destination_end(struct oracle *oracle)
{
    struct world *world = oracle->world;
    const enum outcome outcome = world->party[RDMIG_ROLE_DESTINATION]->outcome;
    const bool is_owner = oracle->owner == ORACLE_OWNER_DESTINATION;

    if (is_owner != (outcome == OUTCOME_COMPLETED) && outcome != OUTCOME_OPEN)
        world_break(world, "ownership", "the destination %s; %s owns the guest",
                    outcome == OUTCOME_COMPLETED ? "completed" : "failed",
                    owner_names[oracle->owner]);
    if (oracle->is_honest[RDMIG_ROLE_SOURCE] && is_owner && outcome == OUTCOME_COMPLETED &&
        !port_is_dead(oracle->ports[RDMIG_ROLE_DESTINATION]) &&
        !runs_at(world, RDMIG_ROLE_DESTINATION))
        world_break(world, "guest_stands", "the destination completed, and the guest does not run");
    if (!is_owner && runs_at(world, RDMIG_ROLE_DESTINATION))
        world_break(world, "guest_runs_on", "the guest runs at the destination; %s owns it",
                    owner_names[oracle->owner]);
}

void oracle_check_end(struct oracle *oracle)
{
    if (oracle->is_honest[RDMIG_ROLE_SOURCE])
        check_source_end(oracle);
    if (oracle->is_honest[RDMIG_ROLE_DESTINATION])
        check_destination_end(oracle);
}
