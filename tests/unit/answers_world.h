#pragma once
#include "core_world.h"

/* answers_world - a gateway "g" that asks the core of a core_world, and what it is told. */

/* With the token 42. */
struct bus_question about(uint8_t kind, struct span address);
/* The one answer to one question. Valid until the next one. */
const struct bus_reply *ask(struct bus_question question);
/* The answer to a subscriber who comes back. */
const struct bus_reply *recover(const char *channel, uint64_t epoch, uint64_t offset,
                                uint8_t more_flags);

void expect_position(const struct bus_reply *reply, uint64_t epoch, uint64_t offset);
/* As world_publications writes them. */
void expect_recovered(const struct bus_reply *reply, const char *publications);
void expect_not_recovered(const struct bus_reply *reply);

/* A core that takes payloads of so many bytes and keeps 16 MiB of each channel, and the gateway. */
void given_payloads_of(size_t bytes);
/* Publishes {'t': 'xxx...'} to the channel whose stream has this epoch. */
void publish_large(const char *channel, uint64_t epoch, int count, size_t text_size);
