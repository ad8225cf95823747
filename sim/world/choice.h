/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every decision of a simulated world, from one of three sources: a seeded generator, bytes (of a
 * fuzzer), or a list of values (a replay, a minimised failure, one leaf of an enumeration).
 *
 * 0 is always the dull decision: no delay, no fault, the smallest. So a list that ends early, or is
 * set to 0 here and there, is a calmer run of the same world.
 *
 * A call is a statement of its own: two choices in one expression, or in one argument list, are
 * made in an order that the compiler is free to pick.
 */
#ifndef SIM_CHOICE_H
#define SIM_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum choice_source { CHOICE_SEED, CHOICE_BYTES, CHOICE_LIST };

struct decision {
    uint32_t value;
    uint32_t bound;
};

struct choice {
    enum choice_source source;
    uint64_t state; /* SEED */
    const uint8_t *bytes;
    size_t byte_count;
    const struct decision *list; /* LIST: values at or above the bound of the moment count as 0 */
    size_t list_count;
    size_t position;
    struct decision *made; /* every decision so far; ours until choice_free */
    size_t made_count;
    size_t made_capacity;
};

struct ratio {
    uint32_t numerator;
    uint32_t denominator;
};

void choice_init_seed(struct choice *choice, uint64_t seed);
void choice_init_bytes(struct choice *choice, const uint8_t *bytes, size_t byte_count);
void choice_init_list(struct choice *choice, const struct decision *list, size_t list_count);
void choice_free(struct choice *choice);

/* 0 to bound - 1. A bound of 0 or 1 is no decision: 0. */
uint32_t choice_below(struct choice *choice, uint32_t bound);
/* first to last, both included. */
uint32_t choice_between(struct choice *choice, uint32_t first, uint32_t last);
/* True numerator times out of denominator; the dull decision is false. */
bool choice_chance(struct choice *choice, struct ratio ratio);

/* A generator for what is no decision (a guest's addresses): seeded by one. */
uint64_t generator_next(uint64_t *state);

#endif
