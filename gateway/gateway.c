#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "admin/admin_http.h"
#include "admin/reload.h"
#include "common/clock.h"
#include "common/log.h"
#include "gateway/broker_watch.h"
#include "gateway/bus_link.h"
#include "gateway/descriptors.h"
#include "gateway/drain.h"
#include "gateway/duty.h"
#include "gateway/heap.h"
#include "gateway/http_page.h"
#include "gateway/hub.h"
#include "gateway/io_metrics.h"
#include "gateway/plan.h"
#include "gateway/readiness.h"
#include "gateway/report.h"
#include "gateway/tell.h"
#include "gateway/ws.h"
#include "gateway/ws_listener.h"
#include "proto/json_text.h"

/* What one turn of the loop takes from the bus before clients get their turn. */
#define TURN_MESSAGES 2000
#define TURN_BYTES    262144
#define TURN_NS       2000000

#define DRAIN_SLICE_MS 50

/* The broker is told so often how this gateway is. */
#define REPORT_MS 1000

struct gateway {
    const options_t *options;
    uv_loop_t loop;
    uv_prepare_t before_sleep;
    uv_check_t after_io;
    uv_idle_t no_sleep;
    uv_timer_t tick;
    uv_timer_t rested;
    uv_timer_t drain_tick;
    uv_timer_t report;
    uv_timer_t admin_tick;
    uv_signal_t signals[3];
    uv_poll_t admin_poll;
    reload_t *reload;
    site_keys_t *keys;
    hub_t *hub;
    http_page_t *page; /* NULL: no demo */
    ws_t *ws;
    ws_listener_t *listener;
    bus_link_t *bus;
    admin_http_t *admin;
    struct io_metrics metrics;
    struct duty duty;
    uint64_t incarnation;
    int64_t started_ms;
    struct heap heap;
    int64_t tick_at_ms; /* when the tick timer will fire, INT64_MAX: it is not set */
    struct drain drain; /* while is_draining, or clients leave because the broker is lost */
    struct broker_watch watch;
    bool is_draining;
};

/* --- each turn --- */

static void run_effects(gateway_t *self, int64_t now_ms)
{
    struct hub_effect effect;
    for (;;) {
        hub_take_effect(self->hub, &effect);
        switch (effect.kind) {
        case HUB_NOTHING:
            if (!ws_settle(self->ws, now_ms))
                return;
            break;
        case HUB_LISTEN:
            bus_link_listen(self->bus, effect.bytes);
            break;
        case HUB_UNLISTEN:
            bus_link_unlisten(self->bus, effect.bytes);
            break;
        case HUB_SEND:
            bus_link_send(self->bus, effect.bytes);
            break;
        case HUB_WRITE:
            ws_write(self->ws, effect.session, now_ms);
            break;
        case HUB_CLOSE:
            ws_close(self->ws, &effect, now_ms);
            break;
        case HUB_RELAYED:
            ws_relayed(self->ws, &effect);
            break;
        }
    }
}

/* Once or twice a turn: so the hub follows a wall clock that is set. */
static int64_t now(gateway_t *self)
{
    int64_t now_ms = clock_monotonic_ms();
    hub_set_wall(self->hub, clock_wall_ms() - now_ms);
    return now_ms;
}

static void on_tick(uv_timer_t *timer)
{
    gateway_t *self = timer->data;
    int64_t now_ms = now(self);
    self->tick_at_ms = INT64_MAX;
    hub_tick(self->hub, now_ms);
    ws_tick(self->ws, now_ms);
}

/* A timer that fires too early does no harm, so it is only ever moved forward in time. */
static void set_tick(gateway_t *self, int64_t now_ms)
{
    int64_t hub_ms = hub_wait(self->hub, now_ms), ws_ms = ws_wait(self->ws, now_ms);
    int64_t wait_ms = hub_ms < 0 || (ws_ms >= 0 && ws_ms < hub_ms) ? ws_ms : hub_ms;
    if (wait_ms < 0 || now_ms + wait_ms >= self->tick_at_ms)
        return;
    self->tick_at_ms = now_ms + wait_ms;
    uv_timer_start(&self->tick, on_tick, (uint64_t)wait_ms, 0);
}

