/* SPDX-License-Identifier: BSD-2-Clause */
/* The rdmig command's files: copies that keep holes, and memory blocks. */
#include "../../src/tool/commands/signals.h"
#include "../../src/tool/files/fileio.h"
#include "../../src/tool/files/ramfile.h"
#include "../../src/tool/files/sparse.h"
#include "tool_scratch.h"

#include <sys/mman.h>

static void fill(int fd, uint64_t offset_bytes, size_t length_bytes, int value)
{
    void *bytes = malloc(length_bytes);

    memset(bytes, value, length_bytes);
    assert_int_equal(pwrite(fd, bytes, length_bytes, (off_t)offset_bytes), length_bytes);
    free(bytes);
}

static void assert_same(int one_fd, int other_fd, uint64_t length_bytes)
{
    uint8_t *one = malloc(length_bytes);
    uint8_t *other = malloc(length_bytes);

    assert_int_equal(pread(one_fd, one, length_bytes, 0), length_bytes);
    assert_int_equal(pread(other_fd, other, length_bytes, 0), length_bytes);
    assert_memory_equal(one, other, length_bytes);
    free(one);
    free(other);
}

static uint64_t allocated_bytes(int fd)
{
    struct stat about;

    assert_int_equal(fstat(fd, &about), 0);
    return (uint64_t)about.st_blocks * 512;
}

/* ------------------------------------------------------------------------------------------ copies
 */

/* Data, a hole, zeros that are written out, data over the end of a piece, a hole up to the end. */
static int make_patterned(const char *path, uint64_t length_bytes)
{
    int fd = make_file(path, length_bytes);

    fill(fd, 0, PAGE, 1);
    fill(fd, 2 * MIB, 3 * PAGE, 0);
    fill(fd, 2 * MIB + 3 * PAGE, PAGE, 2);
    fill(fd, 3 * MIB + 5 * PAGE, (size_t)MIB + 7 * PAGE, 3);
    return fd;
}

static void copy_between(const char *from_directory, const char *to_directory, bool is_to_empty)
{
    const uint64_t length_bytes = 8 * MIB + PAGE;
    char *from = in(from_directory, "from");
    char *to = in(to_directory, "to");
    int from_fd = make_patterned(from, length_bytes);
    int to_fd = make_file(to, length_bytes);
    struct sparse_copy copy = {.from_fd = from_fd,
                               .to_fd = to_fd,
                               .length_bytes = length_bytes,
                               .is_to_empty = is_to_empty};

    if (!is_to_empty) {
        fill(to_fd, 0, (size_t)length_bytes, 0x55);
    }
    assert_int_equal(sparse_run(&copy), SPARSE_DONE);
    assert_same(from_fd, to_fd, length_bytes);
    /* 2 pages and 1 MiB + 7 pages of data; what else is there is a hole. */
    assert_true(allocated_bytes(to_fd) <= 2 * MIB);
    close(from_fd);
    close(to_fd);
    unlink(from);
    unlink(to);
    free(from);
    free(to);
}

static void test_copies_keep_holes(void **state)
{
    (void)state;
    copy_between(disk, disk, true);
    copy_between(disk, disk, false);
    copy_between(disk, shm, true);
    copy_between(shm, disk, false);
    copy_between(shm, shm, false);
}

static void test_copy_frees_its_source(void **state)
{
    char *from = in(shm, "from");
    char *to = in(disk, "to");
    int from_fd = make_patterned(from, 8 * MIB);
    int to_fd = make_file(to, 8 * MIB);
    int again_fd;
    struct sparse_copy copy = {.from_fd = from_fd,
                               .to_fd = to_fd,
                               .length_bytes = 8 * MIB,
                               .is_to_empty = true,
                               .frees_source = true};

    (void)state;
    assert_true(allocated_bytes(from_fd) > 0);
    assert_int_equal(sparse_run(&copy), SPARSE_DONE);
    assert_int_equal(allocated_bytes(from_fd), 0);
    again_fd = make_patterned(from, 8 * MIB);
    assert_same(again_fd, to_fd, 8 * MIB);
    close(from_fd);
    close(to_fd);
    close(again_fd);
    free(from);
    free(to);
}

struct stop {
    unsigned int calls;
    unsigned int calls_until;
    uint64_t done_bytes;
};

static bool stop_later(void *context, uint64_t done_bytes)
{
    struct stop *stop = context;

    assert_true(done_bytes >= stop->done_bytes);
    stop->done_bytes = done_bytes;
    return ++stop->calls < stop->calls_until;
}

