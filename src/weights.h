/*
 * One version of a network's weights, ready for the kernels: views of the parameter vector beside its packed copies.
 *
 * Constant while any call runs. The forward copies are what inference reads; the backward ones only training needs.
 */
#ifndef CYLSTM_WEIGHTS_H
#define CYLSTM_WEIGHTS_H

#include "linear.h"

typedef struct recurrent_weights { /* one layer, one direction */
    linear input;     /* W_ih, with b_ih + b_hh as its bias */
    linear recurrent; /* W_hh */
    const float *bias_ih, *bias_hh; /* (gates * H) each; NULL without bias */
    float *bias;                    /* their sum, padded: input.bias */
    layer_offsets offsets;
} recurrent_weights;

typedef struct weights {
    const float *embedding;    /* (V, I) */
    recurrent_weights *layers; /* [layer * D + direction] */
    linear head;
    const float *head_bias;  /* (O) */
    float *padded_head_bias; /* head.bias */
} weights;

/* Places the tables and forward copies in one arena and the backward copies in another (NULL: none, for inference
 * alone). Both only count while their base is NULL. */
void cylstm_weights_place(weights *w, const layout *l, arena *forward, arena *backward);

/* Says where the tensor of this index (layout.h) lies, or where all lie: in the flat vector of parameters. */
void cylstm_weights_set(weights *w, const layout *l, int64_t index, const float *tensor);
void cylstm_weights_set_all(weights *w, const layout *l, const float *parameters);

/* Brings the copies up to date with the parameters. */
void cylstm_weights_pack_forward(const weights *w, const layout *l, const kernels *isa, int threads);
void cylstm_weights_pack_backward(const weights *w, const layout *l, const kernels *isa, int threads);
/* And that of the first layer's input weights, for the gradient of the input. */
void cylstm_weights_pack_for_dx(const weights *w, const layout *l, const kernels *isa, int threads);

/* Brings the forward copy of one tensor up to date, on the calling thread: tensors need not be in memory all at once. In the
 * order of their indices, since a layer's second bias is added to its first. */
void cylstm_weights_pack_tensor(const weights *w, const layout *l, const kernels *isa, int64_t index);

/* Bytes that each of these three fills. */
typedef struct packed_sizes {
    int64_t forward, backward, for_dx;
} packed_sizes;

packed_sizes cylstm_weights_packed_sizes(const weights *w, const layout *l);

#endif
