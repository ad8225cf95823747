/* SPDX-License-Identifier: BSD-2-Clause */
#include "explore.h"
#include "ending.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PATH_BYTES = 256, COMMAND_BYTES = 1200 };

/* ---- one world */

static void print_command(const struct explore_request *request, const char *what, char *command,
                          size_t capacity_bytes)
{
    snprintf(command, capacity_bytes, "%s %s%s", request->program, what,
             request->scenario_arguments);
}

static void print_result(const struct run_result *result, const char *what)
{
    if (!result->is_passed) {
        printf("FAIL %s: %s\n", what, result->broken);
        return;
    }
    printf("PASS %s: %" PRIu64 " steps, %" PRIu64 " decisions, %" PRIu64
           " ns, source %s, destination %s, attempts %" PRIu32 ", hash %016" PRIx64 "\n",
           what, result->step_count, result->decision_count, result->ended_ns,
           outcome_name(result->outcome[RDMIG_ROLE_SOURCE]),
           outcome_name(result->outcome[RDMIG_ROLE_DESTINATION]), result->attempt_count,
           result->log_hash);
}

bool explore_record(const struct explore_request *request, uint64_t seed,
                    const struct run_report *report, struct record *record,
                    struct run_result *result)
{
    struct options options;
    struct choice choice;
    size_t drawn_count = 0;

    memset(record, 0, sizeof(*record));
    choice_init_seed(&choice, seed);
    if (request->scenario) {
        options = *request->scenario;
    } else {
        options_draw(&options, &choice);
        drawn_count = choice.made_count;
    }
    if (request->is_verbose)
        options_print(&options, stdout);
    run_world(&options, &choice, report, result);
    record_keep(record, &options, &choice, drawn_count);
    choice_free(&choice);
    return result->is_passed;
}

static void write_record(const struct record *record, const char *path, const char *command)
{
    if (record_write(record, path, command))
        printf("record: %s (to repeat: --replay %s; to shrink: --minimize %s)\n", path, path, path);
    else
        fprintf(stderr, "rdmig-sim: %s: %s\n", path, strerror(errno));
}

int explore_seed(const struct explore_request *request, uint64_t seed)
{
    const bool is_plain = !request->is_hash_only;
    const struct run_report report = {.log_file = request->is_verbose ? stdout : NULL,
                                      .broken_file = is_plain ? stdout : NULL};
    struct record record;
    struct run_result result;
    char what[64];
    char path[PATH_BYTES];
    char command[COMMAND_BYTES];

    snprintf(what, sizeof(what), "--seed %" PRIu64, seed);
    print_command(request, what, command, sizeof(command));
    if (is_plain)
        printf("%s\n", command);
    fflush(stdout);
    explore_record(request, seed, &report, &record, &result);
    snprintf(path, sizeof(path), "rdmig-sim-failure-%" PRIu64 ".log", seed);
    if (request->write_path)
        write_record(&record, request->write_path, command);
    else if (!result.is_passed)
        write_record(&record, path, command);
    if (request->is_hash_only)
        printf("%016" PRIx64 "\n", result.log_hash);
    else
        print_result(&result, what + 2);
    record_free(&record);
    return result.is_passed ? EXIT_PASSED : EXIT_BROKEN;
}

int explore_replay(const struct explore_request *request, const char *path)
{
    const struct run_report report = {.log_file = request->is_verbose ? stdout : NULL,
                                      .broken_file = request->is_hash_only ? NULL : stdout};
    struct record record;
    struct choice choice;
    struct run_result result;
    const char *wrong = record_read(&record, path);

    if (wrong) {
        fprintf(stderr, "rdmig-sim: %s: %s\n", path, wrong);
        return EXIT_USAGE;
    }
    if (!request->is_hash_only)
        printf("%s --replay %s\n", request->program, path);
    if (request->is_verbose)
        options_print(&record.options, stdout);
    fflush(stdout);
    /* The options as they stand there, not as they would be drawn today: a record outlives a change
     * of what is drawn. */
    if (record.drawn_count > record.decision_count)
        record.drawn_count = record.decision_count;
    choice_init_list(&choice, record.decisions + record.drawn_count,
                     record.decision_count - record.drawn_count);
    run_world(&record.options, &choice, &report, &result);
    choice_free(&choice);
    record_free(&record);
    if (request->is_hash_only)
        printf("%016" PRIx64 "\n", result.log_hash);
    else
        print_result(&result, path);
    return result.is_passed ? EXIT_PASSED : EXIT_BROKEN;
}

/* ---- many */

static bool run_seed(const void *context, uint64_t seed, struct totals *totals)
{
    static const struct run_report silent;
    const struct explore_request *request = context;
    struct options options;
    struct choice choice;
    struct run_result result;

    choice_init_seed(&choice, seed);
    if (request->scenario)
        options = *request->scenario;
    else
        options_draw(&options, &choice);
    run_world(&options, &choice, &silent, &result);
    choice_free(&choice);
    totals_add(totals, &options, &result);
    if (!result.is_passed)
        totals_add_broken(totals, result.broken, seed);
    return result.is_passed || request->keeps_going;
}

