/*
 * Losses and optimisers against the same formulas in plain double, on one thread and on several.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_training.c libcylstm.a -lm -o test_training && ./test_training
 */
#include "check.h"

#include "loss.h"
#include "optim.h"

static void check_close(double ours, double exact, double scale, const char *what, int64_t at)
{
    CHECK(fabs(ours - exact) <= 4e-7 * scale + 1e-6 * fabs(exact), "%s at %lld: %.9g, not %.9g", what, (long long)at,
          ours, exact);
}

/* ---- losses ---- */

typedef struct rows {
    int64_t count, outputs;
    float *scores, *values;
    int64_t *classes;
    uint8_t *mask;
} rows;

static rows new_rows(int64_t count, int64_t outputs, int masked)
{
    rows r = {count, outputs, new_random(count * outputs, 5.0f), new_random(count * outputs, 1.0f), NULL, NULL};
    r.classes = allocate((size_t)count * sizeof(int64_t));
    if (masked) r.mask = allocate((size_t)count);
    for (int64_t i = 0; i < count; i++) {
        if (masked) r.mask[i] = random_integer(0, 2) > 0;
        r.classes[i] = masked && !r.mask[i] ? -100 : random_integer(0, outputs - 1);
    }
    for (int64_t i = 0; i < count * outputs; i++) r.values[i] = fabsf(r.values[i]);
    return r;
}

static void free_rows(rows *r)
{
    free(r->scores);
    free(r->values);
    free(r->classes);
    free(r->mask);
}

/* The loss of one row, and its gradient by the row's scores. */
static double expected_row(loss_kind kind, const rows *r, int64_t row, double *ds)
{
    const float *s = r->scores + row * r->outputs, *y = r->values + row * r->outputs;
    double most = -INFINITY, sum = 0.0, loss = 0.0;
    for (int64_t n = 0; n < r->outputs; n++) most = fmax(most, s[n]);
    for (int64_t n = 0; n < r->outputs; n++) sum += exp(s[n] - most);
    for (int64_t n = 0; n < r->outputs; n++) {
        const double p = 1.0 / (1.0 + exp(-(double)s[n])), difference = (double)s[n] - y[n];
        if (kind == LOSS_CROSS_ENTROPY) ds[n] = exp(s[n] - most) / sum - (n == r->classes[row]);
        if (kind == LOSS_BINARY_CROSS_ENTROPY) ds[n] = p - y[n];
        if (kind == LOSS_SQUARED_ERROR) ds[n] = 2.0 * difference;
        if (kind == LOSS_BINARY_CROSS_ENTROPY) loss -= y[n] * log(p) + (1.0 - y[n]) * log(1.0 - p);
        if (kind == LOSS_SQUARED_ERROR) loss += difference * difference;
    }
    return kind == LOSS_CROSS_ENTROPY ? most + log(sum) - s[r->classes[row]] : loss;
}

static void check_loss(loss_kind kind, const rows *r, double mean, const float *dscores)
{
    double *ds = allocate((size_t)r->outputs * sizeof(double)), sum = 0.0;
    int64_t counted = 0;
    for (int64_t i = 0; i < r->count; i++) counted += r->mask == NULL || r->mask[i];
    const double terms = (double)counted * (kind == LOSS_CROSS_ENTROPY ? 1.0 : (double)r->outputs);
    for (int64_t i = 0; i < r->count; i++) {
        const int counts = r->mask == NULL || r->mask[i];
        if (counts) sum += expected_row(kind, r, i, ds);
        for (int64_t n = 0; n < r->outputs; n++) {
            check_close(dscores[i * r->outputs + n] * terms, counts ? ds[n] : 0.0, 1.0, "dscores", i);
        }
    }
    check_close(mean, counted > 0 ? sum / terms : 0.0, 1.0, "loss", kind);
    free(ds);
}

