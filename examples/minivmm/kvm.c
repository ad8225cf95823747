/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM backend: one vCPU that runs a flat 64-bit program at privilege level 3, with page tables
 * built by the VMM and no interrupts. Level 3, because that is what runs natively on every KVM,
 * also on those that have no hardware virtualization underneath and emulate the kernel's level.
 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_ENTRIES_MAX 256
#define BITS_PER_WORD     64
#define XSAVE_WORDS       1024

#define CR0_PE         (1U << 0)
#define CR0_MP         (1U << 1)
#define CR0_ET         (1U << 4)
#define CR0_NE         (1U << 5)
#define CR0_PG         (1U << 31)
#define CR4_PAE        (1U << 5)
#define CR4_OSFXSR     (1U << 9)
#define CR4_OSXMMEXCPT (1U << 10)
#define EFER_LME       (1U << 8)
#define EFER_LMA       (1U << 10)
#define RFLAGS_ALWAYS  (1U << 1)
#define RFLAGS_IOPL_3  (3U << 12)
#define TASK_BITMAP_AT 102 /* in the task state segment: the offset of the port bitmap */
#define TASK_BYTES     104

/* Accessed and dirty are set beforehand: the processor has no reason to write to the tables. */
#define PTE_TABLE      0x27U /* present, writable, user, accessed */
#define PTE_LARGE_PAGE 0xe7U /* and dirty, 2 MiB */
#define PAGE_TABLE_GIB ((uint64_t)1 << 30)
#define LARGE_PAGE     ((uint64_t)2 << 20)

/* Only needed by Intel processors without unrestricted guests; between the blocks, used by none. */
#define KVM_IDENTITY_MAP_ADDRESS 0xfffbc000U
#define KVM_TSS_ADDRESS          0xfffbd000U

static const char unusable_remedy[] =
    "use a host whose KVM runs 64-bit guests, or run the guest as a process (--process)";

struct kvm_data {
    int kvm_fd;
    int vm_fd;
    int vcpu_fd;
    struct kvm_run *run;
    size_t run_bytes;
    bool clears_by_hand; /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
    uint64_t *scratch_bitmap;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint32_t xsave[XSAVE_WORDS]; /* struct kvm_xsave, without what only KVM_GET_XSAVE2 adds */
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
};

/* The vCPU's state, in the order it is loaded: what says how later parts are read comes first. The
 * guest's level can neither write model-specific registers nor see time, so those stay out. */
