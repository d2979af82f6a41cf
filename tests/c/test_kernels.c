/*
 * The kernels of every instruction set here, on ragged rows and columns: products against the chain of operations they
 * promise, bit by bit; steps forward and backward and the softmax against plain loops in double.
 *
 *     cc -std=c11 -ffp-contract=off -fopenmp -Isrc tests/c/test_kernels.c libcylstm.a -lm -o test_kernels && ./test_kernels
 */
#include "check.h"

#include "linear.h"

/* a * b + c, rounded once: by hand, since not every fmaf is right (mingw-w64's rounds twice). The product is exact in
 * double; what the sum loses is left as a last bit that is odd, and so cannot decide a tie. */
static float rounded_once(float a, float b, float c)
{
    const double product = (double)a * b, sum = product + c, back = sum - product;
    const double lost = (product - (sum - back)) + (c - back);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (lost == 0.0 || bits % 2 == 1) return (float)sum;
    bits += (lost > 0.0) == (sum > 0.0) ? 1 : (uint64_t)-1;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}

/* ---- products ---- */

typedef struct product_case {
    int64_t rows, columns, k;
    float *a, *b, *init; /* a (rows, k), b (k, columns), init (rows, columns) */
} product_case;

static product_case new_product(int64_t rows, int64_t columns, int64_t k)
{
    return (product_case){
        rows, columns, k, new_random(rows * k, 1.0f), new_random(k * columns, 1.0f), new_random(rows * columns, 1.0f)};
}

static void free_product(product_case *p)
{
    free(p->a);
    free(p->b);
    free(p->init);
}

static panels pack_plain(const product_case *p, const kernels *isa)
{
    panels packed = cylstm_layout_plain_panels(p->columns, cylstm_axis_of(p->k), isa->lanes);
    packed.data = new_floats(cylstm_panels_size(&packed, isa->lanes));
    cylstm_pack(isa, &packed, (range){0, packed.count}, p->b, p->columns,
                cylstm_layout_plain_axis(p->columns, isa->lanes), 1);
    return packed;
}

/* One chain, k ascending. */
static float expected_product(const kernels *isa, const product_case *p, float init, int64_t row, int64_t column)
{
    float sum = init;
    for (int64_t k = 0; k < p->k; k++) {
        const float a = p->a[row * p->k + k], b = p->b[k * p->columns + column];
        sum = has_fma(isa) ? rounded_once(a, b, sum) : a * b + sum;
    }
    return sum;
}

/* The rows of a as pack_tiles takes them, from a matrix that has them as columns. */
static float *as_tiles(const kernels *isa, const product_case *p)
{
    float *columns = new_floats(p->rows * p->k), *tiles = new_floats(p->rows * p->k);
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t k = 0; k < p->k; k++) columns[k * p->rows + r] = p->a[r * p->k + k];
    }
    const int64_t half = p->k / 2;
    isa->pack_tiles((range){0, half}, p->rows, p->k, columns, p->rows, tiles);
    isa->pack_tiles((range){half, p->k}, p->rows, p->k, columns, p->rows, tiles);
    free(columns);
    return tiles;
}

/* init_row 0: one row for all, as a bias; init_row < 0: none. */
static void check_product(const kernels *isa, const product_case *p, int64_t init_row, int tiled)
{
    enum { MARGIN = 3 };
    const panels packed = pack_plain(p, isa);
    const int64_t c_row = p->columns + MARGIN, tiles = p->rows / isa->tile_rows - 1;
    const int64_t first = tiled ? isa->tile_rows * random_integer(0, tiles > 0 ? tiles : 0)
                                : random_integer(0, p->rows - 1);
    float *c = new_floats(p->rows * c_row);
    float *a = tiled ? as_tiles(isa, p) : NULL;
    const product_args args = {
        .rows = {first, p->rows},
        .panels = {0, packed.count},
        .b = &packed,
        .a = tiled ? a : p->a,
        .a_row = p->k,
        .a_tiled = tiled,
        .init = init_row < 0 ? NULL : p->init,
        .init_row = init_row < 0 ? 0 : init_row,
        .c = c,
        .c_row = c_row,
        .columns = p->columns,
    };
    isa->product(&args);
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t n = 0; n < c_row; n++) {
            const int untouched = r < first || n >= p->columns;
            const float init = init_row < 0 || untouched ? 0.0f : p->init[r * init_row + n];
            const float expected = untouched ? NAN : expected_product(isa, p, init, r, n);
            CHECK(untouched ? isnan(c[r * c_row + n]) : c[r * c_row + n] == expected,
                  "%s, %lld x %lld x %lld at (%lld, %lld): %a, not %a", isa->name, (long long)p->rows,
                  (long long)p->columns, (long long)p->k, (long long)r, (long long)n, c[r * c_row + n], expected);
        }
    }
    free(packed.data);
    free(a);
    free(c);
}

