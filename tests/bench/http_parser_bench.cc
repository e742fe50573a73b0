// Nanoseconds to parse one message: what wrk sends, what a browser sends, and a chunked answer. For
// callgrind give a small number of rounds: bench-http-parser 1000.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "http/h1_parser.h"

using namespace candela::http;

namespace {

const std::string kSmall = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const std::string kBrowser =
    "GET /app/page?id=12345&lang=en HTTP/1.1\r\nHost: www.example.test\r\nConnection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
const std::string kAnswer =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/html\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nhello, world\n";
const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nhello, world\n\r\n0\r\n\r\n";

template <class Parser>
void measure(const char* name, Parser& parser, const std::string& message, long rounds) {
    const auto begun = std::chrono::steady_clock::now();
    for (long round = 0; round < rounds; ++round) {
        std::string_view bytes = message;
        for (ParseEvent event = parser.parse(bytes); event != ParseEvent::kComplete;
             event = parser.parse(bytes)) {
            if (event == ParseEvent::kError || event == ParseEvent::kNeedMore) std::abort();
        }
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
    std::printf("%-18s %4zu bytes %8.0f ns\n", name, message.size(),
                took.count() / static_cast<double>(rounds));
}

}  // namespace

int main(int argc, char** argv) {
    const long rounds = argc > 1 ? std::atol(argv[1]) : 500'000;
    RequestParser requests;
    ResponseParser responses;
    responses.expect(false, false);
    measure("request, small", requests, kSmall, rounds);
    measure("request, browser", requests, kBrowser, rounds);
    measure("response", responses, kAnswer, rounds);
    measure("response, chunked", responses, kChunked, rounds);
}
