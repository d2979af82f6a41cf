/*
 * The public calls: the numbers of the core, whatever way a model was loaded and a call divided; a status for whatever is
 * wrong with a file, an option or an argument. (Memory that fails: test_allocations.c.)
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_model.c libcylstm.a -lm -lpthread -o test_model && ./test_model
 */
#include "check.h"

#include <pthread.h>
#include <stdarg.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "counted.h"
#include "file.h"
#include "safetensors.h"

enum { MESSAGE = 200 };

/* ---- the numbers ---- */

static cylstm_model *load(const file *f, const cylstm_load_options *options)
{
    cylstm_model *model = NULL;
    char message[MESSAGE] = "";
    const cylstm_status status = cylstm_load_memory(f->bytes, f->size, options, &model, message, sizeof message);
    CHECK(status == CYLSTM_OK, "%s: %s", cylstm_status_name(status), message);
    return model;
}

/* x as the network itself sees it, by the file's scale. */
static void scale_input(const file *f, const layout *l, data *d)
{
    const int64_t width = l->config.input_size;
    for (int64_t i = 0; f->scaled && i < d->x_size; i++) {
        const float x = d->x[i], mean = f->scale[i % width], std = f->scale[width + i % width];
        d->x[i] = f->scaled == SCALED_BY_FLOATS ? (x - mean) / std : (float)(((double)x - (double)mean) / (double)std);
    }
}

static double *new_doubles(const float *from, int64_t count)
{
    double *to = allocate((size_t)count * sizeof *to);
    for (int64_t i = 0; i < count; i++) to[i] = (double)from[i];
    return to;
}

/* The states of the data, for cylstm_state_set; what pooling carries is zero. */
static float *initial_values(const model *m, const data *d, const cylstm_state *s)
{
    float *values = new_zeros(cylstm_state_count(s));
    for (int i = 0; i < m->net.layout.states; i++)
        memcpy(values + i * d->state_size, d->state[i], (size_t)d->state_size * sizeof(float));
    return values;
}

/* One call of a block, of floats or of the same numbers as doubles, on a state that begins as the data say. */
static void check_block(const model *m, const data *d, const results *expected, cylstm_state *s, int threads)
{
    float *values = initial_values(m, d, s), *y = new_floats(d->y_size);
    const int has_tokens = m->net.layout.config.vocab_size > 0;
    double *doubles = threads == 2 && !has_tokens ? new_doubles(d->x, d->x_size) : NULL;
    const cylstm_call call = {.struct_size = sizeof call,
                              .steps = d->steps,
                              .x = has_tokens || doubles != NULL ? NULL : d->x,
                              .doubles = doubles,
                              .tokens = has_tokens ? d->tokens : NULL,
                              .lengths = d->lengths,
                              .y = y,
                              .threads = threads};
    cylstm_state_set(s, values);
    CHECK(cylstm_call_run(s, &call) == CYLSTM_OK, "a block");
    cylstm_state_get(s, values);
    CHECK(same_bits(y, expected->y, d->y_size), "y");
    for (int i = 0; i < m->net.layout.states; i++)
        CHECK(same_bits(values + i * d->state_size, expected->state[i], d->state_size), "state %d", i);
    free(doubles);
    free(values);
    free(y);
}

/* Step by step; `d` has no padding. */
static void check_steps(const model *m, const data *d, const results *expected, cylstm_state *s)
{
    const int64_t width = output_width(&m->net.layout), inputs = m->net.layout.config.input_size;
    const int pooled = m->net.layout.config.pooling != CYLSTM_POOL_NONE;
    float *values = initial_values(m, d, s), *y = new_floats(d->batch * width);
    cylstm_state_set(s, values);
    for (int64_t t = 0; t < d->steps; t++) {
        const cylstm_status status = m->net.layout.config.vocab_size > 0
                                         ? cylstm_step_tokens(s, d->tokens + t * d->batch, y)
                                         : cylstm_step(s, d->x + t * d->batch * inputs, y);
        CHECK(status == CYLSTM_OK, "a step");
        if (!pooled) CHECK(same_bits(y, expected->y + t * d->batch * width, d->batch * width), "y of step %d", (int)t);
    }
    if (pooled) CHECK(same_bits(y, expected->y, d->batch * width), "y after all steps");
    cylstm_state_get(s, values);
    CHECK(same_bits(values, expected->state[0], d->state_size), "h after all steps");
    free(values);
    free(y);
}

static void check_model(const model *m, const file *f, const cylstm_model *loaded)
{
    data d = new_data(&m->net.layout, random_integer(1, 12), random_integer(1, 5), 1);
    data full = new_data(&m->net.layout, random_integer(1, 12), random_integer(1, 5), 0);
    data *both[] = {&d, &full};
    for (int i = 0; i < 2; i++) {
        data *now = both[i], scaled = *now;
        scaled.x = new_floats(now->x_size);
        memcpy(scaled.x, now->x, (size_t)now->x_size * sizeof(float));
        scale_input(f, &m->net.layout, &scaled);
        results expected = new_results(m, now);
        const how h = {.plan = cylstm_plan(&m->net.layout, now->rows, now->batch, 1)};
        run_forward(m, &scaled, &h, &expected);
        const cylstm_state_options options = {
            .struct_size = sizeof options, .batch = now->batch, .max_steps = now->steps + 3, .max_threads = 3};
        cylstm_state *s;
        set_threshold("split_sequences", 1); /* the memory suffices for plans that come out otherwise */
        CHECK(cylstm_state_new(loaded, &options, &s) == CYLSTM_OK, "a state");
        set_threshold("split_sequences", 0);
        check_block(m, now, &expected, s, 0);
        check_block(m, now, &expected, s, 3);
        if (now == &full && m->net.layout.directions == 1) check_steps(m, now, &expected, s);
        cylstm_state_free(s);
        const size_t bytes = (size_t)cylstm_state_bytes(loaded, &options);
        arena own = new_arena((int64_t)bytes);
        CHECK(cylstm_state_place(loaded, &options, own.base, bytes - 1, &s) == CYLSTM_INVALID_ARGUMENT, "too little");
        CHECK(cylstm_state_place(loaded, &options, own.base, bytes, &s) == CYLSTM_OK, "a state of the caller's");
        check_block(m, now, &expected, s, 2);
        cylstm_state_free(s);
        free_aligned(own.base);
        free(scaled.x);
        free_results(&expected);
    }
    free_data(&d);
    free_data(&full);
}

/* A network that a file can hold: a layer of numbers, or a model whose layers have biases. */
static cylstm_config draw_model_config(void)
{
    cylstm_config c = draw_config();
    if (c.output_size > 0) {
        c.bias = 1;
    } else {
        c.vocab_size = 0;
    }
    return c;
}