static void test_copy_can_be_stopped(void **state)
{
    char *from = in(disk, "from");
    char *to = in(disk, "to");
    int from_fd = make_patterned(from, 8 * MIB);
    int to_fd = make_file(to, 8 * MIB);
    struct stop stop = {0, 2, 0};
    struct sparse_copy copy = {.from_fd = from_fd,
                               .to_fd = to_fd,
                               .length_bytes = 8 * MIB,
                               .is_to_empty = true,
                               .proceed = stop_later,
                               .context = &stop};
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_int_equal(sparse_run(&copy), SPARSE_STOPPED);
    assert_int_equal(stop.calls, 2);
    assert_false(sparse_explain(SPARSE_STOPPED, "a", "b", &error));
    assert_false(tool_error_is_set(&error));
    stop = (struct stop){0, 1000000, 0};
    assert_int_equal(sparse_run(&copy), SPARSE_DONE);
    assert_int_equal(stop.done_bytes, 8 * MIB);
    close(from_fd);
    close(to_fd);
    free(from);
    free(to);
}

static void test_copy_failures(void **state)
{
    char *from = in(disk, "from");
    char *to = in(disk, "to");
    int from_fd = make_patterned(from, 8 * MIB);
    int to_fd = make_file(to, 8 * MIB);
    int read_only_fd = open(to, O_RDONLY | O_CLOEXEC);
    int write_only_fd = open(from, O_WRONLY | O_CLOEXEC);
    struct sparse_copy copy = {
        .from_fd = from_fd, .to_fd = to_fd, .length_bytes = 9 * MIB, .is_to_empty = true};
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_int_equal(sparse_run(&copy), SPARSE_CUT_SHORT);
    copy.length_bytes = 8 * MIB;
    copy.to_fd = read_only_fd;
    assert_int_equal(sparse_run(&copy), SPARSE_WRITE_FAILED);
    assert_int_equal(errno, EBADF);
    assert_false(sparse_explain(SPARSE_WRITE_FAILED, "here", "there", &error));
    assert_non_null(strstr(error.detail, "cannot write there: "));
    copy.to_fd = to_fd;
    copy.from_fd = write_only_fd;
    assert_int_equal(sparse_run(&copy), SPARSE_READ_FAILED);
    close(from_fd);
    close(to_fd);
    close(read_only_fd);
    close(write_only_fd);
    free(from);
    free(to);
}

/* /dev/full takes nothing: a write to it is what a full disk looks like. */
static void test_full_disk(void **state)
{
    char *from = in(disk, "from");
    int from_fd = make_patterned(from, 8 * MIB);
    int full_fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    struct sparse_copy copy = {
        .from_fd = from_fd, .to_fd = full_fd, .length_bytes = 8 * MIB, .is_to_empty = true};

    (void)state;
    assert_true(full_fd >= 0);
    assert_int_equal(sparse_run(&copy), SPARSE_WRITE_FAILED);
    assert_int_equal(errno, ENOSPC);
    assert_false(write_fully(full_fd, "x", 1));
    assert_int_equal(errno, ENOSPC);
    close(from_fd);
    close(full_fd);
    free(from);
}

static void test_reserving_changes_no_byte(void **state)
{
    char *from = in(shm, "from");
    char *to = in(disk, "to");
    char *same = in(disk, "same");
    int from_fd = make_patterned(from, 8 * MIB);
    int to_fd = make_file(to, 8 * MIB);
    int same_fd = make_file(same, 8 * MIB);

    (void)state;
    fill(to_fd, 4 * PAGE, PAGE, 9);
    fill(same_fd, 4 * PAGE, PAGE, 9);
    assert_int_equal(sparse_reserve(from_fd, to_fd, 8 * MIB), SPARSE_DONE);
    assert_same(to_fd, same_fd, 8 * MIB);
    close(from_fd);
    close(to_fd);
    close(same_fd);
    free(from);
    free(to);
    free(same);
}

/* ----------------------------------------------------------------------------------- memory blocks
 */

static struct tool_args args_of(struct tool_ram *rams, uint32_t count)
{
    struct tool_args args;

    memset(&args, 0, sizeof(args));
    args.rams = rams;
    args.ram_count = count;
    return args;
}

