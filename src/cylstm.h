/*
 * cylstm: LSTM and RNN networks on the CPU, in plain C.
 *
 * The public header: what a program without Python sees. Every function says who may call it when; unless it says
 * otherwise, a function is safe to call from any number of threads at once as long as what it writes is not shared.
 */
#ifndef CYLSTM_H
#define CYLSTM_H

#include <stddef.h>
#include <stdint.h>

#define CYLSTM_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cylstm_status {
    CYLSTM_OK = 0,
    CYLSTM_INVALID_ARGUMENT, /* a value no network or call can have */
    CYLSTM_TOO_LARGE,        /* sizes whose product no memory can hold */
} cylstm_status;

/* A short name such as "out of memory"; never NULL, never freed. */
const char *cylstm_status_name(cylstm_status status);

typedef enum cylstm_cell { CYLSTM_LSTM = 0, CYLSTM_RNN_TANH, CYLSTM_RNN_RELU } cylstm_cell;

typedef enum cylstm_pooling {
    CYLSTM_POOL_NONE = 0,
    CYLSTM_POOL_LAST,
    CYLSTM_POOL_MEAN,
    CYLSTM_POOL_MAX
} cylstm_pooling;

/*
 * What a network is: [embedding ->] recurrent stack [-> pooling] [-> linear head].
 * Set struct_size to sizeof(cylstm_config): a later version may add fields at the end, whose zero means what this
 * version does.
 */
typedef struct cylstm_config {
    size_t struct_size;
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

#ifdef __cplusplus
}
#endif

#endif