/* Loaded from memory, aligned or not, borrowed, and from a file. */
static void test_numbers(const kernels *isa)
{
    for (int i = 0; i < trials(40); i++) {
        model m = new_model(draw_model_config(), isa);
        file f = new_file(&m, (scaling)(i % 3));
        cylstm_load_options options = {.struct_size = sizeof options, .kernels = isa->name, .borrow = i % 4 < 2};
        cylstm_model *loaded = load(&f, &options);
        check_model(&m, &f, loaded);
        cylstm_model_free(loaded);
        char *moved = allocate(f.size + 1);
        memcpy(moved + 1, f.bytes, f.size);
        options.borrow = 1;
        CHECK(cylstm_load_memory(moved + 1, f.size, &options, &loaded, NULL, 0) == CYLSTM_INVALID_ARGUMENT, "odd");
        options.borrow = 0;
        CHECK(cylstm_load_memory(moved + 1, f.size, &options, &loaded, NULL, 0) == CYLSTM_OK, "data at an odd place");
        free(moved);
        check_model(&m, &f, loaded);
        cylstm_model_free(loaded);
        free_file(&f);
        free_model(&m);
    }
}

static void test_values(void)
{
    const cylstm_config config = {.input_size = 2, .hidden_size = 3, .num_layers = 1, .output_size = 2, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_FLOATS), plain = new_file(&m, UNSCALED);
    cylstm_model *loaded = load(&f, NULL), *unscaled = load(&plain, NULL);
    const float scores[] = {1.0f, 2.0f, -3.0f, 0.0f}, *mean = f.scale + 4, *std = f.scale + 6;
    float values[4];
    cylstm_values(loaded, 2, scores, values);
    for (int i = 0; i < 4; i++) {
        const float product = scores[i] * std[i % 2];
        CHECK(values[i] == product + mean[i % 2], "value %d: %g", i, (double)values[i]);
    }
    cylstm_values(unscaled, 2, scores, values);
    CHECK(same_bits(values, scores, 4), "no regression: as they are");
    CHECK(cylstm_model_task(loaded) == CYLSTM_TASK_REGRESSION, "task of a regression");
    CHECK(cylstm_model_task(unscaled) == CYLSTM_TASK_CLASSIFICATION, "task of a classification");
    CHECK(cylstm_output_width(loaded) == 2 && cylstm_input_width(loaded) == 2, "widths");
    CHECK(strcmp(cylstm_model_kernels(loaded), cylstm_kernels_best()->name) == 0, "kernels");
    CHECK(cylstm_model_config(loaded)->hidden_size == 3 && cylstm_model_bytes(loaded) > 0, "config");
    cylstm_model_free(loaded);
    cylstm_model_free(unscaled);
    free_file(&f);
    free_file(&plain);
    free_model(&m);
}

/* Numbers whose mean is so large that floats lose how they differ: those of z, in units and about a mean of doubles. */
static void test_large_offsets(void)
{
    enum { STEPS = 6 };
    const cylstm_config config = {.input_size = 1, .hidden_size = 5, .num_layers = 1, .output_size = 1, .bias = 1};
    const cylstm_state_options options = {.struct_size = sizeof options, .max_steps = STEPS};
    const double mean = 1.7e9, std = 50.0, scale[] = {mean, std, mean, std};
    model m = new_model(config, cylstm_kernels_best());
    file wide = new_file(&m, SCALED_BY_DOUBLES), plain = new_file(&m, UNSCALED);
    float z[STEPS], x[STEPS], expected[STEPS], y[STEPS], rounded[STEPS];
    double doubles[STEPS], values[STEPS];
    cylstm_state *s, *twin;
    memcpy(wide.bytes + wide.size - sizeof scale, scale, sizeof scale);
    cylstm_model *scaled = load(&wide, NULL), *unscaled = load(&plain, NULL);
    for (int i = 0; i < STEPS; i++) {
        z[i] = (float)((i * 5) % 7 - 3) / 4.0f;
        doubles[i] = (double)z[i] * std + mean;
        x[i] = (float)doubles[i];
    }
    CHECK(cylstm_state_new(scaled, &options, &s) == CYLSTM_OK, "a state");
    CHECK(cylstm_state_new(unscaled, &options, &twin) == CYLSTM_OK, "a state of the twin");
    CHECK(cylstm_run(twin, STEPS, z, expected) == CYLSTM_OK, "the twin");
    CHECK(cylstm_run_doubles(s, STEPS, doubles, y) == CYLSTM_OK && same_bits(y, expected, STEPS), "a block");
    cylstm_state_reset(s);
    for (int i = 0; i < STEPS; i++) CHECK(cylstm_step_doubles(s, doubles + i, y + i) == CYLSTM_OK, "a step");
    CHECK(same_bits(y, expected, STEPS), "steps");
    cylstm_state_reset(s);
    const cylstm_call both = {.struct_size = sizeof both, .steps = STEPS, .x = x, .doubles = doubles, .y = y};
    CHECK(cylstm_call_run(s, &both) == CYLSTM_INVALID_ARGUMENT, "one of the two");
    CHECK(cylstm_run(s, STEPS, x, rounded) == CYLSTM_OK && !same_bits(rounded, expected, STEPS), "floats lose it");
    cylstm_values_doubles(scaled, STEPS, y, values);
    cylstm_values(scaled, STEPS, y, rounded);
    for (int i = 0; i < STEPS; i++) {
        const double value = (double)y[i] * std + mean;
        CHECK(values[i] == value && rounded[i] == (float)value, "value %d: %.17g", i, values[i]);
    }
    cylstm_values_doubles(unscaled, STEPS, y, values);
    CHECK(values[1] == (double)y[1], "no scale: as they are");
    cylstm_state_free(s);
    cylstm_state_free(twin);
    cylstm_model_free(scaled);
    cylstm_model_free(unscaled);
    free_file(&wide);
    free_file(&plain);
    free_model(&m);
}

/* ---- what options leave out, and what they add ---- */

/* Memory that is given back all at once, by whoever made it. */
typedef struct pile {
    void *blocks[8];
    int count;
} pile;

static void *take_from_pile(void *context, size_t size)
{
    pile *p = context;
    return p->blocks[p->count++] = allocate(size);
}

static void note_log(void *context, const char *text)
{
    snprintf(context, MESSAGE, "%s", text);
}

