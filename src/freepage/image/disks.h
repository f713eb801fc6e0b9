/* The disks of a guest: tools and data, by their serials. */
#ifndef FREEPAGE_DISKS_H
#define FREEPAGE_DISKS_H

/* Mounts what the kernel's command line names, the tools first: what makes a file system is among them. */
void mount_disks(void);

#endif
