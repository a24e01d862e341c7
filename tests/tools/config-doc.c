/* Writes what the configuration's rows document: `config-doc example` is spoa-lua.conf.example,
 * `config-doc manual` is doc/spoa-lua.conf.5. */
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "example") == 0) {
        config_write_example(stdout);
    } else if (argc == 2 && strcmp(argv[1], "manual") == 0) {
        config_write_manual(stdout);
    } else {
        fputs("usage: config-doc example|manual\n", stderr);
        return EXIT_FAILURE;
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
