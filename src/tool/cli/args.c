/* SPDX-License-Identifier: BSD-2-Clause */
#include "args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RUN_CHUNK_COUNT_MAX 4096u
/* UINT32_MAX would mean "no limit" to the library. */
#define MILLISECONDS_MAX (UINT32_MAX - 1u)
#define MS_PER_S         1000u

enum command_bit {
    SEND = 1 << TOOL_COMMAND_SEND,
    RECV = 1 << TOOL_COMMAND_RECV,
    CAPTURE = 1 << TOOL_COMMAND_CAPTURE,
    RESTORE = 1 << TOOL_COMMAND_RESTORE,
    RELAY = 1 << TOOL_COMMAND_RELAY,
    DEVICES = 1 << TOOL_COMMAND_DEVICES,
    MIGRATION = SEND | RECV | CAPTURE | RESTORE | RELAY,
    ALL = MIGRATION | DEVICES
};

/* Returns NULL, or what is wrong with the value. */
typedef const char *option_take(struct tool_args *args, const char *value);

struct option_row {
    const char *name;
    const char *value_name; /* NULL: takes no value */
    unsigned int commands;  /* command_bit */
    option_take *take;
    const char *help;
};

struct command_row {
    const char *name;
    const char *synopsis;
    const char *summary;
    const char *text;
};

static const struct command_row commands[TOOL_COMMAND_COUNT] = {
    [TOOL_COMMAND_SEND] = {"send", "--to HOST:PORT --ram NAME=FILE [--ram ...] [options]",
                           "send memory blocks and a byte stream to an rdmig recv",
                           "Sends the named files as memory blocks, then a byte stream, and hands "
                           "them over.\nNobody may write to the files meanwhile: a file has no "
                           "dirty log, so each is read once."},
    [TOOL_COMMAND_RECV] = {"recv", "--listen HOST:PORT --ram NAME=FILE [--ram ...] [options]",
                           "receive them, one migration",
                           "Waits for one source and receives its memory blocks into existing "
                           "files of the same lengths.\nOrdinary files and the stream's file "
                           "change only when the migration has completed."},
    [TOOL_COMMAND_CAPTURE] = {"capture", "--listen HOST:PORT --into DIR [options]",
                              "receive a guest from an unmodified QEMU into a directory",
                              "Waits for one QEMU (migrate rdma:HOST:PORT) and makes DIR/ram/NAME, "
                              "DIR/stream and\nDIR/manifest.json. DIR is complete or does not "
                              "appear."},
    [TOOL_COMMAND_RESTORE] = {"restore", "--to HOST:PORT --from DIR [options]",
                              "play a captured guest into an unmodified QEMU",
                              "Sends a guest that rdmig capture has written to DIR to a QEMU that "
                              "was started with\n-incoming rdma:HOST:PORT and the source's machine "
                              "and devices. DIR stays as it is."},
    [TOOL_COMMAND_RELAY] = {"relay", "--listen HOST:PORT --to HOST:PORT [options]",
                            "pass a running guest on from one unmodified QEMU to another",
                            "Waits for one QEMU (migrate rdma:HOST:PORT) and passes its guest on, "
                            "round by round, to a\nQEMU that was started with -incoming "
                            "rdma:HOST:PORT. Takes twice the guest's memory."},
    [TOOL_COMMAND_DEVICES] = {"devices", "[--json]",
                              "list the RDMA devices and whether a migration can use them",
                              "Lists RDMA devices, ports, limits and the locked-memory limit, and "
                              "says of each device\nwhether a migration can use it and if not, "
                              "why. Exit 1 when none can be used."},
};

static const char *take_to(struct tool_args *args, const char *value)
{
    return parse_address(value, false, &args->address);
}

static const char *take_relay_to(struct tool_args *args, const char *value)
{
    return parse_address(value, false, &args->relay_to);
}

static const char *take_listen(struct tool_args *args, const char *value)
{
    return parse_address(value, true, &args->address);
}

