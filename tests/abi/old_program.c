/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of a program that was compiled long ago: options as long as they were then, structs that the
 * library fills with something behind them, reasons by their numbers. Needs no device: a source to
 * nowhere either waits or fails for a reason that is not the caller's.
 */
#include <rdmig/rdmig.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES ((size_t)1 << 20)

struct guarded {
    struct rdmig_progress progress;
    unsigned char guard[64];
};

static int fail(const char *what)
{
    fprintf(stderr, "old_program: %s\n", what);
    return 1;
}

static int check_progress(const struct rdmig_source *source)
{
    struct guarded guarded;

    memset(&guarded, 0xee, sizeof(guarded));
    rdmig_source_progress(source, &guarded.progress, sizeof(guarded.progress));
    if (guarded.progress.bytes_total != BYTES)
        return fail("progress has another size of the guest");
    for (size_t i = 0; i < sizeof(guarded.guard); i++)
        if (guarded.guard[i] != 0xee)
            return fail("progress was filled beyond what this program has");
    return 0;
}

static int check_devices(void)
{
    struct {
        struct rdmig_device devices[2];
        unsigned char guard[64];
    } list;
    struct rdmig_error error;

    memset(&list, 0xee, sizeof(list));
    if (rdmig_devices_list(list.devices, 2, sizeof(list.devices[0]), &error) < 0 &&
        error.reason != RDMIG_REASON_DEVICE)
        return fail("the devices cannot be listed");
    for (size_t i = 0; i < sizeof(list.guard); i++)
        if (list.guard[i] != 0xee)
            return fail("a device was filled beyond what this program has");
    return 0;
}

int main(void)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options),
                                          .connect_timeout_ms = 100};
    struct rdmig_source *source = NULL;
    struct rdmig_error error;
    struct rdmig_ram_block block = {.name = "pc.ram", .length_bytes = BYTES};
    int status = check_devices();

    block.host_addr = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block.host_addr == MAP_FAILED)
        return fail("no memory");
    if (rdmig_source_create(&source, "127.0.0.1", "4444", &block, 1, &options, &error) == 0)
        status |= check_progress(source);
    else if (error.reason < 200 || error.reason > 599)
        status |= fail(error.detail); /* the call itself was right */
    rdmig_source_destroy(source);
    if (strcmp(rdmig_reason_name((enum rdmig_reason)RDMIG_REASON_PEER_ERROR), "PEER_ERROR") != 0)
        status |= fail("a reason has another number");
    printf("old_program with librdmig %s: %s\n", rdmig_version(), status ? "broken" : "works");
    return status;
}
