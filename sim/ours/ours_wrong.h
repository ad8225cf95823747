/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that the core must refuse: ours_wrong_calls.c has the table, ours_wrong.c makes them. */
#ifndef SIM_OURS_WRONG_H
#define SIM_OURS_WRONG_H

#include "ours.h"

/* Tables of chunks up to that size are looked at, and made. */
enum { TABLE_BYTES_MAX = 65536 };

#define SAYS(name) (1u << RDMIG_E_##name)

struct wrong_call {
    struct rdmig_event event;
    uint32_t says; /* a bit for each refusal that is right */
};

/* False: there is no such call now. */
typedef bool wrong_call_maker(struct ours *ours, struct wrong_call *call);

struct wrong_call_row {
    wrong_call_maker *make;
    bool needs_drained; /* asks what the application knows: it must have heard everything then */
};
extern const struct wrong_call_row wrong_call_rows[];
extern const uint32_t wrong_call_row_count;

#endif