static void on_rested(uv_timer_t *timer)
{
    gateway_t *self = timer->data;
    bus_link_rest(self->bus, false);
}

static void rest(gateway_t *self, uint64_t began_ns)
{
    uint64_t rest_ms = (duty_rest(&self->duty, began_ns, uv_hrtime()) + 999999) / 1000000;
    if (rest_ms == 0)
        return;
    bus_link_rest(self->bus, true);
    uv_timer_start(&self->rested, on_rested, rest_ms, 0);
}

static void on_after_io(uv_check_t *handle)
{
    gateway_t *self = handle->data;
    int64_t now_ms = clock_monotonic_ms();
    uint64_t began_ns = uv_hrtime();
    struct bus_budget turn = {TURN_MESSAGES, TURN_BYTES, began_ns + TURN_NS};
    bool is_more = true;
    while (is_more) {
        is_more = bus_link_receive(self->bus, &turn, now_ms);
        run_effects(self, now_ms);
    }
    if (turn.messages < TURN_MESSAGES)
        rest(self, began_ns);
}

static void on_no_sleep(uv_idle_t *handle)
{
    (void)handle;
}

static void on_before_sleep(uv_prepare_t *handle)
{
    gateway_t *self = handle->data;
    int64_t now_ms = now(self);
    run_effects(self, now_ms);
    set_tick(self, now_ms);
    if (bus_link_is_busy(self->bus))
        uv_idle_start(&self->no_sleep, on_no_sleep);
    else
        uv_idle_stop(&self->no_sleep);
}

/* --- without a broker --- */

static void begin_drain(gateway_t *self)
{
    int64_t length_ms = (int64_t)self->options->gateway.drain_seconds * 1000;
    self->drain =
        (struct drain){clock_monotonic_ms(), length_ms, hub_session_open_count(self->hub)};
}

static void on_leave(uv_timer_t *timer)
{
    gateway_t *self = timer->data;
    int64_t now_ms = clock_monotonic_ms();
    hub_close_sessions(self->hub, CLIENT_CLOSE_FORCE_RECONNECT, drain_keep(&self->drain, now_ms),
                       now_ms);
}

static void leave_clients(gateway_t *self)
{
    begin_drain(self);
    log_warn("broker_missed", LOG_UINT("connections", self->drain.sessions),
             LOG_UINT("seconds", self->options->gateway.broker_lost_seconds));
    ws_set_broker_lost(self->ws, true);
    uv_timer_start(&self->drain_tick, on_leave, 0, DRAIN_SLICE_MS);
}

static void return_to_clients(gateway_t *self)
{
    log_info("broker_back", LOG_UINT("connections", hub_session_open_count(self->hub)));
    ws_set_broker_lost(self->ws, false);
    uv_timer_stop(&self->drain_tick);
}

static void watch_broker(gateway_t *self, int64_t now_ms)
{
    struct broker_seen seen = {.is_up = bus_link_is_up(self->bus),
                               .is_ready = hub_is_ready(self->hub, now_ms),
                               .canary_age_ms = hub_metrics(self->hub, now_ms)->canary_age_ms};
    enum broker_watch_event event;
    while ((event = broker_watch_look(&self->watch, &seen, now_ms)) != BROKER_WATCH_NOTHING) {
        if (event == BROKER_WATCH_SILENT)
            log_warn("broker_silent", LOG_UINT("ms", seen.canary_age_ms));
        else if (event == BROKER_WATCH_HEARD)
            log_info("broker_heard", LOG_UINT("ms", seen.canary_age_ms));
        else if (event == BROKER_WATCH_LEAVE && !self->is_draining)
            leave_clients(self);
        else if (event == BROKER_WATCH_RETURN && !self->is_draining)
            return_to_clients(self);
    }
}

static void watch_memory(gateway_t *self, int64_t now_ms)
{
    if (heap_look(&self->heap, hub_metrics(self->hub, now_ms)->connections_total, now_ms))
        ws_set_memory_short(self->ws, self->heap.watch.is_short);
}

