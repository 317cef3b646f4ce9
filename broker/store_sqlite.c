#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/store.h"
#include "broker/store_file.h"
#include "broker/store_records.h"
#include "common/clock.h"
#include "common/log.h"

/* While writing fails and nobody asks for it: how often it is tried all the same. */
#define PROBE_MS 1000

/* That a transaction has on top of what somebody waits for: a publication brings about two, and the
 * file would keep what nobody needs if they fell behind. */
#define NOTES_BATCH ((size_t)2 * STORE_BATCH)

/* Something to be written: copies of what it needs stand behind it, in this order: stream or
 * handler, body, key. */
struct item {
    STAILQ_ENTRY(item) link;
    enum { ITEM_APPEND, ITEM_NOTE, ITEM_REGISTRATION } kind;
    uint64_t number; /* in the order in which they were accepted */
    uint64_t ticket;
    enum store_outcome outcome;
    union {
        struct store_append append;
        struct store_note note;
        struct store_registration registration;
    } as;
    size_t size;
    uint8_t bytes[];
};

static_assert(sizeof(struct item) <= STORE_COST, "what an item takes is counted");

STAILQ_HEAD(items, item);

/* Threads: the caller's owns `reported` and `notes_lost`, the writer's the connection and
 * `records`, from the first append on; `lock` guards what is between `wanted` and `figures`. */
struct store_sqlite {
    store_t store;
    sqlite3 *db;
    store_records_t *records;
    char *path;
    size_t queue_bytes;
    int64_t hang_ms;
    pthread_t writer;
    size_t failed_bytes; /* the writer's: the largest item of the last transaction that failed */
    int64_t probe_at_ms; /* the writer's: not before */
    bool is_running;
    int event;           /* readable when something is decided */
    uint64_t notes_lost; /* the caller's */
    struct items reported;

    pthread_mutex_t lock;
    pthread_cond_t wanted;          /* something is accepted, or the end */
    struct items accepted, decided; /* what somebody waits for */
    struct items notes;             /* what nobody waits for */
    uint64_t numbers;               /* given to items */
    bool is_ending;
    struct store_figures figures;
    int64_t began_ms;               /* of the transaction that is being written; 0: none is */
    struct buffer why;              /* of the first failure, to be logged */
    bool has_failed, has_recovered; /* to be logged */
};

static struct store_sqlite *engine_of(const store_t *store)
{
    return (struct store_sqlite *)(uintptr_t)store;
}

/* --- the caller's side --- */

static struct item *item_new(size_t size)
{
    struct item *item = malloc(sizeof *item + size);
    if (item)
        item->size = 0;
    return item;
}

/* The item's own copy. */
static struct span keep(struct item *item, struct span bytes)
{
    uint8_t *copy = item->bytes + item->size;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    item->size += bytes.size;
    return span_of(copy, bytes.size);
}

static size_t cost(const struct item *item)
{
    return STORE_COST + item->size;
}

/* Takes the item over. Notes, of which clients may bring about as many as they like, leave half of
 * the queue to what somebody waits for. */
static bool accept(struct store_sqlite *self, struct item *item)
{
    size_t room = item->kind == ITEM_NOTE ? self->queue_bytes / 2 : self->queue_bytes;
    pthread_mutex_lock(&self->lock);
    bool fits = self->figures.queued_bytes + cost(item) <= room;
    if (fits) {
        self->figures.queued_bytes += cost(item);
        item->number = ++self->numbers;
        STAILQ_INSERT_TAIL(item->kind == ITEM_NOTE ? &self->notes : &self->accepted, item, link);
        pthread_cond_signal(&self->wanted);
    }
    pthread_mutex_unlock(&self->lock);
    if (!fits)
        free(item);
    return fits;
}

static bool append(store_t *store, const struct store_append *what)
{
    struct item *item = item_new(what->stream.size + what->body.size + what->once.key.size);
    if (!item)
        return false;
    item->kind = ITEM_APPEND;
    item->ticket = what->ticket;
    item->as.append = *what;
    item->as.append.stream = keep(item, what->stream);
    item->as.append.body = keep(item, what->body);
    item->as.append.once.key = keep(item, what->once.key);
    return accept(engine_of(store), item);
}

