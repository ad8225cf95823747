/* SPDX-License-Identifier: BSD-2-Clause */
/* All of one minivmm, and what the commands on its control socket do. */
#ifndef MINIVMM_VMM_H
#define MINIVMM_VMM_H

#include "control.h"
#include "machine.h"
#include "migrate.h"
#include "options.h"

enum vmm_state {
    VMM_RUNNING,   /* the guest runs here */
    VMM_INCOMING,  /* waiting for a guest, or receiving one */
    VMM_MIGRATING, /* the guest runs here, or was stopped for the last round; it is being sent */
    VMM_MIGRATED,  /* the guest left; it never runs here again */
    VMM_FAILED,    /* no guest runs here: none arrived, or it is not known who has it */
    VMM_HALTED,    /* the guest found a fault, or broke, and stopped for good */
    VMM_STATE_COUNT
};

struct vmm {
    struct options options;
    struct machine machine;
    struct control control;
    struct migration migration;
    enum vmm_state state;
    bool may_continue; /* FAILED on a source, with the guest's memory and state still here */
    bool ends;
    struct problem last_problem;
};

const char *vmm_state_name(enum vmm_state state);

/* A control_command; context is the struct vmm. */
void vmm_command(void *context, char *command, char *answer, size_t capacity_bytes);

#endif