static void test_products(const kernels *isa)
{
    const int64_t lanes = isa->lanes, rows[] = {1, 2, 3, 5, 6, 7, 13}, ks[] = {0, 1, 2, 7, 33};
    const int64_t columns[] = {1, lanes - 1, lanes, 4 * lanes - 1, 4 * lanes, 4 * lanes + 1, 9 * lanes + 3};
    for (int r = 0; r < 7; r++) {
        for (int n = 0; n < 7; n++) {
            for (int k = 0; k < 5; k++) {
                product_case p = new_product(rows[r], columns[n], ks[k]);
                check_product(isa, &p, -1, 0);
                check_product(isa, &p, 0, 0);
                check_product(isa, &p, p.columns, 1);
                free_product(&p);
            }
        }
    }
}

/* ---- steps ---- */

/* One layer with its rows, as the kernels take them: vectors and gates padded to whole panels, with zeros. */
typedef struct step_case {
    layout layout;
    int64_t rows;
    float *weight;                  /* (gates * H, H) */
    panels forward, backward;       /* of weight */
    float *gates, *h, *c, *next;    /* (rows, gate_width), (rows, units) each */
    float *out, *cell;              /* (rows, H), (rows, units) */
} step_case;

/* (rows, segments * units) uniform in -size .. size where there is a unit, zero where there is padding. */
static float *new_padded(const layout *l, int64_t rows, int64_t segments, float size)
{
    float *values = new_zeros(rows * segments * l->units);
    for (int64_t i = 0; i < rows * segments; i++) {
        for (int64_t u = 0; u < l->config.hidden_size; u++) values[i * l->units + u] = random_float(size);
    }
    return values;
}

static void pack_weight(step_case *s, const kernels *isa)
{
    const layout *l = &s->layout;
    const int64_t hidden = l->config.hidden_size;
    const axis gates = cylstm_layout_gate_axis(l);
    s->forward = cylstm_layout_gate_panels(l, hidden);
    s->forward.data = new_floats(cylstm_panels_size(&s->forward, l->lanes));
    cylstm_pack(isa, &s->forward, (range){0, s->forward.count}, s->weight, 1, gates, hidden);
    s->backward = cylstm_layout_plain_panels(hidden, gates, l->lanes);
    s->backward.data = new_floats(cylstm_panels_size(&s->backward, l->lanes));
    cylstm_pack(isa, &s->backward, (range){0, s->backward.count}, s->weight, hidden,
                cylstm_layout_plain_axis(hidden, l->lanes), 1);
}

static step_case new_step(cylstm_cell cell, int64_t hidden, int64_t rows, const kernels *isa)
{
    step_case s = {.rows = rows};
    const cylstm_config config = {
        .struct_size = sizeof config, .cell = cell, .input_size = 1, .hidden_size = hidden, .num_layers = 1};
    CHECK(cylstm_layout_init(&s.layout, &config, isa->lanes) == CYLSTM_OK, "no layout");
    const layout *l = &s.layout;
    s.weight = new_random(l->gates * hidden * hidden, 1.0f / sqrtf((float)hidden));
    pack_weight(&s, isa);
    s.gates = new_padded(l, rows, l->gates, 3.0f);
    s.h = new_padded(l, rows, 1, 1.0f);
    s.c = new_padded(l, rows, 1, 2.0f);
    s.next = new_floats(rows * l->units);
    s.out = new_floats(rows * hidden);
    s.cell = new_floats(rows * l->units);
    return s;
}

