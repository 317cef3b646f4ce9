/* Any file either loads, and then its effective settings load again and are the same; or it is
 * refused with at least one whole line of reasons. */
#include <sys/mman.h>
#include <unistd.h>

#include "common/options.h"
#include "fuzz.h"

/* The settings in this text, from a file that exists in memory only. */
static options_t *load(struct span text, struct buffer *why)
{
    char path[64];
    int fd = memfd_create("settings", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, text.data, text.size) == (ssize_t)text.size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    options_t *options = options_load(path, NULL, why);
    close(fd);
    return options;
}

static void effective(struct buffer *to, options_t **options)
{
    options_write(to, *options);
    FUZZ_CHECK(!to->failed);
    options_destroy(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer why = {0}, first = {0}, second = {0};
    options_t *options = load(span_of(data, size), &why);
    if (options) {
        FUZZ_CHECK(why.size == 0);
        effective(&first, &options);
        options = load(buffer_span(&first), &why);
        FUZZ_CHECK(options != NULL);
        effective(&second, &options);
        FUZZ_CHECK(span_equal(buffer_span(&first), buffer_span(&second)));
    } else {
        FUZZ_CHECK(why.size > 1 && why.data[why.size - 1] == '\n');
    }
    buffer_free(&why);
    buffer_free(&first);
    buffer_free(&second);
    return 0;
}