static void test_shared_memory_is_mapped_as_it_is(void **state)
{
    static char name[] = "ram";
    char *path = in(shm, "ram");
    int fd = make_file(path, 2 * PAGE);
    struct tool_ram ram = {name, path};
    struct tool_args args = args_of(&ram, 1);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    uint8_t byte = 0;

    (void)state;
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_RECV, &error));
    assert_int_equal(set.files[0].memory_fd, -1);
    assert_int_equal(set.blocks[0].length_bytes, 2 * PAGE);
    assert_string_equal(set.blocks[0].name, "ram");
    ((uint8_t *)set.blocks[0].host_addr)[PAGE] = 7;
    assert_int_equal(pread(fd, &byte, 1, PAGE), 1);
    assert_int_equal(byte, 7);
    assert_int_equal(ramfile_set_find(&set, set.blocks[0].host_addr), 0);
    assert_int_equal(ramfile_set_find(&set, (uint8_t *)set.blocks[0].host_addr + 2 * PAGE - 1), 0);
    assert_int_equal(ramfile_set_find(&set, (uint8_t *)set.blocks[0].host_addr + 2 * PAGE), -1);
    ramfile_set_close(&set);
    close(fd);
    free(path);
}

static void test_memfd_by_its_proc_path(void **state)
{
    static char name[] = "ram";
    char path[64];
    int fd = memfd_create("guest", MFD_CLOEXEC);
    struct tool_ram ram = {name, path};
    struct tool_args args = args_of(&ram, 1);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_SEND, &error));
    assert_int_equal(set.files[0].memory_fd, -1);
    fill(fd, 0, PAGE, 5);
    assert_int_equal(*(uint8_t *)set.blocks[0].host_addr, 5);
    ramfile_set_close(&set);
    close(fd);
}

static void test_sealed_memfd_is_sent_from_a_copy(void **state)
{
    static char name[] = "ram";
    char path[64];
    int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct tool_ram ram = {name, path};
    struct tool_args args = args_of(&ram, 1);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
    fill(fd, 0, PAGE, 5);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_SEND, &error));
    assert_true(set.files[0].memory_fd >= 0);
    assert_true(ramfile_set_load(&set, NULL, NULL, &error));
    assert_int_equal(*(uint8_t *)set.blocks[0].host_addr, 5);
    ramfile_set_close(&set);
    assert_false(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_RECV, &error));
    assert_non_null(strstr(error.detail, "cannot map"));
    ramfile_set_close(&set);
    close(fd);
}

static void test_ordinary_files_go_through_memory(void **state)
{
    static char first_name[] = "first";
    static char second_name[] = "second";
    char *first = in(disk, "first");
    char *second = in(disk, "second");
    int first_fd = make_patterned(first, 8 * MIB);
    int second_fd = make_file(second, 3 * PAGE);
    struct tool_ram rams[] = {{first_name, first}, {second_name, second}};
    struct tool_args args = args_of(rams, 2);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    uint8_t *bytes;
    uint8_t page[PAGE];

    (void)state;
    fill(second_fd, 0, 3 * PAGE, 8);
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_SEND, &error));
    assert_true(ramfile_set_load(&set, NULL, NULL, &error));
    bytes = set.blocks[0].host_addr;
    assert_int_equal(bytes[0], 1);
    assert_int_equal(bytes[PAGE], 0);
    assert_int_equal(bytes[2 * MIB + 3 * PAGE], 2);
    assert_int_equal(((uint8_t *)set.blocks[1].host_addr)[3 * PAGE - 1], 8);
    ramfile_set_close(&set);

    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_RECV, &error));
    bytes = set.blocks[1].host_addr;
    assert_int_equal(bytes[0], 0);
    memset(bytes + PAGE, 4, PAGE);
    assert_true(ramfile_set_reserve(&set, &error));
    assert_int_equal(pread(second_fd, page, 1, 0), 1);
    assert_int_equal(page[0], 8); /* unchanged until store */
    assert_true(ramfile_set_store(&set, NULL, NULL, &error));
    ramfile_set_close(&set);
    assert_int_equal(pread(second_fd, page, PAGE, 0), PAGE);
    assert_int_equal(page[0], 0);
    assert_int_equal(pread(second_fd, page, PAGE, PAGE), PAGE);
    assert_int_equal(page[PAGE - 1], 4);
    assert_int_equal(allocated_bytes(first_fd), 0); /* nothing came for it: all a hole */
    close(first_fd);
    close(second_fd);
    free(first);
    free(second);
}

