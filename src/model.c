#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "memory.h"
#include "safetensors.h"
#include "system.h"

const char *cylstm_version(void)
{
    return CYLSTM_VERSION;
}

/* ---- memory, options ---- */

static void *allocate_by_malloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void release_by_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static void release_nothing(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

cylstm_allocator cylstm_allocator_or_default(const cylstm_allocator *a)
{
    if (a->allocate == NULL) return (cylstm_allocator){.allocate = allocate_by_malloc, .release = release_by_free};
    return (cylstm_allocator){a->allocate, a->release == NULL ? release_nothing : a->release, a->context};
}

int cylstm_read_struct(void *to, size_t to_size, const void *from)
{
    size_t size = 0;
    memset(to, 0, to_size);
    if (from == NULL) return 1;
    memcpy(&size, from, sizeof size);
    if (size < sizeof size) return 0;
    memcpy(to, from, size < to_size ? size : to_size);
    for (size_t i = to_size; i < size; i++) {
        if (((const char *)from)[i] != 0) return 0;
    }
    return 1;
}

/* ---- what a file says ---- */

enum {
    FORMAT,
    FORMAT_VERSION,
    CELL,
    POOLING,
    TASK,
    PYTHON,
    BIDIRECTIONAL,
    BIAS,
    INPUT_SIZE,
    VOCAB_SIZE,
    HIDDEN_SIZE,
    NUM_LAYERS,
    OUTPUT_SIZE,
    KEYS
};

enum { MOST_WORDS = 4, MOST_DIGITS = 9, MOST_LAYERS = 1024 };

/* Of the file's format: from version 2 on, scales may be doubles. */
enum { LATEST_VERSION = 2 };

/* Each key with the words it can have, in the order of their enumerators; with none, an integer. */
static const struct {
    const char *name, *words[MOST_WORDS];
} keys[KEYS] = {
    [FORMAT] = {"format", {"cylstm"}},
    [FORMAT_VERSION] = {"format_version", {0}},
    [CELL] = {"cell", {"lstm", "rnn_tanh", "rnn_relu"}},
    [POOLING] = {"pooling", {"none", "last", "mean", "max"}},
    [TASK] = {"task", {"none", "classification", "regression", "language"}},
    [PYTHON] = {"python", {0}},
    [BIDIRECTIONAL] = {"bidirectional", {"0", "1"}},
    [BIAS] = {"bias", {"0", "1"}},
    [INPUT_SIZE] = {"input_size", {0}},
    [VOCAB_SIZE] = {"vocab_size", {0}},
    [HIDDEN_SIZE] = {"hidden_size", {0}},
    [NUM_LAYERS] = {"num_layers", {0}},
    [OUTPUT_SIZE] = {"output_size", {0}},
};

/* The tensors beside the network's, by index after those. */
enum { INPUT_MEAN, INPUT_STD, OUTPUT_MEAN, OUTPUT_STD, SCALES };
static const char *const scale_names[SCALES] = {"input_scale.mean", "input_scale.std", "output_scale.mean",
                                                "output_scale.std"};

typedef struct place {
    int64_t begin, end; /* bytes in the file's data; end 0: not there */
    int is_wide;        /* doubles, as scales can be */
} place;

typedef struct loader {
    message message;
    cylstm_load_options options;
    cylstm_allocator allocator;
    safetensors file; /* its data are not in memory where there is a stream */
    FILE *stream; /* of which tensors are read one by one; NULL: they are in memory */
    float *buffer; /* for one tensor; NULL: all can be read where they lie */
    int64_t values[KEYS]; /* -1: not seen */
    int of_format; /* read are now the first keys, which say whether the others can be read; else the others */
    network net;
    int64_t count; /* of the network's tensors */
    place *places; /* (count + SCALES) */
} loader;

static int read_digits(const word *value, int64_t *number)
{
    const size_t digits = strlen(value->text);
    if (digits == 0 || digits > MOST_DIGITS || strspn(value->text, "0123456789") != digits) return 0;
    *number = strtol(value->text, NULL, 10);
    return 1;
}

static int read_value(int key, const word *value, int64_t *number)
{
    *number = 0;
    if (key == PYTHON) return 1;
    if (keys[key].words[0] == NULL) return read_digits(value, number);
    for (; *number < MOST_WORDS && keys[key].words[*number] != NULL; ++*number) {
        if (strcmp(keys[key].words[*number], value->text) == 0) return 1;
    }
    return 0;
}

static cylstm_status read_metadata_word(void *context, const word *key, const word *value)
{
    loader *l = context;
    int k = 0;
    while (k < KEYS && strcmp(keys[k].name, key->text) != 0) k++;
    if ((k <= FORMAT_VERSION) != l->of_format) return CYLSTM_OK;
    if (k == KEYS) return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata: unknown key %s", key->text);
    if (l->values[k] >= 0) return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata %s: there twice", key->text);
    if (read_value(k, value, &l->values[k])) return CYLSTM_OK;
    return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata %s: unexpected value %s", key->text, value->text);
}

/* All keys from `first` to `last`, in whatever order the file has them. */
static cylstm_status read_keys(loader *l, int first, int last)
{
    const visitor words = {.word = read_metadata_word, .context = l};
    for (int k = first; k <= last; k++) l->values[k] = -1;
    l->of_format = first == FORMAT;
    const cylstm_status status = cylstm_safetensors_visit(&l->file, &words, l->message);
    if (status != CYLSTM_OK) return status;
    for (int k = first; k <= last; k++) {
        if (l->values[k] < 0)
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "expected a cylstm model: no metadata %s", keys[k].name);
    }
    return CYLSTM_OK;
}

