/* SPDX-License-Identifier: BSD-2-Clause */
/* A failure in words: what the core's failure says, and what only the adapter knows. */
#include "link_internal.h"

#include "text/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * In a detail: %e expected, %a actual, %m the message's name, %b the block's index, %p the phase,
 * %o the error number in words, %A the addresses that were tried and why each failed, %d the
 * device, %f the completion or post that failed, %w what a peer did instead of a SEND.
 */
struct explanation {
    const char *detail;
    const char *remedy;
};

#define REMEDY_PEER_LOG "look at the peer's own message: it names the cause"
#define REMEDY_PROTOCOL                                                                            \
    "the peer does not keep to the protocol: check that both ends are QEMU or rdmig with RDMA "    \
    "migration protocol 1"
#define REMEDY_NETWORK                                                                             \
    "check that the peer's host and the network between are up, then migrate again"
#define REMEDY_BLOCKS                                                                              \
    "start both ends with the same RAM blocks: same number, same order, same sizes"
#define REMEDY_REPORT "this is a fault in rdmig: please report it with this message"
#define REMEDY_MEMLOCK                                                                             \
    "raise the limit: ulimit -l, LimitMEMLOCK= of a systemd unit, or give the process "            \
    "CAP_IPC_LOCK"

static const struct explanation explanations[RDMIG_REASON_COUNT] = {
    [RDMIG_REASON_NONE] = {"nothing has failed", "nothing to do"},
    [RDMIG_REASON_CANCELLED] = {"the migration was cancelled", "start it again when it is wanted"},
    [RDMIG_REASON_PEER_ERROR] = {"the peer reported an error and gave up", REMEDY_PEER_LOG},
    [RDMIG_REASON_PEER_DISCONNECTED] =
        {"the peer closed the connection before the migration was complete",
         "look at the peer: it stopped, was killed or was cancelled"},
    [RDMIG_REASON_PEER_UNREACHABLE] = {"cannot connect to %A",
                                       "start the destination first, check host and port"},
    [RDMIG_REASON_PEER_REJECTED] =
        {"cannot connect to %A",
         "look at the peer's own message: it may be busy with another migration or speak "
         "another protocol version"},
    [RDMIG_REASON_PEER_SILENT] =
        {"the peer has not answered within the time limit",
         "check that the peer runs; raise the reply time limit if it is only slow"},
    [RDMIG_REASON_CONNECT_TIMEOUT] = {"cannot connect to %A", REMEDY_NETWORK},
    [RDMIG_REASON_CONNECTION_LOST] = {"the connection to the peer was lost on RDMA device %d",
                                      REMEDY_NETWORK},
    [RDMIG_REASON_PRIVATE_DATA_SHORT] =
        {"the peer's connection data is %a bytes long; a QEMU RDMA migration peer "
         "sends %e",
         "check that host and port are those of an RDMA migration"},
    [RDMIG_REASON_PRIVATE_DATA] =
        {"the peer's connection data names %a credits; 1 to %e make sense", REMEDY_PROTOCOL},
    [RDMIG_REASON_VERSION_UNSUPPORTED] =
        {"the peer speaks version %a of the RDMA migration protocol, this end "
         "version %e",
         "use a peer that speaks version 1, as every QEMU to date does"},
    [RDMIG_REASON_MESSAGE_SHORT] = {"the peer sent %a bytes; a message has a header of %e",
                                    REMEDY_PROTOCOL},
    [RDMIG_REASON_MESSAGE_LENGTH] =
        {"the peer's %m message says it is %e bytes long, but %a arrived", REMEDY_PROTOCOL},
    [RDMIG_REASON_MESSAGE_TYPE] = {"the peer sent a message of the unknown type %a",
                                   REMEDY_PROTOCOL},
    [RDMIG_REASON_MESSAGE_UNEXPECTED] = {"the peer sent a %m message at a moment when it may not",
                                         REMEDY_PROTOCOL},
    [RDMIG_REASON_MESSAGE_REPEAT] =
        {"the peer's %m message has %a entries where %e are the limit or were asked for",
         REMEDY_PROTOCOL},
    [RDMIG_REASON_MESSAGE_BODY] =
        {"the peer's %m message has %a bytes of data where its entries need %e", REMEDY_PROTOCOL},
    [RDMIG_REASON_CREDIT_EXCESS] = {"the peer sent READY twice for one message", REMEDY_PROTOCOL},
    [RDMIG_REASON_BLOCK_COUNT] = {"the destination has %a RAM blocks, the source %e",
                                  REMEDY_BLOCKS},
    [RDMIG_REASON_BLOCK_LENGTH] =
        {"RAM block %b is %a bytes long at the destination and %e at the source", REMEDY_BLOCKS},
    [RDMIG_REASON_BLOCK_INDEX] = {"the peer's %m message names RAM block %a, but there are %e",
                                  REMEDY_PROTOCOL},
    [RDMIG_REASON_BLOCKS_REPEATED] = {"the peer asked for the RAM blocks a second time",
                                      REMEDY_PROTOCOL},
    [RDMIG_REASON_BLOCKS_MISSING] =
        {"the peer's %m message is about RAM, but the RAM blocks were not exchanged yet",
         REMEDY_PROTOCOL},
    [RDMIG_REASON_RANGE] =
        {"the peer's %m message reaches outside RAM block %b (%a, where %e is the limit)",
         REMEDY_PROTOCOL},
    [RDMIG_REASON_FILL_VALUE] = {"the peer's %m message has the fill value %a, which is no byte",
                                 REMEDY_PROTOCOL},
    [RDMIG_REASON_REGION_CHANGED] =
        {"the peer asked for the registered run at chunk %a of RAM block %b with another "
         "length",
         REMEDY_PROTOCOL},
    [RDMIG_REASON_REGION_UNKNOWN] =
        {"the peer asked to unregister chunk %a of RAM block %b, where no region starts",
         REMEDY_PROTOCOL},
    [RDMIG_REASON_HOST_ADDR] = {"the peer gave two different addresses for RAM block %b",
                                REMEDY_PROTOCOL},
    [RDMIG_REASON_SEND_FAILED] = {"a message could not be sent: %f", REMEDY_NETWORK},
    [RDMIG_REASON_WRITE_FAILED] = {"an RDMA Write failed: %f", REMEDY_NETWORK},
    [RDMIG_REASON_RECV_FAILED] = {"a message could not be received: %f", REMEDY_NETWORK},
    [RDMIG_REASON_REGISTER_FAILED] =
        {"guest RAM cannot be registered with RDMA device %d: %o",
         "check the kernel log and the device's limits (rdmig devices)"},
    [RDMIG_REASON_PINNED_LIMIT] =
        {"%a bytes of RAM block %b cannot be registered: the limit on pinned memory is %e bytes",
         "raise the limit on pinned memory; between two rdmig ends the lower of both counts"},
    [RDMIG_REASON_FILL_FAILED] = {"RAM block %b could not be filled: %o",
                                  "check that the RAM of this end is mapped and writable"},
    [RDMIG_REASON_ROUND_FAILED] = {"the round was refused by this end: %o",
                                   "see the message of the program that "
                                   "refused it"},
    [RDMIG_REASON_INTERNAL] = {"a state that cannot be, in phase %p", REMEDY_REPORT},
    [RDMIG_REASON_ADDRESS] = {"the address cannot be used",
                              "give the address of an RDMA device of this host (rdmig "
                              "devices lists them) and a free port"},
    [RDMIG_REASON_DEVICE] =
        {"the RDMA device cannot be used: %o",
         "check that an RDMA device is there and its modules are loaded (rdmig devices)"},
    [RDMIG_REASON_MEMLOCK] = {"the limit on pinned memory is too small", REMEDY_MEMLOCK},
    [RDMIG_REASON_TIME_LIMIT] = {"the migration took longer than allowed",
                                 "raise the time limit or the bandwidth, or "
                                 "slow the guest down"},
    [RDMIG_REASON_STREAM_BROKEN] = {"the peer's byte stream cannot be understood", REMEDY_PROTOCOL},
    [RDMIG_REASON_STREAM_TRUNCATED] = {"the peer left in the middle of the byte stream",
                                       REMEDY_PEER_LOG},
    [RDMIG_REASON_BLOCK_UNKNOWN] = {"a RAM block is not there on both ends", REMEDY_BLOCKS},
    [RDMIG_REASON_HANDOVER_UNKNOWN] =
        {"the connection was lost while the guest was being handed over",
         "find out whether the destination runs the guest before running it here"},
    [RDMIG_REASON_MEMORY] = {"out of memory", "free memory on this host"},
    [RDMIG_REASON_MESSAGE_FOREIGN] = {"the peer sent %w, where only messages may come",
                                      REMEDY_PROTOCOL},
    [RDMIG_REASON_CALLER] = {"an argument or an option is outside its limits",
                             "correct the call: rdmig.h says what it takes"},
};

