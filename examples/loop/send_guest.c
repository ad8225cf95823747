/* SPDX-License-Identifier: BSD-2-Clause */
#include "send_guest.h"

#include <stddef.h>

/* A guest that writes faster than the link takes is not stopped for minutes: it stays here. */
#define ROUND_COUNT_MAX 30

static bool is_idle(const struct rdmig_source *source)
{
    return rdmig_source_state(source) == RDMIG_SOURCE_IDLE;
}

/* Until the state is another one. A signal ends a wait of the library's: it may be for the VMM. */
static void wait_while(void *vmm, const struct vmm_calls *calls, struct rdmig_source *source,
                       enum rdmig_source_state state)
{
    while (rdmig_source_state(source) == state) {
        (void)rdmig_source_wait(source, state, 1000);
        if (calls->is_cancelled(vmm))
            (void)rdmig_source_cancel(source); /* refused when the hand-over is on its way */
    }
}

static void send_round(void *vmm, const struct vmm_calls *calls, struct rdmig_source *source)
{
    if (rdmig_source_start_round(source) != 0)
        (void)rdmig_source_cancel(source);
    wait_while(vmm, calls, source, RDMIG_SOURCE_SENDING);
}

static void hand_in_log(void *vmm, const struct vmm_calls *calls, struct rdmig_source *source)
{
    if (!calls->hand_in_log(vmm, source))
        (void)rdmig_source_cancel(source);
}

/* The guest stands still: what it wrote last, its state, and it is handed over. */
static void hand_over(void *vmm, const struct vmm_calls *calls, struct rdmig_source *source)
{
    (void)rdmig_source_guest_stopped(source);
    hand_in_log(vmm, calls, source);
    if (is_idle(source))
        send_round(vmm, calls, source);
    if (is_idle(source) && (!calls->write_state(vmm, source) || rdmig_source_finish(source) != 0))
        (void)rdmig_source_cancel(source);
    wait_while(vmm, calls, source, RDMIG_SOURCE_FINISHING);
}

static bool migrate(void *vmm, const struct vmm_calls *calls, struct rdmig_source *source)
{
    bool is_stopped = false;

    /* README: begin */
    wait_while(vmm, calls, source, RDMIG_SOURCE_CONNECTING);
    if (is_idle(source) && !calls->start_log(vmm)) /* before the first page is read */
        rdmig_source_cancel(source);
    for (int round = 0; is_idle(source) && !is_stopped; round++) {
        hand_in_log(vmm, calls, source);             /* first the log, */
        is_stopped = rdmig_source_converged(source); /* then the question, */
        if (!is_stopped && round == ROUND_COUNT_MAX)
            rdmig_source_cancel(source); /* (it will not converge) */
        else if (!is_stopped && is_idle(source))
            send_round(vmm, calls, source); /* then another round: the guest runs */
    }
    if (is_stopped) { /* only here, and only then: every failure leaves the guest running */
        calls->stop_guest(vmm);
        hand_over(vmm, calls, source);
    }
    /* README: end */
    wait_while(vmm, calls, source, RDMIG_SOURCE_CANCELLING);
    return is_stopped;
}

bool send_guest(void *vmm, const struct vmm_calls *calls, const struct rdmig_ram_block *blocks,
                uint32_t block_count, const char *host, const char *port,
                const struct rdmig_options *options, struct rdmig_error *error)
{
    struct rdmig_source *source;
    bool is_completed;
    bool is_stopped;

    if (rdmig_source_create(&source, host, port, blocks, block_count, options, error) != 0)
        return false;
    is_stopped = migrate(vmm, calls, source);
    is_completed = rdmig_source_state(source) == RDMIG_SOURCE_COMPLETED;
    *error = *rdmig_source_error(source);
    calls->stop_log(vmm);
    if (is_stopped && !is_completed && error->reason != RDMIG_REASON_HANDOVER_UNKNOWN)
        calls->run_guest(vmm);
    rdmig_source_destroy(source); /* takes time, and is nobody's downtime any more */
    return is_completed;
}
