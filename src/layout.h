/*
 * Every size and offset: the parameters, the packed weights, the memory a call works in.
 *
 * Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs.
 * A "panel" is the unit of packed weights: for each k, PANEL_VECTORS vectors of `lanes` floats side by side.
 * An LSTM panel holds the four gates of `lanes` units; where there is one row of weights per unit (RNN, head, any
 * plain matrix) a panel holds 4 * lanes consecutive columns.
 */
#ifndef CYLSTM_LAYOUT_H
#define CYLSTM_LAYOUT_H

#include "compiler.h"
#include "cylstm.h"

enum { CYLSTM_PANEL_VECTORS = 4, CYLSTM_ALIGNMENT = 64, CYLSTM_NAME_SIZE = 48 };

typedef struct layout {
    cylstm_config config;
    int lanes;               /* floats in a vector of the kernels this layout is for */
    int gates;               /* gate pre-activations per unit: LSTM 4, RNN 1 */
    int states;              /* state vectors per unit: LSTM 2 (h and c), RNN 1 (h) */
    int directions;          /* D */
    int64_t recurrent_width; /* what a unit sees of the step before: H (a projection would narrow it) */
    int64_t width;           /* D * recurrent_width: a layer's output, per step and sequence */
    int64_t units;           /* H rounded up to whole panels */
    int64_t gate_width;      /* gates * units: one row of gate pre-activations, gate after gate */
    int64_t gate_row;        /* from one such row to the next */
    int64_t head_width;      /* O rounded up to whole panels */
    int64_t parameter_count;
} layout;

/* One named parameter tensor inside the flat vector; columns is 0 for a vector. */
typedef struct tensor {
    char name[CYLSTM_NAME_SIZE];
    int64_t offset, rows, columns;
} tensor;

/* Offsets of one layer and direction inside the flat parameter vector; bias offsets are -1 without bias. */
typedef struct layer_offsets {
    int64_t input_size; /* I of this layer */
    int64_t weight_ih, weight_hh, bias_ih, bias_hh;
    int64_t end;
} layer_offsets;

/* An index that runs over `segments` blocks of `padded` places, of which the first `valid` exist in the source. */
typedef struct axis {
    int64_t segments, padded, valid;
} axis;

/* A matrix (k, columns) packed for the kernels: data[count][k][PANEL_VECTORS][lanes]. Column of (panel p, vector v,
 * lane l): p * panel_stride + v * vector_stride + l. k is packed without what pads it in the rows it is multiplied by. */
typedef struct panels {
    float *data;
    int64_t count;
    axis k;
    int64_t panel_stride, vector_stride;
} panels;

static inline int64_t cylstm_panels_k(const panels *p)
{
    return p->k.segments * p->k.valid;
}

cylstm_status cylstm_layout_init(layout *l, const cylstm_config *config, int lanes);
int64_t cylstm_layout_tensor_count(const layout *l);
tensor cylstm_layout_tensor(const layout *l, int64_t index);
int64_t cylstm_layout_find(const layout *l, const char *name); /* the index of the tensor so named; -1: none */
layer_offsets cylstm_layout_layer(const layout *l, int64_t layer, int direction);
int64_t cylstm_layout_embedding(const layout *l); /* offset of embedding.weight (V, I) */
int64_t cylstm_layout_head(const layout *l);      /* offset of head.weight (O, D*H), head.bias follows */

axis cylstm_axis_of(int64_t places); /* without padding */

/* The same places as one segment, where no padding lies between them. */
axis cylstm_axis_merged(axis a);

axis cylstm_layout_gate_axis(const layout *l);
axis cylstm_layout_plain_axis(int64_t valid, int lanes);
panels cylstm_layout_gate_panels(const layout *l, int64_t k);
panels cylstm_layout_plain_panels(int64_t columns, axis k, int lanes);
int64_t cylstm_panels_size(const panels *p, int lanes);

/* Products that cannot wrap: what exceeds int64 stays at INT64_MAX. Arguments are not negative. */
int64_t cylstm_product(int64_t a, int64_t b);
int64_t cylstm_sum(int64_t a, int64_t b);
int64_t cylstm_round_up(int64_t n, int64_t multiple);

/*
 * Memory handed out front to back. With base NULL it only counts: the same code that places buffers also says how
 * much they need.
 */
typedef struct arena {
    char *base;
    int64_t used;
} arena;

void *cylstm_arena_take(arena *a, int64_t count, int64_t item_size);
float *cylstm_arena_floats(arena *a, int64_t count);

#endif
