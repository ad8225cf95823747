/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What travels beside memory: the vCPU's state and the VMM's own numbers, as one block of bytes. A
 * header that says what it is, then one record per section, then a checksum. All numbers are
 * little-endian: the state is that of an x86 processor, and so is every host that can load it.
 */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC         0x4d56494eU
#define STATE_VERSION       1U
#define STATE_CHECKSUM_SEED 0xcbf29ce484222325U
#define STATE_CHECKSUM_STEP 0x100000001b3U

static const char same_build_remedy[] = "use the same build of minivmm on both sides";

struct state_header {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;
    uint32_t section_count;
    uint64_t length_bytes; /* of everything, checksum included */
    uint64_t ram_bytes;
    uint64_t passes;
    uint64_t serial_length; /* the line the guest was writing: the serial port's own state */
    char serial_line[MACHINE_SERIAL_LINE];
};

struct state_record {
    uint32_t tag;
    uint32_t length_bytes;
};

/* FNV-1a: finds a mixed-up or cut state, defends against nobody. */
static uint64_t checksum(const uint8_t *bytes, size_t length_bytes)
{
    uint64_t sum = STATE_CHECKSUM_SEED;

    for (size_t i = 0; i < length_bytes; i++)
        sum = (sum ^ bytes[i]) * STATE_CHECKSUM_STEP;
    return sum;
}

static size_t state_length(const struct vcpu_sections *sections)
{
    size_t length_bytes = sizeof(struct state_header) + sizeof(uint64_t);

    for (size_t i = 0; i < sections->count; i++)
        length_bytes += sizeof(struct state_record) + sections->section[i].length_bytes;
    return length_bytes;
}

int state_save(struct machine *machine, uint8_t **bytes, size_t *length_bytes,
               struct problem *problem)
{
    struct state_header header = {.magic = STATE_MAGIC,
                                  .version = STATE_VERSION,
                                  .kind = machine->backend->kind,
                                  .ram_bytes = machine->ram_bytes,
                                  .passes = machine->passes,
                                  .serial_length = machine->serial_length};
    struct vcpu_sections sections;
    uint64_t sum;
    uint8_t *at;

    if (machine->backend->vcpu_save(machine, &sections, problem) != 0)
        return -1;
    *length_bytes = state_length(&sections);
    *bytes = malloc(*length_bytes);
    if (*bytes == NULL)
        return problem_set(problem, "free some memory", "out of memory");
    header.section_count = (uint32_t)sections.count;
    header.length_bytes = *length_bytes;
    memcpy(header.serial_line, machine->serial_line, sizeof(header.serial_line));
    at = *bytes;
    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    for (size_t i = 0; i < sections.count; i++) {
        const struct state_record record = {.tag = sections.section[i].tag,
                                            .length_bytes = sections.section[i].length_bytes};

        memcpy(at, &record, sizeof(record));
        memcpy(at + sizeof(record), sections.section[i].bytes, record.length_bytes);
        at += sizeof(record) + record.length_bytes;
    }
    sum = checksum(*bytes, (size_t)(at - *bytes));
    memcpy(at, &sum, sizeof(sum));
    return 0;
}

static int header_check(const struct machine *machine, const struct state_header *header,
                        size_t length_bytes, const struct vcpu_sections *sections,
                        struct problem *problem)
{
    if (header->magic != STATE_MAGIC)
        return problem_set(problem, "migrate from a minivmm",
                           "what came in the byte stream is no minivmm state");
    if (header->version != STATE_VERSION)
        return problem_set(problem, same_build_remedy,
                           "the guest's state is of version %u, this minivmm knows version %u",
                           header->version, STATE_VERSION);
    if (header->kind != machine->backend->kind)
        return problem_set(problem, "start both sides with --kvm, or both with --process",
                           "the guest ran %s on the source, and would go on %s here",
                           header->kind == machine_backend_kvm.kind ? "under KVM" : "as a process",
                           machine->backend == &machine_backend_kvm ? "under KVM" : "as a process");
    if (header->ram_bytes != machine->ram_bytes)
        return problem_set(problem, "give the same --ram-mb on both sides",
                           "the guest has %llu bytes of memory, this machine %llu",
                           (unsigned long long)header->ram_bytes,
                           (unsigned long long)machine->ram_bytes);
    if (header->length_bytes != length_bytes || header->section_count != sections->count ||
        length_bytes != state_length(sections))
        return problem_set(problem, same_build_remedy,
                           "the guest's state has %zu bytes in %u sections, not %zu in %zu",
                           length_bytes, header->section_count, state_length(sections),
                           sections->count);
    if (header->serial_length >= MACHINE_SERIAL_LINE)
        return problem_set(problem, same_build_remedy, "the guest's serial line is too long");
    return 0;
}

int state_load(struct machine *machine, const uint8_t *bytes, size_t length_bytes,
               struct problem *problem)
{
    const uint8_t *at = bytes;
    struct state_header header;
    struct vcpu_sections sections;
    uint64_t sum;

    machine->backend->vcpu_sections(machine, &sections);
    if (length_bytes < sizeof(header) + sizeof(sum))
        return problem_set(problem, same_build_remedy, "the guest's state is cut short: %zu bytes",
                           length_bytes);
    memcpy(&header, at, sizeof(header));
    if (header_check(machine, &header, length_bytes, &sections, problem) != 0)
        return -1;
    memcpy(&sum, bytes + length_bytes - sizeof(sum), sizeof(sum));
    if (sum != checksum(bytes, length_bytes - sizeof(sum)))
        return problem_set(problem, "migrate again; if it stays, check the network's hardware",
                           "the guest's state came damaged: its checksum is wrong");
    at += sizeof(header);
    for (size_t i = 0; i < sections.count; i++) {
        struct state_record record;

        /* Together the records fill the length exactly, and each is checked before it is used. */
        memcpy(&record, at, sizeof(record));
        if (record.tag != sections.section[i].tag ||
            record.length_bytes != sections.section[i].length_bytes)
            return problem_set(problem, same_build_remedy,
                               "section %zu of the guest's state is not what is expected", i);
        memcpy(sections.section[i].bytes, at + sizeof(record), record.length_bytes);
        at += sizeof(record) + record.length_bytes;
    }
    machine->passes = header.passes;
    machine->serial_length = (size_t)header.serial_length;
    memcpy(machine->serial_line, header.serial_line, sizeof(machine->serial_line));
    return machine->backend->vcpu_load(machine, problem);
}
