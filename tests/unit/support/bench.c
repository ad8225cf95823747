/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include "support/ownership.h"
#include "support/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 20, ACTIONS_MAX = 20000, LINE_BYTES_MAX = 1024 };

/* ---- making it */

/* Nothing in it is zero by chance. */
static void *take_filled(size_t bytes)
{
    void *memory = pool_take(bytes);

    memset(memory, 0xc3, bytes);
    return memory;
}

struct bench *bench_open(const struct rdmig_conn_config *config)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    assert_non_null(bench);
    bench->config = *config;
    bench->config.struct_bytes = sizeof(bench->config);
    if (bench->config.first_run_chunk_count == 0)
        bench->config.first_run_chunk_count = UINT32_MAX; /* a test's runs are whole at once */
    bench->memory_bytes = rdmig_conn_footprint_bytes(&bench->config);
    assert_true(bench->memory_bytes > 0);
    bench->memory = take_filled(bench->memory_bytes);
    bench->snapshot = pool_take(bench->memory_bytes);
    bench->control = pool_take(rdmig_conn_control_bytes());
    bench->text = pool_take(TEXT_BYTES_MAX);
    bench->text[0] = '\0';
    bench->message = take_filled(sizeof(*bench->message));
    bench->sent = take_filled(sizeof(*bench->sent));
    bench->now_ns = SECOND;
    bench->automatic = AUTO_ALL;
    assert_int_equal(rdmig_conn_init(&bench->conn, &bench->config, bench->memory,
                                     bench->memory_bytes, bench->control,
                                     rdmig_conn_control_bytes(), bench->now_ns),
                     RDMIG_OK);
    assert_int_equal(rdmig_conn_phase(bench->conn), RDMIG_PHASE_IDLE);
    return bench;
}

/* ---- tags */

static struct bench_tag *find_tag(const struct bench *bench, uint64_t tag)
{
    for (size_t i = bench->tag_count; i > 0; i--) {
        if (bench->tags[i - 1].action.tag == tag)
            return &bench->tags[i - 1];
    }
    return NULL;
}

uint64_t bench_tag(const struct bench *bench, const char *name)
{
    for (size_t i = bench->tag_count; i > 0; i--) {
        if (strcmp(bench->tags[i - 1].name, name) == 0)
            return bench->tags[i - 1].action.tag;
    }
    fail_msg("no tag has the name %s; the transcript so far:\n%s", name, bench->text);
    return 0;
}

static bool is_work(const struct bench_tag *tag)
{
    return tag->action.kind == RDMIG_ACTION_POST_SEND ||
           tag->action.kind == RDMIG_ACTION_POST_WRITE ||
           tag->action.kind == RDMIG_ACTION_POST_PROBE;
}

static char letter(enum rdmig_action_kind kind)
{
    switch (kind) {
    case RDMIG_ACTION_POST_SEND:
        return 's';
    case RDMIG_ACTION_POST_WRITE:
        return 'w';
    case RDMIG_ACTION_POST_PROBE:
        return 'p';
    default:
        return 'o';
    }
}

static void name_next(struct bench *bench, struct bench_tag *tag)
{
    const char first = letter(tag->action.kind);

    snprintf(tag->name, sizeof(tag->name), "%c%u", first, ++bench->numbers[(int)first]);
}

static void add_tag(struct bench *bench, const struct rdmig_action *action)
{
    struct bench_tag *tag = find_tag(bench, action->tag);

    if (tag)
        fail_msg("tag 0x%llx of %s has been used before", (unsigned long long)action->tag,
                 tag->name);
    if (bench->tag_count == bench->tag_capacity) {
        bench->tag_capacity = bench->tag_capacity * 2 + 64;
        bench->tags = realloc(bench->tags, bench->tag_capacity * sizeof(*bench->tags));
        assert_non_null(bench->tags);
    }
    tag = &bench->tags[bench->tag_count++];
    tag->action = *action;
    tag->is_out = true;
    if (action->kind == RDMIG_ACTION_POST_RECV) {
        snprintf(tag->name, sizeof(tag->name), "r%u",
                 (unsigned int)(action->memory_offset_bytes / RDMIG_MESSAGE_BYTES_MAX));
    } else {
        name_next(bench, tag);
    }
}

