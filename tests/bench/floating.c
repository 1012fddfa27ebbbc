/*
 * Loads of the floating-point and vector units. Only operations that IEEE 754
 * rounds exactly are used (no sine, no exponential): their results are equal
 * on every correct CPU. The x87 ones stay in 80 bits.
 */
#include "loads.h"

#include <emmintrin.h>
#include <math.h>
#include <string.h>

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Scalar doubles and branches: how long points stay in the plane. */
static uint64_t fractal(void)
{
    enum { SIDE = 360, LIMIT = 100 };
    uint64_t check = 0;
    for (int row = 0; row < SIDE; row++) {
        for (int column = 0; column < SIDE; column++) {
            const double re = -2.0 + 2.5 * column / SIDE;
            const double im = -1.25 + 2.5 * row / SIDE;
            double x = re, y = im;
            int i = 0;
            for (; i < LIMIT && x * x + y * y <= 4.0; i++) {
                const double next = x * x - y * y + re;
                y = 2.0 * x * y + im;
                x = next;
            }
            check = loads_fold(check, (uint64_t)i);
        }
    }
    return check;
}

/* Divisions and roots: planets without a sun. */
static uint64_t orbit(void)
{
    enum { BODIES = 4, AXES = 3 };
    double place[BODIES][AXES], speed[BODIES][AXES] = {{0}};
    for (int b = 0; b < BODIES; b++)
        for (int a = 0; a < AXES; a++)
            place[b][a] = (b + 1) * (a == b % AXES ? 3.5 : -1.25);
    for (int step = 0; step < 84000; step++) {
        for (int b = 0; b < BODIES; b++) {
            for (int o = 0; o < BODIES; o++) {
                double way[AXES], square = 0.5;
                for (int a = 0; a < AXES; a++) {
                    way[a] = place[o][a] - place[b][a];
                    square += way[a] * way[a];
                }
                const double pull = 0.001 / (square * sqrt(square));
                for (int a = 0; a < AXES; a++)
                    speed[b][a] += way[a] * pull;
            }
        }
        for (int b = 0; b < BODIES; b++)
            for (int a = 0; a < AXES; a++)
                place[b][a] += 0.01 * speed[b][a];
    }
    return bits_of(place[0][0]) ^ bits_of(place[BODIES - 1][1]);
}

enum { SIDE = 96 };
static double matrix_a[SIDE * SIDE], matrix_b[SIDE * SIDE];
static double matrix_c[SIDE * SIDE];

static void prepare_matrix(void)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        matrix_a[i] = (i % 13) * 0.75 - 2;
        matrix_b[i] = (i % 31) * 0.125 + 1;
    }
}

/* Packed doubles. */
static uint64_t matrix(void)
{
    for (int round = 0; round < 12; round++) {
        memset(matrix_c, 0, sizeof matrix_c);
        for (int i = 0; i < SIDE; i++) {
            for (int k = 0; k < SIDE; k++) {
                const __m128d f = _mm_set1_pd(matrix_a[i * SIDE + k]);
                for (int j = 0; j < SIDE; j += 2) {
                    double *to = &matrix_c[i * SIDE + j];
                    const __m128d b = _mm_loadu_pd(&matrix_b[k * SIDE + j]);
                    _mm_storeu_pd(
                        to, _mm_add_pd(_mm_loadu_pd(to), _mm_mul_pd(f, b)));
                }
            }
        }
        matrix_a[round] = matrix_c[round] * 0x1p-12;
    }
    return bits_of(matrix_c[17]) ^ bits_of(matrix_c[SIDE * SIDE - 5]);
}

