#include "common/outbox.h"
#include "unit.h"

static outbox_pool_t *pool;

static void setup(void)
{
    pool = outbox_pool_new();
    ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
    outbox_pool_destroy(&pool);
    ck_assert_ptr_null(pool);
}

/* Puts a payload of this size and gives the outbox the only reference. */
static bool put_new(outbox_t *outbox, size_t size, size_t max_bytes)
{
    payload_t *payload = payload_new(size);
    bool put = outbox_put(outbox, pool, payload, max_bytes);
    ck_assert_uint_eq(payload->references, put ? 2 : 1);
    payload_release(&payload);
    return put;
}

START_TEST(keeps_the_order)
{
    outbox_t outbox = {0};
    payload_t *payloads[20], *seen[20];
    for (int i = 0; i < 20; i++) {
        payloads[i] = payload_new(10);
        ck_assert(outbox_put(&outbox, pool, payloads[i], 1000));
    }
    ck_assert_uint_eq(outbox.bytes, 200);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 20, 1000), 20);
    ck_assert_mem_eq(seen, payloads, sizeof seen);
    outbox_drop(&outbox, pool, 7);
    ck_assert_uint_eq(outbox.bytes, 130);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 20, 1000), 13);
    ck_assert_mem_eq(seen, payloads + 7, 13 * sizeof *seen);
    outbox_drop(&outbox, pool, 13);
    ck_assert(outbox_is_empty(&outbox));
    for (int i = 0; i < 20; i++) {
        ck_assert_uint_eq(payloads[i]->references, 1);
        payload_release(&payloads[i]);
    }
}
END_TEST

START_TEST(refuses_what_exceeds_the_limit)
{
    outbox_t outbox = {0};
    ck_assert(put_new(&outbox, 60, 100));
    ck_assert(put_new(&outbox, 40, 100));
    ck_assert(!put_new(&outbox, 1, 100));
    ck_assert(put_new(&outbox, 0, 100));
    ck_assert_uint_eq(outbox.bytes, 100);
    outbox_drop(&outbox, pool, 1);
    ck_assert(put_new(&outbox, 60, 100));
    outbox_clear(&outbox, pool);
}
END_TEST

START_TEST(an_empty_outbox_takes_any_payload)
{
    outbox_t outbox = {0};
    ck_assert(put_new(&outbox, 1000, 100));
    ck_assert(!put_new(&outbox, 1, 100));
    outbox_drop(&outbox, pool, 1);
    ck_assert(put_new(&outbox, 1000, 100));
    outbox_clear(&outbox, pool);
    ck_assert_uint_eq(outbox.bytes, 0);
}
END_TEST

START_TEST(peek_stops_before_its_limits)
{
    outbox_t outbox = {0};
    payload_t *seen[10];
    for (int i = 0; i < 10; i++)
        ck_assert(put_new(&outbox, 100, 10000));
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 3, 10000), 3);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 10, 250), 2);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 10, 800), 8);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 10, 1), 1);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 0, 1000), 0);
    outbox_clear(&outbox, pool);
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 10, 1000), 0);
}
END_TEST

START_TEST(one_payload_in_many_outboxes)
{
    enum { COUNT = 5000 };
    outbox_t *outboxes = calloc(COUNT, sizeof *outboxes);
    payload_t *payload = payload_new(100);
    for (int i = 0; i < COUNT; i++)
        ck_assert(outbox_put(&outboxes[i], pool, payload, 1000));
    ck_assert_uint_eq(payload->references, COUNT + 1);
    for (int i = 0; i < COUNT; i++)
        outbox_clear(&outboxes[i], pool);
    ck_assert_uint_eq(payload->references, 1);
    payload_release(&payload);
    free(outboxes);
}
END_TEST

START_TEST(the_pool_knows_the_bytes_of_all_outboxes)
{
    outbox_t outboxes[3] = {0};
    for (size_t i = 0; i < 30; i++) /* fronts and chunks */
        ck_assert(put_new(&outboxes[i % 3], 10, 1000));
    ck_assert(!put_new(&outboxes[0], 901, 1000));
    ck_assert_uint_eq(pool->bytes, 300);
    outbox_drop(&outboxes[0], pool, 1);
    outbox_drop(&outboxes[1], pool, 8);
    ck_assert_uint_eq(pool->bytes, 210);
    ck_assert(put_new(&outboxes[0], 5, 1000)); /* behind a front that was sent */
    ck_assert_uint_eq(pool->bytes, 215);
    for (size_t i = 0; i < 3; i++)
        outbox_clear(&outboxes[i], pool);
    ck_assert_uint_eq(pool->bytes, 0);
}
END_TEST

START_TEST(a_single_frame_needs_no_chunk)
{
    outbox_t outbox = {0};
    for (int round = 0; round < 3; round++) {
        ck_assert(put_new(&outbox, 10, 1000));
        payload_t *seen[2];
        ck_assert_uint_eq(outbox_peek(&outbox, seen, 2, 1000), 1);
        outbox_drop(&outbox, pool, 1);
        ck_assert(outbox_is_empty(&outbox));
    }
    ck_assert_ptr_null(pool->slabs);
}
END_TEST

START_TEST(goes_on_behind_a_front_that_was_sent)
{
    outbox_t outbox = {0};
    ck_assert(put_new(&outbox, 1, 1000));
    ck_assert(put_new(&outbox, 2, 1000));
    outbox_drop(&outbox, pool, 1);
    ck_assert(!outbox_is_empty(&outbox));
    ck_assert(put_new(&outbox, 3, 1000));
    payload_t *seen[3];
    ck_assert_uint_eq(outbox_peek(&outbox, seen, 3, 1000), 2);
    ck_assert_uint_eq(seen[0]->size, 2);
    ck_assert_uint_eq(seen[1]->size, 3);
    ck_assert_uint_eq(outbox.bytes, 5);
    outbox_clear(&outbox, pool);
    ck_assert(outbox_is_empty(&outbox));
}
END_TEST

static size_t spare_chunks(void)
{
    size_t count = 0;
    for (const struct outbox_chunk *chunk = pool->spare; chunk; chunk = chunk->next)
        count++;
    return count;
}

START_TEST(the_pool_gets_every_chunk_back)
{
    outbox_t outbox = {0};
    ck_assert(put_new(&outbox, 1, 1000000));
    ck_assert(put_new(&outbox, 1, 1000000));
    outbox_drop(&outbox, pool, 2);
    size_t spare = spare_chunks();
    ck_assert_uint_gt(spare, 500 / OUTBOX_CHUNK);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 500; i++)
            ck_assert(put_new(&outbox, 1, 1000000));
        while (!outbox_is_empty(&outbox)) {
            ck_assert(put_new(&outbox, 1, 1000000));
            payload_t *seen[3];
            outbox_drop(&outbox, pool, outbox_peek(&outbox, seen, 3, 1000000));
        }
        ck_assert_uint_eq(spare_chunks(), spare);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outbox");
    TCase *tests = tcase_create("outbox");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, keeps_the_order);
    tcase_add_test(tests, refuses_what_exceeds_the_limit);
    tcase_add_test(tests, an_empty_outbox_takes_any_payload);
    tcase_add_test(tests, peek_stops_before_its_limits);
    tcase_add_test(tests, one_payload_in_many_outboxes);
    tcase_add_test(tests, the_pool_knows_the_bytes_of_all_outboxes);
    tcase_add_test(tests, a_single_frame_needs_no_chunk);
    tcase_add_test(tests, goes_on_behind_a_front_that_was_sent);
    tcase_add_test(tests, the_pool_gets_every_chunk_back);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
