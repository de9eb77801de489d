/* The envelope between this program and an application in Node, both ways, with Node's own crypto on the other side. */
#include "keyring_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { LONG_BYTES = 4096 };

/* What an envelope can vary in. */
struct scene {
    const char *key, *salt;
    int64_t kdf;
};
static const struct scene scenes[] = {
    {FIXTURE_KEY, "", 1},
    {FIXTURE_KEY, "", 100000},
    {FIXTURE_KEY, FIXTURE_SALT, 1},
    {FIXTURE_OLD_KEY, FIXTURE_SALT, 100000},
    {"cl\xc3\xa9 ma\xc3\xaetresse \xf0\x9f\x94\x91", "Pfeffer \xc3\xbc\xc3\x9f", 1000}};
static char long_token[LONG_BYTES + 1];
static const char *const tokens[] = {
    "x", FIXTURE_TOKEN, "jeton \xc3\xa9\xc3\xa0 \xe4\xbb\xa4\xe7\x89\x8c \xf0\x9f\x94\x91\xe2\x80\x8d", long_token};
enum { SCENES = sizeof scenes / sizeof *scenes, TOKENS = sizeof tokens / sizeof *tokens };

static pid_t start_node(int *to, int *from)
{
    static const char *const names[] = {"node", "nodejs"};
    posix_spawn_file_actions_t actions;
    int in[2], out[2], why = ENOENT;
    pid_t pid = -1;

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int i = 0; i < 2 && why != 0; i++) {
        char name[8], script[] = "tests/unit/interop.js";
        char *argv[] = {name, script, NULL};

        snprintf(name, sizeof name, "%s", names[i]);
        why = posix_spawnp(&pid, name, &actions, NULL, argv, environ);
    }
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (why != 0) fail_msg("node cannot be run (%s): install nodejs, or run tests/install-tools test", strerror(why));
    *to = in[1];
    *from = out[0];
    return pid;
}

/* Node reads all requests before it answers: the pipes cannot block each other. */
static void ask_node(const struct buf *requests, struct buf *answers)
{
    char chunk[4096];
    int to, from, status = 0;
    pid_t pid = start_node(&to, &from);
    ssize_t n;

    for (size_t at = 0; at < requests->len; at += (size_t)n) {
        n = write(to, requests->data + at, requests->len - at);
        if (n <= 0) fail_msg("node does not take the requests: %s", strerror(errno));
    }
    close(to);
    while ((n = read(from, chunk, sizeof chunk)) > 0)
        buf_put(answers, chunk, (size_t)n);
    close(from);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("node ended with status %#x", (unsigned)status);
}

static void put_request(struct buf *requests, struct json *request)
{
    assert_int_equal(json_print(request, requests, NULL), ERR_OK);
    buf_puts(requests, "\n");
    json_free(request);
}

static struct json *request_of(const char *op, const struct scene *scene)
{
    struct json *request = json_object_new();

    json_set(request, "op", json_new_string(op));
    json_set(request, "key", json_new_string(scene->key));
    json_set(request, "globalSalt", json_new_string(scene->salt));
    return request;
}

/* The next line of the answers, as JSON. */
static struct json *next_answer(const struct buf *answers, size_t *at)
{
    const char *line = answers->data + *at, *end = *at < answers->len ? strchr(line, '\n') : NULL;
    struct json *answer = NULL;

    if (!end) fail_msg("node gave fewer answers than there were requests");
    *at += (size_t)(end - line) + 1;
    if (json_parse(line, (size_t)(end - line), &answer, NULL) != ERR_OK) fail_msg("node's answer is not JSON");
    if (json_member(answer, "error")) fail_msg("node: %s", json_string(json_member(answer, "error")));
    return answer;
}

static void assert_token(const struct json *answer, const char *want)
{
    const char *got = json_string(json_member(answer, "token"));

    assert_non_null(got);
    assert_string_equal(got, want);
}

