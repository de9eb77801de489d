/* TLS is verified, and no token stays in memory behind a call, with TLS or without. The server is that of the openssl program. */
#include "http_fixture.h"
#include "memory_fixture.h"
#include "token/crypto.h"
#include <spawn.h>

/* ---- what stays in memory */

static void draw_token(unsigned char inverted[60], unsigned seed)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (int i = 0; i < 60; i++)
        inverted[i] = (unsigned char)~digits[rand_r(&seed) % 64];
}

static void use_a_token(const unsigned char *inverted, size_t len, enum behaviour behaviour, const char *method)
{
    struct server server = {.behaviour = behaviour, .text = OK_ANSWER};
    struct http_client *client = fixture_client(&(struct http_options){.total_timeout_ms = 400});
    struct secret token = fixture_inverted(inverted, len);
    struct http_request req = {.method = method};
    struct outcome o = {0};

    fixture_serve(&server);
    buf_printf(&req.url, "%s?access_token=%s", fixture_url(&server, "/"), (const char *)secret_bytes(&token));
    buf_printf(&req.headers[req.header_count++], "Authorization: Bearer %s", (const char *)secret_bytes(&token));
    buf_printf(&req.user_password, "id:%s", (const char *)secret_bytes(&token));
    buf_printf(&req.body, "refresh_token=%s", (const char *)secret_bytes(&token));
    assert_int_equal(http_start(client, &req, fixture_done, &o, NULL), ERR_OK);
    http_request_fini(&req);
    fixture_finish(client);
    assert_int_equal(o.calls, 1);
    assert_int_equal(fixture_memory_holds(inverted, len), 1); /* the secret itself: the search does find */
    secret_free(&token);
    memset(server.state, 0, sizeof *server.state);            /* shared with the server, which read the request */
    assert_int_equal(fixture_memory_holds(inverted, len), 0); /* with the client still there, for the next calls */
    http_client_free(client);
    fixture_stop(&server);
}

static void no_token_of_a_call_stays_in_memory_after_it(void **state)
{
    static const enum behaviour behaviours[] = {ANSWER, ANSWER_AND_CLOSE, ANSWER_AND_RESET, SAY_NOTHING};
    unsigned char inverted[60];

    (void)state;
    for (int i = 0; i < 8; i++) {
        draw_token(inverted, (unsigned)i + 1);
        use_a_token(inverted, sizeof inverted, behaviours[i / 2], i % 2 ? "POST" : "GET");
    }
}

/* ---- TLS, against the server of the openssl program */

static char tls_dir[] = "/tmp/th-tls-XXXXXX";
extern char **environ;

