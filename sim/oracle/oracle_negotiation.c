/* SPDX-License-Identifier: BSD-2-Clause */
/* What the two ends have agreed on with their private data: pin-all, PIPELINE, credits, a limit. */
#include "oracle_internal.h"

#include <inttypes.h>

enum { SHORT_BYTES = 8, LONG_BYTES = 24, VERSION = 1, FLAG_PIN_ALL = 0x1, FLAG_PIPELINE = 0x10000 };

static uint64_t ram_bytes(const struct options *options)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < options->guest.block_count; i++)
        bytes += options->guest.block_bytes[i];
    return bytes;
}

/* Of what is not there: nothing. */
static struct oracle_offer read_offer(const uint8_t *bytes, uint32_t length_bytes)
{
    struct oracle_offer offer = {0};

    if (length_bytes < SHORT_BYTES)
        return offer;
    offer.version = oracle_be32(bytes);
    offer.flags = oracle_be32(bytes + 4);
    if ((offer.flags & FLAG_PIPELINE) == 0 || length_bytes < LONG_BYTES)
        return offer;
    offer.credit_count = oracle_be32(bytes + 8);
    offer.bytes = oracle_be64(bytes + 16);
    return offer;
}

static void break_data(struct oracle *oracle, enum rdmig_role from, const char *what,
                       uint64_t actual, uint64_t expected)
{
    world_break(oracle->world, "private_data", "the %s says %s %" PRIu64 ", not %" PRIu64,
                role_name(from), what, actual, expected);
}

/* Without the flag not a byte is different from what it always was (clause W11). */
static void check_form(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                       uint32_t length_bytes, const struct oracle_offer *offer)
{
    const uint32_t expected_bytes = (offer->flags & FLAG_PIPELINE) != 0 ? LONG_BYTES : SHORT_BYTES;

    if (length_bytes != expected_bytes)
        break_data(oracle, from, "a length of", length_bytes, expected_bytes);
    else if (offer->version != VERSION)
        break_data(oracle, from, "version", offer->version, VERSION);
    else if (length_bytes == LONG_BYTES && oracle_be32(bytes + 12) != 0)
        break_data(oracle, from, "padding", oracle_be32(bytes + 12), 0);
}

static uint32_t pipeline_flag(const struct oracle *oracle, enum rdmig_role role)
{
    return oracle->is_ours[role] && oracle->world->options->is_pipelined[role] ? FLAG_PIPELINE : 0;
}

static void check_offer(struct oracle *oracle, const struct oracle_offer *offer)
{
    const struct options *options = oracle->world->options;
    const uint64_t limit_bytes = options->pinned_bytes_max[RDMIG_ROLE_SOURCE];
    /* Who knows that it cannot be does not ask for it. */
    const bool is_pinnable = limit_bytes == 0 || ram_bytes(options) <= limit_bytes;
    const uint32_t flags =
        (options->is_pin_all[RDMIG_ROLE_SOURCE] && is_pinnable ? FLAG_PIN_ALL : 0) |
        pipeline_flag(oracle, RDMIG_ROLE_SOURCE);
    const uint64_t told_bytes = options->is_ram_told ? ram_bytes(options) : 0;

    if (offer->flags != flags)
        break_data(oracle, RDMIG_ROLE_SOURCE, "flags", offer->flags, flags);
    if ((flags & FLAG_PIPELINE) == 0)
        return;
    if (offer->credit_count < 1 || offer->credit_count > ORACLE_CREDITS_MAX)
        break_data(oracle, RDMIG_ROLE_SOURCE, "credits", offer->credit_count, ORACLE_CREDITS_MAX);
    if (offer->bytes != told_bytes)
        break_data(oracle, RDMIG_ROLE_SOURCE, "RAM of", offer->bytes, told_bytes);
}

