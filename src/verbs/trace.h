/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a handle tells its caller of what it does, a line a call (rdmig_source_set_trace() and
 * rdmig_destination_set_trace()). Off, it costs the look at `kinds`.
 */
#ifndef RDMIG_VERBS_TRACE_H
#define RDMIG_VERBS_TRACE_H

#include <rdmig/core.h>
#include <rdmig/rdmig.h>

struct trace {
    uint32_t kinds; /* enum rdmig_trace_kind; 0: off */
    rdmig_trace_line write_line;
    void *opaque;
};

/* Lets lines of these kinds go to write_line; -INVALID for kinds that there are not, or for some and
 * nobody to write to. */
int trace_set(struct trace *trace, uint32_t kinds, rdmig_trace_line write_line, void *opaque);

static inline bool trace_has(const struct trace *trace, uint32_t kinds)
{
    return trace && (trace->kinds & kinds) != 0;
}

/* One line, the time in front. Only where trace_has() the kind. */
void trace_print(const struct trace *trace, uint64_t now_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What the core has been fed, or gives; each is of one kind, and what failed is of STATES, too. */
void trace_event(const struct trace *trace, const struct rdmig_event *event);
void trace_action(const struct trace *trace, uint64_t now_ns, const struct rdmig_action *action);
/* what: "send", "received". */
void trace_message(const struct trace *trace, uint64_t now_ns, const char *what, const void *bytes,
                   uint64_t length_bytes);

#endif
