/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the handles ask of the system and of their own lists, counted instead of timed: unit.mk has
 * the linker lead these calls through here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/two_ends.h"
#include "migration/holes.h"
#include "migration/holes_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define MANY_BLOCK_COUNT 8192u
#define NAME_BYTES       16

static uint64_t compare_count;
static uint64_t set_count;
static uint32_t poll_count;
static uint32_t stat_count;
static uint32_t descriptor_open_count;
static uint32_t interrupted_count; /* polls that a signal is to end from now on */

int __real_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b)
{
    compare_count++;
    return __real_strcmp(a, b);
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *before)
{
    set_count++;
    return __real_timerfd_settime(fd, flags, when, before);
}

/* Waits for nothing: the time is over at once, unless a signal comes first. */
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (timeout_ms == 0)
        return __real_poll(fds, count, 0);
    poll_count++;
    if (interrupted_count == 0)
        return __real_poll(fds, count, 0);
    interrupted_count--;
    errno = EINTR;
    return -1;
}

int __real_stat(const char *path, struct stat *about);
int __wrap_stat(const char *path, struct stat *about);
int __wrap_stat(const char *path, struct stat *about)
{
    stat_count++;
    return __real_stat(path, about);
}

int __real_open(const char *path, int flags);
int __wrap_open(const char *path, int flags);
int __wrap_open(const char *path, int flags)
{
    descriptor_open_count += strncmp(path, "/proc/self/fd/", 14) == 0;
    return __real_open(path, flags);
}

static uint32_t link_count;
static uint32_t file_count; /* of /proc, read from their beginning */

ssize_t __real_readlink(const char *path, char *out, size_t bytes);
ssize_t __wrap_readlink(const char *path, char *out, size_t bytes);
ssize_t __wrap_readlink(const char *path, char *out, size_t bytes)
{
    link_count++;
    return __real_readlink(path, out, bytes);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    file_count += strncmp(path, "/proc/", 6) == 0;
    return __real_fopen(path, mode);
}

static uint64_t looked_at_bytes; /* by mincore() */

int __real_mincore(void *address, size_t bytes, unsigned char *pages);
int __wrap_mincore(void *address, size_t bytes, unsigned char *pages);
int __wrap_mincore(void *address, size_t bytes, unsigned char *pages)
{
    looked_at_bytes += bytes;
    return __real_mincore(address, bytes, pages);
}

static int pread_code; /* errno of the next calls; 0: they are carried out */
static uint64_t
    data_start_bytes; /* what they find in a file before its end is no zeros from here.. */
static uint64_t data_end_bytes; /* ..to here; 0: they find what there is */

ssize_t __real_pread(int fd, void *out, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *out, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *out, size_t bytes, off_t offset)
{
    const ssize_t got = __real_pread(fd, out, bytes, offset);

    for (ssize_t i = 0; data_end_bytes > 0 && i < got; i++) {
        const uint64_t at_bytes = (uint64_t)offset + (uint64_t)i;

        if (at_bytes >= data_start_bytes && at_bytes < data_end_bytes)
            ((uint8_t *)out)[i] = 1;
    }
    if (data_end_bytes > 0 && pread_code != 0) {
        errno = pread_code;
        return -1;
    }
    return got;
}

static int madvise_code; /* errno of the next calls; 0: they are carried out */
static int readv_code;

int __real_madvise(void *address, size_t bytes, int advice);
int __wrap_madvise(void *address, size_t bytes, int advice);
int __wrap_madvise(void *address, size_t bytes, int advice)
{
    errno = madvise_code;
    return madvise_code ? -1 : __real_madvise(address, bytes, advice);
}

ssize_t __real_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long to_count,
                                const struct iovec *from, unsigned long from_count,
                                unsigned long flags);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long to_count,
                                const struct iovec *from, unsigned long from_count,
                                unsigned long flags);
ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *to, unsigned long to_count,
                                const struct iovec *from, unsigned long from_count,
                                unsigned long flags)
{
    errno = readv_code;
    return readv_code ? -1 : __real_process_vm_readv(pid, to, to_count, from, from_count, flags);
}

