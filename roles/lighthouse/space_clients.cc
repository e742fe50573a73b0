#include "space_clients.h"

#include <algorithm>

#include "auth/key_pair.h"
#include "bus/client.h"
#include "bus/dead_letters.h"
#include "bus/kept_bucket.h"

namespace candela::lighthouse {

namespace {
constexpr Duration kSyncInterval = 5s;
}

// A space may be deleted while somebody waits for its flags: who waits holds it.
struct SpaceClients::Guest {
    std::unique_ptr<bus::Client> client;
    std::unique_ptr<bus::DeadLetters> letters;  // before the client that they use
    std::unique_ptr<bus::KeptBucket> flags;
};

SpaceClients::SpaceClients(NodeContext& context, const Accounts& accounts, State& state)
    : context_(context), accounts_(accounts), state_(state) {}

SpaceClients::~SpaceClients() = default;

void SpaceClients::start() { tasks_.spawn(follow()); }

Task<void> SpaceClients::follow() {
    for (;;) {
        sync();
        co_await sleep_for(context_.loop, kSyncInterval);
    }
}

void SpaceClients::sync() {
    const std::vector<std::string> names = accounts_.names();
    std::erase_if(guests_, [&](const auto& item) {
        const bool is_gone = std::find(names.begin(), names.end(), item.first) == names.end();
        if (is_gone) moved_before_ += item.second->letters->moved();
        return is_gone;
    });
    for (const std::string& name : names) {
        const bool is_platform = name == "SYS" || name == "CANDELA";
        if (is_platform || guests_.contains(name)) continue;
        const auto& made = guests_.emplace(name, make(name)).first->second;
        made->flags->keep(documents_of(state_.wanted().flags, name));
    }
}

std::shared_ptr<SpaceClients::Guest> SpaceClients::make(const std::string& space) {
    auto key = std::make_shared<auth::KeyPair>(auth::KeyPair::generate(auth::KeyKind::kUser));
    bus::ClientOptions options;
    options.servers = context_.bus_servers;
    options.name = fmt::format("lighthouse in {}", space);
    options.credentials = [this, space, key]() -> Result<auth::Credentials> {
        auth::UserRequest request;
        request.public_key = key->public_key();
        request.name = "lighthouse";
        // It publishes wherever a consumer's metadata says.
        request.permissions.subscribe.allow = {"$JS.EVENT.ADVISORY.CONSUMER.CREATED.>",
                                               fmt::format("$KV.{}.>", kFlagBucket),
                                               fmt::format("_INBOX.{}.>", request.public_key)};
        request.expires_at =
            unix_seconds(context_.loop.wall()) +
            std::chrono::duration_cast<std::chrono::seconds>(kCredentialLifetime).count();
        CANDELA_TRY_ASSIGN(std::string jwt, accounts_.mint(space, request));
        return auth::Credentials{std::move(jwt), key->clone()};
    };
    auto guest = std::make_shared<Guest>();
    const Logger log = context_.log.with({{"space", space}});
    guest->client = std::make_unique<bus::Client>(context_.loop, std::move(options), log);
    guest->letters = std::make_unique<bus::DeadLetters>(*guest->client, log);
    guest->flags = std::make_unique<bus::KeptBucket>(
        *guest->client, std::string(kFlagBucket),
        "Feature flags of the space; candela ctl flags changes them", log);
    // It may be another bus, or one that has come back empty.
    guest->client->on_state(
        [flags = guest->flags.get()](bus::ClientState) { flags->look_again(); });
    return guest;
}

uint64_t SpaceClients::moved() const {
    uint64_t out = moved_before_;
    for (const auto& [name, guest] : guests_) out += guest->letters->moved();
    return out;
}

void SpaceClients::publish_flags(const std::string& space) {
    sync();
    const auto guest = guests_.find(space);
    if (guest == guests_.end()) return;
    guest->second->flags->keep(documents_of(state_.wanted().flags, space));
}

bool SpaceClients::has_flags(const std::string& space) const {
    const auto guest = guests_.find(space);
    return guest != guests_.end() && guest->second->flags->is_kept();
}

std::string SpaceClients::flag_trouble(const std::string& space) const {
    const auto guest = guests_.find(space);
    return guest == guests_.end() ? "" : guest->second->flags->trouble();
}

Task<void> SpaceClients::wait_flags(std::string space, Duration timeout) {
    const auto found = guests_.find(space);
    if (found == guests_.end()) co_return;
    const std::shared_ptr<Guest> guest = found->second;
    auto waiting = guest->flags->wait_kept();
    static_cast<void>(
        co_await with_timeout(context_.loop, timeout, "the bucket", std::move(waiting)));
}

}  // namespace candela::lighthouse
