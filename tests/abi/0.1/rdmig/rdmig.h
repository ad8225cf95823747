/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig: moves a running virtual machine to another host over RDMA, speaking QEMU's RDMA migration
 * protocol, version 1.
 *
 * A VMM makes a source handle where the guest runs and a destination handle where it will run.
 * Each handle has one descriptor to poll and one function to call when it is readable; that
 * function never blocks. There is no thread and no global state, and no callback but for a trace
 * that is switched on. A caller with its own thread uses the _wait functions instead.
 *
 * Source: the order of calls
 *
 *   state              what the VMM does
 *   -----              -----------------
 *                      rdmig_source_create(): connects in the background
 *   CONNECTING         poll the descriptor, rdmig_source_process()
 *   IDLE               fetch the dirty log, rdmig_source_mark_dirty(), rdmig_source_converged()?
 *                        no:  rdmig_source_start_round()
 *                        yes: stop the guest, rdmig_source_guest_stopped(); mark the last log,
 *                             rdmig_source_start_round(); when IDLE again
 *                             rdmig_source_stream_write() the device state, rdmig_source_finish()
 *   SENDING            poll, process, until IDLE
 *   FINISHING          poll, process: the outcome comes by itself
 *   COMPLETED          the destination owns the guest: rdmig_source_destroy()
 *   CANCELLING         poll, process
 *   FAILED, CANCELLED  the source owns the guest and lets it run, but for HANDOVER_UNKNOWN, below;
 *                      rdmig_source_error(), rdmig_source_destroy()
 *
 * Destination: the order of calls
 *
 *   state              what the VMM does
 *   -----              -----------------
 *                      rdmig_destination_create(): listens
 *   any                poll the descriptor, rdmig_destination_process(), and
 *                      rdmig_destination_stream_read() what has come
 *   BLOCKS_NEEDED      (created without blocks) rdmig_destination_announced(), allocate,
 *                      rdmig_destination_provide_blocks()
 *   ROUND_ENDED        (options.report_rounds) rdmig_destination_resume()
 *   PREPARED           all is here: read the rest of the stream, load the device state, then
 *                      rdmig_destination_confirm(), or rdmig_destination_cancel()
 *   CONFIRMING         poll, process: the outcome comes by itself
 *   COMPLETED          this end owns the guest: run it; poll and process on until
 *                      rdmig_destination_is_closed(); rdmig_destination_destroy()
 *   CANCELLING         poll, process
 *   FAILED, CANCELLED  it does not: throw the memory away; rdmig_destination_error(),
 *                      rdmig_destination_destroy()
 *
 * Who owns the guest: exactly one end. The source gives it up at the moment its last message has
 * been delivered, which it sends only after the destination has confirmed; the destination owns it
 * when that message arrives (clause S8). Should the connection die between these two moments, the
 * source fails with HANDOVER_UNKNOWN: it must not run the guest before a person (or a fencing
 * agent) has made sure that the destination does not.
 *
 * Memory: guest RAM stays the caller's. From create until destroy it must stay mapped at the same
 * place: the hardware reads it (source) or writes it (destination). Strings and lists given to
 * create are copied. Memory that is registered stays so until destroy, which takes 8 ms and more a
 * GiB: neither end's COMPLETED waits for it (over iWARP the destination's does), so run the guest
 * first. What a source does can change the destination's RAM until COMPLETED is reported there, and
 * never afterwards (clause R9): a source that does not keep to the protocol, or is not what it
 * seems, reaches no running guest.
 *
 * What a RAM block must be: mapped from end to end and readable at a source, writable, too, at a
 * destination (create refuses it by its name otherwise, where /proc/self/maps can be read); of
 * whole pages of 4096 bytes; no other block's, not even in part; anonymous memory, a memfd, tmpfs
 * or hugetlbfs, since the kernel pins no mapping of an ordinary file.
 * Dirty bits are for pages of 4096 bytes whatever the host's page is: a VMM whose log has one bit
 * for 64 KiB sets 16 bits here for each, or 15 in 16 are lost.
 *
 * What a VMM may not do to it between create and destroy, at either end:
 * - Give pages back, or have other pages put in their place: no balloon that inflates, no free page
 *   reporting, no virtio-mem unplug, no MADV_DONTNEED, MADV_REMOVE or MADV_FREE, no PUNCH_HOLE, no
 *   mapping over it, of memory that a round has covered. The device goes on reading or writing the
 *   page that it has pinned, which is no longer the guest's: both ends say COMPLETED, and the guest
 *   is corrupted without a word. Marking the pages dirty does not help. Until the library has a
 *   call for it: hold such requests back from create on (a balloon's driver waits; free page
 *   reporting may be answered without discarding), or cancel the migration.
 * - fork() without ibv_fork_init() on kernels before 5.12: the parent's next write to a pinned page
 *   goes to a copy, the device keeps the old one. With ibv_fork_init() or RDMAV_FORK_SAFE each
 *   region may split a mapping, until vm.max_map_count is used up, and regions that end inside a
 *   huge page are refused (EINVAL): prefer a newer kernel.
 * - Write-protect it with userfaultfd: it cannot be registered then. Track writes otherwise.
 * - Take rights away (mprotect), or cut the file it is of.
 *
 * Registering makes the pages of a chunk: regions are of whole chunks of 1 MiB, so one page in use
 * makes a chunk's other 255 resident, at both ends, and deregistering frees none of them. A guest
 * that uses one page here and there may grow to its full size by a migration, the source's memory
 * cgroup included, where nothing but the limit of the cgroup ends it: give cgroups room for all of
 * the guest's RAM.
 *
 * Pinned memory: the hardware reaches pinned memory only. Each end keeps what it has pinned within
 * a limit (options.pinned_limit_bytes; by default what the system allows), and the source keeps
 * within the lower of both: it evicts regions that were not used for longest before it asks for
 * others, with a stock QEMU as the destination, too (clause R13). Pin-all that does not fit the
 * limit goes on as dynamic registration; rdmig_progress.pin_all_refusal says so. One thing is
 * beyond it: a stock QEMU as the source evicts nothing, so a destination needs room for all of its
 * RAM.
 *
 * Pages that the host has never allocated are zero: they are neither read nor written, and stay
 * unallocated at both ends but for the rest of their chunk (above), in private anonymous memory, in
 * shared memory of a tmpfs (memfd), and in hugetlbfs. That needs /proc, and for shared memory read
 * access to the file by a descriptor that the process holds, or the right to open
 * /proc/self/map_files; without, all memory is read. Memory whose missing pages a userfaultfd
 * handler supplies is read; register it before create.
 *
 * Threads: a handle may be used by one thread at a time, no matter which; different handles are
 * independent. Functions without a handle may be called by any thread at any time.
 *
 * Results: 0 or a count on success; a negated enum rdmig_result otherwise (rdmig_result_text()
 * names it). A call that returned -RDMIG_E_STATE, -AGAIN or -INVALID has changed nothing. A call
 * that takes an error fills it whenever it fails. What is the caller's own mistake (a bad list, an
 * option outside its limits) is -INVALID with reason CALLER, and the detail names it: correct the
 * program. Reason INTERNAL is a fault of the library, and of nobody else. A migration that fails
 * says so by its state, whatever the call returned in which it did; the error of the handle has the
 * cause. Pointers to handles, and those marked out, must not be NULL.
 *
 * Structs that carry their size, in a member struct_bytes or in a parameter beside them, may get
 * more members at their end in later versions; others do not change. Clauses: docs/protocol.md.
 */