static void free_step(step_case *s)
{
    float *all[] = {s->weight, s->forward.data, s->backward.data, s->gates, s->h, s->c, s->next, s->out, s->cell};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void check_close(float ours, double exact, const kernels *isa, const char *what, int64_t row, int64_t unit)
{
    CHECK(fabs(ours - exact) <= 2e-6 * (1.0 + fabs(exact)), "%s, %s of unit %lld of row %lld: %.9g, not %.9g",
          isa->name, what, (long long)unit, (long long)row, ours, exact);
}

/* W_ih x + b + W_hh h of one gate */
static double pre_activation(const step_case *s, const float *gates, int64_t row, int64_t gate, int64_t unit)
{
    const int64_t hidden = s->layout.config.hidden_size, units = s->layout.units;
    double sum = gates[row * s->layout.gate_width + gate * units + unit];
    for (int64_t k = 0; k < hidden; k++)
        sum += (double)s->weight[(gate * hidden + unit) * hidden + k] * s->h[row * units + k];
    return sum;
}

/* h and, for an LSTM, c and the activated gates (i, f, g, o) of one unit, from the state before. */
typedef struct unit {
    double gate[4], c, h;
} unit;

static unit expected_unit(const step_case *s, const float *gates, const float *c, int64_t row, int64_t index)
{
    unit u = {0};
    if (s->layout.gates == 1) {
        const double sum = pre_activation(s, gates, row, 0, index);
        u.h = s->layout.config.cell == CYLSTM_RNN_RELU ? fmax(sum, 0.0) : tanh(sum);
        u.gate[0] = u.h;
        return u;
    }
    for (int gate = 0; gate < 4; gate++) {
        const double sum = pre_activation(s, gates, row, gate, index);
        u.gate[gate] = gate == 2 ? tanh(sum) : sigmoid(sum);
    }
    u.c = u.gate[1] * c[row * s->layout.units + index] + u.gate[0] * u.gate[2];
    u.h = u.gate[3] * tanh(u.c);
    return u;
}

static step_args step_of(step_case *s, int recording)
{
    const layout *l = &s->layout;
    return (step_args){
        .rows = {0, s->rows},
        .panels = {0, s->forward.count},
        .weights = &s->forward,
        .hidden = l->config.hidden_size,
        .units = l->units,
        .gates = s->gates,
        .gates_row = l->gate_width,
        .h_previous = s->h,
        .h_next = s->next,
        .c = s->c,
        .out = s->out,
        .out_row = l->config.hidden_size,
        .cell = recording && l->gates > 1 ? s->cell : NULL,
        .recording = recording,
    };
}

static void run_step(const kernels *isa, step_case *s, int recording)
{
    const step_args args = step_of(s, recording);
    isa->step[s->layout.config.cell](&args);
}

/* ---- where the input is projected ---- */

/* A step's inputs, with the weights and biases that project them. */
typedef struct input_case {
    int64_t inputs;
    float *x, *weight, *bias; /* (rows, inputs), (gates * H, inputs), (gate_width) */
    panels packed;
} input_case;

static input_case new_input(const kernels *isa, const step_case *s, int64_t inputs)
{
    const layout *l = &s->layout;
    const axis gates = cylstm_layout_gate_axis(l);
    input_case i = {.inputs = inputs,
                    .x = new_random(s->rows * inputs, 1.0f),
                    .weight = new_random(l->gates * l->config.hidden_size * inputs, 1.0f),
                    .bias = new_padded(l, 1, l->gates, 1.0f),
                    .packed = cylstm_layout_gate_panels(l, inputs)};
    i.packed.data = new_floats(cylstm_panels_size(&i.packed, l->lanes));
    cylstm_pack(isa, &i.packed, (range){0, i.packed.count}, i.weight, 1, gates, inputs);
    return i;
}

static void free_input(input_case *i)
{
    float *all[] = {i->x, i->weight, i->bias, i->packed.data};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) free(all[n]);
}

