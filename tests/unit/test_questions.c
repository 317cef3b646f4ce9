#include "gateway/questions.h"
#include "unit.h"

static int first, second;

START_TEST(an_answer_finds_who_asked)
{
    questions_t *questions = questions_new();
    question_token one = question_open(questions, QUESTION_SUBSCRIBE, &first);
    question_token two = question_open(questions, QUESTION_RANGE, &second);
    ck_assert_uint_ne(one, 0);
    ck_assert_uint_ne(one, two);
    enum question_kind kind;
    ck_assert_ptr_eq(question_find(questions, one, &kind), &first);
    ck_assert_int_eq(kind, QUESTION_SUBSCRIBE);
    ck_assert_ptr_eq(question_find(questions, two, &kind), &second);
    ck_assert_int_eq(kind, QUESTION_RANGE);
    ck_assert_uint_eq(questions_open(questions), 2);
    questions_destroy(&questions);
}
END_TEST

START_TEST(a_late_answer_finds_nobody)
{
    questions_t *questions = questions_new();
    question_token token = question_open(questions, QUESTION_HISTORY, &first), late = token;
    question_close(questions, &token);
    ck_assert_uint_eq(token, 0);
    question_token reused = question_open(questions, QUESTION_HISTORY, &second);
    ck_assert_uint_ne(reused, late); /* the same place, another use */
    enum question_kind kind;
    ck_assert_ptr_null(question_find(questions, late, &kind));
    ck_assert_int_eq(kind, QUESTION_NONE);
    ck_assert_ptr_null(question_find(questions, 0, &kind));
    ck_assert_ptr_null(question_find(questions, UINT64_MAX, &kind));
    ck_assert_ptr_null(question_find(questions, 12345, &kind));
    question_close(questions, &late); /* harmless */
    ck_assert_ptr_eq(question_find(questions, reused, &kind), &second);
    questions_destroy(&questions);
}
END_TEST

START_TEST(each_kind_is_counted)
{
    questions_t *questions = questions_new();
    question_token one = question_open(questions, QUESTION_PRESENCE, &first);
    question_token two = question_open(questions, QUESTION_PRESENCE, &first);
    question_token other = question_open(questions, QUESTION_RANGE, &second);
    ck_assert_uint_eq(questions_open_of(questions, QUESTION_PRESENCE), 2);
    question_close(questions, &one);
    question_close(questions, &one);
    question_close(questions, &other);
    ck_assert_uint_eq(questions_open_of(questions, QUESTION_PRESENCE), 1);
    ck_assert_uint_eq(questions_open_of(questions, QUESTION_RANGE), 0);
    question_close(questions, &two);
    ck_assert_uint_eq(questions_open_of(questions, QUESTION_PRESENCE), 0);
    questions_destroy(&questions);
}
END_TEST

START_TEST(all_open_ones_can_be_listed_and_closed_meanwhile)
{
    enum { COUNT = 1000 };
    static int askers[COUNT];
    static question_token tokens[COUNT];
    questions_t *questions = questions_new();
    for (int i = 0; i < COUNT; i++)
        tokens[i] = question_open(questions, QUESTION_SUBSCRIBE, &askers[i]);
    for (int i = 0; i < COUNT; i += 3)
        question_close(questions, &tokens[i]);
    size_t at = 0, seen = 0;
    enum question_kind kind;
    for (int *asker; (asker = question_next(questions, &at, &kind)); seen++) {
        ck_assert_int_ne((asker - askers) % 3, 0);
        question_close(questions, &tokens[asker - askers]);
    }
    ck_assert_uint_eq(seen, COUNT - (COUNT + 2) / 3);
    ck_assert_uint_eq(questions_open(questions), 0);
    questions_destroy(&questions);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("questions");
    TCase *tests = tcase_create("questions");
    tcase_add_test(tests, an_answer_finds_who_asked);
    tcase_add_test(tests, a_late_answer_finds_nobody);
    tcase_add_test(tests, each_kind_is_counted);
    tcase_add_test(tests, all_open_ones_can_be_listed_and_closed_meanwhile);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
