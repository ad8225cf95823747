/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's memory, what stands in it when a guest starts, and the order of opening and
 * closing. */
#include "machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MIB           ((uint64_t)1 << 20)
#define GIB           ((uint64_t)1 << 30)
#define HIGH_ODD_SIZE (2 * MIB - GUEST_LOW_BYTES)

/* image.S */
extern const uint8_t guest_image_bytes[];
extern const uint8_t guest_image_bytes_end[];

/* A guest's last words, or a path, may hold anything: what is told stays one line of text. */
static void line_keep(char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;

        if (byte < ' ' || byte >= 0x7f)
            *text = '?';
    }
}

int problem_set(struct problem *problem, const char *remedy, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem->cause, sizeof(problem->cause), format, arguments);
    va_end(arguments);
    line_keep(problem->cause);
    (void)snprintf(problem->remedy, sizeof(problem->remedy), "%s", remedy);
    return -1;
}

uint64_t clock_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t machine_block_pages(const struct machine_block *block)
{
    return block->length_bytes / GUEST_PAGE_BYTES;
}

/* Three blocks that together are exactly ram_mb MiB. The first and the last are no multiple of
 * 1 MiB, so that block ends in the middle of a chunk are the everyday case. */
static void blocks_lay_out(struct machine *machine, uint64_t ram_mb)
{
    const uint64_t high_mb = ram_mb / 4;
    const uint64_t main_bytes = (ram_mb - 2 - high_mb) * MIB;
    const uint64_t main_end = (GUEST_MAIN_ADDRESS + main_bytes + GIB - 1) / GIB * GIB;

    machine->block[0] = (struct machine_block){.name = "ram.low",
                                               .guest_address = GUEST_LOW_ADDRESS,
                                               .length_bytes = GUEST_LOW_BYTES,
                                               .fd = -1};
    machine->block[1] = (struct machine_block){.name = "ram.main",
                                               .guest_address = GUEST_MAIN_ADDRESS,
                                               .length_bytes = main_bytes,
                                               .fd = -1};
    machine->block[2] = (struct machine_block){.name = "ram.high",
                                               .guest_address = main_end + GIB,
                                               .length_bytes = high_mb * MIB + HIGH_ODD_SIZE,
                                               .fd = -1};
    machine->ram_bytes = ram_mb * MIB;
}

static int block_open(struct machine_block *block, struct problem *problem)
{
    static const char remedy[] = "give the guest less memory (--ram-mb), or free some";
    void *host;

    block->fd = memfd_create(block->name, MFD_CLOEXEC);
    if (block->fd < 0 || ftruncate(block->fd, (off_t)block->length_bytes) != 0)
        return problem_set(problem, remedy, "cannot make the memory of block %s: %s", block->name,
                           strerror(errno));
    host = mmap(NULL, block->length_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, block->fd, 0);
    if (host == MAP_FAILED)
        return problem_set(problem, remedy, "cannot map block %s: %s", block->name,
                           strerror(errno));
    /* The child of the process backend maps the block where the guest expects it, and must not
     * have it a second time: a page with two mappings in one process would be tracked in one. */
    if (madvise(host, block->length_bytes, MADV_DONTFORK) != 0) {
        (void)munmap(host, block->length_bytes);
        return problem_set(problem, remedy, "cannot keep block %s from children: %s", block->name,
                           strerror(errno));
    }
    block->host = host;
    return 0;
}

int machine_open(struct machine *machine, const struct machine_backend *backend, uint64_t ram_mb,
                 struct problem *problem)
{
    machine->backend = backend;
    blocks_lay_out(machine, ram_mb);
    machine->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (machine->event_fd < 0)
        return problem_set(problem, "raise the limit of open files (ulimit -n)",
                           "cannot make an eventfd: %s", strerror(errno));
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        if (block_open(&machine->block[i], problem) != 0)
            return -1;
    if (backend->open(machine, problem) != 0)
        return -1;
    return vcpu_thread_open(machine, problem);
}

void machine_close(struct machine *machine)
{
    machine_tracking_stop(machine);
    vcpu_thread_close(machine);
    if (machine->backend_data != NULL)
        machine->backend->close(machine);
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        struct machine_block *block = &machine->block[i];

        if (block->name == NULL)
            continue; /* never laid out */
        if (block->host != NULL)
            (void)munmap(block->host, block->length_bytes);
        if (block->fd >= 0)
            (void)close(block->fd);
        block->host = NULL;
        block->fd = -1;
    }
    if (machine->event_fd >= 0)
        (void)close(machine->event_fd);
    machine->event_fd = -1;
}

static int boot_record_write(struct machine *machine, struct problem *problem)
{
    struct guest_boot boot = {.magic = GUEST_BOOT_MAGIC, .range_count = MACHINE_BLOCK_COUNT};

    if (getrandom(&boot.seed, sizeof(boot.seed), 0) != (ssize_t)sizeof(boot.seed))
        return problem_set(problem, "try again", "no random number for the guest: %s",
                           strerror(errno));
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const uint64_t first = i == 0 ? GUEST_FREE_OFFSET : 0;

        boot.ranges[i].address = GUEST_VIRTUAL_BASE + machine->block[i].guest_address + first;
        boot.ranges[i].page_count = (machine->block[i].length_bytes - first) / GUEST_PAGE_BYTES;
    }
    memcpy(machine->block[0].host + GUEST_BOOT_OFFSET, &boot, sizeof(boot));
    return 0;
}

int machine_boot(struct machine *machine, struct problem *problem)
{
    const size_t image_bytes = (size_t)(guest_image_bytes_end - guest_image_bytes);
    const uint64_t low = GUEST_VIRTUAL_BASE + machine->block[0].guest_address;

    if (image_bytes > GUEST_IMAGE_BYTES)
        return problem_set(problem, "build minivmm again", "the guest program is too large");
    memcpy(machine->block[0].host + GUEST_IMAGE_OFFSET, guest_image_bytes, image_bytes);
    if (boot_record_write(machine, problem) != 0)
        return -1;
    return machine->backend->vcpu_reset(machine, low + GUEST_IMAGE_OFFSET,
                                        low + GUEST_STACK_OFFSET + GUEST_STACK_BYTES,
                                        low + GUEST_BOOT_OFFSET, problem);
}

int machine_tracking_start(struct machine *machine, struct problem *problem)
{
    if (machine->tracking)
        return 0;
    if (machine->backend->tracking_start(machine, problem) != 0) {
        machine->backend->tracking_stop(machine);
        return -1;
    }
    machine->tracking = true;
    return 0;
}

void machine_tracking_stop(struct machine *machine)
{
    if (!machine->tracking)
        return;
    machine->backend->tracking_stop(machine);
    machine->tracking = false;
}
