/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a hostile peer, whichever its role. */
#include "hostile.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TICKS_MAX = 16, RECEIVE_BYTES_MAX = 524288, PATIENCE_PARTS = 4 };

/* Never cleared: only what has arrived is read. */
static uint8_t receive_memory[2][HOSTILE_RECEIVES_MAX][RECEIVE_BYTES_MAX];

/* ---- decisions */

/* What a message says comes up most: there are most ways to say it wrong. */
static enum hostile_kind draw_kind(struct hostile *hostile)
{
    static const enum hostile_kind kinds[] = {
        HOSTILE_DELAYS,       HOSTILE_ENTRIES,      HOSTILE_ENTRIES, HOSTILE_ENTRIES,
        HOSTILE_ANSWERS,      HOSTILE_ANSWERS,      HOSTILE_STREAM,  HOSTILE_ORDER,
        HOSTILE_ORDER,        HOSTILE_HEADER,       HOSTILE_HEADER,  HOSTILE_BODY,
        HOSTILE_BODY,         HOSTILE_CREDIT,       HOSTILE_CREDIT,  HOSTILE_WRITES,
        HOSTILE_WRITES,       HOSTILE_TRUNCATION,   HOSTILE_FLOOD,   HOSTILE_WHENEVER,
        HOSTILE_ERROR,        HOSTILE_SILENCE,      HOSTILE_LEAVING, HOSTILE_RECEIVES,
        HOSTILE_PRIVATE_DATA, HOSTILE_PRIVATE_DATA, HOSTILE_LIMIT,
    };
    const uint32_t index = hostile_pick(hostile, sizeof(kinds) / sizeof(kinds[0]));

    if (kinds[index] == HOSTILE_ANSWERS && hostile->party.role == RDMIG_ROLE_SOURCE)
        return HOSTILE_ENTRIES; /* it has none to give */
    if (kinds[index] == HOSTILE_STREAM && hostile->party.role == RDMIG_ROLE_DESTINATION)
        return HOSTILE_ANSWERS;
    return kinds[index];
}

/* A world has a few kinds of hostility, or none: then it is a peer that is only odd. */
static void draw_character(struct hostile *hostile)
{
    static const uint32_t denominators[] = {16, 32, 8, 4, 2};
    const uint32_t style = hostile_pick(hostile, 8);
    const uint32_t kind_count = style < 2 ? 0 : style < 5 ? 1 : style - 3;

    for (uint32_t i = 0; i < kind_count; i++) {
        const enum hostile_kind kind = draw_kind(hostile);
        const uint32_t rate = hostile_pick(hostile, sizeof(denominators) / sizeof(denominators[0]));
        /* There is one occasion for it. */
        const uint32_t denominator = kind == HOSTILE_PRIVATE_DATA ? 1 : denominators[rate];

        hostile->rates[kind] = (struct ratio){1, denominator};
        world_log(hostile->party.world, "hostile %s: kind %" PRIu32 ", 1 in %" PRIu32,
                  role_name(hostile->party.role), (uint32_t)kind, denominator);
    }
    /* A limit asks to be tried. */
    if (style >= 2 && hostile->party.role == RDMIG_ROLE_SOURCE &&
        hostile->party.world->options->pinned_bytes_max[RDMIG_ROLE_DESTINATION] != 0 &&
        hostile_pick(hostile, 3) == 2)
        hostile->rates[HOSTILE_LIMIT] = (struct ratio){1, 2};
    for (uint32_t i = 0; i < ODDITY_COUNT && style > 0; i++)
        hostile->is_odd[i] = hostile_pick(hostile, 4) == 3;
}

/* ---- beginning and end */

static uint64_t now_ns(const struct hostile *hostile)
{
    return port_time_ns(hostile->party.port);
}

void hostile_init(struct hostile *hostile, struct world *world, struct port *port,
                  const struct party_class *class, const struct hostile_role *role)
{
    const struct guest_options *guest = &world->options->guest;

    hostile->party.class = class;
    hostile->party.world = world;
    hostile->party.port = port;
    hostile->party.role = port_role(port);
    hostile->party.outcome = OUTCOME_OPEN;
    hostile->role = role;
    hostile->block_count = guest->block_count;
    for (uint32_t i = 0; i < guest->block_count; i++) {
        hostile->blocks[i].addr = fabric_block_addr(world->fabric, i);
        hostile->blocks[i].offset_bytes = fabric_block_ram_offset(world->fabric, i);
        hostile->blocks[i].length_bytes = guest->block_bytes[i];
    }
}

