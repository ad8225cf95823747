/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig: moves a running virtual machine to another host over RDMA, speaking QEMU's RDMA migration
 * protocol, version 1.
 *
 * A VMM makes a source handle where the guest runs and a destination handle where it is to run.
 * Each handle has one descriptor to poll and one function to call when it is readable; that
 * function never blocks. There is no thread, no callback and no global state. Who has a thread to
 * spare calls the _wait functions instead.
 *
 * Source, in order:
 *
 *   rdmig_source_create()           connects in the background
 *   until state IDLE:               poll, rdmig_source_process()
 *   rounds, the guest runs:         dirty log -> rdmig_source_mark_dirty();
 *                                   rdmig_source_converged()? stop the guest, below. If not:
 *                                   rdmig_source_start_round(), process until IDLE again
 *   the guest has been stopped:     rdmig_source_guest_stopped(); the last log and round;
 *                                   rdmig_source_stream_write() the device state
 *   rdmig_source_finish()           process until COMPLETED: the destination owns the guest
 *   FAILED or CANCELLED             at any moment: the source owns the guest and lets it run, but for
 *                                   the reason HANDOVER_UNKNOWN, below
 *
 * Destination, in order:
 *
 *   rdmig_destination_create()      listens
 *   always:                         poll, rdmig_destination_process(),
 *                                   rdmig_destination_stream_read() what has come
 *   state PREPARED                  everything is here: load the device state, then
 *                                   rdmig_destination_confirm(), or _cancel()
 *   state COMPLETED                 the guest is this end's: run it
 *   FAILED or CANCELLED             it is not: throw it away
 *
 * Who owns the guest: exactly one end. The source gives it up at the moment its last message has
 * been delivered, which it sends only after the destination has confirmed; the destination owns it
 * when that message arrives. Should the connection die between these two moments, the source fails
 * with HANDOVER_UNKNOWN: it must not run the guest before a person (or a fencing agent) has made
 * sure that the destination does not.
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
 * whole pages of 4096 bytes; anonymous memory, a memfd, tmpfs or hugetlbfs, since the kernel pins
 * no mapping of an ordinary file. Dirty bits are for pages of 4096 bytes whatever the host's page
 * is: a VMM whose log has one bit for 64 KiB sets 16 bits here for each, or 15 in 16 are lost.
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
 * makes a chunk's other 255 resident, at both ends, and letting go of the region frees none of
 * them. A guest that uses one page here and there may grow to its full size by a migration, the
 * source's memory cgroup included, where nothing but the limit of the cgroup ends it: give cgroups
 * room for all of the guest's RAM.
 *
 * Pinned memory: the hardware reaches pinned memory only. Each end keeps what it has pinned within
 * a limit (options.pinned_limit_bytes; by default what the system allows), and the source keeps
 * within the lower of both: it lets go of regions that were not used for longest before it asks for
 * others, with a stock QEMU as the destination, too (clause R13). Pin-all that does not fit the
 * limit goes on as dynamic registration; rdmig_progress.pin_all_refusal says so. One thing is
 * beyond it: a stock QEMU as the source lets go of nothing, so a destination needs room for all of
 * its RAM.
 *
 * Pages that the host has never allocated are zero: they are neither read nor
 * written, and stay unallocated at both ends but for the rest of their chunk (above), in private
 * anonymous memory, in shared memory of a tmpfs (memfd), and in hugetlbfs. That needs /proc, and
 * for shared memory read access to the file by a descriptor that the process holds, or the right to
 * open /proc/self/map_files; without, all memory is read. Memory whose missing pages a userfaultfd
 * handler supplies is read; register it before create.
 *
 * Threads: a handle may be used by one thread at a time; different handles are independent.
 *
 * Results: 0 or a count on success; a negated enum rdmig_result otherwise (rdmig_result_text()
 * names it). A call that returned -RDMIG_E_STATE, -AGAIN or -INVALID has changed nothing. A call
 * that takes an error fills it whenever it fails. What is the caller's own mistake (a bad list, an
 * option outside its limits) is -INVALID with reason CALLER, and the detail names it: correct the
 * program. Reason INTERNAL is a fault of the library, and of nobody else. Clauses:
 * docs/protocol.md.
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

/* "0.1.0": of the library that is linked, not of the header. */
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

