#include "credentials.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <limits>
#include <vector>

#include "auth/claims.h"
#include "auth/creds_file.h"
#include "loop/file.h"

namespace candela::host {

namespace {

// What an earlier life of this host left, where it is still good for a while.
Result<auth::Credentials> load_valid(const std::filesystem::path& file, int64_t now) {
    CANDELA_TRY_ASSIGN(auth::Credentials credentials, auth::load_creds(file));
    CANDELA_TRY_ASSIGN(const auth::UserClaims claims, auth::decode_user(credentials.jwt));
    if (claims.expires_at != 0 && claims.expires_at < now + 60) {
        return fail(Code::kDenied, "the credential expires");
    }
    return credentials;
}

// Whole and with its owner, before it takes the old one's place.
Result<> write_for(const CredentialFile& file, const Secret& text) {
    if (!file.owner)
        return write_file(file.path, text.reveal(), file.is_readable_by_all ? 0644 : 0600);
    const std::filesystem::path made = file.path.native() + ".new";
    CANDELA_TRY(write_file(made, text.reveal(), 0600));
    if (::chown(made.c_str(), *file.owner, *file.owner) != 0 ||
        ::rename(made.c_str(), file.path.c_str()) != 0) {
        return fail_errno(file.path.native(), errno);
    }
    return {};
}

// Half of its life later, at the latest a minute before its end.
int64_t renewal_time(int64_t now, int64_t expires_at) {
    if (expires_at == 0) return std::numeric_limits<int64_t>::max();
    return now + (expires_at - now) / 2;
}

}  // namespace

Credentials::Credentials(Loop& loop, CredentialIssuer& issuer, std::string node, Logger log)
    : loop_(loop), issuer_(issuer), node_(std::move(node)), log_(std::move(log)) {
    tasks_.spawn(renew_forever());
}

Credentials::~Credentials() = default;

Task<Result<>> Credentials::provide(std::string instance, std::string space, CredentialFile file) {
    if (!entries_.contains(instance)) {
        const int64_t now = unix_seconds(loop_.wall());
        auto work = [file, now] { return load_valid(file.path, now); };
        auto known = co_await offload(loop_, std::move(work));
        Entry entry{space, file, auth::KeyPair::generate(auth::KeyKind::kUser)};
        if (known) {
            entry.key = std::move(known->key);
            const auto claims = auth::decode_user(known->jwt);
            entry.expires_at =
                claims->expires_at != 0 ? claims->expires_at : std::numeric_limits<int64_t>::max();
            entry.renew_at = renewal_time(now, claims->expires_at);
        }
        entries_.emplace(instance, std::move(entry));
    }
    if (entries_.at(instance).expires_at != 0) co_return Result<>();
    auto result = co_await request(instance);
    co_return result;
}

Task<Result<>> Credentials::request(std::string instance) {
    proto::CredentialRequest wanted;
    {
        const Entry& entry = entries_.at(instance);
        wanted.node = node_;
        wanted.instance = instance;
        wanted.space = entry.space;
        wanted.public_key = entry.key.public_key();
    }
    auto credential = co_await issuer_.issue(std::move(wanted));
    if (credential && credential->failure) credential = fail(credential->failure.to_error());
    if (!credential) co_return fail(credential.error().in("bus credential"));
    const auto found = entries_.find(instance);
    if (found == entries_.end()) co_return fail(Code::kCancelled, "the instance is gone");
    const CredentialFile file = found->second.file;
    auto text = std::make_shared<Secret>(auth::format_creds(credential->jwt, found->second.key));
    auto work = [file, text] { return write_for(file, *text); };
    auto written = co_await offload(loop_, std::move(work));
    if (!written) co_return fail(written.error());
    const auto entry = entries_.find(instance);
    if (entry == entries_.end()) co_return fail(Code::kCancelled, "the instance is gone");
    const int64_t now = unix_seconds(loop_.wall());
    const auto expires_at = static_cast<int64_t>(credential->expires_at / 1000);
    entry->second.expires_at = expires_at != 0 ? expires_at : std::numeric_limits<int64_t>::max();
    entry->second.renew_at = renewal_time(now, expires_at);
    co_return Result<>();
}

Task<void> Credentials::renew_forever() {
    for (;;) {
        co_await sleep_for(loop_, kRenewInterval);
        const int64_t now = unix_seconds(loop_.wall());
        std::vector<std::string> due;
        for (const auto& [instance, entry] : entries_) {
            if (now >= entry.renew_at) due.push_back(instance);
        }
        for (const std::string& instance : due) {
            if (!entries_.contains(instance)) continue;
            const auto renewed = co_await request(instance);
            if (!renewed) {
                log_.warn("credential_not_renewed",
                          {{"instance", instance}, {"error", renewed.error()}});
                break;  // the others would meet the same; all are tried again soon
            }
        }
    }
}

void Credentials::forget(const std::string& instance) { entries_.erase(instance); }

}  // namespace candela::host
