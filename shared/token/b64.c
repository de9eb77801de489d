#include "base/secret.h"
#include "token/crypto.h"
#include <openssl/evp.h>
#include <string.h>

/* Blocks on the stack: no second copy of what may be a key is ever in freed memory. */
enum { BLOCK_BYTES = 192, BLOCK_CHARS = BLOCK_BYTES / 3 * 4 };

void b64_encode(const void *data, size_t len, struct buf *out)
{
    const unsigned char *from = data;
    unsigned char text[BLOCK_CHARS + 1];

    for (size_t n; len > 0; from += n, len -= n) {
        n = len < BLOCK_BYTES ? len : BLOCK_BYTES;
        buf_put(out, text, (size_t)EVP_EncodeBlock(text, from, (int)n));
    }
    secret_wipe(text, sizeof text);
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

enum { COMMON = 1, STANDARD = 2, URL_SAFE = 4 };
static const unsigned char alphabet[256] = {
    ['A' ... 'Z'] = COMMON, ['a' ... 'z'] = COMMON, ['0' ... '9'] = COMMON, ['+'] = STANDARD,
    ['/'] = STANDARD,       ['-'] = URL_SAFE,       ['_'] = URL_SAFE,
};

/* Length without padding, or -1. OpenSSL alone would skip white space and accept padding anywhere near the end. */
static long check(const char *text, size_t len)
{
    size_t padding = 0;
    unsigned seen = 0;

    while (padding < 2 && len > 0 && text[len - 1] == '=') {
        padding++;
        len--;
    }
    if ((padding && (len + padding) % 4 != 0) || len % 4 == 1) return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned kind = alphabet[(unsigned char)text[i]];

        if (!kind) return -1;
        seen |= kind;
    }
    return (seen & (STANDARD | URL_SAFE)) == (STANDARD | URL_SAFE) ? -1 : (long)len;
}

/* One block of ${chars} checked characters; 0 if bits behind the last byte are set. */
static int decode_block(const char *text, size_t chars, unsigned char *out)
{
    unsigned char standard[BLOCK_CHARS], bytes[BLOCK_BYTES];
    size_t padded = (chars + 3) / 4 * 4, len = chars * 3 / 4;
    unsigned rest = 0;
    int ok;

    for (size_t i = 0; i < chars; i++)
        standard[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : (unsigned char)text[i];
    memset(standard + chars, 'A', padded - chars); /* six zero bits */
    ok = EVP_DecodeBlock(bytes, standard, (int)padded) == (int)(padded / 4 * 3);
    if (ok) {
        memcpy(out, bytes, len);
        for (size_t i = len; i < padded / 4 * 3; i++)
            rest |= bytes[i];
    }
    secret_wipe(standard, sizeof standard);
    secret_wipe(bytes, sizeof bytes);
    return ok && rest == 0;
}

int b64_decode(const char *text, size_t text_len, unsigned char *out, size_t out_cap, size_t *out_len)
{
    long len = check(text, text_len);
    size_t chars;

    if (len < 0 || (size_t)len / 4 * 3 + (size_t)len % 4 * 3 / 4 > out_cap) return 0;
    chars = (size_t)len;
    for (size_t at = 0; at < chars; at += BLOCK_CHARS)
        if (!decode_block(text + at, chars - at < BLOCK_CHARS ? chars - at : BLOCK_CHARS, out + at / 4 * 3)) return 0;
    *out_len = chars / 4 * 3 + chars % 4 * 3 / 4;
    return 1;
}
