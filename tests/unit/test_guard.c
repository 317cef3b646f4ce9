
#include "client_world.h"
#include "heap.h"
#include "proto/status.h"
#include "unit.h"

/* Permissions at delivery: who may not read now gets nothing now, later all of it in order, or is
 * told. */

/* --- asking --- */

START_TEST(a_subscribe_command_names_who_asks)
{
    given();
    subscribe(0, "s0");
    ck_assert_uint_eq(world.asker.kind, BUS_SUBSCRIBE);
    ck_assert_uint_eq(world.asker.type, SUBSCRIBER_VISITOR);
    ck_assert_str_eq(world.asker.id, "");
    ck_assert_str_eq(world.asker.app, "");
    ck_assert_uint_eq(world.asker.flags & BUS_QUESTION_RESUMES, 0);
    ck_assert_uint_eq(world.asker.within_ms, 4000);
    done();
}
END_TEST

START_TEST(one_that_recovers_says_that_it_resumes_and_how_long_it_can_wait)
{
    given();
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\",\"recover\":true}}");
    world_advance(&world, 500); /* the fence takes so long */
    world_settle(&world);
    expect("\"subscribe\":{");
    ck_assert_uint_eq(world.asker.flags & BUS_QUESTION_RESUMES, BUS_QUESTION_RESUMES);
    ck_assert_uint_eq(world.asker.within_ms, 3500);
    done();
}
END_TEST

START_TEST(a_permission_for_ever_is_not_asked_for_again)
{
    given();
    subscribe(0, "s0");
    world_advance(&world, 2500);
    published(0);
    expect_publication(0, 1);
    ck_assert_uint_eq(metrics()->permits_asked_total, 0);
    done();
}
END_TEST