/* ---- lists of blocks */

struct many {
    struct two_ends ends; /* the handles only */
    uint8_t *memory;
    char (*names)[NAME_BYTES];
    struct rdmig_ram_block *blocks;
    struct rdmig_ram_block *reversed;
};

static void many_init(struct many *many)
{
    const size_t bytes = 2 * (size_t)MANY_BLOCK_COUNT * RDMIG_PAGE_BYTES;

    memset(many, 0, sizeof(*many));
    pair_reset();
    many->ends.is_reading = true;
    many->ends.is_destination_run = true;
    many->ends.stream = malloc(END_STREAM_MAX);
    many->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    many->names = calloc(MANY_BLOCK_COUNT, sizeof(*many->names));
    many->blocks = calloc(MANY_BLOCK_COUNT, sizeof(*many->blocks));
    many->reversed = calloc(MANY_BLOCK_COUNT, sizeof(*many->reversed));
    assert_true(many->memory != MAP_FAILED && many->names && many->blocks && many->reversed);
    for (uint32_t i = 0; i < MANY_BLOCK_COUNT; i++) {
        uint8_t *at = many->memory + (uint64_t)i * RDMIG_PAGE_BYTES;

        (void)snprintf(many->names[i], NAME_BYTES, "block%u", (unsigned)i);
        many->blocks[i] = (struct rdmig_ram_block){many->names[i], at, RDMIG_PAGE_BYTES};
        many->reversed[MANY_BLOCK_COUNT - 1 - i] = (struct rdmig_ram_block){
            many->names[i], at + (uint64_t)MANY_BLOCK_COUNT * RDMIG_PAGE_BYTES, RDMIG_PAGE_BYTES};
    }
}

static void many_free(struct many *many)
{
    rdmig_source_destroy(many->ends.source);
    rdmig_destination_destroy(many->ends.destination);
    (void)munmap(many->memory, 2 * (size_t)MANY_BLOCK_COUNT * RDMIG_PAGE_BYTES);
    free(many->ends.stream);
    free(many->names);
    free(many->blocks);
    free(many->reversed);
}

/* Sorting 8,192 names, a search for each and the checks for names that stand twice: some 100
 * comparisons a name, where all pairs would be 4,096. Clause: B2 */
static void test_migration_counts__many_blocks__are_matched_by_sorting(void **state)
{
    struct many many;

    (void)state;
    many_init(&many);
    assert_int_equal(rdmig_destination_create(&many.ends.destination, "here", "1", many.reversed,
                                              MANY_BLOCK_COUNT, NULL, NULL),
                     0);
    (void)rdmig_destination_process(many.ends.destination);
    assert_int_equal(rdmig_source_create(&many.ends.source, "there", "1", many.blocks,
                                         MANY_BLOCK_COUNT, NULL, NULL),
                     0);
    compare_count = 0;
    ends_run_source(&many.ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(many.ends.source), RDMIG_SOURCE_IDLE);
    if (compare_count > MANY_BLOCK_COUNT * UINT64_C(200))
        fail_msg("%llu names were compared for %u blocks", (unsigned long long)compare_count,
                 MANY_BLOCK_COUNT);
    many_free(&many);
}

/* One that the source has not is still found, and told of by its name. */
static void test_migration_counts__a_block_too_many__is_named(void **state)
{
    struct many many;

    (void)state;
    many_init(&many);
    assert_int_equal(rdmig_destination_create(&many.ends.destination, "here", "1", many.reversed,
                                              MANY_BLOCK_COUNT, NULL, NULL),
                     0);
    (void)rdmig_destination_process(many.ends.destination);
    assert_int_equal(rdmig_source_create(&many.ends.source, "there", "1", many.blocks,
                                         MANY_BLOCK_COUNT - 1, NULL, NULL),
                     0);
    ends_run_destination(&many.ends, RDMIG_DESTINATION_LISTENING);
    ends_turn(&many.ends, 2000);
    assert_int_equal(rdmig_destination_state(many.ends.destination), RDMIG_DESTINATION_FAILED);
    assert_string_equal(rdmig_destination_error(many.ends.destination)->detail,
                        "this end has a RAM block block8191 that the source has not");
    many_free(&many);
}

