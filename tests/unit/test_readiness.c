#include "gateway/readiness.h"

#include "bytes.h"
#include "unit.h"

static struct readiness seen;
static struct buffer reason;

static void setup(void)
{
    seen = (struct readiness){.is_up = true, .is_heard = true};
    buffer_reset(&reason);
}

static void teardown(void)
{
    buffer_free(&reason);
}

static void expect(const char *text)
{
    buffer_reset(&reason);
    readiness_write_reason(&seen, &reason);
    assert_text(buffer_span(&reason), text);
    ck_assert_int_eq(readiness_is_ready(&seen), text[0] == '\0');
}

START_TEST(each_thing_that_is_wrong_has_its_sentence)
{
    expect("");
    seen.is_replaced = true;
    expect("\"a newer gateway has this one's name: each needs a [gateway] name of its own\"");
    seen.is_memory_short = true;
    expect("\"no memory for more connections, see the setting memory_bytes\"");
    seen.is_heard = false;
    expect("\"no canary of the broker was heard for 6 s\"");
    seen.is_up = false;
    expect("\"the broker cannot be reached\"");
    seen.refusal = span_text("this broker speaks \"4\"");
    expect("\"this broker speaks \\\"4\\\"\"");
    seen.is_draining = true;
    expect("\"draining\"");
}
END_TEST

START_TEST(a_refusal_that_is_no_text_has_another_reason)
{
    seen.is_up = false;
    seen.refusal = BYTES("\xff\xfe");
    expect("\"the broker cannot be reached\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("readiness");
    TCase *tests = tcase_create("readiness");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, each_thing_that_is_wrong_has_its_sentence);
    tcase_add_test(tests, a_refusal_that_is_no_text_has_another_reason);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
