/* SPDX-License-Identifier: BSD-2-Clause */
/* Events, actions and messages as lines of text, without stdio: for transcripts, logs and replays.
 */
#include "internal.h"

struct text {
    char *bytes;
    size_t capacity_bytes;
    size_t length_bytes; /* of the full line, stored or not */
};

static void put_char(struct text *text, char c)
{
    if (text->length_bytes + 1 < text->capacity_bytes)
        text->bytes[text->length_bytes] = c;
    text->length_bytes++;
}

static void put(struct text *text, const char *string)
{
    while (*string != '\0')
        put_char(text, *string++);
}

static void put_digits(struct text *text, uint64_t value, uint64_t base)
{
    static const char digits[] = "0123456789abcdef";
    char reversed[24];
    size_t count = 0;

    do {
        reversed[count++] = digits[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0)
        put_char(text, reversed[--count]);
}

static void put_number(struct text *text, const char *label, uint64_t value, uint64_t base)
{
    put_char(text, ' ');
    put(text, label);
    put(text, base == 16 ? "=0x" : "=");
    put_digits(text, value, base);
}

static void put_signed(struct text *text, const char *label, int32_t value)
{
    put_char(text, ' ');
    put(text, label);
    put(text, value < 0 ? "=-" : "=");
    put_digits(text, value < 0 ? (uint64_t)(-(int64_t)value) : (uint64_t)value, 10);
}

static size_t end(struct text *text)
{
    if (text->capacity_bytes > 0) {
        const size_t last = text->capacity_bytes - 1;

        text->bytes[text->length_bytes < last ? text->length_bytes : last] = '\0';
    }
    return text->length_bytes;
}

/* What a kind of line shows. */
enum field {
    F_TAG = 1 << 0,
    F_LENGTH = 1 << 1,
    F_BLOCK = 1 << 2,
    F_OFFSET = 1 << 3,
    F_STATUS = 1 << 4,
    F_RKEY = 1 << 5,
    F_REGION = 1 << 6,
    F_REMOTE = 1 << 7,
    F_MEMORY = 1 << 8,
    F_FLAGS = 1 << 9,
    F_FILL = 1 << 10,
    F_SIGNAL = 1 << 11,
    F_ACCESS = 1 << 12,
    F_CHUNK = 1 << 13,
    F_ZERO = 1 << 14,
    F_FLUSH = 1 << 15,
    F_COUNT = 1 << 16
};

static const uint32_t event_fields[RDMIG_EVENT_KIND_COUNT] = {
    [RDMIG_EVENT_CONNECT_REQUESTED] = F_LENGTH,
    [RDMIG_EVENT_ESTABLISHED] = F_LENGTH,
    [RDMIG_EVENT_UNREACHABLE] = F_STATUS,
    [RDMIG_EVENT_RECEIVED] = F_TAG | F_LENGTH,
    [RDMIG_EVENT_COMPLETED] = F_TAG | F_STATUS | F_RKEY,
    [RDMIG_EVENT_BLOCKS_PROVIDED] = F_COUNT,
    [RDMIG_EVENT_CANCEL_REQUESTED] = F_STATUS,
    [RDMIG_EVENT_STREAM_WRITTEN] = F_LENGTH,
    [RDMIG_EVENT_FLUSH_REQUESTED] = F_FLUSH,
    [RDMIG_EVENT_RANGE_PUSHED] = F_BLOCK | F_OFFSET | F_LENGTH | F_ZERO,
    [RDMIG_EVENT_UNREGISTER_REQUESTED] = F_BLOCK | F_CHUNK,
    [RDMIG_EVENT_STREAM_CONSUMED] = F_LENGTH,
};

size_t rdmig_event_format(const struct rdmig_event *event, char *text, size_t capacity_bytes)
{
    static const char *const statuses[] = {"OK", "ERROR", "FLUSHED", "REJECTED", "FOREIGN"};
    struct text out = {text, capacity_bytes, 0};
    const uint32_t fields =
        (uint32_t)event->kind < RDMIG_EVENT_KIND_COUNT ? event_fields[event->kind] : 0;

    put(&out, rdmig_event_name(event->kind));
    if (fields & F_TAG)
        put_number(&out, "tag", event->tag, 16);
    if (fields & F_BLOCK)
        put_number(&out, "block", event->block_index, 10);
    if (fields & F_CHUNK)
        put_number(&out, "chunk", event->chunk_index, 10);
    if (fields & F_OFFSET)
        put_number(&out, "offset", event->offset_bytes, 10);
    if (fields & F_LENGTH)
        put_number(&out, "length", event->length, 10);
    if (fields & F_COUNT)
        put_number(&out, "count", event->block_count, 10);
    if (fields & F_ZERO) {
        put_number(&out, "register_end", event->register_end_bytes, 10);
        put(&out, event->is_zero ? " zero" : "");
    }
    if (fields & F_FLUSH)
        put(&out, event->flush == RDMIG_FLUSH_DELIVERED ? " DELIVERED" : " CONSUMED");
    if (fields & F_STATUS) {
        put_char(&out, ' ');
        put(&out, (uint32_t)event->status < sizeof(statuses) / sizeof(statuses[0])
                      ? statuses[event->status]
                      : "unknown");
        if (event->os_code != 0)
            put_signed(&out, "os_code", event->os_code);
    }
    if ((fields & F_RKEY) && event->rkey != 0)
        put_number(&out, "rkey", event->rkey, 16);
    return end(&out);
}

static const uint32_t action_fields[RDMIG_ACTION_KIND_COUNT] = {
    [RDMIG_ACTION_POST_RECV] = F_TAG | F_MEMORY | F_LENGTH,
    [RDMIG_ACTION_CONNECT] = F_LENGTH,
    [RDMIG_ACTION_ACCEPT] = F_LENGTH,
    [RDMIG_ACTION_REJECT] = F_LENGTH,
    [RDMIG_ACTION_POST_SEND] = F_TAG | F_MEMORY | F_LENGTH,
    [RDMIG_ACTION_POST_WRITE] =
        F_TAG | F_BLOCK | F_OFFSET | F_LENGTH | F_REGION | F_REMOTE | F_RKEY | F_SIGNAL,
    [RDMIG_ACTION_POST_PROBE] = F_TAG,
    [RDMIG_ACTION_REGISTER] = F_TAG | F_REGION | F_BLOCK | F_OFFSET | F_LENGTH | F_ACCESS,
    [RDMIG_ACTION_DEREGISTER] = F_TAG | F_REGION,
    [RDMIG_ACTION_NOTIFY_ESTABLISHED] = F_FLAGS,
    [RDMIG_ACTION_NOTIFY_UNREGISTERED] = F_REGION,
    [RDMIG_ACTION_DELIVER_STREAM] = F_LENGTH,
    [RDMIG_ACTION_FILL_RANGE] = F_TAG | F_BLOCK | F_OFFSET | F_LENGTH | F_FILL,
    [RDMIG_ACTION_END_ROUND] = F_TAG,
};

static void put_region(struct text *out, const struct rdmig_action *action, uint32_t fields)
{
    if (fields & F_REGION)
        put_number(out, "region", action->region, 10);
    if (fields & F_REMOTE)
        put_number(out, "remote", action->remote_addr, 16);
    if (fields & F_RKEY)
        put_number(out, "rkey", action->rkey, 16);
    if ((fields & F_ACCESS) && action->is_remote_writable)
        put(out, " remote-write");
    if ((fields & F_SIGNAL) && action->is_signalled)
        put(out, " signalled");
}

size_t rdmig_action_format(const struct rdmig_action *action, char *text, size_t capacity_bytes)
{
    struct text out = {text, capacity_bytes, 0};
    const uint32_t fields =
        (uint32_t)action->kind < RDMIG_ACTION_KIND_COUNT ? action_fields[action->kind] : 0;

    put(&out, rdmig_action_name(action->kind));
    if (fields & F_TAG)
        put_number(&out, "tag", action->tag, 16);
    if (fields & F_MEMORY)
        put_number(&out, "memory", action->memory_offset_bytes, 10);
    if (fields & F_BLOCK)
        put_number(&out, "block", action->block_index, 10);
    if (fields & F_OFFSET)
        put_number(&out, "offset", action->offset_bytes, 10);
    if (fields & F_LENGTH)
        put_number(&out, "length", action->length, 10);
    put_region(&out, action, fields);
    if (fields & F_FLAGS)
        put_number(&out, "flags", action->capability_flags, 16);
    if (fields & F_FILL)
        put_number(&out, "value", action->fill_value, 10);
    return end(&out);
}

size_t rdmig_message_format(const void *bytes, uint64_t length_bytes, char *text,
                            size_t capacity_bytes)
{
    struct text out = {text, capacity_bytes, 0};
    struct wire_header header;
    uint64_t expected;
    uint64_t actual;
    const enum rdmig_reason reason =
        wire_read_header(bytes, length_bytes, &header, &expected, &actual);

    if (reason == RDMIG_REASON_MESSAGE_SHORT) {
        put(&out, "message");
    } else {
        put(&out, rdmig_message_name(header.type));
        if (reason == RDMIG_REASON_MESSAGE_TYPE)
            put_number(&out, "type", header.type, 10);
        put_number(&out, "repeat", header.repeat, 10);
    }
    put_number(&out, "length", length_bytes, 10);
    if (reason != RDMIG_REASON_NONE) {
        put_char(&out, ' ');
        put(&out, rdmig_reason_name(reason));
    }
    return end(&out);
}
