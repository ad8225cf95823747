/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A failing list of decisions made small: its end cut off, runs of it taken out, runs of it set to
 * 0, single values lowered, or calmer ones drawn, as long as the same oracle breaks. Each try is a
 * process of its own, so that a crash can be shrunk as well.
 */
#include "explore.h"
#include "fail.h"
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRIES_MAX = 30000,
    TRY_SECONDS_MAX = 20,
    CALMER_TRIES = 1000,
    PATH_BYTES = 300,
    NAME_BYTES = 80
};

/* What one try came to; seen by both processes. */
struct verdict {
    bool is_over; /* not so: it crashed */
    bool is_passed;
    char broken[BROKEN_TEXT_BYTES];
};

struct minimizer {
    struct record best;
    char name[NAME_BYTES]; /* of the oracle */
    struct verdict *verdict;
    uint32_t tries_left;
};

/* The oracle's name is what stands before the first colon. */
static void name_of(const struct verdict *verdict, char *name)
{
    const char *text = verdict->is_over ? verdict->broken : "crash:";
    size_t length = strcspn(text, ":");

    if (length >= NAME_BYTES)
        length = NAME_BYTES - 1;
    memcpy(name, text, length);
    name[length] = '\0';
}

static void run_silently(const struct record *record, struct verdict *verdict)
{
    static const struct run_report silent;
    struct record copy = *record;
    struct run_result result;

    if (!freopen("/dev/null", "w", stderr))
        _exit(1);
    alarm(TRY_SECONDS_MAX);
    copy.decisions = sim_allocated(malloc((record->decision_count + 1) * sizeof(*copy.decisions)));
    if (record->decision_count > 0)
        memcpy(copy.decisions, record->decisions, record->decision_count * sizeof(*copy.decisions));
    verdict->is_passed = record_run(&copy, &silent, &result);
    memcpy(verdict->broken, result.broken, sizeof(verdict->broken));
    verdict->is_over = true;
    record_free(&copy);
    _exit(0);
}

/* True: it fails, and name says of what. */
static bool try_record(struct minimizer *minimizer, const struct record *record, char *name)
{
    pid_t pid;

    memset(minimizer->verdict, 0, sizeof(*minimizer->verdict));
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        sim_fail("minimize", "no further process");
    if (pid == 0)
        run_silently(record, minimizer->verdict);
    if (waitpid(pid, NULL, 0) != pid)
        sim_fail("minimize", "a process that cannot be waited for");
    name_of(minimizer->verdict, name);
    return !minimizer->verdict->is_passed;
}

/* Takes the list when it breaks the same oracle. */
static bool keep_if_broken(struct minimizer *minimizer, struct decision *list, size_t count)
{
    struct record candidate = minimizer->best;
    char name[NAME_BYTES];

    if (minimizer->tries_left == 0)
        return false;
    minimizer->tries_left--;
    candidate.decisions = list;
    candidate.decision_count = count;
    if (!try_record(minimizer, &candidate, name) || strcmp(name, minimizer->name) != 0)
        return false;
    memcpy(minimizer->best.decisions, list, count * sizeof(*list));
    minimizer->best.decision_count = count;
    return true;
}

static bool cut_end(struct minimizer *minimizer, struct decision *list)
{
    bool is_improved = false;
    size_t cut = minimizer->best.decision_count / 2;

    while (cut > 0) {
        const size_t count = minimizer->best.decision_count;

        memcpy(list, minimizer->best.decisions, count * sizeof(*list));
        if (cut <= count && keep_if_broken(minimizer, list, count - cut))
            is_improved = true;
        else
            cut /= 2;
    }
    return is_improved;
}

static bool remove_runs(struct minimizer *minimizer, struct decision *list)
{
    bool is_improved = false;

    for (size_t run = minimizer->best.decision_count / 2; run > 0; run /= 2) {
        for (size_t at = 0; at + run <= minimizer->best.decision_count;) {
            const struct record *best = &minimizer->best;
            const size_t after = best->decision_count - at - run;

            memcpy(list, best->decisions, at * sizeof(*list));
            memcpy(list + at, best->decisions + at + run, after * sizeof(*list));
            if (keep_if_broken(minimizer, list, best->decision_count - run))
                is_improved = true;
            else
                at += run;
        }
    }
    return is_improved;
}

static bool is_all_zero(const struct decision *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].value != 0)
            return false;
    }
    return true;
}

static bool zero_runs(struct minimizer *minimizer, struct decision *list)
{
    const size_t count = minimizer->best.decision_count;
    bool is_improved = false;

    for (size_t run = count; run > 0; run /= 2) {
        for (size_t at = 0; at + run <= count; at += run) {
            memcpy(list, minimizer->best.decisions, count * sizeof(*list));
            if (is_all_zero(list + at, run))
                continue;
            for (size_t i = at; i < at + run; i++)
                list[i].value = 0;
            if (keep_if_broken(minimizer, list, count))
                is_improved = true;
        }
    }
    return is_improved;
}

