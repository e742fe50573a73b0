#include "acme_keeper.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "loop/file.h"
#include "planner.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kCaBytesMax = 1 << 20;
constexpr Duration kLookAgain = 50ms;
// How long failures of a host that no route names any more are remembered: whoever deploys it anew
// each minute shall not begin anew with the authority.
constexpr Duration kForgetAfter = 24h * 7;

// Spreads renewals of certificates that were made together, the same way at each look.
Duration jitter_of(const tls::CertificateInfo& info, Duration lead) {
    const crypto::Digest digest = crypto::sha256(as_bytes(info.fingerprint));
    return lead / 10 * digest[0] / 255;
}

// Trouble with the server rather than with a host.
bool concerns_authority(const Error& error) {
    switch (error.code()) {
        case Code::kUnreachable:
        case Code::kTimeout:
        case Code::kExhausted:
        case Code::kDenied:
        case Code::kIo:
        case Code::kCorrupt: return true;
        default: return false;
    }
}

}  // namespace

AcmeKeeper::AcmeKeeper(State& state, CertificateBook& book, const Vault& vault,
                       AcmeSettings settings, Logger log)
    : state_(state),
      book_(book),
      vault_(vault),
      settings_(std::move(settings)),
      log_(std::move(log)) {}

Task<Result<>> AcmeKeeper::open(bool allow_plain) {
    AcmeClient::Options options;
    options.directory = settings_.directory;
    options.allow_plain = allow_plain;
    auto make = [file = settings_.ca_file]() -> Result<std::shared_ptr<tls::ClientContext>> {
        tls::ClientOptions tls;
        if (!file.empty()) {
            CANDELA_TRY_ASSIGN(tls.ca_pem, read_file(file, kCaBytesMax));
        }
        return tls::ClientContext::create(tls);
    };
    auto context = co_await offload(state_.loop(), std::move(make));
    if (!context) co_return fail(context.error().in("[lighthouse.acme] ca"));
    options.tls = std::move(*context);
    client_ = std::make_unique<AcmeClient>(state_.loop(), std::move(options), log_);

    auto read_account = [directory = settings_.directory](store::Connection& db) {
        return load_acme_account(db, directory);
    };
    auto accounts = co_await state_.database().run(std::move(read_account));
    if (!accounts) co_return fail(accounts.error());
    if (!accounts->empty()) {
        const AcmeAccountRow& row = accounts->front();
        auto pem = vault_.unseal(row.sealed_key);
        auto key = pem ? tls::SigningKey::load(*pem) : Result<tls::SigningKey>(fail(pem.error()));
        if (key) {
            account_ = row;
            client_->set_key(std::move(*key));
            client_->set_account_url(row.url);
        } else {
            log_.error("acme_account_unreadable", {{"error", key.error()}});
        }
    }
    auto read_hosts = [](store::Connection& db) { return load_acme_hosts(db); };
    auto rows = co_await state_.database().run(std::move(read_hosts));
    if (!rows) co_return fail(rows.error());
    for (AcmeHostRow& row : *rows) {
        const std::string host = row.host;
        rows_.insert_or_assign(host, std::move(row));
    }
    co_return Result<>();
}

void AcmeKeeper::start() { tasks_.spawn(run()); }

Task<void> AcmeKeeper::run() {
    for (;;) {
        co_await sleep_for(state_.loop(), kLookInterval);
        update_hosts();
        const WallTime now = state_.loop().wall();
        if (now < next_at_) continue;
        std::string host = next_due(now);
        if (host.empty()) {
            co_await clear_away();
        } else {
            co_await attempt(std::move(host));
        }
    }
}

// ---- what is wanted

