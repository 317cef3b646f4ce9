#include "client_world.h"
#include "gateway/hub_priv.h"
#include "token_maker.h"
#include "unit.h"

/* Connections with tokens: who they are, which addresses they reach, and when they end. */

#define NOW    INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"kid\":\"a\"}"

static site_keys_t *keys;
static unsigned refused;
static enum identity_rule refused_rule;

static void on_refused(void *arg, enum identity_rule rule, const struct site_key *key)
{
    ck_assert_ptr_eq(arg, &world);
    ck_assert_ptr_nonnull(key);
    refused++;
    refused_rule = rule;
}

static void set_wall(int64_t wall_s)
{
    hub_set_wall(world.hub, wall_s * 1000 - world.now_ms);
}

static void setup(void)
{
    keys = token_two_sites();
    refused = 0;
    struct hub_settings settings = world_settings();
    settings.keys = keys;
    settings.token_refused = on_refused;
    settings.token_refused_arg = &world;
    world_open(&world, &settings);
    set_wall(NOW);
}

static void teardown(void)
{
    world_close(&world);
    site_keys_destroy(&keys);
}

static void open_session(void)
{
    if (world.clients[0].session)
        world_disconnect(&world, 0);
    world.clients[0].has_been_closed = false;
    world.clients[0].session = hub_session_opened(world.hub, (void *)0, world.now_ms);
}

static void send_token(const char *method, const char *header, const char *claims)
{
    char *token =
        token_make(header, claims, strstr(header, "\"b\"") ? TOKEN_OTHER_SECRET : TOKEN_SECRET);
    world_send(&world, 0, "{\"id\":1,\"%s\":{\"token\":\"%s\"}}", method, token);
    free(token);
}

static void connect_with(const char *claims)
{
    open_session();
    send_token("connect", HEADER, claims);
}

static void expect_without(const char *part)
{
    char *text = world_next(&world, 0);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, part) == NULL, "%s came, expected no %s", text, part);
    free(text);
}

static void expect_open(void)
{
    ck_assert(!world.clients[0].has_been_closed);
}

static void expect_refused(enum identity_rule rule)
{
    ck_assert_uint_eq(refused, 1);
    ck_assert_int_eq(refused_rule, rule);
    refused = 0;
}

/* Lets time pass and answers pings. */
static void live(int64_t ms)
{
    for (int64_t end = world.now_ms + ms;
         world.now_ms < end && !world.clients[0].has_been_closed;) {
        int64_t step = end - world.now_ms < 1000 ? end - world.now_ms : 1000;
        world_advance(&world, step);
        char *text = world_next(&world, 0);
        if (text && !world.clients[0].has_been_closed)
            world_send(&world, 0, "{}");
        free(text);
    }
}

#define MEMBER "\"type\":\"MEMBER\",\"sub\":\"u1\""

START_TEST(a_token_says_who_the_session_is)
{
    connect_with("{\"exp\":1800000100," MEMBER ",\"app\":\"shop\",\"view\":\"preview\"}");
    char *reply = world_next(&world, 0), id[SESSION_CLIENT_ID_BYTES + 1];
    session_t *session = world.clients[0].session;
    struct span client = session_client_id(session, id);
    ck_assert_uint_eq(client.size, SESSION_CLIENT_ID_BYTES);
    ck_assert_ptr_nonnull(strstr(reply, id));
    ck_assert_ptr_nonnull(strstr(reply, "\"expires\":true,\"ttl\":100"));
    free(reply);
    ck_assert(span_is(session_subscriber_id(session), "u1"));
    struct address address;
    ck_assert_int_eq(session_address(session, span_text("chat:r"), &address), ADDRESS_OK);
    ck_assert_int_eq(address.view, VIEW_PREVIEW);
    ck_assert(span_is(address.site, "acme"));
    ck_assert(span_is(address.app, "shop"));
    ck_assert_uint_eq(refused, 0);
}
END_TEST

