/* The least that a libfcgi program can do: bench_fcgi_baseline SOCKET WORKERS. Forks the workers, each of which accepts and
 * sends one constant answer, as long as the responder's to `check`. What nginx and libfcgi cost without us. */
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char answer[] = "Status: 204 No Content\r\nX-Request-Id: 0123456789abcdef-12345\r\n"
                             "Cache-Control: no-store\r\nX-Token-Health: healthy; ok\r\n\r\n";

static void serve(int fd)
{
    FCGX_Request request;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    FCGX_Init();
    FCGX_InitRequest(&request, fd, 0);
    while (FCGX_Accept_r(&request) == 0) {
        FCGX_PutStr(answer, sizeof answer - 1, request.out);
        FCGX_Finish_r(&request);
    }
    _exit(1);
}

int main(int argc, char **argv)
{
    int workers = argc == 3 ? atoi(argv[2]) : 0;
    int fd = workers > 0 ? FCGX_OpenSocket(argv[1], 4096) : -1;

    if (fd < 0) {
        fputs("usage: bench_fcgi_baseline SOCKET WORKERS\n", stderr);
        return 2;
    }
    for (int i = 0; i < workers; i++)
        if (fork() == 0) serve(fd);
    wait(NULL); /* none of them ends by itself */
    return 1;
}
