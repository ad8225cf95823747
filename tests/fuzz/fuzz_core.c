/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core by itself: any events in any order with any arguments, messages and private data of any
 * bytes, from a driver that keeps the tags it was given (docs/driver-guide.md) but may do what it
 * should not. What is refused changes nothing, every invariant holds, and a connection that is
 * cancelled closes as soon as its tags are back.
 */
#include <rdmig/core.h>

#include "calls/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes);

enum { OUT_MAX = 8192, OP_MAX = 600, BLOCK_COUNT = 2, MESSAGE_MAX = 4096 };

#define GUEST_ADDR  UINT64_C(0x7f0000000000)
#define CLOSING_MAX 2000u

static const struct rdmig_block usual[BLOCK_COUNT] = {
    {GUEST_ADDR, 3 * RDMIG_CHUNK_BYTES + 8192, 0},
    {GUEST_ADDR + 16 * RDMIG_CHUNK_BYTES, 8192, 4 * RDMIG_CHUNK_BYTES}};

static struct {
    struct rdmig_conn *conn;
    struct rdmig_conn_config config;
    void *memory;
    uint8_t *control;
    void *table;
    struct rdmig_action out[OUT_MAX]; /* tags that have not come back, in order */
    uint32_t out_count;
    struct rdmig_failure failure;
    enum rdmig_phase phase;
    uint64_t now_ns;
    uint64_t delivered_bytes; /* not consumed yet */
    bool is_closed;
} own;

/* ---- looking */

struct look {
    struct rdmig_conn_counters counters;
    struct rdmig_failure failure;
    uint64_t stream_room_bytes;
    uint64_t pending_bytes;
    uint32_t range_room_count;
    uint32_t capability_flags;
    enum rdmig_phase phase;
};

static void look(struct look *out)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(own.conn);

    memset(out, 0, sizeof(*out));
    rdmig_conn_counters(own.conn, &out->counters);
    out->counters.data_ns = 0; /* it goes on with the time */
    if (failure)
        out->failure = *failure;
    out->stream_room_bytes = rdmig_conn_stream_room_bytes(own.conn);
    out->pending_bytes = rdmig_conn_bytes_pending(own.conn);
    out->range_room_count = rdmig_conn_range_room_count(own.conn);
    out->capability_flags = rdmig_conn_capability_flags(own.conn);
    out->phase = rdmig_conn_phase(own.conn);
}

static void check(void)
{
    const char *broken = rdmig_conn_check(own.conn);
    const struct rdmig_failure *failure = rdmig_conn_failure(own.conn);
    const enum rdmig_phase phase = rdmig_conn_phase(own.conn);

    require(broken == NULL, broken ? broken : "");
    require(phase < RDMIG_PHASE_COUNT && phase >= own.phase, "a phase has come back");
    /* Clause E13. */
    require(own.phase != RDMIG_PHASE_FINISHING || phase != RDMIG_PHASE_FAILING ||
                (own.config.role == RDMIG_ROLE_SOURCE && failure &&
                 failure->reason == RDMIG_REASON_PEER_ERROR),
            "a connection has failed that is taken down in order");
    own.phase = phase;
    require(phase != RDMIG_PHASE_FAILING || failure, "failing without a cause");
    if (own.failure.reason != RDMIG_REASON_NONE)
        require(failure && memcmp(failure, &own.failure, sizeof(*failure)) == 0,
                "the first cause was not kept");
    if (failure)
        own.failure = *failure;
    require(own.failure.reason != RDMIG_REASON_INTERNAL, "INTERNAL: a fault of the core");
}

static int step(struct rdmig_event *event)
{
    struct look before;
    struct look after;
    char text[256];
    int result;

    world.call = rdmig_event_name(event->kind);
    event->now_ns = own.now_ns;
    require(rdmig_event_format(event, text, sizeof(text)) > 0, "an event without a line");
    look(&before);
    result = rdmig_conn_step(own.conn, event);
    look(&after);
    require(result <= 0 && result >= -RDMIG_E_FAILED, "a result that is not documented");
    require(result != -RDMIG_E_FAILED || after.failure.reason != RDMIG_REASON_NONE,
            "FAILED, and nothing has failed");
    require(event->kind != RDMIG_EVENT_TIME_PASSED || result == 0, "the time was refused");
    require(result == 0 || memcmp(&before, &after, sizeof(after)) == 0,
            "a refused step has changed something");
    check();
    return result;
}

