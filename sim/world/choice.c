/* SPDX-License-Identifier: BSD-2-Clause */
/* Decisions from a seed, from bytes or from a list, and the list of those that were made. */
#include "choice.h"

#include "fail.h"

#include <string.h>

enum { MADE_CAPACITY_FIRST = 256 };

/* splitmix64. Fixed for ever: a seed in sim/seeds.txt must give the same world next year. */
uint64_t generator_next(uint64_t *state)
{
    uint64_t value;

    *state += UINT64_C(0x9e3779b97f4a7c15);
    value = *state;
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void choice_init_seed(struct choice *choice, uint64_t seed)
{
    memset(choice, 0, sizeof(*choice));
    choice->source = CHOICE_SEED;
    choice->state = seed;
}

void choice_init_bytes(struct choice *choice, const uint8_t *bytes, size_t byte_count)
{
    memset(choice, 0, sizeof(*choice));
    choice->source = CHOICE_BYTES;
    choice->bytes = bytes;
    choice->byte_count = byte_count;
}

void choice_init_list(struct choice *choice, const struct decision *list, size_t list_count)
{
    memset(choice, 0, sizeof(*choice));
    choice->source = CHOICE_LIST;
    choice->list = list;
    choice->list_count = list_count;
}

void choice_free(struct choice *choice)
{
    free(choice->made);
    memset(choice, 0, sizeof(*choice));
}

static uint32_t draw_seed(struct choice *choice, uint32_t bound)
{
    /* the upper half scaled down: no division, and off by 2^-32 at the most */
    return (uint32_t)(((generator_next(&choice->state) >> 32) * bound) >> 32);
}

/* As few bytes as the bound needs, so that a fuzzer's change of one byte changes one decision. */
static uint32_t draw_bytes(struct choice *choice, uint32_t bound)
{
    uint32_t needed_bytes = bound <= 256 ? 1 : bound <= 65536 ? 2 : 4;
    uint32_t value = 0;

    for (uint32_t i = 0; i < needed_bytes && choice->position < choice->byte_count; i++) {
        value |= (uint32_t)choice->bytes[choice->position++] << (8 * i);
    }
    return value % bound;
}

static uint32_t draw_list(struct choice *choice, uint32_t bound)
{
    uint32_t value = 0;

    if (choice->position < choice->list_count) {
        value = choice->list[choice->position++].value;
    }
    return value < bound ? value : 0;
}

static void record(struct choice *choice, uint32_t value, uint32_t bound)
{
    if (choice->made_count == choice->made_capacity) {
        size_t capacity =
            choice->made_capacity == 0 ? MADE_CAPACITY_FIRST : 2 * choice->made_capacity;

        choice->made = sim_allocated(realloc(choice->made, capacity * sizeof(*choice->made)));
        choice->made_capacity = capacity;
    }
    choice->made[choice->made_count].value = value;
    choice->made[choice->made_count].bound = bound;
    choice->made_count++;
}

uint32_t choice_below(struct choice *choice, uint32_t bound)
{
    uint32_t value = 0;

    if (bound < 2) {
        return 0;
    }
    switch (choice->source) {
    case CHOICE_SEED:
        value = draw_seed(choice, bound);
        break;
    case CHOICE_BYTES:
        value = draw_bytes(choice, bound);
        break;
    case CHOICE_LIST:
        value = draw_list(choice, bound);
        break;
    }
    record(choice, value, bound);
    return value;
}

uint32_t choice_between(struct choice *choice, uint32_t first, uint32_t last)
{
    uint32_t span = last - first;

    if (last <= first) {
        return first;
    }
    /* all 2^32 values have no bound that fits: the last one is left out then */
    return first + choice_below(choice, span == UINT32_MAX ? span : span + 1);
}

bool choice_chance(struct choice *choice, struct ratio ratio)
{
    if (ratio.numerator == 0) {
        return false;
    }
    if (ratio.numerator >= ratio.denominator) {
        return true; /* nothing to decide */
    }
    return choice_below(choice, ratio.denominator) >= ratio.denominator - ratio.numerator;
}
