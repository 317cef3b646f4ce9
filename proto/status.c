#include "proto/status.h"

const char *status_slug(enum status status)
{
    switch (status) {
#define STATUS(NAME, code, slug, text)                                                             \
    case STATUS_##NAME:                                                                            \
        return slug;
#include "proto/status.def"
#undef STATUS
    }
    return "internal";
}

const char *status_text(enum status status)
{
    switch (status) {
#define STATUS(NAME, code, slug, text)                                                             \
    case STATUS_##NAME:                                                                            \
        return text;
#include "proto/status.def"
#undef STATUS
    }
    return "internal error";
}

enum status status_from_code(uint32_t code)
{
    switch (code) {
#define STATUS(NAME, number, slug, text)                                                           \
    case number:                                                                                   \
        return STATUS_##NAME;
#include "proto/status.def"
#undef STATUS
    }
    return STATUS_INTERNAL;
}
