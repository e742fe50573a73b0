#include "crypto/password.h"

#include <sodium.h>

#include <array>
#include <optional>

#include "base/text.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {
namespace {

constexpr size_t kMemoryBytes = size_t{16} << 20;
constexpr unsigned long long kPasses = 3;
constexpr uint64_t kMemoryKibMax = 64 << 10;
constexpr uint64_t kPassesMax = 10;

// The number behind "m=" in "m=65536,t=2,p=1".
std::optional<uint64_t> parameter(std::string_view parameters, std::string_view name) {
    for (const std::string_view one : split(parameters, ',')) {
        if (!one.starts_with(name)) continue;
        const auto number = parse_uint(one.substr(name.size()));
        return number ? std::optional<uint64_t>(*number) : std::nullopt;
    }
    return std::nullopt;
}

}  // namespace

Result<std::string> hash_password(std::string_view password) {
    ensure_sodium();
    if (password.empty() || password.size() > kPasswordBytesMax) {
        return fail(Code::kInvalid, "a password has from 1 to {} bytes", kPasswordBytesMax);
    }
    std::array<char, crypto_pwhash_STRBYTES> out{};
    if (crypto_pwhash_str_alg(out.data(), password.data(), password.size(), kPasses, kMemoryBytes,
                              crypto_pwhash_ALG_ARGON2ID13) != 0) {
        return fail(Code::kExhausted, "there is not enough memory to hash a password");
    }
    return std::string(out.data());
}

Result<> check_password_hash(std::string_view hash) {
    const std::vector<std::string_view> parts = split(hash, '$');
    const bool has_form = parts.size() == 6 && parts[0].empty() && parts[1] == "argon2id" &&
                          parts[2] == "v=19" && !parts[4].empty() && !parts[5].empty() &&
                          hash.size() < crypto_pwhash_STRBYTES;
    if (!has_form) return fail(Code::kInvalid, "this is no argon2id hash");
    const auto memory = parameter(parts[3], "m=");
    const auto passes = parameter(parts[3], "t=");
    if (!memory || !passes || *memory > kMemoryKibMax || *passes < 1 || *passes > kPassesMax) {
        return fail(Code::kInvalid, "a hash may ask for at most {} KiB and {} passes",
                    kMemoryKibMax, kPassesMax);
    }
    return {};
}

bool verify_password(const std::string& hash, std::string_view password) {
    ensure_sodium();
    return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

}  // namespace candela::crypto
