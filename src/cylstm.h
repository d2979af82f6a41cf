/*
 * cylstm: LSTM and RNN networks on the CPU, in plain C.
 *
 * What a program without Python sees: a model that Python has trained and saved is loaded from its file, and gives the
 * same numbers. Ordered simple, context, advanced:
 *
 *     cylstm_model *model;
 *     cylstm_state *state;
 *     float y[3];
 *     if (cylstm_load("model.safetensors", NULL, &model, NULL, 0) != CYLSTM_OK) ...
 *     if (cylstm_state_new(model, NULL, &state) != CYLSTM_OK) ...
 *     while (more) cylstm_step(state, x, y);
 *     cylstm_state_free(state);
 *     cylstm_model_free(model);
 *
 * Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, W = cylstm_output_width.
 * Arrays are dense float32, the last index running fastest; sizes and lengths are int64_t.
 *
 * A model is constant once loaded: any number of threads may use it at once. A state belongs to one stream, or batch of
 * streams, and to one thread at a time. Nothing here aborts, exits or prints (OpenMP does, where a call of several
 * threads is refused them by the system); on failure, what a call would have written is left alone unless it says
 * otherwise. Pointers must not be NULL where it is not said that they may be.
 *
 * Versions: within a major version, or a minor one while the major is 0, functions, their meaning and the numbers of
 * enumerators stay, and structures only grow at the end, with members whose zero means what it did before; that is why
 * they begin with struct_size, and why a structure of a later header is taken where its further members are zero, and
 * refused where they are not. Model files say their own version.
 */
#ifndef CYLSTM_H
#define CYLSTM_H

#include <stddef.h>
#include <stdint.h>

#define CYLSTM_VERSION_MAJOR 0
#define CYLSTM_VERSION_MINOR 1
#define CYLSTM_VERSION_PATCH 0
#define CYLSTM_VERSION "0.1.0"

#if defined(CYLSTM_SHARED) && defined(_WIN32)
#if defined(CYLSTM_BUILDING)
#define CYLSTM_API __declspec(dllexport)
#else
#define CYLSTM_API __declspec(dllimport)
#endif
#elif defined(CYLSTM_SHARED)
#define CYLSTM_API __attribute__((visibility("default")))
#else
#define CYLSTM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cylstm_status {
    CYLSTM_OK = 0,
    CYLSTM_INVALID_ARGUMENT, /* a value no network or call can have */
    CYLSTM_TOO_LARGE,        /* sizes whose product no memory can hold, or more than was announced */
    CYLSTM_OUT_OF_MEMORY,
    CYLSTM_CANNOT_READ, /* no such file, or the system cannot read it */
    CYLSTM_BAD_FILE,    /* not a model file, or a damaged one */
    CYLSTM_UNSUPPORTED  /* a file of a later version, kernels this processor lacks, a step of a bidirectional model */
} cylstm_status;

/* A short name such as "out of memory"; never NULL, never to be freed. Any thread, any time. */
CYLSTM_API const char *cylstm_status_name(cylstm_status status);

/* The version of the library that runs, as CYLSTM_VERSION is that of the header; not to be freed. Any thread. */
CYLSTM_API const char *cylstm_version(void);

/* ---- simple ---- */

/* A loaded network: constant, to be shared. */
typedef struct cylstm_model cylstm_model;

/* Where B sequences stand, and the memory their calls work in. */
typedef struct cylstm_state cylstm_state;

typedef struct cylstm_load_options cylstm_load_options;
typedef struct cylstm_state_options cylstm_state_options;

/*
 * Load a model file that Python's model.save or layer.save has written.
 *
 * path: on Windows in UTF-8. options: NULL for defaults. model: receives the model, which is the caller's to free with
 * cylstm_model_free; NULL on failure. message, message_size: a buffer of the caller's for a sentence on what was wrong,
 * always terminated; NULL and 0 where nobody wants to know. Files are not trusted: whatever is in one, the result is a
 * status. Any thread.
 */
CYLSTM_API cylstm_status cylstm_load(const char *path, const cylstm_load_options *options, cylstm_model **model,
                                     char *message, size_t message_size);