static const char *check_ram(const struct tool_args *args, const char *value, size_t name_bytes)
{
    if (name_bytes == 0 || name_bytes > TOOL_BLOCK_NAME_BYTES_MAX)
        return "a block's name has 1 to 255 bytes: write --ram NAME=FILE";
    if (value[name_bytes + 1] == '\0')
        return "the file is missing: write --ram NAME=FILE";
    if (args->ram_count == RDMIG_BLOCK_COUNT_MAX)
        return "a migration has at most 16383 blocks";
    return NULL;
}

static const char *take_ram(struct tool_args *args, const char *value)
{
    const char *equals = strchr(value, '=');
    size_t name_bytes = equals == NULL ? 0 : (size_t)(equals - value);
    const char *wrong = check_ram(args, value, name_bytes);
    struct tool_ram *rams;
    char *name;

    if (wrong != NULL)
        return wrong;
    rams = realloc(args->rams, (args->ram_count + 1) * sizeof(*rams));
    if (rams == NULL)
        return "out of memory";
    args->rams = rams;
    name = strndup(value, name_bytes);
    if (name == NULL)
        return "out of memory";
    rams[args->ram_count].name = name;
    rams[args->ram_count].path = equals + 1;
    args->ram_count++;
    return NULL;
}

static const char *take_stream(struct tool_args *args, const char *value)
{
    args->stream_path = value;
    return value[0] == '\0' ? "the file's name is empty" : NULL;
}

static const char *take_into(struct tool_args *args, const char *value)
{
    args->into_path = value;
    return value[0] == '\0' ? "the directory's name is empty" : NULL;
}

static const char *take_from(struct tool_args *args, const char *value)
{
    args->from_path = value;
    return value[0] == '\0' ? "the directory's name is empty" : NULL;
}

static const char *take_pin_all(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_pin_all = true;
    return NULL;
}

static const char *take_refuse_pin_all(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_pin_all_refused = true;
    return NULL;
}

static const char *take_relaxed(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_relaxed_wanted = true;
    return NULL;
}

static const char *take_on_demand(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_on_demand_wanted = true;
    return NULL;
}

static const char *take_json(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_json = true;
    return NULL;
}

static const char *take_help(struct tool_args *args, const char *value)
{
    (void)value;
    args->is_help = true;
    return NULL;
}

static const char *take_run_chunks(struct tool_args *args, const char *value)
{
    uint64_t number;

    if (!parse_number(value, 1, RUN_CHUNK_COUNT_MAX, &number))
        return "must be a number from 1 to 4096";
    args->run_chunk_count = (uint32_t)number;
    return NULL;
}

static const char *take_downtime(struct tool_args *args, const char *value)
{
    uint64_t number;

    if (!parse_number(value, 1, MILLISECONDS_MAX, &number))
        return "must be a number of milliseconds from 1 to 4294967294";
    args->downtime_target_ms = (uint32_t)number;
    return NULL;
}

static const char *take_time_limit(struct tool_args *args, const char *value)
{
    uint64_t number;

    if (!parse_number(value, 1, MILLISECONDS_MAX / MS_PER_S, &number))
        return "must be a number of seconds from 1 to 4294967";
    args->time_limit_ms = (uint32_t)number * MS_PER_S;
    return NULL;
}

static const char *take_bandwidth(struct tool_args *args, const char *value)
{
    if (!parse_size(value, &args->bandwidth_bytes_per_s))
        return "must be bytes per second, such as 500M (K, M, G, T: powers of 1024)";
    return NULL;
}

static const char *take_pinned_max(struct tool_args *args, const char *value)
{
    if (strcmp(value, "none") == 0)
        args->pinned_limit_bytes = UINT64_MAX;
    else if (!parse_size(value, &args->pinned_limit_bytes))
        return "must be bytes, such as 512M (K, M, G, T: powers of 1024), or none";
    return NULL;
}

