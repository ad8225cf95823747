/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process backend: the guest program runs as a child process, for hosts without KVM. The child
 * has the guest's memory at the guest's own addresses and runs the very same instructions; ptrace
 * gives the VMM its registers and takes its system calls away. A write to a port is a privileged
 * instruction, so it faults, and the fault is served as KVM would serve the exit.
 */
#include "dirty_uffd.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define CHILD_UFFD       100 /* where the child leaves its userfaultfd for the VMM to fetch */
#define CHILD_EXIT_MAP   1
#define CHILD_EXIT_TRACE 2
#define OPCODE_OUT_BYTE  0xeeU
#define OPCODE_OUT_LONG  0xefU
#define FLAGS_OF_PROGRAM 0xcd5U /* carry to overflow: what a program may have set by computing */
#define FLAGS_ALWAYS     0x202U

struct process_data {
    pid_t pid; /* -1: there is no child */
    int pidfd;
    struct dirty_tracker *tracker;
    struct problem no_tracker; /* why there is none */
    struct user_regs_struct regs;
    struct user_fpregs_struct fpregs;
    struct user_regs_struct loaded; /* a state that came, before it is taken over */
    bool regs_changed;              /* the child does not have them yet */
};

static int process_open(struct machine *machine, struct problem *problem)
{
    struct process_data *process = calloc(1, sizeof(*process));

    machine->backend_data = process;
    if (process == NULL)
        return problem_set(problem, "free some memory", "out of memory");
    process->pid = -1;
    process->pidfd = -1;
    return 0;
}

static void process_close(struct machine *machine)
{
    free(machine->backend_data);
    machine->backend_data = NULL;
}

/*
 * The child between fork and the guest's first instruction. System calls only: the VMM has threads,
 * so no lock of the C library can be relied on here.
 */
static void child_main(const struct machine *machine, pid_t parent)
{
    long uffd;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(CHILD_EXIT_TRACE);
    (void)setpgid(0, 0); /* the terminal's ^C is for the VMM */
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const struct machine_block *block = &machine->block[i];
        const uint64_t address = GUEST_VIRTUAL_BASE + block->guest_address;

        /* Nothing is there but, under a sanitizer, address space it keeps empty. */
        if (syscall(SYS_mmap, address, block->length_bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_SHARED | MAP_FIXED, block->fd, 0) != (long)address)
            _exit(CHILD_EXIT_MAP);
    }
    (void)close_range(3, ~0U, 0);
    uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (uffd >= 0)
        (void)dup2((int)uffd, CHILD_UFFD);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(CHILD_EXIT_TRACE);
    (void)kill(getpid(), SIGSTOP);
    _exit(CHILD_EXIT_TRACE);
}

/* Waits for the child's next stop. False: it is gone, and reaped. */
static bool child_wait(struct process_data *process, int *status)
{
    while (waitpid(process->pid, status, __WALL) != process->pid)
        if (errno != EINTR)
            break;
    if (WIFSTOPPED(*status))
        return true;
    process->pid = -1;
    return false;
}

static void process_vcpu_close(struct machine *machine)
{
    struct process_data *process = machine->backend_data;
    int status = 0;

    dirty_tracker_close(process->tracker);
    process->tracker = NULL;
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
        while (child_wait(process, &status))
            (void)ptrace(PTRACE_CONT, process->pid, NULL, NULL);
    }
    if (process->pidfd >= 0)
        (void)close(process->pidfd);
    process->pidfd = -1;
}

/* Fetches the child's userfaultfd. Without it the guest runs, but cannot be migrated live. */
static void tracker_open(struct machine *machine)
{
    struct process_data *process = machine->backend_data;
    const int uffd = (int)syscall(SYS_pidfd_getfd, process->pidfd, CHILD_UFFD, 0);

    if (uffd < 0)
        (void)problem_set(&process->no_tracker,
                          "use Linux 5.19 or later and allow the system call userfaultfd",
                          "a process cannot have a userfaultfd here, so its writes cannot be "
                          "tracked");
    else
        process->tracker = dirty_tracker_open(machine, uffd, process->pid, &process->no_tracker);
}

