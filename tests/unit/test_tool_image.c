/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rdmig command writes appears whole or not at all: a stream's file, a captured guest's
 * directory. */
#include "../../src/tool/files/outfile.h"
#include "../../src/tool/image/image_writer.h"
#include "tool_scratch.h"

/* ------------------------------------------------------------------------------------ output files
 */

static unsigned int count_entries(const char *directory)
{
    char command[PATH_MAX + 32];
    unsigned int count = 0;
    FILE *list;

    snprintf(command, sizeof(command), "ls -A '%s' | wc -l", directory);
    list = popen(command, "r");
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%u", &count), 1);
    pclose(list);
    return count;
}

static void test_output_file_appears_whole_or_not_at_all(void **state)
{
    char *directory = in(disk, "out");
    char *path = in(directory, "stream");
    char *link = in(directory, "link");
    struct outfile file;
    struct tool_error error = {{0}, {0}, {0}};
    struct stat about;

    (void)state;
    assert_int_equal(mkdir(directory, 0777), 0);
    outfile_init(&file);
    assert_true(outfile_open(&file, path, &error));
    assert_true(outfile_write(&file, "abc", 3, &error));
    assert_true(outfile_seal(&file, &error));
    assert_int_equal(access(path, F_OK), -1);
    outfile_close(&file);
    assert_int_equal(count_entries(directory), 0);

    assert_true(outfile_open(&file, path, &error));
    assert_true(outfile_write(&file, "abc", 3, &error));
    assert_true(outfile_commit(&file, &error));
    outfile_close(&file);
    assert_int_equal(count_entries(directory), 1);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 3);
    assert_int_equal(about.st_mode & 0777, mode_after_umask(0666));

    /* Through a link the file behind it is replaced. */
    assert_int_equal(symlink("stream", link), 0);
    assert_true(outfile_open(&file, link, &error));
    assert_true(outfile_commit(&file, &error));
    outfile_close(&file);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 0);

    assert_false(outfile_open(&file, "/dev/null", &error));
    assert_non_null(strstr(error.detail, "no regular file"));
    outfile_close(&file);
    free(directory);
    free(path);
    free(link);
}

/* -------------------------------------------------------------------------------- captured guests
 */

/* The end of a QEMU stream: footer, end mark, description of 2 bytes. */
static const uint8_t stream_end[] = {0x7e, 0, 0, 0, 3, 0x00, 0x06, 0, 0, 0, 2, '{', '}'};

static void fill_image(struct image_writer *image, struct ramfile_set *set, const char *path)
{
    static const struct rdmig_ram_block wanted[] = {{"pc.ram", NULL, 4 * MIB},
                                                    {"/rom@x", NULL, 2 * PAGE}};
    struct manifest manifest = {.block_count = 2, .stream_bytes = 17};
    struct tool_error error = {{0}, {0}, {0}};
    uint64_t end_mark_position_bytes = 0;
    uint32_t i;

    assert_true(image_writer_create(image, path, &error));
    assert_true(image_writer_write_stream(image, "QEVM", 4, &error));
    assert_false(image_writer_check_stream(image, &end_mark_position_bytes, &error));
    assert_string_equal(error.reason, "STREAM_TRUNCATED");
    tool_error_clear(&error);
    assert_true(image_writer_write_stream(image, stream_end, sizeof(stream_end), &error));
    assert_true(image_writer_check_stream(image, &end_mark_position_bytes, &error));
    assert_int_equal(end_mark_position_bytes, 4 + 5);
    assert_true(ramfile_set_allocate(set, wanted, 2, &error));
    memset((uint8_t *)set->blocks[0].host_addr + MIB, 3, PAGE);
    memset(set->blocks[1].host_addr, 4, 2 * PAGE);
    for (i = 0; i < 2; i++) {
        assert_true(image_writer_store_block(image, &set->files[i], i, NULL, NULL, &error));
    }
    manifest.blocks = set->blocks;
    assert_true(image_writer_write_manifest(image, &manifest, &error));
}

static void test_image_is_complete(void **state)
{
    char *directory = in(disk, "images");
    char *path = in(directory, "guest/");
    char *ram = in(directory, "guest/ram/pc.ram");
    char *rom = in(directory, "guest/ram/%2From%40x");
    char *manifest = in(directory, "guest/manifest.json");
    char *stream = in(directory, "guest/stream");
    struct image_writer image;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    struct stat about;
    uint8_t byte;
    int fd;

    (void)state;
    assert_int_equal(mkdir(directory, 0777), 0);
    image_writer_init(&image);
    fill_image(&image, &set, path);
    assert_int_equal(access(ram, F_OK), -1);
    assert_true(image_writer_commit(&image, &error));
    image_writer_close(&image);
    assert_int_equal(count_entries(directory), 1);
    assert_int_equal(stat(ram, &about), 0);
    assert_int_equal(about.st_size, 4 * MIB);
    assert_true(about.st_blocks * 512 < (off_t)MIB);
    fd = open(ram, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, (off_t)MIB), 1);
    assert_int_equal(byte, 3);
    close(fd);
    assert_int_equal(stat(rom, &about), 0);
    assert_int_equal(about.st_size, 2 * PAGE);
    assert_int_equal(stat(stream, &about), 0);
    assert_int_equal(about.st_size, 17);
    assert_int_equal(access(manifest, R_OK), 0);
    ramfile_set_close(&set);

    assert_false(image_writer_create(&image, path, &error));
    assert_non_null(strstr(error.detail, "exists already"));
    image_writer_close(&image);
    assert_int_equal(count_entries(directory), 1);
    free(directory);
    free(path);
    free(ram);
    free(rom);
    free(manifest);
    free(stream);
}