void AcmeKeeper::update_hosts() {
    const uint64_t version = state_.seen().routes_version;
    if (version == hosts_of_routes_) return;
    hosts_of_routes_ = version;
    std::set<std::string> hosts;
    size_t refused = 0;
    for (const auto& [key, service] : state_.wanted().services) {
        for (const service::Route& route : routes_of(service)) {
            std::string host = ascii_lower(route.host);
            if (!is_ordered_for(host, settings_.domains) || hosts.contains(host)) continue;
            if (hosts.size() < kHostsMax) {
                hosts.insert(std::move(host));
            } else {
                ++refused;
            }
        }
    }
    if (refused > 0) {
        log_.error("acme_hosts_exhausted", {{"hosts_max", kHostsMax}, {"left_out", refused}});
    }
    hosts_.assign(hosts.begin(), hosts.end());
}

AcmeKeeper::Added AcmeKeeper::added() const {
    const WallTime now = state_.loop().wall();
    Added out;
    for (const auto& [name, held] : book_.all()) {
        if (held.source == CertificateSource::kAdded && held.info.not_after > now) {
            out.push_back(&held);
        }
    }
    return out;
}

std::optional<WallTime> AcmeKeeper::due_at(const std::string& host, const Added& added) const {
    // What a person has brought is theirs to renew, as long as it is good.
    const bool is_covered =
        std::any_of(added.begin(), added.end(),
                    [&](const HeldCertificate* held) { return tls::covers(held->info, host); });
    if (is_covered) return std::nullopt;
    const auto row = rows_.find(host);
    const WallTime not_before = row == rows_.end() ? WallTime() : row->second.next_at;
    const auto held = book_.all().find(host);
    if (held == book_.all().end() || held->second.source != CertificateSource::kAcme) {
        return not_before;
    }
    const tls::CertificateInfo& info = held->second.info;
    if (settings_.renew_before != Duration::zero()) {
        return std::max(not_before, info.not_after - settings_.renew_before);
    }
    const Duration lead = (info.not_after - info.not_before) / 3;
    return std::max(not_before, info.not_after - lead + jitter_of(info, lead));
}

std::string AcmeKeeper::next_due(WallTime now) const {
    std::string first;
    WallTime earliest = now;
    const Added brought = added();
    for (const std::string& host : hosts_) {
        const auto at = due_at(host, brought);
        if (!at || *at > earliest) continue;
        // A host without certificate goes before one that is renewed: it waits since 1970.
        if (first.empty() || *at < earliest) {
            first = host;
            earliest = *at;
        }
    }
    return first;
}

std::vector<AcmeKeeper::HostStatus> AcmeKeeper::unsettled() const {
    std::vector<HostStatus> out;
    const Added brought = added();
    for (const std::string& host : hosts_) {
        const auto at = due_at(host, brought);
        if (!at) continue;
        const auto row = rows_.find(host);
        const bool is_failing = row != rows_.end() && row->second.failures > 0;
        if (book_.all().contains(host) && !is_failing) continue;
        HostStatus status;
        status.host = host;
        status.is_failing = is_failing;
        if (is_failing) status.error = row->second.error;
        status.next_at = *at;
        out.push_back(std::move(status));
    }
    return out;
}

size_t AcmeKeeper::failing_count() const {
    const auto all = unsettled();
    return static_cast<size_t>(std::count_if(
        all.begin(), all.end(), [](const HostStatus& status) { return status.is_failing; }));
}

// ---- orders

Task<void> AcmeKeeper::attempt(std::string host) {
    if (!book_.has_gateway()) {
        // It would only count as a failure with the authority.
        Error nobody(Code::kUnreachable, "no gateway is heard that could answer challenges");
        pause_all(nobody, kAuthorityPauseMin);
        co_return;
    }
    auto ready = co_await ready_account();
    if (!ready) {
        pause_ = std::clamp(pause_ * 2, kAuthorityPauseMin, kAuthorityPauseMax);
        const Duration pause = client_->problem().retry_after.value_or(pause_);
        pause_all(ready.error(), std::max(pause, pause_));
        co_return;
    }
    auto ordered = co_await order(host);
    if (ordered) {
        error_.clear();
        pause_ = Duration::zero();
        next_at_ = WallTime();
        co_return;
    }
    Error error = ordered.error();
    co_await note_failure(std::move(host), std::move(error));
}

