/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the rdmig command asks of the system and of its own lists, counted, and interrupted, instead
 * of timed: unit.mk has the linker lead these calls through here.
 */
#include "../../src/tool/files/outfile.h"
#include "../../src/tool/image/image_writer.h"
#include "tool_scratch.h"

#define NAME_COUNT 2000u
#define FILE_COUNT 400u

static uint64_t compare_count;
static uint64_t fstat_count;
static bool is_interrupting; /* every call is ended by a signal, but for the one after that */

/* True: this call is ended by one. */
static bool is_interrupted(bool *was_interrupted)
{
    if (!is_interrupting) {
        return false;
    }
    *was_interrupted = !*was_interrupted;
    errno = EINTR;
    return *was_interrupted;
}

int __real_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b)
{
    compare_count++;
    return __real_strcmp(a, b);
}

size_t __real_strlen(const char *text);
size_t __wrap_strlen(const char *text);
size_t __wrap_strlen(const char *text)
{
    compare_count++; /* names of one length only need a closer look */
    return __real_strlen(text);
}

int __real_fstat(int fd, struct stat *about);
int __wrap_fstat(int fd, struct stat *about);
int __wrap_fstat(int fd, struct stat *about)
{
    fstat_count++;
    return __real_fstat(fd, about);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    static bool was_interrupted;
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_interrupted(&was_interrupted) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int directory_fd, const char *path, int flags, ...);
int __wrap_openat(int directory_fd, const char *path, int flags, ...);
int __wrap_openat(int directory_fd, const char *path, int flags, ...)
{
    static bool was_interrupted;
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_interrupted(&was_interrupted) ? -1 : __real_openat(directory_fd, path, flags, mode);
}

int __real_ftruncate(int fd, off_t length_bytes);
int __wrap_ftruncate(int fd, off_t length_bytes);
int __wrap_ftruncate(int fd, off_t length_bytes)
{
    static bool was_interrupted;

    return is_interrupted(&was_interrupted) ? -1 : __real_ftruncate(fd, length_bytes);
}

int __real_fallocate(int fd, int mode, off_t offset_bytes, off_t length_bytes);
int __wrap_fallocate(int fd, int mode, off_t offset_bytes, off_t length_bytes);
int __wrap_fallocate(int fd, int mode, off_t offset_bytes, off_t length_bytes)
{
    static bool was_interrupted;

    return is_interrupted(&was_interrupted)
               ? -1
               : __real_fallocate(fd, mode, offset_bytes, length_bytes);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    static bool was_interrupted;

    return is_interrupted(&was_interrupted) ? -1 : __real_fsync(fd);
}

/* ------------------------------------------------------------------------------------------ counts
 */

/* Each name with each would be two million; sorting takes some twenty a name (faults.md, G3). */
static void test_names_are_compared_by_sorting(void **state)
{
    static char values[NAME_COUNT][24];
    static char words[][16] = {"send", "--to=h:1", "--ram", "block7=other"};
    static char *argv[2 * NAME_COUNT + 4];
    struct tool_error error = {{0}, {0}, {0}};
    struct tool_args args;
    int argc = 0;
    uint32_t i;

    (void)state;
    argv[argc++] = words[0];
    argv[argc++] = words[1];
    for (i = 0; i < NAME_COUNT; i++) {
        snprintf(values[i], sizeof(values[i]), "block%u=file", i);
        argv[argc++] = words[2];
        argv[argc++] = values[i];
    }
    compare_count = 0;
    assert_true(args_parse(&args, TOOL_COMMAND_SEND, argc, argv, &error));
    assert_int_equal(args.ram_count, NAME_COUNT);
    if (compare_count > NAME_COUNT * UINT64_C(100)) {
        fail_msg("%llu names were looked at for %u blocks", (unsigned long long)compare_count,
                 NAME_COUNT);
    }
    args_free(&args);
    argv[argc - 1] = words[3];
    assert_false(args_parse(&args, TOOL_COMMAND_SEND, argc, argv, &error));
    assert_non_null(strstr(error.detail, "block7"));
    assert_non_null(strstr(error.detail, "given twice"));
    args_free(&args);
}