/* ---- descriptors */

/* To find the file of shared memory no descriptor but its own is asked about: another may be of a
 * file on a server that does not answer (faults.md, G3). */
static void test_migration_counts__descriptors_of_the_vmm__are_left_alone(void **state)
{
    const size_t bytes = (size_t)1 << 20;
    struct holes *holes = holes_create();
    bool is_hole = false;
    int others[50];
    uint8_t *memory;
    int fd;

    (void)state;
    for (int i = 0; i < 50; i++)
        others[i] = dup(STDIN_FILENO);
    fd = memfd_create("guest", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    stat_count = 0;
    descriptor_open_count = 0;
    assert_int_equal(holes_query(holes, memory, 256, &is_hole), 256);
    assert_true(is_hole);
    assert_int_equal(stat_count, 0);
    assert_int_equal(descriptor_open_count, 1);
    (void)munmap(memory, bytes);
    for (int i = 0; i < 50; i++)
        close(others[i]);
    close(fd);
    holes_destroy(holes);
}

/* Many blocks of shared memory: the lists of mappings and of descriptors are gone through once, not
 * for each block; half of the files have one name. */
static void test_migration_counts__many_files__are_found_in_one_list(void **state)
{
    enum { COUNT = 200 };
    struct holes *holes = holes_create();
    uint8_t *memory[COUNT];
    int fds[COUNT];

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        char name[NAME_BYTES];

        (void)snprintf(name, sizeof(name), "ram%d", i % 2 == 0 ? 0 : i);
        fds[i] = memfd_create(name, MFD_CLOEXEC);
        assert_int_equal(ftruncate(fds[i], 8192), 0);
        memory[i] = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
        assert_true(memory[i] != MAP_FAILED);
        memory[i][4096] = 1;
    }
    stat_count = 0;
    link_count = 0;
    file_count = 0;
    descriptor_open_count = 0;
    for (int i = 0; i < COUNT; i++) {
        bool is_hole = false;

        assert_int_equal(holes_query(holes, memory[i], 2, &is_hole), 1);
        assert_true(is_hole);
    }
    if (stat_count + link_count + file_count > 5 * COUNT)
        fail_msg("%u links, %u descriptors and %u files were asked for %d blocks",
                 (unsigned)link_count, (unsigned)stat_count, (unsigned)file_count, (int)COUNT);
    assert_in_range(descriptor_open_count, COUNT, 2 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)munmap(memory[i], 8192);
        close(fds[i]);
    }
    holes_destroy(holes);
}

/* A number that leads elsewhere by now is left alone. */
static void test_migration_counts__descriptor_that_was_used_again__is_left_alone(void **state)
{
    struct holes *holes = holes_create();
    uint8_t *memory[2];
    int fds[2];
    bool is_hole = true;

    (void)state;
    for (int i = 0; i < 2; i++) {
        fds[i] = memfd_create(i == 0 ? "first" : "second", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fds[i], 8192), 0);
        memory[i] = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
        assert_true(memory[i] != MAP_FAILED);
    }
    (void)holes_query(holes, memory[0], 2, &is_hole);
    assert_true(is_hole);
    assert_int_equal(dup2(STDIN_FILENO, fds[1]), fds[1]);
    descriptor_open_count = 0;
    (void)holes_query(holes, memory[1], 2, &is_hole);
    assert_int_equal(descriptor_open_count, 0);
    for (int i = 0; i < 2; i++) {
        (void)munmap(memory[i], 8192);
        close(fds[i]);
    }
    holes_destroy(holes);
}

/* ---- asking before reading */

/* Missing is what the kernel says is missing; a sandbox that does not let us ask is no such word, and
 * an older kernel is asked in another way. */
