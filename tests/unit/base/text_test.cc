#include "base/text.h"

#include <catch2/catch_test_macros.hpp>

#include "base/append.h"

namespace candela {
namespace {

// As the ASCII table has it: letters, and nothing else, have another case.
bool is_same(int a, int b) {
    const auto lower = [](int c) { return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c; };
    return lower(a) == lower(b);
}

TEST_CASE("texts_are_equal_but_for_the_case_of_ascii_letters") {
    CHECK(ascii_iequals("", ""));
    CHECK(ascii_iequals("Content-Length", "content-LENGTH"));
    CHECK_FALSE(ascii_iequals("Content-Length", "content-lengt"));
    CHECK_FALSE(ascii_iequals("a", ""));
    // Every two bytes, at each place of what is compared eight at once and of what is left.
    size_t wrong = 0;
    for (size_t at = 0; at < 11; ++at) {
        for (int x = 0; x < 256; ++x) {
            for (int y = 0; y < 256; ++y) {
                std::string a = "aZ[@z{`\xc1q!Q";
                std::string b = "Az[@Z{`\xc1Q!q";
                a[at] = static_cast<char>(x);
                b[at] = static_cast<char>(y);
                wrong += ascii_iequals(a, b) != is_same(x, y);
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("text_is_put_together_whatever_room_it_has") {
    for (size_t room = 0; room < 64; ++room) {
        std::string text = "ab";
        text.reserve(room);
        const std::string longer(room, 'x');
        append_all(text, "", std::string_view("cd"), longer, ": ");
        CHECK(text == "abcd" + longer + ": ");
    }
}

}  // namespace
}  // namespace candela
