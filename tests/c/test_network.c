/*
 * Whole networks: the same bits however a call is divided, padded, streamed or vectorised, and what goes to sgemm.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_network.c libcylstm.a -lm -o test_network && ./test_network
 */
#include "model.h"
#include "sgemm.h"

static plan alone(int64_t chunk_rows)
{
    return (plan){.threads = 1, .strands = 1, .chunk_rows = chunk_rows};
}

/* ---- packed copies ---- */

/* Bytes of whole floats from here on that are no longer as new_arena left them. */
static int64_t written(const void *from, const char *end)
{
    const uint32_t *values = from;
    int64_t count = 0;
    for (int64_t i = 0; i < (end - (const char *)from) / 4; i++) count += values[i] != UINT32_MAX;
    return count * 4;
}

/* What is said of the copies' sizes is what packing writes, kind by kind. */
static void test_sizes_of_copies(const kernels *isa)
{
    for (int i = 0; i < trials(50); i++) {
        model m = new_unpacked_model(draw_config(), isa);
        const layout *l = &m.net.layout;
        const weights *w = &m.net.weights;
        const packed_sizes sizes = cylstm_weights_packed_sizes(w, l);
        const char *forward_end = m.forward_copies + m.forward_size,
                   *backward_end = m.backward_copies + m.backward_size;
        cylstm_weights_pack_forward(w, l, isa, 1);
        CHECK(written(w->layers[0].input.forward.data, forward_end) == sizes.forward, "copies for forward");
        cylstm_weights_pack_backward(w, l, isa, 1);
        CHECK(written(m.backward_copies, backward_end) == sizes.backward, "copies for backward");
        cylstm_weights_pack_for_dx(w, l, isa, 1);
        CHECK(written(m.backward_copies, backward_end) == sizes.backward + sizes.for_dx, "copies for dx");
        free_model(&m);
    }
}

/* ---- comparing results ---- */

static int same_outputs(const model *m, const data *d, const results *a, const results *b)
{
    int same = same_bits(a->y, b->y, d->y_size);
    for (int i = 0; i < m->net.layout.states; i++) same &= same_bits(a->state[i], b->state[i], d->state_size);
    return same;
}

static int same_gradients(const model *m, const data *d, const results *a, const results *b)
{
    int same = same_bits(a->dparameters, b->dparameters, m->net.layout.parameter_count);
    if (m->net.layout.config.vocab_size == 0) same &= same_bits(a->dx, b->dx, d->x_size);
    for (int i = 0; i < m->net.layout.states; i++) same &= same_bits(a->dstate[i], b->dstate[i], d->state_size);
    return same;
}

static results run(const model *m, const data *d, how h)
{
    results r = new_results(m, d);
    run_forward(m, d, &h, &r);
    if (h.recording) run_backward(m, d, &h, &r);
    return r;
}

/* A call done this way, by a team where it asks for one, gives what `expected` has. */
static void check_same(const model *m, const data *d, how h, const results *expected, const char *what)
{
    if (h.plan.threads > 1) cylstm_forget_crowd();
    results r = run(m, d, h);
    CHECK(same_outputs(m, d, &r, expected), "%s on %d threads, rows %ssplit, %sfused: other outputs", what,
          h.plan.threads, h.plan.split_rows ? "" : "not ", h.plan.fused ? "" : "not ");
    if (h.recording)
        CHECK(same_gradients(m, d, &r, expected), "%s on %d threads: other gradients", what, h.plan.threads);
    free_results(&r);
}

/* ---- threads, chunks and recording ---- */

static void test_division_changes_no_bit(const kernels *isa)
{
    for (int trial = 0; trial < trials(5); trial++) {
        model m = new_model(draw_config(), isa);
        data d = new_data(&m.net.layout, random_integer(1, 9), random_integer(1, 9), trial % 2);
        const int64_t chunk = random_integer(1, 30);
        results expected = run(&m, &d, (how){.plan = alone(chunk), .recording = 1});
        for (int threads = 1; threads <= 3; threads++) {
            for (int way = 0; way < 4; way++) {
                const plan p = {
                    .threads = threads, .strands = 1, .split_rows = way & 1, .fused = way >> 1, .chunk_rows = chunk};
                check_same(&m, &d, (how){.plan = p, .recording = 1}, &expected, "recording");
                check_same(&m, &d, (how){.plan = p}, &expected, "inference");
            }
        }
        check_same(&m, &d, (how){.plan = alone(1000)}, &expected, "inference in one chunk");
        free_results(&expected);
        free_data(&d);
        free_model(&m);
    }
}