static void test_migration_counts__memory_that_may_not_be_asked_for__is_read(void **state)
{
    static const struct {
        int madvise_code;
        int readv_code;
        bool is_there;
    } rows[] = {
        {0, EPERM, true},       {EFAULT, 0, false},      {ENOMEM, 0, false},
        {EPERM, EPERM, true},   {EINVAL, 0, true},       {EINVAL, EPERM, true},
        {EINVAL, ENOSYS, true}, {EINVAL, EFAULT, false}, {EACCES, EFAULT, true},
    };
    uint8_t *memory =
        mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        madvise_code = rows[i].madvise_code;
        readv_code = rows[i].readv_code;
        assert_int_equal(memory_populate(memory, 1 << 20, false), rows[i].is_there);
    }
    madvise_code = EINVAL;
    readv_code = 0;
    assert_int_equal(munmap(memory + (1 << 19), 4096), 0);
    assert_false(memory_populate(memory, 1 << 20, false));
    /* A peer chooses where filling begins and ends: a few bytes may lie on two pages. */
    assert_true(memory_populate(memory + (1 << 19) - 8, 8, true));
    assert_false(memory_populate(memory + (1 << 19) - 8, 16, true));
    madvise_code = 0;
    (void)munmap(memory, 1 << 20);
}

/* ---- holes among huge pages */

/* How many pages from address on are holes, one look after the other; the next that is none ends it. */
static uint64_t hole_count(struct holes *holes, const uint8_t *address, uint64_t page_count)
{
    uint64_t count = 0;
    bool is_hole = true;

    while (count < page_count) {
        const uint64_t run_count =
            holes_query(holes, address + count * RDMIG_PAGE_BYTES, page_count - count, &is_hole);

        if (!is_hole)
            break;
        count += run_count;
    }
    return count;
}

/*
 * The page tables know of no page, and the file has not one more than they; but who reads the file
 * finds data: such is the moment after the kernel has taken page tables away that two processes
 * shared. tests/rxe/memory_kinds.sh has it do so; here no huge page is needed.
 */
static void test_migration_counts__huge_page_without_page_tables__is_data(void **state)
{
    enum { PAGE_COUNT = 32768, FIRST_DATA = 700, HUGE_COUNT = 512, OFFSET_COUNT = 1024 };
    const size_t bytes = (size_t)PAGE_COUNT * RDMIG_PAGE_BYTES;
    const size_t offset_bytes = (size_t)OFFSET_COUNT * RDMIG_PAGE_BYTES;
    const int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

    (void)state;
    if (fd < 0)
        fail_msg("this kernel has no hugetlbfs: %s", strerror(errno));
    assert_int_equal(ftruncate(fd, (off_t)(offset_bytes + bytes)), 0);
    for (int i = 0; i < 2; i++) {
        const int flags = (i == 0 ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE;
        uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset_bytes);
        struct holes *holes = holes_create();
        uint64_t count;
        bool is_hole;

        assert_true(memory != MAP_FAILED);
        assert_int_equal(hole_count(holes, memory, PAGE_COUNT), PAGE_COUNT);
        holes_invalidate(holes);
        data_start_bytes = offset_bytes + FIRST_DATA * RDMIG_PAGE_BYTES + 4095;
        data_end_bytes = data_start_bytes + 1;
        count = hole_count(holes, memory, PAGE_COUNT);
        if (count > FIRST_DATA)
            fail_msg("%llu pages are called holes, and page %d holds data",
                     (unsigned long long)count, (int)FIRST_DATA);
        assert_in_range(count, HUGE_COUNT, FIRST_DATA);
        /* One window, and its end: the rest of the huge page is there, the next one is not. */
        count = holes_query(holes, memory + FIRST_DATA * RDMIG_PAGE_BYTES, PAGE_COUNT, &is_hole);
        assert_false(is_hole);
        assert_int_equal(count, 2 * HUGE_COUNT - FIRST_DATA);
        /* Read from the middle of a huge page on: what lies behind its end is of the next one. */
        data_start_bytes = offset_bytes + (HUGE_COUNT + 3) * RDMIG_PAGE_BYTES;
        data_end_bytes = data_start_bytes + 1;
        holes_invalidate(holes);
        (void)holes_query(holes, memory + (HUGE_COUNT - 8) * RDMIG_PAGE_BYTES, 64, &is_hole);
        (void)holes_query(holes, memory + (HUGE_COUNT + 3) * RDMIG_PAGE_BYTES, 1, &is_hole);
        assert_false(is_hole);
        holes_invalidate(holes);
        assert_int_equal(hole_count(holes, memory + (HUGE_COUNT - 8) * RDMIG_PAGE_BYTES,
                                    PAGE_COUNT - HUGE_COUNT + 8),
                         8);
        /* A page that the hardware has lost: whoever reads is to find out. */
        pread_code = EIO;
        holes_invalidate(holes);
        assert_int_equal(hole_count(holes, memory, PAGE_COUNT), 0);
        pread_code = 0;
        data_end_bytes = 0;
        holes_destroy(holes);
        (void)munmap(memory, bytes);
    }
    close(fd);
}