/* gates = x W_ih^T, or with the bias as the start of each chain */
static void project(const kernels *isa, step_case *s, const input_case *i, int with_bias)
{
    const product_args args = {.rows = {0, s->rows},
                               .panels = {0, i->packed.count},
                               .b = &i->packed,
                               .a = i->x,
                               .a_row = i->inputs,
                               .init = with_bias ? i->bias : NULL,
                               .c = s->gates,
                               .c_row = s->layout.gate_width,
                               .columns = s->layout.gate_width};
    isa->product(&args);
}

/* Inputs projected beforehand or by the step, panels in either order: the same bits. With the bias added by the step,
 * as after sgemm: the same but for rounding. */
static void check_projections(const kernels *isa, cylstm_cell cell, int64_t hidden, int64_t rows, int64_t inputs)
{
    step_case s = new_step(cell, hidden, rows, isa);
    input_case i = new_input(isa, &s, inputs);
    const int64_t size = rows * s.layout.units;
    float *c_before = new_floats(size), *expected = new_floats(size);
    memcpy(c_before, s.c, (size_t)size * sizeof(float));
    project(isa, &s, &i, 1);
    run_step(isa, &s, 0);
    memcpy(expected, s.next, (size_t)size * sizeof(float));
    for (int descending = 0; descending < 2; descending++) {
        step_args fused = step_of(&s, 0);
        fused.input_weights = &i.packed;
        fused.bias = i.bias;
        fused.x = i.x;
        fused.x_row = inputs;
        fused.descending = descending;
        fused.gates = NULL;
        memcpy(s.c, c_before, (size_t)size * sizeof(float));
        isa->step[cell](&fused);
        CHECK(same_bits(s.next, expected, size), "%s: fused, H %lld, I %lld", isa->name, (long long)hidden,
              (long long)inputs);
    }
    project(isa, &s, &i, 0);
    step_args adding = step_of(&s, 0);
    adding.bias = i.bias;
    memcpy(s.c, c_before, (size_t)size * sizeof(float));
    isa->step[cell](&adding);
    for (int64_t n = 0; n < size; n++) check_close(s.next[n], expected[n], isa, "h", n / s.layout.units, n);
    free(c_before);
    free(expected);
    free_input(&i);
    free_step(&s);
}

static void test_projections(const kernels *isa)
{
    const int64_t hiddens[] = {1, 17, 70}, rows[] = {1, 5, 8, 13}, inputs[] = {1, 9};
    for (int i = 0; i < 3 * 3 * 4 * 2; i++) {
        check_projections(isa, (cylstm_cell)(i % 3), hiddens[i / 3 % 3], rows[i / 9 % 4], inputs[i / 36]);
    }
}

static void check_unit(const kernels *isa, const step_case *s, const unit *expected, int64_t row, int64_t index,
                       int recording)
{
    const layout *l = &s->layout;
    const int64_t at = row * l->units + index;
    check_close(s->next[at], expected->h, isa, "h", row, index);
    CHECK(s->out[row * l->config.hidden_size + index] == s->next[at], "%s: out is not h", isa->name);
    if (l->gates > 1) check_close(s->c[at], expected->c, isa, "c", row, index);
    if (!recording) return;
    if (l->gates > 1) CHECK(s->cell[at] == s->c[at], "%s: c on the tape is not c", isa->name);
    for (int gate = 0; gate < l->gates; gate++) {
        check_close(s->gates[row * l->gate_width + gate * l->units + index], expected->gate[gate], isa, "gate", row,
                    index);
    }
}

static void check_step(const kernels *isa, cylstm_cell cell, int64_t hidden, int64_t rows, int recording)
{
    step_case s = new_step(cell, hidden, rows, isa);
    const layout *l = &s.layout;
    unit *expected = allocate((size_t)(rows * hidden) * sizeof(unit));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t u = 0; u < hidden; u++) expected[r * hidden + u] = expected_unit(&s, s.gates, s.c, r, u);
    }
    run_step(isa, &s, recording);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t u = 0; u < hidden; u++) check_unit(isa, &s, &expected[r * hidden + u], r, u, recording);
        for (int64_t u = hidden; u < l->units; u++)
            CHECK(s.next[r * l->units + u] == 0.0f, "%s: h's padding", isa->name);
    }
    free(expected);
    free_step(&s);
}

