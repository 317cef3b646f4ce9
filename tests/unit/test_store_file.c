#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store_file.h"
#include "disk.h"
#include "store_world.h"
#include "unit.h"

static sqlite3 *db;
static struct buffer why;

static void setup(void)
{
    disk_insert();
    world_setup();
}

static void teardown(void)
{
    sqlite3_close(db);
    db = NULL;
    buffer_free(&why);
    world_teardown();
}

static void open_file(void)
{
    db = store_file_open(world_path, &why);
    ck_assert_msg(db, "%.*s", SPAN_ARG(buffer_span(&why)));
    ck_assert_uint_eq(why.size, 0);
}

static void close_file(void)
{
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    db = NULL;
}

static void expect_refused(const char *at, const char *reason)
{
    ck_assert_ptr_null(store_file_open(at, &why));
    buffer_put_byte(&why, '\0');
    ck_assert_msg(strstr((const char *)why.data, reason), "%s", (const char *)why.data);
    buffer_reset(&why);
}

static void expect_number(const char *sql, int64_t number)
{
    ck_assert_int_eq(world_number(db, sql), number);
}

/* --- a new one --- */

START_TEST(a_new_file_has_this_schema_and_nothing_in_it)
{
    open_file();
    expect_number("PRAGMA user_version", 2);
    expect_number("PRAGMA application_id", 0x4d6c7263);
    for (int i = 0; i < 4; i++) {
        const char *const tables[] = {"streams", "messages", "keys", "handlers"};
        char sql[100];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        expect_number(sql, 0);
    }
    expect_number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", 5);
    expect_number("SELECT count(*) FROM origin", 1);
}
END_TEST

START_TEST(each_file_has_an_origin_of_its_own)
{
    open_file();
    int64_t first = world_number(db, "SELECT number FROM origin");
    close_file();
    open_file();
    expect_number("SELECT number FROM origin", first);
    close_file();
    unlink(world_path);
    open_file();
    ck_assert_int_ne(world_number(db, "SELECT number FROM origin"), first);
}
END_TEST

START_TEST(what_is_committed_is_on_the_disk)
{
    open_file();
    expect_number("PRAGMA synchronous", 2); /* FULL */
    expect_number("SELECT journal_mode = 'wal' FROM pragma_journal_mode", 1);
    expect_number("SELECT locking_mode = 'exclusive' FROM pragma_locking_mode", 1);
}
END_TEST

START_TEST(an_empty_file_becomes_one)
{
    world_write_file("", 0);
    open_file();
    expect_number("PRAGMA user_version", 2);
}
END_TEST

START_TEST(opening_it_again_changes_nothing)
{
    open_file();
    world_sql(db, "INSERT INTO handlers (key) VALUES (x'6161');"
                  "INSERT INTO streams VALUES (7, x'61', 2, 3, 4)");
    close_file();
    for (int i = 0; i < 3; i++) {
        open_file();
        expect_number("SELECT count(*) FROM handlers WHERE key = x'6161'", 1);
        expect_number("SELECT sum FROM streams WHERE id = 7", 4);
        expect_number("PRAGMA user_version", 2);
        close_file();
    }
}
END_TEST