static const struct {
    char tag[5];
    const char *name;
    unsigned long get_request;
    unsigned long set_request;
    size_t offset_bytes;
    size_t length_bytes;
} kvm_state[] = {
#define KVM_STATE(tag, name, get, set, field)                                                      \
    {                                                                                              \
        tag, name, get, set, offsetof(struct kvm_data, field),                                     \
            sizeof(((struct kvm_data *)NULL)->field)                                               \
    }
    KVM_STATE("SREG", "segment and control registers", KVM_GET_SREGS, KVM_SET_SREGS, sregs),
    KVM_STATE("XCRS", "extended control registers", KVM_GET_XCRS, KVM_SET_XCRS, xcrs),
    KVM_STATE("XSAV", "floating point and vector registers", KVM_GET_XSAVE, KVM_SET_XSAVE, xsave),
    KVM_STATE("REGS", "general registers", KVM_GET_REGS, KVM_SET_REGS, regs),
    KVM_STATE("DBGR", "debug registers", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, debugregs),
    KVM_STATE("EVNT", "pending events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, events),
    KVM_STATE("MPST", "run state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, mp_state),
};
#define KVM_STATE_COUNT (sizeof(kvm_state) / sizeof(kvm_state[0]))
_Static_assert(KVM_STATE_COUNT <= MACHINE_VCPU_SECTIONS, "room for every section");

static int slot_set(struct machine *machine, size_t index, uint32_t flags)
{
    struct kvm_data *kvm = machine->backend_data;
    const struct machine_block *block = &machine->block[index];
    struct kvm_userspace_memory_region region = {
        .slot = (uint32_t)index,
        .flags = flags,
        .guest_phys_addr = block->guest_address,
        .memory_size = block->length_bytes,
        .userspace_addr = (uint64_t)(uintptr_t)block->host,
    };

    return ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Pages of 2 MiB over every block. The last one of a block may reach beyond its end, where there is
 * no memory: the guest has no business there. */
static int page_tables_build(struct machine *machine, struct problem *problem)
{
    uint8_t *low = machine->block[0].host;
    uint64_t *root = (uint64_t *)(void *)(low + GUEST_PAGE_TABLES_OFFSET);
    uint64_t *directories = root + 512;
    uint64_t *next = directories + 512;
    const uint64_t *end = root + GUEST_PAGE_TABLES_BYTES / sizeof(*root);
    const uint64_t tables_address = machine->block[0].guest_address + GUEST_PAGE_TABLES_OFFSET;

    root[(GUEST_VIRTUAL_BASE >> 39) & 511] = (tables_address + GUEST_PAGE_BYTES) | PTE_TABLE;
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const uint64_t first = machine->block[i].guest_address;
        uint64_t *table = NULL;

        for (uint64_t at = first; at < first + machine->block[i].length_bytes; at += LARGE_PAGE) {
            if (at == first || at % PAGE_TABLE_GIB == 0) {
                if (next == end)
                    return problem_set(problem, "give the guest less memory (--ram-mb)",
                                       "the guest's page tables are full");
                table = next;
                next += 512;
                directories[at / PAGE_TABLE_GIB] =
                    (tables_address + (uint64_t)(table - root) * sizeof(*root)) | PTE_TABLE;
            }
            table[at % PAGE_TABLE_GIB / LARGE_PAGE] = at | PTE_LARGE_PAGE;
        }
    }
    return 0;
}

static int kvm_open(struct machine *machine, struct problem *problem)
{
    static const char remedy[] =
        "be root or in the group kvm, or run the guest as a process (--process)";
    struct kvm_data *kvm = calloc(1, sizeof(*kvm));
    struct kvm_enable_cap by_hand = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                     .args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}};
    uint64_t identity_map = KVM_IDENTITY_MAP_ADDRESS;

    machine->backend_data = kvm;
    if (kvm == NULL)
        return problem_set(problem, "free some memory", "out of memory");
    kvm->vm_fd = -1;
    kvm->vcpu_fd = -1;
    kvm->scratch_bitmap = calloc(machine->ram_bytes / GUEST_PAGE_BYTES / BITS_PER_WORD + 1,
                                 sizeof(*kvm->scratch_bitmap));
    kvm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm->scratch_bitmap == NULL || kvm->kvm_fd < 0)
        return problem_set(problem, remedy, "cannot open /dev/kvm: %s", strerror(errno));
    if (ioctl(kvm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION ||
        ioctl(kvm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0 ||
        ioctl(kvm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) <= 0 ||
        ioctl(kvm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) <= 0)
        return problem_set(problem, unusable_remedy,
                           "this KVM lacks what is needed (immediate exit, XSAVE, XCRS)");
    kvm->vm_fd = ioctl(kvm->kvm_fd, KVM_CREATE_VM, 0);
    if (kvm->vm_fd < 0)
        return problem_set(problem, unusable_remedy, "cannot make a virtual machine: %s",
                           strerror(errno));
    /* Refused where they mean nothing; where they mean something, the vCPU needs them. */
    (void)ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    (void)ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)KVM_TSS_ADDRESS);
    kvm->clears_by_hand = ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &by_hand) == 0;
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        if (slot_set(machine, i, 0) != 0)
            return problem_set(problem, unusable_remedy, "KVM refuses the memory of block %s: %s",
                               machine->block[i].name, strerror(errno));
    return 0;
}

static void kvm_close(struct machine *machine)
{
    struct kvm_data *kvm = machine->backend_data;

    if (kvm->vm_fd >= 0)
        (void)close(kvm->vm_fd);
    if (kvm->kvm_fd >= 0)
        (void)close(kvm->kvm_fd);
    free(kvm->scratch_bitmap);
    free(kvm);
    machine->backend_data = NULL;
}

/* Offers the guest what this host's KVM supports. */
static int cpuid_set(struct kvm_data *kvm)
{
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
    int result = -1;

    if (cpuid == NULL)
        return -1;
    cpuid->nent = CPUID_ENTRIES_MAX;
    if (ioctl(kvm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0)
        result = ioctl(kvm->vcpu_fd, KVM_SET_CPUID2, cpuid);
    free(cpuid);
    return result;
}

static void kvm_vcpu_close(struct machine *machine)
{
    struct kvm_data *kvm = machine->backend_data;

    if (kvm->run != NULL)
        (void)munmap(kvm->run, kvm->run_bytes);
    kvm->run = NULL;
    if (kvm->vcpu_fd >= 0)
        (void)close(kvm->vcpu_fd);
    kvm->vcpu_fd = -1;
}

static int kvm_vcpu_open(struct machine *machine, struct problem *problem)
{
    struct kvm_data *kvm = machine->backend_data;
    const int run_bytes = ioctl(kvm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *run = MAP_FAILED;

    kvm->vcpu_fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, 0);
    if (kvm->vcpu_fd >= 0 && run_bytes >= (int)sizeof(*kvm->run) && cpuid_set(kvm) == 0)
        run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kvm->vcpu_fd, 0);
    if (run != MAP_FAILED) {
        kvm->run = run;
        kvm->run_bytes = (size_t)run_bytes;
        return 0;
    }
    (void)problem_set(problem, unusable_remedy, "cannot make a vCPU: %s", strerror(errno));
    kvm_vcpu_close(machine);
    return -1;
}

