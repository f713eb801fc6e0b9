/* The stream that the worker has to its host. */
#ifndef FREEPAGE_STREAMS_H
#define FREEPAGE_STREAMS_H

/* Waits for the virtio port called "freepage", which the driver announces a little after it was loaded. */
int wait_for_port(void);

/* Opens the kernel's console, which the kernel keeps for emergencies from now on. */
int open_console(void);

#endif
