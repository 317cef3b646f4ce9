#include "broker/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_VERSION 2
#define APPLICATION_ID 0x4d6c7263 /* "Mlrc": so that no other database is taken for ours */

/* The log grows to so many pages of 4 KiB before they move to the file, in one go. */
#define CHECKPOINT_PAGES 4000

/* --- statements --- */

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

/* The number in the first row. */
static bool read_number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    bool got = prepare(db, sql, &statement) && sqlite3_step(statement) == SQLITE_ROW;
    if (got)
        *out = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement) == SQLITE_OK && got;
}

/* The text in the first row, behind *out. */
static bool read_text(sqlite3 *db, const char *sql, struct buffer *out)
{
    sqlite3_stmt *statement = NULL;
    bool got = prepare(db, sql, &statement) && sqlite3_step(statement) == SQLITE_ROW;
    if (got)
        buffer_put(out, sqlite3_column_text(statement, 0),
                   (size_t)sqlite3_column_bytes(statement, 0));
    return sqlite3_finalize(statement) == SQLITE_OK && got;
}

/* Of a COMMIT that has failed the connection does not know it, but its log does. */
int store_file_errno(sqlite3 *db)
{
    sqlite3_file *log = NULL;
    int reason = 0;
    bool is_io = (sqlite3_extended_errcode(db) & 0xff) == SQLITE_IOERR;
    if (is_io &&
        sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log) == SQLITE_OK &&
        log && log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &reason);
    return reason ? reason : sqlite3_system_errno(db);
}

/* The last failure in words that help an operator. Nothing when memory is exhausted. */
void store_file_explain(sqlite3 *db, struct buffer *why)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    if (code == SQLITE_READONLY_DIRECTORY) {
        buffer_put_text(why, "its folder may not be written to: it has files beside it");
        return;
    }
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        buffer_put_text(why, "another process has it open; each broker needs a file of its own");
        break;
    case SQLITE_NOTADB:
        buffer_put_text(why, "it is no database");
        break;
    case SQLITE_CORRUPT:
        buffer_put_text(why, "it is damaged");
        break;
    case SQLITE_READONLY:
        buffer_put_text(why, "it may not be written to");
        break;
    case SQLITE_CANTOPEN:
        buffer_printf(why, "it cannot be opened: %s", strerror(sqlite3_system_errno(db)));
        break;
    default:
        buffer_put_text(why, sqlite3_errmsg(db));
        if (store_file_errno(db))
            buffer_printf(why, ": %s", strerror(store_file_errno(db)));
        break;
    }
}

static bool fail(sqlite3 *db, struct buffer *why)
{
    store_file_explain(db, why);
    return false;
}

/* --- opening the file --- */

/* An empty file that nobody else can read, where there is none. One that is there is not opened
 * here: closing it would end the locks that this process may have on it. */
static bool make_file(const char *path, struct buffer *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || errno == EEXIST)
        return true;
    buffer_printf(why, "it cannot be made: %s",
                  errno == ENOENT ? "its folder does not exist" : strerror(errno));
    return false;
}

static bool take_file(sqlite3 *db, struct buffer *why)
{
    if (sqlite3_db_readonly(db, "main")) {
        buffer_put_text(why, "it may not be written to");
        return false;
    }
    /* From the first read on, until the end of the process. */
    return run(db, "PRAGMA locking_mode = EXCLUSIVE") || fail(db, why);
}

/* Before anything is written, for it may be a file of somebody else. */
static bool check_owner(sqlite3 *db, int64_t *version, struct buffer *why)
{
    int64_t application = 0, tables = 0;
    if (!read_number(db, "PRAGMA application_id", &application) ||
        !read_number(db, "PRAGMA user_version", version) ||
        !read_number(db, "SELECT count(*) FROM sqlite_schema", &tables))
        return fail(db, why);
    bool is_new = application == 0 && *version == 0 && tables == 0;
    if (application != APPLICATION_ID && !is_new) {
        buffer_put_text(why, "it is a database, but of another program");
        return false;
    }
    if (*version < 0) {
        buffer_printf(why, "it is damaged: schema %lld", (long long)*version);
        return false;
    }
    if (*version > SCHEMA_VERSION) {
        buffer_printf(
            why,
            "a newer Millrace has written it (schema %lld, this one knows %d); start that "
            "one, or put back a copy from before",
            (long long)*version, SCHEMA_VERSION);
        return false;
    }
    return true;
}

