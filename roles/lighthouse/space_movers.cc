#include "space_movers.h"

#include <algorithm>

#include "auth/key_pair.h"
#include "bus/client.h"
#include "bus/dead_letters.h"

namespace candela::lighthouse {

namespace {
constexpr Duration kSyncInterval = 5s;
}

struct SpaceMovers::Mover {
    std::unique_ptr<bus::Client> client;
    std::unique_ptr<bus::DeadLetters> letters;  // before the client that it uses
};

SpaceMovers::SpaceMovers(NodeContext& context, const Accounts& accounts)
    : context_(context), accounts_(accounts) {}

SpaceMovers::~SpaceMovers() = default;

void SpaceMovers::start() { tasks_.spawn(follow()); }

Task<void> SpaceMovers::follow() {
    for (;;) {
        sync();
        co_await sleep_for(context_.loop, kSyncInterval);
    }
}

void SpaceMovers::sync() {
    const std::vector<std::string> names = accounts_.names();
    std::erase_if(movers_, [&](const auto& item) {
        const bool is_gone = std::find(names.begin(), names.end(), item.first) == names.end();
        if (is_gone) moved_before_ += item.second->letters->moved();
        return is_gone;
    });
    for (const std::string& name : names) {
        const bool is_platform = name == "SYS" || name == "CANDELA";
        if (is_platform || movers_.contains(name)) continue;
        auto key = std::make_shared<auth::KeyPair>(auth::KeyPair::generate(auth::KeyKind::kUser));
        bus::ClientOptions options;
        options.servers = context_.bus_servers;
        options.name = fmt::format("dead letters of {}", name);
        options.credentials = [this, name, key]() -> Result<auth::Credentials> {
            auth::UserRequest request;
            request.public_key = key->public_key();
            request.name = "dead-letters";
            // It publishes wherever a consumer's metadata says.
            request.permissions.subscribe.allow = {"$JS.EVENT.ADVISORY.CONSUMER.CREATED.>",
                                                   fmt::format("_INBOX.{}.>", request.public_key)};
            request.expires_at =
                unix_seconds(context_.loop.wall()) +
                std::chrono::duration_cast<std::chrono::seconds>(kCredentialLifetime).count();
            CANDELA_TRY_ASSIGN(std::string jwt, accounts_.mint(name, request));
            return auth::Credentials{std::move(jwt), key->clone()};
        };
        auto mover = std::make_unique<Mover>();
        const Logger log = context_.log.with({{"space", name}});
        mover->client = std::make_unique<bus::Client>(context_.loop, std::move(options), log);
        mover->letters = std::make_unique<bus::DeadLetters>(*mover->client, log);
        movers_.emplace(name, std::move(mover));
    }
}

uint64_t SpaceMovers::moved() const {
    uint64_t out = moved_before_;
    for (const auto& [name, mover] : movers_) out += mover->letters->moved();
    return out;
}

}  // namespace candela::lighthouse
