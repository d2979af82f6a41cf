/*
 * The kernels, written once over simd.h. Each kernels_<isa>.c chooses the instruction set, then includes this.
 *
 * A tile is up to TILE_ROWS rows times one panel (PANEL_VECTORS vectors). Each kernel says what the tile's sums start
 * from, lets sum_products run the chains over k in registers, and finishes row by row: gates, cell update, gradient.
 */
#include "activation.h"
#include "kernels.h"

#include <math.h>

#define PANEL CYLSTM_PANEL_VECTORS

typedef float tile[TILE_ROWS][CYLSTM_PANEL_VECTORS * LANES];

/* One factor of the products that a tile sums up: a[r][k], and panel[k] with its PANEL_VECTORS vectors. */
typedef struct operand {
    const float *a;
    int64_t a_row, a_k;
    const float *panel;
    int64_t k_count;
} operand;

/* What a tile's sums start from: vectors that lie `apart` from each other in rows that do; NULL: zero. */
typedef struct origin {
    const float *from;
    int64_t row, apart;
} origin;

ALWAYS_INLINE origin own_sums(tile sums)
{
    return (origin){sums[0], PANEL * LANES, LANES};
}

ALWAYS_INLINE void sum_products_of(tile sums, const origin *start, const int rows, const int vectors,
                                   const operand *operands, int operand_count)
{
    vec acc[TILE_ROWS][PANEL], weights[PANEL];
    const int shared = rows > 1 && (rows + 1) * vectors < VEC_REGISTERS; /* each weight, by the rows */
    if (start->from == NULL) {
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < vectors; v++) acc[r][v] = vec_set1(0.0f);
        }
    } else {
        for (int r = 0; r < rows; r++) {
            for (int v = 0; v < vectors; v++) acc[r][v] = vec_load(start->from + r * start->row + v * start->apart);
        }
    }
    for (int o = 0; o < operand_count; o++) {
        const float *panel = operands[o].panel, *a = operands[o].a;
        const int64_t a_row = operands[o].a_row, a_k = operands[o].a_k;
        for (int64_t k = 0; k < operands[o].k_count; k++) {
            for (int r = 0; r < rows; r++) {
                const vec broadcast = vec_set1(a[r * a_row + k * a_k]);
                for (int v = 0; v < vectors; v++) {
                    if (r == 0 && shared) weights[v] = vec_load_shared(panel + v * LANES);
                    const vec weight = shared ? weights[v] : vec_load(panel + v * LANES);
                    acc[r][v] = vec_fma(broadcast, weight, acc[r][v]);
                }
            }
            panel += PANEL * LANES;
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) vec_store(sums[r] + v * LANES, acc[r][v]);
    }
}

/* The switches make rows and vectors constants to the compiler, so that the accumulators are registers. */
ALWAYS_INLINE void sum_products_of_vectors(tile sums, const origin *start, int64_t rows, const int vectors,
                                           const operand *operands, int operand_count)
{
#define ROWS(n) \
    case n: sum_products_of(sums, start, n, vectors, operands, operand_count); break
    switch (rows) {
        ROWS(1);
#if TILE_ROWS >= 2
        ROWS(2);
#endif
#if TILE_ROWS >= 3
        ROWS(3);
#endif
#if TILE_ROWS >= 5
        ROWS(4);
        ROWS(5);
#endif
#if TILE_ROWS >= 6
        ROWS(6);
#endif
    default: break;
    }
#undef ROWS
}

/* sums[r][n] = start[r][n] + sum over operands and k, ascending, of a[r][k] * panel[k][n], for the panel's first `vectors`
 * vectors. start may be the sums themselves. */
static void sum_products(tile sums, const origin *start, int64_t rows, int vectors, const operand *operands,
                         int operand_count)
{
    switch (vectors) {
    case 1: sum_products_of_vectors(sums, start, rows, 1, operands, operand_count); break;
    case 2: sum_products_of_vectors(sums, start, rows, 2, operands, operand_count); break;
    case 3: sum_products_of_vectors(sums, start, rows, 3, operands, operand_count); break;
    default: sum_products_of_vectors(sums, start, rows, PANEL, operands, operand_count); break;
    }
}