/* A RAM block. Names are at most 255 bytes and unique; lengths are not 0. */
struct rdmig_ram_block {
    const char *name;
    void *host_addr;
    uint64_t length_bytes;
};

enum rdmig_stream_format {
    RDMIG_STREAM_NATIVE, /* between two rdmig ends: block names, state bytes and hand-over are
                            framed by the library */
    RDMIG_STREAM_QEMU /* the caller's stream is QEMU's own, hooks and all, and goes over the wire as
                         it is */
};

/* Zero-filled members get the default in brackets. All limits in milliseconds: 0 = default,
 * UINT32_MAX = none. */
struct rdmig_options {
    /* sizeof(struct rdmig_options). Later versions add members at the end, and take what an earlier
     * header's size covers: the rest is 0, the default. Members that a library is too old for must be 0. */
    size_t struct_bytes;
    enum rdmig_stream_format stream_format; /* source; a destination finds out by itself */
    bool pin_all;        /* source: ask for all RAM to be registered at the start */
    bool refuse_pin_all; /* destination: answer a request for pin-all with dynamic registration */
    bool
        report_rounds; /* destination: stop in state ROUND_ENDED after each round until _resume() */
    /*
     * Lets the device write guest RAM (destination) or read it (source) in any order, which is
     * faster on some hosts. Each end for itself; what refuses or ignores it does without. A VMM
     * that pushes ranges must not push a page twice in a round then (docs/decisions/008).
     */
    bool relaxed_ordering;
    /*
     * Registers guest RAM for on-demand paging instead of pinning it, where the device can do that
     * for RDMA Writes: no memory is locked and RLIMIT_MEMLOCK is no limit, but pages are slower at
     * their first use. Each end for itself; otherwise memory is pinned, and
     * rdmig_progress.is_on_demand says so.
     */
    bool on_demand_paging;
    uint32_t run_chunk_count; /* source: chunks of 1 MiB in one registration at the most [64] */
    uint32_t register_batch_count; /* source: runs in one REGISTER_REQUEST at the most [1] */
    uint32_t
        downtime_target_ms; /* source: converged() when the rest can be sent in this time [300] */
    uint64_t
        bandwidth_bytes_per_s;   /* source: cap on RAM and stream; 2^56 and more: none [0: none] */
    uint32_t time_limit_ms;      /* until the hand-over, from the moment on in which there is a
                                    connection      [none] */
    uint32_t connect_timeout_ms; /* source: all addresses together; destination: accept until
                                    established [20000] */
    /* Any answer or completion, the destination's confirm() included [60000]; 4 s come on top for
     * each GiB that the peer has to pin or fill before it answers, pin-all's whole guest among them,
     * and of all RAM at a round's end (clause E14). A host that has died is found sooner, by the
     * probe; a process that hangs while its host lives is not: cancel when that takes too long. */
    uint32_t reply_timeout_ms;
    uint32_t probe_interval_ms; /* silence after which the peer's hardware is asked whether it lives
                                   [5000] */
    /* Destination: silence after which the source is given up [none]; 4 s come on top for each GiB
     * of all RAM (clause E14), since a source that pins or writes says nothing: where it writes
     * slower than that (a cap, a slow link), add the time that all RAM takes. */
    uint32_t idle_timeout_ms;
    /*
     * Bytes that may be pinned at a time, control memory (some 6 MiB) included, UINT64_MAX: no
     * limit [rdmig_pinned_limit_bytes()]. RLIMIT_MEMLOCK counts in any case, unless UINT64_MAX is
     * given: then the migration fails (MEMLOCK) where it is reached. Several handles in one process
     * share what the system allows: give each its part.
     */
    uint64_t pinned_limit_bytes;
};

/* Why there is no pin-all although it was asked for. */
enum rdmig_pin_all_refusal {
    RDMIG_PIN_ALL_NOT_REFUSED,       /* it was not asked for, or it was granted */
    RDMIG_PIN_ALL_REFUSED_BY_LIMIT,  /* all RAM is more than this end's limit on pinned memory */
    RDMIG_PIN_ALL_REFUSED_BY_OPTION, /* destination: options.refuse_pin_all */
    RDMIG_PIN_ALL_REFUSED_BY_PEER    /* source: the destination refused; its own log says why */
};

