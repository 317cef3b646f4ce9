#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/store.h"
#include "unit.h"

/* Each test has an empty directory of its own. */

static char directory[] = "/tmp/millrace-store-XXXXXX";
static char path[64], log_path[80];
static store_t *store;
static struct buffer why;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
    snprintf(path, sizeof path, "%s/a.db", directory);
    snprintf(log_path, sizeof log_path, "%s-wal", path);
}

static void teardown(void)
{
    store_destroy(&store);
    buffer_free(&why);
    unlink(log_path);
    unlink(path);
    rmdir(path);
    ck_assert_int_eq(rmdir(directory), 0);
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
}

static void open_store(void)
{
    store = store_sqlite_new(path, &why);
    ck_assert_msg(store, "%.*s", SPAN_ARG(buffer_span(&why)));
}

static void reopen(void)
{
    store_destroy(&store);
    open_store();
}

static void expect_refused(const char *at, const char *reason)
{
    ck_assert_ptr_null(store_sqlite_new(at, &why));
    buffer_put_byte(&why, '\0');
    ck_assert_msg(strstr((const char *)why.data, reason), "%s", (const char *)why.data);
    buffer_reset(&why);
}

/* --- registrations --- */

static void accept_bytes(uint64_t ticket, struct span key, bool removed)
{
    struct store_registration what = {.ticket = ticket, .key = key, .removed = removed};
    ck_assert(store_registration(store, &what));
}

static void accept(uint64_t ticket, const char *key)
{
    accept_bytes(ticket, span_text(key), false);
}

static void accept_removal(uint64_t ticket, const char *key)
{
    accept_bytes(ticket, span_text(key), true);
}

static void expect(bool is_registration, uint64_t ticket, enum store_outcome outcome)
{
    struct store_completion completion;
    ck_assert(store_next(store, &completion));
    ck_assert_int_eq(completion.is_registration, is_registration);
    ck_assert_uint_eq(completion.ticket, ticket);
    ck_assert_int_eq(completion.outcome, outcome);
}

static void expect_nothing(void)
{
    struct store_completion completion;
    ck_assert(!store_next(store, &completion));
}

static void collect(struct span key, void *arg)
{
    struct buffer *to = arg;
    buffer_put_span(to, key);
    buffer_put_byte(to, ' ');
}

/* The keys, in the order of their bytes (which the table has, not the interface). */
static void expect_keys(const char *keys)
{
    struct buffer got = {0};
    ck_assert(store_visit_handlers(store, collect, &got));
    buffer_put_byte(&got, '\0');
    ck_assert_str_eq((const char *)got.data, keys);
    buffer_free(&got);
}

/* Runs it in a process of its own, which ends without a word; its status. */
static int in_child(int (*run)(void))
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

START_TEST(registrations_survive)
{
    open_store();
    expect_nothing();
    expect_keys("");
    accept(1, "a");
    accept(2, "b");
    accept(3, "c");
    accept_removal(4, "b");
    accept(5, "a"); /* again: changes nothing */
    for (uint64_t ticket = 1; ticket <= 5; ticket++)
        expect(true, ticket, STORE_COMMITTED);
    expect_nothing();
    expect_keys("a c ");
    reopen();
    expect_keys("a c ");
    accept_removal(1, "a");
    accept_removal(2, "never there");
    accept(3, "d");
    expect(true, 1, STORE_COMMITTED);
    expect(true, 2, STORE_COMMITTED);
    expect(true, 3, STORE_COMMITTED);
    reopen();
    expect_keys("c d ");
}
END_TEST

START_TEST(the_last_word_of_a_batch_counts)
{
    open_store();
    accept(1, "a");
    accept_removal(2, "a");
    accept(3, "b");
    accept_removal(4, "b");
    accept(5, "b");
    for (uint64_t ticket = 1; ticket <= 5; ticket++)
        expect(true, ticket, STORE_COMMITTED);
    reopen();
    expect_keys("b ");
}
END_TEST

static void compare(struct span key, void *arg)
{
    ck_assert(span_equal(key, *(const struct span *)arg));
}