static struct readiness readiness(const gateway_t *self, int64_t now_ms)
{
    return (struct readiness){.is_draining = self->is_draining,
                              .is_up = bus_link_is_up(self->bus),
                              .is_heard = hub_is_ready(self->hub, now_ms),
                              .is_memory_short = self->heap.watch.is_short,
                              .is_replaced = bus_link_is_replaced(self->bus),
                              .refusal = bus_link_refusal(self->bus)};
}

/* --- each second --- */

static void on_report(uv_timer_t *timer)
{
    gateway_t *self = timer->data;
    int64_t now_ms = clock_monotonic_ms();
    watch_memory(self, now_ms);
    watch_broker(self, now_ms);
    struct readiness seen = readiness(self, now_ms);
    struct report report = {.hub = hub_metrics(self->hub, now_ms),
                            .uptime_ms = now_ms - self->started_ms,
                            .memory_bytes = self->heap.resident_bytes,
                            .is_ready = readiness_is_ready(&seen),
                            .is_draining = self->is_draining};
    struct buffer frame = {0};
    if (report.hub->broker_up)
        report_write(&frame, &report);
    if (frame.size && !frame.failed)
        bus_link_send(self->bus, buffer_span(&frame));
    buffer_free(&frame);
}

/* --- the admin listener --- */

static void write_metrics(void *arg, struct buffer *to)
{
    gateway_t *self = arg;
    struct reload_figures reloads = reload_figures(self->reload);
    self->metrics.reloads_total = reloads.done;
    self->metrics.reloads_refused_total = reloads.refused;
    self->metrics.settings_read_seconds = reloads.read_s;
    self->metrics.memory_bytes = self->heap.resident_bytes;
    self->metrics.memory_used_bytes = self->heap.watch.used_bytes;
    self->metrics.memory_limit_bytes = self->heap.watch.limit_bytes;
    io_metrics_write(to, hub_metrics(self->hub, clock_monotonic_ms()), &self->metrics);
}

static bool write_ready(void *arg, struct buffer *to)
{
    gateway_t *self = arg;
    int64_t now_ms = clock_monotonic_ms();
    watch_broker(self, now_ms); /* green means that clients are let in */
    struct readiness seen = readiness(self, now_ms);
    bool is_ready = readiness_is_ready(&seen);
    buffer_printf(to, "{\"ready\":%s,\"reasons\":[", is_ready ? "true" : "false");
    readiness_write_reason(&seen, to);
    buffer_printf(to, "],\"broker\":\"%s\",\"canary_age_ms\":%llu,\"draining\":%s}",
                  bus_link_state(self->bus),
                  (unsigned long long)hub_metrics(self->hub, now_ms)->canary_age_ms,
                  self->is_draining ? "true" : "false");
    return is_ready;
}

static void serve_admin(gateway_t *self);

static void on_admin_tick(uv_timer_t *timer)
{
    serve_admin(timer->data);
}

static void on_admin_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    serve_admin(handle->data);
}

static void serve_admin(gateway_t *self)
{
    admin_http_serve(self->admin);
    int64_t wait_ms = admin_http_wait(self->admin);
    if (wait_ms >= 0)
        uv_timer_start(&self->admin_tick, on_admin_tick, (uint64_t)wait_ms, 0);
    else
        uv_timer_stop(&self->admin_tick);
}

/* --- settings --- */

static struct hub_settings hub_settings(const gateway_t *self, const site_keys_t *keys)
{
    struct hub_settings settings = plan_hub(self->options);
    settings.incarnation = self->incarnation;
    settings.keys = keys;
    settings.token_refused = tell_token_refused;
    return settings;
}

/* Those that this file keeps itself. */
static void set_times(gateway_t *self)
{
    self->duty.length_ns = self->options->gateway.gather_ms * 1000000;
    self->watch.limit_ms = (int64_t)self->options->gateway.broker_lost_seconds * 1000;
    heap_configure(&self->heap, self->options->gateway.memory_bytes);
}

