#include "http/basic_auth.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/text.h"
#include "crypto/entropy.h"
#include "crypto/hash.h"
#include "crypto/password.h"

namespace candela::http {

std::optional<BasicCredentials> parse_basic(std::string_view authorization) {
    const auto decoded = base64_decode(credentials_of(authorization, "basic"));
    if (!decoded) return std::nullopt;
    const auto parts = split_once(*decoded, ':');
    if (!parts || parts->second.size() > crypto::kPasswordBytesMax) return std::nullopt;
    return BasicCredentials{std::string(parts->first), std::string(parts->second)};
}

BasicAuth::BasicAuth(std::map<std::string, std::string, std::less<>> users, std::string realm)
    : users_(std::move(users)),
      challenge_(fmt::format(R"(Basic realm="{}", charset="UTF-8")", realm)) {
    crypto::random_bytes(key_);
    // Of the same cost as those of the users.
    if (!users_.empty()) nobody_ = users_.begin()->second;
}

BasicAuth::Digest BasicAuth::digest_of(const BasicCredentials& credentials) const {
    crypto::Sha256 hash;
    hash.update(key_);
    hash.update(as_bytes(credentials.user));
    hash.update(as_bytes(":"));  // no user's name has one
    hash.update(as_bytes(credentials.password));
    return hash.finish();
}

bool BasicAuth::knows(const BasicCredentials& credentials) const {
    const Digest digest = digest_of(credentials);
    const std::string key(as_text(digest));
    const std::lock_guard lock(mutex_);
    return known_.contains(key);
}

bool BasicAuth::verify(const BasicCredentials& credentials) const {
    const auto user = users_.find(credentials.user);
    const bool is_known = user != users_.end();
    const bool fits =
        crypto::verify_password(is_known ? user->second : nobody_, credentials.password);
    if (!is_known || !fits) return false;
    const Digest digest = digest_of(credentials);
    const std::lock_guard lock(mutex_);
    // As many as there are users, but for a hash with several passwords, which nobody has.
    if (known_.size() < kKnownMax) known_.insert(std::string(as_text(digest)));
    return true;
}

bool BasicAuth::begin_check() const {
    if (checks_.fetch_add(1, std::memory_order_relaxed) < kChecksMax) return true;
    end_check();
    return false;
}

}  // namespace candela::http
