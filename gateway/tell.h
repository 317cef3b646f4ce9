#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/site_keys.h"
#include "gateway/identity.h"

/* tell - lines of the log that need more than one to write. */

/* False. value: what the setting says, "address:port" or an endpoint. Frees *why. */
bool tell_start_failed(const char *setting, const char *value, struct buffer *why);
bool tell_listen_failed(const char *setting, const char *address, uint64_t port,
                        struct buffer *why);

/* The rule, and whose key it was; never the token. As hub_settings want it. */
void tell_token_refused(void *arg, enum identity_rule rule, const struct site_key *key);
/* A site_keys_differ_fn. */
void tell_key(void *arg, const struct site_key *key, bool is_added);
