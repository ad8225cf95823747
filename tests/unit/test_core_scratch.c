/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/drive.h"
#include <stdio.h>
static void test_all(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCE_STAGE_COUNT; i++) {
        struct bench *b;
        printf("%s\n", source_stage_names[i]);
        b = source_at((enum source_stage)i, NULL);
        bench_close(b);
    }
    for (int i = 0; i < DESTINATION_STAGE_COUNT; i++) {
        struct bench *b;
        printf("%s\n", destination_stage_names[i]);
        b = destination_at((enum destination_stage)i, NULL);
        bench_close(b);
    }
    struct bench *b = source_at(SOURCE_IS_EXCHANGED, NULL);
    bench_begin(b);
    source_write_stream(b, "hello");
    source_push(b, 0, 0, 4096);
    source_push_zero(b, 0, 4096, 4096);
    bench_receive_ready(b);
    source_receive_result(b, 0, 0x77);
    bench_receive_ready(b);
    FEED(b, ROUND_CLOSED);
    bench_receive_ready(b);
    FEED(b, FINISH_REQUESTED);
    EXPECT(b);
}
int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
