#include "client_world.h"
#include "proto/status.h"
#include "unit.h"

/* Commands of a subscriber, which only those get answered who may read: they renew a permission
 * that is over, or end the subscription. Each test is run with each of them. */

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
    subscribe(0, "s0");
    say(commands[_i][0]);
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
    say(commands[_i][0]);
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
    given_granted(BUS_GRANT_ONCE);
    published(0);
    lose_questions();
    say(commands[_i][0]);
    world_settle(&world);
    expect(commands[_i][1]);
    expect_nothing();
    ck_assert_uint_eq(metrics()->held_for_permit, 1);
    done();
}
END_TEST

START_TEST(a_refused_command_ends_a_subscription_that_may_not_read)
{
    given_over();
    verdict(STATUS_FORBIDDEN, false, 0);
    say(commands[_i][0]);
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
    given_over();
    refuse_command(STATUS_FORBIDDEN);
    say(commands[_i][0]);
    world_settle(&world);
    expect("{\"id\":7,\"error\":{\"code\":108");
    published(0);
    expect_publication(0, 1);
    done();
}
END_TEST

START_TEST(a_command_whose_answer_comes_after_the_permission_is_asked_again)
{
    given_granted(100);
    say(commands[_i][0]);
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
    given_over();
    verdict(STATUS_UNAVAILABLE, true, 0);
    say(commands[_i][0]);
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
    Suite *suite = suite_create("guard_commands");
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, a_command_of_one_that_may_read_names_nobody, 0, 3);
    tcase_add_loop_test(tests, a_command_of_one_whose_permission_is_over_renews_it, 0, 3);
    tcase_add_loop_test(tests, a_permission_for_a_command_alone_covers_no_message, 0, 3);
    tcase_add_loop_test(tests, a_refused_command_ends_a_subscription_that_may_not_read, 0, 3);
    tcase_add_loop_test(tests, a_channel_without_it_does_not_end_the_subscription, 0, 3);
    tcase_add_loop_test(tests, a_command_whose_answer_comes_after_the_permission_is_asked_again, 0,
                        3);
    tcase_add_loop_test(tests, a_command_while_nobody_can_say_is_refused_for_now, 0, 3);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
