/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "defaults.h"

#include <string.h>

#define MILLISECOND_NS      UINT64_C(1000000)
#define RUN_CHUNK_COUNT_MAX 32768u
/* What 0.1 had: never changes. More than the largest is no size that was meant. */
#define OPTIONS_BYTES_FIRST (offsetof(struct rdmig_options, pinned_limit_bytes) + sizeof(uint64_t))
#define OPTIONS_BYTES_MAX   4096u

uint64_t options_limit_ns(uint32_t limit_ms)
{
    return limit_ms == UINT32_MAX ? 0 : limit_ms * MILLISECOND_NS;
}

static void set_default(uint32_t *value, uint32_t fallback)
{
    if (*value == 0)
        *value = fallback;
}

/* The first option that is outside its limits is the one that is told. */
static bool check_numbers(const struct rdmig_options *options, struct rdmig_error *error)
{
    const struct {
        const char *name;
        uint32_t value;
        uint32_t smallest;
        uint32_t largest;
    } rows[] = {
        {"run_chunk_count", options->run_chunk_count, 1, RUN_CHUNK_COUNT_MAX},
        {"register_batch_count", options->register_batch_count, 1, RDMIG_REGISTER_BATCH_MAX},
        {"stream_format", options->stream_format, RDMIG_STREAM_NATIVE, RDMIG_STREAM_QEMU},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].value >= rows[i].smallest && rows[i].value <= rows[i].largest)
            continue;
        error_set(error, RDMIG_REASON_CALLER, 0,
                  "give a value within the limits, or 0: the default",
                  "options.%s is %u, and %u to %u are possible", rows[i].name, rows[i].value,
                  rows[i].smallest, rows[i].largest);
        return false;
    }
    return true;
}

/*
 * Options of a program that was compiled with another version's header: an older one's are shorter,
 * what it does not know is 0, the default. A newer one's are longer: what we do not know must be 0,
 * since an option without effect is worse than one that is refused.
 */
static bool take_options(const struct rdmig_options *options, struct rdmig_options *out,
                         struct rdmig_error *error)
{
    const size_t bytes = options->struct_bytes;
    const unsigned char *const raw = (const unsigned char *)options;

    if (bytes < OPTIONS_BYTES_FIRST || bytes > OPTIONS_BYTES_MAX) {
        error_set(error, RDMIG_REASON_CALLER, 0, "set struct_bytes to sizeof(struct rdmig_options)",
                  "options.struct_bytes is %zu, and %zu in this version of the library", bytes,
                  sizeof(*options));
        return false;
    }
    for (size_t i = sizeof(*options); i < bytes; i++) {
        if (raw[i] == 0)
            continue;
        error_set(error, RDMIG_REASON_CALLER, 0,
                  "leave the options at 0 that came after this version of the library, or link a "
                  "newer one",
                  "an option of a newer version than %s is set (byte %zu of struct rdmig_options)",
                  rdmig_version(), i);
        return false;
    }
    memcpy(out, options, bytes < sizeof(*out) ? bytes : sizeof(*out));
    out->struct_bytes = sizeof(*out);
    return true;
}

int options_complete(const struct rdmig_options *options, struct rdmig_options *out,
                     struct rdmig_error *error)
{
    *out = (struct rdmig_options){.struct_bytes = sizeof(*out)};
    if (options && !take_options(options, out, error))
        return -RDMIG_E_INVALID;
    set_default(&out->run_chunk_count, DEFAULT_RUN_CHUNK_COUNT);
    set_default(&out->register_batch_count, 1);
    set_default(&out->downtime_target_ms, DEFAULT_DOWNTIME_TARGET_MS);
    set_default(&out->time_limit_ms, UINT32_MAX);
    set_default(&out->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS);
    set_default(&out->reply_timeout_ms, DEFAULT_REPLY_TIMEOUT_MS);
    set_default(&out->probe_interval_ms, DEFAULT_PROBE_INTERVAL_MS);
    set_default(&out->idle_timeout_ms, UINT32_MAX);
    return check_numbers(out, error) ? RDMIG_OK : -RDMIG_E_INVALID;
}

/* A QEMU leaves by itself when it is done; that may not be waited for without end. */
static uint64_t leave_timeout_ns(const struct rdmig_options *options)
{
    if (options->stream_format != RDMIG_STREAM_QEMU)
        return 0;
    return options->reply_timeout_ms == UINT32_MAX ? DEFAULT_REPLY_TIMEOUT_MS * MILLISECOND_NS
                                                   : options_limit_ns(options->reply_timeout_ms);
}

void options_conn_config(const struct rdmig_options *options, enum rdmig_role role,
                         const struct budget *budget, uint64_t ram_bytes,
                         struct rdmig_conn_config *out)
{
    const bool is_pin_all_wanted =
        role == RDMIG_ROLE_SOURCE ? options->pin_all : !options->refuse_pin_all;
    const bool has_pin_all = is_pin_all_wanted && budget_has_room(budget, ram_bytes);
    /* A limit that cannot be reached would only hold the source up. */
    const bool is_limited =
        budget->ram_bytes != UINT64_MAX && (ram_bytes == 0 || ram_bytes > budget->ram_bytes);

    *out = (struct rdmig_conn_config){
        .struct_bytes = sizeof(*out),
        .role = role,
        .capability_flags =
            RDMIG_CAPABILITY_PIPELINE | (has_pin_all ? RDMIG_CAPABILITY_PIN_ALL : 0),
        .run_chunk_count = options->run_chunk_count,
        .register_batch_count = options->register_batch_count,
        .pinned_bytes_max = is_limited ? budget->ram_bytes : 0,
        .ram_bytes = role == RDMIG_ROLE_SOURCE ? ram_bytes : 0,
        .connect_timeout_ns = options_limit_ns(options->connect_timeout_ms),
        .reply_timeout_ns = options_limit_ns(options->reply_timeout_ms),
        .probe_interval_ns = options_limit_ns(options->probe_interval_ms),
        .idle_timeout_ns = options_limit_ns(options->idle_timeout_ms),
        .leave_timeout_ns = leave_timeout_ns(options),
    };
}
