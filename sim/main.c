/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig-sim: the command line. */
#include "explore.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode {
    MODE_NONE,
    MODE_SEED,
    MODE_SEEDS,
    MODE_SEEDS_FILE,
    MODE_REPLAY,
    MODE_EXHAUSTIVE,
    MODE_MINIMIZE,
    MODE_PRINT_OPTIONS
};

struct arguments {
    struct explore_request request;
    struct options scenario;
    enum mode mode;
    bool has_seed;
    uint64_t first_seed;
    uint64_t last_seed;
    uint32_t depth;
    const char *path;
    char scenario_arguments[1000];
};

static const char help[] =
    "rdmig-sim: migrations in a made-up world, each repeatable from its decisions.\n"
    "\n"
    "  --seed N              one world\n"
    "  --seeds A..B          many; stops at the first that breaks an oracle\n"
    "  --seeds-file FILE     those of lines `seed  commit-or-date  reason`\n"
    "  --replay FILE         a recorded world\n"
    "  --minimize FILE       fewer and lower decisions that break the same oracle, into FILE.min;\n"
    "  --minimize --seed N   the same from a seed\n"
    "  --exhaustive DEPTH    every order of DEPTH decisions in a row, alone and around every "
    "fault\n"
    "                        at every moment of a tiny world\n"
    "  --print-options       the options of the plain world, as a scenario file\n"
    "\n"
    "  --scenario FILE       options from lines `name = value` instead of drawn ones\n"
    "  --set NAME=VALUE      one option of the scenario\n"
    "  --jobs N              processes [one a processor]\n"
    "  --write FILE          record the world of --seed there\n"
    "  --coverage-of-faults  --seeds: fail if some kind of fault never took place\n"
    "  --keep-going          --seeds: count what breaks, do not stop at it\n"
    "  --hash                print the hash of the log and nothing else\n"
    "  -v, --verbose         the options, and every line of the log\n"
    "  -h, --help\n"
    "\n"
    "Exit status: 0 all held, 1 an oracle broke, 2 the arguments are no good.\n";