START_TEST(the_file_is_for_the_broker_alone)
{
    struct stat about;
    umask(0);
    open_file();
    world_sql(db, "INSERT INTO handlers (key) VALUES (x'61')");
    ck_assert_int_eq(stat(world_path, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(world_log, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
}
END_TEST

/* --- one owner --- */

static int open_too(void)
{
    struct buffer reason = {0};
    sqlite3 *other = store_file_open(world_path, &reason);
    bool told = reason.size && memmem(reason.data, reason.size, "another process has it open", 27);
    buffer_free(&reason);
    return other ? 1 : told ? 0 : 2;
}

static int open_and_die(void)
{
    return store_file_open(world_path, &why) ? 0 : 1;
}

START_TEST(only_one_process_has_it)
{
    open_file(); /* a new one */
    ck_assert_int_eq(world_child(open_too), 0);
    world_sql(db, "INSERT INTO handlers (key) VALUES (x'61')");
    ck_assert_int_eq(world_child(open_too), 0);
    close_file();
    open_file(); /* one that was there */
    ck_assert_int_eq(world_child(open_too), 0);
    expect_number("SELECT count(*) FROM handlers", 1);
    expect_refused(world_path, "another process has it open");
    ck_assert_int_eq(world_child(open_too), 0);
    world_sql(db, "INSERT INTO handlers (key) VALUES (x'62')");
    close_file();
    ck_assert_int_eq(world_child(open_and_die), 0);
    open_file(); /* the dead have nothing open */
    expect_number("SELECT count(*) FROM handlers", 2);
}
END_TEST

/* --- files that are none of ours --- */

START_TEST(no_database)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    world_write_file(text, 10);
    expect_refused(world_path, "it is no database");
    world_write_file(text, sizeof text);
    expect_refused(world_path, "it is no database");
}
END_TEST

static size_t read_file(char *bytes, size_t room)
{
    FILE *file = fopen(world_path, "r");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(bytes, 1, room, file);
    fclose(file);
    return size;
}

/* Nothing in the file changes by that, and there is none beside it. */
static void expect_left_alone(const char *reason)
{
    static char before[16384], after[16384];
    size_t size = read_file(before, sizeof before);
    expect_refused(world_path, reason);
    ck_assert_uint_eq(read_file(after, sizeof after), size);
    ck_assert_mem_eq(before, after, size);
    ck_assert_int_ne(access(world_log, F_OK), 0);
}

START_TEST(a_database_of_another_program_is_left_alone)
{
    world_sql(NULL, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    expect_left_alone("of another program");
    world_sql(NULL, "PRAGMA user_version = 2");
    expect_left_alone("of another program");
    world_sql(NULL, "PRAGMA application_id = 77; PRAGMA user_version = 7");
    expect_left_alone("of another program");
}
END_TEST

START_TEST(one_without_tables_but_with_a_name_is_of_another_program)
{
    world_sql(NULL, "PRAGMA application_id = 77");
    expect_left_alone("of another program");
}
END_TEST

#define OURS "PRAGMA application_id = 1298952803;"

START_TEST(a_newer_schema)
{
    open_file();
    world_sql(db, "INSERT INTO handlers (key) VALUES (x'61')");
    close_file();
    world_sql(NULL, "PRAGMA user_version = 3");
    expect_refused(world_path, "a newer Millrace has written it (schema 3, this one knows 2)");
    world_sql(NULL, "PRAGMA user_version = 2");
    open_file();
    expect_number("SELECT count(*) FROM handlers", 1);
}
END_TEST

/* The version is a number with a sign in the file's first page. */
START_TEST(a_version_that_never_was)
{
    world_sql(NULL, OURS "CREATE TABLE x (y); PRAGMA user_version = -1");
    expect_left_alone("it is damaged: schema -1");
    world_sql(NULL, "PRAGMA user_version = -2000000000");
    expect_left_alone("it is damaged: schema -2000000000");
}
END_TEST

/* --- damage --- */

START_TEST(damaged_pages)
{
    char noise[4096];
    open_file();
    world_sql(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
                  " INSERT INTO handlers (key) SELECT CAST('a handler with a name ' || i AS BLOB)"
                  " FROM n");
    close_file();

    memset(noise, 0x5a, sizeof noise);
    long page = world_find("a handler with a name 1000") / 4096;
    ck_assert_int_gt(page, 0);
    world_patch(page * 4096, noise, sizeof noise);
    expect_refused(world_path, "it is damaged");
    world_patch(4096, noise, sizeof noise);
    expect_refused(world_path, "it is damaged");
    ck_assert_int_eq(truncate(world_path, 3 * 4096), 0);
    expect_refused(world_path, "it is damaged");
}
END_TEST

START_TEST(a_file_without_its_tables_is_explained)
{
    world_sql(NULL, OURS "CREATE TABLE handlers (x); PRAGMA user_version = 0");
    expect_refused(world_path, "already exists");
}
END_TEST

/* --- places --- */

START_TEST(no_folder_or_a_folder)
{
    char none[96];
    snprintf(none, sizeof none, "%s/none/a.db", world_directory);
    expect_refused(none, "it cannot be made: its folder does not exist");
    snprintf(none, sizeof none, "%s/a.db/b", world_directory);
    world_write_file("", 0);
    expect_refused(none, "it cannot be made: Not a directory");
    unlink(world_path);
    ck_assert_int_eq(mkdir(world_path, 0700), 0);
    expect_refused(world_path, "it cannot be opened");
}
END_TEST

/* Root may write everywhere. */
static void become_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
        _exit(99);
}

static int open_as_nobody(void)
{
    become_nobody();
    struct buffer reason = {0};
    if (store_file_open(world_path, &reason))
        return 1;
    buffer_put_byte(&reason, '\0');
    if (strstr((const char *)reason.data, "it cannot be made: Permission denied"))
        return 2;
    if (strstr((const char *)reason.data, "it may not be written to"))
        return 3;
    if (strstr((const char *)reason.data, "its folder may not be written to"))
        return 4;
    fprintf(stderr, "%s\n", (const char *)reason.data);
    return 5;
}

START_TEST(places_that_may_not_be_written_to)
{
    ck_assert_int_eq(chmod(world_directory, 0555), 0);
    ck_assert_int_eq(world_child(open_as_nobody), 2);
    chmod(world_directory, 0755);
    open_file();
    close_file();
    ck_assert_int_eq(chmod(world_path, 0444), 0);
    ck_assert_int_eq(world_child(open_as_nobody), 3);
    ck_assert_int_eq(chmod(world_path, 0666), 0);
    ck_assert_int_eq(chmod(world_directory, 0555), 0);
    ck_assert_int_eq(world_child(open_as_nobody), 4);
    chmod(world_directory, 0755);
}
END_TEST

/* --- files of earlier versions --- */

/* As the version before has made it. */
#define SCHEMA_1                                                                                   \
    "PRAGMA journal_mode = WAL; BEGIN;"                                                            \
    "CREATE TABLE handlers (key BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;" OURS            \
    "PRAGMA user_version = 1; COMMIT;"                                                             \
    "INSERT INTO handlers VALUES (x'00610062'), (x'');"

START_TEST(schema_1_gets_what_it_has_not)
{
    world_sql(NULL, SCHEMA_1);
    open_file();
    expect_number("PRAGMA user_version", 2);
    expect_number("SELECT count(*) FROM handlers", 2);
    expect_number("SELECT count(*) FROM handlers WHERE key = x'00610062' AND sum IS NULL", 1);
    expect_number("SELECT count(*) FROM streams", 0);
    expect_number("SELECT count(*) FROM messages", 0);
    expect_number("SELECT count(*) FROM keys", 0);
    close_file();
    open_file();
    expect_number("SELECT count(*) FROM handlers", 2);
}
END_TEST

START_TEST(it_gets_the_same_as_a_new_file)
{
    world_sql(NULL, SCHEMA_1);
    open_file();
    int64_t size = world_number(db, "SELECT sum(length(sql)) FROM sqlite_schema");
    close_file();
    unlink(world_path);
    open_file();
    expect_number("SELECT sum(length(sql)) FROM sqlite_schema", size);
}
END_TEST

/* What the step makes last is in its way: nothing of it stays, and the version is the old one. */
START_TEST(all_of_a_step_or_nothing)
{
    world_sql(NULL, SCHEMA_1 "CREATE TABLE keys (mine)");
    expect_refused(world_path, "table keys already exists");
    ck_assert_int_eq(world_number(NULL, "PRAGMA user_version"), 1);
    ck_assert_int_eq(world_number(NULL, "SELECT count(*) FROM handlers"), 2);
    ck_assert_int_eq(world_number(NULL, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"),
                     2);
    world_sql(NULL, "DROP TABLE keys");
    open_file();
    expect_number("PRAGMA user_version", 2);
    expect_number("SELECT count(*) FROM handlers", 2);
}
END_TEST

/* Wherever the room ends: what was there stays what it was, and the next attempt may succeed. */
START_TEST(no_room_for_a_step)
{
    size_t refused = 0;
    for (long limit = 0; limit < 80000; limit += 2000) {
        world_sql(NULL, limit % 4000 ? SCHEMA_1 : ""); /* or a new file */
        disk_limit(limit);
        db = store_file_open(world_path, &why);
        refused += !db;
        ck_assert(db || why.size > 0);
        buffer_reset(&why);
        sqlite3_close(db);
        disk_set(DISK_FINE);
        open_file();
        expect_number("PRAGMA user_version", 2);
        expect_number("SELECT count(*) FROM handlers", limit % 4000 ? 2 : 0);
        close_file();
        unlink(world_path);
        unlink(world_log);
    }
    ck_assert_uint_gt(refused, 5);
    ck_assert_uint_lt(refused, 35);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_file");
    TCase *tests = tcase_create("store_file");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_new_file_has_this_schema_and_nothing_in_it);
    tcase_add_test(tests, each_file_has_an_origin_of_its_own);
    tcase_add_test(tests, what_is_committed_is_on_the_disk);
    tcase_add_test(tests, an_empty_file_becomes_one);
    tcase_add_test(tests, opening_it_again_changes_nothing);
    tcase_add_test(tests, the_file_is_for_the_broker_alone);
    tcase_add_test(tests, only_one_process_has_it);
    tcase_add_test(tests, no_database);
    tcase_add_test(tests, a_database_of_another_program_is_left_alone);
    tcase_add_test(tests, one_without_tables_but_with_a_name_is_of_another_program);
    tcase_add_test(tests, a_newer_schema);
    tcase_add_test(tests, a_version_that_never_was);
    tcase_add_test(tests, damaged_pages);
    tcase_add_test(tests, a_file_without_its_tables_is_explained);
    tcase_add_test(tests, no_folder_or_a_folder);
    tcase_add_test(tests, places_that_may_not_be_written_to);
    tcase_add_test(tests, schema_1_gets_what_it_has_not);
    tcase_add_test(tests, it_gets_the_same_as_a_new_file);
    tcase_add_test(tests, all_of_a_step_or_nothing);
    tcase_add_test(tests, no_room_for_a_step);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
