/* SPDX-License-Identifier: BSD-2-Clause */
#include "calls.h"

uint8_t draw_byte(struct draw *draw)
{
    if (draw->left_bytes == 0)
        return 0;
    draw->left_bytes--;
    return *draw->bytes++;
}

uint32_t draw_below(struct draw *draw, uint32_t count)
{
    uint32_t value = draw_byte(draw);

    if (count > 256)
        value = value << 8 | draw_byte(draw);
    return value % count;
}

bool draw_seldom(struct draw *draw)
{
    return draw_byte(draw) >= 240;
}

uint64_t draw_wild(struct draw *draw, uint64_t near)
{
    const uint64_t far[] = {0,
                            near - 1,
                            near,
                            near + 1,
                            RDMIG_PAGE_BYTES - 1,
                            RDMIG_PAGE_BYTES + 1,
                            RDMIG_CHUNK_BYTES,
                            INT32_MAX,
                            UINT32_MAX,
                            (uint64_t)UINT32_MAX + 1,
                            UINT64_C(1) << 52,
                            UINT64_C(1) << 63,
                            UINT64_MAX - RDMIG_PAGE_BYTES + 1,
                            UINT64_MAX - 63,
                            UINT64_MAX - 1,
                            UINT64_MAX};
    const uint8_t kind = draw_byte(draw);

    if (kind >= 240)
        return far[kind - 240];
    return near == 0 ? 0 : ((uint64_t)kind << 8 | draw_byte(draw)) % near;
}

/* A limit in milliseconds: mostly the default. */
static uint32_t draw_limit(struct draw *draw)
{
    static const uint32_t limits_ms[] = {1, 20, 1000, 30000, 3600000, UINT32_MAX - 1, UINT32_MAX};

    return limits_ms[draw_below(draw, 7)];
}

static void draw_limits(struct draw *draw, struct rdmig_options *options)
{
    const uint8_t which = draw_byte(draw);

    if (which & 1)
        options->time_limit_ms = draw_limit(draw);
    if (which & 2)
        options->connect_timeout_ms = draw_limit(draw);
    if (which & 4)
        options->reply_timeout_ms = draw_limit(draw);
    if (which & 8)
        options->probe_interval_ms = draw_limit(draw);
    if (which & 16)
        options->idle_timeout_ms = draw_limit(draw);
    if (which & 32)
        options->downtime_target_ms = draw_limit(draw);
}

/* What no program should give. */
static void draw_wrong(struct draw *draw, struct rdmig_options *options)
{
    switch (draw_below(draw, 6)) {
    case 0:
        options->struct_bytes = (size_t)draw_wild(draw, sizeof(*options) + 1);
        break;
    case 1:
        options->run_chunk_count = (uint32_t)draw_wild(draw, 32768);
        break;
    case 2:
        options->register_batch_count = (uint32_t)draw_wild(draw, RDMIG_REGISTER_BATCH_MAX);
        break;
    case 3:
        options->stream_format = (enum rdmig_stream_format)draw_wild(draw, 2);
        break;
    case 4:
        options->pinned_limit_bytes = draw_wild(draw, UINT64_C(8) << 20);
        break;
    default:
        options->bandwidth_bytes_per_s = draw_wild(draw, UINT64_MAX);
    }
}

void draw_options(struct draw *draw, bool is_qemu, struct rdmig_options *options)
{
    static const uint64_t bandwidths[] = {1, 4096, 1000000, UINT64_C(1) << 30, UINT64_MAX};
    const uint8_t which = draw_byte(draw);

    *options = (struct rdmig_options){
        .struct_bytes = sizeof(*options),
        .stream_format = is_qemu ? RDMIG_STREAM_QEMU : RDMIG_STREAM_NATIVE,
        .pin_all = (which & 1) != 0,
        .refuse_pin_all = (which & 2) != 0,
        .report_rounds = (which & 4) != 0,
        .relaxed_ordering = (which & 8) != 0,
        .on_demand_paging = (which & 8) != 0,
    };
    if (which & 16) {
        options->run_chunk_count = 1 + draw_below(draw, 3);
        options->register_batch_count = 1 + draw_below(draw, 3);
    }
    if (which & 32)
        options->bandwidth_bytes_per_s = bandwidths[draw_below(draw, 5)];
    if (which & 64)
        draw_limits(draw, options);
    if (which & 128) /* control memory, and room for one to four chunks */
        options->pinned_limit_bytes = (UINT64_C(5) << 20) + draw_below(draw, 256) * UINT64_C(32768);
    if (draw_seldom(draw))
        draw_wrong(draw, options);
}
