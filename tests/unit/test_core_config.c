/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a connection: limits of the configuration, of the memory, and of the arguments. */
#include "support/drive.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG(...)                                                                                \
    ((struct rdmig_conn_config){.struct_bytes = sizeof(struct rdmig_conn_config), __VA_ARGS__})
#define FIRST_BYTES ((size_t)120) /* of 0.1's struct */

/* Clause: E1 */
static void test_core_config__limits__are_kept(void **state)
{
    const struct {
        struct rdmig_conn_config config;
        bool is_good;
    } cases[] = {
        {CONFIG(), true},
        {CONFIG(.role = RDMIG_ROLE_DESTINATION), true},
        {CONFIG(.role = (enum rdmig_role)2), false},
        {CONFIG(.capability_flags = 1), true},
        {CONFIG(.capability_flags = 2), false},
        {CONFIG(.capability_flags = UINT32_MAX), false},
        {CONFIG(.run_chunk_count = 1), true},
        {CONFIG(.run_chunk_count = 32768), true},
        {CONFIG(.run_chunk_count = 32769), false},
        {CONFIG(.register_batch_count = 64), true},
        {CONFIG(.register_batch_count = 65), false},
        {CONFIG(.send_queue_depth = 15), false},
        {CONFIG(.send_queue_depth = 16), true},
        {CONFIG(.send_queue_depth = 4096), true},
        {CONFIG(.send_queue_depth = 4097), false},
        {CONFIG(.signal_interval = UINT32_MAX), true},
        {CONFIG(.stream_message_bytes = 1), true},
        {CONFIG(.stream_message_bytes = 524272), true},
        {CONFIG(.stream_message_bytes = 524273), false},
        {CONFIG(.write_bytes_max = 1), true},
        {CONFIG(.write_bytes_max = UINT64_C(1) << 30), true},
        {CONFIG(.write_bytes_max = (UINT64_C(1) << 30) + 1), false},
        {CONFIG(.write_bytes_max = UINT64_MAX), false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(rdmig_conn_footprint_bytes(&cases[i].config) > 0, cases[i].is_good);
    assert_int_equal(rdmig_conn_footprint_bytes(NULL), 0);
}

/* A size that no version has, or an end that this one does not know and is not 0. Clause: E1 */
static void test_core_config__another_size_of_the_struct__is_refused(void **state)
{
    struct {
        struct rdmig_conn_config config;
        uint8_t later[8];
    } newer = {.config = {.struct_bytes = sizeof(newer)}};
    struct rdmig_conn_config config = CONFIG();

    (void)state;
    config.struct_bytes = FIRST_BYTES - 1;
    assert_int_equal(rdmig_conn_footprint_bytes(&config), 0);
    config.struct_bytes = 0;
    assert_int_equal(rdmig_conn_footprint_bytes(&config), 0);
    newer.later[7] = 1;
    assert_int_equal(rdmig_conn_footprint_bytes(&newer.config), 0);
    newer.config.struct_bytes = 4097;
    assert_int_equal(rdmig_conn_footprint_bytes(&newer.config), 0);
}

/* Clause: E1 */
static void test_core_config__the_struct_of_another_version__is_taken(void **state)
{
    const struct rdmig_conn_config config = CONFIG(.send_queue_depth = 64);
    const size_t need = rdmig_conn_footprint_bytes(&config);
    struct {
        struct rdmig_conn_config config;
        uint8_t later[8];
    } newer = {.config = config};
    uint8_t *older = malloc(FIRST_BYTES); /* to the byte: what lies behind is not read */
    void *memory = malloc(need);
    void *control = aligned_alloc(64, (rdmig_conn_control_bytes() + 63) / 64 * 64);
    struct rdmig_conn *conn = NULL;

    (void)state;
    assert_true(older && memory && control);
    newer.config.struct_bytes = sizeof(newer);
    assert_int_equal(rdmig_conn_footprint_bytes(&newer.config), need);
    memcpy(older, &config, FIRST_BYTES);
    ((struct rdmig_conn_config *)(void *)older)->struct_bytes = FIRST_BYTES;
    assert_int_equal(rdmig_conn_footprint_bytes((const void *)older), need);
    assert_int_equal(rdmig_conn_init(&conn, (const void *)older, memory, need, control,
                                     rdmig_conn_control_bytes(), 0),
                     0);
    assert_int_equal(rdmig_conn_deinit(conn), 0);
    free(older);
    free(memory);
    free(control);
}

/* Clause: E1 */
static void test_core_config__memory__must_be_enough_and_aligned(void **state)
{
    const struct rdmig_conn_config config = CONFIG();
    struct rdmig_conn_config wrong = CONFIG(.send_queue_depth = 1);
    const size_t need = rdmig_conn_footprint_bytes(&config);
    const size_t control_need = rdmig_conn_control_bytes();
    uint8_t *memory = malloc(need + 8);
    uint8_t *control = aligned_alloc(64, control_need + 64);
    struct rdmig_conn *conn;

    (void)state;
    assert_non_null(memory);
    assert_non_null(control);
#define INIT(config, memory, bytes, control, control_bytes)                                        \
    (conn = (struct rdmig_conn *)(void *)&wrong,                                                   \
     rdmig_conn_init(&conn, config, memory, bytes, control, control_bytes, 0))
#define REFUSED(...)                                                                               \
    do {                                                                                           \
        assert_int_equal(INIT(__VA_ARGS__), -RDMIG_E_INVALID);                                     \
        assert_null(conn);                                                                         \
    } while (0)
    REFUSED(&config, memory, need - 1, control, control_need);
    REFUSED(&config, memory, need, control, control_need - 1);
    REFUSED(&config, memory + 4, need, control, control_need);
    REFUSED(&config, memory, need, control + 32, control_need);
    REFUSED(&config, NULL, need, control, control_need);
    REFUSED(&config, memory, need, NULL, control_need);
    REFUSED(&wrong, memory, need, control, control_need);
    REFUSED(NULL, memory, need, control, control_need);
    assert_int_equal(INIT(&config, memory, need, control, control_need), RDMIG_OK);
    assert_ptr_equal((void *)conn, memory);
    assert_int_equal(rdmig_conn_phase(conn), RDMIG_PHASE_IDLE);
    assert_null(rdmig_conn_failure(conn));
    assert_null(rdmig_conn_check(conn));
    assert_int_equal(rdmig_conn_capability_flags(conn), 0);
    assert_int_equal(rdmig_conn_deinit(conn), RDMIG_OK);
    free(memory);
    free(control);
}

/* Clause: E1 */
static void test_core_config__memory__does_not_grow_with_anything_but_the_queue(void **state)
{
    const struct rdmig_conn_config small = CONFIG(.send_queue_depth = 16);
    const struct rdmig_conn_config large = CONFIG(.send_queue_depth = 4096);

    (void)state;
    assert_in_range(rdmig_conn_footprint_bytes(&small), 1, 32 * 1024);
    assert_in_range(rdmig_conn_footprint_bytes(&large), 4096, 512 * 1024);
}

/* Clause: E1 */
static void test_core_config__a_control_memory__holds_all_slots(void **state)
{
    (void)state;
    /* Nine RECVs, two large messages to send, four small ones, and an ERROR. */
    assert_int_equal(rdmig_conn_control_bytes(), 11 * RDMIG_MESSAGE_BYTES_MAX + 4 * 2048 + 64);
}

/* Clause: E1 */
static void test_core_config__the_other_role__has_no_room_and_no_bytes(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: E1 */
static void test_core_config__room__is_there_only_while_running(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCE_STAGE_COUNT; i++) {
        struct bench *bench = source_at((enum source_stage)i, NULL);
        const bool is_running = rdmig_conn_phase(bench->conn) == RDMIG_PHASE_RUNNING;

        if (!is_running) {
            assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
            assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
        }
        bench_close(bench);
    }
}

/* Clause: E1 */
static void test_core_config__an_event_that_is_none__is_refused(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);
    struct rdmig_event event = {.kind = RDMIG_EVENT_KIND_COUNT};

    (void)state;
    assert_int_equal(rdmig_conn_step(bench->conn, &event), -RDMIG_E_INVALID);
    event.kind = (enum rdmig_event_kind) - 1;
    assert_int_equal(rdmig_conn_step(bench->conn, &event), -RDMIG_E_INVALID);
    bench_close(bench);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_config__limits__are_kept),
        cmocka_unit_test(test_core_config__another_size_of_the_struct__is_refused),
        cmocka_unit_test(test_core_config__the_struct_of_another_version__is_taken),
        cmocka_unit_test(test_core_config__memory__must_be_enough_and_aligned),
        cmocka_unit_test(test_core_config__memory__does_not_grow_with_anything_but_the_queue),
        cmocka_unit_test(test_core_config__a_control_memory__holds_all_slots),
        cmocka_unit_test(test_core_config__the_other_role__has_no_room_and_no_bytes),
        cmocka_unit_test(test_core_config__room__is_there_only_while_running),
        cmocka_unit_test(test_core_config__an_event_that_is_none__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