/* Numbers of a migration so far; later versions add members at the end. Bytes; times in nanoseconds since the connection was made. */
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
    uint64_t pinned_bytes; /* registered now, control memory included; not what is paged on demand
                            */
    uint64_t pinned_bytes_max;
    uint64_t pinned_limit_bytes; /* that this end keeps to; UINT64_MAX: none */
    uint64_t setup_ns;    /* from create (source) or the request (destination) until the blocks were
                             exchanged */
    uint64_t total_ns;    /* until now or the end; source: that all of the guest had arrived */
    uint64_t downtime_ns; /* source: from guest_stopped() until then; destination: from the last
                             round's end */
    /* Source, of the last round that covered 1 MiB: RAM covered, zeros and holes included. */
    uint64_t throughput_bytes_per_s;
    /* Source: RDMA Writes, by the time in which data was queued or on its way; at most the cap.
     * 0: not known yet. */
    uint64_t data_bytes_per_s;
    bool is_pin_all;   /* what was agreed on */
    bool is_relaxed;   /* options.relaxed_ordering, and nothing has refused it so far. A device may
                          still ignore it */
    bool is_on_demand; /* options.on_demand_paging, the device has it, and nothing has refused it so
                          far */
    /* A source knows from create on when its own limit is the cause, otherwise from the connection
     * on. */
    enum rdmig_pin_all_refusal pin_all_refusal;
};

/*
 * What a trace tells of; several together by |. The lines of STATES are some dozens a migration,
 * those of MESSAGES some a round and a few for each 64 MiB that are registered, those of REGIONS two
 * for each registration, and those of WORK several for each 4 MiB written.
 */
enum rdmig_trace_kind {
    RDMIG_TRACE_STATES = 0x1,   /* states, the connection, requests of the caller and their ends,
                                   failures */
    RDMIG_TRACE_MESSAGES = 0x2, /* control messages sent and received: type, entries, length */
    RDMIG_TRACE_REGIONS = 0x4,  /* registrations and their ends */
    RDMIG_TRACE_WORK = 0x8 /* ranges, RDMA Writes, receives, completions, bytes of the stream */
};

/*
 * Takes one line of a trace: text of one line without its end, which does nothing to a terminal,
 * terminated by 0, the library's until the function returns. It begins with the time in nanoseconds
 * (CLOCK_MONOTONIC) and a space; what follows is for people and may change from version to version.
 * It is called inside calls on the handle, in the thread that makes them. It must not call anything
 * on that handle, and what it takes is time of the migration: a slow disk is no place for WORK.
 */
typedef void rdmig_trace_line(void *opaque, const char *line);

/* ------------------------------------------------------------------------------------------------
 * source */

enum rdmig_source_state {
    RDMIG_SOURCE_CONNECTING, /* addresses, connection, block exchange (native) */
    RDMIG_SOURCE_IDLE,       /* ready for the next round, stream bytes, finish */
    RDMIG_SOURCE_SENDING,    /* a round is running */
    RDMIG_SOURCE_FINISHING,  /* rdmig_source_finish() was called; the destination is confirming
                                (native), or loading the guest (QEMU) */
    RDMIG_SOURCE_CANCELLING, /* saying goodbye; the guest is and stays the source's */
    RDMIG_SOURCE_COMPLETED,  /* the destination owns the guest */
    RDMIG_SOURCE_FAILED,     /* the source owns the guest, but see HANDOVER_UNKNOWN */
    RDMIG_SOURCE_CANCELLED   /* the source owns the guest */
};

struct rdmig_source;

/*
 * Makes a source that connects to host:service, trying every address the name has. options may be
 * NULL. Looks the name up before it returns (numeric addresses never block); everything after that
 * is asynchronous. The first call of a process that uses RDMA loads the drivers, some tenths of a
 * second at worst: a VMM calls rdmig_devices_list() at its own start to have that behind it. All
 * pages of all blocks start out dirty. On error *out is NULL and *error (may be NULL) tells why:
 * ADDRESS, DEVICE, MEMORY, or CALLER (-INVALID) for a bad host, block list or option. MEMLOCK (the
 * system's) or PINNED_LIMIT (the option's, -INVALID): control memory and one chunk of RAM are more
 * than may be pinned; the error has the numbers: raise the limit.
 */
