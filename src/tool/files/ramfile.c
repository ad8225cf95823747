/* SPDX-License-Identifier: BSD-2-Clause */
#include "ramfile.h"

#include "../../text/text.h"
#include "fileio.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MEMFD_NAME  "rdmig-block"
#define MEMORY_TEXT "the block's shared memory"

/* One call's offset into the count over all files. */
struct copy_context {
    sparse_proceed *proceed;
    void *context;
    uint64_t before_bytes;
};

static bool fail_file(struct tool_error *error, const char *what, const struct ramfile *file)
{
    return tool_error_system(error, TOOL_REASON_FILE, "cannot %s %s of block %s", what, file->path,
                             text_name(file->name).text);
}

static bool fail_list(struct tool_error *error, uint32_t count)
{
    return tool_error_memory(error, "no memory for the list of %u blocks", count);
}

static bool set_create(struct ramfile_set *set, uint32_t count, struct tool_error *error)
{
    memset(set, 0, sizeof(*set));
    set->files = calloc(count, sizeof(*set->files));
    set->blocks = calloc(count, sizeof(*set->blocks));
    if (set->files == NULL || set->blocks == NULL)
        return fail_list(error, count);
    for (uint32_t i = 0; i < count; i++) {
        set->files[i].file_fd = -1;
        set->files[i].memory_fd = -1;
    }
    set->count = count;
    return true;
}

static bool map_fd(struct ramfile *file, int fd, int protection, int flags)
{
    void *address = mmap(NULL, (size_t)file->length_bytes, protection, MAP_SHARED | flags, fd, 0);

    file->host_addr = address == MAP_FAILED ? NULL : address;
    return file->host_addr != NULL;
}

static bool map_memory(struct ramfile *file, struct tool_error *error)
{
    file->page_bytes = RDMIG_PAGE_BYTES;
    file->memory_fd = memfd_create(MEMFD_NAME, MFD_CLOEXEC);
    return (file->memory_fd >= 0 &&
            AGAIN(ftruncate(file->memory_fd, (off_t)file->length_bytes)) == 0 &&
            map_fd(file, file->memory_fd, PROT_READ | PROT_WRITE, 0)) ||
           tool_error_system(error, TOOL_REASON_MEMORY,
                             "cannot make %" PRIu64 " bytes of shared memory for block %s",
                             file->length_bytes, text_name(file->name).text);
}

/*
 * Page size of a shared mapping of this file when the kernel pins such mappings; 0: it does not.
 * A memfd counts as tmpfs or hugetlbfs here.
 */
static uint64_t pinnable_page_bytes(int fd)
{
    struct statfs about;

    if (fstatfs(fd, &about) != 0)
        return 0;
    if (about.f_type == (__fsword_t)TMPFS_MAGIC) {
        return RDMIG_PAGE_BYTES; /* also where the kernel chose to use larger ones */
    }
    return about.f_type == (__fsword_t)HUGETLBFS_MAGIC ? (uint64_t)about.f_bsize : 0;
}

static bool check_kind(const struct ramfile *file, const struct stat *about,
                       struct tool_error *error)
{
    return S_ISREG(about->st_mode) ||
           tool_error_set(
               error, TOOL_REASON_FILE, "name a regular file, or a memfd as /proc/PID/fd/N",
               "%s of block %s is no regular file", file->path, text_name(file->name).text);
}

/*
 * *protection: what the file may be mapped for, PROT_NONE: nothing that older kernels would pin.
 * O_NONBLOCK: a FIFO that takes the file's place meanwhile is refused instead of waited for.
 */
static bool open_file(struct ramfile *file, enum ramfile_use use, int *protection)
{
    const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

    if (use != RAMFILE_SEND_READ_ONLY) {
        *protection = PROT_READ | PROT_WRITE;
        file->file_fd = AGAIN(open(file->path, flags | O_RDWR));
        if (file->file_fd >= 0 || use == RAMFILE_RECV ||
            (errno != EACCES && errno != EPERM && errno != EROFS && errno != ETXTBSY))
            return file->file_fd >= 0;
    }
    *protection = use == RAMFILE_SEND_READ_ONLY ? PROT_READ : PROT_NONE;
    file->file_fd = AGAIN(open(file->path, flags | O_RDONLY));
    return file->file_fd >= 0;
}

