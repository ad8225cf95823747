/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands on the control socket. Answers: "ok", "error: cause; remedy", or the status. */
#include "vmm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000U

static const char *const state_names[VMM_STATE_COUNT] = {
    [VMM_RUNNING] = "running",   [VMM_INCOMING] = "incoming", [VMM_MIGRATING] = "migrating",
    [VMM_MIGRATED] = "migrated", [VMM_FAILED] = "failed",     [VMM_HALTED] = "halted",
};

const char *vmm_state_name(enum vmm_state state)
{
    return state_names[state];
}

/* Text that grows up to a capacity and is cut there. */
struct text {
    char *bytes;
    size_t capacity_bytes;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format,
                                                           ...)
{
    va_list arguments;
    int added;

    va_start(arguments, format);
    added = vsnprintf(text->bytes + text->length, text->capacity_bytes - text->length, format,
                      arguments);
    va_end(arguments);
    if (added > 0)
        text->length += (size_t)added;
    if (text->length >= text->capacity_bytes)
        text->length = text->capacity_bytes - 1;
}

/* Any bytes make valid JSON: what is no ASCII is taken for Latin-1. */
static void text_add_json_string(struct text *text, const char *string)
{
    text_add(text, "\"");
    for (; *string != '\0'; string++) {
        const unsigned char byte = (unsigned char)*string;

        if (byte == '"' || byte == '\\')
            text_add(text, "\\%c", byte);
        else if (byte < ' ' || byte >= 0x7f)
            text_add(text, "\\u%04x", byte);
        else
            text_add(text, "%c", byte);
    }
    text_add(text, "\"");
}

static void migration_numbers_add(struct vmm *vmm, struct text *text)
{
    struct rdmig_progress numbers;

    text_add(text, ",\"migration\":");
    if (!migration_numbers(&vmm->migration, &numbers)) {
        text_add(text, "null");
        return;
    }
    text_add(text, "{\"role\":\"%s\",\"step\":\"%s\",\"mode\":\"%s\"",
             vmm->migration.was_source ? "source" : "destination",
             migration_step_name(vmm->migration.step), numbers.pin_all ? "pin-all" : "dynamic");
#define NUMBER(key, value) text_add(text, ",\"" key "\":%llu", (unsigned long long)(value))
    NUMBER("bytes_total", numbers.bytes_total);
    NUMBER("bytes_dirty", numbers.bytes_dirty);
    NUMBER("bytes_written", numbers.bytes_written);
    NUMBER("bytes_zero", numbers.bytes_zero);
    NUMBER("bytes_stream", numbers.bytes_stream);
    NUMBER("rounds", numbers.rounds);
    NUMBER("control_messages", numbers.control_messages);
    NUMBER("control_bytes", numbers.control_bytes);
    NUMBER("round_trips", numbers.round_trips);
    NUMBER("registrations", numbers.registrations);
    NUMBER("pinned_peak_bytes", numbers.pinned_peak_bytes);
    NUMBER("setup_ms", numbers.setup_ns / NS_PER_MS);
    NUMBER("total_ms", numbers.total_ns / NS_PER_MS);
    NUMBER("downtime_ms", numbers.downtime_ns / NS_PER_MS);
    NUMBER("throughput_bytes_per_s", numbers.throughput_bytes_per_s);
    NUMBER("data_bytes_per_s", numbers.data_bytes_per_s);
#undef NUMBER
    text_add(text, "}");
}

