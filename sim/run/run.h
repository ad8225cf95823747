/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One world from beginning to end: the safety phase (faults as planned), and when the migration did
 * not come through, the liveness phase: the same guest again, on a new connection and without
 * faults, must.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "party.h"

struct run_result {
    bool is_passed;
    char broken[BROKEN_TEXT_BYTES];
    uint64_t log_hash;
    uint64_t step_count;
    uint64_t decision_count;
    uint32_t attempt_count;
    enum outcome outcome[2];  /* of the first attempt */
    uint32_t faults_taken[2]; /* that happened to this end: a bit for each enum fault_kind */
    uint64_t ended_ns;
    struct party_numbers numbers[2];
    struct port_traffic traffic[2];
    uint64_t cpu_ns[2];
    uint64_t pinned_bytes_max[2];
    uint64_t simulator_bytes_max; /* of the guest's model, for the report */
};

struct run_report {
    FILE *log_file;    /* every line of the log, or NULL */
    FILE *broken_file; /* the last lines before an oracle broke, or NULL */
    /* How many decisions had been made when the first attempt's step of that number began; NULL: no
     * matter. */
    uint32_t *decisions_before_step;
    uint32_t step_capacity;
};

/* Draws nothing but what the world itself decides: options_draw is the caller's. True: passed. */
bool run_world(const struct options *options, struct choice *choice,
               const struct run_report *report, struct run_result *result);

#endif
