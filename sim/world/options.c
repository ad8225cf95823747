/* SPDX-License-Identifier: BSD-2-Clause */
/* Options as text: one table says how each is read, set and printed. Drawing them: options_draw.c.
 */
#include "options.h"

#include <rdmig/core.h>

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum option_kind {
    OPTION_COUNT32,
    OPTION_COUNT64,
    OPTION_BYTES32,
    OPTION_BYTES64,
    OPTION_RATE, /* a second: suffixes are decimal */
    OPTION_TIME,
    OPTION_FLAG,
    OPTION_PARTY,
    OPTION_WORKLOAD,
    OPTION_COSTS,
    OPTION_BLOCKS, /* a list of lengths */
    OPTION_FAULT   /* one more of them each time */
};

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;
    uint64_t minimum;
    uint64_t maximum; /* 0: what the type holds */
};

#define AT(member) offsetof(struct options, member)
#define ENGINE_ROWS(prefix, role)                                                                  \
    {prefix ".run_chunk_count", OPTION_COUNT32, AT(engine[role].run_chunk_count), 0, 32768},       \
        {prefix ".register_batch_count", OPTION_COUNT32, AT(engine[role].register_batch_count), 0, \
         RDMIG_REGISTER_BATCH_MAX},                                                                \
        {prefix ".send_queue_depth", OPTION_COUNT32, AT(engine[role].send_queue_depth),            \
         RDMIG_SEND_QUEUE_MIN, RDMIG_SEND_QUEUE_MAX},                                              \
        {prefix ".signal_interval", OPTION_COUNT32, AT(engine[role].signal_interval), 0, 0},       \
        {prefix ".stream_message_bytes", OPTION_BYTES32, AT(engine[role].stream_message_bytes), 0, \
         RDMIG_STREAM_BYTES_MAX},                                                                  \
        {prefix ".write_bytes_max", OPTION_BYTES64, AT(engine[role].write_bytes_max), 0,           \
         UINT64_C(1) << 30},                                                                       \
        {prefix ".connect_timeout", OPTION_TIME, AT(engine[role].connect_timeout_ns), 0, 0},       \
        {prefix ".reply_timeout", OPTION_TIME, AT(engine[role].reply_timeout_ns), 0, 0},           \
        {prefix ".probe_interval", OPTION_TIME, AT(engine[role].probe_interval_ns), 0, 0},         \
        {prefix ".idle_timeout", OPTION_TIME, AT(engine[role].idle_timeout_ns), 0, 0},             \
        {prefix ".close_timeout", OPTION_TIME, AT(engine[role].close_timeout_ns), 0, 0},           \
    {                                                                                              \
        prefix ".leave_timeout", OPTION_TIME, AT(engine[role].leave_timeout_ns), 0, 0              \
    }

static const struct option_row rows[] = {
    {"source.kind", OPTION_PARTY, AT(kind[RDMIG_ROLE_SOURCE]), 0, 0},
    {"destination.kind", OPTION_PARTY, AT(kind[RDMIG_ROLE_DESTINATION]), 0, 0},
    {"source.pin_all", OPTION_FLAG, AT(is_pin_all[RDMIG_ROLE_SOURCE]), 0, 1},
    {"destination.pin_all", OPTION_FLAG, AT(is_pin_all[RDMIG_ROLE_DESTINATION]), 0, 1},
    {"source.pipelined", OPTION_FLAG, AT(is_pipelined[RDMIG_ROLE_SOURCE]), 0, 1},
    {"destination.pipelined", OPTION_FLAG, AT(is_pipelined[RDMIG_ROLE_DESTINATION]), 0, 1},
    {"source.pinned_bytes_max", OPTION_BYTES64, AT(pinned_bytes_max[RDMIG_ROLE_SOURCE]), 0, 0},
    {"destination.pinned_bytes_max", OPTION_BYTES64, AT(pinned_bytes_max[RDMIG_ROLE_DESTINATION]),
     0, 0},
    {"ram_told", OPTION_FLAG, AT(is_ram_told), 0, 1},
    {"blocks", OPTION_BLOCKS, AT(guest), 0, 0},
    {"workload", OPTION_WORKLOAD, AT(guest.workload), 0, 0},
    {"writes_per_s", OPTION_RATE, AT(guest.writes_per_s), 0, UINT64_C(1000000000000)},
    {"hot_page_count", OPTION_COUNT64, AT(guest.hot_page_count), 1, 0},
    {"stride", OPTION_COUNT32, AT(guest.stride), 1, 0},
    {"zero_percent", OPTION_COUNT32, AT(guest.zero_percent), 0, 100},
    {"zero_run_pages", OPTION_COUNT32, AT(guest.zero_run_pages), 1, 0},
    {"rezero_permille", OPTION_COUNT32, AT(guest.rezero_permille), 0, 1000},
    ENGINE_ROWS("source", RDMIG_ROLE_SOURCE),
    ENGINE_ROWS("destination", RDMIG_ROLE_DESTINATION),
    {"state_bytes", OPTION_BYTES32, AT(state_bytes), 0, 0},
    {"prefix_bytes", OPTION_BYTES32, AT(prefix_bytes), 0, 0},
    {"round_count_max", OPTION_COUNT32, AT(round_count_max), 1, 0},
    {"downtime_limit", OPTION_TIME, AT(downtime_limit_ns), 0, 0},
    {"costs", OPTION_COSTS, AT(costs), 0, 0},
    {"link_bits_per_s", OPTION_RATE, AT(link_bits_per_s), 0, UINT64_C(100000000000000)},
    {"jitter_steps", OPTION_COUNT32, AT(jitter_steps), 1, 64},
    {"private_data_bytes", OPTION_COUNT32, AT(private_data_bytes), 8, 196},
    {"unregister_permille", OPTION_COUNT32, AT(unregister_permille), 0, 1000},
    {"wrong_call_permille", OPTION_COUNT32, AT(wrong_call_permille), 0, 1000},
    {"pause_permille", OPTION_COUNT32, AT(pause_permille), 0, 1000},
    {"fault", OPTION_FAULT, AT(faults), 0, 0},
    {"time_limit", OPTION_TIME, AT(time_limit_ns), 0, 0},
    {"step_limit", OPTION_COUNT64, AT(step_limit), 0, 0},
    {"is_quiet", OPTION_FLAG, AT(is_quiet), 0, 1},
    {"has_big_ram", OPTION_FLAG, AT(has_big_ram), 0, 1},
};
#undef AT

