/* SPDX-License-Identifier: BSD-2-Clause */
/* The directory of a captured guest, read back: all that is in it is checked before it is used. */
#include "../../src/tool/image/image_reader.h"
#include "../../src/tool/image/image_writer.h"
#include "tool_scratch.h"

#include <endian.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>

#define STREAM_BYTES_MAX 4096u

/* A QEMU's stream of two blocks, in as few bytes as will do. */
struct stream {
    uint8_t bytes[STREAM_BYTES_MAX];
    size_t length_bytes;
    struct manifest_round rounds[2];
    uint64_t end_mark_position_bytes;
};

static const struct rdmig_ram_block wanted[] = {{"pc.ram", NULL, 4 * MIB},
                                                {"/rom@x", NULL, 2 * PAGE}};

static void put(struct stream *stream, const void *bytes, size_t length_bytes)
{
    assert_true(stream->length_bytes + length_bytes <= sizeof(stream->bytes));
    memcpy(stream->bytes + stream->length_bytes, bytes, length_bytes);
    stream->length_bytes += length_bytes;
}

static void put8(struct stream *stream, unsigned int value)
{
    uint8_t byte = (uint8_t)value;

    put(stream, &byte, 1);
}

static void put32(struct stream *stream, uint32_t value)
{
    uint32_t swapped = htobe32(value);

    put(stream, &swapped, sizeof(swapped));
}

static void put64(struct stream *stream, uint64_t value)
{
    uint64_t swapped = htobe64(value);

    put(stream, &swapped, sizeof(swapped));
}

static void put_text(struct stream *stream, const char *text)
{
    put8(stream, (unsigned int)strlen(text));
    put(stream, text, strlen(text));
}

/* The hook of a round, and what closes the section behind it. */
static void put_round(struct stream *stream, unsigned int index)
{
    put64(stream, 0x80);
    stream->rounds[index].hook_position_bytes = stream->length_bytes;
    stream->rounds[index].finished_position_bytes = stream->length_bytes;
    put64(stream, 0x10);
    put8(stream, 0x7e);
    put32(stream, 2);
}

static void make_stream(struct stream *stream)
{
    uint32_t i;

    memset(stream, 0, sizeof(*stream));
    put(stream, "QEVM", 4);
    put32(stream, 3);
    put8(stream, 0x07);
    put32(stream, 6);
    put(stream, "pc-q35", 6);
    put8(stream, 0x01);
    put32(stream, 2);
    put_text(stream, "ram");
    put32(stream, 0);
    put32(stream, 4);
    put64(stream, (wanted[0].length_bytes + wanted[1].length_bytes) | 4);
    for (i = 0; i < 2; i++) {
        put_text(stream, wanted[i].name);
        put64(stream, wanted[i].length_bytes);
    }
    put_round(stream, 0);
    put8(stream, 0x03);
    put32(stream, 2);
    put_round(stream, 1);
    stream->end_mark_position_bytes = stream->length_bytes;
    put8(stream, 0x00);
    put8(stream, 0x06);
    put32(stream, 2);
    put(stream, "{}", 2);
}

/* As capture makes it. */
static void make_directory(const char *path, const struct stream *stream)
{
    struct manifest manifest = {.block_count = 2,
                                .rounds = stream->rounds,
                                .round_count = 2,
                                .stream_bytes = stream->length_bytes,
                                .end_mark_position_bytes = stream->end_mark_position_bytes};
    struct tool_error error = {{0}, {0}, {0}};
    struct ramfile_set set;
    struct image_writer image;
    uint32_t i;

    image_writer_init(&image);
    assert_true(image_writer_create(&image, path, &error));
    assert_true(image_writer_write_stream(&image, stream->bytes, stream->length_bytes, &error));
    assert_true(ramfile_set_allocate(&set, wanted, 2, &error));
    memset((uint8_t *)set.blocks[0].host_addr + MIB, 3, PAGE);
    memset(set.blocks[1].host_addr, 4, 2 * PAGE);
    for (i = 0; i < 2; i++) {
        assert_true(image_writer_store_block(&image, &set.files[i], i, NULL, NULL, &error));
    }
    manifest.blocks = set.blocks;
    assert_true(image_writer_write_manifest(&image, &manifest, &error));
    assert_true(image_writer_commit(&image, &error));
    image_writer_close(&image);
    ramfile_set_close(&set);
}