Task<Result<>> AcmeKeeper::ready_account() {
    client_->clear_problem();
    CO_TRY(co_await client_->open());
    if (!account_.url.empty()) co_return Result<>();
    if (account_.sealed_key.empty()) {
        // Kept before the authority hears of it: a restart finds the same account again.
        CO_TRY_ASSIGN(tls::SigningKey key, tls::SigningKey::generate());
        CO_TRY_ASSIGN(const Secret pem, key.pem());
        CO_TRY_ASSIGN(std::string sealed, vault_.seal(pem));
        AcmeAccountRow row(settings_.directory, "", std::move(sealed), state_.loop().wall());
        auto write = [row](store::Connection& db) { return write_acme_account(db, row); };
        CO_TRY(co_await state_.database().run(std::move(write)));
        account_ = row;
        client_->set_key(std::move(key));
    }
    std::string email = settings_.email;
    CO_TRY_ASSIGN(account_.url, co_await client_->make_account(std::move(email)));
    auto write = [row = account_](store::Connection& db) { return write_acme_account(db, row); };
    auto written = co_await state_.database().run(std::move(write));
    co_return written;
}

// The authority knows nothing of it any more; the same key makes a new one.
Task<Result<>> AcmeKeeper::forget_account() {
    account_.url.clear();
    client_->set_account_url("");
    auto write = [row = account_](store::Connection& db) { return write_acme_account(db, row); };
    auto written = co_await state_.database().run(std::move(write));
    co_return written;
}

Task<Result<>> AcmeKeeper::order(std::string host) {
    OrderProgress progress;
    progress.host = host;
    const auto row = rows_.find(host);
    const int64_t failures = row == rows_.end() ? 0 : row->second.failures;
    if (row != rows_.end() && !row->second.order_url.empty()) {
        auto key = vault_.unseal(row->second.sealed_key);
        if (key) {
            progress.order_url = row->second.order_url;
            progress.key_pem = std::move(*key);
        }
    }
    const size_t turn = static_cast<size_t>(failures) % settings_.challenges.size();
    AcmeOrder::Save save = [this](OrderProgress& kept) { return keep_progress(kept); };
    AcmeOrder order(state_.loop(), *client_, *this, settings_.challenges[turn], std::move(save));
    log_.info("acme_order", {{"host", host}, {"challenge", settings_.challenges[turn]}});
    client_->clear_problem();
    auto pair = co_await order.run(progress);
    if (!pair) {
        auto kept = co_await keep_progress(progress);
        if (!kept) log_.error("acme_progress_not_kept", {{"error", kept.error()}});
        co_return fail(pair.error());
    }
    auto put = co_await book_.put(host, CertificateSource::kAcme, std::move(*pair));
    if (!put) co_return fail(put.error());
    rows_.erase(host);
    auto remove = [host](store::Connection& db) { return remove_acme_host(db, host); };
    auto removed = co_await state_.database().run(std::move(remove));
    co_return removed;
}

Task<void> AcmeKeeper::note_failure(std::string host, Error error) {
    log_.warn("acme_order_failed", {{"host", host}, {"error", error}});
    const AcmeProblem& problem = client_->problem();
    if (problem.type == "accountDoesNotExist") {
        const auto forgotten = co_await forget_account();
        if (!forgotten) log_.error("acme_account_not_kept", {{"error", forgotten.error()}});
        pause_all(error, kAuthorityPauseMin);
        co_return;
    }
    if (concerns_authority(error)) {
        pause_ = std::clamp(pause_ * 2, kAuthorityPauseMin, kAuthorityPauseMax);
        Duration pause = pause_;
        if (error.code() == Code::kExhausted) pause = kRateLimitPause;
        if (problem.retry_after) pause = std::max(pause_, *problem.retry_after);
        pause_all(error, pause);
        co_return;
    }
    AcmeHostRow row = rows_[host];
    row.host = host;
    ++row.failures;
    Duration pause = kHostPauseMin;
    for (int64_t i = 1; i < row.failures && pause < kHostPauseMax; ++i) pause *= 3;
    pause = std::min(pause, kHostPauseMax);
    if (problem.retry_after) pause = std::max(pause, *problem.retry_after);
    row.next_at = state_.loop().wall() + pause;
    row.error = error.message();
    state_.say(EventRecord("certificate_failed", "", "", host, row.error));
    const auto kept = co_await keep(std::move(row));
    if (!kept) log_.error("acme_progress_not_kept", {{"error", kept.error()}});
}

