/*
 * A whole network: [embedding ->] recurrent stack [-> pooling] [-> head], forward and backward.
 *
 * A call's memory is placed by the same code that says how much it takes: place_* with an arena that only counts, then
 * with real memory. Nothing here allocates. A network is constant while calls run; each call has memory of its own.
 */
#ifndef CYLSTM_NETWORK_H
#define CYLSTM_NETWORK_H

#include "dropout.h"
#include "pooling.h"
#include "recurrent.h"
#include "rows.h"

typedef struct network {
    layout layout;
    const kernels *kernels;
    weights weights;
    const float *input_mean, *input_std; /* (I) each: numeric inputs enter as (x - mean) / std; NULL: as they are */
    const double *wide_mean, *wide_std;  /* in place of these, where float32 would lose the difference */
} network;

typedef struct token_view {
    const int32_t *data;
    int64_t step, row;
} token_view;

/* What backward needs of a forward pass. */
typedef struct tape {
    sequences sequences;
    segments segments;
    dropout dropout;
    float *input;    /* (rows, I): what entered the first layer */
    int32_t *tokens; /* (rows), with an embedding */
    float *initial[CYLSTM_MAX_STATES]; /* (L * D, B, H); NULL: zeros */
    float *hidden;   /* (L, rows, D * H) */
    float *gates;    /* (L * D, rows, gate_row) activated; an RNN's are h itself; NULL with segments */
    float *cell;     /* (L * D, rows, units), LSTM; NULL with segments */
    float *states;   /* (L * D, segments, states, B, units) */
    float *pooled;   /* (B, D * H) by rank, with pooling */
    int32_t *chosen; /* (B, D * H), max pooling */
} tape;

typedef struct forward_call {
    const network *network;
    compute compute;
    plan plan;
    const sequences *sequences;
    tape *tape; /* NULL: inference */
    view x;
    const double *doubles; /* in place of x.data, as far apart; NULL: none */
    token_view tokens;
    const float *initial[CYLSTM_MAX_STATES]; /* (L * D, B, H); NULL: zeros */
    float *final[CYLSTM_MAX_STATES];         /* the same; may be the same arrays */
    view y;       /* (T, B, D * H), or (T, B, O) with a head, or (B, O) pooled */
    float *carried; /* pooling over several calls: (B, D * H + 1); NULL: one call is all */
    int descending; /* calls of one step do well to take turns with it: what the last one left in the cache comes first */
    /* working memory */
    float *packed_input; /* (rows, I) */
    float *hidden[2]; /* (rows, D * H) each: this layer's and the one below's */
    float *dropped; /* (rows, D * H): a layer's input after dropout */
    float *gates; /* a chunk's pre-activations, for each of the plan's strands */
    float *h[2], *c; /* (L * D, B, units) */
    float *pooled; /* (B, D * H) by rank */
    float *scores; /* (rows or B, head_width) */
} forward_call;

typedef struct backward_call {
    const network *network;
    compute compute;
    plan plan;
    const tape *tape;
    view dy;
    const float *dfinal[CYLSTM_MAX_STATES]; /* NULL: zeros */
    float *dinitial[CYLSTM_MAX_STATES]; /* NULL: not wanted */
    view dx; /* data NULL: not wanted */
    float *dparameters; /* the flat gradient vector, added to */
    /* working memory */
    float *dscores; /* (rows or B, head_width) */
    float *dpooled; /* (B, D * H) */
    float *dhidden[2]; /* (rows, D * H) each */
    float *dropped; /* (rows, D * H) */
    float *dinput; /* (rows, I) */
    float *dgates, *h_before, *scratch; /* of a chunk */
    float *dh, *dc, *c_initial; /* (B, units) */
    float *gates, *cell, *h[2], *c; /* of a segment; (B, units) */
} backward_call;

/* Chooses the layout for these kernels; weights are placed and packed by the caller (weights.h). */
cylstm_status cylstm_network_init(network *n, const cylstm_config *config, const kernels *k);

/* Places the tape of up to `rows` rows; segments.every and dropout must be set. with_state: the call has an initial
 * state. */
void cylstm_tape_place(tape *t, const network *n, int64_t steps, int64_t batch, int64_t rows, int with_state, arena *a);

/* Fills the tables of a tape that is placed: its sequences, of these lengths (NULL: all of T steps), and segments. */
void cylstm_tape_fill(tape *t, const int64_t *lengths, int64_t chunk_rows);

/* Places the working memory of a call over `rows` rows; the fields above it must be set. */
void cylstm_forward_place(forward_call *f, int64_t steps, int64_t batch, int64_t rows, arena *a);
void cylstm_backward_place(backward_call *b, int64_t steps, int64_t batch, int64_t rows, arena *a);

/* The first token that is no token of this network, as its step and sequence; 0 when all are good. */
int cylstm_find_bad_token(const network *n, const sequences *s, const token_view *tokens, int64_t *step,
                          int64_t *sequence);

/* Runs the call on its plan's threads. y, final and (when recording) the tape are written. */
void cylstm_network_forward(forward_call *f);

/* Adds the gradients of everything that led to y. May run beside other backward calls on the same tape. */
void cylstm_network_backward(backward_call *b);

#endif