/* Whether this library reads the file's version of the format. */
static cylstm_status check_version(const loader *l)
{
    const int64_t version = l->values[FORMAT_VERSION];
    if (version >= 1 && version <= LATEST_VERSION) return CYLSTM_OK;
    if (version < 1)
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata format_version: unexpected value %lld",
                           (long long)version);
    return cylstm_fail(
        l->message, CYLSTM_UNSUPPORTED,
        "metadata format_version: the file is of a later version of the format, %lld; cylstm %s reads 1 to %d",
        (long long)version, CYLSTM_VERSION, LATEST_VERSION);
}

/* Which of the scales has this name; SCALES: none. */
static int find_scale(const char *name)
{
    int i = 0;
    while (i < SCALES && strcmp(scale_names[i], name) != 0) i++;
    return i;
}

static int has_doubles(const entry *e)
{
    return strcmp(e->dtype.text, "F64") == 0;
}

static cylstm_status check_type(void *context, const entry *e)
{
    const loader *l = context;
    const int can_be_wide = l->values[FORMAT_VERSION] > 1 && find_scale(e->name.text) < SCALES;
    if (strcmp(e->dtype.text, "F32") == 0 || (can_be_wide && has_doubles(e))) return CYLSTM_OK;
    return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: expected F32, got %s", e->name.text, e->dtype.text);
}

/* What the metadata say, where the tensors are of the type that this library computes with. */
static cylstm_status read_header(loader *l)
{
    const visitor types = {.tensor = check_type, .context = l};
    cylstm_status status = read_keys(l, FORMAT, FORMAT_VERSION);
    if (status == CYLSTM_OK) status = check_version(l);
    if (status == CYLSTM_OK) status = read_keys(l, CELL, KEYS - 1);
    return status == CYLSTM_OK ? cylstm_safetensors_visit(&l->file, &types, l->message) : status;
}

/* Whether a layer has nothing but itself, and a model what its task needs. */
static int suits_task(const int64_t *values)
{
    const int64_t task = values[TASK], outputs = values[OUTPUT_SIZE];
    if (task == CYLSTM_TASK_NONE) return outputs == 0 && values[VOCAB_SIZE] == 0;
    if (outputs == 0 || !values[BIAS]) return 0;
    if (task != CYLSTM_TASK_LANGUAGE) return 1;
    return outputs == values[VOCAB_SIZE] && values[POOLING] == CYLSTM_POOL_NONE && !values[BIDIRECTIONAL];
}