int rdmig_source_create(struct rdmig_source **out, const char *host, const char *service,
                        const struct rdmig_ram_block *blocks, uint32_t block_count,
                        const struct rdmig_options *options, struct rdmig_error *error);

/* The descriptor to poll for reading; the same from create to destroy. Do not read or close it. */
int rdmig_source_fd(const struct rdmig_source *source);

/*
 * Does what there is to do and returns; never waits for the peer. Call it when the fd is readable;
 * harmless at any time. Returns 0. It works, though: pinning memory takes the kernel some 40 ms a
 * GiB of 4 KiB pages that were touched, and 200 ms of such as were not, in one piece for a run of
 * chunks (5 ms at 64 MiB) and, with pin_all, for a whole block, which no call can cut. After 5 ms
 * of it a call begins no further piece: it returns with the fd readable. Looking for zeros and
 * filling go in pieces of 64 MiB a call.
 */
int rdmig_source_process(struct rdmig_source *source);

/*
 * For who has a thread to spare: processes until the state is another than `state`, or timeout_ms
 * (UINT32_MAX: none) have passed. Returns 0, or -AGAIN after the timeout. Returns early with
 * -SYSTEM when interrupted by a signal, and at once with -STATE when the state will not change any
 * more (rdmig_source_is_closed()).
 */
int rdmig_source_wait(struct rdmig_source *source, enum rdmig_source_state state,
                      uint32_t timeout_ms);

enum rdmig_source_state rdmig_source_state(const struct rdmig_source *source);
/* "IDLE": for people and logs; never NULL, "unknown" outside the enum. Any thread. */
const char *rdmig_source_state_name(enum rdmig_source_state state);

/*
 * From now on tells write_line what the source does, the kinds of enum rdmig_trace_kind that are
 * asked for; opaque is handed through. The state comes first, as it is. In any state, any number of
 * times; kinds 0 (write_line may be NULL then) switches it off, which is how a handle starts. Called
 * right after create it misses nothing but the lookup of the name. Returns 0; -INVALID for kinds
 * that this version does not know, or no write_line.
 */
int rdmig_source_set_trace(struct rdmig_source *source, uint32_t kinds,
                           rdmig_trace_line *write_line, void *opaque);

/*
 * Marks pages dirty that a dirty log reports: bit i%64 of words[i/64] is page first_page + i of the
 * block, as in KVM_GET_DIRTY_LOG. first_page must be a multiple of 64; words holds (page_count +
 * 63) / 64 words, read during the call. The guest's log must have been cleared before the call
 * returns from KVM, so that later writes show up in the next one. Any state but an end; during a
 * round the marks count for the next one unless the round has yet to come to them.
 */
int rdmig_source_mark_dirty(struct rdmig_source *source, uint32_t block_index,
                            const uint64_t *words, uint64_t first_page, uint64_t page_count);
/* The same for one range of bytes, rounded outwards to pages. */
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
 * Any state but an end. Returns 0; -STATE at an end; -INVALID for a range that is not inside the
 * block (no whole page in it is fine, and does nothing).
 *
 * The guest may use the page again: a later write must be marked dirty after this call, or the
 * destination never gets it. So, with the dirty log switched on: take the hints that have come
 * since the last dirty log was fetched, then fetch the dirty log, then call this for the hints,
 * then mark_dirty() for the log. A hint from before the last log is to be dropped: the page may
 * have been written, and marked, since. Not for guests that expect freed memory to keep a pattern
 * (page poisoning).
 */
int rdmig_source_mark_free(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                           uint64_t length_bytes);

/*
 * State IDLE: sends every dirty page (zero pages as COMPRESS), then ends the round (clauses R5,
 * C10); state SENDING until then. In a QEMU stream the caller has written the hook before.
 */
int rdmig_source_start_round(struct rdmig_source *source);

/*
 * The other way to run a round, for VMMs that walk pages themselves: begin, push ranges as they
 * come, end. push returns -AGAIN when there is no room: process until it fits. Pushed ranges are no
 * longer dirty.
 */
int rdmig_source_begin_round(struct rdmig_source *source);
int rdmig_source_push(struct rdmig_source *source, uint32_t block_index, uint64_t offset_bytes,
                      uint64_t length_bytes);
int rdmig_source_end_round(struct rdmig_source *source);

