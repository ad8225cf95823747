/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire codec against bytes written by hand from the protocol's description. */
#include "core/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Clause: W3 */
static void test_wire_header__ready__is_golden(void **state)
{
    static const uint8_t golden[16] = {0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0};
    const struct wire_header header = {0, RDMIG_MESSAGE_READY, 1};
    uint8_t bytes[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    (void)state;
    wire_write_header(bytes, &header);
    assert_memory_equal(bytes, golden, sizeof(golden));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_header__ready__is_golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
