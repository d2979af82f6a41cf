/*
 * Each allocation fails once: of loading from memory and from a file, of running, and of training, which in C is to be had by
 * the internal headers alone. Whatever fails, the status says so, and nothing stays allocated.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_allocations.c libcylstm.a -lm -o test_allocations && ./test_allocations
 */
#include "check.h"

#include <stdarg.h>

#include "counted.h"
#include "file.h"
#include "loss.h"
#include "memory.h"
#include "optim.h"

/* ---- the n-th allocation, for each n ---- */

typedef cylstm_status scenario(const void *context, counter *c);

/* Runs it until nothing fails any more; there must be so many allocations. */
static void fail_each(const char *what, scenario *run, const void *context, int64_t expected)
{
    cylstm_status status = CYLSTM_OUT_OF_MEMORY;
    for (int64_t fail_at = 0; status == CYLSTM_OUT_OF_MEMORY; fail_at++) {
        counter c = {.fail_at = fail_at};
        status = run(context, &c);
        CHECK((status == CYLSTM_OUT_OF_MEMORY) == (fail_at < c.allocations), "%s: %s, allocation %d of %d failed", what,
              cylstm_status_name(status), (int)fail_at, (int)c.allocations);
        CHECK(c.held == 0, "%s: %d blocks are held after allocation %d failed", what, (int)c.held, (int)fail_at);
        CHECK(status == CYLSTM_OUT_OF_MEMORY || fail_at == expected, "%s: %d allocations", what, (int)fail_at);
    }
    CHECK(status == CYLSTM_OK, "%s: %s", what, cylstm_status_name(status));
}

/* ---- load and run ---- */

enum { STEPS = 6, BATCH = 3, INPUTS = 5, HIDDEN = 9, OUTPUTS = 4, VOCABULARY = 7 };

typedef struct loading {
    const char *bytes, *path; /* one of them */
    size_t size;
} loading;

/* A block and steps of a state; they allocate nothing. */
static cylstm_status run_state(cylstm_state *s, const counter *c)
{
    const int32_t tokens[STEPS * BATCH] = {0, 1, 2, 3, 4, 5, 6};
    const int64_t lengths[BATCH] = {STEPS, 0, 2}, before = c->allocations;
    float y[BATCH * OUTPUTS];
    const cylstm_call call = {
        .struct_size = sizeof call, .steps = STEPS, .tokens = tokens, .lengths = lengths, .y = y, .threads = 2};
    cylstm_status status = cylstm_call_run(s, &call);
    for (int i = 0; i < 100 && status == CYLSTM_OK; i++) status = cylstm_step_tokens(s, tokens, y);
    CHECK(c->allocations == before, "%d allocations by calls", (int)(c->allocations - before));
    return status;
}

static cylstm_status load_and_run(const void *context, counter *c)
{
    const loading *from = context;
    const cylstm_load_options options = {.struct_size = sizeof options, .allocator = counted(c)};
    const cylstm_state_options block = {
        .struct_size = sizeof block, .batch = BATCH, .max_steps = STEPS, .max_threads = 2, .allocator = counted(c)};
    cylstm_model *model;
    cylstm_state *s = NULL, *other = NULL;
    cylstm_status status = from->path != NULL ? cylstm_load(from->path, &options, &model, NULL, 0)
                                              : cylstm_load_memory(from->bytes, from->size, &options, &model, NULL, 0);
    CHECK((status == CYLSTM_OK) == (model != NULL), "a model or none");
    if (status == CYLSTM_OK) status = cylstm_state_new(model, &block, &s);
    if (status == CYLSTM_OK) status = cylstm_state_new(model, &block, &other); /* the first one stays as it is */
    if (status == CYLSTM_OK) status = run_state(s, c);
    if (status == CYLSTM_OK) status = cylstm_state_copy(other, s);
    cylstm_state_free(s);
    cylstm_state_free(other);
    cylstm_model_free(model);
    return status;
}

