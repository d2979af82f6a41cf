/*
 * Runs the models of a folder: the file modèle-0 on the input x-0, and so on. What comes out is written to y-0: without
 * and with `lengths`, each on one thread and on two. All in one process, since emulators take long to start.
 *
 *     ./run_models COUNT STEPS BATCH KERNELS      # KERNELS "best": the fastest
 *     ./run_models FILE                           # says why FILE is no model, where there is no memory for a large one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cylstm.h"

enum { TOO_MUCH = 1 << 30, MOST_THREADS = 2 };

static void expect(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* So many of the file's numbers, of 4 or 8 bytes. */
static void *read_numbers(const char *name, int64_t count, size_t size)
{
    void *numbers = malloc((size_t)count * size);
    FILE *file = fopen(name, "rb");
    expect(numbers != NULL && file != NULL, name);
    expect(fread(numbers, size, (size_t)count, file) == (size_t)count && fgetc(file) == EOF, name);
    fclose(file);
    return numbers;
}

/* A block from the beginning of sequences. */
static void run(cylstm_state *state, const cylstm_call *call, size_t outputs, FILE *out)
{
    char message[200];
    cylstm_call c = *call;
    c.message = message;
    c.message_size = sizeof message;
    memset(c.y, 0xFF, outputs * sizeof(float)); /* NaN */
    cylstm_state_reset(state);
    expect(cylstm_call_run(state, &c) == CYLSTM_OK, message);
    expect(fwrite(c.y, sizeof(float), outputs, out) == outputs, "y");
}

static void run_model(const cylstm_model *model, int64_t steps, int64_t batch, const void *x, const int64_t *lengths,
                      FILE *out)
{
    const cylstm_config *config = cylstm_model_config(model);
    const cylstm_state_options options = {
        .struct_size = sizeof options, .batch = batch, .max_steps = steps, .max_threads = MOST_THREADS};
    const int64_t rows = config->pooling == CYLSTM_POOL_NONE ? steps * batch : batch;
    const size_t outputs = (size_t)(rows * cylstm_output_width(model));
    cylstm_call call = {.struct_size = sizeof call, .steps = steps, .y = malloc(outputs * sizeof(float))};
    cylstm_state *state;
    expect(call.y != NULL && cylstm_state_new(model, &options, &state) == CYLSTM_OK, "state");
    if (config->vocab_size > 0) {
        call.tokens = x;
    } else {
        call.x = x;
    }
    for (int with_lengths = 0; with_lengths < 2; with_lengths++) {
        call.lengths = with_lengths ? lengths : NULL;
        for (call.threads = 1; call.threads <= MOST_THREADS; call.threads++) run(state, &call, outputs, out);
    }
    cylstm_state_free(state);
    free(call.y);
}

static void run_file(int number, int64_t steps, int64_t batch, const char *kernels)
{
    const cylstm_load_options options = {.struct_size = sizeof options,
                                         .kernels = strcmp(kernels, "best") == 0 ? NULL : kernels};
    char name[40], message[200];
    cylstm_model *model;
    snprintf(name, sizeof name, "mod\xC3\xA8le-%d", number); /* UTF-8, on Windows too */
    expect(cylstm_load(name, &options, &model, message, sizeof message) == CYLSTM_OK, message);
    snprintf(name, sizeof name, "x-%d", number);
    void *x = read_numbers(name, steps * batch * cylstm_input_width(model), sizeof(float));
    void *lengths = read_numbers("lengths", batch, sizeof(int64_t));
    snprintf(name, sizeof name, "y-%d", number);
    FILE *out = fopen(name, "wb");
    expect(out != NULL, name);
    run_model(model, steps, batch, x, lengths, out);
    expect(fclose(out) == 0, name);
    free(lengths);
    free(x);
    cylstm_model_free(model);
}

static void *allocate_little(void *context, size_t size)
{
    (void)context;
    return size < TOO_MUCH ? malloc(size) : NULL;
}

static void print_why(const char *path)
{
    const cylstm_load_options options = {.struct_size = sizeof options, .allocator = {.allocate = allocate_little}};
    char message[200];
    cylstm_model *model;
    expect(cylstm_load(path, &options, &model, message, sizeof message) != CYLSTM_OK, "it is a model");
    printf("%s\n", message);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        print_why(argv[1]);
        return 0;
    }
    expect(argc == 5, "usage: run_models COUNT STEPS BATCH KERNELS");
    for (int i = 0; i < atoi(argv[1]); i++) run_file(i, atol(argv[2]), atol(argv[3]), argv[4]);
    return 0;
}
