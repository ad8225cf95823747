/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM that is no plain memory, both ends in one process over a real device. memory_kinds KIND
 * ADDRESS; each KIND is one of:
 *
 * sparse, full, pin-all: 512 MiB of a hugetlbfs at both ends, mapped without a reservation: 4 MiB
 * in use, or 8; pin-all needs all.
 *
 * elsewhere: as sparse, but what is in use was written through another mapping.
 *
 * unshared, stale: 1 GiB of a hugetlbfs at both ends; the last huge page of the source's (stale: of
 * the destination's) is in use, and the kernel has taken the page tables away with which it was
 * written, since another process shared them.
 *
 * short: the destination's file (a memfd) ends in the middle of its block.
 *
 * tmpfs: the destination's RAM is the file $MEMORY_KINDS_FILE, in a small tmpfs.
 *
 * protected, received: a userfaultfd handler write-protects the source's (destination's) RAM.
 *
 * unreadable: a PROT_NONE page beside data.
 *
 * Prints how each end ended, its cause, and for huge pages how many were taken. Exit 0: it ended.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <rdmig/rdmig.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

enum { LIMIT_SECONDS = 300, POLL_MS = 20, PAGE_BYTES = 4096, HUGE_BYTES = 2 << 20 };

static struct rdmig_source *source;
static struct rdmig_destination *destination;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static uint8_t *map_huge(const char *path, size_t bytes)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *memory;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        die(path);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    unlink(path);
    return memory;
}

/* What is in use is in the file, but in no page table of ours. */
static uint8_t *map_elsewhere(const char *path, size_t bytes, size_t at_bytes, size_t in_use_bytes)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint8_t *memory;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        die(path);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    for (size_t i = 0; i < in_use_bytes; i += 8)
        *(size_t *)(memory + at_bytes + i) = i * 0x9e3779b97f4a7c15u + 1;
    munmap(memory, bytes);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    unlink(path);
    return memory;
}

static void map_at(uint8_t *memory, int fd)
{
    if (mmap(memory, GIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) ==
        MAP_FAILED)
        die("mmap");
}

/* Where the page tables of one process can be another's too: a GiB of a file, at a multiple of it. */
static uint8_t *map_gib(const char *path, int *fd)
{
    uint8_t *room =
        mmap(NULL, 2 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (*fd < 0 || ftruncate(*fd, (off_t)GIB) != 0 || room == MAP_FAILED)
        die(path);
    room += (GIB - (uintptr_t)room % GIB) % GIB;
    map_at(room, *fd);
    unlink(path);
    return room;
}

static bool is_mapped(const uint8_t *page)
{
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    unsigned long long entry;

    if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE_BYTES * sizeof(entry))) !=
        (ssize_t)sizeof(entry))
        die("/proc/self/pagemap");
    close(fd);
    return entry >> 63 != 0;
}

/* A child that maps the file, and reads of it, takes our page tables of that GiB for its own. Then we change the
 * rights of one page and back, for which they must not be shared: ours are dropped, all of them. */
static void lose_page_tables(uint8_t *memory, int fd, uint8_t *in_use)
{
    int ends[2];
    char byte = 0;
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        die("fork");
    if (child == 0) {
        munmap(memory, GIB); /* what fork() gave it are tables of its own */
        map_at(memory, fd);
        (void)*(volatile uint8_t *)in_use;
        _exit(write(ends[1], &byte, 1) == 1 && pause() != 0);
    }
    if (read(ends[0], &byte, 1) != 1 || !is_mapped(in_use))
        die("the child");
    if (mprotect(memory, HUGE_BYTES, PROT_READ) != 0 ||
        mprotect(memory, HUGE_BYTES, PROT_READ | PROT_WRITE) != 0)
        die("mprotect");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    printf("page tables: %s\n", is_mapped(in_use) ? "there" : "gone");
}

static uint8_t *map_file(int fd, size_t bytes, size_t file_bytes)
{
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd < 0 || memory == MAP_FAILED || ftruncate(fd, (off_t)file_bytes) != 0)
        die("the destination's file");
    return memory;
}

static uint8_t *map_plain(size_t bytes)
{
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static void write_protect(uint8_t *memory, size_t bytes)
{
    const int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    struct uffdio_register range = {.range = {(uintptr_t)memory, bytes},
                                    .mode = UFFDIO_REGISTER_MODE_WP};
    struct uffdio_writeprotect protect = {.range = {(uintptr_t)memory, bytes},
                                          .mode = UFFDIO_WRITEPROTECT_MODE_WP};

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &range) != 0 ||
        ioctl(fd, UFFDIO_WRITEPROTECT, &protect) != 0)
        die("userfaultfd");
}

static void turn(void)
{
    struct pollfd ends[2] = {{.fd = rdmig_source_fd(source), .events = POLLIN},
                             {.fd = rdmig_destination_fd(destination), .events = POLLIN}};

    (void)poll(ends, 2, POLL_MS);
    rdmig_source_process(source);
    rdmig_destination_process(destination);
    if (rdmig_destination_state(destination) == RDMIG_DESTINATION_PREPARED)
        rdmig_destination_confirm(destination);
}

static void run_while(enum rdmig_source_state state)
{
    while (rdmig_source_state(source) == state)
        turn();
}

static void tell(const char *end, const struct rdmig_error *error)
{
    if (error->reason == RDMIG_REASON_NONE)
        printf("%s: completed\n", end);
    else
        printf("%s: %s: %s; %s\n", end, rdmig_reason_name(error->reason), error->detail,
               error->remedy);
}