START_TEST(refusals_of_a_subscription_are_final_or_temporary_as_the_broker_says)
{
    given();
    static const struct {
        uint16_t status;
        bool temporary;
        const char *error;
    } cases[] = {
        {STATUS_BAD_INPUT, false, "\"code\":400,\"message\":\"as the test wants it\"}}"},
        {STATUS_FORBIDDEN, false, "\"code\":403,\"message\":\"as the test wants it\"}}"},
        {STATUS_NOT_FOUND, false, "\"code\":404,\"message\":\"as the test wants it\"}}"},
        {STATUS_UNAVAILABLE, false, "\"code\":503,\"message\":\"as the test wants it\"}}"},
        {STATUS_UNAVAILABLE, true,
         "\"code\":503,\"message\":\"as the test wants it\",\"temporary\":true}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        verdict(cases[i].status, cases[i].temporary, BUS_GRANT_FOREVER);
        say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
        world_settle(&world);
        expect(cases[i].error);
        published(0);
        expect_nothing();
    }
    ck_assert_uint_eq(metrics()->subscriptions_refused_400_total, 1);
    ck_assert_uint_eq(metrics()->subscriptions_refused_403_total, 1);
    ck_assert_uint_eq(metrics()->subscriptions_refused_404_total, 1);
    ck_assert_uint_eq(metrics()->subscriptions_refused_503_total, 2);
    done();
}
END_TEST

/* --- holding --- */

START_TEST(a_permission_ends_exactly_at_its_time)
{
    given_granted(100);
    world_advance(&world, 99);
    published(0);
    expect_publication(0, 1);
    world_advance(&world, 1);
    published(0);
    expect_nothing();
    ck_assert_uint_eq(metrics()->permits_asked_total, 1);
    answered();
    expect_publication(0, 2);
    ck_assert_uint_eq(world.asker.kind, BUS_PERMIT);
    ck_assert_uint_eq(world.asker.flags, BUS_QUESTION_RESUMES);
    ck_assert_uint_eq(world.asker.within_ms, 4000);
    done();
}
END_TEST

START_TEST(what_is_held_comes_in_order_and_is_asked_for_once)
{
    given_held();
    published(0);
    published(0);
    expect_nothing();
    answered();
    for (unsigned offset = 1; offset <= 3; offset++)
        expect_publication(0, offset);
    published(0);
    expect_publication(0, 4);
    expect_nothing();
    expect_nothing_held();
    ck_assert_uint_eq(metrics()->permits_asked_total, 1);
    ck_assert_uint_eq(metrics()->deliveries_total, 4);
    done();
}
END_TEST

START_TEST(others_do_not_wait_for_one_that_is_held)
{
    given();
    for (size_t client = 1; client < 4; client++)
        world_connect(&world, client);
    subscribe(1, "s0");
    verdict(STATUS_OK, false, 100);
    subscribe(0, "s0");
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    subscribe(2, "s0");
    world_send(&world, 3, "{\"id\":2,\"subscribe\":{\"channel\":\"/s0\"}}");
    world_settle(&world);
    expect_from(3, "\"subscribe\":{");
    world_advance(&world, 100);
    published(0);
    published(0);
    for (size_t client = 1; client < 4; client++) {
        expect_publication(client, 1);
        expect_publication(client, 2);
    }
    expect_nothing();
    answered();
    expect_publication(0, 1);
    expect_publication(0, 2);
    done();
}
END_TEST

START_TEST(once_means_each_message_has_a_question_that_came_after_it)
{
    given_granted(BUS_GRANT_ONCE);
    published(0);
    expect_nothing();
    world_move_question(&world); /* answered before the second one comes */
    published(0);
    published(0);
    world_move_answer(&world);
    expect_publication(0, 1);
    expect_nothing();
    ck_assert_uint_eq(metrics()->permits_asked_total, 2);
    answered();
    expect_publication(0, 2);
    expect_publication(0, 3);
    expect_nothing();
    expect_nothing_held();
    ck_assert_uint_eq(world.permits, 2);
    done();
}
END_TEST

START_TEST(another_permission_may_last_longer_or_shorter)
{
    given_held();
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    answered();
    expect_publication(0, 1);
    world_advance(&world, 1000);
    published(0);
    expect_publication(0, 2);
    ck_assert_uint_eq(metrics()->permits_asked_total, 1);
    done();
}
END_TEST

/* A client that has not read reads now. */
static void read_all(void)
{
    while (session_outbox(world.clients[0].session)->bytes > 0) {
        world_read(&world, 0, 100);
        for (char *text; (text = world_next(&world, 0));)
            free(text);
    }
}

START_TEST(a_subscription_that_held_much_once_is_as_small_as_before)
{
    struct hub_settings settings = world_settings();
    settings.held_messages = 10000;
    settings.queue_bytes = 4 << 20;
    given_settings(settings);
    verdict(STATUS_OK, false, BUS_GRANT_ONCE);
    subscribe(0, "s0");
    for (int i = 0; i < 5000; i++)
        published(0);
    world_stall(&world, 0);
    answered(); /* about the first one, then about the others */
    expect_nothing_held();
    read_all();
    size_t with = heap_bytes();
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    ck_assert_uint_lt(with, heap_bytes() + 16384);
    done();
}
END_TEST

START_TEST(more_than_may_be_held_is_told)
{
    given_held();
    for (int i = 0; i < 7; i++)
        published(0);
    ck_assert_uint_eq(metrics()->held_for_permit, 8);
    published(0);
    expect_nothing_held();
    ck_assert_uint_eq(metrics()->permit_overflow_total, 1);
    answered();
    world_advance(&world, 100);
    expect("\"unsubscribe\":{\"code\":2500");
    published(0);
    expect_nothing();
    done();
}
END_TEST

START_TEST(one_that_overflows_takes_nobody_elses_place)
{
    given();
    for (size_t client = 0; client < WORLD_CLIENTS; client++) {
        if (client > 0)
            world_connect(&world, client);
        verdict(STATUS_OK, false, client % 2 ? BUS_GRANT_FOREVER : 100);
        subscribe(client, "s0");
    }
    world_advance(&world, 100);
    for (int i = 0; i < 9; i++)
        published(0);
    ck_assert_uint_eq(metrics()->permit_overflow_total, 3);
    for (size_t client = 1; client < WORLD_CLIENTS; client += 2) {
        for (unsigned offset = 1; offset <= 9; offset++)
            expect_publication(client, offset);
        expect_nothing_for(client);
    }
    world_advance(&world, 100);
    for (size_t client = 0; client < WORLD_CLIENTS; client += 2)
        expect_from(client, "\"code\":2500");
    done();
}
END_TEST

START_TEST(what_a_connection_holds_fits_into_its_queue)
{
    struct hub_settings settings = world_settings();
    settings.queue_bytes = 600; /* a frame takes about 70 */
    given_settings(settings);
    verdict(STATUS_OK, false, 100);
    world.streams[1].verdict = world.streams[0].verdict;
    subscribe(0, "s0");
    say("{\"id\":3,\"subscribe\":{\"channel\":\"s1\"}}");
    world_settle(&world);
    expect("\"subscribe\":{");
    world_advance(&world, 100);
    for (int i = 0; i < 3; i++) {
        published(0);
        published(1);
    }
    ck_assert_uint_eq(metrics()->permit_overflow_total, 1);
    ck_assert_uint_gt(metrics()->held_for_permit, 0);
    answered();
    world_advance(&world, 100);
    expect_nothing_held();
    ck_assert(!world.clients[0].has_been_closed);
    done();
}
END_TEST

/* --- no, and nothing at all --- */

START_TEST(a_refusal_ends_the_subscription_and_what_is_held)
{
    static const uint16_t statuses[] = {STATUS_BAD_INPUT, STATUS_FORBIDDEN, STATUS_NOT_FOUND};
    given_held();
    published(0);
    verdict(statuses[_i], false, BUS_GRANT_FOREVER);
    answered();
    expect("{\"push\":{\"channel\":\"s0\",\"unsubscribe\":{\"code\":2403,\"reason\":\"read "
           "permission refused\"}}}");
    published(0);
    expect_nothing();
    expect_nothing_held();
    ck_assert_uint_eq(metrics()->permits_refused_total, 1);
    ck_assert_uint_eq(metrics()->subscriptions, 0);

    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    subscribe(0, "s0"); /* nothing of before comes into the next one */
    expect_nothing();
    published(0);
    expect_publication(0, 4);
    done();
}
END_TEST

START_TEST(a_handler_that_is_gone_for_good_ends_the_subscription)
{
    given_held();
    verdict(STATUS_UNAVAILABLE, false, 0);
    answered();
    expect("\"unsubscribe\":{\"code\":2453,\"reason\":\"permission handler unavailable\"");
    published(0);
    expect_nothing();
    expect_nothing_held();
    ck_assert_uint_eq(metrics()->permits_unavailable_total, 1);
    done();
}
END_TEST

START_TEST(one_that_is_gone_for_now_is_told_as_a_loss)
{
    static const struct world_verdict verdicts[] = {
        {STATUS_UNAVAILABLE, true, 0}, {STATUS_TOO_MANY, false, 0}, {STATUS_INTERNAL, false, 0}};
    given_held();
    world.streams[0].verdict = verdicts[_i];
    answered();
    expect_nothing_held();
    world_advance(&world, 100);
    expect("\"unsubscribe\":{\"code\":2500");
    expect_nothing();
    ck_assert_uint_eq(metrics()->permits_unavailable_total, 1);
    done();
}
END_TEST

START_TEST(no_answer_in_time_is_told_as_a_loss)
{
    given_held();
    world_advance(&world, 3950);
    expect_nothing();
    world_advance(&world, 200);
    expect("\"unsubscribe\":{\"code\":2500");
    answered(); /* finds nobody */
    expect_nothing();
    expect_nothing_held();
    done();
}
END_TEST

/* --- coming and going meanwhile --- */

START_TEST(nothing_comes_after_an_unsubscribe)
{
    given_held();
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
    expect("\"unsubscribe\":{}");
    answered();
    expect_nothing();
    expect_nothing_held();
    done();
}
END_TEST

START_TEST(nothing_held_comes_into_the_next_subscription)
{
    given_held();
    world_move_question(&world);
    say("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}\n"
        "{\"id\":4,\"subscribe\":{\"channel\":\"s0\"}}");
    expect("\"unsubscribe\":{}");
    world_settle(&world);
    expect("{\"id\":4,\"subscribe\":{");
    expect_nothing();
    published(0);
    expect_publication(0, 2);
    done();
}
END_TEST

START_TEST(a_client_that_goes_takes_what_is_held_along)
{
    given_held();
    world_disconnect(&world, 0);
    answered();
    expect_nothing_held();
    done();
}
END_TEST

START_TEST(what_was_published_during_the_join_is_held_too)
{
    given();
    verdict(STATUS_OK, false, BUS_GRANT_ONCE);
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    fenced();
    world_move_question(&world);
    published(0);
    published(0);
    answers_come();
    expect("\"subscribe\":{");
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 2);
    answered();
    expect_publication(0, 1);
    expect_publication(0, 2);
    published(0);
    expect_nothing();
    answered();
    expect_publication(0, 3);
    done();
}
END_TEST

