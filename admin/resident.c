#include "admin/resident.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

uint64_t resident_bytes(void)
{
    uint64_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm)
        return 0;
    if (fscanf(statm, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    fclose(statm);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