/*
 * Reading a file of huge pages costs time, and so does asking for its page tables: a guest of some
 * size is looked at once a round, not once a call. Untouched, so it needs no huge page.
 */
static void test_migration_counts__huge_pages__are_looked_at_once(void **state)
{
    const size_t bytes = (size_t)4 << 30;
    struct rdmig_ram_block block = {"pc.ram", NULL, bytes};
    struct two_ends ends = {.is_destination_run = true};
    uint8_t *memory[2];

    (void)state;
    pair_reset();
    for (int i = 0; i < 2; i++) {
        const int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

        if (fd < 0)
            fail_msg("this kernel has no hugetlbfs: %s", strerror(errno));
        assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
        memory[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        assert_true(memory[i] != MAP_FAILED);
        /* fd stays open: the file is found by it */
    }
    block.host_addr = memory[0];
    assert_int_equal(
        rdmig_destination_create(&ends.destination, "here", "1", &block, 1, NULL, NULL), 0);
    (void)rdmig_destination_process(ends.destination);
    block.host_addr = memory[1];
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", &block, 1, NULL, NULL), 0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    looked_at_bytes = 0;
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    if (looked_at_bytes > 3 * (uint64_t)bytes)
        fail_msg("%llu MiB were looked at for two blocks of %llu MiB",
                 (unsigned long long)looked_at_bytes >> 20, (unsigned long long)bytes >> 20);
    rdmig_source_destroy(ends.source);
    rdmig_destination_destroy(ends.destination);
    (void)munmap(memory[0], bytes);
    (void)munmap(memory[1], bytes);
}

/* ---- timers */

static void test_migration_counts__timers__are_set_when_the_deadline_changes(void **state)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options), .time_limit_ms = 60000};
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &options, &options);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    set_count = 0;
    ends_turn(&ends, 1000);
    if (set_count > 4)
        fail_msg("two handles at rest set their timers %llu times in 1000 calls each",
                 (unsigned long long)set_count);
    ends_free(&ends);
}

/* ---- signals */

/* The destination owns the guest, the source stands still with its last message on its way. */
static void hand_over(struct two_ends *ends)
{
    ends_init(ends);
    ends_create(ends, NULL, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    ends_run_destination(ends, RDMIG_DESTINATION_RECEIVING);
    for (int i = 0;
         i < 1000 && rdmig_destination_state(ends->destination) != RDMIG_DESTINATION_COMPLETED;
         i++) {
        (void)rdmig_destination_process(ends->destination);
        if (rdmig_destination_state(ends->destination) == RDMIG_DESTINATION_CONFIRMING)
            (void)rdmig_source_process(ends->source);
    }
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_COMPLETED);
}

/*
 * Who has just become the guest's owner waits for the acknowledgement to leave, however many signals
 * come (faults.md, O3). Clause: S8
 */
