/* SPDX-License-Identifier: BSD-2-Clause */
/* Waits that are longer than poll() takes. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#define SECOND_NS UINT64_C(1000000000)

/* In place of the C library's: who waits for a handle here has waited in vain. */
static int waited_ms;
static uint32_t wait_count;

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)fds;
    (void)count;
    if (timeout_ms == 0)
        return 0; /* a look, not a wait */
    wait_count++;
    waited_ms = timeout_ms;
    pair_advance_ns(timeout_ms < 0 ? SECOND_NS : (uint64_t)timeout_ms * 1000000);
    return 0;
}

/* More milliseconds than poll() takes are waited for in parts; only UINT32_MAX is without end. */
static void test_migration__long_wait__ends(void **state)
{
    static const struct {
        uint32_t timeout_ms;
        uint32_t wait_count;
        int last_ms;
    } cases[] = {
        {1000, 1, 1000},
        {INT32_MAX, 1, INT32_MAX},
        {UINT32_C(1) << 31, 2, 1},
        {UINT32_MAX - 1, 2, INT32_MAX},
    };
    struct two_ends ends;

    (void)state;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ends_init(&ends);
        assert_int_equal(rdmig_destination_create(&ends.destination, "here", "1",
                                                  ends.destination_blocks, END_BLOCK_COUNT, NULL,
                                                  NULL),
                         0);
        wait_count = 0;
        assert_int_equal(rdmig_destination_wait(ends.destination, RDMIG_DESTINATION_LISTENING,
                                                cases[i].timeout_ms),
                         -RDMIG_E_AGAIN);
        assert_int_equal(waited_ms, cases[i].last_ms);
        assert_int_equal(wait_count, cases[i].wait_count);
        ends_free(&ends);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__long_wait__ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
