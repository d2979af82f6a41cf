/*
 * sigmoid and tanh, as the step kernels compute them, against libm in double: how far off, how smooth, at the edges.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_activation.c libcylstm.a -lm -o test_activation && ./test_activation
 */
#include "check.h"

#include <float.h>

enum { COUNT = 4096, MOST_LANES = 16, MOST_ULP = 3 };

typedef struct activated {
    float sigmoid[COUNT], tanh[COUNT];
} activated;

/* An LSTM whose weights have no rows leaves sigmoid and tanh of its pre-activations on the tape. */
static void activate(const kernels *k, const float x[COUNT], activated *y)
{
    static float gates[4 * COUNT], h[COUNT], c[COUNT], out[COUNT], cell[COUNT];
    const int64_t units = k->lanes, rows = COUNT / units;
    const float nothing[MOST_LANES] = {0};
    const panels weights = {
        .data = (float *)nothing, .count = 1, .k = 0, .panel_stride = units, .vector_stride = units};
    for (int64_t r = 0; r < rows; r++) {
        for (int gate = 0; gate < 4; gate++) {
            memcpy(gates + (4 * r + gate) * units, x + r * units, (size_t)units * sizeof(float));
        }
    }
    const step_args args = {
        .rows = {0, rows},
        .panels = {0, 1},
        .weights = &weights,
        .hidden = units,
        .units = units,
        .gates = gates,
        .gates_row = 4 * units,
        .h_previous = h,
        .h_next = h,
        .c = c,
        .out = out,
        .out_row = units,
        .cell = cell,
        .recording = 1,
    };
    k->step[CYLSTM_LSTM](&args);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(y->sigmoid + r * units, gates + 4 * r * units, (size_t)units * sizeof(float));
        memcpy(y->tanh + r * units, gates + (4 * r + 2) * units, (size_t)units * sizeof(float));
    }
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The distance of neighbouring floats around a value. */
static double ulp_of(double value)
{
    int exponent;
    frexp(value, &exponent);
    return ldexp(1.0, (exponent > FLT_MIN_EXP ? exponent : FLT_MIN_EXP) - FLT_MANT_DIG);
}

/* ---- accuracy ---- */

typedef struct errors {
    double sigmoid, tanh; /* greatest so far, in units of the last place */
} errors;

static double error_of(float y, double exact, float x, const char *function)
{
    if (fabs(exact) < FLT_MIN) {
        CHECK(fabs(y - exact) < FLT_MIN, "%s(%a) = %a", function, x, y);
        return 0.0;
    }
    const double error = fabs(y - exact) / ulp_of(exact);
    CHECK(error <= MOST_ULP, "%s(%a) = %a: %.2f ulp", function, x, y, error);
    return error;
}

/* x ascend: so must y, but for one unit in the last place. */
static void check_slope(float before, float y, float x, const char *function)
{
    CHECK(y >= before - ulp_of(fmax(fabs(y), fabs(before))), "%s(%a) = %a, after %a", function, x, y, before);
}

static void check_block(const kernels *k, const float x[COUNT], errors *worst)
{
    static activated y;
    activate(k, x, &y);
    for (int i = 0; i < COUNT; i++) {
        worst->sigmoid = fmax(worst->sigmoid, error_of(y.sigmoid[i], sigmoid(x[i]), x[i], "sigmoid"));
        worst->tanh = fmax(worst->tanh, error_of(y.tanh[i], tanh(x[i]), x[i], "tanh"));
        if (i == 0 || x[i] < x[i - 1]) continue;
        check_slope(y.sigmoid[i - 1], y.sigmoid[i], x[i], "sigmoid");
        check_slope(y.tanh[i - 1], y.tanh[i], x[i], "tanh");
    }
}

/* A block of floats, ascending from one of these bits, or mirrored. */
static void fill_block(float x[COUNT], uint32_t first, uint32_t step, int negative)
{
    for (uint32_t i = 0; i < COUNT; i++)
        x[negative ? COUNT - 1 - i : i] = (negative ? -1.0f : 1.0f) * from_bits(first + i * step);
}

