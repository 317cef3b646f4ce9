/* preload - what a disk and a clock may do to a process, ordered by the fault suite while it runs.
 *
 * LD_PRELOADed into a broker or a gateway. FAULTS_CONTROL names a file of 64-bit numbers in host
 * order, in the order of struct orders, that the suite writes and this reads anew with each call.
 */
#undef _FILE_OFFSET_BITS /* pwrite and pwrite64 are two names here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int64_t wall_ms;    /* added to the wall clock */
    int64_t sync_ms;    /* how long each fdatasync and fsync takes longer */
    int64_t sync_error; /* errno that they fail with */
    int64_t write_error;
    int64_t short_write; /* 1: half of it, then no space */
};

static const volatile struct orders *orders(void)
{
    static const struct orders none;
    static const volatile struct orders *mapped;
    if (mapped)
        return mapped;
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = MAP_FAILED;
    if (fd >= 0)
        memory = mmap(NULL, sizeof(struct orders), PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    mapped = memory == MAP_FAILED ? &none : memory;
    return mapped;
}

/* Of a name of the C library; the pointer to a function has the size of one to data here. */
#define REAL(name, type)                                                                           \
    static __typeof__(type) real;                                                                  \
    if (!real)                                                                                     \
        *(void **)(&real) = dlsym(RTLD_NEXT, name);

static bool is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* --- the disk --- */

static int synced(int fd, int (*real)(int))
{
    int64_t ms = orders()->sync_ms;
    if (ms > 0)
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    int64_t error = orders()->sync_error;
    if (error == 0)
        return real(fd);
    errno = (int)error;
    return -1;
}

int fdatasync(int fd)
{
    REAL("fdatasync", int (*)(int))
    return synced(fd, real);
}

int fsync(int fd)
{
    REAL("fsync", int (*)(int))
    return synced(fd, real);
}

/* What may be written of so much; -1: nothing, see errno. */
static ssize_t allowed(int fd, size_t size)
{
    int64_t error = orders()->write_error;
    if ((error == 0 && orders()->short_write == 0) || !is_file(fd))
        return (ssize_t)size;
    if (error == 0 && size > 1)
        return (ssize_t)(size / 2);
    errno = error ? (int)error : ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    REAL("write", ssize_t(*)(int, const void *, size_t))
    ssize_t room = allowed(fd, size);
    return room < 0 ? room : real(fd, bytes, (size_t)room);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))
    ssize_t room = allowed(fd, size);
    return room < 0 ? room : real(fd, bytes, (size_t)room, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))
    ssize_t room = allowed(fd, size);
    return room < 0 ? room : real(fd, bytes, (size_t)room, at);
}

/* --- the wall clock --- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL("clock_gettime", int (*)(clockid_t, struct timespec *))
    int result = real(clock, now);
    bool is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result == 0 && is_wall)
        now->tv_sec += orders()->wall_ms / 1000;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    REAL("gettimeofday", int (*)(struct timeval *restrict, void *restrict))
    int result = real(now, zone);
    if (result == 0)
        now->tv_sec += orders()->wall_ms / 1000;
    return result;
}

time_t time(time_t *out)
{
    REAL("time", time_t(*)(time_t *))
    time_t now = real(NULL) + orders()->wall_ms / 1000;
    if (out)
        *out = now;
    return now;
}