static void test_migration_counts__waiting_for_the_close_while_signals_come__waits_on(void **state)
{
    struct two_ends ends;

    (void)state;
    hand_over(&ends);
    poll_count = 0;
    interrupted_count = 5;
    assert_int_equal(rdmig_destination_wait_closed(ends.destination, 2000), -RDMIG_E_AGAIN);
    assert_false(rdmig_destination_is_closed(ends.destination));
    assert_int_equal(interrupted_count, 0);
    assert_int_equal(poll_count, 6); /* the last one waits until the time is over */
    ends_free(&ends);
}

/* When the source has left, there is nothing to wait for. */
static void
test_migration_counts__closed_when_the_source_has_left__there_is_nothing_to_wait_for(void **state)
{
    struct two_ends ends;

    (void)state;
    hand_over(&ends);
    ends_turn(&ends, 20);
    poll_count = 0;
    assert_true(rdmig_destination_is_closed(ends.destination));
    assert_int_equal(rdmig_destination_wait_closed(ends.destination, UINT32_MAX), 0);
    assert_true(rdmig_source_is_closed(ends.source));
    assert_int_equal(rdmig_source_wait_closed(ends.source, UINT32_MAX), 0);
    /* A state that is final is not waited for. */
    assert_int_equal(
        rdmig_destination_wait(ends.destination, RDMIG_DESTINATION_COMPLETED, UINT32_MAX),
        -RDMIG_E_STATE);
    assert_int_equal(rdmig_source_wait(ends.source, RDMIG_SOURCE_COMPLETED, UINT32_MAX),
                     -RDMIG_E_STATE);
    assert_int_equal(poll_count, 0);
    ends_free(&ends);
}

/* Before the end there is nothing to be closed, and no wait. */
static void test_migration_counts__under_way__is_not_closed(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    poll_count = 0;
    for (int i = 0; i < 2; i++) {
        assert_false(rdmig_source_is_closed(ends.source));
        assert_false(rdmig_destination_is_closed(ends.destination));
        assert_int_equal(rdmig_source_wait_closed(ends.source, UINT32_MAX), -RDMIG_E_STATE);
        assert_int_equal(rdmig_destination_wait_closed(ends.destination, UINT32_MAX),
                         -RDMIG_E_STATE);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING + (enum rdmig_source_state)i);
        if (i == 0)
            assert_int_equal(rdmig_source_start_round(ends.source), 0);
    }
    assert_int_equal(rdmig_source_cancel(ends.source), 0);
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_CANCELLED);
    assert_true(rdmig_source_is_closed(ends.source));
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_true(rdmig_destination_is_closed(ends.destination));
    assert_int_equal(poll_count, 0);
    ends_free(&ends);
}

/* ---- destroyed at any moment */

/* A whole migration, as far as turn_count turns of both go. */
static void run_turns(struct two_ends *ends, uint32_t turn_count)
{
    bool has_sent = false;

    ends_init(ends);
    ends_create(ends, NULL, NULL);
    for (uint32_t i = 0; i < turn_count; i++) {
        if (rdmig_source_state(ends->source) == RDMIG_SOURCE_IDLE && !has_sent)
            has_sent = rdmig_source_start_round(ends->source) == RDMIG_OK;
        else if (rdmig_source_state(ends->source) == RDMIG_SOURCE_IDLE)
            (void)rdmig_source_finish(ends->source);
        ends_turn(ends, 1);
    }
}

/*
 * A source that is destroyed waits for nobody, and hands no guest over by it: the destination owns
 * one only if the source was about to give it up, and then its VMM has been told so. Clause: S8
 */