/* An allocator that releases nothing; the log; malloc. Both models and states are the same. */
static void test_options(void)
{
    const cylstm_config config = {
        .vocab_size = 5, .input_size = 3, .hidden_size = 9, .num_layers = 1, .output_size = 2, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    pile p = {.count = 0};
    char logged[MESSAGE] = "";
    const cylstm_allocator from_pile = {.allocate = take_from_pile, .context = &p};
    const cylstm_load_options options = {
        .struct_size = sizeof options, .allocator = from_pile, .log = note_log, .log_context = logged};
    const cylstm_state_options piled = {.struct_size = sizeof piled, .max_steps = 3, .allocator = from_pile},
                               plain = {.struct_size = sizeof plain, .max_steps = 3};
    cylstm_model *models[] = {load(&f, &options), load(&f, NULL)};
    const int32_t tokens[] = {4, 0, 2};
    float y[2][6];
    for (int i = 0; i < 2; i++) {
        cylstm_state *s;
        CHECK(cylstm_state_new(models[i], i ? &plain : &piled, &s) == CYLSTM_OK, "a state");
        CHECK(cylstm_run_tokens(s, 3, tokens, y[i]) == CYLSTM_OK, "tokens");
        cylstm_state_free(s);
        cylstm_model_free(models[i]);
    }
    CHECK(same_bits(y[0], y[1], 6), "the same numbers");
    CHECK(strncmp(logged, "loaded lstm, ", 13) == 0 && strstr(logged, "kernels") != NULL, "logged: %s", logged);
    CHECK(p.count == 3, "%d blocks", p.count); /* one while the file is read, the model, the state */
    for (int i = 0; i < p.count; i++) free(p.blocks[i]);
    free_file(&f);
    free_model(&m);
}

static void test_the_version(void)
{
    char numbers[32];
    snprintf(numbers, sizeof numbers, "%d.%d.%d", CYLSTM_VERSION_MAJOR, CYLSTM_VERSION_MINOR, CYLSTM_VERSION_PATCH);
    CHECK(strcmp(cylstm_version(), CYLSTM_VERSION) == 0 && strcmp(numbers, CYLSTM_VERSION) == 0, "%s", numbers);
}

/* Refused with a message, in the buffer that this version knows. */
static void check_later_call(const cylstm_model *model)
{
    char message[MESSAGE] = "what it was before";
    const float x = 1.0f;
    float y[2];
    struct {
        cylstm_call known;
        int64_t added;
    } later = {.known = {.struct_size = sizeof later, .steps = 1, .x = &x, .y = y}};
    cylstm_state *s;
    later.known.message = message;
    later.known.message_size = sizeof message;
    CHECK(cylstm_state_new(model, NULL, &s) == CYLSTM_OK, "a state");
    CHECK(cylstm_call_run(s, &later.known) == CYLSTM_OK && message[0] == '\0', "nothing is asked for: %s", message);
    later.added = 1;
    CHECK(cylstm_call_run(s, &later.known) == CYLSTM_INVALID_ARGUMENT, "something is");
    CHECK(strstr(message, "later version") != NULL, "%s", message);
    cylstm_state_free(s);
}

/* A program built against a later header: what it says beyond our structure must be nothing, or would be ignored. */
static void test_structures_of_a_later_version(void)
{
    const cylstm_config config = {.input_size = 1, .hidden_size = 2, .num_layers = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    struct {
        cylstm_load_options known;
        int64_t added;
    } later = {.known.struct_size = sizeof later};
    cylstm_model *model;
    CHECK(cylstm_load_memory(f.bytes, f.size, &later.known, &model, NULL, 0) == CYLSTM_OK, "nothing is asked for");
    cylstm_model_free(model);
    later.added = 1;
    CHECK(cylstm_load_memory(f.bytes, f.size, &later.known, &model, NULL, 0) == CYLSTM_INVALID_ARGUMENT,
          "something is");
    model = load(&f, NULL);
    check_later_call(model);
    cylstm_model_free(model);
    free_file(&f);
    free_model(&m);
}

/* ---- many threads, one model ---- */

enum { THREADS = 8, STREAM_STEPS = 50 };

typedef struct streaming {
    const cylstm_model *model;
    const float *x; /* (T, I) */
    float *y;       /* (T, W) */
} streaming;

static void *stream(void *context)
{
    const streaming *s = context;
    const int64_t inputs = cylstm_input_width(s->model), outputs = cylstm_output_width(s->model);
    cylstm_state *state;
    CHECK(cylstm_state_new(s->model, NULL, &state) == CYLSTM_OK, "a state");
    for (int64_t t = 0; t < STREAM_STEPS; t++)
        CHECK(cylstm_step(state, s->x + t * inputs, s->y + t * outputs) == CYLSTM_OK, "a step");
    cylstm_state_free(state);
    return NULL;
}

static void test_threads(void)
{
    const cylstm_config config = {.input_size = 7, .hidden_size = 30, .num_layers = 2, .output_size = 3, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    cylstm_model *loaded = load(&f, NULL);
    float *x = new_random(STREAM_STEPS * config.input_size, 1.0f);
    streaming all[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) all[i] = (streaming){loaded, x, new_floats(STREAM_STEPS * config.output_size)};
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, stream, &all[i]) == 0, "a thread");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 1; i < THREADS; i++)
        CHECK(same_bits(all[i].y, all[0].y, STREAM_STEPS * config.output_size), "thread %d", i);
    for (int i = 0; i < THREADS; i++) free(all[i].y);
    free(x);
    cylstm_model_free(loaded);
    free_file(&f);
    free_model(&m);
}

/* ---- sgemm from outside ---- */

static int sgemm_calls;

static void plain_sgemm(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                        const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    ++*(int *)context;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)(transpose_a ? a[p * lda + i] : a[i * lda + p]) *
                       (transpose_b ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] = (float)(alpha * sum + (beta == 0.0f ? 0.0 : beta * (double)c[i * ldc + j]));
        }
    }
}