static void what_node_seals_opens_here(void **state)
{
    struct buf requests = {0}, answers = {0};
    size_t at = 0;

    (void)state;
    for (int s = 0; s < SCENES; s++)
        for (int t = 0; t < TOKENS * 2; t++) {
            struct json *request = request_of("seal", &scenes[s]);

            json_set(request, "kdf", json_new_int(scenes[s].kdf));
            json_set(request, "token", json_new_string(tokens[t / 2]));
            json_set(request, "asText", json_new_bool(t % 2));
            put_request(&requests, request);
        }
    ask_node(&requests, &answers);
    for (int s = 0; s < SCENES; s++) {
        struct keyring *ring = fixture_ring_of(scenes[s].key, scenes[s].salt, 77); /* its own default does not matter */

        for (int t = 0; t < TOKENS * 2; t++) {
            struct json *answer = next_answer(&answers, &at);
            struct secret token = {0};
            struct envelope env;
            struct err err = {0};

            assert_int_equal(json_type(json_member(answer, "envelope")), t % 2 ? JSON_STRING : JSON_OBJECT);
            if (envelope_parse(json_member(answer, "envelope"), &env, &err) != ERR_OK ||
                keyring_open(ring, &env, &token, NULL, &err) != ERR_OK)
                fail_msg("scene %d, token %d: %s", s, t / 2, err.text);
            assert_int_equal(env.kdf, scenes[s].kdf);
            assert_int_equal(token.len, strlen(tokens[t / 2]));
            assert_memory_equal(secret_bytes(&token), tokens[t / 2], token.len);
            secret_free(&token);
            envelope_fini(&env);
            json_free(answer);
        }
        keyring_free(ring);
    }
    buf_free(&requests);
    buf_free(&answers);
}

static struct json *sealed_here(const struct keyring *ring, const char *text, int as_text)
{
    struct secret token = fixture_secret(text);
    struct envelope env;
    struct buf printed = {0};
    struct json *object, *value;

    assert_int_equal(keyring_seal(ring, &token, &env, NULL), ERR_OK);
    object = envelope_to_json(&env);
    assert_non_null(object);
    secret_free(&token);
    envelope_fini(&env);
    if (!as_text) return object;
    assert_int_equal(json_print(object, &printed, NULL), ERR_OK);
    value = json_new_string(buf_text(&printed));
    json_free(object);
    buf_free(&printed);
    return value;
}

static void what_is_sealed_here_node_opens(void **state)
{
    struct buf requests = {0}, answers = {0};
    size_t at = 0;

    (void)state;
    for (int s = 0; s < SCENES; s++) {
        struct keyring *ring = fixture_ring_of(scenes[s].key, scenes[s].salt, scenes[s].kdf);

        for (int t = 0; t < TOKENS * 2; t++) {
            struct json *request = request_of("open", &scenes[s]);

            json_set(request, "envelope", sealed_here(ring, tokens[t / 2], t % 2));
            put_request(&requests, request);
        }
        keyring_free(ring);
    }
    ask_node(&requests, &answers);
    for (int i = 0; i < SCENES * TOKENS * 2; i++) {
        struct json *answer = next_answer(&answers, &at);

        assert_token(answer, tokens[i % (TOKENS * 2) / 2]);
        json_free(answer);
    }
    buf_free(&requests);
    buf_free(&answers);
}

static struct json *fast_sealed_here(const struct scene *scene, const struct fast_binding *binding, const char *text)
{
    struct keyring *ring = fixture_ring_of(scene->key, scene->salt, 1);
    struct secret token = fixture_secret(text);
    struct json *fast = NULL;
    unsigned char of[32];

    keyring_print(ring, &token, of);
    assert_int_equal(keyring_fast_seal(ring, &token, binding, of, &fast, NULL), ERR_OK);
    secret_free(&token);
    keyring_free(ring);
    return fast;
}

static void a_fast_envelope_is_made_of_standard_parts_only(void **state)
{
    static const struct fast_binding binding = {"k\xc3\xb6nto-1", "instagram", "access"};
    struct buf requests = {0}, answers = {0};
    size_t at = 0;

    (void)state;
    for (int t = 0; t < TOKENS; t++) {
        struct json *request = request_of("openFast", &scenes[t]), *names = json_array_new();

        json_push(names, json_new_string(binding.account_id));
        json_push(names, json_new_string(binding.platform));
        json_push(names, json_new_string(binding.field));
        json_set(request, "binding", names);
        json_set(request, "fast", fast_sealed_here(&scenes[t], &binding, tokens[t]));
        put_request(&requests, request);
    }
    ask_node(&requests, &answers);
    for (int t = 0; t < TOKENS; t++) {
        struct json *answer = next_answer(&answers, &at);

        assert_token(answer, tokens[t]);
        json_free(answer);
    }
    buf_free(&requests);
    buf_free(&answers);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* a node that ends early is a failure with a reason */
    for (int i = 0; i < LONG_BYTES; i++)
        long_token[i] = (char)('!' + i % 90);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_node_seals_opens_here),
        cmocka_unit_test(what_is_sealed_here_node_opens),
        cmocka_unit_test(a_fast_envelope_is_made_of_standard_parts_only),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