static void test_loss(loss_kind kind, const kernels *isa, int64_t count, int64_t outputs, int masked)
{
    rows r = new_rows(count, outputs, masked);
    float *first = new_floats(count * outputs), *dscores = new_floats(count * outputs);
    double *row_losses = allocate((size_t)count * sizeof(double)), mean = 0.0;
    for (int threads = 1; threads <= 3; threads++) {
        loss_call call = {
            .kind = kind,
            .kernels = isa,
            .threads = threads,
            .rows = count,
            .outputs = outputs,
            .scores = r.scores,
            .classes = r.classes,
            .values = r.values,
            .mask = r.mask,
            .dscores = threads == 1 ? first : dscores,
            .row_losses = row_losses,
        };
        const double now = cylstm_loss(&call);
        if (threads > 1) CHECK(now == mean && same_bits(first, dscores, count * outputs), "%d threads", threads);
        mean = now;
    }
    check_loss(kind, &r, mean, first);
    free_rows(&r);
    free(first);
    free(dscores);
    free(row_losses);
}

static void test_losses(const kernels *isa)
{
    const int64_t outputs[] = {1, 2, 5, 16, 65};
    for (loss_kind kind = LOSS_CROSS_ENTROPY; kind <= LOSS_SQUARED_ERROR; kind++) {
        for (int i = 0; i < 10; i++) test_loss(kind, isa, random_integer(1, 40), outputs[i / 2], i % 2);
    }
}

static void test_a_loss_of_no_rows_is_zero(void)
{
    float score = 1.0f, ds = NAN;
    double row_loss;
    const uint8_t mask = 0;
    const int64_t class = -1;
    loss_call call = {.kind = LOSS_CROSS_ENTROPY,
                      .kernels = cylstm_kernels_best(),
                      .threads = 1,
                      .rows = 1,
                      .outputs = 1,
                      .scores = &score,
                      .classes = &class,
                      .mask = &mask,
                      .dscores = &ds,
                      .row_losses = &row_loss};
    const double loss = cylstm_loss(&call);
    CHECK(loss == 0.0 && ds == 0.0f, "%g, %g", loss, ds);
}

/* ---- optimisers ---- */

enum { STEPS = 5 };

typedef void update(optimizer_step *step);
typedef double expected_update(const optimizer_step *s, double p, double g, double slots[2]);

/* b = momentum b + g (b = g at first), p -= lr b, or lr (g + momentum b) with Nesterov */
static double expected_sgd(const optimizer_step *s, double p, double g, double slots[2])
{
    slots[0] = s->step == 1 ? g : s->momentum * slots[0] + g;
    if (s->momentum == 0.0) return p - s->learning_rate * g;
    return p - s->learning_rate * (s->nesterov ? g + s->momentum * slots[0] : slots[0]);
}

/* v = alpha v + (1 - alpha) g^2, b = momentum b + g / (sqrt(v) + eps), p -= lr b */
static double expected_rmsprop(const optimizer_step *s, double p, double g, double slots[2])
{
    slots[0] = s->alpha * slots[0] + (1.0 - s->alpha) * g * g;
    slots[1] = s->momentum * slots[1] + g / (sqrt(slots[0]) + s->eps);
    return p - s->learning_rate * slots[1];
}

/* m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) */
static double expected_adam(const optimizer_step *s, double p, double g, double slots[2])
{
    slots[0] = s->beta1 * slots[0] + (1.0 - s->beta1) * g;
    slots[1] = s->beta2 * slots[1] + (1.0 - s->beta2) * g * g;
    if (s->decoupled) p -= s->learning_rate * s->weight_decay * p;
    const double m = slots[0] / (1.0 - pow(s->beta1, (double)s->step)),
                 v = slots[1] / (1.0 - pow(s->beta2, (double)s->step));
    return p - s->learning_rate * m / (sqrt(v) + s->eps);
}

/* g = scale * gradient + decay * p, in float: where the two cancel out, Adam and RMSprop make much of what rounding leaves. */
static float gradient_with_decay(const optimizer_step *s, float gradient, float parameter)
{
    const float scaled = gradient * (float)s->grad_scale;
    return s->decoupled ? scaled : scaled + parameter * (float)s->weight_decay;
}