/* Is there a limit at the other end that ends any silence? Then nobody else need. */
static bool is_peer_limited(const struct hostile *hostile)
{
    const struct options *options = hostile->party.world->options;
    const uint32_t peer = 1u - (uint32_t)hostile->party.role;
    const struct engine_options *engine = &options->engine[peer];

    return options->kind[peer] == PARTY_OURS && engine->connect_timeout_ns > 0 &&
           (peer == RDMIG_ROLE_SOURCE ? engine->reply_timeout_ns : engine->idle_timeout_ns) > 0;
}

static void lose_patience(struct world *world, void *subject, uint64_t argument)
{
    struct hostile *hostile = subject;

    (void)world;
    (void)argument;
    if (hostile->life != LIFE_SILENT || !is_peer_limited(hostile))
        hostile_leave(hostile);
}

void hostile_open(struct hostile *hostile)
{
    static const uint32_t capacities[] = {RECEIVE_BYTES_MAX, 65536, 4096, 64, 16, 0};
    struct port *port = hostile->party.port;
    struct world *world = hostile->party.world;
    uint32_t receive_count = HOSTILE_RECEIVES_MAX;

    draw_character(hostile);
    hostile->life = LIFE_CONNECTING;
    hostile->credit_count = 1;
    hostile->receive_bytes = RECEIVE_BYTES_MAX;
    if (hostile_does(hostile, HOSTILE_RECEIVES)) {
        receive_count = hostile_pick(hostile, HOSTILE_RECEIVES_MAX + 1);
        hostile->receive_bytes =
            capacities[hostile_pick(hostile, sizeof(capacities) / sizeof(capacities[0]))];
    }
    port_set_depths(port, 256, HOSTILE_RECEIVES_MAX, 1024);
    port_set_wait(port, world->costs.wakeup_ns, world->costs.wakeup_cpu_ns);
    for (uint32_t i = 0; i < receive_count; i++)
        (void)port_post_recv(port, i, receive_memory[hostile->party.role][i],
                             hostile->receive_bytes);
    port_at(port, world->now_ns + world->options->time_limit_ns / PATIENCE_PARTS, lose_patience,
            hostile, 0);
}

void hostile_cancel(struct party *party)
{
    hostile_leave((struct hostile *)(void *)party);
}

bool hostile_is_closed(const struct party *party)
{
    const struct hostile *hostile = (const struct hostile *)(const void *)party;

    return hostile->life >= LIFE_SILENT || port_is_dead(party->port);
}

/* Nothing is asked of what it has sent. */
bool hostile_is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    (void)party;
    (void)block;
    (void)page;
    return true;
}

void hostile_count(struct party *party)
{
    party->numbers.control_messages = ((struct hostile *)(void *)party)->message_count;
}

void hostile_free(struct party *party)
{
    free(party);
}

/* ---- steps */

uint64_t hostile_delay_ns(struct hostile *hostile)
{
    static const uint64_t delays_ns[] = {
        0, 20000, 1000000, 100000000, UINT64_C(2000000000), UINT64_C(30000000000)};
    const uint64_t jitter_ns = world_jitter_ns(hostile->party.world);

    if (!hostile_does(hostile, HOSTILE_DELAYS))
        return jitter_ns;
    return delays_ns[hostile_pick(hostile, sizeof(delays_ns) / sizeof(delays_ns[0]))];
}

/* What may come between any two things. */
static void interlude(struct hostile *hostile)
{
    if (hostile_does(hostile, HOSTILE_LEAVING)) {
        hostile_leave(hostile);
    } else if (hostile_does(hostile, HOSTILE_SILENCE)) {
        hostile_fall_silent(hostile);
    } else if (hostile_does(hostile, HOSTILE_ERROR)) {
        hostile_send_empty(hostile, TYPE_ERROR, 1);
        if (hostile_pick(hostile, 2) == 0)
            hostile_leave(hostile);
    } else if (hostile_does(hostile, HOSTILE_FLOOD)) {
        const uint32_t count = 2 + hostile_pick(hostile, 8);

        for (uint32_t i = 0; i < count && hostile_is_up(hostile); i++)
            hostile_send_any(hostile);
    }
    if (hostile_is_up(hostile) && hostile_does(hostile, HOSTILE_WRITES))
        hostile_write_anywhere(hostile);
}