#ifndef RDMIG_RDMIG_H
#define RDMIG_RDMIG_H

#include <rdmig/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RDMIG_VERSION_MAJOR 0
#define RDMIG_VERSION_MINOR 1
#define RDMIG_VERSION_PATCH 0

#define RDMIG_PAGE_BYTES 4096u /* the unit of dirty bitmaps, as KVM has it on x86-64 */

/* "0.1.0": of the library that is linked, not of the header. The string is the library's. */
const char *rdmig_version(void);

/*
 * What went wrong, for a person: one line of UTF-8 each, that does nothing to a terminal, whatever
 * bytes a peer has sent or a name holds: line feeds and the like stand there as \n or \x1b, and a
 * name that takes more than 159 bytes so is cut and ends in "...".
 */
struct rdmig_error {
    enum rdmig_reason reason; /* RDMIG_REASON_NONE: nothing */
    int32_t os_code;          /* errno or completion status; 0: none */
    char detail[320];         /* what happened, with names and numbers */
    char remedy[320];         /* what to do about it */
};

/* A RAM block. "What a RAM block must be", above, says more. */
struct rdmig_ram_block {
    const char *name;      /* 1 to 255 bytes, terminated by 0; each block has its own */
    void *host_addr;       /* of this process; a multiple of 4096 */
    uint64_t length_bytes; /* a multiple of 4096, not 0 */
};

enum rdmig_stream_format {
    /* Between two rdmig ends: the library frames block names, state bytes and hand-over. */
    RDMIG_STREAM_NATIVE,
    /* The caller's stream is QEMU's own, hooks and all, and goes over the wire as it is. */
    RDMIG_STREAM_QEMU
};

/*
 * What a handle is to do. Members left at 0 mean what stands in brackets. Limits of time are in
 * milliseconds: 0 means the default, UINT32_MAX no limit. Read during create only.
 */
struct rdmig_options {
    /* sizeof(struct rdmig_options), as the caller was compiled. Any from the first release's on is
     * taken: what a shorter one lacks is 0, what the library is too old for must be 0. */
    size_t struct_bytes;
    /* Source. A destination finds out by itself: rdmig_destination_is_qemu_stream(). */
    enum rdmig_stream_format stream_format;
    /* Source: ask for all RAM to be registered at the start. rdmig_progress.pin_all has what came
     * of it. */
    bool pin_all;
    /* Destination: answer a request for pin-all with dynamic registration. */
    bool refuse_pin_all;
    /* Destination: stop in state ROUND_ENDED after each round until rdmig_destination_resume(). */
    bool report_rounds;
    /* Lets the device write guest RAM (destination) or read it (source) in any order, which is
     * faster on some hosts. Each end for itself; what refuses or ignores it does without, and
     * rdmig_progress.relaxed_ordering says so. A VMM that pushes ranges must not push a page twice
     * in a round then (docs/decisions/008). */
    bool relaxed_ordering;
    /* Registers guest RAM for on-demand paging instead of pinning it, where the device can do that
     * for RDMA Writes: no memory is locked and RLIMIT_MEMLOCK is no limit, but pages are slower at
     * their first use. Each end for itself; otherwise memory is pinned, and
     * rdmig_progress.on_demand_paging says so. */
    bool on_demand_paging;
    /* Source: chunks of 1 MiB in one registration, at most; up to 32768 [64]. */
    uint32_t run_chunk_count;
    /* Source: runs in one REGISTER_REQUEST, at most; up to 64 [1]. Between our own ends 64. */
    uint32_t register_batch_count;
    /* Source: rdmig_source_converged() when the rest can be sent in this time [300]. UINT32_MAX:
     * whatever the rest is. */
    uint32_t downtime_target_ms;
    /* Source: cap on RAM and stream; 2^56 and more: no cap [no cap]. */
    uint64_t bandwidth_bytes_per_s;
    /* From the connection until the hand-over begins; FAILED with TIME_LIMIT then [no limit]. */
    uint32_t time_limit_ms;
    /* Source: all addresses together. Destination: from accepting until established [20000]. */
    uint32_t connect_timeout_ms;
    /* For any answer or completion, the destination's confirm() included [60000]. On top come 4 s
     * for each GiB that the peer has to pin or fill before it answers, pin-all's whole guest among
     * them, and of all RAM at a round's end (clause E14). A host that has died is found sooner, by
     * the probe; a process that hangs while its host lives is not: cancel when that takes too
     * long. */
    uint32_t reply_timeout_ms;
    /* Silence after which the peer's hardware is asked whether it lives [5000]. */
    uint32_t probe_interval_ms;
    /* Destination: silence after which the source is given up [no limit]. On top come 4.2 s for
     * each GiB of all RAM (clause E14), since a source that pins or writes says nothing: where it
     * writes slower than that (a cap, a slow link), add the time that all RAM takes. */
    uint32_t idle_timeout_ms;
    /* Bytes that may be pinned at a time, control memory (some 6 MiB) included, UINT64_MAX: no
     * limit [rdmig_pinned_limit_bytes()]. RLIMIT_MEMLOCK counts in any case, unless UINT64_MAX is
     * given: then the migration fails (MEMLOCK) where it is reached. Several handles in one process
     * share what the system allows: give each its part. */
    uint64_t pinned_limit_bytes;
};

