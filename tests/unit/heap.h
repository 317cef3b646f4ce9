#pragma once
#include <malloc.h>
#include <stddef.h>

/* heap - what is allocated now. Always 0 with sanitizers, which have a heap of their own: a test
 * that compares two of these shows something without them only. */
static inline size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
