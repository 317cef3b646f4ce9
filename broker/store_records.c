#include "broker/store_records.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "broker/store_file.h"

#define EXPIRE_AT_ONCE "512" /* more than one transaction adds */

/* What the row of a probe has for a time: it is over, and is no key. */
#define PROBE_UNTIL_MS 1

/* No key is remembered for longer: one whose time is over later was given by a clock that was
 * wrong, and would keep all behind it. */
#define KEY_LIMIT_MS (INT64_C(86400) * 1000)

/* The statements, each with its text. */
#define STATEMENTS(S)                                                                              \
    S(begin, "BEGIN IMMEDIATE")                                                                    \
    S(commit, "COMMIT")                                                                            \
    S(rollback, "ROLLBACK")                                                                        \
    S(move_on, "UPDATE streams SET offset = ?3, sum = ?4"                                          \
               " WHERE key = ?1 AND epoch = ?2 AND offset = ?3 - 1 RETURNING id")                  \
    S(restart, "INSERT INTO streams (key, epoch, offset, sum) VALUES (?1, ?2, ?3, ?4)"             \
               " ON CONFLICT (key) DO UPDATE SET epoch = ?2, offset = ?3, sum = ?4"                \
               " WHERE epoch != ?2 RETURNING id")                                                  \
    S(make, "INSERT OR IGNORE INTO streams (key, epoch, offset, sum) VALUES (?, ?, 0, ?)")         \
    S(find, "SELECT id FROM streams WHERE key = ? AND epoch = ?")                                  \
    S(add_message, "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)")                       \
    S(trim, "DELETE FROM messages WHERE stream = ? AND offset < ?")                                \
    S(end_stream, "DELETE FROM streams WHERE id = ?")                                              \
    S(add_key, "INSERT INTO keys (key, hash_low, hash_high, epoch, offset, until, sum)"            \
               " VALUES (?, ?, ?, ?, ?, ?, ?)")                                                    \
    S(add_zeros, "INSERT OR REPLACE INTO keys VALUES (0, zeroblob(?), 0, 0, 0, 0, 1, 0)")          \
    S(oldest_key, "SELECT until FROM keys ORDER BY id LIMIT 1")                                    \
    S(remove_key, "DELETE FROM keys WHERE id = ?")                                                 \
    S(expire,                                                                                      \
      "DELETE FROM keys WHERE id IN (SELECT id FROM keys ORDER BY id LIMIT " EXPIRE_AT_ONCE        \
      ") AND (until <= ?1 OR until > ?2)")                                                         \
    S(add_handler, "INSERT OR REPLACE INTO handlers (key, sum) VALUES (?, ?)")                     \
    S(remove_handler, "DELETE FROM handlers WHERE key = ?")                                        \
    S(origin, "SELECT number FROM origin")                                                         \
    S(keys_of_table, "SELECT key, id FROM streams NOT INDEXED")                                    \
    S(keys_of_index, "SELECT key, id FROM streams ORDER BY key") /* the index has both */          \
    S(mend_index, "REINDEX streams")                                                               \
    S(streams, "SELECT id, key, epoch, offset, sum FROM streams ORDER BY id")                      \
    S(messages, "SELECT stream, offset, at, sum, body FROM messages ORDER BY stream, offset")      \
    S(keys, "SELECT key, hash_low, hash_high, epoch, offset, until, sum FROM keys ORDER BY id")    \
    S(handlers, "SELECT key, sum FROM handlers")

enum statement {
#define STATEMENT(name, text) AT_##name,
    STATEMENTS(STATEMENT)
#undef STATEMENT
        STATEMENT_COUNT
};

static const char *const texts[STATEMENT_COUNT] = {
#define STATEMENT(name, text) text,
    STATEMENTS(STATEMENT)
#undef STATEMENT
};

struct store_records {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* --- life --- */

store_records_t *store_records_new(sqlite3 *db)
{
    store_records_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->db = db;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &self->statements[i],
                               NULL) != SQLITE_OK) {
            store_records_destroy(&self);
            return NULL;
        }
    return self;
}

void store_records_destroy(store_records_t **self_p)
{
    store_records_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(self->statements[i]);
    free(self);
}

/* --- one statement --- */

struct value {
    bool is_blob;
    struct span blob;
    int64_t number;
};

static struct value blob(struct span bytes)
{
    return (struct value){.is_blob = true, .blob = bytes};
}

