/*
 * Every gradient of whole networks against central differences of their own forward pass.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_gradients.c libcylstm.a -lm -o test_gradients && ./test_gradients
 */
#include "model.h"

/* L = sum of y * dy + h_n * dh_n + c_n * dc_n: its gradients by y, h_n and c_n are dy, dh_n and dc_n. */
static double loss_of(const model *m, const data *d, const how *h, results *r)
{
    double loss = 0.0;
    run_forward(m, d, h, r);
    for (int64_t i = 0; i < d->y_size; i++) loss += (double)r->y[i] * d->dy[i];
    for (int s = 0; s < m->net.layout.states; s++) {
        for (int64_t i = 0; i < d->state_size; i++) loss += (double)r->state[s][i] * d->dstate[s][i];
    }
    return loss;
}

typedef struct slopes {
    double central, left, right;
} slopes;

/* dL/dvalue from L(value - e), L(value) and L(value + e) */
static slopes differences(model *m, const data *d, const how *h, results *r, float *value)
{
    const float step = 0.01f, before = *value;
    double loss[3];
    for (int i = 0; i < 3; i++) {
        *value = before + (float)(i - 1) * step;
        pack_model(m);
        loss[i] = loss_of(m, d, h, r);
    }
    *value = before;
    pack_model(m);
    return (slopes){(loss[2] - loss[0]) / 0.02, (loss[1] - loss[0]) / 0.01, (loss[2] - loss[1]) / 0.01};
}

/* relu and max have kinks: near one, the gradient is the slope on one side of it. */
static int has_kinks(const layout *l)
{
    return l->config.cell == CYLSTM_RNN_RELU || l->config.pooling == CYLSTM_POOL_MAX;
}

static int agree(const layout *l, double gradient, slopes s, double largest)
{
    if (fabs(gradient - s.central) <= 1e-3 * largest + 3e-4) return 1;
    const double nearest = fmin(fabs(gradient - s.left), fabs(gradient - s.right));
    return has_kinks(l) && nearest <= 1e-2 * largest + 3e-3;
}

/* Some of the values' gradients; the tolerance is relative to the largest. */
static void check_gradients(model *m, const data *d, const how *h, float *values, const float *gradients, int64_t count,
                            const char *name)
{
    enum { SOME = 12 };
    results scratch = new_results(m, d);
    float largest = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        CHECK(isfinite(gradients[i]), "%s: gradient %lld is %g", name, (long long)i, gradients[i]);
        largest = fmaxf(largest, fabsf(gradients[i]));
    }
    CHECK(largest > 0.0f, "%s: all gradients are zero", name);
    for (int j = 0; j < SOME && j < count; j++) {
        const int64_t i = count <= SOME ? j : random_integer(0, count - 1);
        const slopes s = differences(m, d, h, &scratch, values + i);
        CHECK(agree(&m->net.layout, gradients[i], s, largest), "%s on %s: gradient %lld is %g, the difference %g", name,
              m->net.kernels->name, (long long)i, gradients[i], s.central);
    }
    free_results(&scratch);
}

static void check_network(cylstm_config config, float dropout_probability, const kernels *isa)
{
    static const float mean[] = {0.3f, -0.2f, 0.0f, 0.1f}, std[] = {0.5f, 2.0f, 1.0f, 0.7f};
    model m = new_model(config, isa);
    const layout *l = &m.net.layout;
    if (config.vocab_size == 0) m.net.input_mean = mean, m.net.input_std = std;
    data d = new_data(l, 6, 4, 1);
    const how h = {.plan = {.threads = 2, .strands = 1, .split_rows = config.bidirectional, .chunk_rows = 7},
                   .recording = 1,
                   .dropout = {dropout_probability, 17}};
    results r = new_results(&m, &d);
    run_forward(&m, &d, &h, &r);
    run_backward(&m, &d, &h, &r);
    for (int64_t i = 0; i < cylstm_layout_tensor_count(l); i++) {
        const tensor t = cylstm_layout_tensor(l, i);
        const int64_t size = t.rows * (t.columns > 0 ? t.columns : 1);
        check_gradients(&m, &d, &h, m.parameters + t.offset, r.dparameters + t.offset, size, t.name);
    }
    if (config.vocab_size == 0) check_gradients(&m, &d, &h, d.x, r.dx, d.x_size, "x");
    for (int s = 0; s < l->states; s++)
        check_gradients(&m, &d, &h, d.state[s], r.dstate[s], d.state_size, s == 0 ? "h_0" : "c_0");
    free_results(&r);
    free_data(&d);
    free_model(&m);
}

int main(void)
{
    const cylstm_config plain = {.bias = 1, .input_size = 3, .hidden_size = 5, .num_layers = 1},
                        deep = {.input_size = 4, .hidden_size = 17, .num_layers = 3};
    cylstm_config lstm = plain, tanh_tokens = plain, relu = plain, pooled = plain, both = plain;
    lstm.bidirectional = 1, lstm.num_layers = 2, lstm.output_size = 3;
    tanh_tokens.cell = CYLSTM_RNN_TANH, tanh_tokens.vocab_size = 7, tanh_tokens.output_size = 7;
    relu.cell = CYLSTM_RNN_RELU, relu.bidirectional = 1;
    pooled.output_size = 2, pooled.num_layers = 2;
    both.bidirectional = 1, both.output_size = 4;
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    cylstm_set_thread_budget(2);
    for (int i = 0; i < trials(count); i++) {
        check_network(plain, 0.0f, isas[i]);
        check_network(deep, 0.4f, isas[i]);
        check_network(lstm, 0.0f, isas[i]);
        check_network(tanh_tokens, 0.0f, isas[i]);
        check_network(relu, 0.0f, isas[i]);
        for (int pooling = CYLSTM_POOL_LAST; pooling <= CYLSTM_POOL_MAX; pooling++) {
            pooled.pooling = both.pooling = pooling;
            check_network(pooled, 0.2f, isas[i]);
            check_network(both, 0.0f, isas[i]);
        }
    }
    return report("gradients");
}
