/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything in a small world, up to a depth: without a fault, every value of each depth decisions
 * in a row, wherever in the run they are; and for every fault at every moment of that run, every
 * value of the first depth decisions from that moment on. All other decisions are the dull ones.
 *
 * A decision among more than BOUND_MAX values is no order of things but a number (a seed): it is
 * left at 0.
 */
#include "explore.h"
#include "fail.h"
#include "record.h"

#include <inttypes.h>
#include <string.h>

enum { DEPTH_MAX = 24, BOUND_MAX = 8, STEPS_MAX = 100000 };

#define MS UINT64_C(1000000)

/* A fault with the arguments that make a difference to it. */
struct fault_case {
    enum fault_kind kind;
    uint32_t argument;
};

static const struct fault_case fault_cases[] = {
    {FAULT_LINK_DOWN, 0},     {FAULT_LINK_FLAP, 3},     {FAULT_PROCESS_DEATH, 0},
    {FAULT_PROCESS_DEATH, 1}, {FAULT_FREEZE, 0},        {FAULT_FREEZE_FOR_EVER, 0},
    {FAULT_WORK_ERROR, 0},    {FAULT_RECV_ERROR, 0},    {FAULT_REGISTER_FAILS, 0},
    {FAULT_FILL_FAILS, 0},    {FAULT_ROUND_REFUSED, 0}, {FAULT_CANCEL, 0},
    {FAULT_REJECTED, 0},      {FAULT_UNREACHABLE, 0},   {FAULT_CONNECT_LOST, 0},
    {FAULT_DREQ_LOST, 0},     {FAULT_FLUSH_STUCK, 0},   {FAULT_DEVICE_REMOVED, 0},
    {FAULT_DELIVERY_LOST, 0},
};
enum { FAULT_CASE_COUNT = sizeof(fault_cases) / sizeof(fault_cases[0]) };

struct exhaustive {
    struct options options;
    uint32_t depth;
    uint64_t step_count; /* of the run without a fault */
    uint64_t decision_count;
    uint32_t window_stride;
    uint64_t window_count;
    uint32_t *decisions_before_step;
};

/* Two blocks of two pages, zeros but for one page that is written again while the first round is
 * under way. */
static void tiny_world(struct options *options, bool is_pipelined)
{
    options_init(options);
    options->is_pipelined[RDMIG_ROLE_SOURCE] = is_pipelined;
    options->is_pipelined[RDMIG_ROLE_DESTINATION] = is_pipelined;
    options->guest.block_count = 2;
    options->guest.block_bytes[0] = 8192;
    options->guest.block_bytes[1] = 8192;
    options->guest.workload = WORKLOAD_HOT_SET;
    options->guest.hot_page_count = 1;
    options->guest.writes_per_s = 100000;
    options->guest.zero_percent = 100;
    options->round_count_max = 2;
    options->downtime_limit_ns = 0;
    options->jitter_steps = 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct engine_options *engine = &options->engine[i];

        engine->connect_timeout_ns = 100 * MS;
        engine->reply_timeout_ns = 100 * MS;
        engine->idle_timeout_ns = 100 * MS;
        engine->close_timeout_ns = 100 * MS;
    }
}

/* ---- one window of decisions: an odometer over their bounds */

struct window {
    size_t first; /* the decision where it begins */
    uint32_t depth;
    struct decision *list;
    size_t list_count;
};

/* The window's next setting, from what was decided under the last one. False: that was the last. */
static bool advance(struct window *window, const struct decision *made, size_t made_count)
{
    size_t places[DEPTH_MAX];
    uint32_t place_count = 0;

    for (size_t i = window->first; i < made_count && place_count < window->depth; i++) {
        if (made[i].bound <= BOUND_MAX)
            places[place_count++] = i;
    }
    while (place_count > 0) {
        const size_t place = places[--place_count];

        if (made[place].value + 1 >= made[place].bound)
            continue;
        window->list = sim_allocated(realloc(window->list, (place + 1) * sizeof(*window->list)));
        memcpy(window->list, made, (place + 1) * sizeof(*window->list));
        window->list[place].value++;
        window->list_count = place + 1;
        return true;
    }
    return false;
}

/* Runs every setting; false: an oracle broke, and the record of that run lies at path. */
static bool run_window(const struct options *options, size_t first, uint32_t depth,
                       struct totals *totals, const char *path)
{
    static const struct run_report silent;
    struct window window = {.first = first, .depth = depth};
    bool has_more = true;
    bool is_passed = true;

    while (has_more && is_passed) {
        struct choice choice;
        struct run_result result;

        choice_init_list(&choice, window.list, window.list_count);
        is_passed = run_world(options, &choice, &silent, &result);
        totals_add(totals, options, &result);
        if (is_passed) {
            has_more = advance(&window, choice.made, choice.made_count);
        } else {
            struct record record = {0};

            record_keep(&record, options, &choice, 0);
            record_write(&record, path, result.broken);
            record_free(&record);
        }
        choice_free(&choice);
    }
    free(window.list);
    return is_passed;
}

/* ---- items: first the windows of the run without faults, then each fault, end and moment */

static uint64_t item_count(const struct exhaustive *exhaustive)
{
    return exhaustive->window_count + FAULT_CASE_COUNT * 2 * exhaustive->step_count;
}

static void item_path(uint64_t number, char *path, size_t capacity_bytes)
{
    snprintf(path, capacity_bytes, "rdmig-sim-failure-exhaustive-%" PRIu64 ".log", number);
}

