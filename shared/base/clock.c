#include "base/clock.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_now_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

int64_t clock_mono_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_boot_ms(void)
{
    return read_ns(CLOCK_BOOTTIME) / 1000000;
}

const char *clock_format(int64_t at_ms, char out[CLOCK_ISO_BYTES])
{
    int64_t seconds = at_ms / 1000, ms = at_ms % 1000;
    time_t whole;
    struct tm tm;

    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    whole = (time_t)seconds;
    if (!gmtime_r(&whole, &tm) || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
        snprintf(out, CLOCK_ISO_BYTES, "-");
        return out;
    }
    snprintf(out, CLOCK_ISO_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
    return out;
}

/* Exactly ${count} digits at *at; moves *at behind them. -1: not digits. */
static int take_digits(const char **at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++, ++*at) {
        if (!isdigit((unsigned char)**at)) return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static int take_char(const char **at, const char *accepted)
{
    if (!**at || !strchr(accepted, **at)) return 0;
    ++*at;
    return 1;
}

static int take_fraction(const char **at)
{
    int ms = 0, scale = 100;

    if (**at != '.') return 0;
    ++*at;
    if (!isdigit((unsigned char)**at)) return -1;
    for (; isdigit((unsigned char)**at); ++*at, scale /= 10)
        ms += (**at - '0') * scale;
    return ms;
}

/* Offset from UTC in minutes; -10000: malformed. */
static int take_zone(const char **at)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes;

    if (take_char(at, "Z")) return 0;
    if (!take_char(at, "+-")) return -10000;
    hours = take_digits(at, 2);
    take_char(at, ":");
    minutes = take_digits(at, 2);
    return hours < 0 || hours > 23 || minutes < 0 || minutes > 59 ? -10000 : sign * (hours * 60 + minutes);
}

int clock_parse(const char *text, int64_t *at_ms)
{
    struct tm tm = {0}, minute;
    int ms, zone, ok;
    time_t whole;

    tm.tm_year = take_digits(&text, 4) - 1900;
    ok = tm.tm_year >= -1900 && take_char(&text, "-");
    ok = ok && (tm.tm_mon = take_digits(&text, 2) - 1) >= 0 && take_char(&text, "-");
    ok = ok && (tm.tm_mday = take_digits(&text, 2)) >= 1 && take_char(&text, "T");
    ok = ok && (tm.tm_hour = take_digits(&text, 2)) >= 0 && take_char(&text, ":");
    ok = ok && (tm.tm_min = take_digits(&text, 2)) >= 0 && take_char(&text, ":");
    ok = ok && (tm.tm_sec = take_digits(&text, 2)) >= 0;
    if (!ok || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) return 0;
    ms = take_fraction(&text);
    zone = ms < 0 ? -10000 : take_zone(&text);
    if (ms < 0 || zone == -10000 || *text) return 0;
    minute = tm;
    minute.tm_sec = 0; /* a leap second would carry into the next day */
    whole = timegm(&minute);
    if (minute.tm_mon != tm.tm_mon || minute.tm_mday != tm.tm_mday) return 0; /* 31 February */
    *at_ms = ((int64_t)whole + tm.tm_sec - (int64_t)zone * 60) * 1000 + ms;
    return 1;
}