/* Where the number behind a reason asks for another remedy. */
static const struct {
    enum rdmig_reason reason;
    int32_t os_code;
    const char *remedy;
} special_remedies[] = {
    {RDMIG_REASON_PEER_UNREACHABLE, ENODEV,
     "use an address that an RDMA device leads to (rdmig devices)"},
    {RDMIG_REASON_PEER_UNREACHABLE, ENETUNREACH, "check the routes: ip route get ADDRESS"},
    {RDMIG_REASON_ADDRESS, EADDRINUSE, "end the other program or choose another port"},
    {RDMIG_REASON_DEVICE, ENODEV,
     "load the RDMA modules: modprobe rdma_ucm, and the driver of the device"},
    {RDMIG_REASON_DEVICE, ENOENT,
     "load the RDMA modules: modprobe rdma_ucm, and the driver of the device"},
    {RDMIG_REASON_DEVICE, EACCES, "give this user access to /dev/infiniband"},
    {RDMIG_REASON_REGISTER_FAILED, ENOMEM, REMEDY_MEMLOCK},
    {RDMIG_REASON_REGISTER_FAILED, EOPNOTSUPP,
     "give guest RAM that can be pinned: anonymous memory, a memfd, tmpfs or hugetlbfs; not a "
     "mapping of an ordinary file"},
    {RDMIG_REASON_REGISTER_FAILED, EFAULT,
     "give guest RAM that is mapped, writable and can be pinned: anonymous memory, a memfd, tmpfs "
     "or hugetlbfs; not a "
     "mapping of an ordinary file"},
};

