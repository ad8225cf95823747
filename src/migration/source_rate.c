/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast memory goes. Data and zeros are measured apart: what the guest writes next is data, and
 * a first round over mostly empty memory covers terabytes a second.
 */
#include "source.h"

#define SECOND_NS UINT64_C(1000000000)
/* Less says nothing about a rate. */
#define SAMPLE_BYTES_MIN (UINT64_C(1) << 20)

static uint64_t rate_of(uint64_t bytes, uint64_t passed_ns)
{
    const double rate = (double)bytes * (double)SECOND_NS / (double)(passed_ns ? passed_ns : 1);

    return rate >= 0x1p63 ? UINT64_MAX / 2 : (uint64_t)rate;
}

void source_rate_round_begins(struct rdmig_source *source)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(link_conn(source->link), &counters);
    source->rate.round_start_ns = link_now_ns();
    source->rate.round_covered_bytes = counters.bytes_written + counters.bytes_zero;
}

static void measure_covered(struct source_rate *rate, const struct rdmig_conn_counters *counters)
{
    const uint64_t moved_bytes =
        counters->bytes_written + counters->bytes_zero - rate->round_covered_bytes;

    if (moved_bytes >= SAMPLE_BYTES_MIN || rate->covered_bytes_per_s == 0)
        rate->covered_bytes_per_s = rate_of(moved_bytes, link_now_ns() - rate->round_start_ns);
}

/* A sample goes on over rounds until it is large enough; until then a small one is better than
 * none. */
static void measure_data(struct source_rate *rate, const struct rdmig_conn_counters *counters)
{
    const uint64_t bytes = counters->bytes_written - rate->data_bytes;
    const bool is_enough = bytes >= SAMPLE_BYTES_MIN;

    if (!is_enough && (bytes == 0 || rate->data_bytes > 0))
        return;
    rate->data_bytes_per_s = rate_of(bytes, counters->data_ns - rate->data_ns);
    if (!is_enough)
        return;
    rate->data_bytes = counters->bytes_written;
    rate->data_ns = counters->data_ns;
}

void source_rate_round_ended(struct rdmig_source *source)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(link_conn(source->link), &counters);
    measure_covered(&source->rate, &counters);
    measure_data(&source->rate, &counters);
    source->rate.has_round_ended = true;
}

uint64_t source_rate_data_bytes_per_s(const struct rdmig_source *source)
{
    const uint64_t cap = source->options.bandwidth_bytes_per_s;
    const uint64_t measured = source->rate.data_bytes_per_s;

    return measured != 0 && cap != 0 && cap < measured ? cap : measured;
}
