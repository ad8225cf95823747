/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What cannot be, whatever a peer, a driver or an application does: a fault of the core's own.
 * CORE_NEVER() is true when the condition holds, and its caller then does what is safe. A build for
 * tests stops there; any other notes the place, and conn.c fails the connection with INTERNAL
 * before anything more is handed out. A build that measures coverage leaves the condition out;
 * what only conditions ask is inline, and so left out with them.
 */
#ifndef RDMIG_CORE_NEVER_H
#define RDMIG_CORE_NEVER_H

#include <stdbool.h>

#define CORE_TEXT_OF(line)  #line
#define CORE_PLACE_OF(line) __FILE__ ":" CORE_TEXT_OF(line)
#define CORE_PLACE          CORE_PLACE_OF(__LINE__)

#define CORE_HAS_FAULT(conn) (IS_CORE_NOTING && (conn)->fault)

#if defined(RDMIG_COVERED)
#define IS_CORE_NOTING              false
#define CORE_NEVER(conn, condition) (false && (conn) && (condition))
#elif defined(RDMIG_CHECKED)
#undef NDEBUG
#include <assert.h>
#define IS_CORE_NOTING              false
#define CORE_NEVER(conn, condition) ((void)(conn), assert(!(condition)), false)
#else
#define IS_CORE_NOTING              true
#define CORE_NEVER(conn, condition) ((condition) && core_note_fault(conn, CORE_PLACE))
#endif

#endif
