/* SPDX-License-Identifier: BSD-2-Clause */
#include "args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

/* What a value is, and what of struct tool_args it goes into. */
enum option_kind {
    FLAG,         /* no value: a bool */
    TEXT,         /* const char *, not empty */
    CONNECT_TO,   /* struct tool_address */
    LISTEN_ON,    /* the same; any host, any port */
    BLOCK,        /* one more of the rams */
    NUMBER,       /* uint32_t, from 1 to maximum, times unit */
    SIZE,         /* uint64_t */
    SIZE_OR_NONE, /* the same; none: UINT64_MAX */
};

struct option_row {
    const char *name;
    const char *value_name; /* NULL: takes no value */
    unsigned int commands;  /* command_bit */
    enum option_kind kind;
    size_t offset;
    const char *help;
    const char *wrong; /* what is said of a value that is not one */
    uint32_t maximum;
    uint32_t unit;
};

struct command_row {
    const char *name;
    const char *required[2]; /* options, in the order in which they are missed */
    const char *synopsis;
    const char *summary;
    const char *text;
};

static const struct command_row commands[TOOL_COMMAND_COUNT] = {
    [TOOL_COMMAND_SEND] = {"send",
                           {"to", "ram"},
                           "--to HOST:PORT --ram NAME=FILE [--ram ...] [options]",
                           "send memory blocks and a byte stream to an rdmig recv",
                           "Sends the named files as memory blocks, then a byte stream, and hands "
                           "them over.\nNobody may write to the files meanwhile: a file has no "
                           "dirty log, so each is read once."},
    [TOOL_COMMAND_RECV] = {"recv",
                           {"listen", "ram"},
                           "--listen HOST:PORT --ram NAME=FILE [--ram ...] [options]",
                           "receive them, one migration",
                           "Waits for one source and receives its memory blocks into existing "
                           "files of the same lengths.\nOrdinary files and the stream's file "
                           "change only when the migration has completed."},
    [TOOL_COMMAND_CAPTURE] = {"capture",
                              {"listen", "into"},
                              "--listen HOST:PORT --into DIR [options]",
                              "receive a guest from an unmodified QEMU into a directory",
                              "Waits for one QEMU (migrate rdma:HOST:PORT) and makes DIR/ram/NAME, "
                              "DIR/stream and\nDIR/manifest.json. DIR is complete or does not "
                              "appear."},
    [TOOL_COMMAND_RESTORE] = {"restore",
                              {"to", "from"},
                              "--to HOST:PORT --from DIR [options]",
                              "play a captured guest into an unmodified QEMU",
                              "Sends a guest that rdmig capture has written to DIR to a QEMU that "
                              "was started with\n-incoming rdma:HOST:PORT and the source's machine "
                              "and devices. DIR stays as it is."},
    [TOOL_COMMAND_RELAY] = {"relay",
                            {"listen", "to"},
                            "--listen HOST:PORT --to HOST:PORT [options]",
                            "pass a running guest on from one unmodified QEMU to another",
                            "Waits for one QEMU (migrate rdma:HOST:PORT) and passes its guest on, "
                            "round by round, to a\nQEMU that was started with -incoming "
                            "rdma:HOST:PORT. Takes twice the guest's memory."},
    [TOOL_COMMAND_DEVICES] = {"devices",
                              {NULL, NULL},
                              "[--json]",
                              "list the RDMA devices and whether a migration can use them",
                              "Lists RDMA devices, ports, limits and the locked-memory limit, and "
                              "says of each device\nwhether a migration can use it and if not, "
                              "why. Exit 1 when none can be used."},
};

#define IN(member) offsetof(struct tool_args, member)

