/* Answers that are no Graph answers: what proxies, outages and broken connections leave. */
#include "call.h"
#include <string.h>

enum { HUGE_BYTES = 4 << 20 };

static const char html_502[] = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
                               "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>proxygen</center>\r\n"
                               "</body>\r\n</html>\r\n";
static const char html_200[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Facebook | Error</title></head><body>"
    "<h1>Sorry, something went wrong.</h1><p>We're working on it and we'll get it fixed as soon as we can.</p>"
    "</body></html>\n";

/* The beginning of a success; a token in it must not be taken for one. */
static const char *half_of_success(enum kind kind)
{
    if (kind == KIND_REFRESH || kind == KIND_EXCHANGE)
        return "{\"access_token\":\"IGAAcutshort\",\"token_type\":\"bearer\",\"expires_in\":51839";
    if (kind == KIND_INTROSPECT) return "{\"data\":{\"app_id\":\"1234567890\",\"is_valid\":true,\"sco";
    return "{\"user_id\":\"17841400000000001\",\"id\":\"2517841400000000\",\"username\":\"cut_sh";
}

static void write_huge(struct answer *out)
{
    static char block[4096];

    memset(block, 'x', sizeof block);
    buf_puts(&out->body, "{\"user_id\":\"");
    while (out->body.len < HUGE_BYTES)
        buf_put(&out->body, block, sizeof block);
    buf_puts(&out->body, "\"}");
}

static void write_html(struct answer *out, const char *html)
{
    out->content_type = "text/html; charset=utf-8";
    buf_puts(&out->body, html);
}

void raw_write(const struct world *w, const struct call *call, struct answer *out)
{
    out->status = condition_rows[call->end].status;
    switch (call->end) {
    case CONDITION_HTTP_429:
        answer_header(out, "Retry-After", "%u", w->retry_after_s);
        buf_puts(&out->body, "{\"error\":{\"message\":\"Too many requests\"}}");
        break;
    case CONDITION_HTML_502:
        write_html(out, html_502);
        break;
    case CONDITION_HTML_200:
        write_html(out, html_200);
        break;
    case CONDITION_TRUNCATED:
        out->ending = ENDING_CUT;
        buf_puts(&out->body, half_of_success(call->kind));
        break;
    case CONDITION_TRUNCATED_JSON:
        buf_puts(&out->body, half_of_success(call->kind));
        break;
    case CONDITION_WRONG_JSON:
        buf_puts(&out->body, "{\"status\":\"ok\",\"items\":[]}");
        break;
    case CONDITION_HUGE_BODY:
        write_huge(out);
        break;
    case CONDITION_REDIRECT:
        answer_header(out, "Location", "http://127.0.0.1:1/elsewhere");
        break;
    case CONDITION_RESET:
        out->ending = ENDING_RESET;
        break;
    case CONDITION_HANG:
        out->ending = ENDING_HANG;
        break;
    case CONDITION_WRONG_PLATFORM:
        buf_puts(&out->body, "{\"error\":\"the sandbox does not play this host\"}");
        break;
    default: /* EMPTY */
        break;
    }
}
