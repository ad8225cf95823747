/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A core of ours on a port: ours_driver.c feeds it, and ours_actions.c carries out on the port what
 * it wants, as src/verbs does on hardware; ours_memory.c is what is lent to it, ours_watch.c and
 * ours_order.c know what it owes, ours_wrong.c calls it in ways that it must refuse. Above is
 * sim/vmm/link.c, with the library's handles on top.
 */
#ifndef SIM_OURS_H
#define SIM_OURS_H

#include "fabric.h"
#include "party.h"
#include "world.h"

#include <rdmig/core.h>

enum { OURS_OPERATIONS_MAX = 2 * RDMIG_REGISTER_BATCH_MAX, OURS_CANCEL_CODE = -125 };

/* Memory that is lent to the core, between two strips that nobody may touch. */
struct ours_memory {
    uint8_t *base; /* NULL: none */
    uint8_t *bytes;
    size_t length_bytes;
};

/* A memory region that the core had made: named by it with the number of the region. */
struct ours_region {
    uint32_t region;
    uint32_t key;
    uint32_t block;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    bool is_leaving; /* source: UNREGISTER_REQUEST has named it */
};
struct ours_regions {
    struct ours_region *entries; /* by ascending number */
    uint32_t count;
    uint32_t capacity;
};

/* What is in the send queue, in the order of posting. */
struct ours_send {
    uint64_t tag;
    bool is_signalled;
    bool is_stream; /* a QEMU_FILE message */
};
struct ours_sends {
    struct ours_send *entries; /* ring of depth */
    uint32_t depth;
    uint64_t first;
    uint64_t end;
};

struct ours_receive {
    uint64_t tag;
    uint8_t *buffer;
    uint32_t capacity_bytes;
    bool is_out;
};

/* REGISTER, DEREGISTER, FILL_RANGE, END_ROUND: under way until its tag has been answered. */
struct ours_operation {
    struct rdmig_action action;
    bool is_out;
    bool is_doomed; /* a fault: it will fail */
};

enum { OURS_COMMANDS_MAX = 16 };

/* A command that it has sent, until the READY for it. */
struct ours_command {
    uint32_t type;
    uint32_t entry_count;
    bool is_answered;
};

/* Who may send what next: ours_order.c. */
struct ours_order {
    bool is_pipelined;
    uint32_t credit_count; /* agreed on; before that, those that it offers */
    uint64_t readies;      /* source: received. destination: sent */
    uint64_t received;     /* destination: commands */
    uint64_t doomed;       /* destination: the first of them that must fail it; 0: none */
    struct ours_command commands[OURS_COMMANDS_MAX]; /* source: a ring */
    uint64_t first_command;
    uint32_t command_count;
};

/* What is seen of a core from outside: ours_watch.c. */
struct ours_watch {
    struct rdmig_failure first; /* cause */
    uint64_t failed_ns;
    uint64_t heard_ns;     /* the last sign of life */
    uint32_t credit_count; /* READYs that no command has been sent against */
    bool has_failed;
    bool is_time_told; /* the last step was for the time's sake */
    bool must_fail;    /* the step that is about to be taken */
    bool is_suspect;   /* something came back undone */
    bool is_error_posted;
    bool is_error_received;
};

struct ours;

/* What a role does with it. */
struct ours_application {
    /* A notice, or a request, of the core. */
    void (*notified)(struct ours *ours, const struct rdmig_action *action);
    /* The deadline (index -1), or an operation, has become due. */
    void (*due)(struct ours *ours, int32_t index);
};

struct ours {
    struct party party;
    const struct ours_application *application;
    struct rdmig_conn_config config;
    struct rdmig_conn *conn;
    struct ours_memory memory;
    struct ours_memory tables;
    struct ours_memory control;
    struct rdmig_block blocks[RAM_BLOCKS_MAX];
    uint32_t block_count;
    bool are_blocks_provided;
    uint64_t stepped_ns; /* the time of the last step */
    uint64_t timer_ns;   /* when it is called for its deadline; RDMIG_NO_DEADLINE: not */
    bool is_drained;     /* nothing is left to carry out since the last step */
    bool is_started;
    bool is_connect_asked; /* source: CONNECT is given. destination: a request has come */
    bool is_request_open;  /* destination: neither accepted nor rejected yet */
    bool has_left;         /* nothing is posted any more */
    bool is_destroyed;     /* its queue pair */
    bool is_closed;
    struct ours_sends sends;
    struct ours_receive receives[RDMIG_RECV_SLOT_COUNT];
    struct ours_operation operations[OURS_OPERATIONS_MAX];
    uint32_t operation_count; /* that are out */
    struct ours_regions regions;
    struct ours_order order;
    struct ours_watch watch;
    /* For wrong calls: tags that have been answered, and what the application is waiting for. */
    uint64_t old_send_tag;   /* the last one */
    uint64_t old_silent_tag; /* that another's completion stood for, or the last one's */
    uint64_t old_receive_tag;
    uint64_t old_operation_tag;
    bool is_exchange_asked;
    bool is_exchanged;
    bool is_round_open;
    bool is_round_closing;
    bool is_flush_asked;
    bool is_letting_go;        /* source: UNREGISTER is under way, as it was asked to ... */
    uint32_t let_go_region;    /* ... for this one */
    uint64_t posted_bytes;     /* source: of the stream */
    uint64_t unconsumed_bytes; /* destination: of the message that was delivered */
    uint8_t *before;           /* room for a copy of the core's memory */
};

