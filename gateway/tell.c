#include "gateway/tell.h"

#include <stdio.h>

#include "common/log.h"

bool tell_start_failed(const char *setting, const char *value, struct buffer *why)
{
    log_error("start_failed", LOG_TEXT("setting", setting), LOG_TEXT("value", value),
              LOG_SPAN("reason", buffer_span(why)));
    buffer_free(why);
    return false;
}

bool tell_listen_failed(const char *setting, const char *address, uint64_t port, struct buffer *why)
{
    char value[80];
    snprintf(value, sizeof value, "%s:%llu", address, (unsigned long long)port);
    return tell_start_failed(setting, value, why);
}

void tell_token_refused(void *arg, enum identity_rule rule, const struct site_key *key)
{
    (void)arg;
    log_info("token_refused", LOG_TEXT("rule", identity_rule_text(rule)),
             LOG_SPAN("site", key->site ? key->site->name : span_of(NULL, 0)),
             LOG_TEXT("kid", key->key ? key->key->kid : ""));
}

void tell_key(void *arg, const struct site_key *key, bool is_added)
{
    (void)arg;
    log_info(is_added ? "token_key_added" : "token_key_removed", LOG_SPAN("site", key->site->name),
             LOG_TEXT("kid", key->key->kid));
}
