/* SPDX-License-Identifier: BSD-2-Clause */
#include "ram_limit.h"

#include "../cli/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KIB UINT64_C(1024)

/* The value of "MemAvailable:  123 kB" in bytes. False: it is another line, or an odd one. */
static bool read_line(char *line, uint64_t *available_bytes)
{
    static const char key[] = "MemAvailable:";
    char *number = line + sizeof(key) - 1;
    char *unit;

    if (strncmp(line, key, sizeof(key) - 1) != 0)
        return false;
    number += strspn(number, " \t");
    unit = strchr(number, ' ');
    if (unit == NULL || strcmp(unit, " kB\n") != 0)
        return false;
    *unit = '\0';
    if (!parse_number(number, 0, UINT64_MAX / KIB, available_bytes))
        return false;
    *available_bytes *= KIB;
    return true;
}

static bool read_available(const char *path, uint64_t *available_bytes)
{
    FILE *meminfo = fopen(path, "re");
    char line[256];
    bool is_found = false;

    if (meminfo == NULL)
        return false;
    while (!is_found && fgets(line, sizeof(line), meminfo) != NULL)
        is_found = read_line(line, available_bytes);
    fclose(meminfo);
    return is_found;
}

/* False: it is more than 64 bits hold; then *sum_bytes is the most that they do. */
static bool add_lengths(const struct rdmig_ram_block *blocks, uint32_t count, uint64_t *sum_bytes)
{
    *sum_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(*sum_bytes, blocks[i].length_bytes, sum_bytes)) {
            *sum_bytes = UINT64_MAX;
            return false;
        }
    }
    return true;
}

bool ram_limit_check(const struct ram_limit *limit, const struct rdmig_ram_block *blocks,
                     uint32_t count, struct tool_error *error)
{
    const bool is_given = limit->given_bytes != 0;
    uint64_t most_bytes = limit->given_bytes;
    uint64_t sum_bytes;
    const bool is_sum = add_lengths(blocks, count, &sum_bytes);
    const char *more = is_sum ? "" : "more than ";

    if (!is_given && !read_available(limit->meminfo_path, &most_bytes))
        return tool_error_set(error, TOOL_REASON_MEMORY,
                              "say with --ram-max how much the guest may have; it runs on at the "
                              "source",
                              "the source's memory has %s%" PRIu64 " bytes, and %s does not say "
                              "how many are available (MemAvailable)",
                              more, sum_bytes, limit->meminfo_path);
    if (!is_given)
        most_bytes /= limit->copy_count;
    if (is_sum && sum_bytes <= most_bytes)
        return true;
    if (is_given)
        return tool_error_set(error, TOOL_REASON_MEMORY,
                              "raise --ram-max if that is the guest that was meant; it runs on at "
                              "the source",
                              "the source's memory has %s%" PRIu64 " bytes, --ram-max allows "
                              "%" PRIu64,
                              more, sum_bytes, most_bytes);
    return tool_error_set(error, TOOL_REASON_MEMORY,
                          "free memory, or say with --ram-max how much the guest may have; it runs "
                          "on at the source",
                          "the source's memory has %s%" PRIu64 " bytes, and there is room for "
                          "%" PRIu64 "%s",
                          more, sum_bytes, most_bytes,
                          limit->copy_count > 1 ? ", since it is kept twice" : "");
}