static const struct option_row options[] = {
    {"to", "HOST:PORT", SEND, CONNECT_TO, IN(address),
     .help = "where rdmig recv listens; IPv6: [ADDRESS]:PORT"},
    {"to", "HOST:PORT", RESTORE, CONNECT_TO, IN(address),
     .help = "where the QEMU listens; IPv6: [ADDRESS]:PORT"},
    {"to", "HOST:PORT", RELAY, CONNECT_TO, IN(relay_to),
     .help = "where the destination QEMU listens; IPv6: [ADDRESS]:PORT"},
    {"listen", "HOST:PORT", RECV | CAPTURE | RELAY, LISTEN_ON, IN(address),
     .help = "wait there; empty HOST: every address; PORT 0: any"},
    {"ram", "NAME=FILE", SEND | RECV, BLOCK, IN(rams),
     .help = "a memory block and the file that holds it; once a block"},
    {"stream", "FILE", SEND, TEXT, IN(stream_path),
     .help = "byte stream to send after the memory; - is stdin",
     .wrong = "the file's name is empty"},
    {"stream", "FILE", RECV, TEXT, IN(stream_path),
     .help = "where to put the byte stream that comes", .wrong = "the file's name is empty"},
    {"into", "DIR", CAPTURE, TEXT, IN(into_path), .help = "directory to make; must not exist",
     .wrong = "the directory's name is empty"},
    {"from", "DIR", RESTORE, TEXT, IN(from_path), .help = "directory of a captured guest",
     .wrong = "the directory's name is empty"},
    {"pin-all", NULL, SEND | RESTORE, FLAG, IN(is_pin_all),
     .help = "register all memory at the start, on both ends"},
    {"pin-all", NULL, RELAY, FLAG, IN(is_pin_all),
     .help = "register all memory at the start, towards the destination"},
    {"refuse-pin-all", NULL, RECV | CAPTURE | RELAY, FLAG, IN(is_pin_all_refused),
     .help = "answer a request for that with dynamic registration"},
    {"run-chunks", "N", SEND | RESTORE | RELAY, NUMBER, IN(run_chunk_count),
     .help = "most MiB in one registration, 1 to 4096 [64]",
     .wrong = "must be a number from 1 to 4096", .maximum = 4096, .unit = 1},
    {"pinned-max", "BYTES", MIGRATION, SIZE_OR_NONE, IN(pinned_limit_bytes),
     .help = "memory pinned at a time; none: no limit [what the system allows]",
     .wrong = "must be bytes, such as 512M (K, M, G, T: powers of 1024), or none"},
    {"ram-max", "BYTES", CAPTURE | RELAY, SIZE_OR_NONE, IN(ram_limit_bytes),
     .help = "memory the guest may have; none: no limit [what is available]",
     .wrong = "must be bytes, such as 512M (K, M, G, T: powers of 1024), or none"},
    {"on-demand-paging", NULL, MIGRATION, FLAG, IN(is_on_demand_wanted),
     .help = "do not pin memory where the device can do without"},
    {"relaxed-ordering", NULL, MIGRATION, FLAG, IN(is_relaxed_wanted),
     .help = "let the device move memory in any order"},
    {"trace", "FILE", MIGRATION, TEXT, IN(trace_path),
     .help = "write there what happens, a line each", .wrong = "the file's name is empty"},
    {"downtime-ms", "N", SEND, NUMBER, IN(downtime_target_ms),
     .help = "downtime target in milliseconds [300]",
     .wrong = "must be a number of milliseconds from 1 to 4294967294", .maximum = MILLISECONDS_MAX,
     .unit = 1},
    {"bandwidth", "BYTES_PER_S", SEND | RESTORE | RELAY, SIZE, IN(bandwidth_bytes_per_s),
     .help = "cap; suffixes K, M, G, T [none]",
     .wrong = "must be bytes per second, such as 500M (K, M, G, T: powers of 1024)"},
    {"time-limit", "SECONDS", MIGRATION, NUMBER, IN(time_limit_ms),
     .help = "for the whole migration, from the connection on [none]",
     .wrong = "must be a number of seconds from 1 to 4294967",
     .maximum = MILLISECONDS_MAX / MS_PER_S, .unit = MS_PER_S},
    {"json", NULL, ALL, FLAG, IN(is_json), .help = "print one JSON object on standard output"},
    {"help", NULL, ALL, FLAG, IN(is_help), .help = "print this"},
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
    return tool_error_set(error, TOOL_REASON_USAGE, remedy, "%s", cause);
}

/* ---- values: each returns NULL, or what is wrong */

static const char *take_block(struct tool_args *args, const char *value)
{
    const char *equals = strchr(value, '=');
    size_t name_bytes = equals == NULL ? 0 : (size_t)(equals - value);
    struct tool_ram *rams;

    if (name_bytes == 0 || name_bytes > TOOL_BLOCK_NAME_BYTES_MAX)
        return "a block's name has 1 to 255 bytes: write --ram NAME=FILE";
    if (equals[1] == '\0')
        return "the file is missing: write --ram NAME=FILE";
    if (args->ram_count == RDMIG_BLOCK_COUNT_MAX)
        return "a migration has at most 16383 blocks";
    rams = realloc(args->rams, (args->ram_count + 1) * sizeof(*rams));
    if (rams == NULL)
        return "out of memory";
    args->rams = rams;
    rams[args->ram_count].name = strndup(value, name_bytes);
    rams[args->ram_count].path = equals + 1;
    if (rams[args->ram_count].name == NULL)
        return "out of memory";
    args->ram_count++;
    return NULL;
}

