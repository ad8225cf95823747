/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of a hostile peer's messages: right ones first, which are then bent. */
#include "hostile.h"

#include <inttypes.h>
#include <string.h>

enum {
    BODY_BYTES_MAX = 524288 + 64, /* a little more than any receive takes */
    ARENA_BYTES = 4 << 20,
    SHORT_DATA_BYTES = 8,
    LONG_DATA_BYTES = 24,
    FILLER = 0xa5
};

/* Nothing of it is used twice in a world: what was posted stays as it was. */
static uint8_t arenas[2][ARENA_BYTES];

static void store32(uint8_t *bytes, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

uint32_t hostile_get32(const uint8_t *bytes)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < 4; i++)
        value = value << 8 | bytes[i];
    return value;
}

uint64_t hostile_get64(const uint8_t *bytes)
{
    return (uint64_t)hostile_get32(bytes) << 32 | hostile_get32(bytes + 4);
}

bool hostile_read_header(const uint8_t *bytes, uint32_t received_bytes,
                         struct hostile_header *header)
{
    *header = (struct hostile_header){0, TYPE_NONE, 0};
    if (received_bytes < HOSTILE_HEADER_BYTES)
        return false;
    header->length_bytes = hostile_get32(bytes);
    header->type = hostile_get32(bytes + 4);
    header->repeat = hostile_get32(bytes + 8);
    if (header->length_bytes > received_bytes - HOSTILE_HEADER_BYTES)
        header->length_bytes = received_bytes - HOSTILE_HEADER_BYTES;
    return true;
}

/* ---- private data */

struct hostile_private hostile_read_private(const struct cm_event *event)
{
    struct hostile_private out = {0, 1, 0};

    if (event->length_bytes >= SHORT_DATA_BYTES)
        out.flags = hostile_get32(event->bytes + 4);
    if ((out.flags & HOSTILE_FLAG_PIPELINE) == 0 || event->length_bytes < LONG_DATA_BYTES)
        return out;
    out.credit_count = hostile_get32(event->bytes + 8);
    out.bytes = hostile_get64(event->bytes + 16);
    return out;
}

/* Credits and bytes where none can be, and such as may be but nobody expects. */
static void bend_private(struct hostile *hostile, struct hostile_private *bent)
{
    static const uint64_t bytes[] = {0,
                                     1,
                                     SIM_PAGE_BYTES,
                                     HOSTILE_CHUNK_BYTES - 1,
                                     HOSTILE_CHUNK_BYTES,
                                     UINT64_C(1) << 63,
                                     UINT64_MAX};
    uint32_t pick;

    if (hostile_pick(hostile, 2) == 1) {
        pick = hostile_pick(hostile, 4);
        bent->credit_count = pick < 2    ? bent->credit_count + 1 - 2 * pick
                             : pick == 2 ? HOSTILE_CREDITS_MAX + 1
                                         : hostile_bend32(hostile, bent->credit_count);
    }
    if (hostile_pick(hostile, 2) == 1) {
        pick = hostile_pick(hostile, sizeof(bytes) / sizeof(bytes[0]));
        bent->bytes = bytes[pick];
    }
}

uint32_t hostile_private_data(struct hostile *hostile, const struct hostile_private *told,
                              uint8_t *out)
{
    static const uint32_t versions[] = {1, 0, 2, UINT32_MAX, 0x01000000u, 0x80000001u};
    static const uint32_t lengths[] = {
        LONG_DATA_BYTES, SHORT_DATA_BYTES, 0, 1, 4, 7, 12, 56, 16, 20, 23, 25, 9};
    struct hostile_private bent = *told;
    uint32_t version = 1;
    uint32_t length_bytes =
        (told->flags & HOSTILE_FLAG_PIPELINE) != 0 ? LONG_DATA_BYTES : SHORT_DATA_BYTES;

    if (hostile_does(hostile, HOSTILE_PRIVATE_DATA)) {
        switch (hostile_pick(hostile, 4)) {
        case 0:
            version = versions[hostile_pick(hostile, sizeof(versions) / sizeof(versions[0]))];
            break;
        case 1:
            length_bytes = lengths[hostile_pick(hostile, sizeof(lengths) / sizeof(lengths[0]))];
            break;
        case 2:
            bent.flags = hostile_bend32(hostile, UINT32_MAX);
            break;
        default:
            bend_private(hostile, &bent);
            break;
        }
    }
    memset(out, FILLER, 64);
    store32(out, version);
    store32(out + 4, bent.flags);
    store32(out + 8, bent.credit_count);
    store32(out + 12, hostile->is_odd[ODD_PADDING] ? UINT32_MAX : 0);
    store32(out + 16, (uint32_t)(bent.bytes >> 32));
    store32(out + 20, (uint32_t)bent.bytes);
    world_log(hostile->party.world,
              "hostile %s: private data, %" PRIu32 " bytes: %" PRIu32 " %" PRIx32 " %" PRIu32
              " %" PRIu64,
              role_name(hostile->party.role), length_bytes, version, bent.flags, bent.credit_count,
              bent.bytes);
    return length_bytes;
}