static void test_sgemm(void)
{
    const cylstm_config config = {.input_size = 40, .hidden_size = 32, .num_layers = 1, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    set_threshold("blas_work", 1000);
    for (int borrow = 0; borrow < 2; borrow++) {
        const cylstm_load_options options = {
            .struct_size = sizeof options, .sgemm = plain_sgemm, .sgemm_context = &sgemm_calls, .borrow = borrow};
        cylstm_model *loaded = load(&f, &options), *without = load(&f, NULL);
        const cylstm_state_options block = {.struct_size = sizeof block, .max_steps = 50};
        cylstm_state *s, *reference;
        float *x = new_random(50 * 40, 1.0f), *y = new_floats(50 * 32), *expected = new_floats(50 * 32);
        CHECK(cylstm_state_new(loaded, &block, &s) == CYLSTM_OK, "a state");
        CHECK(cylstm_state_new(without, &block, &reference) == CYLSTM_OK, "a state");
        sgemm_calls = 0;
        CHECK(cylstm_run(reference, 50, x, expected) == CYLSTM_OK && sgemm_calls == 0, "without sgemm");
        CHECK(cylstm_run(s, 50, x, y) == CYLSTM_OK && sgemm_calls > 0, "with sgemm");
        for (int i = 0; i < 50 * 32; i++) CHECK(fabsf(y[i] - expected[i]) < 1e-5f, "y %d", i);
        cylstm_state_free(s);
        cylstm_state_free(reference);
        cylstm_model_free(loaded);
        cylstm_model_free(without);
        free(x);
        free(y);
        free(expected);
    }
    set_threshold("blas_work", 0);
    free_file(&f);
    free_model(&m);
}

/* ---- headers ---- */

static cylstm_status count_tensors(void *context, const entry *e)
{
    ++*(int *)context;
    return e->begin == 0 && e->end == 4 ? CYLSTM_OK : CYLSTM_BAD_FILE;
}

static cylstm_status see_word(void *context, const word *key, const word *value)
{
    *(int *)context += 10;
    return key->whole && value->whole ? CYLSTM_OK : CYLSTM_UNSUPPORTED;
}

#define ENTRY "\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"
#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

/* What of JSON a header may have, and what it may not; how many entries are seen in it, words counting ten. */
static void test_headers(void)
{
    static const struct {
        const char *text;
        cylstm_status status;
        int seen;
    } cases[] = {
        {"{}", CYLSTM_OK, 0},
        {" { } \n", CYLSTM_OK, 0},
        {"{\"a\":{" ENTRY "},\t\"b\" : {" ENTRY "} }", CYLSTM_OK, 2},
        {"{\"a\":{\"shape\":[ ],\"data_offsets\":[ 0 , 4 ],\"dtype\":\"F32\"}}", CYLSTM_OK, 1},
        {"{\"a\":{\"shape\":[1,2,3,4],\"data_offsets\":[0,4],\"dtype\":\"F32\"}}", CYLSTM_OK, 1},
        {"{\"__metadata__\":{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\u0041\"},\"a\":{" ENTRY "}}", CYLSTM_OK,
         11},
        {"{\"__metadata__\":{\"a\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}}", CYLSTM_OK, 10},
        {"{\"__metadata__\":{\"a\":\"\x80\"}}", CYLSTM_BAD_FILE, 0},             /* no character's first byte */
        {"{\"__metadata__\":{\"a\":\"\xFF\xBF\xBF\xBF\"}}", CYLSTM_BAD_FILE, 0}, /* nor this */
        {"{\"__metadata__\":{\"a\":\"\xC3q\"}}", CYLSTM_BAD_FILE, 0},            /* half a character */
        {"{\"__metadata__\":{\"a\":\"\xE2\x82", CYLSTM_BAD_FILE, 0},
        {"{\"__metadata__\":{\"a\":\"\xC0\xAF\"}}", CYLSTM_BAD_FILE, 0},         /* longer than it need be */
        {"{\"__metadata__\":{\"a\":\"\xED\xA0\x80\"}}", CYLSTM_BAD_FILE, 0},     /* half a surrogate pair */
        {"{\"__metadata__\":{\"a\":\"\xF4\x90\x80\x80\"}}", CYLSTM_BAD_FILE, 0}, /* above the last one */
        {"{\"__metadata__\":{}}", CYLSTM_OK, 0},
        {"{\"__metadata__\":{\"a\":\"" LONG "\"}}", CYLSTM_UNSUPPORTED, 10},
        {"{\"__metadata__\":{\"a\":1}}", CYLSTM_BAD_FILE, 0},
        {"{\"__metadata__\":[]}", CYLSTM_BAD_FILE, 0},
        {"", CYLSTM_BAD_FILE, 0},
        {"{", CYLSTM_BAD_FILE, 0},
        {"[]", CYLSTM_BAD_FILE, 0},
        {"{}{", CYLSTM_BAD_FILE, 0},
        {"{,}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{" ENTRY "},}", CYLSTM_BAD_FILE, 1},
        {"{\"a\":{" ENTRY "} \"b\":{" ENTRY "}}", CYLSTM_BAD_FILE, 1},
        {"{\"a\" {" ENTRY "}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{" ENTRY "," ENTRY "}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{" ENTRY ",\"shape\":[1]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{" ENTRY ",\"more\":[1]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9999999999999999999],\"data_offsets\":[0,4]}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[[[[[[[[[[[[[[[", CYLSTM_BAD_FILE, 0},
        {"{\"a\":{\"dtype\":{\"dtype\":{\"dtype\":{\"dtype\":{", CYLSTM_BAD_FILE, 0},
        {"{\"a", CYLSTM_BAD_FILE, 0},
        {"{\"a\n\":{" ENTRY "}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\\x\":{" ENTRY "}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\\", CYLSTM_BAD_FILE, 0},
        {"{\"a\\u00", CYLSTM_BAD_FILE, 0},
        {"{\"a\\u00g0\":{" ENTRY "}}", CYLSTM_BAD_FILE, 0},
        {"{\"a\\u0000\":{" ENTRY "}}", CYLSTM_BAD_FILE, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t length = strlen(cases[i].text);
        char *bytes = allocate(8 + length);
        int seen = 0;
        const visitor v = {.word = see_word, .tensor = count_tensors, .context = &seen};
        safetensors opened;
        memcpy(bytes, &length, 8);
        memcpy(bytes + 8, cases[i].text, length);
        cylstm_status status = cylstm_safetensors_open(&opened, bytes, 8 + length, (message){NULL, 0});
        CHECK(status == CYLSTM_OK, "open %s", cases[i].text);
        status = cylstm_safetensors_visit(&opened, &v, (message){NULL, 0});
        CHECK(status == cases[i].status && seen == cases[i].seen, "%s: %s, %d seen", cases[i].text,
              cylstm_status_name(status), seen);
        free(bytes);
    }
}

/* ---- what is wrong ---- */

/* Padding to whole vectors makes at most 64 numbers of one; tables and alignment add some. */
enum { MOST_TIMES = 128, MOST_BESIDE = 1 << 16 };

static void check_memory(const counter *c, size_t size)
{
    CHECK(c->bytes <= (int64_t)(MOST_TIMES * size + MOST_BESIDE), "%lld bytes of memory for a file of %zu",
          (long long)c->bytes, size);
    CHECK(c->held == 0, "%d blocks are held", (int)c->held);
}

/* A file with another text in its header, of the same length. */
static cylstm_status load_text(const file *f, const char *from, const char *to, char *message)
{
    counter c = {.fail_at = -1};
    const cylstm_load_options options = {.struct_size = sizeof options, .allocator = counted(&c)};
    file changed = {.bytes = allocate(f->size), .size = f->size};
    cylstm_model *model = NULL;
    memcpy(changed.bytes, f->bytes, f->size);
    char *at = NULL;
    for (int64_t i = 8; i + (int64_t)strlen(from) <= f->header && at == NULL; i++) {
        if (memcmp(changed.bytes + i, from, strlen(from)) == 0) at = changed.bytes + i;
    }
    CHECK(at != NULL && strlen(from) == strlen(to), "no %s in the file", from);
    if (at != NULL) memcpy(at, to, strlen(to));
    const cylstm_status status = cylstm_load_memory(changed.bytes, changed.size, &options, &model, message, MESSAGE);
    CHECK((status == CYLSTM_OK) == (model != NULL), "a model or none");
    cylstm_model_free(model);
    check_memory(&c, changed.size);
    free(changed.bytes);
    return status;
}

/* A file whose header has other text of the same length: which status, and what the message names. */
static void test_bad_headers(void)
{
    static const struct {
        const char *from, *to;
        cylstm_status status;
        const char *named;
    } cases[] = {
        {"\"cylstm\"", "\"cylstn\"", CYLSTM_BAD_FILE, "format"},
        {"\"format_version\":\"1\"", "\"format_version\":\"3\"", CYLSTM_UNSUPPORTED,
         "later version of the format, 3; cylstm"},
        {"\"format_version\":\"1\"", "\"format_version\":\"0\"", CYLSTM_BAD_FILE, "format_version: unexpected value 0"},
        {"\"format_version\":\"1\"", "\"format_version\":\"b\"", CYLSTM_BAD_FILE, "format_version: unexpected value b"},
        {"\"lstm\"", "\"gruu\"", CYLSTM_BAD_FILE, "cell"},
        {"\"mean\"", "\"mode\"", CYLSTM_BAD_FILE, "pooling"},
        {"\"hidden_size\":\"9\"", "\"hidden_size\":\"8\"", CYLSTM_BAD_FILE, "weight_ih_l0"},
        {"\"hidden_size\":\"9\"", "\"hidden_size\":\"0\"", CYLSTM_BAD_FILE, "sizes"},
        {"\"hidden_size\":\"9\"", "\"hidden_size\":\"x\"", CYLSTM_BAD_FILE, "hidden_size"},
        {"\"hidden_size\":\"9\"", "\"hidden_sizz\":\"9\"", CYLSTM_BAD_FILE, "hidden_sizz"},
        {"\"num_layers\":\"1\"", "\"num_layers\":\"9\"", CYLSTM_BAD_FILE, "weights"},
        {"\"bias\":\"1\"", "\"bias\":\"2\"", CYLSTM_BAD_FILE, "bias"},
        {"\"bias\":\"1\"", "\"cell\":\"1\"", CYLSTM_BAD_FILE, "twice"},
        {"weight_hh_l0\"", "weight_ih_l0\"", CYLSTM_BAD_FILE, "twice"},
        {"weight_hh_l0\"", "weight_hh_l7\"", CYLSTM_BAD_FILE, "weight_hh_l7"},
        {"\"head.bias\":{\"dtype\":\"F32\"", "\"head.bias\":{\"dtype\":\"F16\"", CYLSTM_BAD_FILE, "F16"},
        {"\"head.bias\":{\"dtype\":\"F32\",\"shape\":[5]", "\"head.bias\":{\"dtype\":\"F32\",\"shape\":[6]",
         CYLSTM_BAD_FILE, "shape"},
        {"\"dtype\":\"F32\",\"shape\":[5]", "\"shape\":[5]  ,\"shape\":[5]", CYLSTM_BAD_FILE, "expected F32"},
        {"[0,", "[8,", CYLSTM_BAD_FILE, "bytes"},
        {"[1728,1872]", "[1584,1728]", CYLSTM_BAD_FILE, "overlap"}, /* bias_hh_l0 where bias_ih_l0 lies */
        {"\"dtype\"", "\"dtypo\"", CYLSTM_BAD_FILE, "byte"},
        {"\"shape\":[36,2]", "\"dtype\":\"F32\" ", CYLSTM_BAD_FILE, "shape"},
        {"\"python\":\"{", "\"python\":{{", CYLSTM_BAD_FILE, "byte"},
        {"\\u00e9", "\\u0000", CYLSTM_BAD_FILE, "byte"},
        {"\\u00e9", "\\x00e9", CYLSTM_BAD_FILE, "byte"},
        {"input_scale.std", "input_scale.sts", CYLSTM_BAD_FILE, "input_scale.sts"},
        {"\"output_size\":\"5\"", "\"output_size\":\"0\"", CYLSTM_BAD_FILE, "sizes"},
        {"\"regression\"", "\"language\"  ", CYLSTM_BAD_FILE, "a network that task language does not have"},
        {"\"regression\"", "\"none\"      ", CYLSTM_BAD_FILE, "a network that task none does not have"},
    };
    const cylstm_config config = {
        .input_size = 2, .hidden_size = 9, .num_layers = 1, .output_size = 5, .bias = 1, .pooling = CYLSTM_POOL_MEAN};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_FLOATS);
    char message[MESSAGE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cylstm_status status = load_text(&f, cases[i].from, cases[i].to, message);
        CHECK(status == cases[i].status && strstr(message, cases[i].named) != NULL, "%s -> %s: %s: %s", cases[i].from,
              cases[i].to, cylstm_status_name(status), message);
    }
    float *std = (float *)(void *)(f.bytes + f.header) + m.net.layout.parameter_count + 2;
    for (int i = 0; i < 3; i++) {
        *std = (float[]){0.0f, NAN, INFINITY}[i];
        cylstm_model *model;
        CHECK(cylstm_load_memory(f.bytes, f.size, NULL, &model, NULL, 0) == CYLSTM_BAD_FILE, "a deviation of %g",
              (double)*std);
    }
    free_file(&f);
    free_model(&m);
}

/* A layer of two inputs without biases, or of what the metadata say, with these tensors in its header and zeros for data. */
static cylstm_status load_described(const char *metadata, const char *tensors, size_t data_size, char *message)
{
    char header[1000];
    counter c = {.fail_at = -1};
    const cylstm_load_options options = {.struct_size = sizeof options, .allocator = counted(&c)};
    const int length = snprintf(
        header, sizeof header,
        "{\"__metadata__\":{\"format\":\"cylstm\",\"format_version\":\"1\",\"cell\":\"lstm\",\"pooling\":\"none\","
        "\"task\":\"none\",\"vocab_size\":\"0\",\"output_size\":\"0\",\"bidirectional\":\"0\",\"bias\":\"0\","
        "\"python\":\"{}\",%s},%s}",
        metadata, tensors);
    const uint64_t header_size = (uint64_t)length;
    const size_t size = 8 + (size_t)length + data_size;
    char *bytes = allocate(size);
    memcpy(bytes, &header_size, 8);
    memcpy(bytes + 8, header, (size_t)length);
    memset(bytes + 8 + length, 0, data_size);
    cylstm_model *model;
    const cylstm_status status = cylstm_load_memory(bytes, size, &options, &model, message, MESSAGE);
    cylstm_model_free(model);
    check_memory(&c, size);
    free(bytes);
    return status;
}

/* Two matrices of 64 bytes, with these in its header. */
static cylstm_status load_layer(const char *metadata, const char *shape_and_offsets)
{
    char sizes[200], tensors[400], message[MESSAGE];
    snprintf(sizes, sizeof sizes, "\"input_size\":\"2\",%s", metadata);
    snprintf(tensors, sizeof tensors,
             "\"recurrent.weight_ih_l0\":{\"dtype\":\"F32\",\"shape\":%s},"
             "\"recurrent.weight_hh_l0\":{\"dtype\":\"F32\",\"shape\":[8,2],\"data_offsets\":[64,128]}",
             shape_and_offsets);
    return load_described(sizes, tensors, 128, message);
}

/* What no file can hold is said in few bytes. */
static void test_absurd_files(void)
{
    static const struct {
        const char *metadata, *tensor;
        cylstm_status status;
    } cases[] = {
        {"\"hidden_size\":\"2147483647\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"999999999\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"999999999\"", "[8,2],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1024\"", "[8,2],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[0,64]", CYLSTM_OK},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[64,0]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[64,128]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,2],\"data_offsets\":[999999999999999936,999999999999999999]",
         CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,4611686018427387904],\"data_offsets\":[0,64]",
         CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[288230376151711744,2],\"data_offsets\":[0,64]",
         CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[8,2,1],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
        {"\"hidden_size\":\"2\",\"num_layers\":\"1\"", "[],\"data_offsets\":[0,64]", CYLSTM_BAD_FILE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cylstm_status status = load_layer(cases[i].metadata, cases[i].tensor);
        CHECK(status == cases[i].status, "%s, %s: %s", cases[i].metadata, cases[i].tensor, cylstm_status_name(status));
    }
}

