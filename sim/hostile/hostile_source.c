/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile source: stream, RAM_BLOCKS_REQUEST, rounds of registrations, writes and fills, stream.
 */
#include "hostile_source.h"
#include "fail.h"
#include "qemu/native.h"

#include <stdlib.h>

enum { STREAM_BYTES_MAX = 524272, BLOCK_BYTES = 32, RESULT_BYTES = 16, FRAME_BYTES = 64 };

static struct hostile_source *source_of(struct hostile *hostile)
{
    return (struct hostile_source *)(void *)hostile;
}

/* ---- the stream, cut anywhere */

static void put_words(struct hostile_source *source, struct hostile_message *message,
                      uint32_t length_bytes)
{
    while (length_bytes > 0) {
        uint32_t part_bytes;

        if (source->word_left_bytes == 0)
            source->word_left_bytes = stream_write(&source->writer, STREAM_DATA, source->word);
        part_bytes =
            source->word_left_bytes < length_bytes ? source->word_left_bytes : length_bytes;
        hostile_put_bytes(message, source->word + STREAM_WORD_BYTES - source->word_left_bytes,
                          part_bytes);
        source->word_left_bytes -= part_bytes;
        length_bytes -= part_bytes;
    }
}

/* The stream's beginning, mostly right. */
static void put_header(struct hostile_source *source, struct hostile_message *message)
{
    struct hostile *hostile = &source->hostile;
    uint8_t bytes[STREAM_HEADER_BYTES_MAX];
    uint32_t length_bytes;

    source->has_begun = true;
    source->is_native = hostile_pick(hostile, 2) == 1;
    length_bytes = stream_header(&hostile->party.world->options->guest, source->is_native, bytes);
    if (hostile_does(hostile, HOSTILE_STREAM)) {
        const uint32_t at = hostile_pick(hostile, length_bytes);

        bytes[at] = (uint8_t)hostile_bend32(hostile, bytes[at]);
    }
    hostile_put_bytes(message, bytes, length_bytes);
}

/* Native: the words stand in sections of their own, behind the setup's end. */
static void put_stream(struct hostile_source *source, struct hostile_message *message,
                       uint32_t length_bytes)
{
    uint8_t frame[FRAME_BYTES];

    if (!source->is_native) {
        put_words(source, message, length_bytes);
        return;
    }
    if (!source->is_exchanged)
        return;
    if (!source->has_setup_end)
        hostile_put_bytes(message, frame, (uint32_t)native_write_setup_end(frame, sizeof(frame)));
    source->has_setup_end = true;
    if (length_bytes == 0)
        return;
    hostile_put_bytes(message, frame,
                      (uint32_t)native_write_state_header(frame, sizeof(frame), length_bytes));
    put_words(source, message, length_bytes);
    hostile_put_bytes(message, frame, (uint32_t)native_write_state_footer(frame, sizeof(frame)));
}

static void put_native_word(struct hostile_source *source, struct hostile_message *message,
                            enum stream_word word)
{
    uint8_t bytes[FRAME_BYTES];

    put_stream(source, message, 0);
    if (word == STREAM_PREPARE)
        hostile_put_bytes(message, bytes, (uint32_t)native_write_prepare(bytes, sizeof(bytes)));
    else if (word == STREAM_END)
        hostile_put_bytes(message, bytes, (uint32_t)native_write_end(bytes, sizeof(bytes)));
}

static void put_word(struct hostile_source *source, struct hostile_message *message,
                     enum stream_word word)
{
    uint8_t bytes[STREAM_WORD_BYTES];

    if (source->is_native) {
        put_native_word(source, message, word);
        return;
    }
    put_stream(source, message, source->word_left_bytes);
    hostile_put_bytes(message, bytes, stream_write(&source->writer, word, bytes));
}

static uint32_t draw_stream_bytes(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    uint32_t pick;

    if (hostile->is_odd[ODD_SMALL_STREAM]) {
        pick = hostile_pick(hostile, 12);
        return pick < 9 ? 1 + pick : 0; /* a message of no bytes is one as well */
    }
    if (hostile->is_odd[ODD_LARGE_STREAM]) {
        pick = hostile_pick(hostile, 16);
        return pick == 15 ? STREAM_BYTES_MAX : 32768;
    }
    pick = hostile_pick(hostile, 64);
    return STREAM_WORD_BYTES * (1 + pick);
}

/* Bytes that are no stream of this world's, or none. */
static void send_garbage(struct hostile *hostile)
{
    struct hostile_message message;
    uint32_t count = hostile_pick(hostile, 3);

    if (!hostile_begin(hostile, &message, TYPE_QEMU_FILE))
        return;
    for (count *= 3; count > 0; count--) {
        const uint32_t value = hostile_bend32(hostile, 0x01020304u);

        hostile_put32(&message, value);
    }
    hostile_send(hostile, &message);
}

