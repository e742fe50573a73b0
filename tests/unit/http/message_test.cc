#include "http/message.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

TEST_CASE("headers_compare_names_without_case") {
    Headers headers;
    headers.add("Content-Type", "text/plain");
    headers.add("X-Mine", " padded\t");
    CHECK(headers.get("content-TYPE") == "text/plain");
    CHECK(headers.get(FieldId::kContentType) == "text/plain");
    CHECK(headers.get("x-mine") == "padded");
    CHECK_FALSE(headers.get("absent").has_value());
}

TEST_CASE("headers_keep_several_values_in_order") {
    Headers headers{{"Set-Cookie", "a"}, {"Via", "x"}, {"set-cookie", "b"}};
    std::string seen;
    for (const Headers::Field field : headers)
        seen += std::string(field.name) + "=" + std::string(field.value) + " ";
    CHECK(seen == "Set-Cookie=a Via=x set-cookie=b ");
    headers.set("SET-COOKIE", "c");
    CHECK(headers.size() == 2);
    CHECK(headers.get("set-cookie") == "c");
    headers.remove(FieldId::kVia);
    CHECK(headers.size() == 1);
}

TEST_CASE("headers_can_be_filled_from_their_own_views") {
    Headers headers;
    headers.add("A", std::string(100, 'x'));
    for (int round = 0; round < 50; ++round) headers.add("B", *headers.get("A"));
    headers.set("A", *headers.get("A"));
    CHECK(headers.get("A") == std::string(100, 'x'));
    CHECK(headers.get("B") == std::string(100, 'x'));
}

TEST_CASE("headers_find_tokens_in_lists") {
    const Headers headers{{"Connection", "keep-alive , Upgrade"}, {"Connection", ",,close"}};
    CHECK(headers.has_token(FieldId::kConnection, "upgrade"));
    CHECK(headers.has_token(FieldId::kConnection, "CLOSE"));
    CHECK_FALSE(headers.has_token(FieldId::kConnection, "up"));
}

TEST_CASE("headers_know_every_name_of_their_table") {
    CHECK(field_id("hOsT") == FieldId::kHost);
    CHECK(field_id("X-Forwarded-Port") == FieldId::kXForwardedPort);
    CHECK(field_id("X-Forwarded-Host") == FieldId::kXForwardedHost);
    CHECK(field_id("te") == FieldId::kTe);
    CHECK(field_id("tt") == FieldId::kOther);
    CHECK(field_id("") == FieldId::kOther);
}

TEST_CASE("a_field_that_would_split_the_message_is_never_sent") {
    for (const std::string_view value : {std::string_view("a\r\nX: y"), std::string_view("a\nb"),
                                         std::string_view("a\rb"), std::string_view("a\0b", 3)}) {
        ResponseHead head;
        head.headers.add("Location", value);
        std::string out = "before";
        const Result<> written = serialize(head, out);
        REQUIRE_FALSE(written);
        CHECK(written.error().code() == Code::kInvalid);
        CHECK(written.error().message().find("Location") != std::string::npos);
        CHECK(out == "before");
    }
    ResponseHead head;
    head.headers.add("Bad Name", "x");
    std::string out;
    CHECK_FALSE(serialize(head, out));
}

TEST_CASE("a_target_with_blanks_is_never_sent") {
    std::string out;
    RequestHead head;
    head.target = "/a b";
    CHECK_FALSE(serialize(head, out));
    head.target = "/a\r\nHost: x";
    CHECK_FALSE(serialize(head, out));
    head.target = "";
    CHECK_FALSE(serialize(head, out));
    head.target = "/";
    head.method = "GET /x";
    CHECK_FALSE(serialize(head, out));
    CHECK(out.empty());
}

TEST_CASE("heads_are_written_as_the_protocol_wants_them") {
    RequestHead request;
    request.method = "PUT";
    request.target = "/a?b";
    request.headers.add("Host", "x");
    std::string out;
    REQUIRE(serialize(request, out));
    CHECK(out == "PUT /a?b HTTP/1.1\r\nHost: x\r\n\r\n");

    ResponseHead response;
    response.status = 404;
    response.headers.add("X", "");
    out.clear();
    REQUIRE(serialize(response, out));
    CHECK(out == "HTTP/1.1 404 Not Found\r\nX: \r\n\r\n");

    response.status = 799;
    response.reason = "Odd";
    out.clear();
    REQUIRE(serialize(response, out));
    CHECK(out == "HTTP/1.1 799 Odd\r\nX: \r\n\r\n");
}

TEST_CASE("chunk_lines_are_hexadecimal") {
    ChunkLine line;
    CHECK(chunk_line(26, line) == "1a\r\n");
    CHECK(chunk_line(SIZE_MAX, line) == "ffffffffffffffff\r\n");
}

TEST_CASE("http_dates_follow_rfc_9110") {
    CHECK(format_http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
}
