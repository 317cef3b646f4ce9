#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "unit.h"

#define EPOCH_2 "0000000000000002"
#define EPOCH_3 "0000000000000003"

/* --- refusals --- */

START_TEST(wrong_requests_are_answered_with_their_rule)
{
    world_request(0, "p", "{'op':'dance','id':1}");
    expect_refusal("p", "1", STATUS_BAD_INPUT, "dance");
    world_request(0, "p", "{'op':'publish','id':'x','channel':'a b','payload':{}}");
    expect_refusal("p", "'x'", STATUS_BAD_INPUT, "channel");
    world_request(0, "p", "{'op':'publish','id':1,'channel':'a','payload':[]}");
    expect_refusal("p", "1", STATUS_BAD_INPUT, "payload");
    world_request_bytes(0, "p", span_text("\x81"));
    expect_refusal("p", "null", STATUS_BAD_INPUT, "request");
    expect_nothing();
    ck_assert_uint_eq(world_metrics.refused_bad_input_total, 4);
}
END_TEST

START_TEST(a_payload_with_a_value_that_json_lacks_is_refused_by_its_place)
{
    struct buffer request = {0};
    wire_put_map(&request, 4);
    wire_put_word(&request, "op");
    wire_put_word(&request, "publish");
    wire_put_word(&request, "id");
    wire_put_uint(&request, 1);
    wire_put_word(&request, "channel");
    wire_put_word(&request, "a");
    wire_put_word(&request, "payload");
    wire_put_map(&request, 1);
    wire_put_word(&request, "x");
    wire_put_double(&request, __builtin_nan(""));
    world_request_bytes(0, "p", buffer_span(&request));
    expect_refusal("p", "1", STATUS_BAD_INPUT, "payload.x");
    buffer_free(&request);
}
END_TEST

static void nested(char *to, int depth)
{
    strcpy(to, "{'op':'publish','id':1,'channel':'a','payload':");
    for (int i = 1; i < depth; i++)
        strcat(to, "{'a':");
    strcat(to, "{}");
    for (int i = 0; i < depth; i++)
        strcat(to, "}");
}

START_TEST(a_payload_is_at_most_16_deep)
{
    char request[400];
    nested(request, 16);
    world_request(0, "p", request);
    expect_append("a", NULL, 2, 1, NULL);
    nested(request, 17);
    world_request(0, "p", request);
    expect_refusal("p", "1", STATUS_BAD_INPUT, "payload");
}
END_TEST

START_TEST(the_limit_counts_the_json_text)
{
    char text[300] = "", request[400];
    memset(text, 'x', 192); /* {"t":""} are 8 more: exactly the limit */
    snprintf(request, sizeof request, "{'op':'publish','id':1,'channel':'a','payload':{'t':'%s'}}",
             text);
    world_request(0, "p", request);
    expect_append("a", NULL, 2, 1, NULL);
    text[192] = 'x';
    snprintf(request, sizeof request, "{'op':'publish','id':1,'channel':'a','payload':{'t':'%s'}}",
             text);
    world_request(0, "p", request);
    expect_refusal("p", "1", STATUS_TOO_LARGE, "201 bytes as JSON text, the limit is 200");
    /* Fewer bytes in msgpack, more as JSON. */
    text[0] = '\0';
    for (int i = 0; i < 40; i++)
        strcat(text, "\\n");
    strcat(text, "\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001"
                 "\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001\\u0001");
    snprintf(request, sizeof request, "{'op':'publish','id':1,'channel':'a','payload':{'t':'%s'}}",
             text);
    world_request(0, "p", request);
    expect_refusal("p", "1", STATUS_TOO_LARGE, "208 bytes");
}
END_TEST

