/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways through the space of worlds. Each prints the command that repeats it first, and PASS or FAIL
 * last. They return what main returns: 0 passed, 1 an oracle broke, 2 the arguments are no good.
 */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H

#include "totals.h"

enum { EXIT_PASSED = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct explore_request {
    const char *program;
    const struct options *scenario; /* NULL: options are drawn */
    const char *scenario_arguments; /* those of the command line that made it: " --scenario FILE" */
    const char *write_path;         /* the record of a single world goes there, or NULL */
    uint32_t job_count;
    bool is_verbose;   /* options, and every line of the log */
    bool is_hash_only; /* print nothing but the hash */
    bool keeps_going;  /* --seeds: count what breaks, do not stop at it */
    bool needs_faults; /* --seeds: every kind of fault must have taken place */
};

int explore_seed(const struct explore_request *request, uint64_t seed);
int explore_seeds(const struct explore_request *request, uint64_t first, uint64_t last);
/* Lines `seed  commit-or-date  reason`. */
int explore_seeds_file(const struct explore_request *request, const char *path);
int explore_replay(const struct explore_request *request, const char *path);

/* exhaustive.c: every order of the first depth decisions of the scenario, alone and around every
 * fault at every moment. */
int explore_exhaustive(const struct explore_request *request, uint32_t depth);

/* minimize.c: fewer and lower decisions that break the same oracle. From a record, or (path NULL) a
 * seed. */
int explore_minimize(const struct explore_request *request, const char *path, uint64_t seed);

/* The seed's world as a record, by running it. True: it passed. */
struct record;
bool explore_record(const struct explore_request *request, uint64_t seed,
                    const struct run_report *report, struct record *record,
                    struct run_result *result);

#endif
