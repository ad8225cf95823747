/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that was never allocated, from one handle to the other: zeros that cost nothing, and holes
 * that stay holes. And memory that the guest does not need. */
#include "fakes/two_ends.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE        UINT64_C(4096)
#define MIB         (UINT64_C(1) << 20)
#define GUEST_BYTES (UINT64_C(4) << 30)
/* As much as is worth a message of its own: less goes with the data that follows. */
#define LONG_ZEROS (256 * UINT64_C(1024))
/* Of two_ends: the block of zeros, which is replaced here. */
#define SPARSE_BLOCK 2u

/* One end's sparse memory. fd -1: private. */
struct sparse {
    int fd;
    uint8_t *memory;
};

static struct sparse sparse_create(struct rdmig_ram_block *block, bool is_shared)
{
    struct sparse sparse = {.fd = -1};

    if (is_shared) {
        sparse.fd = memfd_create("guest", MFD_CLOEXEC);
        assert_true(sparse.fd >= 0);
        assert_int_equal(ftruncate(sparse.fd, (off_t)GUEST_BYTES), 0);
    }
    sparse.memory =
        mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
             is_shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, sparse.fd, 0);
    assert_ptr_not_equal(sparse.memory, MAP_FAILED);
    (void)madvise(sparse.memory, GUEST_BYTES, MADV_NOHUGEPAGE);
    block->host_addr = sparse.memory;
    block->length_bytes = GUEST_BYTES;
    return sparse;
}

static void sparse_free(const struct sparse *sparse)
{
    assert_int_equal(munmap(sparse->memory, GUEST_BYTES), 0);
    if (sparse->fd >= 0)
        close(sparse->fd);
}

/* Of private memory what its page tables name: a page of zeros that was read is among it. */
static uint64_t private_page_count(const uint8_t *memory)
{
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    static uint64_t entries[1 << 16];
    uint64_t count = 0;

    assert_true(fd >= 0);
    for (uint64_t page = 0; page < GUEST_BYTES / PAGE; page += sizeof(entries) / 8) {
        assert_int_equal(
            pread(fd, entries, sizeof(entries), (off_t)(((uintptr_t)memory / PAGE + page) * 8)),
            sizeof(entries));
        for (uint64_t i = 0; i < sizeof(entries) / 8; i++)
            count += entries[i] >> 62 != 0;
    }
    close(fd);
    return count;
}

static uint64_t page_count_of(const struct sparse *sparse)
{
    struct stat about;

    if (sparse->fd < 0)
        return private_page_count(sparse->memory);
    assert_int_equal(fstat(sparse->fd, &about), 0);
    return (uint64_t)about.st_blocks * 512 / PAGE;
}

static void run_round(struct two_ends *ends)
{
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    ends_turn(ends, 50);
}

/* Data in some places, of one page and of many, zeros that were written in one; the destination has
 * old bytes in places where the source has no page, zeros or data. */
static void migrate_sparse(bool is_source_shared, bool is_destination_shared)
{
    const uint64_t data_mib[] = {0, 100, 1000, 4094};
    const uint64_t old_mib[] = {0, 3, 101, 1700, 2000};
    struct two_ends ends;
    struct sparse source;
    struct sparse destination;
    uint64_t source_pages;
    uint64_t destination_pages;

    ends_init(&ends);
    source = sparse_create(&ends.source_blocks[SPARSE_BLOCK], is_source_shared);
    destination = sparse_create(&ends.destination_blocks[END_BLOCK_COUNT - 1 - SPARSE_BLOCK],
                                is_destination_shared);
    for (size_t i = 0; i < sizeof(data_mib) / sizeof(data_mib[0]); i++)
        memset(source.memory + data_mib[i] * MIB + LONG_ZEROS, 0x11, (1 + 50 * i) * PAGE);
    memset(source.memory + 2000 * MIB, 0, 300 * PAGE);
    for (size_t i = 0; i < sizeof(old_mib) / sizeof(old_mib[0]); i++)
        memset(destination.memory + old_mib[i] * MIB, 0xee, MIB);
    source_pages = page_count_of(&source);
    destination_pages = page_count_of(&destination);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    run_round(&ends);
    assert_int_equal(page_count_of(&source), source_pages);
    /* What was written, and no more than the rest of a short run of zeros with it. */
    assert_in_range(page_count_of(&destination), destination_pages,
                    destination_pages + 304 + 4 * 64);
    for (size_t i = 0; i < sizeof(data_mib) / sizeof(data_mib[0]); i++)
        assert_memory_equal(source.memory + data_mib[i] * MIB,
                            destination.memory + data_mib[i] * MIB, MIB);
    for (size_t i = 0; i < sizeof(old_mib) / sizeof(old_mib[0]); i++)
        assert_memory_equal(source.memory + old_mib[i] * MIB, destination.memory + old_mib[i] * MIB,
                            MIB);
    ends_free(&ends);
    sparse_free(&source);
    sparse_free(&destination);
}