static struct value number(uint64_t number)
{
    return (struct value){.number = (int64_t)number};
}

static void bind(sqlite3_stmt *statement, const struct value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct value *value = &values[i];
        const void *bytes = value->blob.size ? value->blob.data : (const void *)"";
        if (value->is_blob)
            sqlite3_bind_blob64(statement, (int)i + 1, bytes, value->blob.size, SQLITE_STATIC);
        else
            sqlite3_bind_int64(statement, (int)i + 1, value->number);
    }
}

/* Runs it to its end; *first, if not NULL, gets the number in its first row, 0 without one. */
static bool run(store_records_t *self, enum statement which, const struct value *values,
                size_t count, int64_t *first)
{
    sqlite3_stmt *statement = self->statements[which];
    int result;
    bool has_row = false;
    if (first)
        *first = 0;
    bind(statement, values, count);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (first && !has_row)
            *first = sqlite3_column_int64(statement, 0);
        has_row = true;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result == SQLITE_DONE;
}

#define RUN(self, which, first, ...)                                                               \
    run(self, AT_##which, (const struct value[]){__VA_ARGS__},                                     \
        sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value), first)

/* --- transactions --- */

bool store_records_begin(store_records_t *self)
{
    return run(self, AT_begin, NULL, 0, NULL);
}

/* SQLite knows of full disks only, not of files that may not grow and of quotas. */
bool store_records_is_full(const store_records_t *self)
{
    int code = sqlite3_extended_errcode(self->db), reason = store_file_errno(self->db);
    return (code & 0xff) == SQLITE_FULL ||
           (code == SQLITE_IOERR_WRITE && (reason == EFBIG || reason == EDQUOT));
}

/* What had no room was not written. After any other failure the log may have the whole transaction,
 * which the next one overwrites. */
bool store_records_commit(store_records_t *self, bool *is_sure)
{
    bool done = run(self, AT_commit, NULL, 0, NULL);
    *is_sure = done || store_records_is_full(self);
    return done;
}

void store_records_rollback(store_records_t *self)
{
    if (!sqlite3_get_autocommit(self->db))
        run(self, AT_rollback, NULL, 0, NULL);
}

/* --- checksums --- */

/* Of the numbers and bytes of a record, in a fixed order. */
static int64_t sum_of(const uint64_t *numbers, size_t count, struct span bytes)
{
    XXH64_hash_t of_numbers = XXH3_64bits(numbers, count * sizeof *numbers);
    return (int64_t)XXH3_64bits_withSeed(bytes.data, bytes.size, of_numbers);
}

static int64_t stream_sum(struct span key, uint64_t epoch, uint64_t offset)
{
    return sum_of((const uint64_t[]){epoch, offset}, 2, key);
}

static int64_t message_sum(int64_t stream, uint64_t offset, int64_t at_ms, struct span body)
{
    return sum_of((const uint64_t[]){(uint64_t)stream, offset, (uint64_t)at_ms}, 3, body);
}

static int64_t key_sum(const struct store_key *key, uint64_t epoch, uint64_t offset)
{
    return sum_of(
        (const uint64_t[]){key->hash[0], key->hash[1], epoch, offset, (uint64_t)key->until_ms}, 5,
        key->key);
}

/* --- streams --- */

static bool delete_messages(store_records_t *self, int64_t stream, uint64_t first)
{
    return RUN(self, trim, NULL, number((uint64_t)stream), number(first));
}

/* The stream begins (again): what it had before is gone. *id is 0 when it is there already. */
static bool begin_stream(store_records_t *self, struct span key, uint64_t epoch, uint64_t offset,
                         int64_t *id)
{
    return RUN(self, restart, id, blob(key), number(epoch), number(offset),
               number((uint64_t)stream_sum(key, epoch, offset))) &&
           (*id == 0 || delete_messages(self, *id, INT64_MAX));
}

static bool add_key(store_records_t *self, const struct store_append *append)
{
    const struct store_key *once = &append->once;
    return once->key.size == 0 ||
           RUN(self, add_key, NULL, blob(once->key), number(once->hash[0]), number(once->hash[1]),
               number(append->epoch), number(append->offset), number((uint64_t)once->until_ms),
               number((uint64_t)key_sum(once, append->epoch, append->offset)));
}

