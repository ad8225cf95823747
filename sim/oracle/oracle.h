/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Oracles that do not trust the core: they see what crosses the fabric and what happens to memory,
 * and know nothing of any party's state. Each breaks the world (world_break) with its name. What is
 * asked only of honest parties is not asked of hostile ones; stock has its own known faults
 * (listed in oracle.c).
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "fabric.h"

struct oracle *oracle_make(struct world *world);
void oracle_free(struct oracle *oracle);
/* A new attempt on the same guest: nothing is connected, nobody has been given anything. */
void oracle_restart(struct oracle *oracle);

/* From now on it watches the fabric, of which it knows the two ports. For each attempt. */
void oracle_watch(struct oracle *oracle, struct fabric *fabric);

/* ---- what the fabric tells: struct fabric_observer says what each is */
/* CONNECT's or ACCEPT's private data, as the end gave them. */
void oracle_private_data(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes);
/* A SEND is posted; bytes are those of the buffer then. */
void oracle_send_posted(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                        uint32_t length_bytes);
/* It arrives at the other end (before the receive completes there). */
void oracle_send_arrived(struct oracle *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes);
void oracle_write_posted(struct oracle *oracle, enum rdmig_role from,
                         const struct write_request *request);
/* The key was not good for it, or no receive was posted: the hardware broke the connection. */
void oracle_access_refused(struct oracle *oracle, enum rdmig_role from,
                           const struct write_request *request, const char *why);
void oracle_receive_missing(struct oracle *oracle, enum rdmig_role from);
/* A buffer changed (send) or was written to (receive) while the hardware had it. */
void oracle_buffer_touched(struct oracle *oracle, enum rdmig_role role, const char *which);
void oracle_queue_overrun(struct oracle *oracle, enum rdmig_role role, const char *which);
void oracle_registered(struct oracle *oracle, enum rdmig_role role, uint32_t block,
                       uint64_t offset_bytes, uint64_t length_bytes, bool is_remote_writable);
void oracle_deregistered(struct oracle *oracle, enum rdmig_role role, uint32_t block,
                         uint64_t offset_bytes, uint64_t length_bytes);

/* ---- called by parties */
void oracle_fill_started(struct oracle *oracle, uint32_t block, uint64_t offset_bytes,
                         uint64_t length_bytes);
void oracle_fill_ended(struct oracle *oracle);
/* Who owns the guest. The source gives it up when the hand-over begins to be possible to have
 * arrived; takes it back only when it knows that it has not. */
void oracle_owner_gave_up(struct oracle *oracle, enum rdmig_role role);
void oracle_owner_took(struct oracle *oracle, enum rdmig_role role);

/* ---- called by run.c, at the end of an attempt */
void oracle_check_end(struct oracle *oracle);

#endif
