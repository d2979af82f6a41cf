/*
 * sigmoid and tanh, as the step kernels compute them, against libm in double: how far off, how smooth, at the edges, and
 * the same on all instruction sets with FMA.
 *
 *     cc -std=c11 -O2 -fopenmp -Isrc tests/c/test_activation.c libcylstm.a -lm -o test_activation && ./test_activation
 *
 * tries one of each 1009 floats, ./test_activation 1 all of them.
 */
#include "check.h"

#include <float.h>

enum { COUNT = 1024, MOST_LANES = 16, MOST_ULP = 3, SAMPLE = 1009 };
enum { SIGMOID, TANH, FUNCTIONS };

static const char *const names[FUNCTIONS] = {"sigmoid", "tanh"};

/* Floats in ascending order and what becomes of them. */
typedef struct block {
    float x[COUNT];
    double exact[FUNCTIONS][COUNT];
    float y[FUNCTIONS][COUNT], y_before[FUNCTIONS][COUNT]; /* by this instruction set and by the one before */
} block;

/* An LSTM of COUNT units whose weights have no rows leaves sigmoid and tanh of its pre-activations on the tape. */
static void activate(const kernels *k, const float x[COUNT], float y[FUNCTIONS][COUNT])
{
    static const float nothing[MOST_LANES], h_previous[COUNT];
    float gates[4][COUNT], h[COUNT], c[COUNT] = {0}, out[COUNT], cell[COUNT];
    const panels weights = {.data = (float *)nothing,
                            .count = COUNT / k->lanes,
                            .k = {1, 0, 0},
                            .panel_stride = k->lanes,
                            .vector_stride = COUNT};
    for (int gate = 0; gate < 4; gate++) memcpy(gates[gate], x, sizeof gates[gate]);
    const step_args args = {
        .rows = {0, 1},
        .panels = {0, weights.count},
        .weights = &weights,
        .hidden = COUNT,
        .units = COUNT,
        .gates = gates[0],
        .gates_row = 4 * COUNT,
        .h_previous = h_previous,
        .h_next = h,
        .c = c,
        .out = out,
        .out_row = COUNT,
        .cell = cell,
        .recording = 1,
    };
    k->step[CYLSTM_LSTM](&args);
    memcpy(y[SIGMOID], gates[0], sizeof gates[0]);
    memcpy(y[TANH], gates[2], sizeof gates[2]);
}

/* ---- all floats in a row: NaNs, -Inf, ..., -0, 0, ..., Inf, NaNs are numbered from INT32_MIN to INT32_MAX ---- */

static float numbered(int64_t number)
{
    const int32_t n = number < INT32_MAX ? (int32_t)number : INT32_MAX;
    const uint32_t bits = n >= 0 ? (uint32_t)n : 0x80000000u | ~(uint32_t)n;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int64_t number_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? -1 - (int64_t)(bits & 0x7fffffffu) : (int64_t)bits;
}

/* ---- accuracy ---- */

/* Of one function on one instruction set; so far. */
typedef struct findings {
    double error, step_back; /* the greatest, in units of the last place */
    uint64_t bits;           /* of all results, in whichever order blocks are done */
} findings;