static bool add_message(store_records_t *self, int64_t id, const struct store_append *append)
{
    int64_t sum = message_sum(id, append->offset, append->at_ms, append->body);
    return append->first > append->offset ||
           RUN(self, add_message, NULL, number((uint64_t)id), number(append->offset),
               number((uint64_t)append->at_ms), number((uint64_t)sum), blob(append->body));
}

bool store_records_append(store_records_t *self, const struct store_append *append, bool *follows)
{
    int64_t id;
    *follows = true;
    if (!RUN(self, move_on, &id, blob(append->stream), number(append->epoch),
             number(append->offset),
             number((uint64_t)stream_sum(append->stream, append->epoch, append->offset))))
        return false;
    if (id == 0 && append->offset == 1 &&
        !begin_stream(self, append->stream, append->epoch, append->offset, &id))
        return false;
    if (id == 0) {
        *follows = false;
        return true;
    }
    return add_message(self, id, append) && add_key(self, append) &&
           (append->first <= 1 || delete_messages(self, id, append->first));
}

/* One that comes late finds that its stream has begun again, and does nothing. */
bool store_records_note(store_records_t *self, const struct store_note *note)
{
    int64_t id;
    if (note->kind == STORE_MADE)
        return RUN(self, make, NULL, blob(note->stream), number(note->epoch),
                   number((uint64_t)stream_sum(note->stream, note->epoch, 0)));
    if (!RUN(self, find, &id, blob(note->stream), number(note->epoch)))
        return false;
    if (id == 0)
        return true;
    if (note->kind == STORE_TRIMMED)
        return delete_messages(self, id, note->first);
    return delete_messages(self, id, INT64_MAX) &&
           RUN(self, end_stream, NULL, number((uint64_t)id));
}

/* --- the rest --- */

bool store_records_register(store_records_t *self, struct span handler, bool removed)
{
    return removed ? RUN(self, remove_handler, NULL, blob(handler))
                   : RUN(self, add_handler, NULL, blob(handler),
                         number((uint64_t)sum_of(NULL, 0, handler)));
}

bool store_records_expire(store_records_t *self, int64_t wall_ms)
{
    int64_t until_ms;
    if (!run(self, AT_oldest_key, NULL, 0, &until_ms))
        return false;
    bool is_over = until_ms <= wall_ms || until_ms > wall_ms + KEY_LIMIT_MS;
    return until_ms == 0 || !is_over ||
           RUN(self, expire, NULL, number((uint64_t)wall_ms),
               number((uint64_t)(wall_ms + KEY_LIMIT_MS)));
}

bool store_records_probe(store_records_t *self, size_t bytes)
{
    bool is_sure;
    if (!store_records_begin(self) || !RUN(self, add_zeros, NULL, number(bytes)) ||
        !store_records_commit(self, &is_sure))
        return false;
    return store_records_begin(self) && RUN(self, remove_key, NULL, number(0)) &&
           store_records_commit(self, &is_sure);
}

/* --- loading --- */

static struct span blob_at(sqlite3_stmt *row, int column)
{
    const void *bytes = sqlite3_column_blob(row, column);
    return span_of(bytes, (size_t)sqlite3_column_bytes(row, column));
}

static uint64_t number_at(sqlite3_stmt *row, int column)
{
    return (uint64_t)sqlite3_column_int64(row, column);
}

/* Goes through two tables at once: `messages` stands before the first message that was not looked
 * at yet. */
struct loading {
    store_records_t *self;
    const struct store_loader *loader;
    uint64_t damaged;
    sqlite3_stmt *messages;
    int state; /* of the last step of messages */
};

static void next_message(struct loading *loading)
{
    loading->state = sqlite3_step(loading->messages);
}

static bool load_message(struct loading *loading, int64_t stream)
{
    sqlite3_stmt *row = loading->messages;
    uint64_t offset = number_at(row, 1);
    int64_t at_ms = sqlite3_column_int64(row, 2);
    struct span body = blob_at(row, 4);
    if (sqlite3_column_int64(row, 3) == message_sum(stream, offset, at_ms, body))
        return loading->loader->message(loading->loader->arg, offset, at_ms, body);
    loading->damaged++;
    return true;
}