_Static_assert(sizeof(enum party_kind) == sizeof(uint32_t) &&
                   sizeof(enum workload) == sizeof(uint32_t) &&
                   sizeof(enum costs_kind) == sizeof(uint32_t),
               "enums are read and printed as 32-bit numbers");

struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix byte_suffixes[] = {{"", 1},
                                              {"K", UINT64_C(1) << 10},
                                              {"M", UINT64_C(1) << 20},
                                              {"G", UINT64_C(1) << 30},
                                              {"T", UINT64_C(1) << 40},
                                              {NULL, 0}};
static const struct suffix rate_suffixes[] = {
    {"", 1},  {"K", 1000}, {"M", 1000000}, {"G", 1000000000}, {"T", UINT64_C(1000000000000)},
    {NULL, 0}};
static const struct suffix time_suffixes[] = {{"", 1},         {"ns", 1},         {"us", 1000},
                                              {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};
static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};

#define NAME_OF(name) #name,
static const char *const fault_names[FAULT_KIND_COUNT] = {FAULT_MAP(NAME_OF)};
#undef NAME_OF
static const char *const party_names[PARTY_KIND_COUNT] = {"ours", "stock", "hostile"};
static const char *const workload_names[WORKLOAD_COUNT] = {"idle", "hot_set", "sequential",
                                                           "random", "sparse"};
static const char *const role_words[2] = {"source", "destination"};

const char *fault_name(enum fault_kind kind)
{
    return (unsigned)kind < FAULT_KIND_COUNT ? fault_names[kind] : "unknown";
}

const char *party_kind_name(enum party_kind kind)
{
    return (unsigned)kind < PARTY_KIND_COUNT ? party_names[kind] : "unknown";
}

const char *workload_name(enum workload workload)
{
    return (unsigned)workload < WORKLOAD_COUNT ? workload_names[workload] : "unknown";
}

void options_init(struct options *options)
{
    memset(options, 0, sizeof(*options));
    options->is_pipelined[RDMIG_ROLE_SOURCE] = true;
    options->is_pipelined[RDMIG_ROLE_DESTINATION] = true;
    options->is_ram_told = true;
    options->guest.block_count = 2;
    options->guest.block_bytes[0] = 300 * UINT64_C(4096);
    options->guest.block_bytes[1] = 3 * UINT64_C(4096);
    options->guest.hot_page_count = 16;
    options->guest.stride = 8;
    options->guest.zero_run_pages = 16;
    options->round_count_max = 4;
    options->downtime_limit_ns = 50000;
    options->jitter_steps = 1;
    options->private_data_bytes = RDMIG_PRIVATE_DATA_BYTES;
    options->time_limit_ns = UINT64_C(600000000000);
    options->step_limit = 1000000;
}

