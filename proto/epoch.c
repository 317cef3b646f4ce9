#include "proto/epoch.h"

void epoch_write(char to[EPOCH_TEXT_BYTES], uint64_t epoch)
{
    for (size_t i = EPOCH_TEXT_BYTES; i-- > 0; epoch >>= 4)
        to[i] = "0123456789abcdef"[epoch & 15];
}

bool epoch_parse(struct span text, uint64_t *epoch)
{
    if (text.size != EPOCH_TEXT_BYTES)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = text.data[i];
        if (digit >= '0' && digit <= '9')
            value = value << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    *epoch = value;
    return true;
}
