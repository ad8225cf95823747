/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host has never allocated, asked of this kernel about real memory of each kind. The rule
 * above all: what holds anything is never called a hole. */
#include "migration/holes.h"
#include "migration/holes_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE       4096u
#define PAGE_COUNT 20000u
#define BYTES      ((size_t)PAGE_COUNT * PAGE)

static uint8_t *map(size_t length_bytes, int flags, int fd)
{
    uint8_t *memory = mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static uint8_t *map_private(void)
{
    uint8_t *memory = map(BYTES, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

    (void)madvise(memory, BYTES, MADV_NOHUGEPAGE);
    return memory;
}

static int make_file(void)
{
    const int fd = memfd_create("holes", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)BYTES), 0);
    return fd;
}

static uint64_t blocks_of(int fd)
{
    struct stat about;

    assert_int_equal(fstat(fd, &about), 0);
    return (uint64_t)about.st_blocks;
}

static long fault_count(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* Runs of pages, long and short, that are there; between them others that are not. */
static bool is_touched(uint64_t page)
{
    return page < 3 || page % 64 == 63 || (page / 700) % 3 == 1 || (page > 9000 && page % 2 == 0);
}

static void touch(uint8_t *memory)
{
    for (uint64_t page = 0; page < PAGE_COUNT; page++) {
        if (is_touched(page))
            memory[page * PAGE] = 1;
    }
}

/* Asks for at most so many pages at once, and for all in order. */
static void assert_known(struct holes *holes, const uint8_t *memory, uint64_t step_count)
{
    uint64_t page = 0;

    while (page < PAGE_COUNT) {
        const uint64_t left_count = PAGE_COUNT - page;
        const uint64_t asked_count = left_count < step_count ? left_count : step_count;
        bool is_hole = !is_touched(page);
        const uint64_t count = holes_query(holes, memory + page * PAGE, asked_count, &is_hole);

        assert_in_range(count, 1, asked_count);
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(is_hole, !is_touched(page + i));
        page += count;
    }
}

static bool is_one_hole(struct holes *holes, const uint8_t *memory, uint64_t page_count)
{
    bool is_hole;

    holes_invalidate(holes);
    return holes_query(holes, memory, page_count, &is_hole) == page_count && is_hole;
}

/* No page of it is said to be a hole. */
static void assert_no_hole(struct holes *holes, const uint8_t *memory, uint64_t page_count)
{
    uint64_t page = 0;

    holes_invalidate(holes);
    while (page < page_count) {
        bool is_hole;

        page += holes_query(holes, memory + page * PAGE, page_count - page, &is_hole);
        assert_false(is_hole);
    }
    assert_int_equal(page, page_count);
}

/* ---- private memory */

static void test_holes__private_memory__is_known_page_by_page_without_a_fault(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory = map_private();
    long faults_before;

    (void)state;
    assert_non_null(holes);
    touch(memory);
    assert_known(holes, memory, 256); /* once before, for what the C library allocates itself */
    faults_before = fault_count();
    for (uint64_t step_count = 1; step_count <= PAGE_COUNT; step_count *= 7) {
        holes_invalidate(holes);
        assert_known(holes, memory, step_count);
    }
    assert_in_range(fault_count() - faults_before, 0, 20);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
}

/* Both ways to ask, whichever this kernel has: they may know less at a time, but nothing else. */
static void assert_way(uint64_t (*way)(int, uintptr_t, struct ram_bitmap *), bool may_be_missing)
{
    static uint64_t words[PAGE_COUNT / 64 + 1];
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint8_t *memory = map_private();
    uint64_t page = 0;

    assert_true(fd >= 0);
    touch(memory);
    while (page < PAGE_COUNT) {
        struct ram_bitmap allocated;
        uint64_t count;

        ram_bitmap_init(&allocated, words, PAGE_COUNT - page);
        count = way(fd, (uintptr_t)memory + page * PAGE, &allocated);
        if (count == 0 && page == 0 && may_be_missing)
            break;
        assert_in_range(count, 1, PAGE_COUNT - page);
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(ram_bitmap_test(&allocated, i), is_touched(page + i));
        page += count;
    }
    assert_int_equal(munmap(memory, BYTES), 0);
    close(fd);
}

static void test_holes__pagemap_read_and_scanned__say_the_same(void **state)
{
    (void)state;
    assert_way(allocated_by_pagemap, false);
    assert_way(allocated_by_scan, true); /* Linux 6.7 */
}

/* By the ioctl where this kernel has it, and by reading. */
static void test_holes__what_has_no_page_mapped__is_not_taken_for_readable(void **state)
{
    uint8_t *memory = map_private();
    const uintptr_t start = (uintptr_t)memory;
    const int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    (void)state;
    memset(memory, 1, BYTES);
    for (int has_scan = 0; has_scan < 2; has_scan++) {
        bool may_scan = has_scan != 0;

        assert_true(present_are_all(pagemap_fd, &may_scan, start, start + BYTES));
        assert_true(present_are_all(pagemap_fd, &may_scan, start + 5, start + 6));
    }
    assert_int_equal(madvise(memory + 7000 * PAGE, PAGE, MADV_DONTNEED), 0);
    for (int has_scan = 0; has_scan < 2; has_scan++) {
        bool may_scan = has_scan != 0;

        assert_false(present_are_all(pagemap_fd, &may_scan, start, start + BYTES));
        assert_true(present_are_all(pagemap_fd, &may_scan, start, start + 7000 * PAGE));
        assert_false(present_are_all(pagemap_fd, &may_scan, start, start + 7000 * PAGE + 1));
        assert_true(present_are_all(pagemap_fd, &may_scan, start + 7001 * PAGE, start + BYTES));
        may_scan = has_scan != 0;
        assert_false(present_are_all(-1, &may_scan, start, start + PAGE));
    }
    close(pagemap_fd);
    (void)munmap(memory, BYTES);
}

/* Only reading maps the page of zeros: that is a page, and read again. */
static void test_holes__page_written_or_read_after_a_look__is_seen_by_the_next(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory = map_private();
    bool is_hole;

    (void)state;
    assert_true(is_one_hole(holes, memory, PAGE_COUNT / 2));
    memory[5 * PAGE] = 1;
    holes_invalidate(holes);
    assert_int_equal(holes_query(holes, memory, 100, &is_hole), 5);
    assert_true(is_hole);
    assert_int_equal(holes_query(holes, memory + 5 * PAGE, 100, &is_hole), 1);
    assert_false(is_hole);
    assert_int_equal(*(volatile uint8_t *)(memory + 6 * PAGE), 0);
    holes_invalidate(holes);
    assert_int_equal(holes_query(holes, memory + 5 * PAGE, 100, &is_hole), 2);
    assert_false(is_hole);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
}

/* Where data and zeros alternate, the look is asked for the rest of a piece again and again: what
 * is in the window is not looked at anew for pages behind it. */
static void test_holes__rest_of_the_window__is_known_without_another_look(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory = map_private();
    bool is_hole = true;

    (void)state;
    memset(memory, 1, 1000 * PAGE);
    assert_int_equal(holes_query(holes, memory, 256, &is_hole), 256);
    assert_false(is_hole);
    assert_int_equal(holes_query(holes, memory + 250 * PAGE, 256, &is_hole), 6);
    assert_false(is_hole);
    assert_int_equal(holes_query(holes, memory + 256 * PAGE, 256, &is_hole), 256);
    assert_false(is_hole);
    holes_destroy(holes);
    assert_int_equal(munmap(memory, BYTES), 0);
}

/* As madvise and mprotect leave it: many mappings in the kernel's list, one memory. */
static void test_holes__memory_in_many_mappings__is_one(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory = map_private();

    (void)state;
    for (uint64_t page = 100; page < 3000; page += 200)
        assert_int_equal(mprotect(memory + page * PAGE, 100 * PAGE, PROT_READ), 0);
    assert_true(is_one_hole(holes, memory, 10000));
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
}

/* Pages that a handler supplies when they are missed are not zero. Where no handler can be had, no
 * memory can have one. */
static void test_holes__pages_that_a_handler_supplies__are_no_hole(void **state)
{
    const int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    struct holes *holes = holes_create();
    uint8_t *memory = map_private();

    (void)state;
    if (fd < 0) {
        assert_true(errno == EPERM || errno == ENOSYS);
    } else {
        range.range.start = (uintptr_t)memory + 1000 * PAGE;
        range.range.len = 10 * PAGE;
        assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
        assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &range), 0);
        assert_no_hole(holes, memory, 2000);
        close(fd);
    }
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
}

