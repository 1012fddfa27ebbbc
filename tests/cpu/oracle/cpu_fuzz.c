/*
 * cpu_fuzz: compares our CPU with the host's. See --help.
 *
 * The work is shared by forked processes: case n belongs to process n modulo
 * their number, so that the result does not depend on how many there are.
 */
#define _GNU_SOURCE
#include "oracle.h"

#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 64, DEFAULT_SEED = 1, DEFAULT_COUNT = 5600000 };

struct arguments {
    struct oracle_options fuzz;
    uint32_t jobs;
    uint32_t least; /* tries that each form must have had */
    bool list;
};

static const char usage[] =
    "usage: cpu-fuzz [OPTION]...\n"
    "Runs random code on the host's CPU and on ours, and compares.\n"
    "  --seed N      random seed (default 1, or HUSK_FUZZ_SEED)\n"
    "  --first N     first case (default 1)\n"
    "  --count N     number of cases (default 5600000)\n"
    "  --case N      only this one\n"
    "  --form TEXT   only forms with TEXT in their name\n"
    "  --no-sequences, --only-sequences\n"
    "  --jobs N      processes (default: one for each CPU)\n"
    "  --least N     fail if a form was tried less often (default 0)\n"
    "  --show N      mismatches to show, per process (default 20)\n"
    "  --self        the host against itself\n"
    "  --list        the catalogue of forms\n";

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "cpu-fuzz: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static const struct option long_options[] = {
    {"seed", 1, NULL, 's'},           {"first", 1, NULL, 'f'},
    {"count", 1, NULL, 'c'},          {"case", 1, NULL, 'C'},
    {"form", 1, NULL, 'F'},           {"no-sequences", 0, NULL, 'n'},
    {"only-sequences", 0, NULL, 'o'}, {"jobs", 1, NULL, 'j'},
    {"least", 1, NULL, 'l'},          {"show", 1, NULL, 'S'},
    {"self", 0, NULL, 'x'},           {"list", 0, NULL, 'L'},
    {"help", 0, NULL, 'h'},           {NULL, 0, NULL, 0},
};

static void take_option(struct arguments *a, int option)
{
    switch (option) {
    case 's':
        a->fuzz.seed = number(optarg);
        break;
    case 'f':
        a->fuzz.first = number(optarg);
        break;
    case 'c':
        a->fuzz.count = number(optarg);
        break;
    case 'C':
        a->fuzz.first = number(optarg);
        a->fuzz.count = 1;
        a->jobs = 1;
        break;
    case 'F':
        a->fuzz.filter = optarg;
        a->fuzz.no_sequences = true;
        break;
    case 'n':
        a->fuzz.no_sequences = true;
        break;
    case 'o':
        a->fuzz.no_singles = true;
        break;
    case 'j':
        a->jobs = (uint32_t)number(optarg);
        break;
    case 'l':
        a->least = (uint32_t)number(optarg);
        break;
    case 'S':
        a->fuzz.report_limit = (uint32_t)number(optarg);
        break;
    case 'x':
        a->fuzz.self = true;
        break;
    case 'L':
        a->list = true;
        break;
    default:
        fputs(usage, option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

static void parse(struct arguments *a, int argc, char **argv)
{
    const char *seed = getenv("HUSK_FUZZ_SEED");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    a->fuzz.seed = seed != NULL ? number(seed) : DEFAULT_SEED;
    a->fuzz.first = 1;
    a->fuzz.count = DEFAULT_COUNT;
    a->fuzz.report_limit = 20;
    a->jobs = cpus < 1 ? 1 : (uint32_t)cpus;
    int option;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) >= 0)
        take_option(a, option);
    if (a->jobs < 1 || a->jobs > MAX_JOBS)
        a->jobs = 1;
}

/* Totals live in memory that the children share. */
static struct oracle_totals *make_totals(uint32_t jobs)
{
    size_t forms = oracle_form_count();
    size_t each = sizeof(struct oracle_totals) + 2 * forms * sizeof(uint32_t);
    size_t size = jobs * each;
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    struct oracle_totals *totals = (void *)at;
    uint32_t *counts = (void *)(at + jobs * sizeof(*totals));
    for (uint32_t i = 0; i < jobs; i++) {
        totals[i].per_form = counts + 2 * i * forms;
        totals[i].per_form_bad = totals[i].per_form + forms;
    }
    return totals;
}

/* A process stays on the CPU it begins on: one for each. */
static void choose_cpu(uint32_t job)
{
    cpu_set_t all, one;
    CPU_ZERO(&all);
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) == 0)
        return;
    int left = (int)job % CPU_COUNT(&all);
    int cpu = 0;
    while (!CPU_ISSET((unsigned)cpu, &all) || left-- > 0)
        cpu++;
    CPU_SET((unsigned)cpu, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);
}

