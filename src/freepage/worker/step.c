#define _GNU_SOURCE
#include "step.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "clock.h"
#include "lines.h"

/* Pages touched between two looks at the clock: far less than 1 ms. */
#define PAGES_A_LOOK 256

static const char *const action_words[] = {[ALLOCATE] = "allocate", [FREE] = "free", [RUN] = "run"};
static const char *const scan_words[] = {[ONCE] = "once", [SEQUENTIAL] = "sequential", [RANDOM] = "random"};

/* ---- words ----------------------------------------------------------------------------------------------------- */

/* The index of a word, or -1. */
static int find_word_in(const char *const words[], size_t count, const char *word)
{
    for (size_t i = 0; word && i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return (int)i;
    return -1;
}

bool read_action(const char *word, enum action *action)
{
    int found = find_word_in(action_words, sizeof action_words / sizeof *action_words, word);
    *action = found < 0 ? ALLOCATE : (enum action)found;
    return found >= 0;
}

bool read_scan(const char *word, enum scan *scan)
{
    int found = find_word_in(scan_words, sizeof scan_words / sizeof *scan_words, word);
    *scan = found < 0 ? ONCE : (enum scan)found;
    return found >= 0;
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* The order in which held memory is touched again: pages are `stride` bytes apart, `page` is the last one touched. */
struct walk {
    enum scan scan;
    int64_t pages, page;
    uint64_t state;
};

static struct walk start_walk(const struct step *step)
{
    uint64_t state = step->seed * 0x9e3779b97f4a7c15ULL + 1;
    int64_t pages = (step->bytes + step->stride - 1) / step->stride;
    return (struct walk){.scan = step->scan, .pages = pages, .page = -1, .state = state ? state : 1};
}

/* Xorshift64, after Marsaglia, "Xorshift RNGs" (2003). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static int64_t next_page(struct walk *walk)
{
    walk->page = walk->scan == RANDOM ? (int64_t)(next_random(&walk->state) % (uint64_t)walk->pages)
                                      : (walk->page + 1) % walk->pages;
    return walk->page;
}

/* By address, as a bare loop does it; a stride is below 2^61 bytes, so that none wraps around. */
static void touch_all(volatile char *address, int64_t bytes, int64_t stride)
{
    for (volatile char *end = address + bytes; address < end; address += stride)
        *address = 1;
}

void hold(const struct block *block, const struct step *step, int64_t until_ns)
{
    volatile char *address = block->address;
    struct walk walk = start_walk(step);
    if (!address || step->scan == ONCE)
        return;
    while (clock_ns() < until_ns)
        for (int i = 0; i < PAGES_A_LOOK; i++)
            address[next_page(&walk) * step->stride] = 1;
}

int release(struct block *block)
{
    char *address = block->address;
    block->address = NULL;
    return address && munmap(address, (size_t)block->bytes) != 0 ? errno : 0;
}

int allocate(struct block *block, const struct step *step)
{
    int error = release(block);
    void *memory = mmap(NULL, (size_t)step->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return errno;
    *block = (struct block){memory, step->bytes};
    touch_all(block->address, step->bytes, step->stride);
    return error;
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static int64_t timeval_ns(struct timeval value)
{
    return value.tv_sec * NS_PER_S + value.tv_usec * 1000LL;
}

struct usage read_usage(void)
{
    struct rusage own, programs;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &programs);
    return (struct usage){
        .user_ns = timeval_ns(own.ru_utime) + timeval_ns(programs.ru_utime),
        .system_ns = timeval_ns(own.ru_stime) + timeval_ns(programs.ru_stime),
        .read_bytes = 512LL * (own.ru_inblock + programs.ru_inblock),
        .minor_faults = own.ru_minflt + programs.ru_minflt,
        .major_faults = own.ru_majflt + programs.ru_majflt,
    };
}

static struct usage subtract(struct usage after, struct usage before)
{
    return (struct usage){
        .user_ns = after.user_ns - before.user_ns,
        .system_ns = after.system_ns - before.system_ns,
        .read_bytes = after.read_bytes - before.read_bytes,
        .minor_faults = after.minor_faults - before.minor_faults,
        .major_faults = after.major_faults - before.major_faults,
    };
}

void write_step_event(int pipe, int process, size_t index, const struct step *step, int64_t planned_ns,
                      const struct outcome *done)
{
    struct usage used = subtract(done->after, done->before);
    char ending[160] = "\"ok\":true";
    const char *failure = done->error ? strerror(done->error) : done->failure;
    if (*failure)
        snprintf(ending, sizeof ending, "\"ok\":false,\"error\":\"%s\"", failure);
    write_event(pipe,
                "{\"type\":\"step\",\"process\":%d,\"index\":%zu,\"iteration\":%" PRId64 ",\"action\":\"%s\","
                "\"bytes\":%" PRId64 ",\"planned_ns\":%" PRId64 ",\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64 ","
                "\"user_ns\":%" PRId64 ",\"system_ns\":%" PRId64 ",\"read_bytes\":%" PRId64 ","
                "\"minor_faults\":%ld,\"major_faults\":%ld,%s}",
                process, index, step->iteration, action_words[step->action], done->bytes, planned_ns, done->start_ns,
                done->end_ns, used.user_ns, used.system_ns, used.read_bytes, used.minor_faults, used.major_faults,
                ending);
}