/* The network that the metadata describe, as far as the file is large enough for its weights. */
static cylstm_status read_network(loader *l, const kernels *isa)
{
    const cylstm_status status = read_header(l);
    if (status != CYLSTM_OK) return status;
    const cylstm_config config = {
        .struct_size = sizeof config,
        .cell = (int32_t)l->values[CELL],
        .pooling = (int32_t)l->values[POOLING],
        .bidirectional = (int32_t)l->values[BIDIRECTIONAL],
        .bias = (int32_t)l->values[BIAS],
        .vocab_size = l->values[VOCAB_SIZE],
        .input_size = l->values[INPUT_SIZE],
        .hidden_size = l->values[HIDDEN_SIZE],
        .num_layers = l->values[NUM_LAYERS],
        .output_size = l->values[OUTPUT_SIZE],
    };
    if (config.num_layers > MOST_LAYERS || cylstm_network_init(&l->net, &config, isa) != CYLSTM_OK)
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata: sizes that no network can have");
    if (!suits_task(l->values))
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata: a network that task %s does not have",
                           keys[TASK].words[l->values[TASK]]);
    const int64_t there = l->file.data_size / (int64_t)sizeof(float);
    if (l->net.layout.parameter_count > there) {
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "metadata: sizes that need %lld weights, the file holds %lld",
                           (long long)l->net.layout.parameter_count, (long long)there);
    }
    l->count = cylstm_layout_tensor_count(&l->net.layout);
    return CYLSTM_OK;
}

/* ---- where its tensors lie ---- */

static int64_t find_tensor(const loader *l, const char *name)
{
    const int scale = find_scale(name);
    return scale < SCALES ? l->count + scale : cylstm_layout_find(&l->net.layout, name);
}

/* Rows and columns that the tensor of this index has to have; columns 0: a vector. */
static tensor expected_tensor(const loader *l, int64_t index)
{
    const cylstm_config *c = &l->net.layout.config;
    if (index < l->count) return cylstm_layout_tensor(&l->net.layout, index);
    return (tensor){.rows = index - l->count < OUTPUT_MEAN ? c->input_size : c->output_size};
}

static cylstm_status locate(void *context, const entry *e)
{
    loader *l = context;
    const char *name = e->name.text;
    const int64_t index = find_tensor(l, name);
    if (index < 0) return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: no tensor of this network", name);
    if (l->places[index].end > 0) return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: there twice", name);
    const tensor t = expected_tensor(l, index);
    const int matrix = t.columns > 0;
    if (e->rank != 1 + matrix || e->shape[0] != t.rows || (matrix && e->shape[1] != t.columns))
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: not of the shape that the metadata ask for", name);
    const int64_t width = has_doubles(e) ? sizeof(double) : sizeof(float);
    const int64_t size = t.rows * (matrix ? t.columns : 1) * width;
    if (e->begin < 0 || e->end > l->file.data_size || e->end - e->begin != size || size == 0)
        return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: its bytes are not as many as its shape has", name);
    l->places[index] = (place){e->begin, e->end, has_doubles(e)};
    return CYLSTM_OK;
}

static int64_t tensor_size(const loader *l, int64_t index)
{
    return l->places[index].end - l->places[index].begin;
}

static cylstm_status copy_tensor(const loader *l, int64_t index, void *to)
{
    const int64_t begin = l->places[index].begin, data_begin = cylstm_safetensors_data_begin(&l->file);
    const size_t size = (size_t)tensor_size(l, index);
    if (l->stream == NULL) {
        memcpy(to, l->file.data + begin, size);
        return CYLSTM_OK;
    }
    if (cylstm_seek(l->stream, data_begin + begin) && fread(to, 1, size, l->stream) == size) return CYLSTM_OK;
    return cylstm_fail(l->message, CYLSTM_CANNOT_READ, "cannot read all of the file");
}

/* Where a tensor can be read until the next one is asked for; NULL: not there. */
static cylstm_status bring(const loader *l, int64_t index, const float **tensor)
{
    *tensor = NULL;
    if (tensor_size(l, index) == 0) return CYLSTM_OK;
    *tensor = l->buffer;
    if (l->buffer != NULL) return copy_tensor(l, index, l->buffer);
    *tensor = (const float *)(const void *)(l->file.data + l->places[index].begin);
    return CYLSTM_OK;
}

/* By its bits, since arithmetic and comparisons with a NaN or infinity end a program that has told the processor to trap
 * them. */
static int is_finite(uint64_t bits, int is_wide)
{
    const uint64_t exponent = is_wide ? UINT64_C(0x7FF0000000000000) : UINT64_C(0x7F800000);
    return (bits & exponent) != exponent;
}

/* From the least denormal number on. */
static int is_positive(uint64_t bits, int is_wide)
{
    return bits != 0 && bits >> (is_wide ? 63 : 31) == 0;
}

