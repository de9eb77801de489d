/* How it goes, told to the supervisor: the protocol of sd_notify(3), one datagram to $NOTIFY_SOCKET. Without that variable nothing
 * is done, so that the programs need not know who watches them. No libsystemd: this is all of it that they use. */
#ifndef TH_NOTIFY_H
#define TH_NOTIFY_H
#include <stdint.h>

/** notify_send(format, …): lines like "READY=1\nSTATUS=4 workers" (up to 1 KiB). Never blocks and never fails: a supervisor that does
 *  not listen is no reason to stop. */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** notify_watchdog_ms(): how often "WATCHDOG=1" has to be sent: half of WATCHDOG_USEC; 0 when nobody asks this process for it. */
int64_t notify_watchdog_ms(void);
/** notify_alive(): sends "WATCHDOG=1" if that is due; to be called at least four times as often as the supervisor asks for. */
void notify_alive(void);

#endif
