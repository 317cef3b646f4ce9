#include "admin/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The path of the cgroup, as the line "0::/path" says it. */
static void read_path(FILE *own, char path[PATH_MAX])
{
    char line[PATH_MAX + 8];
    path[0] = '\0';
    while (path[0] == '\0' && fgets(line, sizeof line, own)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0 && strlen(line + 3) < PATH_MAX)
            memcpy(path, line + 3, strlen(line + 3) + 1);
    }
}

void cgroup_find_in(struct cgroup *self, const char *own, const char *root)
{
    FILE *file = fopen(own, "re");
    if (!file)
        return;
    read_path(file, self->path);
    snprintf(self->root, sizeof self->root, "%s", root);
    fclose(file);
}

void cgroup_find(struct cgroup *self)
{
    cgroup_find_in(self, "/proc/self/cgroup", "/sys/fs/cgroup");
}

struct search {
    const char *root;
    struct cgroup_memory nearest;
    bool failed; /* a file that is there could not be opened */
};

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
    FILE *file = fopen(path, "re");
    if (!file) {
        self->failed = self->failed || (errno != ENOENT && errno != ENOTDIR);
        return 0;
    }
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, name, skip) == 0 && sscanf(line + skip, "%" SCNu64, &number) == 1;
    fclose(file);
    return found ? number : 0;
}

static void look_at(struct search *self, const char *cgroup)
{
    struct cgroup_memory at = {.max_bytes = number_in(self, cgroup, "memory.max", "")};
    if (at.max_bytes == 0)
        return;
    at.used_bytes = number_in(self, cgroup, "memory.current", "");
    if (at.used_bytes > at.max_bytes / 2) {
        uint64_t droppable = number_in(self, cgroup, "memory.stat", "inactive_file ");
        at.used_bytes -= droppable < at.used_bytes ? droppable : at.used_bytes;
    }
    const struct cgroup_memory *nearest = &self->nearest;
    if (nearest->max_bytes == 0 || (double)at.used_bytes / (double)at.max_bytes >
                                       (double)nearest->used_bytes / (double)nearest->max_bytes)
        self->nearest = at;
}

bool cgroup_memory(const struct cgroup *self, struct cgroup_memory *out)
{
    char path[PATH_MAX];
    struct search search = {.root = self->root};
    memcpy(path, self->path, sizeof path);
    for (char *end; (end = strrchr(path, '/')); *end = '\0')
        look_at(&search, path);
    if (self->path[0])
        look_at(&search, "");
    *out = search.nearest;
    return !search.failed;
}