static cylstm_config token_config(void)
{
    return (cylstm_config){.struct_size = sizeof(cylstm_config),
                           .vocab_size = VOCABULARY,
                           .input_size = INPUTS,
                           .hidden_size = HIDDEN,
                           .num_layers = 2,
                           .bias = 1,
                           .output_size = OUTPUTS,
                           .pooling = CYLSTM_POOL_MAX};
}

static void write_file(const char *path, const file *f)
{
    FILE *to = fopen(path, "wb");
    CHECK(to != NULL && fwrite(f->bytes, 1, f->size, to) == f->size, "cannot write %s", path);
    if (to != NULL) fclose(to);
}

static void test_loading_and_running(void)
{
    static const char path[] = "test_allocations.safetensors";
    model m = new_model(token_config(), cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    char *odd = allocate(f.size + 1);
    memcpy(odd + 1, f.bytes, f.size);
    write_file(path, &f);
    /* where the tensors lie, the model, two states; one tensor, where they lie at an odd place; and a file's header */
    fail_each("from memory", load_and_run, &(loading){.bytes = f.bytes, .size = f.size}, 4);
    fail_each("from memory at an odd place", load_and_run, &(loading){.bytes = odd + 1, .size = f.size}, 5);
    fail_each("from a file", load_and_run, &(loading){.path = path}, 6);
    remove(path);
    free(odd);
    free_file(&f);
    free_model(&m);
}

/* ---- a file that is cut while it is loaded ---- */

typedef struct cutter {
    counter counter;
    const char *path;
    int64_t cut_at; /* the allocation before which the file loses all it has */
} cutter;

static void *allocate_and_cut(void *context, size_t size)
{
    cutter *c = context;
    FILE *file = c->counter.allocations == c->cut_at ? fopen(c->path, "wb") : NULL;
    if (file != NULL) fclose(file);
    return counted_allocate(&c->counter, size);
}

static void release_after_cut(void *context, void *memory)
{
    counted_release(&((cutter *)context)->counter, memory);
}

/* Whatever is left to be read when it is cut: the header, the scales, the weights. */
static void test_cut_files(void)
{
    enum { HEADER = 0, MODEL = 3 };
    static const char path[] = "test_cut_files.safetensors";
    const cylstm_config config = {.struct_size = sizeof config,
                                  .input_size = 200,
                                  .hidden_size = 64,
                                  .num_layers = 2,
                                  .bias = 1,
                                  .output_size = OUTPUTS,
                                  .pooling = CYLSTM_POOL_MAX};
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, SCALED_BY_FLOATS);
    for (int64_t cut_at = HEADER; cut_at <= MODEL; cut_at++) {
        cutter c = {{.fail_at = -1}, path, cut_at};
        const cylstm_load_options options = {.struct_size = sizeof options,
                                             .allocator = {allocate_and_cut, release_after_cut, &c}};
        cylstm_model *loaded;
        write_file(path, &f);
        const cylstm_status status = cylstm_load(path, &options, &loaded, NULL, 0);
        CHECK(status == CYLSTM_CANNOT_READ, "cut at %d: %s", (int)cut_at, cylstm_status_name(status));
        CHECK(c.counter.held == 0 && loaded == NULL, "cut at %d: %d blocks are held", (int)cut_at, (int)c.counter.held);
    }
    remove(path);
    free_file(&f);
    free_model(&m);
}

/* All that is allocated while a file is loaded is its model, and beside it one tensor and the header. */
static void test_memory_of_loading(void)
{
    static const char path[] = "test_memory_of_loading.safetensors";
    const cylstm_config config = {
        .struct_size = sizeof config, .input_size = 64, .hidden_size = 64, .num_layers = 8, .bias = 1};
    counter c = {.fail_at = -1};
    const cylstm_load_options options = {.struct_size = sizeof options, .allocator = counted(&c)};
    cylstm_model *loaded;
    model m = new_model(config, cylstm_kernels_best());
    file f = new_file(&m, UNSCALED);
    write_file(path, &f);
    const cylstm_status status = cylstm_load(path, &options, &loaded, NULL, 0);
    CHECK(status == CYLSTM_OK, "%s", cylstm_status_name(status));
    CHECK(c.bytes < (int64_t)f.size * 6 / 5, "%lld bytes for a file of %zu", (long long)c.bytes, f.size);
    cylstm_model_free(loaded);
    remove(path);
    free_file(&f);
    free_model(&m);
}

