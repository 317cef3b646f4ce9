/* Whatever decodes encodes to the same bytes again: no two frames mean the same, and no field is
 * lost. */
#include "fuzz.h"
#include "proto/bus_codec.h"
#include "proto/figures.h"

static void check_same(struct buffer *encoded, struct span input)
{
    FUZZ_CHECK(!encoded->failed && span_equal(buffer_span(encoded), input));
    buffer_free(encoded);
}

#define BUS_FRAME(name, NAME, type)                                                                \
    static void check_##name(struct span input)                                                    \
    {                                                                                              \
        struct bus_##name frame;                                                                   \
        if (!bus_get_##name(input, &frame))                                                        \
            return;                                                                                \
        FUZZ_CHECK(bus_frame_type(input) == BUS_##NAME);                                           \
        struct buffer encoded = {0};                                                               \
        bus_put_##name(&encoded, &frame);                                                          \
        check_same(&encoded, input);                                                               \
    }
#define BUS_PART(name)                                                                             \
    static void check_##name(struct span input)                                                    \
    {                                                                                              \
        struct bus_##name part;                                                                    \
        struct span rest = input;                                                                  \
        struct buffer encoded = {0};                                                               \
        bool whole = true;                                                                         \
        while (whole && rest.size > 0) {                                                           \
            whole = bus_next_##name(&rest, &part);                                                 \
            if (whole)                                                                             \
                bus_put_##name(&encoded, &part);                                                   \
        }                                                                                          \
        if (whole)                                                                                 \
            check_same(&encoded, input);                                                           \
        buffer_free(&encoded);                                                                     \
    }
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART

/* Stands for common/address: one byte tells the size. */
static size_t toy_address_size(struct span bytes)
{
    return bytes.size > 0 && bytes.data[0] <= bytes.size ? bytes.data[0] : 0;
}

static void check_delivery(struct span input)
{
    struct bus_delivery delivery;
    if (!bus_get_delivery(input, toy_address_size, &delivery))
        return;
    uint8_t head[17 + 255];
    struct buffer encoded = {0};
    buffer_put(&encoded, head,
               bus_write_delivery_head(head, delivery.address, delivery.epoch, delivery.offset));
    buffer_put_span(&encoded, delivery.body);
    check_same(&encoded, input);
}

static void check_pairs(struct span input)
{
    uint64_t first, second;
    uint8_t bytes[BUS_FENCE_BYTES];
    _Static_assert(BUS_FENCE_BYTES == BUS_CANARY_BYTES, "one buffer for both");
    if (bus_get_fence(input, &first, &second))
        bus_write_fence(bytes, first, second);
    else if (bus_get_canary(input, &first, &second))
        bus_write_canary(bytes, first, second);
    else
        return;
    FUZZ_CHECK(span_equal(span_of(bytes, sizeof bytes), input));
}

/* What is known of the figures is kept, what is missing is 0, what is too much is left out. */
static void check_figures_values(struct span input)
{
    struct figures figures;
    struct buffer encoded = {0};
    if (!figures_get(input, &figures))
        return;
    figures_put(&encoded, &figures);
    FUZZ_CHECK(encoded.size == sizeof figures);
    size_t same = input.size < encoded.size ? input.size : encoded.size;
    FUZZ_CHECK(span_equal(span_of(encoded.data, same), span_of(input.data, same)));
    for (size_t i = same; i < encoded.size; i++)
        FUZZ_CHECK(encoded.data[i] == 0);
    buffer_free(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of(data, size);
#define BUS_FRAME(name, NAME, type) check_##name(input);
#define BUS_PART(name)              check_##name(input);
#include "proto/bus_frames.def"
#undef BUS_FRAME
#undef BUS_PART
    check_delivery(input);
    check_pairs(input);
    check_figures_values(input);
    return 0;
}