/* ---- tags */

static bool has_tag(enum rdmig_action_kind kind)
{
    switch (kind) {
    case RDMIG_ACTION_POST_RECV:
    case RDMIG_ACTION_POST_SEND:
    case RDMIG_ACTION_POST_WRITE:
    case RDMIG_ACTION_POST_PROBE:
    case RDMIG_ACTION_REGISTER:
    case RDMIG_ACTION_DEREGISTER:
    case RDMIG_ACTION_FILL_RANGE:
    case RDMIG_ACTION_END_ROUND:
        return true;
    default:
        return false;
    }
}

static bool is_of_queue(enum rdmig_action_kind kind)
{
    return kind == RDMIG_ACTION_POST_SEND || kind == RDMIG_ACTION_POST_WRITE ||
           kind == RDMIG_ACTION_POST_PROBE;
}

static void check_bounds(const struct rdmig_action *action)
{
    const bool is_control =
        action->kind == RDMIG_ACTION_POST_RECV || action->kind == RDMIG_ACTION_POST_SEND;
    const bool is_ram = action->kind == RDMIG_ACTION_POST_WRITE ||
                        action->kind == RDMIG_ACTION_REGISTER ||
                        action->kind == RDMIG_ACTION_FILL_RANGE;

    if (is_control)
        require(action->length <= rdmig_conn_control_bytes() &&
                    action->memory_offset_bytes <= rdmig_conn_control_bytes() - action->length,
                "a slot outside control memory");
    if (is_ram)
        require(action->block_index < BLOCK_COUNT &&
                    action->length <= usual[action->block_index].length_bytes &&
                    action->offset_bytes <=
                        usual[action->block_index].length_bytes - action->length,
                "memory outside its block");
}

static void keep_tag(const struct rdmig_action *action)
{
    for (uint32_t i = 0; i < own.out_count; i++)
        require(own.out[i].tag != action->tag, "a tag that is out was given again");
    require(own.out_count < OUT_MAX, "more tags than a queue has");
    own.out[own.out_count++] = *action;
}

static void drain(uint32_t count_max)
{
    struct rdmig_action action;
    char text[256];

    while (count_max-- > 0 && rdmig_conn_next_action(own.conn, &action)) {
        world.call = rdmig_action_name(action.kind);
        require(!own.is_closed, "an action after the last one");
        require(rdmig_action_format(&action, text, sizeof(text)) > 0, "an action without a line");
        check_bounds(&action);
        check();
        if (has_tag(action.kind))
            keep_tag(&action);
        if (action.kind == RDMIG_ACTION_DELIVER_STREAM)
            own.delivered_bytes = action.length;
        own.is_closed = own.is_closed || action.kind == RDMIG_ACTION_NOTIFY_CLOSED;
    }
}

static void forget(uint32_t index)
{
    own.out_count--;
    memmove(&own.out[index], &own.out[index + 1], (own.out_count - index) * sizeof(own.out[index]));
}

/* The OK of a queue's later work stands for its silent writes. */
static void forget_silent(uint32_t *index)
{
    for (uint32_t i = 0; i < *index;) {
        if (own.out[i].kind != RDMIG_ACTION_POST_WRITE || own.out[i].is_signalled) {
            i++;
            continue;
        }
        forget(i);
        --*index;
    }
}

static void complete(uint32_t index, enum rdmig_status status, int os_code, uint32_t rkey)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                .tag = own.out[index].tag,
                                .status = status,
                                .os_code = os_code,
                                .rkey = rkey};

    if (status == RDMIG_STATUS_OK && is_of_queue(own.out[index].kind))
        forget_silent(&index);
    forget(index);
    require(step(&event) == 0, "a completion was refused");
}

/* ---- what the input can do */

static uint32_t find(bool (*is_wanted)(enum rdmig_action_kind kind))
{
    uint32_t i = 0;

    while (i < own.out_count && !is_wanted(own.out[i].kind))
        i++;
    return i;
}

static bool is_recv(enum rdmig_action_kind kind)
{
    return kind == RDMIG_ACTION_POST_RECV;
}

static bool is_other(enum rdmig_action_kind kind)
{
    return !is_recv(kind) && !is_of_queue(kind);
}

