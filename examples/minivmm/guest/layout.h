/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where everything stands in the guest's memory: shared by the guest program, its linker script
 * and the VMM. Addresses are guest-physical; the guest sees them GUEST_VIRTUAL_BASE higher, through
 * page tables under KVM and through plain mappings when it runs as a process. The base is high so
 * that a process can have the same addresses: nothing of a Linux process lives there.
 */
#ifndef MINIVMM_GUEST_LAYOUT_H
#define MINIVMM_GUEST_LAYOUT_H

#define GUEST_VIRTUAL_BASE 0x200000000000
#define GUEST_PAGE_BYTES   0x1000

/* The three blocks. "ram.high" begins at the GiB boundary one whole GiB after the end of
 * "ram.main". */
#define GUEST_LOW_ADDRESS  0x200000
#define GUEST_LOW_BYTES    0x1f7000
#define GUEST_MAIN_ADDRESS 0x100000000

/* Inside "ram.low", as offsets. What follows the stack is memory the guest writes and checks. */
#define GUEST_BOOT_OFFSET        0x0
#define GUEST_PAGE_TABLES_OFFSET 0x1000
#define GUEST_PAGE_TABLES_BYTES  0x22000
#define GUEST_TASK_OFFSET        0x23000 /* the task state segment: which ports may be used */
#define GUEST_TASK_BYTES         0x1000
#define GUEST_IMAGE_OFFSET       0x30000
#define GUEST_IMAGE_BYTES        0x10000
#define GUEST_STACK_OFFSET       0x40000
#define GUEST_STACK_BYTES        0x8000
#define GUEST_FREE_OFFSET        0x48000

/* Ports. SERIAL takes bytes, the others 32-bit numbers. */
#define GUEST_PORT_SERIAL 0x3f8
#define GUEST_PORT_PACE   0x500 /* this many pages were written since the last time */
#define GUEST_PORT_PASS   0x504 /* this many passes are complete */
#define GUEST_PORT_HALT   0x508 /* the guest stops for good: a guest_halt number */

#ifndef __ASSEMBLER__
#include <stdint.h>

#define GUEST_BOOT_MAGIC 0x544f4f4249565252
#define GUEST_RANGES_MAX 4

enum guest_halt {
    GUEST_HALT_LOST = 1,    /* a page that must have content is all zeros */
    GUEST_HALT_TORN,        /* a page mixes contents */
    GUEST_HALT_STALE,       /* a page is whole, and of an older pass */
    GUEST_HALT_MISPLACED,   /* a page is whole, and another page's, or a newer pass's */
    GUEST_HALT_REGISTERS,   /* registers or stack do not agree with memory */
    GUEST_HALT_IMAGE,       /* the program's own code or constants changed */
    GUEST_HALT_BOOT_RECORD, /* the boot page is not what the VMM writes */
};

/* Pages to write and check, as the guest addresses them. */
struct guest_range {
    uint64_t address;
    uint64_t page_count;
};

/* The boot page, written by the VMM before the guest's first instruction and read-only after. */
struct guest_boot {
    uint64_t magic;
    uint64_t seed; /* tells this guest's pages from those of any other guest */
    uint64_t range_count;
    struct guest_range ranges[GUEST_RANGES_MAX];
};
#endif
#endif
