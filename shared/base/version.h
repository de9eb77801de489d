/* The version, once, for all programs. */
#ifndef TH_VERSION_H
#define TH_VERSION_H

#define TOKEN_HEALTH_VERSION "0.1.0"

#endif
