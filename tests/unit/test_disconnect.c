#include "revocation_world.h"
#include "unit.h"

/* The site ends connections for good: whose, and with which words. */

#define SITE BUS_SCOPE_SITE
#define TYPE BUS_SCOPE_TYPE
#define ID   BUS_SCOPE_SUBSCRIBER

static void disconnect(uint8_t scope, const char *site, uint8_t type, const char *id,
                       struct span reason)
{
    revoke((struct bus_revoke){.mode = BUS_REVOKE_DISCONNECT,
                               .scope = scope,
                               .site = span_text(site),
                               .app = span_text("nobody looks"),
                               .type = type,
                               .subscriber = span_text(id),
                               .reason = reason});
}

START_TEST(a_disconnect_closes_those_it_means_for_good)
{
    static const struct {
        uint8_t scope;
        const char *site;
        uint8_t type;
        const char *id;
        unsigned who;
    } whom[] = {
        {SITE | ID, "acme", 0, "u1", MEMBER_1 | ADMIN_1 | IN_APP},
        {SITE | ID | TYPE, "acme", SUBSCRIBER_ADMIN, "u1", ADMIN_1},
        {SITE | TYPE, "acme", SUBSCRIBER_VISITOR, "", VISITOR},
        {SITE | ID, "other", 0, "u1", 0},
        {SITE | ID, "acme", 0, "u3", 0},
        {SITE, "acme", 0, "", ALL},
    };
    given_people();
    disconnect(whom[_i].scope, whom[_i].site, whom[_i].type, whom[_i].id, span_text("left"));
    expect_confirmed(count_of(whom[_i].who), count_of(whom[_i].who));
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        ck_assert_int_eq(world.clients[i].has_been_closed, whom[_i].who >> i & 1);
        if (!world.clients[i].has_been_closed)
            continue;
        ck_assert_int_eq(world.clients[i].code, 3503);
        ck_assert_str_eq(world.clients[i].reason, "disconnected by the site: left");
    }
    ck_assert_uint_eq(metrics()->disconnected_total, count_of(whom[_i].who));
}
END_TEST

START_TEST(a_disconnect_closes_preview_too_but_not_those_who_are_nobody_yet)
{
    connect_as(0, MEMBER("u1") ",\"view\":\"preview\"");
    world.clients[1].session = hub_session_opened(world.hub, (void *)1, world.now_ms);
    disconnect(SITE, "acme", 0, "", (struct span){0});
    expect_confirmed(1, 1);
    ck_assert(world.clients[0].has_been_closed);
    ck_assert(!world.clients[1].has_been_closed);
}
END_TEST

START_TEST(the_reason_is_always_text_and_never_json)
{
    static const struct {
        const char *given, *told;
    } reasons[] = {
        {"", "disconnected by the site"},
        {"{\"code\":1}", "disconnected by the site: {\"code\":1}"},
        {"1", "disconnected by the site: 1"},
        {"\xff", "disconnected by the site"}, /* no text */
        /* 26 bytes of ours, 96 of theirs, and half a character has no room */
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaa\xc3\xa9z",
         "disconnected by the site: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaa"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa\xc3\xa9z",
         "disconnected by the site: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa\xc3\xa9"},
    };
    given_member(BUS_GRANT_FOREVER);
    disconnect(ID, "", 0, "u1", span_text(reasons[_i].given));
    expect_confirmed(1, 1);
    ck_assert_str_eq(world.clients[0].reason, reasons[_i].told);
}
END_TEST

START_TEST(a_disconnect_decides_a_recheck)
{
    given_member(BUS_GRANT_FOREVER);
    revoke_s0(BUS_REVOKE_RECHECK);
    disconnect(ID, "", 0, "u1", (struct span){0});
    expect_confirmations(2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("disconnect");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, revocation_setup, revocation_teardown);
    tcase_add_loop_test(tests, a_disconnect_closes_those_it_means_for_good, 0, 6);
    tcase_add_test(tests, a_disconnect_closes_preview_too_but_not_those_who_are_nobody_yet);
    tcase_add_loop_test(tests, the_reason_is_always_text_and_never_json, 0, 6);
    tcase_add_test(tests, a_disconnect_decides_a_recheck);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
