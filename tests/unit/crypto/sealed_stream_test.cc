#include "crypto/sealed_stream.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::crypto {
namespace {

constexpr size_t kChunk = StreamSealer::kChunkBytes;

std::string seal(std::string_view plain, size_t step = SIZE_MAX) {
    auto sealer = StreamSealer::begin(Secret(std::string_view("correct horse")));
    REQUIRE(sealer);
    std::string out;
    while (!plain.empty()) {
        const size_t count = std::min(step, plain.size());
        sealer->write(plain.substr(0, count), out);
        plain.remove_prefix(count);
    }
    sealer->finish(out);
    return out;
}

Result<std::string> open(std::string_view sealed, std::string_view passphrase = "correct horse",
                         size_t step = SIZE_MAX) {
    StreamOpener opener{Secret(passphrase)};
    std::string out;
    while (!sealed.empty()) {
        const size_t count = std::min(step, sealed.size());
        CANDELA_TRY(opener.write(sealed.substr(0, count), out));
        sealed.remove_prefix(count);
    }
    CANDELA_TRY(opener.finish(out));
    return out;
}

std::string text_of(size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
    return text;
}

TEST_CASE("what_is_sealed_opens_whatever_its_length") {
    for (const size_t size :
         {size_t{0}, size_t{1}, kChunk - 1, kChunk, kChunk + 1, 2 * kChunk, 3 * kChunk + 17}) {
        CAPTURE(size);
        const std::string plain = text_of(size);
        const auto opened = open(seal(plain));
        REQUIRE(opened);
        CHECK(*opened == plain);
    }
}

TEST_CASE("pieces_may_have_any_length") {
    const std::string plain = text_of(2 * kChunk + 5);
    CHECK(open(seal(plain, 1000), "correct horse", 777).value() == plain);
    CHECK(open(seal("some words", 1), "correct horse", 1).value() == "some words");
}

TEST_CASE("another_passphrase_opens_nothing") {
    CHECK(open(seal("secret"), "correct house").error().code() == Code::kDenied);
    CHECK(open(seal("secret"), "").error().code() == Code::kInvalid);
    CHECK(StreamSealer::begin(Secret()).error().code() == Code::kInvalid);
}

TEST_CASE("what_was_changed_moved_or_cut_off_is_found") {
    const std::string whole = seal(text_of(3 * kChunk + 100));
    const size_t sealed_chunk = kChunk + 17;
    const size_t head = whole.size() - 3 * sealed_chunk - 100 - 17;
    SECTION("a bit of a later chunk") {
        std::string sealed = whole;
        sealed[head + sealed_chunk + 5000] ^= 1;
        CHECK(open(sealed).error().code() == Code::kCorrupt);
    }
    SECTION("two chunks in each other's place") {
        std::string sealed =
            whole.substr(0, head) + whole.substr(head + sealed_chunk, sealed_chunk) +
            whole.substr(head, sealed_chunk) + whole.substr(head + 2 * sealed_chunk);
        CHECK_FALSE(open(sealed));
    }
    SECTION("a chunk left out") {
        std::string sealed = whole;
        sealed.erase(head + sealed_chunk, sealed_chunk);
        CHECK(open(sealed).error().code() == Code::kCorrupt);
    }
    SECTION("the end cut off, between two chunks or within one") {
        CHECK(open(whole.substr(0, head + sealed_chunk)).error().code() == Code::kCorrupt);
        CHECK(open(whole.substr(0, head + 2 * sealed_chunk)).error().code() == Code::kCorrupt);
        CHECK(open(whole.substr(0, whole.size() - 1)).error().code() == Code::kCorrupt);
        CHECK(open(whole.substr(0, head)).error().code() == Code::kCorrupt);
        CHECK(open(whole.substr(0, 10)).error().code() == Code::kCorrupt);
    }
    SECTION("something behind the end") {
        CHECK(open(whole + "x").error().code() == Code::kCorrupt);
        CHECK(open(whole + whole).error().code() == Code::kCorrupt);
    }
}

TEST_CASE("what_is_no_sealed_stream_or_too_costly_is_refused") {
    CHECK(open("PK\3\4 something else").error().code() == Code::kInvalid);
    CHECK(open("").error().code() == Code::kCorrupt);
    std::string sealed = seal("x");
    constexpr size_t kMemoryAt = 17 + 16 + 4;
    sealed[kMemoryAt + 3] = '\x7f';  // about 2 TiB
    CHECK(open(sealed).error().code() == Code::kInvalid);
}

}  // namespace
}  // namespace candela::crypto