static int process_vcpu_open(struct machine *machine, struct problem *problem)
{
    struct process_data *process = machine->backend_data;
    const pid_t parent = getpid();
    int status = 0;

    process->pid = fork();
    if (process->pid == 0)
        child_main(machine, parent);
    if (process->pid < 0)
        return problem_set(problem, "raise the limit of processes (ulimit -u)",
                           "cannot make the guest's process: %s", strerror(errno));
    if (!child_wait(process, &status))
        return problem_set(problem, "allow mappings at fixed addresses, and ptrace",
                           WIFEXITED(status) && WEXITSTATUS(status) == CHILD_EXIT_MAP
                               ? "the guest's process cannot have the guest's memory at its place"
                               : "the guest's process cannot be traced");
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (process->pidfd < 0 ||
        ptrace(PTRACE_SETOPTIONS, process->pid, NULL, PTRACE_O_EXITKILL) != 0 ||
        ptrace(PTRACE_GETREGS, process->pid, NULL, &process->regs) != 0 ||
        ptrace(PTRACE_GETFPREGS, process->pid, NULL, &process->fpregs) != 0) {
        (void)problem_set(problem, "use Linux 5.3 or later and allow ptrace",
                          "the guest's process cannot be traced: %s", strerror(errno));
        process_vcpu_close(machine);
        return -1;
    }
    tracker_open(machine);
    return 0;
}

/* The guest's address as a pointer of the VMM's, if at least one byte is there. */
static const uint8_t *guest_pointer(const struct machine *machine, uint64_t address)
{
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const uint64_t start = GUEST_VIRTUAL_BASE + machine->block[i].guest_address;

        if (address >= start && address - start < machine->block[i].length_bytes)
            return machine->block[i].host + (address - start);
    }
    return NULL;
}

/* The guest's process faulted: either an instruction that writes to a port, or the guest's end. */
static void fault_serve(struct machine *machine, int signal_number, struct vcpu_exit *leave)
{
    struct process_data *process = machine->backend_data;
    const uint8_t *code = guest_pointer(machine, process->regs.rip);

    if (signal_number == SIGSEGV && code != NULL &&
        (*code == OPCODE_OUT_BYTE || *code == OPCODE_OUT_LONG)) {
        leave->reason = VCPU_EXIT_PORT_WRITE;
        leave->port = (uint16_t)process->regs.rdx;
        leave->value = (uint32_t)(*code == OPCODE_OUT_BYTE ? process->regs.rax & UINT8_MAX
                                                           : process->regs.rax);
        process->regs.rip++;
        process->regs_changed = true;
        return;
    }
    leave->reason = VCPU_EXIT_BROKEN;
    (void)snprintf(leave->text, sizeof(leave->text),
                   "the guest's process took signal %d (%s) at instruction %#llx", signal_number,
                   strsignal(signal_number), process->regs.rip);
}

static int registers_give(struct process_data *process)
{
    if (!process->regs_changed)
        return 0;
    process->regs_changed = false;
    return ptrace(PTRACE_SETREGS, process->pid, NULL, &process->regs) != 0 ||
                   ptrace(PTRACE_SETFPREGS, process->pid, NULL, &process->fpregs) != 0
               ? -1
               : 0;
}

static void process_vcpu_run(struct machine *machine, struct vcpu_exit *leave)
{
    struct process_data *process = machine->backend_data;
    int status = 0;

    /* SYSEMU: a system call of the guest's stops it and is not carried out. */
    if (process->pid < 0 || registers_give(process) != 0 ||
        ptrace(PTRACE_SYSEMU, process->pid, NULL, NULL) != 0 || !child_wait(process, &status) ||
        ptrace(PTRACE_GETREGS, process->pid, NULL, &process->regs) != 0 ||
        ptrace(PTRACE_GETFPREGS, process->pid, NULL, &process->fpregs) != 0) {
        leave->reason = VCPU_EXIT_BROKEN;
        (void)snprintf(leave->text, sizeof(leave->text), "the guest's process was killed");
        return;
    }
    switch (WSTOPSIG(status)) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
        fault_serve(machine, WSTOPSIG(status), leave);
        break;
    default: /* the kick, or a signal somebody sent: not the guest's business */
        leave->reason = VCPU_EXIT_KICKED;
        break;
    }
}