static void kvm_broken(struct kvm_data *kvm, struct vcpu_exit *leave)
{
    struct kvm_regs regs = {.rip = 0};

    (void)ioctl(kvm->vcpu_fd, KVM_GET_REGS, &regs);
    leave->reason = VCPU_EXIT_BROKEN;
    (void)snprintf(leave->text, sizeof(leave->text), "the vCPU %s at instruction %#llx",
                   kvm->run->exit_reason == KVM_EXIT_SHUTDOWN ? "took a fault"
                   : kvm->run->exit_reason == KVM_EXIT_MMIO
                       ? "used an address where there is no memory"
                       : "cannot go on (KVM gave it up)",
                   (unsigned long long)regs.rip);
}

static void kvm_vcpu_run(struct machine *machine, struct vcpu_exit *leave)
{
    struct kvm_data *kvm = machine->backend_data;
    struct kvm_run *run = kvm->run;
    const uint8_t *data = (const uint8_t *)run;

    if (ioctl(kvm->vcpu_fd, KVM_RUN, 0) != 0) {
        if (errno == EINTR || errno == EAGAIN) {
            /* The wish to stop is set before the kick and read after this, so it is not lost. */
            __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
            leave->reason = VCPU_EXIT_KICKED;
            return;
        }
        leave->reason = VCPU_EXIT_BROKEN;
        (void)snprintf(leave->text, sizeof(leave->text), "KVM_RUN failed: %s", strerror(errno));
        return;
    }
    if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
        run->io.count != 1 || run->io.size > sizeof(leave->value)) {
        kvm_broken(kvm, leave);
        return;
    }
    leave->reason = VCPU_EXIT_PORT_WRITE;
    leave->port = run->io.port;
    memcpy(&leave->value, data + run->io.data_offset, run->io.size);
}