static void write_pages(struct hostile_source *source);

static void begin_stage(struct hostile_source *source, enum stage stage, uint32_t command_count_max)
{
    source->stage = stage;
    source->command_count = 1 + hostile_pick(&source->hostile, command_count_max);
}

static void write_late(struct world *world, void *subject, uint64_t left_count)
{
    struct hostile_source *source = subject;

    if (!hostile_may_write(&source->hostile))
        return;
    write_pages(source);
    if (left_count > 0)
        port_at(source->hostile.party.port, world->now_ns + 4 * world->costs.latency_ns, write_late,
                source, left_count - 1);
}

/* With the guest given away it may think better of it, or go on changing its memory. */
static void go_on_behind_the_end(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    const uint32_t pick = hostile_pick(hostile, 4);

    if (pick == 3)
        hostile_send_empty(hostile, TYPE_ERROR, 1);
    if (pick == 2)
        write_late(hostile->party.world, source, 8);
}

/* One message of data; the last of a stage has the word that ends it. */
static void send_stream(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    const bool is_last = source->command_count <= 1;
    uint32_t length_bytes = draw_stream_bytes(source);
    struct hostile_message message;

    if (hostile_does(hostile, HOSTILE_STREAM)) {
        send_garbage(hostile);
        return;
    }
    if (!hostile_begin(hostile, &message, TYPE_QEMU_FILE))
        return;
    if (hostile->is_odd[ODD_PADDING])
        message.repeat = 1; /* QEMU leaves it 0 */
    if (!source->has_begun)
        put_header(source, &message);
    /* For what stands around them, the rest of a word, and the last one. */
    if (message.body_bytes + length_bytes > STREAM_BYTES_MAX - 2 * FRAME_BYTES)
        length_bytes = STREAM_BYTES_MAX - 2 * FRAME_BYTES - message.body_bytes;
    if (!is_last || source->stage == STAGE_STREAM)
        put_stream(source, &message, length_bytes);
    if (!is_last) {
        source->command_count--;
    } else if (source->stage == STAGE_STREAM) {
        put_word(source, &message, STREAM_HOOK);
        begin_stage(source, source->is_exchanged ? STAGE_RAM : STAGE_EXCHANGE, 10);
    } else {
        put_word(source, &message, STREAM_END);
        source->stage = STAGE_ENDED;
    }
    hostile_send(hostile, &message);
    if (source->stage == STAGE_ENDED)
        go_on_behind_the_end(source);
}

/* PREPARE has a message of its own: what comes after it must wait for its READY. */
static void send_prepare(struct hostile_source *source)
{
    struct hostile_message message;

    source->command_count = 1;
    if (!hostile_begin(&source->hostile, &message, TYPE_QEMU_FILE))
        return;
    put_word(source, &message, STREAM_PREPARE);
    hostile_send(&source->hostile, &message);
}

/* ---- what comes next */

static void send_blocks_request(struct hostile_source *source)
{
    hostile_send_empty(&source->hostile, TYPE_BLOCKS_REQUEST, 1);
    source->is_exchanged = true;
    begin_stage(source, STAGE_RAM, 10);
}

/* There is a region, and nothing on its way to any, unless that is what this world is about. */
static bool may_unregister(const struct hostile *hostile)
{
    bool is_any_alive = false;

    for (uint32_t i = 0; i < hostile->region_count; i++)
        is_any_alive = is_any_alive || hostile->regions[i].is_alive;
    return hostile->rates[HOSTILE_ENTRIES].numerator > 0 ||
           (is_any_alive &&
            (hostile->writes_out == 0 || hostile->rates[HOSTILE_WRITES].numerator > 0));
}

static void send_ram_command(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    uint32_t pick;

    if (--source->command_count == 0) {
        hostile_send_empty(hostile, TYPE_ROUND_END, 1);
        if (source->round_count > 0) {
            source->round_count--;
            begin_stage(source, STAGE_STREAM, 4);
        } else {
            begin_stage(source, STAGE_LAST, 3);
            source->command_count++; /* PREPARE and the end at least */
        }
        return;
    }
    pick = hostile_pick(hostile, 8);
    if (pick < 3)
        hostile_send_register(source);
    else if (pick < 6 || !may_unregister(hostile))
        hostile_send_compress(source);
    else
        hostile_send_unregister(source);
}

/* A command of any kind, at any stage. */
static void send_out_of_order(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;

    switch (hostile_pick(hostile, 8)) {
    case 0:
        hostile_send_empty(hostile, TYPE_BLOCKS_REQUEST, 1);
        break;
    case 1:
        hostile_send_empty(hostile, TYPE_ROUND_END, 1);
        break;
    case 2:
        hostile_send_register(source);
        break;
    case 3:
        hostile_send_compress(source);
        break;
    case 4:
        hostile_send_unregister(source);
        break;
    case 5:
        send_garbage(hostile);
        break;
    default:
        hostile_send_any(hostile);
        break;
    }
}

