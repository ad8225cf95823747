/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <string.h>

enum rdmig_pin_all_refusal stats_pin_all_refusal(const struct rdmig_options *options,
                                                 enum rdmig_role role, const struct link *link)
{
    const struct rdmig_conn *conn = link_conn(link);
    const bool is_source = role == RDMIG_ROLE_SOURCE;
    const bool is_offered = (rdmig_conn_offered_flags(conn) & RDMIG_CAPABILITY_PIN_ALL) != 0;

    if ((is_source ? !options->pin_all : !is_offered) ||
        (rdmig_conn_capability_flags(conn) & RDMIG_CAPABILITY_PIN_ALL) != 0)
        return RDMIG_PIN_ALL_NOT_REFUSED;
    if (!is_source)
        return options->refuse_pin_all ? RDMIG_PIN_ALL_REFUSED_BY_OPTION
                                       : RDMIG_PIN_ALL_REFUSED_BY_LIMIT;
    if (!is_offered)
        return RDMIG_PIN_ALL_REFUSED_BY_LIMIT;
    return link_is_connected(link) ? RDMIG_PIN_ALL_REFUSED_BY_PEER : RDMIG_PIN_ALL_NOT_REFUSED;
}

void stats_give(const struct rdmig_progress *full, struct rdmig_progress *out, size_t out_bytes)
{
    memset(out, 0, out_bytes);
    memcpy(out, full, out_bytes < sizeof(*full) ? out_bytes : sizeof(*full));
}

void stats_progress(const struct stats *stats, const struct link *link, const struct budget *budget,
                    struct rdmig_progress *out)
{
    const uint64_t now_ns = stats->ended_ns ? stats->ended_ns : link_now_ns();
    const struct rdmig_conn *conn = link_conn(link);
    struct rdmig_conn_counters counters = {0};
    struct link_stats pinned;

    link_stats(link, &pinned);
    if (conn) {
        rdmig_conn_counters(conn, &counters);
        out->pin_all = (rdmig_conn_capability_flags(conn) & RDMIG_CAPABILITY_PIN_ALL) != 0;
    }
    out->bytes_written = counters.bytes_written;
    out->bytes_zero = counters.bytes_zero;
    out->bytes_stream = counters.bytes_stream;
    out->rounds = counters.rounds;
    out->control_messages = counters.control_messages;
    out->control_bytes = counters.control_bytes;
    out->round_trips = counters.round_trips;
    out->registrations = counters.registrations;
    out->pinned_bytes = pinned.pinned_bytes;
    out->pinned_peak_bytes = pinned.pinned_bytes_max;
    out->relaxed_ordering = pinned.is_relaxed;
    out->on_demand_paging = pinned.is_on_demand;
    out->pinned_limit_bytes = budget->limit_bytes;
    if (stats->start_ns == 0)
        return;
    out->setup_ns = (stats->exchanged_ns ? stats->exchanged_ns : now_ns) - stats->start_ns;
    out->total_ns = now_ns - stats->start_ns;
    out->downtime_ns = stats->stopped_ns ? now_ns - stats->stopped_ns : 0;
}

void numbers_trace_state(const struct trace *trace, const char *state,
                         const struct rdmig_error *error)
{
    const uint64_t now_ns = link_now_ns();

    trace_print(trace, now_ns, "state %s", state);
    if (error->reason != RDMIG_REASON_NONE)
        trace_print(trace, now_ns, "cause %s os_code=%d: %s", rdmig_reason_name(error->reason),
                    error->os_code, error->detail);
}
