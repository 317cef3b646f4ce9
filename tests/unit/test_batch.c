#include <string.h>

#include "gateway/batch.h"
#include "unit.h"

static outbox_pool_t *pool;
static batch_t *batch;
static outbox_t outbox, other;

static void setup(void)
{
    pool = outbox_pool_new();
    batch = batch_new();
    outbox = other = (outbox_t){0};
}

static void teardown(void)
{
    outbox_clear(&outbox, pool);
    outbox_clear(&other, pool);
    batch_destroy(&batch);
    ck_assert_ptr_null(batch);
    outbox_pool_destroy(&pool);
}

static payload_t *new_frame(size_t size, char fill)
{
    payload_t *frame = payload_new(size);
    ck_assert_ptr_nonnull(frame);
    memset(frame->data, fill, size);
    return frame;
}

static void put(outbox_t *to, payload_t *frame)
{
    ck_assert(outbox_put(to, pool, frame, SIZE_MAX));
}

/* The outbox keeps the only reference. */
static void put_new(outbox_t *to, size_t size, char fill)
{
    payload_t *frame = new_frame(size, fill);
    put(to, frame);
    payload_release(&frame);
}

START_TEST(an_empty_outbox_gives_nothing)
{
    size_t count = 7;
    ck_assert_uint_eq(batch_gather(batch, &outbox, &count).size, 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(a_single_frame_is_given_as_it_is)
{
    payload_t *frame = new_frame(100000, 'a');
    size_t count;
    put(&outbox, frame);
    struct span bytes = batch_gather(batch, &outbox, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_eq(bytes.data, frame->data);
    ck_assert_uint_eq(bytes.size, 100000);
    ck_assert_uint_eq(frame->references, 2);
    payload_release(&frame);
}
END_TEST

START_TEST(several_frames_are_put_behind_one_another)
{
    size_t count;
    put_new(&outbox, 2, 'a');
    put_new(&outbox, 3, 'b');
    put_new(&outbox, 1, 'c');
    struct span bytes = batch_gather(batch, &outbox, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert(span_is(bytes, "aabbbc"));
}
END_TEST

START_TEST(the_same_frames_are_copied_once)
{
    payload_t *frames[] = {new_frame(3, 'a'), new_frame(3, 'b')};
    size_t count;
    for (size_t i = 0; i < 2; i++) {
        put(&outbox, frames[i]);
        put(&other, frames[i]);
    }
    struct span first = batch_gather(batch, &outbox, &count);
    memset(frames[0]->data, 'x', 3); /* a second copy would show it */
    struct span second = batch_gather(batch, &other, &count);
    ck_assert_ptr_eq(first.data, second.data);
    ck_assert(span_is(second, "aaabbb"));
    batch_forget(batch);
    ck_assert(span_is(batch_gather(batch, &other, &count), "xxxbbb"));
    payload_release(&frames[0]);
    payload_release(&frames[1]);
}
END_TEST

START_TEST(other_frames_are_copied_anew)
{
    size_t count;
    put_new(&outbox, 1, 'a');
    put_new(&outbox, 1, 'b');
    put_new(&other, 1, 'c');
    put_new(&other, 1, 'd');
    ck_assert(span_is(batch_gather(batch, &outbox, &count), "ab"));
    ck_assert(span_is(batch_gather(batch, &other, &count), "cd"));
    put_new(&other, 1, 'e');
    ck_assert(span_is(batch_gather(batch, &other, &count), "cde"));
}
END_TEST

/* The allocator may give a new frame the address of one that was sent. */
START_TEST(a_frame_that_was_copied_keeps_its_address)
{
    size_t count;
    for (char round = 'a'; round < 'z'; round++) {
        put_new(&outbox, 8, round);
        put_new(&outbox, 8, round);
        struct span bytes = batch_gather(batch, &outbox, &count);
        ck_assert_uint_eq(bytes.data[0], (uint8_t)round);
        outbox_drop(&outbox, pool, count);
    }
}
END_TEST

START_TEST(a_batch_is_bounded_in_bytes)
{
    size_t count;
    for (int i = 0; i < 5; i++)
        put_new(&outbox, BATCH_BYTES / 4, 'a');
    ck_assert_uint_eq(batch_gather(batch, &outbox, &count).size, BATCH_BYTES);
    ck_assert_uint_eq(count, 4);
    put_new(&other, BATCH_BYTES, 'b');
    put_new(&other, 1, 'c');
    ck_assert_uint_eq(batch_gather(batch, &other, &count).size, BATCH_BYTES);
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(a_batch_is_bounded_in_frames)
{
    size_t count;
    for (int i = 0; i < BATCH_FRAMES + 1; i++)
        put_new(&outbox, 1, 'a');
    ck_assert_uint_eq(batch_gather(batch, &outbox, &count).size, BATCH_FRAMES);
    ck_assert_uint_eq(count, BATCH_FRAMES);
}
END_TEST

START_TEST(forgetting_releases_what_was_held)
{
    payload_t *frames[] = {new_frame(1, 'a'), new_frame(1, 'b')};
    size_t count;
    put(&outbox, frames[0]);
    put(&outbox, frames[1]);
    batch_gather(batch, &outbox, &count);
    outbox_clear(&outbox, pool);
    ck_assert_uint_eq(frames[0]->references, 2);
    batch_forget(batch);
    ck_assert_uint_eq(frames[0]->references, 1);
    ck_assert_uint_eq(frames[1]->references, 1);
    payload_release(&frames[0]);
    payload_release(&frames[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tests = tcase_create("batch");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_empty_outbox_gives_nothing);
    tcase_add_test(tests, a_single_frame_is_given_as_it_is);
    tcase_add_test(tests, several_frames_are_put_behind_one_another);
    tcase_add_test(tests, the_same_frames_are_copied_once);
    tcase_add_test(tests, other_frames_are_copied_anew);
    tcase_add_test(tests, a_frame_that_was_copied_keeps_its_address);
    tcase_add_test(tests, a_batch_is_bounded_in_bytes);
    tcase_add_test(tests, a_batch_is_bounded_in_frames);
    tcase_add_test(tests, forgetting_releases_what_was_held);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
