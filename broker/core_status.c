#include <inttypes.h>

#include "broker/core_priv.h"
#include "proto/bus_codec.h"

/* A gateway that has said nothing of itself for so long is silent. */
#define FIGURES_SILENT_MS 3000
/* The same by the broker's own seconds, of which a broker that hangs counts none. */
#define QUIET_SILENT 3
#define QUIET_HANGS  4
/* So long it may be before it is ready. */
#define UNREADY_MS 6000

/* --- what comes in --- */

void core_figures(core_t *core, party_t *gateway, struct span frame, int64_t now_ms)
{
    struct bus_figures in;
    struct figures figures;
    if (!bus_get_figures(frame, &in) || !figures_get(in.values, &figures)) {
        core->metrics->gateway_frames_malformed_total++;
        return;
    }
    gateway->earlier = gateway->figures;
    gateway->figures = figures;
    gateway->figures_ms = now_ms;
    if (gateway->quiet > QUIET_SILENT)
        core_tell_gateway(core, CORE_GATEWAY_HEARD, gateway);
    gateway->quiet = 0;
    gateway->figures_count += gateway->figures_count < 2;
}

static int64_t age_ms(const party_t *gateway, int64_t now_ms)
{
    return now_ms - (gateway->figures_count ? gateway->figures_ms : gateway->welcome_ms);
}

static bool is_silent(const party_t *gateway, int64_t now_ms)
{
    return age_ms(gateway, now_ms) >= FIGURES_SILENT_MS;
}

/* --- each second --- */

/* Does it do its work, so that it may have its name before an older one? To be ready takes a moment
 * after the start; one that is replaced is not ready because of that. */
static bool leads(const party_t *gateway, int64_t now_ms)
{
    const struct figures *figures = &gateway->figures;
    if (gateway->quiet > QUIET_HANGS)
        return false;
    if (gateway->figures_count == 0)
        return true;
    bool is_unfit =
        !figures->ready && !gateway->replaced && now_ms - gateway->welcome_ms >= UNREADY_MS;
    return !figures->draining && !is_unfit;
}

struct round {
    core_t *core;
    int64_t now_ms;
    uint64_t silent, workers;
};

static void count_silent(party_t *party, void *arg)
{
    struct round *round = arg;
    round->workers += party->is_silent && !LIST_EMPTY(&party->workers);
    if (party->endpoint != PARTY_GATEWAY || !party->welcome)
        return;
    round->silent += is_silent(party, round->now_ms);
    if (party->quiet++ == QUIET_SILENT)
        core_tell_gateway(round->core, CORE_GATEWAY_SILENT, party);
    bool does = leads(party, round->now_ms);
    party->unsettled = party->unsettled || does != party->leads;
    party->leads = does;
}

static void settle(party_t *party, void *arg)
{
    if (party->unsettled)
        core_settle_name(arg, party);
}

static double per_second(uint64_t before, uint64_t now, int64_t ms)
{
    return ms > 0 && now > before ? (double)(now - before) * 1000 / (double)ms : 0;
}

static void measure_rates(struct core_rates *rates, const struct broker_metrics *metrics,
                          int64_t now_ms)
{
    int64_t ms = now_ms - rates->at_ms;
    if (ms <= 0)
        return;
    *rates = (struct core_rates){
        .at_ms = now_ms,
        .acknowledged_total = metrics->acknowledged_total,
        .published_total = metrics->published_total,
        .acknowledged = per_second(rates->acknowledged_total, metrics->acknowledged_total, ms),
        .published = per_second(rates->published_total, metrics->published_total, ms),
    };
}

void core_status_second(core_t *core, int64_t now_ms)
{
    struct round round = {.core = core, .now_ms = now_ms};
    measure_rates(&core->rates, core->metrics, now_ms);
    parties_visit(core->parties, count_silent, &round);
    parties_visit(core->parties, settle, core);
    core->metrics->gateways_silent = round.silent;
    core->metrics->workers_silent = round.workers;
}

/* --- what goes out --- */

/* Names are peers' bytes and end up on terminals: what is no printable ASCII is replaced. */
static void put_name(struct buffer *to, struct span name)
{
    buffer_put_byte(to, '"');
    for (size_t i = 0; i < name.size; i++) {
        uint8_t byte = name.data[i];
        if (byte < 0x20 || byte > 0x7e)
            buffer_put_text(to, "\\ufffd");
        else if (byte == '"' || byte == '\\')
            buffer_printf(to, "\\%c", byte);
        else
            buffer_put_byte(to, byte);
    }
    buffer_put_byte(to, '"');
}

