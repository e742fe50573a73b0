#include "space_login.h"

#include <algorithm>

#include "auth/creds_file.h"
#include "auth/key_pair.h"
#include "loop/flow.h"
#include "proto/messages.h"

namespace candela::gateway {
namespace {

constexpr Duration kAskTimeout = 5s;
constexpr Duration kRetryMin = 250ms;
constexpr Duration kRetryMax = 15s;
constexpr Duration kRenewMin = 5s;
constexpr Duration kRenewMax = 6h;

}  // namespace

class SpaceLogins::Login {
public:
    Login(SpaceLogins& owner, std::string_view space)
        : owner_(owner),
          space_(space),
          key_(auth::KeyPair::generate(auth::KeyKind::kUser)),
          jwt_(std::make_shared<std::string>()) {
        flows_.spawn(run());
    }

    bus::Client* client() { return client_.get(); }

private:
    Task<void> run() {
        Duration retry = kRetryMin;
        for (;;) {
            auto granted = co_await ask();
            Duration pause = retry;
            if (granted) {
                retry = kRetryMin;
                pause = take(*granted);
            } else {
                owner_.context_.log.warn("space_login_failed",
                                         {{"space", space_}, {"error", granted.error()}});
                retry = std::min(retry * 2, kRetryMax);
            }
            co_await sleep_for(owner_.loop_, pause);
        }
    }

    Task<Result<proto::Credential>> ask() {
        proto::CredentialRequest request;
        request.node = owner_.context_.node.name;
        request.space = space_;
        request.public_key = key_.public_key();
        std::string payload = proto::encode(request);
        auto reply = co_await owner_.own_client_().request(std::string(proto::kCredentialSubject),
                                                           std::move(payload), kAskTimeout);
        if (!reply) co_return fail(reply.error().in("the lighthouse"));
        auto credential = proto::decode_credential(reply->payload);
        if (!credential) co_return fail(credential.error());
        if (credential->failure) co_return fail(credential->failure.to_error());
        co_return std::move(*credential);
    }

    // Returns when to ask for the next one.
    Duration take(const proto::Credential& credential) {
        *jwt_ = credential.jwt;
        if (client_ == nullptr) {
            bus::ClientOptions options;
            options.servers = owner_.context_.bus_servers;
            options.tls = owner_.context_.bus_tls;
            options.name = fmt::format("gateway@{} for {}", owner_.context_.node.name, space_);
            options.credentials = [jwt = jwt_, key = std::make_shared<auth::KeyPair>(
                                                   key_.clone())]() -> Result<auth::Credentials> {
                return auth::Credentials{*jwt, key->clone()};
            };
            client_ = std::make_unique<bus::Client>(owner_.loop_, std::move(options),
                                                    owner_.context_.log.with({{"space", space_}}));
        }
        if (credential.expires_at == 0) return kRenewMax;
        const int64_t left_ms =
            static_cast<int64_t>(credential.expires_at) - unix_millis(owner_.loop_.wall());
        return std::clamp<Duration>(std::chrono::milliseconds(left_ms) * 2 / 3, kRenewMin,
                                    kRenewMax);
    }

    SpaceLogins& owner_;
    std::string space_;
    auth::KeyPair key_;
    std::shared_ptr<std::string> jwt_;
    std::unique_ptr<bus::Client> client_;
    TaskGroup flows_;  // last: ends first
};

SpaceLogins::SpaceLogins(NodeContext& context, Loop& loop, std::function<bus::Client&()> own_client)
    : context_(context), loop_(loop), own_client_(std::move(own_client)) {}

SpaceLogins::~SpaceLogins() = default;

bus::Client* SpaceLogins::client_of(std::string_view space) {
    auto place = logins_.find(space);
    if (place == logins_.end()) {
        place = logins_.emplace(std::string(space), std::make_unique<Login>(*this, space)).first;
    }
    return place->second->client();
}

}  // namespace candela::gateway
