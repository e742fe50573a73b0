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
using Catch::Matchers::StartsWith;

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

TEST_CASE("what is written is what is read") {
    const Address ip4 = Address::tcp("192.0.2.1", 1234);
    const Address ip6 = Address::tcp("2001:db8::1", 1234);
    const Address server4 = Address::tcp("192.0.2.2", 80);
    const Address server6 = Address::tcp("2001:db8::2", 80);
    const Address nobody = Address::unix_socket("/run/x.sock");
    const auto v1 = [](const Address& from, const Address& to) {
        return write_proxy_header(ProxyVersion::kV1, from, to);
    };
    const auto v2 = [](const Address& from, const Address& to) {
        return write_proxy_header(ProxyVersion::kV2, from, to);
    };
    CHECK(v1(ip4, server4) == "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n");
    CHECK(v1(ip6, server6) == "PROXY TCP6 2001:db8::1 2001:db8::2 1234 80\r\n");
    CHECK(v1(ip4, server6) == "PROXY TCP4 192.0.2.1 0.0.0.0 1234 80\r\n");
    CHECK(v1(ip6, nobody) == "PROXY TCP6 2001:db8::1 :: 1234 0\r\n");
    CHECK(v1(Address::tcp("::ffff:192.0.2.1", 7), server4) ==
          "PROXY TCP4 192.0.2.1 192.0.2.2 7 80\r\n");
    CHECK(v1(nobody, server4) == "PROXY UNKNOWN\r\n");
    CHECK(v1(Address::tcp("unknown", 1), server4) == "PROXY UNKNOWN\r\n");
    CHECK(v2(ip4, server4) == binary(0x21, 0x11, kBlock4));
    CHECK(v2(nobody, server4) == binary(0x20, 0x00, ""));
    CHECK(read(v2(ip6, server6)) == "[2001:db8::1]:1234");
    CHECK(read(v2(ip6, server4)) == "[2001:db8::1]:1234");
    for (const std::string_view text : {"none", "v1", "v2"}) {
        CHECK(to_string(*parse_proxy_version(text)) == text);
    }
    CHECK_FALSE(parse_proxy_version("v3"));
}

namespace {

struct Announcing : World {
    explicit Announcing(ProxyVersion version, ProxyOptions options = {})
        : World([&] {
              options.proxy_protocol = true;
              return options;
          }()),
          version_(version) {
        open_endpoint(1);
        route_announced({1});
    }
    void route_announced(std::initializer_list<int> numbers) {
        std::vector<EndpointSpec> specs;
        for (const int number : numbers) {
            specs.push_back(spec(number));
            specs.back().proxy_header = version_;
        }
        upstream->update(std::move(specs));
    }
    // Simulated streams have no IP of their own, so that a balancer must tell it.
    std::unique_ptr<Peer> connect_announced() {
        auto client = connect();
        client->send("PROXY TCP4 192.0.2.9 192.0.2.2 1234 80\r\n");
        return client;
    }

private:
    ProxyVersion version_;
};

}  // namespace

TEST_CASE("each request has a connection of its own that begins with the client's address") {
    Announcing world(ProxyVersion::kV1);
    auto client = world.connect_announced();
    for (size_t i = 0; i < 3; ++i) {
        client->send(kGet);
        world.settle();
        REQUIRE(world.at[1].size() == i + 1);
        Peer& service = *world.at[1][i];
        const std::string asked = service.take();
        CHECK_THAT(asked, StartsWith("PROXY TCP4 192.0.2.9 0.0.0.0 1234 0\r\nGET / HTTP/1.1\r\n"));
        service.send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
        CHECK(service.is_over());
    }
}

TEST_CASE("the address that is told is the one that a trusted proxy has told") {
    ProxyOptions options;
    CHECK(options.trusted_peers.add("0.0.0.0/0"));
    Announcing world(ProxyVersion::kV2, options);
    auto client = world.connect_announced();
    const auto told = [&](std::string_view forwarded) {
        client->send(
            fmt::format("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}\r\n\r\n", forwarded));
        world.settle();
        Peer& service = *world.at[1].back();
        const std::string asked = service.take();
        service.send(kOk);
        world.settle();
        return read(asked);
    };
    CHECK(told("2001:db8::7") == "[2001:db8::7]:0");
    CHECK(told("nonsense") == "none");
}

TEST_CASE("a request goes to another endpoint with the header, where one takes no connection") {
    Announcing world(ProxyVersion::kV1);
    world.open_endpoint(2);
    world.route_announced({1, 2});
    world.close_endpoint(1);
    auto client = world.connect_announced();
    for (size_t i = 0; i < 4; ++i) {
        client->send(kGet);
        world.settle();
        REQUIRE(world.at[2].size() == i + 1);
        CHECK_THAT(world.at[2][i]->take(), StartsWith("PROXY TCP4 "));
        world.at[2][i]->send(kOk);
        world.settle();
        CHECK_THAT(client->take(), EndsWith("ok"));
    }
}
