/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verbs/link.h over a port of the fabric: sim/ours drives the core, and this is how src/migration
 * gets at it. As there, the core hears of what has come when the link is processed, and of nothing
 * in between; so what comes waits here.
 */
#include "process.h"

#include "fail.h"
#include "ours.h"
#include "ram.h"

#include <string.h>

/* As long as this, and other events have their turn. */
#define REGION_NS_MAX UINT64_C(5000000)
/* Nobody calm takes so long to leave; unless an option says otherwise. Two ends of ours with a QEMU
 * stream between them wait for each other. */
#define LEAVE_TIMEOUT_NS      UINT64_C(100000000)
#define LEAVE_TIMEOUT_NS_OURS UINT64_C(5000000)
#define MS_NS                 UINT64_C(1000000)

enum {
    EVENT_BYTES_MAX = 256,
    LET_GO_MAX = 8,
    ON_TOP_MAX = 4,
    ON_TOP_PAGES_MAX = 600,
    DEADLINE = -1,
    OS_CODE_CANCELLED = 125,
    PORT_NUMBER = 4444
};

enum arrival_kind { ARRIVAL_COMPLETION, ARRIVAL_MANAGED, ARRIVAL_OPERATION, ARRIVAL_CONSUMED };

struct arrival {
    enum arrival_kind kind;
    struct completion completion;
    struct cm_event event;
    uint8_t bytes[EVENT_BYTES_MAX]; /* of the event */
    uint32_t operation;
    uint64_t consumed_bytes;
};

struct link {
    struct ours ours; /* first */
    struct process *process;
    struct link *next_buried;
    struct arrival *arrivals; /* ring */
    uint32_t first_arrival;
    uint32_t arrival_count;
    uint32_t arrival_capacity;
    struct rdmig_action action; /* for the application, and has_action until it is taken */
    bool has_action;
    bool is_time_due;
    bool is_paused; /* nothing is carried out before the next link_process() */
    bool is_connected;
    bool is_destroyed;
    bool was_flushed;
    bool is_end_written; /* something of the stream behind a flush */
    uint64_t written_bytes;
    uint32_t let_go_count; /* since the last round began */
    uint32_t on_top_count; /* ranges pushed into it that nobody needs */
    struct rdmig_event last_zeros;
    struct link_failed_region failed_region;
    struct party_numbers numbers;
};

static struct link *link_of(struct ours *ours)
{
    return (struct link *)ours;
}

/* ---- what comes */

static struct arrival *add_arrival(struct link *link, enum arrival_kind kind)
{
    struct arrival *arrival;

    if (link->arrival_count == link->arrival_capacity) {
        const uint32_t capacity = link->arrival_capacity ? 2 * link->arrival_capacity : 16;
        struct arrival *grown = sim_allocated(malloc(capacity * sizeof(*grown)));

        for (uint32_t i = 0; i < link->arrival_count; i++)
            grown[i] = link->arrivals[(link->first_arrival + i) % link->arrival_capacity];
        free(link->arrivals);
        link->arrivals = grown;
        link->arrival_capacity = capacity;
        link->first_arrival = 0;
    }
    arrival =
        &link->arrivals[(link->first_arrival + link->arrival_count++) % link->arrival_capacity];
    arrival->kind = kind;
    return arrival;
}

static void completed(struct party *party, const struct completion *completion)
{
    struct link *link = (struct link *)party;

    if (link->is_destroyed)
        return;
    add_arrival(link, ARRIVAL_COMPLETION)->completion = *completion;
    process_signal(link->process);
}

static void managed(struct party *party, const struct cm_event *event)
{
    struct link *link = (struct link *)party;
    struct arrival *arrival;

    if (link->is_destroyed) {
        if (event->kind == CM_CONNECT_REQUESTED)
            port_reject(party->port, NULL, 0);
        return;
    }
    if (event->length_bytes > EVENT_BYTES_MAX)
        sim_fail("link", "an event with more bytes than there is room for");
    arrival = add_arrival(link, ARRIVAL_MANAGED);
    arrival->event = *event;
    if (event->length_bytes > 0)
        memcpy(arrival->bytes, event->bytes, event->length_bytes);
    process_signal(link->process);
}