/* ---- making one */

bool hostile_begin(struct hostile *hostile, struct hostile_message *message, enum hostile_type type)
{
    const uint64_t need_bytes = HOSTILE_HEADER_BYTES + BODY_BYTES_MAX;

    if (hostile->message_count == HOSTILE_MESSAGES_MAX ||
        ARENA_BYTES - hostile->arena_used_bytes < need_bytes) {
        hostile_leave(hostile);
        return false;
    }
    *message = (struct hostile_message){
        .bytes = arenas[hostile->party.role] + hostile->arena_used_bytes,
        .capacity_bytes = BODY_BYTES_MAX,
        .type = type,
    };
    return true;
}

void hostile_put_bytes(struct hostile_message *message, const uint8_t *bytes, uint32_t length_bytes)
{
    if (length_bytes > message->capacity_bytes - message->body_bytes)
        return;
    memcpy(message->bytes + HOSTILE_HEADER_BYTES + message->body_bytes, bytes, length_bytes);
    message->body_bytes += length_bytes;
}

void hostile_put32(struct hostile_message *message, uint32_t value)
{
    uint8_t bytes[4];

    store32(bytes, value);
    hostile_put_bytes(message, bytes, sizeof(bytes));
}

void hostile_put64(struct hostile_message *message, uint64_t value)
{
    hostile_put32(message, (uint32_t)(value >> 32));
    hostile_put32(message, (uint32_t)value);
}

void hostile_put_padding(struct hostile *hostile, struct hostile_message *message)
{
    hostile_put32(message, hostile->is_odd[ODD_PADDING] ? UINT32_MAX : 0);
}

void hostile_put_register(struct hostile *hostile, struct hostile_message *message, uint64_t key,
                          uint32_t block, uint64_t chunks)
{
    hostile_put64(message, key);
    hostile_put32(message, block);
    hostile_put_padding(hostile, message);
    hostile_put64(message, chunks);
    message->repeat++;
}

void hostile_put_compress(struct hostile_message *message, uint32_t value, uint32_t block,
                          uint64_t offset_bytes, uint64_t length_bytes)
{
    hostile_put32(message, value);
    hostile_put32(message, block);
    hostile_put64(message, offset_bytes);
    hostile_put64(message, length_bytes);
    message->repeat++;
}

/* ---- bending it */

static void resize_body(struct hostile_message *message, uint32_t body_bytes)
{
    if (body_bytes > message->body_bytes)
        memset(message->bytes + HOSTILE_HEADER_BYTES + message->body_bytes, FILLER,
               body_bytes - message->body_bytes);
    message->body_bytes = body_bytes;
}

/* The header tells of the body there is; the body is not what its type and repeat make it. */
static void bend_body(struct hostile *hostile, struct hostile_message *message)
{
    static const uint32_t more[] = {1, 8, 16, 24, 32, 24 * 64};
    const uint32_t way = hostile_pick(hostile, 16);
    uint32_t pick;

    if (way < 5) {
        pick = hostile_pick(hostile, sizeof(more) / sizeof(more[0]));
        if (more[pick] <= message->capacity_bytes - message->body_bytes)
            resize_body(message, message->body_bytes + more[pick]);
    } else if (way < 10) {
        pick = hostile_pick(hostile, sizeof(more) / sizeof(more[0]));
        resize_body(message,
                    message->body_bytes > more[pick] ? message->body_bytes - more[pick] : 0);
    } else if (way < 12) {
        resize_body(message, 0);
    } else if (way < 15) {
        message->repeat = 0;
        resize_body(message, message->body_bytes + 24);
    } else {
        pick = hostile_pick(hostile, 4); /* just what fits, or more than that */
        resize_body(message, 524288 - HOSTILE_HEADER_BYTES + pick);
    }
}

static void bend_header(struct hostile *hostile, struct hostile_header *header)
{
    static const uint32_t lengths[] = {0, 16, 524272, 524288, 0xfffffff0u, UINT32_MAX};
    static const uint32_t types[] = {TYPE_NONE, TYPE_COUNT, UINT32_MAX, 256 + TYPE_READY,
                                     0x80000000u | TYPE_COMPRESS};
    static const uint32_t repeats[] = {0, 1, 2, 4096, 4097, 0x80000000u, UINT32_MAX};
    const uint32_t way = hostile_pick(hostile, 6);
    uint32_t pick;

    switch (way) {
    case 0:
        header->length_bytes++;
        break;
    case 1:
        header->length_bytes--;
        break;
    case 2:
        pick = hostile_pick(hostile, sizeof(lengths) / sizeof(lengths[0]));
        header->length_bytes = lengths[pick];
        break;
    case 3:
        pick = hostile_pick(hostile, sizeof(types) / sizeof(types[0]));
        header->type = types[pick];
        break;
    case 4:
        pick = hostile_pick(hostile, TYPE_COUNT);
        header->type = pick;
        break;
    default:
        pick = hostile_pick(hostile, sizeof(repeats) / sizeof(repeats[0]));
        header->repeat = repeats[pick];
        break;
    }
}