/* ---- train ---- */

enum { MOST_BLOCKS = 16, UPDATES = 3 };

/* A network in training. Its memory is asked for as the Python module does: by the core's own counts, a block for each. */
typedef struct training {
    counter *counter;
    void *blocks[MOST_BLOCKS];
    int held;
    network net;
    float *parameters, *gradients, *slots[2];
    tape tape;
    dropout dropout;
    plan plan;
    float *y, *dy;
} training;

/* Room for so many bytes, where the core wants it to begin; NULL: none. Without room the count goes on. */
static arena room_for(training *t, int64_t size)
{
    void *block = counted_allocate(t->counter, (size_t)cylstm_memory_to_allocate(size));
    if (block == NULL) return (arena){NULL, 0};
    t->blocks[t->held++] = block;
    return (arena){cylstm_memory_begin(block, size), 0};
}

static float *floats_for(training *t, int64_t count)
{
    return (float *)(void *)room_for(t, count * (int64_t)sizeof(float)).base;
}

static void give_back(training *t)
{
    while (t->held > 0) counted_release(t->counter, t->blocks[--t->held]);
}

static int begin_training(training *t)
{
    const layout *l = &t->net.layout;
    const int64_t count = l->parameter_count;
    float **all[] = {&t->parameters, &t->gradients, &t->slots[0], &t->slots[1]};
    arena forward = {NULL, 0}, backward = {NULL, 0};
    for (int i = 0; i < 4; i++) {
        if ((*all[i] = floats_for(t, count)) == NULL) return 0;
        for (int64_t n = 0; n < count; n++) (*all[i])[n] = i == 0 ? random_float(0.5f) : 0.0f;
    }
    cylstm_weights_place(&t->net.weights, l, &forward, &backward);
    if ((forward = room_for(t, forward.used)).base == NULL) return 0;
    if ((backward = room_for(t, backward.used)).base == NULL) return 0;
    cylstm_weights_place(&t->net.weights, l, &forward, &backward);
    cylstm_weights_set_all(&t->net.weights, l, t->parameters);
    return 1;
}

/* Forward, with a tape whose segments are computed again. */
static int record(training *t, const int32_t *tokens, const int64_t *lengths)
{
    arena a = {NULL, 0};
    t->tape = (tape){.dropout = {0.1f, 1}, .segments.every = 2};
    cylstm_tape_place(&t->tape, &t->net, STEPS, BATCH, STEPS * BATCH, 0, &a);
    if ((a = room_for(t, a.used)).base == NULL) return 0;
    cylstm_tape_place(&t->tape, &t->net, STEPS, BATCH, STEPS * BATCH, 0, &a);
    cylstm_tape_fill(&t->tape, lengths, t->plan.chunk_rows);
    if ((t->y = floats_for(t, BATCH * OUTPUTS)) == NULL) return 0;
    forward_call f = {.network = &t->net,
                      .compute.kernels = t->net.kernels,
                      .plan = t->plan,
                      .sequences = &t->tape.sequences,
                      .tape = &t->tape,
                      .tokens = {tokens, BATCH, 1},
                      .y = {t->y, 0, OUTPUTS}};
    arena work = {NULL, 0};
    cylstm_forward_place(&f, STEPS, BATCH, STEPS * BATCH, &work);
    if ((work = room_for(t, work.used)).base == NULL) return 0;
    cylstm_forward_place(&f, STEPS, BATCH, STEPS * BATCH, &work);
    cylstm_network_forward(&f);
    return 1;
}

