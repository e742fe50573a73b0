// What the request parser makes of good requests.

#include <catch2/catch_test_macros.hpp>

#include "transcript.h"

using namespace candela::http;
using namespace candela::http::test;

TEST_CASE("request_with_fields_and_length") {
    CHECK(request_transcript("POST /a?b=c HTTP/1.1\r\nHost: x:80\r\nContent-Length: 3\r\n"
                             "X-Empty:\r\nX-Blanks: \t a b \t \r\n\r\nabc") ==
          "POST /a?b=c 1.1|Host=x:80|Content-Length=3|X-Empty=|X-Blanks=a b BODY(abc) END ");
}

TEST_CASE("request_pipeline_is_read_one_by_one") {
    const std::string input =
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
        "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
        "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
        "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string expected =
        "POST /1 1.1|Host=a|Transfer-Encoding=chunked BODY(abcde) END GET /2 1.1|Host=a END "
        "POST /3 1.1|Host=a|Content-Length=2 BODY(hi) END GET /4 1.1|Host=a END ";
    for (size_t step = 1; step <= input.size(); ++step) {
        REQUIRE(request_transcript(input, step) == expected);
    }
}

TEST_CASE("request_parser_stops_after_each_message") {
    RequestParser parser;
    std::string_view bytes = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    CHECK(parser.head().target == "/1");
    CHECK(bytes.starts_with("GET /2"));
    REQUIRE(parser.parse(bytes) == ParseEvent::kComplete);
    CHECK(parser.is_between_messages());
    CHECK(parser.head().target == "/1");  // good until the next parse()
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    CHECK(parser.framing().host == "b");
    CHECK(bytes.empty());
    REQUIRE(parser.parse(bytes) == ParseEvent::kComplete);
    CHECK(parser.parse(bytes) == ParseEvent::kNeedMore);
}

TEST_CASE("request_body_views_point_into_the_input") {
    RequestParser parser;
    const std::string input =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    std::string_view bytes = input;
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    CHECK(parser.framing().body == BodyKind::kChunked);
    REQUIRE(parser.parse(bytes) == ParseEvent::kBody);
    CHECK(parser.body() == "hello");
    CHECK(parser.body().data() == input.data() + input.find("hello"));
}

TEST_CASE("request_keep_alive_follows_version_and_connection") {
    const auto keep_alive = [](std::string_view version, std::string_view connection) {
        RequestParser parser;
        std::string text = "GET / HTTP/" + std::string(version) + "\r\nHost: a\r\n";
        if (!connection.empty()) text += "Connection: " + std::string(connection) + "\r\n";
        text += "\r\n";
        std::string_view bytes = text;
        REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
        return parser.framing().keep_alive;
    };
    CHECK(keep_alive("1.1", ""));
    CHECK(keep_alive("1.1", "keep-alive"));
    CHECK_FALSE(keep_alive("1.1", "close"));
    CHECK_FALSE(keep_alive("1.1", "X-Mine , Close"));
    CHECK_FALSE(keep_alive("1.1", "keep-alive, close"));
    CHECK_FALSE(keep_alive("1.0", ""));
    CHECK(keep_alive("1.0", "Keep-Alive"));
}

