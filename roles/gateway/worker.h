#pragma once

// The gateway on one loop: its listener, its proxy, and an upstream for each service of the route
// table. A newer table is applied as a difference, so that connections of services that did not
// change never notice. Made, used and destroyed on its loop; what it has to say goes to the control
// loop by post().

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "access_shipper.h"
#include "bus/client.h"
#include "bus_bridge.h"
#include "certificate_rack.h"
#include "http/proxy.h"
#include "measured_releases.h"
#include "node/context.h"
#include "route_table.h"
#include "service_metrics.h"
#include "settings.h"
#include "tls/stream.h"

namespace candela::gateway {

// What a worker serves. Instances that left the table before `version` and are not in `busy` have
// no request in flight from this worker any more, and get none.
struct WorkerReport {
    uint64_t version = 0;
    std::vector<std::string> busy;
    friend bool operator==(const WorkerReport&, const WorkerReport&) = default;
};

class Worker final : public http::Router {
public:
    using OnReport = std::function<void(const WorkerReport&)>;  // called on the worker's loop

    Worker(NodeContext& context, Loop& loop, size_t index, const Settings& settings,
           OnReport on_report);
    ~Worker();

    // Opens the listener; returns the address in fact bound.
    Result<Address> listen(const Address& address, bool reuse_port);
    Result<Address> listen_tls(const Address& address, bool reuse_port,
                               std::shared_ptr<tls::ServerContext> context,
                               Duration handshake_timeout);
    void apply(RouteTablePtr table, MeasuredReleasesPtr measured);
    // Null: requests are not logged.
    void set_access_log(std::shared_ptr<AccessLogFile> file, AccessLogSettings::Format format);
    // Lines for the lighthouse are handed to `ship` once a round, on the worker's loop.
    using ShipAccess = std::function<void(std::vector<AccessLine>)>;
    void set_access_shipping(uint32_t lines_per_second, ShipAccess ship);
    void set_options(const http::ProxyOptions& options) { proxy_.set_options(options); }
    void set_cache(std::shared_ptr<http::ResponseCache> cache) {
        proxy_.set_cache(std::move(cache));
    }
    void set_challenges(ChallengeAnswersPtr answers) { challenges_ = std::move(answers); }
    // Stops accepting; `on_empty` is called when the last connection is gone. `idle_grace`: see
    // http::Proxy::drain().
    void drain(std::move_only_function<void()> on_empty, Duration idle_grace);

    // These may be read by any thread while the worker lives.
    const http::ProxyCounters& counters() const { return proxy_.counters(); }

private:
    struct Service {
        std::unique_ptr<http::Upstream> upstream;
        std::shared_ptr<BusBridge> bridge;  // kind "bus" only; its connector shares it
        ServiceMetrics metrics;
    };

    const ChallengeAnswer* find_challenge(const http::RouteRequest& request) const;
    http::RouteResult route(const http::RouteRequest& request) override;
    void on_done(const http::ProxyRecord& record) override;

    // Null: no such service is in the table.
    http::Upstream* find_upstream(std::string_view service) const;
    Histogram& route_seconds(size_t route_index);
    Service& service_for(const proto::RouteService& source);
    std::vector<http::EndpointSpec> endpoints_of(const proto::RouteService& source,
                                                 Service& service);
    http::EndpointSpec endpoint_of(const proto::RouteService& source,
                                   const proto::Endpoint& endpoint);
    bus::Client& tunnel_client();
    void log_access(const http::ProxyRecord& record);
    void write_access_lines();
    void ship_access(const http::ProxyRecord& record);
    void report();
    void tick();
    void start_ticking();

    NodeContext& context_;
    Loop& loop_;
    size_t index_;
    OnReport on_report_;
    WorkerReport reported_;
    uint64_t bridges_made_ = 0;
    RouteTablePtr table_;
    MeasuredReleasesPtr measured_;  // of the table
    ChallengeAnswersPtr challenges_ = std::make_shared<const ChallengeAnswers>();
    std::unique_ptr<bus::Client> client_;  // for tunnels and credentials
    SpaceLogins logins_;
    std::map<std::string, Service, std::less<>> services_;  // by "space/service"
    std::vector<Service*> by_index_;                        // as the table counts them
    std::vector<Histogram*> route_seconds_;  // likewise, by route; null until it is asked for
    std::shared_ptr<AccessLogFile> access_log_;
    AccessLogSettings::Format access_format_ = AccessLogSettings::Format::kJson;
    std::string access_lines_;  // of this round
    AccessSampler access_sampler_;
    ShipAccess ship_access_;
    std::vector<AccessLine> lines_to_ship_;  // of this round
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    http::Proxy proxy_;
    std::unique_ptr<tls::Acceptor> acceptor_;  // its handshakes end before the proxy
    std::unique_ptr<Listener> listener_;
    std::unique_ptr<Listener> tls_listener_;
    Timer tick_timer_;
};

}  // namespace candela::gateway
