/* SPDX-License-Identifier: BSD-2-Clause */
#include "totals.h"
#include "fail.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Real seconds that one item may take; a world is over in milliseconds. */
enum { ITEM_SECONDS_MAX = 120 };

#define NO_NUMBER UINT64_MAX

void totals_add(struct totals *totals, const struct options *options,
                const struct run_result *result)
{
    const enum rdmig_role teller = options->kind[RDMIG_ROLE_SOURCE] == PARTY_HOSTILE
                                       ? RDMIG_ROLE_DESTINATION
                                       : RDMIG_ROLE_SOURCE;

    const bool is_pipelined = options->is_pipelined[0] && options->is_pipelined[1];

    totals->world_count++;
    totals->pipelined_count += is_pipelined ? 1 : 0;
    totals->limited_count +=
        options->pinned_bytes_max[0] + options->pinned_bytes_max[1] > 0 ? 1 : 0;
    totals->outcome_count[result->outcome[teller]]++;
    totals->retry_count += result->attempt_count - 1;
    totals->step_count += result->step_count;
    totals->decision_count += result->decision_count;
    totals->pair_count[options->kind[0]][options->kind[1]]++;
    for (uint32_t kind = 0; kind < FAULT_KIND_COUNT; kind++) {
        for (uint32_t role = 0; role < 2; role++) {
            const uint32_t taken = (result->faults_taken[role] >> kind) & 1;

            totals->fault_count[kind] += taken;
            totals->pipelined_fault_count[kind] += is_pipelined ? taken : 0;
        }
    }
    totals->hash_sum += result->log_hash;
}

static void add_line(struct totals *totals, const struct survey_line *line)
{
    uint32_t at = 0;

    totals->broken_count += line->count;
    while (at < SURVEY_MAX && totals->survey[at].count > 0 &&
           strcmp(totals->survey[at].name, line->name) != 0)
        at++;
    if (at == SURVEY_MAX)
        return;
    if (totals->survey[at].count == 0) {
        totals->survey[at] = *line;
        return;
    }
    totals->survey[at].count += line->count;
    if (line->first_seed < totals->survey[at].first_seed)
        totals->survey[at].first_seed = line->first_seed;
}

void totals_add_broken(struct totals *totals, const char *broken, uint64_t seed)
{
    struct survey_line line = {.count = 1, .first_seed = seed};
    size_t length = strcspn(broken, ":");

    if (length >= sizeof(line.name))
        length = sizeof(line.name) - 1;
    memcpy(line.name, broken, length);
    add_line(totals, &line);
}

static void merge(struct totals *totals, const struct totals *other)
{
    totals->world_count += other->world_count;
    totals->retry_count += other->retry_count;
    totals->step_count += other->step_count;
    totals->decision_count += other->decision_count;
    totals->hash_sum += other->hash_sum;
    for (uint32_t i = 0; i < 4; i++)
        totals->outcome_count[i] += other->outcome_count[i];
    totals->pipelined_count += other->pipelined_count;
    totals->limited_count += other->limited_count;
    for (uint32_t i = 0; i < FAULT_KIND_COUNT; i++) {
        totals->fault_count[i] += other->fault_count[i];
        totals->pipelined_fault_count[i] += other->pipelined_fault_count[i];
    }
    for (uint32_t i = 0; i < SURVEY_MAX && other->survey[i].count > 0; i++)
        add_line(totals, &other->survey[i]);
    for (uint32_t i = 0; i < PARTY_KIND_COUNT; i++) {
        for (uint32_t j = 0; j < PARTY_KIND_COUNT; j++)
            totals->pair_count[i][j] += other->pair_count[i][j];
    }
}

