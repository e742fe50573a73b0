#include "http/client_certificates.h"

#include <algorithm>

#include "base/encoding.h"

namespace candela::http {

const ClientCertificates::Verdict& ClientCertificates::check(
    const std::shared_ptr<const tls::ClientAuthority>& authority, WallTime now) {
    std::erase_if(kept_, [now](const Kept& kept) { return now < kept.from || now > kept.until; });
    const auto found = std::ranges::find(kept_, authority, &Kept::authority);
    if (found != kept_.end()) return found->verdict;
    if (kept_.size() >= kVerdictsMax) kept_.erase(kept_.begin());
    Kept kept;
    kept.authority = authority;
    const auto identity = authority->verify(client_.certificates, now);
    if (identity) {
        kept.verdict.subject = identity->subject;
        kept.verdict.field = ":" + base64_encode(as_bytes(client_.certificates.front())) + ":";
        kept.from = identity->not_before;
        kept.until = identity->not_after;
    } else {
        kept.verdict.refusal = identity.error().message();
        // It may become good.
        kept.from = now;
        kept.until = now + 1s;
    }
    kept_.push_back(std::move(kept));
    return kept_.back().verdict;
}

}  // namespace candela::http