/* ---- directions and layers side by side ---- */

static void check_strands(const kernels *isa, cylstm_config config, plan p)
{
    model m = new_model(config, isa);
    data d = new_data(&m.net.layout, random_integer(1, 20), random_integer(1, 4), random_integer(0, 1));
    p.chunk_rows = p.wave_steps > 0 ? p.wave_steps * d.batch : random_integer(1, 30);
    results expected = run(&m, &d, (how){.plan = alone(p.chunk_rows), .recording = 1});
    for (p.threads = 1; p.threads <= 3; p.threads++) {
        check_same(&m, &d, (how){.plan = p, .recording = 1}, &expected, "recording in strands");
        check_same(&m, &d, (how){.plan = p}, &expected, "inference in strands");
    }
    free_results(&expected);
    free_data(&d);
    free_model(&m);
}

static void test_strands_change_no_bit(const kernels *isa)
{
    for (int trial = 0; trial < trials(2); trial++) {
        cylstm_config config = draw_config();
        config.bidirectional = 1;
        check_strands(isa, config, (plan){.strands = 2, .fused = trial % 2});
        config.bidirectional = 0;
        for (int strands = 2; strands <= 3; strands++) {
            config.num_layers = strands * random_integer(1, 2);
            check_strands(isa, config, (plan){.strands = strands, .wave_steps = random_integer(1, 6)});
        }
    }
}

/* ---- segments that backward computes again ---- */

static void test_segments_change_no_bit(const kernels *isa)
{
    for (int trial = 0; trial < trials(10); trial++) {
        cylstm_config config = draw_config();
        if (trial == 0) config.cell = CYLSTM_LSTM, config.hidden_size = 128; /* its rows of gates are a line longer */
        model m = new_model(config, isa);
        data d = new_data(&m.net.layout, random_integer(1, 20), random_integer(1, 9), trial % 2);
        plan p = alone(random_integer(1, 30));
        results expected = run(&m, &d, (how){.plan = p, .recording = 1});
        for (int way = 0; way < 8; way++) {
            p.threads = 1 + (way & 1);
            p.split_rows = way >> 1 & 1;
            p.fused = way >> 2;
            check_same(&m, &d, (how){.plan = p, .recording = 1, .every = random_integer(1, 25)}, &expected, "segments");
        }
        free_results(&expected);
        free_data(&d);
        free_model(&m);
    }
}

/* ---- instruction sets ---- */

static void test_instruction_sets_agree(const kernels *first, const kernels *second)
{
    for (int trial = 0; trial < trials(10); trial++) {
        const cylstm_config config = draw_config();
        model one = new_model(config, first), other = new_model(config, second);
        memcpy(other.parameters, one.parameters, (size_t)one.net.layout.parameter_count * sizeof(float));
        pack_model(&other);
        data d = new_data(&one.net.layout, 7, 5, 1);
        const how h = {.plan = alone(11), .recording = 1};
        results expected = run(&one, &d, h);
        check_same(&other, &d, h, &expected, second->name);
        free_results(&expected);
        free_data(&d);
        free_model(&one);
        free_model(&other);
    }
}

/* ---- padding ---- */

/* Fills (t, b), past the length of b, of a (T, B, width) array. */
static void fill_padding(const data *d, float *values, int64_t width, float value)
{
    for (int64_t b = 0; b < d->batch; b++) {
        for (int64_t t = d->lengths[b]; t < d->steps; t++) {
            for (int64_t i = 0; i < width; i++) values[(t * d->batch + b) * width + i] = value;
        }
    }
}

static void check_padding_is_zero(const data *d, const float *values, int64_t width, const char *what)
{
    for (int64_t b = 0; b < d->batch; b++) {
        for (int64_t t = d->lengths[b]; t < d->steps; t++) {
            for (int64_t i = 0; i < width; i++)
                CHECK(values[(t * d->batch + b) * width + i] == 0.0f, "%s at (%d, %d)", what, (int)t, (int)b);
        }
    }
}

