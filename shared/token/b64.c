#include "base/secret.h"
#include "token/crypto.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void b64_encode(const void *data, size_t len, struct buf *out)
{
    size_t size = (len + 2) / 3 * 4 + 1;
    unsigned char *text = malloc(size);

    if (!text) {
        out->failed = 1;
        return;
    }
    EVP_EncodeBlock(text, data, (int)len);
    buf_put(out, text, size - 1);
    secret_wipe(text, size);
    free(text);
}

void b64url_encode(const void *data, size_t len, struct buf *out)
{
    size_t from = out->len;

    b64_encode(data, len, out);
    if (out->failed) return;
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '+') out->data[i] = '-';
        if (out->data[i] == '/') out->data[i] = '_';
    }
    while (out->len > from && out->data[out->len - 1] == '=')
        out->data[--out->len] = '\0';
}

/* Length without padding, or -1: OpenSSL alone would accept white space, any padding and both alphabets at once. */
static long check_alphabet(const char *text, size_t len)
{
    size_t padding = 0;
    int standard = 0, url = 0;

    while (padding < 2 && len > 0 && text[len - 1] == '=') {
        padding++;
        len--;
    }
    if ((padding && (len + padding) % 4 != 0) || len % 4 == 1) return -1;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        standard |= c == '+' || c == '/';
        url |= c == '-' || c == '_';
        if (!c || !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_", c)) return -1;
    }
    return standard && url ? -1 : (long)len;
}

int b64_decode(const char *text, size_t text_len, unsigned char *out, size_t out_cap, size_t *out_len)
{
    long len = check_alphabet(text, text_len);
    size_t blocks = len < 0 ? 0 : ((size_t)len + 3) / 4 * 4, bytes = len < 0 ? 0 : (size_t)len * 3 / 4;
    unsigned char *padded, *decoded;
    struct buf again = {0};
    int ok;

    if (len < 0 || bytes > out_cap) return 0;
    padded = malloc(blocks * 2 + 8);
    if (!padded) return 0;
    decoded = padded + blocks + 4;
    memset(padded, '=', blocks);
    for (long i = 0; i < len; i++)
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : (unsigned char)text[i];
    ok = blocks == 0 || EVP_DecodeBlock(decoded, padded, (int)blocks) >= 0;
    if (ok) {
        memcpy(out, decoded, bytes);
        *out_len = bytes;
        b64_encode(out, bytes, &again); /* bits behind the last byte would be lost in silence */
        ok = !again.failed && again.len == blocks && (blocks == 0 || !memcmp(again.data, padded, blocks));
    }
    secret_wipe(padded, blocks * 2 + 8);
    free(padded);
    buf_free(&again);
    return ok;
}
