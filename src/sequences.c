#include "sequences.h"

void cylstm_sequences_place(sequences *s, arena *a, int64_t steps, int64_t batch)
{
    *s = (sequences){.batch = batch, .steps = steps};
    s->order = cylstm_arena_take(a, batch, sizeof(int64_t));
    s->lengths = cylstm_arena_take(a, batch, sizeof(int64_t));
    s->offsets = cylstm_arena_take(a, cylstm_sum(steps, 2), sizeof(int64_t));
}

static void fill_equal(sequences *s)
{
    for (int64_t b = 0; b < s->batch; b++) {
        s->order[b] = b;
        s->lengths[b] = s->steps;
    }
    for (int64_t t = 0; t <= s->steps; t++) s->offsets[t] = t * s->batch;
}

/* Counting sort, longest first, equal lengths in the caller's order. Until the last loop offsets[t + 1] counts. */
static void fill_ranked(sequences *s, const int64_t *lengths)
{
    int64_t *ended = s->offsets; /* ended[n]: sequences of exactly n steps, then: first rank of such a sequence */
    for (int64_t n = 0; n <= s->steps + 1; n++) ended[n] = 0;
    for (int64_t b = 0; b < s->batch; b++) ended[lengths[b]]++;
    int64_t rank = 0;
    for (int64_t n = s->steps; n >= 0; n--) {
        int64_t count = ended[n];
        ended[n] = rank;
        rank += count;
    }
    for (int64_t b = 0; b < s->batch; b++) {
        int64_t place = ended[lengths[b]]++;
        s->order[place] = b;
        s->lengths[place] = lengths[b];
    }
    int64_t running = s->batch;
    s->offsets[0] = 0;
    for (int64_t t = 0; t < s->longest; t++) {
        while (running > 0 && s->lengths[running - 1] <= t) running--;
        s->offsets[t + 1] = s->offsets[t] + running;
    }
}

void cylstm_sequences_fill(sequences *s, const int64_t *lengths)
{
    s->longest = lengths == NULL ? s->steps : 0;
    for (int64_t b = 0; lengths != NULL && b < s->batch; b++) {
        if (lengths[b] > s->longest) s->longest = lengths[b];
    }
    if (lengths == NULL) {
        fill_equal(s);
    } else {
        fill_ranked(s, lengths);
    }
    s->rows = s->offsets[s->longest];
}

int cylstm_sequences_are_full(const sequences *s)
{
    /* With one sequence a shorter length is only a shorter walk; with more, padding would lie between the rows. */
    if (s->batch == 1) return 1;
    return s->lengths[s->batch - 1] == s->longest && s->longest > 0;
}

int cylstm_next_chunk(const sequences *s, int64_t rows, int backward, const chunk *previous, chunk *next)
{
    if (!backward) {
        next->begin = next->end = previous == NULL ? 0 : previous->end;
        if (next->begin == s->longest) return 0;
        const int64_t place = s->offsets[next->begin] / rows;
        do next->end++;
        while (next->end < s->longest && s->offsets[next->end] / rows == place);
    } else {
        next->begin = next->end = previous == NULL ? s->longest : previous->begin;
        if (next->end == 0) return 0;
        const int64_t place = s->offsets[next->end - 1] / rows;
        do next->begin--;
        while (next->begin > 0 && s->offsets[next->begin - 1] / rows == place);
    }
    return 1;
}

int64_t cylstm_max_chunk_rows(int64_t steps, int64_t batch, int64_t rows)
{
    const int64_t all = cylstm_product(steps, batch), most = cylstm_sum(rows, batch - 1);
    return all < most ? all : most;
}