ALWAYS_INLINE const float *panel_data(const panels *p, int64_t panel)
{
    return p->data + panel * cylstm_panels_k(p) * PANEL * LANES;
}

/* sums = start + the product of a panel with rows from `a` on: a segment of k after the other, since what pads it in the
 * rows is not in the panel. */
ALWAYS_INLINE void sum_panel(tile sums, origin start, int64_t rows, int vectors, const panels *p, int64_t panel,
                             const float *a, int64_t a_row, int64_t a_k)
{
    const float *data = panel_data(p, panel);
    for (int64_t s = 0; s < p->k.segments; s++) {
        const operand factor = {a + s * p->k.padded * a_k, a_row, a_k, data, p->k.valid};
        sum_products(sums, &start, rows, vectors, &factor, 1);
        data += p->k.valid * PANEL * LANES;
        start = own_sums(sums);
    }
}

ALWAYS_INLINE int64_t panel_column(const panels *p, int64_t panel, int64_t vector)
{
    return panel * p->panel_stride + vector * p->vector_stride;
}

/* How many of a panel's vectors hold any of the columns below `columns`: the last panel of a narrow matrix has few. */
ALWAYS_INLINE int panel_vectors(const panels *p, int64_t panel, int64_t columns)
{
    int vectors = PANEL;
    while (vectors > 1 && panel_column(p, panel, vectors - 1) >= columns) vectors--;
    return vectors;
}

/* Declares the loops over panels, in ascending order or not, and, within one, over tiles of `count` rows from `row` on. */
#define FOR_EACH_TILE(args, descending)                                                                   \
    for (int64_t turn = 0, panel; (panel = panel_in_turn((args)->panels, turn, descending)) >= 0; turn++) \
        for (int64_t row = (args)->rows.begin, count; (count = tile_rows((args)->rows, row)) > 0; row += count)

/* -1 after the last one. */
ALWAYS_INLINE int64_t panel_in_turn(range panels, int64_t turn, int descending)
{
    if (turn >= panels.end - panels.begin) return -1;
    return descending ? panels.end - 1 - turn : panels.begin + turn;
}

/* Whole tiles, but the last two share evenly what is left: a tile of one row would wait for its weights. */
ALWAYS_INLINE int64_t tile_rows(range rows, int64_t row)
{
    const int64_t left = rows.end - row;
    if (left >= 2 * TILE_ROWS) return TILE_ROWS;
    return left > TILE_ROWS ? (left + 1) / 2 : left;
}

/* Asks for the lines of `count` rows in `arrays` arrays, `apart` from each other, that a tile starts from or ends in: they
 * seldom lie in the core's own cache, and rows far apart are no pattern a processor foresees. */
ALWAYS_INLINE void prefetch_units(const float *first, int64_t row, int64_t count, int64_t arrays, int64_t apart)
{
    for (int64_t r = 0; r < count; r++) {
        for (int64_t i = 0; i < arrays; i++) vec_prefetch(first + r * row + i * apart);
    }
}

/* Where the tile that follows below will be added to or stored; not where a tile is done before a line can come. */
ALWAYS_INLINE void prefetch_next(const product_args *p, int64_t row, int64_t panel, int vectors)
{
    enum { FEW_K = 32 };
    if (cylstm_panels_k(p->b) < FEW_K || row >= p->rows.end) return;
    prefetch_units(p->c + row * p->c_row + panel_column(p->b, panel, 0), p->c_row, tile_rows(p->rows, row), vectors,
                   p->b->vector_stride);
}