START_TEST(rights_are_those_of_the_endpoint)
{
    world_request(2, "p", "{'op':'publish','id':1,'channel':'a','payload':{}}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "publish");
    world_request(2, "p", "{'op':'history','id':1,'channel':'a'}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "history");
    world_request(0, "p", "{'op':'publish','id':1,'channel':'a','payload':{},'site':'acme'}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "site");
    world_request(1, "p", "{'op':'publish','id':1,'channel':'a','payload':{},'view':'preview'}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "view");
    world_request(0, "p", "{'op':'publish','id':1,'channel':'a','payload':{},'app':'chess'}");
    expect_refusal("p", "1", STATUS_FORBIDDEN, "app");
    ck_assert_uint_eq(world_metrics.refused_forbidden_total, 5);
    expect_nothing();
}
END_TEST

START_TEST(sites_apps_and_views_are_streams_of_their_own)
{
    static const struct {
        size_t endpoint;
        const char *more;
    } places[] = {{0, ""}, {0, ",'view':'preview'"}, {1, ""}, {1, ",'site':'acme','app':'chess'"}};
    for (size_t i = 0; i < 4; i++) {
        char request[200], reply[200];
        snprintf(request, sizeof request, "{'op':'publish','id':1,'channel':'a','payload':{}%s}",
                 places[i].more);
        world_request(places[i].endpoint, "p", request);
        struct core_effect effect;
        core_take_effect(world, &effect);
        ck_assert_int_eq(effect.kind, CORE_APPEND);
        stored(effect.append.ticket, STORE_COMMITTED);
        snprintf(reply, sizeof reply, "{'id':1,'ok':true,'epoch':'%016zx','offset':1}", i + 2);
        expect_reply("p", reply);
    }
}
END_TEST

START_TEST(beyond_the_headers_503)
{
    world_settings.streams.headers = 1;
    world_start();
    world_request(0, "p", "{'op':'publish','id':1,'channel':'a','payload':{}}");
    expect_append("a", NULL, 2, 1, NULL);
    world_request(0, "p", "{'op':'publish','id':2,'channel':'b','payload':{},'key':'k'}");
    expect_refusal("p", "2", STATUS_UNAVAILABLE, "addresses");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.idempotency_keys, 0);
}
END_TEST

/* --- unanswered requests --- */

START_TEST(requests_without_an_id_get_no_reply)
{
    world_request(0, "p", "{'op':'ping'}");
    world_request(0, "p", "{'op':'history','channel':'a'}");
    world_request(0, "p", "{'op':'publish','channel':'a b','payload':{}}");
    world_request(0, "p", "{'op':'publish','channel':'a','payload':{}}");
    stored(expect_append("a", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_nothing();
    for (int i = 0; i < 10; i++) /* none of them is owed anything */
        world_request(0, "p", "{'op':'ping'}");
    world_request(0, "p", "{'op':'ping','id':1}");
    expect_pong("p", "1");
}
END_TEST

START_TEST(beyond_the_unanswered_requests_429)
{
    for (int i = 1; i <= 4; i++)
        post(i, i);
    post(5, 5);
    for (int i = 1; i <= 4; i++)
        expect_append("chat", NULL, 2, (uint64_t)i, NULL);
    expect_refusal("p", "5", STATUS_TOO_MANY, "more than 4 unanswered");
    world_request(0, "q", "{'op':'ping','id':1}"); /* others are not affected */
    expect_pong("q", "1");
    world_request(1, "p", "{'op':'ping','id':1}"); /* the same id elsewhere is somebody else */
    expect_pong("p", "1");
    world_request(0, "p", "{'op':'publish','channel':'a','payload':{}}"); /* no id: dropped */
    expect_nothing();
    stored(0, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    world_request(0, "p", "{'op':'ping','id':6}");
    expect_pong("p", "6");
    ck_assert_uint_eq(world_metrics.refused_too_many_total, 2);
}
END_TEST

START_TEST(a_request_is_answered_when_its_reply_was_handed_over)
{
    party_t *parties[4];
    for (int i = 0; i < 4; i++) {
        world_request(0, "p", "{'op':'ping','id':1}");
        parties[i] = expect_unsent_reply("p", "{'id':1,'ok':true,'instance':'0000000000000001'}");
    }
    world_request(0, "p", "{'op':'ping','id':2}");
    expect_refusal("p", "2", STATUS_TOO_MANY, "4");
    core_sent(world, parties[0], CORE_DROPPED);
    ck_assert_uint_eq(world_metrics.replies_dropped_total, 1);
    world_request(0, "p", "{'op':'ping','id':3}");
    expect_pong("p", "3");
    for (int i = 1; i < 4; i++)
        core_sent(world, parties[i], i == 1 ? CORE_GONE : CORE_SENT);
    ck_assert_uint_eq(world_metrics.replies_dropped_total, 1);
}
END_TEST

START_TEST(silent_backends_are_forgotten_but_not_their_appends)
{
    post(1, 1);
    world_request(0, "q", "{'op':'ping','id':1}");
    uint64_t ticket = expect_append("chat", NULL, 2, 1, NULL);
    expect_pong("q", "1");
    core_measure(world);
    ck_assert_uint_eq(world_metrics.backends, 2);
    for (int i = 0; i < 3; i++) {
        world_now += 15000;
        core_tick(world, world_now);
        drop_effects();
    }
    core_measure(world);
    ck_assert_uint_eq(world_metrics.backends, 1);
    stored(ticket, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
}
END_TEST

/* --- publish_many --- */

START_TEST(many_are_answered_once_when_all_are_decided)
{
    world_request(0, "p",
                  "{'op':'publish_many','id':7,'items':[{'channel':'a','payload':{}},"
                  "{'channel':'b','payload':{}},{'channel':'a','payload':{}}]}");
    uint64_t a1 = expect_append("a", NULL, 2, 1, NULL);
    uint64_t b1 = expect_append("b", NULL, 3, 1, NULL);
    uint64_t a2 = expect_append("a", NULL, 2, 2, NULL);
    stored(a1, STORE_COMMITTED);
    stored(b1, STORE_FAILED);
    expect_nothing();
    stored(a2, STORE_COMMITTED);
    expect_reply("p", "{'id':7,'ok':true,'results':[{'ok':true,'epoch':'" EPOCH_2 "','offset':1},"
                      "{'ok':false,'error':{'status':503,'code':'unavailable','message':"
                      "'the store could not keep it'}},"
                      "{'ok':true,'epoch':'" EPOCH_2 "','offset':2}]}");
    ck_assert_uint_eq(world_metrics.publishes_total, 3);
    ck_assert_uint_eq(world_metrics.acknowledged_total, 2);
}
END_TEST

START_TEST(each_of_many_stands_for_itself)
{
    world_request(0, "p",
                  "{'op':'publish_many','id':7,'items':[5,{'channel':'a','payload':{}},"
                  "{'channel':'a','payload':{},'site':'x'}]}");
    stored(expect_append("a", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_reply("p", "{'id':7,'ok':true,'results':[{'ok':false,'error':{'status':400,'code':"
                      "'bad_input','message':'items[0]: must be a map'}},"
                      "{'ok':true,'epoch':'" EPOCH_2 "','offset':1},"
                      "{'ok':false,'error':{'status':403,'code':'forbidden','message':"
                      "'site: this endpoint acts for \\'default\\' only'}}]}");
}
END_TEST

START_TEST(none_of_many_is_answered_at_once)
{
    world_request(0, "p", "{'op':'publish_many','id':7,'items':[]}");
    expect_reply("p", "{'id':7,'ok':true,'results':[]}");
    world_request(0, "p", "{'op':'publish_many','items':[{'channel':'a','payload':{}}]}");
    stored(expect_append("a", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_nothing();
}
END_TEST

/* --- history and ping --- */

START_TEST(history_gives_what_is_kept)
{
    world_publish("chat", 3);
    world_request(0, "p", "{'op':'history','id':1,'channel':'chat'}");
    expect_reply("p", "{'id':1,'ok':true,'epoch':'" EPOCH_2 "','offset':3,'publications':[]}");
    world_request(0, "p", "{'op':'history','id':1,'channel':'chat','limit':2}");
    expect_reply("p", "{'id':1,'ok':true,'epoch':'" EPOCH_2 "','offset':3,'publications':["
                      "{'offset':1,'payload':{'n':1}},{'offset':2,'payload':{'n':2}}]}");
    world_request(0, "p",
                  "{'op':'history','id':1,'channel':'chat','limit':9,'since':{'epoch':'" EPOCH_2
                  "','offset':2}}");
    expect_reply("p", "{'id':1,'ok':true,'epoch':'" EPOCH_2 "','offset':3,'publications':["
                      "{'offset':3,'payload':{'n':3}}]}");
    world_request(0, "p",
                  "{'op':'history','id':1,'channel':'chat','limit':9,'since':{'epoch':'" EPOCH_3
                  "','offset':2}}");
    expect_refusal("p", "1", STATUS_CONFLICT, "epoch");
}
END_TEST

START_TEST(history_is_cut_at_300)
{
    world_publish("chat", 310);
    world_request(0, "p", "{'op':'history','id':1,'channel':'chat','limit':100000}");
    struct core_effect effect;
    core_take_effect(world, &effect);
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    size_t count = 0;
    for (size_t i = 0; i + 7 < effect.bytes.size; i++)
        count += memcmp(effect.bytes.data + i, "payload", 7) == 0;
    ck_assert_uint_eq(count, 300);
    core_sent(world, effect.to, CORE_SENT);
}
END_TEST

START_TEST(history_tells_publishers_and_not_what_is_too_old)
{
    world_request(0, "p", "{'op':'publish','channel':'chat','payload':{'n':1},'publisher':'u'}");
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    world_request(0, "p", "{'op':'history','id':1,'channel':'chat','limit':2}");
    expect_reply("p", "{'id':1,'ok':true,'epoch':'" EPOCH_2 "','offset':1,'publications':["
                      "{'offset':1,'payload':{'n':1},'publisher':{'id':'u'}}]}");
    world_now += 300000;
    world_request(0, "p", "{'op':'history','id':1,'channel':'chat','limit':2}");
    expect_reply("p", "{'id':1,'ok':true,'epoch':'" EPOCH_2 "','offset':1,'publications':[]}");
}
END_TEST

START_TEST(ping_is_answered)
{
    world_request(0, "p", "{'op':'ping','id':'abc'}");
    expect_pong("p", "'abc'");
}
END_TEST

/* A request may be as large as it wants inside its limits; effects do not grow for ever. */
START_TEST(effects_start_again_once_they_are_taken)
{
    for (int i = 0; i < 1000; i++) {
        post(1, i);
        stored(expect_append("chat", NULL, 2, (uint64_t)i + 1, NULL), STORE_COMMITTED);
        expect_ok(1, EPOCH_2, i + 1);
        expect_nothing();
        ck_assert_uint_eq(core_effect_bytes(world), 0);
    }
}
END_TEST

/* --- what is too late --- */

/* A ping that was sent at this time of the backend's clock, with so much time. */
static void ping_at(int id, int at, int within)
{
    char request[100];
    snprintf(request, sizeof request, "{'op':'ping','id':%d,'at':%d,'within':%d}", id, at, within);
    world_request(0, "p", request);
}

static void expect_pong_to(int id)
{
    char text[8];
    snprintf(text, sizeof text, "%d", id);
    expect_pong("p", text);
}

static void tick_for(int ms)
{
    for (int i = 0; i < ms; i += 100) {
        world_now += 100;
        core_tick(world, world_now);
        drop_effects();
    }
}

START_TEST(a_broker_that_hung_does_not_do_what_nobody_waits_for)
{
    ping_at(1, 500, 5000);
    expect_pong_to(1);
    world_now += 6000; /* it hangs; these were sent 100 and 1500 ms after the first one */
    ping_at(2, 600, 5000);
    expect_refusal("p", "2", STATUS_EXPIRED, "hung");
    ping_at(3, 2000, 5000);
    expect_pong_to(3);
    core_tick(world, world_now);
    drop_effects();
    tick_for(1000); /* it has still much to read */
    ping_at(4, 700, 5000);
    expect_refusal("p", "4", STATUS_EXPIRED, "hung");
    ck_assert_uint_eq(world_metrics.refused_expired_total, 2);
}
END_TEST

START_TEST(without_a_hang_a_clock_that_stood_still_does_no_harm)
{
    ping_at(1, 500, 5000);
    expect_pong_to(1);
    tick_for(20000);
    ping_at(2, 600, 5000);
    expect_pong_to(2);
}
END_TEST

START_TEST(who_says_no_time_is_never_too_late)
{
    world_request(0, "p", "{'op':'ping','id':1,'at':5}");
    expect_pong_to(1);
    world_now += 60000;
    world_request(0, "p", "{'op':'ping','id':2,'at':6}");
    expect_pong_to(2);
    world_request(0, "p", "{'op':'ping','id':3,'within':1}");
    expect_pong_to(3);
    world_request(0, "p", "{'op':'ping','id':4,'at':-1}");
    expect_refusal("p", "4", STATUS_BAD_INPUT, "at");
    world_request(0, "p", "{'op':'ping','id':5,'within':'soon'}");
    expect_refusal("p", "5", STATUS_BAD_INPUT, "within");
}
END_TEST

/* --- the end --- */

START_TEST(a_broker_that_stops_finishes_what_it_has_and_refuses_the_rest)
{
    post(1, 1);
    uint64_t ticket = expect_append("chat", "", 2, 1, "\"data\":{\"n\":1}");
    world_request(0, "p", "{'op':'handle','id':2,'handlers':[{'channel':'chat'}]}");
    uint64_t registration = expect_registration(false);
    core_stop(world);
    post(3, 3);
    expect_reply("p", "{'id':3,'ok':false,'error':{'status':503,'code':'stopping',"
                      "'message':'the broker is stopping; nothing of this request was done'}}");
    world_request(0, "p", "{'op':'publish_many','items':[]}"); /* nobody waits for it */
    expect_nothing();
    world_request(0, "p", "{'op':'dance','id':4}");
    expect_refusal("p", "4", STATUS_BAD_INPUT, "dance");
    world_request(0, "p", "{'op':'ping','id':5}");
    expect_pong("p", "5");
    ck_assert(!core_is_settled(world));
    stored(ticket, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1); /* nobody listens to it */
    ck_assert(!core_is_settled(world));
    registered(registration, STORE_COMMITTED);
    expect_reply("p", "{'id':2,'ok':true}");
    ck_assert(core_is_settled(world));
    ck_assert_uint_eq(world_metrics.refused_stopping_total, 2);
}
END_TEST

START_TEST(a_broker_that_stops_waits_for_its_revocations)
{
    world_gateway("g", 7);
    world_request(0, "p", "{'op':'revoke','id':1,'channel':'chat','mode':'deny'}");
    (void)take_frame("g");
    core_stop(world);
    expect_nothing();
    ck_assert(!core_is_done(world));
    world_advance(1000);
    drop_effects();
    ck_assert(core_is_done(world));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_requests");
    TCase *tests = tcase_create("core_requests");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, wrong_requests_are_answered_with_their_rule);
    tcase_add_test(tests, a_payload_with_a_value_that_json_lacks_is_refused_by_its_place);
    tcase_add_test(tests, a_payload_is_at_most_16_deep);
    tcase_add_test(tests, the_limit_counts_the_json_text);
    tcase_add_test(tests, rights_are_those_of_the_endpoint);
    tcase_add_test(tests, sites_apps_and_views_are_streams_of_their_own);
    tcase_add_test(tests, beyond_the_headers_503);
    tcase_add_test(tests, requests_without_an_id_get_no_reply);
    tcase_add_test(tests, beyond_the_unanswered_requests_429);
    tcase_add_test(tests, a_request_is_answered_when_its_reply_was_handed_over);
    tcase_add_test(tests, silent_backends_are_forgotten_but_not_their_appends);
    tcase_add_test(tests, many_are_answered_once_when_all_are_decided);
    tcase_add_test(tests, each_of_many_stands_for_itself);
    tcase_add_test(tests, none_of_many_is_answered_at_once);
    tcase_add_test(tests, history_gives_what_is_kept);
    tcase_add_test(tests, history_is_cut_at_300);
    tcase_add_test(tests, history_tells_publishers_and_not_what_is_too_old);
    tcase_add_test(tests, ping_is_answered);
    tcase_add_test(tests, effects_start_again_once_they_are_taken);
    tcase_add_test(tests, a_broker_that_hung_does_not_do_what_nobody_waits_for);
    tcase_add_test(tests, without_a_hang_a_clock_that_stood_still_does_no_harm);
    tcase_add_test(tests, who_says_no_time_is_never_too_late);
    tcase_add_test(tests, a_broker_that_stops_finishes_what_it_has_and_refuses_the_rest);
    tcase_add_test(tests, a_broker_that_stops_waits_for_its_revocations);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