size_t bench_tags_out(const struct bench *bench)
{
    size_t count = 0;

    for (size_t i = 0; i < bench->tag_count; i++)
        count += bench->tags[i].is_out;
    return count;
}

static void return_slot(struct bench *bench, const struct bench_tag *tag)
{
    if (tag->action.kind == RDMIG_ACTION_POST_SEND || tag->action.kind == RDMIG_ACTION_POST_RECV)
        ownership_give(bench->control + tag->action.memory_offset_bytes, tag->action.length);
}

/* The driver's side of an answer: the tag is in, and with a send-queue entry all before it (clause
 * C12). */
static void retire_tag(struct bench *bench, uint64_t number, bool gives_slot)
{
    struct bench_tag *tag = find_tag(bench, number);

    for (size_t i = 0; is_work(tag) && &bench->tags[i] < tag; i++) {
        if (bench->tags[i].is_out && is_work(&bench->tags[i])) {
            return_slot(bench, &bench->tags[i]);
            bench->tags[i].is_out = false;
        }
    }
    if (gives_slot)
        return_slot(bench, tag);
    tag->is_out = false;
    for (uint32_t i = 0; i < bench->recv_count; i++) {
        if (bench->recv_tags[i] == number) {
            memmove(&bench->recv_tags[i], &bench->recv_tags[i + 1],
                    (bench->recv_count - i - 1) * sizeof(bench->recv_tags[0]));
            bench->recv_count--;
        }
    }
}

void bench_forget(struct bench *bench, uint64_t tag)
{
    retire_tag(bench, tag, true);
}

/* ---- the transcript */

static void write_line(struct bench *bench, const char *line)
{
    const size_t length_bytes = strlen(line);

    if (bench->is_quiet)
        return;
    assert_true(bench->text_bytes + length_bytes + 2 < TEXT_BYTES_MAX);
    memcpy(bench->text + bench->text_bytes, line, length_bytes);
    bench->text_bytes += length_bytes;
    bench->text[bench->text_bytes++] = '\n';
    bench->text[bench->text_bytes] = '\0';
}

/* Replaces " label=value" by the text; its numbers mean nothing to a reader. */
static void replace_field(char *line, const char *label, const char *text)
{
    char *start = strstr(line, label);
    char rest[LINE_BYTES_MAX];

    if (!start)
        return;
    snprintf(rest, sizeof(rest), "%s", start + strlen(label) + strcspn(start + strlen(label), " "));
    snprintf(start, LINE_BYTES_MAX - (size_t)(start - line), "%s%s", text, rest);
}

static void name_tag(const struct bench *bench, char *line, uint64_t tag)
{
    const struct bench_tag *found = find_tag(bench, tag);
    char name[24];

    if (!found)
        return;
    snprintf(name, sizeof(name), " %s", found->name);
    replace_field(line, " tag=", name);
    replace_field(line, " memory=", "");
}

static void add_private_data(char *line, const uint8_t *bytes, uint64_t length_bytes)
{
    size_t used = strlen(line);

    if (bytes && length_bytes >= 8)
        snprintf(line + used, LINE_BYTES_MAX - used, " | version %u flags 0x%x",
                 (unsigned int)bytes_u32(bytes), (unsigned int)bytes_u32(bytes + 4));
    used = strlen(line);
    if (bytes && length_bytes == RDMIG_PRIVATE_DATA_BYTES_MAX)
        snprintf(line + used, LINE_BYTES_MAX - used, " credits %u bytes 0x%llx",
                 (unsigned int)bytes_u32(bytes + 8), (unsigned long long)bytes_u64(bytes + 16));
}

static void add_message(char *line, const uint8_t *bytes, size_t length_bytes)
{
    const size_t used = strlen(line);

    snprintf(line + used, LINE_BYTES_MAX - used, " ");
    message_describe(line + used + 1, LINE_BYTES_MAX - used - 1, bytes, length_bytes);
}