static int find_loss(training *t, double *loss)
{
    static const int64_t classes[BATCH] = {0, 3, 1};
    loss_call call = {.kind = LOSS_CROSS_ENTROPY,
                      .kernels = t->net.kernels,
                      .threads = 1,
                      .rows = BATCH,
                      .outputs = OUTPUTS,
                      .scores = t->y,
                      .classes = classes};
    t->dy = call.dscores = floats_for(t, BATCH * OUTPUTS);
    call.row_losses = (double *)(void *)room_for(t, BATCH * (int64_t)sizeof(double)).base;
    if (call.dscores == NULL || call.row_losses == NULL) return 0;
    *loss = cylstm_loss(&call);
    return 1;
}

static int find_gradients(training *t)
{
    backward_call b = {.network = &t->net,
                       .compute.kernels = t->net.kernels,
                       .plan = t->plan,
                       .tape = &t->tape,
                       .dy = {t->dy, 0, OUTPUTS},
                       .dparameters = t->gradients};
    arena work = {NULL, 0};
    cylstm_backward_place(&b, STEPS, BATCH, STEPS * BATCH, &work);
    if ((work = room_for(t, work.used)).base == NULL) return 0;
    cylstm_backward_place(&b, STEPS, BATCH, STEPS * BATCH, &work);
    cylstm_network_backward(&b);
    return 1;
}

/* Clipped to a norm of 1, by Adam. */
static int update(training *t, int64_t step)
{
    const int64_t count = t->net.layout.parameter_count;
    double *sums = (double *)(void *)room_for(t, cylstm_norm_blocks(count) * (int64_t)sizeof(double)).base;
    if (sums == NULL) return 0;
    optimizer_step s = {.kernels = t->net.kernels,
                        .threads = 1,
                        .count = count,
                        .parameters = t->parameters,
                        .gradients = t->gradients,
                        .slots = {t->slots[0], t->slots[1]},
                        .grad_scale = 1.0 / fmax(1.0, cylstm_global_norm(t->gradients, count, 1, sums)),
                        .step = step,
                        .learning_rate = 0.05,
                        .beta1 = 0.9,
                        .beta2 = 0.999,
                        .eps = 1e-8};
    cylstm_adam(&s);
    cylstm_clear(t->gradients, count, 1);
    return 1;
}

/* Steps on one batch, which it learns. A step's memory goes back after it. */
static int train_steps(training *t, double *first, double *last)
{
    const int32_t tokens[STEPS * BATCH] = {0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1};
    const int64_t lengths[BATCH] = {STEPS, 0, 4};
    const int kept = t->held;
    for (int step = 1; step <= UPDATES; step++) {
        cylstm_weights_pack_forward(&t->net.weights, &t->net.layout, t->net.kernels, 1);
        cylstm_weights_pack_backward(&t->net.weights, &t->net.layout, t->net.kernels, 1);
        cylstm_weights_pack_for_dx(&t->net.weights, &t->net.layout, t->net.kernels, 1);
        if (!record(t, tokens, lengths) || !find_loss(t, last) || !find_gradients(t) || !update(t, step)) return 0;
        if (step == 1) *first = *last;
        while (t->held > kept) counted_release(t->counter, t->blocks[--t->held]);
    }
    return 1;
}

static cylstm_status train(const void *context, counter *c)
{
    const cylstm_config *config = context;
    training t = {.counter = c};
    double first = 0.0, last = 0.0;
    CHECK(cylstm_network_init(&t.net, config, cylstm_kernels_best()) == CYLSTM_OK, "no network");
    t.plan = cylstm_plan(&t.net.layout, STEPS * BATCH, BATCH, 1);
    const int done = begin_training(&t) && train_steps(&t, &first, &last);
    CHECK(!done || last < first, "a loss of %g, then of %g", first, last);
    give_back(&t);
    return done ? CYLSTM_OK : CYLSTM_OUT_OF_MEMORY;
}

static void test_training(void)
{
    cylstm_config config = token_config();
    config.bidirectional = 1;
    config.pooling = CYLSTM_POOL_LAST; /* of the empty sequence: zeros, since there is no state to begin with */
    fail_each("training", train, &config, 6 + UPDATES * 7);
}

int main(void)
{
    test_loading_and_running();
    test_memory_of_loading();
    test_cut_files();
    test_training();
    return report("allocations");
}
