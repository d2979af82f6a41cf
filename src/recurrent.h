/*
 * One recurrent layer in one direction, over time; forward beside backward. Called by all members of a team.
 *
 * Rows are packed (sequences.h). Initial and final states are the caller's (B, H) arrays in the caller's order.
 */
#ifndef CYLSTM_RECURRENT_H
#define CYLSTM_RECURRENT_H

#include "weights.h"

enum { CYLSTM_MAX_STATES = 2 }; /* h, c */

/*
 * Recomputation: where a tape holds no gates and cell states, it has the states at the beginnings (for the reverse
 * direction, the ends) of segments, whole chunks of steps, from which backward computes a segment again, with the same bits.
 */
typedef struct segments {
    int64_t every;     /* steps a segment has at least; 0: all is on the tape */
    int64_t count;
    int64_t *bounds;   /* (count + 1) steps */
} segments;

/* What forward and backward share. */
typedef struct recurrent_pass {
    const layout *layout;
    const recurrent_weights *weights;
    const sequences *sequences;
    const segments *segments;
    const plan *plan;
    const compute *compute;
    int reverse;                              /* walks the sequences from their ends */
    const float *initial[CYLSTM_MAX_STATES]; /* h_0, c_0; NULL: zeros */
    const float *input;                      /* packed rows, I wide */
    int64_t input_row;
    float *output; /* h_t in packed rows, at this direction's columns; NULL: not wanted */
    int64_t output_row;
    float *gates;      /* recording: activated gates of rows from first_row on; else: a chunk's pre-activations */
    float *cell;       /* LSTM, recording: c_t of the same rows */
    int64_t first_row;
    float *states;     /* (segments, states, B, units): where segments begin; NULL without segments */
} recurrent_pass;

typedef struct recurrent_forward {
    recurrent_pass pass;
    int recording;
    int descending; /* the first step goes through the weights from their end; it takes turns from there on */
    float *final[CYLSTM_MAX_STATES]; /* h_n, c_n; NULL: not wanted */
    float *h[2], *c;                 /* (B, units) each: h of this step and the one before, c */
} recurrent_forward;

typedef struct recurrent_backward {
    recurrent_pass pass;
    const float *doutput; /* packed rows, at this direction's columns */
    int64_t doutput_row;
    const float *dfinal[CYLSTM_MAX_STATES]; /* NULL: zeros */
    float *dinitial[CYLSTM_MAX_STATES];     /* NULL: not wanted */
    float *dinput;                          /* packed rows; NULL: not wanted */
    int64_t dinput_row;
    int dinput_accumulate;
    float *dparameters; /* the flat gradient vector, added to */
    float *dgates;      /* (chunk rows, gate_row) */
    float *h_before;    /* (chunk rows, R): h_{t-1} of each row */
    float *dh, *dc, *c_initial; /* (B, units) each */
    float *scratch;
    /* recomputation */
    float *h[2], *c;           /* (B, units) each */
    int64_t segment_step;      /* the first step of the segment that gates and cell are of; -1: they are of all */
    const float *segment_cell; /* c before that step */
} recurrent_backward;

/* How a chunk's inputs are projected. The bits of the first two are the same. */
typedef enum projection {
    PROJECT_IN_STEPS, /* as part of their chains of FMAs */
    PROJECT_BY_KERNEL, /* beforehand */
    PROJECT_BY_BLAS    /* beforehand, without the bias, which the steps add */
} projection;

projection cylstm_projection(const plan *p, const compute *c, const linear *input, int64_t rows);

/* The whole walk; or its beginning and its chunks, one by one. */
void cylstm_recurrent_forward(worker *w, const recurrent_forward *f);
void cylstm_recurrent_begin(worker *w, const recurrent_forward *f);
void cylstm_recurrent_chunk(worker *w, const recurrent_forward *f, const chunk *c);

/* The walk of all sequences through the one step that they have, forward in time and not recorded, by one thread. */
void cylstm_recurrent_step(const recurrent_forward *f);

void cylstm_recurrent_backward(worker *w, const recurrent_backward *call);

#endif
