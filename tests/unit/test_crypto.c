/* The primitives give what the standards' own examples say; Base64 takes the two alphabets and nothing else. */
#include "keyring_fixture.h"
#include "token/crypto_private.h"

static void hex_to_bytes(const char *hex, unsigned char *out)
{
    for (size_t i = 0; hex[2 * i]; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
}

static void assert_bytes(const unsigned char *got, const char *hex)
{
    unsigned char want[256];

    hex_to_bytes(hex, want);
    assert_memory_equal(got, want, strlen(hex) / 2);
}

static void sha256_gives_the_examples_of_fips_180(void **state)
{
    static const struct {
        const char *text, *hex;
    } cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    char hex[SHA256_HEX_BYTES];
    unsigned char sum[SHA256_BYTES];

    (void)state;
    for (int round = 0; round < 2; round++) /* the context is used again */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            crypto_sha256_hex(cases[i].text, strlen(cases[i].text), hex);
            assert_string_equal(hex, cases[i].hex);
            crypto_sha256(cases[i].text, strlen(cases[i].text), sum);
            assert_bytes(sum, cases[i].hex);
        }
}

static void random_bytes_differ_and_fill_what_was_asked_for(void **state)
{
    unsigned char a[64], b[64], seen[33] = {0};

    (void)state;
    assert_int_equal(crypto_random(a, sizeof a, NULL), ERR_OK);
    assert_int_equal(crypto_random(b, sizeof b, NULL), ERR_OK);
    assert_memory_not_equal(a, b, sizeof a);
    for (int i = 0; i < 64; i++) {
        unsigned char room[33] = {0};

        assert_int_equal(crypto_random(room, 32, NULL), ERR_OK);
        assert_int_equal(room[32], 0);
        for (int j = 0; j < 32; j++)
            seen[j] |= room[j];
    }
    for (int j = 0; j < 32; j++)
        assert_int_equal(seen[j], 0xff);
}

static void equal_sees_a_difference_at_any_place(void **state)
{
    unsigned char a[32] = {1, 2, 3}, b[32] = {1, 2, 3};

    (void)state;
    assert_int_equal(crypto_equal(a, b, sizeof a), 1);
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        assert_int_equal(crypto_equal(a, b, sizeof a), 0);
        b[i] ^= 0x80;
    }
}

