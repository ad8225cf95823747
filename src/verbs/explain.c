/* SPDX-License-Identifier: BSD-2-Clause */
/* A failure in words: what the core's failure says, and what only the adapter knows. */
#include "link_internal.h"

#include "text/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    case LINK_FAULT_IMPOSSIBLE:
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

static bool explain_memlock(const struct link *link, const struct rdmig_failure *failure,
                            struct rdmig_error *error)
{
    const struct link_regions *regions = &link->regions;
    char detail[sizeof(error->detail)];

    if (failure->reason != RDMIG_REASON_REGISTER_FAILED || regions->failed.length_bytes == 0 ||
        !regions->failed_is_memlock)
        return false;
    (void)snprintf(detail, sizeof(detail),
                   "%llu bytes of guest RAM cannot be pinned: %llu are pinned already and "
                   "RLIMIT_MEMLOCK is %llu",
                   (unsigned long long)regions->failed.length_bytes,
                   (unsigned long long)regions->failed_pinned_bytes,
                   (unsigned long long)rdmig_memlock_limit_bytes());
    explain_error(error, RDMIG_REASON_MEMLOCK, failure->os_code, detail);
    return true;
}

/* The cases in which the reason alone would mislead. True: the error is complete. */
static bool explain_special(const struct link *link, const struct rdmig_failure *failure,
                            struct rdmig_error *error)
{
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
    if (explain_memlock(link, failure, error))
        return true;
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
    reason = explain_known(failure->reason);
    expand(link, failure, explain_detail(reason), detail, sizeof(detail));
    explain_error(error, reason, failure->os_code, detail);
    if (reason != RDMIG_REASON_SEND_FAILED && reason != RDMIG_REASON_WRITE_FAILED &&
        reason != RDMIG_REASON_RECV_FAILED)
        return;
    for (size_t i = 0; i < sizeof(status_remedies) / sizeof(status_remedies[0]); i++)
        if (link->fault.kind == LINK_FAULT_COMPLETION &&
            (int32_t)status_remedies[i].status == link->fault.os_code)
            (void)snprintf(error->remedy, sizeof(error->remedy), "%s", status_remedies[i].remedy);
}
