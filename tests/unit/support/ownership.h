/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message memory has one owner at a time: what is the hardware's, or was never received, must not
 * be touched by the core. Under ASan a touch ends the test; without it these do nothing.
 */
#ifndef RDMIG_TESTS_SUPPORT_OWNERSHIP_H
#define RDMIG_TESTS_SUPPORT_OWNERSHIP_H

#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OWNERSHIP_IS_WATCHED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define OWNERSHIP_IS_WATCHED 1
#endif

#ifdef OWNERSHIP_IS_WATCHED
#include <sanitizer/asan_interface.h>
#endif

static inline void ownership_take(const uint8_t *bytes, uint64_t length_bytes)
{
#ifdef OWNERSHIP_IS_WATCHED
    ASAN_POISON_MEMORY_REGION(bytes, (size_t)length_bytes);
#else
    (void)bytes;
    (void)length_bytes;
#endif
}

static inline void ownership_give(const uint8_t *bytes, uint64_t length_bytes)
{
#ifdef OWNERSHIP_IS_WATCHED
    ASAN_UNPOISON_MEMORY_REGION(bytes, (size_t)length_bytes);
#else
    (void)bytes;
    (void)length_bytes;
#endif
}

#endif
