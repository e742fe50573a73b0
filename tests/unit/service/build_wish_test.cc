#include "service/build_wish.h"

#include <catch2/catch_test_macros.hpp>

#include "service/session_frame.h"

namespace candela::service {
namespace {

const std::string kDigest(64, 'a');

TEST_CASE("a_build_target_is_told_from_a_session") {
    const auto target = parse_build_target(to_text(BuildTarget{"team", "web"}));
    REQUIRE(target);
    CHECK(target->space == "team");
    CHECK(target->service == "web");
    SessionWish session;
    session.instance = "web-1";
    session.command = {"sh"};
    CHECK_FALSE(parse_build_target(to_text(session)));
    for (const char* text : {"", "[]", "1", "{", "null"}) CHECK_FALSE(parse_build_target(text));
}

TEST_CASE("a_build_order_is_read_as_it_was_written") {
    BuildOrder order;
    order.digest = kDigest;
    order.finds_command = true;
    order.ignore_file = "*.o\n";
    order.environment = {{"TOKEN", "a=b"}};
    const auto text = to_text(order);
    REQUIRE(text);
    const auto read = parse_build_order(*text);
    REQUIRE(read);
    CHECK(read->digest == order.digest);
    CHECK(read->finds_command);
    CHECK_FALSE(read->is_anew);
    CHECK(read->ignore_file == order.ignore_file);
    CHECK(read->environment == order.environment);
    order.ignore_file.assign(kSessionFrameMax, 'x');
    CHECK(to_text(order).error().code() == Code::kExhausted);
}

TEST_CASE("a_build_order_that_is_wrong_is_refused") {
    const std::string good = R"("digest":")" + kDigest + '"';
    for (const std::string& members :
         {std::string(R"("digest":"../etc")"), std::string(R"("finds_command":true)"),
          good + R"(,"environment":[])", good + R"(,"environment":{"A":1})"}) {
        CHECK_FALSE(parse_build_order('{' + members + '}'));
    }
    for (const char* text : {"", "[]", "1", "null", "\"x\""}) CHECK_FALSE(parse_build_order(text));
}

TEST_CASE("a_build_result_is_read_as_it_was_written") {
    BuildResult result;
    result.info.digest = kDigest;
    result.info.size_bytes = 12;
    result.info.files = 3;
    result.info.unpacked_bytes = 34;
    result.command = {"./web", "--port"};
    result.was_there = true;
    const auto read = parse_build_result(to_text(result));
    REQUIRE(read);
    CHECK(read->info.digest == kDigest);
    CHECK(read->info.size_bytes == 12);
    CHECK(read->info.files == 3);
    CHECK(read->info.unpacked_bytes == 34);
    CHECK(read->command == result.command);
    CHECK(read->was_there);
    CHECK_FALSE(parse_build_result(R"({"digest":"x"})"));
    CHECK_FALSE(parse_build_result(R"({"digest":")" + kDigest + R"(","command":"x"})"));
}

}  // namespace
}  // namespace candela::service
