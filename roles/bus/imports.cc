#include "imports.h"

#include <algorithm>

#include "auth/permissions.h"
#include "base/text.h"
#include "server.h"

namespace candela::bus_role {

namespace {

// Wall clocks jump: a far end is looked at again and again.
constexpr int64_t kExpiryLookSeconds = 60;

// What an import asks its exporter for.
std::string_view exporters_subject(const auth::Import& share) {
    const bool is_old = share.kind == auth::ShareKind::kService && !share.to.empty();
    return is_old ? share.to : share.subject;
}

// From the exporter's names to the importer's.
Result<SubjectMapping> names_of(const auth::Import& share) {
    if (!share.local_subject.empty()) {
        return SubjectMapping::create(share.subject, share.local_subject);
    }
    if (share.to.empty()) return SubjectMapping::create(share.subject, share.subject);
    if (share.kind == auth::ShareKind::kService) {
        return SubjectMapping::create(share.to, share.subject);
    }
    const bool has_dot = share.to.ends_with('.');
    return SubjectMapping::create(
        share.subject, fmt::format("{}{}{}", share.to, has_dot ? "" : ".", share.subject));
}

const auth::Export* find_export(const auth::AccountClaims& exporter, auth::ShareKind kind,
                                std::string_view subject) {
    const auto found = std::find_if(
        exporter.exports.begin(), exporter.exports.end(), [&](const auth::Export& share) {
            return share.kind == kind && auth::pattern_contains(share.subject, subject);
        });
    return found == exporter.exports.end() ? nullptr : &*found;
}

bool is_revoked(const auth::Export& share, const auth::ActivationClaims& activation) {
    for (const std::string_view key :
         {std::string_view(activation.subject), std::string_view("*")}) {
        const auto found = share.revocations.find(key);
        if (found != share.revocations.end() && activation.issued_at <= found->second) return true;
    }
    return false;
}

// The exporter lets the importer in; the time when that ends, 0: never.
Result<int64_t> check_activation(const auth::AccountClaims& exporter, const auth::Export& share,
                                 std::string_view token, WallTime now) {
    if (token.empty()) return fail(Code::kDenied, "it needs an activation");
    CANDELA_TRY_ASSIGN(const auth::ActivationClaims activation, auth::decode_activation(token));
    if (activation.issuer != exporter.subject &&
        exporter.find_signing_key(activation.issuer) == nullptr) {
        return fail(Code::kDenied, "the activation is not signed by a key of the exporter");
    }
    if (activation.is_expired(now)) return fail(Code::kDenied, "the activation has expired");
    if (activation.not_before > unix_seconds(now)) {
        return fail(Code::kDenied, "the activation is not valid yet");
    }
    if (is_revoked(share, activation)) return fail(Code::kDenied, "the activation is revoked");
    return activation.expires_at;
}

Result<int64_t> check_allowed(const auth::AccountClaims& exporter, const auth::Export& share,
                              const auth::AccountClaims& importer, const auth::Import& wanted,
                              WallTime now) {
    if (share.account_token_position != 0) {
        const std::vector<std::string_view> tokens = split(exporters_subject(wanted), '.');
        const size_t at = share.account_token_position - 1;
        if (at < tokens.size() && tokens[at] == importer.subject) return 0;
        return fail(Code::kDenied, "token {} of the subject must be the importer's key", at + 1);
    }
    if (!share.token_required) return 0;
    return check_activation(exporter, share, wanted.token, now);
}

std::vector<std::string> key_names(const auth::AccountClaims& claims) {
    std::vector<std::string> out;
    for (const auth::AccountSigningKey& key : claims.signing_keys) out.push_back(key.key);
    return out;
}

}  // namespace

Imports::Imports(Server& server)
    : server_(server),
      responses_(server.loop()),
      expiry_timer_(server.loop().timers(), [this] { end_expired(); }) {}

Imports::~Imports() = default;

void Imports::update(Account& account) {
    std::vector<std::string> keys = key_names(account.claims);
    State& state = states_[&account];
    const bool concerns_others =
        state.exports != account.claims.exports || state.signing_keys != keys;
    state.exports = account.claims.exports;
    state.signing_keys = std::move(keys);
    rebuild(account);
    const auto found = importers_.find(account.key());
    if (!concerns_others || found == importers_.end()) return;
    for (const std::string& key :
         std::vector<std::string>(found->second.begin(), found->second.end())) {
        Account* importer = server_.accounts().find(key);
        if (importer != nullptr && importer != &account) rebuild(*importer);
    }
}

void Imports::remove(Account& account) {
    const auto found = states_.find(&account);
    if (found == states_.end()) return;
    drop(account);
    if (found->second.answers != nullptr) take_off(*found->second.answers);
    responses_.forget(account);
    states_.erase(found);
    const auto importers = importers_.find(account.key());
    if (importers == importers_.end()) return;
    for (const std::string& key :
         std::vector<std::string>(importers->second.begin(), importers->second.end())) {
        if (Account* importer = server_.accounts().find(key)) rebuild(*importer);
    }
}

void Imports::drop(Account& importer) {
    State& state = states_[&importer];
    for (const auto& passage : state.passages) take_off(*passage);
    state.passages.clear();
    for (const std::string& exporter : state.exporters) {
        const auto found = importers_.find(exporter);
        found->second.erase(importer.key());
        if (found->second.empty()) importers_.erase(found);
    }
    state.exporters.clear();
}

void Imports::rebuild(Account& importer) {
    drop(importer);
    State& state = states_[&importer];
    for (const auth::Import& share : importer.claims.imports) {
        if (importers_[share.account].insert(importer.key()).second) {
            state.exporters.push_back(share.account);
        }
        const Result<> added = add(importer, share);
        if (added) continue;
        server_.log().info("bus_import_not_active", {{"account", importer.claims.name},
                                                     {"subject", printable(share.subject)},
                                                     {"exporter", share.account},
                                                     {"reason", added.error()}});
    }
}

Result<> Imports::add(Account& importer, const auth::Import& share) {
    Account* exporter = server_.accounts().find(share.account);
    if (exporter == nullptr) return fail(Code::kNotFound, "the exporter is not known here");
    const auth::Export* offered =
        find_export(exporter->claims, share.kind, exporters_subject(share));
    if (offered == nullptr) return fail(Code::kDenied, "there is no such export");
    auto passage = std::make_unique<Passage>();
    CANDELA_TRY_ASSIGN(
        passage->expires_at,
        check_allowed(exporter->claims, *offered, importer.claims, share, server_.loop().wall()));
    CANDELA_TRY_ASSIGN(SubjectMapping names, names_of(share));
    if (share.kind == auth::ShareKind::kStream) {
        passage->kind = Passage::Kind::kStream;
        passage->from = exporter;
        passage->to = &importer;
        passage->mapping = std::move(names);
    } else {
        passage->kind = Passage::Kind::kService;
        passage->from = &importer;
        passage->to = exporter;
        passage->mapping = names.reversed();
        passage->response_type = offered->response_type;
        passage->response_threshold = offered->response_threshold;
        passage->share = share.share;
    }
    if (forms_circle(*passage)) return fail(Code::kConflict, "it forms a circle of imports");
    watch_expiry(passage->expires_at);
    insert(*passage);
    states_[&importer].passages.push_back(std::move(passage));
    return {};
}

// Some message that comes out at its end could come to its start again.
bool Imports::forms_circle(const Passage& added) const {
    struct End {
        const Account* account;
        const std::string* pattern;
    };
    std::vector<End> ends{End{added.to, &added.mapping.destination()}};
    std::unordered_set<const Passage*> seen;
    while (!ends.empty()) {
        const End end = ends.back();
        ends.pop_back();
        if (end.account == added.from &&
            auth::patterns_overlap(*end.pattern, added.mapping.pattern())) {
            return true;
        }
        for (const auto& [importer, state] : states_) {
            for (const auto& next : state.passages) {
                const bool goes_on = next->kind == added.kind && next->from == end.account;
                if (!goes_on || !auth::patterns_overlap(*end.pattern, next->mapping.pattern())) {
                    continue;
                }
                if (!seen.insert(next.get()).second) continue;
                ends.push_back(End{next->to, &next->mapping.destination()});
            }
        }
    }
    return false;
}

void Imports::insert(Passage& passage) {
    passage.subscription.passage = &passage;
    // Where a message enters, that loop's own passages take it; answers must come to this loop.
    passage.subscription.is_private = passage.kind != Passage::Kind::kResponse;
    passage.subscription.subject =
        passage.kind == Passage::Kind::kResponse ? responses_.pattern() : passage.mapping.pattern();
    passage.from->sublist.insert(passage.subscription);
    server_.touch(*passage.from);
}

void Imports::take_off(Passage& passage) {
    passage.from->sublist.remove(passage.subscription);
    server_.touch(*passage.from);
}

void Imports::watch_expiry(int64_t expires_at) {
    if (expires_at == 0 || (next_expiry_ != 0 && next_expiry_ <= expires_at)) return;
    next_expiry_ = expires_at;
    const int64_t now = unix_seconds(server_.loop().wall());
    const WallTime end(std::chrono::seconds(std::min(expires_at, now + kExpiryLookSeconds)));
    expiry_timer_.start(std::max<Duration>(end - server_.loop().wall(), 0ns));
}

void Imports::end_expired() {
    const int64_t now = unix_seconds(server_.loop().wall());
    std::vector<Account*> concerned;
    next_expiry_ = 0;
    for (const auto& [account, state] : states_) {
        int64_t first = 0;
        for (const auto& passage : state.passages) {
            if (passage->expires_at == 0) continue;
            if (first == 0 || passage->expires_at < first) first = passage->expires_at;
        }
        if (first != 0 && first <= now)
            concerned.push_back(server_.accounts().find(account->key()));
        else
            watch_expiry(first);
    }
    for (Account* account : concerned) rebuild(*account);
}

size_t Imports::active(const Account& importer) const {
    const auto found = states_.find(&importer);
    return found == states_.end() ? 0 : found->second.passages.size();
}

}  // namespace candela::bus_role
