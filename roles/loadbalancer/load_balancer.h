#pragma once

// The load balancer as its node sees it. Lives on the control loop, with a worker on every loop.

#include <memory>
#include <string>
#include <vector>

#include "health_checker.h"
#include "loop/per_loop.h"
#include "node/metrics.h"
#include "node/role.h"
#include "settings.h"

namespace candela::loadbalancer {

// One loop: its listener and its proxy, with one upstream of all addresses.
class Worker final : public http::Router {
public:
    Worker(Metrics& metrics, Logger log, Loop& loop, const Settings& settings);

    Result<Address> listen(const Address& address, bool reuse_port);
    void set_healthy(std::string_view id, bool healthy) { upstream_.set_healthy(id, healthy); }
    void set_settings(const Settings& settings);
    void drain(std::move_only_function<void()> on_empty, Duration idle_grace);

private:
    http::RouteResult route(const http::RouteRequest& request) override;
    void on_done(const http::ProxyRecord& record) override;

    Loop& loop_;
    std::array<Counter*, 6> requests_;  // by status / 100
    Histogram* seconds_;
    http::Upstream upstream_;
    http::Proxy proxy_;
    std::unique_ptr<Listener> listener_;
};

class LoadBalancer final : public Role {
public:
    LoadBalancer(NodeContext& context, const Config& config);
    ~LoadBalancer() override;

    Task<Result<>> start() override;
    Task<Result<>> reload(const Config& config) override;
    Task<void> drain(MonoTime deadline) override;
    RoleStatus status() const override;
    void hand_over() override { is_handed_over_ = true; }

private:
    void start_checks();

    NodeContext& context_;
    Settings settings_;
    PerLoop<Worker> workers_;
    std::shared_ptr<LoadBalancer*> alive_;  // calls from other loops find it gone
    std::string address_;                   // in fact bound; empty until then
    size_t drained_count_ = 0;
    bool is_handed_over_ = false;
    Event drained_;
    std::unique_ptr<HealthChecker> checker_;
};

}  // namespace candela::loadbalancer