/* The same from the file's bytes in memory, which are not needed any more when this returns (but see `borrow`). */
CYLSTM_API cylstm_status cylstm_load_memory(const void *data, size_t size, const cylstm_load_options *options,
                                            cylstm_model **model, char *message, size_t message_size);

/* Free a model that no state uses any more. NULL: nothing happens. One thread, once. */
CYLSTM_API void cylstm_model_free(cylstm_model *model);

/* Numbers of a step's input, I (1 for tokens), and of its output: O with a head, D * H without. Any thread. */
CYLSTM_API int64_t cylstm_input_width(const cylstm_model *model);
CYLSTM_API int64_t cylstm_output_width(const cylstm_model *model);

/*
 * Make a state of the model, at its beginning: zeros. options: NULL for one sequence and steps alone. The model must
 * outlive it. The state is the caller's to free with cylstm_state_free; NULL on failure: INVALID_ARGUMENT where the
 * options make no sense, TOO_LARGE, OUT_OF_MEMORY. Any thread.
 */
CYLSTM_API cylstm_status cylstm_state_new(const cylstm_model *model, const cylstm_state_options *options,
                                          cylstm_state **state);

/* Free a state. NULL: nothing happens. */
CYLSTM_API void cylstm_state_free(cylstm_state *state);

/*
 * One step of all B sequences: x (B, I) -> y (B, W), with pooling of the sequences so far.
 *
 * On the calling thread. Allocates nothing, locks nothing and does not call the system. y may not overlap x, here and
 * in all calls below. UNSUPPORTED where the model is bidirectional or takes tokens. Mean pooling counts its steps in
 * float32: to 16,777,216.
 */
CYLSTM_API cylstm_status cylstm_step(cylstm_state *state, const float *x, float *y);

/*
 * The same for numbers that float32 does not hold: Unix seconds, coordinates in metres, large counters. Where the file
 * has the scale of its inputs as doubles, their mean is taken away in double before anything is rounded; what
 * cylstm_step is given has been rounded by then, and the difference is lost. Any other model is given x rounded.
 */
CYLSTM_API cylstm_status cylstm_step_doubles(cylstm_state *state, const double *x, float *y);

/* The same for a model with an embedding: tokens (B) in 0 .. vocab_size - 1; INVALID_ARGUMENT for any other, before
 * anything has changed, and UNSUPPORTED where the model takes numbers. */
CYLSTM_API cylstm_status cylstm_step_tokens(cylstm_state *state, const int32_t *tokens, float *y);

/*
 * `steps` steps at once: x (T, B, I) -> y (T, B, W), or (B, W) with pooling. As many calls of cylstm_step give the same
 * bits. Goes on from the state, which then is that of the last step: reset it where a new sequence begins. A
 * bidirectional model reads sequences from both ends, so none goes on: INVALID_ARGUMENT unless the state was reset, or
 * set, since the last call. INVALID_ARGUMENT also for less than one step, for tokens that the model does not have, and
 * for tokens where it takes numbers or the other way round; TOO_LARGE for more steps than options->max_steps: all
 * before anything has changed. On the calling thread; allocates nothing.
 */
CYLSTM_API cylstm_status cylstm_run(cylstm_state *state, int64_t steps, const float *x, float *y);
CYLSTM_API cylstm_status cylstm_run_doubles(cylstm_state *state, int64_t steps, const double *x, float *y);
CYLSTM_API cylstm_status cylstm_run_tokens(cylstm_state *state, int64_t steps, const int32_t *tokens, float *y);

/* Back to zeros. */
CYLSTM_API void cylstm_state_reset(cylstm_state *state);

/* ---- context ---- */

typedef enum cylstm_cell { CYLSTM_LSTM = 0, CYLSTM_RNN_TANH, CYLSTM_RNN_RELU } cylstm_cell;

typedef enum cylstm_pooling {
    CYLSTM_POOL_NONE = 0,
    CYLSTM_POOL_LAST,
    CYLSTM_POOL_MEAN,
    CYLSTM_POOL_MAX
} cylstm_pooling;

