#pragma once
#include "broker/core.h"
#include "broker/plan.h"
#include "common/options.h"

/* tell - lines of the log that need more than one to write. */

/* Of an effect that only says what the core has seen. */
void tell_event(const struct core_effect *effect);
void tell_started(const options_t *options, const struct plan *plan);