/*
 * State IDLE: adds bytes to the stream, in any portions. Returns how many were taken (0: none at
 * the moment, poll and try again) or a negated result. They arrive in order; nothing is framed in a
 * QEMU stream, the destination sees a plain byte sequence.
 */
int64_t rdmig_source_stream_write(struct rdmig_source *source, const void *bytes,
                                  uint64_t length_bytes);

/*
 * QEMU stream only, state IDLE: waits until the destination has said READY for all that was written
 * (clause C2), which a stock QEMU does when it has used the bytes up and wants more; state SENDING
 * until then, IDLE after. A destination that wants nothing more never says so: keep the end of the
 * stream back, or the reply time limit fails the migration (PEER_SILENT). -STATE in another state,
 * or with a native stream.
 */
int rdmig_source_stream_flush(struct rdmig_source *source);

/* QEMU stream only: sends RAM_BLOCKS_REQUEST; call it once, after the first hook has been written.
 * State CONNECTING until answered. */
int rdmig_source_exchange_blocks(struct rdmig_source *source);

/*
 * Nanoseconds that sending what is marked dirty now would take, all of it taken for data, at
 * rdmig_progress.data_bytes_per_s. 0: nothing is dirty. UINT64_MAX: no data was written yet, or
 * longer than 292 years. The device state is not in it.
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
 * State IDLE, nothing dirty: hand the guest over. COMPLETED, or FAILED, follows. QEMU stream: not
 * before the QEMU there has left, which it does when it has loaded the guest or has given up
 * (clause E13), or the reply limit and 4 s a GiB have passed; FAILED with HANDOVER_UNKNOWN when it
 * says ERROR. One that exits because it cannot load a device looks like one that is done: write the
 * state, _stream_flush(), then the end mark, and it fails the migration before the hand-over. A
 * handle destroyed before that disconnects under the QEMU's hands, which may crash of it.
 */
int rdmig_source_finish(struct rdmig_source *source);

/*
 * Gives up, in any state: CANCELLED follows within the close time limit (2 s). Once the hand-over
 * is on its way it can't be taken back: -STATE, and the outcome comes by itself.
 */
int rdmig_source_cancel(struct rdmig_source *source);

/* The cause, from FAILED or CANCELLED on; reason NONE before. Valid until destroy. */
const struct rdmig_error *rdmig_source_error(const struct rdmig_source *source);
/*
 * Fills *out with the numbers so far, at any time; out_bytes is sizeof(struct rdmig_progress) as the
 * caller has it. Of a later version's struct an older library leaves the end 0, of an earlier one's a
 * newer library fills what is there.
 */
void rdmig_source_progress(const struct rdmig_source *source, struct rdmig_progress *out,
                           size_t out_bytes);

/*
 * True when the migration has ended and its connection is closed: the state is final, nothing more
 * comes, destroy() costs nobody anything. FAILED and CANCELLED are closed when they are reported;
 * COMPLETED is closed a little later, within twice the close time limit (2 s each), while the handle
 * is processed as before.
 */
bool rdmig_source_is_closed(const struct rdmig_source *source);

/*
 * For who has a thread to spare: processes until it is closed, at most timeout_ms (UINT32_MAX: no
 * limit); no signal shortens it. State CANCELLING, COMPLETED, FAILED or CANCELLED. Returns 0; -AGAIN
 * when the time is over: destroy, or wait on; -STATE in another state, at once.
 */
int rdmig_source_wait_closed(struct rdmig_source *source, uint32_t timeout_ms);

/*
 * Frees everything, in any state, and never waits for the peer: takes the guest's memory out of the
 * hardware's reach, and its registrations apart (8 ms and more a GiB). NULL is fine. The handle, and
 * what its questions returned, is gone. What that costs before rdmig_source_is_closed():
 *
 *   CONNECTING, IDLE, SENDING   nothing of the guest, which is this end's. The destination sees a
 *                               lost connection instead of ERROR, and throws its part away
 *   FINISHING                   certainty: the destination may own the guest, or come to. As with
 *                               HANDOVER_UNKNOWN, do not run it before somebody has looked there.
 *                               A QEMU that still loads it may crash of it. Wait for the outcome
 *                               instead: it comes within the reply limit
 *   CANCELLING                  nothing of the guest, which is this end's. The destination may not
 *                               hear why
 *   COMPLETED                   nothing: the destination has all, and knows it
 */