static void check_optimizer(optimizer_step s, update *run, expected_update *expected)
{
    float *slots[2] = {new_zeros(s.count), new_zeros(s.count)};
    double *exact = allocate((size_t)s.count * 3 * sizeof(double));
    float *before = new_floats(s.count);
    s.parameters = new_random(s.count, 1.0f);
    s.slots[0] = slots[0];
    s.slots[1] = slots[1];
    for (int64_t i = 0; i < s.count; i++) exact[3 * i] = s.parameters[i], exact[3 * i + 1] = exact[3 * i + 2] = 0.0;
    for (s.step = 1; s.step <= STEPS; s.step++) {
        float *gradients = new_random(s.count, 2.0f);
        s.gradients = gradients;
        memcpy(before, s.parameters, (size_t)s.count * sizeof(float));
        run(&s);
        for (int64_t i = 0; i < s.count; i++) {
            const float g = gradient_with_decay(&s, gradients[i], before[i]);
            exact[3 * i] = expected(&s, exact[3 * i], g, exact + 3 * i + 1);
            check_close(s.parameters[i], exact[3 * i], (double)s.step, "a parameter", i);
        }
        free(gradients);
    }
    free(before);
    free(s.parameters);
    free(slots[0]);
    free(slots[1]);
    free(exact);
}

/* On up to three threads: the larger count is shared out, the smaller one is not worth it. */
static void test_optimizers(const kernels *isa, int64_t count, int threads)
{
    const optimizer_step plain = {.kernels = isa,
                                  .threads = threads,
                                  .count = count,
                                  .grad_scale = 0.7,
                                  .learning_rate = 0.01,
                                  .alpha = 0.95,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-8};
    for (int variant = 0; variant < 8; variant++) {
        optimizer_step s = plain;
        s.weight_decay = variant & 1 ? 0.1 : 0.0;
        s.momentum = variant & 2 ? 0.8 : 0.0;
        s.nesterov = variant == 6 || variant == 7;
        check_optimizer(s, cylstm_sgd, expected_sgd);
        check_optimizer(s, cylstm_rmsprop, expected_rmsprop);
        s.decoupled = s.nesterov;
        check_optimizer(s, cylstm_adam, expected_adam);
    }
}

/* ---- the norm ---- */

static double norm_of(const float *values, int64_t count, int threads)
{
    double *sums = allocate((size_t)cylstm_norm_blocks(count) * sizeof(double));
    const double norm = cylstm_global_norm(values, count, threads, sums);
    free(sums);
    return norm;
}

static void check_norm(int64_t count)
{
    float *values = new_random(count + 1, 3.0f);
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i] * values[i];
    const double norm = norm_of(values, count, 1);
    CHECK(fabs(norm - sqrt(sum)) <= 1e-12 * (1.0 + norm), "%lld values: %.17g, not %.17g", (long long)count, norm,
          sqrt(sum));
    CHECK(norm_of(values, count, 3) == norm, "the norm of %lld values differs on 3 threads", (long long)count);
    free(values);
}

static void test_the_global_norm(void)
{
    for (int64_t count = 0; count < 50; count++) check_norm(count);
    check_norm(65536);
    check_norm(450007);
    const float large[] = {3e38f, 2e38f};
    CHECK(isfinite(norm_of(large, 2, 1)), "the norm of large floats overflows");
}

static void test_clearing(void)
{
    for (int threads = 1; threads <= 3; threads++) {
        float *values = new_random(50001, 1.0f);
        cylstm_clear(values, 50000, threads);
        for (int i = 0; i < 50000; i++) CHECK(values[i] == 0.0f, "value %d on %d threads", i, threads);
        CHECK(values[50000] != 0.0f, "what is behind is cleared too");
        free(values);
    }
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    cylstm_set_thread_budget(3);
    for (int i = 0; i < trials(count); i++) {
        test_losses(isas[i]);
        test_optimizers(isas[i], 17, 3);
        test_optimizers(isas[i], 50001, 3);
    }
    test_a_loss_of_no_rows_is_zero();
    test_the_global_norm();
    test_clearing();
    return report("training");
}
