#pragma once
#include <stddef.h>

/* disk - the files of SQLite on a disk that the test commands: it is full, it breaks, it is slow.
 *
 * Thread-safe. What happens to it happens to all files of the process.
 */
enum disk_state {
    DISK_FINE,
    DISK_FULL,       /* nothing can be written */
    DISK_FULL_ONCE,  /* the next write fails, then it is fine */
    DISK_BROKEN,     /* what was written may be lost: no sync comes to its end */
    DISK_BROKEN_ONCE /* the next sync fails */
};

/* From now on SQLite uses it; it is fine. */
void disk_insert(void);
void disk_set(enum disk_state state);
/* It is full for what would make a file larger than this, until disk_set. */
void disk_limit(long bytes);
/* From now on every sync waits. */
void disk_hold(void);
/* Returns when one does. */
void disk_wait_held(void);
/* They go on, and no other one waits. */
void disk_let_go(void);
/* Syncs since disk_insert, whatever became of them. */
size_t disk_syncs(void);