START_TEST(a_token_without_end_expires_never)
{
    open_session();
    send_token("connect", "{\"alg\":\"HS256\",\"kid\":\"b\"}",
               "{\"iss\":\"https://issuer\",\"aud\":\"millrace\"," MEMBER "}");
    expect_without("expires");
    live(1000000);
    expect_open();
    ck_assert(span_is(session_subscriber(world.clients[0].session)->site, "other"));
}
END_TEST

START_TEST(bad_tokens_close_and_expired_ones_do_not)
{
    connect_with("{\"exp\":1800000100,\"type\":\"BOSS\"}");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN);
    expect_refused(IDENTITY_TYPE);
    connect_with("{\"exp\":1799999900," MEMBER "}");
    expect("\"error\":{\"code\":109,\"message\":\"token expired\"}");
    expect_refused(IDENTITY_EXPIRED);
    expect_open();
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    expect_closed(CLIENT_CLOSE_BAD_REQUEST);
    connect_with("{\"exp\":1800009900,\"nbf\":1800009000," MEMBER "}");
    expect("\"error\":{\"code\":109,\"message\":\"token is not valid yet\"}");
    open_session();
    send_token("connect", "{\"alg\":\"HS256\",\"kid\":\"b\"}",
               "{\"iss\":\"https://issuer\",\"aud\":\"millrace\",\"type\":\"VISITOR\"}");
    expect("\"error\":{\"code\":101");
}
END_TEST

START_TEST(a_connection_ends_some_time_after_its_token)
{
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("\"ttl\":100");
    live(124900);
    expect_open();
    live(1000);
    expect_closed(CLIENT_CLOSE_EXPIRED);
    ck_assert_uint_eq(metrics()->closed_expired_total, 1);
}
END_TEST

START_TEST(a_token_expired_within_the_leeway_gets_the_same_time)
{
    connect_with("{\"exp\":1799999950," MEMBER "}");
    expect("\"expires\":true,\"ttl\":1,");
    live(24900);
    expect_open();
    live(1000);
    expect_closed(CLIENT_CLOSE_EXPIRED);
}
END_TEST

START_TEST(a_refresh_moves_the_end)
{
    connect_with("{\"exp\":1800000010," MEMBER "}");
    expect("\"ttl\":10");
    live(20000);
    send_token("refresh", HEADER, "{\"exp\":1800000200," MEMBER "}");
    expect("{\"id\":1,\"refresh\":{\"client\":\"");
    live(204000);
    expect_open();
    live(2000);
    expect_closed(CLIENT_CLOSE_EXPIRED);
    ck_assert_uint_eq(metrics()->refreshes_total, 1);
}
END_TEST

/* A refresh neither delays a ping nor forgives a pong that is missing. */
START_TEST(a_refresh_leaves_the_heartbeat_alone)
{
    connect_with("{\"exp\":1800000010," MEMBER "}");
    expect("\"ttl\":10");
    world_advance(&world, 26000);
    expect("{}");
    send_token("refresh", HEADER, "{\"exp\":1800001000," MEMBER "}");
    expect("refresh");
    world_advance(&world, 10100);
    expect_closed(CLIENT_CLOSE_NO_PONG);
}
END_TEST

START_TEST(a_refresh_is_for_the_same_subscriber)
{
    static const char *const others[] = {
        "{\"exp\":1800000100,\"type\":\"MEMBER\",\"sub\":\"u2\"}",
        "{\"exp\":1800000100,\"type\":\"ADMIN\",\"sub\":\"u1\"}",
        "{\"exp\":1800000100," MEMBER ",\"app\":\"shop\"}",
        "{\"exp\":1800000100," MEMBER ",\"view\":\"preview\"}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        connect_with("{\"exp\":1800000100," MEMBER "}");
        expect("connect");
        send_token("refresh", HEADER, others[i]);
        expect_closed(CLIENT_CLOSE_INVALID_TOKEN);
        expect_refused(IDENTITY_OTHER);
    }
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("connect");
    send_token("refresh", "{\"alg\":\"HS256\",\"kid\":\"b\"}",
               "{\"iss\":\"https://issuer\",\"aud\":\"millrace\"," MEMBER "}");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN); /* the same id on another site */
    expect_refused(IDENTITY_OTHER);
    world_connect(&world, 0); /* nobody in particular cannot become somebody */
    send_token("refresh", HEADER, "{\"exp\":1800000100," MEMBER "}");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN);
    expect_refused(IDENTITY_OTHER);
}
END_TEST