static void write_event(struct bench *bench, const struct rdmig_event *event, int result)
{
    char line[LINE_BYTES_MAX] = "> ";
    const size_t length = rdmig_event_format(event, line + 2, sizeof(line) - 2);

    assert_true(length < sizeof(line) - 2);
    name_tag(bench, line, event->tag);
    if (event->register_end_bytes == 0)
        replace_field(line, " register_end=", "");
    if (event->kind == RDMIG_EVENT_ESTABLISHED || event->kind == RDMIG_EVENT_CONNECT_REQUESTED)
        add_private_data(line, event->bytes, event->length);
    if (event->kind == RDMIG_EVENT_RECEIVED && event->bytes)
        replace_field(line, " length=", "");
    if (event->kind == RDMIG_EVENT_RECEIVED && event->bytes)
        add_message(line, event->bytes, (size_t)event->length);
    if (result != RDMIG_OK) {
        static const char *const names[] = {"", "AGAIN", "STATE", "INVALID", "FAILED"};
        const size_t used = strlen(line);

        assert_in_range(-result, 1, 4);
        snprintf(line + used, sizeof(line) - used, " ! %s", names[-result]);
    }
    write_line(bench, line);
}

static void write_action(struct bench *bench, const struct rdmig_action *action)
{
    char line[LINE_BYTES_MAX] = "< ";
    const size_t length = rdmig_action_format(action, line + 2, sizeof(line) - 2);

    assert_true(length < sizeof(line) - 2);
    if (action->tag)
        name_tag(bench, line, action->tag);
    if (action->kind == RDMIG_ACTION_CONNECT || action->kind == RDMIG_ACTION_ACCEPT ||
        action->kind == RDMIG_ACTION_REJECT)
        add_private_data(line, action->bytes, action->length);
    if (action->kind == RDMIG_ACTION_POST_SEND)
        replace_field(line, " length=", "");
    if (action->kind == RDMIG_ACTION_POST_SEND)
        add_message(line, bench->sent->bytes, bench->sent->length_bytes);
    if (action->kind != RDMIG_ACTION_POST_RECV || bench->shows_recv)
        write_line(bench, line);
}

void bench_begin(struct bench *bench)
{
    bench->is_quiet = false;
    bench->text_bytes = 0;
    bench->text[0] = '\0';
    memset(bench->numbers, 0, sizeof(bench->numbers));
    memset(bench->action_counts, 0, sizeof(bench->action_counts));
    /* What is still out from before counts first; names of what is done are free again. */
    for (size_t i = 0; i < bench->tag_count; i++) {
        struct bench_tag *tag = &bench->tags[i];

        if (tag->action.kind == RDMIG_ACTION_POST_RECV)
            continue;
        if (tag->is_out)
            name_next(bench, tag);
        else
            snprintf(tag->name, sizeof(tag->name), "past");
    }
}

void bench_expect_at(struct bench *bench, const char *expected, const char *file, int line)
{
    if (strcmp(bench->text, expected) != 0) {
        /* print_error() would cut it */
        fprintf(stderr, "%s:%d: the transcript differs\n--- expected\n%s--- actual\n%s", file, line,
                expected, bench->text);
        _fail(file, line);
    }
    bench->text_bytes = 0;
    bench->text[0] = '\0';
}

/* ---- actions */

static void check_invariants(struct bench *bench)
{
    const char *broken = rdmig_conn_check(bench->conn);

    if (broken)
        fail_msg("an invariant does not hold: %s; the transcript so far:\n%s", broken, bench->text);
}

static void take_slot(struct bench *bench, const struct rdmig_action *action)
{
    uint8_t *slot = bench->control + action->memory_offset_bytes;

    assert_true(action->memory_offset_bytes % RDMIG_CONTROL_MEMORY_ALIGNMENT == 0);
    assert_true(action->memory_offset_bytes + action->length <= rdmig_conn_control_bytes());
    if (action->kind == RDMIG_ACTION_POST_RECV) {
        assert_int_equal(action->length, RDMIG_MESSAGE_BYTES_MAX);
        assert_true(bench->recv_count < RDMIG_RECV_SLOT_COUNT);
        bench->recv_tags[bench->recv_count++] = action->tag;
    } else {
        assert_true(action->is_signalled);
        assert_in_range(action->length, RDMIG_HEADER_BYTES, RDMIG_MESSAGE_BYTES_MAX);
        if (bench->held_type == 0 || bytes_u32(slot + 4) == bench->held_type) {
            memcpy(bench->sent->bytes, slot, (size_t)action->length);
            bench->sent->length_bytes = (size_t)action->length;
        }
    }
    ownership_take(slot, action->length);
}

