// How long a response is (RFC 9112 §6.3), and what a server may not say.

#include <catch2/catch_test_macros.hpp>

#include "transcript.h"

using namespace candela::http;
using namespace candela::http::test;

namespace {

std::string response(std::string_view status, std::string_view fields, std::string_view body = "") {
    return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(fields) + "\r\n" +
           std::string(body);
}

std::string refused(std::string_view bytes) {
    const std::string whole = response_transcript(bytes);
    for (size_t step = 1; step < bytes.size(); ++step) {
        REQUIRE(response_transcript(bytes, step) == whole);
    }
    return whole;
}

}  // namespace

TEST_CASE("response_with_length_and_another_behind_it") {
    const std::string input =
        response("200 OK", "Content-Length: 3\r\n", "abc") +
        response("404 Not Here", "Transfer-Encoding: chunked\r\n", "3\r\nxyz\r\n0\r\n\r\n");
    const std::string expected =
        "200 OK|Content-Length=3 BODY(abc) END 404 Not Here|Transfer-Encoding=chunked BODY(xyz) END ";
    for (size_t step = 1; step <= input.size(); ++step) {
        REQUIRE(response_transcript(input, step) == expected);
    }
}

TEST_CASE("response_without_length_ends_with_the_connection") {
    ResponseParser parser;
    parser.expect(false, false);
    std::string_view bytes = "HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc";
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    CHECK(parser.framing().body == BodyKind::kUntilClose);
    CHECK_FALSE(parser.framing().keep_alive);
    REQUIRE(parser.parse(bytes) == ParseEvent::kBody);
    CHECK(parser.parse(bytes) == ParseEvent::kNeedMore);
    CHECK(parser.finish() == ParseEvent::kComplete);
}

TEST_CASE("response_to_head_has_no_body_whatever_it_says") {
    CHECK(response_transcript(response("200 OK", "Content-Length: 3\r\n"), SIZE_MAX, true) ==
          "200 OK|Content-Length=3 END ");
    CHECK(response_transcript(response("200 OK", "Transfer-Encoding: chunked\r\n"), SIZE_MAX,
                              true) == "200 OK|Transfer-Encoding=chunked END ");
    CHECK(response_transcript(response("200 OK", ""), SIZE_MAX, true) == "200 OK END ");
}

TEST_CASE("response_without_a_body_by_its_status") {
    CHECK(response_transcript(response("204 No Content", "")) == "204 No Content END ");
    CHECK(response_transcript(response("304 Not Modified", "Content-Length: 9\r\n")) ==
          "304 Not Modified|Content-Length=9 END ");
}

TEST_CASE("response_interim_ones_come_before_the_answer") {
    const std::string input =
        response("100 Continue", "") + response("103 Early Hints", "Link: </a>\r\n") +
        response("199 Whatever", "") + response("200 OK", "Content-Length: 2\r\n", "hi");
    const std::string expected =
        "100 Continue END 103 Early Hints|Link=</a> END 199 Whatever END "
        "200 OK|Content-Length=2 BODY(hi) END ";
    for (size_t step = 1; step <= input.size(); ++step) {
        REQUIRE(response_transcript(input, step) == expected);
    }
}

TEST_CASE("response_101_ends_http_where_it_was_offered") {
    const std::string bytes =
        response("101 Switching Protocols", "Upgrade: websocket\r\nConnection: upgrade\r\n", "raw");
    CHECK(response_transcript(bytes, SIZE_MAX, false, true).ends_with("UPGRADE "));
    CHECK(response_transcript(bytes, SIZE_MAX, false, false) == "ERROR 502");
}

TEST_CASE("response_keep_alive_follows_version_and_connection") {
    const auto keep_alive = [](std::string_view text) {
        ResponseParser parser;
        parser.expect(false, false);
        REQUIRE(parser.parse(text) == ParseEvent::kHead);
        return parser.framing().keep_alive;
    };
    CHECK(keep_alive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    CHECK_FALSE(keep_alive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    CHECK_FALSE(keep_alive("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    CHECK(keep_alive("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST_CASE("response_without_a_reason_is_fine") {
    CHECK(response_transcript("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n") ==
          "200 |Content-Length=0 END ");
    CHECK(response_transcript("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n") ==
          "200 |Content-Length=0 END ");
}

TEST_CASE("response_that_is_ambiguous_or_broken_is_refused") {
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    const std::pair<const char*, std::string> cases[] = {
        {"length and chunked", response("200 OK", chunked + "Content-Length: 5\r\n", "0\r\n\r\n")},
        {"two lengths", response("200 OK", "Content-Length: 1\r\nContent-Length: 2\r\n", "ab")},
        {"length not a number", response("200 OK", "Content-Length: x\r\n")},
        {"gzip, chunked", response("200 OK", "Transfer-Encoding: gzip, chunked\r\n")},
        {"identity", response("200 OK", "Transfer-Encoding: identity\r\n")},
        {"chunked twice", response("200 OK", chunked + chunked)},
        {"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\n" + chunked + "\r\n0\r\n\r\n"},
        {"bad chunk", response("200 OK", chunked, "z\r\n")},
        {"folded field", response("200 OK", "X: a\r\n b\r\n")},
        {"NUL in a field", response("200 OK", std::string("X: a\0b\r\n", 8))},
        {"field ended by LF", response("200 OK", "X: a\nY: b\r\n")},
        {"head ended by LF", "HTTP/1.1 200 OK\nX: a\n\n"},
        {"status of two digits", response("20 OK", "")},
        {"status of four digits", response("2000 OK", "")},
        {"status 099", response("099 Odd", "")},
        {"status not a number", response("abc OK", "")},
        {"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"},
        {"RTSP", "RTSP/1.0 200 OK\r\n\r\n"},
        {"empty line first", "\r\n" + response("200 OK", "")},
        {"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n"},
        {"head too long",
         response("200 OK", "X: " + std::string(33000, 'x') + "\r\n").substr(0, 33000)},
    };
    for (const auto& [name, bytes] : cases) {
        INFO(name);
        const std::string whole =
            bytes.size() < 300 ? refused(bytes) : response_transcript(bytes, 1000);
        INFO(whole);
        CHECK(whole.find("ERROR 502") != std::string::npos);
    }
}

TEST_CASE("response_codings_with_blanks_around_them_are_read_or_refused_but_never_guessed") {
    for (const std::string coding : {" chunked ", "\tchunked", " chunked\t", "  Chunked  "}) {
        INFO(coding);
        const std::string whole = response_transcript(
            response("200 OK", "Transfer-Encoding:" + coding + "\r\n", "3\r\nabc\r\n0\r\n\r\n"));
        INFO(whole);
        CHECK((whole.ends_with("BODY(abc) END ") || whole == "ERROR 502"));
    }
}

TEST_CASE("response_after_the_last_one_is_refused") {
    CHECK(
        response_transcript(response("200 OK", "Content-Length: 1\r\nConnection: close\r\n", "a") +
                            response("200 OK", "Content-Length: 0\r\n"))
            .ends_with("END ERROR 502"));
}
