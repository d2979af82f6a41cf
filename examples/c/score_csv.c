/*
 * Score a table from standard input, row by row as rows come in: numbers separated by commas, a line for each step,
 * after a line of names if there is one. Prints a line of outputs for each.
 *
 *     cc -std=c99 score_csv.c $(cylstm config --cflags --libs) -o score_csv
 *     ./score_csv model.safetensors < table.csv
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "cylstm.h"

enum { LONGEST_LINE = 65536 };

/* The line's numbers; 0 where it has other things, or not so many. */
static int read_row(const char *line, double *row, int64_t width)
{
    char *end;
    for (int64_t i = 0; i < width; i++) {
        row[i] = strtod(line, &end);
        if (end == line || (i + 1 < width && *end != ',')) return 0;
        line = end + 1;
    }
    while (isspace((unsigned char)*end)) end++;
    return *end == '\0';
}

/* A line of names, which begins with no number; "inflow" does not, though "inf" is one. */
static int is_head(const char *line)
{
    char *end;
    (void)strtof(line, &end);
    return end == line || (isalpha((unsigned char)*line) && !isspace((unsigned char)*end) && *end != ',');
}

static void print_row(const double *row, int64_t width)
{
    for (int64_t i = 0; i < width; i++) printf(i + 1 < width ? "%.12g," : "%.12g\n", row[i]);
}

/* Doubles: a table may hold coordinates or seconds, which floats round before the model can take their mean away. */
static int score(const cylstm_model *model, cylstm_state *state, double *x, float *y, double *values)
{
    static char line[LONGEST_LINE];
    const int64_t inputs = cylstm_input_width(model), outputs = cylstm_output_width(model);
    for (long number = 1; fgets(line, sizeof line, stdin) != NULL; number++) {
        if (!read_row(line, x, inputs)) {
            if (number == 1 && is_head(line)) continue;
            fprintf(stderr, "line %ld: expected %ld numbers\n", number, (long)inputs);
            return 1;
        }
        const cylstm_status status = cylstm_step_doubles(state, x, y);
        if (status != CYLSTM_OK) {
            fprintf(stderr, "line %ld: %s\n", number, cylstm_status_name(status));
            return 1;
        }
        cylstm_values_doubles(model, 1, y, values);
        print_row(values, outputs);
        if (fflush(stdout) != 0) break; /* who reads it gets a row before the next one comes, through a pipe too */
    }
    if (ferror(stdin) || ferror(stdout)) {
        perror("standard input or output");
        return 1;
    }
    return 0;
}

/* A model that scores rows of numbers as they come, or NULL. */
static cylstm_model *open_model(const char *path)
{
    char message[200];
    cylstm_model *model;
    if (cylstm_load(path, NULL, &model, message, sizeof message) != CYLSTM_OK) {
        fprintf(stderr, "%s: %s\n", path, message);
        return NULL;
    }
    const cylstm_config *c = cylstm_model_config(model);
    if (c->vocab_size == 0 && !c->bidirectional) return model;
    fprintf(stderr, "%s: expected a model of numbers, in one direction\n", path);
    cylstm_model_free(model);
    return NULL;
}

int main(int argc, char **argv)
{
    cylstm_state *state = NULL;
    int failed = 1;
    if (argc != 2) {
        fprintf(stderr, "usage: %s model.safetensors < table.csv\n", argv[0]);
        return 2;
    }
    cylstm_model *model = open_model(argv[1]);
    if (model == NULL) return 1;
    double *x = malloc((size_t)cylstm_input_width(model) * sizeof *x);
    float *y = malloc((size_t)cylstm_output_width(model) * sizeof *y);
    double *values = malloc((size_t)cylstm_output_width(model) * sizeof *values);
    if (x != NULL && y != NULL && values != NULL && cylstm_state_new(model, NULL, &state) == CYLSTM_OK) {
        failed = score(model, state, x, y, values);
    } else {
        fprintf(stderr, "no memory\n");
    }
    cylstm_state_free(state);
    cylstm_model_free(model);
    free(x);
    free(y);
    free(values);
    return failed;
}
