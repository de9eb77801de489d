#include "ctl.h"

int cmd_config(struct ctl *ctl, int argc, char **argv)
{
    struct buf out = {0};

    if (!ctl_no_options(ctl, argc, argv) || optind < argc) return ctl_usage(ctl);
    config_print_sample(&out);
    fputs(buf_text(&out), stdout);
    buf_free(&out);
    return EXIT_DONE;
}
