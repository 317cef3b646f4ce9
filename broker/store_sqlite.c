#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store.h"
#include "common/log.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x4d6c7263 /* "Mlrc": so that no other database is taken for ours */

/* A registration on its way. */
struct change {
    struct change *next;
    uint64_t ticket;
    enum store_outcome outcome;
    bool removed;
    size_t key_size;
    uint8_t key[];
};

struct changes {
    struct change *first, **end; /* end: where the next one goes */
};

struct store_sqlite {
    store_t store;
    store_t *appends; /* in memory */
    sqlite3 *db;
    sqlite3_stmt *add, *remove;
    struct changes accepted; /* since the last commit */
    struct changes decided;  /* not yet reported */
};

static struct store_sqlite *engine_of(store_t *store)
{
    return (struct store_sqlite *)store;
}

/* --- lists --- */

static void changes_clear(struct changes *self)
{
    *self = (struct changes){.end = &self->first};
}

static struct change *changes_take(struct changes *self)
{
    struct change *change = self->first;
    if (!change)
        return NULL;
    self->first = change->next;
    if (!self->first)
        changes_clear(self);
    return change;
}

static void changes_put(struct changes *self, struct change *change)
{
    change->next = NULL;
    *self->end = change;
    self->end = &change->next;
}

static void changes_free(struct changes *self)
{
    struct change *change;
    while ((change = changes_take(self)))
        free(change);
}

/* --- statements --- */