/* Whoever cannot be made has told of it. */
static int create(const char *address, uint8_t *from, uint8_t *to, size_t bytes, bool pin_all)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options), .pin_all = pin_all};
    struct rdmig_ram_block block = {"pc.ram", to, bytes};
    struct rdmig_error error;
    char port[8];

    if (rdmig_destination_create(&destination, address, "0", &block, 1, NULL, &error) != 0) {
        tell("destination", &error);
        return -1;
    }
    (void)snprintf(port, sizeof(port), "%u", (unsigned)rdmig_destination_port(destination));
    block.host_addr = from;
    if (rdmig_source_create(&source, address, port, &block, 1, &options, &error) != 0) {
        tell("source", &error);
        return -1;
    }
    return 0;
}

static void migrate(void)
{
    run_while(RDMIG_SOURCE_CONNECTING);
    if (rdmig_source_start_round(source) == 0)
        run_while(RDMIG_SOURCE_SENDING);
    if (rdmig_source_finish(source) == 0)
        run_while(RDMIG_SOURCE_FINISHING);
    run_while(RDMIG_SOURCE_CANCELLING);
    for (int i = 0; i < 100 && rdmig_destination_state(destination) < RDMIG_DESTINATION_COMPLETED;
         i++)
        turn();
    tell("source", rdmig_source_error(source));
    tell("destination", rdmig_destination_error(destination));
}

static long free_huge_pages(void)
{
    FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
    long count = -1;

    if (!file || fscanf(file, "%ld", &count) != 1)
        die("free_hugepages");
    fclose(file);
    return count;
}

static void tell_memory(const uint8_t *from, const uint8_t *to, size_t bytes, long before_count)
{
    const long taken_count = before_count - free_huge_pages(); /* comparing may take some, too */

    printf("memory: %s, %ld huge pages taken\n",
           memcmp(from, to, bytes) == 0 ? "equal" : "DIFFERENT", taken_count);
}

static int run_huge(const char *address, size_t in_use_bytes, bool pin_all, bool is_elsewhere)
{
    const size_t bytes = 512 * MIB;
    const long before = free_huge_pages();
    uint8_t *from = is_elsewhere
                        ? map_elsewhere("/dev/hugepages/source", bytes, 100 * MIB, in_use_bytes)
                        : map_huge("/dev/hugepages/source", bytes);
    uint8_t *to = map_huge("/dev/hugepages/destination", bytes);

    for (size_t i = 0; !is_elsewhere && i < in_use_bytes; i += 8)
        *(size_t *)(from + 100 * MIB + i) = i * 0x9e3779b97f4a7c15u + 1;
    if (create(address, from, to, bytes, pin_all) != 0)
        return 1;
    migrate();
    if (rdmig_source_error(source)->reason == RDMIG_REASON_NONE)
        tell_memory(from + 100 * MIB, to + 100 * MIB, in_use_bytes, before);
    return 0;
}

static int run_unshared(const char *address, bool is_stale)
{
    const long before_count = free_huge_pages();
    int fds[2];
    uint8_t *from = map_gib("/dev/hugepages/source", &fds[0]);
    uint8_t *to = map_gib("/dev/hugepages/destination", &fds[1]);
    uint8_t *in_use = (is_stale ? to : from) + GIB - HUGE_BYTES;

    for (size_t i = 0; i < HUGE_BYTES; i += 8)
        *(size_t *)(in_use + i) = i * 0x9e3779b97f4a7c15u + 1;
    lose_page_tables(is_stale ? to : from, fds[is_stale], in_use);
    if (create(address, from, to, GIB, false) != 0)
        return 1;
    migrate();
    if (rdmig_source_error(source)->reason == RDMIG_REASON_NONE)
        tell_memory(from + GIB - HUGE_BYTES, to + GIB - HUGE_BYTES, HUGE_BYTES, before_count);
    return 0;
}

static uint8_t *map_destination(const char *kind, size_t bytes)
{
    if (strcmp(kind, "short") == 0)
        return map_file(memfd_create("short", MFD_CLOEXEC), bytes, bytes / 2);
    if (strcmp(kind, "tmpfs") == 0)
        return map_file(open(getenv("MEMORY_KINDS_FILE"), O_RDWR | O_CREAT, 0600), bytes, bytes);
    return map_plain(bytes);
}

static int run_plain(const char *address, const char *kind)
{
    const size_t bytes = 16 * MIB;
    uint8_t *from = map_plain(bytes);
    uint8_t *to = map_destination(kind, bytes);

    memset(from, 0x5a, bytes);
    if (strcmp(kind, "protected") == 0)
        write_protect(from, bytes);
    else if (strcmp(kind, "received") == 0)
        write_protect(to, bytes);
    else if (strcmp(kind, "unreadable") == 0 &&
             mprotect(from + 8 * MIB, PAGE_BYTES, PROT_NONE) != 0)
        die("mprotect");
    if (create(address, from, to, bytes, false) == 0)
        migrate();
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const huge[] = {"sparse", "full", "pin-all", "elsewhere"};

    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(LIMIT_SECONDS);
    for (int i = 0; i < 4; i++) {
        if (strcmp(argv[1], huge[i]) == 0)
            return run_huge(argv[2], i == 1 ? 8 * MIB : 4 * MIB, i == 2, i == 3);
    }
    if (strcmp(argv[1], "unshared") == 0 || strcmp(argv[1], "stale") == 0)
        return run_unshared(argv[2], argv[1][0] == 's');
    return run_plain(argv[2], argv[1]);
}
