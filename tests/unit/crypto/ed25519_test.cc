#include "crypto/ed25519.h"

#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

using namespace candela;

static crypto::SigningKey key_from_hex(std::string_view seed) {
    const std::string bytes = *hex_decode(seed);
    return *crypto::SigningKey::from_seed(as_bytes(bytes));
}

// RFC 8032 §7.1, tests 1 to 3.
struct Vector {
    std::string_view seed, public_key, message, signature;
};
static constexpr Vector kVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
};

TEST_CASE("ed25519_agrees_with_rfc_8032") {
    for (const Vector& vector : kVectors) {
        const crypto::SigningKey key = key_from_hex(vector.seed);
        const std::string message = *hex_decode(vector.message);
        const crypto::PublicKey public_key = key.public_key();
        const crypto::Signature signature = key.sign(as_bytes(message));
        CHECK(hex_encode(public_key) == vector.public_key);
        CHECK(hex_encode(signature) == vector.signature);
        CHECK(crypto::verify(public_key, as_bytes(message), signature));
    }
}

TEST_CASE("verify_refuses_what_was_changed") {
    const crypto::SigningKey key = crypto::SigningKey::generate();
    crypto::Signature signature = key.sign(as_bytes("pay 1"));
    CHECK(crypto::verify(key.public_key(), as_bytes("pay 1"), signature));
    CHECK_FALSE(crypto::verify(key.public_key(), as_bytes("pay 2"), signature));
    CHECK_FALSE(crypto::verify(key.public_key(), as_bytes("pay 1"), ByteView(signature).first(63)));
    CHECK_FALSE(
        crypto::verify(crypto::SigningKey::generate().public_key(), as_bytes("pay 1"), signature));
    signature[5] ^= 1;
    CHECK_FALSE(crypto::verify(key.public_key(), as_bytes("pay 1"), signature));
}

TEST_CASE("a_key_comes_back_from_its_seed") {
    const crypto::SigningKey key = crypto::SigningKey::generate();
    const Secret seed = key.seed();
    const Result<crypto::SigningKey> again = crypto::SigningKey::from_seed(as_bytes(seed.reveal()));
    REQUIRE(again);
    CHECK(again->public_key() == key.public_key());
    CHECK(crypto::SigningKey::from_seed(as_bytes("short")).error().code() == Code::kInvalid);
}

TEST_CASE("keys_can_be_made_on_many_threads_at_once") {
    std::vector<std::thread> threads;
    std::array<crypto::PublicKey, 8> keys{};
    for (crypto::PublicKey& key : keys) {
        threads.emplace_back([&key] { key = crypto::SigningKey::generate().public_key(); });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 1; i < keys.size(); ++i) CHECK(keys[i] != keys[0]);
}
