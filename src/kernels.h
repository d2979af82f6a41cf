/*
 * The hot loops, as a table of functions per instruction set. kernels_impl.h holds them, cpu.c chooses a table.
 *
 * Rows are sequences (or any rows of a matrix), columns are units. Buffers whose width is `units`, `gate_width`
 * or `head_width` of the layout are whole vectors wide; the caller's own rows may end inside a vector.
 */
#ifndef CYLSTM_KERNELS_H
#define CYLSTM_KERNELS_H

#include "layout.h"

typedef struct range {
    int64_t begin, end;
} range;

/*
 * c[r][n] = init[r][n] + sum over k, ascending, of a[r][k] * b[k][n], each sum one chain of FMAs.
 * a[r][k] lies at a + r * a_row + k; or, a_tiled, where pack_tiles put the rows, of which the range is then either all
 * or ends at multiples of tile_rows. init NULL starts from zero; init_row 0 repeats one row (a bias).
 * Columns from `columns` on are padding that is neither read nor written in init and c.
 */
typedef struct product_args {
    range rows, panels;
    const panels *b;
    const float *a;
    int64_t a_row;
    int a_tiled;
    const float *init;
    int64_t init_row;
    float *c;
    int64_t c_row;
    int64_t columns;
} product_args;

/* One time step of one layer and direction, for some rows and some panels of units. The input is projected here, as part
 * of the same chain of FMAs, or has been: the bits are the same. */
typedef struct step_args {
    range rows, panels;
    int descending; /* panels from the last to the first: what the step before left in the cache comes first */
    const panels *weights; /* W_hh */
    const panels *input_weights; /* W_ih; NULL: gates holds W_ih x already */
    const float *bias; /* b; NULL: gates holds W_ih x + b */
    const float *x; /* rows of x_t, with input_weights */
    int64_t x_row;
    int64_t hidden, units; /* H, and H padded: the row width of h_previous, h_next, c and cell */
    float *gates; /* in: W_ih x + b (without input_weights); out: activated gates, when recording; or NULL */
    int64_t gates_row;
    const float *h_previous;
    float *h_next;
    float *c; /* LSTM: cell state, updated in place */
    float *out; /* h again, in rows H wide */
    int64_t out_row;
    float *cell; /* LSTM, recording: where c_t is kept */
    int recording;
} step_args;

/* One time step backward, for some rows and some panels of W_hh packed by recurrent column. */
typedef struct step_backward_args {
    range rows, panels;
    int descending;
    const panels *weights; /* W_hh by column: k runs over the gates */
    int64_t hidden, units;
    int64_t gates_row; /* row width of gates, dgates and dgates_next */
    const float *dgates_next; /* gate gradients of the step that came after; NULL: dh_next holds dh instead */
    const float *dh_next;
    const float *dout; /* dL/dh_t from above, rows H wide */
    int64_t dout_row;
    const float *gates; /* activated gates of this step */
    const float *cell, *cell_previous; /* LSTM: c_t and c_{t-1} */
    float *dc; /* LSTM: dL/dc_t in, dL/dc_{t-1} out */
    float *dgates; /* dL/d(pre-activations) of this step */
} step_backward_args;

/* One step of Adam, bias corrections and rates worked out. */
typedef struct adam_args {
    float *parameters;
    const float *gradients;
    float *first, *second; /* moments */
    float scale, decay; /* g = scale * gradient + decay * p */
    float shrink; /* of p: decoupled weight decay */
    float rest1, beta2, rest2; /* 1 - beta1, beta2, 1 - beta2 */
    float rate, correction, eps; /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
} adam_args;

typedef struct kernels {
    const char *name;
    int lanes, tile_rows;
    void (*product)(const product_args *args);
    /* to[k][i] = from[i][k], a row of `to` being to_k floats: `rows` rows of `from` become one vector for each k. */
    void (*pack_transposed)(int64_t rows, int64_t k_count, const float *from, int64_t from_row, float *to,
                            int64_t to_k);
    /* The columns of a row-major matrix as rows of a product: a[r][k] = from[k * from_row + r], for the k in `which`. */
    void (*pack_tiles)(range which, int64_t rows, int64_t k_count, const float *from, int64_t from_row, float *to);
    void (*step[3])(const step_args *args); /* by cylstm_cell */
    void (*step_backward[3])(const step_backward_args *args); /* by cylstm_cell */
    /* softmax of one row; returns log(sum over n of e^(scores[n] - largest)) and the largest score */
    float (*softmax)(const float *scores, int64_t count, float *softmax, float *largest);
    void (*adam)(range which, const adam_args *args);
} kernels;

extern const kernels cylstm_kernels_generic, cylstm_kernels_avx2, cylstm_kernels_avx512, cylstm_kernels_neon;

#endif
