/* SPDX-License-Identifier: BSD-2-Clause */
/* Results and reasons: what calls return, and why a migration failed. Under rdmig.h and core.h. */
#ifndef RDMIG_TYPES_H
#define RDMIG_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RDMIG_PROTOCOL_VERSION 1u
#define RDMIG_BLOCK_COUNT_MAX  16383u /* what one RAM_BLOCKS_RESULT holds; clause B4 */

/* What a refused call returns (negated: -RDMIG_E_AGAIN). A refused call has changed nothing. */
#define RDMIG_ERROR_MAP(X)                                                                         \
    X(AGAIN, 1, "no room at the moment: drain the actions, feed completions, then try again")      \
    X(STATE, 2, "not possible in this phase")                                                      \
    X(INVALID, 3, "an argument is outside its limits")                                             \
    X(FAILED, 4, "the migration has failed: see the failure")                                      \
    X(MEMORY, 5, "out of memory")                                                                  \
    X(SYSTEM, 6, "a system call failed: see the error's detail")
enum rdmig_result {
    RDMIG_OK = 0,
#define RDMIG_ERROR_ENUM(name, value, text) RDMIG_E_##name = value,
    RDMIG_ERROR_MAP(RDMIG_ERROR_ENUM)
#undef RDMIG_ERROR_ENUM
};

/*
 * Why a connection or a migration failed: the first cause, kept (docs/protocol.md section E). Name,
 * number, and whether the same migration may well succeed at another time with nothing changed.
 * Numbers are never given anew: later reasons take free ones of their hundred, so a program knows
 * at least what kind an unknown one is of.
 */
