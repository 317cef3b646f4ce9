#pragma once
#include <stdbool.h>
#include <stdint.h>

/* cgroup - how much memory the kernel allows this process and those it shares a limit with.
 *
 * Of its cgroup and those above it the one that is nearest to its limit counts. What it uses is all
 * that it would be killed for: also what the kernel keeps for its sockets, but no pages of files
 * that the kernel may drop. Version 2 of cgroups only (man 7 cgroups): Debian's since 11.
 */
struct cgroup_memory {
    uint64_t max_bytes; /* memory.max; 0: there is no limit */
    uint64_t used_bytes;
};

/* False: it could not be found out now, for want of descriptors. Takes some ten system calls. */
bool cgroup_memory(struct cgroup_memory *out);

/* The same of the cgroup that the file `own` names (as /proc/self/cgroup does), below `root`. */
bool cgroup_memory_in(const char *own, const char *root, struct cgroup_memory *out);