/* Digits and one of the suffixes. NULL, or what is wrong. */
static const char *read_number(const char *text, const struct suffix *suffixes, uint64_t *out)
{
    uint64_t number = 0;

    if (*text < '0' || *text > '9')
        return "a number is wanted here";
    for (; *text >= '0' && *text <= '9'; text++) {
        const uint64_t digit = (uint64_t)(*text - '0');

        if (number > (UINT64_MAX - digit) / 10)
            return "the number is too large";
        number = number * 10 + digit;
    }
    for (; suffixes->text; suffixes++) {
        if (strcmp(text, suffixes->text) != 0)
            continue;
        if (number > UINT64_MAX / suffixes->factor)
            return "the number is too large";
        *out = number * suffixes->factor;
        return NULL;
    }
    return "the number's unit is unknown: sizes take K, M, G, T, times ns, us, ms, s";
}

/* Place of text in names; count: none of them. */
static uint32_t find_name(const char *const *names, uint32_t count, const char *text)
{
    uint32_t index = 0;

    while (index < count && strcmp(names[index], text) != 0)
        index++;
    return index;
}

/* "LINK_DOWN source 120 0": kind, end, moment, argument. */
static const char *set_fault(struct options *options, const char *value)
{
    char kind[32];
    char role[16];
    uint64_t moment;
    uint32_t argument;
    struct fault fault;
    int end = 0;

    if (options->fault_count == OPTION_FAULTS_MAX)
        return "a world has 3 faults at the most";
    if (sscanf(value, "%31s %15s %" SCNu64 " %" SCNu32 " %n", kind, role, &moment, &argument,
               &end) != 4 ||
        value[end] != '\0')
        return "a fault is: KIND source|destination MOMENT ARGUMENT";
    fault.kind = (enum fault_kind)find_name(fault_names, FAULT_KIND_COUNT, kind);
    fault.role = find_name(role_words, 2, role);
    fault.moment = moment;
    fault.argument = argument;
    if (fault.kind == FAULT_KIND_COUNT)
        return "no fault has that name: the names are in sim/options.h";
    if (fault.role == 2)
        return "a fault happens to the source or to the destination";
    options->faults[options->fault_count++] = fault;
    return NULL;
}

/* "1M, 8K": the lengths of all blocks. */
static const char *set_blocks(struct options *options, const char *value)
{
    struct guest_options *guest = &options->guest;
    uint64_t block_bytes[OPTION_BLOCKS_MAX];
    uint32_t count = 0;
    char word[32];
    int used = 0;

    while (sscanf(value, " %31[^, ] %n", word, &used) == 1) {
        const char *wrong = NULL;

        if (count == OPTION_BLOCKS_MAX)
            return "a guest has 96 blocks at the most";
        wrong = read_number(word, byte_suffixes, &block_bytes[count]);
        if (wrong)
            return wrong;
        if (block_bytes[count] == 0 || block_bytes[count] % 4096 != 0 ||
            block_bytes[count] > UINT64_C(1) << 44)
            return "a block has a multiple of 4096 bytes, from 4096 to 16T";
        count++;
        value += used;
        if (*value == ',')
            value++;
    }
    if (count == 0 || *value != '\0')
        return "blocks are lengths with commas between them";
    memset(guest->block_bytes, 0, sizeof(guest->block_bytes));
    memcpy(guest->block_bytes, block_bytes, count * sizeof(block_bytes[0]));
    guest->block_count = count;
    return NULL;
}

static bool is_wide(enum option_kind kind)
{
    return kind == OPTION_COUNT64 || kind == OPTION_BYTES64 || kind == OPTION_RATE ||
           kind == OPTION_TIME;
}