static void due(struct ours *ours, int32_t index)
{
    struct link *link = link_of(ours);

    if (link->is_destroyed)
        return;
    if (index == DEADLINE)
        link->is_time_due = true;
    else
        add_arrival(link, ARRIVAL_OPERATION)->operation = (uint32_t)index;
    process_signal(link->process);
}

/* Work of our own takes us past what arrives meanwhile: time passes when that has been looked at. */
static bool may_time_pass(const struct link *link)
{
    const struct port *port = link->ours.party.port;

    return link->arrival_count == 0 && !port_has_waiting(port) &&
           process_now_ns(link->process) <= link->process->world->now_ns;
}

bool link_has_news(const struct link *link)
{
    return link->arrival_count > 0 || link->is_paused || (link->is_time_due && may_time_pass(link));
}

/* ---- what the core wants of the application */

static void count_time(uint64_t *at_ns, const struct ours *ours)
{
    if (*at_ns == 0)
        *at_ns = ours_now_ns(ours);
}

static void unregistered(struct ours *ours, uint32_t region)
{
    if (!ours->is_letting_go || ours->let_go_region != region ||
        ours_regions_find(&ours->regions, region))
        world_break(ours->party.world, "region",
                    "the source's core let go of what it was not asked to, or still has");
    ours->is_letting_go = false;
}

static void notified(struct ours *ours, const struct rdmig_action *action)
{
    struct link *link = link_of(ours);

    switch (action->kind) {
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        link->is_connected = true;
        count_time(&link->numbers.connected_ns, ours);
        break;
    case RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED:
        ours->is_exchanged = true;
        count_time(&link->numbers.exchanged_ns, ours);
        break;
    case RDMIG_ACTION_NOTIFY_ROUND_ENDED:
        ours->is_round_open = false;
        ours->is_round_closing = false;
        link->let_go_count = 0;
        link->on_top_count = 0;
        if (rdmig_conn_bytes_pending(ours->conn) != 0)
            world_break(ours->party.world, "pending", "bytes are pending after the end of a round");
        break;
    case RDMIG_ACTION_NOTIFY_FLUSHED:
        ours->is_flush_asked = false;
        link->was_flushed = true;
        break;
    case RDMIG_ACTION_DELIVER_STREAM:
        if (ours->unconsumed_bytes != 0)
            world_break(ours->party.world, "stream", "delivered before the last was consumed");
        ours->unconsumed_bytes = action->length;
        break;
    case RDMIG_ACTION_NOTIFY_UNREGISTERED:
        unregistered(ours, action->region); /* asked for here */
        return;
    default:
        break;
    }
    link->action = *action;
    link->has_action = true;
}

static const struct ours_application application = {.notified = notified, .due = due};

static const struct party_class class = {
    .name = "link", .completed = completed, .managed = managed};

/* ---- life */

/* Limits finer than the options of the library can say, what the adapter and the core choose by
 * themselves, and ends that are of another version. */
static uint64_t finer_ns(uint64_t engine_ns, uint64_t given_ns)
{
    return engine_ns % MS_NS != 0 ? engine_ns : given_ns;
}

