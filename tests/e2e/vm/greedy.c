// A web service that takes whatever it is told to take, and a client that asks one question after another.
//   greedy                        serves on $HOST:$PORT, a process for each request: / (its pid), /memory, /fork, /read, /burn
//   greedy load PORT HOST FILE    asks for / on new connections until FILE is gone, then prints what failed
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void answer(int peer, const char *text) {
  char out[512];
  int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", strlen(text), text);
  if (write(peer, out, size) != size) _exit(1);
}

static void take_memory(void) {
  for (int megabytes = 0; megabytes < 1024; ++megabytes) {
    char *page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) break;
    memset(page, 1, 1 << 20);
  }
}

// Answers how many processes there could be, and what stopped it.
static void take_processes(int peer) {
  static pid_t pids[20000];
  char text[64];
  int count = 0;
  while (count < 20000) {
    pid_t pid = fork();
    if (pid == 0) { pause(); _exit(0); }
    if (pid < 0) break;
    pids[count++] = pid;
  }
  snprintf(text, sizeof text, "%d %s", count, count < 20000 ? strerrorname_np(errno) : "all");
  for (int i = 0; i < count; ++i) kill(pids[i], SIGKILL);
  answer(peer, text);
}

// Reads a file of its bundle from the disk, past the page cache; answers how many KiB and how long it took.
static void take_disk(int peer) {
  static char block[1 << 16] __attribute__((aligned(4096)));
  struct timespec begin, end;
  char text[64];
  ssize_t size = 0, got;
  int fd = open("blob", O_RDONLY | O_DIRECT);
  clock_gettime(CLOCK_MONOTONIC, &begin);
  while (fd >= 0 && (got = read(fd, block, sizeof block)) > 0) size += got;
  clock_gettime(CLOCK_MONOTONIC, &end);
  snprintf(text, sizeof text, "%zd KiB %ld ms", size >> 10, (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
  answer(peer, text);
}

static void burn(void) {
  time_t end = time(NULL) + 4;
  while (time(NULL) < end) {}
}

static void serve(int peer) {
  char request[2048];
  ssize_t size = read(peer, request, sizeof request - 1);
  if (size <= 0) return;
  request[size] = '\0';
  const char *path = strchr(request, ' ');
  if (!path++) return;
  char text[64];
  snprintf(text, sizeof text, "%d\n", getppid());
  if (!strncmp(path, "/memory ", 8)) take_memory();
  if (!strncmp(path, "/fork ", 6)) { take_processes(peer); return; }
  if (!strncmp(path, "/read ", 6)) { take_disk(peer); return; }
  if (!strncmp(path, "/burn ", 6)) burn();
  answer(peer, text);
}

static struct sockaddr_in address(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// 0 for a good answer; what happened otherwise is in `why`.
static int ask(int port, const char *host, char *why, size_t why_size) {
  struct sockaddr_in to = address(port);
  struct timeval limit = {60, 0};
  char text[1024];
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) { snprintf(why, why_size, "connect: %s", strerrorname_np(errno)); close(fd); return 1; }
  int length = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
  if (write(fd, text, length) != length) { snprintf(why, why_size, "write: %s", strerrorname_np(errno)); close(fd); return 1; }
  for (ssize_t got = 0; (got = read(fd, text + size, sizeof text - 1 - size)) != 0; size += got) {
    if (got < 0) { snprintf(why, why_size, "read after %d bytes: %s", size, strerrorname_np(errno)); close(fd); return 1; }
  }
  close(fd);
  text[size] = '\0';
  if (!strncmp(text, "HTTP/1.1 200 ", 13) && strstr(text, "\r\n\r\n")[4]) return 0;
  text[strcspn(text, "\r\n")] = '\0';
  snprintf(why, why_size, "answer: %s", text);
  return 1;
}

static int load(int port, const char *host, const char *file) {
  int good = 0, bad = 0;
  long worst = 0;
  while (access(file, F_OK) == 0) {
    char why[1200];
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (ask(port, host, why, sizeof why) == 0) ++good;
    else if (++bad <= 20) printf("failed: %s\n", why);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long took = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
    if (took > worst) worst = took;
    usleep(5000);
  }
  printf("good %d bad %d worst_ms %ld\n", good, bad, worst);
  return bad != 0;
}

int main(int count, char **arguments) {
  if (count == 5 && !strcmp(arguments[1], "load")) return load(atoi(arguments[2]), arguments[3], arguments[4]);
  signal(SIGCHLD, SIG_IGN);
  struct sockaddr_in at = address(atoi(getenv("PORT")));
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 128)) { perror("listening"); return 1; }
  for (;;) {
    int peer = accept(listener, NULL, NULL);
    if (peer < 0) continue;
    if (fork() == 0) { serve(peer); shutdown(peer, SHUT_WR); _exit(0); }
    close(peer);
  }
}
