/*
 * y = W x + b and its gradients, by the kernels and by an sgemm, on teams of several sizes, against loops in double.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_linear.c libcylstm.a -lm -o test_linear && ./test_linear
 */
#include "check.h"
#include "sgemm.h"

#include "linear.h"

static const blas plain_blas = {.sgemm = plain_sgemm};

/* ---- a linear map of random weights, packed ---- */

typedef struct problem {
    linear l;
    compute compute;
    int64_t rows;
    float *weight, *bias, *scratch;      /* (segments * valid, inputs), (segments * padded), for dW */
    float *x, *dy;                       /* (rows, inputs), (rows, segments * padded) */
    float *y, *dx, *dweight, *dbias;     /* results: of y's, x's, the weight's shape, (segments * valid) */
    float *dtwice, *dtwice_bias;         /* the same, of a second matrix and bias with the same inputs */
} problem;

static panels new_panels(panels p, const kernels *isa, const float *source, int64_t k_stride, axis columns,
                         int64_t column_stride)
{
    p.data = new_floats(cylstm_panels_size(&p, isa->lanes));
    cylstm_pack(isa, &p, (range){0, p.count}, source, k_stride, columns, column_stride);
    return p;
}

static void pack_problem(problem *p, const layout *gates)
{
    const int lanes = p->compute.kernels->lanes;
    const panels forward = gates != NULL
                               ? cylstm_layout_gate_panels(gates, p->l.inputs)
                               : cylstm_layout_plain_panels(p->l.outputs.valid, cylstm_axis_of(p->l.inputs), lanes);
    const panels backward = cylstm_layout_plain_panels(p->l.inputs, p->l.outputs, lanes);
    p->l.forward = new_panels(forward, p->compute.kernels, p->weight, 1, p->l.outputs, p->l.inputs);
    p->l.backward = new_panels(backward, p->compute.kernels, p->weight, p->l.inputs,
                               cylstm_layout_plain_axis(p->l.inputs, lanes), 1);
}

/* Whether place n of the outputs is one of W's rows, and which. */
static int output_of(axis a, int64_t n, int64_t *row)
{
    *row = n / a.padded * a.valid + n % a.padded;
    return n % a.padded < a.valid;
}

/* The gates of an LSTM of `outputs` units, or `outputs` plain outputs as of a head. */
static problem new_problem(const kernels *isa, int is_lstm, int64_t rows, int64_t inputs, int64_t outputs)
{
    problem p = {.compute = {.kernels = isa}, .rows = rows, .l = {.inputs = inputs}};
    const cylstm_config config = {
        .struct_size = sizeof config, .input_size = inputs, .hidden_size = outputs, .num_layers = 1};
    layout gates;
    cylstm_layout_init(&gates, &config, isa->lanes);
    p.l.outputs = is_lstm ? cylstm_layout_gate_axis(&gates) : cylstm_layout_plain_axis(outputs, isa->lanes);
    const int64_t width = cylstm_axis_width(p.l.outputs), weights = p.l.outputs.segments * outputs;
    p.weight = new_random(weights * inputs, 1.0f);
    p.bias = new_random(width, 1.0f);
    p.x = new_random(rows * inputs, 1.0f);
    p.dy = new_random(rows * width, 1.0f);
    for (int64_t i = 0, row; i < width; i++) p.bias[i] = output_of(p.l.outputs, i, &row) ? p.bias[i] : 0.0f;
    for (int64_t i = 0, row; i < rows * width; i++) p.dy[i] = output_of(p.l.outputs, i % width, &row) ? p.dy[i] : 0.0f;
    p.scratch = new_floats(cylstm_weight_scratch(width, inputs, inputs, rows, isa->lanes));
    p.y = new_floats(rows * width);
    p.dx = new_random(rows * inputs, 1.0f);
    p.dweight = new_random(weights * inputs, 1.0f);
    p.dbias = new_random(weights, 1.0f);
    p.dtwice = new_floats(weights * inputs);
    p.dtwice_bias = new_floats(weights);
    p.l.weight = p.weight;
    p.l.bias = p.bias;
    pack_problem(&p, is_lstm ? &gates : NULL);
    return p;
}

static void free_problem(problem *p)
{
    float *all[] = {
        p->weight,      p->bias,           p->scratch,        p->x, p->dy, p->y, p->dx, p->dweight, p->dbias, p->dtwice,
        p->dtwice_bias, p->l.forward.data, p->l.backward.data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* ---- all four functions, by a team ---- */

static void run_all(worker *w, void *context)
{
    problem *p = context;
    const int64_t width = cylstm_axis_width(p->l.outputs), inputs = p->l.inputs;
    cylstm_linear_forward(w, &p->compute, &p->l, p->rows, p->x, inputs, p->y, width);
    cylstm_linear_backward_input(w, &p->compute, &p->l, p->rows, p->dy, width, p->dx, inputs, 1);
    const weight_gradient gradients[] = {{p->x, inputs, inputs, p->dweight}, {p->x, inputs, inputs, p->dtwice}};
    cylstm_linear_backward_weights(w, &p->compute, p->l.outputs, p->rows, p->dy, width, gradients, 2, p->scratch);
    cylstm_linear_backward_bias(w, p->l.outputs, p->rows, p->dy, width, p->dbias, p->dtwice_bias);
}

static void check_sum(float ours, double exact, int64_t terms, const problem *p, const char *what)
{
    CHECK(fabs(ours - exact) <= 1e-6 * sqrt((double)terms + 1.0) * 4.0, "%s %s, %lld x %lld x %lld: %.9g, not %.9g",
          p->compute.kernels->name, what, (long long)p->rows, (long long)p->l.outputs.valid, (long long)p->l.inputs,
          ours, exact);
}

static void check_forward(const problem *p)
{
    const int64_t width = cylstm_axis_width(p->l.outputs), inputs = p->l.inputs;
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t n = 0, row; n < width; n++) {
            const int is_output = output_of(p->l.outputs, n, &row);
            double sum = p->bias[n];
            for (int64_t k = 0; is_output && k < inputs; k++)
                sum += (double)p->weight[row * inputs + k] * p->x[r * inputs + k];
            check_sum(p->y[r * width + n], sum, inputs, p, is_output ? "y" : "padding of y");
        }
    }
}