void totals_print(const struct totals *totals, FILE *file)
{
    fprintf(file, "pairs:");
    for (uint32_t i = 0; i < PARTY_KIND_COUNT; i++) {
        for (uint32_t j = 0; j < PARTY_KIND_COUNT; j++) {
            if (totals->pair_count[i][j] > 0)
                fprintf(file, " %s/%s %" PRIu64, party_kind_name((enum party_kind)i),
                        party_kind_name((enum party_kind)j), totals->pair_count[i][j]);
        }
    }
    fprintf(file, "\nPIPELINE at both ends %" PRIu64 ", a limit on pinned memory %" PRIu64,
            totals->pipelined_count, totals->limited_count);
    fprintf(file, "\nfaults that took place (of them with PIPELINE at both ends):");
    for (uint32_t kind = FAULT_NONE + 1; kind < FAULT_KIND_COUNT; kind++)
        fprintf(file, " %s %" PRIu64 " (%" PRIu64 ")", fault_name((enum fault_kind)kind),
                totals->fault_count[kind], totals->pipelined_fault_count[kind]);
    for (uint32_t i = 0; i < SURVEY_MAX && totals->survey[i].count > 0; i++)
        fprintf(file, "\nbroken: %-28s %" PRIu64 " times, first by --seed %" PRIu64,
                totals->survey[i].name, totals->survey[i].count, totals->survey[i].first_seed);
    fprintf(file, "\nhash %016" PRIx64 "\n", totals->hash_sum);
}

/* ---- processes */

struct share {
    struct totals totals;
    _Atomic uint64_t current; /* the item it is at */
};

struct board { /* seen by all processes */
    _Atomic uint64_t failed_number;
    struct share shares[JOBS_MAX];
};

static void report_failure(struct board *board, uint64_t number)
{
    uint64_t lowest = atomic_load(&board->failed_number);

    while (number < lowest && !atomic_compare_exchange_weak(&board->failed_number, &lowest, number))
        continue;
}

static void do_share(const struct work_plan *plan, struct board *board, uint32_t job)
{
    struct share *share = &board->shares[job];

    for (uint64_t number = plan->first + job;
         number <= plan->last && number < atomic_load(&board->failed_number);
         number += plan->job_count) {
        atomic_store(&share->current, number);
        alarm(ITEM_SECONDS_MAX);
        if (!plan->function(plan->context, number, &share->totals))
            report_failure(board, number);
        if (number > UINT64_MAX - plan->job_count)
            break;
    }
    atomic_store(&share->current, NO_NUMBER);
}

static void await_share(struct board *board, uint32_t job, pid_t pid, struct work_failure *failure)
{
    uint64_t current;
    int status = 0;

    if (waitpid(pid, &status, 0) != pid)
        sim_fail("jobs", "a process that cannot be waited for");
    current = atomic_load(&board->shares[job].current);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && current == NO_NUMBER)
        return;
    report_failure(board, current);
    if (atomic_load(&board->failed_number) == current) {
        failure->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        failure->has_exited = !WIFSIGNALED(status);
    }
    failure->number = atomic_load(&board->failed_number);
}

bool work_run(const struct work_plan *plan, struct totals *totals, struct work_failure *failure)
{
    struct board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[JOBS_MAX];
    uint64_t failed_number;

    memset(totals, 0, sizeof(*totals));
    memset(failure, 0, sizeof(*failure));
    if (board == MAP_FAILED)
        sim_fail("jobs", "no memory to share");
    atomic_store(&board->failed_number, NO_NUMBER);
    fflush(NULL);
    for (uint32_t job = 0; job < plan->job_count; job++) {
        pids[job] = fork();
        if (pids[job] < 0)
            sim_fail("jobs", "no further process: use --jobs 1");
        if (pids[job] == 0) {
            do_share(plan, board, job);
            exit(0); /* not _exit: coverage and leak checks report at exit */
        }
    }
    for (uint32_t job = 0; job < plan->job_count; job++)
        await_share(board, job, pids[job], failure);
    for (uint32_t job = 0; job < plan->job_count; job++)
        merge(totals, &board->shares[job].totals);
    failed_number = atomic_load(&board->failed_number);
    munmap(board, sizeof(*board));
    if (failure->number !=
        failed_number) { /* an item that failed in order, below one that crashed */
        failure->signal = 0;
        failure->has_exited = false;
    }
    failure->number = failed_number;
    return failed_number == NO_NUMBER;
}