/* Why there is no pin-all although it was asked for. */
enum rdmig_pin_all_refusal {
    RDMIG_PIN_ALL_NOT_REFUSED,       /* it was not asked for, or it was granted */
    RDMIG_PIN_ALL_REFUSED_BY_LIMIT,  /* all RAM is more than this end's limit on pinned memory */
    RDMIG_PIN_ALL_REFUSED_BY_OPTION, /* destination: options.refuse_pin_all */
    RDMIG_PIN_ALL_REFUSED_BY_PEER    /* source: the destination refused; its own log says why */
};

/*
 * Numbers of a migration so far; later versions add members at the end. What one end does not count
 * is 0 there. Times are in nanoseconds. The command's JSON report has the same names, with times in
 * milliseconds.
 */
struct rdmig_progress {
    uint64_t bytes_total;      /* sum of the blocks' lengths; 0 before they are known */
    uint64_t bytes_dirty;      /* source: still to be sent */
    uint64_t bytes_written;    /* source: by RDMA Writes */
    uint64_t bytes_zero;       /* by COMPRESS */
    uint64_t bytes_stream;     /* of the byte stream as it went over the wire */
    uint64_t rounds;           /* REGISTER_FINISHED sent or received */
    uint64_t control_messages; /* sent and received */
    uint64_t control_bytes;    /* in them, headers and the stream included */
    uint64_t round_trips;      /* source: waits for an answer or READY */
    uint64_t registrations;    /* memory regions made for RAM */
    /* Registered now, control memory included; not what is paged on demand. */
    uint64_t pinned_bytes;
    uint64_t pinned_peak_bytes;  /* the most that pinned_bytes has been */
    uint64_t pinned_limit_bytes; /* that this end keeps to; UINT64_MAX: no limit */
    /* From create (source) or the request (destination) until the blocks were exchanged. */
    uint64_t setup_ns;
    /* From there until now or the end; source: until all of the guest had arrived. */
    uint64_t total_ns;
    /* Source: from rdmig_source_guest_stopped() until then. Destination: from the last round's end
     * until this end owned the guest. */
    uint64_t downtime_ns;
    /* Source, of the last round that covered 1 MiB: RAM covered, zeros and holes included. */
    uint64_t throughput_bytes_per_s;
    /* Source: RDMA Writes, by the time in which data was queued or on its way; at most the cap.
     * 0: not known yet. */
    uint64_t data_bytes_per_s;
    bool pin_all; /* both ends have agreed on it */
    /* It was asked for, and nothing has refused it so far. A device may still ignore it. */
    bool relaxed_ordering;
    /* It was asked for, the device has it, and nothing has refused it so far. */
    bool on_demand_paging;
    /* A source knows from create on when its own limit is the cause, otherwise from the connection
     * on. */
    enum rdmig_pin_all_refusal pin_all_refusal;
};

/*
 * What a trace tells of; several together by |. The lines of STATES are some dozens a migration,
 * those of MESSAGES some a round and a few for each 64 MiB that are registered, those of REGIONS
 * two for each registration, and those of WORK several for each 4 MiB written.
 */
enum rdmig_trace_kind {
    /* States, the connection, requests of the caller and their ends, failures. */
    RDMIG_TRACE_STATES = 0x1,
    /* Control messages sent and received: type, entries, length. */
    RDMIG_TRACE_MESSAGES = 0x2,
    /* Memory regions made and given back. */
    RDMIG_TRACE_REGIONS = 0x4,
    /* Ranges, RDMA Writes, receives, completions, bytes of the stream. */
    RDMIG_TRACE_WORK = 0x8
};

/*
 * Takes one line of a trace: text of one line without its end, which does nothing to a terminal,
 * terminated by 0, the library's until the function returns. It begins with the time in nanoseconds
 * (CLOCK_MONOTONIC) and a space; what follows is for people and may change from version to version.
 * It is called inside calls on the handle, in the thread that makes them. It must not call anything
 * on that handle, and what it takes is time of the migration: a slow disk is no place for WORK.
 */
typedef void (*rdmig_trace_line)(void *opaque, const char *line);

/* ------------------------------------------------------------------------------------------------
 * source */

enum rdmig_source_state {
    RDMIG_SOURCE_CONNECTING, /* addresses, connection, block exchange (native) */
    RDMIG_SOURCE_IDLE,       /* ready for the next round, stream bytes, finish */
    RDMIG_SOURCE_SENDING,    /* a round is running */
    /* rdmig_source_finish() was called; the destination is confirming (native), or loading the
     * guest (QEMU). */
    RDMIG_SOURCE_FINISHING,
    RDMIG_SOURCE_CANCELLING, /* saying goodbye; the guest is and stays the source's */
    RDMIG_SOURCE_COMPLETED,  /* the destination owns the guest */
    RDMIG_SOURCE_FAILED,     /* the source owns the guest, but see HANDOVER_UNKNOWN */
    RDMIG_SOURCE_CANCELLED   /* the source owns the guest */
};