/* One of each 4001 floats up to 110, and all floats around the odd multiples of ln(2) / 2, where the reduction changes
 * sides: of the sigmoid's argument, and of the tanh's, which is doubled. */
static void test_accuracy(const kernels *k)
{
    enum { STEP = 4001 };
    static float x[COUNT];
    errors worst = {0};
    for (int negative = 0; negative < 2; negative++) {
        for (uint32_t first = 0; first < to_bits(110.0f); first += STEP * COUNT) {
            fill_block(x, first, STEP, negative);
            check_block(k, x, &worst);
        }
        for (int half = 1; half < 260; half += 2) {
            const float turn = (float)(half * 0.34657359028);
            fill_block(x, to_bits(turn) - COUNT / 2, 1, negative);
            check_block(k, x, &worst);
            if (turn > 20.0f) continue;
            fill_block(x, to_bits(turn / 2) - COUNT / 2, 1, negative);
            check_block(k, x, &worst);
        }
    }
    printf("%-8s sigmoid %.2f ulp, tanh %.2f ulp at worst\n", k->name, worst.sigmoid, worst.tanh);
}

/* ---- edges ---- */

static void test_edges(const kernels *k)
{
    static float x[COUNT];
    static activated y;
    const float edges[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, FLT_MAX, -FLT_MAX, 1e-40f, -1e-40f};
    memcpy(x, edges, sizeof edges);
    activate(k, x, &y);
    CHECK(y.sigmoid[0] == 0.5f && y.sigmoid[1] == 0.5f, "sigmoid(0) = %a", y.sigmoid[0]);
    CHECK(y.tanh[0] == 0.0f && !signbit(y.tanh[0]), "tanh(0) = %a", y.tanh[0]);
    CHECK(y.tanh[1] == 0.0f && signbit(y.tanh[1]), "tanh(-0) = %a", y.tanh[1]);
    for (int i = 2; i < 8; i += 4) { /* infinite, then merely large */
        CHECK(y.sigmoid[i] == 1.0f && y.sigmoid[i + 1] == 0.0f, "sigmoid(+-%g) = %a, %a", x[i], y.sigmoid[i],
              y.sigmoid[i + 1]);
        CHECK(y.tanh[i] == 1.0f && y.tanh[i + 1] == -1.0f, "tanh(+-%g) = %a, %a", x[i], y.tanh[i], y.tanh[i + 1]);
    }
    CHECK(isnan(y.sigmoid[4]) && isnan(y.sigmoid[5]), "sigmoid(NaN) = %a", y.sigmoid[4]);
    CHECK(isnan(y.tanh[4]) && isnan(y.tanh[5]), "tanh(NaN) = %a", y.tanh[4]);
    CHECK(y.tanh[8] == 1e-40f && y.tanh[9] == -1e-40f, "tanh(1e-40) = %a", y.tanh[8]);
}

/* ---- the same bits on all that have FMA ---- */

static void test_same_bits(const kernels *first, const kernels *second)
{
    static float x[COUNT];
    static activated one, other;
    for (int trial = 0; trial < 500; trial++) {
        for (int i = 0; i < COUNT; i++) x[i] = trial % 2 ? random_float(20.0f) : from_bits(random_bits());
        for (int i = 0; i < COUNT; i++) x[i] = isnan(x[i]) ? 0.0f : x[i];
        activate(first, x, &one);
        activate(second, x, &other);
        CHECK(same_bits(one.sigmoid, other.sigmoid, COUNT), "sigmoid on %s and %s", first->name, second->name);
        CHECK(same_bits(one.tanh, other.tanh, COUNT), "tanh on %s and %s", first->name, second->name);
    }
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    for (int i = 0; i < count; i++) {
        test_accuracy(isas[i]);
        test_edges(isas[i]);
        if (i > 0 && has_fma(isas[i - 1])) test_same_bits(isas[i - 1], isas[i]);
    }
    return report("activation");
}