static void test_padding_is_not_read_and_becomes_zero(const kernels *isa)
{
    for (int trial = 0; trial < trials(20); trial++) {
        model m = new_model(draw_config(), isa);
        const layout *l = &m.net.layout;
        data d = new_data(l, 8, 6, 1);
        const how h = {.plan = alone(13), .recording = 1};
        results expected = run(&m, &d, h);
        fill_padding(&d, d.x, l->config.input_size, NAN);
        if (!l->config.pooling) fill_padding(&d, d.dy, output_width(l), NAN);
        check_same(&m, &d, h, &expected, "NaN in the padding");
        if (!l->config.pooling) check_padding_is_zero(&d, expected.y, output_width(l), "y");
        if (l->config.vocab_size == 0) check_padding_is_zero(&d, expected.dx, l->config.input_size, "dx");
        free_results(&expected);
        free_data(&d);
        free_model(&m);
    }
}

/* ---- inputs in units of their own ---- */

/* Enters as (x - mean) / std, and dL/dx comes out through it. */
static void test_inputs_are_scaled(void)
{
    model m = new_model((cylstm_config){.input_size = 5, .hidden_size = 9, .num_layers = 1}, cylstm_kernels_best());
    data d = new_data(&m.net.layout, 7, 4, 1);
    float *raw = d.x, *scaled = new_floats(d.x_size), mean[5], std[5];
    for (int i = 0; i < 5; i++) mean[i] = random_float(2.0f), std[i] = 1.5f + random_float(1.0f);
    for (int64_t i = 0; i < d.x_size; i++) scaled[i] = (raw[i] - mean[i % 5]) / std[i % 5];
    d.x = scaled;
    results expected = run(&m, &d, (how){.plan = alone(10), .recording = 1});
    for (int64_t i = 0; i < d.x_size; i++) expected.dx[i] /= std[i % 5];
    d.x = raw;
    m.net.input_mean = mean;
    m.net.input_std = std;
    check_same(&m, &d, (how){.plan = alone(10), .recording = 1}, &expected, "scaled inputs");
    free_results(&expected);
    free(scaled);
    free_data(&d);
    free_model(&m);
}

/* ---- one step at a time ---- */

/* All of d's steps with state and pooling carried along; the last step's outputs. */
static void stream(const model *m, const data *d, float *state[2], float *y)
{
    const layout *l = &m->net.layout;
    float *carried = l->config.pooling > CYLSTM_POOL_LAST ? new_zeros(d->batch * (l->width + 1)) : NULL;
    sequences s;
    forward_call f = {
        .network = &m->net,
        .compute = {.kernels = m->net.kernels},
        .plan = alone(d->batch),
        .sequences = &s,
        .initial = {state[0], state[1]},
        .final = {state[0], state[1]},
        .y = {y, 0, output_width(l)},
        .carried = carried,
    };
    arena a = {NULL, 0};
    cylstm_sequences_place(&s, &a, 1, d->batch);
    cylstm_forward_place(&f, 1, d->batch, d->batch, &a);
    a = new_arena(a.used);
    cylstm_sequences_place(&s, &a, 1, d->batch);
    cylstm_forward_place(&f, 1, d->batch, d->batch, &a);
    cylstm_sequences_fill(&s, NULL);
    for (int64_t t = 0; t < d->steps; t++) {
        f.x = (view){d->x + t * d->batch * l->config.input_size, 0, l->config.input_size};
        f.tokens = (token_view){l->config.vocab_size > 0 ? d->tokens + t * d->batch : NULL, 0, 1};
        cylstm_network_forward(&f);
    }
    free_aligned(a.base);
    free(carried);
}

static void test_streaming_gives_what_one_call_does(const kernels *isa)
{
    for (int trial = 0; trial < trials(20); trial++) {
        cylstm_config config = draw_config();
        config.bidirectional = 0;
        model m = new_model(config, isa);
        data d = new_data(&m.net.layout, 9, 3, 0);
        const int64_t last_size = d.batch * output_width(&m.net.layout);
        results expected = run(&m, &d, (how){.plan = alone(10)}), streamed = new_results(&m, &d);
        for (int i = 0; i < 2; i++) memcpy(streamed.state[i], d.state[i], (size_t)d.state_size * sizeof(float));
        stream(&m, &d, streamed.state, streamed.y);
        CHECK(same_bits(streamed.y, expected.y + d.y_size - last_size, last_size), "the last step's outputs");
        for (int i = 0; i < m.net.layout.states; i++)
            CHECK(same_bits(streamed.state[i], expected.state[i], d.state_size), "state %d", i);
        free_results(&expected);
        free_results(&streamed);
        free_data(&d);
        free_model(&m);
    }
}

/* ---- sgemm ---- */

enum { BLAS_WORK = 2000000 }; /* of the products that these small networks have */

