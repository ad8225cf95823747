/* SPDX-License-Identifier: BSD-2-Clause */
/* Directories for the tests of the rdmig command's files. */
#ifndef RDMIG_TESTS_TOOL_SCRATCH_H
#define RDMIG_TESTS_TOOL_SCRATCH_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE        4096u
#define MIB         (UINT64_C(1) << 20)
#define TMPFS_MAGIC 0x01021994

/* A directory on a disk, and one in shared memory: files in them are treated differently. */
static char disk[PATH_MAX];
static char shm[] = "/dev/shm/rdmig-test-XXXXXX";

static inline int remove_entry(const char *path, const struct stat *about, int kind,
                               struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline bool is_on_disk(const char *directory)
{
    struct statfs about;

    return statfs(directory, &about) == 0 && about.f_type != TMPFS_MAGIC;
}

/* Where this program lies, or where /tmp is a tmpfs and it lies there, the other temporary place.
 */
static inline bool find_disk(void)
{
    char base[PATH_MAX - 32];
    ssize_t length = readlink("/proc/self/exe", base, sizeof(base) - 1);

    if (length > 0) {
        base[length] = '\0';
        *strrchr(base, '/') = '\0';
    }
    if (length <= 0 || !is_on_disk(base)) {
        strcpy(base, "/var/tmp");
    }
    snprintf(disk, sizeof(disk), "%s/rdmig-test-XXXXXX", base);
    return is_on_disk(base) && mkdtemp(disk) != NULL;
}

static inline int set_up(void **state)
{
    (void)state;
    if (!find_disk()) {
        print_error("no directory on a disk beside this program or in /var/tmp\n");
        return -1;
    }
    if (mkdtemp(shm) == NULL) {
        print_error("cannot make a directory in /dev/shm: %s\n", strerror(errno));
        return -1;
    }
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    nftw(disk, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    nftw(shm, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static inline char *in(const char *directory, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static inline int make_file(const char *path, uint64_t length_bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)length_bytes), 0);
    return fd;
}

#endif
