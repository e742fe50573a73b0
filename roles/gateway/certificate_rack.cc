#include "certificate_rack.h"

#include <algorithm>

#include "crypto/hash.h"
#include "node/heartbeat.h"
#include "tls/acme_certificates.h"
#include "tls/ticket_keys.h"
#include "tls_settings.h"

namespace candela::gateway {
namespace {

using KeyPairs = std::vector<tls::KeyPair>;

tls::KeyPair clone(const tls::KeyPair& pair) {
    return tls::KeyPair(pair.certificate_pem, pair.key_pem.clone());
}

KeyPairs join_pairs(const KeyPairs& own, const std::vector<proto::Certificate>& pulled) {
    KeyPairs all;
    for (const tls::KeyPair& pair : own) all.push_back(clone(pair));
    for (const proto::Certificate& certificate : pulled) {
        all.push_back(tls::KeyPair(certificate.chain, Secret(std::string_view(certificate.key))));
    }
    return all;
}

// One that can't be used must not keep the others from being served. Returns the names left out.
Result<std::vector<std::string>> swap_in(tls::ServerContext& context, const KeyPairs& own,
                                         const std::vector<proto::Certificate>& pulled,
                                         const tls::ServerOptions& options) {
    std::vector<std::string> left_out;
    const auto swapped =
        context.swap(std::span<const tls::KeyPair>(join_pairs(own, pulled)), options);
    if (swapped) return left_out;
    std::vector<proto::Certificate> good;
    for (const proto::Certificate& certificate : pulled) {
        const tls::KeyPair pair(certificate.chain, Secret(std::string_view(certificate.key)));
        const auto usable = tls::ServerContext::create(pair, tls::ServerOptions());
        if (usable) {
            good.push_back(certificate);
        } else {
            left_out.push_back(fmt::format("{}: {}", certificate.name, usable.error().message()));
        }
    }
    CANDELA_TRY(context.swap(std::span<const tls::KeyPair>(join_pairs(own, good)), options));
    return left_out;
}

Result<> show_challenges(tls::ServerContext& context,
                         const std::vector<proto::Challenge>& challenges, WallTime now) {
    std::vector<tls::ChallengeCertificate> certificates;
    for (const proto::Challenge& challenge : challenges) {
        const crypto::Digest digest = crypto::sha256(as_bytes(challenge.key_authorization));
        CANDELA_TRY_ASSIGN(tls::KeyPair pair,
                           tls::make_challenge_certificate(challenge.host, as_text(digest), now));
        certificates.push_back(tls::ChallengeCertificate(challenge.host, std::move(pair)));
    }
    return context.set_challenges(certificates);
}

}  // namespace

CertificateRack::CertificateRack(NodeContext& context, SetAnswers set_answers)
    : context_(context),
      set_answers_(std::move(set_answers)),
      ticket_timer_(context.loop.timers(), [this] { advance_tickets(); }),
      own_(std::make_shared<const KeyPairs>()),
      shown_(std::make_shared<const std::vector<proto::Certificate>>()) {}

void CertificateRack::start() { flows_.spawn(run()); }

void CertificateRack::set_asks(std::vector<tls::CertificateAsk> asks) {
    asks_ = std::move(asks);
    if (tls_ != nullptr) tls::set_certificate_asks(*tls_, asks_);
}

void CertificateRack::take(CertificateSetPtr set) {
    wanted_ = std::move(set);
    wake_.set();
    if (options_.ticket_keys != nullptr) advance_tickets();
}

// Looks again at least once a minute: the clock may have jumped.
void CertificateRack::advance_tickets() {
    const WallTime now = context_.loop.wall();
    if (wanted_ != nullptr && wanted_->ticket_keys != nullptr) {
        std::vector<tls::TicketKey> keys;
        for (const tls::TicketKey& key : *wanted_->ticket_keys) {
            if (key.until > now) keys.push_back(key.clone());
        }
        const Result<> added = options_.ticket_keys->add(std::move(keys), now);
        if (!added) context_.log.error("ticket_keys_refused", {{"error", added.error()}});
    }
    ticket_timer_.start(std::min<Duration>(options_.ticket_keys->advance(now), 1min));
}

Task<Result<>> CertificateRack::open(std::string folder, tls::ServerOptions options) {
    const AsyncMutex::Guard guard = co_await changing_.lock();
    options_ = std::move(options);
    if (options_.ticket_keys != nullptr) advance_tickets();
    auto read = [folder] { return read_certificates(folder); };
    auto own = co_await offload(context_.loop, std::move(read));
    if (!own) co_return fail(own.error());
    tls::ServerOptions empty = options_;
    empty.has_default = false;
    auto made = tls::ServerContext::create(std::span<const tls::KeyPair>(), empty);
    if (!made) co_return fail(made.error());
    tls_ = std::move(*made);
    tls::set_certificate_asks(*tls_, asks_);
    auto pairs = std::make_shared<const KeyPairs>(std::move(*own));
    CertificatesPtr pulled = wanted_ == nullptr ? shown_ : wanted_->certificates;
    auto shown = co_await show(std::move(pairs), std::move(pulled));
    co_return shown;
}

Task<Result<>> CertificateRack::reload(std::string folder) {
    if (tls_ == nullptr) co_return Result<>();
    const AsyncMutex::Guard guard = co_await changing_.lock();
    auto read = [folder] { return read_certificates(folder); };
    auto own = co_await offload(context_.loop, std::move(read));
    if (!own) co_return fail(own.error());
    auto pairs = std::make_shared<const KeyPairs>(std::move(*own));
    CertificatesPtr pulled = shown_;
    auto shown = co_await show(std::move(pairs), std::move(pulled));
    co_return shown;
}

// Connections that are open keep what they have.
Task<Result<>> CertificateRack::show(std::shared_ptr<const KeyPairs> own, CertificatesPtr pulled) {
    tls::ServerOptions options = options_;
    options.has_default = !own->empty();
    auto work = [tls = tls_, own, pulled, options] {
        return swap_in(*tls, *own, *pulled, options);
    };
    auto swapped = co_await offload(context_.loop, std::move(work));
    if (!swapped) co_return fail(swapped.error());
    for (const std::string& name : *swapped) {
        context_.log.error("certificate_unusable", {{"cause", name}});
    }
    own_ = std::move(own);
    shown_ = std::move(pulled);
    co_return Result<>();
}

Task<void> CertificateRack::run() {
    for (;;) {
        co_await wake_.wait();
        wake_.reset();
        const AsyncMutex::Guard guard = co_await changing_.lock();
        CertificateSetPtr set = wanted_;
        co_await apply(std::move(set));
    }
}

Task<void> CertificateRack::apply(CertificateSetPtr set) {
    if (tls_ != nullptr && set->certificates != shown_) {
        std::shared_ptr<const KeyPairs> own = own_;
        CertificatesPtr pulled = set->certificates;
        const auto shown = co_await show(std::move(own), std::move(pulled));
        if (!shown) {
            context_.log.error("certificates_not_served", {{"error", shown.error()}});
            co_return;
        }
    }
    if (tls_ != nullptr) {
        auto work = [tls = tls_, set, now = context_.loop.wall()] {
            return show_challenges(*tls, set->challenges, now);
        };
        const auto shown = co_await offload(context_.loop, std::move(work));
        if (!shown) {
            context_.log.error("challenges_not_served", {{"error", shown.error()}});
            co_return;
        }
    }
    auto answers = std::make_shared<ChallengeAnswers>();
    for (const proto::Challenge& challenge : set->challenges) {
        answers->insert_or_assign(challenge.token,
                                  ChallengeAnswer(challenge.host, challenge.key_authorization));
    }
    ChallengeAnswersPtr shared = std::move(answers);
    co_await set_answers_(std::move(shared));
    served_version_ = set->version;
    context_.heartbeats.beat_soon();
}

}  // namespace candela::gateway
