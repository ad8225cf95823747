/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals. The first ^C (SIGINT, SIGTERM, SIGHUP) asks for a cancel; a second SIGINT or SIGTERM
 * ends the process at once, also while it copies or a system call hangs: so they are taken by a
 * handler, not read where the loop waits. Any wait of poll() is ended by one. What was ignored when
 * the process started stays so. A SIGBUS inside a memory block (its file was cut short, or its file
 * system or the pool of huge pages is full) is survived: the page is replaced, and the migration
 * has to be given up.
 */
#ifndef RDMIG_TOOL_SIGNALS_H
#define RDMIG_TOOL_SIGNALS_H

#include "../files/ramfile.h"

/* False with *error set. Once a process; ignores SIGPIPE and SIGXFSZ, so that writes say EPIPE and
 * EFBIG. */
bool signals_install(struct tool_error *error);

/* The signal that asked for a cancel; 0: none did. */
int signals_caught(void);

/* From now on a SIGBUS in these blocks is survived. NULL: no longer. The set must stay in place. */
void signals_watch(const struct ramfile_set *set);

/* Index of a block in which a SIGBUS was survived; -1: none. */
int64_t signals_faulted_block(void);

#endif