static void write_header(struct hostile *hostile, const struct hostile_header *header,
                         uint8_t *bytes)
{
    store32(bytes, header->length_bytes);
    store32(bytes + 4, header->type);
    store32(bytes + 8, header->repeat);
    store32(bytes + 12, hostile->is_odd[ODD_PADDING] ? UINT32_MAX : 0);
}

void hostile_send(struct hostile *hostile, struct hostile_message *message)
{
    struct world *world = hostile->party.world;
    struct hostile_header header;
    uint32_t length_bytes;
    bool is_posted;

    if (!hostile_is_up(hostile))
        return;
    if (hostile_does(hostile, HOSTILE_BODY))
        bend_body(hostile, message);
    header = (struct hostile_header){message->body_bytes, message->type, message->repeat};
    if (hostile_does(hostile, HOSTILE_HEADER))
        bend_header(hostile, &header);
    write_header(hostile, &header, message->bytes);
    length_bytes = HOSTILE_HEADER_BYTES + message->body_bytes;
    if (hostile_does(hostile, HOSTILE_TRUNCATION))
        length_bytes = hostile_pick(hostile, length_bytes < 20 ? length_bytes : 20);
    is_posted =
        port_post_send(hostile->party.port, message->type, message->bytes, length_bytes, true);
    port_spend(hostile->party.port, world->costs.post_ns);
    world_log(world,
              "hostile %s: sends %" PRIu32 " bytes: len %" PRIu32 " type %" PRIu32
              " repeat %" PRIu32 "%s",
              role_name(hostile->party.role), length_bytes, header.length_bytes, header.type,
              header.repeat, is_posted ? "" : ", not posted");
    hostile->message_count++;
    hostile->last_type = message->type;
    hostile->arena_used_bytes +=
        ((uint64_t)HOSTILE_HEADER_BYTES + message->body_bytes + 63) / 64 * 64;
}

void hostile_send_empty(struct hostile *hostile, enum hostile_type type, uint32_t repeat)
{
    struct hostile_message message;

    if (!hostile_begin(hostile, &message, type))
        return;
    message.repeat = repeat;
    hostile_send(hostile, &message);
}

/* ---- one of any type */

static void put_any_entry(struct hostile *hostile, struct hostile_message *message)
{
    const uint32_t index = hostile_pick(hostile, hostile->block_count);
    const struct hostile_block *block = &hostile->blocks[index];
    const bool is_bent = hostile_pick(hostile, 4) == 3;
    uint64_t offset_bytes = block->offset_bytes;
    uint64_t length_bytes = block->length_bytes;
    uint64_t chunk = 0;

    if (is_bent) {
        offset_bytes = hostile_bend(hostile, offset_bytes);
        length_bytes = hostile_bend(hostile, length_bytes);
        chunk = hostile_bend(hostile, chunk);
    }
    switch (message->type) {
    case TYPE_BLOCKS_RESULT:
        hostile_put64(message, block->addr);
        hostile_put64(message, offset_bytes);
        hostile_put64(message, length_bytes);
        hostile_put32(message, block->rkey);
        hostile_put_padding(hostile, message);
        message->repeat = 1;
        break;
    case TYPE_COMPRESS:
        hostile_put_compress(message, 0, index, offset_bytes, length_bytes);
        break;
    case TYPE_REGISTER:
        hostile_put_register(hostile, message, offset_bytes, index, chunk);
        break;
    case TYPE_REGISTER_RESULT:
        hostile_put32(message, block->rkey);
        hostile_put_padding(hostile, message);
        hostile_put64(message, block->addr);
        message->repeat++;
        break;
    default:
        hostile_put_register(hostile, message, chunk, index, 0);
        break;
    }
}

static bool has_entries(uint32_t type)
{
    return type == TYPE_BLOCKS_RESULT || type == TYPE_COMPRESS || type == TYPE_REGISTER ||
           type == TYPE_REGISTER_RESULT || type == TYPE_UNREGISTER;
}

void hostile_send_any(struct hostile *hostile)
{
    const uint32_t type = 1 + hostile_pick(hostile, TYPE_COUNT - 1);
    struct hostile_message message;
    uint32_t count = 1;

    if (!hostile_begin(hostile, &message, (enum hostile_type)type))
        return;
    if (hostile_pick(hostile, 4) == 3)
        count = hostile_pick(hostile, 4);
    if (type == TYPE_BLOCKS_RESULT && count == 1)
        count = hostile->block_count;
    if (type == TYPE_QEMU_FILE) {
        resize_body(&message, count * 8);
    } else if (has_entries(type)) {
        for (uint32_t i = 0; i < count; i++)
            put_any_entry(hostile, &message);
    } else {
        message.repeat = count;
    }
    hostile_send(hostile, &message);
}