/* OpenBLAS's bits depend on a tile's size below 8. */
static void check_tile(int64_t m, int64_t n)
{
    CHECK(m >= 8 && n >= 8, "a tile of %lld by %lld", (long long)m, (long long)n);
}

/* Plain loops; every third call sleeps first, as if its thread were not let run: the team ends in mid-call. */
static void sleepy_sgemm(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    check_tile(m, n);
    if (atomic_load(&sgemm_calls) % 3 == 2) sleep_ms(2);
    plain_sgemm(context, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void counting_sgemm(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k,
                           float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                           int64_t ldc)
{
    (void)context, (void)transpose_a, (void)transpose_b, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb,
        (void)beta;
    (void)c, (void)ldc;
    check_tile(m, n);
    atomic_fetch_add(&sgemm_calls, 1);
}

static const blas sleepy = {.sgemm = sleepy_sgemm}, counting = {.sgemm = counting_sgemm};

static void check_near(const float *ours, const float *expected, int64_t count, const char *what)
{
    float largest = 0.0f, error = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(expected[i]));
        error = fmaxf(error, fabsf(ours[i] - expected[i]));
    }
    CHECK(error <= 2e-5f * largest, "%s: %g off, the largest is %g", what, error, largest);
}

static void test_sgemm_gives_nearly_the_same_on_any_number_of_threads(void)
{
    const cylstm_config config = {
        .bias = 1, .bidirectional = 1, .input_size = 60, .hidden_size = 40, .num_layers = 2, .output_size = 40};
    model m = new_model(config, cylstm_kernels_best());
    data d = new_data(&m.net.layout, 30, 20, 1);
    results kernels_alone = run(&m, &d, (how){.plan = alone(512), .recording = 1});
    results expected = run(&m, &d, (how){.plan = alone(512), .recording = 1, .blas = &sleepy});
    CHECK(atomic_load(&sgemm_calls) > 0, "sgemm is not called");
    check_near(expected.y, kernels_alone.y, d.y_size, "y");
    check_near(expected.dx, kernels_alone.dx, d.x_size, "dx");
    check_near(expected.dparameters, kernels_alone.dparameters, m.net.layout.parameter_count, "parameters");
    for (int threads = 2; threads <= 3; threads++) {
        for (int way = 0; way < 4; way++) {
            const plan p = {
                .threads = threads, .strands = 1, .split_rows = way & 1, .fused = way >> 1, .chunk_rows = 512};
            check_same(&m, &d, (how){.plan = p, .recording = 1, .blas = &sleepy}, &expected, "a team that shrinks");
        }
    }
    free_results(&kernels_alone);
    free_results(&expected);
    free_data(&d);
    free_model(&m);
}

/* Who holds BLAS at one thread asks the plan first: a call that uses it must have said so. y = W x, dW
 * and dx have the same three sizes, but what is too few for a side of a tile in one of them is what another sums over. */
static void test_calls_that_use_sgemm_say_so_before(void)
{
    int used = 0, in_vain = 0;
    set_threshold("blas_work", 50000);
    for (int trial = 0; trial < trials(300); trial++) {
        cylstm_config c = draw_config();
        c.input_size = random_integer(1, trial & 1 ? 400 : 8); /* narrow: dW_hh is larger than W_ih x */
        c.hidden_size = random_integer(1, trial & 2 ? 60 : 9);
        c.output_size = c.output_size > 0 ? random_integer(1, trial & 4 ? 200 : 9) : 0;
        model m = new_model(c, cylstm_kernels_best());
        const layout *l = &m.net.layout;
        data d = new_data(l, random_integer(1, 12), random_integer(1, trial & 8 ? MOST_BATCH : 2), 0);
        const plan p = cylstm_plan(l, d.rows, d.batch, 1);
        for (int recording = 0; recording < 2; recording++) {
            atomic_store(&sgemm_calls, 0);
            results r = run(&m, &d, (how){.plan = p, .recording = recording, .blas = &counting});
            const int said = cylstm_plan_wants_blas(l, d.rows, d.batch, recording), calls = atomic_load(&sgemm_calls);
            CHECK(said || calls == 0, "%d calls, which the plan did not announce", calls);
            used += calls > 0;
            in_vain += said && calls == 0;
            free_results(&r);
        }
        free_data(&d);
        free_model(&m);
    }
    set_threshold("blas_work", BLAS_WORK);
    CHECK(used > trials(50), "sgemm is used in %d calls only", used);
    CHECK(in_vain < used / 10, "%d calls are announced and do not come", in_vain);
}

