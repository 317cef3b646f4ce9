#include "broker/broker.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin_http.h"
#include "admin/reload.h"
#include "admin/resident.h"
#include "broker/bus.h"
#include "broker/core.h"
#include "broker/give_back.h"
#include "broker/rulebook.h"
#include "broker/stop_guard.h"
#include "broker/store.h"
#include "broker/tell.h"
#include "common/clock.h"
#include "common/log.h"

/* What one endpoint may bring in one turn, so that all get theirs. */
#define TURN_MESSAGES 1000
#define TURN_EVENTS   10000 /* subscriptions of gateways */
#define TURN_BYTES    ((size_t)1 << 20)
/* No more input while so many bytes wait to be sent. */
#define TURN_OUTPUT ((size_t)4 << 20)
/* Peers whose sockets were full are tried again so often. */
#define RETRY_MS 5
/* How long replies that a peer does not take are tried again at the end. */
#define REPLIES_MS 1000
/* When nobody has asked for anything for so long, all have heard that the broker stops. */
#define QUIET_MS 250
/* At the end a turn is due so often. */
#define STOP_TURN_MS 10
/* Of the time to stop, so much is for closing the sockets and the store. */
#define CLOSE_MS 1500

enum { FD_SIGNAL, FD_ADMIN, FD_STORE };

struct broker {
    const options_t *options;
    reload_t *reload;
    struct rulebook rules;
    core_t *core;
    store_t *store;
    bus_t *bus;
    admin_http_t *admin;
    int signals;
    bool stopping;
    bool more;  /* there is something to do at once */
    bool retry; /* the bus keeps something */
    struct give_back give_back;
    struct broker_metrics metrics;
};

/* --- effects --- */

static void on_sent(void *arg, void *owner, enum bus_sent sent)
{
    static const enum core_sent told[] = {
        [BUS_SENT] = CORE_SENT, [BUS_DROPPED] = CORE_DROPPED, [BUS_GONE] = CORE_GONE};
    struct broker *self = arg;
    core_sent(self->core, owner, told[sent]);
}

static bool append(struct broker *self, struct store_append append)
{
    append.at_ms = clock_wall_ms();
    append.once.until_ms += append.at_ms;
    return store_append(self->store, &append);
}

static void carry_out(struct broker *self, const struct core_effect *effect, int64_t now_ms)
{
    switch (effect->kind) {
    case CORE_REPLY:
        bus_send(self->bus, effect->endpoint, effect->peer, effect->bytes, effect->to);
        break;
    case CORE_SEND:
        bus_send(self->bus, BUS_CONTROL, effect->peer, effect->bytes, effect->to);
        break;
    case CORE_PUBLISH:
        bus_publish(self->bus, effect->bytes, effect->body);
        break;
    case CORE_APPEND:
        if (!append(self, effect->append))
            core_stored(self->core, effect->append.ticket, STORE_FAILED, now_ms);
        break;
    case CORE_NOTE:
        store_note(self->store, &effect->note);
        break;
    case CORE_REGISTER:
        if (!store_registration(self->store, &effect->registration))
            core_registered(self->core, effect->registration.ticket, STORE_FAILED, now_ms);
        break;
    case CORE_GATEWAY_JOINED:
    case CORE_GATEWAY_LEFT:
    case CORE_GATEWAY_SILENT:
    case CORE_GATEWAY_HEARD:
    case CORE_GATEWAY_REPLACED:
    case CORE_GATEWAY_REINSTATED:
    case CORE_GATEWAY_REFUSED:
    case CORE_WORKER_SILENT:
    case CORE_WORKER_HEARD:
        tell_event(effect);
        break;
    case CORE_NOTHING:
        break;
    }
}

static void take_effects(struct broker *self, int64_t now_ms)
{
    struct core_effect effect;
    for (;;) {
        core_take_effect(self->core, &effect);
        if (effect.kind == CORE_NOTHING)
            return;
        carry_out(self, &effect, now_ms);
    }
}

