#include <stdio.h>
#include <string.h>

#include "core_world.h"
#include "unit.h"

#define EPOCH_2 "0000000000000002"
#define EPOCH_3 "0000000000000003"
#define BODY_1  "'data':{'n':1}"
#define BODY_2  "'data':{'n':2}"

/* --- commit, then deliver, then acknowledge --- */

START_TEST(nothing_is_said_before_the_commit)
{
    world_subscribe("chat", NULL, true);
    post(1, 1);
    uint64_t ticket = expect_append("chat", NULL, 2, 1, BODY_1);
    expect_nothing();
    ck_assert(!core_is_settled(world));
    stored(ticket, STORE_COMMITTED);
    expect_publication("chat", NULL, 2, 1, BODY_1);
    expect_ok(1, EPOCH_2, 1);
    expect_nothing();
    ck_assert(core_is_settled(world));
}
END_TEST

START_TEST(without_interest_nothing_is_published)
{
    post(1, 1);
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    world_subscribe("chat", "room", true);
    post(2, 2);
    stored(expect_append("chat", NULL, 2, 2, NULL), STORE_COMMITTED);
    expect_ok(2, EPOCH_2, 2);
    world_subscribe("chat", NULL, true);
    world_subscribe("chat", NULL, false);
    post(3, 3);
    stored(expect_append("chat", NULL, 2, 3, NULL), STORE_COMMITTED);
    expect_ok(3, EPOCH_2, 3);
}
END_TEST

START_TEST(offsets_follow_the_order_of_the_requests)
{
    world_subscribe("chat", NULL, true);
    post(1, 1);
    post(2, 2);
    uint64_t first = expect_append("chat", NULL, 2, 1, BODY_1);
    uint64_t second = expect_append("chat", NULL, 2, 2, BODY_2);
    stored(first, STORE_COMMITTED);
    stored(second, STORE_COMMITTED);
    expect_publication("chat", NULL, 2, 1, BODY_1);
    expect_ok(1, EPOCH_2, 1);
    expect_publication("chat", NULL, 2, 2, BODY_2);
    expect_ok(2, EPOCH_2, 2);
}
END_TEST

