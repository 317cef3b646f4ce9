#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/store.h"

/* store_world - an empty directory of each test's own, and in it the file of a store: what stands
 * in it, and what a store tells of it, as text. */
extern char world_directory[];
extern char world_path[64], world_log[80]; /* the file, and SQLite's log beside it */

/* The fixture of all tests. It removes the file and its log at the end, and there must be nothing
 * else. */
void world_setup(void);
void world_teardown(void);

/* Runs it in a process of its own, which ends without a word; its status. */
int world_child(int (*run)(void));

void world_write_file(const void *bytes, size_t size);
/* Writes into the file that is there. */
void world_patch(long at, const void *bytes, size_t size);
/* Where in the file these bytes stand for the first time. */
long world_find(const char *text);

/* SQL on this connection, or, when it is NULL, on one that is only open meanwhile. */
void world_sql(sqlite3 *db, const char *sql);
/* The number in the first row. */
int64_t world_number(sqlite3 *db, const char *sql);

/* Tells what is loaded, one line each:
 *   a 7:2                       stream, epoch, position
 *     1 @10 one                 offset, when, body
 *   key k 7:2 hash 5 6 until 99
 *   handler h
 */
struct store_loader world_teller(struct buffer *to);
/* The same, all at once, compared. The text ends with a zero byte and is freed. */
void world_compare(struct buffer *got, const char *expected);
