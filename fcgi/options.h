/* The responder's command line. */
#ifndef TH_OPTIONS_H
#define TH_OPTIONS_H

struct options {
    const char *config, *listen; /* listen: NULL: descriptor 0 if it listens, else the configuration's */
    int workers;                 /* 0: the configuration's */
    int check;
};
/** options_parse(argc, argv, options, &status): 1; or 0 and the exit status when there is nothing more to do. */
int options_parse(int argc, char **argv, struct options *options, int *status);

#endif
