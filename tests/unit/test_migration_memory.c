/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM blocks that are no plain memory: what cannot be read is refused by its name, or fails the
 * migration with it; never a signal (faults.md, M3, M4, M7). Huge pages and userfaultfd over a real
 * device: tests/rxe/memory_kinds.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/two_ends.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096u
#define BYTES ((size_t)1 << 20)

static uint8_t *map(int protection)
{
    uint8_t *memory = mmap(NULL, BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

static int create_source(uint8_t *memory, struct rdmig_error *error)
{
    const struct rdmig_ram_block block = {"pc.ram", memory, BYTES};
    struct rdmig_source *source;
    int result;

    pair_reset();
    result = rdmig_source_create(&source, "there", "1", &block, 1, NULL, error);
    rdmig_source_destroy(source);
    return result;
}

static int create_destination(uint8_t *memory, struct rdmig_error *error)
{
    const struct rdmig_ram_block block = {"pc.ram", memory, BYTES};
    struct rdmig_destination *destination;
    int result;

    pair_reset();
    result = rdmig_destination_create(&destination, "here", "1", &block, 1, NULL, error);
    rdmig_destination_destroy(destination);
    return result;
}

static void test_memory__a_part_that_cannot_be_read__is_refused_by_name(void **state)
{
    struct rdmig_error error;
    uint8_t *memory = map(PROT_READ | PROT_WRITE);

    (void)state;
    memset(memory, 1, BYTES);
    assert_int_equal(create_source(memory, &error), 0);
    assert_int_equal(mprotect(memory + 3 * PAGE, 2 * PAGE, PROT_NONE), 0);
    assert_int_equal(create_source(memory, &error), -RDMIG_E_INVALID);
    assert_int_equal(error.reason, RDMIG_REASON_CALLER);
    assert_string_equal(error.detail, "RAM block pc.ram cannot be read from byte 12288 to 20480");
    assert_int_equal(create_destination(memory, &error), -RDMIG_E_INVALID);
    assert_string_equal(error.detail, "RAM block pc.ram cannot be read from byte 12288 to 20480");
    (void)munmap(memory, BYTES);
}

static void test_memory__a_gap__is_refused_by_name(void **state)
{
    struct rdmig_error error;
    uint8_t *memory = map(PROT_READ | PROT_WRITE);

    (void)state;
    assert_int_equal(munmap(memory + BYTES - PAGE, PAGE), 0);
    assert_int_equal(create_source(memory, &error), -RDMIG_E_INVALID);
    assert_string_equal(error.detail,
                        "RAM block pc.ram is not mapped from byte 1044480 to 1048576");
    (void)munmap(memory, BYTES - PAGE);
}

/* A source only reads; a destination writes. */
static void test_memory__read_only__serves_a_source_and_no_destination(void **state)
{
    struct rdmig_error error;
    uint8_t *memory = map(PROT_READ);

    (void)state;
    assert_int_equal(create_source(memory, &error), 0);
    assert_int_equal(create_destination(memory, &error), -RDMIG_E_INVALID);
    assert_string_equal(error.detail, "RAM block pc.ram cannot be written from byte 0 to 1048576");
    (void)munmap(memory, BYTES);
}

/* The file has been cut behind the VMM's back, or never was as long as the block. */
static void run_with(uint8_t *source_ram, uint8_t *destination_ram, struct two_ends *ends)
{
    const struct rdmig_ram_block from = {"pc.ram", source_ram, BYTES};
    const struct rdmig_ram_block to = {"pc.ram", destination_ram, BYTES};

    memset(ends, 0, sizeof(*ends));
    pair_reset();
    ends->is_destination_run = true;
    assert_int_equal(rdmig_destination_create(&ends->destination, "here", "1", &to, 1, NULL, NULL),
                     0);
    (void)rdmig_destination_process(ends->destination);
    assert_int_equal(rdmig_source_create(&ends->source, "there", "1", &from, 1, NULL, NULL), 0);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
}

static uint8_t *map_short_file(void)
{
    const int fd = memfd_create("short", MFD_CLOEXEC);
    uint8_t *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(memory != MAP_FAILED);
    assert_int_equal(ftruncate(fd, (off_t)(BYTES / 2)), 0);
    memset(memory, 7, BYTES / 2);
    close(fd);
    return memory;
}

static uint8_t *map_huge(int *fd)
{
    uint8_t *memory;

    *fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (*fd < 0)
        fail_msg("this kernel has no hugetlbfs: %s", strerror(errno));
    assert_int_equal(ftruncate(*fd, 2 << 20), 0);
    memory = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static uint64_t blocks_of(int fd)
{
    struct stat about;

    assert_int_equal(fstat(fd, &about), 0);
    return (uint64_t)about.st_blocks;
}

/* Nothing of it was touched, so nothing is: also with an empty pool, where a touch is SIGBUS. */
static void test_memory__huge_pages_never_touched__cross_without_one(void **state)
{
    int source_fd;
    int destination_fd;
    uint8_t *source_ram = map_huge(&source_fd);
    uint8_t *destination_ram = map_huge(&destination_fd);
    struct two_ends ends;

    (void)state;
    run_with(source_ram, destination_ram, &ends);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    assert_int_equal(blocks_of(source_fd), 0);
    assert_int_equal(blocks_of(destination_fd), 0);
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(source_ram, 2 << 20);
    (void)munmap(destination_ram, 2 << 20);
    close(source_fd);
    close(destination_fd);
}

static void test_memory__source_beyond_the_end_of_its_file__fails_without_a_signal(void **state)
{
    uint8_t *source_ram = map_short_file();
    uint8_t *destination_ram = map(PROT_READ | PROT_WRITE);
    struct two_ends ends;

    (void)state;
    run_with(source_ram, destination_ram, &ends);
    ends_turn(&ends, 300);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_non_null(strstr(rdmig_source_error(ends.source)->detail,
                           "RAM block pc.ram could not be read at byte 524288: Bad address"));
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_CALLER);
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(source_ram, BYTES);
    (void)munmap(destination_ram, BYTES);
}

static void
test_memory__destination_beyond_the_end_of_its_file__fails_without_a_signal(void **state)
{
    uint8_t *source_ram = map(PROT_READ | PROT_WRITE); /* zeros: they are filled there */
    uint8_t *destination_ram = map_short_file();
    struct two_ends ends;

    (void)state;
    run_with(source_ram, destination_ram, &ends);
    ends_turn(&ends, 300);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_non_null(strstr(rdmig_destination_error(ends.destination)->detail,
                           "RAM block pc.ram could not be filled at byte 524288: Bad address"));
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(source_ram, BYTES);
    (void)munmap(destination_ram, BYTES);
}

/* Pages that are no memory though their mapping is readable: a guard page (MADV_GUARD_INSTALL,
 * Linux 6.13) stands for all of them here, a page that the hardware has lost is another. */
#define GUARD_INSTALL 102

static uint8_t *map_guarded(void)
{
    uint8_t *memory = map(PROT_READ | PROT_WRITE);

    memset(memory, 0, BYTES);
    if (madvise(memory + 5 * PAGE, PAGE, GUARD_INSTALL) != 0) {
        (void)munmap(memory, BYTES);
        return NULL;
    }
    return memory;
}

static void test_memory__guard_page_at_the_source__fails_without_a_signal(void **state)
{
    uint8_t *source_ram = map_guarded();
    uint8_t *destination_ram = map(PROT_READ | PROT_WRITE);
    struct two_ends ends;

    (void)state;
    if (!source_ram)
        skip();
    run_with(source_ram, destination_ram, &ends);
    ends_turn(&ends, 300);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_non_null(strstr(rdmig_source_error(ends.source)->detail,
                           "RAM block pc.ram could not be read at byte 20480: Bad address"));
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(source_ram, BYTES);
    (void)munmap(destination_ram, BYTES);
}

static void test_memory__guard_page_at_the_destination__fails_without_a_signal(void **state)
{
    uint8_t *source_ram = map(PROT_READ | PROT_WRITE); /* zeros: they are filled there */
    uint8_t *destination_ram = map_guarded();
    struct two_ends ends;

    (void)state;
    if (!destination_ram)
        skip();
    run_with(source_ram, destination_ram, &ends);
    ends_turn(&ends, 300);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_non_null(strstr(rdmig_destination_error(ends.destination)->detail,
                           "RAM block pc.ram could not be filled at byte 20480: Bad address"));
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(source_ram, BYTES);
    (void)munmap(destination_ram, BYTES);
}

/* A registration that fails of memory that is as it should be is told of as the device said it, and
 * where. */
static void test_memory__plain_memory__a_failed_registration_keeps_its_cause(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    pair_fail_register(RDMIG_ROLE_SOURCE, EIO);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_REGISTER_FAILED);
    assert_string_equal(rdmig_source_error(ends.source)->detail,
                        "REGISTER_FAILED (RAM block ram.main, byte 0)");
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory__a_part_that_cannot_be_read__is_refused_by_name),
        cmocka_unit_test(test_memory__a_gap__is_refused_by_name),
        cmocka_unit_test(test_memory__read_only__serves_a_source_and_no_destination),
        cmocka_unit_test(test_memory__huge_pages_never_touched__cross_without_one),
        cmocka_unit_test(test_memory__source_beyond_the_end_of_its_file__fails_without_a_signal),
        cmocka_unit_test(
            test_memory__destination_beyond_the_end_of_its_file__fails_without_a_signal),
        cmocka_unit_test(test_memory__guard_page_at_the_source__fails_without_a_signal),
        cmocka_unit_test(test_memory__guard_page_at_the_destination__fails_without_a_signal),
        cmocka_unit_test(test_memory__plain_memory__a_failed_registration_keeps_its_cause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