static bool lower_values(struct minimizer *minimizer, struct decision *list)
{
    const size_t count = minimizer->best.decision_count;
    bool is_improved = false;

    for (size_t at = 0; at < count; at++) {
        uint32_t low = 0; /* does not fail, or was tried already as 0 */

        while (minimizer->best.decisions[at].value > low + 1) {
            const uint32_t value = minimizer->best.decisions[at].value;

            memcpy(list, minimizer->best.decisions, count * sizeof(*list));
            list[at].value = low + (value - low) / 2;
            if (keep_if_broken(minimizer, list, count))
                is_improved = true;
            else
                low = list[at].value;
        }
    }
    return is_improved;
}

static size_t count_nonzero(const struct decision *list, size_t count)
{
    size_t nonzero = 0;

    for (size_t i = 0; i < count; i++)
        nonzero += list[i].value != 0;
    return nonzero;
}

/*
 * Zeroing an early decision moves all later ones to other things, and what broke the oracle is
 * lost. So, of the same options, worlds drawn anew in which few decisions are not 0: one of them
 * may break it too.
 */
static bool draw_calmer(struct minimizer *minimizer, struct decision *list)
{
    static const uint32_t sparsities[] = {256, 64, 16, 4};
    const size_t count = minimizer->best.decision_count;
    const size_t drawn_count = minimizer->best.drawn_count;
    size_t best_nonzero = count_nonzero(minimizer->best.decisions, count);
    uint64_t generator = 1;
    bool is_improved = false;

    for (uint32_t i = 0; i < CALMER_TRIES; i++) {
        const uint32_t sparsity = sparsities[i % 4];

        memcpy(list, minimizer->best.decisions, count * sizeof(*list));
        for (size_t at = drawn_count; at < count; at++) {
            const uint64_t number = generator_next(&generator) >> 8;

            list[at].value =
                number % sparsity == 0 ? (uint32_t)(number / sparsity % list[at].bound) : 0;
        }
        if (count_nonzero(list, count) < best_nonzero && keep_if_broken(minimizer, list, count)) {
            best_nonzero = count_nonzero(list, count);
            is_improved = true;
        }
    }
    return is_improved;
}

static void shrink(struct minimizer *minimizer)
{
    struct decision *list =
        sim_allocated(malloc((minimizer->best.decision_count + 1) * sizeof(*list)));
    bool is_improved = true;

    while (is_improved && minimizer->tries_left > 0) {
        is_improved = cut_end(minimizer, list);
        is_improved |= zero_runs(minimizer, list);
        is_improved |= remove_runs(minimizer, list);
        is_improved |= lower_values(minimizer, list);
        is_improved |= draw_calmer(minimizer, list);
        printf("%zu decisions, %" PRIu32 " tries left\n", minimizer->best.decision_count,
               minimizer->tries_left);
        fflush(stdout);
    }
    free(list);
}

/* The record to shrink; false: there is none. */
static bool load(const struct explore_request *request, const char *path, uint64_t seed,
                 struct record *record, char *out_path)
{
    static const struct run_report silent;
    struct run_result result;
    const char *wrong;

    if (!path) {
        snprintf(out_path, PATH_BYTES, "rdmig-sim-failure-%" PRIu64 ".log.min", seed);
        explore_record(request, seed, &silent, record, &result);
        return true;
    }
    snprintf(out_path, PATH_BYTES, "%s.min", path);
    wrong = record_read(record, path);
    if (wrong)
        fprintf(stderr, "rdmig-sim: %s: %s\n", path, wrong);
    return !wrong;
}

/* The smallest, run once more for its options and last events, and written. */
static int finish(const struct explore_request *request, struct minimizer *minimizer,
                  const char *path)
{
    const struct run_report silent = {0};
    struct explore_request verbose = *request;
    struct run_result result;

    if (strcmp(minimizer->name, "crash") != 0)
        record_run(&minimizer->best, &silent, &result);
    if (!record_write(&minimizer->best, path, minimizer->name)) {
        fprintf(stderr, "rdmig-sim: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    printf("minimized: %s, %zu decisions\n", path, minimizer->best.decision_count);
    verbose.is_verbose = false;
    return explore_replay(&verbose, path);
}

int explore_minimize(const struct explore_request *request, const char *path, uint64_t seed)
{
    struct minimizer minimizer = {.tries_left = TRIES_MAX};
    char out_path[PATH_BYTES];
    int status = EXIT_USAGE;

    printf("%s --minimize %s", request->program, path ? path : "");
    if (!path)
        printf("--seed %" PRIu64 "%s", seed, request->scenario_arguments);
    printf("\n");
    minimizer.verdict = mmap(NULL, sizeof(*minimizer.verdict), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (minimizer.verdict == MAP_FAILED)
        sim_fail("minimize", "no memory to share");
    if (load(request, path, seed, &minimizer.best, out_path)) {
        if (try_record(&minimizer, &minimizer.best, minimizer.name)) {
            printf("oracle: %s, %zu decisions\n", minimizer.name, minimizer.best.decision_count);
            shrink(&minimizer);
            status = finish(request, &minimizer, out_path);
        } else {
            printf("PASS minimize: nothing breaks, so there is nothing to shrink\n");
            status = EXIT_PASSED;
        }
    }
    record_free(&minimizer.best);
    munmap(minimizer.verdict, sizeof(*minimizer.verdict));
    return status;
}
