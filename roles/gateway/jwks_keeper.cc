#include "jwks_keeper.h"

#include <algorithm>

#include "base/text.h"
#include "http/jwt.h"
#include "http/url.h"
#include "tls/context.h"

namespace candela::gateway {

struct JwksKeeper::Set {
    explicit Set(Loop& loop) : timer(loop.timers(), [this] { wake.set(); }) {}

    http::Url url;
    std::shared_ptr<tls::ClientContext> tls;
    std::shared_ptr<http::JwtKeys> keys;
    Event wake;
    Timer timer;
    MonoTime fetched_at{};
    Duration refresh = kRefreshDefault;
    Duration retry = kRetryMin;
    bool is_unknown_wanted = false;  // a token named a key that is not there
    bool has_failed = false;
    TaskGroup flow;  // last: ends first
};

Duration jwks_refresh_of(std::string_view cache_control) {
    Duration refresh = JwksKeeper::kRefreshDefault;
    http::for_each_list_element(cache_control, [&refresh](std::string_view directive) {
        const std::string lower = ascii_lower(directive);
        if (lower == "no-store" || lower == "no-cache") refresh = Duration(0);
        if (!lower.starts_with("max-age=")) return;
        const auto seconds = parse_uint(std::string_view(lower).substr(8));
        if (!seconds) return;
        const auto most = std::chrono::duration_cast<std::chrono::seconds>(JwksKeeper::kRefreshMax);
        refresh = std::chrono::seconds(std::min<uint64_t>(*seconds, uint64_t(most.count())));
    });
    return std::clamp(refresh, JwksKeeper::kRefreshMin, JwksKeeper::kRefreshMax);
}

JwksKeeper::JwksKeeper(NodeContext& context, Duration unknown_interval)
    : context_(context),
      unknown_interval_(unknown_interval),
      client_(context.loop),
      alive_(std::make_shared<JwksKeeper*>(this)) {}

JwksKeeper::~JwksKeeper() { *alive_ = nullptr; }

void JwksKeeper::drop_unused() {
    // One is the set's own.
    std::erase_if(sets_, [](const auto& entry) { return entry.second->keys.use_count() == 1; });
}

std::shared_ptr<http::JwtKeys> JwksKeeper::keys_of(const std::string& url,
                                                   const std::string& ca_pem) {
    const auto key = std::make_pair(url, ca_pem);
    const auto found = sets_.find(key);
    if (found != sets_.end()) return found->second->keys;
    drop_unused();
    auto on_unknown = [&loop = context_.loop, alive = alive_, key] {
        loop.post([alive, key] {
            if (*alive == nullptr) return;
            const auto place = (*alive)->sets_.find(key);
            if (place == (*alive)->sets_.end()) return;
            place->second->is_unknown_wanted = true;
            place->second->wake.set();
        });
    };
    auto made = std::make_unique<Set>(context_.loop);
    made->keys = std::make_shared<http::JwtKeys>(std::move(on_unknown));
    std::shared_ptr<http::JwtKeys> keys = made->keys;
    tls::ClientOptions options;
    options.ca_pem = ca_pem;
    auto parsed = http::parse_url(url);
    auto tls = tls::ClientContext::create(options);
    if (!parsed || !tls) {
        const Error& error = parsed ? tls.error() : parsed.error();
        context_.log.error("jwks_unusable", {{"url", url}, {"error", error}});
        return keys;
    }
    made->url = std::move(*parsed);
    made->tls = std::move(*tls);
    Set* const set = made.get();
    sets_.emplace(key, std::move(made));
    set->flow.spawn(run(set));
    return keys;
}

Task<void> JwksKeeper::run(Set* set) {
    for (;;) {
        set->fetched_at = context_.loop.now();
        set->is_unknown_wanted = false;
        auto fetching = fetch(set);
        const auto fetched =
            co_await with_timeout(context_.loop, kTimeout, "the key set", std::move(fetching));
        if (fetched) {
            if (set->has_failed) {
                context_.log.info("jwks_fetched_again", {{"url", set->url.text}});
            }
            set->retry = kRetryMin;
        } else if (!set->has_failed) {
            context_.log.warn("jwks_not_fetched",
                              {{"url", set->url.text}, {"error", fetched.error()}});
        }
        set->has_failed = !fetched;
        set->keys->forgive();
        co_await wait(set, !fetched);
        if (set->keys.use_count() > 1) continue;
        context_.loop.defer([alive = alive_] {
            if (*alive != nullptr) (*alive)->drop_unused();
        });
        co_return;
    }
}

// Until it is time for the next fetch.
Task<void> JwksKeeper::wait(Set* set, bool has_failed) {
    Duration longest = set->refresh;
    if (has_failed) {
        longest = set->retry;
        set->retry = std::min<Duration>(2 * set->retry, kRetryMax);
    }
    for (;;) {
        const MonoTime now = context_.loop.now();
        MonoTime at = set->fetched_at + longest;
        if (set->is_unknown_wanted) at = std::min(at, set->fetched_at + unknown_interval_);
        if (now >= at) co_return;
        set->wake.reset();
        set->timer.start(at - now);
        co_await set->wake.wait();
    }
}

Task<Result<>> JwksKeeper::fetch(Set* set) {
    http::ClientRequest request;
    request.address = Address::tcp(set->url.host, set->url.port);
    request.target = set->url.target;
    request.host = set->url.authority;
    request.server_name = set->url.host;
    if (set->url.is_encrypted) request.tls = set->tls;
    request.headers.add("User-Agent", "candela/" CANDELA_VERSION);
    request.headers.add("Accept", "application/jwk-set+json, application/json");
    auto response = co_await client_.send(std::move(request));
    if (!response) co_return fail(response.error());
    if (response->status() != 200) {
        co_return fail(Code::kUnreachable, "the answer is {}", response->status());
    }
    const Duration refresh =
        jwks_refresh_of(response->head.headers.get("cache-control").value_or(""));
    auto body = co_await response->read_all(http::kJwksBytesMax);
    if (!body) co_return fail(body.error());
    auto keys = http::parse_jwks(*body);
    if (!keys) co_return fail(keys.error());
    set->refresh = refresh;
    set->keys->set(std::make_shared<const std::vector<http::JwtKey>>(std::move(*keys)));
    co_return Result<>();
}

}  // namespace candela::gateway