static void test_migration_counts__source_destroyed_at_any_moment__one_owner(void **state)
{
    bool is_over = false;

    (void)state;
    for (uint32_t turns = 0; !is_over; turns++) {
        struct two_ends ends;
        enum rdmig_source_state at_source;

        run_turns(&ends, turns);
        at_source = rdmig_source_state(ends.source);
        is_over = rdmig_source_is_closed(ends.source);
        assert_true(turns < 10000);
        poll_count = 0;
        rdmig_source_destroy(ends.source);
        ends.source = NULL;
        assert_int_equal(poll_count, 0);
        for (uint32_t i = 0; i < 100; i++) {
            ends_turn(&ends, 2);
            pair_advance_ns(UINT64_C(100000000));
        }
        if (at_source == RDMIG_SOURCE_COMPLETED)
            assert_int_equal(rdmig_destination_state(ends.destination),
                             RDMIG_DESTINATION_COMPLETED);
        else if (at_source != RDMIG_SOURCE_FINISHING)
            assert_int_not_equal(rdmig_destination_state(ends.destination),
                                 RDMIG_DESTINATION_COMPLETED);
        ends_free(&ends);
    }
}

/*
 * The same the other way round: a source runs its guest on only if its destination does not own it.
 * Clause: S8
 */
static void test_migration_counts__destination_destroyed_at_any_moment__one_owner(void **state)
{
    bool is_over = false;

    (void)state;
    for (uint32_t turns = 0; !is_over; turns++) {
        struct two_ends ends;
        enum rdmig_destination_state at_destination;

        run_turns(&ends, turns);
        at_destination = rdmig_destination_state(ends.destination);
        is_over = rdmig_destination_is_closed(ends.destination);
        assert_true(turns < 10000);
        poll_count = 0;
        rdmig_destination_destroy(ends.destination);
        ends.destination = NULL;
        assert_int_equal(poll_count, 0);
        for (uint32_t i = 0; i < 1000; i++) {
            ends_turn(&ends, 2);
            pair_advance_ns(UINT64_C(100000000));
        }
        if (at_destination == RDMIG_DESTINATION_COMPLETED &&
            rdmig_source_state(ends.source) != RDMIG_SOURCE_COMPLETED)
            assert_int_equal(rdmig_source_error(ends.source)->reason,
                             RDMIG_REASON_HANDOVER_UNKNOWN);
        else if (at_destination != RDMIG_DESTINATION_COMPLETED &&
                 at_destination != RDMIG_DESTINATION_CONFIRMING)
            assert_int_not_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
        ends_free(&ends);
    }
}

/* The caller's own waits end with the signal: it may have come for the caller. */
static void test_migration_counts__the_callers_waits__end_with_a_signal(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    interrupted_count = 1;
    assert_int_equal(rdmig_source_wait(ends.source, RDMIG_SOURCE_CONNECTING, UINT32_MAX),
                     -RDMIG_E_SYSTEM);
    interrupted_count = 1;
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(
        rdmig_destination_wait(ends.destination, RDMIG_DESTINATION_RECEIVING, UINT32_MAX),
        -RDMIG_E_SYSTEM);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration_counts__many_blocks__are_matched_by_sorting),
        cmocka_unit_test(test_migration_counts__a_block_too_many__is_named),
        cmocka_unit_test(test_migration_counts__descriptors_of_the_vmm__are_left_alone),
        cmocka_unit_test(test_migration_counts__many_files__are_found_in_one_list),
        cmocka_unit_test(test_migration_counts__descriptor_that_was_used_again__is_left_alone),
        cmocka_unit_test(test_migration_counts__memory_that_may_not_be_asked_for__is_read),
        cmocka_unit_test(test_migration_counts__huge_page_without_page_tables__is_data),
        cmocka_unit_test(test_migration_counts__huge_pages__are_looked_at_once),
        cmocka_unit_test(test_migration_counts__timers__are_set_when_the_deadline_changes),
        cmocka_unit_test(test_migration_counts__waiting_for_the_close_while_signals_come__waits_on),
        cmocka_unit_test(
            test_migration_counts__closed_when_the_source_has_left__there_is_nothing_to_wait_for),
        cmocka_unit_test(test_migration_counts__under_way__is_not_closed),
        cmocka_unit_test(test_migration_counts__source_destroyed_at_any_moment__one_owner),
        cmocka_unit_test(test_migration_counts__destination_destroyed_at_any_moment__one_owner),
        cmocka_unit_test(test_migration_counts__the_callers_waits__end_with_a_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