static enum rdmig_status draw_status(struct draw *draw)
{
    static const enum rdmig_status statuses[] = {RDMIG_STATUS_ERROR, RDMIG_STATUS_FLUSHED,
                                                 RDMIG_STATUS_FOREIGN, RDMIG_STATUS_REJECTED};

    return draw_seldom(draw) ? statuses[draw_below(draw, 4)] : RDMIG_STATUS_OK;
}

static void do_complete(struct draw *draw)
{
    const uint32_t index = find(draw_below(draw, 2) == 0 ? is_of_queue : is_other);
    const enum rdmig_status status = draw_status(draw);

    if (index < own.out_count)
        complete(index, status, 5, 0x100 + draw_byte(draw));
}

static void put_be(uint8_t **at, uint64_t value, uint32_t count)
{
    while (count-- > 0)
        *(*at)++ = (uint8_t)(value >> 8 * count);
}

/* A word of a message: small, of the guest's addresses, or wild. */
static uint64_t draw_word(struct draw *draw)
{
    switch (draw_below(draw, 4)) {
    case 0:
        return draw_below(draw, 4);
    case 1:
        return GUEST_ADDR + draw_below(draw, 5) * RDMIG_CHUNK_BYTES;
    case 2:
        return draw_below(draw, 4) * RDMIG_CHUNK_BYTES;
    default:
        return draw_wild(draw, usual[draw_below(draw, BLOCK_COUNT)].length_bytes);
    }
}

static void do_receive(struct draw *draw)
{
    const uint32_t index = find(is_recv);
    const uint32_t type = draw_below(draw, RDMIG_MESSAGE_TYPE_COUNT);
    const uint32_t repeat = draw_below(draw, 4);
    const uint32_t word_count = draw_below(draw, 18);
    uint8_t message[MESSAGE_MAX];
    uint8_t *at = message;
    struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED};

    put_be(&at, draw_seldom(draw) ? draw_word(draw) : word_count * 4, 4);
    put_be(&at, type, 4);
    put_be(&at, draw_seldom(draw) ? draw_word(draw) : repeat, 4);
    put_be(&at, 0, 4);
    for (uint32_t i = 0; i < word_count; i += 2)
        put_be(&at, draw_word(draw), 8);
    if (index >= own.out_count)
        return;
    event.length = draw_seldom(draw) ? draw_below(draw, 16) : RDMIG_HEADER_BYTES + word_count * 4;
    event.tag = own.out[index].tag;
    memcpy(own.control + own.out[index].memory_offset_bytes, message, (size_t)event.length);
    forget(index);
    require(step(&event) == 0, "a message was refused");
}

static void do_connect(struct draw *draw)
{
    static const enum rdmig_event_kind kinds[] = {
        RDMIG_EVENT_STARTED,     RDMIG_EVENT_CONNECT_REQUESTED, RDMIG_EVENT_ESTABLISHED,
        RDMIG_EVENT_ESTABLISHED, RDMIG_EVENT_UNREACHABLE,       RDMIG_EVENT_DISCONNECTED};
    struct rdmig_event event = {.kind = kinds[draw_below(draw, 6)]};
    uint8_t private_data[RDMIG_PRIVATE_DATA_BYTES_MAX];
    uint8_t *at = private_data;

    put_be(&at, draw_seldom(draw) ? draw_word(draw) : RDMIG_PROTOCOL_VERSION, 4);
    put_be(&at, draw_seldom(draw) ? draw_word(draw) : draw_below(draw, 4) << 15 & 0x10001, 4);
    put_be(&at, draw_seldom(draw) ? draw_word(draw) : RDMIG_CREDIT_COUNT_MAX, 4);
    put_be(&at, 0, 4);
    put_be(&at, draw_seldom(draw) ? draw_word(draw) : 0, 8);
    event.bytes = private_data;
    event.length = draw_seldom(draw) ? draw_below(draw, 25) : sizeof(private_data);
    (void)step(&event);
}