static const struct option_row options[] = {
    {"to", "HOST:PORT", SEND, take_to, "where rdmig recv listens; IPv6: [ADDRESS]:PORT"},
    {"to", "HOST:PORT", RESTORE, take_to, "where the QEMU listens; IPv6: [ADDRESS]:PORT"},
    {"to", "HOST:PORT", RELAY, take_relay_to,
     "where the destination QEMU listens; IPv6: [ADDRESS]:PORT"},
    {"listen", "HOST:PORT", RECV | CAPTURE | RELAY, take_listen,
     "wait there; empty HOST: every address; PORT 0: any"},
    {"ram", "NAME=FILE", SEND | RECV, take_ram,
     "a memory block and the file that holds it; once a block"},
    {"stream", "FILE", SEND, take_stream, "byte stream to send after the memory; - is stdin"},
    {"stream", "FILE", RECV, take_stream, "where to put the byte stream that comes"},
    {"into", "DIR", CAPTURE, take_into, "directory to make; must not exist"},
    {"from", "DIR", RESTORE, take_from, "directory of a captured guest"},
    {"pin-all", NULL, SEND | RESTORE, take_pin_all,
     "register all memory at the start, on both ends"},
    {"pin-all", NULL, RELAY, take_pin_all,
     "register all memory at the start, towards the destination"},
    {"refuse-pin-all", NULL, RECV | CAPTURE | RELAY, take_refuse_pin_all,
     "answer a request for that with dynamic registration"},
    {"run-chunks", "N", SEND | RESTORE | RELAY, take_run_chunks,
     "MiB in one registration at the most, 1 to 4096 [64]"},
    {"pinned-max", "BYTES", MIGRATION, take_pinned_max,
     "memory pinned at a time; none: no limit [what the system allows]"},
    {"on-demand-paging", NULL, MIGRATION, take_on_demand,
     "do not pin memory where the device can do without"},
    {"relaxed-ordering", NULL, MIGRATION, take_relaxed, "let the device move memory in any order"},
    {"downtime-ms", "N", SEND, take_downtime, "downtime target in milliseconds [300]"},
    {"bandwidth", "BYTES_PER_S", SEND | RESTORE | RELAY, take_bandwidth,
     "cap; suffixes K, M, G, T [none]"},
    {"time-limit", "SECONDS", MIGRATION, take_time_limit,
     "for the whole migration, from the connection on [none]"},
    {"json", NULL, ALL, take_json, "print one JSON object on standard output"},
    {"help", NULL, ALL, take_help, "print this"},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

const char *args_command_name(enum tool_command command)
{
    return commands[command].name;
}

bool args_find_command(const char *name, enum tool_command *command)
{
    for (unsigned int i = 0; i < TOOL_COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            *command = (enum tool_command)i;
            return true;
        }
    }
    return false;
}

static bool is_option_of(const struct option_row *row, enum tool_command command)
{
    return (row->commands >> command & 1u) != 0;
}

__attribute__((format(printf, 3, 4))) static bool
refuse(struct tool_error *error, enum tool_command command, const char *format, ...)
{
    char remedy[64];
    char cause[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cause, sizeof(cause), format, arguments);
    va_end(arguments);
    snprintf(remedy, sizeof(remedy), "see rdmig %s --help", commands[command].name);
    tool_error_set(error, TOOL_REASON_USAGE, remedy, "%s", cause);
    return false;
}

/* An error in front of --json is to be told as JSON all the same. */
static bool has_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

static bool check_required(const struct tool_args *args, struct tool_error *error)
{
    bool is_listening = args->command == TOOL_COMMAND_RECV ||
                        args->command == TOOL_COMMAND_CAPTURE ||
                        args->command == TOOL_COMMAND_RELAY;

    if (args->command == TOOL_COMMAND_DEVICES)
        return true;
    if (args->address.port[0] == '\0')
        return refuse(error, args->command, "--%s HOST:PORT is missing",
                      is_listening ? "listen" : "to");
    if (args->command == TOOL_COMMAND_CAPTURE)
        return args->into_path != NULL || refuse(error, args->command, "--into DIR is missing");
    if (args->command == TOOL_COMMAND_RESTORE)
        return args->from_path != NULL || refuse(error, args->command, "--from DIR is missing");
    if (args->command == TOOL_COMMAND_RELAY)
        return args->relay_to.port[0] != '\0' ||
               refuse(error, args->command, "--to HOST:PORT is missing");
    return args->ram_count != 0 || refuse(error, args->command, "--ram NAME=FILE is missing");
}

