/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages of another process were written, by userfaultfd write protection. */
#ifndef MINIVMM_DIRTY_UFFD_H
#define MINIVMM_DIRTY_UFFD_H

#include "machine.h"

#include <sys/types.h>

struct dirty_tracker;

/* Tracks writes of process pid to the machine's blocks, mapped there GUEST_VIRTUAL_BASE above their
 * guest-physical addresses. uffd was made by that process; the tracker owns it from here, also when
 * this fails. */
struct dirty_tracker *dirty_tracker_open(struct machine *machine, int uffd, pid_t pid,
                                         struct problem *problem);
void dirty_tracker_close(struct dirty_tracker *tracker);
int dirty_tracker_start(struct dirty_tracker *tracker, struct problem *problem);
void dirty_tracker_stop(struct dirty_tracker *tracker);
/* As tracking_collect of struct machine_backend. */
int dirty_tracker_collect(struct dirty_tracker *tracker, size_t block, uint64_t *bitmap,
                          struct problem *problem);
/* "asynchronous" or "synchronous". */
const char *dirty_tracker_mode(const struct dirty_tracker *tracker);

#endif