/* Runs openssl in tls_dir; out: NULL, or where its standard output can be read. */
static pid_t openssl(char *const *argv, int *out)
{
    posix_spawn_file_actions_t actions;
    int ends[2], why;
    pid_t pid = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, tls_dir);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (out) {
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    }
    why = posix_spawnp(&pid, "openssl", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (why != 0)
        fail_msg("openssl cannot be run (%s): install openssl, or run tests/install-tools test", strerror(why));
    if (!out) return pid;
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static void make_certificate(const char *name, const char *subject_names)
{
    char key[64], cert[64], names[128];
    char *argv[] = {(char[]){"openssl"},
                    (char[]){"req"},
                    (char[]){"-x509"},
                    (char[]){"-newkey"},
                    (char[]){"ec"},
                    (char[]){"-pkeyopt"},
                    (char[]){"ec_paramgen_curve:prime256v1"},
                    (char[]){"-nodes"},
                    (char[]){"-days"},
                    (char[]){"2"},
                    (char[]){"-subj"},
                    (char[]){"/CN=test"},
                    (char[]){"-addext"},
                    names,
                    (char[]){"-keyout"},
                    key,
                    (char[]){"-out"},
                    cert,
                    NULL};
    int status = 0;
    pid_t pid;

    snprintf(key, sizeof key, "%s.key", name);
    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(names, sizeof names, "subjectAltName=%s", subject_names);
    pid = openssl(argv, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static pid_t serve_tls(const char *name, const char *extra, int *port)
{
    char key[64], cert[64], option[32], line[256] = "";
    char *argv[] = {(char[]){"openssl"},
                    (char[]){"s_server"},
                    (char[]){"-accept"},
                    (char[]){"127.0.0.1:0"},
                    (char[]){"-key"},
                    key,
                    (char[]){"-cert"},
                    cert,
                    (char[]){"-HTTP"},
                    option,
                    NULL};
    int out;
    FILE *said;
    pid_t pid;

    snprintf(key, sizeof key, "%s.key", name);
    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(option, sizeof option, "%s", extra);
    if (!*extra) argv[9] = NULL;
    pid = openssl(argv, &out);
    said = fdopen(out, "r");
    *port = 0;
    while (*port == 0 && fgets(line, sizeof line, said))
        sscanf(line, "ACCEPT 127.0.0.1:%d", port);
    fclose(said);
    if (*port == 0) fail_msg("openssl s_server does not say its port: %s", line);
    return pid;
}

static int make_tls(void **state)
{
    char path[64];
    FILE *file;

    (void)state;
    if (crypto_init(NULL) != ERR_OK || !mkdtemp(tls_dir)) return -1;
    make_certificate("good", "IP:127.0.0.1");
    make_certificate("other", "DNS:graph.facebook.com,IP:10.0.0.1");
    snprintf(path, sizeof path, "%s/answer", tls_dir);
    file = fopen(path, "we");
    if (!file) return -1;
    fputs("HTTP/1.1 200 OK\r\nX-Test: tls\r\nContent-Length: 2\r\n\r\n{}", file);
    return fclose(file);
}

static int remove_tls(void **state)
{
    static const char *const names[] = {"good.key", "good.pem", "other.key", "other.pem", "answer", "token"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", tls_dir, names[i]);
        unlink(path);
    }
    return rmdir(tls_dir);
}

static void get_tls(const char *certificate, const char *extra, const char *trusted, struct outcome *o)
{
    char url[64], ca[64];
    int port;
    pid_t pid = serve_tls(certificate, extra, &port);

    snprintf(url, sizeof url, "https://127.0.0.1:%d/answer", port);
    snprintf(ca, sizeof ca, "%s/%s.pem", tls_dir, trusted ? trusted : "");
    fixture_get(&(struct http_options){.ca_file = trusted ? ca : NULL}, url, o);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void a_certificate_that_is_trusted_and_of_this_host_is_taken(void **state)
{
    struct outcome o;

    (void)state;
    get_tls("good", "", "good", &o);
    fixture_expect(&o, HTTP_ANSWERED, "a good certificate");
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "{}");
    assert_string_equal(o.header, "tls");
}

static void any_other_certificate_is_a_tls_failure(void **state)
{
    static const struct {
        const char *certificate, *extra, *trusted, *what;
    } cases[] = {{"good", "", NULL, "self-signed, not known to the system"},
                 {"good", "", "other", "not signed by whom we trust"},
                 {"other", "", "other", "trusted, but of another host"},
                 {"good", "", "absent", "no file of trusted certificates"},
                 {"good", "-tls1_1", "good", "an old version of TLS"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;

        get_tls(cases[i].certificate, cases[i].extra, cases[i].trusted, &o);
        fixture_expect(&o, HTTP_TLS_FAILED, cases[i].what);
    }
}

static void write_answer_with(const struct secret *token)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n";
    char path[64];
    int fd;

    snprintf(path, sizeof path, "%s/token", tls_dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, strlen(head)), strlen(head));
    assert_int_equal(write(fd, secret_bytes(token), token->len), token->len);
    close(fd);
}

/* TLS has buffers of its own; the answer to a refresh has a new token in it. */
static void no_token_sent_or_received_over_tls_stays_in_memory(void **state)
{
    unsigned char sent_inverted[60], got_inverted[60];
    struct secret sent, got;
    struct http_client *client;
    struct http_request req = {.method = "GET"};
    struct outcome o = {0};
    char ca[64];
    int port;
    pid_t pid = serve_tls("good", "", &port);

    (void)state;
    draw_token(sent_inverted, 101);
    draw_token(got_inverted, 102);
    sent = fixture_inverted(sent_inverted, sizeof sent_inverted);
    got = fixture_inverted(got_inverted, sizeof got_inverted);
    write_answer_with(&got);
    snprintf(ca, sizeof ca, "%s/good.pem", tls_dir);
    client = fixture_client(&(struct http_options){.ca_file = ca});
    buf_printf(&req.url, "https://127.0.0.1:%d/token", port);
    buf_printf(&req.headers[req.header_count++], "Authorization: Bearer %s", (const char *)secret_bytes(&sent));
    assert_int_equal(http_start(client, &req, fixture_done, &o, NULL), ERR_OK);
    http_request_fini(&req);
    fixture_finish(client);
    fixture_expect(&o, HTTP_ANSWERED, "a token over TLS");
    assert_memory_equal(o.body, secret_bytes(&got), 60);
    secret_wipe(&o, sizeof o);
    secret_free(&sent);
    secret_free(&got);
    assert_false(fixture_memory_holds(sent_inverted, sizeof sent_inverted));
    assert_false(fixture_memory_holds(got_inverted, sizeof got_inverted));
    http_client_free(client);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void a_server_that_speaks_no_tls_is_a_tls_failure(void **state)
{
    struct server server = {.behaviour = ANSWER_AND_CLOSE,
                            .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n\r\n"};
    struct outcome o;
    char url[64];

    (void)state;
    fixture_serve(&server);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", server.port);
    fixture_get(&(struct http_options){.total_timeout_ms = 700}, url, &o);
    if (o.outcome != HTTP_TLS_FAILED && o.outcome != HTTP_TIMED_OUT) fail_msg("got %s", http_outcome_name(o.outcome));
    fixture_stop(&server);
}

/* In a process that does not ignore SIGPIPE: what a server does must not end it. */
static void upload_to_a_server_that_dies(int port, pid_t server)
{
    struct http_client *client =
        fixture_client(&(struct http_options){.total_timeout_ms = 5000, .ca_file = "good.pem"});
    struct http_request req = {.method = "POST"};
    struct outcome o = {0};

    signal(SIGPIPE, SIG_DFL);
    buf_printf(&req.url, "https://127.0.0.1:%d/answer", port);
    buf_printf(&req.body, "%0*d", 8 << 20, 7); /* more than all buffers on the way hold */
    assert_int_equal(http_start(client, &req, fixture_done, &o, NULL), ERR_OK);
    http_request_fini(&req);
    for (int i = 0; i < 5; i++)
        http_run(client, 50);
    kill(server, SIGKILL);
    fixture_finish(client);
    http_client_free(client);
    _exit(o.calls == 1 && o.outcome == HTTP_BROKEN ? 0 : 1);
}

static void a_server_that_dies_does_not_take_us_with_it(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        int port, status = 0;
        pid_t server = serve_tls("good", "", &port), pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            if (chdir(tls_dir) != 0) _exit(2);
            upload_to_a_server_that_dies(port, server);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        waitpid(server, NULL, 0);
        if (status != 0) fail_msg("the client ended with status %#x", (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_token_of_a_call_stays_in_memory_after_it),
        cmocka_unit_test(a_certificate_that_is_trusted_and_of_this_host_is_taken),
        cmocka_unit_test(any_other_certificate_is_a_tls_failure),
        cmocka_unit_test(no_token_sent_or_received_over_tls_stays_in_memory),
        cmocka_unit_test(a_server_that_dies_does_not_take_us_with_it),
        cmocka_unit_test(a_server_that_speaks_no_tls_is_a_tls_failure),
    };

    return cmocka_run_group_tests(tests, make_tls, remove_tls);
}