/* Packed singles: a polynomial of four values at once. */
static uint64_t single(void)
{
    const float factors[] = {0.5f, -0.25f, 1.75f, 0.125f, -1.5f, 0.375f};
    __m128 sum = _mm_setzero_ps();
    for (int i = 0; i < 1200000; i++) {
        const float at = (float)(i & 1023) * 0x1p-10f;
        const __m128 x = _mm_setr_ps(at, -at, at * 0.5f, 1 - at);
        __m128 value = _mm_set1_ps(factors[0]);
        for (int k = 1; k < 6; k++)
            value = _mm_add_ps(_mm_mul_ps(value, x), _mm_set1_ps(factors[k]));
        sum = _mm_add_ps(sum, _mm_max_ps(value, _mm_setzero_ps()));
    }
    float lanes[4];
    _mm_storeu_ps(lanes, sum);
    return bits_of(lanes[0]) ^ bits_of(lanes[1] * 3.0) ^ bits_of(lanes[3]);
}

/* Between whole numbers, singles and doubles. */
static uint64_t convert(void)
{
    uint64_t state = 23, check = 0;
    for (int i = 0; i < 3000000; i++) {
        const int64_t whole = (int64_t)(loads_random(&state) >> 12);
        const double d = (double)whole * 0.37;
        const float f = (float)d;
        check += (uint64_t)(int64_t)d;
        check ^= (uint64_t)(int64_t)(f * 0.5f);
        check += (uint64_t)(int32_t)(whole & 0xffff) * (d > f ? 1u : 3u);
    }
    return check;
}

/* Packed whole numbers: distances between rows of bytes, sums of products. */
static uint64_t vectors(void)
{
    enum { SIZE = 4096 };
    static uint8_t a[SIZE], b[SIZE];
    __m128i sum = _mm_setzero_si128(), products = sum;
    for (int i = 0; i < SIZE; i++) {
        a[i] = (uint8_t)(i * 37);
        b[i] = (uint8_t)(i * 91 + 5);
    }
    for (int round = 0; round < 12000; round++) {
        for (int i = 0; i < SIZE; i += 16) {
            const __m128i x = _mm_loadu_si128((const void *)(a + i));
            const __m128i y = _mm_loadu_si128((const void *)(b + i));
            sum = _mm_add_epi64(sum, _mm_sad_epu8(x, y));
            const __m128i near = _mm_cmpgt_epi8(x, y);
            const __m128i mixed =
                _mm_or_si128(_mm_and_si128(near, x), _mm_andnot_si128(near, y));
            products = _mm_add_epi32(products, _mm_madd_epi16(mixed, x));
            products = _mm_shuffle_epi32(products, 0x39);
        }
        a[round % SIZE] ^= 1;
    }
    uint64_t lanes[4];
    _mm_storeu_si128((void *)lanes, sum);
    _mm_storeu_si128((void *)(lanes + 2), products);
    return loads_fold(loads_fold(lanes[0], lanes[1]), lanes[2] ^ lanes[3]);
}

static uint64_t bits_of_long(long double value)
{
    uint64_t parts[2] = {0};
    memcpy(parts, &value, 10);
    return loads_fold(parts[0], parts[1]);
}

/* x87: a chain of sums, products and divisions. */
static uint64_t x87(void)
{
    volatile long double one = 1;
    long double sum = 0, sign = one, power = one;
    for (int i = 1; i < 800000; i++) {
        sum += sign / (2 * i - 1);
        power = power * 1.0000001L - sum * 1e-9L;
        sign = -sign;
    }
    return bits_of_long(sum) ^ bits_of_long(power);
}

/* x87: roots, rounding, comparing, loading and storing. */
static uint64_t x87_mixed(void)
{
    volatile long double start = 2;
    volatile double stored = 0;
    long double value = start;
    uint64_t check = 0;
    for (int i = 0; i < 600000; i++) {
        long double root = value;
        __asm__("fsqrt" : "+t"(root));
        stored = (double)root;
        check += (uint64_t)(int64_t)(root * 1000);
        value = root > 40 ? stored * 0.5L : value * 1.5L + i;
    }
    return check ^ bits_of_long(value);
}

const struct load loads_float[] = {
    {"fractal", NULL, fractal},
    {"orbit", NULL, orbit},
    {"matrix", prepare_matrix, matrix},
    {"single", NULL, single},
    {"convert", NULL, convert},
    {"vectors", NULL, vectors},
    {"x87", NULL, x87},
    {"x87-mixed", NULL, x87_mixed},
    {NULL, NULL, NULL},
};
