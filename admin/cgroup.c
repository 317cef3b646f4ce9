#include "admin/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(line, size, file);
    if (file)
        fclose(file);
    return read;
}

/* The path of the cgroup, as the line "0::/path" says it. */
static bool find_path(const char *own, char path[PATH_MAX])
{
    char line[PATH_MAX + 8];
    bool found = false;
    FILE *file = fopen(own, "re");
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

/* 0: "max", or no such file, as at the root of all. */
static uint64_t limit_of(const char *root, const char *path)
{
    char file[2 * PATH_MAX + 16], line[32];
    uint64_t bytes = 0;
    snprintf(file, sizeof file, "%s%s/memory.max", root, path);
    if (read_line(file, line, sizeof line) && sscanf(line, "%" SCNu64, &bytes) != 1)
        bytes = 0;
    return bytes;
}

uint64_t cgroup_memory_max_in(const char *own, const char *root)
{
    char path[PATH_MAX];
    uint64_t least = 0;
    if (!find_path(own, path))
        return 0;
    for (char *end; (end = strrchr(path, '/')); *end = '\0') {
        uint64_t bytes = limit_of(root, path);
        if (bytes && (least == 0 || bytes < least))
            least = bytes;
    }
    uint64_t bytes = limit_of(root, "");
    return bytes && (least == 0 || bytes < least) ? bytes : least;
}

uint64_t cgroup_memory_max(void)
{
    return cgroup_memory_max_in("/proc/self/cgroup", "/sys/fs/cgroup");
}