static int run_job(const struct arguments *a, uint32_t job,
                   struct oracle_totals *totals)
{
    struct oracle_options options = a->fuzz;
    const char *why;
    options.first += job;
    options.stride = a->jobs;
    options.count = options.count > job ? options.count - job : 0;
    choose_cpu(job);
    if (oracle_vdso_can_exchange())
        (void)oracle_vdso_exchange();
    if (oracle_open(&why) < 0) {
        fprintf(stderr, "cpu-fuzz: %s\n", why);
        return 3;
    }
    oracle_fuzz(&options, totals);
    oracle_close();
    return 0;
}

/* True when every process ended as it should. */
static bool run_jobs(const struct arguments *a, struct oracle_totals *totals)
{
    bool ok = true;
    for (uint32_t job = 0; job < a->jobs; job++) {
        pid_t pid = fork();
        if (pid == 0) {
            int status = run_job(a, job, &totals[job]);
            fflush(stdout);
            _exit(status);
        }
        ok = ok && pid > 0;
    }
    int status;
    while (wait(&status) > 0) {
        if (WIFSIGNALED(status))
            printf("cpu-fuzz: a process was ended by signal %d\n",
                   WTERMSIG(status));
        ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return ok;
}

static void add_totals(struct oracle_totals *to,
                       const struct oracle_totals *from)
{
    to->cases += from->cases;
    to->sequences += from->sequences;
    to->mismatches += from->mismatches;
    to->timeouts += from->timeouts;
    to->unmade += from->unmade;
    for (size_t i = 0; i < oracle_form_count(); i++) {
        to->per_form[i] += from->per_form[i];
        to->per_form_bad[i] += from->per_form_bad[i];
    }
}

static void show_bad_forms(const struct oracle_totals *t)
{
    size_t bad = 0;
    for (size_t i = 0; i < oracle_form_count(); i++)
        bad += t->per_form_bad[i] != 0;
    if (bad == 0)
        return;
    printf("%zu forms differ (bad cases of tried ones):\n", bad);
    for (size_t i = 0; i < oracle_form_count(); i++)
        if (t->per_form_bad[i] != 0)
            printf("%8" PRIu32 " of %6" PRIu32 "  %s\n", t->per_form_bad[i],
                   t->per_form[i], oracle_form_get(i)->name);
}

/* Returns how often the least tried form was tried. */
static uint32_t show_summary(const struct arguments *a,
                             const struct oracle_totals *t)
{
    size_t forms = 0, least = 0;
    uint32_t least_count = UINT32_MAX;
    for (size_t i = 0; i < oracle_form_count(); i++) {
        const struct oracle_form *form = oracle_form_get(i);
        if (form->why_not != NULL ||
            (a->fuzz.filter && strstr(form->name, a->fuzz.filter) == NULL))
            continue;
        forms++;
        if (t->per_form[i] < least_count) {
            least_count = t->per_form[i];
            least = i;
        }
    }
    show_bad_forms(t);
    printf("cpu-fuzz: seed %" PRIu64 ", %" PRIu64 " cases, %" PRIu64
           " of them sequences, %" PRIu64 " without an end, %" PRIu64
           " not made\n",
           a->fuzz.seed, t->cases, t->sequences, t->timeouts, t->unmade);
    if (forms != 0)
        printf("cpu-fuzz: %zu forms; least tried: %s, %" PRIu32 " cases\n",
               forms, oracle_form_get(least)->name, least_count);
    printf("cpu-fuzz: %" PRIu64 " differ\n", t->mismatches);
    return least_count;
}

/* Every form of the decoder is compared or named here. */
static void show_left_out(void)
{
    size_t count = 0;
    for (size_t i = 0; i < oracle_form_count(); i++)
        count += oracle_form_get(i)->why_not != NULL;
    printf("cpu-fuzz: %zu forms not comparable%s\n", count, count ? ":" : "");
    for (size_t i = 0; i < oracle_form_count(); i++) {
        const struct oracle_form *form = oracle_form_get(i);
        if (form->why_not != NULL)
            printf("  %s: %s\n", form->name, form->why_not);
    }
}

static void list_forms(void)
{
    for (size_t i = 0; i < oracle_form_count(); i++)
        puts(oracle_form_get(i)->name);
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    parse(&a, argc, argv);
    if (!oracle_forms_init())
        return 3;
    if (a.list) {
        list_forms();
        return 0;
    }
    struct oracle_totals *totals = make_totals(a.jobs);
    if (totals == NULL)
        return 3;
    bool ok = run_jobs(&a, totals);
    for (uint32_t job = 1; job < a.jobs; job++)
        add_totals(&totals[0], &totals[job]);
    if (a.fuzz.filter == NULL)
        show_left_out();
    uint32_t least = show_summary(&a, &totals[0]);
    if (!ok) {
        fprintf(stderr, "cpu-fuzz: a process failed\n");
        return 3;
    }
    if (least < a.least) {
        fprintf(stderr, "cpu-fuzz: a form was tried less than %u times\n",
                a.least);
        return 1;
    }
    return totals[0].mismatches == 0 ? 0 : 1;
}
