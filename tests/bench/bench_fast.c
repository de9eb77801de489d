/* What opening a fast envelope costs in CPU time, from the struct json that the store hands over to the token: base64, HKDF,
 * AES-256-GCM, wiping. In between the same for the application's envelope, which is what a fast one saves, and which tells
 * how fast the machine is at the moment. Last line: JSON. */
#include "base/clock.h"
#include "token/crypto.h"
#include "token/keyring.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKEN_BYTES = 200, BATCHES = 1000, BATCH = 100, SLOW_OPENS = 20, LIMIT_US = 5 };

struct bench {
    struct keyring *ring;
    struct secret token;
    struct envelope env;
    struct json *fast;
    unsigned char of[SHA256_BYTES];
};
static const struct fast_binding binding = {"65f0c0ffee65f0c0ffee1234", "instagram", "access"};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int prepare(struct bench *b, struct err *err)
{
    static const char key_text[] = "a master key for measuring";
    struct secret key = {0};
    char token[TOKEN_BYTES];
    enum err_code rc = secret_put(&key, key_text, strlen(key_text), err);
    const struct keyring_key keys[] = {{"k1", &key}};
    const struct keyring_options options = {.keys = keys, .key_count = 1, .kdf_iterations = 100000};

    memset(token, 'x', sizeof token);
    if (rc == ERR_OK) rc = keyring_new(&options, &b->ring, err);
    if (rc == ERR_OK) rc = secret_put(&b->token, token, sizeof token, err);
    if (rc == ERR_OK) rc = keyring_seal(b->ring, &b->token, &b->env, err);
    if (rc == ERR_OK) keyring_mirror(b->ring, &b->env, b->of);
    if (rc == ERR_OK) rc = keyring_fast_seal(b->ring, &b->token, &binding, b->of, &b->fast, err);
    secret_free(&key);
    return rc == ERR_OK;
}

static int64_t cpu_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int open_fast(const struct bench *b, double *us, struct err *err)
{
    int64_t start_ns = cpu_now_ns();

    for (int i = 0; i < BATCH; i++) {
        struct secret token = {0};

        if (keyring_fast_open(b->ring, b->fast, &binding, b->of, &token, err) != ERR_OK) return 0;
        secret_free(&token);
    }
    *us = (double)(cpu_now_ns() - start_ns) / BATCH / 1000;
    return 1;
}

static int open_slow(const struct bench *b, double *us, struct err *err)
{
    struct secret token = {0};
    const char *kid;
    int64_t start_ns = cpu_now_ns();

    if (keyring_open(b->ring, &b->env, &token, &kid, err) != ERR_OK) return 0;
    *us = (double)(cpu_now_ns() - start_ns) / 1000;
    secret_free(&token);
    return 1;
}

static int open_both(const struct bench *b, double fast_us[BATCHES], double slow_us[SLOW_OPENS], struct err *err)
{
    for (int i = 0; i < BATCHES; i++) {
        if (i % (BATCHES / SLOW_OPENS) == 0 && !open_slow(b, &slow_us[i / (BATCHES / SLOW_OPENS)], err)) return 0;
        if (!open_fast(b, &fast_us[i], err)) return 0;
    }
    qsort(fast_us, BATCHES, sizeof *fast_us, by_value);
    qsort(slow_us, SLOW_OPENS, sizeof *slow_us, by_value);
    return 1;
}

static double mirror_us(const struct bench *b)
{
    unsigned char of[SHA256_BYTES];
    int64_t start_ns = clock_mono_ns();
    for (int i = 0; i < BATCHES; i++)
        keyring_mirror(b->ring, &b->env, of);
    return (double)(clock_mono_ns() - start_ns) / BATCHES / 1000;
}

int main(void)
{
    struct bench b = {0};
    struct err err = {0};
    double fast_us[BATCHES], slow_us[SLOW_OPENS];
    int ok = prepare(&b, &err) && open_both(&b, fast_us, slow_us, &err);

    if (ok) {
        printf("fast envelope of a %d byte token: median %.2f us, 99th percentile %.2f us; its mirror %.2f us\n",
               TOKEN_BYTES, fast_us[BATCHES / 2], fast_us[BATCHES * 99 / 100], mirror_us(&b));
        printf("baseline, the application's envelope with 100000 iterations: median %.0f us\n",
               slow_us[SLOW_OPENS / 2]);
        printf("{\"name\":\"fast_open_us\",\"value\":%.2f,\"unit\":\"us\",\"limit\":%d,\"pbkdf2_us\":%.0f}\n",
               fast_us[BATCHES / 2], LIMIT_US, slow_us[SLOW_OPENS / 2]);
    } else {
        fprintf(stderr, "bench_fast: %s\n", err.text);
    }
    json_free(b.fast);
    secret_free(&b.token);
    envelope_fini(&b.env);
    keyring_free(b.ring);
    return ok ? 0 : 1;
}