/* All tensors of half the bytes: said to be of another type, not to be too few. */
static void test_tensors_of_another_type(void)
{
    char message[MESSAGE];
    const cylstm_status status = load_described(
        "\"input_size\":\"2\",\"hidden_size\":\"2\",\"num_layers\":\"1\"",
        "\"recurrent.weight_ih_l0\":{\"dtype\":\"F16\",\"shape\":[8,2],\"data_offsets\":[0,32]},"
        "\"recurrent.weight_hh_l0\":{\"dtype\":\"F16\",\"shape\":[8,2],\"data_offsets\":[32,64]}",
        64, message);
    CHECK(status == CYLSTM_BAD_FILE, "%s", cylstm_status_name(status));
    CHECK(strcmp(message, "recurrent.weight_ih_l0: expected F32, got F16") == 0, "%s", message);
}

/* A scale has as many numbers as the weights that are not there. */
static void test_a_missing_tensor(void)
{
    char message[MESSAGE];
    const cylstm_status status = load_described(
        "\"input_size\":\"4\",\"hidden_size\":\"1\",\"num_layers\":\"1\"",
        "\"recurrent.weight_ih_l0\":{\"dtype\":\"F32\",\"shape\":[4,4],\"data_offsets\":[0,64]},"
        "\"input_scale.mean\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[64,80]}",
        80, message);
    CHECK(status == CYLSTM_BAD_FILE, "%s", cylstm_status_name(status));
    CHECK(strcmp(message, "recurrent.weight_hh_l0: not in the file") == 0, "%s", message);
}