static void carry_out(struct bench *bench, const struct rdmig_action *action)
{
    assert_true((uint32_t)action->kind < RDMIG_ACTION_KIND_COUNT);
    if (action->tag)
        add_tag(bench, action);
    if (action->kind == RDMIG_ACTION_POST_RECV || action->kind == RDMIG_ACTION_POST_SEND)
        take_slot(bench, action);
    bench->action_counts[action->kind]++;
    bench->last[action->kind] = *action;
    write_action(bench, action);
    check_invariants(bench);
    if (action->kind == RDMIG_ACTION_NOTIFY_CLOSED) {
        assert_int_equal(bench_tags_out(bench), 0);
        assert_int_equal(rdmig_conn_phase(bench->conn), RDMIG_PHASE_CLOSED);
        assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    }
}

static void drain(struct bench *bench)
{
    struct rdmig_action action;

    for (int i = 0; i < ACTIONS_MAX; i++) {
        if (!rdmig_conn_next_action(bench->conn, &action))
            return;
        carry_out(bench, &action);
    }
    fail_msg("the actions do not end");
}

/* ---- events */

static int step(struct bench *bench, struct rdmig_event *event)
{
    const bool is_answer =
        event->kind == RDMIG_EVENT_COMPLETED || event->kind == RDMIG_EVENT_RECEIVED;
    int result;

    event->now_ns = bench->now_ns;
    memcpy(bench->snapshot, bench->memory, bench->memory_bytes);
    result = rdmig_conn_step(bench->conn, event);
    if (is_answer && result == RDMIG_OK) {
        const struct bench_tag *tag = find_tag(bench, event->tag);

        assert_true(tag && tag->is_out);
        retire_tag(bench, event->tag, event->kind == RDMIG_EVENT_COMPLETED);
    }
    /* Clause E1: no byte of the connection is different. */
    if (result != RDMIG_OK && memcmp(bench->snapshot, bench->memory, bench->memory_bytes) != 0)
        fail_msg("a refused %s has changed something", rdmig_event_name(event->kind));
    write_event(bench, event, result);
    check_invariants(bench);
    drain(bench);
    return result;
}

/* The oldest tag that is answered without being asked for. A SEND waits for the writes before it,
 * as in hardware. */
static struct bench_tag *next_automatic(struct bench *bench)
{
    bool is_blocked = false;

    for (size_t i = 0; i < bench->tag_count; i++) {
        struct bench_tag *tag = &bench->tags[i];
        unsigned int kind = AUTO_OPERATION;

        if (!tag->is_out || tag->action.kind == RDMIG_ACTION_POST_RECV)
            continue;
        if (is_work(tag))
            kind = tag->action.kind == RDMIG_ACTION_POST_SEND ? AUTO_SEND : AUTO_WRITE;
        if ((bench->automatic & kind) && !(is_work(tag) && is_blocked) &&
            (!is_work(tag) || tag->action.is_signalled))
            return tag;
        is_blocked = is_blocked || (is_work(tag) && (bench->automatic & kind) == 0);
    }
    return NULL;
}

static void answer_automatic(struct bench *bench)
{
    struct bench_tag *tag;

    for (int i = 0; i < ACTIONS_MAX; i++) {
        struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED, .now_ns = bench->now_ns};

        if (rdmig_conn_phase(bench->conn) != RDMIG_PHASE_RUNNING)
            return; /* how work comes back from a connection that closes is the test's to say */
        tag = next_automatic(bench);
        if (!tag)
            return;
        event.tag = tag->action.tag;
        if (tag->action.kind == RDMIG_ACTION_REGISTER && tag->action.is_remote_writable)
            event.rkey = 0x1000 + tag->action.region;
        retire_tag(bench, event.tag, true);
        assert_int_equal(rdmig_conn_step(bench->conn, &event), RDMIG_OK);
        check_invariants(bench);
        drain(bench);
    }
    fail_msg("the automatic answers do not end");
}

int bench_feed(struct bench *bench, struct rdmig_event event)
{
    const int result = step(bench, &event);

    answer_automatic(bench);
    return result;
}

