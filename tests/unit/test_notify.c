/* What a supervisor hears. */
#include "base/notify.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/token-health-notify-XXXXXX";
static char path[sizeof directory + 8];

/* A socket as systemd has it, at a path or, with '@', in the abstract name space. */
static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[2048] = "";

    assert_true(recv(fd, got, sizeof got - 1, MSG_DONTWAIT) >= 0);
    assert_string_equal(got, text);
}

static void a_state_arrives_as_one_datagram(void **state)
{
    int fd = listen_at(path);

    (void)state;
    notify_send("READY=1\nSTATUS=%d workers", 4);
    notify_send("STOPPING=1");
    expect(fd, "READY=1\nSTATUS=4 workers");
    expect(fd, "STOPPING=1");
    close(fd);
    unlink(path);
}

static void the_abstract_name_space_works(void **state)
{
    char name[64];
    int fd;

    (void)state;
    snprintf(name, sizeof name, "@token-health-test-%d", (int)getpid());
    fd = listen_at(name);
    notify_send("READY=1");
    expect(fd, "READY=1");
    close(fd);
}

static void nobody_who_listens_is_no_trouble(void **state)
{
    static char name[300] = "/";
    char got[8];
    int fd = listen_at(path);

    (void)state;
    memset(name + 1, 'x', sizeof name - 2);
    unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    setenv("NOTIFY_SOCKET", "", 1);
    notify_send("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_send("READY=1");
    setenv("NOTIFY_SOCKET", name, 1);
    notify_send("READY=1");
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    notify_send("READY=1");
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), -1);
    close(fd);
    unlink(path);
}

static void a_supervisor_that_does_not_read_blocks_nothing(void **state)
{
    int fd = listen_at(path);

    (void)state;
    for (int i = 0; i < 20000; i++)
        notify_send("WATCHDOG=1");
    expect(fd, "WATCHDOG=1");
    close(fd);
    unlink(path);
}

static void the_watchdog_is_asked_for_by_pid(void **state)
{
    char pid[16];

    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(notify_watchdog_ms(), 15000);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_ms(), 15000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_watchdog_ms(), 0);
}

static void the_watchdog_is_answered_no_more_often_than_it_needs(void **state)
{
    char got[64];
    int fd = listen_at(path), count = 0;

    (void)state;
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    notify_alive();
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), -1);
    setenv("WATCHDOG_USEC", "400000", 1); /* so once in 100 ms */
    for (int i = 0; i < 50; i++) {
        notify_alive();
        usleep(10000);
    }
    while (recv(fd, got, sizeof got, MSG_DONTWAIT) > 0)
        count++;
    assert_in_range(count, 2, 20);
    close(fd);
    unlink(path);
}

static int group_setup(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return -1;
    snprintf(path, sizeof path, "%s/socket", directory);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_arrives_as_one_datagram),
        cmocka_unit_test(the_abstract_name_space_works),
        cmocka_unit_test(nobody_who_listens_is_no_trouble),
        cmocka_unit_test(a_supervisor_that_does_not_read_blocks_nothing),
        cmocka_unit_test(the_watchdog_is_asked_for_by_pid),
        cmocka_unit_test(the_watchdog_is_answered_no_more_often_than_it_needs),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
