#include "service/session_frame.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::service {
namespace {

struct Got {
    SessionFrame type;
    std::string payload;
    friend bool operator==(const Got&, const Got&) = default;
};

// All frames of the bytes, which come in pieces of that size.
std::vector<Got> read_all(std::string_view bytes, size_t piece) {
    SessionReader reader;
    std::vector<Got> got;
    while (!bytes.empty()) {
        reader.add(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        SessionFrame type{};
        std::string_view payload;
        for (auto next = reader.next(type, payload); next && *next;
             next = reader.next(type, payload)) {
            got.push_back({type, std::string(payload)});
        }
    }
    return got;
}

TEST_CASE("frames_come_through_however_they_are_cut") {
    std::string bytes;
    add_session_frame(bytes, SessionFrame::kInput, "hello");
    add_session_frame(bytes, SessionFrame::kInputEnd);
    add_session_frame(bytes, SessionFrame::kExit, session_numbers32(-1, 9));
    const std::vector<Got> all = {{SessionFrame::kInput, "hello"},
                                  {SessionFrame::kInputEnd, ""},
                                  {SessionFrame::kExit, session_numbers32(-1, 9)}};
    for (const size_t piece : {1UL, 2UL, 5UL, 7UL, 1000UL}) CHECK(read_all(bytes, piece) == all);
    CHECK(session_number32(all[2].payload, 0) == -1);
    CHECK(session_number32(all[2].payload, 1) == 9);
    CHECK(session_number16(session_numbers16(33, 77), 1) == 77);
    CHECK(session_number32("ab", 0) == 0);
}

TEST_CASE("a_long_payload_is_several_frames_and_a_longer_frame_none") {
    std::string bytes;
    const std::string payload(2 * kSessionFrameMax + 1, 'x');
    add_session_frame(bytes, SessionFrame::kStdout, payload);
    const auto got = read_all(bytes, 10'000);
    REQUIRE(got.size() == 3);
    CHECK(got[0].payload.size() == kSessionFrameMax);
    CHECK(got[0].payload + got[1].payload + got[2].payload == payload);

    SessionReader reader;
    reader.add(std::string("\x11\x00\x01\x00\x01", 5));  // 64 KiB and one
    SessionFrame type{};
    std::string_view view;
    const auto next = reader.next(type, view);
    REQUIRE_FALSE(next);
    CHECK(next.error().code() == Code::kCorrupt);
}

TEST_CASE("a_wish_is_checked_by_who_takes_it") {
    SessionWish wish;
    wish.instance = "a-1";
    wish.command = {"sh", "-c", "x\ny"};
    wish.has_terminal = true;
    wish.window = {33, 77};
    wish.terminal_kind = "vt100";
    const auto again = parse_session_wish(to_text(wish));
    REQUIRE(again);
    CHECK(again->command == wish.command);
    CHECK(again->has_terminal);
    CHECK(again->window.columns == 77);
    CHECK(again->terminal_kind == "vt100");
    for (const char* bad :
         {"", "{}", "[]", R"({"instance":"a"})", R"({"instance":"a","command":[]})",
          R"({"instance":"a","command":[1]})", R"({"instance":"a","command":[""]})",
          R"({"instance":"a","command":"sh"})", R"({"instance":"a","command":["a\u0000b"]})"}) {
        INFO(bad);
        CHECK_FALSE(parse_session_wish(bad));
    }
    wish.command.assign(kSessionCommandMax + 1, "x");
    CHECK_FALSE(parse_session_wish(to_text(wish)));
    wish.command.pop_back();
    CHECK(parse_session_wish(to_text(wish)));
}

}  // namespace
}  // namespace candela::service
