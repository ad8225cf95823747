/* SPDX-License-Identifier: BSD-2-Clause */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TURN_NS        UINT64_C(10000)
#define TURN_COUNT_MAX 200000u

static const struct {
    const char *name;
    uint64_t length_bytes;
} layout[END_BLOCK_COUNT] = {
    {"ram.main", UINT64_C(5) << 20},
    {"ram.odd", (UINT64_C(3) << 20) + 12288},
    {"ram.zero", UINT64_C(4) << 20},
};

static void fill_random(uint8_t *bytes, uint64_t length_bytes)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    for (uint64_t i = 0; i < length_bytes; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)state | 1;
    }
}

void ends_init(struct two_ends *ends)
{
    *ends =
        (struct two_ends){.is_reading = true, .is_confirming = true, .is_destination_run = true};
    pair_reset();
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++) {
        const uint64_t length_bytes = layout[i].length_bytes;
        const uint32_t mirrored = END_BLOCK_COUNT - 1 - i;

        ends->source_ram[i] = aligned_alloc(4096, length_bytes);
        ends->destination_ram[i] = aligned_alloc(4096, length_bytes);
        memset(ends->source_ram[i], 0, length_bytes);
        memset(ends->destination_ram[i], 0xee, length_bytes);
        ends->source_blocks[i] =
            (struct rdmig_ram_block){layout[i].name, ends->source_ram[i], length_bytes};
        ends->destination_blocks[mirrored] =
            (struct rdmig_ram_block){layout[i].name, ends->destination_ram[i], length_bytes};
    }
    fill_random(ends->source_ram[0], layout[0].length_bytes);
    fill_random(ends->source_ram[1], layout[1].length_bytes / 2);
    ends->stream = malloc(END_STREAM_MAX);
}

void ends_create(struct two_ends *ends, const struct rdmig_options *source_options,
                 const struct rdmig_options *destination_options)
{
    struct rdmig_error error;

    assert_int_equal(rdmig_destination_create(&ends->destination, "here", "1",
                                              ends->destination_blocks, END_BLOCK_COUNT,
                                              destination_options, &error),
                     0);
    (void)rdmig_destination_process(ends->destination);
    assert_int_equal(rdmig_source_create(&ends->source, "there", "1", ends->source_blocks,
                                         END_BLOCK_COUNT, source_options, &error),
                     0);
}

void ends_free(struct two_ends *ends)
{
    rdmig_source_destroy(ends->source);
    rdmig_destination_destroy(ends->destination);
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++) {
        free(ends->source_ram[i]);
        free(ends->destination_ram[i]);
    }
    free(ends->stream);
}

static void serve_destination(struct two_ends *ends)
{
    int64_t count;

    if (!ends->destination || !ends->is_destination_run)
        return;
    (void)rdmig_destination_process(ends->destination);
    do {
        /* An odd portion, so that no boundary of a message or section is met by chance alone. */
        count = ends->is_reading ? rdmig_destination_stream_read(
                                       ends->destination, ends->stream + ends->stream_bytes, 4999)
                                 : 0;
        if (count > 0)
            ends->stream_bytes += (uint64_t)count;
    } while (count > 0 && ends->stream_bytes + 4999 < END_STREAM_MAX);
    if (ends->is_confirming &&
        rdmig_destination_state(ends->destination) == RDMIG_DESTINATION_PREPARED)
        (void)rdmig_destination_confirm(ends->destination);
}

void ends_turn(struct two_ends *ends, uint32_t turn_count)
{
    for (uint32_t i = 0; i < turn_count; i++) {
        if (ends->source)
            (void)rdmig_source_process(ends->source);
        serve_destination(ends);
        pair_advance_ns(TURN_NS);
    }
}

void ends_run_source(struct two_ends *ends, enum rdmig_source_state state)
{
    for (uint32_t i = 0; i < TURN_COUNT_MAX && rdmig_source_state(ends->source) == state; i++)
        ends_turn(ends, 1);
    assert_int_not_equal(rdmig_source_state(ends->source), state);
}

void ends_run_destination(struct two_ends *ends, enum rdmig_destination_state state)
{
    for (uint32_t i = 0; i < TURN_COUNT_MAX && rdmig_destination_state(ends->destination) == state;
         i++)
        ends_turn(ends, 1);
    assert_int_not_equal(rdmig_destination_state(ends->destination), state);
}

void ends_write_stream(struct two_ends *ends, const void *bytes, uint64_t length_bytes,
                       uint64_t portion_bytes)
{
    const uint8_t *at = bytes;
    uint32_t turns = 0;

    while (length_bytes > 0 && turns++ < TURN_COUNT_MAX) {
        const uint64_t portion = length_bytes < portion_bytes ? length_bytes : portion_bytes;
        const int64_t taken = rdmig_source_stream_write(ends->source, at, portion);

        assert_true(taken >= 0 && (uint64_t)taken <= portion);
        at += taken;
        length_bytes -= (uint64_t)taken;
        if (taken == 0)
            ends_turn(ends, 1);
    }
    assert_int_equal(length_bytes, 0);
}

void ends_assert_ram_equal(const struct two_ends *ends)
{
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++)
        assert_memory_equal(ends->source_ram[i], ends->destination_ram[i], layout[i].length_bytes);
}