/* What is printed of a seed that failed: as if it alone had been asked for. */
static int report_seed(const struct explore_request *request, const struct work_failure *failure)
{
    struct explore_request single = *request;
    char what[64];
    char command[COMMAND_BYTES];

    single.is_hash_only = false;
    if (failure->signal == 0 && !failure->has_exited)
        return explore_seed(&single, failure->number);
    snprintf(what, sizeof(what), "--seed %" PRIu64, failure->number);
    print_command(request, what, command, sizeof(command));
    printf("%s\n", command);
    if (failure->has_exited)
        printf("FAIL seed %" PRIu64 ": its process ended itself (a sanitizer, or the simulator)\n",
               failure->number);
    else
        printf("FAIL seed %" PRIu64 ": its process died of signal %d (%s)\n", failure->number,
               failure->signal, strsignal(failure->signal));
    return EXIT_BROKEN;
}

/* With PIPELINE and without it. */
static int require_faults(const struct totals *totals)
{
    for (uint32_t kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++) {
        const uint64_t pipelined_count = totals->pipelined_fault_count[kind];

        if (pipelined_count > 0 && totals->fault_count[kind] > pipelined_count)
            continue;
        printf("FAIL coverage of faults: %s never took place in a world %s PIPELINE: run more "
               "seeds, or draw it more often\n",
               fault_name((enum fault_kind)kind), pipelined_count > 0 ? "without" : "with");
        return EXIT_BROKEN;
    }
    return EXIT_PASSED;
}

static void print_pass(const struct totals *totals, const char *what)
{
    printf("PASS %s: %" PRIu64 " worlds, %" PRIu64 " completed, %" PRIu64 " failed, %" PRIu64
           " unknown, %" PRIu64 " open, %" PRIu64 " tried again, %" PRIu64 " steps, %" PRIu64
           " decisions\n",
           what, totals->world_count, totals->outcome_count[OUTCOME_COMPLETED],
           totals->outcome_count[OUTCOME_FAILED], totals->outcome_count[OUTCOME_UNKNOWN],
           totals->outcome_count[OUTCOME_OPEN], totals->retry_count, totals->step_count,
           totals->decision_count);
}

int explore_seeds(const struct explore_request *request, uint64_t first, uint64_t last)
{
    const struct work_plan plan = {.first = first,
                                   .last = last,
                                   .job_count = request->job_count,
                                   .function = run_seed,
                                   .context = request};
    struct totals totals;
    struct work_failure failure;
    char what[80];
    char command[COMMAND_BYTES];

    snprintf(what, sizeof(what), "--seeds %" PRIu64 "..%" PRIu64, first, last);
    print_command(request, what, command, sizeof(command));
    if (!request->is_hash_only)
        printf("%s\n", command);
    if (!work_run(&plan, &totals, &failure))
        return report_seed(request, &failure);
    if (request->is_hash_only) {
        printf("%016" PRIx64 "\n", totals.hash_sum);
        return EXIT_PASSED;
    }
    totals_print(&totals, stdout);
    if (totals.broken_count > 0) {
        printf("FAIL %s: %" PRIu64 " of %" PRIu64 " worlds broke an oracle\n", what + 2,
               totals.broken_count, totals.world_count);
        return EXIT_BROKEN;
    }
    if (request->needs_faults && require_faults(&totals) != EXIT_PASSED)
        return EXIT_BROKEN;
    print_pass(&totals, what + 2);
    return EXIT_PASSED;
}

int explore_seeds_file(const struct explore_request *request, const char *path)
{
    struct explore_request quiet = *request;
    FILE *file = fopen(path, "r");
    char line[400];
    unsigned line_number = 0;
    unsigned seed_count = 0;
    int status = EXIT_PASSED;

    if (!file) {
        fprintf(stderr, "rdmig-sim: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    printf("%s --seeds-file %s\n", request->program, path);
    quiet.write_path = NULL;
    while (status == EXIT_PASSED && fgets(line, sizeof(line), file)) {
        char since[40];
        uint64_t seed;
        int end = 0;

        line_number++;
        if (line[strspn(line, " \t\n")] == '\0' || line[0] == '#')
            continue;
        if (sscanf(line, "%" SCNu64 " %39s %n", &seed, since, &end) != 2 || line[end] == '\0') {
            fprintf(stderr, "rdmig-sim: %s: line %u: a line is: seed  commit-or-date  reason\n",
                    path, line_number);
            status = EXIT_USAGE;
        } else {
            printf("%s", line);
            status = explore_seed(&quiet, seed);
            seed_count++;
        }
    }
    fclose(file);
    if (status == EXIT_PASSED)
        printf("PASS seeds-file %s: %u worlds\n", path, seed_count);
    return status;
}