/* init, where it lies; of a panel whose last vector its rows end in, what they have of it is copied to the sums. */
ALWAYS_INLINE origin product_start(tile sums, const product_args *p, int64_t row, int64_t count, int64_t panel,
                                   int vectors)
{
    if (p->init == NULL) return (origin){.from = NULL};
    const float *init = p->init + row * p->init_row;
    if (panel_column(p->b, panel, vectors - 1) + LANES <= p->columns)
        return (origin){init + panel_column(p->b, panel, 0), p->init_row, p->b->vector_stride};
    for (int64_t r = 0; r < count; r++) {
        for (int v = 0; v < vectors; v++) {
            const int64_t column = panel_column(p->b, panel, v);
            vec_store(sums[r] + v * LANES, vec_load_upto(init + r * p->init_row + column, p->columns - column));
        }
    }
    return own_sums(sums);
}

static void product(const product_args *p)
{
    tile sums;
    FOR_EACH_TILE(p, 0) {
        const int vectors = panel_vectors(p->b, panel, p->columns);
        const origin start = product_start(sums, p, row, count, panel, vectors);
        prefetch_next(p, row + count, panel, vectors);
        if (p->a_tiled) {
            sum_panel(sums, start, count, vectors, p->b, panel, p->a + row * cylstm_panels_k(p->b), 1, count);
        } else {
            sum_panel(sums, start, count, vectors, p->b, panel, p->a + row * p->a_row, p->a_row, 1);
        }
        for (int64_t r = 0; r < count; r++) {
            for (int v = 0; v < vectors; v++) {
                const int64_t column = panel_column(p->b, panel, v);
                vec_store_upto(p->c + (row + r) * p->c_row + column, vec_load(sums[r] + v * LANES),
                               p->columns - column);
            }
        }
    }
}

static void pack_transposed(int64_t rows, int64_t k_count, const float *from, int64_t from_row, float *to, int64_t to_k)
{
    int64_t k = 0;
    for (; rows == LANES && k + LANES <= k_count; k += LANES) {
        vec block[LANES];
        for (int i = 0; i < LANES; i++) block[i] = vec_load(from + i * from_row + k);
        vec_transpose(block);
        for (int i = 0; i < LANES; i++) vec_store(to + (k + i) * to_k, block[i]);
    }
    for (; k < k_count; k++) {
        for (int64_t i = 0; i < rows; i++) to[k * to_k + i] = from[i * from_row + k];
    }
}

/* The tile of `count` rows from `row` on lies at to + row * k_count as [k][count]: read once from front to back. Few k at a
 * time, so that the lines of a matrix whose rows lie a power of two apart stay in the cache from tile to tile. */
static void pack_tiles(range which, int64_t rows, int64_t k_count, const float *from, int64_t from_row, float *to)
{
    enum { FEW = 8 };
    for (int64_t first = which.begin; first < which.end; first += FEW) {
        const int64_t end = which.end - first < FEW ? which.end : first + FEW;
        for (int64_t row = 0, count; (count = tile_rows((range){0, rows}, row)) > 0; row += count) {
            for (int64_t k = first; k < end; k++) {
                float *tile_k = to + row * k_count + k * count;
                const float *from_k = from + k * from_row + row;
                if (count == TILE_ROWS) {
                    memcpy(tile_k, from_k, TILE_ROWS * sizeof(float)); /* of a constant size: no call */
                } else {
                    for (int64_t r = 0; r < count; r++) tile_k[r] = from_k[r];
                }
            }
        }
    }
}

/* W_ih x + b where it is projected already, else b; where b is still to be added, it is, in the sums. */
ALWAYS_INLINE origin step_start(tile sums, const step_args *s, int64_t row, int64_t count, int64_t panel)
{
    const int64_t first = panel_column(s->weights, panel, 0), apart = s->weights->vector_stride;
    if (s->input_weights != NULL) return (origin){s->bias + first, 0, apart};
    const float *gates = s->gates + row * s->gates_row;
    if (s->bias == NULL) return (origin){gates + first, s->gates_row, apart};
    for (int64_t r = 0; r < count; r++) {
        for (int64_t v = 0; v < PANEL; v++) {
            const int64_t column = panel_column(s->weights, panel, v);
            vec_store(sums[r] + v * LANES,
                      vec_add(vec_load(gates + r * s->gates_row + column), vec_load(s->bias + column)));
        }
    }
    return own_sums(sums);
}

