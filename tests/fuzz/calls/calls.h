/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fuzzer of calls: any sequence of the public calls of include/rdmig/rdmig.h on both handles,
 * over the pair of links of tests/unit/fakes. draw.c turns the input's bytes into arguments, guest.c
 * has the guest's memory and what is known of each page, source_calls.c and destination_calls.c make
 * the calls and know what each may return, oracle.c looks at both handles after each of them, and
 * clock.c has the time, which is the fake's.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "fakes/link_pair.h"

#define CALLS_BLOCK_COUNT 3u
#define CALLS_LIST_MAX    4u
#define CALLS_PAGES_MAX   300u /* of a block */
#define CALLS_STREAM_MAX  (UINT64_C(1) << 20)

/* ---- draw.c: the input's bytes as numbers; 0 when they are used up */

struct draw {
    const uint8_t *bytes;
    size_t left_bytes;
};

uint8_t draw_byte(struct draw *draw);
uint32_t draw_below(struct draw *draw, uint32_t count);
/* Mostly below near, now and then far from it: the neighbours of near, of a word's limits. */
uint64_t draw_wild(struct draw *draw, uint64_t near);
/* 1 in 16. */
bool draw_seldom(struct draw *draw);
void draw_options(struct draw *draw, bool is_qemu, struct rdmig_options *options);

/* ---- guest.c */

struct page {
    bool is_dirty;      /* marked, as far as that is known for certain */
    bool is_unreported; /* written since it was marked for the last time */
    bool is_free;       /* said to be free since: what arrives is unspecified */
};

/* A list of blocks as it is given to a call. */
struct list {
    struct rdmig_ram_block blocks[CALLS_LIST_MAX];
    uint32_t block_count;
    bool is_null;
    bool is_good; /* the header allows it */
};

struct guest {
    struct page pages[CALLS_BLOCK_COUNT][CALLS_PAGES_MAX];
    bool is_dirty_exact;
};

void guest_reset(void);
uint64_t guest_page_count(uint32_t block);
void guest_write(uint32_t block, uint64_t page, uint64_t page_count, uint8_t value);
/* What the calls say of a block of the source's list: it may be none of ours. */
void guest_marked(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count);
void guest_freed(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count);
void guest_pushed(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count);
void guest_all_clean(void);
uint64_t guest_dirty_bytes(const struct list *list);
/* The destination has every page that it was promised. */
void guest_check_arrived(const struct list *source, const struct list *destination);
void draw_list(struct draw *draw, bool is_destination, struct list *list);
void list_all(bool is_destination, struct list *list);
bool list_is_same(const struct list *a, const struct list *b);

/* ---- the world */

/* What may lawfully end a migration. */
enum cause {
    CAUSE_SOURCE_CANCEL = 1u << 0,
    CAUSE_DESTINATION_CANCEL = 1u << 1,
    CAUSE_KILL = 1u << 2,
    CAUSE_REGISTER = 1u << 3,
    CAUSE_TIME = 1u << 4,
    CAUSE_SOURCE_GONE = 1u << 5,
    CAUSE_DESTINATION_GONE = 1u << 6,
    CAUSE_LISTS = 1u << 7,
    CAUSE_STREAM = 1u << 8,
    CAUSE_LIMIT = 1u << 9,
    CAUSE_ALONE = 1u << 10,
    CAUSE_SOURCE_LIMIT = 1u << 11,
    CAUSE_DESTINATION_LIMIT = 1u << 12,
    CAUSE_ANY = (1u << 13) - 1
};

/* What the calls on a source have made of it. */
struct source_model {
    struct list list;
    struct rdmig_options options;
    bool is_exchange_asked;
    bool is_in_round;
    bool is_pushing;
    bool is_marked_in_round;
    bool has_round_ended;
    bool is_log_current;
    bool is_finished;  /* finish() was accepted */
    bool is_cancelled; /* cancel() was accepted before anything else had failed */
    bool is_dead;      /* its host is */
    bool has_partner;
};