static void command_status(struct vmm *vmm, struct text *text)
{
    char halt_text[MACHINE_SERIAL_LINE];
    uint64_t passes;

    (void)vcpu_look(&vmm->machine, &passes, halt_text);
    text_add(text, "{\"name\":");
    text_add_json_string(text, vmm->options.name);
    text_add(text, ",\"backend\":\"%s\",\"state\":\"%s\"", vmm->machine.backend->name,
             vmm_state_name(vmm->state));
    text_add(text, ",\"ram_bytes\":%llu,\"passes\":%llu",
             (unsigned long long)vmm->machine.ram_bytes, (unsigned long long)passes);
    if (vmm->state == VMM_INCOMING)
        text_add(text, ",\"port\":%u", vmm->migration.port);
    text_add(text, ",\"halted\":");
    if (halt_text[0] == '\0')
        text_add(text, "null");
    else
        text_add_json_string(text, halt_text);
    text_add(text, ",\"error\":");
    if (vmm->last_problem.cause[0] == '\0') {
        text_add(text, "null");
    } else {
        text_add(text, "{\"cause\":");
        text_add_json_string(text, vmm->last_problem.cause);
        text_add(text, ",\"remedy\":");
        text_add_json_string(text, vmm->last_problem.remedy);
        text_add(text, "}");
    }
    migration_numbers_add(vmm, text);
    text_add(text, "}");
}

static void command_migrate(struct vmm *vmm, struct text *text, const char *where, const char *how)
{
    struct problem problem = {.cause = ""};
    struct rdma_address address;

    if (vmm->state != VMM_RUNNING)
        text_add(text,
                 "error: there is no guest here to migrate (state %s); only a running one "
                 "can be",
                 vmm_state_name(vmm->state));
    else if (where == NULL || !rdma_address_parse(&address, where) ||
             (how != NULL && strcmp(how, "pin-all") != 0))
        text_add(text, "error: migrate takes rdma:HOST:PORT and perhaps pin-all; an IPv6 HOST "
                       "stands in [brackets]");
    else if (migration_send(&vmm->migration, &vmm->machine, address.host, address.service,
                            how != NULL, &problem) != 0) {
        vmm->last_problem = problem;
        text_add(text, "error: %s; %s", problem.cause, problem.remedy);
    } else {
        vmm->state = VMM_MIGRATING;
        vmm->last_problem = (struct problem){.cause = ""};
        text_add(text, "ok");
    }
}

static void command_cancel(struct vmm *vmm, struct text *text)
{
    if (vmm->state != VMM_MIGRATING && vmm->state != VMM_INCOMING)
        text_add(text, "error: no migration is under way (state %s); see status",
                 vmm_state_name(vmm->state));
    else if (migration_cancel(&vmm->migration, NULL) != 0)
        text_add(text, "error: the guest is being handed over, that cannot be taken back; see "
                       "status");
    else
        text_add(text, "ok");
}

static void command_continue(struct vmm *vmm, struct text *text)
{
    if (!vmm->may_continue) {
        text_add(text, "error: there is no guest here that waits for this (state %s); see status",
                 vmm_state_name(vmm->state));
        return;
    }
    vmm->may_continue = false;
    vmm->last_problem = (struct problem){.cause = ""};
    vmm->state = VMM_RUNNING;
    vcpu_start(&vmm->machine);
    text_add(text, "ok");
}

void vmm_command(void *context, char *command, char *answer, size_t capacity_bytes)
{
    struct vmm *vmm = context;
    struct text text = {.bytes = answer, .capacity_bytes = capacity_bytes};
    char *rest = NULL;
    const char *word = strtok_r(command, " \t\r", &rest);
    const char *first = word == NULL ? NULL : strtok_r(NULL, " \t\r", &rest);
    const char *second = first == NULL ? NULL : strtok_r(NULL, " \t\r", &rest);
    const bool is_alone = first == NULL;

    answer[0] = '\0';
    if (word == NULL)
        word = "";
    if (strcmp(word, "migrate") == 0 && strtok_r(NULL, " \t\r", &rest) == NULL)
        command_migrate(vmm, &text, first, second);
    else if (strcmp(word, "cancel") == 0 && is_alone)
        command_cancel(vmm, &text);
    else if (strcmp(word, "status") == 0 && is_alone)
        command_status(vmm, &text);
    else if (strcmp(word, "continue") == 0 && is_alone)
        command_continue(vmm, &text);
    else if (strcmp(word, "quit") == 0 && is_alone) {
        vmm->ends = true;
        text_add(&text, "ok");
    } else
        text_add(&text, "error: unknown command; commands are migrate ADDRESS [pin-all], cancel, "
                        "status, continue, quit");
}