/* What is added to them: W_ih x unless it is projected, W_hh h_{t-1}; how many. */
ALWAYS_INLINE int step_factors(operand factors[2], const step_args *s, int64_t row, int64_t panel)
{
    operand *next = factors;
    if (s->input_weights != NULL) {
        *next++ = (operand){s->x + row * s->x_row, s->x_row, 1, panel_data(s->input_weights, panel),
                            s->input_weights->k.valid};
    }
    *next++ = (operand){s->h_previous + row * s->units, s->units, 1, panel_data(s->weights, panel),
                        s->weights->k.valid};
    return (int)(next - factors);
}

/* sums = W_ih x + b + W_hh h_{t-1} */
static void gate_pre_activations(tile sums, const step_args *s, int64_t row, int64_t count, int64_t panel)
{
    operand factors[2];
    const origin start = step_start(sums, s, row, count, panel);
    sum_products(sums, &start, count, PANEL, factors, step_factors(factors, s, row, panel));
}

ALWAYS_INLINE void store_hidden(const step_args *s, int64_t row, int64_t unit, vec h)
{
    vec_store(s->h_next + row * s->units + unit, h);
    vec_store_upto(s->out + row * s->out_row + unit, h, s->hidden - unit);
}

/* One vector of units: activated gates, and the cell state that follows from them. */
typedef struct lstm_state {
    vec i, f, g, o, c;
} lstm_state;

ALWAYS_INLINE lstm_state lstm_cell(const step_args *s, int64_t row, int64_t unit, const float *sums)
{
    lstm_state t;
    /* i, f, o = sigmoid(.), g = tanh(.) of the pre-activations */
    t.i = vec_sigmoid(vec_load(sums)), t.f = vec_sigmoid(vec_load(sums + LANES));
    t.g = vec_tanh(vec_load(sums + 2 * LANES)), t.o = vec_sigmoid(vec_load(sums + 3 * LANES));
    /* c_t = f * c_{t-1} + i * g */
    const int64_t at = row * s->units + unit;
    t.c = vec_fma(t.f, vec_load(s->c + at), vec_mul(t.i, t.g));
    vec_store(s->c + at, t.c);
    return t;
}

/* h_t = o * tanh(c_t) */
ALWAYS_INLINE void lstm_hidden(const step_args *s, int64_t row, int64_t unit, vec o, vec c)
{
    store_hidden(s, row, unit, vec_mul(o, vec_tanh(c)));
}

ALWAYS_INLINE void record_lstm(const step_args *s, int64_t row, int64_t unit, lstm_state t)
{
    if (!s->recording) return;
    float *gates = s->gates + row * s->gates_row + unit;
    vec_store(gates, t.i);
    vec_store(gates + s->units, t.f);
    vec_store(gates + 2 * s->units, t.g);
    vec_store(gates + 3 * s->units, t.o);
    vec_store(s->cell + row * s->units + unit, t.c);
}

/* c_t of all rows before any h_t: tanh c_t waits long for c_t, and for one row at a time nothing else is left to do. */
ALWAYS_INLINE void lstm_units(const step_args *s, int64_t row, int64_t count, int64_t unit, tile sums)
{
    for (int64_t r = 0; r < count; r++) {
        const lstm_state t = lstm_cell(s, row + r, unit, sums[r]);
        record_lstm(s, row + r, unit, t);
        vec_store(sums[r], t.o);
    }
    for (int64_t r = 0; r < count; r++)
        lstm_hidden(s, row + r, unit, vec_load(sums[r]), vec_load(s->c + (row + r) * s->units + unit));
}

/* Of one sequence, whose sums never leave the registers: 3 to 7 % of a small network's step. */
ALWAYS_INLINE void lone_lstm_unit(const step_args *s, int64_t row, int64_t panel)
{
    tile sums;
    operand factors[2];
    const origin start = step_start(sums, s, row, 1, panel);
    sum_products_of(sums, &start, 1, PANEL, factors, step_factors(factors, s, row, panel));
    const lstm_state t = lstm_cell(s, row, panel * LANES, sums[0]);
    lstm_hidden(s, row, panel * LANES, t.o, t.c);
    record_lstm(s, row, panel * LANES, t);
}