static bool accept_note(struct store_sqlite *self, const struct store_note *what)
{
    struct item *item = item_new(what->stream.size);
    if (!item)
        return false;
    item->kind = ITEM_NOTE;
    item->as.note = *what;
    item->as.note.stream = keep(item, what->stream);
    return accept(self, item);
}

static void note(store_t *store, const struct store_note *what)
{
    struct store_sqlite *self = engine_of(store);
    if (!accept_note(self, what))
        self->notes_lost++;
}

static bool registration(store_t *store, const struct store_registration *what)
{
    if (what->key.size > STORE_HANDLER_KEY_MAX)
        return false;
    struct item *item = item_new(what->key.size);
    if (!item)
        return false;
    item->kind = ITEM_REGISTRATION;
    item->ticket = what->ticket;
    item->as.registration = *what;
    item->as.registration.key = keep(item, what->key);
    return accept(engine_of(store), item);
}

/* The writer does not log: the log belongs to the caller's thread. */
static void tell_log(const struct store_sqlite *self, bool has_failed, bool has_recovered,
                     struct span why)
{
    if (has_failed)
        log_error("store_failed", LOG_TEXT("store", self->path), LOG_SPAN("reason", why));
    if (has_recovered)
        log_info("store_recovered", LOG_TEXT("store", self->path));
}

/* Takes over what was decided since it was called last. */
static void collect(struct store_sqlite *self)
{
    uint64_t count;
    ssize_t got = read(self->event, &count, sizeof count);
    (void)got; /* nothing, when nothing was decided */
    pthread_mutex_lock(&self->lock);
    STAILQ_CONCAT(&self->reported, &self->decided);
    bool has_failed = self->has_failed, has_recovered = self->has_recovered;
    struct buffer why = self->why;
    self->why = (struct buffer){0};
    self->has_failed = self->has_recovered = false;
    pthread_mutex_unlock(&self->lock);
    tell_log(self, has_failed, has_recovered, buffer_span(&why));
    buffer_free(&why);
}

static bool next(store_t *store, struct store_completion *out)
{
    struct store_sqlite *self = engine_of(store);
    if (STAILQ_EMPTY(&self->reported))
        collect(self);
    struct item *item = STAILQ_FIRST(&self->reported);
    if (!item)
        return false;
    STAILQ_REMOVE_HEAD(&self->reported, link);
    *out = (struct store_completion){item->kind == ITEM_REGISTRATION, item->ticket, item->outcome};
    free(item);
    return true;
}

static int fd(const store_t *store)
{
    return engine_of(store)->event;
}

static void measure(store_t *store, struct store_figures *out)
{
    struct store_sqlite *self = engine_of(store);
    struct stat file = {0}, log = {0};
    char log_path[4096];
    pthread_mutex_lock(&self->lock);
    *out = self->figures;
    bool hangs = self->began_ms != 0 && clock_monotonic_ms() - self->began_ms > self->hang_ms;
    pthread_mutex_unlock(&self->lock);
    out->is_failing = out->is_failing || hangs;
    out->notes_lost = self->notes_lost;
    bool has_log =
        (size_t)snprintf(log_path, sizeof log_path, "%s-wal", self->path) < sizeof log_path &&
        stat(log_path, &log) == 0;
    if (stat(self->path, &file) == 0)
        out->file_bytes = (uint64_t)file.st_size + (has_log ? (uint64_t)log.st_size : 0);
}

/* Only the caller looks at them. */
static void configure(store_t *store, const struct store_limits *limits)
{
    engine_of(store)->queue_bytes = limits->queue_bytes;
    engine_of(store)->hang_ms = limits->hang_ms;
}

/* --- the writer's side --- */

static bool write_item(struct store_sqlite *self, struct item *item)
{
    bool follows = true, written = false;
    switch (item->kind) {
    case ITEM_APPEND:
        written = store_records_append(self->records, &item->as.append, &follows);
        break;
    case ITEM_NOTE:
        written = store_records_note(self->records, &item->as.note);
        break;
    case ITEM_REGISTRATION:
        written = store_records_register(self->records, item->as.registration.key,
                                         item->as.registration.removed);
        break;
    }
    item->outcome = follows ? STORE_COMMITTED : STORE_FAILED;
    return written;
}