static void kvm_vcpu_kick(struct machine *machine)
{
    struct kvm_data *kvm = machine->backend_data;

    /* Either it enters the guest after this and leaves at once, or the signal gets it out. */
    __atomic_store_n(&kvm->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    (void)pthread_kill(machine->thread, SIGUSR1);
}

/* Lets the guest's level use all ports the segment has bits for. The I/O privilege level in RFLAGS
 * grants the same, and both are set: a KVM without hardware virtualization may not keep that level,
 * and an emulated processor under a nested KVM may not look at this segment. */
static struct kvm_segment task_segment_build(struct machine *machine)
{
    const uint16_t bitmap_offset = TASK_BYTES;
    uint8_t *task = machine->block[0].host + GUEST_TASK_OFFSET;

    memset(task, 0, GUEST_TASK_BYTES);
    memcpy(task + TASK_BITMAP_AT, &bitmap_offset, sizeof(bitmap_offset));
    task[GUEST_TASK_BYTES - 1] = UINT8_MAX;
    return (struct kvm_segment){.base = GUEST_VIRTUAL_BASE + machine->block[0].guest_address +
                                        GUEST_TASK_OFFSET,
                                .limit = GUEST_TASK_BYTES - 1,
                                .selector = 0x40,
                                .type = 11,
                                .present = 1};
}

static int kvm_vcpu_reset(struct machine *machine, uint64_t entry, uint64_t stack_top,
                          uint64_t boot, struct problem *problem)
{
    struct kvm_data *kvm = machine->backend_data;
    const struct kvm_segment code = {.limit = 0xffffffff,
                                     .selector = 0x33,
                                     .type = 11,
                                     .present = 1,
                                     .dpl = 3,
                                     .s = 1,
                                     .l = 1,
                                     .g = 1};
    const struct kvm_segment data = {.limit = 0xffffffff,
                                     .selector = 0x2b,
                                     .type = 3,
                                     .present = 1,
                                     .dpl = 3,
                                     .s = 1,
                                     .db = 1,
                                     .g = 1};
    struct kvm_sregs sregs;
    const struct kvm_regs regs = {
        .rip = entry, .rsp = stack_top, .rdi = boot, .rflags = RFLAGS_ALWAYS | RFLAGS_IOPL_3};

    if (page_tables_build(machine, problem) != 0)
        return -1;
    if (ioctl(kvm->vcpu_fd, KVM_GET_SREGS, &sregs) != 0)
        return problem_set(problem, unusable_remedy, "cannot read the vCPU's registers: %s",
                           strerror(errno));
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.tr = task_segment_build(machine);
    sregs.cr0 = CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
    sregs.cr3 = machine->block[0].guest_address + GUEST_PAGE_TABLES_OFFSET;
    sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    sregs.efer = EFER_LME | EFER_LMA;
    if (ioctl(kvm->vcpu_fd, KVM_SET_SREGS, &sregs) != 0 ||
        ioctl(kvm->vcpu_fd, KVM_SET_REGS, &regs) != 0)
        return problem_set(problem, unusable_remedy, "cannot set the vCPU's registers: %s",
                           strerror(errno));
    return 0;
}

static void kvm_vcpu_sections(struct machine *machine, struct vcpu_sections *sections)
{
    struct kvm_data *kvm = machine->backend_data;

    sections->count = KVM_STATE_COUNT;
    for (size_t i = 0; i < KVM_STATE_COUNT; i++) {
        struct vcpu_section *section = &sections->section[i];

        memcpy(&section->tag, kvm_state[i].tag, sizeof(section->tag));
        section->length_bytes = (uint32_t)kvm_state[i].length_bytes;
        section->bytes = (uint8_t *)kvm + kvm_state[i].offset_bytes;
    }
}

static int kvm_vcpu_save(struct machine *machine, struct vcpu_sections *sections,
                         struct problem *problem)
{
    struct kvm_data *kvm = machine->backend_data;

    kvm_vcpu_sections(machine, sections);
    for (size_t i = 0; i < KVM_STATE_COUNT; i++)
        if (ioctl(kvm->vcpu_fd, kvm_state[i].get_request, sections->section[i].bytes) != 0)
            return problem_set(problem, "try again", "cannot read the vCPU's %s: %s",
                               kvm_state[i].name, strerror(errno));
    return 0;
}

static int kvm_vcpu_load(struct machine *machine, struct problem *problem)
{
    struct kvm_data *kvm = machine->backend_data;
    struct vcpu_sections sections;

    /* The guest always has it, and the source's KVM may not have said so. */
    kvm->regs.rflags |= RFLAGS_IOPL_3;
    kvm_vcpu_sections(machine, &sections);
    for (size_t i = 0; i < KVM_STATE_COUNT; i++)
        if (ioctl(kvm->vcpu_fd, kvm_state[i].set_request, sections.section[i].bytes) != 0)
            return problem_set(
                problem, "migrate between hosts with the same kind of processor and KVM",
                "this host's KVM refuses the vCPU's %s: %s", kvm_state[i].name, strerror(errno));
    return 0;
}

static int kvm_tracking_start(struct machine *machine, struct problem *problem)
{
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        if (slot_set(machine, i, KVM_MEM_LOG_DIRTY_PAGES) != 0)
            return problem_set(problem, "use a host whose KVM has a dirty log, or --process",
                               "cannot switch on the dirty log of block %s: %s",
                               machine->block[i].name, strerror(errno));
    return 0;
}

static void kvm_tracking_stop(struct machine *machine)
{
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        (void)slot_set(machine, i, 0);
}

static int kvm_tracking_collect(struct machine *machine, size_t block, uint64_t *bitmap,
                                struct problem *problem)
{
    struct kvm_data *kvm = machine->backend_data;
    const uint64_t page_count = machine_block_pages(&machine->block[block]);
    struct kvm_dirty_log log = {.slot = (uint32_t)block, .dirty_bitmap = kvm->scratch_bitmap};
    struct kvm_clear_dirty_log clear = {.slot = (uint32_t)block,
                                        .num_pages = (uint32_t)page_count,
                                        .dirty_bitmap = kvm->scratch_bitmap};

    /* With clearing by hand the log forgets only what it is told to, and only then are those pages
     * write-protected again: before their content is read, which is what keeps this exact. */
    if (ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, &log) != 0 ||
        (kvm->clears_by_hand && ioctl(kvm->vm_fd, KVM_CLEAR_DIRTY_LOG, &clear) != 0))
        return problem_set(problem, "try again", "cannot read the dirty log of block %s: %s",
                           machine->block[block].name, strerror(errno));
    for (uint64_t i = 0; i < (page_count + BITS_PER_WORD - 1) / BITS_PER_WORD; i++)
        bitmap[i] |= kvm->scratch_bitmap[i];
    return 0;
}

const struct machine_backend machine_backend_kvm = {
    .name = "kvm",
    .kind = 1,
    .open = kvm_open,
    .close = kvm_close,
    .vcpu_open = kvm_vcpu_open,
    .vcpu_close = kvm_vcpu_close,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_reset = kvm_vcpu_reset,
    .vcpu_save = kvm_vcpu_save,
    .vcpu_load = kvm_vcpu_load,
    .vcpu_sections = kvm_vcpu_sections,
    .tracking_start = kvm_tracking_start,
    .tracking_stop = kvm_tracking_stop,
    .tracking_collect = kvm_tracking_collect,
};
