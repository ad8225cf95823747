/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A world on paper: its options as scenario lines, then `decisions:` and each decision as
 * value/bound. Of a drawn world the first drawn_count decisions made the options.
 */
#ifndef SIM_RECORD_H
#define SIM_RECORD_H

#include "run.h"

struct record {
    struct options options;
    struct decision *decisions;
    size_t decision_count;
    size_t drawn_count; /* 0: the options were given */
};

/* NULL, or what is wrong (static text). */
const char *record_read(struct record *record, const char *path);
/* False: it cannot be written. title: a line of comment. */
bool record_write(const struct record *record, const char *path, const char *title);
void record_free(struct record *record);

/*
 * Takes a copy of the decisions that were made; those at the end that are 0 are left out, since
 * that is what a list gives beyond its end.
 */
void record_keep(struct record *record, const struct options *options, const struct choice *choice,
                 size_t drawn_count);

/*
 * Runs it. Of a drawn world the options are drawn anew, so that a changed list is a changed world,
 * and kept in the record, with all that was decided.
 */
bool record_run(struct record *record, const struct run_report *report, struct run_result *result);

#endif
