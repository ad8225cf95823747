/* SPDX-License-Identifier: BSD-2-Clause */
/* How much RAM a peer may name: --ram-max, or what /proc/meminfo says. */
#include "../../src/tool/files/ram_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static char meminfo_path[] = "/tmp/test_tool_ram_limit-XXXXXX";

static void write_meminfo(const char *text)
{
    FILE *file = fopen(meminfo_path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Two blocks. "" is the answer of what may be taken, otherwise the detail. */
static const char *check(uint64_t given_bytes, uint32_t copy_count, uint64_t one_bytes,
                         uint64_t other_bytes)
{
    static struct tool_error error;
    const struct ram_limit limit = {given_bytes, copy_count, meminfo_path};
    const struct rdmig_ram_block blocks[] = {{.name = "a", .length_bytes = one_bytes},
                                             {.name = "b", .length_bytes = other_bytes}};

    tool_error_clear(&error);
    if (ram_limit_check(&limit, blocks, 2, &error)) {
        assert_false(tool_error_is_set(&error));
        return "";
    }
    assert_string_equal(error.reason, TOOL_REASON_MEMORY);
    assert_non_null(strstr(error.remedy, "--ram-max"));
    return error.detail;
}

static void test_the_option_is_for_the_sum(void **state)
{
    (void)state;
    write_meminfo("MemAvailable: 1 kB\n"); /* the option is instead of it */
    assert_string_equal(check(3 * MIB, 1, 2 * MIB, MIB), "");
    assert_string_equal(check(3 * MIB, 2, 2 * MIB, MIB), "");
    assert_string_equal(check(3 * MIB, 1, 2 * MIB, MIB + 4096),
                        "the source's memory has 3149824 bytes, --ram-max allows 3145728");
    assert_string_equal(check(3 * MIB - 1, 1, 2 * MIB, MIB),
                        "the source's memory has 3145728 bytes, --ram-max allows 3145727");
    assert_string_equal(check(UINT64_MAX, 1, 2 * MIB, UINT64_MAX - 2 * MIB), "");
}

static void test_a_sum_beyond_64_bits_is_never_taken(void **state)
{
    static const char detail[] = "the source's memory has more than 18446744073709551615 bytes, ";
    const uint64_t half_bytes = UINT64_C(1) << 63;

    (void)state;
    write_meminfo("MemAvailable: 8 kB\n");
    assert_memory_equal(check(UINT64_MAX, 1, half_bytes, half_bytes), detail, sizeof(detail) - 1);
    assert_memory_equal(check(MIB, 1, UINT64_MAX, 4096), detail, sizeof(detail) - 1);
    assert_memory_equal(check(0, 1, half_bytes, half_bytes), detail, sizeof(detail) - 1);
    write_meminfo("");
    assert_memory_equal(check(0, 1, half_bytes, half_bytes), detail, sizeof(detail) - 1);
}

static void test_without_it_what_is_available_counts(void **state)
{
    (void)state;
    write_meminfo("MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    4096 kB\nX: 1 kB\n");
    assert_string_equal(check(0, 1, 3 * MIB, MIB), "");
    assert_string_equal(check(0, 1, 3 * MIB, MIB + 4096),
                        "the source's memory has 4198400 bytes, and there is room for 4194304");
    assert_string_equal(check(0, 2, MIB, MIB), "");
    assert_string_equal(check(0, 2, MIB, MIB + 4096),
                        "the source's memory has 2101248 bytes, and there is room for 2097152, "
                        "since it is kept twice");
    write_meminfo("MemAvailable: 0 kB\n");
    assert_string_equal(check(0, 1, 4096, 0),
                        "the source's memory has 4096 bytes, and there is room for 0");
}

static void test_a_meminfo_that_does_not_say_allows_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "MemTotal: 16384 kB\nMemFree: 16384 kB\n",
        "MemAvailable:\n",
        "MemAvailable: kB\n",
        "MemAvailable: 4096\n",
        "MemAvailable: 4096 MB\n",
        "MemAvailable: 4096 kB", /* cut */
        "MemAvailable: -4096 kB\n",
        "MemAvailable: 0x4096 kB\n",
        "MemAvailable: 18014398509481984 kB\n", /* 2^64 bytes */
        "MemAvailable: 99999999999999999999999 kB\n",
        "NotMemAvailable: 4096 kB\n",
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_meminfo(texts[i]);
        if (strstr(check(0, 1, 4096, 0), "does not say how many are available") == NULL) {
            fail_msg("taken for an answer: %s", texts[i]);
        }
        assert_string_equal(check(8192, 1, 4096, 4096), "");
    }
    remove(meminfo_path);
    assert_non_null(strstr(check(0, 1, 4096, 0), "4096 bytes, and /tmp/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_option_is_for_the_sum),
        cmocka_unit_test(test_a_sum_beyond_64_bits_is_never_taken),
        cmocka_unit_test(test_without_it_what_is_available_counts),
        cmocka_unit_test(test_a_meminfo_that_does_not_say_allows_nothing),
    };
    const int fd = mkstemp(meminfo_path);
    int failed_count;

    if (fd < 0)
        return 1;
    close(fd);
    failed_count = cmocka_run_group_tests(tests, NULL, NULL);
    remove(meminfo_path);
    return failed_count;
}