/* ---- shared memory */

static void test_holes__shared_memory__is_known_by_its_file_and_stays_sparse(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map(BYTES, MAP_SHARED, fd);
    uint64_t blocks_before;

    (void)state;
    assert_int_equal(lseek(fd, 12345, SEEK_SET), 12345);
    touch(memory);
    blocks_before = blocks_of(fd);
    for (uint64_t step_count = 1; step_count <= PAGE_COUNT; step_count *= 7) {
        holes_invalidate(holes);
        assert_known(holes, memory, step_count);
    }
    assert_int_equal(blocks_of(fd), blocks_before);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 12345); /* the VMM's position is the VMM's */
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
    close(fd);
}

/* Pages that another process has written are in no page table of this one. */
static void test_holes__page_in_the_file_but_not_mapped__is_no_hole(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map(BYTES, MAP_SHARED, fd);
    bool is_hole;

    (void)state;
    assert_int_equal(pwrite(fd, "x", 1, 700 * PAGE + 5), 1);
    assert_int_equal(pwrite(fd, "y", 1, 701 * PAGE), 1);
    assert_int_equal(holes_query(holes, memory + 600 * PAGE, 500, &is_hole), 100);
    assert_true(is_hole);
    assert_int_equal(holes_query(holes, memory + 700 * PAGE, 500, &is_hole), 2);
    assert_false(is_hole);
    assert_true(is_one_hole(holes, memory + 702 * PAGE, 5000));
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
    close(fd);
}