/* A handle; only the library knows its inside. */
struct rdmig_source;

/*
 * Makes a source that connects to host:service, trying every address the name has. All pages of all
 * blocks start out dirty. Strings, list and options are copied; options may be NULL, the memory of
 * the blocks stays the caller's (see the top). Any thread.
 *
 * Looks the name up before it returns (numeric addresses never block); everything after that is
 * asynchronous. The first call of a process that uses RDMA loads the drivers, some tenths of a
 * second at worst: a VMM calls rdmig_devices_list() at its own start to have that behind it.
 *
 * Returns 0, and *out is the caller's until rdmig_source_destroy(). On failure *out is NULL and
 * *error (may be NULL) has the reason:
 *
 *   -INVALID  CALLER: a bad host, block list or option; correct the call
 *             PINNED_LIMIT: control memory and one chunk of RAM are more than the option allows;
 *             the error has the numbers: raise it
 *   -SYSTEM   MEMLOCK: likewise, but for what the system allows: raise RLIMIT_MEMLOCK, or the
 *             memory cgroup's limit
 *             ADDRESS: the name cannot be looked up; DEVICE: RDMA cannot be used here; MEMORY: no
 *             descriptor can be made. See the remedy
 *   -MEMORY   MEMORY: free some, try again
 */
int rdmig_source_create(struct rdmig_source **out, const char *host, const char *service,
                        const struct rdmig_ram_block *blocks, uint32_t block_count,
                        const struct rdmig_options *options, struct rdmig_error *error);

/*
 * The descriptor to poll for reading (poll, select, epoll); the same from create to destroy, and
 * the library's: do not read or close it.
 */
int rdmig_source_fd(const struct rdmig_source *source);

/*
 * Does what there is to do and returns; never waits for the peer. Call it when the descriptor is
 * readable; harmless at any time. Returns 0; what has come of it shows in the state. It works,
 * though: pinning memory takes the kernel some 40 ms a GiB of 4 KiB pages that were touched, and
 * 200 ms of such as were not, in one piece for a run of chunks (5 ms at 64 MiB) and, with pin_all,
 * for a whole block, which no call can cut. After 5 ms of it a call begins no further piece: it
 * returns with the descriptor readable. Looking for zeros and filling go in pieces of 64 MiB a
 * call.
 */
int rdmig_source_process(struct rdmig_source *source);

/*
 * For a caller with its own thread: polls and processes until the state is another than `state`, or
 * timeout_ms (UINT32_MAX: no limit) have passed. Returns 0: look at the state; -AGAIN: the time is
 * over; -SYSTEM: a signal has interrupted it, look what it was for and call again; -STATE, at once:
 * the state will not change any more (rdmig_source_is_closed()).
 */
int rdmig_source_wait(struct rdmig_source *source, enum rdmig_source_state state,
                      uint32_t timeout_ms);

/* What the source is at; the table at the top says what to do in each. */
enum rdmig_source_state rdmig_source_state(const struct rdmig_source *source);
/* "IDLE": for people and logs; never NULL, "unknown" outside the enum. Any thread. */
const char *rdmig_source_state_name(enum rdmig_source_state state);

/* Who may run the guest, as far as one end can know it. */
enum rdmig_ownership {
    RDMIG_GUEST_NOT_OWNED, /* the other end owns it: never run it here */
    RDMIG_GUEST_OWNED,     /* this end does */
    RDMIG_GUEST_UNKNOWN    /* the other end may: do not run it before somebody has looked there */
};

/*
 * Does the source own the guest now? Answered in every state, for VMMs that decide in one place
 * whether the guest may run: OWNED until the end of the stream begins to leave, UNKNOWN while it is
 * on its way (state FINISHING) and after a failure with HANDOVER_UNKNOWN, NOT_OWNED in state
 * COMPLETED. In FINISHING the next call on the handle may change it; in FAILED, CANCELLED and
 * COMPLETED it stays as it is (clause S8).
 */
enum rdmig_ownership rdmig_source_owns_guest(const struct rdmig_source *source);

/*
 * From now on tells write_line what the source does, the kinds of enum rdmig_trace_kind that are
 * asked for; opaque is handed through. The state comes first, as it is. In any state, any number of
 * times; kinds 0 (write_line may be NULL then) switches it off, which is how a handle starts.
 * Called right after create it misses nothing but the lookup of the name. Returns 0; -INVALID for
 * kinds that this version does not know, or no write_line.
 */
int rdmig_source_set_trace(struct rdmig_source *source, uint32_t kinds, rdmig_trace_line write_line,
                           void *opaque);

/*
 * Marks pages dirty that a dirty log reports: bit i%64 of words[i/64] is page first_page + i of the
 * block, as in KVM_GET_DIRTY_LOG. first_page must be a multiple of 64; words holds (page_count +
 * 63) / 64 words, read during the call; words may be NULL with page_count 0. The guest's log must
 * have been cleared before the call returns from KVM, so that later writes show up in the next one.
 * During a round the marks count for the next one unless the round has yet to come to them.
 *
 * Returns 0; -STATE from finish() on, since no round would send the pages any more: stop tracking,
 * or cancel if the guest has written all the same; -INVALID for pages that are not all in the
 * block, no such block, or a first_page between words: correct the call.
 */
int rdmig_source_mark_dirty(struct rdmig_source *source, uint32_t block_index,
                            const uint64_t *words, uint64_t first_page, uint64_t page_count);
/* The same for one range of bytes inside the block, not empty, rounded outwards to pages. Returns
 * as rdmig_source_mark_dirty() does. */
int rdmig_source_mark_range(struct rdmig_source *source, uint32_t block_index,
                            uint64_t offset_bytes, uint64_t length_bytes);

