/* SPDX-License-Identifier: BSD-2-Clause */
/* A migration of the machine's guest, out or in: everything minivmm does with librdmig. */
#ifndef MINIVMM_MIGRATE_H
#define MINIVMM_MIGRATE_H

#include "machine.h"

#include <rdmig/rdmig.h>

enum migration_outcome {
    MIGRATION_UNDER_WAY,
    MIGRATION_COMPLETED, /* the guest is the destination's */
    MIGRATION_FAILED,    /* the guest is the source's; the problem tells why */
    MIGRATION_CANCELLED, /* likewise, because somebody wanted it */
    MIGRATION_UNKNOWN,   /* source: the guest may be the destination's; it must not run here */
};

/* Where this end is; the names are in the status. */
enum migration_step {
    MIGRATION_STEP_NONE,
    /* source */
    MIGRATION_STEP_CONNECT,
    MIGRATION_STEP_ROUNDS,     /* the guest runs, memory is copied */
    MIGRATION_STEP_LAST_ROUND, /* the guest is stopped, the rest is copied */
    MIGRATION_STEP_STATE,      /* the vCPU's state is being written to the stream */
    MIGRATION_STEP_HANDOVER,
    MIGRATION_STEP_GIVE_UP,
    /* destination */
    MIGRATION_STEP_RECEIVE,
    MIGRATION_STEP_CONFIRM,
    MIGRATION_STEP_OVER,
    MIGRATION_STEP_COUNT
};

struct migration {
    struct machine *machine;
    struct rdmig_source *source; /* at most one of the two */
    struct rdmig_destination *destination;
    enum migration_step step;
    uint32_t round_count;       /* with the guest running */
    struct problem own_problem; /* why this end gave up, if it was this end */
    uint64_t *bitmap;
    uint8_t *state;
    size_t state_length;
    size_t state_done; /* bytes written to the stream */
    bool was_source;   /* what the numbers are about */
    bool has_numbers;
    struct rdmig_progress numbers;
    uint16_t port;
};

const char *migration_step_name(enum migration_step step);

/* Both return 0, or -1 with the problem filled and nothing begun. */
int migration_send(struct migration *migration, struct machine *machine, const char *host,
                   const char *service, bool pin_all, struct problem *problem);
int migration_receive(struct migration *migration, struct machine *machine, const char *host,
                      const char *service, struct problem *problem);

/* The descriptor to poll for reading, -1 if no migration is under way. */
int migration_fd(const struct migration *migration);

/* Call it when the descriptor is readable. Any outcome but UNDER_WAY is told once, and ends the
 * migration. Unless the outcome says otherwise, the guest runs on where it is then. */
enum migration_outcome migration_process(struct migration *migration, struct problem *problem);

/* Gives up; the outcome comes through migration_process. why: NULL, or the cause to report.
 * -1: the hand-over is under way and cannot be taken back, its outcome comes by itself. */
int migration_cancel(struct migration *migration, const struct problem *why);

/* Ends whatever is under way at once, without a word to the guest. */
void migration_end(struct migration *migration);

/* The numbers of the current migration, or of the last one. False: there was none. */
bool migration_numbers(struct migration *migration, struct rdmig_progress *numbers);

#endif