static bool run_item(const void *context, uint64_t number, struct totals *totals)
{
    const struct exhaustive *exhaustive = context;
    struct options options = exhaustive->options;
    struct fault *fault = &options.faults[options.fault_count];
    uint64_t rest = number;
    char path[80];

    item_path(number, path, sizeof(path));
    if (rest < exhaustive->window_count)
        return run_window(&options, rest * exhaustive->window_stride, exhaustive->depth, totals,
                          path);
    rest -= exhaustive->window_count;
    fault->moment = rest % exhaustive->step_count;
    rest /= exhaustive->step_count;
    fault->role = (uint32_t)(rest % 2);
    fault->kind = fault_cases[rest / 2].kind;
    fault->argument = fault_cases[rest / 2].argument;
    options.fault_count++;
    return run_window(&options, exhaustive->decisions_before_step[fault->moment], exhaustive->depth,
                      totals, path);
}

/* The run without a fault, nothing but dull decisions: how long it is. NULL, or what is wrong. */
static const char *measure(struct exhaustive *exhaustive)
{
    const struct run_report report = {.broken_file = stdout,
                                      .decisions_before_step = exhaustive->decisions_before_step,
                                      .step_capacity = STEPS_MAX};
    struct choice choice;
    struct run_result result;

    choice_init_list(&choice, NULL, 0);
    run_world(&exhaustive->options, &choice, &report, &result);
    exhaustive->step_count = result.step_count;
    exhaustive->decision_count = choice.made_count;
    choice_free(&choice);
    exhaustive->window_stride = exhaustive->depth > 1 ? exhaustive->depth / 2 : 1;
    exhaustive->window_count =
        (exhaustive->decision_count + exhaustive->window_stride) / exhaustive->window_stride;
    if (!result.is_passed)
        printf("%s\n", result.broken);
    if (!result.is_passed)
        return "an oracle breaks without any decision: run the scenario by itself first";
    if (result.step_count == 0 || result.step_count >= STEPS_MAX)
        return "too many steps for an enumeration: a smaller scenario is needed";
    return NULL;
}

static int report_item(const struct explore_request *request, const struct work_failure *failure)
{
    char path[80];

    item_path(failure->number, path, sizeof(path));
    if (failure->signal || failure->has_exited) {
        printf("FAIL exhaustive: item %" PRIu64 ": its process died (signal %d)\n", failure->number,
               failure->signal);
        return EXIT_BROKEN;
    }
    return explore_replay(request, path);
}

static int enumerate(const struct explore_request *request, struct exhaustive *exhaustive)
{
    const struct work_plan plan = {.first = 0,
                                   .last = item_count(exhaustive) - 1,
                                   .job_count = request->job_count,
                                   .function = run_item,
                                   .context = exhaustive};
    struct totals totals;
    struct work_failure failure;

    printf("%" PRIu64 " steps, %" PRIu64 " decisions; %" PRIu64
           " windows, %d faults at 2 ends at %" PRIu64 " moments\n",
           exhaustive->step_count, exhaustive->decision_count, exhaustive->window_count,
           FAULT_CASE_COUNT, exhaustive->step_count);
    if (!work_run(&plan, &totals, &failure))
        return report_item(request, &failure);
    totals_print(&totals, stdout);
    printf("PASS exhaustive %" PRIu32 ": %" PRIu64 " leaves, %" PRIu64 " completed, %" PRIu64
           " failed, %" PRIu64 " unknown, %" PRIu64 " open, %" PRIu64 " tried again, %" PRIu64
           " steps\n",
           exhaustive->depth, totals.world_count, totals.outcome_count[OUTCOME_COMPLETED],
           totals.outcome_count[OUTCOME_FAILED], totals.outcome_count[OUTCOME_UNKNOWN],
           totals.outcome_count[OUTCOME_OPEN], totals.retry_count, totals.step_count);
    return EXIT_PASSED;
}

static int explore_world(const struct explore_request *request, const struct options *options,
                         uint32_t depth)
{
    struct exhaustive exhaustive = {.options = *options, .depth = depth};
    const char *wrong = NULL;
    int status;

    if (depth > DEPTH_MAX)
        wrong = "24 decisions are the most that are enumerated";
    else if (options->fault_count == OPTION_FAULTS_MAX)
        wrong = "the scenario has 3 faults: there is no room for the one that is tried";
    exhaustive.decisions_before_step =
        sim_allocated(calloc(STEPS_MAX, sizeof(*exhaustive.decisions_before_step)));
    if (!wrong)
        wrong = measure(&exhaustive);
    if (wrong)
        fprintf(stderr, "rdmig-sim: --exhaustive: %s\n", wrong);
    status = wrong ? EXIT_USAGE : enumerate(request, &exhaustive);
    free(exhaustive.decisions_before_step);
    return status;
}

int explore_exhaustive(const struct explore_request *request, uint32_t depth)
{
    struct options options;
    int status = EXIT_PASSED;

    printf("%s --exhaustive %" PRIu32 "%s\n", request->program, depth, request->scenario_arguments);
    if (request->scenario)
        return explore_world(request, request->scenario, depth);
    for (uint32_t i = 0; i < 2 && status == EXIT_PASSED; i++) {
        tiny_world(&options, i == 0);
        printf("%s PIPELINE: ", i == 0 ? "with" : "without");
        status = explore_world(request, &options, depth);
    }
    return status;
}
