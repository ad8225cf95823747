/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold when an attempt is over, as its users see it: who is done, who has the guest, what
 * was counted. */
#ifndef SIM_ENDING_H
#define SIM_ENDING_H

#include "party.h"

struct ending {
    bool is_first;            /* faults and hostile parties are in the first attempt only */
    uint64_t started_ns;      /* the attempt */
    uint32_t faults_taken[2]; /* a bit for each enum fault_kind */
    uint64_t transient_ns; /* how long those that end by themselves lasted together, at the most */
};

/* Reads the faults that took place out of the fabric. */
void ending_gather(struct ending *ending, const struct world *world);
/* The party will do nothing any more: closed, or its process is gone. */
bool ending_is_party_over(const struct world *world, enum rdmig_role role);
/* Breaks the world where something does not hold. */
void ending_check(struct world *world, const struct ending *ending);
/* The guest is at the source still, and nobody else can have it: another attempt must succeed. */
bool ending_allows_retry(const struct world *world);

const char *outcome_name(enum outcome outcome);

#endif