ALWAYS_INLINE void prefetch_gates(const step_args *s, int64_t row, int64_t count, int64_t panel)
{
    prefetch_units(s->gates + row * s->gates_row + panel * LANES, s->gates_row, count, PANEL, s->units);
}

static void lstm_step(const step_args *s)
{
    tile sums;
    FOR_EACH_TILE(s, s->descending) {
        if (s->input_weights == NULL && count > 1) { /* the next tile's, whose sums start from them */
            const int64_t next = row + count < s->rows.end ? row + count : s->rows.begin;
            const int64_t next_panel = next > row ? panel : panel_in_turn(s->panels, turn + 1, s->descending);
            if (next_panel >= 0) prefetch_gates(s, next, tile_rows(s->rows, next), next_panel);
        } else if (s->recording) {
            prefetch_gates(s, row, count, panel);
        }
        if (s->recording) prefetch_units(s->cell + row * s->units + panel * LANES, s->units, count, 1, 0);
        if (count == 1) {
            lone_lstm_unit(s, row, panel);
            continue;
        }
        gate_pre_activations(sums, s, row, count, panel);
        lstm_units(s, row, count, panel * LANES, sums);
    }
}

/* h_t = tanh(.) or max(., 0) of the pre-activation; the tape of an RNN is h_t itself. */
ALWAYS_INLINE void rnn_step(const step_args *s, const int relu)
{
    tile sums;
    FOR_EACH_TILE(s, s->descending) {
        gate_pre_activations(sums, s, row, count, panel);
        for (int64_t r = 0; r < count; r++) {
            for (int64_t v = 0; v < PANEL; v++) {
                const int64_t unit = panel_column(s->weights, panel, v);
                const vec sum = vec_load(sums[r] + v * LANES);
                const vec h = relu ? vec_max(vec_set1(0.0f), sum) : vec_tanh(sum);
                store_hidden(s, row + r, unit, h);
                if (s->recording) vec_store(s->gates + (row + r) * s->gates_row + unit, h);
            }
        }
    }
}

static void rnn_tanh_step(const step_args *s)
{
    rnn_step(s, 0);
}

static void rnn_relu_step(const step_args *s)
{
    rnn_step(s, 1);
}

/* sums = dh_t = W_hh^T dgates_{t+1} + dL/dh_t from above, in the panel's first `vectors` vectors */
static void hidden_gradient(tile sums, const step_backward_args *s, int64_t row, int64_t count, int64_t panel,
                            int vectors)
{
    if (s->dgates_next == NULL) {
        const origin dh_next = {s->dh_next + row * s->units + panel_column(s->weights, panel, 0), s->units,
                                s->weights->vector_stride};
        sum_products(sums, &dh_next, count, vectors, NULL, 0);
    } else {
        const origin zero = {.from = NULL};
        sum_panel(sums, zero, count, vectors, s->weights, panel, s->dgates_next + row * s->gates_row, s->gates_row, 1);
    }
    for (int64_t r = 0; r < count; r++) {
        for (int v = 0; v < vectors; v++) {
            const int64_t unit = panel_column(s->weights, panel, v);
            const vec from_above = vec_load_upto(s->dout + (row + r) * s->dout_row + unit, s->hidden - unit);
            vec_store(sums[r] + v * LANES, vec_add(vec_load(sums[r] + v * LANES), from_above));
        }
    }
}