/* ---- steps backward ---- */

typedef struct backward_case {
    float *dgates_next, *dh_next, *dout; /* (rows, gate_width), (rows, units), (rows, H) */
    float *before, *dc, *dgates;         /* c_{t-1}, dc, dgates: (rows, units) twice, (rows, gate_width) */
} backward_case;

static backward_case new_backward(const step_case *s)
{
    const layout *l = &s->layout;
    return (backward_case){
        new_padded(l, s->rows, l->gates, 1.0f),
        new_padded(l, s->rows, 1, 1.0f),
        new_random(s->rows * l->config.hidden_size, 1.0f),
        new_padded(l, s->rows, 1, 1.0f),
        new_padded(l, s->rows, 1, 1.0f),
        new_floats(s->rows * l->gate_width),
    };
}

static void free_backward(backward_case *b)
{
    float *all[] = {b->dgates_next, b->dh_next, b->dout, b->before, b->dc, b->dgates};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* dL/dh_t = W_hh^T dgates_{t+1}, or what waits in dh_next, + dL/dh_t from above */
static double expected_dh(const step_case *s, const backward_case *b, int64_t row, int64_t index, int entering)
{
    const layout *l = &s->layout;
    const int64_t hidden = l->config.hidden_size;
    double dh = entering ? b->dh_next[row * l->units + index] : 0.0;
    for (int64_t gate = 0; !entering && gate < l->gates; gate++) {
        for (int64_t u = 0; u < hidden; u++) {
            dh += (double)s->weight[(gate * hidden + u) * hidden + index] *
                  b->dgates_next[row * l->gate_width + gate * l->units + u];
        }
    }
    return dh + b->dout[row * hidden + index];
}

static void check_rnn_gradient(const kernels *isa, const step_case *s, const backward_case *b, double dh, int64_t row,
                               int64_t index)
{
    const int64_t at = row * s->layout.gate_width + index;
    const double h = s->gates[at];
    const double slope = s->layout.config.cell == CYLSTM_RNN_TANH ? 1.0 - h * h : h > 0.0;
    check_close(b->dgates[at], dh * slope, isa, "dgate", row, index);
}

static void check_lstm_gradient(const kernels *isa, const step_case *s, const backward_case *b, float dc_after,
                                double dh, int64_t row, int64_t index)
{
    const layout *l = &s->layout;
    const int64_t at = row * l->units + index;
    double y[4], slope[4];
    for (int gate = 0; gate < 4; gate++) {
        y[gate] = s->gates[row * l->gate_width + gate * l->units + index];
        slope[gate] = gate == 2 ? 1.0 - y[gate] * y[gate] : y[gate] * (1.0 - y[gate]);
    }
    const double tanh_c = tanh(s->cell[at]), dc = dc_after + dh * y[3] * (1.0 - tanh_c * tanh_c);
    const double dy[4] = {dc * y[2], dc * b->before[at], dc * y[0], dh * tanh_c};
    for (int gate = 0; gate < 4; gate++) {
        check_close(b->dgates[row * l->gate_width + gate * l->units + index], dy[gate] * slope[gate], isa, "dgate", row,
                    index);
    }
    check_close(b->dc[at], dc * y[1], isa, "dc", row, index);
}

static void check_step_backward(const kernels *isa, cylstm_cell cell, int64_t hidden, int64_t rows, int entering)
{
    step_case s = new_step(cell, hidden, rows, isa);
    const layout *l = &s.layout;
    run_step(isa, &s, 1);
    backward_case b = new_backward(&s);
    float *dc_after = allocate((size_t)(rows * l->units) * sizeof(float));
    memcpy(dc_after, b.dc, (size_t)(rows * l->units) * sizeof(float));
    const step_backward_args args = {
        .rows = {0, rows},
        .panels = {0, s.backward.count},
        .weights = &s.backward,
        .hidden = hidden,
        .units = l->units,
        .gates_row = l->gate_width,
        .dgates_next = entering ? NULL : b.dgates_next,
        .dh_next = b.dh_next,
        .dout = b.dout,
        .dout_row = hidden,
        .gates = s.gates,
        .cell = s.cell,
        .cell_previous = b.before,
        .dc = b.dc,
        .dgates = b.dgates,
    };
    isa->step_backward[cell](&args);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t u = 0; u < hidden; u++) {
            const double dh = expected_dh(&s, &b, r, u, entering);
            if (l->gates == 1) check_rnn_gradient(isa, &s, &b, dh, r, u);
            if (l->gates > 1) check_lstm_gradient(isa, &s, &b, dc_after[r * l->units + u], dh, r, u);
        }
        for (int64_t u = hidden; u < l->units; u++)
            CHECK(b.dgates[r * l->gate_width + u] == 0.0f, "%s: dgates' padding", isa->name);
    }
    free(dc_after);
    free_backward(&b);
    free_step(&s);
}

