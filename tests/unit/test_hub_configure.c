#include "client_world.h"
#include "gateway/hub_priv.h"
#include "token_maker.h"
#include "unit.h"

/* Other settings while clients are connected. */

#define NOW    INT64_C(1800000000)
#define HEADER "{\"alg\":\"HS256\",\"kid\":\"a\"}"
#define CLAIMS "{\"exp\":1800003600,\"sub\":\"ann\",\"type\":\"MEMBER\",\"site\":\"acme\"}"

static void configure(struct hub_settings settings)
{
    hub_configure(world.hub, &settings, world.now_ms);
}

static void connect_client(size_t client)
{
    world.clients[client].session =
        hub_session_opened(world.hub, (void *)(uintptr_t)client, world.now_ms);
    world_send(&world, client, "{\"id\":1,\"connect\":{}}");
}

START_TEST(limits_hold_for_those_who_are_there)
{
    given();
    subscribe(0, "s0");
    struct hub_settings settings = world_settings();
    settings.subscriptions = 1;
    configure(settings);
    say("{\"id\":9,\"subscribe\":{\"channel\":\"s1\"}}");
    expect("{\"id\":9,\"error\":{\"code\":106");
    published(0);
    expect_publication(0, 1); /* what was there stays */
    settings.subscriptions = 2;
    configure(settings);
    subscribe(0, "s1");
    done();
}
END_TEST

/* One command more than the limit of before in one turn, whose answers nobody takes meanwhile. */
START_TEST(a_smaller_queue_holds_for_those_who_are_there)
{
    static const char commands[] =
        "{\"id\":2,\"rpc\":{}}\n{\"id\":3,\"rpc\":{}}\n{\"id\":4,\"rpc\":{}}";
    given();
    say(commands);
    for (int i = 0; i < 3; i++)
        expect("\"error\"");
    struct hub_settings settings = world_settings();
    settings.queue_bytes = 50;
    configure(settings);
    say(commands);
    expect_closed(CLIENT_CLOSE_SLOW);
    done();
}
END_TEST

/* It disconnects when the next ping does not come in the time that it was told. */
START_TEST(a_client_is_pinged_as_it_was_told)
{
    given();
    struct hub_settings settings = world_settings();
    settings.ping_ms = 100000;
    configure(settings);
    connect_client(1);
    expect_from(1, "\"ping\":100,");
    world_advance(&world, 26000);
    expect_from(0, "{}");
    say("{}");
    world_advance(&world, 26000);
    expect_from(0, "{}");
    expect_nothing_for(1);
    done();
}
END_TEST

START_TEST(a_time_that_runs_runs_on)
{
    given();
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    struct hub_settings settings = world_settings();
    settings.reply_ms = 100;
    configure(settings);
    world_advance(&world, 3900);
    expect_nothing();
    world_advance(&world, 300);
    expect("{\"id\":2,\"error\":{\"code\":100");
    done();
}
END_TEST

START_TEST(whoever_is_there_without_a_token_stays)
{
    given();
    struct hub_settings settings = world_settings();
    settings.anonymous = false;
    configure(settings);
    subscribe(0, "s0");
    connect_client(1);
    expect_from(1, "\"error\":{\"code\":101");
    done();
}
END_TEST

static uint64_t audits_in(int64_t seconds)
{
    uint64_t before = metrics()->audited_total;
    for (int64_t i = 0; i < seconds; i++) {
        world_canary(&world);
        world_advance(&world, 1000);
        world_settle(&world);
    }
    return metrics()->audited_total - before;
}

START_TEST(audits_begin_end_and_change_their_period)
{
    struct hub_settings settings = world_settings();
    settings.ping_ms = 10000000;
    settings.audit_ms = 0;
    given_settings(settings);
    subscribe(0, "s0");
    ck_assert_uint_eq(audits_in(100), 0);
    settings.audit_ms = 10000;
    configure(settings);
    uint64_t audits = audits_in(100);
    ck_assert_uint_ge(audits, 9);
    ck_assert_uint_le(audits, 11);
    settings.audit_ms = 0;
    configure(settings);
    audits_in(1);
    ck_assert_uint_eq(audits_in(100), 0);
    done();
}
END_TEST

/* --- keys --- */

static void send_token(size_t client, const char *method)
{
    char *token = token_make(HEADER, CLAIMS, TOKEN_SECRET);
    world_send(&world, client, "{\"id\":1,\"%s\":{\"token\":\"%s\"}}", method, token);
    free(token);
}

static void connect_ann(size_t client)
{
    world.clients[client].session =
        hub_session_opened(world.hub, (void *)(uintptr_t)client, world.now_ms);
    send_token(client, "connect");
}

START_TEST(connections_outlive_the_keys_that_let_them_in)
{
    struct hub_settings settings = world_settings();
    site_keys_t *keys = token_two_sites();
    settings.keys = keys;
    world_open(&world, &settings);
    world.site = "acme";
    hub_set_wall(world.hub, NOW * 1000 - world.now_ms);
    connect_ann(0);
    expect_from(0, "\"connect\":{");

    site_keys_t *none = site_keys_new();
    settings.keys = none;
    configure(settings);
    site_keys_destroy(&keys);
    subscribe(0, "s0"); /* on its site */
    published(0);
    expect_publication(0, 1);
    connect_ann(1);
    ck_assert(world.clients[1].has_been_closed);
    ck_assert_int_eq(world.clients[1].code, CLIENT_CLOSE_INVALID_TOKEN);
    send_token(0, "refresh");
    expect_closed(CLIENT_CLOSE_INVALID_TOKEN);

    world_close(&world);
    site_keys_destroy(&none);
}
END_TEST

START_TEST(a_key_that_comes_lets_in_and_lets_go_on)
{
    struct hub_settings settings = world_settings();
    site_keys_t *keys = token_one_site(), *same = token_one_site();
    settings.keys = keys;
    world_open(&world, &settings);
    hub_set_wall(world.hub, NOW * 1000 - world.now_ms);
    connect_ann(0);
    expect_from(0, "\"connect\":{");
    settings.keys = same;
    configure(settings);
    site_keys_destroy(&keys);
    send_token(0, "refresh");
    expect_from(0, "\"refresh\":{");
    world_close(&world);
    site_keys_destroy(&same);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hub_configure");
    TCase *tests = tcase_create("hub_configure");
    tcase_add_test(tests, limits_hold_for_those_who_are_there);
    tcase_add_test(tests, a_smaller_queue_holds_for_those_who_are_there);
    tcase_add_test(tests, a_client_is_pinged_as_it_was_told);
    tcase_add_test(tests, a_time_that_runs_runs_on);
    tcase_add_test(tests, whoever_is_there_without_a_token_stays);
    tcase_add_test(tests, audits_begin_end_and_change_their_period);
    tcase_add_test(tests, connections_outlive_the_keys_that_let_them_in);
    tcase_add_test(tests, a_key_that_comes_lets_in_and_lets_go_on);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
