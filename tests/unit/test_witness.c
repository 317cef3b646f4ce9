#include <stdio.h>
#include <string.h>

#include "bench/witness.h"
#include "unit.h"

static struct witness witness;
static struct witness_faults faults;
static const struct herd_text channel = {"a:1", 3};

static void setup(void)
{
    witness = (struct witness){0};
    faults = (struct witness_faults){0};
}

static bool reply(const char *fields, bool asked)
{
    char text[1024];
    struct herd_line line;
    int size = snprintf(text, sizeof text, "{\"id\":1,\"subscribe\":{%s}}", fields);
    herd_line_read(&line, text, (size_t)size);
    ck_assert_int_eq(line.kind, HERD_LINE_SUBSCRIBED);
    bool recovered = witness_subscribed(&witness, &line, asked, channel, &faults);
    herd_line_free(&line);
    return recovered;
}

static void publication(uint64_t offset, uint64_t number, const char *about)
{
    struct herd_publication one = {offset, number, {about, strlen(about)}};
    witness_publication(&witness, &one, channel, &faults);
}

static void expect_faults(struct witness_faults expected)
{
    ck_assert_mem_eq(&faults, &expected, sizeof expected);
}

static void given_position_5(void)
{
    ck_assert(!reply("\"epoch\":\"e1\",\"offset\":4", false));
    publication(5, 50, "a:1");
    ck_assert_uint_eq(witness_position(&witness), 5);
    expect_faults((struct witness_faults){0});
}

START_TEST(what_follows_the_position_is_fine)
{
    given_position_5();
    publication(6, 60, "a:1");
    publication(7, 0, "");
    ck_assert_uint_eq(witness_position(&witness), 7);
    expect_faults((struct witness_faults){0});
}
END_TEST

START_TEST(hole_double_and_late_one)
{
    given_position_5();
    publication(9, 0, ""); /* 6, 7, 8 are missing */
    expect_faults((struct witness_faults){.offsets.lost = 3});
    publication(9, 0, "");
    expect_faults((struct witness_faults){.offsets = {.lost = 3, .duplicated = 1}});
    publication(7, 0, "");
    expect_faults((struct witness_faults){.offsets = {2, 1, 1}});
    publication(5, 0, "");
    expect_faults((struct witness_faults){.offsets = {2, 2, 1}});
}
END_TEST

START_TEST(old_message_at_a_new_offset)
{
    given_position_5();
    publication(6, 50, "a:1");
    expect_faults((struct witness_faults){.repeated = 1});
}
END_TEST

START_TEST(message_of_another_address)
{
    given_position_5();
    publication(6, 60, "a:2");
    expect_faults((struct witness_faults){.foreign = 1});
}
END_TEST

START_TEST(recovered_with_all_that_was_missed)
{
    given_position_5();
    ck_assert(reply("\"was_recovering\":true,\"recovered\":true,\"epoch\":\"e1\",\"offset\":5,"
                    "\"publications\":[{\"data\":{\"n\":60},\"offset\":6},"
                    "{\"data\":{\"n\":70},\"offset\":7}]",
                    true));
    publication(8, 80, "");
    ck_assert_uint_eq(witness_position(&witness), 8);
    expect_faults((struct witness_faults){0});
}
END_TEST

START_TEST(recovered_but_not_all)
{
    given_position_5();
    reply("\"was_recovering\":true,\"recovered\":true,\"epoch\":\"e1\",\"offset\":5,"
          "\"publications\":[{\"data\":{},\"offset\":7}]",
          true);
    expect_faults((struct witness_faults){.offsets.lost = 1});
    publication(9, 0, ""); /* the reply's end, and then another hole */
    expect_faults((struct witness_faults){.offsets.lost = 2});
}
END_TEST

START_TEST(not_recovered_is_a_new_beginning)
{
    given_position_5();
    ck_assert(!reply("\"was_recovering\":true,\"epoch\":\"e2\",\"offset\":2", true));
    publication(3, 60, "");
    ck_assert_uint_eq(witness_position(&witness), 3);
    ck_assert_str_eq(witness.epoch, "e2");
    expect_faults((struct witness_faults){0});
}
END_TEST

START_TEST(replies_that_contradict)
{
    static const struct {
        const char *fields;
        bool asked;
    } bad[] = {
        /* recovered from where we are not */
        {"\"was_recovering\":true,\"recovered\":true,\"epoch\":\"e1\",\"offset\":4", true},
        {"\"was_recovering\":true,\"recovered\":true,\"epoch\":\"e2\",\"offset\":5", true},
        /* recovered although not asked, asked and not said */
        {"\"was_recovering\":true,\"recovered\":true,\"epoch\":\"e1\",\"offset\":5", false},
        {"\"recovered\":true,\"epoch\":\"e1\",\"offset\":5", false},
        {"\"epoch\":\"e1\",\"offset\":5", true},
        /* lost, and yet some of it, or back in time, or nowhere */
        {"\"was_recovering\":true,\"epoch\":\"e1\",\"offset\":9,\"publications\":"
         "[{\"data\":{},\"offset\":9}]",
         true},
        {"\"was_recovering\":true,\"epoch\":\"e1\",\"offset\":4", true},
        {"\"was_recovering\":true,\"offset\":9", true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setup();
        given_position_5();
        reply(bad[i].fields, bad[i].asked);
        ck_assert_msg(faults.replies == 1, "%s", bad[i].fields);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("witness");
    TCase *tests = tcase_create("witness");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, what_follows_the_position_is_fine);
    tcase_add_test(tests, hole_double_and_late_one);
    tcase_add_test(tests, old_message_at_a_new_offset);
    tcase_add_test(tests, message_of_another_address);
    tcase_add_test(tests, recovered_with_all_that_was_missed);
    tcase_add_test(tests, recovered_but_not_all);
    tcase_add_test(tests, not_recovered_is_a_new_beginning);
    tcase_add_test(tests, replies_that_contradict);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
