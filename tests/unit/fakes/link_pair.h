/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pair of links without hardware, for tests of the handles above them: link.h carried out in
 * memory, both ends in one process, on a clock of the test's. It checks what hardware would: a SEND
 * finds a posted RECV, a write lies in a live region of the destination under the right key.
 */
#ifndef TEST_LINK_PAIR_H
#define TEST_LINK_PAIR_H

#include "verbs/link.h"

/* Forgets all that was before; the clock starts at one second. */
void pair_reset(void);
void pair_advance_ns(uint64_t passed_ns);

/* What has crossed so far. */
struct pair_counts {
    uint64_t write_count;
    uint64_t write_bytes;
    uint64_t message_counts[RDMIG_MESSAGE_TYPE_COUNT];
    uint32_t live_link_count;
};
const struct pair_counts *pair_counts(void);

/* From now on nothing of this end reaches the other, and the other hears that it has gone (or
 * nothing, if silent). */
void pair_kill(enum rdmig_role role, bool is_silent);
/* The next REGISTER of this end fails with this errno. */
void pair_fail_register(enum rdmig_role role, int os_code);
/* Can nothing of the peer's reach this end's RAM any more? */
bool pair_is_remote_write_revoked(enum rdmig_role role);
/* After message_count more messages of this end, it is killed (not silently). */
void pair_kill_after_messages(enum rdmig_role role, uint64_t message_count);
/* What rdmig_memlock_limit_bytes() says from now on, until pair_reset(); none without it. */
void pair_set_memlock(uint64_t limit_bytes);
/* The next link_create fails. */
void pair_fail_create(void);
/* This end's link has failed, of reason DEVICE, when its blocks are provided. */
void pair_fail_provide(enum rdmig_role role);
/* Something has come for this end: its descriptor is readable until it processes. */
void pair_signal(enum rdmig_role role);
/* The source's requests come without PIPELINE: the destination is like a QEMU, which knows none. */
void pair_hide_pipeline(void);
/* The next link_create takes so long. */
void pair_slow_create(uint64_t passed_ns);

#endif
