// The floor: one epoll loop that reads, doesn't look (but for "close") and answers the same bytes. ./floor PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#define TAIL "Content-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, World!\n"
static const char keep[] = "HTTP/1.1 200 OK\r\n" TAIL, last[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n" TAIL;
int main(int argc, char **argv) {
    int on = 1, lis = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0);
    struct sockaddr_in at = {AF_INET, htons(atoi(argv[argc - 1])), {htonl(INADDR_LOOPBACK)}, {0}};
    struct epoll_event ev = {EPOLLIN, {.fd = lis}}, evs[64];
    setsockopt(lis, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(lis, (void *)&at, sizeof at) || listen(lis, 1024) || epoll_ctl(ep, EPOLL_CTL_ADD, lis, &ev)) return 1;
    for (char in[4096];;) for (int i = 0, n = epoll_wait(ep, evs, 64, -1); i < n; i++) {
        int fd = evs[i].data.fd;
        if (fd == lis) { ev.data.fd = accept4(lis, 0, 0, SOCK_NONBLOCK); epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev); continue; }
        ssize_t got = read(fd, in, sizeof in);
        int close_it = got <= 0 || memmem(in, got, "\nConnection: close", 18);
        if (got > 0 && send(fd, close_it ? last : keep, (close_it ? sizeof last : sizeof keep) - 1, MSG_NOSIGNAL) < 0) close_it = 1;
        if (close_it) close(fd);
    }
}