static const char *take_value(struct tool_args *args, const struct option_row *row,
                              const char *value)
{
    void *into = (char *)args + row->offset;
    uint64_t number;

    switch (row->kind) {
    case FLAG:
        *(bool *)into = true;
        return NULL;
    case TEXT:
        *(const char **)into = value;
        return value[0] == '\0' ? row->wrong : NULL;
    case CONNECT_TO:
    case LISTEN_ON:
        return parse_address(value, row->kind == LISTEN_ON, into);
    case BLOCK:
        return take_block(args, value);
    case NUMBER:
        if (!parse_number(value, 1, row->maximum, &number))
            return row->wrong;
        *(uint32_t *)into = (uint32_t)number * row->unit;
        return NULL;
    case SIZE_OR_NONE:
        if (strcmp(value, "none") == 0) {
            *(uint64_t *)into = UINT64_MAX;
            return NULL;
        }
        break;
    case SIZE:
        break;
    }
    return parse_size(value, into) ? NULL : row->wrong;
}

/* ---- the line */

bool args_have_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

static bool check_required(const struct tool_args *args, const bool are_given[OPTION_COUNT],
                           struct tool_error *error)
{
    for (size_t i = 0; i < sizeof(commands->required) / sizeof(commands->required[0]); i++) {
        const char *name = commands[args->command].required[i];

        for (size_t row = 0; name != NULL && row < OPTION_COUNT; row++) {
            if (is_option_of(&options[row], args->command) && !are_given[row] &&
                strcmp(options[row].name, name) == 0)
                return refuse(error, args->command, "--%s %s is missing", name,
                              options[row].value_name);
        }
    }
    return true;
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

/* Whether getopt would take another sub-command's option for a beginning of one of this one's. */
static bool is_mistakable(const struct option_row *row, enum tool_command command)
{
    const size_t name_bytes = strlen(row->name);
    bool is_beginning = false;

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_option_of(&options[i], command) &&
            strncmp(options[i].name, row->name, name_bytes) == 0) {
            if (options[i].name[name_bytes] == '\0')
                return false; /* it is this one's, too */
            is_beginning = true;
        }
    }
    return is_beginning;
}

/*
 * Makes getopt's table of the sub-command's options; val is the row's index plus one. What is
 * another's alone, such as --ram beside --ram-max, is found in it to be refused.
 */
static void list_options(enum tool_command command, struct option list[OPTION_COUNT + 1])
{
    size_t count = 0;

    memset(list, 0, (OPTION_COUNT + 1) * sizeof(*list));
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const bool is_own = is_option_of(&options[i], command);

        if (is_own || is_mistakable(&options[i], command)) {
            list[count].name = options[i].name;
            list[count].has_arg =
                is_own && options[i].value_name != NULL ? required_argument : no_argument;
            list[count].val = (int)i + 1;
            count++;
        }
    }
}

/* found: what getopt has made of the word. */
static bool take_option(struct tool_args *args, int found, const char *word,
                        struct tool_error *error)
{
    const char *wrong;

    if (found == ':')
        return refuse(error, args->command, "%s needs a value", word);
    if (found == '?' || !is_option_of(&options[found - 1], args->command))
        return refuse(error, args->command, "unknown or ambiguous option %s", word);
    wrong = take_value(args, &options[found - 1], optarg);
    return wrong == NULL || refuse(error, args->command, "--%s%s%s: %s", options[found - 1].name,
                                   optarg == NULL ? "" : " ", optarg == NULL ? "" : optarg, wrong);
}

bool args_parse(struct tool_args *args, enum tool_command command, int argc, char **argv,
                struct tool_error *error)
{
    struct option list[OPTION_COUNT + 1];
    bool are_given[OPTION_COUNT] = {false};

    memset(args, 0, sizeof(*args));
    args->command = command;
    args->is_json = args_have_json(argc, argv);
    list_options(command, list);
    opterr = 0;
    optind = 0; /* makes glibc's getopt start anew */
    for (;;) {
        const int at = optind == 0 ? 1 : optind;
        /* "+": stop at the first operand, there is none that could be meant. */
        const int found = getopt_long(argc, argv, "+:", list, NULL);

        if (found == -1)
            break;
        if (!take_option(args, found, argv[at], error))
            return false;
        if (args->is_help)
            return true;
        are_given[found - 1] = true;
    }
    if (optind < argc)
        return refuse(error, command, "unexpected argument %s", argv[optind]);
    return check_names(args, error) && check_required(args, are_given, error);
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
        const char *value_name = options[i].value_name;
        char left[40];

        if (is_option_of(&options[i], command)) {
            snprintf(left, sizeof(left), "--%s%s%s", options[i].name, value_name == NULL ? "" : " ",
                     value_name == NULL ? "" : value_name);
            fprintf(out, "  %-24s %s\n", left, options[i].help);
        }
    }
}

void args_print_commands(FILE *out)
{
    for (size_t i = 0; i < TOOL_COMMAND_COUNT; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
}
