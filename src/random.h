/*
 * Random numbers without state: a counter and a key in, four words out.
 *
 * Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
#ifndef CYLSTM_RANDOM_H
#define CYLSTM_RANDOM_H

#include <stdint.h>

typedef struct random_block {
    uint32_t word[4];
} random_block;

static inline random_block cylstm_philox(random_block counter, uint64_t key)
{
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * counter.word[0], b = (uint64_t)0xCD9E8D57u * counter.word[2];
        counter = (random_block){{(uint32_t)(b >> 32) ^ counter.word[1] ^ low, (uint32_t)b,
                                  (uint32_t)(a >> 32) ^ counter.word[3] ^ high, (uint32_t)a}};
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
    return counter;
}

#endif
