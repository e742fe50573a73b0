#include "http/url.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

TEST_CASE("addresses are taken apart for a client") {
    const auto url = parse_url("https://login.example:8443/keys?x=1");
    REQUIRE(url);
    CHECK(url->text == "https://login.example:8443/keys?x=1");
    CHECK(url->host == "login.example");
    CHECK(url->port == 8443);
    CHECK(url->authority == "login.example:8443");
    CHECK(url->target == "/keys?x=1");
    CHECK(url->is_encrypted);
    CHECK_FALSE(url->is_loopback());
    CHECK(parse_url("https://login.example")->target == "/");
    CHECK(parse_url("https://login.example?x")->target == "/?x");
    CHECK(parse_url("http://login.example")->port == 80);
    CHECK(parse_url("http://[::1]:99/")->host == "::1");
    for (const char* const near : {"http://127.0.0.1", "http://[::1]/", "http://localhost:1/"}) {
        CHECK(parse_url(near)->is_loopback());
    }
    CHECK_FALSE(parse_url("http://127.example.org")->is_loopback());
}

TEST_CASE("what is no address by HTTP is refused") {
    for (const std::string bad :
         {"", "login.example", "ftp://x", "https://", "https:///x", "https://a b/", "https://x/#f",
          "https://user@x/", "https://x:0/", "https://x:70000/", "https://x/\r\n"}) {
        INFO(bad);
        CHECK_FALSE(parse_url(bad));
    }
    CHECK(parse_url("https://x/" + std::string(kUrlBytesMax - 10, 'a')));
    CHECK_FALSE(parse_url("https://x/" + std::string(kUrlBytesMax - 9, 'a')));
}