static void configure(const struct process *process, struct rdmig_conn_config *config)
{
    const struct options *options = process->world->options;
    const struct engine_options *engine = &options->engine[process->role];
    const uint64_t limit_bytes = options->pinned_bytes_max[process->role];
    const uint64_t given_ram_bytes = config->ram_bytes;

    if (!options->is_pipelined[process->role])
        config->capability_flags &= ~(uint32_t)RDMIG_CAPABILITY_PIPELINE;
    if (!options->is_ram_told)
        config->ram_bytes = 0;
    if (limit_bytes != 0 && limit_bytes < RDMIG_CHUNK_BYTES) {
        config->pinned_bytes_max = limit_bytes; /* which the library refuses at once */
        if (process->role == RDMIG_ROLE_SOURCE && given_ram_bytes > limit_bytes)
            config->capability_flags &= ~(uint32_t)RDMIG_CAPABILITY_PIN_ALL;
    }
    config->send_queue_depth = engine->send_queue_depth;
    config->signal_interval = engine->signal_interval;
    config->stream_message_bytes = engine->stream_message_bytes;
    config->write_bytes_max = engine->write_bytes_max;
    config->connect_timeout_ns = finer_ns(engine->connect_timeout_ns, config->connect_timeout_ns);
    config->reply_timeout_ns = finer_ns(engine->reply_timeout_ns, config->reply_timeout_ns);
    config->probe_interval_ns = finer_ns(engine->probe_interval_ns, config->probe_interval_ns);
    config->idle_timeout_ns = finer_ns(engine->idle_timeout_ns, config->idle_timeout_ns);
    config->close_timeout_ns = engine->close_timeout_ns;
    if (config->leave_timeout_ns != 0)
        config->leave_timeout_ns = engine->leave_timeout_ns ? engine->leave_timeout_ns
                                   : options->kind[RDMIG_ROLE_DESTINATION] == PARTY_OURS
                                       ? LEAVE_TIMEOUT_NS_OURS
                                       : LEAVE_TIMEOUT_NS;
}

int link_create(struct link **out, const struct link_config *config, struct rdmig_error *error)
{
    struct process *process = process_current();
    struct rdmig_conn_config conn = config->conn;
    struct ours *ours;

    (void)error;
    configure(process, &conn);
    ours = ours_make(sizeof(struct link), process->party, &class, &application, &conn);
    *out = link_of(ours);
    (*out)->process = process;
    process->link = *out;
    if (process->role == RDMIG_ROLE_SOURCE || ours_chance(ours, 8))
        ours_start(ours); /* a destination's queue pair may be ready for whoever comes */
    if (process->role == RDMIG_ROLE_DESTINATION)
        port_listen(process->port);
    return RDMIG_OK;
}

/* Everything planned names it still: it is freed with the attempt. */
void link_destroy(struct link *link)
{
    struct ours *ours;
    struct process *process;

    if (!link)
        return;
    ours = &link->ours;
    process = link->process;
    if (!process->is_ending && !port_is_dead(process->port)) {
        if (ours->is_request_open)
            port_reject(process->port, NULL, 0);
        if (!ours->has_left && ours->is_connect_asked)
            port_disconnect(process->port);
        port_destroy(process->port);
    }
    link->is_destroyed = true;
    ours->is_closed = true;
    link->next_buried = process->buried;
    process->buried = link;
    process->link = NULL;
}

void link_free_buried(struct link *link)
{
    while (link) {
        struct link *next = link->next_buried;

        free(link->arrivals);
        ours_free(&link->ours);
        link = next;
    }
}

int link_fd(const struct link *link)
{
    return (int)link->process->role;
}

/* ---- in */

/* The time that regions take. */
struct region_clock {
    uint64_t start_ns;
    uint32_t region_count;
};

static struct region_clock start_clock(const struct link *link)
{
    return (struct region_clock){process_now_ns(link->process),
                                 port_region_count(link->process->port)};
}

static void stop_clock(struct link *link, const struct region_clock *clock)
{
    struct process *process = link->process;
    const uint64_t passed_ns = process_now_ns(process) - clock->start_ns;

    if (clock->region_count == port_region_count(process->port))
        return;
    process->region_ns += passed_ns;
    if (passed_ns > process->region_ns_max)
        process->region_ns_max = passed_ns;
}

/* The rest of a message, of which the core was told in part. */
static void consume_rest(struct link *link, uint64_t length_bytes)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_STREAM_CONSUMED, .length = length_bytes};

    if (link->ours.is_closed || ours_step(&link->ours, &event) != RDMIG_OK)
        return;
    link->ours.unconsumed_bytes -= length_bytes;
}