static void do_provide(struct draw *draw)
{
    struct rdmig_block blocks[BLOCK_COUNT] = {usual[0], usual[1]};
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_BLOCKS_PROVIDED, .blocks = blocks, .block_count = BLOCK_COUNT};
    void *table;

    if (draw_seldom(draw))
        blocks[draw_below(draw, BLOCK_COUNT)].length_bytes = UINT64_MAX;
    if (draw_seldom(draw))
        event.block_count = draw_below(draw, BLOCK_COUNT);
    event.length = rdmig_blocks_footprint_bytes(blocks, event.block_count);
    if (draw_seldom(draw) && event.length > 0)
        event.length--;
    table = malloc(event.length + 1);
    event.memory = table;
    /* Fewer of the blocks are as good a list, but no other check here would know of it. */
    if (event.block_count == BLOCK_COUNT && step(&event) == 0) {
        require(own.table == NULL, "blocks were taken twice");
        own.table = table;
        return;
    }
    free(table);
}

static void do_application(struct draw *draw)
{
    static const enum rdmig_event_kind kinds[] = {
        RDMIG_EVENT_EXCHANGE_REQUESTED, RDMIG_EVENT_FLUSH_REQUESTED, RDMIG_EVENT_ROUND_CLOSED,
        RDMIG_EVENT_FINISH_REQUESTED,   RDMIG_EVENT_TIME_PASSED,     RDMIG_EVENT_CANCEL_REQUESTED};
    const uint32_t which = draw_below(draw, 16);
    struct rdmig_event event = {.kind = kinds[which < 10 ? which / 2 : 0],
                                .flush = which & 1 ? RDMIG_FLUSH_CONSUMED : RDMIG_FLUSH_DELIVERED};

    if (which == 10 && draw_seldom(draw))
        event.kind = RDMIG_EVENT_CANCEL_REQUESTED;
    if (which == 11)
        event.kind = (enum rdmig_event_kind)(RDMIG_EVENT_KIND_COUNT + draw_byte(draw));
    if (step(&event) == 0)
        require(which != 11, "an event that is none was taken");
}

static void do_push(struct draw *draw)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RANGE_PUSHED,
                                .block_index = (uint32_t)draw_wild(draw, BLOCK_COUNT)};

    event.is_zero = draw_below(draw, 3) == 0;
    event.offset_bytes = draw_word(draw);
    event.length = draw_seldom(draw) ? draw_word(draw) : 4096 * (1 + draw_below(draw, 300));
    event.register_end_bytes = draw_below(draw, 2) ? draw_word(draw) : 0;
    (void)step(&event);
}

static void do_unregister(struct draw *draw)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_UNREGISTER_REQUESTED,
                                .block_index = (uint32_t)draw_wild(draw, BLOCK_COUNT)};

    event.chunk_index = (uint32_t)draw_wild(draw, 4);
    (void)step(&event);
}

static void do_stream(struct draw *draw)
{
    static const uint8_t bytes[5000];
    const bool is_source = own.config.role == RDMIG_ROLE_SOURCE;
    const uint64_t near = is_source ? rdmig_conn_stream_room_bytes(own.conn) : own.delivered_bytes;
    struct rdmig_event event = {.kind = is_source ? RDMIG_EVENT_STREAM_WRITTEN
                                                  : RDMIG_EVENT_STREAM_CONSUMED,
                                .bytes = bytes,
                                .length = draw_wild(draw, near + 1)};

    if (is_source && event.length <= near && event.length > sizeof(bytes))
        event.length = sizeof(bytes);
    if (step(&event) != 0)
        return;
    require(event.length <= near, "more of the stream was taken than there is");
    if (!is_source)
        own.delivered_bytes -= event.length;
}

/* A tag that is not out: nobody's. */
static void do_wrong_tag(struct draw *draw)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED, .length = 16};

    if (draw_below(draw, 2))
        event.kind = RDMIG_EVENT_COMPLETED;
    event.tag = draw_wild(draw, 1000);
    event.status = draw_status(draw);
    for (uint32_t i = 0; i < own.out_count; i++) {
        if (own.out[i].tag == event.tag)
            return;
    }
    (void)step(&event);
}

static void do_time(struct draw *draw)
{
    const uint64_t deadline_ns = rdmig_conn_deadline_ns(own.conn);
    const uint32_t how = draw_below(draw, 50);
    struct rdmig_event event = {.kind = RDMIG_EVENT_TIME_PASSED};

    if (how >= 40 && deadline_ns != RDMIG_NO_DEADLINE && deadline_ns > own.now_ns)
        own.now_ns = deadline_ns;
    else
        own.now_ns += UINT64_C(1) << how % 40;
    (void)step(&event);
}

static void do_drain(struct draw *draw)
{
    drain(draw_seldom(draw) ? draw_below(draw, 8) : 100000);
}