/* The derivative through one vector of LSTM units; dh is dL/dh_t. */
ALWAYS_INLINE void lstm_unit_backward(const step_backward_args *s, int64_t row, int64_t unit, vec dh)
{
    const vec one = vec_set1(1.0f);
    const float *gates = s->gates + row * s->gates_row + unit;
    const vec i = vec_load(gates), f = vec_load(gates + s->units);
    const vec g = vec_load(gates + 2 * s->units), o = vec_load(gates + 3 * s->units);
    const int64_t at = row * s->units + unit;
    const vec tanh_c = vec_tanh(vec_load(s->cell + at));
    /* dc_t = dc_t + dh o (1 - tanh^2 c_t) */
    const vec slope = vec_sub(one, vec_mul(tanh_c, tanh_c));
    const vec dc = vec_fma(vec_mul(dh, o), slope, vec_load(s->dc + at));
    /* di = dc g, df = dc c_{t-1}, dg = dc i, do = dh tanh c_t; dc_{t-1} = dc f */
    const vec di = vec_mul(dc, g), df = vec_mul(dc, vec_load(s->cell_previous + at));
    const vec dg = vec_mul(dc, i), d_o = vec_mul(dh, tanh_c);
    vec_store(s->dc + at, vec_mul(dc, f));
    /* through the gates: sigmoid' = s (1 - s), tanh' = 1 - g^2 */
    float *dgates = s->dgates + row * s->gates_row + unit;
    vec_store(dgates, vec_mul(di, vec_mul(i, vec_sub(one, i))));
    vec_store(dgates + s->units, vec_mul(df, vec_mul(f, vec_sub(one, f))));
    vec_store(dgates + 2 * s->units, vec_mul(dg, vec_sub(one, vec_mul(g, g))));
    vec_store(dgates + 3 * s->units, vec_mul(d_o, vec_mul(o, vec_sub(one, o))));
}

/* tanh' = 1 - h^2 */
ALWAYS_INLINE void rnn_tanh_unit_backward(const step_backward_args *s, int64_t row, int64_t unit, vec dh)
{
    const int64_t at = row * s->gates_row + unit;
    const vec h = vec_load(s->gates + at);
    vec_store(s->dgates + at, vec_mul(dh, vec_sub(vec_set1(1.0f), vec_mul(h, h))));
}

/* relu' = 1 where h > 0, else 0 */
ALWAYS_INLINE void rnn_relu_unit_backward(const step_backward_args *s, int64_t row, int64_t unit, vec dh)
{
    const int64_t at = row * s->gates_row + unit;
    vec_store(s->dgates + at, vec_where_positive(vec_load(s->gates + at), dh));
}

static void prefetch_recorded(const step_backward_args *s, int64_t row, int64_t count, int64_t panel, int vectors)
{
    const int64_t gates = s->gates_row / s->units; /* a row may have a line more */
    for (int v = 0; v < vectors; v++) {
        const int64_t unit = panel_column(s->weights, panel, v);
        prefetch_units(s->gates + row * s->gates_row + unit, s->gates_row, count, gates, s->units);
        prefetch_units(s->dgates + row * s->gates_row + unit, s->gates_row, count, gates, s->units);
        prefetch_units(s->dout + row * s->dout_row + unit, s->dout_row, count, 1, 0);
        if (s->cell == NULL) continue;
        prefetch_units(s->cell + row * s->units + unit, s->units, count, 1, 0);
        prefetch_units(s->cell_previous + row * s->units + unit, s->units, count, 1, 0);
    }
}

#define DEFINE_STEP_BACKWARD(name, unit_backward)                                                               \
    static void name(const step_backward_args *s)                                                               \
    {                                                                                                           \
        tile dh;                                                                                                \
        FOR_EACH_TILE(s, s->descending) {                                                                       \
            const int vectors = panel_vectors(s->weights, panel, s->units);                                     \
            prefetch_recorded(s, row, count, panel, vectors);                                                   \
            hidden_gradient(dh, s, row, count, panel, vectors);                                                 \
            for (int64_t r = 0; r < count; r++) {                                                               \
                for (int v = 0; v < vectors; v++)                                                               \
                    unit_backward(s, row + r, panel_column(s->weights, panel, v), vec_load(dh[r] + v * LANES)); \
            }                                                                                                   \
        }                                                                                                       \
    }

DEFINE_STEP_BACKWARD(lstm_step_backward, lstm_unit_backward)
DEFINE_STEP_BACKWARD(rnn_tanh_step_backward, rnn_tanh_unit_backward)
DEFINE_STEP_BACKWARD(rnn_relu_step_backward, rnn_relu_unit_backward)

