/* What the worker is held against: maps BYTES, writes one byte to each page, prints the nanoseconds it took. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

int main(int count, char **arguments)
{
    struct timespec start, end;
    if (count != 2)
        return 2;
    long bytes = atol(arguments[1]);
    clock_gettime(CLOCK_MONOTONIC, &start);
    volatile char *block = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return 1;
    for (long at = 0; at < bytes; at += 4096)
        block[at] = 1;
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%ld\n", (end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec);
    return 0;
}
