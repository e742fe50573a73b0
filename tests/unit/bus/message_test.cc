#include "bus/message.h"

#include <catch2/catch_test_macros.hpp>

#include "bus/subject.h"

using namespace candela::bus;

TEST_CASE("header_blocks_are_built_and_read") {
    const std::string block = HeaderBuilder().add("Nats-Msg-Id", "7").add("X", " a: b ").text();
    CHECK(block == "NATS/1.0\r\nNats-Msg-Id: 7\r\nX:  a: b \r\n\r\n");
    CHECK(find_header(block, "nats-msg-id") == "7");
    CHECK(find_header(block, "x") == "a: b");
    CHECK_FALSE(find_header(block, "y"));
    CHECK(header_status(block) == 0);
}

TEST_CASE("a_value_cannot_forge_another_header") {
    const std::string block = HeaderBuilder().add("A", "1\r\nB: 2").text();
    CHECK_FALSE(find_header(block, "B"));
}

TEST_CASE("statuses_are_read") {
    CHECK(header_status("NATS/1.0 503\r\n\r\n") == 503);
    CHECK(header_status("NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n") == 100);
    CHECK(header_status("NATS/1.0 xyz\r\n\r\n") == 0);
    CHECK(header_status("HTTP/1.1 503\r\n\r\n") == 0);
    CHECK(header_status("") == 0);
    CHECK_FALSE(find_header("NATS/1.0", "A"));
}

TEST_CASE("subjects_and_patterns_are_told_apart") {
    CHECK(is_valid_subject("foo.bar"));
    CHECK(is_valid_subject("foo*.bar>"));
    CHECK_FALSE(is_valid_subject("foo.*"));
    CHECK_FALSE(is_valid_subject(">"));
    CHECK(is_valid_pattern("foo.*.>"));
    CHECK_FALSE(is_valid_pattern("foo.>.bar"));
    for (const char* bad : {"", ".", "foo.", ".foo", "foo..bar", "foo bar", "foo\r\n", "a\tb"}) {
        INFO(bad);
        CHECK_FALSE(is_valid_pattern(bad));
    }
    CHECK(has_wildcard("*"));
    CHECK(has_wildcard("a.*.b"));
    CHECK(has_wildcard("a.>"));
    CHECK_FALSE(has_wildcard("a*.b>"));
}
