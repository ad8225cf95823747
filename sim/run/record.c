/* SPDX-License-Identifier: BSD-2-Clause */
#include "record.h"
#include "fail.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DECISIONS_MAX 10000000u

void record_free(struct record *record)
{
    free(record->decisions);
    memset(record, 0, sizeof(*record));
}

static const char *add_decision(struct record *record, size_t *capacity, const char *word)
{
    struct decision decision;
    int end = 0;

    if (sscanf(word, "%" SCNu32 "/%" SCNu32 "%n", &decision.value, &decision.bound, &end) != 2 ||
        word[end] != '\0' || decision.value >= decision.bound)
        return "a decision is: value/bound, the value below the bound";
    if (record->decision_count == DECISIONS_MAX)
        return "more decisions than any world makes";
    if (record->decision_count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 256;
        record->decisions =
            sim_allocated(realloc(record->decisions, *capacity * sizeof(*record->decisions)));
    }
    record->decisions[record->decision_count++] = decision;
    return NULL;
}

/* After "decisions:": "drawn N", then the decisions, with any space between. */
static const char *read_decisions(struct record *record, FILE *file)
{
    size_t capacity = 0;
    char word[40];

    if (fscanf(file, " drawn %zu", &record->drawn_count) != 1)
        return "after decisions: comes `drawn N`, how many of them made the options";
    while (fscanf(file, "%39s", word) == 1) {
        const char *wrong = add_decision(record, &capacity, word);

        if (wrong)
            return wrong;
    }
    return ferror(file) ? "the file cannot be read" : NULL;
}

const char *record_read(struct record *record, const char *path)
{
    FILE *file = fopen(path, "r");
    const char *wrong;

    memset(record, 0, sizeof(*record));
    options_init(&record->options);
    if (!file)
        return strerror(errno);
    wrong = options_read(&record->options, file);
    if (!wrong && !feof(file))
        wrong = read_decisions(record, file);
    fclose(file);
    if (wrong)
        record_free(record);
    return wrong;
}

bool record_write(const struct record *record, const char *path, const char *title)
{
    FILE *file = fopen(path, "w");
    bool is_written;

    if (!file)
        return false;
    fprintf(file, "# %s\n", title);
    options_print(&record->options, file);
    fprintf(file, "decisions:\ndrawn %zu\n", record->drawn_count);
    for (size_t i = 0; i < record->decision_count; i++)
        fprintf(file, "%" PRIu32 "/%" PRIu32 "%s", record->decisions[i].value,
                record->decisions[i].bound, i % 16 == 15 ? "\n" : " ");
    fprintf(file, "\n");
    is_written = !ferror(file);
    return fclose(file) == 0 && is_written;
}

void record_keep(struct record *record, const struct options *options, const struct choice *choice,
                 size_t drawn_count)
{
    size_t count = choice->made_count;
    struct decision *copy;

    while (count > drawn_count && choice->made[count - 1].value == 0)
        count--;
    copy = sim_allocated(malloc((count + 1) * sizeof(*copy)));
    if (count > 0)
        memcpy(copy, choice->made, count * sizeof(*copy));
    record->options = *options;
    free(record->decisions);
    record->decisions = copy;
    record->decision_count = count;
    record->drawn_count = drawn_count;
}

bool record_run(struct record *record, const struct run_report *report, struct run_result *result)
{
    struct options options = record->options;
    struct choice choice;
    size_t drawn_count = 0;

    choice_init_list(&choice, record->decisions, record->decision_count);
    if (record->drawn_count > 0) {
        options_draw(&options, &choice);
        drawn_count = choice.made_count;
    }
    run_world(&options, &choice, report, result);
    record_keep(record, &options, &choice, drawn_count);
    choice_free(&choice);
    return result->is_passed;
}