static uint64_t row_get(const struct options *options, const struct option_row *row)
{
    const char *member = (const char *)options + row->offset;
    uint32_t narrow;
    uint64_t wide;

    if (row->kind == OPTION_FLAG)
        return *(const bool *)member;
    if (is_wide(row->kind)) {
        memcpy(&wide, member, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, member, sizeof(narrow));
    return narrow;
}

static void row_put(struct options *options, const struct option_row *row, uint64_t value)
{
    char *member = (char *)options + row->offset;
    const uint32_t narrow = (uint32_t)value;

    if (row->kind == OPTION_FLAG)
        *(bool *)member = value != 0;
    else if (is_wide(row->kind))
        memcpy(member, &value, sizeof(value));
    else
        memcpy(member, &narrow, sizeof(narrow));
}

/* The number that value stands for. NULL, or what is wrong. */
static const char *row_read(const struct option_row *row, const char *value, uint64_t *out)
{
    enum costs_kind costs;

    switch (row->kind) {
    case OPTION_BYTES32:
    case OPTION_BYTES64:
        return read_number(value, byte_suffixes, out);
    case OPTION_RATE:
        return read_number(value, rate_suffixes, out);
    case OPTION_TIME:
        return read_number(value, time_suffixes, out);
    case OPTION_PARTY:
        *out = find_name(party_names, PARTY_KIND_COUNT, value);
        return *out == PARTY_KIND_COUNT ? "a party is: ours, stock or hostile" : NULL;
    case OPTION_WORKLOAD:
        *out = find_name(workload_names, WORKLOAD_COUNT, value);
        return *out == WORKLOAD_COUNT ? "a workload is: idle, hot_set, sequential, random or sparse"
                                      : NULL;
    case OPTION_COSTS:
        if (!costs_find(value, &costs))
            return "no set of costs has that name: the names are in sim/costs.c";
        *out = (uint64_t)costs;
        return NULL;
    default:
        return read_number(value, no_suffixes, out);
    }
}

/* An engine's 0 is the default of the core. */
static bool is_default(const struct option_row *row, uint64_t number)
{
    return number == 0 && row->offset >= offsetof(struct options, engine) &&
           row->offset < offsetof(struct options, state_bytes);
}

const char *options_set(struct options *options, const char *name, const char *value)
{
    const struct option_row *row = rows;
    const struct option_row *const end = rows + sizeof(rows) / sizeof(rows[0]);
    const char *wrong = NULL;
    uint64_t number = 0;
    uint64_t maximum;

    while (row < end && strcmp(row->name, name) != 0)
        row++;
    if (row == end)
        return "no option has that name: `rdmig-sim --print-options` shows them all";
    if (row->kind == OPTION_FAULT)
        return set_fault(options, value);
    if (row->kind == OPTION_BLOCKS)
        return set_blocks(options, value);
    wrong = row_read(row, value, &number);
    if (wrong)
        return wrong;
    maximum = row->maximum || is_wide(row->kind) ? row->maximum : UINT32_MAX;
    if ((number < row->minimum && !is_default(row, number)) || (maximum && number > maximum))
        return "the number is outside the option's limits";
    row_put(options, row, number);
    return NULL;
}

/* Cuts the comment and the space at both ends off; returns where the line begins. */
static char *trim(char *line)
{
    char *end;

    line[strcspn(line, "#\r\n")] = '\0';
    line += strspn(line, " \t");
    end = line + strlen(line);
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return line;
}

static const char *read_line(struct options *options, char *line)
{
    char *value = strchr(line, '=');

    if (!value)
        return "a line is: name = value";
    *value++ = '\0';
    return options_set(options, trim(line), trim(value));
}

const char *options_read(struct options *options, FILE *file)
{
    static char text[200];
    char line[400];
    unsigned line_number = 0;

    while (fgets(line, sizeof(line), file)) {
        char *start;
        const char *wrong;

        line_number++;
        start = trim(line);
        if (*start == '\0')
            continue;
        if (strcmp(start, "decisions:") == 0)
            return NULL;
        wrong = read_line(options, start);
        if (wrong) {
            snprintf(text, sizeof(text), "line %u: %s: %s", line_number, start, wrong);
            return text;
        }
    }
    return ferror(file) ? "the file cannot be read" : NULL;
}

static void print_row(const struct options *options, const struct option_row *row, FILE *file)
{
    const uint64_t value = row_get(options, row);

    switch (row->kind) {
    case OPTION_PARTY:
        fprintf(file, "%s = %s\n", row->name, party_kind_name((enum party_kind)value));
        break;
    case OPTION_WORKLOAD:
        fprintf(file, "%s = %s\n", row->name, workload_name((enum workload)value));
        break;
    case OPTION_COSTS:
        fprintf(file, "%s = %s\n", row->name, costs_of((enum costs_kind)value)->name);
        break;
    case OPTION_TIME:
        fprintf(file, "%s = %" PRIu64 "ns\n", row->name, value);
        break;
    default:
        fprintf(file, "%s = %" PRIu64 "\n", row->name, value);
    }
}

void options_print(const struct options *options, FILE *file)
{
    const size_t row_count = sizeof(rows) / sizeof(rows[0]);

    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].kind == OPTION_BLOCKS) {
            fprintf(file, "%s = ", rows[i].name);
            for (uint32_t block = 0; block < options->guest.block_count; block++)
                fprintf(file, "%s%" PRIu64, block ? ", " : "", options->guest.block_bytes[block]);
            fprintf(file, "\n");
        } else if (rows[i].kind == OPTION_FAULT) {
            for (uint32_t n = 0; n < options->fault_count; n++)
                fprintf(file, "%s = %s %s %" PRIu64 " %" PRIu32 "\n", rows[i].name,
                        fault_name(options->faults[n].kind),
                        role_words[options->faults[n].role & 1], options->faults[n].moment,
                        options->faults[n].argument);
        } else {
            print_row(options, &rows[i], file);
        }
    }
}
