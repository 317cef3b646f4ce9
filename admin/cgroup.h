#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* cgroup - how much memory the kernel allows this process and those it shares a limit with.
 *
 * Of its cgroup and those above it the one that is nearest to its limit counts. What it uses is all
 * that it would be killed for: also what the kernel keeps for its sockets, but, from half of the
 * limit on, no pages of files that the kernel may drop. Version 2 of cgroups only (man 7 cgroups):
 * Debian's since 11.
 */
struct cgroup {
    char root[PATH_MAX]; /* where cgroups are mounted */
    char path[PATH_MAX]; /* below it; empty: it is in none */
};

struct cgroup_memory {
    uint64_t max_bytes; /* memory.max; 0: there is no limit */
    uint64_t used_bytes;
};

/* At the start, and when settings are read again: /proc/self/cgroup waits for a lock of the whole
 * machine. Without descriptors all stays as it was. */
void cgroup_find(struct cgroup *self);

/* Where the file `own` says (as /proc/self/cgroup does), below `root`. */
void cgroup_find_in(struct cgroup *self, const char *own, const char *root);

/* Each second: two small files for the cgroup and each above it. memory.stat, for which the kernel
 * adds up what all processors have counted, is read only from half of the limit on. False: for want
 * of descriptors it could not be found out now. */
bool cgroup_memory(const struct cgroup *self, struct cgroup_memory *out);
