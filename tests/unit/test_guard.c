#include <stdio.h>

#include "hub_world.h"
#include "proto/status.h"
#include "unit.h"

/* Permissions at delivery: who may not read now gets nothing now, later all of it in order, or is
 * told. */

static struct world world;

static void given_settings(struct hub_settings settings)
{
    world_open(&world, &settings);
    world_connect(&world, 0);
}

static void given(void)
{
    given_settings(world_settings());
}

static void done(void)
{
    world_close(&world);
}

static const struct hub_metrics *metrics(void)
{
    return hub_metrics(world.hub, world.now_ms);
}

static void verdict(uint16_t status, bool temporary, uint32_t grant_ms)
{
    world.streams[0].verdict = (struct world_verdict){status, temporary, grant_ms};
}

static void expect_from(size_t client, const char *part)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text != NULL, "nothing came, expected %s", part);
    ck_assert_msg(strstr(text, part) != NULL, "%s came, expected %s", text, part);
    free(text);
}

static void expect(const char *part)
{
    expect_from(0, part);
}

static void expect_publication(size_t client, unsigned long long offset)
{
    char part[64];
    snprintf(part, sizeof part, "\"n\":%llu},\"offset\":%llu}}}", offset, offset);
    expect_from(client, part);
}

static void expect_nothing_for(size_t client)
{
    char *text = world_next(&world, client);
    ck_assert_msg(text == NULL, "%s came, expected nothing", text);
}

static void expect_nothing(void)
{
    expect_nothing_for(0);
}

static void expect_nothing_held(void)
{
    ck_assert_uint_eq(metrics()->held_for_permit, 0);
}

static void send(const char *text)
{
    world_send(&world, 0, "%s", text);
}

static void subscribed_by(size_t client)
{
    world_send(&world, client, "{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    world_settle(&world);
    expect_from(client, "\"subscribe\":{");
}

static void subscribed(void)
{
    subscribed_by(0);
}

/* Published and come through to the gateway, which has asked by now what it asks. */
static void published(size_t stream)
{
    world_publish(&world, stream);
    while (world_move_publication(&world))
        continue;
}

/* To the broker and back. */
static void answered(void)
{
    while (world_move_question(&world) || world_move_answer(&world))
        continue;
}

/* Those asked by now are not answered. */
static void lose_questions(void)
{
    while (world.questions.count > 0)
        buffer_free(&world.questions.items[--world.questions.count]);
}

/* A subscription with a permission for 100 ms, over now, and one message that waits. */
static void given_held(void)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    world_advance(&world, 100);
    published(0);
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 1);
    ck_assert_uint_eq(metrics()->permits_asked_total, 1);
}

/* --- asking --- */

START_TEST(a_subscribe_command_names_who_asks)
{
    given();
    subscribed();
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
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\",\"recover\":true}}");
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
    subscribed();
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
        send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
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
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
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
    subscribed_by(1);
    verdict(STATUS_OK, false, 100);
    subscribed_by(0);
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    subscribed_by(2);
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
    given();
    verdict(STATUS_OK, false, BUS_GRANT_ONCE);
    subscribed();
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
        subscribed_by(client);
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
    subscribed();
    send("{\"id\":3,\"subscribe\":{\"channel\":\"s1\"}}");
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
    subscribed(); /* nothing of before comes into the next one */
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

/* --- the link --- */

START_TEST(the_question_is_asked_again_when_the_link_is_back_in_time)
{
    given_held();
    world_move_question(&world);
    world_break_link(&world);
    world_advance(&world, 1000);
    published(0);
    expect_nothing();
    world_mend_link(&world);
    world_settle(&world);
    expect_publication(0, 1);
    expect_publication(0, 2);
    expect_nothing();
    ck_assert_uint_eq(world.asker.within_ms, 3000);
    done();
}
END_TEST

