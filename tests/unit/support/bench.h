/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bench for one connection of the core: feeds it events, takes its actions, keeps the tags, owns
 * the memory, and writes down every event ("> ") and action ("< ") as a line of text without
 * pointers, for the test to compare. It watches what every driver may rely on: a refused step has
 * changed nothing, every invariant holds after each step and each action, tags are new while they
 * are out, and message slots are touched by their owner only.
 */
#ifndef RDMIG_TESTS_SUPPORT_BENCH_H
#define RDMIG_TESTS_SUPPORT_BENCH_H

/* cmocka wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rdmig/core.h>

#include "support/message.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND      (1000 * MILLISECOND)
#define MIB         UINT64_C(1048576)

/* Tags that the bench answers with OK by itself, without a line for it. */
enum { AUTO_SEND = 1, AUTO_WRITE = 2, AUTO_OPERATION = 4, AUTO_ALL = 7 };

/*
 * A tag handed out, by the name that transcripts have for it: r0 to r2 the RECV slots, s a SEND, w
 * an RDMA Write, p a probe, o an operation; numbered from 1 in order.
 */
struct bench_tag {
    char name[16];
    struct rdmig_action action;
    bool is_out;
};

struct bench {
    struct rdmig_conn *conn;
    struct rdmig_conn_config config;
    uint8_t *memory;
    uint8_t *snapshot; /* of memory, before a step */
    size_t memory_bytes;
    uint8_t *control;
    void *tables;
    uint64_t now_ns;
    unsigned int automatic;
    bool is_quiet;
    bool shows_recv; /* POST_RECV is in every drain: most transcripts do without it */
    struct bench_tag *tags;
    size_t tag_count;
    size_t tag_capacity;
    uint32_t numbers[128];                     /* by first letter of the name */
    uint64_t recv_tags[RDMIG_RECV_SLOT_COUNT]; /* posted, in order, as hardware fills them */
    uint32_t recv_count;
    char *text;
    size_t text_bytes;
    uint32_t action_counts[RDMIG_ACTION_KIND_COUNT]; /* since bench_begin() */
    struct rdmig_action last[RDMIG_ACTION_KIND_COUNT];
    struct message *message; /* scratch for the peer's messages */
    struct message *sent;    /* the last one the connection has sent */
    uint32_t held_type;      /* only of this type, if not 0 */
};

/* Without first_run_chunk_count registrations are as large at once as they may ever be. */
struct bench *bench_open(const struct rdmig_conn_config *config);
/* Cancels what is not closed, answers all tags, and fails the test unless the connection ends in
 * CLOSED. */
void bench_close(struct bench *bench);

/* A step at the bench's time, then all actions. Returns what the step returned. */
int bench_feed(struct bench *bench, struct rdmig_event event);
#define FEED(bench, name, ...)                                                                     \
    bench_feed((bench), (struct rdmig_event){.kind = RDMIG_EVENT_##name, __VA_ARGS__})

/* Answers the tag of this name. */
uint64_t bench_tag(const struct bench *bench, const char *name);
#define COMPLETE(bench, name, how, ...)                                                            \
    FEED((bench), COMPLETED, .tag = bench_tag((bench), (name)), .status = RDMIG_STATUS_##how,      \
         __VA_ARGS__)

/* A tag answered past the bench, by a test that steps by itself. */
void bench_forget(struct bench *bench, uint64_t tag);

/* A message arrives in the RECV slot that was posted first. */
int bench_receive(struct bench *bench, const struct message *message);
int bench_receive_bytes(struct bench *bench, const uint8_t *bytes, size_t length_bytes);

/* Time goes on, with a TIME_PASSED. */
void bench_pass(struct bench *bench, uint64_t duration_ns);

/* From here on the transcript counts; numbers of names start again. */
void bench_begin(struct bench *bench);
/* Compares the transcript since bench_begin() or the last comparison. */
void bench_expect_at(struct bench *bench, const char *expected, const char *file, int line);
#define EXPECT(bench, ...) bench_expect_at((bench), "" __VA_ARGS__, __FILE__, __LINE__)

/* From now on bench->sent keeps the last SEND of this type only. */
void bench_hold_sent(struct bench *bench, uint32_t message_type);
/* A word of the last message sent. */
uint32_t bench_u32_of_sent(const struct bench *bench, size_t offset_bytes);
size_t bench_tags_out(const struct bench *bench);
struct rdmig_conn_counters bench_counters(const struct bench *bench);

/* write_count RDMA Writes and send_count SENDs were posted since bench_begin(). */
void bench_expect_counts(const struct bench *bench, uint32_t write_count, uint32_t send_count);
/* The connection has failed for this reason. */
void bench_expect_failure(struct bench *bench, enum rdmig_reason reason);

/* The commonest messages of a peer. */
int bench_receive_plain(struct bench *bench, uint32_t type);

#endif