START_TEST(a_join_that_holds_too_much_is_told)
{
    given();
    verdict(STATUS_OK, false, BUS_GRANT_ONCE);
    say("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    fenced();
    world_move_question(&world);
    for (int i = 0; i < 20; i++) /* more than the address keeps for those that join */
        published(0);
    world_settle(&world);
    expect("\"subscribe\":{");
    world_advance(&world, 100);
    expect("\"unsubscribe\":{\"code\":2500");
    expect_nothing();
    expect_nothing_held();
    ck_assert_uint_eq(metrics()->permit_overflow_total, 1);
    done();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_subscribe_command_names_who_asks);
    tcase_add_test(tests, one_that_recovers_says_that_it_resumes_and_how_long_it_can_wait);
    tcase_add_test(tests, a_permission_for_ever_is_not_asked_for_again);
    tcase_add_test(tests, refusals_of_a_subscription_are_final_or_temporary_as_the_broker_says);
    tcase_add_test(tests, a_permission_ends_exactly_at_its_time);
    tcase_add_test(tests, what_is_held_comes_in_order_and_is_asked_for_once);
    tcase_add_test(tests, others_do_not_wait_for_one_that_is_held);
    tcase_add_test(tests, once_means_each_message_has_a_question_that_came_after_it);
    tcase_add_test(tests, another_permission_may_last_longer_or_shorter);
    tcase_add_test(tests, a_subscription_that_held_much_once_is_as_small_as_before);
    tcase_add_test(tests, more_than_may_be_held_is_told);
    tcase_add_test(tests, one_that_overflows_takes_nobody_elses_place);
    tcase_add_test(tests, what_a_connection_holds_fits_into_its_queue);
    tcase_add_loop_test(tests, a_refusal_ends_the_subscription_and_what_is_held, 0, 3);
    tcase_add_test(tests, a_handler_that_is_gone_for_good_ends_the_subscription);
    tcase_add_loop_test(tests, one_that_is_gone_for_now_is_told_as_a_loss, 0, 3);
    tcase_add_test(tests, no_answer_in_time_is_told_as_a_loss);
    tcase_add_test(tests, nothing_comes_after_an_unsubscribe);
    tcase_add_test(tests, nothing_held_comes_into_the_next_subscription);
    tcase_add_test(tests, a_client_that_goes_takes_what_is_held_along);
    tcase_add_test(tests, what_was_published_during_the_join_is_held_too);
    tcase_add_test(tests, a_join_that_holds_too_much_is_told);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