static void hmac_gives_the_examples_of_rfc_4231(void **state)
{
    struct secret key = fixture_secret("Jefe");
    const struct crypto_piece pieces[] = {{"what do ya ", 11}, {"want for nothing?", 17}};
    unsigned char out[32], long_key[131];

    (void)state;
    assert_int_equal(crypto_hmac(&key, pieces, 2, out), 1);
    assert_bytes(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof long_key);
    assert_int_equal(secret_put(&key, long_key, sizeof long_key, NULL), ERR_OK);
    const struct crypto_piece one = {"Test Using Larger Than Block-Size Key - Hash Key First", 54};
    assert_int_equal(crypto_hmac(&key, &one, 1, out), 1);
    assert_bytes(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    secret_free(&key);
}

static void hmac_in_hex_is_the_example_of_rfc_4231_and_a_secret(void **state)
{
    struct secret key = fixture_secret("Jefe"), message = fixture_secret("what do ya want for nothing?"), out = {0};

    (void)state;
    assert_int_equal(crypto_hmac_hex(&key, &message, &out, NULL), ERR_OK);
    assert_string_equal((const char *)secret_bytes(&out),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(out.len, 64);
    secret_free(&key);
    secret_free(&message);
    secret_free(&out);
}

static void hkdf_gives_the_example_of_rfc_5869(void **state)
{
    unsigned char ikm[22], salt[13], key[32];
    struct secret secret = {0};

    (void)state;
    memset(ikm, 0x0b, sizeof ikm);
    for (int i = 0; i < 13; i++)
        salt[i] = (unsigned char)i;
    assert_int_equal(secret_put(&secret, ikm, sizeof ikm, NULL), ERR_OK);
    assert_int_equal(
        crypto_hkdf(&secret, (struct crypto_piece){salt, sizeof salt}, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", key),
        1);
    assert_bytes(key, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    secret_free(&secret);
}

static void pbkdf2_gives_the_known_keys_even_for_one_iteration(void **state)
{
    static const struct {
        int64_t iterations;
        const char *hex;
    } cases[] = {{1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"},
                 {2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"},
                 {4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"}};
    struct secret password = fixture_secret("password");
    unsigned char key[32];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(crypto_pbkdf2(&password, (struct crypto_piece){"salt", 4}, cases[i].iterations, key, NULL),
                         ERR_OK);
        assert_bytes(key, cases[i].hex);
    }
    secret_free(&password);
}

/* Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation". */
static void gcm_gives_the_example_of_its_authors(void **state)
{
    unsigned char key[32], iv[12], aad[20], plain[60], data[60], tag[16], again[60];
    const struct crypto_gcm gcm = {key, iv, aad, sizeof aad};

    (void)state;
    hex_to_bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
    hex_to_bytes("cafebabefacedbaddecaf888", iv);
    hex_to_bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
    hex_to_bytes(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de"
        "657ba637b39",
        plain);
    for (int round = 0; round < 2; round++) { /* seal and open take turns on one context */
        assert_int_equal(crypto_gcm_seal(&gcm, plain, sizeof plain, tag, data), 1);
        assert_bytes(
            data, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f6"
                  "1e6393ba7a0abcc9f662");
        assert_bytes(tag, "76fc6ece0f4e1768cddf8853bb2d551b");
        assert_int_equal(crypto_gcm_open(&gcm, data, sizeof data, tag, again), 1);
        assert_memory_equal(again, plain, sizeof plain);
        aad[round] ^= 1;
        assert_int_equal(crypto_gcm_open(&gcm, data, sizeof data, tag, again), 0);
        aad[round] ^= 1;
    }
}

static void base64_gives_the_examples_of_rfc_4648(void **state)
{
    static const struct {
        const char *bytes, *padded, *url;
    } cases[] = {{"", "", ""},
                 {"f", "Zg==", "Zg"},
                 {"fo", "Zm8=", "Zm8"},
                 {"foo", "Zm9v", "Zm9v"},
                 {"foob", "Zm9vYg==", "Zm9vYg"},
                 {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                 {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                 {"\xfb\xff\xfe", "+//+", "-__-"},
                 {"\xff\xef", "/+8=", "_-8"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf padded = {0}, url = {0};
        unsigned char out[16];
        size_t len = 99, size = strlen(cases[i].bytes);

        b64_encode(cases[i].bytes, size, &padded);
        b64url_encode(cases[i].bytes, size, &url);
        assert_string_equal(buf_text(&padded), cases[i].padded);
        assert_string_equal(buf_text(&url), cases[i].url);
        assert_int_equal(b64_decode(cases[i].padded, strlen(cases[i].padded), out, sizeof out, &len), 1);
        assert_int_equal(len, size);
        assert_memory_equal(out, cases[i].bytes, size);
        assert_int_equal(b64_decode(cases[i].url, strlen(cases[i].url), out, size, &len), 1);
        assert_int_equal(len, size);
        assert_memory_equal(out, cases[i].bytes, size);
        buf_free(&padded);
        buf_free(&url);
    }
}

static void base64_of_every_length_comes_back_in_all_forms(void **state)
{
    unsigned char bytes[700], out[700];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + i / 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct buf text = {0}, url = {0};
        size_t got = 0, bare;

        buf_puts(&text, "before=");
        b64_encode(bytes, len, &text);
        b64url_encode(bytes, len, &url);
        assert_int_equal(text.len, 7 + (len + 2) / 3 * 4);
        assert_int_equal(url.len, (len * 4 + 2) / 3);
        for (bare = text.len; bare > 7 && text.data[bare - 1] == '=';)
            bare--;
        assert_int_equal(b64_decode(text.data + 7, text.len - 7, out, len, &got), 1);
        assert_int_equal(got, len);
        assert_memory_equal(out, bytes, len);
        assert_int_equal(b64_decode(text.data + 7, bare - 7, out, len, &got), 1);
        assert_int_equal(got, len);
        assert_int_equal(b64_decode(buf_text(&url), url.len, out, len, &got), 1);
        assert_int_equal(got, len);
        assert_memory_equal(out, bytes, len);
        if (len) assert_int_equal(b64_decode(text.data + 7, text.len - 7, out, len - 1, &got), 0);
        buf_free(&text);
        buf_free(&url);
    }
}

static void base64_refuses_what_openssl_alone_would_take(void **state)
{
    static const char *const bad[] = {"A",          "AAAAA",
                                      "=",          "==",
                                      "====",       "A===",
                                      "AA=",        "AAA==",
                                      "AAAA=",      "AAAA==",
                                      "AA==AAAA",   "AA==AA==",
                                      "A=AA",       "=AAA",
                                      "AA=A",       " AAAA",
                                      "AAAA ",      "AAAA\n",
                                      "AAAA\r\n",   "AA\nAA",
                                      "AA AA",      "\tAAAA",
                                      "AAAA\n\n",   "AB==",
                                      "AB",         "AAB=",
                                      "AAB",        "Zg==\n",
                                      "Zh==",       "+_AA",
                                      "-/AA",       "AA+-",
                                      "AA,A",       "AA.A",
                                      "AA:A",       "AA*A",
                                      "AA\xc3\xa4", "\x80\x80\x80\x80",
                                      "AAA\xff",    "!!!!"};
    unsigned char out[64];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (b64_decode(bad[i], strlen(bad[i]), out, sizeof out, &len)) fail_msg("taken: \"%s\"", bad[i]);
    assert_int_equal(b64_decode("AA\0A", 4, out, sizeof out, &len), 0);
    assert_int_equal(b64_decode("AAAA\0", 5, out, sizeof out, &len), 0);
}

static int digit(unsigned c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '-' ? digits + 62 : c == '_' ? digits + 63 : c ? strchr(digits, (int)c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Every pair of bytes at the end of a text: taken only if both are digits and no bit is lost. */
static void base64_refuses_every_ending_that_loses_bits(void **state)
{
    unsigned char out[8];
    size_t len = 0;

    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        unsigned a = pair >> 8, b = pair & 255;
        const char text[2] = {(char)a, (char)b};
        int mixed =
            ((a == '+' || a == '/') && (b == '-' || b == '_')) || ((b == '+' || b == '/') && (a == '-' || a == '_'));
        int want = digit(a) >= 0 && digit(b) >= 0 && !mixed && (digit(b) & 15) == 0;

        if (b64_decode(text, 2, out, sizeof out, &len) != want) fail_msg("bytes %02x %02x: expected %d", a, b, want);
        if (want) assert_int_equal(out[0], digit(a) << 2 | digit(b) >> 4);
    }
}

static int setup(void **state)
{
    (void)state;
    return crypto_init(NULL) == ERR_OK && crypto_init(NULL) == ERR_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_examples_of_fips_180),
        cmocka_unit_test(random_bytes_differ_and_fill_what_was_asked_for),
        cmocka_unit_test(equal_sees_a_difference_at_any_place),
        cmocka_unit_test(hmac_gives_the_examples_of_rfc_4231),
        cmocka_unit_test(hmac_in_hex_is_the_example_of_rfc_4231_and_a_secret),
        cmocka_unit_test(hkdf_gives_the_example_of_rfc_5869),
        cmocka_unit_test(pbkdf2_gives_the_known_keys_even_for_one_iteration),
        cmocka_unit_test(gcm_gives_the_example_of_its_authors),
        cmocka_unit_test(base64_gives_the_examples_of_rfc_4648),
        cmocka_unit_test(base64_of_every_length_comes_back_in_all_forms),
        cmocka_unit_test(base64_refuses_what_openssl_alone_would_take),
        cmocka_unit_test(base64_refuses_every_ending_that_loses_bits),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