struct destination_model {
    struct list list; /* as given at create, or by provide_blocks */
    struct rdmig_options options;
    uint64_t read_bytes;
    bool is_list_given;
    bool is_cancelled;
    bool is_misjudged; /* confirmed although the stream was not at its end */
    bool is_dead;
    bool has_partner;
};

/* All that a VMM can see of both handles. */
struct view {
    struct {
        enum rdmig_source_state state;
        struct rdmig_error error;
        struct rdmig_progress progress;
        uint64_t estimate_ns;
        bool has_converged;
        bool is_closed;
        int fd;
    } source;
    struct {
        enum rdmig_destination_state state;
        struct rdmig_error error;
        struct rdmig_progress progress;
        uint64_t received_bytes;
        uint64_t round_position_bytes;
        uint32_t announced_count;
        bool is_qemu_stream;
        bool is_closed;
        int fd;
    } destination;
};

struct world {
    struct rdmig_source *source;
    struct rdmig_destination *destination;
    struct source_model source_model;
    struct destination_model destination_model;
    struct guest guest;
    struct view view; /* as of the last look */
    const char *call; /* of the moment */
    uint32_t causes;
    bool was_source_told; /* that the guest is its own again */
    bool was_destination_told;
    bool is_qemu;      /* the stream's format */
    bool is_like_qemu; /* the source knows no PIPELINE, as far as the destination sees */
    /* The destination's VMM, when it is let run. */
    bool is_reading;
    bool is_providing;
    bool is_resuming;
    bool is_confirming;
    bool does_peer_run; /* while one end waits */
    uint8_t *written;   /* what the source has put into the stream */
    uint64_t written_bytes;
};

extern struct world world;

void require(bool holds, const char *what);

/* ---- oracle.c */

enum caller { CALLER_SOURCE, CALLER_DESTINATION, CALLER_BOTH, CALLER_NOBODY };

/* Before a call, and after it: refused, it has changed nothing; made on one handle, nothing at the
 * other. */
void oracle_before(const char *call);
void oracle_after(enum caller caller, int64_t result);
/* A _wait() of either end has returned; is_for_nothing: its state is final and the handle closed. */
void oracle_waited(int result, uint32_t timeout_ms, uint64_t start_ns, bool is_for_nothing);
/* A line for people: text that does nothing to a terminal. */
void oracle_line(const char *line, size_t capacity_bytes);
/* The opaque of a trace is the name of its handle. */
void oracle_trace(void *opaque, const char *line);
void oracle_error(const struct rdmig_error *error);
/* Handles have been made or destroyed. */
void oracle_renew(void);
/* After a time in which both ends have run: nothing is on its way any more. */
void oracle_settled(void);

/* ---- source_calls.c, destination_calls.c */

typedef void call_function(struct draw *draw);

call_function call_source_create, call_source_process, call_source_start_round,
    call_source_begin_round, call_source_push, call_source_end_round, call_source_mark_dirty,
    call_source_mark_range, call_source_mark_free, call_source_stream_write,
    call_source_stream_flush, call_source_exchange_blocks, call_source_finish, call_source_cancel,
    call_source_finish_with, call_source_guest_stopped, call_source_wait, call_source_progress,
    call_source_destroy, call_source_opening, call_source_wait_closed, call_source_set_trace;
call_function call_destination_create, call_destination_process, call_destination_provide,
    call_destination_read, call_destination_resume, call_destination_confirm,
    call_destination_cancel, call_destination_wait, call_destination_progress,
    call_destination_destroy, call_destination_wait_closed, call_destination_set_trace;

void source_create_sane(const struct rdmig_options *options);
void destination_create_sane(const struct rdmig_options *options, bool has_list);
void source_process(void);
void source_destroy(void);
void destination_process(void);
void destination_destroy(void);
/* One turn of the destination's VMM. */
void destination_serve(void);

/* ---- clock.c */

void clock_reset(void);
void clock_advance(uint64_t passed_ns);
/* Descriptors of this process. */
uint32_t clock_open_count(void);
/* The wait that has just ended was interrupted. */
bool clock_was_interrupted(void);

#endif
