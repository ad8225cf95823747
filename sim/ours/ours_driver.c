/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of a core of ours: makes it, feeds it, drains it, keeps its deadline. */
#include "ours.h"

#include "fail.h"

#include <inttypes.h>
#include <stdlib.h>

/* Nothing carries on for so long without time passing. */
enum { ACTIONS_MAX = 1000000, SLOW_ONE_IN = 16 };

/* Where the source's guest memory lies: nobody but the source itself ever sees it. */
#define SOURCE_ADDR UINT64_C(0x550000000000)

/* Nobody calm takes so long to leave; unless an option says otherwise. */
#define LEAVE_TIMEOUT_NS UINT64_C(100000000)

/* ---- making it */

static uint64_t ram_bytes(const struct options *options)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < options->guest.block_count; i++)
        bytes += options->guest.block_bytes[i];
    return bytes;
}

/* Pin-all that would not fit its own limit is not asked for. */
static uint32_t capability_flags(const struct options *options, enum rdmig_role role)
{
    const uint64_t limit_bytes = options->pinned_bytes_max[role];
    const bool is_pinnable =
        role == RDMIG_ROLE_DESTINATION || limit_bytes == 0 || ram_bytes(options) <= limit_bytes;

    return (options->is_pin_all[role] && is_pinnable ? RDMIG_CAPABILITY_PIN_ALL : 0) |
           (options->is_pipelined[role] ? RDMIG_CAPABILITY_PIPELINE : 0);
}

/* A destination that is not one of ours leaves first (clause E13). */
static uint64_t leave_timeout_ns(const struct ours *ours)
{
    const struct options *options = ours->party.world->options;
    const uint64_t timeout_ns = options->engine[RDMIG_ROLE_SOURCE].leave_timeout_ns;

    if (ours->party.role != RDMIG_ROLE_SOURCE ||
        options->kind[RDMIG_ROLE_DESTINATION] == PARTY_OURS)
        return 0;
    return timeout_ns != 0 ? timeout_ns : LEAVE_TIMEOUT_NS;
}

static void configure(struct ours *ours)
{
    const struct options *options = ours->party.world->options;
    const struct engine_options *engine = &options->engine[ours->party.role];
    const bool is_ram_told = ours->party.role == RDMIG_ROLE_SOURCE && options->is_ram_told;

    ours->config = (struct rdmig_conn_config){
        .struct_bytes = sizeof(ours->config),
        .role = ours->party.role,
        .capability_flags = capability_flags(options, ours->party.role),
        .run_chunk_count = engine->run_chunk_count,
        .register_batch_count = engine->register_batch_count,
        .send_queue_depth = engine->send_queue_depth,
        .signal_interval = engine->signal_interval,
        .stream_message_bytes = engine->stream_message_bytes,
        .write_bytes_max = engine->write_bytes_max,
        .pinned_bytes_max = options->pinned_bytes_max[ours->party.role],
        .ram_bytes = is_ram_told ? ram_bytes(options) : 0,
        .connect_timeout_ns = engine->connect_timeout_ns,
        .reply_timeout_ns = engine->reply_timeout_ns,
        .probe_interval_ns = engine->probe_interval_ns,
        .idle_timeout_ns = engine->idle_timeout_ns,
        .close_timeout_ns = engine->close_timeout_ns,
        .leave_timeout_ns = leave_timeout_ns(ours),
    };
}

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

struct ours *ours_make(size_t size_bytes, struct world *world, struct port *port,
                       const struct party_class *class, const struct ours_application *application)
{
    struct ours *ours = make(size_bytes, world, port, class, application);

    configure(ours);
    return finish_making(ours);
}

struct ours *ours_make_as(size_t size_bytes, const struct party *user,
                          const struct party_class *class,
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

void ours_count(struct party *party)
{
    struct ours *ours = (struct ours *)party;
    struct rdmig_conn_counters counters;

    check_footprint(ours);
    rdmig_conn_counters(ours->conn, &counters);
    party->numbers.round_trips = counters.round_trips;
    party->numbers.control_messages = counters.control_messages;
    party->numbers.bytes_written = counters.bytes_written;
    party->numbers.bytes_zero = counters.bytes_zero;
    party->numbers.rounds = counters.rounds;
}

bool ours_is_closed(const struct party *party)
{
    return ((const struct ours *)party)->is_closed;
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
    if (ours->application->due) {
        ours->application->due(ours, -1);
        return;
    }
    (void)ours_ask(ours, RDMIG_EVENT_TIME_PASSED);
    ours_go_on(ours);
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

static void drain_late(struct world *world, void *subject, uint64_t argument);

static void plan_drain(struct ours *ours)
{
    const uint64_t jitter_ns = world_jitter_ns(ours->party.world);

    ours->is_drain_planned = true;
    port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, drain_late, ours, 0);
}

/* Actions are carried out in their order, but events may come in between. */
static bool pauses(struct ours *ours)
{
    struct world *world = ours->party.world;
    const struct ratio ratio = {world->options->pause_permille, 1000};

    if (ours->is_closed || ratio.numerator == 0 || !choice_chance(world->choice, ratio))
        return false;
    plan_drain(ours);
    return true;
}

static void advance(struct ours *ours)
{
    struct world *world = ours->party.world;
    bool has_moved = true;

    for (uint32_t i = 0; has_moved && !world_is_broken(world); i++) {
        has_moved = ours_take_action(ours);
        if (!has_moved && !ours->is_closed)
            has_moved = ours->application->work(ours);
        ours_watch_failure(ours);
        if (ours->is_closed || rdmig_conn_failure(ours->conn))
            ours->application->failed(ours);
        if (i == ACTIONS_MAX)
            world_break(world, "livelock", "the %s does not come to an end of its actions",
                        role_name(ours->party.role));
        if (has_moved && pauses(ours))
            break;
    }
    ours_watch_drained(ours);
}

static void drain_late(struct world *world, void *subject, uint64_t argument)
{
    struct ours *ours = subject;

    (void)world;
    (void)argument;
    ours->is_drain_planned = false;
    advance(ours);
    ours_arm_timer(ours);
}

void ours_go_on(struct ours *ours)
{
    if (ours->application->signal) {
        ours->application->signal(ours);
        return;
    }
    if (ours->is_drain_planned || ours->is_closed)
        return;
    ours_call_wrongly(ours);
    /* Harmless at any moment: nothing is due. */
    if (ours_chance(ours, SLOW_ONE_IN) && rdmig_conn_deadline_ns(ours->conn) > ours_now_ns(ours))
        (void)ours_ask(ours, RDMIG_EVENT_TIME_PASSED);
    if (ours_chance(ours, SLOW_ONE_IN)) {
        plan_drain(ours);
    } else {
        advance(ours);
        ours_call_wrongly(ours);
    }
    ours_arm_timer(ours);
}

static void go_on_due(struct world *world, void *subject, uint64_t argument)
{
    struct ours *ours = subject;

    (void)world;
    (void)argument;
    ours->is_turn_planned = false;
    ours_go_on(ours);
}

void ours_go_on_soon(struct ours *ours)
{
    if (ours->is_turn_planned)
        return;
    ours->is_turn_planned = true;
    port_at(ours->party.port, ours_now_ns(ours), go_on_due, ours, 0);
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

void ours_managed(struct party *party, const struct cm_event *event)
{
    struct ours *ours = (struct ours *)party;
    const bool was_closed = ours->is_closed;

    ours_take_managed(ours, event);
    if (!was_closed)
        ours_go_on(ours);
}