static uint64_t bits_of(const char *number, int is_wide)
{
    uint64_t wide;
    uint32_t narrow;
    memcpy(&narrow, number, sizeof narrow);
    if (!is_wide) return narrow;
    memcpy(&wide, number, sizeof wide);
    return wide;
}

static int is_sound(const char *values, int64_t size, int is_wide, int is_std)
{
    const int64_t width = is_wide ? sizeof(double) : sizeof(float);
    for (int64_t at = 0; at < size; at += width) {
        const uint64_t bits = bits_of(values + at, is_wide);
        if (!is_finite(bits, is_wide) || (is_std && !is_positive(bits, is_wide))) return 0;
    }
    return 1;
}

/* All of a network's tensors, and means and deviations only together, only where there is something to scale. */
static cylstm_status check_presence(const loader *l)
{
    const place *scales = l->places + l->count;
    for (int64_t i = 0; i < l->count; i++) {
        if (l->places[i].end == 0) {
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: not in the file",
                               cylstm_layout_tensor(&l->net.layout, i).name);
        }
    }
    for (int i = 0; i < SCALES; i++) {
        const int64_t task = l->values[TASK];
        const int sensible = i < OUTPUT_MEAN ? task != CYLSTM_TASK_NONE && l->values[VOCAB_SIZE] == 0
                                             : task == CYLSTM_TASK_REGRESSION;
        const int there = scales[i].end > 0, other = scales[i ^ 1].end > 0;
        if (there != other || (there && !sensible))
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: one without the other, or out of place",
                               scale_names[i]);
        if (scales[i].is_wide != scales[i ^ 1].is_wide)
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: not of the type of the other", scale_names[i]);
    }
    return CYLSTM_OK;
}

static cylstm_status check_scales(const loader *l)
{
    for (int i = 0; i < SCALES; i++) {
        const float *values;
        const int64_t index = l->count + i;
        const cylstm_status status = bring(l, index, &values);
        if (status != CYLSTM_OK) return status;
        if (!is_sound((const char *)values, tensor_size(l, index), l->places[index].is_wide,
                      i == INPUT_STD || i == OUTPUT_STD))
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%s: expected finite numbers, deviations above 0",
                               scale_names[i]);
    }
    return CYLSTM_OK;
}

static int by_begin(const void *a, const void *b)
{
    const int64_t left = ((const place *)a)->begin, right = ((const place *)b)->begin;
    return (left > right) - (left < right);
}

/* Side by side, from the first byte to the last: none overlaps another, and none is hidden between them. */
static cylstm_status check_places(loader *l, place *sorted)
{
    int64_t end = 0;
    memcpy(sorted, l->places, (size_t)(l->count + SCALES) * sizeof(place));
    qsort(sorted, (size_t)(l->count + SCALES), sizeof(place), by_begin);
    for (int64_t i = 0; i < l->count + SCALES; i++) {
        if (sorted[i].end == 0) continue;
        if (sorted[i].begin != end)
            return cylstm_fail(l->message, CYLSTM_BAD_FILE, "tensors that overlap, or with gaps");
        end = sorted[i].end;
    }
    if (end == l->file.data_size) return CYLSTM_OK;
    return cylstm_fail(l->message, CYLSTM_BAD_FILE, "%lld bytes after the last tensor",
                       (long long)(l->file.data_size - end));
}

static cylstm_status read_tensors(loader *l)
{
    const visitor tensors = {.tensor = locate, .context = l};
    memset(l->places, 0, (size_t)(l->count + SCALES) * sizeof(place));
    cylstm_status status = cylstm_safetensors_visit(&l->file, &tensors, l->message);
    if (status == CYLSTM_OK) status = check_places(l, l->places + l->count + SCALES);
    return status == CYLSTM_OK ? check_presence(l) : status;
}

/* ---- the model ---- */

/* What calls read of the file itself: the embedding, scales and, for sgemm, weights. */
static int is_kept(const loader *l, int64_t index)
{
    if (index >= l->count) return 1;
    if (index == 0 && l->net.layout.config.vocab_size > 0) return 1;
    return l->options.sgemm != NULL && cylstm_layout_tensor(&l->net.layout, index).columns > 0;
}

