/* y = x W' + bias: a matrix W (out, in) of fewer bits, stored by output, a few rows x (rows, in),
   and a bias (out,) or NULL. x, bias and y are float32. Threads share the outputs.

   Plain loops, which a compiler turns into the vector instructions of its processor. native.py
   compiles and loads this file. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 128 };   /* weights that share a scale */
enum { STEPS = 32767 }; /* of x each way from 0; the sum of a block is at most 128 * 127 * 32767 */

/* bfloat16 is the upper half of a float */
static float widen(uint16_t upper) {
    uint32_t bits = (uint32_t)upper << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* weights (out, in) in bfloat16 */
void bf16_product(const uint16_t *weights, const float *bias, const float *x, float *y,
                  int64_t rows, int64_t out, int64_t in, int threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < out; i++)
        for (int64_t r = 0; r < rows; r++) {
            float sum = 0;
            for (int64_t j = 0; j < in; j++) sum += widen(weights[i * in + j]) * x[r * in + j];
            y[r * out + i] = sum + (bias ? bias[i] : 0);
        }
}

/* x (in,) in steps of 16 bits, filled with 0 up to `size`; returns what a step is. */
static float rounded(const float *x, int64_t in, int16_t *steps, int64_t size) {
    float largest = 1e-30f, zero = 0;
    for (int64_t j = 0; j < in; j++) {
        largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
        zero += 0 * x[j]; /* NaN if x is not finite: then y is not either */
    }
    for (int64_t j = 0; j < in; j++) steps[j] = (int16_t)rintf(x[j] * (STEPS / largest));
    for (int64_t j = in; j < size; j++) steps[j] = 0;
    return largest / STEPS + zero;
}

/* weights (out, blocks, BLOCK) in 8 bits, whose scales are (out, blocks); the last block of an
   output may reach beyond x. x is rounded to 16 bits, so that a block is summed in integers. */
void int8_product(const int8_t *weights, const float *scales, const float *bias, const float *x,
                  float *y, int64_t rows, int64_t out, int64_t in, int threads) {
    int64_t blocks = (in + BLOCK - 1) / BLOCK, size = blocks * BLOCK;
    int16_t steps[rows * size];
    float step[rows];
    for (int64_t r = 0; r < rows; r++) step[r] = rounded(x + r * in, in, steps + r * size, size);
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < out; i++)
        for (int64_t r = 0; r < rows; r++) {
            int32_t sums[blocks]; /* scaled in a loop of their own, by vectors too */
            for (int64_t b = 0; b < blocks; b++) {
                const int8_t *block = weights + i * size + b * BLOCK;
                int32_t sum = 0;
                for (int64_t j = 0; j < BLOCK; j++)
                    sum += block[j] * steps[r * size + b * BLOCK + j];
                sums[b] = sum;
            }
            float sum = 0;
            for (int64_t b = 0; b < blocks; b++) sum += scales[i * blocks + b] * (float)sums[b];
            y[r * out + i] = sum * step[r] + (bias ? bias[i] : 0);
        }
}