static void check_backward(const problem *p, const problem *before)
{
    const int64_t width = cylstm_axis_width(p->l.outputs), inputs = p->l.inputs;
    for (int64_t k = 0; k < inputs; k++) {
        for (int64_t r = 0; r < p->rows; r++) {
            double sum = before->dx[r * inputs + k];
            for (int64_t n = 0, row; n < width; n++) {
                if (output_of(p->l.outputs, n, &row)) sum += (double)p->dy[r * width + n] * p->weight[row * inputs + k];
            }
            check_sum(p->dx[r * inputs + k], sum, width, p, "dx");
        }
        for (int64_t n = 0, row; n < width; n++) {
            if (!output_of(p->l.outputs, n, &row)) continue;
            double sum = before->dweight[row * inputs + k], bias = before->dbias[row];
            for (int64_t r = 0; r < p->rows; r++) {
                sum += (double)p->dy[r * width + n] * p->x[r * inputs + k];
                bias += p->dy[r * width + n];
            }
            check_sum(p->dweight[row * inputs + k], sum, p->rows, p, "dW");
            if (k == 0) check_sum(p->dbias[row], bias, p->rows, p, "db");
        }
    }
}

static float *copy_of(const float *values, int64_t count)
{
    float *copy = new_floats(count);
    memcpy(copy, values, (size_t)count * sizeof(float));
    return copy;
}

/* Right on one thread; and on more, by a team, the same bits. */
static void check_problem(problem p, int most_threads)
{
    const int64_t y_size = p.rows * cylstm_axis_width(p.l.outputs), x_size = p.rows * p.l.inputs;
    const int64_t biases = p.l.outputs.segments * p.l.outputs.valid, weights = biases * p.l.inputs;
    const problem before = {
        .dx = copy_of(p.dx, x_size), .dweight = copy_of(p.dweight, weights), .dbias = copy_of(p.dbias, biases)};
    problem one = {0};
    for (int threads = 1; threads <= most_threads; threads++) {
        memcpy(p.dx, before.dx, (size_t)x_size * sizeof(float));
        memcpy(p.dweight, before.dweight, (size_t)weights * sizeof(float));
        memcpy(p.dbias, before.dbias, (size_t)biases * sizeof(float));
        memcpy(p.dtwice, before.dweight, (size_t)weights * sizeof(float));
        memcpy(p.dtwice_bias, before.dbias, (size_t)biases * sizeof(float));
        if (threads > 1) cylstm_forget_crowd();
        cylstm_parallel_run(threads, run_all, &p);
        CHECK(same_bits(p.dtwice, p.dweight, weights) && same_bits(p.dtwice_bias, p.dbias, biases),
              "dW or db of the second matrix differs");
        if (threads > 1) {
            CHECK(same_bits(p.y, one.y, y_size) && same_bits(p.dx, one.dx, x_size), "y or dx differs on %d threads",
                  threads);
            CHECK(same_bits(p.dweight, one.dweight, weights) && same_bits(p.dbias, one.dbias, biases),
                  "dW or db differs on %d threads", threads);
            continue;
        }
        check_forward(&p);
        check_backward(&p, &before);
        one = (problem){.y = copy_of(p.y, y_size),
                        .dx = copy_of(p.dx, x_size),
                        .dweight = copy_of(p.dweight, weights),
                        .dbias = copy_of(p.dbias, biases)};
    }
    float *copies[] = {before.dx, before.dweight, before.dbias, one.y, one.dx, one.dweight, one.dbias};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) free(copies[i]);
    free_problem(&p);
}

static void test_by_kernels(const kernels *isa)
{
    const int64_t rows[] = {1, 2, 7, 40}, inputs[] = {1, 5, 17, 65}, outputs[] = {1, 3, 16, 33};
    for (int i = 0; i < 4 * 4 * 4 * 2; i++) {
        problem p = new_problem(isa, i % 2, rows[i / 2 % 4], inputs[i / 8 % 4], outputs[i / 32 % 4]);
        check_problem(p, i % 32 < 30 ? 1 : 3);
    }
}

/* Large enough for sgemm: gates that need padding and gates that do not, several tiles, and a head. */
static void test_by_sgemm(const kernels *isa)
{
    set_threshold("blas_work", 2000000);
    const struct {
        int is_lstm;
        int64_t rows, inputs, outputs;
    } cases[] = {{1, 130, 128, 33}, {1, 130, 128, 32}, {1, 400, 17, 81}, {0, 130, 129, 130}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        problem p = new_problem(isa, cases[i].is_lstm, cases[i].rows, cases[i].inputs, cases[i].outputs);
        p.compute.blas = &plain_blas;
        const int before = atomic_load(&sgemm_calls);
        check_problem(p, 3);
        CHECK(atomic_load(&sgemm_calls) >= before + 9, "%d calls of sgemm", atomic_load(&sgemm_calls) - before);
    }
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    cylstm_set_thread_budget(3);
    for (int i = 0; i < count; i++) test_by_kernels(isas[i]);
    test_by_sgemm(cylstm_kernels_best());
    return report("linear");
}
