/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RAM that is no plain memory, both ends in one process over a real device.
 *
 *   memory_kinds sparse|full|pin-all ADDRESS   512 MiB of a hugetlbfs at both ends, mapped without
 * a reservation: 4 MiB in use, or 8; pin-all needs all memory_kinds protected ADDRESS             a
 * userfaultfd handler write-protects the source's RAM memory_kinds unreadable ADDRESS            a
 * PROT_NONE page beside data Prints how each end ended, its cause, and for huge pages how many were
 * taken. Exit 0: it ended.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <rdmig/rdmig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

enum { LIMIT_SECONDS = 300, POLL_MS = 20, PAGE_BYTES = 4096 };

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

static int run_huge(const char *address, size_t in_use_bytes, bool pin_all)
{
    const size_t bytes = 512 * MIB;
    uint8_t *from = map_huge("/dev/hugepages/source", bytes);
    uint8_t *to = map_huge("/dev/hugepages/destination", bytes);
    const long before = free_huge_pages();

    for (size_t i = 0; i < in_use_bytes; i += 8)
        *(size_t *)(from + 100 * MIB + i) = i * 0x9e3779b97f4a7c15u + 1;
    if (create(address, from, to, bytes, pin_all) != 0)
        return 1;
    migrate();
    if (rdmig_source_error(source)->reason == RDMIG_REASON_NONE)
        printf("memory: %s, %ld huge pages taken\n",
               memcmp(from + 100 * MIB, to + 100 * MIB, in_use_bytes) == 0 ? "equal" : "DIFFERENT",
               before - free_huge_pages());
    return 0;
}

static int run_plain(const char *address, bool is_protected)
{
    const size_t bytes = 16 * MIB;
    uint8_t *from = map_plain(bytes);
    uint8_t *to = map_plain(bytes);

    memset(from, 0x5a, bytes);
    if (is_protected)
        write_protect(from, bytes);
    else if (mprotect(from + 8 * MIB, PAGE_BYTES, PROT_NONE) != 0)
        die("mprotect");
    if (create(address, from, to, bytes, false) == 0)
        migrate();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(LIMIT_SECONDS);
    if (strcmp(argv[1], "protected") == 0 || strcmp(argv[1], "unreadable") == 0)
        return run_plain(argv[2], argv[1][0] == 'p');
    return run_huge(argv[2], strcmp(argv[1], "full") == 0 ? 8 * MIB : 4 * MIB,
                    strcmp(argv[1], "pin-all") == 0);
}