static void test_image_does_not_appear_half_made(void **state)
{
    char *directory = in(disk, "half");
    char *path = in(directory, "guest");
    struct image_writer image;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_int_equal(mkdir(directory, 0777), 0);
    image_writer_init(&image);
    fill_image(&image, &set, path);
    assert_int_equal(count_entries(directory), 1);
    image_writer_close(&image);
    ramfile_set_close(&set);
    assert_int_equal(count_entries(directory), 0);

    /* What somebody else puts there meanwhile stays. */
    fill_image(&image, &set, path);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_false(image_writer_commit(&image, &error));
    assert_non_null(strstr(error.detail, "exists already"));
    image_writer_close(&image);
    ramfile_set_close(&set);
    assert_int_equal(count_entries(directory), 1);
    assert_int_equal(count_entries(path), 0);
    free(directory);
    free(path);
}

/* A source's block can be called anything: its file is in the directory, and nowhere else. */
static void test_no_block_name_leads_out_of_the_directory(void **state)
{
    static const char *const names[] = {
        "../x", "/",       ".",    "..",      "/etc/rdmig-test", "a/../../b",
        "a\nb", "\x1b[2J", "\xff", ".hidden", "stream",          "../stream"};
    const uint32_t name_count = sizeof(names) / sizeof(names[0]);
    char *directory = in(disk, "names");
    char *path = in(directory, "guest");
    char *ram = in(path, "ram");
    struct image_writer image;
    struct tool_error error = {{0}, {0}, {0}};
    uint32_t i;

    (void)state;
    assert_int_equal(mkdir(directory, 0777), 0);
    image_writer_init(&image);
    assert_true(image_writer_create(&image, path, &error));
    for (i = 0; i < name_count; i++) {
        const struct rdmig_ram_block wanted = {names[i], NULL, PAGE};
        struct ramfile_set set;

        assert_true(ramfile_set_allocate(&set, &wanted, 1, &error));
        assert_true(image_writer_store_block(&image, &set.files[0], i, NULL, NULL, &error));
        ramfile_set_close(&set);
    }
    assert_true(image_writer_commit(&image, &error));
    image_writer_close(&image);
    assert_int_equal(count_entries(ram), name_count);
    assert_int_equal(count_entries(path), 2); /* ram and stream */
    assert_int_equal(count_entries(directory), 1);
    free(directory);
    free(path);
    free(ram);
}

/* Somebody who can write into the directory while it is made: nothing is written through a link. */
static void test_planted_links_are_not_followed(void **state)
{
    const struct rdmig_ram_block wanted = {"pc.ram", NULL, PAGE};
    const struct manifest manifest = {.block_count = 0};
    char *victim = in(disk, "victim");
    char *path = in(disk, "planted");
    char *ram;
    char *manifest_path;
    struct ramfile_set set;
    struct image_writer image;
    struct stat about;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    close(make_file(victim, 1));
    image_writer_init(&image);
    assert_true(image_writer_create(&image, path, &error));
    assert_true(ramfile_set_allocate(&set, &wanted, 1, &error));
    ram = in(image.part_path, "ram/pc.ram");
    manifest_path = in(image.part_path, "manifest.json");
    assert_int_equal(symlink(victim, ram), 0);
    assert_int_equal(symlink(victim, manifest_path), 0);
    assert_false(image_writer_store_block(&image, &set.files[0], 0, NULL, NULL, &error));
    assert_non_null(strstr(error.detail, "cannot make the file of block pc.ram"));
    tool_error_clear(&error);
    assert_false(image_writer_write_manifest(&image, &manifest, &error));
    assert_non_null(strstr(error.detail, "cannot make manifest.json"));
    image_writer_close(&image);
    ramfile_set_close(&set);
    assert_int_equal(stat(victim, &about), 0);
    assert_int_equal(about.st_size, 1);
    free(victim);
    free(path);
    free(ram);
    free(manifest_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_file_appears_whole_or_not_at_all),
        cmocka_unit_test(test_image_is_complete),
        cmocka_unit_test(test_image_does_not_appear_half_made),
        cmocka_unit_test(test_no_block_name_leads_out_of_the_directory),
        cmocka_unit_test(test_planted_links_are_not_followed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