static void take_arrival(struct link *link)
{
    struct arrival arrival = link->arrivals[link->first_arrival];
    const struct region_clock clock = start_clock(link);

    link->first_arrival = (link->first_arrival + 1) % link->arrival_capacity;
    link->arrival_count--;
    switch (arrival.kind) {
    case ARRIVAL_COMPLETION:
        if (!link->ours.is_closed)
            ours_take_completion(&link->ours, &arrival.completion);
        break;
    case ARRIVAL_MANAGED:
        arrival.event.bytes = arrival.bytes;
        ours_take_managed(&link->ours, &arrival.event);
        break;
    case ARRIVAL_CONSUMED:
        consume_rest(link, arrival.consumed_bytes);
        break;
    case ARRIVAL_OPERATION:
        ours_end_operation(&link->ours, arrival.operation);
        stop_clock(link, &clock);
        break;
    }
}

void link_process(struct link *link)
{
    struct ours *ours = &link->ours;
    struct process *process = link->process;
    /* Bounded: what is left keeps the descriptor readable. */
    const uint32_t left_count = ours_chance(ours, 16) ? 1 : 0;
    bool is_time_wanted;

    process->region_ns = 0;
    link->is_paused = false;
    ours_call_wrongly(ours);
    while (link->arrival_count > left_count && !world_is_broken(process->world))
        take_arrival(link);
    /* Harmless at any moment: nothing may be due. */
    is_time_wanted = ours_chance(ours, 16) || link->is_time_due;
    if (is_time_wanted && !ours->is_closed && may_time_pass(link)) {
        link->is_time_due = false;
        (void)ours_ask(ours, RDMIG_EVENT_TIME_PASSED);
    } else if (ours->is_closed) {
        link->is_time_due = false;
    } else if (link->is_time_due) {
        process_plan_turn(process, 0);
    }
}

static bool is_refused_idly(const struct ours *ours)
{
    return !ours->is_round_open && !ours->is_round_closing && !ours->is_flush_asked;
}

/* ---- what an application may ask of the core, and src/migration does not */

static void let_one_go(struct ours *ours)
{
    const uint32_t index = choice_below(ours->party.world->choice, ours->regions.count);
    const struct ours_region region = ours->regions.entries[index];
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_UNREGISTER_REQUESTED,
        .block_index = region.block,
        .chunk_index = (uint32_t)(region.offset_bytes / RDMIG_CHUNK_BYTES),
    };
    const bool must_go = is_refused_idly(ours) && ours->is_drained && !region.is_leaving &&
                         rdmig_conn_phase(ours->conn) == RDMIG_PHASE_RUNNING;
    const int result = ours_step(ours, &event);

    ours->is_letting_go = result == RDMIG_OK;
    ours->let_go_region = region.region;
    /* Between rounds nothing is in flight and nothing is being registered. */
    if (result != RDMIG_OK && result != -RDMIG_E_FAILED && result != -RDMIG_E_STATE && must_go)
        world_break(ours->party.world, "refusal", "the source's core does not let go of a region");
}

/* True: something is on its way. */
static bool let_go(struct link *link)
{
    struct ours *ours = &link->ours;
    struct world *world = ours->party.world;
    const struct ratio ratio = {world->options->unregister_permille, 1000};

    if (ratio.numerator == 0 || ours->party.role != RDMIG_ROLE_SOURCE || ours->is_letting_go ||
        !ours->is_exchanged || ours->regions.count == 0 || link->let_go_count == LET_GO_MAX ||
        (rdmig_conn_capability_flags(ours->conn) & RDMIG_CAPABILITY_PIN_ALL) != 0 ||
        rdmig_conn_phase(ours->conn) != RDMIG_PHASE_RUNNING || !choice_chance(world->choice, ratio))
        return false;
    link->let_go_count++;
    let_one_go(ours);
    return ours->is_letting_go;
}

static void push_on_top(struct link *link, struct rdmig_event *event)
{
    event->kind = RDMIG_EVENT_RANGE_PUSHED;
    ours_tell(&link->ours, event);
    if (event->is_zero)
        link->last_zeros = *event;
}

/* Data is data, also when it is all zero, clean, or on its way already; best of all where zeros are
 * on theirs. */