/* The first `count` lanes of v, `fill` in the others. */
ALWAYS_INLINE vec fill_from(vec v, int64_t count, float fill)
{
    float lanes[LANES];
    vec_store(lanes, v);
    for (int64_t i = count; i < LANES; i++) lanes[i] = fill;
    return vec_load(lanes);
}

ALWAYS_INLINE float largest_of(const float *scores, int64_t count)
{
    float largest = scores[0];
    for (int64_t n = 1; n < count; n++) largest = scores[n] > largest ? scores[n] : largest;
    return largest;
}

static float softmax(const float *scores, int64_t count, float *out, float *largest)
{
    *largest = largest_of(scores, count);
    vec sums = vec_set1(0.0f);
    for (int64_t n = 0; n < count; n += LANES) {
        const vec centred = vec_sub(vec_load_upto(scores + n, count - n), vec_set1(*largest));
        vec scale, q = reduced_expm1(vec_max(vec_set1(-87.0f), centred), &scale);
        vec e = vec_mul(scale, vec_add(vec_set1(1.0f), q));
        if (count - n < LANES) e = fill_from(e, count - n, 0.0f);
        sums = vec_add(sums, e);
        vec_store_upto(out + n, e, count - n);
    }
    float lanes[LANES], sum = 0.0f;
    vec_store(lanes, sums);
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    for (int64_t n = 0; n < count; n++) out[n] /= sum;
    return logf(sum);
}

/*
 * Kingma and Ba, ICLR 2015; decoupled decay: Loshchilov and Hutter, ICLR 2019.
 * m = m + (1 - b1) (g - m), v = b2 v + (1 - b2) g^2,
 * p = shrink p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 * Every product and sum is rounded, as in PyTorch.
 */
static void adam(range which, const adam_args *a)
{
    for (int64_t i = which.begin; i < which.end; i += LANES) {
        const int64_t left = which.end - i;
        const vec p = vec_load_upto(a->parameters + i, left);
        const vec g = vec_add(vec_mul(vec_load_upto(a->gradients + i, left), vec_set1(a->scale)),
                              vec_mul(p, vec_set1(a->decay)));
        vec m = vec_load_upto(a->first + i, left), v = vec_load_upto(a->second + i, left);
        m = vec_add(m, vec_mul(vec_set1(a->rest1), vec_sub(g, m)));
        v = vec_add(vec_mul(vec_set1(a->beta2), v), vec_mul(vec_mul(vec_set1(a->rest2), g), g));
        const vec root = vec_add(vec_div(vec_sqrt(v), vec_set1(a->correction)), vec_set1(a->eps));
        const vec moved = vec_sub(vec_mul(p, vec_set1(a->shrink)), vec_div(vec_mul(vec_set1(a->rate), m), root));
        vec_store_upto(a->first + i, m, left);
        vec_store_upto(a->second + i, v, left);
        vec_store_upto(a->parameters + i, moved, left);
    }
}

#define CYLSTM_KERNEL_TABLE(isa)                                                                                   \
    {                                                                                                              \
        .name = isa,                                                                                               \
        .lanes = LANES,                                                                                            \
        .tile_rows = TILE_ROWS,                                                                                    \
        .product = product,                                                                                        \
        .pack_transposed = pack_transposed,                                                                        \
        .pack_tiles = pack_tiles,                                                                                  \
        .step = {[CYLSTM_LSTM] = lstm_step, [CYLSTM_RNN_TANH] = rnn_tanh_step, [CYLSTM_RNN_RELU] = rnn_relu_step}, \
        .step_backward = {[CYLSTM_LSTM] = lstm_step_backward,                                                      \
                          [CYLSTM_RNN_TANH] = rnn_tanh_step_backward,                                              \
                          [CYLSTM_RNN_RELU] = rnn_relu_step_backward},                                             \
        .softmax = softmax,                                                                                        \
        .adam = adam,                                                                                              \
    }