/*
 * What the range holds the guest does not need, and says so before it is sent for the first time:
 * free page hints, or what is in its balloon already when the migration begins. The whole pages in
 * it, no others, are not dirty any more, so they are not sent until they are marked dirty again;
 * what is on its way already still goes. The call says nothing else: the memory stays the guest's,
 * and may not be given back to the host (see "What a VMM may not do" above): a page that is
 * discarded after a round has covered its chunk and then used again arrives wrong, marked dirty or
 * not. What these pages hold at the destination is unspecified: zeros, or what was sent before, or
 * what was in the memory that was given to it (give zeroed memory, or a tenant may see another's).
 *
 * The guest may use the page again: a later write must be marked dirty after this call, or the
 * destination never gets it. So, with the dirty log switched on: take the hints that have come
 * since the last dirty log was fetched, then fetch the dirty log, then call this for the hints,
 * then mark_dirty() for the log. A hint from before the last log must be dropped: the page may
 * have been written, and marked, since. Not for guests that expect freed memory to keep a pattern
 * (page poisoning).
 *
 * Returns 0, also when no whole page is in the range; -STATE from COMPLETED or CANCELLING on;
 * -INVALID for a range that is empty or not inside the block: correct the call.
 */
int rdmig_source_mark_free(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                           uint64_t length_bytes);

/*
 * State IDLE, blocks exchanged: sends every dirty page (zero pages as COMPRESS), then ends the
 * round (clauses R5, C10); state SENDING until then. In a QEMU stream the caller has written the
 * hook before (clause S5). Returns 0; -STATE otherwise: nothing was begun.
 */
int rdmig_source_start_round(struct rdmig_source *source);

/*
 * The other way to run a round, for VMMs that walk pages themselves: begin, push ranges as they
 * come, end. State IDLE, blocks exchanged; SENDING until the round has ended. Returns 0; -STATE
 * otherwise.
 */
int rdmig_source_begin_round(struct rdmig_source *source);
/*
 * A range of bytes of the block, not empty: it is sent, and no longer dirty. The memory is read
 * until the round has ended: what the guest writes meanwhile must come again. Returns 0; -AGAIN: no
 * room, poll and process until it fits; -STATE: no round was begun, or it has ended or failed: see
 * the state; -INVALID for a range that is not inside the block: correct the call.
 */
int rdmig_source_push(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                      uint64_t length_bytes);
/* No more ranges: IDLE when all of them are written (clause C10). Returns 0; -STATE: no round was
 * begun, or it has failed. */
int rdmig_source_end_round(struct rdmig_source *source);

/*
 * State IDLE: adds bytes to the stream, in any portions; copied during the call. They arrive in
 * order; nothing is framed in a QEMU stream, the destination sees a plain byte sequence (clauses
 * S1, S2). Returns how many were taken, which may be fewer: 0: none at the moment, poll, process,
 * try again; -STATE in another state: wait for IDLE, which does not come after COMPLETED; -FAILED
 * from CANCELLING on, when it has failed; -INVALID for no bytes with a length.
 */
int64_t rdmig_source_stream_write(struct rdmig_source *source, const void *bytes,
                                  uint64_t length_bytes);

/*
 * QEMU stream, state IDLE: waits until the destination has sent READY for all that was written
 * (clause C2), which a stock QEMU does when it has used the bytes up and wants more; state SENDING
 * until then, IDLE after. A destination that wants nothing more never says so: keep the end of the
 * stream back, or the reply time limit fails the migration (PEER_SILENT). Returns 0; -STATE in
 * another state, or with a native stream.
 */
int rdmig_source_stream_flush(struct rdmig_source *source);

/*
 * QEMU stream, state IDLE, once, after the first hook has been written: sends RAM_BLOCKS_REQUEST
 * (clauses B1, S5). State CONNECTING until it is answered, IDLE after. Returns 0; -STATE otherwise.
 */
int rdmig_source_exchange_blocks(struct rdmig_source *source);

/*
 * Nanoseconds that sending what is marked dirty now would take, all of it taken for data, at
 * rdmig_progress.data_bytes_per_s. 0: nothing is dirty. UINT64_MAX: no data was written yet, or
 * longer than 292 years. The device state is not in it. Counts the bits of all blocks: 32 MiB of
 * them are read for a guest of 1 TiB.
 */
uint64_t rdmig_source_downtime_estimate_ns(const struct rdmig_source *source);

/*
 * Should the guest be stopped now? True in state IDLE when a round has ended, the dirty log was
 * handed in since, and the estimate is at most options.downtime_target_ms (UINT32_MAX: any estimate
 * will do). So the order is: fetch the log, mark, ask, and stop the guest or start another round:
 * what the guest has written since the log was fetched is in no estimate.
 *
 * A log is handed in by any call of _mark_dirty() or _mark_range() after the round has ended, with
 * or without a bit set: with several blocks ask after the last of them. A VMM that finds nothing to
 * mark says so by rdmig_source_mark_dirty() with page_count 0. Ranges that are pushed are no log.
 * In any other state false: a round that has failed has converged to nothing.
 */
bool rdmig_source_converged(const struct rdmig_source *source);

/*
 * The guest has just been stopped: the downtime is counted from here, from the last call if there
 * are several. Returns 0; -STATE from the moment on in which the hand-over is on its way, and at an
 * end.
 */
int rdmig_source_guest_stopped(struct rdmig_source *source);

/*
 * State IDLE, nothing dirty, the guest stopped and all of its state written: hand the guest over
 * (clause S8). State FINISHING, then COMPLETED, or FAILED. QEMU stream: not before the QEMU there
 * has left, which it does when it has loaded the guest or has given up (clause E13), or the reply
 * limit and 4.2 s a GiB have passed; FAILED with HANDOVER_UNKNOWN when it says ERROR. One that
 * exits because it cannot load a device looks like one that is done: write the state,
 * _stream_flush(), then rdmig_source_finish_with() the end mark, and it fails the migration before
 * the hand-over. An end mark of a QEMU's stream that was written by _stream_write() may leave
 * before this call, while the state still says that the guest is this end's: use _finish_with().
 * Returns 0; -STATE otherwise: send what is dirty first.
 */
