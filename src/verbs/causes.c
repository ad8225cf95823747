/* SPDX-License-Identifier: BSD-2-Clause */
/* Each reason in words, and what to do about it. */
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

static const struct explanation explanations[] = {
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
         "check that an RDMA device exists and its modules are loaded (rdmig devices)"},
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
    {RDMIG_REASON_DEVICE, EPROTO,
     "look at the kernel log; another version of the device's driver or firmware may help"},
    {RDMIG_REASON_REGISTER_FAILED, ENOMEM, REMEDY_MEMLOCK},
    {RDMIG_REASON_REGISTER_FAILED, EOPNOTSUPP,
     "give guest RAM that can be pinned: anonymous memory, a memfd, tmpfs or hugetlbfs; not a "
     "mapping of an ordinary file"},
    {RDMIG_REASON_REGISTER_FAILED, EFAULT,
     "give guest RAM that is mapped, writable and can be pinned: anonymous memory, a memfd, tmpfs "
     "or hugetlbfs; not a mapping of an ordinary file, nor beyond a file's end, nor in a tmpfs "
     "that is full (df)"},
};

/* A reason without a text of its own is a state that cannot be. */
enum rdmig_reason explain_known(enum rdmig_reason reason)
{
    const size_t count = sizeof(explanations) / sizeof(explanations[0]);

    return (size_t)reason < count && explanations[reason].detail ? reason : RDMIG_REASON_INTERNAL;
}

static const char *find_remedy(enum rdmig_reason reason, int32_t os_code)
{
    for (size_t i = 0; i < sizeof(special_remedies) / sizeof(special_remedies[0]); i++)
        if (special_remedies[i].reason == reason && special_remedies[i].os_code == os_code)
            return special_remedies[i].remedy;
    return explanations[explain_known(reason)].remedy;
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

const char *explain_detail(enum rdmig_reason reason)
{
    return explanations[explain_known(reason)].detail;
}