static void on_stored(struct broker *self, const struct store_completion *completion,
                      int64_t now_ms)
{
    if (completion->is_registration)
        core_registered(self->core, completion->ticket, completion->outcome, now_ms);
    else
        core_stored(self->core, completion->ticket, completion->outcome, now_ms);
}

/* Carries out what the core wants, tells it what the store has committed, until both are quiet. */
static void settle(struct broker *self, int64_t now_ms)
{
    struct store_completion completion;
    bool more;
    do {
        take_effects(self, now_ms);
        more = store_next(self->store, &completion);
        for (bool next = more; next; next = store_next(self->store, &completion))
            on_stored(self, &completion, now_ms);
    } while (more);
}

/* --- one turn --- */

/* True: the socket may have more. */
static bool read_backends(struct broker *self, size_t endpoint, int64_t now_ms)
{
    struct bus_message message;
    size_t bytes = 0;
    for (size_t count = 0; count < TURN_MESSAGES; count++) {
        if (bytes >= TURN_BYTES || core_effect_bytes(self->core) >= TURN_OUTPUT)
            return true;
        if (!bus_receive(self->bus, endpoint, &message))
            return false;
        bytes += message.bytes.size;
        core_backend_request(self->core, endpoint, message.peer, message.bytes, now_ms);
    }
    return true;
}

static bool read_gateways(struct broker *self, int64_t now_ms)
{
    struct bus_message message;
    struct span event;
    /* A question may only be read when all subscriptions in front of it were. */
    for (size_t count = 0; bus_receive_event(self->bus, &event); count++) {
        core_xpub_event(self->core, event, now_ms);
        if (count == TURN_EVENTS)
            return true;
    }
    for (size_t count = 0; count < TURN_MESSAGES; count++) {
        if (!bus_receive(self->bus, BUS_CONTROL, &message))
            return false;
        core_gateway_frame(self->core, message.peer, message.bytes, now_ms);
    }
    return true;
}

/* Many in, then many out: the price of a message is in waking up, not in its bytes. True when there
 * is more to do at once. */