int rdmig_source_finish(struct rdmig_source *source);

/*
 * The same for a QEMU's stream, with its last bytes: from the end mark (QEMU_VM_EOF) on, since the
 * QEMU there runs the guest when it reads that, however much follows. They are copied during the
 * call, any number of them, and none leaves before it: so the guest is this end's until then, and
 * from then on a loss fails with HANDOVER_UNKNOWN, as soon as one of these bytes was posted (clause
 * S8). Everything that was written before goes first. State FINISHING, as for
 * rdmig_source_finish(), which it stands for.
 *
 * Returns 0; -STATE in another state, with a native stream, or while memory is dirty: send it
 * first; -INVALID for no bytes; -MEMORY: none for the copy; the guest is this end's still: free
 * some and call again, or cancel.
 */
int rdmig_source_finish_with(struct rdmig_source *source, const void *bytes, uint64_t length_bytes);

/*
 * Gives up, in any state: CANCELLED follows within the close time limit (2 s), and the guest is the
 * source's (clause E10). Returns 0, also when it has failed already: the state tells; -STATE once
 * the hand-over is on its way, or done: it can't be taken back, and the outcome comes by itself.
 */
int rdmig_source_cancel(struct rdmig_source *source);

/* The cause, from CANCELLING or FAILED on; reason NONE before. Never NULL; the library's, until
 * destroy. */
const struct rdmig_error *rdmig_source_error(const struct rdmig_source *source);

/*
 * Fills *out with the numbers so far, at any time; out_bytes is sizeof(struct rdmig_progress) as
 * the caller was compiled. Of a later version's struct an older library leaves the end 0, of an
 * earlier one's a newer library fills what the struct has. Counts dirty bits, as the estimate does.
 */
void rdmig_source_progress(const struct rdmig_source *source, struct rdmig_progress *out,
                           size_t out_bytes);

/*
 * True when the migration has ended and its connection is closed: the state is final, nothing more
 * comes, destroy() costs nobody anything. FAILED and CANCELLED are closed when they are reported;
 * COMPLETED is closed a little later, within twice the close time limit (2 s each), while the
 * handle is processed as before.
 */
bool rdmig_source_is_closed(const struct rdmig_source *source);

/*
 * For a caller with its own thread: processes until it is closed, at most timeout_ms (UINT32_MAX:
 * no limit); no signal shortens it. State COMPLETED, CANCELLING, FAILED or CANCELLED. Returns 0;
 * -AGAIN when the time is over: destroy, or wait on; -STATE in another state, at once.
 */
int rdmig_source_wait_closed(struct rdmig_source *source, uint32_t timeout_ms);

/*
 * Frees everything, in any state, and never waits for the peer: takes the guest's memory out of the
 * hardware's reach, and its registrations apart (8 ms and more a GiB). NULL is fine. The handle,
 * and what its questions returned, is gone. What that costs before rdmig_source_is_closed():
 *
 *   CONNECTING, IDLE,  nothing of the guest, which is this end's. The destination sees a lost
 *   SENDING            connection instead of ERROR, and throws its part away
 *   FINISHING          certainty: the destination may own the guest, or come to. As with
 *                      HANDOVER_UNKNOWN, do not run it before somebody has looked there. A QEMU
 *                      that still loads it may crash of it. Wait for the outcome instead: it comes
 *                      within the reply limit
 *   CANCELLING         nothing of the guest, which is this end's. The destination may not hear why
 *   COMPLETED          nothing: the destination has all, and knows it
 */
void rdmig_source_destroy(struct rdmig_source *source);

/* ------------------------------------------------------------------------------------------------
 * destination */

enum rdmig_destination_state {
    RDMIG_DESTINATION_LISTENING,
    RDMIG_DESTINATION_CONNECTED, /* a source has connected; its blocks are not known yet */
    /* They are: rdmig_destination_announced(), then rdmig_destination_provide_blocks(). */
    RDMIG_DESTINATION_BLOCKS_NEEDED,
    RDMIG_DESTINATION_RECEIVING,
    RDMIG_DESTINATION_ROUND_ENDED, /* options.report_rounds: look, then _resume() */
    /* Native: all is here, waiting for _confirm(); a source could still write. QEMU stream: the
     * source has left in order, and can write no more; read the rest, judge the stream's end, then
     * _confirm() or _cancel(). */
    RDMIG_DESTINATION_PREPARED,
    RDMIG_DESTINATION_CONFIRMING, /* the source has been told, and hands over */
    RDMIG_DESTINATION_CANCELLING, /* saying goodbye; the guest is and stays the source's */
    RDMIG_DESTINATION_COMPLETED,  /* this end owns the guest, nobody else reaches its RAM: run it */
    RDMIG_DESTINATION_FAILED,     /* the source owns the guest */
    RDMIG_DESTINATION_CANCELLED   /* the source owns the guest */
};

/* A handle; only the library knows its inside. */
struct rdmig_destination;

/*
 * Makes a destination that listens on host:service, and takes one migration. host NULL or "": every
 * address; service NULL or "0": the kernel chooses the port, rdmig_destination_port(). blocks:
 * matched by name with the source's, in any order; each must be there with the same length.
 * block_count 0: the source's list is announced in state BLOCKS_NEEDED. Strings, list and options
 * are copied; options may be NULL, the memory of the blocks stays the caller's (see the top). Any
 * thread.
 *
 * Looks the name up before it returns, and loads the drivers, as rdmig_source_create() does.
 * Returns 0, and *out is the caller's until rdmig_destination_destroy(). On failure *out is NULL
 * and *error (may be NULL) has the reason:
 *
 *   -INVALID  CALLER: a bad host, block list or option; correct the call
 *             PINNED_LIMIT: control memory and one chunk of RAM are more than the option allows;
 *             the error has the numbers: raise it
 *   -SYSTEM   MEMLOCK: likewise, but for what the system allows: raise RLIMIT_MEMLOCK, or the
 *             memory cgroup's limit
 *             ADDRESS: the name cannot be looked up, or nothing can listen there: another program
 *             does, or no RDMA device of this host has the address; DEVICE: RDMA cannot be used
 *             here; MEMORY: no descriptor can be made. See the remedy
 *   -MEMORY   MEMORY: free some, try again
 */
