/*
 * A network as an audio effect, run as JACK, PortAudio or a plug-in's host would: everything is made beforehand; then a
 * callback gets blocks of sound, and may not allocate, lock, call the system or be late. The model has one number in
 * and one out, a sample being a step. Sound is raw float32 of one channel, from standard input to standard output; how
 * long it took goes to standard error.
 *
 *     cc audio_callback.c $(cylstm config --cflags --libs) -o audio_callback
 *     sox guitar.wav -c 1 -r 48000 -t f32 - | ./audio_callback amp.safetensors | sox -c 1 -r 48000 -t f32 - amp.wav
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cylstm.h"

enum { RATE = 48000, BLOCK = 64 }; /* what a host announces: samples a second, the most samples of a block */

typedef struct effect {
    cylstm_model *model;
    cylstm_state *state;
    /* What went wrong in the callback, which cannot say it itself (atomic, if a thread polls it). */
    cylstm_status status;
    /* The network may not write where it reads, and hosts give one buffer for both. */
    float scores[BLOCK];
} effect;

/*
 * The callback. A block gives the same bits as its samples one by one, in less time. Whether the host flushes denormals
 * does not matter: the call sets the floating-point mode that it needs, and puts the host's back.
 */
static void process(const float *in, float *out, int frames, void *user)
{
    effect *e = user;
    const cylstm_status status = cylstm_run(e->state, frames, in, e->scores);
    if (status == CYLSTM_OK) {
        cylstm_values(e->model, frames, e->scores, out);
    } else {
        e->status = status;
        memset(out, 0, (size_t)frames * sizeof *out);
    }
}

/* Whether the model has an output for each sample as soon as the sample is there. */
static int is_effect(const cylstm_model *model)
{
    const cylstm_config *c = cylstm_model_config(model);
    return c->vocab_size == 0 && c->input_size == 1 && cylstm_output_width(model) == 1 &&
           c->pooling == CYLSTM_POOL_NONE && !c->bidirectional;
}

static int effect_open(effect *e, const char *path)
{
    const cylstm_state_options options = {.struct_size = sizeof options, .max_steps = BLOCK};
    float block[BLOCK] = {0};
    char message[200];
    if (cylstm_load(path, NULL, &e->model, message, sizeof message) != CYLSTM_OK) {
        fprintf(stderr, "%s: %s\n", path, message);
        return 0;
    }
    if (!is_effect(e->model)) {
        fprintf(stderr, "%s: expected one number in and one out a step, in one direction\n", path);
        return 0;
    }
    e->status = cylstm_state_new(e->model, &options, &e->state);
    if (e->status == CYLSTM_OK) {
        /* Touches all memory: a page that is not there yet would cost the first block. */
        process(block, block, BLOCK, e);
        cylstm_state_reset(e->state);
    }
    if (e->status != CYLSTM_OK) fprintf(stderr, "%s: %s\n", path, cylstm_status_name(e->status));
    return e->status == CYLSTM_OK;
}

static void effect_close(effect *e)
{
    cylstm_state_free(e->state);
    cylstm_model_free(e->model);
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Stands for the host, as fast as it can be. Returns whether all went well. */
static int run(effect *e)
{
    float block[BLOCK];
    double total = 0, worst = 0;
    size_t frames, samples = 0;
    while ((frames = fread(block, sizeof *block, BLOCK, stdin)) > 0) {
        const double start = seconds();
        process(block, block, (int)frames, e);
        const double took = seconds() - start;
        total += took;
        worst = took > worst ? took : worst;
        samples += frames;
        if (fwrite(block, sizeof *block, frames, stdout) != frames) break;
    }
    if (ferror(stdin) || ferror(stdout) || fflush(stdout) != 0) {
        perror("standard input or output");
        return 0;
    }
    const double lasts = (double)samples / RATE;
    fprintf(stderr, "%.1f s of sound; real-time factor %.4f; worst callback %.1f us of %.1f us\n", lasts,
            samples > 0 ? total / lasts : 0.0, 1e6 * worst, 1e6 * BLOCK / RATE);
    if (e->status != CYLSTM_OK) fprintf(stderr, "in the callback: %s\n", cylstm_status_name(e->status));
    return e->status == CYLSTM_OK;
}

int main(int argc, char **argv)
{
    effect e = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: %s model.safetensors < in.f32 > out.f32\n", argv[0]);
        return 2;
    }
    const int good = effect_open(&e, argv[1]) && run(&e);
    effect_close(&e);
    return good ? 0 : 1;
}