/* Where calls will find it: borrowed, or copied into the arena. */
static cylstm_status keep(const loader *l, int64_t index, arena *a, const float **tensor)
{
    const int64_t size = tensor_size(l, index);
    if (size == 0 || l->options.borrow) return bring(l, index, tensor);
    float *copy = cylstm_arena_take(a, size, 1);
    *tensor = copy;
    return copy == NULL ? CYLSTM_OK : copy_tensor(l, index, copy);
}

typedef struct kept_scale {
    const float *narrow;
    const double *wide;
} kept_scale;

/* One of the two; doubles are copied even where the rest is borrowed, which need not be aligned for them. */
static cylstm_status keep_scale(const loader *l, int64_t index, arena *a, kept_scale *scale)
{
    *scale = (kept_scale){NULL, NULL};
    if (!l->places[index].is_wide) return keep(l, index, a, &scale->narrow);
    double *copy = cylstm_arena_take(a, tensor_size(l, index), 1);
    scale->wide = copy;
    return copy == NULL ? CYLSTM_OK : copy_tensor(l, index, copy);
}

/* Keeps a tensor of the network, packs it, or both, and forgets where it was if it does not stay there. */
static cylstm_status place_tensor(const loader *l, int64_t index, arena *a, weights *w)
{
    const layout *of = &l->net.layout;
    const int kept = is_kept(l, index), counts_only = w == NULL;
    const float *tensor = NULL;
    cylstm_status status = CYLSTM_OK;
    if (kept) {
        status = keep(l, index, a, &tensor);
    } else if (!counts_only) {
        status = bring(l, index, &tensor);
    }
    if (counts_only || status != CYLSTM_OK) return status;
    cylstm_weights_set(w, of, index, tensor);
    cylstm_weights_pack_tensor(w, of, l->net.kernels, index);
    if (!kept && !l->options.borrow) cylstm_weights_set(w, of, index, NULL);
    return CYLSTM_OK;
}

/* All of a model, in an arena that only counts while it has no base. */
static cylstm_status place_model(const loader *l, arena *a, cylstm_model **model)
{
    cylstm_model *m = cylstm_arena_take(a, 1, sizeof *m);
    weights counted;
    kept_scale scales[SCALES];
    cylstm_status status = CYLSTM_OK;
    if (m != NULL) *m = (cylstm_model){.net = l->net};
    cylstm_weights_place(m == NULL ? &counted : &m->net.weights, &l->net.layout, a, NULL);
    for (int64_t i = 0; i < l->count && status == CYLSTM_OK; i++)
        status = place_tensor(l, i, a, m == NULL ? NULL : &m->net.weights);
    for (int i = 0; i < SCALES && status == CYLSTM_OK; i++) status = keep_scale(l, l->count + i, a, &scales[i]);
    *model = m;
    if (m == NULL || status != CYLSTM_OK) return status;
    m->net.input_mean = scales[INPUT_MEAN].narrow;
    m->net.input_std = scales[INPUT_STD].narrow;
    m->net.wide_mean = scales[INPUT_MEAN].wide;
    m->net.wide_std = scales[INPUT_STD].wide;
    m->output_mean = scales[OUTPUT_MEAN].narrow;
    m->output_std = scales[OUTPUT_STD].narrow;
    m->wide_mean = scales[OUTPUT_MEAN].wide;
    m->wide_std = scales[OUTPUT_STD].wide;
    return CYLSTM_OK;
}

static cylstm_status make_model(const loader *l, cylstm_model **model)
{
    arena a = {NULL, 0};
    cylstm_model *m;
    (void)place_model(l, &a, &m);
    const int64_t size = a.used, to_allocate = cylstm_memory_to_allocate(size);
    void *block = (uint64_t)to_allocate > SIZE_MAX || to_allocate == INT64_MAX
                      ? NULL
                      : l->allocator.allocate(l->allocator.context, (size_t)to_allocate);
    if (block == NULL) {
        return cylstm_fail(l->message, CYLSTM_OUT_OF_MEMORY, "no memory for a model of %lld bytes", (long long)size);
    }
    a = (arena){cylstm_memory_begin(block, size), 0};
    const uint64_t mode = cylstm_set_ieee_mode(); /* biases are added */
    const cylstm_status status = place_model(l, &a, &m);
    cylstm_restore_mode(mode);
    if (status != CYLSTM_OK) {
        l->allocator.release(l->allocator.context, block);
        return status;
    }
    m->blas = (blas){l->options.sgemm, l->options.sgemm_context};
    m->task = (cylstm_task)l->values[TASK];
    m->bytes = to_allocate;
    m->allocator = l->allocator;
    m->block = block;
    *model = m;
    return CYLSTM_OK;
}

