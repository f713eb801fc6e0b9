/* Samples of a node: "worker sample INTERVAL_MS FILE[:PREFIX,PREFIX...] ..." sends the kernel's counters at every tick. */
#ifndef FREEPAGE_NODE_H
#define FREEPAGE_NODE_H

/* Takes the arguments after "sample"; 2 for wrong ones, else it goes on until the worker ends. */
int run_sampler(int count, char **arguments);

#endif