START_TEST(a_key_is_any_bytes)
{
    uint8_t bytes[STORE_HANDLER_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    struct span longest = span_of(bytes, STORE_HANDLER_KEY_MAX);
    open_store();
    accept_bytes(1, longest, false);
    expect(true, 1, STORE_COMMITTED);
    ck_assert(!store_registration(
        store, &(struct store_registration){.ticket = 2, .key = span_of(bytes, sizeof bytes)}));
    expect_nothing();
    reopen();
    ck_assert(store_visit_handlers(store, compare, &longest));

    accept_bytes(3, longest, true);
    accept_bytes(4, span_of(NULL, 0), false);
    expect(true, 3, STORE_COMMITTED);
    expect(true, 4, STORE_COMMITTED);
    reopen();
    expect_keys(" ");
}
END_TEST

START_TEST(many_at_once_and_little_by_little)
{
    char key[16];
    open_store();
    for (uint64_t i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "%llu", (unsigned long long)i);
        accept(i, key);
    }
    for (uint64_t i = 0; i < 3000; i++) {
        expect(true, i, STORE_COMMITTED);
        if (i % 100 == 0)
            accept(3000 + i / 100, "late");
    }
    for (uint64_t i = 0; i < 30; i++)
        expect(true, 3000 + i, STORE_COMMITTED);
    expect_nothing();
    struct buffer got = {0};
    ck_assert(store_visit_handlers(store, collect, &got));
    ck_assert_uint_eq(got.size, 10 * 2 + 90 * 3 + 900 * 4 + 2000 * 5 + 5);
    buffer_free(&got);
}
END_TEST

START_TEST(appends_are_as_in_memory)
{
    open_store();
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert(store_append(store, &(struct store_append){.ticket = i}));
    accept(7, "a");
    expect(true, 7, STORE_COMMITTED);
    for (uint64_t i = 0; i < 1000; i++)
        expect(false, i, STORE_COMMITTED);
    expect_nothing();
    accept(8, "b"); /* what nobody asks about is freed, and not committed */
    ck_assert(store_append(store, &(struct store_append){.ticket = 9}));
    reopen();
    expect_keys("a ");
}
END_TEST

/* --- faults --- */

static int register_and_die(void)
{
    struct store_completion completion;
    store = store_sqlite_new(path, &why);
    if (!store)
        return 1;
    for (uint64_t i = 0; i < 2; i++) {
        struct store_registration what = {.ticket = i, .key = span_text(i ? "second" : "first")};
        if (!store_registration(store, &what) || !store_next(store, &completion) ||
            completion.outcome != STORE_COMMITTED)
            return 2;
    }
    struct store_registration late = {.ticket = 3, .key = span_text("not asked about")};
    return store_registration(store, &late) ? 0 : 3;
}

START_TEST(what_was_committed_survives_a_kill)
{
    ck_assert_int_eq(in_child(register_and_die), 0);
    ck_assert_int_eq(access(log_path, F_OK), 0); /* nobody closed it */
    open_store();
    expect_keys("first second ");
}
END_TEST

