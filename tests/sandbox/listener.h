/* A listening TCP socket on 127.0.0.1. */
#ifndef SANDBOX_LISTENER_H
#define SANDBOX_LISTENER_H

/** listener_open(&port): 0 is any free port, and is replaced by it. The descriptor, or -1 and errno. */
int listener_open(unsigned *port);

#endif