/* What a completion status asks for; the text of the status itself comes from libibverbs. */
static const struct {
    enum ibv_wc_status status;
    const char *remedy;
} status_remedies[] = {
    {IBV_WC_RETRY_EXC_ERR,
     "the peer's hardware no longer answers: check that its host is up and the network carries "
     "RDMA traffic"},
    {IBV_WC_RNR_RETRY_EXC_ERR,
     "the peer had no buffer posted: it does not keep to the protocol, or is too slow"},
    {IBV_WC_REM_ACCESS_ERR,
     "the peer died, took its memory back or gave a wrong key: look at the peer's own message"},
    {IBV_WC_REM_OP_ERR,
     "the peer's hardware could not carry it out: look at the peer's kernel log"},
    {IBV_WC_REM_INV_REQ_ERR,
     "the peer's buffer is too small for the message: it does not keep to the protocol"},
    {IBV_WC_LOC_PROT_ERR,
     "this end's memory is not registered as it should be: keep guest RAM mapped while migrating"},
    {IBV_WC_LOC_LEN_ERR,
     "the peer sent more than a message may hold: it does not keep to the protocol"},
};

static const char *find_remedy(enum rdmig_reason reason, int32_t os_code)
{
    for (size_t i = 0; i < sizeof(special_remedies) / sizeof(special_remedies[0]); i++)
        if (special_remedies[i].reason == reason && special_remedies[i].os_code == os_code)
            return special_remedies[i].remedy;
    return explanations[(unsigned)reason < RDMIG_REASON_COUNT ? reason : RDMIG_REASON_INTERNAL]
        .remedy;
}

void explain_cause(struct link_cause *cause, enum rdmig_reason reason, int32_t os_code,
                   const char *format, ...)
{
    va_list arguments;

    cause->reason = reason;
    cause->os_code = os_code;
    va_start(arguments, format);
    (void)text_vprint(cause->text, sizeof(cause->text), format, arguments);
    va_end(arguments);
}