/* A mapping may begin anywhere in its file. */
static void test_holes__mapping_of_a_part_of_a_file__is_that_part(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory =
        mmap(NULL, 1000 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 3000 * (off_t)PAGE);
    bool is_hole;

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(pwrite(fd, "x", 1, 3500 * PAGE), 1);
    assert_int_equal(holes_query(holes, memory, 1000, &is_hole), 500);
    assert_true(is_hole);
    assert_int_equal(holes_query(holes, memory + 500 * PAGE, 500, &is_hole), 1);
    assert_false(is_hole);
    assert_int_equal(munmap(memory, 1000 * PAGE), 0);
    holes_destroy(holes);
    close(fd);
}

/* Its descriptor is closed, or never was: only the privileged can open it again. */
static void test_holes__shared_memory_without_descriptor__is_right_or_unknown(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory = map(BYTES, MAP_SHARED | MAP_ANONYMOUS, -1);
    bool is_hole;

    (void)state;
    memory[10 * PAGE] = 1;
    if (holes_query(holes, memory, 100, &is_hole) != 100) {
        assert_true(is_hole);
    }
    (void)holes_query(holes, memory + 10 * PAGE, 100, &is_hole);
    assert_false(is_hole);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
}

/* Nothing is there: whoever reads it is to get what is due to him. */
static void test_holes__memory_behind_the_end_of_its_file__is_no_hole(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map(BYTES, MAP_SHARED, fd);

    (void)state;
    assert_int_equal(ftruncate(fd, 1000 * PAGE), 0);
    assert_no_hole(holes, memory + 900 * PAGE, 200);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
    close(fd);
}

/* ---- huge pages: none is needed in the pool, as none may be taken from it */

#define HUGE_BYTES      ((size_t)16 << 20) /* one look */
#define HUGE_PAGE_COUNT (HUGE_BYTES / PAGE)

static int make_huge_file(void)
{
    const int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

    if (fd < 0)
        fail_msg("this kernel has no hugetlbfs: %s", strerror(errno));
    assert_int_equal(ftruncate(fd, (off_t)HUGE_BYTES), 0);
    return fd;
}

static void test_holes__huge_pages_never_touched__are_a_hole_and_none_is_taken(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_huge_file();
    uint8_t *shared = map(HUGE_BYTES, MAP_SHARED | MAP_NORESERVE, fd);
    uint8_t *private_of_file = map(HUGE_BYTES, MAP_PRIVATE | MAP_NORESERVE, fd);
    uint8_t *anonymous =
        map(HUGE_BYTES, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1);

    (void)state;
    assert_true(is_one_hole(holes, shared, HUGE_PAGE_COUNT));
    assert_true(is_one_hole(holes, shared + 700 * PAGE, 5));
    assert_true(is_one_hole(holes, private_of_file, HUGE_PAGE_COUNT));
    assert_true(is_one_hole(holes, anonymous, HUGE_PAGE_COUNT));
    assert_int_equal(blocks_of(fd), 0);
    (void)munmap(shared, HUGE_BYTES);
    (void)munmap(private_of_file, HUGE_BYTES);
    (void)munmap(anonymous, HUGE_BYTES);
    holes_destroy(holes);
    close(fd);
}

