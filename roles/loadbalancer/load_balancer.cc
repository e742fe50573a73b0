#include "load_balancer.h"

namespace candela::loadbalancer {
namespace {

std::vector<http::EndpointSpec> endpoints_of(const Settings& settings) {
    std::vector<http::EndpointSpec> specs;
    for (const Address& address : settings.upstreams) {
        http::EndpointSpec spec;
        spec.id = spec.key = address.to_string();
        spec.connector = std::make_shared<http::AddressConnector>(address);
        specs.push_back(std::move(spec));
    }
    return specs;
}

}  // namespace

Worker::Worker(Metrics& metrics, Logger log, Loop& loop, const Settings& settings)
    : loop_(loop),
      seconds_(&metrics.histogram("candela_loadbalancer_request_seconds",
                                  "From a request's head to the end of its answer.")),
      upstream_(loop, "the pool", settings.pool),
      proxy_(loop, *this, settings.proxy, std::move(log)) {
    static constexpr std::array<const char*, 6> kCodes{"aborted", "1xx", "2xx",
                                                       "3xx",     "4xx", "5xx"};
    for (size_t i = 0; i < kCodes.size(); ++i) {
        requests_[i] = &metrics.counter("candela_loadbalancer_requests",
                                        "Requests by how they ended.", {{"code", kCodes[i]}});
    }
    upstream_.update(endpoints_of(settings));
}

Result<Address> Worker::listen(const Address& address, bool reuse_port) {
    ListenOptions options;
    options.reuse_port = reuse_port;
    auto listener = loop_.listen(address, options, proxy_.acceptor());
    if (!listener) return fail(listener.error());
    listener_ = std::move(*listener);
    return listener_->address();
}

void Worker::set_settings(const Settings& settings) {
    proxy_.set_options(settings.proxy);
    upstream_.set_options(settings.pool);
    upstream_.update(endpoints_of(settings));
}

void Worker::drain(std::move_only_function<void()> on_empty, Duration idle_grace) {
    listener_.reset();
    proxy_.drain(std::move(on_empty), idle_grace);
}

http::RouteResult Worker::route(const http::RouteRequest&) {
    http::RouteResult result;
    result.upstream = &upstream_;
    return result;
}

void Worker::on_done(const http::ProxyRecord& record) {
    const auto status_class = static_cast<size_t>(record.status / 100);
    requests_[status_class < requests_.size() ? status_class : 5]->add();
    seconds_->observe(record.duration);
}

LoadBalancer::LoadBalancer(NodeContext& context, const Config& config)
    : context_(context),
      settings_(read_settings(config)),
      workers_(context.loop, context.loops),
      alive_(std::make_shared<LoadBalancer*>(this)) {}

LoadBalancer::~LoadBalancer() { *alive_ = nullptr; }

Task<Result<>> LoadBalancer::start() {
    Address address = settings_.listen;
    const bool reuse_port = workers_.size() > 1;
    for (size_t i = 0; i < workers_.size(); ++i) {
        auto open = [&context = context_, &loop = workers_.loop(i), settings = settings_, address,
                     reuse_port](std::unique_ptr<Worker>& worker) {
            worker = std::make_unique<Worker>(context.metrics, context.log, loop, settings);
            return worker->listen(address, reuse_port);
        };
        auto bound = co_await workers_.run(i, std::move(open));
        if (!bound) co_return fail(bound.error());
        address = *bound;  // a port of 0 has become a real one, which the others share
    }
    address_ = address.to_string();
    start_checks();
    context_.log.info("loadbalancer_listening", {{"address", address_},
                                                 {"upstreams", settings_.upstreams.size()},
                                                 {"workers", workers_.size()}});
    co_return Result<>();
}

void LoadBalancer::start_checks() {
    checker_ = std::make_unique<HealthChecker>(
        context_.loop, settings_.upstreams, settings_.check, context_.log,
        [this](const Address& upstream, bool healthy) {
            workers_.post_to_all([id = upstream.to_string(), healthy](Worker& worker) {
                worker.set_healthy(id, healthy);
            });
        });
}

Task<Result<>> LoadBalancer::reload(const Config& config) {
    Settings settings = read_settings(config);
    if (settings.listen != settings_.listen) {
        co_return fail(Code::kUnsupported, "[loadbalancer] listen changes with a restart only");
    }
    if (settings.proxy.proxy_protocol != settings_.proxy.proxy_protocol) {
        co_return fail(Code::kUnsupported,
                       "[loadbalancer] proxy_protocol changes with a restart only");
    }
    const bool is_checked_anew =
        settings.upstreams != settings_.upstreams || settings.check != settings_.check;
    settings_ = std::move(settings);
    workers_.post_to_all([copy = settings_](Worker& worker) { worker.set_settings(copy); });
    if (is_checked_anew) {
        // The new checks begin with everything healthy, so the workers must too.
        for (const Address& upstream : settings_.upstreams) {
            workers_.post_to_all(
                [id = upstream.to_string()](Worker& worker) { worker.set_healthy(id, true); });
        }
        start_checks();
    }
    co_return Result<>();
}

Task<void> LoadBalancer::drain(MonoTime deadline) {
    const Duration grace = is_handed_over_ ? http::kHandedOverGrace : Duration(0);
    workers_.post_to_all([&control = context_.loop, alive = alive_, grace](Worker& worker) {
        auto on_empty = [&control, alive] {
            control.post([alive] {
                if (*alive == nullptr) return;
                LoadBalancer& self = **alive;
                if (++self.drained_count_ == self.workers_.size()) self.drained_.set();
            });
        };
        worker.drain(std::move(on_empty), grace);
    });
    Timer timer(context_.loop.timers(), [this] { drained_.set(); });
    timer.start(deadline - context_.loop.now());
    co_await drained_.wait();
    if (drained_count_ != workers_.size()) {
        context_.log.warn("drain_cut_short", {{"cause", "connections were still busy"}});
    }
}

RoleStatus LoadBalancer::status() const {
    RoleStatus status;
    if (address_.empty()) {
        status.detail = "opening its listeners";
        return status;
    }
    const size_t healthy = checker_->healthy_count();
    // Without upstreams there is nothing to wait for: a node of all roles has none.
    status.ready = healthy > 0 || settings_.upstreams.empty();
    status.detail = fmt::format("{}, {} of {} upstreams healthy", address_, healthy,
                                settings_.upstreams.size());
    return status;
}

}  // namespace candela::loadbalancer