void explain_error(struct rdmig_error *error, enum rdmig_reason reason, int32_t os_code,
                   const char *detail)
{
    if (error == NULL)
        return;
    memset(error, 0, sizeof(*error));
    error->reason = reason;
    error->os_code = os_code;
    (void)text_line(error->detail, sizeof(error->detail), detail);
    (void)text_line(error->remedy, sizeof(error->remedy), find_remedy(reason, os_code));
}

/* ENOMEM from the kernel means the limit on pinned memory, unless there is none or it is far off.
 */
bool explain_is_memlock(const struct link *link, uint64_t needed_bytes, int32_t os_code)
{
    uint64_t limit_bytes = rdmig_memlock_limit_bytes();
    uint64_t pinned_bytes = link->regions.pinned_bytes;

    return os_code == ENOMEM && limit_bytes != UINT64_MAX &&
           (needed_bytes > limit_bytes || pinned_bytes > limit_bytes - needed_bytes);
}

/* ---- composing */

static void describe_addresses(const struct link *link, char *text, size_t capacity_bytes)
{
    uint32_t count = 0;
    int length = 0;

    for (uint32_t i = 0; i < link->address_count; i++)
        count += link->addresses[i].cause.reason != RDMIG_REASON_NONE;
    if (count > 1)
        length = snprintf(text, capacity_bytes, "%.100s: ", link->host);
    if (count > 0)
        address_join_causes(link, text + length, capacity_bytes - (size_t)length);
    else
        (void)snprintf(text, capacity_bytes, "%.100s:%.60s", link->host, link->service);
}

static void describe_fault(const struct link *link, const struct rdmig_failure *failure, char *text,
                           size_t capacity_bytes)
{
    const struct link_fault *fault = &link->fault;

    switch (fault->kind) {
    case LINK_FAULT_NONE:
        (void)snprintf(text, capacity_bytes, "error %d", (int)failure->os_code);
        break;
    case LINK_FAULT_REFUSED:
        (void)snprintf(text, capacity_bytes, "RDMA device %s refused the work request (%s)",
                       link->device_name, strerror(fault->os_code));
        break;
    case LINK_FAULT_COMPLETION:
        (void)snprintf(text, capacity_bytes, "%s (completion status %d, vendor error 0x%x)",
                       ibv_wc_status_str((enum ibv_wc_status)fault->os_code), (int)fault->os_code,
                       (unsigned)fault->vendor_error);
        break;
    case LINK_FAULT_NONSENSE:
        (void)snprintf(text, capacity_bytes,
                       "RDMA device %s completed something else than was posted (operation %d)",
                       link->device_name, (int)fault->os_code);
        break;
    }
}

static const char *foreign_name(int32_t opcode)
{
    return opcode == IBV_WC_RECV_RDMA_WITH_IMM
               ? "an RDMA Write with immediate data"
               : "a SEND with immediate data, or one that invalidates a key";
}

static void expand_one(const struct link *link, const struct rdmig_failure *failure, char what,
                       char *text, size_t capacity_bytes)
{
    switch (what) {
    case 'e':
        (void)snprintf(text, capacity_bytes, "%llu", (unsigned long long)failure->expected);
        break;
    case 'a':
        (void)snprintf(text, capacity_bytes, "%llu", (unsigned long long)failure->actual);
        break;
    case 'b':
        (void)snprintf(text, capacity_bytes, "%u", (unsigned)failure->block_index);
        break;
    case 'm':
        (void)snprintf(text, capacity_bytes, "%s",
                       rdmig_message_name((uint32_t)failure->message_type));
        break;
    case 'p':
        (void)snprintf(text, capacity_bytes, "%s", rdmig_phase_name(failure->phase));
        break;
    case 'o':
        (void)snprintf(text, capacity_bytes, "%s",
                       failure->os_code != 0 ? strerror(failure->os_code) : "no number given");
        break;
    case 'd':
        (void)snprintf(text, capacity_bytes, "%s",
                       link->device_name[0] != '\0' ? link->device_name : "(none)");
        break;
    case 'w':
        (void)snprintf(text, capacity_bytes, "%s", foreign_name(failure->os_code));
        break;
    case 'f':
        describe_fault(link, failure, text, capacity_bytes);
        break;
    default: /* 'A' */
        describe_addresses(link, text, capacity_bytes);
        break;
    }
}