/* What is committed is on the disk, also when the machine loses its power. */
static bool make_durable(sqlite3 *db, struct buffer *why)
{
    struct buffer mode = {0};
    bool done =
        read_text(db, "PRAGMA journal_mode = WAL", &mode) && run(db, "PRAGMA synchronous = FULL");
    if (!done)
        store_file_explain(db, why);
    else if (!span_is(buffer_span(&mode), "wal"))
        buffer_put_text(why, "its file system cannot keep a write-ahead log");
    done = done && span_is(buffer_span(&mode), "wal");
    buffer_free(&mode);
    return done;
}

/* Pages that cannot be read are found now rather than when something is missing. */
static bool check_pages(sqlite3 *db, struct buffer *why)
{
    struct buffer found = {0};
    bool read = read_text(db, "PRAGMA quick_check(1)", &found);
    bool sound = read && span_is(buffer_span(&found), "ok");
    if (!read)
        store_file_explain(db, why);
    else if (!sound)
        buffer_printf(why, "it is damaged: %.*s", SPAN_ARG(buffer_span(&found)));
    buffer_free(&found);
    return sound;
}

/* What brings a file of one version to the next: a new file has version 0. `sum` is a checksum of
 * the other columns. The rows of `keys` come in the order in which their time is over. Who has the
 * number of `origin` remembers them. */
static const char *const steps[SCHEMA_VERSION] = {
    "CREATE TABLE handlers (key BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID",

    /* Handlers from before have no checksum. */
    "ALTER TABLE handlers ADD COLUMN sum INTEGER;"
    "CREATE TABLE streams (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
    " epoch INTEGER NOT NULL, offset INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;"
    "CREATE TABLE messages (stream INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " at INTEGER NOT NULL, sum INTEGER NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (stream, offset)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keys (id INTEGER PRIMARY KEY, key BLOB NOT NULL, hash_low INTEGER NOT NULL,"
    " hash_high INTEGER NOT NULL, epoch INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " until INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;"
    "CREATE TABLE origin (number INTEGER NOT NULL) STRICT;"
    "INSERT INTO origin VALUES (random())",
};

/* All steps or none. Even where there is nothing to do: the transaction takes the lock. */
static bool migrate(sqlite3 *db, int64_t version)
{
    char marks[128];
    sqlite3_snprintf(sizeof marks, marks, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                     APPLICATION_ID, SCHEMA_VERSION);
    if (!run(db, "BEGIN IMMEDIATE"))
        return false;
    for (; version < SCHEMA_VERSION; version++)
        if (!run(db, steps[version]))
            return false;
    return run(db, marks) && run(db, "COMMIT");
}

static bool set_up(sqlite3 *db, struct buffer *why)
{
    int64_t version = 0;
    if (!take_file(db, why) || !check_owner(db, &version, why) || !make_durable(db, why) ||
        !check_pages(db, why))
        return false;
    if (!migrate(db, version))
        return fail(db, why);
    sqlite3_wal_autocheckpoint(db, CHECKPOINT_PAGES);
    return true;
}

sqlite3 *store_file_open(const char *path, struct buffer *why)
{
    sqlite3 *db = NULL;
    if (!make_file(path, why))
        return NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    bool is_open = sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK;
    if (!is_open)
        store_file_explain(db, why);
    if (is_open && set_up(db, why))
        return db;
    sqlite3_close(db);
    return NULL;
}
