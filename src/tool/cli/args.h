/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: one table of options says which sub-commands take each and what --help prints.
 */
#ifndef RDMIG_TOOL_ARGS_H
#define RDMIG_TOOL_ARGS_H

#include "error.h"
#include "parse.h"

#include <stdio.h>

enum tool_command {
    TOOL_COMMAND_SEND,
    TOOL_COMMAND_RECV,
    TOOL_COMMAND_CAPTURE,
    TOOL_COMMAND_RESTORE,
    TOOL_COMMAND_RELAY,
    TOOL_COMMAND_DEVICES,
    TOOL_COMMAND_COUNT
};

/* --ram NAME=FILE */
struct tool_ram {
    char *name;       /* owned */
    const char *path; /* in argv */
};

/* What --help or the absence of an option leaves is zero: the library's default. */
struct tool_args {
    enum tool_command command;
    bool is_help;
    bool is_json;
    bool is_pin_all;
    bool is_pin_all_refused;
    bool is_relaxed_wanted;
    bool is_on_demand_wanted;
    struct tool_address address;  /* --to or --listen; relay: --listen */
    struct tool_address relay_to; /* relay: --to */
    struct tool_ram *rams;
    uint32_t ram_count;
    const char *stream_path; /* NULL: none. send: "-" is standard input */
    const char *into_path;
    const char *from_path;
    const char *trace_path; /* NULL: none */
    uint32_t run_chunk_count;
    uint32_t downtime_target_ms;
    uint32_t time_limit_ms;
    uint64_t bandwidth_bytes_per_s;
    uint64_t pinned_limit_bytes; /* UINT64_MAX: none */
    uint64_t ram_limit_bytes;    /* the same */
};

const char *args_command_name(enum tool_command command);
/* False: there is no such sub-command. */
bool args_find_command(const char *name, enum tool_command *command);

/*
 * argv[0] is the sub-command's name. False: *error says what is wrong (reason USAGE). Call
 * args_free() in any case. Strings of argv are kept. args->is_json is right even after an error.
 */
bool args_parse(struct tool_args *args, enum tool_command command, int argc, char **argv,
                struct tool_error *error);
void args_free(struct tool_args *args);
/* Whether --json is among them: an error in front of it is told as JSON all the same. */
bool args_have_json(int argc, char **argv);

/* --help of a sub-command: synopsis, what it does, its options. */
void args_print_help(enum tool_command command, FILE *out);
/* One line a sub-command. */
void args_print_commands(FILE *out);

#endif