static bool apply(void *arg, struct buffer *why)
{
    gateway_t *self = arg;
    struct ws_settings ws = plan_ws(self->options);
    site_keys_t *keys = site_keys_load(self->options, why);
    if (!keys)
        return false;
    if (!ws_configure(self->ws, &ws)) {
        buffer_put_text(why, "out of memory");
        site_keys_destroy(&keys);
        return false;
    }
    struct hub_settings hub = hub_settings(self, keys);
    hub_configure(self->hub, &hub, clock_monotonic_ms());
    if (self->listener)
        ws_listener_set_send_buffer(self->listener, (int)self->options->gateway.send_buffer_bytes);
    set_times(self);
    site_keys_compare(self->keys, keys, tell_key, NULL);
    site_keys_destroy(&self->keys);
    self->keys = keys;
    return true;
}

static void on_hangup(uv_signal_t *handle, int number)
{
    (void)number;
    gateway_t *self = handle->data;
    reload_run(self->reload, apply, self);
}

/* --- the end --- */

static void on_drain(uv_timer_t *timer)
{
    gateway_t *self = timer->data;
    const struct drain *drain = &self->drain;
    int64_t now_ms = clock_monotonic_ms();
    if (!drain_is_over(drain, hub_session_count(self->hub), self->metrics.sockets, now_ms)) {
        hub_close_sessions(self->hub, CLIENT_CLOSE_SHUTDOWN, drain_keep(drain, now_ms), now_ms);
        return;
    }
    log_info("drained", LOG_UINT("connections", drain->sessions),
             LOG_UINT("left", hub_session_count(self->hub)),
             LOG_UINT("ms", (uint64_t)(now_ms - drain->began_ms)));
    uv_stop(&self->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    gateway_t *self = handle->data;
    if (self->is_draining) {
        log_warn("stopping_at_once", LOG_UINT("left", hub_session_count(self->hub)));
        _exit(128 + number);
    }
    self->is_draining = true;
    begin_drain(self);
    log_info("stopping", LOG_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"),
             LOG_UINT("connections", self->drain.sessions),
             LOG_UINT("drain_seconds", self->options->gateway.drain_seconds));
    ws_drain(self->ws);
    ws_listener_drain(self->listener);
    ws_listener_destroy(&self->listener);
    uv_timer_start(&self->drain_tick, on_drain, 0, DRAIN_SLICE_MS);
}

void gateway_run(gateway_t *self)
{
    uv_run(&self->loop, UV_RUN_DEFAULT);
}

/* --- the start --- */

static bool start_handles(gateway_t *self)
{
    uv_loop_t *loop = &self->loop;
    uv_timer_init(loop, &self->tick);
    uv_timer_init(loop, &self->rested);
    uv_timer_init(loop, &self->drain_tick);
    uv_timer_init(loop, &self->report);
    uv_timer_init(loop, &self->admin_tick);
    uv_idle_init(loop, &self->no_sleep);
    uv_prepare_init(loop, &self->before_sleep);
    uv_check_init(loop, &self->after_io);
    self->tick.data = self->rested.data = self->drain_tick.data = self->report.data =
        self->admin_tick.data = self;
    self->no_sleep.data = self->before_sleep.data = self->after_io.data = self;
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (uv_signal_init(loop, &self->signals[i]) != 0)
            return false;
        self->signals[i].data = self;
        uv_signal_cb act = numbers[i] == SIGHUP ? on_hangup : on_signal;
        if (uv_signal_start(&self->signals[i], act, numbers[i]) != 0)
            return false;
    }
    return true;
}

static bool start_hub(gateway_t *self)
{
    struct hub_settings settings = hub_settings(self, self->keys);
    self->hub = hub_new(&settings, clock_monotonic_ms());
    return self->hub;
}

static bool start_page(gateway_t *self)
{
    const struct options_gateway *options = &self->options->gateway;
    if (!options->demo)
        return true;
    self->page = http_page_new(options->demo_root, options->demo_control, &self->metrics);
    return self->page;
}

static bool start_ws(gateway_t *self)
{
    struct ws_settings settings = plan_ws(self->options);
    plan_ws_sockets(&settings, descriptors_limit(plan_descriptors(self->options)));
    settings.page = self->page;
    self->ws = ws_new(&self->loop, self->hub, &settings, &self->metrics);
    return self->ws;
}

