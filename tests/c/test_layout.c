/*
 * Sizes and offsets: nothing overlaps, nothing is left out, nothing wraps.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_layout.c libcylstm.a -lm -o test_layout && ./test_layout
 */
#include "check.h"

#include "layout.h"
#include "memory.h"

static cylstm_config small_config(void)
{
    return (cylstm_config){
        .struct_size = sizeof(cylstm_config), .bias = 1, .input_size = 3, .hidden_size = 5, .num_layers = 1};
}

/* ---- arithmetic that saturates ---- */

static void test_arithmetic_saturates(void)
{
    const int64_t most = INT64_MAX;
    CHECK(cylstm_product(3, 7) == 21 && cylstm_product(0, most) == 0 && cylstm_product(most, 0) == 0, "small products");
    CHECK(cylstm_product(most, 1) == most && cylstm_product(most / 2, 2) == most - 1, "products that just fit");
    CHECK(cylstm_product(most / 2 + 1, 2) == most && cylstm_product(most, most) == most, "products that do not");
    CHECK(cylstm_product((int64_t)1 << 32, (int64_t)1 << 32) == most, "a product that would wrap to zero");
    CHECK(cylstm_sum(3, 7) == 10 && cylstm_sum(most - 1, 1) == most && cylstm_sum(most, most) == most, "sums");
    CHECK(cylstm_round_up(0, 16) == 0 && cylstm_round_up(1, 16) == 16 && cylstm_round_up(32, 16) == 32, "rounding");
    CHECK(cylstm_round_up(most, 64) == most, "rounding what cannot be");
}

/* ---- statuses ---- */

/* Each has a name of its own, and what is no status has one. */
static void test_statuses_have_names(void)
{
    for (int status = CYLSTM_OK; status <= CYLSTM_UNSUPPORTED + 1; status++) {
        const char *name = cylstm_status_name((cylstm_status)status);
        CHECK(strlen(name) > 1, "status %d", status);
        for (int other = CYLSTM_OK; other < status; other++)
            CHECK(strcmp(name, cylstm_status_name((cylstm_status)other)) != 0, "%d and %d: %s", status, other, name);
    }
}

/* ---- tensors ---- */

static const char *const BOTH_BIASES[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};

static void check_tensors(const layout *l)
{
    const int64_t count = cylstm_layout_tensor_count(l);
    int64_t end = 0;
    for (int64_t i = 0; i < count; i++) {
        const tensor t = cylstm_layout_tensor(l, i);
        CHECK(t.offset == end, "%s starts at %lld, the one before it ends at %lld", t.name, (long long)t.offset,
              (long long)end);
        CHECK(t.rows > 0 && t.columns >= 0, "%s is %lld by %lld", t.name, (long long)t.rows, (long long)t.columns);
        end = t.offset + t.rows * (t.columns > 0 ? t.columns : 1);
    }
    CHECK(end == l->parameter_count, "%lld parameters, the tensors end at %lld", (long long)l->parameter_count,
          (long long)end);
}

/* The offsets that the core computes with are those of the tensors it names. */
static void check_layer_offsets(const layout *l)
{
    int64_t index = l->config.vocab_size > 0;
    for (int64_t layer = 0; layer < l->config.num_layers; layer++) {
        for (int direction = 0; direction < l->directions; direction++) {
            const layer_offsets o = cylstm_layout_layer(l, layer, direction);
            const int64_t offsets[] = {o.weight_ih, o.weight_hh, o.bias_ih, o.bias_hh};
            for (int kind = 0; kind < (l->config.bias ? 4 : 2); kind++) {
                const tensor t = cylstm_layout_tensor(l, index++);
                char name[64];
                snprintf(name, sizeof name, "recurrent.%s_l%d%s", BOTH_BIASES[kind], (int)layer,
                         direction ? "_reverse" : "");
                CHECK(strcmp(t.name, name) == 0, "%s where %s should be", t.name, name);
                CHECK(t.offset == offsets[kind], "%s: %lld and %lld", name, (long long)t.offset,
                      (long long)offsets[kind]);
            }
            if (!l->config.bias) CHECK(o.bias_ih < 0 && o.bias_hh < 0, "a bias without bias");
        }
    }
    if (l->config.output_size == 0) return;
    CHECK(strcmp(cylstm_layout_tensor(l, index).name, "head.weight") == 0, "no head.weight");
    CHECK(cylstm_layout_tensor(l, index).offset == cylstm_layout_head(l), "head.weight is not where the head is");
    CHECK(strcmp(cylstm_layout_tensor(l, index + 1).name, "head.bias") == 0, "no head.bias");
}