/* A copy whose header says something else in one place. */
static file reworded(const file *f, const char *from, const char *to)
{
    file copy = {.header = f->header + (int64_t)strlen(to) - (int64_t)strlen(from)};
    const char *after = f->bytes + 8;
    while (memcmp(after, from, strlen(from)) != 0) after++;
    const size_t before = (size_t)(after - f->bytes);
    after += strlen(from);
    copy.size = f->size + strlen(to) - strlen(from);
    copy.bytes = allocate(copy.size);
    memcpy(copy.bytes, f->bytes, before);
    memcpy(copy.bytes + before, to, strlen(to));
    memcpy(copy.bytes + before + strlen(to), after, (size_t)(f->bytes + f->size - after));
    memcpy(copy.bytes, &(uint64_t){(uint64_t)copy.header - 8}, 8);
    return copy;
}

/* Scales that the task has no use for. */
static void test_scales_out_of_place(void)
{
    static const char message[] = "output_scale.mean: one without the other, or out of place";
    const cylstm_config config = {
        .struct_size = sizeof config, .input_size = 3, .hidden_size = 4, .num_layers = 1, .bias = 1, .output_size = 2};
    char text[200];
    cylstm_model *loaded;
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_FLOATS), other = reworded(&f, "\"regression\"", "\"classification\"");
    const cylstm_status status = cylstm_load_memory(other.bytes, other.size, NULL, &loaded, text, sizeof text);
    CHECK(status == CYLSTM_BAD_FILE && strcmp(text, message) == 0, "%s: %s", cylstm_status_name(status), text);
    free_file(&other);
    free_file(&f);
    free_model(&m);
}

static void check_refused(const file *f, const char *named)
{
    cylstm_model *loaded;
    char text[MESSAGE];
    const cylstm_status status = cylstm_load_memory(f->bytes, f->size, NULL, &loaded, text, sizeof text);
    CHECK(status == CYLSTM_BAD_FILE && strstr(text, named) != NULL, "%s: %s", cylstm_status_name(status), text);
}

/* Scales of doubles: in a file of version 2, both or none, finite. */
static void test_scales_of_doubles(void)
{
    static const double wrong[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, -1.0};
    const cylstm_config config = {.input_size = 2, .hidden_size = 2, .num_layers = 1, .bias = 1, .output_size = 2};
    char text[MESSAGE], from[MESSAGE], to[MESSAGE];
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_DOUBLES);
    const long long begin = (long long)f.size - f.header - 32; /* of the outputs' mean */
    CHECK(load_text(&f, "\"format_version\":\"2\"", "\"format_version\":\"1\"", text) == CYLSTM_BAD_FILE, "version 1");
    CHECK(strstr(text, "expected F32, got F64") != NULL, "%s", text);
    snprintf(from, sizeof from,
             "\"F64\",\"shape\":[2],\"data_offsets\":[%lld,%lld]},"
             "\"output_scale.std\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[%lld,%lld]}",
             begin, begin + 16, begin + 16, begin + 32);
    snprintf(to, sizeof to,
             "\"F32\",\"shape\":[2],\"data_offsets\":[%lld,%lld]},"
             "\"output_scale.std\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[%lld,%lld]}",
             begin, begin + 8, begin + 8, begin + 24);
    file mixed = reworded(&f, from, to);
    mixed.size -= 8;
    check_refused(&mixed, "output_scale.mean: not of the type of the other");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(f.bytes + f.size - 8, &wrong[i], 8);
        check_refused(&f, "output_scale.std: expected finite numbers, deviations above 0");
    }
    free_file(&mixed);
    free_file(&f);
    free_model(&m);
}

#if defined(__x86_64__)

/* Loads a file, and computes values, with every floating-point exception a trap that ends the program. */
static cylstm_status load_with_traps(const file *f)
{
    enum { MASKS = 0x1F80 };
    cylstm_model *model;
    const float scores[] = {3e38f, -3e38f, 1e-38f};
    float values[3];
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode & ~(unsigned)MASKS);
    const cylstm_status status = cylstm_load_memory(f->bytes, f->size, NULL, &model, NULL, 0);
    if (status == CYLSTM_OK) cylstm_values(model, 1, scores, values);
    CHECK(_mm_getcsr() == (mode & ~(unsigned)MASKS), "the mode is as it was");
    _mm_setcsr(mode);
    cylstm_model_free(model);
    return status;
}