static void check_grant(struct oracle *oracle, const struct oracle_offer *granted)
{
    const struct options *options = oracle->world->options;
    const struct oracle_offer *offered = &oracle->offered;
    const uint64_t limit_bytes = options->pinned_bytes_max[RDMIG_ROLE_DESTINATION];
    const uint32_t credit_count =
        offered->credit_count < ORACLE_CREDITS_MAX ? offered->credit_count : ORACLE_CREDITS_MAX;
    uint32_t flags = (options->is_pin_all[RDMIG_ROLE_DESTINATION] ? FLAG_PIN_ALL : 0) |
                     pipeline_flag(oracle, RDMIG_ROLE_DESTINATION);

    flags &= offered->flags;
    if (limit_bytes != 0 && (flags & FLAG_PIPELINE) != 0 && offered->bytes > limit_bytes &&
        granted->bytes != 0)
        flags &= ~(uint32_t)FLAG_PIN_ALL; /* clause R14 */
    /* A destination with a limit that does not know how much it would be need not grant it. */
    if (granted->flags != flags &&
        (limit_bytes == 0 || granted->flags != (flags & ~(uint32_t)FLAG_PIN_ALL)))
        break_data(oracle, RDMIG_ROLE_DESTINATION, "flags", granted->flags, flags);
    if ((flags & FLAG_PIPELINE) == 0)
        return;
    if (granted->credit_count != credit_count)
        break_data(oracle, RDMIG_ROLE_DESTINATION, "credits", granted->credit_count, credit_count);
    /* A limit that all RAM fits into is none. */
    if (granted->bytes != limit_bytes && (granted->bytes != 0 || ram_bytes(options) > limit_bytes))
        break_data(oracle, RDMIG_ROLE_DESTINATION, "a limit of", granted->bytes, limit_bytes);
}

static void agree(struct oracle *oracle, const struct oracle_offer *granted)
{
    const uint32_t flags = granted->flags & oracle->offered.flags;

    oracle->has_agreed = true;
    oracle->is_pin_all = (flags & FLAG_PIN_ALL) != 0;
    oracle->is_pipelined = (flags & FLAG_PIPELINE) != 0;
    if (!oracle->is_pipelined)
        return;
    oracle->credit_count = granted->credit_count;
    oracle->named_limit_bytes = granted->bytes;
}

void oracle_private_data(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes)
{
    const struct oracle_offer offer = read_offer(bytes, length_bytes);

    if (oracle->is_honest[from])
        check_form(oracle, from, bytes, length_bytes, &offer);
    if (from == RDMIG_ROLE_SOURCE) {
        oracle->offered = offer;
        if (oracle->is_honest[from])
            check_offer(oracle, &offer);
    } else {
        if (oracle->is_honest[from])
            check_grant(oracle, &offer);
        agree(oracle, &offer);
    }
}

bool oracle_is_pin_all(const struct oracle *oracle)
{
    const struct options *options = oracle->world->options;

    if (oracle->has_agreed)
        return oracle->is_pin_all;
    return options->is_pin_all[RDMIG_ROLE_SOURCE] && (options->is_pin_all[RDMIG_ROLE_DESTINATION] ||
                                                      !oracle->is_honest[RDMIG_ROLE_DESTINATION]);
}

/* The destination minds its own only where the source has been told of it. */
uint64_t oracle_limit_bytes(const struct oracle *oracle, enum rdmig_role role)
{
    const struct options *options = oracle->world->options;
    uint64_t own_bytes = options->pinned_bytes_max[role];

    if (!oracle->is_ours[role])
        return 0;
    if (ram_bytes(options) <= own_bytes)
        own_bytes = 0; /* it is no limit */
    if (role == RDMIG_ROLE_DESTINATION)
        return oracle->is_pipelined ? own_bytes : 0;
    if (own_bytes == 0 || oracle->named_limit_bytes == 0)
        return own_bytes + oracle->named_limit_bytes;
    return own_bytes < oracle->named_limit_bytes ? own_bytes : oracle->named_limit_bytes;
}