START_TEST(a_link_that_stays_away_too_long_is_a_loss)
{
    given_held();
    world_break_link(&world);
    world_advance(&world, 4200);
    expect("\"unsubscribe\":{\"code\":2500");
    expect_nothing_held();
    world_mend_link(&world);
    world_settle(&world);
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_permission_that_ends_while_the_broker_is_away_is_held)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    world_break_link(&world);
    world_advance(&world, 100);
    published(0); /* the other socket still works */
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 1);
    world_mend_link(&world);
    world_settle(&world);
    expect_publication(0, 1);
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_lost_stream_takes_what_is_held_along)
{
    given_held();
    lose_questions();
    world_forget(&world, 0);
    world_publish(&world, 0);
    world_settle(&world);
    world_advance(&world, 100);
    world_settle(&world);
    expect("\"unsubscribe\":{\"code\":2500");
    expect_nothing();
    expect_nothing_held();
    done();
}
END_TEST

START_TEST(a_hole_is_repaired_while_held)
{
    given_held();
    world.lose_next = true;
    published(0);
    published(0); /* the hole shows */
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    answered();
    for (unsigned offset = 1; offset <= 3; offset++)
        expect_publication(0, offset);
    expect_nothing();
    done();
}
END_TEST

/* --- coming and going meanwhile --- */

START_TEST(nothing_comes_after_an_unsubscribe)
{
    given_held();
    send("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}");
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
    send("{\"id\":3,\"unsubscribe\":{\"channel\":\"s0\"}}\n"
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
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
    world_move_question(&world);
    published(0);
    published(0);
    while (world_move_answer(&world))
        continue;
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
    send("{\"id\":2,\"subscribe\":{\"channel\":\"s0\"}}");
    while (world_move_topic(&world) || world_move_publication(&world))
        continue;
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

/* --- commands of a subscriber --- */

static const char *const commands[][2] = {
    {"{\"id\":7,\"history\":{\"channel\":\"s0\",\"limit\":5}}", "{\"id\":7,\"history\":{"},
    {"{\"id\":7,\"presence\":{\"channel\":\"s0\"}}", "{\"id\":7,\"presence\":{"},
    {"{\"id\":7,\"presence_stats\":{\"channel\":\"s0\"}}", "{\"id\":7,\"presence_stats\":{"},
};

static void refuse_command(uint16_t status)
{
    world.history_status = status;
    world.presence_status = status;
}

START_TEST(a_command_of_one_that_may_read_names_nobody)
{
    given();
    subscribed();
    send(commands[_i][0]);
    world_settle(&world);
    expect(commands[_i][1]);
    ck_assert_uint_eq(world.asker.kind, BUS_SUBSCRIBE);
    done();
}
END_TEST

START_TEST(a_command_of_one_whose_permission_is_over_renews_it)
{
    given_held();
    lose_questions();
    send(commands[_i][0]);
    world_settle(&world);
    ck_assert_uint_ne(world.asker.kind, BUS_SUBSCRIBE);
    expect_publication(0, 1);
    expect(commands[_i][1]);
    published(0);
    expect_publication(0, 2);
    world_advance(&world, 90);
    ck_assert_uint_eq(world.permits, 0);
    done();
}
END_TEST

START_TEST(a_permission_for_a_command_alone_covers_no_message)
{
    given();
    verdict(STATUS_OK, false, BUS_GRANT_ONCE);
    subscribed();
    published(0);
    lose_questions();
    send(commands[_i][0]);
    world_settle(&world);
    expect(commands[_i][1]);
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 1);
    done();
}
END_TEST

START_TEST(a_refused_command_ends_a_subscription_that_may_not_read)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    world_advance(&world, 100);
    verdict(STATUS_FORBIDDEN, false, 0);
    send(commands[_i][0]);
    world_settle(&world);
    expect("{\"id\":7,\"error\":{\"code\":103");
    expect("\"unsubscribe\":{\"code\":2403");
    expect_nothing();
    ck_assert_uint_eq(metrics()->subscriptions, 0);
    done();
}
END_TEST

START_TEST(a_channel_without_it_does_not_end_the_subscription)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    world_advance(&world, 100);
    refuse_command(STATUS_FORBIDDEN);
    send(commands[_i][0]);
    world_settle(&world);
    expect("{\"id\":7,\"error\":{\"code\":108");
    published(0);
    expect_publication(0, 1);
    done();
}
END_TEST