int rdmig_destination_create(struct rdmig_destination **out, const char *host, const char *service,
                             const struct rdmig_ram_block *blocks, uint32_t block_count,
                             const struct rdmig_options *options, struct rdmig_error *error);

/*
 * The descriptor to poll for reading (poll, select, epoll); the same from create to destroy, and
 * the library's: do not read or close it.
 */
int rdmig_destination_fd(const struct rdmig_destination *destination);

/*
 * Does what there is to do and returns; never waits for the peer. Call it when the descriptor is
 * readable; harmless at any time. Returns 0; what has come of it shows in the state, and in the
 * bytes of the stream that can be read. It works, though, as long as rdmig_source_process() may: it
 * pins memory, and fills it with zeros, in pieces.
 */
int rdmig_destination_process(struct rdmig_destination *destination);

/*
 * For a caller with its own thread: polls and processes until the state is another than `state`,
 * bytes of the stream have come, or timeout_ms (UINT32_MAX: no limit) have passed. Returns 0: look
 * at the state, and read the stream; -AGAIN: the time is over; -SYSTEM: a signal has interrupted
 * it, look what it was for and call again; -STATE, at once: the state will not change any more
 * (rdmig_destination_is_closed()).
 */
int rdmig_destination_wait(struct rdmig_destination *destination,
                           enum rdmig_destination_state state, uint32_t timeout_ms);

/* What the destination is at; the table at the top says what to do in each. */
enum rdmig_destination_state rdmig_destination_state(const struct rdmig_destination *destination);
/* "RECEIVING": for people and logs; never NULL, "unknown" outside the enum. Any thread. */
const char *rdmig_destination_state_name(enum rdmig_destination_state state);

/*
 * From now on tells write_line what the destination does, the kinds of enum rdmig_trace_kind that
 * are asked for; opaque is handed through. The state comes first, as it is. In any state, any
 * number of times; kinds 0 (write_line may be NULL then) switches it off, which is how a handle
 * starts. Called right after create it misses nothing but the lookup of the name. Returns 0;
 * -INVALID for kinds that this version does not know, or no write_line.
 */
int rdmig_destination_set_trace(struct rdmig_destination *destination, uint32_t kinds,
                                rdmig_trace_line write_line, void *opaque);

/* The port it listens on (useful with service "0"); the same from create to destroy. */
uint16_t rdmig_destination_port(const struct rdmig_destination *destination);

/*
 * From BLOCKS_NEEDED on: the source's blocks in its order, *block_count of them; name and length
 * only. Before: NULL, and 0. The list is the library's, until destroy. The names are what the
 * source sent: 1 to 255 bytes of any value but 0, so neither text for a terminal nor a path as they
 * are.
 */
const struct rdmig_ram_block *
rdmig_destination_announced(const struct rdmig_destination *destination, uint32_t *block_count);

/*
 * State BLOCKS_NEEDED: memory for them, matched by name, in any order; the list is copied, the
 * memory stays the caller's (see the top). RECEIVING follows. On failure *error (may be NULL) is
 * filled:
 *
 *   -INVALID  CALLER: a name that stands twice, an address that is not page-aligned, ...; the
 *             source still waits: correct the list, call again
 *   -MEMORY   in state BLOCKS_NEEDED: no memory for the list itself; the source still waits: call
 *             again. In state CANCELLING or FAILED: none for the tables; it is over
 *   -FAILED   state CANCELLING or FAILED: the blocks are not the source's (BLOCK_UNKNOWN,
 *             BLOCK_LENGTH); it is over, and rdmig_destination_error() has the same
 *   -STATE    in any other state; nothing has changed
 */
int rdmig_destination_provide_blocks(struct rdmig_destination *destination,
                                     const struct rdmig_ram_block *blocks, uint32_t block_count,
                                     struct rdmig_error *error);

/*
 * Reads stream bytes that have come, at most capacity_bytes; they are the caller's then. Native:
 * the bytes that the source's VMM wrote. QEMU stream: the whole stream. Unread bytes hold the
 * source back (clause S9), so read when process() has run. Returns how many were read; 0: none at
 * the moment; -FAILED from CANCELLING on, but not after COMPLETED: what was read is worth nothing;
 * -INVALID for no place to put them.
 */
int64_t rdmig_destination_stream_read(struct rdmig_destination *destination, void *bytes,
                                      uint64_t capacity_bytes);

/* Bytes of the stream that rdmig_destination_stream_read() can give now. */
uint64_t rdmig_destination_stream_available_bytes(const struct rdmig_destination *destination);

/* Bytes of the stream that have come since the beginning, read or not: the position behind the last
 * of them. */
uint64_t rdmig_destination_stream_received_bytes(const struct rdmig_destination *destination);

/* True when the peer speaks QEMU's own stream; known from CONNECTED's first bytes on, false
 * before. */
bool rdmig_destination_is_qemu_stream(const struct rdmig_destination *destination);

/* State ROUND_ENDED: the position in the stream (as it goes over the wire) of the last round's
 * commands: its hook ends there. 0 before the first. */
uint64_t rdmig_destination_round_position_bytes(const struct rdmig_destination *destination);