#define RDMIG_REASON_MAP(X)                                                                        \
    X(NONE, 0, false) /* nothing has failed */                                                     \
    /* 100: the caller */                                                                          \
    X(CANCELLED, 100, false) /* the application gave up */                                         \
    X(CALLER, 101, false) /* an argument or option is outside its limits: the detail says which */ \
    X(ROUND_FAILED, 102, false) /* the application refused a finished round; os_code: its cause */ \
    X(TIME_LIMIT, 103, true)    /* the whole migration took longer than allowed */                 \
    /* Lost between handing the guest over and hearing that it arrived. */                         \
    X(HANDOVER_UNKNOWN, 104, false)                                                                \
    /* A RAM block of the source is not at this destination, or the reverse. */                    \
    X(BLOCK_UNKNOWN, 105, false)                                                                   \
    /* More memory registered than the limit allows, or no chunk fits it. */                       \
    X(PINNED_LIMIT, 106, false)                                                                    \
    /* 200: connecting, and staying connected */                                                   \
    X(ADDRESS, 200, false)          /* the address could not be looked up or bound */              \
    X(PEER_UNREACHABLE, 201, true)  /* connecting failed; os_code: the adapter's cause */          \
    X(PEER_REJECTED, 202, true)     /* the peer refused the connection */                          \
    X(CONNECT_TIMEOUT, 203, true)   /* no connection within the time limit */                      \
    X(PEER_SILENT, 204, true)       /* no answer within the time limit */                          \
    X(PEER_DISCONNECTED, 205, true) /* the peer went away before the end */                        \
    X(CONNECTION_LOST, 206, true)   /* the queue pair failed without a completion that says why */ \
    X(PEER_ERROR, 207, false)       /* the peer sent ERROR: it gave up, and knows why */           \
    /* 300: the peer's protocol */                                                                 \
    X(PRIVATE_DATA_SHORT, 300, false) /* the peer gave fewer than 8 bytes of private data */       \
    X(PRIVATE_DATA, 301, false) /* the peer's private data makes no sense: credits (clause W11) */ \
    X(VERSION_UNSUPPORTED, 302, false) /* expected: ours; actual: the peer's */                    \
    X(MESSAGE_SHORT, 303, false)       /* shorter than a header */                                 \
    X(MESSAGE_LENGTH, 304, false)      /* 16 + len differs from the bytes received */              \
    X(MESSAGE_TYPE, 305, false)        /* unknown, or NONE */                                      \
    X(MESSAGE_UNEXPECTED, 306, false)  /* known, but not now, or not in this direction */          \
    X(MESSAGE_REPEAT, 307, false)  /* repeat above 4096, or not the number of entries asked for */ \
    X(MESSAGE_BODY, 308, false)    /* len does not fit type and repeat */                          \
    X(MESSAGE_FOREIGN, 309, false) /* no plain SEND (clause W12); os_code: the adapter's */        \
    X(CREDIT_EXCESS, 310, false)   /* a READY while one was unspent */                             \
    X(BLOCK_COUNT, 311, false)     /* the destination lists another number of blocks */            \
    X(BLOCK_LENGTH, 312, false)    /* a block has another length there */                          \
    X(BLOCK_INDEX, 313, false)     /* an entry names a block that does not exist */                \
    X(BLOCKS_REPEATED, 314, false) /* a second RAM_BLOCKS_REQUEST */                               \
    X(BLOCKS_MISSING, 315, false)  /* a command about RAM before the blocks were exchanged */      \
    X(RANGE, 316, false)           /* an entry reaches outside its block */                        \
    X(FILL_VALUE, 317, false)      /* COMPRESS with a value that is no byte */                     \
    X(REGION_CHANGED, 318, false)  /* a registered run was asked for again with another length */  \
    X(REGION_UNKNOWN, 319, false)  /* UNREGISTER for a chunk at which no region starts */          \
    X(HOST_ADDR, 320, false)       /* REGISTER_RESULT's address contradicts RAM_BLOCKS_RESULT's */ \
    X(STREAM_BROKEN, 321, false)   /* the peer's byte stream cannot be understood */               \
    X(STREAM_TRUNCATED, 322, false) /* the peer left in the middle of the byte stream */           \
    /* 400: hardware and network */                                                                \
    X(DEVICE, 400, false)     /* no usable RDMA device, or one of its objects could not be made */ \
    X(SEND_FAILED, 401, true) /* a SEND completed with an error; os_code: the adapter's cause */   \
    X(WRITE_FAILED, 402, true)     /* an RDMA Write completed with an error; likewise */           \
    X(RECV_FAILED, 403, true)      /* a RECV completed with an error; likewise */                  \
    X(REGISTER_FAILED, 404, false) /* a memory region could not be made; os_code: errno */         \
    /* 500: this host, and this library */                                                         \
    X(MEMLOCK, 500, false)     /* RLIMIT_MEMLOCK (or the cgroup) is too small */                   \
    X(MEMORY, 501, false)      /* out of memory, or of huge pages */                               \
    X(FILL_FAILED, 502, false) /* the driver could not fill a range; os_code: errno */             \
    /* A state that cannot be: a fault of rdmig, report it with the event log. */                  \
    X(INTERNAL, 503, false)
enum rdmig_reason {
#define RDMIG_REASON_ENUM(name, value, is_retryable) RDMIG_REASON_##name = value,
    RDMIG_REASON_MAP(RDMIG_REASON_ENUM)
#undef RDMIG_REASON_ENUM
};

/* What a call's result means, as a sentence, with either sign; never NULL, "unknown" for what is
 * none. The string is the library's. Any thread. */
const char *rdmig_result_text(int result);
/* "PEER_ERROR": for people, logs and reports; never NULL, "unknown" for a reason that this library
 * does not know. Any thread. */
const char *rdmig_reason_name(enum rdmig_reason reason);

/* May the same migration succeed at another time with nothing changed? False for a reason that this
 * library does not know, and for HANDOVER_UNKNOWN: first find out who owns the guest. Any thread.
 */
bool rdmig_reason_is_retryable(enum rdmig_reason reason);

#ifdef __cplusplus
}
#endif
#endif