static bool start_bus(gateway_t *self)
{
    const struct options_gateway *options = &self->options->gateway;
    struct bus_link_settings settings = {options->control, options->publications, options->name,
                                         self->incarnation, clock_wall_ms()};
    struct buffer why = {0};
    self->bus = bus_link_new(&self->loop, self->hub, &settings, &self->metrics, &why);
    return self->bus ||
           tell_start_failed("[gateway] control, publications", options->control, &why);
}

static void on_accepted(void *arg, int fd)
{
    gateway_t *self = arg;
    ws_adopt(self->ws, fd);
}

static bool start_listener(gateway_t *self)
{
    const struct options_gateway *options = &self->options->gateway;
    struct ws_listener_settings settings = {
        .address = options->listen_address,
        .port = (uint16_t)options->listen_port,
        .reuse_port = options->reuse_port,
        .send_buffer = (int)options->send_buffer_bytes,
        .accepted = on_accepted,
        .arg = self,
    };
    struct buffer why = {0};
    self->listener = ws_listener_new(&self->loop, &settings, &self->metrics, &why);
    return self->listener || tell_listen_failed("[gateway] listen_address, listen_port",
                                                settings.address, settings.port, &why);
}

static bool start_admin(gateway_t *self)
{
    const struct options_gateway *options = &self->options->gateway;
    if (options->admin_port == 0)
        return true;
    struct admin_http_handlers handlers = {self, write_metrics, write_ready, NULL};
    struct buffer why = {0};
    self->admin =
        admin_http_new(options->admin_address, (uint16_t)options->admin_port, &handlers, &why);
    if (!self->admin)
        return tell_listen_failed("[gateway] admin_address, admin_port", options->admin_address,
                                  options->admin_port, &why);
    if (uv_poll_init(&self->loop, &self->admin_poll, admin_http_fd(self->admin)) != 0)
        return false;
    self->admin_poll.data = self;
    uv_poll_start(&self->admin_poll, UV_READABLE, on_admin_readable);
    return true;
}

static bool start(gateway_t *self)
{
    struct buffer why = {0};
    if (getrandom(&self->incarnation, sizeof self->incarnation, 0) !=
            (ssize_t)sizeof self->incarnation ||
        !start_handles(self) || !start_hub(self) || !start_page(self) || !start_ws(self)) {
        buffer_put_text(&why, "the event loop, libwebsockets or memory failed");
        return tell_start_failed("", "", &why);
    }
    if (!start_bus(self) || !start_admin(self) || !start_listener(self))
        return false;
    uv_prepare_start(&self->before_sleep, on_before_sleep);
    uv_check_start(&self->after_io, on_after_io);
    uv_timer_start(&self->report, on_report, 0, REPORT_MS);
    reload_release_signal();
    log_info("started", LOG_TEXT("version", MILLRACE_VERSION),
             LOG_TEXT("address", self->options->gateway.listen_address),
             LOG_UINT("port", ws_listener_port(self->listener)),
             LOG_TEXT("admin_address", self->options->gateway.admin_address),
             LOG_UINT("admin_port", self->options->gateway.admin_port));
    return true;
}

gateway_t *gateway_new(const options_t *options, reload_t *reload, site_keys_t **keys_p)
{
    gateway_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->options = options;
    self->reload = reload;
    self->keys = *keys_p;
    *keys_p = NULL;
    self->started_ms = clock_monotonic_ms();
    self->watch.ready_ms = self->started_ms;
    self->tick_at_ms = INT64_MAX;
    set_times(self);
    if (uv_loop_init(&self->loop) != 0) {
        site_keys_destroy(&self->keys);
        free(self);
        return NULL;
    }
    if (!start(self))
        gateway_destroy(&self);
    return self;
}

static void close_own_handle(uv_handle_t *handle, void *self)
{
    if (handle->data == self)
        uv_close(handle, NULL);
}

void gateway_destroy(gateway_t **self_p)
{
    gateway_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    uv_walk(&self->loop, close_own_handle, self);
    ws_listener_destroy(&self->listener);
    admin_http_destroy(&self->admin);
    bus_link_destroy(&self->bus);
    if (self->ws)
        ws_stop(self->ws);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    ws_destroy(&self->ws);
    http_page_destroy(&self->page);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    uv_loop_close(&self->loop);
    hub_destroy(&self->hub);
    site_keys_destroy(&self->keys);
    free(self);
}
