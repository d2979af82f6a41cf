/* How long each step takes by itself: means of loops do not show the slow ones. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <stdint.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* x (steps, I) -> y (steps, H), by core_run or eigen_run for one step at a time; seconds (steps), one reading of the clock
 * counted in each. */
void time_each(void (*run)(void *made, const float *x, int64_t steps, float *y), void *made, int64_t inputs,
               int64_t hidden, const float *x, int64_t steps, float *y, double *seconds)
{
    double last = now();
    for (int64_t t = 0; t < steps; t++) {
        run(made, x + t * inputs, 1, y + t * hidden);
        const double then = last;
        last = now();
        seconds[t] = last - then;
    }
}