/* Numbers of a file are not computed with in the mode of a caller who wants to be stopped by such. */
static void test_traps(void)
{
    static const float others[] = {NAN, -NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-45f, 0.0f, -0.0f};
    static const int is_mean[] = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1}, is_std[] = {0, 0, 0, 0, 1, 0, 1, 0, 0, 0};
    const cylstm_config config = {.input_size = 2, .hidden_size = 9, .num_layers = 2, .output_size = 3, .bias = 1};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        model m = new_model(config, cylstm_kernels_best());
        const int64_t count = m.net.layout.parameter_count;
        for (int64_t j = 0; j < count; j++)
            m.parameters[j] = others[(i + (size_t)j) % (sizeof others / sizeof *others)];
        file f = new_file(&m, SCALED_BY_FLOATS);
        float *scales = (float *)(void *)(f.bytes + f.header) + count; /* mean (I), std (I), mean (O), std (O) */
        CHECK(load_with_traps(&f) == CYLSTM_OK, "weights that are no numbers");
        for (int at = 0; at < 10; at++) {
            const float before = scales[at];
            const int expected = (at / 2 == 1 || at >= 7 ? is_std : is_mean)[i];
            scales[at] = others[i];
            const cylstm_status status = load_with_traps(&f);
            CHECK(status == (expected ? CYLSTM_OK : CYLSTM_BAD_FILE), "scale %d of %g", at, (double)others[i]);
            scales[at] = before;
        }
        free_file(&f);
        free_model(&m);
    }
}

#endif

