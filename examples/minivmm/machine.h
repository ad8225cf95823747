/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: memory blocks, one virtual CPU in a thread of its own, and the ports the guest
 * writes to. Behind it stands one of two backends, KVM or an ordinary process; what differs between
 * them is in struct machine_backend and nowhere else.
 */
#ifndef MINIVMM_MACHINE_H
#define MINIVMM_MACHINE_H

#include "guest/layout.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_BLOCK_COUNT   3
#define MACHINE_RAM_MB_MIN    8
#define MACHINE_RAM_MB_MAX    16384
#define MACHINE_SERIAL_LINE   256
#define MACHINE_VCPU_SECTIONS 8

/* What went wrong and what to do about it, as one line each. Empty cause: nothing did. */
struct problem {
    char cause[320];
    char remedy[320];
};

/* Fills the problem and returns -1, so that a caller can return what this returns. */
int problem_set(struct problem *problem, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One RAM block: a memfd, mapped into the VMM at `host` and given to the guest. */
struct machine_block {
    const char *name;
    uint64_t guest_address;
    uint64_t length_bytes;
    int fd;
    uint8_t *host;
};

enum vcpu_exit_reason {
    VCPU_EXIT_KICKED,     /* somebody asked it to stop, or a stray signal */
    VCPU_EXIT_PORT_WRITE, /* the guest wrote to a port */
    VCPU_EXIT_BROKEN,     /* the guest cannot go on: text says why */
};

struct vcpu_exit {
    enum vcpu_exit_reason reason;
    uint16_t port;
    uint32_t value;
    char text[MACHINE_SERIAL_LINE];
};

enum vcpu_state {
    VCPU_STOPPED, /* nothing of the guest runs; its state can be read and written */
    VCPU_RUNNING,
    VCPU_HALTED, /* the guest stopped for good */
};

enum vcpu_wish {
    VCPU_WISH_STOP,
    VCPU_WISH_RUN,
    VCPU_WISH_END,
};

struct machine;

/* One piece of a vCPU's state: what it is (a four-letter name as a number), and where. */
struct vcpu_section {
    uint32_t tag;
    uint32_t length_bytes;
    void *bytes;
};

/* What the vCPU's sections are: filled by the backend, used both to save and to load. */
struct vcpu_sections {
    size_t count;
    struct vcpu_section section[MACHINE_VCPU_SECTIONS];
};

/*
 * A backend. vcpu_open, vcpu_run and vcpu_close are called on the vCPU's thread; vcpu_kick from
 * any other; the rest from the main thread. All but vcpu_kick and the tracking calls need the vCPU
 * stopped. Those that return int return 0, or -1 with the problem filled.
 */
struct machine_backend {
    const char *name;
    uint32_t kind; /* in the state blob: a guest goes on only in the kind it came from */
    int (*open)(struct machine *machine, struct problem *problem);
    void (*close)(struct machine *machine);
    int (*vcpu_open)(struct machine *machine, struct problem *problem);
    void (*vcpu_close)(struct machine *machine);
    void (*vcpu_run)(struct machine *machine, struct vcpu_exit *leave);
    void (*vcpu_kick)(struct machine *machine);
    /* The registers of a guest that is about to execute its first instruction. */
    int (*vcpu_reset)(struct machine *machine, uint64_t entry, uint64_t stack_top, uint64_t boot,
                      struct problem *problem);
    /* vcpu_save reads the state into the sections' bytes; vcpu_load takes it from there. */
    int (*vcpu_save)(struct machine *machine, struct vcpu_sections *sections,
                     struct problem *problem);
    int (*vcpu_load)(struct machine *machine, struct problem *problem);
    /* Where the sections' bytes are, with their lengths, without reading any state. */
    void (*vcpu_sections)(struct machine *machine, struct vcpu_sections *sections);
    int (*tracking_start)(struct machine *machine, struct problem *problem);
    void (*tracking_stop)(struct machine *machine);
    /* Sets in the bitmap (bit n = page n of the block) the pages written since tracking_start or
     * the last call, and forgets them. */
    int (*tracking_collect)(struct machine *machine, size_t block, uint64_t *bitmap,
                            struct problem *problem);
};

extern const struct machine_backend machine_backend_kvm;
extern const struct machine_backend machine_backend_process;

struct machine {
    const struct machine_backend *backend;
    void *backend_data;
    struct machine_block block[MACHINE_BLOCK_COUNT];
    uint64_t ram_bytes;
    bool tracking;

    /* The guest's ports. */
    int serial_fd;
    char serial_line[MACHINE_SERIAL_LINE];
    size_t serial_length;
    uint64_t dirty_bytes_per_s; /* how fast the guest may write pages; 0: as fast as it can */
    uint64_t pace_due_ns;

    /* The vCPU's thread. What follows is under the lock, the condition tells of every change. */
    pthread_t thread;
    bool thread_alive;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum vcpu_wish wish;
    enum vcpu_state state;
    bool open_finished;
    struct problem open_problem;
    uint64_t passes;
    char halt_text[MACHINE_SERIAL_LINE];
    int event_fd; /* readable when the guest finished a pass or halted */
};

uint64_t clock_ns(void);

/* machine.c. Makes the memory and the vCPU, stopped. machine_close ends whatever machine_open made,
 * also after a failure. */
int machine_open(struct machine *machine, const struct machine_backend *backend, uint64_t ram_mb,
                 struct problem *problem);
void machine_close(struct machine *machine);
/* Writes the guest program into memory and sets the registers to its first instruction. */
int machine_boot(struct machine *machine, struct problem *problem);
int machine_tracking_start(struct machine *machine, struct problem *problem);
void machine_tracking_stop(struct machine *machine);
uint64_t machine_block_pages(const struct machine_block *block);

/* vcpu.c */
int vcpu_thread_open(struct machine *machine, struct problem *problem);
void vcpu_thread_close(struct machine *machine);
void vcpu_start(struct machine *machine);
/* Returns 0 when nothing of the guest runs any more, -1 if it did not stop in time. */
int vcpu_stop(struct machine *machine, struct problem *problem);
/* A snapshot of what the vCPU's thread says: its state, passes, and why it halted. */
enum vcpu_state vcpu_look(struct machine *machine, uint64_t *passes,
                          char halt_text[MACHINE_SERIAL_LINE]);

/* state.c: the vCPU and the VMM's own numbers as one block of bytes, for the byte stream. The vCPU
 * must be stopped. state_save allocates; the caller frees. */
int state_save(struct machine *machine, uint8_t **bytes, size_t *length_bytes,
               struct problem *problem);
int state_load(struct machine *machine, const uint8_t *bytes, size_t length_bytes,
               struct problem *problem);

#endif
