/* SPDX-License-Identifier: BSD-2-Clause */
/* When the link's descriptor becomes readable by itself. */
#include "link_internal.h"

#include <sys/timerfd.h>

/*
 * A deadline that moves away is left alone: the timer wakes us once for nothing and is set anew
 * then. Deadlines move with every completion, and each setting is a system call.
 */
static void set_timer(struct link *link, uint64_t deadline_ns)
{
    struct itimerspec spec = {0};
    uint64_t at_ns = deadline_ns == 0 ? 1 : deadline_ns; /* 0 would switch the timer off */

    if (deadline_ns == link->timer_ns)
        return;
    if (deadline_ns != RDMIG_NO_DEADLINE && deadline_ns > link->timer_ns)
        return;
    if (deadline_ns != RDMIG_NO_DEADLINE) {
        spec.it_value.tv_sec = (time_t)(at_ns / LINK_NS_PER_S);
        spec.it_value.tv_nsec = (long)(at_ns % LINK_NS_PER_S);
    }
    if (timerfd_settime(link->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        link->timer_ns = deadline_ns;
}

/* Completions must be looked at before the next region is registered or deregistered. */
bool timer_has_worked_enough(const struct link *link)
{
    return link->busy_ns >= LINK_BUSY_NS_MAX;
}

void timer_arm(struct link *link)
{
    uint64_t deadline_ns = rdmig_conn_deadline_ns(link->conn);

    if (link->state == LINK_CLOSED)
        deadline_ns = link->is_notification_due ? 0 : RDMIG_NO_DEADLINE;
    else if (timer_has_worked_enough(link))
        deadline_ns = 0;
    else if ((link->state == LINK_RESOLVING_ADDRESS || link->state == LINK_RESOLVING_ROUTE) &&
             link->attempt_deadline_ns < deadline_ns)
        deadline_ns = link->attempt_deadline_ns;
    set_timer(link, deadline_ns);
}
