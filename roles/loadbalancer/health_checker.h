#pragma once

// Asks each upstream for a path now and then, and tells when one becomes healthy or stops being so.
// One flow an upstream, on the control loop. Upstreams count as healthy until the first checks say
// otherwise.

#include <functional>
#include <string>
#include <vector>

#include "base/log.h"
#include "http/client.h"
#include "loop/flow.h"
#include "settings.h"

namespace candela::loadbalancer {

// Turns single answers into a state that does not flap.
class HealthState {
public:
    explicit HealthState(const CheckSettings& settings) : settings_(settings) {}
    // True where the state has changed by it.
    bool note(bool good);
    bool is_healthy() const { return is_healthy_; }

private:
    const CheckSettings& settings_;
    bool is_healthy_ = true;
    int streak_ = 0;  // answers in a row that speak against the state
};

class HealthChecker {
public:
    using OnChange = std::function<void(const Address& upstream, bool healthy)>;

    HealthChecker(Loop& loop, std::vector<Address> upstreams, CheckSettings settings, Logger log,
                  OnChange on_change);

    size_t healthy_count() const { return healthy_count_; }

private:
    Task<void> watch(Address upstream);
    Task<Result<>> check(Address upstream);

    Loop& loop_;
    CheckSettings settings_;
    Logger log_;
    OnChange on_change_;
    size_t healthy_count_;
    http::Client client_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::loadbalancer
