/* cylstm's streaming step as a C program has it: a file loaded, then one call a step. */
#include <stdlib.h>

#include "cylstm.h"

typedef struct stream {
    cylstm_model *model;
    cylstm_state *state;
} stream;

void core_free(void *made)
{
    stream *s = made;
    if (s == NULL) return;
    cylstm_state_free(s->state);
    cylstm_model_free(s->model);
    free(s);
}

/* A stream of one sequence through a saved layer, by the named kernels; NULL where that cannot be. */
void *core_make(const char *path, const char *kernels)
{
    const cylstm_load_options options = {.struct_size = sizeof options, .kernels = kernels};
    stream *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    if (cylstm_load(path, &options, &s->model, NULL, 0) == CYLSTM_OK &&
        cylstm_state_new(s->model, NULL, &s->state) == CYLSTM_OK)
        return s;
    core_free(s);
    return NULL;
}

/* x (steps, I) -> y (steps, H), one call a step. */
void core_run(void *made, const float *x, int64_t steps, float *y)
{
    stream *s = made;
    const int64_t inputs = cylstm_input_width(s->model), outputs = cylstm_output_width(s->model);
    for (int64_t t = 0; t < steps; t++) cylstm_step(s->state, x + t * inputs, y + t * outputs);
}