void rdmig_source_destroy(struct rdmig_source *source);

/* -------------------------------------------------------------------------------------------
 * destination */

enum rdmig_destination_state {
    RDMIG_DESTINATION_LISTENING,
    RDMIG_DESTINATION_CONNECTED,     /* a source is there; its blocks are not known yet */
    RDMIG_DESTINATION_BLOCKS_NEEDED, /* they are: rdmig_destination_announced(), then
                                        _provide_blocks() */
    RDMIG_DESTINATION_RECEIVING,
    RDMIG_DESTINATION_ROUND_ENDED, /* options.report_rounds: look, then _resume() */
    RDMIG_DESTINATION_PREPARED,    /* native: all is here, waiting for _confirm(); a source could
                                      still write. QEMU stream: the source has left in order, and
                                      can write no more; read the rest, judge the stream's end,
                                      then _confirm() or _cancel() */
    RDMIG_DESTINATION_CONFIRMING,
    RDMIG_DESTINATION_CANCELLING,
    RDMIG_DESTINATION_COMPLETED, /* this end owns the guest, nobody else reaches its RAM: run it */
    RDMIG_DESTINATION_FAILED,
    RDMIG_DESTINATION_CANCELLED
};

struct rdmig_destination;

/*
 * Listens on host:service; takes one migration. blocks: matched by name with the source's, each
 * must be there with the same length; block_count 0: the source's list is announced in state
 * BLOCKS_NEEDED. Errors as for the source.
 */
int rdmig_destination_create(struct rdmig_destination **out, const char *host, const char *service,
                             const struct rdmig_ram_block *blocks, uint32_t block_count,
                             const struct rdmig_options *options, struct rdmig_error *error);
int rdmig_destination_fd(const struct rdmig_destination *destination);
int rdmig_destination_process(struct rdmig_destination *destination);
int rdmig_destination_wait(struct rdmig_destination *destination,
                           enum rdmig_destination_state state, uint32_t timeout_ms);
enum rdmig_destination_state rdmig_destination_state(const struct rdmig_destination *destination);
/* Like rdmig_source_state_name(). */
const char *rdmig_destination_state_name(enum rdmig_destination_state state);
/* Like rdmig_source_set_trace(). */
int rdmig_destination_set_trace(struct rdmig_destination *destination, uint32_t kinds,
                                rdmig_trace_line *write_line, void *opaque);

/* The port it listens on (useful with service "0"). */
uint16_t rdmig_destination_port(const struct rdmig_destination *destination);

/*
 * From BLOCKS_NEEDED on: the source's blocks in its order; name and length only. The list is the
 * library's, until destroy. The names are what the source sent: 1 to 255 bytes of any value but 0,
 * so neither text for a terminal nor a path as they are.
 */
const struct rdmig_ram_block *
rdmig_destination_announced(const struct rdmig_destination *destination, uint32_t *block_count);
/*
 * State BLOCKS_NEEDED: memory for them, matched by name, in any order; the list is copied, the
 * memory stays the caller's (see the top). RECEIVING follows. *error (may be NULL) is filled on
 * failure. -INVALID (CALLER: a name that stands twice, an address that is not page-aligned, ...)
 * and -MEMORY of the list itself: the source still waits, call again. -FAILED or -MEMORY with the
 * state CANCELLING or FAILED: the blocks are not the source's (BLOCK_UNKNOWN, BLOCK_LENGTH), or
 * there is no memory for the tables; rdmig_destination_error() has the same. -STATE in any other
 * state.
 */
int rdmig_destination_provide_blocks(struct rdmig_destination *destination,
                                     const struct rdmig_ram_block *blocks, uint32_t block_count,
                                     struct rdmig_error *error);

/*
 * Reads stream bytes that have come, at most capacity_bytes; 0: none at the moment. Unread bytes
 * hold the source back, so read when process() has run. Native: the bytes the source's VMM wrote.
 * QEMU stream: the whole stream.
 */
int64_t rdmig_destination_stream_read(struct rdmig_destination *destination, void *bytes,
                                      uint64_t capacity_bytes);
/* Bytes of the stream read so far, plus those that can be read now. */
uint64_t rdmig_destination_stream_available_bytes(const struct rdmig_destination *destination);
/* True when the peer speaks QEMU's own stream; known from CONNECTED's first bytes on, false before.
 */