static void check_widths(const layout *l)
{
    const int64_t hidden = l->config.hidden_size, outputs = l->config.output_size, lanes = l->lanes;
    CHECK(l->units >= hidden && l->units < hidden + 4 * lanes && l->units % lanes == 0, "%lld units",
          (long long)l->units);
    CHECK(l->gate_width == l->gates * l->units && l->gate_width % (4 * lanes) == 0, "%lld gates",
          (long long)l->gate_width);
    CHECK(l->head_width >= outputs && l->head_width % (4 * lanes) == 0, "%lld in the head", (long long)l->head_width);
    CHECK(l->width == l->directions * hidden, "%lld wide", (long long)l->width);
}

static void test_tensors_cover_the_vector(void)
{
    for (int trial = 0; trial < 2000; trial++) {
        cylstm_config c = small_config();
        c.cell = (int32_t)random_integer(CYLSTM_LSTM, CYLSTM_RNN_RELU);
        c.bidirectional = (int32_t)random_integer(0, 1);
        c.bias = (int32_t)random_integer(0, 1);
        c.vocab_size = random_integer(0, 1) * random_integer(1, 300);
        c.input_size = random_integer(1, 70);
        c.hidden_size = random_integer(1, 70);
        c.num_layers = random_integer(1, 4);
        c.output_size = random_integer(0, 1) * random_integer(1, 70);
        c.pooling = c.output_size > 0 ? (int32_t)random_integer(CYLSTM_POOL_NONE, CYLSTM_POOL_MAX) : CYLSTM_POOL_NONE;
        layout l;
        const cylstm_status status = cylstm_layout_init(&l, &c, 4 << random_integer(0, 2));
        CHECK(status == CYLSTM_OK, "%s", cylstm_status_name(status));
        check_tensors(&l);
        check_layer_offsets(&l);
        check_widths(&l);
    }
}

/* A line longer where they would lie a multiple of 2 KB apart, and nowhere else. */
static void test_rows_of_gates_do_not_share_sets_of_a_cache(void)
{
    for (int64_t size = 1; size <= 1024; size++) {
        cylstm_config c = small_config();
        c.hidden_size = size;
        for (c.cell = CYLSTM_LSTM; c.cell <= CYLSTM_RNN_TANH; c.cell++) {
            layout l;
            cylstm_layout_init(&l, &c, 16);
            CHECK(l.gate_row == l.gate_width + (l.gate_width % 512 == 0 ? 16 : 0), "%lld units, a row of %lld for %lld",
                  (long long)size, (long long)l.gate_row, (long long)l.gate_width);
        }
    }
}

/* ---- what no network can be ---- */

static void refuse(cylstm_config c, cylstm_status expected, const char *why)
{
    layout l;
    const cylstm_status status = cylstm_layout_init(&l, &c, 16);
    CHECK(status == expected, "%s: %s", why, cylstm_status_name(status));
}

static void test_bad_configurations_are_refused(void)
{
    cylstm_config c;
    c = small_config(), c.struct_size -= 1, refuse(c, CYLSTM_INVALID_ARGUMENT, "a structure of another size");
    c = small_config(), c.cell = 3, refuse(c, CYLSTM_INVALID_ARGUMENT, "cell");
    c = small_config(), c.cell = -1, refuse(c, CYLSTM_INVALID_ARGUMENT, "cell");
    c = small_config(), c.input_size = 0, refuse(c, CYLSTM_INVALID_ARGUMENT, "input_size");
    c = small_config(), c.hidden_size = -5, refuse(c, CYLSTM_INVALID_ARGUMENT, "hidden_size");
    c = small_config(), c.hidden_size = INT64_MAX, refuse(c, CYLSTM_INVALID_ARGUMENT, "hidden_size");
    c = small_config(), c.num_layers = 0, refuse(c, CYLSTM_INVALID_ARGUMENT, "num_layers");
    c = small_config(), c.vocab_size = -1, refuse(c, CYLSTM_INVALID_ARGUMENT, "vocab_size");
    c = small_config(), c.output_size = (int64_t)1 << 40, refuse(c, CYLSTM_INVALID_ARGUMENT, "output_size");
    c = small_config(), c.pooling = CYLSTM_POOL_LAST, refuse(c, CYLSTM_INVALID_ARGUMENT, "pooling without a head");
    c = small_config(), c.hidden_size = c.input_size = INT32_MAX, refuse(c, CYLSTM_TOO_LARGE, "both wide");
    c = small_config(), c.hidden_size = c.num_layers = INT32_MAX, refuse(c, CYLSTM_TOO_LARGE, "wide and deep");
    c = small_config(), c.vocab_size = c.input_size = INT32_MAX, refuse(c, CYLSTM_TOO_LARGE, "a huge vocabulary");
}