/* ---- ours_driver.c */

/* Sets up what both roles share; size_bytes is that of the role's own struct. */
struct ours *ours_make(size_t size_bytes, const struct party *user, const struct party_class *class,
                       const struct ours_application *application,
                       const struct rdmig_conn_config *config);
/* Does the next thing that the core wants; false: there is nothing. */
bool ours_take_action(struct ours *ours);
void ours_arm_timer(struct ours *ours);
/* The connection manager's event, a completion, and what has become due, for who fetches. */
void ours_take_managed(struct ours *ours, const struct cm_event *event);
void ours_take_completion(struct ours *ours, const struct completion *completion);
void ours_end_operation(struct ours *ours, uint32_t index);
/* The operation whose tag this is, which the application carries out; NULL: none. */
struct ours_operation *ours_find_operation(struct ours *ours, uint64_t tag);
/* It has: what is about to be told to the core. */
void ours_end_own_operation(struct ours *ours, struct ours_operation *operation,
                            enum rdmig_status status);
void ours_end_core(struct ours *ours);
void ours_free(struct ours *ours);
/* The time is filled in; the event is logged. A refusal is returned and nothing else. */
int ours_step(struct ours *ours, struct rdmig_event *event);
/* A step that the core has no right to refuse. */
void ours_tell(struct ours *ours, struct rdmig_event *event);
/* An event of nothing but its kind; true: taken. */
bool ours_ask(struct ours *ours, enum rdmig_event_kind kind);
/* A queue pair is there; once. */
void ours_start(struct ours *ours);
/* The list of blocks and the tables for it, once. */
void ours_provide_blocks(struct ours *ours);
uint64_t ours_now_ns(const struct ours *ours);
bool ours_is_exact(const struct ours *ours); /* a small world, where delays are drawn */
/* One in so many, where delays are drawn. */
bool ours_chance(struct ours *ours, uint32_t one_in);

/* ---- ours_actions.c */

void ours_carry_out(struct ours *ours, const struct rdmig_action *action);
/* Answers everything that the queue pair still had. */
void ours_return_all(struct ours *ours);
/* Nothing may be out when the connection is closed. */
void ours_check_tags(struct ours *ours);

/* ---- ours_operations.c */

void ours_start_operation(struct ours *ours, const struct rdmig_action *action);

/* ---- ours_watch.c */

/* Before the step that tells of it. */
void ours_watch_received(struct ours *ours, const uint8_t *message, uint32_t length_bytes);
void ours_watch_private_data(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes);
void ours_watch_error(struct ours *ours, int32_t os_code);
/* After the step. */
void ours_watch_failure(struct ours *ours);
void ours_watch_heard(struct ours *ours);
/* Before it is carried out. */
void ours_watch_action(struct ours *ours, const struct rdmig_action *action);
/* When nothing is left to carry out. */
void ours_watch_drained(struct ours *ours);

/* ---- ours_order.c */

/* CONNECT's or ACCEPT's private data, and those of the peer. */
void ours_order_data_given(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes);
bool ours_order_data_taken(struct ours *ours, const uint8_t *bytes, uint64_t length_bytes);
/* Anything but ERROR. True: it says READY to what it must not have obeyed. */
bool ours_order_sent(struct ours *ours, const uint8_t *message);
/* The command that has just come cannot be obeyed. True: it must be seen now; false: the
 * destination may be at another one that came before it. */
bool ours_order_dooms(struct ours *ours);
bool ours_order_received(struct ours *ours, uint32_t type, const uint8_t *message,
                         uint32_t length_bytes);

/* ---- ours_memory.c */

void ours_memory_take(struct ours_memory *memory, size_t length_bytes);
void ours_memory_give_back(struct ours_memory *memory);
/* False: somebody wrote beside it. */
bool ours_memory_is_whole(const struct ours_memory *memory);
/* Control memory is large: it goes from world to world as it is. */
void ours_control_take(struct ours_memory *memory);
void ours_control_give_back(struct ours_memory *memory);

struct ours_region *ours_regions_find(struct ours_regions *regions, uint32_t region);
/* False: there is one of that number. */
bool ours_regions_add(struct ours_regions *regions, const struct ours_region *region);
void ours_regions_remove(struct ours_regions *regions, struct ours_region *region);

/* ---- ours_questions.c */

/* Now and then what may be asked at any time: the answers must make sense. */
void ours_ask_questions(struct ours *ours);

/* ---- ours_damage.c */

/* Now and then a copy of the core is damaged: its invariants must notice. */
void ours_check_invariants_notice(struct ours *ours);

/* ---- ours_wrong.c */

/* Now and then a call that must be refused, and change nothing. */
void ours_call_wrongly(struct ours *ours);
/* Now and then a configuration that must be refused. */
void ours_configure_wrongly(struct ours *ours);

#endif