static bool check_file(struct ramfile *file, struct tool_error *error)
{
    struct stat about;

    if (fstat(file->file_fd, &about) != 0)
        return fail_file(error, "look at the file", file);
    if (!check_kind(file, &about, error))
        return false;
    if (about.st_size == 0 || about.st_size % RDMIG_PAGE_BYTES != 0)
        return tool_error_set(
            error, TOOL_REASON_FILE, "make it that long with truncate -s",
            "%s of block %s is %" PRIu64 " bytes long, and a block's length is a multiple of "
            "%u and not 0",
            file->path, text_name(file->name).text, (uint64_t)about.st_size, RDMIG_PAGE_BYTES);
    file->length_bytes = (uint64_t)about.st_size;
    file->page_bytes = RDMIG_PAGE_BYTES;
    file->device = about.st_dev;
    file->inode = about.st_ino;
    return true;
}

static bool is_same_file(const struct ramfile *a, const struct ramfile *b)
{
    return a->device == b->device && a->inode == b->inode;
}

/* Those of one file in the order of the blocks. */
static int compare_files(const void *a, const void *b)
{
    const struct ramfile *left = *(const struct ramfile *const *)a;
    const struct ramfile *right = *(const struct ramfile *const *)b;

    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    if (left->inode != right->inode)
        return left->inode < right->inode ? -1 : 1;
    return left < right ? -1 : left > right;
}

/* Two blocks over one file would overwrite each other. By sorting: there may be thousands. */
static bool check_not_shared(const struct ramfile_set *set, struct tool_error *error)
{
    const struct ramfile **sorted = calloc(set->count + (size_t)1, sizeof(*sorted));
    bool is_shared = false;

    if (sorted == NULL)
        return fail_list(error, set->count);
    for (uint32_t i = 0; i < set->count; i++)
        sorted[i] = &set->files[i];
    qsort(sorted, set->count, sizeof(*sorted), compare_files);
    for (uint32_t i = 1; i < set->count && !is_shared; i++) {
        is_shared = is_same_file(sorted[i - 1], sorted[i]);
        if (is_shared)
            tool_error_set(error, TOOL_REASON_FILE, "name one file for each block",
                           "blocks %s and %s name the same file %s",
                           text_name(sorted[i - 1]->name).text, text_name(sorted[i]->name).text,
                           sorted[i]->path);
    }
    free(sorted);
    return !is_shared;
}

/*
 * The file itself, if it can be pinned as it is mapped; otherwise, or if it is sealed, a copy. Who
 * sends needs no huge page that is not there, and so reserves none; who receives finds out at once
 * whether they suffice.
 */
static bool map_block(struct ramfile *file, int protection, bool may_copy, struct tool_error *error)
{
    const uint64_t page_bytes = pinnable_page_bytes(file->file_fd);

    if (protection != PROT_NONE && page_bytes != 0) {
        if (map_fd(file, file->file_fd, protection, may_copy ? MAP_NORESERVE : 0)) {
            file->page_bytes = page_bytes;
            return true;
        }
        if (!may_copy || errno != EPERM)
            return fail_file(error, "map the file", file);
    }
    return map_memory(file, error);
}

static bool open_block(struct ramfile *file, enum ramfile_use use, struct tool_error *error)
{
    struct stat about;
    int protection;

    /* What is no file is not even opened: a device may do something then. */
    if (stat(file->path, &about) == 0 && !S_ISDIR(about.st_mode) &&
        !check_kind(file, &about, error))
        return false;
    if (!open_file(file, use, &protection))
        return fail_file(error, "open the file", file);
    return check_file(file, error) && map_block(file, protection, use != RAMFILE_RECV, error);
}

static void list_block(struct ramfile_set *set, uint32_t index)
{
    set->blocks[index].name = set->files[index].name;
    set->blocks[index].host_addr = set->files[index].host_addr;
    set->blocks[index].length_bytes = set->files[index].length_bytes;
}

bool ramfile_set_open(struct ramfile_set *set, const struct tool_ram *rams, uint32_t count,
                      enum ramfile_use use, struct tool_error *error)
{
    if (!set_create(set, count, error))
        return false;
    for (uint32_t i = 0; i < set->count; i++) {
        set->files[i].name = rams[i].name;
        set->files[i].path = rams[i].path;
        if (!open_block(&set->files[i], use, error))
            return false;
        list_block(set, i);
    }
    return use != RAMFILE_RECV || check_not_shared(set, error);
}

bool ramfile_set_adopt(struct ramfile_set *set, const struct tool_ram *rams, const int *fds,
                       uint32_t count, bool is_mapped, struct tool_error *error)
{
    bool is_good = set_create(set, count, error);

    for (uint32_t i = 0; i < count; i++) {
        if (set->count == 0) { /* there is no set */
            close(fds[i]);
        } else {
            set->files[i].file_fd = fds[i];
        }
    }
    for (uint32_t i = 0; is_good && i < count; i++) {
        struct ramfile *file = &set->files[i];

        file->name = rams[i].name;
        file->path = rams[i].path;
        is_good = check_file(file, error) &&
                  map_block(file, is_mapped ? PROT_READ : PROT_NONE, true, error);
        list_block(set, i);
    }
    return is_good;
}

