/* SPDX-License-Identifier: BSD-2-Clause */
/* The ends that the core does not know, and the one that it has to hear of. */
#include "link_internal.h"

void link_fail(struct link *link, enum rdmig_reason reason, int32_t os_code, const char *detail)
{
    if (link->own.reason == RDMIG_REASON_NONE)
        explain_error(&link->own, reason, os_code, detail);
    queue_destroy(link);
    identifier_destroy(link);
    if (link->state == LINK_CLOSED)
        return;
    link_enter(link, LINK_CLOSED);
    link->is_notification_due = true;
    timer_arm(link);
}

void link_disconnected(struct link *link)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_DISCONNECTED};

    if (link->state != LINK_ESTABLISHED && link->state != LINK_CONNECTING &&
        link->state != LINK_ACCEPTING)
        return;
    /* What the hardware finished before the peer left counts: a peer may leave right after its last
     * message. */
    link_enter(link, LINK_CLOSING);
    queue_poll(link);
    link_step_core(link, &event);
}
