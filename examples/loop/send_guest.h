/* SPDX-License-Identifier: BSD-2-Clause */
/* A source from end to end, for a VMM that has a thread to wait in. What the VMM does itself is in
 * struct vmm_calls. */
#ifndef SEND_GUEST_H
#define SEND_GUEST_H

#include <rdmig/rdmig.h>

struct vmm_calls {
    /* Logs the guest's writes from now on; false: that cannot be done. */
    bool (*start_log)(void *vmm);
    void (*stop_log)(void *vmm);
    /* Fetches and clears the log, and hands it to rdmig_source_mark_dirty() for each block; false:
     * something was refused. */
    bool (*hand_in_log)(void *vmm, struct rdmig_source *source);
    /* Stops vCPUs and whoever else writes guest RAM, so that the log is complete. */
    void (*stop_guest)(void *vmm);
    void (*run_guest)(void *vmm);
    /* rdmig_source_stream_write() of the devices' and vCPUs' state, waiting for room with
     * rdmig_source_wait(); false: something was refused. */
    bool (*write_state)(void *vmm, struct rdmig_source *source);
    /* Does the VMM want the migration to end? Asked after each signal and round. */
    bool (*is_cancelled)(void *vmm);
};

/*
 * Sends the guest that runs in vmm to host:port. True: the destination runs it. False: it runs on
 * here and *error says why; but with HANDOVER_UNKNOWN it stands still, since it may run there: the
 * caller has to make sure before it lets it run.
 */
bool send_guest(void *vmm, const struct vmm_calls *calls, const struct rdmig_ram_block *blocks,
                uint32_t block_count, const char *host, const char *port,
                const struct rdmig_options *options, struct rdmig_error *error);

#endif
