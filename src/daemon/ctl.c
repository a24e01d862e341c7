#include "daemon/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

static bool send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static bool send_words(int fd, char **words, size_t nwords)
{
    for (size_t i = 0; i < nwords; i++) {
        if ((i > 0 && !send_all(fd, " ", 1)) || !send_all(fd, words[i], strlen(words[i])))
            return false;
    }
    return send_all(fd, "\n", 1);
}

/* Prints the answer as it comes; its first bytes tell whether it is an error. */
static int print_answer(int fd)
{
    static const char mark[] = "error:";
    char block[4096];
    size_t have = 0;
    FILE *out = NULL;

    for (;;) {
        ssize_t n = recv(fd, block + have, sizeof block - have, 0);

        if (n < 0 && errno == EINTR)
            continue;
        have += n > 0 ? (size_t)n : 0;
        if (!out && have < sizeof mark - 1 && n > 0)
            continue;
        if (!out)
            out = have >= sizeof mark - 1 && memcmp(block, mark, sizeof mark - 1) == 0 ? stderr
                                                                                       : stdout;
        fwrite(block, 1, have, out);
        fflush(out);
        have = 0;
        if (n <= 0)
            return out == stderr ? 1 : EX_OK;
    }
}

int ctl_run(const struct listener_spec *control, char **words, size_t nwords)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int status;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&control->address, control->len) < 0) {
        fprintf(stderr, "spoa-lua: %s: %s%s\n", control->text, strerror(errno),
                errno == ENOENT || errno == ECONNREFUSED ? " (is it running, with this `control`?)"
                : errno == EACCES ? " (its mode, owner and group say who may)"
                                  : "");
        if (fd >= 0)
            close(fd);
        return EX_UNAVAILABLE;
    }
    if (!send_words(fd, words, nwords))
        fprintf(stderr, "spoa-lua: %s: %s\n", control->text, strerror(errno));
    status = print_answer(fd);
    close(fd);
    return status;
}