static int compare_names(const void *a, const void *b)
{
    const struct tool_ram *const *left = a;
    const struct tool_ram *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

/* By sorting: there may be thousands. */
static bool check_names(const struct tool_args *args, struct tool_error *error)
{
    const struct tool_ram **sorted = calloc(args->ram_count + (size_t)1, sizeof(*sorted));
    const struct tool_ram *doubled = NULL;

    if (sorted == NULL)
        return refuse(error, args->command, "out of memory");
    for (uint32_t i = 0; i < args->ram_count; i++)
        sorted[i] = &args->rams[i];
    qsort(sorted, args->ram_count, sizeof(*sorted), compare_names);
    for (uint32_t i = 1; i < args->ram_count && doubled == NULL; i++)
        doubled = compare_names(&sorted[i - 1], &sorted[i]) == 0 ? sorted[i] : NULL;
    free(sorted);
    return doubled == NULL ||
           refuse(error, args->command, "--ram %s=...: that name is given twice", doubled->name);
}

/* Makes getopt's table of the sub-command's options; val is the row's index plus one. */
static void list_options(enum tool_command command, struct option list[OPTION_COUNT + 1])
{
    size_t count = 0;

    memset(list, 0, (OPTION_COUNT + 1) * sizeof(*list));
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_option_of(&options[i], command)) {
            list[count].name = options[i].name;
            list[count].has_arg = options[i].value_name != NULL ? required_argument : no_argument;
            list[count].val = (int)i + 1;
            count++;
        }
    }
}

static bool take_option(struct tool_args *args, int found, char **argv, int at,
                        struct tool_error *error)
{
    const struct option_row *row;
    const char *wrong;

    if (found == ':')
        return refuse(error, args->command, "%s needs a value", argv[at]);
    if (found == '?')
        return refuse(error, args->command, "unknown or ambiguous option %s", argv[at]);
    row = &options[found - 1];
    wrong = row->take(args, optarg);
    if (wrong != NULL)
        return refuse(error, args->command, "--%s%s%s: %s", row->name, optarg == NULL ? "" : " ",
                      optarg == NULL ? "" : optarg, wrong);
    return true;
}

bool args_parse(struct tool_args *args, enum tool_command command, int argc, char **argv,
                struct tool_error *error)
{
    struct option list[OPTION_COUNT + 1];
    int found;
    int at;

    memset(args, 0, sizeof(*args));
    args->command = command;
    args->is_json = has_json(argc, argv);
    list_options(command, list);
    opterr = 0;
    optind = 0; /* makes glibc's getopt start anew */
    for (;;) {
        at = optind == 0 ? 1 : optind;
        /* "+": stop at the first operand, there is none that could be meant. */
        found = getopt_long(argc, argv, "+:", list, NULL);
        if (found == -1)
            break;
        if (!take_option(args, found, argv, at, error))
            return false;
        if (args->is_help)
            return true;
    }
    if (optind < argc)
        return refuse(error, command, "unexpected argument %s", argv[optind]);
    return check_names(args, error) && check_required(args, error);
}

void args_free(struct tool_args *args)
{
    for (uint32_t i = 0; i < args->ram_count; i++)
        free(args->rams[i].name);
    free(args->rams);
    args->rams = NULL;
    args->ram_count = 0;
}

void args_print_help(enum tool_command command, FILE *out)
{
    fprintf(out, "usage: rdmig %s %s\n\n%s\n\n", commands[command].name, commands[command].synopsis,
            commands[command].text);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_option_of(&options[i], command)) {
            char left[40];

            snprintf(left, sizeof(left), "--%s%s%s", options[i].name,
                     options[i].value_name == NULL ? "" : " ",
                     options[i].value_name == NULL ? "" : options[i].value_name);
            fprintf(out, "  %-24s %s\n", left, options[i].help);
        }
    }
}

void args_print_commands(FILE *out)
{
    for (size_t i = 0; i < TOOL_COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
}