static void remove_directory(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static bool open_all(struct image_reader *captured, struct ramfile_set *set, const char *path,
                     struct tool_error *error)
{
    memset(set, 0, sizeof(*set));
    image_reader_init(captured);
    return image_reader_open(captured, path, error) &&
           image_reader_open_blocks(captured, set, false, error) &&
           ramfile_set_load(set, NULL, NULL, error);
}

static void test_a_captured_guest_is_read_back(void **state)
{
    char *path = in(disk, "guest");
    struct stream stream;
    struct image_reader captured;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    struct stat about;
    uint8_t bytes[STREAM_BYTES_MAX];
    const uint8_t *memory;

    (void)state;
    make_stream(&stream);
    make_directory(path, &stream);
    if (!open_all(&captured, &set, path, &error)) {
        fail_msg("%s; %s", error.detail, error.remedy);
    }
    assert_int_equal(set.count, 2);
    assert_string_equal(set.blocks[0].name, "pc.ram");
    assert_string_equal(set.blocks[1].name, "/rom@x");
    assert_int_equal(set.blocks[0].length_bytes, 4 * MIB);
    memory = set.blocks[0].host_addr;
    /* The holes of the file are holes of the memory: nothing was read in for them. */
    assert_int_equal(fstat(set.files[0].memory_fd, &about), 0);
    assert_true(about.st_blocks * 512 <= (off_t)MIB);
    assert_int_equal(memory[0], 0);
    assert_int_equal(memory[MIB], 3);
    assert_int_equal(memory[MIB + PAGE - 1], 3);
    assert_int_equal(memory[MIB + PAGE], 0);
    memory = set.blocks[1].host_addr;
    assert_int_equal(memory[2 * PAGE - 1], 4);
    assert_true(image_reader_read_stream(&captured, 4, bytes, stream.length_bytes - 4, &error));
    assert_memory_equal(bytes, stream.bytes + 4, stream.length_bytes - 4);
    assert_false(image_reader_read_stream(&captured, 4, bytes, stream.length_bytes, &error));
    assert_non_null(strstr(error.detail, "cut short"));
    ramfile_set_close(&set);
    image_reader_close(&captured);
    remove_directory(path);
    free(path);
}

static void assert_refused(const char *path, const char *says)
{
    struct image_reader captured;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    assert_false(open_all(&captured, &set, path, &error));
    if (strstr(error.detail, says) == NULL) {
        fail_msg("%s instead of %s", error.detail, says);
    }
    assert_true(error.remedy[0] != '\0');
    ramfile_set_close(&set);
    image_reader_close(&captured);
}

/* A file of the directory is gone, a directory, a FIFO, or of another length. */
static void spoil_file(const char *name, const char *missing, const char *longer)
{
    char *path = in(disk, "guest");
    char *file = in(path, name);
    struct stream stream;
    struct stat about;

    make_stream(&stream);
    make_directory(path, &stream);
    assert_int_equal(stat(file, &about), 0);
    assert_int_equal(truncate(file, about.st_size + (off_t)PAGE), 0);
    assert_refused(path, longer);
    assert_int_equal(truncate(file, about.st_size / 2 / PAGE * PAGE), 0);
    assert_refused(path, about.st_size >= (off_t)(2 * PAGE) ? longer : "");
    assert_int_equal(unlink(file), 0);
    assert_refused(path, missing);
    assert_int_equal(mkfifo(file, 0600), 0);
    assert_refused(path, "no regular file");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_refused(path, "");
    remove_directory(path);
    free(file);
    free(path);
}

static void test_files_that_are_not_as_they_were(void **state)
{
    (void)state;
    spoil_file("manifest.json", "cannot open", "behind the end");
    spoil_file("stream", "cannot open", "in the manifest");
    spoil_file("ram/pc.ram", "cannot open the file", "in the manifest");
    assert_refused("/nonexistent/guest", "cannot open the directory");
    assert_refused("/proc/self/status", "cannot open the directory");
}

/* ------------------------------------------------------------------------ what leads elsewhere
 */

/* Tells of each time that a file is opened. */
static int watch_opening(const char *path)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(inotify_add_watch(fd, path, IN_OPEN) >= 0);
    return fd;
}

static bool was_opened(int watch_fd)
{
    char event[512];

    return read(watch_fd, event, sizeof(event)) > 0;
}

