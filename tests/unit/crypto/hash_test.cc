#include "crypto/hash.h"

#include <catch2/catch_test_macros.hpp>

#include "crypto/entropy.h"
#include "crypto/sealed_box.h"

using namespace candela;

TEST_CASE("sha256_agrees_with_fips_180") {
    CHECK(crypto::sha256_hex(as_bytes("")) ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(crypto::sha256_hex(as_bytes("abc")) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// By Python's hashlib.blake2b.
TEST_CASE("keyed_hash_agrees_with_another_implementation") {
    const Secret key(std::string(32, 'k'));
    CHECK(hex_encode(crypto::keyed_hash(key, as_bytes("abc"))) ==
          "0a9b1f4f633832a535f3e4539d906998c3814fbcd4cc136e57e8ea742ac36b61");
    CHECK(crypto::keyed_hash(key, as_bytes("abd")) != crypto::keyed_hash(key, as_bytes("abc")));
}

TEST_CASE("sha256_in_pieces_equals_the_whole") {
    const std::string text(1000, 'x');
    for (const size_t piece : {1, 63, 64, 65, 999, 1000}) {
        crypto::Sha256 hash;
        for (size_t at = 0; at < text.size(); at += piece) {
            hash.update(as_bytes(std::string_view(text).substr(at, piece)));
        }
        CHECK(hash.finish_hex() == crypto::sha256_hex(as_bytes(text)));
    }
}

TEST_CASE("equal_constant_time_compares_length_and_bytes") {
    CHECK(crypto::equal_constant_time(as_bytes("abc"), as_bytes("abc")));
    CHECK_FALSE(crypto::equal_constant_time(as_bytes("abc"), as_bytes("abd")));
    CHECK_FALSE(crypto::equal_constant_time(as_bytes("abc"), as_bytes("ab")));
}

TEST_CASE("random_tokens_have_the_asked_length_and_differ") {
    const std::string token = crypto::random_token(11);
    CHECK(token.size() == 15);
    CHECK(base64url_decode(token)->size() == 11);
    CHECK(token != crypto::random_token(11));
}

TEST_CASE("a_sealed_box_opens_only_with_its_key") {
    const crypto::BoxKey key = crypto::BoxKey::generate();
    std::string box = *crypto::seal(key.public_key(), as_bytes("the password"));
    CHECK(box.size() == 12 + crypto::kSealOverheadBytes);
    CHECK(key.open(as_bytes(box))->reveal() == "the password");
    CHECK(crypto::BoxKey::generate().open(as_bytes(box)).error().code() == Code::kCorrupt);
    box.back() = static_cast<char>(box.back() ^ 1);
    CHECK(key.open(as_bytes(box)).error().code() == Code::kCorrupt);
    CHECK(key.open(as_bytes("too short")).error().code() == Code::kCorrupt);
}

TEST_CASE("sealing_for_an_impossible_key_is_an_error") {
    CHECK(crypto::seal(crypto::BoxPublicKey{}, as_bytes("x")).error().code() == Code::kInvalid);
}