int bench_receive_bytes(struct bench *bench, const uint8_t *bytes, size_t length_bytes)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED, .bytes = bytes};
    const struct bench_tag *tag;
    uint8_t *slot;
    int result;

    if (bench->recv_count == 0)
        fail_msg("no RECV is posted for a message of the peer's");
    tag = find_tag(bench, bench->recv_tags[0]);
    slot = bench->control + tag->action.memory_offset_bytes;
    event.tag = tag->action.tag;
    event.length = length_bytes;
    ownership_give(slot, RDMIG_MESSAGE_BYTES_MAX);
    memset(slot, 0xee, RDMIG_MESSAGE_BYTES_MAX);
    memcpy(slot, bytes, length_bytes);
    /* Nothing behind the message is anybody's to read. */
    ownership_take(slot, RDMIG_MESSAGE_BYTES_MAX);
    ownership_give(slot, length_bytes);
    result = step(bench, &event);
    answer_automatic(bench);
    return result;
}

int bench_receive(struct bench *bench, const struct message *message)
{
    return bench_receive_bytes(bench, message->bytes, message->length_bytes);
}

int bench_receive_plain(struct bench *bench, uint32_t type)
{
    message_begin(bench->message, type, 1);
    return bench_receive(bench, bench->message);
}

void bench_pass(struct bench *bench, uint64_t duration_ns)
{
    bench->now_ns += duration_ns;
    FEED(bench, TIME_PASSED);
}

/* ---- looking and ending */

struct rdmig_conn_counters bench_counters(const struct bench *bench)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(bench->conn, &counters);
    return counters;
}

void bench_hold_sent(struct bench *bench, uint32_t message_type)
{
    bench->held_type = message_type;
}

uint32_t bench_u32_of_sent(const struct bench *bench, size_t offset_bytes)
{
    assert_true(offset_bytes + 4 <= bench->sent->length_bytes);
    return bytes_u32(bench->sent->bytes + offset_bytes);
}

void bench_expect_counts(const struct bench *bench, uint32_t write_count, uint32_t send_count)
{
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_WRITE], write_count);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], send_count);
}

void bench_expect_failure(struct bench *bench, enum rdmig_reason reason)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(bench->conn);

    assert_non_null(failure);
    assert_string_equal(rdmig_reason_name(failure->reason), rdmig_reason_name(reason));
}

static void answer_flushed(struct bench *bench)
{
    for (size_t i = 0; i < bench->tag_count; i++) {
        const struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                          .tag = bench->tags[i].action.tag,
                                          .status = RDMIG_STATUS_FLUSHED};

        if (bench->tags[i].is_out)
            bench_feed(bench, event);
    }
}

void bench_close(struct bench *bench)
{
    enum rdmig_phase phase = rdmig_conn_phase(bench->conn);

    bench->is_quiet = true;
    if (phase != RDMIG_PHASE_CLOSED && phase != RDMIG_PHASE_FINISHING)
        assert_int_equal(FEED(bench, CANCEL_REQUESTED), RDMIG_OK);
    for (int i = 0; i < 20 && rdmig_conn_phase(bench->conn) != RDMIG_PHASE_CLOSED; i++) {
        answer_flushed(bench);
        if (rdmig_conn_phase(bench->conn) != RDMIG_PHASE_CLOSED) {
            assert_true(rdmig_conn_deadline_ns(bench->conn) != RDMIG_NO_DEADLINE);
            bench->now_ns = rdmig_conn_deadline_ns(bench->conn);
            FEED(bench, TIME_PASSED);
        }
    }
    assert_string_equal(rdmig_phase_name(rdmig_conn_phase(bench->conn)), "CLOSED");
    assert_int_equal(rdmig_conn_deinit(bench->conn), RDMIG_OK);
    pool_give(bench->memory, bench->memory_bytes);
    pool_give(bench->snapshot, bench->memory_bytes);
    pool_give(bench->control, rdmig_conn_control_bytes());
    pool_give(bench->text, TEXT_BYTES_MAX);
    pool_give(bench->message, sizeof(*bench->message));
    pool_give(bench->sent, sizeof(*bench->sent));
    free(bench->tables);
    free(bench->tags);
    free(bench);
}