/* ---- a run */

static void open_core(struct draw *draw)
{
    const uint8_t how = draw_byte(draw);
    struct rdmig_conn_config *config = &own.config;
    size_t memory_bytes;

    *config = (struct rdmig_conn_config){
        .struct_bytes = sizeof(*config),
        .role = how & 1 ? RDMIG_ROLE_DESTINATION : RDMIG_ROLE_SOURCE,
        .capability_flags =
            (how & 2 ? RDMIG_CAPABILITY_PIPELINE : 0) | (how & 4 ? RDMIG_CAPABILITY_PIN_ALL : 0),
        .reply_timeout_ns = how & 32 ? UINT64_C(1000000000) : 0,
        .probe_interval_ns = how & 32 ? UINT64_C(50000000) : 0,
        .leave_timeout_ns = how & 64 ? UINT64_C(1000000000) : 0,
    };
    if (how & 8)
        config->run_chunk_count = 1 + draw_below(draw, 3);
    if (how & 16)
        config->pinned_bytes_max = RDMIG_CHUNK_BYTES * (1 + draw_below(draw, 4));
    if (draw_seldom(draw))
        config->send_queue_depth = (uint32_t)draw_wild(draw, RDMIG_SEND_QUEUE_MAX);
    if (draw_seldom(draw))
        config->write_bytes_max = draw_wild(draw, UINT64_C(1) << 20);
    if (rdmig_conn_footprint_bytes(config) == 0)
        config->write_bytes_max = config->send_queue_depth = 0;
    memory_bytes = rdmig_conn_footprint_bytes(config);
    require(memory_bytes > 0, "a good configuration was refused");
    own.memory = malloc(memory_bytes);
    own.control = aligned_alloc(RDMIG_CONTROL_MEMORY_ALIGNMENT, rdmig_conn_control_bytes());
    own.now_ns = 1000;
    require(rdmig_conn_init(&own.conn, config, own.memory, memory_bytes - 1, own.control,
                            rdmig_conn_control_bytes(), 0) == -RDMIG_E_INVALID &&
                !own.conn,
            "memory that is too small was taken");
    require(rdmig_conn_init(&own.conn, config, own.memory, memory_bytes, own.control,
                            rdmig_conn_control_bytes(), own.now_ns) == 0,
            "init");
}

/* Given up, it closes once every tag is back and its limits are over. */
static void close_core(void)
{
    struct rdmig_event cancel = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};
    struct rdmig_event passed = {.kind = RDMIG_EVENT_TIME_PASSED};

    (void)step(&cancel);
    for (uint32_t i = 0; i < CLOSING_MAX && own.phase != RDMIG_PHASE_IDLE && !own.is_closed; i++) {
        drain(100000);
        while (own.out_count > 0)
            complete(0, RDMIG_STATUS_FLUSHED, 0, 0);
        if (rdmig_conn_deadline_ns(own.conn) != RDMIG_NO_DEADLINE &&
            rdmig_conn_deadline_ns(own.conn) > own.now_ns)
            own.now_ns = rdmig_conn_deadline_ns(own.conn);
        (void)step(&passed);
    }
    world.call = "the end";
    require(own.phase == RDMIG_PHASE_IDLE || own.phase == RDMIG_PHASE_CLOSED, "it does not close");
    require(rdmig_conn_deinit(own.conn) == 0, "deinit");
}

static void (*const ops[])(struct draw *draw) = {
    do_drain,      do_drain,   do_complete,    do_complete,    do_receive, do_receive,
    do_connect,    do_provide, do_application, do_application, do_push,    do_push,
    do_unregister, do_stream,  do_wrong_tag,   do_time};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes)
{
    struct draw draw = {bytes, length_bytes};

    memset(&own, 0, sizeof(own));
    open_core(&draw);
    for (uint32_t i = 0; i < OP_MAX && draw.left_bytes > 0; i++) {
        ops[draw_below(&draw, sizeof(ops) / sizeof(ops[0]))](&draw);
        require(own.phase == RDMIG_PHASE_IDLE || own.phase == RDMIG_PHASE_CLOSED ||
                    rdmig_conn_deinit(own.conn) == -RDMIG_E_STATE,
                "deinit while the hardware may own slots");
    }
    close_core();
    free(own.memory);
    free(own.control);
    free(own.table);
    return 0;
}
