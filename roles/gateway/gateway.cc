#include "gateway.h"

#include <algorithm>
#include <utility>

#include "proto/messages.h"

namespace candela::gateway {

Gateway::Gateway(NodeContext& context, const Config& config)
    : context_(context),
      settings_(read_settings(config)),
      cache_(std::make_shared<http::ResponseCache>(settings_.cache_bytes_max)),
      workers_(context.loop, context.loops),
      reports_(workers_.size()),
      alive_(std::make_shared<Gateway*>(this)),
      jwks_(context, settings_.jwks_refetch),
      source_(
          context,
          [this](const std::string& url, const std::string& ca_pem) {
              return jwks_.keys_of(url, ca_pem);
          },
          [this](RouteTablePtr table) { on_table(std::move(table)); }),
      rack_(context,
            [this](ChallengeAnswersPtr answers) { return set_challenges(std::move(answers)); }),
      certificates_(context, [this](CertificateSetPtr set) { rack_.take(std::move(set)); }) {}

Gateway::~Gateway() { *alive_ = nullptr; }

Task<Result<>> Gateway::start() {
    source_.load();
    certificates_.load();
    Result<> opened = co_await open_all();
    if (!opened) co_return fail(opened.error());
    add_gauge("candela_gateway_connections", "Client connections open.",
              &http::ProxyCounters::connections_open);
    add_gauge("candela_gateway_requests_in_flight", "Requests being answered.",
              &http::ProxyCounters::requests_in_flight);
    add_gauge("candela_gateway_requests_held", "Requests that wait for an instance.",
              &http::ProxyCounters::requests_held);
    add_gauge("candela_gateway_malformed", "Requests refused for their form since the start.",
              &http::ProxyCounters::requests_malformed);
    add_gauge("candela_gateway_mirrors_answered", "Copies of requests that were answered.",
              &http::ProxyCounters::mirrors_answered);
    add_gauge("candela_gateway_mirrors_failed", "Copies of requests that came to nothing.",
              &http::ProxyCounters::mirrors_failed);
    add_gauge("candela_gateway_mirrors_dropped",
              "Requests that were not copied: too many or large.",
              &http::ProxyCounters::mirrors_dropped);
    add_cache_metrics();
    source_.start();
    certificates_.start();
    rack_.start();
    beat_ = context_.heartbeats.add(*this);
    context_.log.info(
        "gateway_listening",
        {{"address", address_}, {"tls_address", tls_address_}, {"workers", workers_.size()}});
    co_return Result<>();
}

Task<Result<>> Gateway::open_all() {
    Address address = settings_.listen;
    for (size_t i = 0; i < workers_.size(); ++i) {
        auto bound = co_await open(i, address);
        if (!bound) co_return fail(bound.error());
        address = *bound;  // a port of 0 has become a real one, which the others share
    }
    if (settings_.tls.listen) {
        Result<> opened = co_await open_tls();
        if (!opened) co_return fail(opened.error().in("[gateway.tls]"));
    }
    AccessLogSettings wanted = settings_.access_log;
    Result<> logging = co_await open_access_log(std::move(wanted));
    if (!logging) co_return fail(logging.error());
    address_ = address.to_string();
    co_return Result<>();
}

// Opens the file anew, be it another or the same one again after logrotate has moved it.
Task<Result<>> Gateway::open_access_log(AccessLogSettings wanted) {
    if (wanted.file.empty()) {
        access_log_.reset();
    } else {
        auto work = [file = access_log_,
                     path = wanted.file]() -> Result<std::shared_ptr<AccessLogFile>> {
            if (file == nullptr) return AccessLogFile::open(path);
            CANDELA_TRY(file->reopen(path));
            return file;
        };
        auto opened = co_await offload(context_.loop, std::move(work));
        if (!opened) co_return fail(opened.error().in("[gateway.access_log]"));
        access_log_ = std::move(*opened);
    }
    workers_.post_to_all([file = access_log_, format = wanted.format](Worker& worker) {
        worker.set_access_log(file, format);
    });
    co_return co_await ship_access_log(wanted.lighthouse_rate);
}

Task<Result<>> Gateway::ship_access_log(uint32_t lines_per_second) {
    if (lines_per_second > 0 && shipper_ == nullptr) {
        shipper_ = std::make_unique<AccessShipper>(context_);
        Result<> started = co_await shipper_->start();
        if (!started) co_return fail(started.error());
    }
    // What workers have handed over already is sent, whatever the rate is now.
    const auto count = static_cast<uint32_t>(workers_.size());
    const uint32_t each = (lines_per_second + count - 1) / count;
    workers_.post_to_all([&control = context_.loop, alive = alive_, each](Worker& worker) {
        worker.set_access_shipping(each, [&control, alive](std::vector<AccessLine> lines) {
            control.post([alive, lines = std::move(lines)]() mutable {
                if (*alive != nullptr) (*alive)->shipper_->take(std::move(lines));
            });
        });
    });
    co_return Result<>();
}

Task<Result<>> Gateway::open_tls() {
    std::string folder = settings_.tls.certificates;
    tls::ServerOptions options = server_options(settings_.tls);
    Result<> opened = co_await rack_.open(std::move(folder), std::move(options));
    if (!opened) co_return fail(opened.error());
    Address address = *settings_.tls.listen;
    for (size_t i = 0; i < workers_.size(); ++i) {
        auto bound = co_await open_tls_at(i, address);
        if (!bound) co_return fail(bound.error());
        address = *bound;
    }
    tls_address_ = address.to_string();
    co_return Result<>();
}

Task<Result<Address>> Gateway::open_tls_at(size_t index, Address address) {
    const bool reuse_port = workers_.size() > 1;
    auto work = [address, reuse_port, context = rack_.context(),
                 timeout = settings_.tls.handshake_timeout](std::unique_ptr<Worker>& worker) {
        return worker->listen_tls(address, reuse_port, context, timeout);
    };
    co_return co_await workers_.run(index, std::move(work));
}

Task<Result<Address>> Gateway::open(size_t index, Address address) {
    Loop& control = context_.loop;
    Worker::OnReport on_report = [&control, alive = alive_, index](const WorkerReport& report) {
        control.post([alive, index, report] {
            if (*alive != nullptr) (*alive)->on_report(index, report);
        });
    };
    const bool reuse_port = workers_.size() > 1;
    auto work = [&context = context_, &loop = workers_.loop(index), index, address,
                 settings = settings_, table = table_, measured = measured_, cache = cache_,
                 reuse_port, on_report = std::move(on_report)](std::unique_ptr<Worker>& worker) {
        worker = std::make_unique<Worker>(context, loop, index, settings, on_report);
        worker->set_cache(cache);
        if (table != nullptr) worker->apply(table, measured);
        return worker->listen(address, reuse_port);
    };
    co_return co_await workers_.run(index, std::move(work));
}

void Gateway::on_table(RouteTablePtr table) {
    table_ = std::move(table);
    purge_cache(*table_);
    rack_.set_asks(table_->certificate_asks());
    measured_ = MeasuredReleases::of(table_->source(), measured_.get(), workers_.size());
    workers_.post_to_all([shared = table_, measured = measured_](Worker& worker) {
        worker.apply(shared, measured);
    });
}

// Before anybody is told that this table is served.
void Gateway::purge_cache(const RouteTable& table) {
    for (const proto::CachePurge& source : table.source().purges) {
        if (source.id <= purged_) continue;
        purged_ = source.id;
        http::CachePurge purge;
        purge.service = source.space + "/" + source.service;
        purge.host = source.host;
        purge.path = source.path;
        purge.is_prefix = !source.exact;
        const size_t count = cache_->purge(purge);
        context_.log.info("cache_purged", {{"service", purge.service},
                                           {"host", purge.host},
                                           {"path", purge.path},
                                           {"answers", count}});
    }
}

Task<void> Gateway::set_challenges(ChallengeAnswersPtr answers) {
    for (size_t i = 0; i < workers_.size(); ++i) {
        auto work = [answers](std::unique_ptr<Worker>& worker) {
            if (worker != nullptr) worker->set_challenges(answers);
            return true;
        };
        co_await workers_.run(i, std::move(work));
    }
}

void Gateway::on_report(size_t index, const WorkerReport& report) {
    reports_[index] = report;
    context_.heartbeats.beat_soon();
}

void Gateway::add_to_heartbeat(proto::NodeHeartbeat& beat) {
    uint64_t version = UINT64_MAX;
    for (const WorkerReport& report : reports_) {
        version = std::min(version, report.version);
        beat.busy_instances.insert(beat.busy_instances.end(), report.busy.begin(),
                                   report.busy.end());
    }
    beat.routes_version = version;
    beat.certificates_version = rack_.served_version();
    if (measured_ != nullptr) beat.answers = measured_->readings(measured_turn_++);
    std::sort(beat.busy_instances.begin(), beat.busy_instances.end());
    const auto doubled = std::unique(beat.busy_instances.begin(), beat.busy_instances.end());
    beat.busy_instances.erase(doubled, beat.busy_instances.end());
}

Task<Result<>> Gateway::reload(const Config& config) {
    Settings settings = read_settings(config);
    if (settings.listen != settings_.listen) {
        co_return fail(Code::kUnsupported, "[gateway] listen changes with a restart only");
    }
    if (settings.proxy.proxy_protocol != settings_.proxy.proxy_protocol) {
        co_return fail(Code::kUnsupported, "[gateway] proxy_protocol changes with a restart only");
    }
    if (settings.jwks_refetch != settings_.jwks_refetch) {
        co_return fail(Code::kUnsupported, "[gateway] jwks_refetch changes with a restart only");
    }
    TlsSettings same = settings.tls;
    same.certificates = settings_.tls.certificates;
    if (!(same == settings_.tls)) {
        co_return fail(Code::kUnsupported,
                       "[gateway.tls] changes with a restart only, but for its certificates");
    }
    std::string folder = settings.tls.certificates;
    Result<> reread = co_await rack_.reload(std::move(folder));
    if (!reread) co_return fail(reread.error().in("[gateway.tls]"));
    AccessLogSettings wanted = settings.access_log;
    Result<> logging = co_await open_access_log(std::move(wanted));
    if (!logging) co_return fail(logging.error());
    settings_ = std::move(settings);
    cache_->set_bytes_max(settings_.cache_bytes_max);
    workers_.post_to_all(
        [options = settings_.proxy](Worker& worker) { worker.set_options(options); });
    co_return Result<>();
}

Task<void> Gateway::drain(MonoTime deadline) {
    const Duration grace = is_handed_over_ ? http::kHandedOverGrace : Duration(0);
    workers_.post_to_all([&control = context_.loop, alive = alive_, grace](Worker& worker) {
        auto on_empty = [&control, alive] {
            control.post([alive] {
                if (*alive == nullptr) return;
                Gateway& self = **alive;
                if (++self.drained_count_ == self.workers_.size()) self.drained_.set();
            });
        };
        worker.drain(std::move(on_empty), grace);
    });
    Timer timer(context_.loop.timers(), [this] { drained_.set(); });
    timer.start(deadline - context_.loop.now());
    co_await drained_.wait();
    const bool in_time = drained_count_ == workers_.size();
    if (!in_time) context_.log.warn("drain_cut_short", {{"cause", "connections were still busy"}});
    if (shipper_ != nullptr) co_await shipper_->flush();
}

RoleStatus Gateway::status() const {
    RoleStatus status;
    if (address_.empty()) {
        status.detail = "opening its listeners";
    } else if (table_ == nullptr) {
        status.detail = "waits for its first routes from the lighthouse";
    } else {
        status.ready = true;
        status.detail = fmt::format("{}{}{}, {} services, routes {}", address_,
                                    tls_address_.empty() ? "" : " and https ", tls_address_,
                                    table_->services().size(),
                                    source_.is_live() ? "from the lighthouse" : "as kept on disk");
    }
    return status;
}

void Gateway::add_cache_metrics() {
    const auto add = [this](const char* name, const char* help,
                            const std::atomic<uint64_t> http::CacheCounters::* counter) {
        gauges_.push_back(context_.metrics.sampled_gauge(name, help, {}, [this, counter] {
            return static_cast<double>((cache_->counters().*counter).load());
        }));
    };
    add("candela_gateway_cache_bytes", "Of answers that are kept.", &http::CacheCounters::bytes);
    add("candela_gateway_cache_answers", "Answers that are kept.", &http::CacheCounters::answers);
    add("candela_gateway_cache_stored", "Answers kept since the start.",
        &http::CacheCounters::stored);
    add("candela_gateway_cache_evicted", "Answers that left for want of room since the start.",
        &http::CacheCounters::evicted);
    add("candela_gateway_cache_purged", "Answers that were purged since the start.",
        &http::CacheCounters::purged);
}

void Gateway::add_gauge(const char* name, const char* help,
                        std::atomic<uint64_t> http::ProxyCounters::* counter) {
    gauges_.push_back(context_.metrics.sampled_gauge(name, help, {}, [this, counter] {
        uint64_t sum = 0;
        for (size_t i = 0; i < workers_.size(); ++i) {
            sum += (workers_.at(i).counters().*counter).load(std::memory_order_relaxed);
        }
        return static_cast<double>(sum);
    }));
}

}  // namespace candela::gateway