/* Clause: C9 */
static void test_migration__sparse_shared_memory__keeps_its_holes(void **state)
{
    (void)state;
    migrate_sparse(true, true);
}

/* Clause: C9 */
static void test_migration__sparse_private_memory__is_not_faulted_in(void **state)
{
    (void)state;
    migrate_sparse(false, false);
}

static void send_again(struct two_ends *ends)
{
    assert_int_equal(rdmig_source_mark_range(ends->source, SPARSE_BLOCK, 64 * PAGE, 128 * PAGE), 0);
    run_round(ends);
}

/* Neither end may go by what it knew of the same pages a round ago. Clause: C9 */
static void test_migration__page_written_between_rounds__is_no_hole_any_more(void **state)
{
    struct two_ends ends;
    struct sparse source;
    struct sparse destination;

    (void)state;
    ends_init(&ends);
    source = sparse_create(&ends.source_blocks[SPARSE_BLOCK], true);
    destination = sparse_create(&ends.destination_blocks[END_BLOCK_COUNT - 1 - SPARSE_BLOCK], true);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    run_round(&ends);
    send_again(&ends);
    assert_int_equal(page_count_of(&source) + page_count_of(&destination), 0);
    source.memory[77 * PAGE + 5] = 0x77;
    send_again(&ends);
    assert_int_equal(destination.memory[77 * PAGE + 5], 0x77);
    source.memory[77 * PAGE + 5] = 0;
    send_again(&ends);
    assert_int_equal(destination.memory[77 * PAGE + 5], 0);
    ends_free(&ends);
    sparse_free(&source);
    sparse_free(&destination);
}

/* ---- free memory */

static bool is_old(const struct two_ends *ends, uint64_t offset_bytes, uint64_t length_bytes)
{
    for (uint64_t i = 0; i < length_bytes; i++) {
        if (ends->destination_ram[0][offset_bytes + i] != 0xee)
            return false;
    }
    return true;
}

static bool is_same(const struct two_ends *ends, uint64_t offset_bytes, uint64_t length_bytes)
{
    return memcmp(ends->source_ram[0] + offset_bytes, ends->destination_ram[0] + offset_bytes,
                  length_bytes) == 0;
}

static void test_migration__free_pages__are_not_sent_until_they_are_dirty_again(void **state)
{
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    /* Rounded inwards: pages 11 to 19, and none. */
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, 10 * PAGE + 1, 10 * PAGE - 1), 0);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, 30 * PAGE + 1, PAGE), 0);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, MIB, 2 * MIB), 0);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_int_equal(progress.bytes_dirty, progress.bytes_total - 2 * MIB - 9 * PAGE);
    assert_int_equal(rdmig_source_mark_range(ends.source, 0, 15 * PAGE, 1), 0);
    run_round(&ends);
    assert_true(is_same(&ends, 0, 11 * PAGE));
    assert_true(is_old(&ends, 11 * PAGE, 4 * PAGE));
    assert_true(is_same(&ends, 15 * PAGE, PAGE));
    assert_true(is_old(&ends, 16 * PAGE, 4 * PAGE));
    assert_true(is_same(&ends, 20 * PAGE, MIB - 20 * PAGE));
    assert_true(is_old(&ends, MIB, 2 * MIB));
    assert_true(is_same(&ends, 3 * MIB, 2 * MIB));
    ends_free(&ends);
}

/* All of it may be free: the guest can be handed over then. */
static void test_migration__nothing_but_free_pages__is_nothing_dirty(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++)
        assert_int_equal(
            rdmig_source_mark_free(ends.source, i, 0, ends.source_blocks[i].length_bytes), 0);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    assert_int_equal(rdmig_source_cancel(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_CANCELLING);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, 0, PAGE), -RDMIG_E_STATE);
    ends_free(&ends);
}

static void test_migration__free_range_outside_the_block__is_refused(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    assert_int_equal(rdmig_source_mark_free(ends.source, END_BLOCK_COUNT, 0, PAGE),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, 0, 0), -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, 5 * MIB - PAGE, 2 * PAGE),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, UINT64_MAX, 2), -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_mark_free(ends.source, 0, PAGE, UINT64_MAX), -RDMIG_E_INVALID);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__sparse_shared_memory__keeps_its_holes),
        cmocka_unit_test(test_migration__sparse_private_memory__is_not_faulted_in),
        cmocka_unit_test(test_migration__page_written_between_rounds__is_no_hole_any_more),
        cmocka_unit_test(test_migration__free_pages__are_not_sent_until_they_are_dirty_again),
        cmocka_unit_test(test_migration__nothing_but_free_pages__is_nothing_dirty),
        cmocka_unit_test(test_migration__free_range_outside_the_block__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
