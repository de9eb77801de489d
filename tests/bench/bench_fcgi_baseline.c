/* The least that a libfcgi program can do: bench_fcgi_baseline SOCKET WORKERS [FILE]. Forks the workers, each of which accepts and
 * sends a constant answer: one as long as the responder's to `check`, or what is in FILE where the path has "/status/" in it. What the
 * web server and libfcgi cost without us. SOCKET "-": standard input listens. */
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char check[] = "Status: 204 No Content\r\nX-Request-Id: 0123456789abcdef-12345\r\n"
                            "Cache-Control: no-store\r\nX-Token-Health: healthy; ok\r\n\r\n";
static char status[65536];
static int status_len;

static void serve(int fd)
{
    FCGX_Request request;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    FCGX_Init();
    FCGX_InitRequest(&request, fd, 0);
    while (FCGX_Accept_r(&request) == 0) {
        const char *uri = FCGX_GetParam("REQUEST_URI", request.envp);

        if (uri && strstr(uri, "/status/"))
            FCGX_PutStr(status, status_len, request.out);
        else
            FCGX_PutStr(check, sizeof check - 1, request.out);
        FCGX_Finish_r(&request);
    }
    _exit(1);
}

static int read_status(const char *path)
{
    FILE *f = fopen(path, "r");

    if (!f) return 0;
    status_len = (int)fread(status, 1, sizeof status, f);
    fclose(f);
    return status_len > 0;
}

int main(int argc, char **argv)
{
    int workers = argc >= 3 ? atoi(argv[2]) : 0;
    int fd = workers <= 0 ? -1 : strcmp(argv[1], "-") != 0 ? FCGX_OpenSocket(argv[1], 4096) : STDIN_FILENO;

    if (fd < 0 || (argc > 3 && !read_status(argv[3]))) {
        fputs("usage: bench_fcgi_baseline SOCKET|- WORKERS [FILE]\n", stderr);
        return 2;
    }
    for (int i = 0; i < workers; i++)
        if (fork() == 0) serve(fd);
    wait(NULL); /* none of them ends by itself */
    return 1;
}
