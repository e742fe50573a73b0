// After warm-up a message costs no allocation. Every allocation of the test program is counted.

#include <catch2/catch_test_macros.hpp>

#include "count_allocations.h"
#include "http/h1_parser.h"

using candela::test::allocations;
using namespace candela::http;

namespace {

template <class Parser>
size_t allocations_for(Parser& parser, std::string_view message) {
    const size_t before = allocations;
    for (bool more = true; more;) {
        const ParseEvent event = parser.parse(message);
        if (event == ParseEvent::kError) std::abort();
        more = event != ParseEvent::kNeedMore;
    }
    return allocations - before;
}

}  // namespace

TEST_CASE("parsing_allocates_nothing_after_warm_up") {
    const std::string_view request =
        "POST /some/path?that=is&long=enough HTTP/1.1\r\nHost: www.example.test:8080\r\n"
        "User-Agent: a rather long text that does not fit into a short string\r\n"
        "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;extension=yes\r\nhello\r\n0\r\nTrailer: value\r\n\r\n"
        "GET http://www.example.test/absolute HTTP/1.1\r\nHost: www.example.test\r\n\r\n";
    const std::string_view response =
        "HTTP/1.1 200 A reason that is longer than a short string\r\nContent-Length: 5\r\n"
        "Server: a rather long text that does not fit into a short string\r\n\r\nhello";
    RequestParser requests;
    ResponseParser responses;
    responses.expect(false, false);
    allocations_for(requests, request);
    allocations_for(responses, response);
    for (int round = 0; round < 3; ++round) {
        CHECK(allocations_for(requests, request) == 0);
        CHECK(allocations_for(responses, response) == 0);
    }
}