START_TEST(a_command_whose_answer_comes_after_the_permission_is_asked_again)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    send(commands[_i][0]);
    world_move_question(&world);
    world_advance(&world, 100);
    verdict(STATUS_FORBIDDEN, false, 0);
    world_move_answer(&world);
    expect_nothing();
    world_settle(&world);
    expect("{\"id\":7,\"error\":{\"code\":103");
    expect("\"unsubscribe\":{\"code\":2403");
    expect_nothing();
    done();
}
END_TEST

START_TEST(a_command_while_nobody_can_say_is_refused_for_now)
{
    given();
    verdict(STATUS_OK, false, 100);
    subscribed();
    world_advance(&world, 100);
    verdict(STATUS_UNAVAILABLE, true, 0);
    send(commands[_i][0]);
    world_settle(&world);
    expect("{\"id\":7,\"error\":{\"code\":100");
    verdict(STATUS_OK, false, BUS_GRANT_FOREVER);
    published(0);
    answered();
    expect_publication(0, 1);
    done();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *all = tcase_create("all");
    tcase_add_test(all, a_subscribe_command_names_who_asks);
    tcase_add_test(all, one_that_recovers_says_that_it_resumes_and_how_long_it_can_wait);
    tcase_add_test(all, a_permission_for_ever_is_not_asked_for_again);
    tcase_add_test(all, refusals_of_a_subscription_are_final_or_temporary_as_the_broker_says);
    tcase_add_test(all, a_permission_ends_exactly_at_its_time);
    tcase_add_test(all, what_is_held_comes_in_order_and_is_asked_for_once);
    tcase_add_test(all, others_do_not_wait_for_one_that_is_held);
    tcase_add_test(all, once_means_each_message_has_a_question_that_came_after_it);
    tcase_add_test(all, another_permission_may_last_longer_or_shorter);
    tcase_add_test(all, more_than_may_be_held_is_told);
    tcase_add_test(all, one_that_overflows_takes_nobody_elses_place);
    tcase_add_test(all, what_a_connection_holds_fits_into_its_queue);
    tcase_add_loop_test(all, a_refusal_ends_the_subscription_and_what_is_held, 0, 3);
    tcase_add_test(all, a_handler_that_is_gone_for_good_ends_the_subscription);
    tcase_add_loop_test(all, one_that_is_gone_for_now_is_told_as_a_loss, 0, 3);
    tcase_add_test(all, no_answer_in_time_is_told_as_a_loss);
    tcase_add_test(all, the_question_is_asked_again_when_the_link_is_back_in_time);
    tcase_add_test(all, a_link_that_stays_away_too_long_is_a_loss);
    tcase_add_test(all, a_permission_that_ends_while_the_broker_is_away_is_held);
    tcase_add_test(all, a_lost_stream_takes_what_is_held_along);
    tcase_add_test(all, a_hole_is_repaired_while_held);
    tcase_add_test(all, nothing_comes_after_an_unsubscribe);
    tcase_add_test(all, nothing_held_comes_into_the_next_subscription);
    tcase_add_test(all, a_client_that_goes_takes_what_is_held_along);
    tcase_add_test(all, what_was_published_during_the_join_is_held_too);
    tcase_add_test(all, a_join_that_holds_too_much_is_told);
    tcase_add_loop_test(all, a_command_of_one_that_may_read_names_nobody, 0, 3);
    tcase_add_loop_test(all, a_command_of_one_whose_permission_is_over_renews_it, 0, 3);
    tcase_add_loop_test(all, a_permission_for_a_command_alone_covers_no_message, 0, 3);
    tcase_add_loop_test(all, a_refused_command_ends_a_subscription_that_may_not_read, 0, 3);
    tcase_add_loop_test(all, a_channel_without_it_does_not_end_the_subscription, 0, 3);
    tcase_add_loop_test(all, a_command_whose_answer_comes_after_the_permission_is_asked_again, 0,
                        3);
    tcase_add_loop_test(all, a_command_while_nobody_can_say_is_refused_for_now, 0, 3);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
