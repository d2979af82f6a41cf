/* A model file in memory, as Python writes it, from a test's network. */
#ifndef CYLSTM_TESTS_FILE_H
#define CYLSTM_TESTS_FILE_H

#include "model.h"

typedef enum scaling { UNSCALED = 0, SCALED_BY_FLOATS, SCALED_BY_DOUBLES } scaling;

typedef struct file {
    char *bytes; /* aligned as malloc's */
    size_t size;
    int64_t header; /* bytes before the tensors */
    scaling scaled; /* inputs and outputs: a regression */
    float *scale;   /* input mean (I), input std (I), output mean (O), output std (O) */
} file;

static inline void add_text(char *header, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsprintf(header + strlen(header), format, arguments);
    va_end(arguments);
}

static inline void add_tensor(char *header, const char *name, int width, int64_t rows, int64_t columns, int64_t *offset)
{
    const int64_t size = rows * (columns > 0 ? columns : 1) * width;
    add_text(header, ",\"%s\":{\"dtype\":\"F%d\",\"shape\":[%lld", name, 8 * width, (long long)rows);
    if (columns > 0) add_text(header, ",%lld", (long long)columns);
    add_text(header, "],\"data_offsets\":[%lld,%lld]}", (long long)*offset, (long long)(*offset + size));
    *offset += size;
}

/* Where there is a head, the task is a regression with scales, else a classification. */
static inline file new_file(const model *m, scaling scaled)
{
    static const char *const cells[] = {"lstm", "rnn_tanh", "rnn_relu"}, *const poolings[] = {"none", "last", "mean",
                                                                                              "max"};
    const layout *l = &m->net.layout;
    const cylstm_config *c = &l->config;
    const int64_t tensors = cylstm_layout_tensor_count(l), scales = c->input_size + c->output_size;
    const int can_be_scaled = c->vocab_size == 0 && c->output_size > 0;
    file f = {.scaled = can_be_scaled ? scaled : UNSCALED, .scale = new_random(2 * scales, 1.0f)};
    const int width = f.scaled == SCALED_BY_DOUBLES ? 8 : 4;
    char *header = allocate((size_t)(2000 + 200 * tensors));
    int64_t offset = 0;
    strcpy(header, "{\"__metadata__\":{\"format\":\"cylstm\",");
    add_text(header, "\"format_version\":\"%d\",", f.scaled == SCALED_BY_DOUBLES ? 2 : 1);
    add_text(header, "\"cell\":\"%s\",\"pooling\":\"%s\",\"task\":\"%s\",", cells[c->cell], poolings[c->pooling],
             c->output_size == 0 ? "none"
             : f.scaled          ? "regression"
                                 : "classification");
    add_text(header, "\"input_size\":\"%lld\",\"vocab_size\":\"%lld\",\"hidden_size\":\"%lld\",",
             (long long)c->input_size, (long long)c->vocab_size, (long long)c->hidden_size);
    add_text(header, "\"num_layers\":\"%lld\",\"output_size\":\"%lld\",\"bidirectional\":\"%d\",\"bias\":\"%d\",",
             (long long)c->num_layers, (long long)c->output_size, c->bidirectional, c->bias);
    add_text(header, "\"python\":\"{\\\"seed\\\": 1, \\\"classes\\\": [\\\"\\u00e9\\\"]}\"}");
    for (int64_t i = 0; i < tensors; i++) {
        const tensor t = cylstm_layout_tensor(l, i);
        add_tensor(header, t.name, 4, t.rows, t.columns, &offset);
    }
    if (f.scaled) {
        for (int64_t i = 0; i < c->input_size; i++)
            f.scale[c->input_size + i] = 0.5f + fabsf(f.scale[c->input_size + i]);
        for (int64_t i = 0; i < c->output_size; i++) {
            float *std = f.scale + 2 * c->input_size + c->output_size + i;
            *std = 0.5f + fabsf(*std);
        }
        add_tensor(header, "input_scale.mean", width, c->input_size, 0, &offset);
        add_tensor(header, "input_scale.std", width, c->input_size, 0, &offset);
        add_tensor(header, "output_scale.mean", width, c->output_size, 0, &offset);
        add_tensor(header, "output_scale.std", width, c->output_size, 0, &offset);
    }
    add_text(header, "}");
    while (strlen(header) % 8 > 0) add_text(header, " ");
    const uint64_t length = strlen(header);
    f.header = 8 + (int64_t)length;
    f.size = (size_t)f.header + (size_t)offset;
    f.bytes = allocate(f.size);
    memcpy(f.bytes, &length, 8);
    memcpy(f.bytes + 8, header, length);
    float *to = (float *)(void *)(f.bytes + f.header);
    memcpy(to, m->parameters, (size_t)l->parameter_count * 4);
    if (f.scaled == SCALED_BY_FLOATS) memcpy(to + l->parameter_count, f.scale, (size_t)(2 * scales) * 4);
    for (int64_t i = 0; f.scaled == SCALED_BY_DOUBLES && i < 2 * scales; i++) {
        const double number = (double)f.scale[i];
        memcpy(to + l->parameter_count + 2 * i, &number, 8);
    }
    free(header);
    return f;
}

static inline void free_file(file *f)
{
    free(f->bytes);
    free(f->scale);
}

#endif