/* ---- panels ---- */

/* Each of the columns lies at exactly one (panel, vector, lane). */
static void check_columns(const panels *p, int lanes, int64_t columns, const char *kind)
{
    const int64_t places = p->count * CYLSTM_PANEL_VECTORS * lanes;
    int *seen = allocate((size_t)places * sizeof(int));
    memset(seen, 0, (size_t)places * sizeof(int));
    for (int64_t panel = 0; panel < p->count; panel++) {
        for (int64_t v = 0; v < CYLSTM_PANEL_VECTORS; v++) {
            const int64_t column = panel * p->panel_stride + v * p->vector_stride;
            CHECK(column >= 0 && column + lanes <= places, "%s: column %lld", kind, (long long)column);
            for (int64_t lane = 0; lane < lanes; lane++) seen[column + lane]++;
        }
    }
    for (int64_t i = 0; i < places; i++) CHECK(seen[i] == 1, "%s: column %lld, %d times", kind, (long long)i, seen[i]);
    CHECK(places >= columns && places < columns + 4 * 4 * lanes, "%s: %lld places", kind, (long long)places);
    CHECK(cylstm_panels_size(p, lanes) == places * 7, "%s: size", kind);
    free(seen);
}

static void test_panels_hold_every_column_once(void)
{
    for (int lanes = 4; lanes <= 16; lanes *= 2) {
        for (int64_t size = 1; size < 150; size++) {
            cylstm_config c = small_config();
            c.hidden_size = size;
            layout lstm, rnn;
            cylstm_layout_init(&lstm, &c, lanes);
            c.cell = CYLSTM_RNN_TANH;
            cylstm_layout_init(&rnn, &c, lanes);
            const panels plain = cylstm_layout_plain_panels(size, cylstm_axis_of(7), lanes);
            const panels gates = cylstm_layout_gate_panels(&lstm, 7), units = cylstm_layout_gate_panels(&rnn, 7);
            check_columns(&plain, lanes, size, "plain");
            check_columns(&gates, lanes, lstm.gate_width, "gates");
            check_columns(&units, lanes, rnn.gate_width, "units");
        }
    }
}

/* ---- memory ---- */

static void test_an_arena_counts_what_it_places(void)
{
    arena counted = {NULL, 0}, placed = {allocate(100000), 0};
    char *before = placed.base;
    for (int trial = 0; trial < 100; trial++) {
        const int64_t count = random_integer(0, 200);
        CHECK(cylstm_arena_floats(&counted, count) == NULL, "an arena that only counts hands out memory");
        char *place = (char *)cylstm_arena_floats(&placed, count);
        CHECK(place >= before && (place - placed.base) % CYLSTM_ALIGNMENT == 0, "at %td", place - placed.base);
        CHECK(placed.used >= place - placed.base + count * 4 && placed.used == counted.used, "%lld",
              (long long)placed.used);
        before = place + count * 4;
    }
    cylstm_arena_take(&counted, INT64_MAX / 2, 16);
    CHECK(counted.used == INT64_MAX, "what no memory can hold wraps to %lld", (long long)counted.used);
    free(placed.base);
}

/* Data begin on a cache line, many of them on a huge page, and end within what is to be allocated. */
static void test_memory_begins_on_lines_and_pages(void)
{
    const int64_t sizes[] = {0, 1, 4096, (4 << 20) - 1, 4 << 20, 5000000};
    for (int i = 0; i < 6; i++) {
        const int64_t allocated = cylstm_memory_to_allocate(sizes[i]), alignment = sizes[i] < 4 << 20 ? 64 : 2 << 20;
        char *block = allocate((size_t)allocated), *begin = cylstm_memory_begin(block, sizes[i]);
        CHECK((intptr_t)begin % alignment == 0, "%lld bytes begin at %p", (long long)sizes[i], (void *)begin);
        CHECK(begin >= block && begin + sizes[i] <= block + allocated, "%lld bytes leave their block",
              (long long)sizes[i]);
        memset(begin, 1, (size_t)sizes[i]);
        free(block);
    }
}

int main(void)
{
    test_arithmetic_saturates();
    test_statuses_have_names();
    test_tensors_cover_the_vector();
    test_rows_of_gates_do_not_share_sets_of_a_cache();
    test_bad_configurations_are_refused();
    test_panels_hold_every_column_once();
    test_an_arena_counts_what_it_places();
    test_memory_begins_on_lines_and_pages();
    return report("layout");
}
