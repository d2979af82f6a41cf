/*
 * Random numbers: Philox as published, and dropout masks that padding and threads do not change.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_random.c libcylstm.a -lm -o test_random && ./test_random
 */
#include "check.h"

#include "dropout.h"
#include "random.h"

/* Random123's known answers for philox4x32-10: counter, key, result. */
static const struct {
    uint32_t counter[4], key[2], expected[4];
} KNOWN_ANSWERS[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void test_philox_gives_the_known_answers(void)
{
    for (size_t i = 0; i < sizeof KNOWN_ANSWERS / sizeof *KNOWN_ANSWERS; i++) {
        random_block counter;
        memcpy(counter.word, KNOWN_ANSWERS[i].counter, sizeof counter.word);
        const uint64_t key = KNOWN_ANSWERS[i].key[0] | (uint64_t)KNOWN_ANSWERS[i].key[1] << 32;
        const random_block block = cylstm_philox(counter, key);
        CHECK(memcmp(block.word, KNOWN_ANSWERS[i].expected, sizeof block.word) == 0, "vector %zu gives %08x ...", i,
              block.word[0]);
    }
}

/* ---- dropout ---- */

enum { STEPS = 20, BATCH = 7, WIDTH = 33 };

/* Ones of these lengths after dropout, by (t, b); -1 where there is no step. */
static void drop_ones(const int64_t *lengths, int threads, dropout d, int64_t layer, float by_step[STEPS][BATCH][WIDTH])
{
    sequences s;
    arena a = {NULL, 0};
    cylstm_sequences_place(&s, &a, STEPS, BATCH);
    a = (arena){allocate((size_t)a.used), 0};
    cylstm_sequences_place(&s, &a, STEPS, BATCH);
    cylstm_sequences_fill(&s, lengths);
    float *rows = new_floats(s.rows * WIDTH);
    for (int64_t i = 0; i < s.rows * WIDTH; i++) rows[i] = 1.0f;
    for (int rank = 0; rank < threads; rank++) {
        const worker w = {.rank = rank, .size = threads};
        cylstm_dropout(&w, &d, &s, layer, WIDTH, rows, rows);
    }
    for (int i = 0; i < STEPS * BATCH * WIDTH; i++) (&by_step[0][0][0])[i] = -1.0f;
    for (int64_t t = 0; t < s.longest; t++) {
        for (int64_t rank = 0; rank < cylstm_active(&s, t); rank++) {
            memcpy(by_step[t][s.order[rank]], rows + (s.offsets[t] + rank) * WIDTH, WIDTH * sizeof(float));
        }
    }
    free(rows);
    free(a.base);
}

static float whole[STEPS][BATCH][WIDTH], other[STEPS][BATCH][WIDTH];

static void test_dropout_keeps_the_mean(void)
{
    const float probabilities[] = {0.1f, 0.5f, 0.9f};
    for (int i = 0; i < 3; i++) {
        const float p = probabilities[i];
        drop_ones(NULL, 1, (dropout){p, 12345}, 1, whole);
        int kept = 0;
        for (int j = 0; j < STEPS * BATCH * WIDTH; j++) {
            const float value = (&whole[0][0][0])[j];
            CHECK(value == 0.0f || value == 1.0f / (1.0f - p), "%g", value);
            kept += value != 0.0f;
        }
        const double count = STEPS * BATCH * WIDTH, deviation = sqrt(count * p * (1 - p));
        CHECK(fabs(kept - count * (1 - p)) < 4 * deviation, "%d of %g kept at %g", kept, count, p);
    }
    drop_ones(NULL, 1, (dropout){1.0f, 1}, 1, whole);
    for (int j = 0; j < STEPS * BATCH * WIDTH; j++) CHECK((&whole[0][0][0])[j] == 0.0f, "probability 1 keeps");
}

static void test_a_mask_does_not_depend_on_padding_or_threads(void)
{
    const int64_t lengths[BATCH] = {3, 20, 0, 11, 20, 1, 7};
    const dropout d = {0.4f, 99};
    drop_ones(NULL, 1, d, 2, whole);
    for (int threads = 1; threads <= 4; threads++) {
        drop_ones(lengths, threads, d, 2, other);
        for (int t = 0; t < STEPS; t++) {
            for (int b = 0; b < BATCH; b++) {
                if (t < lengths[b])
                    CHECK(same_bits(whole[t][b], other[t][b], WIDTH), "step %d of %d, %d threads", t, b, threads);
            }
        }
    }
}

static void test_keys_and_layers_have_masks_of_their_own(void)
{
    drop_ones(NULL, 1, (dropout){0.5f, 1}, 1, whole);
    drop_ones(NULL, 1, (dropout){0.5f, 2}, 1, other);
    CHECK(memcmp(whole, other, sizeof whole) != 0, "two keys, one mask");
    drop_ones(NULL, 1, (dropout){0.5f, 1}, 2, other);
    CHECK(memcmp(whole, other, sizeof whole) != 0, "two layers, one mask");
    drop_ones(NULL, 1, (dropout){0.5f, (uint64_t)1 << 32 | 1}, 1, other);
    CHECK(memcmp(whole, other, sizeof whole) != 0, "a key's high half does nothing");
}

int main(void)
{
    test_philox_gives_the_known_answers();
    test_dropout_keeps_the_mean();
    test_a_mask_does_not_depend_on_padding_or_threads();
    test_keys_and_layers_have_masks_of_their_own();
    return report("random");
}