START_TEST(the_file_is_for_the_broker_alone)
{
    struct stat about;
    umask(0);
    open_store();
    accept(1, "a");
    expect(true, 1, STORE_COMMITTED);
    ck_assert_int_eq(stat(path, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(log_path, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
}
END_TEST

static int open_too(void)
{
    struct buffer reason = {0};
    store_t *other = store_sqlite_new(path, &reason);
    bool told = reason.size && memmem(reason.data, reason.size, "another process has it open", 27);
    buffer_free(&reason);
    return other ? 1 : told ? 0 : 2;
}

START_TEST(only_one_process_has_it)
{
    open_store(); /* a new one */
    ck_assert_int_eq(in_child(open_too), 0);
    accept(1, "a");
    expect(true, 1, STORE_COMMITTED);
    ck_assert_int_eq(in_child(open_too), 0);
    reopen(); /* one that was there */
    ck_assert_int_eq(in_child(open_too), 0);
    expect_keys("a ");
    expect_refused(path, "another process has it open");
    ck_assert_int_eq(in_child(open_too), 0);
    store_destroy(&store);
    ck_assert_int_eq(in_child(register_and_die), 0);
}
END_TEST

/* Files may grow no more; false where the system does not let us say so. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(what_cannot_be_written_fails_and_is_rolled_back)
{
    open_store();
    accept(1, "a");
    expect(true, 1, STORE_COMMITTED);
    struct stat about;
    ck_assert_int_eq(stat(log_path, &about), 0);
    signal(SIGXFSZ, SIG_IGN);

    accept_removal(2, "a");
    accept(3, "b");
    ck_assert(store_append(store, &(struct store_append){.ticket = 4}));
    struct store_completion first, second;
    limit_files((rlim_t)about.st_size);
    bool one = store_next(store, &first), two = store_next(store, &second);
    limit_files(RLIM_INFINITY);
    ck_assert(one && two);
    ck_assert(first.is_registration && second.is_registration);
    ck_assert_uint_eq(first.ticket, 2);
    ck_assert_uint_eq(second.ticket, 3);
    ck_assert_int_eq(first.outcome, STORE_FAILED);
    ck_assert_int_eq(second.outcome, STORE_FAILED);
    expect(false, 4, STORE_COMMITTED);
    expect_nothing(); /* nothing is tried again by itself */
    expect_keys("a ");

    accept(5, "c");
    expect(true, 5, STORE_COMMITTED);
    expect_keys("a c ");
    reopen();
    expect_keys("a c ");
}
END_TEST

/* --- files that are none of ours --- */

static void write_file(const char *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

START_TEST(an_empty_file_becomes_one)
{
    write_file("", 0);
    open_store();
    accept(1, "a");
    expect(true, 1, STORE_COMMITTED);
}
END_TEST

START_TEST(no_database)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    write_file(text, 10);
    expect_refused(path, "it is no database");
    write_file(text, sizeof text);
    expect_refused(path, "it is no database");
}
END_TEST

static void with_database(const char *sql)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(a_database_of_another_program_is_left_alone)
{
    with_database("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    char before[8192], after[8192];
    FILE *file = fopen(path, "r");
    size_t size = fread(before, 1, sizeof before, file);
    fclose(file);
    expect_refused(path, "of another program");
    file = fopen(path, "r");
    ck_assert_uint_eq(fread(after, 1, sizeof after, file), size);
    fclose(file);
    ck_assert_mem_eq(before, after, size);
    ck_assert_int_ne(access(log_path, F_OK), 0);
}
END_TEST

START_TEST(a_newer_schema)
{
    open_store();
    accept(1, "a");
    expect(true, 1, STORE_COMMITTED);
    store_destroy(&store);
    with_database("PRAGMA user_version = 2");
    expect_refused(path, "a newer Millrace has written it (schema 2, this one knows 1)");
    with_database("PRAGMA user_version = 1");
    open_store();
    expect_keys("a ");
}
END_TEST

START_TEST(damaged_pages)
{
    char key[64];
    open_store();
    for (uint64_t i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "a handler with some name %llu", (unsigned long long)i);
        accept(i, key);
    }
    for (uint64_t i = 0; i < 2000; i++)
        expect(true, i, STORE_COMMITTED);
    store_destroy(&store);

    char noise[4096];
    memset(noise, 0x5a, sizeof noise);
    int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, noise, sizeof noise, 4096 * 5), (ssize_t)sizeof noise);
    close(fd);
    expect_refused(path, "it is damaged");
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, noise, sizeof noise, 4096), (ssize_t)sizeof noise);
    close(fd);
    expect_refused(path, "it is damaged");
    ck_assert_int_eq(truncate(path, 3 * 4096), 0);
    expect_refused(path, "it is damaged");
}
END_TEST

START_TEST(no_folder_or_a_folder)
{
    char none[96];
    snprintf(none, sizeof none, "%s/none/a.db", directory);
    expect_refused(none, "it cannot be made: its folder does not exist");
    snprintf(none, sizeof none, "%s/a.db/b", directory);
    write_file("", 0);
    expect_refused(none, "it cannot be made: Not a directory");
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_refused(path, "it cannot be opened");
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
    store_t *other = store_sqlite_new(path, &reason);
    if (other)
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
    ck_assert_int_eq(chmod(directory, 0555), 0);
    ck_assert_int_eq(in_child(open_as_nobody), 2);
    chmod(directory, 0755);
    open_store();
    store_destroy(&store);
    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(in_child(open_as_nobody), 3);
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(chmod(directory, 0555), 0);
    ck_assert_int_eq(in_child(open_as_nobody), 4);
    chmod(directory, 0755);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_sqlite");
    TCase *tests = tcase_create("store_sqlite");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, registrations_survive);
    tcase_add_test(tests, the_last_word_of_a_batch_counts);
    tcase_add_test(tests, a_key_is_any_bytes);
    tcase_add_test(tests, many_at_once_and_little_by_little);
    tcase_add_test(tests, appends_are_as_in_memory);
    tcase_add_test(tests, what_was_committed_survives_a_kill);
    tcase_add_test(tests, the_file_is_for_the_broker_alone);
    tcase_add_test(tests, only_one_process_has_it);
    tcase_add_test(tests, what_cannot_be_written_fails_and_is_rolled_back);
    tcase_add_test(tests, an_empty_file_becomes_one);
    tcase_add_test(tests, no_database);
    tcase_add_test(tests, a_database_of_another_program_is_left_alone);
    tcase_add_test(tests, a_newer_schema);
    tcase_add_test(tests, damaged_pages);
    tcase_add_test(tests, no_folder_or_a_folder);
    tcase_add_test(tests, places_that_may_not_be_written_to);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