bool rdmig_destination_is_qemu_stream(const struct rdmig_destination *destination);
/* Position in the stream (as it goes over the wire) of the last round's commands: its hook ends
 * there. State ROUND_ENDED. */
uint64_t rdmig_destination_round_position_bytes(const struct rdmig_destination *destination);
/* State ROUND_ENDED: go on. */
int rdmig_destination_resume(struct rdmig_destination *destination);

/* State PREPARED: the state is loaded, this end can run the guest. COMPLETED, or FAILED, follows.
 */
int rdmig_destination_confirm(struct rdmig_destination *destination);
/* Gives up in any state: the source is told and keeps its guest. -STATE once confirmed. */
int rdmig_destination_cancel(struct rdmig_destination *destination);
const struct rdmig_error *rdmig_destination_error(const struct rdmig_destination *destination);
/* Like rdmig_source_progress(). */
void rdmig_destination_progress(const struct rdmig_destination *destination,
                                struct rdmig_progress *out, size_t out_bytes);
/* Like rdmig_source_is_closed(). A source that stands still is given up after the close time limit. */
bool rdmig_destination_is_closed(const struct rdmig_destination *destination);
/* Like rdmig_source_wait_closed(). After COMPLETED, 2000 ms are enough for any source that lives: the
 * wait is a few milliseconds long then. Run the guest first. */
int rdmig_destination_wait_closed(struct rdmig_destination *destination, uint32_t timeout_ms);

/*
 * Frees everything, in any state, and never waits for the peer: the queue pair goes at once, and
 * after it the registrations of RAM (8 ms and more a GiB). NULL is fine. The handle, and what its
 * questions returned, is gone. What that costs before rdmig_destination_is_closed():
 *
 *   LISTENING to PREPARED       nothing of the guest, which is the source's. The source sees a lost
 *                               connection instead of ERROR, and runs on
 *   CONFIRMING                  perhaps the guest: this end has promised to run it, the source may
 *                               have handed it over already, and then nobody owns it. Wait for
 *                               COMPLETED or FAILED instead: it comes within the reply limit
 *   CANCELLING                  nothing of the guest, which is the source's. The source may not
 *                               hear why
 *   COMPLETED                   nothing of the guest, which is this end's. But the acknowledgement
 *                               of the source's last message leaves with this end's queue pair:
 *                               without it the source fails with HANDOVER_UNKNOWN, and a person has
 *                               to look. So process until it is closed, or _wait_closed()
 */
void rdmig_destination_destroy(struct rdmig_destination *destination);

/* ------------------------------------------------------------------------------------------------
 * devices */

struct rdmig_device_gid {
    uint32_t index;
    uint8_t bytes[16];
};

struct rdmig_device_port {
    uint32_t number;
    bool is_active;
    bool is_ethernet; /* link layer: Ethernet (RoCE, iWARP) or InfiniBand */
    uint32_t mtu_active_bytes;
    uint32_t gid_count; /* all of them, the first 16 below */
    struct rdmig_device_gid gids[16];
};

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
    char reason[160]; /* if not usable: why not */
};

/* Fills up to capacity devices of device_bytes each (sizeof(struct rdmig_device), as the caller has
 * it; later versions add members at the end), returns how many there are (may be more), or a negated result with
 * *error filled: DEVICE (-SYSTEM), CALLER (-INVALID: no room for a capacity above 0). Loads the
 * drivers, which the first migration then need not. */
int rdmig_devices_list(struct rdmig_device *devices, uint32_t capacity, size_t device_bytes,
                       struct rdmig_error *error);

/* RLIMIT_MEMLOCK of this process in bytes; UINT64_MAX: no limit, or the process has CAP_IPC_LOCK.
 */
uint64_t rdmig_memlock_limit_bytes(void);

/*
 * What the system lets this process pin, control memory included: the smaller of RLIMIT_MEMLOCK
 * less what it has pinned already and a little for the device's own queues, and of the memory
 * cgroup's limit less an eighth (64 MiB at least, half of it at the most). UINT64_MAX: no limit.
 * Looks into /proc and /sys; what cannot be read there is no limit. Any thread.
 */
uint64_t rdmig_pinned_limit_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
