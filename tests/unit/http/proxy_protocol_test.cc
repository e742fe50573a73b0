#include "http/proxy_protocol.h"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "http/announced_stream.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using namespace std::string_literals;
using namespace std::string_view_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;

namespace {

constexpr std::string_view kSignature = "\r\n\r\n\0\r\nQUIT\n"sv;

std::string binary(uint8_t version_and_command, uint8_t family, std::string_view block) {
    std::string out(kSignature);
    out += static_cast<char>(version_and_command);
    out += static_cast<char>(family);
    out += static_cast<char>(block.size() >> 8);
    out += static_cast<char>(block.size());
    out += block;
    return out;
}

constexpr std::string_view kBlock4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x04\xd2\x00\x50"sv;

// The client's address, "none" without one, "more" or "bad".
std::string read(std::string_view bytes) {
    const auto header = parse_proxy_header(bytes);
    if (!header) return "bad";
    if (!header->has_value()) return "more";
    return (*header)->client ? (*header)->client->to_string() : "none";
}

struct Announced : World {
    Announced()
        : World([] {
              ProxyOptions options;
              options.proxy_protocol = true;
              return options;
          }()) {
        open_endpoint(1);
        route_to({1});
    }
};

}  // namespace

TEST_CASE("version 1 says the client in a line of text") {
    CHECK(read("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nGET") == "192.0.2.1:1234");
    CHECK(read("PROXY TCP6 2001:DB8:0::1 ::2 1234 80\r\n") == "[2001:db8::1]:1234");
    CHECK(read("PROXY UNKNOWN\r\n") == "none");
    CHECK(read("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n") == "none");
    CHECK(parse_proxy_header("PROXY UNKNOWN\r\nGET /")->value().bytes == 15);
}

TEST_CASE("version 1 is taken in its own form only") {
    for (const std::string_view bad :
         {"GET / HTTP/1.1\r\n"sv, "PROXY TCP4 192.0.2.1 192.0.2.2 1234\r\n"sv,
          "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80 9\r\n"sv, "PROXY TCP4 ::1 ::2 1234 80\r\n"sv,
          "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n"sv,
          "PROXY TCP4 192.0.2.1 192.0.2.2 012 80\r\n"sv,
          "PROXY TCP4 192.0.2.1 192.0.2.2 -1 80\r\n"sv,
          "PROXY TCP4  192.0.2.1 192.0.2.2 1 80\r\n"sv, "PROXY UDP4 1.2.3.4 1.2.3.4 1 80\r\n"sv,
          "PROXY TCP4 192.0.2.1\n"sv, "proxy TCP4 192.0.2.1 192.0.2.2 1 80\r\n"sv}) {
        const std::string padded = std::string(bad) + std::string(120, 'x');
        CHECK(read(padded) == "bad");
    }
    CHECK(read("PROXY " + std::string(100, 'x')) == "more");
    CHECK(read("PROXY " + std::string(101, 'x')) == "bad");
}

TEST_CASE("version 2 says the client in binary, with additions that are passed over") {
    CHECK(read(binary(0x21, 0x11, kBlock4)) == "192.0.2.1:1234");
    CHECK(read(binary(0x21, 0x11, std::string(kBlock4) + "\x03\x00\x01z")) == "192.0.2.1:1234");
    const std::string ip6 = "\x20\x01\x0d\xb8" + std::string(11, '\0') + "\x01";
    CHECK(read(binary(0x21, 0x21, ip6 + ip6 + "\x04\xd2\x00\x50"s)) == "[2001:db8::1]:1234");
    CHECK(read(binary(0x20, 0x00, "")) == "none");
    CHECK(read(binary(0x20, 0x11, kBlock4)) == "none");
    CHECK(read(binary(0x21, 0x31, std::string(216, 'x'))) == "none");
}

TEST_CASE("version 2 is taken in its own form only, and bounded") {
    CHECK(read(binary(0x11, 0x11, kBlock4)) == "bad");
    CHECK(read(binary(0x22, 0x11, kBlock4)) == "bad");
    CHECK(read(binary(0x21, 0x12, kBlock4)) == "bad");  // UDP
    CHECK(read(binary(0x21, 0x11, kBlock4.substr(1))) == "bad");
    CHECK(read(binary(0x21, 0x21, kBlock4)) == "bad");
    CHECK(read(binary(0x21, 0x11, std::string(kProxyHeaderBytesMax - 16, 'x'))) != "bad");
    CHECK(read(binary(0x21, 0x11, std::string(kProxyHeaderBytesMax - 15, 'x'))) == "bad");
}

TEST_CASE("any beginning of a header asks for more") {
    for (const std::string& whole :
         {std::string("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"), binary(0x21, 0x11, kBlock4)}) {
        for (size_t cut = 0; cut < whole.size(); ++cut) {
            CHECK(read(whole.substr(0, cut)) == "more");
        }
    }
}

TEST_CASE("a request behind a PROXY header comes from the client that it names") {
    Announced world;
    auto client = world.connect();
    const std::string header = "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n";
    SECTION("in one piece") {
        client->send(header + std::string(kGet));
        world.settle();
    }
    SECTION("byte by byte") {
        for (const char c : header + std::string(kGet)) {
            client->send(std::string_view(&c, 1));
            world.settle(1ms);
        }
        world.settle();
    }
    REQUIRE(world.at[1].size() == 1);
    CHECK_THAT(world.at[1][0]->take(), ContainsSubstring("X-Forwarded-For: 192.0.2.1\r\n"));
    world.at[1][0]->send(kOk);
    world.settle();
    CHECK_THAT(client->take(), EndsWith("ok"));
    // The header stands before a connection, not before each request.
    client->send(kGet);
    world.settle();
    CHECK_THAT(world.at[1][0]->take(), ContainsSubstring("X-Forwarded-For: 192.0.2.1\r\n"));
}

TEST_CASE("a body that comes with the header is read whole") {
    Announced world;
    auto client = world.connect();
    const std::string body(200'000, 'b');
    client->send(
        fmt::format("PROXY UNKNOWN\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body));
    world.settle(1s);
    REQUIRE(world.at[1].size() == 1);
    CHECK_THAT(world.at[1][0]->take(), EndsWith(body));
}

TEST_CASE("who sends no header, a wrong one or none in time is closed") {
    Announced world;
    auto client = world.connect();
    SECTION("none") { client->send(kGet); }
    SECTION("a wrong one") { client->send("PROXY TCP4 1.2.3 4\r\n"); }
    SECTION("half of one") {
        client->send("PROXY TCP4 ");
        world.settle(kProxyHeaderTimeout);
    }
    SECTION("nothing") { world.settle(kProxyHeaderTimeout); }
    world.settle();
    CHECK(client->is_over());
    CHECK(client->received.empty());
    CHECK(world.at[1].empty());
    CHECK(world.proxy->connection_count() == 0);
}

TEST_CASE("a client that leaves behind its header leaves nothing") {
    Announced world;
    auto client = world.connect();
    client->send("PROXY UNKNOWN\r\n" + std::string(kGet));
    client->close();
    world.settle(1s);
    CHECK(world.proxy->connection_count() == 0);
}
