// A small HTTP server on POSIX sockets: a thread for each connection, keep-alive, and an end on SIGTERM.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

static std::string environment(const char* name, const char* fallback) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : fallback;
}

static bool send_all(int fd, const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
        const ssize_t count = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) return false;
        sent += static_cast<size_t>(count);
    }
    return true;
}

// Requests without a body, one after the other.
static void serve(int fd) {
    std::string input;
    char buffer[4096];
    for (bool keep_alive = true; keep_alive;) {
        size_t end = input.find("\r\n\r\n");
        while (end == std::string::npos) {
            const ssize_t count = recv(fd, buffer, sizeof buffer, 0);
            if (count <= 0 || input.size() > 65536) {
                close(fd);
                return;
            }
            input.append(buffer, static_cast<size_t>(count));
            end = input.find("\r\n\r\n");
        }
        const std::string head = input.substr(0, end);
        input.erase(0, end + 4);
        const bool is_get = head.rfind("GET ", 0) == 0;
        const bool is_head = head.rfind("HEAD ", 0) == 0;
        const bool is_health = head.find(" /healthz ") != std::string::npos;
        const std::string body = is_health ? "ok\n"
            : "Hello from C++ on " + environment("CANDELA_INSTANCE", "this machine") + "\n";
        keep_alive = (is_get || is_head) && strcasestr(head.c_str(), "\r\nconnection: close") == nullptr;
        std::string answer = is_get || is_head ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 405 Method Not Allowed\r\n";
        answer += "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
        if (!keep_alive) answer += "Connection: close\r\n";
        answer += "\r\n";
        if (!is_head) answer += body;
        if (!send_all(fd, answer)) break;
    }
    close(fd);
}

int main() {
    const int port = std::atoi(environment("PORT", "8000").c_str());
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, environment("HOST", "127.0.0.1").c_str(), &address.sin_addr);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 128) != 0) {
        std::perror("listening");
        return 1;
    }
    std::signal(SIGTERM, [](int) { _exit(0); });
    std::printf("listening on port %d\n", port);
    std::fflush(stdout);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd >= 0) std::thread(serve, fd).detach();
    }
}