static const char *state_of(const party_t *gateway, int64_t now_ms)
{
    if (is_silent(gateway, now_ms))
        return "silent";
    if (gateway->figures_count == 0)
        return "starting";
    if (gateway->figures.draining)
        return "draining";
    if (gateway->replaced)
        return "replaced";
    return gateway->figures.ready ? "ok" : "unready";
}

static void put_figures(struct buffer *to, const struct figures *figures)
{
    for (size_t i = 0; i < FIGURES_COUNT; i++) {
        const struct figure_description *at = &figure_descriptions[i];
        uint64_t value = figures_value(figures, i);
        buffer_printf(to, "%s\"%s\":", i ? "," : "", at->name);
        if (at->kind == FIGURE_FLAG)
            buffer_put_text(to, value ? "true" : "false");
        else
            buffer_put_u64_text(to, value);
    }
}

/* By the gateway's own clock: how long its frames were under way does not matter. */
static void put_rates(struct buffer *to, const party_t *gateway)
{
    const struct figures *now = &gateway->figures, *before = &gateway->earlier;
    int64_t ms = 0;
    if (gateway->figures_count == 2 && now->uptime_ms > before->uptime_ms)
        ms = (int64_t)(now->uptime_ms - before->uptime_ms);
    const char *comma = "";
    for (size_t i = 0; i < FIGURES_COUNT; i++) {
        if (figure_descriptions[i].kind != FIGURE_TOTAL)
            continue;
        double rate = per_second(figures_value(before, i), figures_value(now, i), ms);
        buffer_printf(to, "%s\"%s\":%.1f", comma, figure_descriptions[i].name, rate);
        comma = ",";
    }
}

struct listing {
    struct buffer *to;
    int64_t now_ms;
    size_t count, unlisted;
};

static void put_gateway(party_t *party, void *arg)
{
    struct listing *listing = arg;
    struct buffer *to = listing->to;
    if (party->endpoint != PARTY_GATEWAY || !party->welcome)
        return;
    if (listing->count == CORE_STATUS_GATEWAYS) {
        listing->unlisted++;
        return;
    }
    buffer_put_text(to, listing->count++ ? ",{\"name\":" : "{\"name\":");
    put_name(to, span_of(party->name, party->name_size));
    buffer_printf(to, ",\"incarnation\":\"%016" PRIx64 "\",\"state\":\"%s\",\"age_ms\":%" PRId64,
                  party->incarnation, state_of(party, listing->now_ms),
                  age_ms(party, listing->now_ms));
    if (party->figures_count == 0) {
        buffer_put_text(to, ",\"figures\":null,\"rates\":null}");
        return;
    }
    buffer_put_text(to, ",\"figures\":{");
    put_figures(to, &party->figures);
    buffer_put_text(to, "},\"rates\":{");
    put_rates(to, party);
    buffer_put_text(to, "}}");
}

static void put_metrics(struct buffer *to, const struct broker_metrics *metrics)
{
    const char *comma = "";
#define METRIC(name, type, help)                                                                   \
    buffer_printf(to, "%s\"" #name "\":%" PRIu64, comma, metrics->name);                           \
    comma = ",";
#include "broker/metrics.def"
#undef METRIC
}

void core_write_status(core_t *self, uint64_t memory_bytes, struct buffer *to, int64_t now_ms)
{
    core_measure(self);
    buffer_put_text(to, "{\"node\":");
    put_name(to, span_text(self->node));
    buffer_printf(
        to,
        ",\"version\":\"" MILLRACE_VERSION "\",\"uptime_ms\":%" PRId64 ",\"memory_bytes\":%" PRIu64
        ",\"rates\":{\"acknowledged_total\":%.1f,\"published_total\":%.1f},\"broker\":{",
        now_ms - self->started_ms, memory_bytes, self->rates.acknowledged, self->rates.published);
    put_metrics(to, self->metrics);
    buffer_put_text(to, "},\"gateways\":[");
    struct listing listing = {.to = to, .now_ms = now_ms};
    parties_visit(self->parties, put_gateway, &listing);
    buffer_printf(to, "],\"gateways_unlisted\":%zu}", listing.unlisted);
}
