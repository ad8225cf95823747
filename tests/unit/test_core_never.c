/* SPDX-License-Identifier: BSD-2-Clause */
/* What cannot be, in a core as users have it: the connection fails with INTERNAL, what was being
 * made of it is not carried out, and the connection still ends. The insides are broken by hand. */
#include "support/drive.h"

#include "core/machines.h"

#include <string.h>

#ifdef RDMIG_COVERED
#define SKIP_WITHOUT_CHECKS() skip() /* the conditions are left out: src/core/never.h */
#else
#define SKIP_WITHOUT_CHECKS() (void)0
#endif

static struct operation *find_operation(struct rdmig_conn *conn, enum operation_kind kind)
{
    for (uint32_t i = 0; i < OPERATION_COUNT; i++) {
        if (conn->operations[i].kind == kind)
            return &conn->operations[i];
    }
    fail_msg("no operation of kind %d", kind);
    return NULL;
}

static void test_core_never__index_beyond_its_table__fails_with_internal(void **state)
{
    struct bench *bench;

    (void)state;
    SKIP_WITHOUT_CHECKS();
    bench = source_at(SOURCE_IS_EXCHANGED, NULL);
    bench->automatic &= ~(unsigned int)AUTO_OPERATION;
    bench_begin(bench);
    source_push(bench, 0, 0, 4096);
    find_operation(bench->conn, OPERATION_REGISTER)->subject = RDMIG_REGISTER_BATCH_MAX + 35;
    assert_int_equal(COMPLETE(bench, "o1", OK), RDMIG_OK);
    bench_expect_failure(bench, RDMIG_REASON_INTERNAL);
    assert_non_null(strstr(bench->conn->fault, "core/registration.c:"));
    bench_close(bench);
}

/* Its tag comes back with a probe that stands in for it. */
static void test_core_never__found_in_a_write__no_byte_is_written(void **state)
{
    struct bench *bench;

    (void)state;
    SKIP_WITHOUT_CHECKS();
    bench = source_at(SOURCE_IS_WRITING, NULL);
    bench->automatic = 0;
    bench_begin(bench);
    memset(bench->conn->flight_hash, 0xff, sizeof(bench->conn->flight_hash));
    source_push(bench, 0, 8192, 4096);
    bench_expect_failure(bench, RDMIG_REASON_INTERNAL);
    bench_expect_counts(bench, 0, 1); /* ERROR */
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 1);
    bench_close(bench);
}

/* What a command would say may be as wrong as what it was found in. */
static void test_core_never__found_in_a_command__it_is_not_sent(void **state)
{
    struct bench *bench;

    (void)state;
    SKIP_WITHOUT_CHECKS();
    bench = source_at(SOURCE_IS_EXCHANGED, NULL);
    bench->automatic = 0;
    bench_begin(bench);
    bench->conn->blocks[0].chunk_count = 0;
    source_push(bench, 0, 0, 4096);
    bench_expect_failure(bench, RDMIG_REASON_INTERNAL);
    bench_expect_counts(bench, 0, 0);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 1);
    bench_close(bench);
}

/* An operation of the driver's is taken back: nobody will answer its tag. */
static void test_core_never__found_in_a_fill__nothing_is_filled(void **state)
{
    static const uint8_t block_index = 77;
    struct bench *bench;

    (void)state;
    SKIP_WITHOUT_CHECKS();
    bench = destination_at(DESTINATION_IS_LISTED, NULL);
    bench_begin(bench);
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 1);
    message_compress(bench->message, 0, 0, DESTINATION_PLACE0, 4096);
    drive_step_received(bench);
    memcpy(bench->control + slot_offset_bytes(false, bench->conn->u.destination.slot) +
               RDMIG_HEADER_BYTES + 4,
           (const uint8_t[]){0, 0, 0, block_index}, 4);
    FEED(bench, TIME_PASSED);
    bench_expect_failure(bench, RDMIG_REASON_INTERNAL);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_FILL_RANGE], 0);
    bench_close(bench);
}

/* A state is left by a lawful step alone. */
static void test_core_never__unlawful_step__is_not_taken(void **state)
{
    struct bench *bench;

    (void)state;
    SKIP_WITHOUT_CHECKS();
    bench = destination_at(DESTINATION_IS_AWAITING, NULL);
    bench_begin(bench);
    bench->conn->phase = RDMIG_PHASE_IDLE;
    enter_phase(bench->conn, RDMIG_PHASE_RUNNING);
    assert_int_equal(bench->conn->phase, RDMIG_PHASE_IDLE);
    assert_non_null(bench->conn->fault);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_never__index_beyond_its_table__fails_with_internal),
        cmocka_unit_test(test_core_never__found_in_a_write__no_byte_is_written),
        cmocka_unit_test(test_core_never__found_in_a_command__it_is_not_sent),
        cmocka_unit_test(test_core_never__found_in_a_fill__nothing_is_filled),
        cmocka_unit_test(test_core_never__unlawful_step__is_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
