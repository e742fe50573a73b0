// Everything of src/auth that reads what strangers send: keys, seeds, JWTs, .creds files. What is
// accepted survives being written and read again.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "auth/claims.h"
#include "auth/creds_file.h"
#include "auth/key_pair.h"
#include "auth/session.h"

using namespace candela;
using namespace candela::auth;

namespace {

void check(bool condition) {
    if (!condition) std::abort();
}

// Signs the input as the claims of a JWT, so that the fuzzer gets past the signature.
std::string sign(const KeyPair& signer, std::string_view claims) {
    const std::string part = base64url_encode(as_bytes(R"({"typ":"JWT","alg":"ed25519-nkey"})")) +
                             "." + base64url_encode(as_bytes(claims));
    const crypto::Signature signature = signer.sign(part);
    return part + "." + base64url_encode(signature);
}

// The input becomes the "nats" object of claims that are otherwise in order.
std::string with_nats(const KeyPair& signer, const KeyPair& subject, std::string_view nats) {
    return sign(signer, "{\"iat\":1,\"iss\":\"" + signer.public_key() + "\",\"sub\":\"" +
                            subject.public_key() + "\",\"nats\":" + std::string(nats) + "}");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const KeyPair op = KeyPair::generate(KeyKind::kOperator);
    static const KeyPair account = KeyPair::generate(KeyKind::kAccount);
    static const KeyPair user = KeyPair::generate(KeyKind::kUser);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto key = parse_public_key(text))
        check(format_public_key(key->kind, key->bytes) == text);
    if (const auto pair = KeyPair::from_seed(text)) check(pair->seed().reveal() == text);
    verify_text(user.public_key(), "x", text);
    (void)parse_creds(text);
    (void)decode_user(text);
    (void)decode_account(sign(op, text));
    (void)decode_operator(with_nats(op, op, text));
    (void)decode_generic(with_nats(op, op, text));
    (void)decode_activation(with_nats(account, account, text));
    const WallTime now = from_unix_millis(0);
    if (const auto claims = decode_account(with_nats(op, account, text))) {
        const auto again = decode_account(*encode_account(*claims, op, now));
        check(again && again->limits.connections == claims->limits.connections &&
              again->revocations == claims->revocations &&
              again->signing_keys.size() == claims->signing_keys.size() &&
              again->exports == claims->exports && again->imports == claims->imports &&
              again->mappings == claims->mappings);
        (void)check_account(*claims);
    }
    if (const auto claims = decode_user(with_nats(account, user, text))) {
        const auto again = decode_user(*encode_user(*claims, account, now));
        check(again && again->limits == claims->limits && again->scoped == claims->scoped &&
              again->permissions.publish == claims->permissions.publish);
        Sessions sessions([](std::string_view) { return nullptr; });
        (void)sessions.verify(text, now);
    }
    return 0;
}