static bool run(struct store_sqlite *self, const char *sql)
{
    return sqlite3_exec(self->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool prepare(struct store_sqlite *self, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(self->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

/* The number in the first row. */
static bool read_number(struct store_sqlite *self, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    bool got = prepare(self, sql, &statement) && sqlite3_step(statement) == SQLITE_ROW;
    if (got)
        *out = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement) == SQLITE_OK && got;
}

/* The text in the first row, behind *out. */
static bool read_text(struct store_sqlite *self, const char *sql, struct buffer *out)
{
    sqlite3_stmt *statement = NULL;
    bool got = prepare(self, sql, &statement) && sqlite3_step(statement) == SQLITE_ROW;
    if (got)
        buffer_put(out, sqlite3_column_text(statement, 0),
                   (size_t)sqlite3_column_bytes(statement, 0));
    return sqlite3_finalize(statement) == SQLITE_OK && got;
}

/* The last failure in words that help an operator. Nothing when memory is exhausted. */
static void explain(const struct store_sqlite *self, struct buffer *why)
{
    int code = self->db ? sqlite3_extended_errcode(self->db) : SQLITE_NOMEM;
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
        buffer_printf(why, "it cannot be opened: %s", strerror(sqlite3_system_errno(self->db)));
        break;
    default:
        buffer_put_text(why, sqlite3_errmsg(self->db));
        if (sqlite3_system_errno(self->db))
            buffer_printf(why, ": %s", strerror(sqlite3_system_errno(self->db)));
        break;
    }
}

static bool fail(const struct store_sqlite *self, struct buffer *why)
{
    explain(self, why);
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

static bool open_file(struct store_sqlite *self, const char *path, struct buffer *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &self->db, flags, NULL) != SQLITE_OK)
        return fail(self, why);
    if (sqlite3_db_readonly(self->db, "main")) {
        buffer_put_text(why, "it may not be written to");
        return false;
    }
    /* From the first read on, until the end of the process. */
    return run(self, "PRAGMA locking_mode = EXCLUSIVE") || fail(self, why);
}

/* Before anything is written, for it may be a file of somebody else. */
static bool check_owner(struct store_sqlite *self, int64_t *version, struct buffer *why)
{
    int64_t application = 0, tables = 0;
    if (!read_number(self, "PRAGMA application_id", &application) ||
        !read_number(self, "PRAGMA user_version", version) ||
        !read_number(self, "SELECT count(*) FROM sqlite_schema", &tables))
        return fail(self, why);
    bool is_new = application == 0 && *version == 0 && tables == 0;
    if (application != APPLICATION_ID && !is_new) {
        buffer_put_text(why, "it is a database, but of another program");
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
static bool make_durable(struct store_sqlite *self, struct buffer *why)
{
    struct buffer mode = {0};
    bool done = read_text(self, "PRAGMA journal_mode = WAL", &mode) &&
                run(self, "PRAGMA synchronous = FULL");
    if (!done)
        explain(self, why);
    else if (!span_is(buffer_span(&mode), "wal"))
        buffer_put_text(why, "its file system cannot keep a write-ahead log");
    done = done && span_is(buffer_span(&mode), "wal");
    buffer_free(&mode);
    return done;
}

/* Pages that cannot be read are found now rather than when a registration is not. */
static bool check_pages(struct store_sqlite *self, struct buffer *why)
{
    struct buffer found = {0};
    bool read = read_text(self, "PRAGMA quick_check(1)", &found);
    bool sound = read && span_is(buffer_span(&found), "ok");
    if (!read)
        explain(self, why);
    else if (!sound)
        buffer_printf(why, "it is damaged: %.*s", SPAN_ARG(buffer_span(&found)));
    buffer_free(&found);
    return sound;
}

static bool make_tables(struct store_sqlite *self)
{
    char sql[256];
    sqlite3_snprintf(sizeof sql, sql,
                     "BEGIN IMMEDIATE;"
                     "CREATE TABLE handlers (key BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;"
                     "PRAGMA application_id = %d; PRAGMA user_version = %d;"
                     "COMMIT",
                     APPLICATION_ID, SCHEMA_VERSION);
    return run(self, sql);
}

static bool start(struct store_sqlite *self, const char *path, struct buffer *why)
{
    int64_t version = 0;
    if (!make_file(path, why) || !open_file(self, path, why) || !check_owner(self, &version, why) ||
        !make_durable(self, why) || !check_pages(self, why))
        return false;
    /* Even where there is nothing to write: it takes the lock. */
    if (version == 0 ? !make_tables(self) : !run(self, "BEGIN IMMEDIATE; COMMIT"))
        return fail(self, why);
    return (prepare(self, "INSERT OR IGNORE INTO handlers VALUES (?)", &self->add) &&
            prepare(self, "DELETE FROM handlers WHERE key = ?", &self->remove)) ||
           fail(self, why);
}

/* --- registrations --- */

static bool registration(store_t *store, const struct store_registration *what)
{
    if (what->key.size > STORE_HANDLER_KEY_MAX)
        return false;
    struct change *change = malloc(sizeof *change + what->key.size);
    if (!change)
        return false;
    *change = (struct change){
        .ticket = what->ticket, .removed = what->removed, .key_size = what->key.size};
    if (what->key.size)
        memcpy(change->key, what->key.data, what->key.size);
    changes_put(&engine_of(store)->accepted, change);
    return true;
}

static bool write_change(struct store_sqlite *self, const struct change *change)
{
    sqlite3_stmt *statement = change->removed ? self->remove : self->add;
    bool written = sqlite3_bind_blob(statement, 1, change->key, (int)change->key_size,
                                     SQLITE_STATIC) == SQLITE_OK &&
                   sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return written;
}

static bool write_accepted(struct store_sqlite *self)
{
    if (!run(self, "BEGIN IMMEDIATE"))
        return false;
    for (const struct change *change = self->accepted.first; change; change = change->next)
        if (!write_change(self, change))
            return false;
    return run(self, "COMMIT");
}

static void give_up(struct store_sqlite *self)
{
    struct buffer why = {0};
    explain(self, &why);
    log_error("store_failed", LOG_SPAN("reason", buffer_span(&why)));
    buffer_free(&why);
    if (!sqlite3_get_autocommit(self->db))
        run(self, "ROLLBACK");
}

static void commit(struct store_sqlite *self)
{
    enum store_outcome outcome = STORE_COMMITTED;
    if (!write_accepted(self)) {
        give_up(self);
        outcome = STORE_FAILED;
    }
    struct change *change;
    while ((change = changes_take(&self->accepted))) {
        change->outcome = outcome;
        changes_put(&self->decided, change);
    }
}

static bool visit_handlers(store_t *store, store_visit_fn *visit, void *arg)
{
    struct store_sqlite *self = engine_of(store);
    sqlite3_stmt *statement = NULL;
    int result = SQLITE_ERROR;
    if (prepare(self, "SELECT key FROM handlers", &statement)) {
        while ((result = sqlite3_step(statement)) == SQLITE_ROW)
            visit(span_of(sqlite3_column_blob(statement, 0),
                          (size_t)sqlite3_column_bytes(statement, 0)),
                  arg);
    }
    sqlite3_finalize(statement);
    return result == SQLITE_DONE;
}

/* --- the engine --- */

static bool append(store_t *store, const struct store_append *what)
{
    return store_append(engine_of(store)->appends, what);
}

static bool next(store_t *store, struct store_completion *out)
{
    struct store_sqlite *self = engine_of(store);
    if (self->accepted.first)
        commit(self);
    struct change *change = changes_take(&self->decided);
    if (!change)
        return store_next(self->appends, out);
    *out = (struct store_completion){true, change->ticket, change->outcome};
    free(change);
    return true;
}

static void destroy(store_t *store)
{
    struct store_sqlite *self = engine_of(store);
    sqlite3_finalize(self->add);
    sqlite3_finalize(self->remove);
    sqlite3_close(self->db);
    changes_free(&self->accepted);
    changes_free(&self->decided);
    store_destroy(&self->appends);
    free(self);
}

store_t *store_sqlite_new(const char *path, struct buffer *why)
{
    static const struct store_engine engine = {append, registration, visit_handlers, next, destroy};
    struct store_sqlite *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store.engine = &engine;
    changes_clear(&self->accepted);
    changes_clear(&self->decided);
    self->appends = store_memory_new();
    store_t *store = &self->store;
    if (!self->appends || !start(self, path, why))
        store_destroy(&store);
    return store;
}