static void push_some_data(struct link *link, uint32_t block, uint32_t page_count)
{
    struct choice *choice = link->ours.party.world->choice;
    const bool is_over_zeros = link->last_zeros.length > 0 &&
                               link->last_zeros.block_index == block &&
                               choice_below(choice, 2) == 1;
    const uint32_t first = is_over_zeros
                               ? (uint32_t)(link->last_zeros.offset_bytes / SIM_PAGE_BYTES)
                               : choice_below(choice, page_count);
    const uint32_t left = page_count - first;
    const uint32_t count =
        1 + choice_below(choice, left < ON_TOP_PAGES_MAX ? left : ON_TOP_PAGES_MAX);
    const uint32_t reach = choice_below(choice, left - count + 1);
    struct rdmig_event event = {
        .block_index = block,
        .offset_bytes = first * SIM_PAGE_BYTES,
        .length = count * SIM_PAGE_BYTES,
        .register_end_bytes = (first + count + reach) * SIM_PAGE_BYTES,
    };

    push_on_top(link, &event);
}

/* What is zero now may be said to be, whatever is on its way: a write of later is in the log. */
static void push_some_zeros(struct link *link, uint32_t block, uint32_t page_count)
{
    struct world *world = link->ours.party.world;
    const uint32_t first = choice_below(world->choice, page_count);
    struct rdmig_event event = {
        .block_index = block, .offset_bytes = first * SIM_PAGE_BYTES, .is_zero = true};
    bool is_zero;

    event.length = SIM_PAGE_BYTES * ram_run(world->ram[RDMIG_ROLE_SOURCE], block, first,
                                            page_count - first, &is_zero);
    event.register_end_bytes = event.offset_bytes + event.length;
    if (is_zero)
        push_on_top(link, &event);
}

/* An application may push what it likes, in any order, over what it has pushed already. */
static void push_more(struct link *link)
{
    struct ours *ours = &link->ours;
    struct choice *choice = ours->party.world->choice;
    uint32_t block;
    uint32_t which;
    uint64_t page_count;

    if (link->on_top_count >= ON_TOP_MAX || !ours_chance(ours, 8))
        return;
    block = choice_below(choice, ours->block_count);
    which = choice_below(choice, 3);
    if (which == 2)
        block = link->last_zeros.block_index;
    page_count = ours->blocks[block].length_bytes / SIM_PAGE_BYTES;
    link->on_top_count++;
    if (rdmig_conn_range_room_count(ours->conn) < 4 || page_count > UINT32_MAX)
        return;
    if (which == 0)
        push_some_zeros(link, block, (uint32_t)page_count);
    else
        push_some_data(link, block, (uint32_t)page_count);
}

/* ---- out */

/* Actions are carried out in their order, but events may come in between. */
static bool pauses(struct link *link)
{
    struct world *world = link->ours.party.world;
    const struct ratio ratio = {world->options->pause_permille, 1000};

    link->is_paused = link->process->region_ns >= REGION_NS_MAX ||
                      (ratio.numerator != 0 && choice_chance(world->choice, ratio));
    return link->is_paused;
}

static bool take_action(struct link *link)
{
    const struct region_clock clock = start_clock(link);
    const bool has_moved = ours_take_action(&link->ours);

    stop_clock(link, &clock);
    return has_moved;
}

/* Behind its end another's beginning, a hook, may have to come first. */
static bool is_in_round(const struct ours *ours)
{
    return ours->is_round_open && !ours->is_round_closing;
}

bool link_next_action(struct link *link, struct rdmig_action *action)
{
    struct ours *ours = &link->ours;
    bool has_moved = true;

    while (!link->is_paused && !ours->is_closed && has_moved &&
           !world_is_broken(ours->party.world)) {
        has_moved = take_action(link) || (is_in_round(&link->ours) && let_go(link));
        ours_watch_failure(ours);
        if (link->has_action) {
            link->has_action = false;
            *action = link->action;
            return true;
        }
        if (has_moved && pauses(link))
            break;
    }
    if (!ours->is_closed) {
        ours_watch_drained(ours);
        ours_call_wrongly(ours);
        ours_arm_timer(ours);
    }
    return false;
}