static const struct option long_options[] = {
    {"seed", required_argument, NULL, 's'},
    {"seeds", required_argument, NULL, 'S'},
    {"seeds-file", required_argument, NULL, 'f'},
    {"replay", required_argument, NULL, 'r'},
    {"minimize", optional_argument, NULL, 'm'},
    {"exhaustive", required_argument, NULL, 'e'},
    {"print-options", no_argument, NULL, 'p'},
    {"scenario", required_argument, NULL, 'c'},
    {"set", required_argument, NULL, 'o'},
    {"jobs", required_argument, NULL, 'j'},
    {"write", required_argument, NULL, 'w'},
    {"coverage-of-faults", no_argument, NULL, 'F'},
    {"keep-going", no_argument, NULL, 'k'},
    {"hash", no_argument, NULL, 'H'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int complain(const char *about, const char *wrong)
{
    fprintf(stderr, "rdmig-sim: %s: %s (--help shows what there is)\n", about, wrong);
    return EXIT_USAGE;
}

/* A whole number, decimal or 0x; *end is what follows it. */
static bool read_number(const char *text, uint64_t *out, const char **end)
{
    char *after;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &after, 0);
    *end = after;
    return errno == 0;
}

static bool read_whole(const char *text, uint64_t maximum, uint64_t *out)
{
    const char *end;

    return read_number(text, out, &end) && *end == '\0' && *out <= maximum;
}

static bool read_range(const char *text, uint64_t *first, uint64_t *last)
{
    const char *end;

    return read_number(text, first, &end) && strncmp(end, "..", 2) == 0 &&
           read_whole(end + 2, UINT64_MAX - 1, last) && *first <= *last;
}

/* ---- options of the scenario */

/* What was given, for the command that repeats the run. */
static int note_scenario(struct arguments *arguments, const char *option, const char *text)
{
    const size_t used = strlen(arguments->scenario_arguments);
    const size_t room = sizeof(arguments->scenario_arguments) - used;

    arguments->request.scenario = &arguments->scenario;
    if ((size_t)snprintf(arguments->scenario_arguments + used, room, " %s '%s'", option, text) >=
        room)
        return complain(option, "too many of them: use a scenario file");
    return EXIT_PASSED;
}

static int read_scenario(struct arguments *arguments, const char *path)
{
    FILE *file = fopen(path, "r");
    const char *wrong;

    if (!file)
        return complain(path, strerror(errno));
    wrong = options_read(&arguments->scenario, file);
    fclose(file);
    return wrong ? complain(path, wrong) : note_scenario(arguments, "--scenario", path);
}

static int set_option(struct arguments *arguments, const char *text)
{
    char name[80];
    const size_t length = strcspn(text, "=");
    const char *wrong;

    if (text[length] != '=' || length >= sizeof(name))
        return complain(text, "--set wants NAME=VALUE");
    memcpy(name, text, length);
    name[length] = '\0';
    wrong = options_set(&arguments->scenario, name, text + length + 1);
    return wrong ? complain(text, wrong) : note_scenario(arguments, "--set", text);
}

/* ---- the command line */

static int take_mode(struct arguments *arguments, enum mode mode)
{
    /* A seed may be what is minimized. */
    if (arguments->mode == MODE_MINIMIZE && mode == MODE_SEED)
        return EXIT_PASSED;
    if (arguments->mode != MODE_NONE && !(arguments->mode == MODE_SEED && mode == MODE_MINIMIZE))
        return complain("arguments", "one thing at a time");
    arguments->mode = mode;
    return EXIT_PASSED;
}

static int take_path(struct arguments *arguments, enum mode mode, const char *path)
{
    arguments->path = path;
    return take_mode(arguments, mode);
}

static int take_seeds(struct arguments *arguments, int letter, const char *text)
{
    if (letter == 'S') {
        if (!read_range(text, &arguments->first_seed, &arguments->last_seed))
            return complain(text, "--seeds wants FIRST..LAST");
        return take_mode(arguments, MODE_SEEDS);
    }
    if (!read_whole(text, UINT64_MAX - 1, &arguments->first_seed))
        return complain(text, "--seed wants a number");
    arguments->has_seed = true;
    return take_mode(arguments, MODE_SEED);
}

static int take_count(struct arguments *arguments, int letter, const char *text)
{
    uint64_t number;

    if (letter == 'j') {
        if (!read_whole(text, JOBS_MAX, &number) || number == 0)
            return complain(text, "--jobs wants a number from 1 to 256");
        arguments->request.job_count = (uint32_t)number;
        return EXIT_PASSED;
    }
    if (!read_whole(text, UINT32_MAX, &number))
        return complain(text, "--exhaustive wants a number of decisions");
    arguments->depth = (uint32_t)number;
    return take_mode(arguments, MODE_EXHAUSTIVE);
}

static int take(struct arguments *arguments, int letter, const char *text)
{
    switch (letter) {
    case 's':
    case 'S':
        return take_seeds(arguments, letter, text);
    case 'f':
        return take_path(arguments, MODE_SEEDS_FILE, text);
    case 'r':
        return take_path(arguments, MODE_REPLAY, text);
    case 'm':
        return take_path(arguments, MODE_MINIMIZE, text);
    case 'p':
        return take_mode(arguments, MODE_PRINT_OPTIONS);
    case 'e':
    case 'j':
        return take_count(arguments, letter, text);
    case 'c':
        return read_scenario(arguments, text);
    case 'o':
        return set_option(arguments, text);
    case 'w':
        arguments->request.write_path = text;
        return EXIT_PASSED;
    case 'F':
        arguments->request.needs_faults = true;
        return EXIT_PASSED;
    case 'k':
        arguments->request.keeps_going = true;
        return EXIT_PASSED;
    case 'H':
        arguments->request.is_hash_only = true;
        return EXIT_PASSED;
    case 'v':
        arguments->request.is_verbose = true;
        return EXIT_PASSED;
    default:
        return EXIT_USAGE; /* getopt_long has said why */
    }
}

static int run_mode(const struct arguments *arguments)
{
    const struct explore_request *request = &arguments->request;

    switch (arguments->mode) {
    case MODE_SEED:
        return explore_seed(request, arguments->first_seed);
    case MODE_SEEDS:
        return explore_seeds(request, arguments->first_seed, arguments->last_seed);
    case MODE_SEEDS_FILE:
        return explore_seeds_file(request, arguments->path);
    case MODE_REPLAY:
        return explore_replay(request, arguments->path);
    case MODE_EXHAUSTIVE:
        return explore_exhaustive(request, arguments->depth);
    case MODE_MINIMIZE:
        return explore_minimize(request, arguments->path, arguments->first_seed);
    case MODE_PRINT_OPTIONS:
        options_print(&arguments->scenario, stdout);
        return EXIT_PASSED;
    default:
        return complain("arguments", "nothing to do");
    }
}

int main(int argc, char **argv)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct arguments arguments = {.request = {.program = "rdmig-sim"}};
    int status = EXIT_PASSED;
    int letter;

    options_init(&arguments.scenario);
    arguments.request.scenario_arguments = arguments.scenario_arguments;
    arguments.request.job_count = processors < 1          ? 1
                                  : processors > JOBS_MAX ? JOBS_MAX
                                                          : (uint32_t)processors;
    while (status == EXIT_PASSED &&
           (letter = getopt_long(argc, argv, "vh", long_options, NULL)) != -1) {
        if (letter == 'h') {
            fputs(help, stdout);
            return EXIT_PASSED;
        }
        status = take(&arguments, letter, optarg);
    }
    if (status != EXIT_PASSED)
        return status;
    /* `--minimize FILE`: getopt_long takes an optional argument only after `=`. */
    if (arguments.mode == MODE_MINIMIZE && !arguments.path && optind < argc)
        arguments.path = argv[optind++];
    if (optind < argc)
        return complain(argv[optind], "an argument that nothing takes");
    if (arguments.mode == MODE_MINIMIZE && !arguments.path && !arguments.has_seed)
        return complain("--minimize", "a FILE or --seed N is wanted");
    return run_mode(&arguments);
}
