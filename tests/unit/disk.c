#include "disk.h"
#include "asserts.h"

#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

/* SQLite's own methods for one kind of file, and in front of them those that the test commands:
 * a file's methods are the first member. */
struct methods {
    sqlite3_io_methods ours;
    const sqlite3_io_methods *real;
};

#define KINDS 4

static sqlite3_vfs *real_disk;
static sqlite3_vfs disk;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct methods kinds[KINDS];
static enum disk_state state;
static bool is_holding;
static long limit = LONG_MAX; /* of each file */
static size_t held, syncs;

static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
    return ((const struct methods *)(const void *)file->pMethods)->real;
}

/* Is it in this state, or in that one, which passes by that? Holds the lock. */
static bool fails(enum disk_state always, enum disk_state once)
{
    bool is_so = state == always || state == once;
    if (state == once)
        state = DISK_FINE;
    return is_so;
}

static int write_file(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
    pthread_mutex_lock(&lock);
    bool is_full = at + size > limit || fails(DISK_FULL, DISK_FULL_ONCE);
    pthread_mutex_unlock(&lock);
    return is_full ? SQLITE_FULL : real_of(file)->xWrite(file, bytes, size, at);
}

static int sync_file(sqlite3_file *file, int flags)
{
    pthread_mutex_lock(&lock);
    syncs++;
    held++;
    pthread_cond_broadcast(&changed);
    while (is_holding)
        pthread_cond_wait(&changed, &lock);
    held--;
    bool is_broken = fails(DISK_BROKEN, DISK_BROKEN_ONCE);
    pthread_mutex_unlock(&lock);
    return is_broken ? SQLITE_IOERR_FSYNC : real_of(file)->xSync(file, flags);
}

static const sqlite3_io_methods *ours_for(const sqlite3_io_methods *real)
{
    pthread_mutex_lock(&lock);
    struct methods *kind = kinds;
    while (kind->real && kind->real != real)
        kind++;
    ck_assert(kind < kinds + KINDS);
    kind->ours = *real;
    kind->ours.xWrite = write_file;
    kind->ours.xSync = sync_file;
    kind->real = real;
    pthread_mutex_unlock(&lock);
    return &kind->ours;
}

static int open_file(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *got)
{
    (void)self;
    int result = real_disk->xOpen(real_disk, name, file, flags, got);
    if (file->pMethods)
        file->pMethods = ours_for(file->pMethods);
    return result;
}

void disk_insert(void)
{
    if (!real_disk) {
        real_disk = sqlite3_vfs_find(NULL);
        disk = *real_disk;
        disk.zName = "test";
        disk.xOpen = open_file;
        ck_assert_int_eq(sqlite3_vfs_register(&disk, 1), SQLITE_OK);
    }
    disk_set(DISK_FINE);
    disk_let_go();
    pthread_mutex_lock(&lock);
    syncs = 0;
    pthread_mutex_unlock(&lock);
}

void disk_set(enum disk_state to)
{
    pthread_mutex_lock(&lock);
    state = to;
    limit = LONG_MAX;
    pthread_mutex_unlock(&lock);
}

void disk_limit(long bytes)
{
    pthread_mutex_lock(&lock);
    limit = bytes;
    pthread_mutex_unlock(&lock);
}

void disk_hold(void)
{
    pthread_mutex_lock(&lock);
    is_holding = true;
    pthread_mutex_unlock(&lock);
}

void disk_wait_held(void)
{
    pthread_mutex_lock(&lock);
    while (held == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void disk_let_go(void)
{
    pthread_mutex_lock(&lock);
    is_holding = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

size_t disk_syncs(void)
{
    pthread_mutex_lock(&lock);
    size_t now = syncs;
    pthread_mutex_unlock(&lock);
    return now;
}