START_TEST(an_expired_refresh_lets_the_client_come_back)
{
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("connect");
    send_token("refresh", HEADER, "{\"exp\":1799999900," MEMBER "}");
    expect_closed(CLIENT_CLOSE_EXPIRED);
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("connect");
    world_send(&world, 0, "{\"id\":2,\"refresh\":{}}");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN);
}
END_TEST

/* The wall clock is set while connections live. */
START_TEST(refreshes_are_not_for_free)
{
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("connect");
    for (int i = 0; i < 3; i++) {
        send_token("refresh", HEADER, "{\"exp\":1800000200," MEMBER "}");
        expect(i == 0 ? "\"ttl\":200" : "\"code\":111");
    }
    world_advance(&world, 200);
    send_token("refresh", HEADER, "{\"exp\":1800000200," MEMBER "}");
    expect("\"ttl\":200");
    ck_assert_uint_eq(metrics()->tokens_accepted_total, 3);
}
END_TEST

START_TEST(the_wall_clock_may_be_set)
{
    connect_with("{\"exp\":1800000600," MEMBER "}");
    expect("\"ttl\":600");
    set_wall(NOW - 3600);
    live(700000); /* it is before NOW still */
    expect_open();
    set_wall(NOW + 7200);
    live(26000); /* noticed with the next ping */
    expect_closed(CLIENT_CLOSE_EXPIRED);
}
END_TEST

/* The timer for an end that is put off is no heartbeat. */
START_TEST(an_end_that_does_not_come_pings_nobody)
{
    connect_with("{\"exp\":1800000011," MEMBER "}"); /* ends after 36 s */
    expect("\"ttl\":11");
    live(30000); /* one ping, 12.5 to 25 s after the start; the next 25 s behind its pong */
    set_wall(NOW - 3600);
    world_advance(&world, 7000);
    expect_open();
    ck_assert_ptr_null(world_next(&world, 0));
    live(30000);
    expect_open();
}
END_TEST

START_TEST(addresses_outside_the_own_context_are_refused)
{
    connect_with("{\"exp\":1800000100," MEMBER ",\"app\":\"shop\"}");
    expect("connect");
    world_send(&world, 0, "{\"id\":2,\"subscribe\":{\"channel\":\"/s0\"}}");
    expect("\"code\":403");
    world_send(&world, 0, "{\"id\":3,\"subscribe\":{\"channel\":\"other/s0\"}}");
    expect("\"code\":404");
    connect_with("{\"exp\":1800000100," MEMBER "}");
    expect("connect");
    world_send(&world, 0, "{\"id\":3,\"subscribe\":{\"channel\":\"shop/s0\"}}");
    expect("\"code\":404");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_identity");
    TCase *tests = tcase_create("hub_identity");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_token_says_who_the_session_is);
    tcase_add_test(tests, a_token_without_end_expires_never);
    tcase_add_test(tests, bad_tokens_close_and_expired_ones_do_not);
    tcase_add_test(tests, a_connection_ends_some_time_after_its_token);
    tcase_add_test(tests, a_token_expired_within_the_leeway_gets_the_same_time);
    tcase_add_test(tests, a_refresh_moves_the_end);
    tcase_add_test(tests, a_refresh_leaves_the_heartbeat_alone);
    tcase_add_test(tests, a_refresh_is_for_the_same_subscriber);
    tcase_add_test(tests, an_expired_refresh_lets_the_client_come_back);
    tcase_add_test(tests, refreshes_are_not_for_free);
    tcase_add_test(tests, the_wall_clock_may_be_set);
    tcase_add_test(tests, an_end_that_does_not_come_pings_nobody);
    tcase_add_test(tests, addresses_outside_the_own_context_are_refused);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