/*
 * State ROUND_ENDED: the source may go on; until then its RAM at this end is as the round left it.
 * Its reply limit runs meanwhile. Returns 0: RECEIVING, or what comes next; -STATE in another
 * state: the migration may have failed meanwhile.
 */
int rdmig_destination_resume(struct rdmig_destination *destination);

/*
 * State PREPARED, the stream read to its end: the state is loaded, this end can run the guest, and
 * promises to do so when it becomes its own (clause S8). The source's reply limit runs until it is
 * called. Native: CONFIRMING, then COMPLETED, or FAILED. QEMU stream: COMPLETED at once, since the
 * source has left. Returns 0; -STATE otherwise: nothing has changed, read what is left.
 */
int rdmig_destination_confirm(struct rdmig_destination *destination);

/*
 * Gives up, in any state: CANCELLED follows within the close time limit (2 s). The source is told,
 * and keeps its guest (clause E10); a QEMU that has left already, in state PREPARED, keeps it, too,
 * but does not run it by itself. Returns 0, also when it has failed already: the state tells;
 * -STATE once confirmed: the outcome comes by itself.
 */
int rdmig_destination_cancel(struct rdmig_destination *destination);

/* The cause, from CANCELLING or FAILED on; reason NONE before. Never NULL; the library's, until
 * destroy. */
const struct rdmig_error *rdmig_destination_error(const struct rdmig_destination *destination);

/*
 * Fills *out with the numbers so far, at any time; out_bytes is sizeof(struct rdmig_progress) as
 * the caller was compiled. Of a later version's struct an older library leaves the end 0, of an
 * earlier one's a newer library fills what the struct has.
 */
void rdmig_destination_progress(const struct rdmig_destination *destination,
                                struct rdmig_progress *out, size_t out_bytes);

/*
 * True when the migration has ended and its connection is closed: the state is final, nothing more
 * comes, destroy() costs nobody anything. FAILED and CANCELLED are closed when they are reported;
 * COMPLETED is closed when the source has left, normally some milliseconds later, or has been given
 * up (twice the close time limit, 2 s each), while the handle is processed as before.
 */
bool rdmig_destination_is_closed(const struct rdmig_destination *destination);

/*
 * For a caller with its own thread: processes until it is closed, at most timeout_ms (UINT32_MAX:
 * no limit); no signal shortens it. Run the guest first; 2000 ms are enough for any source that
 * lives. State COMPLETED, CANCELLING, FAILED or CANCELLED. Returns 0; -AGAIN when the time is over:
 * destroy, or wait on; -STATE in another state, at once.
 */
int rdmig_destination_wait_closed(struct rdmig_destination *destination, uint32_t timeout_ms);

/*
 * Frees everything, in any state, and never waits for the peer: the queue pair goes at once, and
 * after it the registrations of RAM (8 ms and more a GiB). NULL is fine. The handle, and what its
 * questions returned, is gone. What that costs before rdmig_destination_is_closed():
 *
 *   LISTENING to  nothing of the guest, which is the source's. The source sees a lost connection
 *   PREPARED      instead of ERROR, and runs on
 *   CONFIRMING    perhaps the guest: this end has promised to run it, the source may have handed it
 *                 over already, and then nobody owns it. Wait for COMPLETED or FAILED instead: it
 *                 comes within the reply limit
 *   CANCELLING    nothing of the guest, which is the source's. The source may not hear why
 *   COMPLETED     nothing of the guest, which is this end's. But the acknowledgement of the
 *                 source's last message goes out with this end's queue pair: without it the source
 *                 fails with HANDOVER_UNKNOWN, and a person has to look. So process until it is
 *                 closed, or rdmig_destination_wait_closed()
 */
void rdmig_destination_destroy(struct rdmig_destination *destination);

/* ------------------------------------------------------------------------------------------------
 * devices */

/* An address of a port. */
struct rdmig_device_gid {
    uint32_t index;
    uint8_t bytes[16];
};

/* A port of a device. */
struct rdmig_device_port {
    uint32_t number;
    bool is_active;
    bool is_ethernet; /* link layer: Ethernet (RoCE, iWARP) or InfiniBand */
    uint32_t mtu_active_bytes;
    uint32_t gid_count; /* all of them, the first 16 below */
    struct rdmig_device_gid gids[16];
};

/* An RDMA device of this host; later versions add members at the end. */
struct rdmig_device {
    char name[64];
    uint32_t port_count; /* all of them, the first 4 below */
    struct rdmig_device_port ports[4];
    uint32_t queue_pair_depth_max;
    uint32_t completion_queue_depth_max;
    uint64_t region_count_max;
    uint64_t region_bytes_max;
    uint64_t message_bytes_max;
    bool has_on_demand_paging;
    bool is_usable;
    char reason[160]; /* if not usable: why not; one line */
};

/*
 * Fills up to capacity devices of device_bytes each (sizeof(struct rdmig_device), as the caller was
 * compiled), and returns how many there are, which may be more; devices may be NULL with capacity
 * 0. Loads the drivers, which the first migration then need not. Any thread. On failure *error (may
 * be NULL) is filled: -SYSTEM: DEVICE, see the remedy; -INVALID: CALLER, no room for a capacity
 * above 0.
 */
int rdmig_devices_list(struct rdmig_device *devices, uint32_t capacity, size_t device_bytes,
                       struct rdmig_error *error);

/* RLIMIT_MEMLOCK of this process in bytes; UINT64_MAX: no limit, or the process has CAP_IPC_LOCK.
 * Any thread. */
uint64_t rdmig_memlock_limit_bytes(void);

/*
 * What the system lets this process pin, control memory included: the smaller of RLIMIT_MEMLOCK
 * less what it has pinned already and a little for the device's own queues, and of the memory
 * cgroup's limit less an eighth (64 MiB at least, half of it at most). UINT64_MAX: no limit. Looks
 * into /proc and /sys; what cannot be read there is no limit. Any thread.
 */
uint64_t rdmig_pinned_limit_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