/* Weights may be anything: what is computed with them is NaN, and nothing else goes wrong. */
static void test_weights_that_are_no_numbers(void)
{
    const cylstm_config config = {.input_size = 2, .hidden_size = 9, .num_layers = 2, .output_size = 3, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    for (int64_t i = 0; i < m.net.layout.parameter_count; i++) m.parameters[i] = i % 2 ? NAN : INFINITY;
    file f = new_file(&m, UNSCALED);
    cylstm_model *loaded = load(&f, NULL);
    cylstm_state *s;
    const float x[2] = {1.0f, -1.0f};
    float y[3] = {0};
    CHECK(cylstm_state_new(loaded, NULL, &s) == CYLSTM_OK && cylstm_step(s, x, y) == CYLSTM_OK, "a step");
    for (int i = 0; i < 3; i++) CHECK(isnan(y[i]), "y %d: %g", i, (double)y[i]);
    cylstm_state_free(s);
    cylstm_model_free(loaded);
    free_file(&f);
    free_model(&m);
}

/* Bytes that no tensor has. */
static void test_hidden_bytes(void)
{
    model m = new_model(draw_model_config(), cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    char *longer = allocate(f.size + 4), message[MESSAGE];
    cylstm_model *model;
    memcpy(longer, f.bytes, f.size);
    memset(longer + f.size, 0, 4);
    CHECK(cylstm_load_memory(longer, f.size + 4, NULL, &model, message, MESSAGE) == CYLSTM_BAD_FILE,
          "bytes at the end");
    CHECK(strstr(message, "4 bytes after") != NULL, "%s", message);
    free(longer);
    free_file(&f);
    free_model(&m);
}

/* Every truncation, and damage of all kinds: a status, and a model that runs if it is OK. */
static void test_damage(void)
{
    model m = new_model(draw_model_config(), cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_FLOATS);
    cylstm_model *model;
    for (size_t size = 0; size < f.size; size++) {
        if (size > (size_t)f.header + 16 && size % 97 != 0) continue;
        file cut = {.bytes = allocate(size), .size = size};
        memcpy(cut.bytes, f.bytes, size);
        CHECK(cylstm_load_memory(cut.bytes, size, NULL, &model, NULL, 0) == CYLSTM_BAD_FILE, "%zu of %zu", size,
              f.size);
        free(cut.bytes);
    }
    for (int i = 0; i < trials(20000); i++) {
        const int64_t at = random_integer(0, f.header - 1), other = random_integer(8, f.header - 1);
        const char before = f.bytes[at];
        f.bytes[at] = i % 2 ? f.bytes[other] : (char)random_bits();
        if (cylstm_load_memory(f.bytes, f.size, NULL, &model, NULL, 0) == CYLSTM_OK) cylstm_model_free(model);
        f.bytes[at] = before;
    }
    free_file(&f);
    free_model(&m);
}

/* A state's numbers go into a state of as many alone. */
static void test_counts(void)
{
    const cylstm_config small = {.input_size = 3, .hidden_size = 5, .num_layers = 1},
                        large = {.input_size = 3, .hidden_size = 6, .num_layers = 1};
    model models[] = {new_model(small, cylstm_kernels_best()), new_model(large, cylstm_kernels_best())};
    file files[] = {new_file(&models[0], UNSCALED), new_file(&models[1], UNSCALED)};
    cylstm_model *loaded[] = {load(&files[0], NULL), load(&files[1], NULL)};
    cylstm_state *s;
    CHECK(cylstm_state_new(loaded[1], NULL, &s) == CYLSTM_OK && cylstm_state_count(s) == 12, "a state");
    float *few = new_random(10, 1.0f), *enough = new_random(12, 1.0f), *now = new_floats(12);
    CHECK(cylstm_state_write(s, 12, enough) == CYLSTM_OK, "its own");
    CHECK(cylstm_state_write(s, 10, few) == CYLSTM_INVALID_ARGUMENT, "another model's");
    CHECK(cylstm_state_read(s, 10, few) == CYLSTM_INVALID_ARGUMENT, "into another model's");
    CHECK(cylstm_state_read(s, 12, now) == CYLSTM_OK && same_bits(now, enough, 12), "what was written");
    cylstm_state_free(s);
    for (int i = 0; i < 2; i++) {
        cylstm_model_free(loaded[i]);
        free_file(&files[i]);
        free_model(&models[i]);
    }
    free(few);
    free(enough);
    free(now);
}

/* Sequences that were read from both ends do not go on: not before a reset, or other numbers. */
static void test_both_directions_go_on(void)
{
    const cylstm_config config = {.input_size = 1, .hidden_size = 2, .num_layers = 1, .bidirectional = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    cylstm_model *loaded = load(&f, NULL);
    const cylstm_state_options two = {.struct_size = sizeof two, .max_steps = 2};
    cylstm_state *s = NULL, *other = NULL;
    const float x[2] = {1.0f, -1.0f}, zeros[8] = {0};
    float y[8], again[8];
    char message[MESSAGE] = "";
    CHECK(cylstm_state_new(loaded, &two, &s) == CYLSTM_OK && cylstm_state_new(loaded, &two, &other) == CYLSTM_OK,
          "two");
    CHECK(cylstm_run(s, 3, x, y) == CYLSTM_TOO_LARGE && cylstm_run(s, 2, x, y) == CYLSTM_OK, "a call that did not run");
    const cylstm_call call = {
        .struct_size = sizeof call, .steps = 2, .x = x, .y = again, .message = message, .message_size = MESSAGE};
    memcpy(again, zeros, sizeof again);
    CHECK(cylstm_call_run(s, &call) == CYLSTM_INVALID_ARGUMENT && strstr(message, "reset it") != NULL, "%s", message);
    CHECK(same_bits(again, zeros, 8), "y is left alone");
    CHECK(cylstm_state_copy(other, s) == CYLSTM_OK, "a copy");
    CHECK(cylstm_run(other, 2, x, again) == CYLSTM_INVALID_ARGUMENT, "the copy stands there too");
    cylstm_state_reset(s);
    CHECK(cylstm_run(s, 2, x, again) == CYLSTM_OK && same_bits(again, y, 8), "after a reset");
    CHECK(cylstm_state_write(other, cylstm_state_count(other), zeros) == CYLSTM_OK, "set");
    CHECK(cylstm_run(other, 2, x, again) == CYLSTM_OK && same_bits(again, y, 8), "after it was set");
    cylstm_state_free(s);
    cylstm_state_free(other);
    cylstm_model_free(loaded);
    free_file(&f);
    free_model(&m);
}

static void test_arguments(void)
{
    const cylstm_config config = {
        .input_size = 3, .hidden_size = 5, .num_layers = 1, .vocab_size = 7, .output_size = 2, .bias = 1};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    cylstm_model *model = NULL;
    cylstm_state *s, *other;
    char message[MESSAGE] = "";
    const int32_t good[] = {0, 6, 3, 3}, bad[] = {0, 6, 7, 3};
    const int64_t lengths[] = {2, 3};
    float y[20], before[20] = {0};
    CHECK(cylstm_load("no/such/file", NULL, &model, message, sizeof message) == CYLSTM_CANNOT_READ, "no file");
    CHECK(strstr(message, "no/such/file") != NULL && model == NULL, "%s", message);
    CHECK(cylstm_load(".", NULL, &model, message, sizeof message) == CYLSTM_CANNOT_READ, "a folder: %s", message);
    const cylstm_load_options unset = {.kernels = "avx2"}, unknown = {.struct_size = sizeof unknown, .kernels = "vax"};
    CHECK(cylstm_load_memory(f.bytes, f.size, &unset, &model, NULL, 0) == CYLSTM_INVALID_ARGUMENT, "struct_size");
    CHECK(cylstm_load_memory(f.bytes, f.size, &unknown, &model, message, sizeof message) == CYLSTM_UNSUPPORTED, "vax");
    CHECK(strstr(message, "kernels vax: unknown") != NULL, "%s", message);
    CHECK(cylstm_load_memory(f.bytes, f.size, &unknown, &model, message, 12) == CYLSTM_UNSUPPORTED, "kernels");
    CHECK(strlen(message) == 11, "cut to its buffer: %s", message);
    model = load(&f, NULL);
    const cylstm_state_options two = {.struct_size = sizeof two, .batch = 2, .max_steps = 2};
    const cylstm_state_options huge = {.struct_size = sizeof huge, .batch = INT64_MAX / 2, .max_steps = INT64_MAX / 2};
    const cylstm_state_options negative = {.struct_size = sizeof negative, .batch = -1};
    CHECK(cylstm_state_new(model, &huge, &s) == CYLSTM_TOO_LARGE && s == NULL, "huge");
    CHECK(cylstm_state_bytes(model, &huge) == INT64_MAX && cylstm_state_bytes(model, &negative) == -1, "bytes");
    CHECK(cylstm_state_new(model, &negative, &s) == CYLSTM_INVALID_ARGUMENT, "negative");
    CHECK(cylstm_state_new(model, &two, &s) == CYLSTM_OK, "a state");
    CHECK(cylstm_state_new(model, NULL, &other) == CYLSTM_OK, "a state");
    memset(y, 0, sizeof y);
    const struct {
        cylstm_call call;
        cylstm_status status;
        const char *named;
    } calls[] = {
        {{.steps = 2, .tokens = bad, .y = y}, CYLSTM_INVALID_ARGUMENT, "got 7 at step 1 of sequence 0"},
        {{.steps = 3, .tokens = good, .y = y}, CYLSTM_TOO_LARGE, "steps"},
        {{.steps = 0, .tokens = good, .y = y}, CYLSTM_INVALID_ARGUMENT, "steps"},
        {{.steps = 2, .tokens = good, .y = y, .threads = 2}, CYLSTM_TOO_LARGE, "threads"},
        {{.steps = 2, .tokens = good, .y = NULL}, CYLSTM_INVALID_ARGUMENT, "y:"},
        {{.steps = 2, .tokens = good, .y = y, .threads = -1}, CYLSTM_INVALID_ARGUMENT, "threads"},
        {{.steps = 2, .x = y, .y = y}, CYLSTM_INVALID_ARGUMENT, "tokens alone"},
        {{.steps = 2, .tokens = good, .lengths = lengths, .y = y}, CYLSTM_INVALID_ARGUMENT, "lengths[1]"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        cylstm_call call = calls[i].call;
        call.struct_size = sizeof call;
        call.message = message;
        call.message_size = sizeof message;
        const cylstm_status status = cylstm_call_run(s, &call);
        CHECK(status == calls[i].status && strstr(message, calls[i].named) != NULL, "call %d: %s: %s", (int)i,
              cylstm_status_name(status), message);
    }
    CHECK(cylstm_step(s, y, y) == CYLSTM_UNSUPPORTED, "numbers for tokens");
    CHECK(cylstm_step_tokens(s, bad + 2, y) == CYLSTM_INVALID_ARGUMENT, "a bad token");
    CHECK(same_bits(y, before, 20), "y is left alone");
    CHECK(cylstm_state_copy(s, other) == CYLSTM_INVALID_ARGUMENT, "another batch");
    cylstm_state_free(s);
    cylstm_state_free(other);
    cylstm_state_free(NULL);
    cylstm_model_free(model);
    cylstm_model_free(NULL);
    free_file(&f);
    free_model(&m);
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    /* So that even these small networks are worth threads, and directions and layers side by side. */
    set_threshold("work_per_thread", 1);
    set_threshold("wave_chunks", 2);
    for (int i = 0; i < count; i++) test_numbers(isas[i]);
    test_values();
    test_large_offsets();
    test_options();
    test_the_version();
    test_structures_of_a_later_version();
    test_threads();
    test_sgemm();
    test_headers();
    test_bad_headers();
    test_absurd_files();
    test_tensors_of_another_type();
    test_a_missing_tensor();
    test_scales_of_doubles();
    test_scales_out_of_place();
#if defined(__x86_64__)
    test_traps();
#endif
    test_weights_that_are_no_numbers();
    test_hidden_bytes();
    for (int i = 0; i < trials(3); i++) test_damage();
    test_counts();
    test_both_directions_go_on();
    test_arguments();
    return report("test_model");
}
