/*
 * One recurrent layer in one direction, over time; forward beside backward. Called by all members of a team.
 *
 * Rows are packed (sequences.h). Initial and final states are the caller's (B, H) arrays in the caller's order.
 */
#ifndef CYLSTM_RECURRENT_H
#define CYLSTM_RECURRENT_H

#include "weights.h"

enum { CYLSTM_MAX_STATES = 2 }; /* h, c */

/* What forward and backward share. */
typedef struct recurrent_pass {
    const layout *layout;
    const recurrent_weights *weights;
    const sequences *sequences;
    const plan *plan;
    const compute *compute;
    int reverse;                              /* walks the sequences from their ends */
    const float *initial[CYLSTM_MAX_STATES]; /* h_0, c_0; NULL: zeros */
    const float *input;                      /* packed rows, I wide */
    int64_t input_row;
    float *output; /* h_t in packed rows, at this direction's columns */
    int64_t output_row;
    float *gates; /* recording: activated gates of all rows; else: a chunk's pre-activations */
    float *cell;  /* LSTM, recording: c_t of all rows */
} recurrent_pass;

typedef struct recurrent_forward {
    recurrent_pass pass;
    int recording;
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
    float *dgates;      /* (chunk rows, gate_width) */
    float *h_before;    /* (chunk rows, R): h_{t-1} of each row */
    float *dh, *dc, *c_initial; /* (B, units) each */
    float *scratch;
} recurrent_backward;

void cylstm_recurrent_forward(worker *w, const recurrent_forward *f);
void cylstm_recurrent_backward(worker *w, const recurrent_backward *b);

#endif