/* Messages of no stream, or of a damaged one, are passed over. */
static bool load_messages(struct loading *loading, int64_t stream, bool is_sound)
{
    bool goes_on = true;
    for (; goes_on && loading->state == SQLITE_ROW; next_message(loading)) {
        int64_t of = sqlite3_column_int64(loading->messages, 0);
        if (of > stream)
            return true;
        if (of == stream && is_sound)
            goes_on = load_message(loading, stream);
    }
    return goes_on;
}

static bool load_stream(struct loading *loading, sqlite3_stmt *row)
{
    struct span key = blob_at(row, 1);
    uint64_t epoch = number_at(row, 2), offset = number_at(row, 3);
    bool is_sound = sqlite3_column_int64(row, 4) == stream_sum(key, epoch, offset);
    if (!is_sound)
        loading->damaged++;
    else if (!loading->loader->stream(loading->loader->arg, key, epoch, offset))
        return false;
    return load_messages(loading, sqlite3_column_int64(row, 0), is_sound);
}

static bool load_key(struct loading *loading, sqlite3_stmt *row)
{
    struct store_key key = {.key = blob_at(row, 0),
                            .hash = {number_at(row, 1), number_at(row, 2)},
                            .until_ms = sqlite3_column_int64(row, 5)};
    uint64_t epoch = number_at(row, 3), offset = number_at(row, 4);
    if (key.until_ms == PROBE_UNTIL_MS)
        return true;
    if (sqlite3_column_int64(row, 6) == key_sum(&key, epoch, offset))
        return loading->loader->key(loading->loader->arg, &key, epoch, offset);
    loading->damaged++;
    return true;
}

/* One that cannot be trusted ends the loading: without it somebody could be let in. */
static bool load_handler(struct loading *loading, sqlite3_stmt *row)
{
    struct span key = blob_at(row, 0);
    bool has_sum = sqlite3_column_type(row, 1) != SQLITE_NULL;
    if (has_sum && sqlite3_column_int64(row, 1) != sum_of(NULL, 0, key))
        return false;
    return loading->loader->handler(loading->loader->arg, key);
}

static bool load_origin(struct loading *loading, sqlite3_stmt *row)
{
    loading->loader->origin(loading->loader->arg, number_at(row, 0));
    return true;
}

/* --- the index --- */

/* The same for the same pairs, in any order. */
static bool sum_pairs(store_records_t *self, enum statement which, uint64_t *sum)
{
    sqlite3_stmt *row = self->statements[which];
    int state;
    *sum = 0;
    while ((state = sqlite3_step(row)) == SQLITE_ROW) {
        struct span key = blob_at(row, 0);
        *sum += XXH3_64bits_withSeed(key.data, key.size, number_at(row, 1));
    }
    sqlite3_reset(row);
    return state == SQLITE_DONE;
}

/* By its index a stream is found when it is written to. It has a copy of each key, which no
 * checksum covers: a damaged one would refuse all that is published from then on. */
static bool mend_index(struct loading *loading)
{
    store_records_t *self = loading->self;
    uint64_t table, index;
    if (!sum_pairs(self, AT_keys_of_table, &table) || !sum_pairs(self, AT_keys_of_index, &index))
        return false;
    if (table == index)
        return true;
    loading->damaged++;
    return run(self, AT_mend_index, NULL, 0, NULL);
}

static bool load_rows(struct loading *loading, enum statement which,
                      bool (*load)(struct loading *loading, sqlite3_stmt *row))
{
    sqlite3_stmt *row = loading->self->statements[which];
    int state = sqlite3_step(row);
    while (state == SQLITE_ROW && load(loading, row))
        state = sqlite3_step(row);
    sqlite3_reset(row);
    return state == SQLITE_DONE;
}

bool store_records_load(store_records_t *self, const struct store_loader *loader, uint64_t *damaged)
{
    struct loading loading = {
        .self = self, .loader = loader, .messages = self->statements[AT_messages]};
    if (!mend_index(&loading))
        return false;
    next_message(&loading);
    bool done = load_rows(&loading, AT_streams, load_stream) &&
                (loading.state == SQLITE_ROW || loading.state == SQLITE_DONE) &&
                load_rows(&loading, AT_keys, load_key) &&
                load_rows(&loading, AT_handlers, load_handler);
    if (done && loading.damaged == 0 && loader->origin)
        done = load_rows(&loading, AT_origin, load_origin);
    sqlite3_reset(loading.messages);
    *damaged = loading.damaged;
    return done;
}