TEST_CASE("request_upgrade_is_offered_only_where_it_is_safe") {
    const auto upgrade = [](std::string_view fields) {
        RequestParser parser;
        const std::string text = "GET /chat HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
        std::string_view bytes = text;
        REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
        return parser.framing().upgrade;
    };
    CHECK(upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    CHECK_FALSE(upgrade("Upgrade: websocket\r\n"));
    CHECK_FALSE(upgrade("Connection: Upgrade\r\n"));
    CHECK_FALSE(upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"));
    CHECK_FALSE(upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"));
    CHECK_FALSE(
        upgrade("Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n"));
}

TEST_CASE("request_upgrade_leaves_the_other_protocol_unread") {
    RequestParser parser;
    std::string_view bytes =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    REQUIRE(parser.parse(bytes) == ParseEvent::kComplete);
    CHECK(bytes == "\x81\x05hello");
}

TEST_CASE("request_with_upgrade_and_body_is_framed_by_its_body") {
    CHECK(request_transcript("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
                             "Content-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
              .ends_with("BODY(hi) END GET /2 1.1|Host=a END "));
}

TEST_CASE("request_target_in_absolute_form_is_reduced_to_its_path") {
    const auto target = [](std::string_view line) {
        RequestParser parser;
        const std::string text = std::string(line) + "\r\nHost: Example.test\r\n\r\n";
        std::string_view bytes = text;
        REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
        return parser.head().target;
    };
    CHECK(target("GET http://example.test/a?b HTTP/1.1") == "/a?b");
    CHECK(target("GET HTTP://example.TEST:80/a HTTP/1.1") == "/a");
    CHECK(target("GET http://example.test HTTP/1.1") == "/");
    CHECK(target("GET http://example.test?b HTTP/1.1") == "/?b");
    CHECK(target("OPTIONS http://example.test HTTP/1.1") == "*");
}

TEST_CASE("request_in_absolute_form_gives_its_host_to_http_1_0") {
    RequestParser parser;
    std::string_view bytes = "GET http://example.test:8080/a HTTP/1.0\r\n\r\n";
    REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
    CHECK(parser.framing().host == "example.test");
    CHECK(parser.head().headers.get(FieldId::kHost) == "example.test:8080");
}

TEST_CASE("request_expectation_is_reported_only_with_a_body") {
    const auto expects = [](std::string_view version, std::string_view fields) {
        RequestParser parser;
        const std::string text = "PUT / HTTP/" + std::string(version) + "\r\nHost: a\r\n" +
                                 std::string(fields) + "Expect: 100-continue\r\n\r\n";
        std::string_view bytes = text;
        REQUIRE(parser.parse(bytes) == ParseEvent::kHead);
        return parser.framing().expects_continue;
    };
    CHECK(expects("1.1", "Content-Length: 1\r\n"));
    CHECK(expects("1.1", "Transfer-Encoding: chunked\r\n"));
    CHECK_FALSE(expects("1.1", "Content-Length: 0\r\n"));
    CHECK_FALSE(expects("1.0", "Content-Length: 1\r\n"));
}

TEST_CASE("request_cut_off_is_an_error_at_the_end_only_inside_a_message") {
    CHECK(request_transcript("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == "GET / 1.1|Host=a END ");
    CHECK(request_transcript("GET / HTTP/1.1\r\nHos") == "CUT OFF");
    CHECK(request_transcript("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
              .ends_with("BODY(ab) CUT OFF"));
    CHECK(request_transcript(
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc")
              .ends_with("BODY(abc) CUT OFF"));
    CHECK(request_transcript("").empty());
}

TEST_CASE("request_parser_says_that_it_failed_until_it_is_gone") {
    RequestParser parser;
    std::string_view bytes = "nonsense\r\n\r\n";
    REQUIRE(parser.parse(bytes) == ParseEvent::kError);
    bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    CHECK(parser.parse(bytes) == ParseEvent::kError);
    CHECK(parser.finish() == ParseEvent::kError);
    CHECK(parser.error().status == 400);
    CHECK_FALSE(parser.error().reason.empty());
}

TEST_CASE("request_limits_are_taken_from_the_options") {
    ParserLimits limits;
    limits.head_bytes_max = 100;
    limits.target_bytes_max = 10;
    limits.field_count_max = 2;
    const auto status = [&](std::string_view bytes) {
        RequestParser parser(limits);
        return parser.parse(bytes) == ParseEvent::kError ? parser.error().status : 0;
    };
    CHECK(status("GET /234567890 HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
    CHECK(status("GET /2345678901 HTTP/1.1\r\nHost: a\r\n\r\n") == 414);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n") == 0);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nD: e\r\n\r\n") == 431);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nB: " + std::string(68, 'c') + "\r\n\r\n") == 0);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nB: " + std::string(69, 'c') + "\r\n\r\n") == 431);
}
