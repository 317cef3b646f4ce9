#include "client_world.h"
#include "proto/status.h"
#include "unit.h"

/* What is held when the control link breaks, and when publications or their stream are lost. */

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
    given_granted(100);
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

int main(void)
{
    Suite *suite = suite_create("guard_link");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, the_question_is_asked_again_when_the_link_is_back_in_time);
    tcase_add_test(tests, a_link_that_stays_away_too_long_is_a_loss);
    tcase_add_test(tests, a_permission_that_ends_while_the_broker_is_away_is_held);
    tcase_add_test(tests, a_lost_stream_takes_what_is_held_along);
    tcase_add_test(tests, a_hole_is_repaired_while_held);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