static void expand(const struct link *link, const struct rdmig_failure *failure, const char *format,
                   char *text, size_t capacity_bytes)
{
    size_t used = 0;

    for (; *format != '\0' && used + 1 < capacity_bytes; format++) {
        if (*format != '%') {
            text[used++] = *format;
            continue;
        }
        format++;
        text[used] = '\0';
        expand_one(link, failure, *format, text + used, capacity_bytes - used);
        used += strlen(text + used);
    }
    text[used] = '\0';
}

/* The cases in which the reason alone would mislead. True: the error is complete. */
static bool explain_special(const struct link *link, const struct rdmig_failure *failure,
                            struct rdmig_error *error)
{
    const struct link_regions *regions = &link->regions;
    char detail[sizeof(error->detail)];

    if (link->is_device_gone && (failure->reason == RDMIG_REASON_PEER_DISCONNECTED ||
                                 failure->reason == RDMIG_REASON_CONNECTION_LOST)) {
        (void)snprintf(detail, sizeof(detail), "RDMA device %s was removed while it was in use",
                       link->device_name);
        explain_error(error, RDMIG_REASON_DEVICE, ENODEV, detail);
        return true;
    }
    if (link->is_queue_unreadable && (failure->reason == RDMIG_REASON_PEER_DISCONNECTED ||
                                      failure->reason == RDMIG_REASON_CONNECTION_LOST)) {
        (void)snprintf(detail, sizeof(detail),
                       "a completion queue of RDMA device %s cannot be read any more",
                       link->device_name);
        explain_error(error, RDMIG_REASON_DEVICE, EIO, detail);
        return true;
    }
    if (failure->reason == RDMIG_REASON_REGISTER_FAILED && regions->failed.length_bytes != 0 &&
        regions->failed_is_memlock) {
        (void)snprintf(detail, sizeof(detail),
                       "%llu bytes of guest RAM cannot be pinned: %llu are pinned already and "
                       "RLIMIT_MEMLOCK is %llu",
                       (unsigned long long)regions->failed.length_bytes,
                       (unsigned long long)regions->failed_pinned_bytes,
                       (unsigned long long)rdmig_memlock_limit_bytes());
        explain_error(error, RDMIG_REASON_MEMLOCK, failure->os_code, detail);
        return true;
    }
    if (link->config.conn.role == RDMIG_ROLE_DESTINATION &&
        (failure->reason == RDMIG_REASON_PEER_UNREACHABLE ||
         failure->reason == RDMIG_REASON_CONNECT_TIMEOUT ||
         failure->reason == RDMIG_REASON_PEER_REJECTED)) {
        (void)snprintf(detail, sizeof(detail),
                       "a source asked for a connection, but went away before it was made (%s)",
                       failure->os_code != 0 ? strerror(failure->os_code) : "no answer in time");
        explain_error(error, failure->reason, failure->os_code, detail);
        (void)snprintf(error->remedy, sizeof(error->remedy), "%s", REMEDY_PEER_LOG);
        return true;
    }
    return false;
}

void link_explain(const struct link *link, struct rdmig_error *error)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(link->conn);
    char detail[sizeof(error->detail)];
    enum rdmig_reason reason;

    if (link->own.reason != RDMIG_REASON_NONE) {
        *error = link->own;
        return;
    }
    if (failure == NULL) {
        memset(error, 0, sizeof(*error));
        return;
    }
    if (explain_special(link, failure, error))
        return;
    reason =
        (unsigned)failure->reason < RDMIG_REASON_COUNT ? failure->reason : RDMIG_REASON_INTERNAL;
    expand(link, failure, explanations[reason].detail, detail, sizeof(detail));
    explain_error(error, reason, failure->os_code, detail);
    if (reason != RDMIG_REASON_SEND_FAILED && reason != RDMIG_REASON_WRITE_FAILED &&
        reason != RDMIG_REASON_RECV_FAILED)
        return;
    for (size_t i = 0; i < sizeof(status_remedies) / sizeof(status_remedies[0]); i++)
        if (link->fault.kind == LINK_FAULT_COMPLETION &&
            (int32_t)status_remedies[i].status == link->fault.os_code)
            (void)snprintf(error->remedy, sizeof(error->remedy), "%s", status_remedies[i].remedy);
}
