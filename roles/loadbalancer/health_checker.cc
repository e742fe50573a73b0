#include "health_checker.h"

namespace candela::loadbalancer {
namespace {

constexpr size_t kAnswerMax = 1 << 20;

http::ClientOptions client_options() {
    http::ClientOptions options;
    options.pooled_connections_max = 0;  // a check that asks over an old connection proves less
    return options;
}

}  // namespace

bool HealthState::note(bool good) {
    if (good == is_healthy_) {
        streak_ = 0;
        return false;
    }
    const int wanted = is_healthy_ ? settings_.unhealthy_after : settings_.healthy_after;
    if (++streak_ < wanted) return false;
    is_healthy_ = good;
    streak_ = 0;
    return true;
}

HealthChecker::HealthChecker(Loop& loop, std::vector<Address> upstreams, CheckSettings settings,
                             Logger log, OnChange on_change)
    : loop_(loop),
      settings_(std::move(settings)),
      log_(std::move(log)),
      on_change_(std::move(on_change)),
      healthy_count_(upstreams.size()),
      client_(loop, client_options()) {
    if (settings_.path.empty()) return;
    for (Address& upstream : upstreams) flows_.spawn(watch(std::move(upstream)));
}

Task<void> HealthChecker::watch(Address upstream) {
    HealthState state(settings_);
    for (;;) {
        const auto checked = co_await check(upstream);
        const bool is_good = checked.has_value();
        if (state.note(is_good)) {
            healthy_count_ += is_good ? size_t{1} : size_t{0} - 1;
            if (is_good) {
                log_.info("upstream_healthy", {{"upstream", upstream.to_string()}});
            } else {
                log_.warn("upstream_unhealthy",
                          {{"upstream", upstream.to_string()}, {"cause", checked.error()}});
            }
            on_change_(upstream, is_good);
        }
        // Checks of many, and those of others on this loop, come together.
        co_await sleep_for(loop_, settings_.interval - settings_.interval / 8,
                           settings_.interval / 4);
    }
}

Task<Result<>> HealthChecker::check(Address upstream) {
    http::ClientRequest request;
    request.address = std::move(upstream);
    request.target = settings_.path;
    request.connect_timeout = settings_.timeout;
    request.first_byte_timeout = settings_.timeout;
    request.idle_timeout = settings_.timeout;
    request.headers.add("User-Agent", "candela-loadbalancer");
    request.headers.add("Connection", "close");
    auto response = co_await client_.send(std::move(request));
    if (!response) co_return fail(response.error());
    const int status = response->status();
    auto body = co_await response->read_all(kAnswerMax);
    if (!body) co_return fail(body.error());
    if (status >= 500) co_return fail(Code::kUnreachable, "HTTP {}", status);
    co_return Result<>();
}

}  // namespace candela::loadbalancer