static void process_vcpu_kick(struct machine *machine)
{
    struct process_data *process = machine->backend_data;

    /* Stays pending while the child is stopped at a port, and stops it when it goes on. */
    (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGUSR1, NULL, 0);
}

/* Takes over what belongs to the program, and leaves the segments, which belong to this kernel. */
static void registers_adopt(struct process_data *process, const struct user_regs_struct *from)
{
    struct user_regs_struct *regs = &process->regs;
    const unsigned long long cs = regs->cs;
    const unsigned long long ss = regs->ss;
    const unsigned long long fs_base = regs->fs_base;
    const unsigned long long gs_base = regs->gs_base;
    const unsigned long long ds = regs->ds;
    const unsigned long long es = regs->es;
    const unsigned long long fs = regs->fs;
    const unsigned long long gs = regs->gs;

    *regs = *from;
    regs->cs = cs;
    regs->ss = ss;
    regs->fs_base = fs_base;
    regs->gs_base = gs_base;
    regs->ds = ds;
    regs->es = es;
    regs->fs = fs;
    regs->gs = gs;
    regs->eflags = (from->eflags & FLAGS_OF_PROGRAM) | FLAGS_ALWAYS;
    regs->orig_rax = ~0ULL; /* not in a system call: nothing for the kernel to restart */
    process->regs_changed = true;
}

static int process_vcpu_reset(struct machine *machine, uint64_t entry, uint64_t stack_top,
                              uint64_t boot, struct problem *problem)
{
    struct process_data *process = machine->backend_data;
    const struct user_regs_struct regs = {.rip = entry, .rsp = stack_top, .rdi = boot};

    (void)problem;
    registers_adopt(process, &regs);
    return 0;
}

/* Save and load work on what vcpu_run left behind: ptrace answers only the vCPU's thread. */
static void process_vcpu_sections(struct machine *machine, struct vcpu_sections *sections)
{
    struct process_data *process = machine->backend_data;

    sections->count = 2;
    sections->section[0] =
        (struct vcpu_section){.length_bytes = sizeof(process->loaded), .bytes = &process->loaded};
    sections->section[1] =
        (struct vcpu_section){.length_bytes = sizeof(process->fpregs), .bytes = &process->fpregs};
    memcpy(&sections->section[0].tag, "PREG", sizeof(uint32_t));
    memcpy(&sections->section[1].tag, "PFPR", sizeof(uint32_t));
}

static int process_vcpu_save(struct machine *machine, struct vcpu_sections *sections,
                             struct problem *problem)
{
    struct process_data *process = machine->backend_data;

    if (process->pid < 0)
        return problem_set(problem, "start the guest again", "the guest's process was killed");
    process->loaded = process->regs;
    process_vcpu_sections(machine, sections);
    return 0;
}

static int process_vcpu_load(struct machine *machine, struct problem *problem)
{
    struct process_data *process = machine->backend_data;

    (void)problem;
    registers_adopt(process, &process->loaded);
    return 0;
}

static int process_tracking_start(struct machine *machine, struct problem *problem)
{
    struct process_data *process = machine->backend_data;

    if (process->tracker == NULL) {
        *problem = process->no_tracker;
        return -1;
    }
    return dirty_tracker_start(process->tracker, problem);
}

static void process_tracking_stop(struct machine *machine)
{
    struct process_data *process = machine->backend_data;

    if (process->tracker != NULL)
        dirty_tracker_stop(process->tracker);
}

static int process_tracking_collect(struct machine *machine, size_t block, uint64_t *bitmap,
                                    struct problem *problem)
{
    struct process_data *process = machine->backend_data;

    return dirty_tracker_collect(process->tracker, block, bitmap, problem);
}

const struct machine_backend machine_backend_process = {
    .name = "process",
    .kind = 2,
    .open = process_open,
    .close = process_close,
    .vcpu_open = process_vcpu_open,
    .vcpu_close = process_vcpu_close,
    .vcpu_run = process_vcpu_run,
    .vcpu_kick = process_vcpu_kick,
    .vcpu_reset = process_vcpu_reset,
    .vcpu_save = process_vcpu_save,
    .vcpu_load = process_vcpu_load,
    .vcpu_sections = process_vcpu_sections,
    .tracking_start = process_tracking_start,
    .tracking_stop = process_tracking_stop,
    .tracking_collect = process_tracking_collect,
};