static bool turn(struct broker *self, int64_t now_ms)
{
    bool more = read_gateways(self, now_ms);
    for (size_t i = 0; i < self->rules.plan.backend_count; i++)
        more |= read_backends(self, i, now_ms);
    settle(self, now_ms);
    core_answer(self->core, TURN_OUTPUT, now_ms);
    core_tick(self->core, now_ms);
    settle(self, now_ms);
    self->retry = bus_retry(self->bus);
    if (give_back_is_due(&self->give_back, core_memory(self->core), now_ms))
        malloc_trim(0);
    return more || core_can_answer(self->core);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int64_t wait_ms(const struct broker *self, bool more, int64_t now_ms)
{
    if (more)
        return 0;
    int64_t wait = core_wait(self->core, now_ms);
    if (self->admin)
        wait = earlier(wait, admin_http_wait(self->admin));
    return self->retry ? earlier(wait, RETRY_MS) : wait;
}

/* --- settings --- */

static uint64_t random_number(void *arg)
{
    (void)arg;
    uint64_t number;
    /* Cannot fail for so few bytes once the system has started. */
    while (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        continue;
    return number;
}

static struct core_settings core_settings(struct broker *self, const struct rulebook *rules)
{
    struct core_settings settings = plan_core(&rules->plan, self->options);
    settings.sites = rules->sites;
    settings.policy = rules->policy;
    settings.random = settings.streams.random = random_number;
    settings.metrics = &self->metrics;
    return settings;
}

/* As the errors of the settings are told. */
static void explain(struct buffer *why, const struct rulebook_failure *failure)
{
    if (!failure->setting)
        buffer_put_text(why, "out of memory");
    else
        buffer_printf(why, "%s: [%s] %.*s", failure->where, failure->setting,
                      SPAN_ARG(buffer_span(&failure->why)));
}

static bool apply(void *arg, struct buffer *why)
{
    struct broker *self = arg;
    struct rulebook rules;
    struct rulebook_failure failure;
    if (!rulebook_make(&rules, self->options, &failure)) {
        explain(why, &failure);
        buffer_free(&failure.why);
        return false;
    }
    struct core_settings settings = core_settings(self, &rules);
    if (!core_configure(self->core, &settings, clock_monotonic_ms())) {
        buffer_put_text(why, "out of memory");
        rulebook_free(&rules);
        return false;
    }
    struct store_limits limits = plan_store(self->options);
    store_configure(self->store, &limits);
    bus_set_unanswered(self->bus, (uint32_t)self->options->broker.unanswered_requests);
    rulebook_free(&self->rules);
    self->rules = rules;
    return true;
}

static void on_signal(struct broker *self)
{
    struct signalfd_siginfo info;
    if (read(self->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        reload_run(self->reload, apply, self);
        settle(self, clock_monotonic_ms());
        return;
    }
    uint64_t seconds = self->options->broker.stop_seconds;
    self->stopping = true;
    log_info("stopping", LOG_TEXT("signal", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT"),
             LOG_UINT("stop_seconds", seconds));
    stop_guard_start((int64_t)seconds * 1000);
    core_stop(self->core);
}

/* Waits for work, does it. */
static void pass(struct broker *self, int64_t timeout_ms)
{
    int fds[BUS_FDS] = {[FD_SIGNAL] = self->stopping ? -1 : self->signals,
                        [FD_ADMIN] = self->admin ? admin_http_fd(self->admin) : -1,
                        [FD_STORE] = store_fd(self->store)};
    bool readable[BUS_FDS];
    bus_wait(self->bus, fds, readable, timeout_ms);
    self->more = turn(self, clock_monotonic_ms());
    if (self->admin && (readable[FD_ADMIN] || admin_http_wait(self->admin) == 0))
        admin_http_serve(self->admin);
    if (readable[FD_SIGNAL])
        on_signal(self);
}

static void run(struct broker *self)
{
    while (!self->stopping)
        pass(self, wait_ms(self, self->more, clock_monotonic_ms()));
}

/* --- the end --- */

struct ending {
    int64_t began_ms;
    int64_t settled_ms; /* -1: not yet */
    int64_t heard_ms;   /* the last request */
    uint64_t requests;
};

/* What was accepted is committed and answered. Then those who ask are told for a moment to ask the
 * next broker: what is left unread, its sender cannot know to be undone. */
static bool is_finished(struct broker *self, struct ending *ending, int64_t now_ms)
{
    if (self->metrics.requests_total != ending->requests)
        ending->heard_ms = now_ms;
    ending->requests = self->metrics.requests_total;
    if (ending->settled_ms < 0 && core_is_done(self->core))
        ending->settled_ms = now_ms;
    if (ending->settled_ms < 0)
        return false;
    bool is_quiet = !self->retry && now_ms - ending->heard_ms >= QUIET_MS;
    return is_quiet || now_ms - ending->settled_ms >= REPLIES_MS;
}

/* False: the store has not decided in time. */
static bool finish(struct broker *self)
{
    int64_t now_ms = clock_monotonic_ms();
    struct ending ending = {now_ms, -1, now_ms, self->metrics.requests_total};
    int64_t end_ms = now_ms + (int64_t)self->options->broker.stop_seconds * 1000 - CLOSE_MS;
    while (now_ms < end_ms && !is_finished(self, &ending, now_ms)) {
        pass(self, self->more ? 0 : STOP_TURN_MS);
        now_ms = clock_monotonic_ms();
    }
    bool is_settled = core_is_settled(self->core);
    log_write(is_settled ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "stopped",
              LOG_FIELDS(LOG_UINT("acknowledged", self->metrics.acknowledged_total),
                         LOG_BOOL("settled", is_settled),
                         LOG_UINT("ms", (uint64_t)(now_ms - ending.began_ms))));
    return is_settled;
}

/* --- admin pages --- */

static void measure(struct broker *self)
{
    struct store_figures figures;
    struct broker_metrics *metrics = &self->metrics;
    core_measure(self->core);
    store_measure(self->store, &figures);
    metrics->store_commits_total = figures.commits;
    metrics->store_committed_total = figures.committed;
    metrics->store_failed_total = figures.failed;
    metrics->store_failing = figures.is_failing;
    metrics->store_queue_bytes = figures.queued_bytes;
    metrics->store_file_bytes = figures.file_bytes;
    metrics->store_notes_lost_total = figures.notes_lost;
    metrics->store_damaged = figures.damaged;
    struct reload_figures reloads = reload_figures(self->reload);
    metrics->reloads_total = reloads.done;
    metrics->reloads_refused_total = reloads.refused;
    metrics->settings_read_seconds = reloads.read_s;
}

static void write_metrics(void *arg, struct buffer *to)
{
    struct broker *self = arg;
    measure(self);
    broker_metrics_write(to, &self->metrics);
}

static bool write_ready(void *arg, struct buffer *to)
{
    struct broker *self = arg;
    measure(self);
    const char *reason = self->stopping                ? "\"stopping\""
                         : self->metrics.store_failing ? "\"the store cannot be written to\""
                                                       : "";
    buffer_printf(to,
                  "{\"ready\":%s,\"reasons\":[%s],\"gateways\":%llu,\"gateways_silent\":%llu,"
                  "\"gateways_replaced\":%llu,\"workers_silent\":%llu,"
                  "\"streams\":%llu}",
                  *reason ? "false" : "true", reason, (unsigned long long)self->metrics.gateways,
                  (unsigned long long)self->metrics.gateways_silent,
                  (unsigned long long)self->metrics.gateways_replaced,
                  (unsigned long long)self->metrics.workers_silent,
                  (unsigned long long)self->metrics.streams);
    return !*reason;
}

static void write_status(void *arg, struct buffer *to)
{
    struct broker *self = arg;
    measure(self);
    core_write_status(self->core, resident_bytes(), to, clock_monotonic_ms());
}

/* --- start --- */

static int fail(int code, const char *setting, const char *value, struct span reason)
{
    log_error("start_failed", LOG_TEXT("setting", setting), LOG_TEXT("value", value),
              LOG_SPAN("reason", reason));
    return code;
}

static int fail_memory(void)
{
    return fail(EXIT_FAILURE, "", "", span_text("out of memory"));
}

static int start_rules(struct broker *self)
{
    struct rulebook_failure failure;
    int code = EXIT_SUCCESS;
    if (!rulebook_make(&self->rules, self->options, &failure))
        code = failure.setting
                   ? fail(EX_CONFIG, failure.setting, failure.where, buffer_span(&failure.why))
                   : fail_memory();
    buffer_free(&failure.why);
    return code;
}

static int start_store(struct broker *self)
{
    const struct options_store *options = &self->options->store;
    struct buffer why = {0};
    self->store =
        plan_is_durable(self->options)
            ? store_sqlite_new(options->path, options->queue_bytes, (int64_t)options->hang_ms, &why)
            : store_memory_new();
    int code = EXIT_SUCCESS;
    if (!self->store)
        code = why.size ? fail(EXIT_FAILURE, "store.path", options->path, buffer_span(&why))
                        : fail_memory();
    buffer_free(&why);
    return code;
}

static int restore(struct broker *self)
{
    struct store_loader loader;
    struct core_restored restored;
    int64_t began_ms = clock_monotonic_ms();
    core_restore(self->core, began_ms, clock_wall_ms(), &loader);
    if (!store_load(self->store, &loader))
        return fail(EXIT_FAILURE, "store.path", self->options->store.path,
                    span_text("not all that it has kept can be read"));
    core_end_restore(self->core, &restored);
    if (plan_is_durable(self->options))
        log_info("restored", LOG_UINT("streams", restored.streams),
                 LOG_UINT("messages", restored.messages), LOG_UINT("keys", restored.keys),
                 LOG_UINT("handlers", restored.handlers), LOG_UINT("left", restored.left),
                 LOG_UINT("ms", (uint64_t)(clock_monotonic_ms() - began_ms)));
    return EXIT_SUCCESS;
}

static int start_core(struct broker *self)
{
    struct core_settings settings = core_settings(self, &self->rules);
    self->core = core_new(&settings, clock_monotonic_ms());
    return self->core ? restore(self) : fail_memory();
}

static int start_bus(struct broker *self)
{
    const struct options_broker *options = &self->options->broker;
    struct bus_settings settings = {
        .control = {"broker.control", options->control},
        .publications = {"broker.publications", options->publications},
        .backends = self->rules.plan.backends,
        .backend_count = self->rules.plan.backend_count,
        .publications_queue = (int)options->publications_queue,
        .unanswered = (uint32_t)options->unanswered_requests,
        .metrics = &self->metrics,
        .sent = on_sent,
        .arg = self,
    };
    struct bus_failure failure;
    self->bus = bus_new(&settings, &failure);
    if (self->bus)
        return EXIT_SUCCESS;
    return fail(failure.bad_setting ? EX_CONFIG : EXIT_FAILURE, failure.endpoint.setting,
                failure.endpoint.address, span_text(failure.reason));
}

static int start_admin(struct broker *self)
{
    const struct options_broker *options = &self->options->broker;
    if (options->admin_port == 0)
        return EXIT_SUCCESS;
    struct admin_http_handlers handlers = {self, write_metrics, write_ready, write_status};
    struct buffer why = {0};
    self->admin =
        admin_http_new(options->admin_address, (uint16_t)options->admin_port, &handlers, &why);
    int code = EXIT_SUCCESS;
    if (!self->admin) {
        char value[80];
        snprintf(value, sizeof value, "%s:%u", options->admin_address,
                 (unsigned)options->admin_port);
        code = fail(EXIT_FAILURE, "broker.admin_port", value, buffer_span(&why));
    }
    buffer_free(&why);
    return code;
}

/* Before any thread is made, so that all inherit the mask. */
static int start_signals(struct broker *self)
{
    sigset_t set;
    signal(SIGXFSZ,
           SIG_IGN); /* a file that may not grow is an error of its write, like a full disk */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals >= 0 ? EXIT_SUCCESS
                              : fail(EXIT_FAILURE, "", "signalfd", span_text(strerror(errno)));
}

static int start(struct broker *self)
{
    int code = start_signals(self);
    if (!code)
        code = start_rules(self);
    if (!code)
        code = start_store(self);
    if (!code)
        code = start_core(self);
    if (!code)
        code = start_bus(self);
    if (!code)
        code = start_admin(self);
    return code;
}

static void stop(struct broker *self)
{
    admin_http_destroy(&self->admin);
    bus_destroy(&self->bus);
    store_destroy(&self->store);
    core_destroy(&self->core);
    rulebook_free(&self->rules);
    if (self->signals >= 0)
        close(self->signals);
}

/* Whoever waits for the store hears that the broker is gone; the store itself cannot be closed. */
static void give_up(struct broker *self)
{
    bus_destroy(&self->bus);
    _exit(EXIT_FAILURE);
}

int broker_run(const options_t *options, reload_t *reload)
{
    struct broker self = {.options = options, .reload = reload, .signals = -1};
    int code = start(&self);
    if (code == EXIT_SUCCESS) {
        tell_started(options, &self.rules.plan);
        run(&self);
        if (!finish(&self))
            give_up(&self);
    }
    stop(&self);
    return code;
}