/* How many floats there are to a length of 1, around a value: 2^23 / 2^exponent, or 2^149 where it is subnormal. */
static double floats_at(double value)
{
    enum { BIAS = 1023, FRACTION_BITS = 52 };
    uint64_t bits;
    value = fabs(value) > FLT_MIN ? fabs(value) : FLT_MIN;
    memcpy(&bits, &value, sizeof bits);
    bits = (2 * BIAS + FLT_MANT_DIG - 1 - (bits >> FRACTION_BITS)) << FRACTION_BITS;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double error_of(float y, double exact, float x, const char *name)
{
    if (isnan(exact)) {
        CHECK(isnan(y), "%s(NaN) = %a", name, y);
        return 0.0;
    }
    const double error = fabs(y - exact);
    if (fabs(exact) < FLT_MIN) {
        CHECK(error <= FLT_MIN, "%s(%a) = %a", name, x, y);
        return 0.0;
    }
    CHECK(error * floats_at(exact) <= MOST_ULP, "%s(%a) = %a: %.2f ulp", name, x, y, error * floats_at(exact));
    return error * floats_at(exact);
}

/* x ascend: so must y, but for one unit in the last place. Not negative; 0 beside a NaN. */
static double step_back(float before, float y, float x, const char *name)
{
    if (!(y < before)) return 0.0;
    const double step = ((double)before - y) * floats_at(fmax(fabs(y), fabs(before)));
    CHECK(step <= 1.0, "%s(%a) = %a, after %a", name, x, y, before);
    return step;
}

static void check_values(const block *b, int function, findings *f)
{
    const float *x = b->x, *y = b->y[function];
    for (int i = 0; i < COUNT; i++) {
        const double error = error_of(y[i], b->exact[function][i], x[i], names[function]);
        const double step = i > 0 ? step_back(y[i - 1], y[i], x[i], names[function]) : 0.0;
        if (error > f->error) f->error = error;
        if (step > f->step_back) f->step_back = step;
    }
}

/* ---- blocks of floats, on each instruction set ---- */

static const kernels *isas[MOST_ISAS];
static int isa_count;
static findings found[MOST_ISAS][FUNCTIONS];

static void fill(block *b, int64_t first, int64_t step)
{
    for (int i = 0; i < COUNT; i++) {
        const float x = b->x[i] = numbered(first + i * step);
        b->exact[SIGMOID][i] = 1.0 / (1.0 + exp(-(double)x));
        b->exact[TANH][i] = tanh((double)x);
    }
}

/* What two sets with FMA find is the same, as long as their results are. */
static int same_as_before(const block *b, int isa, int function)
{
    if (isa == 0 || !has_fma(isas[isa - 1])) return 0;
    if (same_bits(b->y[function], b->y_before[function], COUNT)) return 1;
    CHECK(isnan(b->x[0]) || isnan(b->x[COUNT - 1]), "%s from %a on: not the same on %s and %s", names[function],
          b->x[0], isas[isa - 1]->name, isas[isa]->name);
    return 0;
}

static void check_block(block *b, findings f[MOST_ISAS][FUNCTIONS])
{
    for (int i = 0; i < isa_count; i++) {
        memcpy(b->y_before, b->y, sizeof b->y);
        activate(isas[i], b->x, b->y);
        for (int function = 0; function < FUNCTIONS; function++) {
            if (same_as_before(b, i, function)) {
                f[i][function] = f[i - 1][function];
            } else {
                check_values(b, function, &f[i][function]);
                if (has_fma(isas[i])) f[i][function].bits += digest(digest(0, b->x, 1), b->y[function], COUNT);
            }
        }
    }
}

static void add_findings(findings f[MOST_ISAS][FUNCTIONS])
{
    for (int i = 0; i < isa_count; i++) {
        for (int function = 0; function < FUNCTIONS; function++) {
            findings *all = &found[i][function], *some = &f[i][function];
            all->error = fmax(all->error, some->error);
            all->step_back = fmax(all->step_back, some->step_back);
            all->bits += some->bits;
        }
    }
}

/* One of each `step` floats. Each block begins with the last float of the one before, so that all neighbours meet. */
static void check_floats(int64_t first, int64_t last, int64_t step)
{
#pragma omp parallel
    {
        block *b = allocate(sizeof *b);
        findings f[MOST_ISAS][FUNCTIONS] = {0};
#pragma omp for schedule(dynamic, 16)
        for (int64_t n = first; n < last; n += (COUNT - 1) * step) {
            fill(b, n, step);
            check_block(b, f);
        }
#pragma omp critical
        add_findings(f);
        free(b);
    }
}

static void check_around(float x)
{
    check_floats(number_of(x) - 2 * COUNT, number_of(x) + 2 * COUNT, 1);
}

/* Around the odd multiples of ln(2) / 2, where the reduction changes sides: of the sigmoid's argument, and of the tanh's,
 * which is doubled. */
static void test_turns(void)
{
    for (int half = 1; half < 260; half += 2) {
        const float turn = (float)(half * 0.34657359028);
        for (int sign = -1; sign <= 1; sign += 2) {
            check_around((float)sign * turn);
            if (turn <= 20.0f) check_around((float)sign * turn / 2);
        }
    }
}

/* ---- edges ---- */

static void test_edges(const kernels *k)
{
    static float x[COUNT], y[FUNCTIONS][COUNT];
    const float edges[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, FLT_MAX, -FLT_MAX, 1e-40f, -1e-40f};
    memcpy(x, edges, sizeof edges);
    activate(k, x, y);
    const float *sigmoid = y[SIGMOID], *tanh = y[TANH];
    CHECK(sigmoid[0] == 0.5f && sigmoid[1] == 0.5f, "sigmoid(0) = %a", sigmoid[0]);
    CHECK(tanh[0] == 0.0f && !signbit(tanh[0]), "tanh(0) = %a", tanh[0]);
    CHECK(tanh[1] == 0.0f && signbit(tanh[1]), "tanh(-0) = %a", tanh[1]);
    for (int i = 2; i < 8; i += 4) { /* infinite, then merely large */
        CHECK(sigmoid[i] == 1.0f && sigmoid[i + 1] == 0.0f, "sigmoid(+-%g) = %a, %a", x[i], sigmoid[i], sigmoid[i + 1]);
        CHECK(tanh[i] == 1.0f && tanh[i + 1] == -1.0f, "tanh(+-%g) = %a, %a", x[i], tanh[i], tanh[i + 1]);
    }
    CHECK(isnan(sigmoid[4]) && isnan(sigmoid[5]), "sigmoid(NaN) = %a", sigmoid[4]);
    CHECK(isnan(tanh[4]) && isnan(tanh[5]), "tanh(NaN) = %a", tanh[4]);
    CHECK(tanh[8] == 1e-40f && tanh[9] == -1e-40f, "tanh(1e-40) = %a", tanh[8]);
}

static void print_findings(void)
{
    for (int i = 0; i < isa_count; i++) {
        for (int function = 0; function < FUNCTIONS; function++) {
            const findings *f = &found[i][function];
            printf("%-8s %-8s at worst %.3f ulp off, steps back by %.1f ulp\n", isas[i]->name, names[function],
                   f->error, f->step_back);
            if (has_fma(isas[i])) print_bits(isas[i]->name, "activation", names[function], f->bits);
        }
    }
}

int main(int argc, char **argv)
{
    const int64_t step = argc > 1 ? atoi(argv[1]) : SAMPLE;
    if (step < 1) return 2;
    isa_count = find_isas(isas);
    for (int i = 0; i < isa_count; i++) test_edges(isas[i]);
    check_floats(INT32_MIN, INT32_MAX, step);
    test_turns();
    print_findings();
    return report("activation");
}
