/* SPDX-License-Identifier: BSD-2-Clause */
/* Many worlds: what they came to, added up; and several processes that share them out. */
#ifndef SIM_TOTALS_H
#define SIM_TOTALS_H

#include "run.h"

enum { JOBS_MAX = 256, SURVEY_MAX = 40, SURVEY_NAME_BYTES = 40 };

/* An oracle that broke, when it is not the end of the run. */
struct survey_line {
    char name[SURVEY_NAME_BYTES];
    uint64_t count;
    uint64_t first_seed;
};

struct totals {
    uint64_t world_count;
    uint64_t outcome_count[4]; /* of the end that says more: the source, unless that is hostile */
    uint64_t retry_count;      /* liveness phases */
    uint64_t step_count;
    uint64_t decision_count;
    uint64_t pair_count[PARTY_KIND_COUNT][PARTY_KIND_COUNT]; /* source, destination */
    uint64_t fault_count[FAULT_KIND_COUNT];                  /* that took place */
    uint64_t pipelined_fault_count[FAULT_KIND_COUNT]; /* of them, where both ends know PIPELINE */
    uint64_t pipelined_count;                         /* worlds */
    uint64_t limited_count;                           /* worlds with a limit on pinned memory */
    uint64_t hash_sum;                                /* of all log hashes: the same in any order */
    uint64_t broken_count;
    struct survey_line survey[SURVEY_MAX];
};

void totals_add(struct totals *totals, const struct options *options,
                const struct run_result *result);
/* Counts a broken oracle by its name, which is what stands before the first colon. */
void totals_add_broken(struct totals *totals, const char *broken, uint64_t seed);
void totals_print(const struct totals *totals, FILE *file);

/* Runs item number; false: it failed. What it prints goes nowhere useful: it runs in a process of
 * its own. */
typedef bool work_function(const void *context, uint64_t number, struct totals *totals);

struct work_plan {
    uint64_t first;
    uint64_t last; /* included */
    uint32_t job_count;
    work_function *function;
    const void *context;
};

struct work_failure {
    uint64_t number; /* the lowest that failed */
    int signal;      /* that ended its process; 0: it failed in order */
    bool has_exited; /* its process ended itself, as sanitizers do */
};

/*
 * Item n is done by process n % job_count. After a failure only lower numbers are still done, so
 * the one reported is the same however many processes there are. True: none failed.
 */
bool work_run(const struct work_plan *plan, struct totals *totals, struct work_failure *failure);

#endif
