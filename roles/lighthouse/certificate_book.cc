#include "certificate_book.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/text.h"
#include "fleet.h"

namespace candela::lighthouse {

namespace {

CertificateSource parse_source(std::string_view text) {
    return text == "acme" ? CertificateSource::kAcme : CertificateSource::kAdded;
}

// Names are shown, logged, and parts of paths.
Result<> check_name(std::string_view name) {
    const bool is_good = !name.empty() && name.size() <= CertificateBook::kNameBytesMax &&
                         std::all_of(name.begin(), name.end(), [](char c) {
                             return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                                    c == '-' || c == '_' || c == '*' || c == ':';
                         });
    if (is_good) return {};
    return fail(Code::kInvalid,
                "'{}' is not a certificate's name: lower-case letters, digits, \".\", \"-\", "
                "\"_\", \"*\"",
                printable(name, 80));
}

}  // namespace

std::string_view to_string(CertificateSource source) {
    return source == CertificateSource::kAcme ? "acme" : "added";
}

struct CertificateBook::Added {
    CertificateRow row;
    HeldCertificate held;
};

CertificateBook::CertificateBook(State& state, const Vault& vault, Metrics& metrics,
                                 Duration ticket_rotation, Logger log)
    : state_(state),
      vault_(vault),
      metrics_(metrics),
      log_(std::move(log)),
      ticket_rotation_(ticket_rotation),
      ticket_timer_(state.loop().timers(), [this] { rotate_tickets(); }) {}

Task<Result<>> CertificateBook::open() {
    auto work = [](store::Connection& db) { return load_certificates(db); };
    auto rows = co_await state_.database().run(std::move(work));
    if (!rows) co_return fail(rows.error());
    for (CertificateRow& row : *rows) {
        auto key = vault_.unseal(row.sealed_key);
        auto info = tls::inspect_certificate(row.chain_pem);
        if (!key || !info) {
            log_.error("certificate_unreadable",
                       {{"name", row.name}, {"error", key ? info.error() : key.error()}});
            continue;
        }
        HeldCertificate held;
        held.name = row.name;
        held.source = parse_source(row.source);
        held.key_pair.certificate_pem = std::move(row.chain_pem);
        held.key_pair.key_pem = std::move(*key);
        held.info = std::move(*info);
        held.created_at = row.created_at;
        held_.insert_or_assign(row.name, std::move(held));
        measure(row.name);
    }
    version_ = (state_.epoch() << 32) + 1;
    certificates_version_ = version_;
    rotate_tickets();
    co_return Result<>();
}

void CertificateBook::changed(bool certificates) {
    ++version_;
    if (certificates) certificates_version_ = version_;
    on_changed(version_);
}

// ---- changes

Task<Result<std::string>> CertificateBook::put(std::string name, CertificateSource source,
                                               tls::KeyPair pair) {
    if (pair.certificate_pem.size() > proto::kChainBytesMax ||
        pair.key_pem.reveal().size() > proto::kKeyBytesMax) {
        co_return fail(Code::kInvalid, "the certificate or its key is too long");
    }
    const WallTime now = state_.loop().wall();
    auto info = tls::check_key_pair(pair, now);
    if (!info) co_return fail(info.error());
    if (name.empty()) name = ascii_lower(info->names.front());
    CO_TRY(check_name(name));
    CO_TRY_ASSIGN(std::string sealed, vault_.seal(pair.key_pem));
    auto added = std::make_shared<Added>();
    added->row = CertificateRow(name, std::string(to_string(source)), pair.certificate_pem,
                                std::move(sealed), now);
    added->held.name = name;
    added->held.source = source;
    added->held.key_pair = std::move(pair);
    added->held.info = std::move(*info);
    added->held.created_at = now;
    State::Work work = [this, added] { return store(added); };
    auto stored = co_await state_.run(std::move(work));
    if (!stored) co_return fail(stored.error());
    co_return name;
}

Task<Result<>> CertificateBook::store(std::shared_ptr<Added> added) {
    const std::string name = added->row.name;
    if (held_.size() >= kCertificatesMax && !held_.contains(name)) {
        co_return fail(Code::kExhausted, "there are {} certificates already", kCertificatesMax);
    }
    auto work = [added](store::Connection& db) { return write_certificate(db, added->row); };
    CO_TRY(co_await state_.database().run(std::move(work)));
    const tls::CertificateInfo& info = added->held.info;
    log_.info("certificate_stored", {{"name", name},
                                     {"source", added->row.source},
                                     {"issuer", info.issuer},
                                     {"expires_at", format_rfc3339(info.not_after)}});
    state_.say(
        EventRecord("certificate_stored", "", "", name,
                    fmt::format("by {}, until {}", info.issuer, format_rfc3339(info.not_after))));
    held_.insert_or_assign(name, std::move(added->held));
    if (!measured_.contains(name)) measure(name);
    changed(true);
    co_return Result<>();
}

Task<Result<>> CertificateBook::remove(std::string name) {
    State::Work work = [this, name] { return drop(name); };
    auto dropped = co_await state_.run(std::move(work));
    co_return dropped;
}

Task<Result<>> CertificateBook::drop(std::string name) {
    if (!held_.contains(name)) {
        co_return fail(Code::kNotFound, "there is no certificate '{}'", name);
    }
    auto work = [name](store::Connection& db) { return remove_certificate(db, name); };
    CO_TRY(co_await state_.database().run(std::move(work)));
    log_.info("certificate_deleted", {{"name", name}});
    state_.say(EventRecord("certificate_deleted", "", "", name, ""));
    measured_.erase(name);
    held_.erase(name);
    changed(true);
    co_return Result<>();
}

void CertificateBook::set_challenges(std::vector<proto::Challenge> challenges) {
    if (challenges == challenges_) return;
    challenges_ = std::move(challenges);
    changed(false);
}

// Looks again at least once a minute: the clock may have jumped.
void CertificateBook::rotate_tickets() {
    const WallTime now = state_.loop().wall();
    if (tls::advance_ticket_schedule(ticket_keys_, now, ticket_rotation_)) changed(false);
    ticket_timer_.start(std::min<Duration>(tls::ticket_schedule_wait(ticket_keys_, now), 1min));
}

// ---- gateways

Result<proto::CertificateTable> CertificateBook::page_for(
    const proto::CertificatesPull& pull) const {
    proto::CertificateTable page;
    page.version = version_;
    page.epoch = state_.epoch();
    page.certificates_version = certificates_version_;
    if (pull.version == version_) return page;
    page.challenges = challenges_;
    crypto::BoxPublicKey box{};
    if (pull.box_key.size() != box.size()) {
        return fail(Code::kInvalid, "a pull of certificates needs a key to seal theirs for");
    }
    std::copy(pull.box_key.begin(), pull.box_key.end(), box.begin());
    if (pull.after.empty()) CANDELA_TRY(add_ticket_keys(page, box));
    if (pull.certificates_version == certificates_version_) return page;
    size_t bytes = 0;
    for (auto at = held_.upper_bound(pull.after); at != held_.end(); ++at) {
        const tls::KeyPair& pair = at->second.key_pair;
        bytes += pair.certificate_pem.size() + pair.key_pem.reveal().size() + at->first.size();
        if (bytes > kPageBytesMax && !page.certificates.empty()) {
            page.has_more = true;
            break;
        }
        CANDELA_TRY_ASSIGN(std::string key, crypto::seal(box, as_bytes(pair.key_pem.reveal())));
        page.certificates.push_back(
            proto::Certificate(at->first, pair.certificate_pem, std::move(key)));
    }
    return page;
}

Result<> CertificateBook::add_ticket_keys(proto::CertificateTable& page,
                                          const crypto::BoxPublicKey& box) const {
    for (const tls::TicketKey& key : ticket_keys_) {
        CANDELA_TRY_ASSIGN(std::string secret, crypto::seal(box, as_bytes(key.secret.reveal())));
        page.ticket_keys.push_back(proto::TicketKey(key.name, std::move(secret),
                                                    static_cast<uint64_t>(unix_millis(key.from)),
                                                    static_cast<uint64_t>(unix_millis(key.until))));
    }
    return {};
}

std::vector<const Node*> CertificateBook::gateways() const {
    const Seen& seen = state_.seen();
    std::vector<const Node*> out;
    for (const auto& [name, node] : seen.nodes) {
        if (!node.has_role("gateway") || !node.heard_at) continue;
        if (!is_silent(node, seen, state_.loop().now(), state_.limits())) out.push_back(&node);
    }
    return out;
}

bool CertificateBook::is_served(uint64_t version) const {
    const auto all = gateways();
    return std::all_of(all.begin(), all.end(), [version](const Node* node) {
        return node->certificates_version >= version;
    });
}

bool CertificateBook::has_gateway() const { return !gateways().empty(); }

void CertificateBook::measure(const std::string& name) {
    measured_.insert_or_assign(
        name, metrics_.sampled_gauge("candela_lighthouse_certificate_expiry_seconds",
                                     "Seconds until a certificate ends; below 0 it has.",
                                     {{"name", name}}, [this, name] {
                                         const auto held = held_.find(name);
                                         if (held == held_.end()) return 0.0;
                                         const Duration left =
                                             held->second.info.not_after - state_.loop().wall();
                                         return std::chrono::duration<double>(left).count();
                                     }));
}

}  // namespace candela::lighthouse
