/* Time: nanoseconds of CLOCK_MONOTONIC. */
#ifndef FREEPAGE_CLOCK_H
#define FREEPAGE_CLOCK_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static inline int64_t timespec_ns(struct timespec time)
{
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static inline int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return timespec_ns(now);
}

static inline void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
    if (at_ns <= 0)
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

#endif
