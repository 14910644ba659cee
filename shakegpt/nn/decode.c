/* One token of one sequence through GPT-2, as model.py computes it, and its matrix products alone.

   Numbers are float32; weights may have fewer bits. Threads share the outputs of each product and
   the heads of attention, and meet after each. Plain loops, which a compiler turns into the vector
   instructions of its processor. native.py compiles and loads this file, and has its structures. */

#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 128 };   /* weights in 8 bits that share a scale */
enum { STEPS = 32767 }; /* of x each way from 0; the sum of a block is at most 128 * 127 * 32767 */
enum { LINE = 16 };     /* floats of a line of a processor's cache */
enum { SPINS = 1000 };  /* rounds of waiting, then other programs may have the processor */

/* y = x W' + bias, stored by output: W is (out, in) in float32 or bfloat16, or (out, blocks, BLOCK)
   in 8 bits with scales (out, blocks), where the last block of an output may reach beyond x. */
struct matrix {
    const void *weights;
    const float *scales, *bias; /* bias: (out,) or NULL */
    int64_t out, in, bits;
};

struct norm {
    const float *weight, *bias;
    float epsilon;
};

struct block {
    struct norm ln_1;
    struct matrix c_attn, attn_proj;
    struct norm ln_2;
    struct matrix c_fc, mlp_proj;
};

struct model {
    const struct block *blocks;
    int64_t n_layer, n_head, width, window;
    struct norm ln_f;
    struct matrix head;
    float *keys, *values; /* (n_layer, n_head, window, width / n_head) */
};

/* x as a product reads it: with weights in 8 bits in steps of 16 bits, so that a block is summed in
   integers */
struct row {
    const float *x;
    int16_t *steps;
    float step;
};

static int64_t blocks_of(const struct matrix *m) { return (m->in + BLOCK - 1) / BLOCK; }

/* Numbers that `steps` has room for. */
static int64_t room(const struct matrix *m) { return m->bits == 8 ? blocks_of(m) * BLOCK : 1; }

static struct row prepared(const struct matrix *m, const float *x, int16_t *steps) {
    if (m->bits != 8) return (struct row){x, steps, 1};
    float largest = 1e-30f, zero = 0;
    for (int64_t j = 0; j < m->in; j++) {
        largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
        zero += 0 * x[j]; /* NaN if x is not finite: then y is not either */
    }
    for (int64_t j = 0; j < m->in; j++) steps[j] = (int16_t)rintf(x[j] * (STEPS / largest));
    for (int64_t j = m->in; j < room(m); j++) steps[j] = 0;
    return (struct row){x, steps, largest / STEPS + zero};
}

/* bfloat16 is the upper half of a float */
static float widen(uint16_t upper) {
    uint32_t bits = (uint32_t)upper << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Output i of a product. */
static float output(const struct matrix *m, int64_t i, struct row row) {
    float sum = 0;
    if (m->bits == 32) {
        const float *weights = (const float *)m->weights + i * m->in;
        for (int64_t j = 0; j < m->in; j++) sum += weights[j] * row.x[j];
    } else if (m->bits == 16) {
        const uint16_t *weights = (const uint16_t *)m->weights + i * m->in;
        for (int64_t j = 0; j < m->in; j++) sum += widen(weights[j]) * row.x[j];
    } else {
        int64_t blocks = blocks_of(m);
        const int8_t *weights = (const int8_t *)m->weights + i * blocks * BLOCK;
        int32_t sums[blocks]; /* scaled in a loop of their own, by vectors too */
        for (int64_t b = 0; b < blocks; b++) {
            sums[b] = 0;
            for (int64_t j = b * BLOCK; j < (b + 1) * BLOCK; j++) sums[b] += weights[j] * row.steps[j];
        }
        for (int64_t b = 0; b < blocks; b++) sum += m->scales[i * blocks + b] * (float)sums[b];
        sum *= row.step;
    }
    return sum + (m->bias ? m->bias[i] : 0);
}

/* A few rows x (rows, in) to y (rows, out). */
void product(const struct matrix *m, const float *x, float *y, int64_t rows, int threads) {
    int16_t steps[rows * room(m)];
    struct row prepare[rows];
    for (int64_t r = 0; r < rows; r++)
        prepare[r] = prepared(m, x + r * m->in, steps + r * room(m));
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < m->out; i++)
        for (int64_t r = 0; r < rows; r++) y[r * m->out + i] = output(m, i, prepare[r]);
}

/* Threads, of which this is one, and where they meet. */
struct team {
    int thread, threads;
    atomic_int *arrived, *turn;
};

static void meet(struct team team) {
    int turn = atomic_load(team.turn);
    if (atomic_fetch_add(team.arrived, 1) == team.threads - 1) {
        atomic_store(team.arrived, 0);
        atomic_store(team.turn, turn + 1);
    } else
        for (int spins = 0; atomic_load(team.turn) == turn; spins++)
            if (spins > SPINS) sched_yield();
}

struct range {
    int64_t from, to;
};

/* The part of this thread in `count` things, in multiples of `unit`. */
static struct range part(int64_t count, int64_t unit, struct team team) {
    int64_t each = (count + unit * team.threads - 1) / (unit * team.threads) * unit;
    int64_t from = each * team.thread, to = from + each;
    return (struct range){from < count ? from : count, to < count ? to : count};
}