/* What the application was waiting for, and has told. */
static void note_step(struct link *link, const struct rdmig_event *event)
{
    struct ours *ours = &link->ours;

    switch (event->kind) {
    case RDMIG_EVENT_EXCHANGE_REQUESTED:
        ours->is_exchange_asked = true;
        break;
    case RDMIG_EVENT_RANGE_PUSHED:
        ours->is_round_open = true;
        if (event->is_zero)
            link->last_zeros = *event;
        push_more(link);
        break;
    case RDMIG_EVENT_ROUND_CLOSED:
        ours->is_round_closing = true;
        break;
    case RDMIG_EVENT_FLUSH_REQUESTED:
        ours->is_flush_asked = true;
        if (event->flush == RDMIG_FLUSH_DELIVERED)
            ours->party.world->handover_step = ours->party.world->step_count;
        break;
    case RDMIG_EVENT_STREAM_WRITTEN:
        link->written_bytes += event->length;
        link->is_end_written = link->was_flushed;
        port_spend(ours->party.port,
                   costs_time_ns(event->length, ours->party.world->costs.copy_bytes_per_s));
        break;
    case RDMIG_EVENT_STREAM_CONSUMED:
        ours->unconsumed_bytes -= event->length;
        break;
    default:
        break;
    }
}

static void end_own_operation(struct link *link, struct rdmig_event *event)
{
    struct ours *ours = &link->ours;
    struct ours_operation *operation = ours_find_operation(ours, event->tag);

    if (!operation) {
        world_break(ours->party.world, "tag", "%s: an answer to what is not out",
                    role_name(ours->party.role));
        return;
    }
    /* The core has it as refused then, whoever thinks otherwise. */
    if (operation->action.kind == RDMIG_ACTION_END_ROUND && event->status == RDMIG_STATUS_OK &&
        fabric_take_fault(ours->party.world, FAULT_ROUND_REFUSED, ours->party.role)) {
        event->status = RDMIG_STATUS_ERROR;
        event->os_code = OS_CODE_CANCELLED;
        ours_watch_error(ours, event->os_code);
    }
    ours_end_own_operation(ours, operation, event->status);
}

/* The core may be told in portions. The rest follows. */
static void cut_consumed(struct link *link, struct rdmig_event *event)
{
    uint64_t length_bytes = event->length;

    if (length_bytes < 2 || !ours_chance(&link->ours, 8))
        return;
    event->length = 1 + choice_below(link->process->world->choice, (uint32_t)length_bytes - 1);
    add_arrival(link, ARRIVAL_CONSUMED)->consumed_bytes = length_bytes - event->length;
    process_plan_turn(link->process, world_jitter_ns(link->process->world));
}

int link_step(struct link *link, struct rdmig_event *event)
{
    struct ours *ours = &link->ours;
    int result;

    if (ours->is_closed)
        return -RDMIG_E_FAILED;
    if (ours->party.role == RDMIG_ROLE_SOURCE && !link->is_connected &&
        event->kind != RDMIG_EVENT_CANCEL_REQUESTED)
        return -RDMIG_E_STATE;
    if (event->kind == RDMIG_EVENT_STREAM_CONSUMED)
        cut_consumed(link, event);
    if (event->kind == RDMIG_EVENT_COMPLETED)
        end_own_operation(link, event);
    result = ours_step(ours, event);
    if (result == RDMIG_OK)
        note_step(link, event);
    else if (result == -RDMIG_E_INVALID)
        world_break(ours->party.world, "refusal", "the %s's handle says %s, which is invalid",
                    role_name(ours->party.role), rdmig_event_name(event->kind));
    return result;
}

