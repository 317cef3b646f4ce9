#include "bench/herd_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/pace.h"

#define BUFFER_BYTES (1u << 20)

#define ULL(number) ((unsigned long long)(number))

/* Not the time of the round: the publisher's records are to come before. */
static double time_ms(void)
{
    return (double)(now_ns() / 1000) / 1e3;
}

static const char *truth(bool is_true)
{
    return is_true ? "true" : "false";
}

void herd_record_open(struct herd *self, const char *path)
{
    if (!*path)
        return;
    self->record = fopen(path, "we");
    if (!self->record || setvbuf(self->record, NULL, _IOFBF, BUFFER_BYTES) != 0) {
        perror(path);
        exit(1);
    }
}

void herd_record_flush(const struct herd *self)
{
    if (self->record && fflush(self->record) != 0) {
        perror("herd: the record");
        exit(1);
    }
}

void herd_record_delivery(const struct herd *self, const struct herd_client *client,
                          const struct herd_subscription *subscription,
                          const struct herd_publication *publication, bool recovered)
{
    if (!self->record)
        return;
    fprintf(self->record,
            "{\"t\":%.3f,\"kind\":\"deliver\",\"client\":%u,\"address\":\"%s\",\"epoch\":\"%s\","
            "\"offset\":%llu,\"n\":%llu,\"recovered\":%s}\n",
            time_ms(), client->number, subscription->channel->name, subscription->witness.epoch,
            ULL(publication->offset), ULL(publication->number), truth(recovered));
}

void herd_record_subscribed(const struct herd *self, const struct herd_client *client,
                            const struct herd_subscription *subscription,
                            const struct herd_line *reply)
{
    if (!self->record)
        return;
    fprintf(self->record,
            "{\"t\":%.3f,\"kind\":\"subscribed\",\"client\":%u,\"address\":\"%s\","
            "\"epoch\":\"%.*s\",\"offset\":%llu,\"asked\":%s,\"recovered\":%s}\n",
            time_ms(), client->number, subscription->channel->name, (int)reply->epoch.size,
            reply->epoch.bytes ? reply->epoch.bytes : "", ULL(reply->offset),
            truth(subscription->asked), truth(reply->recovered));
}

void herd_record_signal(const struct herd *self, const struct herd_client *client,
                        const struct herd_subscription *subscription, const char *kind,
                        unsigned code)
{
    if (!self->record)
        return;
    fprintf(self->record, "{\"t\":%.3f,\"kind\":\"%s\",\"client\":%u,\"code\":%u", time_ms(), kind,
            client->number, code);
    if (subscription)
        fprintf(self->record, ",\"address\":\"%s\"", subscription->channel->name);
    fprintf(self->record, "}\n");
}