static void test_holes__huge_pages_behind_the_end_of_their_file__are_no_hole(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_huge_file();
    uint8_t *memory = map(HUGE_BYTES, MAP_SHARED | MAP_NORESERVE, fd);

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)(HUGE_BYTES / 2)), 0);
    assert_true(is_one_hole(holes, memory, HUGE_PAGE_COUNT / 2));
    assert_no_hole(holes, memory + HUGE_BYTES / 2, HUGE_PAGE_COUNT / 2);
    assert_false(holes_make_readable(holes, memory + HUGE_BYTES / 2, PAGE));
    (void)munmap(memory, HUGE_BYTES);
    holes_destroy(holes);
    close(fd);
}

/* ---- writing without a signal */

/* A peer chooses what is filled, and with what: whoever has not just looked at a file's page does
 * not know that it is there. */
static void test_holes__file_that_was_not_looked_at__is_made_before_it_is_written(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map(BYTES, MAP_SHARED, fd);
    bool is_hole;

    (void)state;
    assert_int_equal(ftruncate(fd, 1000 * PAGE), 0);
    assert_true(holes_make_writable(holes, memory, 2 * PAGE));
    assert_false(holes_make_writable(holes, memory + 1000 * PAGE, PAGE));
    assert_int_equal(errno, EFAULT);
    assert_false(holes_make_writable(holes, memory + 1000 * PAGE - 8, 16));
    assert_int_equal(holes_query(holes, memory, 2, &is_hole), 2);
    assert_false(is_hole);
    assert_true(holes_make_writable(holes, memory + 8, PAGE));
    (void)munmap(memory, BYTES);
    holes_destroy(holes);
    close(fd);
}

/* ---- other memory */

/* What is not mapped there yet is in the file. */
static void test_holes__private_mapping_of_a_file__is_no_hole(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map(BYTES, MAP_PRIVATE, fd);

    (void)state;
    assert_no_hole(holes, memory, 1000);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
    close(fd);
}

static void test_holes__mappings_of_all_kinds_side_by_side__are_told_apart(void **state)
{
    struct holes *holes = holes_create();
    const int fd = make_file();
    uint8_t *memory = map_private();
    uint64_t hole_count = 0;

    (void)state;
    assert_ptr_equal(mmap(memory + 100 * PAGE, 100 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_FIXED | MAP_PRIVATE, fd, 0),
                     memory + 100 * PAGE);
    assert_ptr_equal(mmap(memory + 200 * PAGE, 100 * PAGE, PROT_READ | PROT_WRITE,
                          MAP_FIXED | MAP_SHARED, fd, 0),
                     memory + 200 * PAGE);
    for (uint64_t page = 0; page < 400;) {
        bool is_hole;
        const uint64_t count = holes_query(holes, memory + page * PAGE, 400 - page, &is_hole);

        assert_int_equal(is_hole, page < 100 || page >= 200);
        hole_count += is_hole ? count : 0;
        page += count;
    }
    assert_int_equal(hole_count, 300);
    assert_int_equal(munmap(memory, BYTES), 0);
    holes_destroy(holes);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes__private_memory__is_known_page_by_page_without_a_fault),
        cmocka_unit_test(test_holes__pagemap_read_and_scanned__say_the_same),
        cmocka_unit_test(test_holes__what_has_no_page_mapped__is_not_taken_for_readable),
        cmocka_unit_test(test_holes__page_written_or_read_after_a_look__is_seen_by_the_next),
        cmocka_unit_test(test_holes__rest_of_the_window__is_known_without_another_look),
        cmocka_unit_test(test_holes__memory_in_many_mappings__is_one),
        cmocka_unit_test(test_holes__pages_that_a_handler_supplies__are_no_hole),
        cmocka_unit_test(test_holes__shared_memory__is_known_by_its_file_and_stays_sparse),
        cmocka_unit_test(test_holes__page_in_the_file_but_not_mapped__is_no_hole),
        cmocka_unit_test(test_holes__mapping_of_a_part_of_a_file__is_that_part),
        cmocka_unit_test(test_holes__shared_memory_without_descriptor__is_right_or_unknown),
        cmocka_unit_test(test_holes__memory_behind_the_end_of_its_file__is_no_hole),
        cmocka_unit_test(test_holes__huge_pages_never_touched__are_a_hole_and_none_is_taken),
        cmocka_unit_test(test_holes__huge_pages_behind_the_end_of_their_file__are_no_hole),
        cmocka_unit_test(test_holes__file_that_was_not_looked_at__is_made_before_it_is_written),
        cmocka_unit_test(test_holes__private_mapping_of_a_file__is_no_hole),
        cmocka_unit_test(test_holes__mappings_of_all_kinds_side_by_side__are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
