#include "store_world.h"
#include "asserts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char world_directory[] = "/tmp/millrace-store-XXXXXX";
char world_path[64], world_log[80];

void world_setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(world_directory));
    ck_assert_int_eq(chmod(world_directory, 0755), 0);
    snprintf(world_path, sizeof world_path, "%s/a.db", world_directory);
    snprintf(world_log, sizeof world_log, "%s-wal", world_path);
}

void world_teardown(void)
{
    unlink(world_log);
    unlink(world_path);
    rmdir(world_path);
    ck_assert_int_eq(rmdir(world_directory), 0);
    memcpy(world_directory + strlen(world_directory) - 6, "XXXXXX", 6);
}

int world_child(int (*run)(void))
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(run());
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- bytes of the file --- */

void world_write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(world_path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

void world_patch(long at, const void *bytes, size_t size)
{
    int fd = open(world_path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

long world_find(const char *text)
{
    struct stat about;
    int fd = open(world_path, O_RDONLY);
    ck_assert_int_eq(fstat(fd, &about), 0);
    size_t size = (size_t)about.st_size;
    char *bytes = malloc(size);
    ck_assert_int_eq(read(fd, bytes, size), about.st_size);
    close(fd);
    const char *found = memmem(bytes, size, text, strlen(text));
    ck_assert_msg(found, "%s is not in the file", text);
    long at = found - bytes;
    free(bytes);
    return at;
}

/* --- SQL --- */

static sqlite3 *open_database(void)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(world_path, &db), SQLITE_OK);
    return db;
}

void world_sql(sqlite3 *given, const char *sql)
{
    sqlite3 *db = given ? given : open_database();
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    if (!given)
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

int64_t world_number(sqlite3 *given, const char *sql)
{
    sqlite3 *db = given ? given : open_database();
    sqlite3_stmt *statement;
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (!given)
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    return number;
}

/* --- what is loaded --- */

static bool tell_stream(void *arg, struct span stream, uint64_t epoch, uint64_t offset)
{
    buffer_printf(arg, "%.*s %llu:%llu\n", SPAN_ARG(stream), (unsigned long long)epoch,
                  (unsigned long long)offset);
    return true;
}

static bool tell_message(void *arg, uint64_t offset, int64_t at_ms, struct span body)
{
    buffer_printf(arg, "  %llu @%lld %.*s\n", (unsigned long long)offset, (long long)at_ms,
                  SPAN_ARG(body));
    return true;
}

static bool tell_key(void *arg, const struct store_key *key, uint64_t epoch, uint64_t offset)
{
    buffer_printf(arg, "key %.*s %llu:%llu hash %llu %llu until %lld\n", SPAN_ARG(key->key),
                  (unsigned long long)epoch, (unsigned long long)offset,
                  (unsigned long long)key->hash[0], (unsigned long long)key->hash[1],
                  (long long)key->until_ms);
    return true;
}

static bool tell_handler(void *arg, struct span key)
{
    buffer_printf(arg, "handler %.*s\n", SPAN_ARG(key));
    return true;
}

struct store_loader world_teller(struct buffer *to)
{
    return (struct store_loader){to, tell_stream, tell_message, tell_key, tell_handler, NULL};
}

void world_compare(struct buffer *got, const char *expected)
{
    buffer_put_byte(got, '\0');
    ck_assert_str_eq((const char *)got->data, expected);
    buffer_free(got);
}
