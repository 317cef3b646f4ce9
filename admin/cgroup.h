#pragma once
#include <stdint.h>

/* cgroup - how much memory the kernel allows this process.
 *
 * The smallest memory.max of its cgroup and of those above it, in bytes; 0: none has one, or they
 * cannot be read. Version 2 of cgroups only (man 7 cgroups): Debian's since 11.
 */
uint64_t cgroup_memory_max(void);

/* The same, of the cgroup that the file `own` names (as /proc/self/cgroup does), below `root`. */
uint64_t cgroup_memory_max_in(const char *own, const char *root);
