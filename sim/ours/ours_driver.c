/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of a core of ours: makes it, feeds it, drains it, keeps its deadline. */
#include "ours.h"

#include "fail.h"

#include <inttypes.h>
#include <stdlib.h>

/* Where the source's guest memory lies: nobody but the source itself ever sees it. */
#define SOURCE_ADDR UINT64_C(0x550000000000)

/* ---- making it */

/* A limit that a small guest comes near. */
static void draw_flight_limit(struct ours *ours)
{
    if (ours_chance(ours, 4))
        ours->config.flight_bytes_max = SIM_PAGE_BYTES
                                        << choice_below(ours->party.world->choice, 12);
}

static void list_blocks(struct ours *ours)
{
    const struct world *world = ours->party.world;
    const struct guest_options *guest = &world->options->guest;
    uint64_t addr = SOURCE_ADDR;

    ours->block_count = guest->block_count;
    for (uint32_t i = 0; i < guest->block_count; i++) {
        struct rdmig_block *block = &ours->blocks[i];

        block->length_bytes = guest->block_bytes[i];
        if (ours->party.role == RDMIG_ROLE_DESTINATION) {
            block->host_addr = fabric_block_addr(world->fabric, i);
            block->ram_offset_bytes = fabric_block_ram_offset(world->fabric, i);
        } else {
            block->host_addr = addr;
            addr += guest->block_bytes[i];
        }
    }
}

static void make_core(struct ours *ours)
{
    const size_t memory_bytes = rdmig_conn_footprint_bytes(&ours->config);

    if (memory_bytes == 0)
        sim_fail("options", "the core refuses the engine's numbers");
    ours_memory_take(&ours->memory, memory_bytes);
    ours_control_take(&ours->control);
    ours->party.numbers.engine_bytes = memory_bytes;
    if (rdmig_conn_init(&ours->conn, &ours->config, ours->memory.bytes, memory_bytes,
                        ours->control.bytes, ours->control.length_bytes,
                        ours_now_ns(ours)) != RDMIG_OK)
        sim_fail("core", "rdmig_conn_init refuses what rdmig_conn_footprint_bytes has measured");
}

static struct ours *make(size_t size_bytes, struct world *world, struct port *port,
                         const struct party_class *class,
                         const struct ours_application *application)
{
    struct ours *ours = sim_allocated(calloc(1, size_bytes));

    ours->party =
        (struct party){.class = class, .world = world, .port = port, .role = port_role(port)};
    ours->application = application;
    ours->timer_ns = RDMIG_NO_DEADLINE;
    return ours;
}

static struct ours *finish_making(struct ours *ours)
{
    struct world *world = ours->party.world;
    struct port *port = ours->party.port;
    const struct engine_options *engine = &world->options->engine[ours->party.role];

    draw_flight_limit(ours);
    list_blocks(ours);
    make_core(ours);
    ours->sends.depth = engine->send_queue_depth ? engine->send_queue_depth : 256;
    ours->sends.entries = sim_allocated(calloc(ours->sends.depth, sizeof(*ours->sends.entries)));
    /* One more for the marker behind a disconnect. */
    port_set_depths(port, ours->sends.depth + 1, RDMIG_RECV_SLOT_COUNT, ours->sends.depth + 1);
    port_set_wait(port, world->costs.wakeup_ns, world->costs.wakeup_cpu_ns);
    port_attach(port, &ours->party);
    ours_configure_wrongly(ours);
    return ours;
}

struct ours *ours_make(size_t size_bytes, const struct party *user, const struct party_class *class,
                       const struct ours_application *application,
                       const struct rdmig_conn_config *config)
{
    struct ours *ours = make(size_bytes, user->world, user->port, class, application);

    ours->config = *config;
    return finish_making(ours);
}

static void check_footprint(struct ours *ours)
{
    if (!ours_memory_is_whole(&ours->memory) || !ours_memory_is_whole(&ours->tables) ||
        !ours_memory_is_whole(&ours->control))
        world_break(ours->party.world, "footprint", "the %s's core wrote beside its memory",
                    role_name(ours->party.role));
}

