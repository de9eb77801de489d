#include "host.h"
#include <string.h>

const char *const host_words[HOST_COUNT] = {"graph.instagram.com", "graph.facebook.com", "graph.threads.net",
                                            "open.tiktokapis.com", "api.x.com"};

const struct host_row host_rows[HOST_COUNT] = {
    {DIALECT_GRAPH, {"IGAA", "IGQ"}},   {DIALECT_GRAPH, {"EAA", ""}}, {DIALECT_GRAPH, {"TH", ""}},
    {DIALECT_TIKTOK, {"act.", "rft."}}, {DIALECT_X, {"", ""}},
};

const char *host_prefix(enum host host, const char *token)
{
    for (int i = 0; i < HOST_PREFIXES; i++) {
        const char *prefix = host_rows[host].prefixes[i];

        if (strncmp(token, prefix, strlen(prefix)) == 0) return prefix;
    }
    return "";
}

enum host host_of_token(const char *token)
{
    int host = 0;

    while (host < HOST_COUNT && !*host_prefix((enum host)host, token))
        host++;
    return (enum host)host;
}