START_TEST(streams_complete_independently)
{
    world_request(0, "p", "{'op':'publish','id':1,'channel':'a','payload':{}}");
    world_request(0, "p", "{'op':'publish','id':2,'channel':'b','payload':{}}");
    uint64_t a = expect_append("a", NULL, 2, 1, "'data':{}");
    uint64_t b = expect_append("b", NULL, 3, 1, "'data':{}");
    stored(b, STORE_COMMITTED);
    expect_ok(2, EPOCH_3, 1);
    stored(a, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    ck_assert(core_is_settled(world));
}
END_TEST

START_TEST(a_ticket_that_is_decided_or_never_was_is_ignored)
{
    post(1, 1);
    uint64_t ticket = expect_append("chat", NULL, 2, 1, NULL);
    stored(ticket, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    stored(ticket, STORE_COMMITTED);
    stored(ticket, STORE_FAILED);
    stored(ticket + 1, STORE_COMMITTED);
    stored(UINT64_MAX, STORE_FAILED);
    expect_nothing();
}
END_TEST

START_TEST(the_publisher_is_told_when_known)
{
    world_request(0, "p",
                  "{'op':'publish','channel':'chat','resource':'r 1','payload':{'a':[1,'x']},"
                  "'publisher':'u\\'1'}");
    expect_append("chat", "r 1", 2, 1, "'data':{'a':[1,'x']},'info':{'client':'','user':'u\\'1'}");
}
END_TEST

/* --- when a commit fails --- */

START_TEST(a_failed_commit_takes_all_later_ones_with_it)
{
    world_subscribe("chat", NULL, true);
    post(1, 1);
    post(2, 2);
    post(3, 3);
    uint64_t first = expect_append("chat", NULL, 2, 1, NULL);
    uint64_t second = expect_append("chat", NULL, 2, 2, NULL);
    uint64_t third = expect_append("chat", NULL, 2, 3, NULL);
    stored(first, STORE_COMMITTED);
    expect_publication("chat", NULL, 2, 1, BODY_1);
    expect_ok(1, EPOCH_2, 1);

    stored(second, STORE_FAILED);
    expect_refusal("p", "2", STATUS_UNAVAILABLE, "could not keep it");
    expect_refusal("p", "3", STATUS_UNAVAILABLE, "could not keep it");
    stored(third, STORE_COMMITTED); /* too late: nobody listens to it */
    expect_nothing();

    post(4, 4);
    uint64_t again = expect_append("chat", NULL, 2, 2, "'data':{'n':4}");
    stored(again, STORE_COMMITTED);
    expect_publication("chat", NULL, 2, 2, "'data':{'n':4}");
    expect_ok(4, EPOCH_2, 2);
}
END_TEST

START_TEST(a_failed_commit_leaves_earlier_ones_and_other_streams_alone)
{
    post(1, 1);
    post(2, 2);
    world_request(0, "p", "{'op':'publish','id':3,'channel':'other','payload':{}}");
    uint64_t first = expect_append("chat", NULL, 2, 1, NULL);
    uint64_t second = expect_append("chat", NULL, 2, 2, NULL);
    uint64_t other = expect_append("other", NULL, 3, 1, NULL);
    stored(second, STORE_FAILED);
    expect_refusal("p", "2", STATUS_UNAVAILABLE, "could not keep it");
    expect_nothing();
    stored(first, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    stored(other, STORE_COMMITTED);
    expect_ok(3, EPOCH_3, 1);
}
END_TEST

START_TEST(an_append_that_failed_before_the_store_saw_it_is_not_handed_over)
{
    post(1, 1);
    post(2, 2);
    uint64_t first = expect_append("chat", NULL, 2, 1, NULL);
    stored(first, STORE_FAILED);
    expect_refusal("p", "1", STATUS_UNAVAILABLE, "could not keep it");
    expect_refusal("p", "2", STATUS_UNAVAILABLE, "could not keep it");
    expect_nothing();
}
END_TEST

START_TEST(an_unknown_outcome_begins_another_epoch)
{
    world_subscribe("chat", NULL, true);
    post(1, 1);
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    drop_effects();
    post(2, 2);
    post(3, 3);
    uint64_t second = expect_append("chat", NULL, 2, 2, NULL);
    expect_append("chat", NULL, 2, 3, NULL);
    stored(second, STORE_UNKNOWN);
    expect_refusal("p", "2", STATUS_IN_DOUBT, "does not know whether it has kept it");
    expect_refusal("p", "3", STATUS_IN_DOUBT, "does not know whether it has kept it");
    post(4, 4);
    stored(expect_append("chat", NULL, 3, 1, NULL), STORE_COMMITTED);
    expect_publication("chat", NULL, 3, 1, NULL);
    expect_ok(4, EPOCH_3, 1);
}
END_TEST

START_TEST(a_store_without_space_is_507)
{
    post(1, 1);
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    post_key(2, 2, "k");
    post(3, 3);
    post_key(4, 2, "k");
    uint64_t second = expect_append("chat", NULL, 2, 2, NULL);
    uint64_t third = expect_append("chat", NULL, 2, 3, NULL);
    stored(second, STORE_FULL);
    expect_refusal("p", "2", STATUS_NO_SPACE, "the store has no space left");
    expect_refusal("p", "4", STATUS_NO_SPACE, "");
    expect_refusal("p", "3", STATUS_NO_SPACE, "the store has no space left");
    stored(third, STORE_FULL);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.refused_no_space_total, 3);
    ck_assert_uint_eq(world_metrics.refused_unavailable_total, 0);

    post_key(5, 2, "k"); /* space again: the same epoch, the same place */
    stored(expect_append("chat", NULL, 2, 2, NULL), STORE_COMMITTED);
    expect_ok(5, EPOCH_2, 2);
}
END_TEST

START_TEST(a_doubt_is_told_and_the_place_is_used_again)
{
    world_subscribe("chat", NULL, true);
    post(1, 1);
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    drop_effects();
    post_key(2, 2, "k");
    post(3, 3);
    uint64_t second = expect_append("chat", NULL, 2, 2, NULL);
    uint64_t third = expect_append("chat", NULL, 2, 3, NULL);
    stored(second, STORE_DOUBTED);
    expect_refusal("p", "2", STATUS_IN_DOUBT, "does not know whether it has kept it");
    expect_refusal("p", "3", STATUS_IN_DOUBT, "does not know whether it has kept it");
    stored(third, STORE_FAILED);
    expect_nothing();
    post_key(4, 2, "k");
    stored(expect_append("chat", NULL, 2, 2, NULL), STORE_COMMITTED);
    expect_publication("chat", NULL, 2, 2, NULL);
    expect_ok(4, EPOCH_2, 2);
}
END_TEST

START_TEST(what_is_on_its_way_at_the_end_is_freed)
{
    post_key(1, 1, "k");
    post_key(2, 1, "k");
    world_request(0, "p", "{'op':'publish_many','id':3,'items':[{'channel':'c','payload':{}}]}");
    expect_append("chat", NULL, 2, 1, NULL);
}
END_TEST

/* --- idempotency --- */

START_TEST(a_duplicate_gets_the_place_of_the_first)
{
    post_key(1, 1, "k");
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    post(2, 2);
    stored(expect_append("chat", NULL, 2, 2, NULL), STORE_COMMITTED);
    expect_ok(2, EPOCH_2, 2);
    post_key(3, 1, "k");
    expect_duplicate(3, EPOCH_2, 1);
    expect_nothing();
    ck_assert_uint_eq(world_metrics.duplicates_total, 1);
    ck_assert_uint_eq(world_metrics.acknowledged_total, 2);
}
END_TEST

START_TEST(a_duplicate_of_a_pending_append_waits_for_it)
{
    post_key(1, 1, "k");
    post_key(2, 1, "k");
    world_request(0, "q", "{'op':'publish','id':3,'channel':'chat','payload':{'n':1},'key':'k'}");
    uint64_t ticket = expect_append("chat", NULL, 2, 1, NULL);
    expect_nothing();
    stored(ticket, STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    expect_reply("q", "{'id':3,'ok':true,'epoch':'" EPOCH_2 "','offset':1,'duplicate':true}");
    expect_duplicate(2, EPOCH_2, 1);
    expect_nothing();
}
END_TEST

START_TEST(duplicates_within_one_request)
{
    world_request(0, "p",
                  "{'op':'publish_many','id':7,'items':[{'channel':'a','payload':{},'key':'k'},"
                  "{'channel':'a','payload':{},'key':'k'}]}");
    stored(expect_append("a", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_reply("p", "{'id':7,'ok':true,'results':[{'ok':true,'epoch':'" EPOCH_2 "','offset':1},"
                      "{'ok':true,'epoch':'" EPOCH_2 "','offset':1,'duplicate':true}]}");
}
END_TEST

START_TEST(a_failed_append_forgets_its_key)
{
    post_key(1, 1, "k");
    post_key(2, 1, "k");
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_FAILED);
    expect_refusal("p", "1", STATUS_UNAVAILABLE, "could not keep it");
    expect_refusal("p", "2", STATUS_UNAVAILABLE, "unavailable");
    post_key(3, 5, "k"); /* even for another publication */
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_ok(3, EPOCH_2, 1);
}
END_TEST

START_TEST(the_same_key_for_something_else_is_a_conflict)
{
    post_key(1, 1, "k");
    stored(expect_append("chat", NULL, 2, 1, NULL), STORE_COMMITTED);
    expect_ok(1, EPOCH_2, 1);
    post_key(2, 2, "k");
    expect_refusal("p", "2", STATUS_CONFLICT, "key");
    world_request(0, "p",
                  "{'op':'publish','id':3,'channel':'chat','payload':{'n':1},'key':'k',"
                  "'publisher':'u'}");
    expect_refusal("p", "3", STATUS_CONFLICT, "key");
    world_request(0, "p", "{'op':'publish','id':4,'channel':'b','payload':{'n':2},'key':'k'}");
    expect_append("b", NULL, 3, 1, NULL);
}
END_TEST

START_TEST(beyond_the_keys_503)
{
    char key[8];
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "k%d", i);
        post_key(i, i, key);
        stored(expect_append("chat", NULL, 2, (uint64_t)i + 1, NULL), STORE_COMMITTED);
        expect_ok(i, EPOCH_2, i + 1);
    }
    post_key(10, 10, "k10");
    expect_refusal("p", "10", STATUS_UNAVAILABLE, "keys");
    world_now += 300000;
    post_key(11, 11, "k10");
    expect_append("chat", NULL, 2, 11, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_publish");
    TCase *tests = tcase_create("core_publish");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, nothing_is_said_before_the_commit);
    tcase_add_test(tests, without_interest_nothing_is_published);
    tcase_add_test(tests, offsets_follow_the_order_of_the_requests);
    tcase_add_test(tests, streams_complete_independently);
    tcase_add_test(tests, a_ticket_that_is_decided_or_never_was_is_ignored);
    tcase_add_test(tests, the_publisher_is_told_when_known);
    tcase_add_test(tests, a_failed_commit_takes_all_later_ones_with_it);
    tcase_add_test(tests, a_failed_commit_leaves_earlier_ones_and_other_streams_alone);
    tcase_add_test(tests, an_append_that_failed_before_the_store_saw_it_is_not_handed_over);
    tcase_add_test(tests, an_unknown_outcome_begins_another_epoch);
    tcase_add_test(tests, a_store_without_space_is_507);
    tcase_add_test(tests, a_doubt_is_told_and_the_place_is_used_again);
    tcase_add_test(tests, what_is_on_its_way_at_the_end_is_freed);
    tcase_add_test(tests, a_duplicate_gets_the_place_of_the_first);
    tcase_add_test(tests, a_duplicate_of_a_pending_append_waits_for_it);
    tcase_add_test(tests, duplicates_within_one_request);
    tcase_add_test(tests, a_failed_append_forgets_its_key);
    tcase_add_test(tests, the_same_key_for_something_else_is_a_conflict);
    tcase_add_test(tests, beyond_the_keys_503);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