static bool write_all(struct store_sqlite *self, struct items *batch)
{
    struct item *item;
    if (!store_records_begin(self->records))
        return false;
    STAILQ_FOREACH (item, batch, link)
        if (!write_item(self, item))
            return false;
    return store_records_expire(self->records, clock_wall_ms());
}

/* The first failure is logged, not each. */
static enum store_outcome failure(struct store_sqlite *self, bool is_sure)
{
    if (!self->figures.is_failing) {
        struct buffer why = {0};
        store_file_explain(self->db, &why);
        pthread_mutex_lock(&self->lock);
        buffer_free(&self->why);
        self->why = why;
        self->has_failed = true;
        self->has_recovered = false;
        pthread_mutex_unlock(&self->lock);
    }
    if (!is_sure)
        return STORE_DOUBTED;
    return store_records_is_full(self->records) ? STORE_FULL : STORE_FAILED;
}

static void set_outcomes(struct items *batch, enum store_outcome outcome)
{
    struct item *item;
    STAILQ_FOREACH (item, batch, link)
        item->outcome = outcome;
}

static size_t largest(const struct items *batch)
{
    size_t bytes = 0;
    const struct item *item;
    STAILQ_FOREACH (item, batch, link)
        bytes = item->size > bytes ? item->size : bytes;
    return bytes;
}

/* One transaction. */
static bool write_batch(struct store_sqlite *self, struct items *batch)
{
    bool is_sure = true;
    if (write_all(self, batch) && store_records_commit(self->records, &is_sure))
        return true;
    set_outcomes(batch, failure(self, is_sure));
    store_records_rollback(self->records);
    self->failed_bytes = largest(batch);
    return false;
}

/* Something as large as what has failed; not more often than each PROBE_MS. */
static bool probe(struct store_sqlite *self)
{
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < self->probe_at_ms)
        return false;
    self->probe_at_ms = now_ms + PROBE_MS;
    bool done = store_records_probe(self->records, self->failed_bytes);
    store_records_rollback(self->records);
    return done;
}

/* What is_failing becomes. Only the writer changes it, and may read it without the lock. While it
 * is true, small items that find room do not mean that large ones would. */
static bool write_or_probe(struct store_sqlite *self, struct items *batch, bool *done)
{
    bool was_failing = self->figures.is_failing;
    *done = !STAILQ_EMPTY(batch) && write_batch(self, batch);
    bool proves = *done && largest(batch) >= self->failed_bytes;
    bool fails = STAILQ_EMPTY(batch) || *done ? was_failing && !proves && !probe(self) : true;
    return fails;
}

static void take(struct store_sqlite *self, struct items *from, struct items *batch)
{
    struct item *item = STAILQ_FIRST(from);
    STAILQ_REMOVE_HEAD(from, link);
    self->figures.queued_bytes -= cost(item);
    STAILQ_INSERT_TAIL(batch, item, link);
}

/* A note may come later than what was accepted after it, see store.h, but not earlier than what was
 * accepted before it. */
static void take_batch(struct store_sqlite *self, struct items *batch)
{
    for (size_t i = 0; i < STORE_BATCH && !STAILQ_EMPTY(&self->accepted); i++)
        take(self, &self->accepted, batch);
    const struct item *next = STAILQ_FIRST(&self->accepted);
    const struct item *note;
    for (size_t i = 0; i < NOTES_BATCH && (note = STAILQ_FIRST(&self->notes)) &&
                       (!next || note->number < next->number);
         i++)
        take(self, &self->notes, batch);
    self->began_ms = STAILQ_EMPTY(batch) ? 0 : clock_monotonic_ms();
}

/* Hands over what somebody waits for. Notes that were not written wait for the next transaction.
 * Holds the lock. */
static void report(struct store_sqlite *self, struct items *batch, bool done)
{
    struct items again = STAILQ_HEAD_INITIALIZER(again);
    struct item *item;
    while ((item = STAILQ_FIRST(batch))) {
        STAILQ_REMOVE_HEAD(batch, link);
        if (item->kind != ITEM_NOTE) {
            self->figures.committed += item->outcome == STORE_COMMITTED;
            self->figures.failed += item->outcome != STORE_COMMITTED;
            STAILQ_INSERT_TAIL(&self->decided, item, link);
        } else if (done || self->is_ending) {
            free(item);
        } else {
            self->figures.queued_bytes += cost(item);
            STAILQ_INSERT_TAIL(&again, item, link);
        }
    }
    STAILQ_CONCAT(&again, &self->notes);
    STAILQ_CONCAT(&self->notes, &again);
    self->began_ms = 0;
}