/* A command is under way as soon as it is posted, whatever it is. */
static void note_under_way(struct hostile_source *source, uint32_t type)
{
    if (source->under_way_count < HOSTILE_UNDER_WAY_MAX)
        source->under_way[source->under_way_count++] = type;
}

static void send_next(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;

    if (hostile_does(hostile, HOSTILE_ORDER)) {
        send_out_of_order(source);
        return;
    }
    switch (source->stage) {
    case STAGE_STREAM:
        send_stream(source);
        break;
    case STAGE_EXCHANGE:
        send_blocks_request(source);
        break;
    case STAGE_RAM:
        send_ram_command(source);
        break;
    case STAGE_LAST:
        if (hostile->is_odd[ODD_NO_END] && hostile_pick(hostile, 2) == 0)
            hostile_leave(hostile);
        else if (source->command_count == 2 && !hostile->is_odd[ODD_NO_END])
            send_prepare(source);
        else
            send_stream(source);
        break;
    case STAGE_ENDED:
        hostile_leave(hostile);
        break;
    }
}

static void send_command(struct hostile_source *source)
{
    send_next(source);
    note_under_way(source, source->hostile.last_type);
}

/* Any pages of a run that it may write to. */
static void write_pages(struct hostile_source *source)
{
    struct hostile *hostile = &source->hostile;
    struct write_request request = {0};
    const struct hostile_region *region;
    uint64_t page_count;
    uint64_t first_page;
    uint64_t end_page;
    uint32_t bound;

    if (hostile->region_count == 0 || !hostile_may_write(hostile))
        return;
    region = &hostile->regions[hostile_pick(hostile, hostile->region_count)];
    if (!region->is_alive)
        return;
    end_page = hostile->blocks[region->block].length_bytes / SIM_PAGE_BYTES;
    first_page = region->first_chunk * RAM_PAGES_PER_CHUNK;
    page_count = end_page - first_page;
    if (page_count > region->chunk_count * RAM_PAGES_PER_CHUNK)
        page_count = region->chunk_count * RAM_PAGES_PER_CHUNK;
    bound = page_count > 65536 ? 65536 : (uint32_t)page_count;
    first_page += hostile_pick(hostile, bound);
    page_count -= first_page - region->first_chunk * RAM_PAGES_PER_CHUNK;
    bound = page_count > 64 ? 64 : (uint32_t)page_count;
    page_count = 1 + hostile_pick(hostile, bound);
    request.block = region->block;
    request.offset_bytes = first_page * SIM_PAGE_BYTES;
    request.length_bytes = page_count * SIM_PAGE_BYTES;
    request.remote_addr = hostile->blocks[region->block].addr + request.offset_bytes;
    request.rkey = region->rkey;
    hostile_write(hostile, &request);
}

/* Of what is queued for it next: may it go beside what is under way (clause C17)? */
static bool may_go_on(const struct hostile_source *source)
{
    bool is_beside = source->stage == STAGE_RAM && source->command_count > 1;

    for (uint32_t i = 0; i < source->under_way_count; i++)
        is_beside = is_beside && (source->under_way[i] == TYPE_COMPRESS ||
                                  source->under_way[i] == TYPE_REGISTER ||
                                  source->under_way[i] == TYPE_UNREGISTER);
    return source->under_way_count == 0 || is_beside || source->hostile.is_odd[ODD_TOGETHER] ||
           source->hostile.rates[HOSTILE_ORDER].numerator > 0;
}

static void act(struct hostile *hostile)
{
    struct hostile_source *source = source_of(hostile);
    uint32_t write_count;

    if (source->stage == STAGE_RAM && hostile->region_count > 0) {
        write_count = hostile_pick(hostile, 4);
        while (write_count-- > 0)
            write_pages(source);
    }
    while (hostile_is_up(hostile) && source->credit_count > 0 && may_go_on(source)) {
        source->credit_count--;
        send_command(source);
    }
    while (hostile_is_up(hostile) && hostile_does(hostile, HOSTILE_CREDIT))
        send_command(source);
}

/* ---- what comes */

/* It believes all that is told. */
static void take_blocks(struct hostile *hostile, const uint8_t *entry, uint32_t length_bytes)
{
    for (uint32_t i = 0; i < hostile->block_count && length_bytes >= BLOCK_BYTES; i++) {
        struct hostile_block *block = &hostile->blocks[i];
        const struct hostile_region whole = {i, 0, hostile_chunk_count(hostile, i),
                                             hostile_get32(entry + 24), true};

        block->addr = hostile_get64(entry);
        block->offset_bytes = hostile_get64(entry + 8);
        block->rkey = whole.rkey;
        if (hostile->is_pin_all)
            hostile_add_region(hostile, &whole);
        entry += BLOCK_BYTES;
        length_bytes -= BLOCK_BYTES;
    }
}