/* That no two blocks have one file costs no system call a pair (faults.md, G3). */
static void test_files_are_compared_by_sorting(void **state)
{
    static char names[FILE_COUNT][24];
    static struct tool_ram rams[FILE_COUNT];
    struct tool_error error = {{0}, {0}, {0}};
    struct ramfile_set set;
    uint32_t i;

    (void)state;
    for (i = 0; i < FILE_COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "block%u", i);
        rams[i] = (struct tool_ram){names[i], in(shm, names[i])};
        close(make_file(rams[i].path, PAGE));
    }
    fstat_count = 0;
    assert_true(ramfile_set_open(&set, rams, FILE_COUNT, RAMFILE_RECV, &error));
    if (fstat_count > FILE_COUNT * UINT64_C(4)) {
        fail_msg("%llu files were looked at for %u blocks", (unsigned long long)fstat_count,
                 FILE_COUNT);
    }
    ramfile_set_close(&set);
    free((char *)rams[FILE_COUNT - 1].path);
    rams[FILE_COUNT - 1].path = in(shm, names[7]);
    assert_false(ramfile_set_open(&set, rams, FILE_COUNT, RAMFILE_RECV, &error));
    assert_non_null(strstr(error.detail, "blocks block7 and block399 name the same file"));
    ramfile_set_close(&set);
    for (i = 0; i < FILE_COUNT; i++) {
        free((char *)rams[i].path);
    }
}

/* ----------------------------------------------------------------------------------------- signals
 */

static void write_image(const char *path)
{
    static const struct rdmig_ram_block wanted = {"pc.ram", NULL, 4 * MIB};
    struct manifest manifest = {.block_count = 1, .stream_bytes = 4};
    struct tool_error error = {{0}, {0}, {0}};
    struct ramfile_set set;
    struct image_writer image;

    image_writer_init(&image);
    assert_true(image_writer_create(&image, path, &error));
    assert_true(image_writer_write_stream(&image, "QEVM", 4, &error));
    assert_true(ramfile_set_allocate(&set, &wanted, 1, &error));
    memset((uint8_t *)set.blocks[0].host_addr + MIB, 3, PAGE);
    assert_true(image_writer_store_block(&image, &set.files[0], 0, NULL, NULL, &error));
    manifest.blocks = set.blocks;
    assert_true(image_writer_write_manifest(&image, &manifest, &error));
    assert_true(image_writer_commit(&image, &error));
    image_writer_close(&image);
    ramfile_set_close(&set);
}

/* A file system behind a network or a program says EINTR whatever SA_RESTART asks for: no file
 * fails by that (faults.md, O3). */
static void test_files_outlast_signals(void **state)
{
    char *image_path = in(disk, "guest");
    char *stream_path = in(disk, "stream");
    char *ram_path = in(disk, "ram");
    char name[] = "ram";
    struct tool_ram ram = {name, ram_path};
    struct tool_error error = {{0}, {0}, {0}};
    struct ramfile_set set;
    struct outfile file;

    (void)state;
    close(make_file(ram_path, 2 * PAGE));
    is_interrupting = true;
    write_image(image_path);
    outfile_init(&file);
    assert_true(outfile_open(&file, stream_path, &error));
    assert_true(outfile_write(&file, "abc", 3, &error));
    assert_true(outfile_seal(&file, &error));
    assert_true(outfile_commit(&file, &error));
    outfile_close(&file);
    assert_true(ramfile_set_open(&set, &ram, 1, RAMFILE_RECV, &error));
    memset(set.blocks[0].host_addr, 5, PAGE);
    assert_true(ramfile_set_reserve(&set, &error));
    assert_true(ramfile_set_store(&set, NULL, NULL, &error));
    ramfile_set_close(&set);
    assert_true(ramfile_set_open(&set, &ram, 1, RAMFILE_SEND, &error));
    assert_true(ramfile_set_load(&set, NULL, NULL, &error));
    assert_int_equal(*(uint8_t *)set.blocks[0].host_addr, 5);
    ramfile_set_close(&set);
    is_interrupting = false;
    free(image_path);
    free(stream_path);
    free(ram_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_compared_by_sorting),
        cmocka_unit_test(test_files_are_compared_by_sorting),
        cmocka_unit_test(test_files_outlast_signals),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
