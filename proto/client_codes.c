#include "proto/client_codec.h"

const char *client_close_text(enum client_close code)
{
    switch (code) {
#define CLIENT_CLOSE(NAME, number, text)                                                           \
    case CLIENT_CLOSE_##NAME:                                                                      \
        return text;
#include "proto/client_codes.def"
#undef CLIENT_CLOSE
    }
    return "closed"; /* never empty: an empty reason turns a terminal code into a reconnect */
}

bool client_error_temporary(enum client_error code)
{
    switch (code) {
#define CLIENT_ERROR(NAME, number, temporary, text)                                                \
    case CLIENT_ERROR_##NAME:                                                                      \
        return temporary;
#include "proto/client_codes.def"
#undef CLIENT_ERROR
    }
    return false;
}

const char *client_error_text(enum client_error code)
{
    switch (code) {
#define CLIENT_ERROR(NAME, number, temporary, text)                                                \
    case CLIENT_ERROR_##NAME:                                                                      \
        return text;
#include "proto/client_codes.def"
#undef CLIENT_ERROR
    }
    return "error";
}

const char *client_method_word(enum client_method method)
{
    switch (method) {
#define CLIENT_METHOD(NAME, word, channel, token)                                                  \
    case CLIENT_##NAME:                                                                            \
        return word;
#include "proto/client_methods.def"
#undef CLIENT_METHOD
    case CLIENT_PONG:
        break;
    }
    return "";
}