void AcmeKeeper::pause_all(const Error& error, Duration pause) {
    if (error_ != error.message()) {
        log_.warn("acme_paused", {{"pause", format_duration(pause)}, {"error", error}});
    }
    error_ = error.message();
    next_at_ = state_.loop().wall() + pause;
}

// ---- what is kept

// In memory first, so that even a database that refuses to write does not make for one order after
// another.
Task<Result<>> AcmeKeeper::keep(AcmeHostRow row) {
    rows_.insert_or_assign(row.host, row);
    auto write = [row](store::Connection& db) { return write_acme_host(db, row); };
    auto written = co_await state_.database().run(std::move(write));
    co_return written;
}

Task<Result<>> AcmeKeeper::keep_progress(OrderProgress& progress) {
    const auto found = rows_.find(progress.host);
    AcmeHostRow row = found == rows_.end() ? AcmeHostRow() : found->second;
    row.host = progress.host;
    row.order_url = progress.order_url;
    row.sealed_key.clear();
    if (!progress.order_url.empty()) {
        CO_TRY_ASSIGN(row.sealed_key, vault_.seal(progress.key_pem));
    }
    auto kept = co_await keep(std::move(row));
    co_return kept;
}

// Certificates that have ended and are not wanted any more, and failures of long ago.
Task<void> AcmeKeeper::clear_away() {
    const WallTime now = state_.loop().wall();
    const std::set<std::string> wanted(hosts_.begin(), hosts_.end());
    std::string certificate;
    for (const auto& [name, held] : book_.all()) {
        const bool is_over = held.source == CertificateSource::kAcme && held.info.not_after < now;
        if (is_over && !wanted.contains(name)) certificate = name;
    }
    if (!certificate.empty()) {
        const auto removed = co_await book_.remove(certificate);
        if (!removed) log_.warn("certificate_not_deleted", {{"error", removed.error()}});
    }
    std::string forgotten;
    for (const auto& [host, row] : rows_) {
        if (!wanted.contains(host) && row.next_at + kForgetAfter < now) forgotten = host;
    }
    if (forgotten.empty()) co_return;
    rows_.erase(forgotten);
    auto remove = [forgotten](store::Connection& db) { return remove_acme_host(db, forgotten); };
    const auto removed = co_await state_.database().run(std::move(remove));
    if (!removed) log_.warn("acme_host_not_forgotten", {{"error", removed.error()}});
}

// ---- challenges

Task<Result<>> AcmeKeeper::show(proto::Challenge challenge) {
    shown_.push_back(std::move(challenge));
    book_.set_challenges(shown_);
    const uint64_t version = book_.version();
    const MonoTime deadline = state_.loop().now() + kServedWait;
    while (!book_.is_served(version)) {
        if (state_.loop().now() >= deadline) {
            // The authority may still come to one that does.
            log_.warn("challenge_not_everywhere", {{"waited", format_duration(kServedWait)}});
            break;
        }
        co_await sleep_for(state_.loop(), kLookAgain);
    }
    co_return Result<>();
}

void AcmeKeeper::hide(const std::string& token) {
    std::erase_if(shown_, [&](const proto::Challenge& item) { return item.token == token; });
    book_.set_challenges(shown_);
}

}  // namespace candela::lighthouse
