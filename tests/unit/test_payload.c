#include "common/payload.h"
#include "unit.h"

START_TEST(is_freed_with_its_last_reference)
{
    payload_t *payload = payload_new(5);
    ck_assert_uint_eq(payload->references, 1);
    memcpy(payload->data, "hello", 5);
    payload_t *other = payload_hold(payload);
    ck_assert_ptr_eq(other, payload);
    payload_release(&payload);
    ck_assert_ptr_null(payload);
    ck_assert(span_is(payload_span(other), "hello"));
    ck_assert_uint_eq(other->references, 1);
    payload_release(&other); /* a leak or a second free is the sanitizer's to find */
    ck_assert_ptr_null(other);
    payload_release(&other);
}
END_TEST

START_TEST(has_room_in_front)
{
    payload_t *payload = payload_new(1);
    ck_assert_uint_ge((size_t)(payload->data - (uint8_t *)payload), PAYLOAD_ROOM);
    memset(payload->data - PAYLOAD_ROOM, 0xff, PAYLOAD_ROOM);
    ck_assert_uint_eq(payload->references, 1);
    ck_assert_uint_eq(payload->size, 1);
    payload_release(&payload);
}
END_TEST

START_TEST(may_be_empty)
{
    payload_t *payload = payload_new(0);
    ck_assert_uint_eq(payload_span(payload).size, 0);
    payload_release(&payload);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("payload");
    TCase *tests = tcase_create("payload");
    tcase_add_test(tests, is_freed_with_its_last_reference);
    tcase_add_test(tests, has_room_in_front);
    tcase_add_test(tests, may_be_empty);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