/* The four gates of few units are wide enough together, but lie apart: one by one they are no tiles for sgemm. */
static void test_gates_of_few_units_stay_with_the_kernels(void)
{
    model m = new_model((cylstm_config){.input_size = 400, .hidden_size = 5, .num_layers = 1}, cylstm_kernels_best());
    data d = new_data(&m.net.layout, 10, MOST_BATCH, 0);
    results r = run(&m, &d, (how){.plan = alone(512), .recording = 1, .blas = &counting});
    free_results(&r);
    free_data(&d);
    free_model(&m);
}

/* ---- tokens, and sizes that cannot be ---- */

static void test_a_bad_token_is_found(void)
{
    model m = new_model((cylstm_config){.vocab_size = 10, .input_size = 2, .hidden_size = 3, .num_layers = 1},
                        cylstm_kernels_best());
    data d = new_data(&m.net.layout, 4, 3, 1);
    results r = run(&m, &d, (how){.plan = alone(100)});
    const token_view tokens = {d.tokens, d.batch, 1};
    int64_t step = -1, sequence = -1;
    d.tokens[3 * 3 + 1] = 999; /* sequence 1 is empty: padding */
    CHECK(!cylstm_find_bad_token(&m.net, &r.tape.sequences, &tokens, &step, &sequence), "padding is looked at");
    for (int bad = 0; bad < 2; bad++) {
        d.tokens[2 * 3] = bad ? -1 : 10;
        const int found = cylstm_find_bad_token(&m.net, &r.tape.sequences, &tokens, &step, &sequence);
        CHECK(found && step == 2 && sequence == 0, "found %d: (%d, %d)", found, (int)step, (int)sequence);
    }
    free_results(&r);
    free_data(&d);
    free_model(&m);
}

/* What no memory can hold counts as very much, never as little. */
static void test_absurd_sizes_do_not_wrap(void)
{
    model m = new_model(
        (cylstm_config){
            .input_size = 3, .hidden_size = 5, .num_layers = 2, .output_size = 2, .pooling = CYLSTM_POOL_MAX},
        cylstm_kernels_best());
    const int64_t sizes[][2] = {{(int64_t)1 << 40, (int64_t)1 << 40},
                                {INT64_MAX / 2, 1},
                                {1, INT64_MAX / 4},
                                {(int64_t)1 << 32, (int64_t)1 << 30}};
    for (int i = 0; i < 4; i++) {
        const int64_t steps = sizes[i][0], batch = sizes[i][1], rows = cylstm_product(steps, batch);
        tape t = {.dropout = {0.5f, 1}};
        forward_call f = {.network = &m.net, .plan = alone(512)};
        backward_call b = {.network = &m.net, .plan = alone(512), .tape = &t};
        arena forward = {NULL, 0}, taped = {NULL, 0}, backward = {NULL, 0};
        cylstm_forward_place(&f, steps, batch, rows, &forward);
        cylstm_tape_place(&t, &m.net, steps, batch, rows, 1, &taped);
        cylstm_backward_place(&b, steps, batch, rows, &backward);
        CHECK(forward.used > INT64_MAX / 4 && taped.used > INT64_MAX / 4 && backward.used > INT64_MAX / 4,
              "%lld, %lld, %lld bytes", (long long)forward.used, (long long)taped.used, (long long)backward.used);
    }
    free_model(&m);
}

int main(void)
{
    set_threshold("blas_work", BLAS_WORK);
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    cylstm_set_thread_budget(3);
    test_strands_change_no_bit(cylstm_kernels_best());
    for (int i = 0; i < count; i++) {
        test_segments_change_no_bit(isas[i]);
        test_sizes_of_copies(isas[i]);
        test_division_changes_no_bit(isas[i]);
        test_padding_is_not_read_and_becomes_zero(isas[i]);
        test_streaming_gives_what_one_call_does(isas[i]);
        if (i > 0 && has_fma(isas[i - 1])) test_instruction_sets_agree(isas[i - 1], isas[i]);
    }
    test_inputs_are_scaled();
    test_sgemm_gives_nearly_the_same_on_any_number_of_threads();
    test_calls_that_use_sgemm_say_so_before();
    test_gates_of_few_units_stay_with_the_kernels();
    test_a_bad_token_is_found();
    test_absurd_sizes_do_not_wrap();
    return report("network");
}
