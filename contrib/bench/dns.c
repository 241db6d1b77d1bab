// dns SERVER NAME SECONDS WINDOW: asks a name server for one name (A) as fast as it answers, WINDOW questions at a time;
// prints answers per second and the 99th percentile of the time to an answer in milliseconds.
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: dns SERVER NAME SECONDS WINDOW\n");
        return 2;
    }
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&server, sizeof server) != 0) {
        perror("dns");
        return 1;
    }
    struct timeval patience = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    uint8_t query[300] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    size_t length = 12;
    char name[256];
    snprintf(name, sizeof name, "%s", argv[2]);
    for (char *label = strtok(name, "."); label; label = strtok(NULL, ".")) {
        size_t n = strlen(label) & 63;
        query[length++] = (uint8_t)n;
        memcpy(query + length, label, n);
        length += n;
    }
    memcpy(query + length, "\0\0\1\0\1", 5);
    length += 5;

    double seconds = atof(argv[3]), begin = now();
    unsigned window = (unsigned)atoi(argv[4]);
    static double sent[65536];
    static float times[4000000];
    size_t answers = 0;
    uint16_t id = 0;
    uint8_t answer[1500];
    for (unsigned i = 0; i < window; i++) {
        id++;
        query[0] = (uint8_t)(id >> 8), query[1] = (uint8_t)id;
        sent[id] = now();
        if (send(fd, query, length, 0) < 0) perror("send");
    }
    while (now() - begin < seconds && answers < sizeof times / sizeof *times) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got >= 12) {
            uint16_t of = (uint16_t)(answer[0] << 8 | answer[1]);
            times[answers++] = (float)((now() - sent[of]) * 1000);
        }
        id++;
        query[0] = (uint8_t)(id >> 8), query[1] = (uint8_t)id;
        sent[id] = now();
        if (send(fd, query, length, 0) < 0) perror("send");
    }
    double took = now() - begin;
    if (!answers) return 1;
    qsort(times, answers, sizeof *times, by_size);
    printf("%.0f %.3f\n", (double)answers / took, times[answers * 99 / 100]);
    return 0;
}