/* This thread's part of x (in,) to y (out,); the rest of y is the other threads'. */
static struct range multiply(const struct matrix *m, const float *x, float *y, struct team team) {
    int16_t steps[room(m)];
    struct row row = prepared(m, x, steps);
    struct range mine = part(m->out, LINE, team);
    for (int64_t i = mine.from; i < mine.to; i++) y[i] = output(m, i, row);
    return mine;
}

/* LayerNorm of x (width,). */
static void normalize(struct norm norm, const float *x, float *y, int64_t width) {
    float mean = 0, variance = 0;
    for (int64_t j = 0; j < width; j++) mean += x[j];
    mean /= width;
    for (int64_t j = 0; j < width; j++) variance += (x[j] - mean) * (x[j] - mean);
    float scale = 1 / sqrtf(variance / width + norm.epsilon);
    for (int64_t j = 0; j < width; j++) y[j] = (x[j] - mean) * scale * norm.weight[j] + norm.bias[j];
}

/* e^x to 2e-7 of it, in operations that vectors have: 2^n times e^r, |r| <= ln(2) / 2. */
static float exponential(float x) {
    x = x < -87 ? -87 : x > 88 ? 88 : x; /* NaN stays */
    float n = rintf(x * 1.44269504f), r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float power = 1 + r * (1 + r * (0.5f + r * (0.166666667f + r * (0.0416666667f
                  + r * (0.00833333333f + r * 0.00138888889f)))));
    int32_t bits = ((int32_t)n + 127) << 23;
    float two;
    memcpy(&two, &bits, sizeof two);
    return power * two;
}

/* GELU by its tanh form: x (1 + tanh(u)) / 2 = x / (1 + e^-2u). */
static float gelu(float x) {
    return x / (1 + exponential(-1.59576912f * (x + 0.044715f * x * x * x)));
}

/* softmax(q k' / sqrt(size)) v over `end` keys and values (end, size) of one head. */
static void attend(const float *q, const float *keys, const float *values, float *y, int64_t end,
                   int64_t size) {
    float scores[end], largest = -INFINITY, sum = 0, scale = 1 / sqrtf(size);
    for (int64_t t = 0; t < end; t++) {
        float dot = 0;
        for (int64_t j = 0; j < size; j++) dot += q[j] * keys[t * size + j];
        scores[t] = dot * scale;
    }
    for (int64_t t = 0; t < end; t++) largest = scores[t] > largest ? scores[t] : largest;
    for (int64_t t = 0; t < end; t++) sum += scores[t] = exponential(scores[t] - largest);
    for (int64_t j = 0; j < size; j++) y[j] = 0;
    for (int64_t t = 0; t < end; t++)
        for (int64_t j = 0; j < size; j++) y[j] += scores[t] / sum * values[t * size + j];
}

static void forward(const struct model *m, float *x, float *logits, float *scratch,
                    int64_t position, struct team team) {
    int64_t width = m->width, size = width / m->n_head, end = position + 1;
    float normed[width], *qkv = scratch, *y = qkv + 3 * width, *hidden = y + width;
    struct range mine, heads = part(m->n_head, 1, team);
    for (int64_t layer = 0; layer < m->n_layer; layer++) {
        const struct block *block = m->blocks + layer;
        normalize(block->ln_1, x, normed, width); /* by each thread */
        multiply(&block->c_attn, normed, qkv, team);
        meet(team);
        for (int64_t head = heads.from; head < heads.to; head++) {
            int64_t first = (layer * m->n_head + head) * m->window * size, at = head * size;
            float *keys = m->keys + first, *values = m->values + first;
            memcpy(keys + position * size, qkv + width + at, size * sizeof *keys);
            memcpy(values + position * size, qkv + 2 * width + at, size * sizeof *values);
            attend(qkv + at, keys, values, y + at, end, size);
        }
        meet(team);
        mine = multiply(&block->attn_proj, y, hidden, team);
        for (int64_t i = mine.from; i < mine.to; i++) x[i] += hidden[i];
        meet(team);
        normalize(block->ln_2, x, normed, width);
        mine = multiply(&block->c_fc, normed, hidden, team);
        for (int64_t i = mine.from; i < mine.to; i++) hidden[i] = gelu(hidden[i]);
        meet(team);
        mine = multiply(&block->mlp_proj, hidden, y, team);
        for (int64_t i = mine.from; i < mine.to; i++) x[i] += y[i];
        meet(team);
    }
    normalize(m->ln_f, x, normed, width);
    multiply(&m->head, normed, logits, team);
}

/* The embedding x (width,) of the token at `position`, whose predecessors' keys and values are
   stored, to logits (out of the head,). Stores its keys and values; overwrites x and `scratch`,
   which has room for 4 * width + (out of c_fc) numbers. */
void step(const struct model *m, float *x, float *logits, float *scratch, int64_t position,
          int threads) {
    atomic_int arrived = 0, turn = 0;
#pragma omp parallel num_threads(threads)
    forward(m, x, logits, scratch, position,
            (struct team){omp_get_thread_num(), omp_get_num_threads(), &arrived, &turn});
}