static void log_model(const loader *l, const cylstm_model *m)
{
    char text[160];
    if (l->options.log == NULL) return;
    (void)snprintf(text, sizeof text, "loaded %s, %lld parameters, %lld bytes, %s kernels",
                   keys[CELL].words[l->values[CELL]], (long long)m->net.layout.parameter_count, (long long)m->bytes,
                   m->net.kernels->name);
    l->options.log(l->options.log_context, text);
}

/* Room for the largest tensor where they cannot be read as they lie: in a file, or at an odd place, since the format does not
 * ask for any. */
static cylstm_status make_buffer(loader *l)
{
    int64_t largest = 0;
    if (l->stream == NULL && (uintptr_t)l->file.data % sizeof(float) == 0) return CYLSTM_OK;
    if (l->options.borrow)
        return cylstm_fail(l->message, CYLSTM_INVALID_ARGUMENT,
                           "data: expected tensors aligned to 4 bytes to be borrowed");
    for (int64_t i = 0; i < l->count + SCALES; i++) {
        if (tensor_size(l, i) > largest) largest = tensor_size(l, i);
    }
    l->buffer = l->allocator.allocate(l->allocator.context, (size_t)largest);
    if (l->buffer != NULL) return CYLSTM_OK;
    return cylstm_fail(l->message, CYLSTM_OUT_OF_MEMORY, "no memory for a tensor of %lld bytes", (long long)largest);
}

/* Reads where the tensors lie, then makes the model of them. */
static cylstm_status load_tensors(loader *l, cylstm_model **model)
{
    const size_t size = 2 * (size_t)(l->count + SCALES) * sizeof(place);
    l->places = l->allocator.allocate(l->allocator.context, size);
    if (l->places == NULL) return cylstm_fail(l->message, CYLSTM_OUT_OF_MEMORY, "no memory to read the file's header");
    cylstm_status status = read_tensors(l);
    if (status == CYLSTM_OK) status = make_buffer(l);
    if (status == CYLSTM_OK) status = check_scales(l);
    if (status == CYLSTM_OK) status = make_model(l, model);
    if (l->buffer != NULL) l->allocator.release(l->allocator.context, l->buffer);
    l->allocator.release(l->allocator.context, l->places);
    return status;
}

static cylstm_status load_from(loader *l, const void *data, size_t size, cylstm_model **model)
{
    const kernels *isa = l->options.kernels == NULL ? cylstm_kernels_best() : cylstm_kernels_named(l->options.kernels);
    if (isa == NULL)
        return cylstm_fail(l->message, CYLSTM_UNSUPPORTED, "kernels %s: unknown, or not for this processor",
                           l->options.kernels);
    cylstm_status status = cylstm_safetensors_open(&l->file, data, size, l->message);
    if (status == CYLSTM_OK) status = read_network(l, isa);
    if (status == CYLSTM_OK) status = load_tensors(l, model);
    if (status == CYLSTM_OK) log_model(l, *model);
    return status;
}

/* The caller's options; 0: they make no sense. */
static int start(loader *l, const cylstm_load_options *options, cylstm_model **model, char *text, size_t text_size)
{
    *l = (loader){.message = {text, text_size}};
    *model = NULL;
    if (text != NULL && text_size > 0) text[0] = '\0';
    if (!cylstm_read_struct(&l->options, sizeof l->options, options)) {
        cylstm_fail(l->message, CYLSTM_INVALID_ARGUMENT,
                    "options: expected struct_size to be set, and no member that only a later version has");
        return 0;
    }
    l->allocator = cylstm_allocator_or_default(&l->options.allocator);
    return 1;
}

cylstm_status cylstm_load_memory(const void *data, size_t size, const cylstm_load_options *options,
                                 cylstm_model **model, char *text, size_t text_size)
{
    loader l;
    if (!start(&l, options, model, text, text_size)) return CYLSTM_INVALID_ARGUMENT;
    return load_from(&l, data, size, model);
}