/* An entry that is not what capture has made is refused by its name, and not opened. */
static void refuse_entry(const char *path, const char *entry, const char *opened, const char *kind)
{
    int watch_fd = watch_opening(opened);
    struct image_reader captured;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    char says[128];

    snprintf(says, sizeof(says), "%s is %s, no ", entry, kind);
    if (open_all(&captured, &set, path, &error)) {
        fail_msg("%s is %s: taken", entry, kind);
    }
    if (was_opened(watch_fd)) {
        fail_msg("%s is %s: opened, then \"%s\"", entry, kind, error.detail);
    }
    if (strstr(error.detail, says) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", error.detail, says);
    }
    assert_string_equal(error.reason, TOOL_REASON_FILE);
    assert_true(error.remedy[0] != '\0');
    ramfile_set_close(&set);
    image_reader_close(&captured);
    close(watch_fd);
}

static void make_device(const char *file)
{
    /* Only root makes one; for others a socket has to do. */
    if (mknod(file, S_IFCHR | 0600, makedev(1, 5)) != 0) {
        assert_int_equal(errno, EPERM);
        assert_int_equal(mknod(file, S_IFSOCK | 0600, 0), 0);
    }
}

/* All that it could be instead, one after the other; a link to the very bytes that belong there. */
static void replace_file(const char *base, const char *entry)
{
    char *path = in(base, "guest");
    char *file = in(path, entry);
    char *elsewhere = in(base, "elsewhere");
    struct stream stream;
    struct stat about;

    make_stream(&stream);
    make_directory(path, &stream);
    assert_int_equal(rename(file, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, file), 0);
    refuse_entry(path, entry, elsewhere, "a symbolic link");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    refuse_entry(path, entry, file, "a FIFO");
    assert_int_equal(unlink(file), 0);
    make_device(file);
    assert_int_equal(stat(file, &about), 0);
    refuse_entry(path, entry, file, S_ISCHR(about.st_mode) ? "a device" : "a socket");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    refuse_entry(path, entry, file, "a directory");
    remove_directory(path);
    assert_int_equal(unlink(elsewhere), 0);
    free(path);
    free(file);
    free(elsewhere);
}

static void test_what_is_no_file_is_not_opened(void **state)
{
    static const char *const entries[] = {"ram/pc.ram", "stream", "manifest.json"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        replace_file(disk, entries[i]);
        replace_file(shm, entries[i]);
    }
}

/* The same for the directory of the blocks: a link to another one. */
static void test_a_link_in_the_directorys_place_is_not_followed(void **state)
{
    char *path = in(shm, "guest");
    char *ram = in(path, "ram");
    char *elsewhere = in(shm, "elsewhere");
    struct stream stream;

    (void)state;
    make_stream(&stream);
    make_directory(path, &stream);
    assert_int_equal(rename(ram, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, ram), 0);
    refuse_entry(path, "ram", elsewhere, "a symbolic link");
    assert_int_equal(unlink(ram), 0);
    close(make_file(ram, PAGE));
    refuse_entry(path, "ram", ram, "a file");
    remove_directory(path);
    remove_directory(elsewhere);
    free(path);
    free(ram);
    free(elsewhere);
}

/* But the directory that was named may be one, as the user has chosen it. */
static void test_a_link_to_the_directory_is_the_users_choice(void **state)
{
    char *path = in(disk, "guest");
    char *link = in(disk, "link");
    struct stream stream;
    struct image_reader captured;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    make_stream(&stream);
    make_directory(path, &stream);
    assert_int_equal(symlink("guest", link), 0);
    assert_true(open_all(&captured, &set, link, &error));
    ramfile_set_close(&set);
    image_reader_close(&captured);
    assert_int_equal(unlink(link), 0);
    remove_directory(path);
    free(path);
    free(link);
}

/* A hard link is the file itself, as backups have it; but not when it is somebody else's. */
static void test_a_hard_link_is_the_file_unless_it_is_of_another_owner(void **state)
{
    static const char *const entries[] = {"ram/pc.ram", "stream", "manifest.json"};
    char *path = in(disk, "guest");
    char *backup = in(disk, "backup");
    struct stream stream;
    struct image_reader reader;
    struct ramfile_set set;
    struct tool_error error = {{0}, {0}, {0}};
    struct stat before;
    struct stat after;
    size_t i;

    (void)state;
    make_stream(&stream);
    make_directory(path, &stream);
    for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        char *file = in(path, entries[i]);

        assert_int_equal(link(file, backup), 0);
        assert_int_equal(stat(backup, &before), 0);
        assert_true(open_all(&reader, &set, path, &error));
        ramfile_set_close(&set);
        image_reader_close(&reader);
        assert_int_equal(stat(backup, &after), 0);
        assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
        if (geteuid() == 0) { /* nobody else can give a file away */
            assert_int_equal(chown(backup, 65534, 65534), 0);
            assert_refused(path, "is a hard link to a file of another owner than the directory's");
            assert_int_equal(unlink(backup), 0);
            assert_true(open_all(&reader, &set, path, &error)); /* the only name it has */
            ramfile_set_close(&set);
            image_reader_close(&reader);
        }
        unlink(backup);
        free(file);
    }
    remove_directory(path);
    free(path);
    free(backup);
}