static void assert_refused(const char *path, enum ramfile_use use, const char *says)
{
    static char name[] = "ram";
    struct tool_ram ram = {name, path};
    struct tool_args args = args_of(&ram, 1);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    assert_false(ramfile_set_open(&set, args.rams, args.ram_count, use, &error));
    assert_string_equal(error.reason, TOOL_REASON_FILE);
    assert_non_null(strstr(error.detail, says));
    assert_true(error.remedy[0] != '\0');
    ramfile_set_close(&set);
}

static void test_unusable_files(void **state)
{
    static char names[2][4] = {"one", "two"};
    char *path = in(disk, "file");
    char *fifo = in(disk, "fifo");
    char *missing = in(disk, "missing");
    struct tool_ram rams[] = {{names[0], path}, {names[1], path}};
    struct tool_args args = args_of(rams, 2);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    close(make_file(path, 0));
    assert_refused(path, RAMFILE_SEND, "is 0 bytes long");
    close(make_file(path, PAGE + 1));
    assert_refused(path, RAMFILE_SEND, "is 4097 bytes long");
    assert_refused(missing, RAMFILE_RECV, "cannot open the file");
    assert_refused(disk, RAMFILE_RECV, "cannot open the file");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(fifo, RAMFILE_SEND, "no regular file");
    assert_refused("/dev/zero", RAMFILE_SEND, "no regular file");
    close(make_file(path, PAGE));
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_SEND, &error));
    ramfile_set_close(&set);
    assert_false(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_RECV, &error));
    assert_non_null(strstr(error.detail, "name the same file"));
    ramfile_set_close(&set);
    free(path);
    free(fifo);
    free(missing);
}

static void test_cut_short_under_the_mapping(void **state)
{
    static char name[] = "ram";
    char *path = in(shm, "ram");
    int fd = make_file(path, 4 * PAGE);
    struct tool_ram ram = {name, path};
    struct tool_args args = args_of(&ram, 1);
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    volatile uint8_t *bytes;

    (void)state;
    fill(fd, 0, 4 * PAGE, 6);
    assert_true(ramfile_set_open(&set, args.rams, args.ram_count, RAMFILE_SEND, &error));
    assert_true(ramfile_set_check_lengths(&set, &error));
    assert_true(signals_install(&error));
    signals_watch(&set);
    bytes = set.blocks[0].host_addr;
    assert_int_equal(signals_faulted_block(), -1);
    assert_int_equal(ftruncate(fd, PAGE), 0);
    assert_int_equal(bytes[0], 6);
    assert_int_equal(signals_faulted_block(), -1);
    assert_int_equal(bytes[3 * PAGE + 1], 0); /* would be a SIGBUS */
    assert_int_equal(signals_faulted_block(), 0);
    assert_int_equal(bytes[0], 6);
    assert_false(ramfile_set_check_lengths(&set, &error));
    assert_non_null(strstr(error.detail, "cut short from 16384 to 4096 bytes"));
    signals_watch(NULL);
    ramfile_set_close(&set);
    close(fd);
    free(path);
}

static void test_allocated_blocks(void **state)
{
    char name[] = "pc.ram";
    struct rdmig_ram_block wanted[] = {{name, NULL, 16 * PAGE}, {"other", NULL, UINT64_C(1) << 62}};
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_true(ramfile_set_allocate(&set, wanted, 1, &error));
    name[0] = '#'; /* names are copied */
    assert_string_equal(set.blocks[0].name, "pc.ram");
    assert_int_equal(*(uint8_t *)set.blocks[0].host_addr, 0);
    ramfile_set_close(&set);
    assert_false(ramfile_set_allocate(&set, wanted, 2, &error));
    assert_string_equal(error.reason, "MEMORY");
    ramfile_set_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_keep_holes),
        cmocka_unit_test(test_copy_frees_its_source),
        cmocka_unit_test(test_copy_can_be_stopped),
        cmocka_unit_test(test_copy_failures),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_reserving_changes_no_byte),
        cmocka_unit_test(test_shared_memory_is_mapped_as_it_is),
        cmocka_unit_test(test_memfd_by_its_proc_path),
        cmocka_unit_test(test_sealed_memfd_is_sent_from_a_copy),
        cmocka_unit_test(test_ordinary_files_go_through_memory),
        cmocka_unit_test(test_unusable_files),
        cmocka_unit_test(test_cut_short_under_the_mapping),
        cmocka_unit_test(test_allocated_blocks),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
