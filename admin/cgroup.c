#include "admin/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct search {
    const char *root;
    struct cgroup_memory nearest;
    bool failed; /* a file that is there could not be opened */
};

static FILE *open_file(struct search *self, const char *path)
{
    FILE *file = fopen(path, "re");
    self->failed = self->failed || (!file && errno != ENOENT && errno != ENOTDIR);
    return file;
}

/* The path of the cgroup, as the line "0::/path" says it. */
static bool find_path(struct search *self, const char *own, char path[PATH_MAX])
{
    char line[PATH_MAX + 8];
    bool found = false;
    FILE *file = open_file(self, own);
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::/", 4) == 0 && strlen(line + 3) < PATH_MAX;
        if (found)
            memcpy(path, line + 3, strlen(line + 3) + 1);
    }
    if (file)
        fclose(file);
    return found;
}

/* The number in a file of the cgroup, behind `name` (one line is "name number") or alone. 0: there
 * is no such file or number, as with "max". */
static uint64_t number_in(struct search *self, const char *cgroup, const char *file_name,
                          const char *name)
{
    char path[2 * PATH_MAX + 32], line[128];
    uint64_t number = 0;
    size_t skip = strlen(name);
    bool found = false;
    snprintf(path, sizeof path, "%s%s/%s", self->root, cgroup, file_name);
    FILE *file = open_file(self, path);
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, name, skip) == 0 && sscanf(line + skip, "%" SCNu64, &number) == 1;
    if (file)
        fclose(file);
    return found ? number : 0;
}

static void look_at(struct search *self, const char *cgroup)
{
    struct cgroup_memory at = {.max_bytes = number_in(self, cgroup, "memory.max", "")};
    if (at.max_bytes == 0)
        return;
    uint64_t droppable = number_in(self, cgroup, "memory.stat", "inactive_file ");
    at.used_bytes = number_in(self, cgroup, "memory.current", "");
    at.used_bytes -= droppable < at.used_bytes ? droppable : at.used_bytes;
    const struct cgroup_memory *nearest = &self->nearest;
    if (nearest->max_bytes == 0 || (double)at.used_bytes / (double)at.max_bytes >
                                       (double)nearest->used_bytes / (double)nearest->max_bytes)
        self->nearest = at;
}

bool cgroup_memory_in(const char *own, const char *root, struct cgroup_memory *out)
{
    char path[PATH_MAX];
    struct search search = {.root = root};
    if (find_path(&search, own, path)) {
        for (char *end; (end = strrchr(path, '/')); *end = '\0')
            look_at(&search, path);
        look_at(&search, "");
    }
    *out = search.nearest;
    return !search.failed;
}

bool cgroup_memory(struct cgroup_memory *out)
{
    return cgroup_memory_in("/proc/self/cgroup", "/sys/fs/cgroup", out);
}
