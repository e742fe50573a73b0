#include "worker.h"

#include <algorithm>

#include "instance_connector.h"

namespace candela::gateway {
namespace {

// Between two looks at counters and, while instances that should end are busy, at whether they
// still are.
constexpr Duration kTick = 1s;
constexpr Duration kBusyTick = 200ms;

http::UpstreamOptions upstream_options(const proto::RouteService& source) {
    http::UpstreamOptions options;
    options.hold_requests_max = source.hold_requests_max;
    options.has_cache = std::ranges::any_of(source.routes, [](const proto::Route& route) {
        // At worst, it says so somewhere else.
        return route.settings.find("\"cache\"") != std::string::npos;
    });
    options.hold_timeout =
        std::chrono::milliseconds(std::min<uint64_t>(source.hold_ms_max, 600'000));
    return options;
}

// Keeps the bridge for as long as a request is on its way through it.
class BridgeConnector final : public http::Connector {
public:
    explicit BridgeConnector(std::shared_ptr<BusBridge> bridge) : bridge_(std::move(bridge)) {}
    std::unique_ptr<ConnectAttempt> connect(Loop& loop, Loop::ConnectHandler done) override {
        return loop.connect(bridge_->address(), std::move(done));
    }

private:
    std::shared_ptr<BusBridge> bridge_;
};

}  // namespace

Worker::Worker(NodeContext& context, Loop& loop, size_t index, const Settings& settings,
               OnReport on_report)
    : context_(context),
      loop_(loop),
      index_(index),
      on_report_(std::move(on_report)),
      logins_(context, loop, [this]() -> bus::Client& { return tunnel_client(); }),
      proxy_(loop, *this, settings.proxy, context.log.with({{"worker", index}})),
      tick_timer_(loop.timers(), [this] { tick(); }) {
    start_ticking();
}

Worker::~Worker() {
    *alive_ = false;
    if (!access_lines_.empty()) write_access_lines();
}

void Worker::set_access_log(std::shared_ptr<AccessLogFile> file, AccessLogSettings::Format format) {
    access_log_ = std::move(file);
    access_format_ = format;
}

void Worker::log_access(const http::ProxyRecord& record) {
    if (access_lines_.empty()) {
        loop_.defer([this, alive = alive_] {
            if (*alive) write_access_lines();
        });
    }
    const std::string_view client =
        http::client_ip_of(record.head.headers, record.client.ip, proxy_.options().trusted_peers);
    append_access_line(access_format_, record, client, loop_.wall(), access_lines_);
}

void Worker::set_access_shipping(uint32_t lines_per_second, ShipAccess ship) {
    access_sampler_.set_rate(lines_per_second);
    ship_access_ = std::move(ship);
}

// Its text has neither queries nor credentials, as in the file.
void Worker::ship_access(const http::ProxyRecord& record) {
    constexpr size_t kLinesMax = 10'000;  // of one round
    const http::Headers& headers = record.head.headers;
    const auto traceparent = headers.get("traceparent").value_or("");
    if (lines_to_ship_.size() >= kLinesMax) return;
    if (!access_sampler_.takes(record.status, traceparent, loop_.now())) return;
    if (lines_to_ship_.empty()) {
        loop_.defer([this, alive = alive_] {
            if (*alive) ship_access_(std::exchange(lines_to_ship_, {}));
        });
    }
    AccessLine& line = lines_to_ship_.emplace_back();
    line.service = record.upstream->name();
    line.trace_id = record.trace_id;
    line.level = record.status >= 500   ? LineLevel::kError
                 : record.status >= 400 ? LineLevel::kWarn
                                        : LineLevel::kInfo;
    const std::string_view client =
        http::client_ip_of(headers, record.client.ip, proxy_.options().trusted_peers);
    append_access_line(AccessLogSettings::Format::kJson, record, client, loop_.wall(), line.text);
    line.text.pop_back();
}

void Worker::write_access_lines() {
    if (access_log_ != nullptr) access_log_->write(access_lines_);
    access_lines_.clear();
}

Result<Address> Worker::listen(const Address& address, bool reuse_port) {
    ListenOptions options;
    options.reuse_port = reuse_port;
    auto listener = loop_.listen(address, options, proxy_.acceptor());
    if (!listener) return fail(listener.error());
    listener_ = std::move(*listener);
    return listener_->address();
}

Result<Address> Worker::listen_tls(const Address& address, bool reuse_port,
                                   std::shared_ptr<tls::ServerContext> context,
                                   Duration handshake_timeout) {
    acceptor_ = std::make_unique<tls::Acceptor>(
        std::move(context), handshake_timeout, context_.log,
        [this](StreamPtr stream) { proxy_.accept(std::move(stream)); });
    ListenOptions options;
    options.reuse_port = reuse_port;
    auto listener = loop_.listen(address, options, proxy_.acceptor([this](StreamPtr stream) {
        acceptor_->accept(std::move(stream));
    }));
    if (!listener) return fail(listener.error());
    tls_listener_ = std::move(*listener);
    return tls_listener_->address();
}

void Worker::drain(std::move_only_function<void()> on_empty, Duration idle_grace) {
    listener_.reset();
    tls_listener_.reset();
    // Otherwise handshakes that have begun may end, and what comes of them is served.
    if (idle_grace == Duration(0)) acceptor_.reset();
    proxy_.drain(std::move(on_empty), idle_grace);
}

// Only a token that is known, for the host that it was given for.
const ChallengeAnswer* Worker::find_challenge(const http::RouteRequest& request) const {
    if (!request.path.starts_with(kChallengePath)) return nullptr;
    const auto found = challenges_->find(request.path.substr(kChallengePath.size()));
    if (found == challenges_->end() || found->second.host != request.host) return nullptr;
    return &found->second;
}

http::RouteResult Worker::route(const http::RouteRequest& request) {
    http::RouteResult result;
    if (!challenges_->empty()) {
        // Before all routes and what they demand: it is the authority that asks.
        if (const ChallengeAnswer* const answer = find_challenge(request)) {
            result.status = 200;
            result.text = answer->text;
            return result;
        }
    }
    if (table_ == nullptr) {
        result.status = 503;
        result.text = "this gateway has no routes yet";
        return result;
    }
    auto match = table_->find(request);
    if (!match) return result;
    result.upstream = by_index_[match->service_index]->upstream.get();
    if (match->options != nullptr && match->options->split) {
        const auto* const share =
            match->options->split->choose(request.head.headers, loop_.random());
        // Where that one has nobody, the route's own is better than nothing.
        if (http::Upstream* other = share != nullptr ? find_upstream(share->service) : nullptr;
            other != nullptr && other->may_serve()) {
            result.upstream = other;
        }
    }
    if (match->options != nullptr && match->options->mirror &&
        loop_.random().below(100) < match->options->mirror->percent) {
        http::Upstream* const mirror = find_upstream(match->options->mirror->service);
        if (mirror != nullptr && mirror->may_serve()) result.mirror = mirror;
    }
    result.prefix = request.path.substr(0, match->prefix_bytes);
    result.options = std::move(match->options);
    result.measure = &route_seconds(match->route_index);
    return result;
}

http::Upstream* Worker::find_upstream(std::string_view service) const {
    const auto place = services_.find(service);
    return place == services_.end() ? nullptr : place->second.upstream.get();
}

Histogram& Worker::route_seconds(size_t route_index) {
    Histogram*& seconds = route_seconds_[route_index];
    if (seconds == nullptr) {
        const RouteTable::RouteName& name = table_->route_names()[route_index];
        seconds = &context_.metrics.histogram("candela_gateway_route_seconds",
                                              "From a request's head to the end of its answer.",
                                              {{"service", name.service}, {"route", name.route}});
    }
    return *seconds;
}

void Worker::on_done(const http::ProxyRecord& record) {
    if (access_log_ != nullptr) log_access(record);
    if (record.upstream != nullptr && !access_sampler_.is_off()) ship_access(record);
    // Metrics keep their series for good, so that the route may have left the table meanwhile.
    if (record.measure != nullptr) {
        static_cast<Histogram*>(record.measure)->observe(record.duration);
    }
    if (record.upstream == nullptr || record.upstream->user == nullptr) return;
    static_cast<Service*>(record.upstream->user)->metrics.on_done(record);
}

void Worker::apply(RouteTablePtr table, MeasuredReleasesPtr measured) {
    measured_ = std::move(measured);
    std::vector<Service*> by_index;
    std::map<std::string, Service, std::less<>> gone;
    gone.swap(services_);
    for (const proto::RouteService& source : table->services()) {
        const std::string name = source.space + "/" + source.service;
        // Nodes of the map move over, so that a Service stays where its upstream points to.
        if (auto node = gone.extract(name)) services_.insert(std::move(node));
        by_index.push_back(&service_for(source));
    }
    by_index_ = std::move(by_index);
    table_ = std::move(table);
    route_seconds_.assign(table_->route_names().size(), nullptr);
    for (auto& [name, service] : gone) {
        service.upstream->user = nullptr;
        proxy_.retire(std::move(service.upstream));
    }
    report();
}

Worker::Service& Worker::service_for(const proto::RouteService& source) {
    const std::string name = source.space + "/" + source.service;
    auto place = services_.find(name);
    if (place == services_.end()) {
        Service made{std::make_unique<http::Upstream>(loop_, name, upstream_options(source)),
                     nullptr, ServiceMetrics(context_.metrics, name)};
        place = services_.emplace(name, std::move(made)).first;
        place->second.upstream->user = &place->second;
    }
    Service& service = place->second;
    service.upstream->set_options(upstream_options(source));
    service.upstream->update(endpoints_of(source, service));
    return service;
}

std::vector<http::EndpointSpec> Worker::endpoints_of(const proto::RouteService& source,
                                                     Service& service) {
    std::vector<http::EndpointSpec> specs;
    if (source.kind != "bus") {
        service.bridge.reset();
        for (const proto::Endpoint& endpoint : source.endpoints) {
            specs.push_back(endpoint_of(source, endpoint));
        }
        return specs;
    }
    BridgeOptions options;
    options.space = source.space;
    options.service = source.service;
    options.hold_requests_max = source.hold_requests_max;
    options.hold_timeout = upstream_options(source).hold_timeout;
    options.answer_timeout = proxy_.options().response_timeout;
    if (service.bridge == nullptr) {
        auto bridge = BusBridge::create(context_, loop_,
                                        fmt::format("gateway-{}-{}", index_, ++bridges_made_),
                                        logins_, options);
        if (!bridge) {
            context_.log.error("bridge_failed",
                               {{"service", source.service}, {"error", bridge.error()}});
            return specs;
        }
        service.bridge = std::move(*bridge);
    } else {
        service.bridge->set_options(options);
    }
    http::EndpointSpec spec;
    spec.id = "bus";
    spec.key = service.bridge->address().to_string();
    spec.connector = std::make_shared<BridgeConnector>(service.bridge);
    specs.push_back(std::move(spec));
    return specs;
}

http::EndpointSpec Worker::endpoint_of(const proto::RouteService& source,
                                       const proto::Endpoint& endpoint) {
    const bool is_here = endpoint.machine_id == context_.node.machine_id && endpoint.port != 0;
    std::optional<Address> straight;
    if (is_here) straight = Address::tcp("127.0.0.1", static_cast<uint16_t>(endpoint.port));
    http::EndpointSpec spec;
    spec.id = endpoint.instance;
    spec.key = fmt::format("{} {} {}", endpoint.node, endpoint.machine_id, endpoint.port);
    spec.connector =
        std::make_shared<InstanceConnector>(straight, endpoint.node, endpoint.instance,
                                            [this]() -> bus::Client& { return tunnel_client(); });
    spec.counts = measured_->counts(source, endpoint.release, index_);
    spec.suspect = endpoint.state != proto::EndpointState::kReady;
    if (endpoint.is_weighted) spec.weight = endpoint.weight;
    if (endpoint.protocol == proto::EndpointProtocol::kH2c) {
        spec.protocol = http::UpstreamProtocol::kH2c;
        spec.key += " h2c";
    }
    switch (endpoint.proxy_header) {
        case proto::ProxyHeader::kNone: break;
        case proto::ProxyHeader::kV1: spec.proxy_header = http::ProxyVersion::kV1; break;
        case proto::ProxyHeader::kV2: spec.proxy_header = http::ProxyVersion::kV2; break;
    }
    if (spec.proxy_header != http::ProxyVersion::kNone) {
        spec.key += fmt::format(" {}", http::to_string(spec.proxy_header));
    }
    return spec;
}

bus::Client& Worker::tunnel_client() {
    if (client_ == nullptr) client_ = context_.make_bus_client(loop_, "gateway");
    return *client_;
}

// The list is made after the table was applied, so that nothing can join it any more: what is not
// on it may be stopped.
void Worker::report() {
    if (table_ == nullptr) return;
    WorkerReport now;
    now.version = table_->version();
    for (const auto& [name, service] : services_) service.upstream->collect_busy(now.busy);
    proxy_.collect_busy(now.busy);
    std::sort(now.busy.begin(), now.busy.end());
    now.busy.erase(std::unique(now.busy.begin(), now.busy.end()), now.busy.end());
    if (now == reported_) return;
    reported_ = now;
    on_report_(reported_);
    start_ticking();
}

void Worker::start_ticking() {
    if (reported_.busy.empty())
        tick_timer_.start(kTick, kTick / 4);
    else
        tick_timer_.start(kBusyTick);
}

void Worker::tick() {
    for (auto& [name, service] : services_) service.metrics.take_over(service.upstream->counters());
    report();
    start_ticking();
}

}  // namespace candela::gateway