/* The oldest, or, where the order is not kept, the one after it. */
static struct hostile_received take_received(struct hostile *hostile)
{
    struct hostile_received *oldest = &hostile->inbox[hostile->inbox_first];
    struct hostile_received *next =
        &hostile->inbox[(hostile->inbox_first + 1) % HOSTILE_RECEIVES_MAX];
    struct hostile_received taken = *oldest;

    if (hostile->inbox_count > 1 && hostile_does(hostile, HOSTILE_ORDER)) {
        taken = *next;
        *next = *oldest;
    }
    hostile->inbox_first = (hostile->inbox_first + 1) % HOSTILE_RECEIVES_MAX;
    hostile->inbox_count--;
    return taken;
}

static void step(struct world *world, void *subject, uint64_t argument)
{
    struct hostile *hostile = subject;

    (void)world;
    (void)argument;
    hostile->is_step_planned = false;
    if (hostile_is_up(hostile))
        interlude(hostile);
    if (hostile_is_up(hostile) && hostile->inbox_count > 0) {
        const struct hostile_received received = take_received(hostile);
        uint8_t *buffer = receive_memory[hostile->party.role][received.slot];

        hostile->role->received(hostile, buffer, received.length_bytes);
        if (hostile_is_up(hostile))
            (void)port_post_recv(hostile->party.port, received.slot, buffer,
                                 hostile->receive_bytes);
    }
    if (hostile_is_up(hostile))
        hostile->role->act(hostile);
    if (hostile_is_up(hostile) && hostile->inbox_count > 0)
        hostile_plan_step(hostile);
}

void hostile_plan_step(struct hostile *hostile)
{
    uint64_t delay_ns;

    if (hostile->is_step_planned || !hostile_is_up(hostile))
        return;
    hostile->is_step_planned = true;
    delay_ns = hostile_delay_ns(hostile);
    port_at(hostile->party.port, now_ns(hostile) + delay_ns, step, hostile, 0);
}

static void plan_tick(struct hostile *hostile);

/* A message that has nothing to do with anything. */
static void tick(struct world *world, void *subject, uint64_t argument)
{
    struct hostile *hostile = subject;

    (void)world;
    (void)argument;
    if (!hostile_is_up(hostile))
        return;
    if (hostile_does(hostile, HOSTILE_WHENEVER))
        hostile_send_any(hostile);
    plan_tick(hostile);
}

static void plan_tick(struct hostile *hostile)
{
    static const uint64_t pauses_ns[] = {0, 1000, 5000, 30000, 300000, 3000000};
    uint32_t pause;

    if (hostile->tick_count == TICKS_MAX || !hostile_is_up(hostile) ||
        hostile->rates[HOSTILE_WHENEVER].numerator == 0)
        return;
    hostile->tick_count++;
    pause = hostile_pick(hostile, sizeof(pauses_ns) / sizeof(pauses_ns[0]));
    port_at(hostile->party.port, now_ns(hostile) + pauses_ns[pause], tick, hostile, 0);
}

/* ---- what the port says */

void hostile_completed(struct party *party, const struct completion *completion)
{
    struct hostile *hostile = (struct hostile *)(void *)party;

    if (!completion->is_recv && completion->id == HOSTILE_WRITE_ID)
        hostile->writes_out--;
    if (hostile->life >= LIFE_SILENT)
        return;
    if (completion->status != COMPLETION_OK) {
        world_log(party->world, "hostile %s: a completion says %" PRId32, role_name(party->role),
                  completion->os_code);
        if (hostile_does(hostile, HOSTILE_SILENCE))
            hostile_fall_silent(hostile);
        else
            hostile_leave(hostile);
        return;
    }
    if (!completion->is_recv || completion->id >= HOSTILE_RECEIVES_MAX ||
        hostile->inbox_count == HOSTILE_RECEIVES_MAX)
        return;
    hostile->inbox[(hostile->inbox_first + hostile->inbox_count++) % HOSTILE_RECEIVES_MAX] =
        (struct hostile_received){(uint32_t)completion->id, completion->length_bytes};
    hostile_plan_step(hostile);
}

void hostile_managed(struct party *party, const struct cm_event *event)
{
    struct hostile *hostile = (struct hostile *)(void *)party;

    if (hostile->life >= LIFE_SILENT)
        return;
    switch (event->kind) {
    case CM_REJECTED:
    case CM_UNREACHABLE:
    case CM_DISCONNECTED:
        if (!hostile_does(hostile, HOSTILE_SILENCE))
            hostile_leave(hostile);
        else
            hostile_fall_silent(hostile);
        return;
    default:
        hostile->role->managed(hostile, event);
        plan_tick(hostile);
    }
}
