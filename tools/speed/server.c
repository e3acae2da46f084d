/* A test server for measuring clients: OpenAI-compatible, constant answers, a fixed latency, little CPU.
 *
 *   server PORT LATENCY_MS     (port 0: any free one; the port is the first line of standard output)
 *
 * GET /v1/models lists one model, POST /v1/chat/completions answers "Answer: B" LATENCY_MS after the whole
 * body has come. Bodies are dropped in the kernel, never copied. One thread, loopback alone, Linux alone.
 * Ends with SIGTERM, or when the process that started it ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, DROP_BYTES = 1 << 20, EVENTS = 256 };

enum route { MODELS, CHAT, UNKNOWN, ROUTES };

struct connection {
    int socket;
    bool closed;        /* by the client, while its answer was still to come */
    bool last;          /* "Connection: close" */
    bool waiting;       /* in the queue */
    enum route route;
    size_t head_length; /* bytes of the head that have come */
    uint64_t body_left;
    int64_t due;        /* when to answer, in nanoseconds */
    struct connection *next;
    char head[HEAD_BYTES + 1];
};

static const char *const BODIES[ROUTES] = {
    [MODELS] = "{\"object\":\"list\",\"data\":[{\"id\":\"speed-model\",\"object\":\"model\","
               "\"owned_by\":\"speed\",\"max_model_len\":32768}]}",
    [CHAT] = "{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"speed-model\","
             "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Answer: B\"},"
             "\"finish_reason\":\"stop\"}],"
             "\"usage\":{\"prompt_tokens\":300,\"completion_tokens\":4,\"total_tokens\":304}}",
    [UNKNOWN] = "{\"error\":{\"message\":\"not found\",\"code\":404}}",
};

static char answers[ROUTES][1024];
static size_t answer_lengths[ROUTES];
static int events_fd, timer_fd, listen_fd;
static int64_t latency;
/* The latency is the same for all, so the queue in order of arrival is the order of answers. */
static struct connection *first, *newest;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void set_timer(void) {
    struct itimerspec when = {.it_value = {first->due / 1000000000LL, first->due % 1000000000LL}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void hang_up(struct connection *c) {
    if (c->socket >= 0) close(c->socket);
    c->socket = -1;
    c->closed = true;
    if (!c->waiting) free(c);
}

static bool answer(struct connection *c) {
    /* A small answer always fits into the socket's buffer: the client reads one before it asks again. */
    ssize_t sent = send(c->socket, answers[c->route], answer_lengths[c->route], MSG_NOSIGNAL);
    if (sent != (ssize_t)answer_lengths[c->route] || c->last) {
        hang_up(c);
        return false;
    }
    return true;
}

/* The request is whole. False where the connection is gone. */
static bool finish(struct connection *c) {
    c->head_length = 0;
    if (c->route != CHAT || !latency) return answer(c);
    c->due = now() + latency;
    c->next = NULL;
    c->waiting = true;
    if (first) {
        newest->next = c;
        newest = c;
    } else {
        first = newest = c;
        set_timer();
    }
    return true;
}

static void answer_due(void) {
    uint64_t ignored;
    if (read(timer_fd, &ignored, sizeof ignored) < 0 && errno != EAGAIN) fail("timer");
    int64_t time = now();
    while (first && first->due <= time) {
        struct connection *c = first;
        first = c->next;
        c->waiting = false;
        if (c->closed) free(c);
        else answer(c);
    }
    if (first) set_timer();
}

/* Read what the head says; false for what is not understood (chunked bodies are not). */
static bool parse_head(struct connection *c) {
    c->body_left = 0;
    c->last = false;
    c->route = !strncmp(c->head, "GET /v1/models ", 15)               ? MODELS
               : !strncmp(c->head, "POST /v1/chat/completions ", 26) ? CHAT
                                                                      : UNKNOWN;
    for (char *line = strstr(c->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) c->body_left = strtoull(line + 15, NULL, 10);
        else if (!strncasecmp(line, "connection: close", 17)) c->last = true;
        else if (!strncasecmp(line, "transfer-encoding:", 18)) return false;
    }
    return true;
}

/* Take in what has come on a connection. */
static void receive(struct connection *c, uint32_t events) {
    while (c->body_left || !c->waiting) {
        ssize_t got;
        if (c->body_left) {
            size_t most = c->body_left < DROP_BYTES ? c->body_left : DROP_BYTES;
            got = recv(c->socket, NULL, most, MSG_TRUNC); /* drops the bytes, see tcp(7) */
        } else {
            got = recv(c->socket, c->head + c->head_length, HEAD_BYTES - c->head_length, 0);
        }
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            hang_up(c);
            return;
        }
        if (c->body_left) {
            c->body_left -= got;
        } else {
            c->head_length += got;
            c->head[c->head_length] = 0;
            char *end = strstr(c->head, "\r\n\r\n");
            if (!end) {
                if (c->head_length < HEAD_BYTES) continue;
                hang_up(c);
                return;
            }
            size_t extra = c->head + c->head_length - (end + 4);
            end[2] = 0;
            /* More than the body came along: a pipelined request, which no client of ours sends. */
            if (!parse_head(c) || extra > c->body_left) {
                hang_up(c);
                return;
            }
            c->body_left -= extra;
        }
        if (!c->body_left && !finish(c)) return;
    }
    /* The answer is to come; the client may be gone by then. */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hang_up(c);
}

static void watch(int fd, void *mark, uint32_t events) {
    struct epoll_event wanted = {.events = events, .data.ptr = mark};
    if (epoll_ctl(events_fd, EPOLL_CTL_ADD, fd, &wanted)) fail("epoll_ctl");
}

static void accept_all(void) {
    int s;
    while ((s = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) fail("memory");
        c->socket = s;
        watch(s, c, EPOLLIN | EPOLLRDHUP | EPOLLET);
    }
}

static int listen_on(int port) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (s < 0 || bind(s, (struct sockaddr *)&address, length) || listen(s, 1024)) fail("listen");
    getsockname(s, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return s;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: %s PORT LATENCY_MS\n", arguments[0]);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    latency = (int64_t)(atof(arguments[2]) * 1e6);
    for (int route = 0; route < ROUTES; route++)
        answer_lengths[route] = (size_t)snprintf(
            answers[route], sizeof answers[route],
            "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            route == UNKNOWN ? "404 Not Found" : "200 OK", strlen(BODIES[route]), BODIES[route]);
    events_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    listen_fd = listen_on(atoi(arguments[1]));
    watch(timer_fd, &timer_fd, EPOLLIN);
    watch(listen_fd, &listen_fd, EPOLLIN);
    for (;;) {
        struct epoll_event ready[EVENTS];
        int n = epoll_wait(events_fd, ready, EVENTS, -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        bool timer = false;
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr == &timer_fd) timer = true;
            else if (ready[i].data.ptr == &listen_fd) accept_all();
            else receive(ready[i].data.ptr, ready[i].events);
        }
        /* Last: an answer may close a connection that an event of this round is about. */
        if (timer) answer_due();
    }
}