static bool is_mapped_writable(const void *address)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool is_writable = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start;
        unsigned long end;
        char mode[5];

        if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) == 3 && start <= (uintptr_t)address &&
            (uintptr_t)address < end) {
            is_writable = mode[1] == 'w';
        }
    }
    fclose(maps);
    return is_writable;
}

/* Files of shared memory: copied, or mapped where the kernel pins that. Never to be written to. */
static void test_shared_memory_is_opened_for_reading_alone(void **state)
{
    char *path = in(shm, "guest");
    struct stream stream;
    int is_mapped;
    uint32_t i;

    (void)state;
    make_stream(&stream);
    make_directory(path, &stream);
    for (is_mapped = 0; is_mapped < 2; is_mapped++) {
        struct image_reader captured;
        struct ramfile_set set;
        struct tool_error error = {{0}, {0}, {0}};

        image_reader_init(&captured);
        assert_true(image_reader_open(&captured, path, &error));
        assert_true(image_reader_open_blocks(&captured, &set, is_mapped != 0, &error));
        assert_true(ramfile_set_load(&set, NULL, NULL, &error));
        assert_int_equal(((const uint8_t *)set.blocks[0].host_addr)[MIB], 3);
        for (i = 0; i < set.count; i++) {
            assert_int_equal(fcntl(set.files[i].file_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
            assert_int_equal(set.files[i].memory_fd < 0, is_mapped);
            assert_int_equal(is_mapped_writable(set.blocks[i].host_addr), !is_mapped);
        }
        ramfile_set_close(&set);
        image_reader_close(&captured);
    }
    remove_directory(path);
    free(path);
}

/* Whole, but not what the manifest says. */
static void assert_stream_refused(const struct stream *stream, const char *says)
{
    char *path = in(disk, "guest");

    make_directory(path, stream);
    assert_refused(path, says);
    remove_directory(path);
    free(path);
}

static void test_streams_that_do_not_fit(void **state)
{
    struct stream stream;
    uint8_t *name;

    (void)state;
    make_stream(&stream);
    stream.bytes[0] = 'q';
    assert_stream_refused(&stream, "/stream: ");

    make_stream(&stream);
    name = memmem(stream.bytes, stream.length_bytes, "pc.ram", 6);
    name[0] = 'x';
    assert_stream_refused(&stream,
                          "its block 0 is xc.ram of 4194304 bytes, and the manifest's pc.ram");

    make_stream(&stream);
    stream.rounds[0].hook_position_bytes -= 1;
    assert_stream_refused(&stream, "its list of blocks does not end");

    make_stream(&stream);
    stream.rounds[0].hook_position_bytes += 1;
    stream.rounds[0].finished_position_bytes += 1;
    assert_stream_refused(&stream, "its list of blocks does not end");

    make_stream(&stream);
    stream.rounds[1].hook_position_bytes -= 1;
    assert_stream_refused(&stream, "where the manifest has that of round 1");

    make_stream(&stream);
    stream.end_mark_position_bytes += 1;
    assert_stream_refused(&stream, "its end mark is at");

    make_stream(&stream);
    stream.length_bytes -= 1;
    assert_stream_refused(&stream, "before the end mark");

    make_stream(&stream);
    stream.bytes[stream.end_mark_position_bytes] = 1;
    assert_stream_refused(&stream, "before the end mark");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_captured_guest_is_read_back),
        cmocka_unit_test(test_files_that_are_not_as_they_were),
        cmocka_unit_test(test_what_is_no_file_is_not_opened),
        cmocka_unit_test(test_a_link_in_the_directorys_place_is_not_followed),
        cmocka_unit_test(test_a_link_to_the_directory_is_the_users_choice),
        cmocka_unit_test(test_a_hard_link_is_the_file_unless_it_is_of_another_owner),
        cmocka_unit_test(test_shared_memory_is_opened_for_reading_alone),
        cmocka_unit_test(test_streams_that_do_not_fit),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