typedef enum cylstm_task {
    CYLSTM_TASK_NONE = 0, /* a layer */
    CYLSTM_TASK_CLASSIFICATION,
    CYLSTM_TASK_REGRESSION,
    CYLSTM_TASK_LANGUAGE
} cylstm_task;

/* What a network is: [embedding ->] recurrent stack [-> pooling] [-> linear head]. */
typedef struct cylstm_config {
    size_t struct_size;  /* sizeof(cylstm_config) */
    int32_t cell;        /* a cylstm_cell */
    int32_t pooling;     /* a cylstm_pooling; needs a head */
    int32_t bidirectional;
    int32_t bias;        /* bias_ih and bias_hh of the recurrent layers; the head always has one */
    int64_t vocab_size;  /* tokens 0 .. vocab_size-1 looked up in an embedding; 0: numeric inputs */
    int64_t input_size;  /* numbers per step and sequence, or the embedding's width */
    int64_t hidden_size;
    int64_t num_layers;
    int64_t output_size; /* width of the head; 0: no head */
} cylstm_config;

/* What the model is, what it was trained for, its kernels ("avx2"), and the bytes it takes, borrowed ones not counted.
 * The pointers are the model's and live as long. Any thread. */
CYLSTM_API const cylstm_config *cylstm_model_config(const cylstm_model *model);
CYLSTM_API cylstm_task cylstm_model_task(const cylstm_model *model);
CYLSTM_API const char *cylstm_model_kernels(const cylstm_model *model);
CYLSTM_API int64_t cylstm_model_bytes(const cylstm_model *model);

/*
 * What a regression predicts: values (rows, W) = scores (rows, W) * std + mean in the units of its training's targets,
 * and copies of the scores of any other model. scores and values may be the same array. Any thread.
 * Of a model from `cylstm train` the library has the network alone: `cylstm export-c` writes a header that says which
 * input is which column of the table. What the values of a forecast mean, only `cylstm predict` knows.
 */
CYLSTM_API void cylstm_values(const cylstm_model *model, int64_t rows, const float *scores, float *values);

/* The same values as doubles. Where the file has the scale of its outputs as doubles, they are not rounded to float32,
 * as those of cylstm_values are. */
CYLSTM_API void cylstm_values_doubles(const cylstm_model *model, int64_t rows, const float *scores, double *values);

/*
 * A state as numbers, of which there are cylstm_state_count: h (L * D, B, H); c likewise, if an LSTM; what mean and max
 * pooling carry (B, D * H + 1): sums or maxima, and how many steps. read fills `values`, write makes the state begin
 * where they say: INVALID_ARGUMENT, and nothing has changed, where `count` is not cylstm_state_count, as of a state of
 * another model. get and set do the same where the caller knows that there are so many. copy makes `to` (of the same
 * model and B, else INVALID_ARGUMENT) stand where `from` does.
 */
CYLSTM_API int64_t cylstm_state_count(const cylstm_state *state);
CYLSTM_API cylstm_status cylstm_state_read(const cylstm_state *state, int64_t count, float *values);
CYLSTM_API cylstm_status cylstm_state_write(cylstm_state *state, int64_t count, const float *values);
CYLSTM_API void cylstm_state_get(const cylstm_state *state, float *values);
CYLSTM_API void cylstm_state_set(cylstm_state *state, const float *values);
CYLSTM_API cylstm_status cylstm_state_copy(cylstm_state *to, const cylstm_state *from);

/* ---- advanced ---- */

/*
 * Memory from elsewhere. allocate: at least `size` bytes, aligned as malloc's, or NULL; release: what it returned,
 * never NULL. Both get `context`. Called while a model or a state is made or freed, never by a step or a block. Like
 * every function given to this library, they must return: an exception of C++ or a longjmp out of one is undefined
 * behaviour, and loses what the call holds (while a file is loaded: the open file, and memory for its bytes). Where
 * operator new is called, catch std::bad_alloc and return NULL.
 */