/* How long a file is that can be read; -1 for a folder, say. */
static int64_t readable_size(FILE *file)
{
    char first[8];
    if (fread(first, 1, sizeof first, file) == 0 && ferror(file)) return -1;
    const int64_t size = cylstm_file_size(file);
    return cylstm_seek(file, 0) ? size : -1;
}

/* Loads from a file of `size` bytes at its beginning. Nothing but the header, and then one tensor, is in memory beside the model:
 * what the header describes is known to fit into the file before memory is taken for it. */
static cylstm_status load_stream(loader *l, size_t size, cylstm_model **model)
{
    unsigned char first[8] = {0};
    const size_t there = fread(first, 1, sizeof first, l->stream);
    const size_t header_size = cylstm_safetensors_header_end(first, there, size);
    char *header = l->allocator.allocate(l->allocator.context, header_size + 1);
    if (header == NULL) return cylstm_fail(l->message, CYLSTM_OUT_OF_MEMORY, "no memory to read the file's header");
    cylstm_status status = CYLSTM_CANNOT_READ;
    if (cylstm_seek(l->stream, 0) && fread(header, 1, header_size, l->stream) == header_size) {
        status = load_from(l, header, size, model);
    } else {
        cylstm_fail(l->message, status, "cannot read the file's header");
    }
    l->allocator.release(l->allocator.context, header);
    return status;
}

cylstm_status cylstm_load(const char *path, const cylstm_load_options *options, cylstm_model **model, char *text,
                          size_t text_size)
{
    loader l;
    if (!start(&l, options, model, text, text_size)) return CYLSTM_INVALID_ARGUMENT;
    l.options.borrow = 0; /* what is read here does not stay */
    l.stream = cylstm_open(path);
    if (l.stream == NULL) return cylstm_fail(l.message, CYLSTM_CANNOT_READ, "cannot open %s", path);
    const int64_t size = readable_size(l.stream);
    const int readable = size >= 0 && (uint64_t)size < SIZE_MAX;
    const cylstm_status status = readable ? load_stream(&l, (size_t)size, model)
                                          : cylstm_fail(l.message, CYLSTM_CANNOT_READ, "cannot read %s", path);
    fclose(l.stream);
    return status;
}

void cylstm_model_free(cylstm_model *model)
{
    if (model != NULL) model->allocator.release(model->allocator.context, model->block);
}

/* ---- what it is ---- */

int64_t cylstm_input_width(const cylstm_model *model)
{
    const cylstm_config *c = &model->net.layout.config;
    return c->vocab_size > 0 ? 1 : c->input_size;
}

int64_t cylstm_output_width(const cylstm_model *model)
{
    const layout *l = &model->net.layout;
    return l->config.output_size > 0 ? l->config.output_size : l->width;
}

const cylstm_config *cylstm_model_config(const cylstm_model *model)
{
    return &model->net.layout.config;
}

cylstm_task cylstm_model_task(const cylstm_model *model)
{
    return model->task;
}

const char *cylstm_model_kernels(const cylstm_model *model)
{
    return model->net.kernels->name;
}

int64_t cylstm_model_bytes(const cylstm_model *model)
{
    return model->bytes;
}

/* value = score * std + mean, in doubles where the scale is, else in floats */
static double value_of(const cylstm_model *model, float score, int64_t output)
{
    if (model->wide_std != NULL) return (double)score * model->wide_std[output] + model->wide_mean[output];
    if (model->output_std == NULL) return (double)score;
    const float scaled = score * model->output_std[output];
    return (double)(scaled + model->output_mean[output]);
}

void cylstm_values(const cylstm_model *model, int64_t rows, const float *scores, float *values)
{
    const int64_t width = cylstm_output_width(model);
    const uint64_t mode = cylstm_set_ieee_mode();
    for (int64_t i = 0; i < rows * width; i++) values[i] = (float)value_of(model, scores[i], i % width);
    cylstm_restore_mode(mode);
}

void cylstm_values_doubles(const cylstm_model *model, int64_t rows, const float *scores, double *values)
{
    const int64_t width = cylstm_output_width(model);
    const uint64_t mode = cylstm_set_ieee_mode();
    for (int64_t i = 0; i < rows * width; i++) values[i] = value_of(model, scores[i], i % width);
    cylstm_restore_mode(mode);
}