/* The core gives its memory back only when no hardware can own a part of it any more. */
void ours_end_core(struct ours *ours)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);
    const bool may_end = phase == RDMIG_PHASE_IDLE || phase == RDMIG_PHASE_CLOSED;
    const int result = rdmig_conn_deinit(ours->conn);

    if (result != (may_end ? RDMIG_OK : -RDMIG_E_STATE))
        world_break(ours->party.world, "deinit", "the %s's core says %d in phase %s",
                    role_name(ours->party.role), result, rdmig_phase_name(phase));
    ours->conn = NULL;
}

void ours_free(struct ours *ours)
{
    check_footprint(ours);
    if (ours->conn)
        ours_end_core(ours);
    check_footprint(ours);
    ours_memory_give_back(&ours->memory);
    ours_memory_give_back(&ours->tables);
    ours_control_give_back(&ours->control);
    free(ours->sends.entries);
    free(ours->regions.entries);
    free(ours->before);
    free(ours);
}

/* ---- time and chance */

uint64_t ours_now_ns(const struct ours *ours)
{
    return port_time_ns(ours->party.port);
}

bool ours_is_exact(const struct ours *ours)
{
    return ours->party.world->options->jitter_steps > 1;
}

bool ours_chance(struct ours *ours, uint32_t one_in)
{
    const struct ratio ratio = {1, one_in};

    return ours_is_exact(ours) && choice_chance(ours->party.world->choice, ratio);
}

/* ---- in */

static char letter(const struct ours *ours)
{
    return ours->party.role == RDMIG_ROLE_SOURCE ? 'S' : 'D';
}

static void check(struct ours *ours)
{
    const char *wrong = rdmig_conn_check(ours->conn);

    if (wrong)
        world_break(ours->party.world, "invariant", "%s: %s", role_name(ours->party.role), wrong);
}

int ours_step(struct ours *ours, struct rdmig_event *event)
{
    struct world *world = ours->party.world;
    char text[LOG_LINE_BYTES];
    int result;

    event->now_ns = ours_now_ns(ours);
    ours->stepped_ns = event->now_ns;
    ours->is_drained = false;
    ours->watch.is_time_told = event->kind == RDMIG_EVENT_TIME_PASSED;
    result = rdmig_conn_step(ours->conn, event);
    if (world_is_logging(world)) {
        (void)rdmig_event_format(event, text, sizeof(text));
        if (result == RDMIG_OK)
            world_log(world, "%c> %s", letter(ours), text);
        else
            world_log(world, "%c> %s: refused, %s", letter(ours), text, rdmig_result_text(result));
    }
    check(ours);
    ours_watch_failure(ours);
    return result;
}

void ours_tell(struct ours *ours, struct rdmig_event *event)
{
    const int result = ours_step(ours, event);

    if (result != RDMIG_OK)
        world_break(ours->party.world, "refusal", "the %s's core says %d to %s (tag 0x%" PRIx64 ")",
                    role_name(ours->party.role), result, rdmig_event_name(event->kind), event->tag);
}

bool ours_ask(struct ours *ours, enum rdmig_event_kind kind)
{
    struct rdmig_event event = {.kind = kind};

    return ours_step(ours, &event) == RDMIG_OK;
}

void ours_start(struct ours *ours)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_STARTED};

    if (ours->is_started)
        return;
    ours->is_started = true;
    ours_tell(ours, &event);
}

void ours_provide_blocks(struct ours *ours)
{
    const size_t table_bytes = rdmig_blocks_footprint_bytes(ours->blocks, ours->block_count);
    struct rdmig_event event = {.kind = RDMIG_EVENT_BLOCKS_PROVIDED,
                                .blocks = ours->blocks,
                                .block_count = ours->block_count,
                                .length = table_bytes};

    if (ours->are_blocks_provided || rdmig_conn_phase(ours->conn) > RDMIG_PHASE_RUNNING)
        return;
    ours_memory_take(&ours->tables, table_bytes);
    event.memory = ours->tables.bytes;
    ours->are_blocks_provided = true;
    ours->party.numbers.engine_bytes += table_bytes;
    ours_tell(ours, &event);
}

/* ---- the deadline */

/* What has arrived by now is looked at first: it may be what the deadline was about. */
static void timer_passed(struct world *world, void *subject, uint64_t at_ns)
{
    struct ours *ours = subject;

    (void)world;
    if (ours->timer_ns != at_ns || ours->is_closed)
        return;
    if (port_has_waiting(ours->party.port)) { /* it came while we were busy */
        port_at(ours->party.port, ours_now_ns(ours), timer_passed, ours, at_ns);
        return;
    }
    ours->timer_ns = RDMIG_NO_DEADLINE;
    if (rdmig_conn_deadline_ns(ours->conn) > ours_now_ns(ours)) {
        ours_arm_timer(ours);
        return;
    }
    ours->application->due(ours, -1);
}