typedef struct cylstm_allocator {
    void *(*allocate)(void *context, size_t size);
    void (*release)(void *context, void *memory);
    void *context;
} cylstm_allocator;

/*
 * C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, row-major, op(X) = X or its transpose, with the distances of
 * rows lda, ldb, ldc. Must compute on the calling thread alone, and be safe to call from several threads.
 */
typedef void (*cylstm_sgemm)(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k,
                             float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                             float *c, int64_t ldc);

/* How to load. Set struct_size, and what is not wanted to zero. */
struct cylstm_load_options {
    size_t struct_size; /* sizeof(cylstm_load_options) */
    /* allocate NULL: malloc and free; release NULL: nothing is given back. Used until the model is freed. */
    cylstm_allocator allocator;
    /* "generic", "avx2", "avx512", "neon"; NULL: the fastest here. UNSUPPORTED where this processor lacks them,
     * and for other names. */
    const char *kernels;
    /* For large products of blocks. NULL: the library's own kernels do all, and bits do not depend on how sequences are
     * batched. */
    cylstm_sgemm sgemm;
    void *sgemm_context;
    /* Of cylstm_load_memory: data stays as it is until the model is freed, and is aligned to 8 bytes (INVALID_ARGUMENT
     * where that does not align its tensors). The embedding, scales and weights for sgemm are read there. */
    int32_t borrow;
    /* Told what was loaded, before the call returns; NULL: silence. */
    void (*log)(void *context, const char *message);
    void *log_context;
};

/* How to make a state. Set struct_size, and what is not wanted to zero. */
struct cylstm_state_options {
    size_t struct_size;         /* sizeof(cylstm_state_options) */
    int64_t batch;              /* B; 0: 1 */
    int64_t max_steps;          /* the most of one call; 0: 1 */
    int32_t max_threads;        /* the most of one call, up to 256; 0: 1 */
    cylstm_allocator allocator; /* as of cylstm_load_options, until the state is freed */
};

/* Bytes of a state, to make one in memory of the caller's own; at most INT64_MAX, which no memory has. -1 where options
 * make no sense. Any thread. */
CYLSTM_API int64_t cylstm_state_bytes(const cylstm_model *model, const cylstm_state_options *options);

/* cylstm_state_new in `size` bytes of the caller's, aligned to 64, which stay until the state is not used any more;
 * cylstm_state_free is not needed, and does nothing. INVALID_ARGUMENT where they are too few or not aligned. */
CYLSTM_API cylstm_status cylstm_state_place(const cylstm_model *model, const cylstm_state_options *options,
                                            void *memory, size_t size, cylstm_state **state);

/* A block with all there is to say. Set struct_size, and what is not wanted to zero. */
typedef struct cylstm_call {
    size_t struct_size;    /* sizeof(cylstm_call) */
    int64_t steps;         /* T */
    const float *x;        /* (T, B, I), or, */
    const int32_t *tokens; /* where the model has an embedding, (T, B): one of these and `doubles`, the others NULL */
    /* (B) in 0 .. T: how many steps each sequence has; NULL: T. What follows in x does not matter, in y it is zero. */
    const int64_t *lengths;
    float *y; /* (T, B, W), or (B, W) with pooling */
    int32_t threads; /* at most options->max_threads; 0: 1. The bits do not depend on it */
    /* A buffer for what was wrong, as of cylstm_load; NULL: none. Left alone where struct_size was not set. */
    char *message;
    size_t message_size;
    const double *doubles; /* (T, B, I), in place of x, as of cylstm_step_doubles */
} cylstm_call;

/*
 * A block of steps as of cylstm_run, with sequences of different lengths, on several threads, or with a message: the
 * state then is that of each sequence's last step. INVALID_ARGUMENT and TOO_LARGE as there, and for lengths and threads
 * that are out of range. One thread allocates nothing; several are OpenMP's, which makes them when it is first asked
 * for so many.
 */
CYLSTM_API cylstm_status cylstm_call_run(cylstm_state *state, const cylstm_call *call);

#ifdef __cplusplus
}
#endif

#endif
