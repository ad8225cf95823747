/* SPDX-License-Identifier: BSD-2-Clause */
/* `make bench`: rdmig-bench JSON-FILE [ROUNDS]. See bench.h. BENCH_ONCE N: engine.c's case N once,
 * for whoever counts its instructions. */
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { DEFAULT_ROUND_COUNT = 7, CONDITION_MAX = 8, CONDITION_TEXT_BYTES = 256 };

/* Under which conditions the figures came about. */
struct condition {
    const char *name;
    char text[CONDITION_TEXT_BYTES];
};

static struct condition conditions[CONDITION_MAX];
static uint32_t condition_count;

void bench_fail(const char *format, ...)
{
    va_list arguments;

    (void)fputs("rdmig-bench: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

/* ---- series */

void bench_sample(struct bench *bench, const char *group, const char *label, const char *figure,
                  const char *unit, double value)
{
    struct bench_series *series = NULL;

    for (uint32_t i = 0; i < bench->series_count && series == NULL; i++) {
        struct bench_series *known = &bench->series[i];

        if (strcmp(known->group, group) == 0 && strcmp(known->label, label) == 0 &&
            strcmp(known->figure, figure) == 0)
            series = known;
    }
    if (series == NULL) {
        if (bench->series_count == BENCH_SERIES_MAX)
            bench_fail("too many figures; raise BENCH_SERIES_MAX");
        series = &bench->series[bench->series_count++];
        *series =
            (struct bench_series){.group = group, .label = label, .figure = figure, .unit = unit};
    }
    if (series->value_count < BENCH_ROUNDS_MAX)
        series->values[series->value_count++] = value;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct bench_series *series)
{
    const uint32_t half = series->value_count / 2;

    if (series->value_count % 2 == 1)
        return series->values[half];
    return (series->values[half - 1] + series->values[half]) / 2;
}

static void sort_all(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->series_count; i++)
        qsort(bench->series[i].values, bench->series[i].value_count, sizeof(double), compare);
}

/* ---- conditions */

static void add_condition(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_condition(const char *name, const char *format, ...)
{
    struct condition *condition = &conditions[condition_count++];
    va_list arguments;

    condition->name = name;
    va_start(arguments, format);
    (void)vsnprintf(condition->text, sizeof(condition->text), format, arguments);
    va_end(arguments);
}

/* The value of one line of /proc/cpuinfo, of its first processor. */
static void read_cpu_field(const char *key, char *text, size_t text_bytes)
{
    FILE *info = fopen("/proc/cpuinfo", "r");
    char line[CONDITION_TEXT_BYTES];

    (void)snprintf(text, text_bytes, "unknown");
    if (info == NULL)
        return;
    while (fgets(line, sizeof(line), info) != NULL && line[0] != '\n') {
        const size_t key_bytes = strlen(key);
        const char *value = strchr(line, ':');

        /* A key is followed by a tab, so that "model" is not "model name". */
        if (value == NULL || strncmp(line, key, key_bytes) != 0 || line[key_bytes] != '\t')
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(text, text_bytes, "%s", value + strspn(value, ": \t"));
    }
    (void)fclose(info);
}

/* Family, model and stepping too: virtual machines are often silent about the name. */
static void add_cpu_condition(void)
{
    char name[CONDITION_TEXT_BYTES];
    char numbers[3][16];

    read_cpu_field("model name", name, sizeof(name));
    read_cpu_field("cpu family", numbers[0], sizeof(numbers[0]));
    read_cpu_field("model", numbers[1], sizeof(numbers[1]));
    read_cpu_field("stepping", numbers[2], sizeof(numbers[2]));
    add_condition("cpu", "%.128s, family %s, model %s, stepping %s", name, numbers[0], numbers[1],
                  numbers[2]);
}

static void find_conditions(uint32_t round_count)
{
    const time_t now = time(NULL);
    struct utsname system = {0};
    struct tm date = {0};
    char text[CONDITION_TEXT_BYTES];

    add_cpu_condition();
    (void)uname(&system);
    add_condition("kernel", "%s %s %s", system.sysname, system.release, system.machine);
    add_condition("compiler", "%s", COMPILER);
    add_condition("options", "%s", BENCH_OPTIONS);
    (void)gmtime_r(&now, &date);
    (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &date);
    add_condition("date", "%s", text);
    add_condition("rounds", "%u, parts interleaved; of CPU time of one thread", round_count);
}

/* ---- output */

static int decimals(double value)
{
    const double size = value < 0 ? -value : value;

    return size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
}

static void print_value(FILE *file, double value)
{
    (void)fprintf(file, "%.*f", value == 0 ? 0 : decimals(value), value);
}

static void print_cell(double value)
{
    printf(" %11.*f", value == 0 ? 0 : decimals(value), value);
}

/* Is this the first series of its group, and of its case in it? */
static bool is_new(const struct bench *bench, uint32_t index, bool is_case)
{
    const struct bench_series *wanted = &bench->series[index];

    for (uint32_t i = 0; i < index; i++) {
        const struct bench_series *series = &bench->series[i];

        if (strcmp(series->group, wanted->group) == 0 &&
            (!is_case || strcmp(series->label, wanted->label) == 0))
            return false;
    }
    return true;
}

static void print_case(const struct bench *bench, const struct bench_series *first)
{
    for (uint32_t i = 0; i < bench->series_count; i++) {
        const struct bench_series *series = &bench->series[i];

        if (strcmp(series->group, first->group) != 0 || strcmp(series->label, first->label) != 0)
            continue;
        printf("%-44s %-36s", series->label, series->figure);
        print_cell(median(series));
        print_cell(series->values[0]);
        print_cell(series->values[series->value_count - 1]);
        printf("%s%s\n", series->unit[0] == '\0' ? "" : " ", series->unit);
    }
}

static void print_group(const struct bench *bench, const char *group)
{
    printf("\n%-44s %-36s %11s %11s %11s\n", group, "", "median", "least", "most");
    for (uint32_t i = 0; i < bench->series_count; i++) {
        if (strcmp(group, bench->series[i].group) == 0 && is_new(bench, i, true))
            print_case(bench, &bench->series[i]);
    }
}

/* Group by group, and case by case, in the order in which they first came. */
void bench_print_table(const struct bench *bench)
{
    for (uint32_t i = 0; i < condition_count; i++)
        printf("%-13s %s\n", conditions[i].name, conditions[i].text);
    for (uint32_t i = 0; i < bench->series_count; i++) {
        if (is_new(bench, i, false))
            print_group(bench, bench->series[i].group);
    }
}

static void write_text(FILE *file, const char *text)
{
    (void)fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', file);
        if ((unsigned char)*text >= 0x20)
            (void)fputc(*text, file);
    }
    (void)fputc('"', file);
}

static void write_member(FILE *file, const char *name, const char *text, const char *after)
{
    write_text(file, name);
    (void)fputs(": ", file);
    write_text(file, text);
    (void)fputs(after, file);
}

static void write_series(FILE *file, const struct bench_series *series)
{
    (void)fputs("    {", file);
    write_member(file, "group", series->group, ", ");
    write_member(file, "case", series->label, ", ");
    write_member(file, "figure", series->figure, ", ");
    write_member(file, "unit", series->unit, ", ");
    (void)fputs("\"median\": ", file);
    print_value(file, median(series));
    (void)fputs(", \"least\": ", file);
    print_value(file, series->values[0]);
    (void)fputs(", \"most\": ", file);
    print_value(file, series->values[series->value_count - 1]);
    (void)fputs("}", file);
}

void bench_write_json(const struct bench *bench, const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        bench_fail("%s cannot be written: %s", path, strerror(errno));
    (void)fputs("{\n  \"conditions\": {\n", file);
    for (uint32_t i = 0; i < condition_count; i++) {
        (void)fputs("    ", file);
        write_member(file, conditions[i].name, conditions[i].text,
                     i + 1 < condition_count ? ",\n" : "\n");
    }
    (void)fputs("  },\n  \"figures\": [\n", file);
    for (uint32_t i = 0; i < bench->series_count; i++) {
        write_series(file, &bench->series[i]);
        (void)fputs(i + 1 < bench->series_count ? ",\n" : "\n", file);
    }
    (void)fputs("  ]\n}\n", file);
    if (ferror(file) != 0 || fclose(file) != 0)
        bench_fail("%s cannot be written: the disk is full, or failing", path);
}

int main(int argument_count, char **arguments)
{
    static struct bench bench;
    const char *no_counter;
    unsigned long round_count = DEFAULT_ROUND_COUNT;

    if (argument_count == 3 && strcmp(arguments[1], BENCH_ONCE) == 0) {
        bench_engine_once((uint32_t)strtoul(arguments[2], NULL, 10));
        return EXIT_SUCCESS;
    }
    if (argument_count < 2 || argument_count > 3)
        bench_fail("usage: rdmig-bench JSON-FILE [ROUNDS]");
    if (argument_count == 3)
        round_count = strtoul(arguments[2], NULL, 10);
    if (round_count < 1 || round_count > BENCH_ROUNDS_MAX)
        bench_fail("ROUNDS is a number from 1 to %d", BENCH_ROUNDS_MAX);
    no_counter = bench_open_counter();
    find_conditions((uint32_t)round_count);
    bench_choose_readers();
    while (bench.round_count < round_count) {
        bench_zero_scan(&bench);
        bench_holes(&bench);
        bench_bitmap(&bench);
        bench_engine(&bench);
        bench_codec(&bench);
        bench.round_count++;
    }
    if (no_counter == NULL)
        add_condition("instructions", "counted by the processor, in user space");
    else if (bench_engine_count(&bench))
        add_condition("instructions", "counted by valgrind: %s", no_counter);
    else
        add_condition("instructions", "not counted: valgrind did not run it, and %s", no_counter);
    sort_all(&bench);
    bench_print_table(&bench);
    bench_write_json(&bench, arguments[1]);
    return EXIT_SUCCESS;
}