static void test_steps(const kernels *isa)
{
    const int64_t lanes = isa->lanes, hidden[] = {1, 3, lanes, lanes + 1, 4 * lanes, 5 * lanes - 1}, rows[] = {1, 2, 7};
    for (cylstm_cell cell = CYLSTM_LSTM; cell <= CYLSTM_RNN_RELU; cell++) {
        for (int h = 0; h < 6; h++) {
            for (int r = 0; r < 3; r++) {
                for (int flag = 0; flag < 2; flag++) {
                    check_step(isa, cell, hidden[h], rows[r], flag);
                    check_step_backward(isa, cell, hidden[h], rows[r], flag);
                }
            }
        }
    }
}

/* ---- softmax ---- */

static void check_softmax(const kernels *isa, const float *scores, int64_t count)
{
    float *y = new_floats(count), largest;
    const float log_sum = isa->softmax(scores, count, y, &largest);
    double most = scores[0], sum = 0.0;
    for (int64_t n = 1; n < count; n++) most = fmax(most, scores[n]);
    for (int64_t n = 0; n < count; n++) sum += exp(scores[n] - most);
    CHECK((double)largest == most && fabs(log_sum - log(sum)) <= 2e-6, "%s: %g, %g", isa->name, largest, log_sum);
    for (int64_t n = 0; n < count; n++) check_close(y[n], exp(scores[n] - most) / sum, isa, "softmax", 0, n);
    free(y);
}

static void test_softmax(const kernels *isa)
{
    for (int64_t count = 1; count < 70; count++) {
        const float sizes[] = {1.0f, 30.0f, 1e4f};
        for (int i = 0; i < 3; i++) {
            float *scores = new_random(count, sizes[i]);
            check_softmax(isa, scores, count);
            free(scores);
        }
    }
}

/* ---- NaN is passed on, and a large score does not overflow ---- */

static void test_nan_passes_through(const kernels *isa)
{
    for (cylstm_cell cell = CYLSTM_LSTM; cell <= CYLSTM_RNN_RELU; cell++) {
        step_case s = new_step(cell, 3, 2, isa);
        s.gates[1] = NAN; /* unit 1 of row 0: the input gate of an LSTM */
        run_step(isa, &s, 0);
        CHECK(isnan(s.next[1]), "%s: cell %d swallows NaN", isa->name, (int)cell);
        CHECK(!isnan(s.next[0]) && !isnan(s.next[s.layout.units + 1]), "%s: cell %d spreads NaN", isa->name, (int)cell);
        free_step(&s);
    }
    float y[3], largest;
    isa->softmax((float[]){1.0f, NAN, 2.0f}, 3, y, &largest);
    CHECK(isnan(y[0]) && isnan(y[1]) && isnan(y[2]), "%s: softmax swallows NaN", isa->name);
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    for (int i = 0; i < count; i++) {
        test_products(isas[i]);
        test_steps(isas[i]);
        test_projections(isas[i]);
        test_softmax(isas[i]);
        test_nan_passes_through(isas[i]);
    }
    return report("kernels");
}