static void take_results(struct hostile_source *source, const uint8_t *entry, uint32_t length_bytes)
{
    for (uint32_t i = 0; i < source->asked[0].count && length_bytes >= RESULT_BYTES; i++) {
        struct hostile_region *run = &source->asked[0].runs[i];
        struct hostile_region *region =
            hostile_find_region(&source->hostile, run->block, run->first_chunk);

        run->rkey = hostile_get32(entry);
        if (region)
            region->rkey = run->rkey;
        else
            hostile_add_region(&source->hostile, run);
        entry += RESULT_BYTES;
        length_bytes -= RESULT_BYTES;
    }
    if (source->asked_count == 0)
        return;
    source->asked_count--;
    for (uint32_t i = 0; i < source->asked_count; i++)
        source->asked[i] = source->asked[i + 1];
    source->asked[source->asked_count].count = 0;
}

/* The first are for no command, each later one is for the oldest. */
static void take_ready(struct hostile_source *source)
{
    source->credit_count++;
    if (++source->ready_count <= source->hostile.credit_count || source->under_way_count == 0)
        return;
    source->under_way_count--;
    for (uint32_t i = 0; i < source->under_way_count; i++)
        source->under_way[i] = source->under_way[i + 1];
}

static void received(struct hostile *hostile, const uint8_t *bytes, uint32_t length_bytes)
{
    struct hostile_source *source = source_of(hostile);
    const uint8_t *body = bytes + HOSTILE_HEADER_BYTES;
    struct hostile_header header;

    (void)hostile_read_header(bytes, length_bytes, &header);
    switch (header.type) {
    case TYPE_READY:
        take_ready(source);
        break;
    case TYPE_BLOCKS_RESULT:
        take_blocks(hostile, body, header.length_bytes);
        break;
    case TYPE_REGISTER_RESULT:
        take_results(source, body, header.length_bytes);
        break;
    case TYPE_ERROR:
        hostile_leave(hostile);
        break;
    default:
        break;
    }
}

static void managed(struct hostile *hostile, const struct cm_event *event)
{
    const struct hostile_private granted = hostile_read_private(event);

    if (event->kind != CM_ESTABLISHED)
        return;
    hostile->life = LIFE_UP;
    hostile->is_pin_all = (granted.flags & HOSTILE_FLAG_PIN_ALL) != 0;
    hostile->credit_count = granted.credit_count;
    hostile->limit_bytes = granted.bytes;
    hostile_plan_step(hostile);
}

static void start(struct party *party)
{
    struct hostile *hostile = (struct hostile *)(void *)party;
    struct hostile_source *source = source_of(hostile);
    const struct options *options = party->world->options;
    bool is_pin_all = options->is_pin_all[party->role];
    struct hostile_private offered = {.credit_count = HOSTILE_CREDITS_MAX};
    uint8_t private_data[64];
    uint32_t length_bytes;

    hostile_open(hostile);
    source->round_count = hostile_pick(hostile, 4);
    begin_stage(source, STAGE_STREAM, 4);
    if (hostile->is_odd[ODD_PIN_ALL])
        is_pin_all = !is_pin_all;
    if (hostile->is_odd[ODD_FEW_CREDITS])
        offered.credit_count = 1 + hostile_pick(hostile, HOSTILE_CREDITS_MAX);
    for (uint32_t i = 0; i < hostile->block_count && options->is_ram_told; i++)
        offered.bytes += hostile->blocks[i].length_bytes;
    offered.flags = (is_pin_all ? HOSTILE_FLAG_PIN_ALL : 0) |
                    (options->is_pipelined[party->role] ? HOSTILE_FLAG_PIPELINE : 0);
    length_bytes = hostile_private_data(hostile, &offered, private_data);
    port_connect(party->port, private_data, length_bytes);
}

struct party *hostile_source_make(struct world *world, struct port *port)
{
    static const struct hostile_role role = {managed, received, act};
    static const struct party_class class = {
        .name = "hostile source",
        .start = start,
        .completed = hostile_completed,
        .managed = hostile_managed,
        .cancel = hostile_cancel,
        .is_closed = hostile_is_closed,
        .is_pending = hostile_is_pending,
        .count = hostile_count,
        .free = hostile_free,
    };
    struct hostile_source *source = sim_allocated(calloc(1, sizeof(*source)));

    hostile_init(&source->hostile, world, port, &class, &role);
    port_attach(port, &source->hostile.party);
    return &source->hostile.party;
}
