#include "common/subscriber.h"

const char *subscriber_type_text(enum subscriber_type type)
{
    switch (type) {
    case SUBSCRIBER_MEMBER:
        return "MEMBER";
    case SUBSCRIBER_ADMIN:
        return "ADMIN";
    case SUBSCRIBER_VISITOR:
        break;
    }
    return "VISITOR";
}

bool subscriber_type_parse(struct span word, enum subscriber_type *out)
{
    for (int type = SUBSCRIBER_VISITOR; type <= SUBSCRIBER_ADMIN; type++) {
        *out = (enum subscriber_type)type;
        if (span_is(word, subscriber_type_text(*out)))
            return true;
    }
    return false;
}

bool subscriber_equal(const struct subscriber *a, const struct subscriber *b)
{
    return a->type == b->type && a->view == b->view && span_equal(a->site, b->site) &&
           span_equal(a->app, b->app) && span_equal(a->id, b->id);
}