static void timer_due(struct world *world, void *subject, uint64_t at_ns)
{
    struct ours *ours = subject;

    (void)world;
    if (ours->timer_ns == at_ns && !ours->is_closed)
        port_at(ours->party.port, ours_now_ns(ours), timer_passed, ours, at_ns);
}

/* A deadline that has moved away is left alone: the timer goes off for nothing then. */
void ours_arm_timer(struct ours *ours)
{
    const uint64_t deadline_ns = rdmig_conn_deadline_ns(ours->conn);

    if (ours->is_closed || deadline_ns >= ours->timer_ns)
        return;
    ours->timer_ns = deadline_ns;
    port_at(ours->party.port, deadline_ns, timer_due, ours, deadline_ns);
}

/* ---- out */

bool ours_take_action(struct ours *ours)
{
    struct world *world = ours->party.world;
    struct rdmig_action action;
    char text[LOG_LINE_BYTES];

    ours->is_drained = !rdmig_conn_next_action(ours->conn, &action);
    if (ours->is_drained)
        return false;
    if (world_is_logging(world)) {
        (void)rdmig_action_format(&action, text, sizeof(text));
        world_log(world, "%c< %s", letter(ours), text);
    }
    check(ours);
    ours_watch_action(ours, &action);
    ours_watch_failure(ours);
    ours_carry_out(ours, &action);
    if (action.kind != RDMIG_ACTION_NOTIFY_CLOSED)
        return true;
    ours->is_closed = true;
    ours_check_tags(ours);
    check_footprint(ours);
    return true;
}

/* ---- the connection manager's events */

/* The queue pair of a destination is made when it is asked for, or was before. */
static void take_request(struct ours *ours, const struct cm_event *event)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);
    struct rdmig_event requested = {.kind = RDMIG_EVENT_CONNECT_REQUESTED,
                                    .bytes = event->length_bytes > 0 ? event->bytes : NULL,
                                    .length = event->length_bytes};

    if (phase > RDMIG_PHASE_CONNECTING || ours->is_connect_asked) {
        port_reject(ours->party.port, NULL, 0);
        return;
    }
    ours->is_connect_asked = true;
    ours->is_request_open = true;
    ours_start(ours);
    ours_watch_private_data(ours, event->bytes, event->length_bytes);
    ours_tell(ours, &requested);
}

static void take_established(struct ours *ours, const struct cm_event *event)
{
    struct rdmig_event established = {.kind = RDMIG_EVENT_ESTABLISHED};

    if (ours->party.role == RDMIG_ROLE_SOURCE) {
        established.bytes = event->length_bytes > 0 ? event->bytes : NULL;
        established.length = event->length_bytes;
        ours_watch_private_data(ours, event->bytes, event->length_bytes);
    }
    ours_tell(ours, &established);
    ours_watch_heard(ours);
}

void ours_take_managed(struct ours *ours, const struct cm_event *event)
{
    struct party *party = &ours->party;
    struct rdmig_event unreachable = {.kind = RDMIG_EVENT_UNREACHABLE,
                                      .status = RDMIG_STATUS_ERROR};
    struct rdmig_event disconnected = {.kind = RDMIG_EVENT_DISCONNECTED};

    if (ours->is_closed) {
        if (event->kind == CM_CONNECT_REQUESTED)
            port_reject(party->port, NULL, 0);
        else if (event->kind == CM_DISCONNECTED && ours_chance(ours, 2))
            ours_tell(ours, &disconnected); /* a driver need not keep it to itself */
        return;
    }
    switch (event->kind) {
    case CM_CONNECT_REQUESTED:
        take_request(ours, event);
        break;
    case CM_ESTABLISHED:
        take_established(ours, event);
        break;
    case CM_REJECTED:
        unreachable.status = RDMIG_STATUS_REJECTED;
        ours_tell(ours, &unreachable);
        break;
    case CM_UNREACHABLE:
        ours_tell(ours, &unreachable);
        break;
    case CM_DISCONNECTED:
        ours->has_left = true;
        ours_tell(ours, &disconnected);
        break;
    }
}