bool ramfile_set_allocate(struct ramfile_set *set, const struct rdmig_ram_block *wanted,
                          uint32_t count, struct tool_error *error)
{
    if (!set_create(set, count, error))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        set->files[i].own_name = strdup(wanted[i].name);
        set->files[i].name = set->files[i].own_name;
        set->files[i].length_bytes = wanted[i].length_bytes;
        if (set->files[i].own_name == NULL)
            return tool_error_memory(error, "no memory for the name of block %u", i);
        if (!map_memory(&set->files[i], error))
            return false;
        list_block(set, i);
    }
    return true;
}

static bool is_copied(const struct ramfile *file)
{
    return file->memory_fd >= 0 && file->file_fd >= 0;
}

static bool proceed_over_all(void *context, uint64_t done_bytes)
{
    const struct copy_context *copy = context;

    return copy->proceed == NULL || copy->proceed(copy->context, copy->before_bytes + done_bytes);
}

static bool copy_file(const struct ramfile *file, bool is_store, struct copy_context *over_all,
                      struct tool_error *error)
{
    const struct sparse_copy copy = {.from_fd = is_store ? file->memory_fd : file->file_fd,
                                     .to_fd = is_store ? file->file_fd : file->memory_fd,
                                     .length_bytes = file->length_bytes,
                                     .is_to_empty = !is_store,
                                     .proceed = proceed_over_all,
                                     .context = over_all};

    if (!sparse_explain(sparse_run(&copy), is_store ? MEMORY_TEXT : file->path,
                        is_store ? file->path : MEMORY_TEXT, error))
        return false;
    /* The kernel tells of a failed write-back here, and only here. */
    if (is_store && AGAIN(fsync(file->file_fd)) != 0)
        return fail_file(error, "write to disk", file);
    over_all->before_bytes += file->length_bytes;
    return true;
}

static bool copy_files(const struct ramfile_set *set, bool is_store, sparse_proceed *proceed,
                       void *context, struct tool_error *error)
{
    struct copy_context over_all = {proceed, context, 0};

    for (uint32_t i = 0; i < set->count; i++) {
        if (is_copied(&set->files[i]) && !copy_file(&set->files[i], is_store, &over_all, error))
            return false;
    }
    return true;
}

bool ramfile_set_load(const struct ramfile_set *set, sparse_proceed *proceed, void *context,
                      struct tool_error *error)
{
    return copy_files(set, false, proceed, context, error);
}

bool ramfile_set_store(const struct ramfile_set *set, sparse_proceed *proceed, void *context,
                       struct tool_error *error)
{
    return copy_files(set, true, proceed, context, error);
}

bool ramfile_set_reserve(const struct ramfile_set *set, struct tool_error *error)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct ramfile *file = &set->files[i];

        if (is_copied(file) &&
            !sparse_explain(sparse_reserve(file->memory_fd, file->file_fd, file->length_bytes),
                            MEMORY_TEXT, file->path, error))
            return false;
    }
    return true;
}

bool ramfile_set_check_lengths(const struct ramfile_set *set, struct tool_error *error)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct ramfile *file = &set->files[i];
        struct stat about;

        if (file->file_fd >= 0 && fstat(file->file_fd, &about) == 0 &&
            (uint64_t)about.st_size < file->length_bytes)
            return tool_error_set(error, TOOL_REASON_FILE,
                                  "leave the file alone while it is in use",
                                  "%s of block %s was cut short from %" PRIu64 " to %" PRIu64
                                  " bytes during the migration",
                                  file->path, text_name(file->name).text, file->length_bytes,
                                  (uint64_t)about.st_size);
    }
    return true;
}

int64_t ramfile_set_find(const struct ramfile_set *set, const void *address)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uintptr_t start = (uintptr_t)set->files[i].host_addr;

        if (start != 0 && (uintptr_t)address >= start &&
            (uintptr_t)address - start < set->files[i].length_bytes)
            return i;
    }
    return -1;
}

void ramfile_set_close(struct ramfile_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct ramfile *file = &set->files[i];

        if (file->host_addr != NULL)
            munmap(file->host_addr, (size_t)file->length_bytes);
        close_fd(file->memory_fd);
        close_fd(file->file_fd);
        free(file->own_name);
    }
    free(set->files);
    free(set->blocks);
    memset(set, 0, sizeof(*set));
}
