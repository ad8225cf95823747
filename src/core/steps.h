/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State machines as tables: NAME_STEPS(STEP) has a STEP(from, to, "why") for each lawful step, in
 * the order in which ci/pictures draws them; MACHINE_DEFINE(name, NAME_STEPS) makes of it what the
 * code asks before it changes a state.
 */
#ifndef RDMIG_CORE_STEPS_H
#define RDMIG_CORE_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_STEP_CASE(from, to, why) case (uint32_t)(from) << 8 | (uint32_t)(to):
/* is_NAME_step(): to stay is lawful. */
#define MACHINE_DEFINE(name, STEPS)                                                                \
    static inline bool is_##name##_step(uint32_t from, uint32_t to)                                \
    {                                                                                              \
        switch (from << 8 | to) {                                                                  \
            STEPS(MACHINE_STEP_CASE)                                                               \
            return true;                                                                           \
        default:                                                                                   \
            return from == to;                                                                     \
        }                                                                                          \
    }

#endif
