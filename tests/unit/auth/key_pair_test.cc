#include "auth/key_pair.h"

#include <catch2/catch_test_macros.hpp>

#include "vectors.h"

using namespace candela;
using auth::KeyKind;
using auth::KeyPair;

TEST_CASE("nkeys_agree_with_another_implementation") {
    for (const vectors::Key& key :
         {vectors::kOperator, vectors::kAccount, vectors::kUser, vectors::kSigner}) {
        const Result<KeyPair> pair = KeyPair::from_seed(key.seed);
        REQUIRE(pair);
        CHECK(pair->public_key() == key.public_key);
        CHECK(pair->seed().reveal() == key.seed);
        const crypto::Signature signature = pair->sign(vectors::kSignedText);
        CHECK(base64url_encode(signature) == key.signature);
        CHECK(auth::verify_text(key.public_key, vectors::kSignedText, key.signature));
    }
}

TEST_CASE("a_generated_key_has_its_kind_and_survives_its_seed") {
    const struct {
        KeyKind kind;
        char letter;
    } rows[] = {{KeyKind::kOperator, 'O'},
                {KeyKind::kAccount, 'A'},
                {KeyKind::kUser, 'U'},
                {KeyKind::kServer, 'N'}};
    for (const auto& row : rows) {
        const KeyPair pair = KeyPair::generate(row.kind);
        CHECK(pair.public_key()[0] == row.letter);
        CHECK(auth::is_public_key(pair.public_key(), row.kind));
        CHECK(KeyPair::from_seed(pair.seed().reveal())->public_key() == pair.public_key());
    }
}

TEST_CASE("malformed_keys_and_seeds_are_refused") {
    const std::string good(vectors::kUser.public_key);
    std::string changed = good;
    changed[20] = changed[20] == 'A' ? 'B' : 'A';
    CHECK_FALSE(auth::parse_public_key(changed));
    CHECK_FALSE(auth::parse_public_key(good.substr(1)));
    CHECK_FALSE(auth::parse_public_key(""));
    CHECK_FALSE(auth::parse_public_key(std::string(56, '!')));
    CHECK_FALSE(auth::is_public_key(good, KeyKind::kAccount));
    CHECK_FALSE(KeyPair::from_seed(good));
    std::string seed(vectors::kUser.seed);
    seed[30] = seed[30] == 'A' ? 'B' : 'A';
    const Result<KeyPair> refused = KeyPair::from_seed(seed);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message().find(seed) == std::string::npos);
}

TEST_CASE("signatures_are_taken_in_both_base64_alphabets") {
    const KeyPair pair = KeyPair::generate(KeyKind::kUser);
    const crypto::Signature signature = pair.sign("nonce");
    CHECK(auth::verify_text(pair.public_key(), "nonce", base64url_encode(signature)));
    CHECK(auth::verify_text(pair.public_key(), "nonce", base64_encode(signature)));
    CHECK_FALSE(auth::verify_text(pair.public_key(), "other", base64url_encode(signature)));
    CHECK_FALSE(auth::verify_text(pair.public_key(), "nonce", "?"));
}
