/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feeds a stream to the parser in every kind of portions and notes all that its user can see.
 * Included by the tests of the parser; brings cmocka along.
 */
#ifndef RDMIG_TESTS_UNIT_STREAM_OUTCOME_H
#define RDMIG_TESTS_UNIT_STREAM_OUTCOME_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/qemu/stream.h"

enum { PORTION_WHOLE = 0, PORTION_BYTE = 1, PORTION_RANDOM = 2 };

/* All that a user of the parser can see of one stream. */
struct outcome {
    char events[256];  /* "event@position " each, but for STATE_BYTES */
    uint8_t state[64]; /* all state bytes, however they were cut; beyond 64 XORed over them */
    size_t state_bytes;
    char error[256];
    enum qemu_stream_format format;
    enum qemu_stream_event last;
    uint64_t position_bytes;
    uint64_t hook_position_bytes;
    uint32_t block_count;
    uint64_t blocks_bytes;
    uint64_t names_sum;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static size_t choose_portion(int portions, size_t left_bytes, uint32_t *seed)
{
    size_t portion_bytes = left_bytes;

    if (portions == PORTION_BYTE) {
        portion_bytes = 1;
    } else if (portions == PORTION_RANDOM) {
        portion_bytes = next_random(seed) % 23;
    }
    return portion_bytes < left_bytes ? portion_bytes : left_bytes;
}

static void note_event(const struct qemu_stream *stream, const struct qemu_stream_state *state,
                       struct outcome *outcome)
{
    size_t used = strlen(outcome->events);

    if (outcome->last == QEMU_STREAM_STATE_BYTES) {
        for (size_t i = 0; i < state->length_bytes; i++) {
            outcome->state[outcome->state_bytes++ % sizeof(outcome->state)] ^= state->bytes[i];
        }
        return;
    }
    assert_null(state->bytes);
    assert_int_equal(state->length_bytes, 0);
    if (outcome->last != QEMU_STREAM_NEED_MORE && outcome->last != QEMU_STREAM_BROKEN) {
        snprintf(outcome->events + used, sizeof(outcome->events) - used, "%d@%llu ",
                 (int)outcome->last, (unsigned long long)qemu_stream_position(stream));
    }
}

/* One portion, in memory of exactly its size, so that a sanitizer sees every byte read too far. */
static void feed_portion(struct qemu_stream *stream, const uint8_t *bytes, size_t length_bytes,
                         struct outcome *outcome)
{
    uint8_t *portion = malloc(length_bytes == 0 ? 1 : length_bytes);
    size_t offset_bytes = 0;

    assert_non_null(portion);
    memcpy(portion, bytes, length_bytes);
    do {
        struct qemu_stream_state state;
        size_t consumed_bytes;
        const uint8_t *next = portion + offset_bytes;

        outcome->last =
            qemu_stream_feed(stream, next, length_bytes - offset_bytes, &consumed_bytes, &state);
        assert_true(consumed_bytes <= length_bytes - offset_bytes);
        if (outcome->last == QEMU_STREAM_STATE_BYTES) {
            assert_true(state.length_bytes != 0 && state.bytes >= next);
            assert_ptr_equal(state.bytes + state.length_bytes, next + consumed_bytes);
        }
        note_event(stream, &state, outcome);
        offset_bytes += consumed_bytes;
    } while (outcome->last != QEMU_STREAM_NEED_MORE && outcome->last != QEMU_STREAM_BROKEN);
    assert_true(outcome->last == QEMU_STREAM_BROKEN || offset_bytes == length_bytes);
    free(portion);
}

static void note_blocks(const struct qemu_stream *stream, struct outcome *outcome)
{
    outcome->block_count = qemu_stream_block_count(stream);
    assert_null(qemu_stream_block(stream, outcome->block_count));
    for (uint32_t i = 0; i < outcome->block_count; i++) {
        const struct qemu_stream_block *block = qemu_stream_block(stream, i);

        assert_true(strlen(block->name) >= 1 && strlen(block->name) <= 255);
        assert_true(block->length_bytes != 0 && block->length_bytes % 4096 == 0);
        outcome->blocks_bytes += block->length_bytes;
        for (const char *c = block->name; *c != '\0'; c++) {
            outcome->names_sum = outcome->names_sum * 31 + (uint8_t)*c;
        }
    }
}

static struct outcome parse(const void *bytes, size_t length_bytes, int portions, uint32_t seed)
{
    struct qemu_stream *stream = qemu_stream_create();
    struct outcome outcome;
    size_t offset_bytes = 0;

    memset(&outcome, 0, sizeof(outcome));
    assert_non_null(stream);
    while (offset_bytes < length_bytes && outcome.last != QEMU_STREAM_BROKEN) {
        size_t portion_bytes = choose_portion(portions, length_bytes - offset_bytes, &seed);

        feed_portion(stream, (const uint8_t *)bytes + offset_bytes, portion_bytes, &outcome);
        offset_bytes += portion_bytes;
    }
    outcome.format = qemu_stream_format(stream);
    outcome.position_bytes = qemu_stream_position(stream);
    outcome.hook_position_bytes = qemu_stream_hook_position(stream);
    snprintf(outcome.error, sizeof(outcome.error), "%s", qemu_stream_error(stream));
    assert_int_equal(outcome.last == QEMU_STREAM_BROKEN, outcome.error[0] != '\0');
    for (const char *c = outcome.error; *c != '\0'; c++) {
        assert_true(*c >= ' ' && *c <= '~');
    }
    note_blocks(stream, &outcome);
    qemu_stream_destroy(stream);
    return outcome;
}

/* The same outcome whole, byte by byte and in random portions; returned for a closer look. */
static struct outcome parse_all_ways(const void *bytes, size_t length_bytes)
{
    struct outcome whole = parse(bytes, length_bytes, PORTION_WHOLE, 0);
    struct outcome bytewise = parse(bytes, length_bytes, PORTION_BYTE, 0);

    assert_memory_equal(&whole, &bytewise, sizeof(whole));
    for (uint32_t seed = 1; seed <= 8; seed++) {
        struct outcome random = parse(bytes, length_bytes, PORTION_RANDOM, seed);

        assert_memory_equal(&whole, &random, sizeof(whole));
    }
    return whole;
}

#endif