static bool is_list_right(const struct ours *ours, const struct rdmig_block *blocks,
                          uint32_t block_count)
{
    uint64_t end_bytes = 0;

    if (block_count != ours->block_count)
        return false;
    for (uint32_t i = 0; i < block_count; i++) {
        if (blocks[i].host_addr != ours->blocks[i].host_addr ||
            blocks[i].length_bytes != ours->blocks[i].length_bytes ||
            blocks[i].ram_offset_bytes < end_bytes ||
            blocks[i].ram_offset_bytes % (UINT64_C(2) << 20) != 0)
            return false;
        end_bytes = blocks[i].ram_offset_bytes + blocks[i].length_bytes;
    }
    return true;
}

/* The fabric has other offsets, out of order: the source has to go by those of the destination. */
int link_provide_blocks(struct link *link, const struct rdmig_block *blocks, uint32_t block_count)
{
    struct ours *ours = &link->ours;

    if (!is_list_right(ours, blocks, block_count))
        world_break(ours->party.world, "blocks", "the %s's list is not that of its memory",
                    role_name(ours->party.role));
    if (ours->are_blocks_provided)
        world_break(ours->party.world, "blocks", "the %s gives its list twice",
                    role_name(ours->party.role));
    if (ours->is_closed || rdmig_conn_phase(ours->conn) > RDMIG_PHASE_RUNNING)
        return RDMIG_OK;
    ours_provide_blocks(ours);
    return RDMIG_OK;
}

void link_revoke_remote_write(struct link *link)
{
    port_shut_out_peer(link->process->port);
}

/* ---- questions */

const struct rdmig_conn *link_conn(const struct link *link)
{
    return link->ours.conn;
}

bool link_is_connected(const struct link *link)
{
    return link->is_connected;
}

bool link_is_closed(const struct link *link)
{
    return link->ours.is_closed;
}

uint64_t link_now_ns(void)
{
    return process_now_ns(process_current());
}

uint16_t link_port(const struct link *link)
{
    (void)link;
    return PORT_NUMBER;
}

void link_stats(const struct link *link, struct link_stats *out)
{
    const struct port *port = link->process->port;

    *out = (struct link_stats){
        .pinned_bytes = port_pinned_bytes(port) + rdmig_conn_control_bytes(),
        .pinned_bytes_max = port_pinned_bytes_max(port) + rdmig_conn_control_bytes(),
        .region_count = port_region_count(port) + 1,
    };
}

void link_explain(const struct link *link, struct rdmig_error *error)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(link->ours.conn);

    if (error->reason != RDMIG_REASON_NONE || !failure)
        return;
    error->reason = failure->reason;
    error->os_code = failure->os_code;
    (void)snprintf(error->detail, sizeof(error->detail), "%s", rdmig_reason_name(failure->reason));
}

bool link_failed_region(const struct link *link, struct link_failed_region *out)
{
    *out = link->failed_region;
    return out->length_bytes != 0;
}

bool link_is_fill_doomed(struct link *link)
{
    for (uint32_t i = 0; i < OURS_OPERATIONS_MAX; i++) {
        struct ours_operation *operation = &link->ours.operations[i];

        if (!operation->is_out || operation->action.kind != RDMIG_ACTION_FILL_RANGE)
            continue;
        operation->is_doomed =
            operation->is_doomed ||
            fabric_take_fault(link->process->world, FAULT_FILL_FAILS, link->process->role);
        return operation->is_doomed;
    }
    return false;
}

bool link_may_have_handed_over(const struct link *link, bool is_native, uint64_t end_bytes)
{
    return is_native ? link->ours.posted_bytes == link->written_bytes && link->is_end_written
                     : link->ours.posted_bytes > end_bytes;
}

void link_let_go(struct link *link)
{
    if (link)
        (void)let_go(link);
}

void link_count(const struct link *link, struct party_numbers *numbers)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(link->ours.conn, &counters);
    numbers->round_trips = counters.round_trips;
    numbers->control_messages = counters.control_messages;
    numbers->bytes_written = counters.bytes_written;
    numbers->bytes_zero = counters.bytes_zero;
    numbers->rounds = counters.rounds;
    numbers->engine_bytes = link->ours.party.numbers.engine_bytes;
    numbers->connected_ns = link->numbers.connected_ns;
    numbers->exchanged_ns = link->numbers.exchanged_ns;
}