/* Waits until there is something to do, or while writing fails, for a while. */
static void wait_for_work(struct store_sqlite *self)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += PROBE_MS / 1000;
    /* Notes alone do not try a store that fails: the probe does. */
    while (STAILQ_EMPTY(&self->accepted) && !self->is_ending &&
           (STAILQ_EMPTY(&self->notes) || self->figures.is_failing)) {
        if (!self->figures.is_failing)
            pthread_cond_wait(&self->wanted, &self->lock);
        else if (pthread_cond_timedwait(&self->wanted, &self->lock, &end) == ETIMEDOUT)
            return;
    }
}

static void *write_on(void *arg)
{
    struct store_sqlite *self = arg;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        struct items batch = STAILQ_HEAD_INITIALIZER(batch);
        wait_for_work(self);
        if (STAILQ_EMPTY(&self->accepted) && STAILQ_EMPTY(&self->notes) && self->is_ending)
            break;
        take_batch(self, &batch);
        pthread_mutex_unlock(&self->lock);
        bool done, fails = write_or_probe(self, &batch, &done);
        pthread_mutex_lock(&self->lock);
        self->has_recovered = self->has_recovered || (self->figures.is_failing && !fails);
        self->figures.is_failing = fails;
        self->figures.commits += done;
        report(self, &batch, done);
        ssize_t written = write(self->event, &(uint64_t){1}, sizeof(uint64_t));
        (void)written; /* cannot fail: the counter has room for more than there is memory */
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* --- life --- */

/* Signals are the main thread's. */
static bool start_writer(struct store_sqlite *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    self->is_running = pthread_create(&self->writer, NULL, write_on, self) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return self->is_running;
}

static bool load(store_t *store, const struct store_loader *loader)
{
    struct store_sqlite *self = engine_of(store);
    uint64_t damaged = 0;
    bool done = store_records_load(self->records, loader, &damaged);
    self->figures.damaged = damaged;
    if (damaged > 0)
        log_error("store_damaged", LOG_TEXT("store", self->path), LOG_UINT("records", damaged));
    return done;
}

static void free_items(struct items *list)
{
    struct item *item;
    while ((item = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        free(item);
    }
}

static void destroy(store_t *store)
{
    struct store_sqlite *self = engine_of(store);
    if (self->is_running) {
        pthread_mutex_lock(&self->lock);
        self->is_ending = true;
        pthread_cond_signal(&self->wanted);
        pthread_mutex_unlock(&self->lock);
        pthread_join(self->writer, NULL);
    }
    store_records_destroy(&self->records);
    sqlite3_close(self->db);
    free_items(&self->accepted);
    free_items(&self->notes);
    free_items(&self->decided);
    free_items(&self->reported);
    if (self->event >= 0)
        close(self->event);
    pthread_cond_destroy(&self->wanted);
    pthread_mutex_destroy(&self->lock);
    buffer_free(&self->why);
    free(self->path);
    free(self);
}

static void init_sync(struct store_sqlite *self)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&self->lock, NULL);
    STAILQ_INIT(&self->accepted);
    STAILQ_INIT(&self->notes);
    STAILQ_INIT(&self->decided);
    STAILQ_INIT(&self->reported);
}

static bool start(struct store_sqlite *self, const char *path, struct buffer *why)
{
    self->path = strdup(path);
    self->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->db = self->path && self->event >= 0 ? store_file_open(path, why) : NULL;
    self->records = self->db ? store_records_new(self->db) : NULL;
    if (self->db && !self->records)
        store_file_explain(self->db, why);
    return self->records && start_writer(self);
}

store_t *store_sqlite_new(const char *path, size_t queue_bytes, int64_t hang_ms, struct buffer *why)
{
    static const struct store_engine engine = {append, note,    registration, load,   next,
                                               fd,     measure, configure,    destroy};
    struct store_sqlite *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->store.engine = &engine;
    self->queue_bytes = queue_bytes;
    self->hang_ms = hang_ms;
    self->event = -1;
    init_sync(self);
    store_t *store = &self->store;
    if (!start(self, path, why))
        store_destroy(&store);
    return store;
}
