#include "role.h"

#include <unistd.h>

#include <algorithm>

#include "loop/file.h"
#include "sealing.h"

namespace candela::lighthouse {

namespace {

constexpr Duration kMaintenanceInterval = 10min;
constexpr Duration kUsageInterval = 1min;
constexpr Duration kHandshakeTimeout = 10s;
constexpr size_t kFailureLines = 20;
constexpr std::string_view kSqlitePrefix = "sqlite:";

void check_settings(const Config& config, ConfigProblems& problems) {
    const std::string_view database = config.string("database");
    if (!database.empty() && !database.starts_with(kSqlitePrefix)) {
        problems.add(config.position("database"), "database: only sqlite:PATH is built in");
    }
    const auto socket = Address::parse(config.string("socket"));
    if (!config.string("socket").empty() && socket && socket->kind != Address::Kind::kUnix) {
        problems.add(config.position("socket"), "socket: must be a unix socket, unix:PATH");
    }
    check_acme_settings(config, problems);
}

PlanLimits limits_of(const Config& config) {
    PlanLimits limits;
    limits.silent_after = config.duration("silent_after");
    limits.drain_max = config.duration("drain_timeout");
    return limits;
}

}  // namespace

const ConfigSchema& settings_schema() {
    static const ConfigSchema schema({
        config_address("listen", "127.0.0.1:7400", "Where the API is served over TLS."),
        config_address("socket", "",
                       "The API's unix socket. Default: unix:DATA_DIR/lighthouse.sock."),
        config_strings("names", {},
                       "Further names and addresses of this lighthouse, for its certificate."),
        config_string("database", "",
                      "Where the desired state is kept. Default: "
                      "sqlite:DATA_DIR/lighthouse/state.db."),
        config_size("bundle_max", "1GiB", "The largest bundle.").range("1KiB", "4GiB"),
        config_duration("silent_after", "4s",
                        "A host that is not heard for so long has its instances "
                        "placed elsewhere.")
            .range("2s", "10m"),
        config_duration("drain_timeout", "10s",
                        "How long requests in flight may take, beyond the "
                        "service's stop.grace.")
            .range("0s", "10m"),
        config_duration("hold_timeout", "30s", "How long a request waits for a service to come up.")
            .range("0s", "10m"),
        config_int("hold_requests", "1000", "How many requests of a service wait, at each gateway.")
            .range("0", "100000"),
        config_duration("ticket_rotation", "12h",
                        "How often gateways get a new key of TLS session tickets; one that "
                        "is replaced goes on being taken for as long again.")
            .range("1s", "84h"),
        config_size("logs_max", "2GiB",
                    "What services' logs may take on the disk; beyond it the oldest lines of "
                    "whoever has most go.")
            .range("16MiB", ""),
        config_size("logs_service_max", "256MiB",
                    "What the log of one service may take, and its access log as much.")
            .range("1MiB", ""),
        config_duration("audit_keep", "400d", "How long the audit log is kept.")
            .range("1d", "3650d"),
        config_string(
            "url", "",
            "https://HOST:PORT, where nodes that join reach this API. Default: listen, if "
            "other machines reach that."),
        config_string("bus_url", "",
                      "HOST:PORT, where nodes that join reach the bus. Default: [bus] url of this "
                      "node."),
        config_bool("bus_ca", "false",
                    "Whether the bus shows a certificate of this cloud's own authority: nodes that "
                    "join then trust no other."),
        config_duration("node_lifetime", "30d",
                        "How long the credentials and the certificate of a node last that has "
                        "joined; it renews them at half of that.")
            .range("5s", "400d"),
        acme_key(),
    });
    return schema;
}

const RoleSpec kRole{
    .name = "lighthouse",
    .summary = "The lighthouse: desired state, planner and API.",
    .schema = settings_schema,
    .check = check_settings,
    .create = [](NodeContext& context, const Config& config) -> std::unique_ptr<Role> {
        return std::make_unique<Lighthouse>(context, config);
    },
};

Settings::Settings(const Config& config, const NodeInfo& node)
    : socket(Address::unix_socket((node.data_dir / "lighthouse.sock").string())),
      database(config.string("database")),
      bundle_bytes_max(config.size_bytes("bundle_max")),
      limits(limits_of(config)),
      folder(node.data_dir / "lighthouse") {
    if (const auto address = Address::parse(config.string("listen"))) listen = *address;
    if (const auto address = Address::parse(config.string("socket"))) socket = *address;
    if (database.empty()) database = std::string(kSqlitePrefix) + (folder / "state.db").string();
    names = {"localhost", "127.0.0.1", "::1", node.name};
    if (!node.address.empty()) names.push_back(node.address);
    const bool is_any = listen.host == "0.0.0.0" || listen.host == "::" || listen.host.empty();
    if (!is_any) names.push_back(listen.host);
    for (const std::string& name : config.strings("names")) names.push_back(name);
    std::set<std::string> seen;
    std::erase_if(names, [&](const std::string& name) { return !seen.insert(name).second; });
    holds.requests_max = static_cast<uint32_t>(config.integer("hold_requests"));
    holds.time_max = config.duration("hold_timeout");
    audit_keep = config.duration("audit_keep");
    logs.bytes_max = config.size_bytes("logs_max");
    logs.service_bytes_max = config.size_bytes("logs_service_max");
    logs.file_bytes_max = std::min(logs.file_bytes_max, logs.service_bytes_max / 4);
    acme = read_acme_settings(config);
    ticket_rotation = config.duration("ticket_rotation");
    url = config.string("url");
    const bool is_local = listen.is_loopback();
    if (url.empty() && !is_any && !is_local) url = "https://" + listen.to_string();
    joins.bus_url = config.string("bus_url");
    joins.is_bus_by_authority = config.boolean("bus_ca");
    joins.lifetime = config.duration("node_lifetime");
    joins.reserved_names = names;
}

namespace {

// A bus in this very process is reached by others where its own section says, which only the
// profile's reader knows.
JoinSettings joins_of(const Settings& settings, const NodeContext& context) {
    JoinSettings joins = settings.joins;
    joins.api_url = settings.url;
    const Address& bus = context.bus_servers.front();
    if (joins.bus_url.empty() && bus.kind == Address::Kind::kTcp && !bus.is_loopback())
        joins.bus_url = bus.to_string();
    return joins;
}

}  // namespace

Lighthouse::Lighthouse(NodeContext& context, const Config& config)
    : context_(context),
      settings_(config, context.node),
      log_(context.log),
      state_(context.loop, log_, settings_.limits, settings_.holds),
      accounts_(context.loop, context.node.data_dir),
      credentials_(state_, accounts_, log_),
      bundles_(context.loop, settings_.folder / "bundles", settings_.bundle_bytes_max),
      logs_(context.loop, settings_.folder / "logs", log_, settings_.logs),
      vault_(context.loop, settings_.folder),
      certificates_(state_, vault_, context.metrics, settings_.ticket_rotation, log_),
      acme_(settings_.acme.is_on()
                ? std::make_unique<AcmeKeeper>(state_, certificates_, vault_, settings_.acme, log_)
                : nullptr),
      values_(state_, vault_),
      bus_(state_, accounts_, credentials_, bundles_, logs_, certificates_, values_,
           context.make_bus_client(context.loop, "lighthouse"),
           context.make_bus_client(context.loop, "lighthouse-sys"), log_),
      audit_(state_, vault_, settings_.audit_keep, log_),
      backup_(context.loop, bundles_, context.node.data_dir,
              settings_.database.substr(kSqlitePrefix.size())),
      certificate_(context.loop, context.node.data_dir, settings_.names),
      joins_(state_, credentials_, certificate_, joins_of(settings_, context), log_),
      spaces_(context, accounts_, state_),
      api_(ApiParts{state_, accounts_, credentials_, bundles_, logs_, bus_, certificates_, vault_,
                    audit_, backup_, joins_, spaces_, acme_.get(), context.node.version},
           static_cast<uint32_t>(::getuid()), log_),
      server_(context.loop, api_, http::ServerOptions(), log_) {}

Lighthouse::~Lighthouse() = default;

Task<Result<>> Lighthouse::start() {
    auto make = [folder = settings_.folder] { return make_directories(folder, 0700); };
    CO_TRY(co_await offload(context_.loop, std::move(make)));
    CO_TRY(co_await accounts_.open());
    CO_TRY(co_await bundles_.open());
    CO_TRY(co_await logs_.open());
    state_.hooks.last_lines = [this](const Instance& instance) {
        return logs_.last_lines(instance, kFailureLines);
    };
    state_.hooks.service_gone = [this](const ServiceKey& service) { logs_.forget(service); };
    state_.hooks.instances_gone = [this](const std::vector<std::string>& instances) {
        credentials_.revoke_of(instances);
    };
    state_.hooks.flags_changed = [this](const std::string& space) { spaces_.publish_flags(space); };
    CO_TRY(co_await vault_.open());
    CO_TRY(co_await state_.open(settings_.database));
    const auto resealed = std::make_shared<size_t>(0);
    CO_TRY(co_await reseal(state_, vault_, resealed));
    if (*resealed != 0) log_.info("sealed_anew", {{"count", *resealed}});
    audit_.open();
    CO_TRY(co_await certificates_.open());
    if (acme_ != nullptr) CO_TRY(co_await acme_->open());
    CO_TRY(co_await credentials_.reconcile());
    CO_TRY(co_await certificate_.open());
    CO_TRY(co_await joins_.open());
    CO_TRY(bus_.start());
    CO_TRY(listen());
    if (acme_ != nullptr) acme_->start();
    spaces_.start();
    add_metrics();
    tasks_.spawn(maintain_forever());
    tasks_.spawn(keep_usage_forever());
    is_started_ = true;
    co_return Result<>();
}

Result<> Lighthouse::listen() {
    tls_acceptor_ = std::make_unique<tls::Acceptor>(
        certificate_.context(), kHandshakeTimeout, log_,
        [this](StreamPtr stream) { server_.accept(std::move(stream)); });
    CANDELA_TRY_ASSIGN(
        tls_listener_,
        context_.loop.listen(settings_.listen, ListenOptions(), [this](StreamPtr stream) {
            tls_acceptor_->accept(std::move(stream));
        }));
    ListenOptions socket_options;
    socket_options.unix_mode = 0600;
    CANDELA_TRY_ASSIGN(socket_listener_, context_.loop.listen(settings_.socket, socket_options,
                                                              [this](StreamPtr stream) {
                                                                  server_.accept(std::move(stream));
                                                              }));
    log_.info("api_listens", {{"tls", tls_listener_->address().to_string()},
                              {"socket", settings_.socket.to_string()}});
    return {};
}

const Address* Lighthouse::tls_address() const {
    return tls_listener_ == nullptr ? nullptr : &tls_listener_->address();
}

Task<Result<>> Lighthouse::reload(const Config& config) {
    const Settings next(config, context_.node);
    if (!(next.listen == settings_.listen) || !(next.socket == settings_.socket) ||
        next.database != settings_.database || !(next.acme == settings_.acme) ||
        next.ticket_rotation != settings_.ticket_rotation) {
        co_return fail(Code::kUnsupported,
                       "[lighthouse] listen, socket, database, acme and ticket_rotation take a "
                       "restart");
    }
    co_return Result<>();
}

Task<void> Lighthouse::drain(MonoTime deadline) {
    tls_listener_.reset();
    socket_listener_.reset();
    co_await server_.drain(deadline);
    const Duration left = deadline - context_.loop.now();
    if (left <= Duration::zero()) co_return;
    auto flush = [](LogStore* logs) -> Task<Result<>> {
        co_await logs->flush();
        co_return Result<>();
    };
    auto flushing = flush(&logs_);
    const auto flushed = co_await with_timeout(context_.loop, left, "logs", std::move(flushing));
    if (!flushed) log_.warn("logs_not_flushed", {{"error", flushed.error()}});
}

RoleStatus Lighthouse::status() const {
    if (!is_started_) return RoleStatus(false, "starting");
    if (!state_.trouble().empty()) return RoleStatus(false, "database: " + state_.trouble());
    if (!bus_.is_connected()) return RoleStatus(false, "waiting for the bus: " + bus_.trouble());
    if (bus_.accounts_to_push() != 0) return RoleStatus(false, "telling the bus of the spaces");
    return RoleStatus(true, fmt::format("{} services", state_.wanted().services.size()));
}

// ---- maintenance

Task<void> Lighthouse::keep_usage_forever() {
    for (;;) {
        co_await sleep_for(context_.loop, kUsageInterval);
        state_.usage().forget_silent(context_.loop.wall());
        auto write = [rows = state_.usage().take_rows(), now = context_.loop.wall()](
                         store::Connection& db) { return write_usage(db, rows, now); };
        const auto written = co_await state_.database().run(std::move(write));
        if (!written) log_.error("usage_not_written", {{"error", written.error()}});
    }
}

Task<void> Lighthouse::maintain_forever() {
    for (;;) {
        co_await sleep_for(context_.loop, kMaintenanceInterval);
        co_await maintain();
    }
}

Task<void> Lighthouse::maintain() {
    const auto renewed = co_await certificate_.renew_if_due();
    if (!renewed) log_.error("certificate_not_renewed", {{"error", renewed.error()}});
    const auto forgotten = co_await joins_.prune();
    if (!forgotten) log_.error("join_tokens_not_pruned", {{"error", forgotten.error()}});
    const auto pruned = co_await credentials_.prune();
    if (!pruned) log_.error("credentials_not_pruned", {{"error", pruned.error()}});
    std::set<std::string> used;
    for (const auto& [key, service] : state_.wanted().services) {
        for (const auto& [number, release] : service.releases) used.insert(release.bundle);
    }
    const auto collected = co_await bundles_.collect(std::move(used));
    if (!collected) log_.error("bundles_not_collected", {{"error", collected.error()}});
    auto work = [](store::Connection& db) { return db.maintain(); };
    const auto maintained = co_await state_.database().run(std::move(work));
    if (!maintained) log_.error("database_not_maintained", {{"error", maintained.error()}});
}

void Lighthouse::add_metrics() {
    auto gauge = [this](std::string_view name, std::string_view help,
                        std::function<double()> sample) {
        metrics_.push_back(context_.metrics.sampled_gauge(name, help, {}, std::move(sample)));
    };
    gauge("candela_lighthouse_services", "Services wanted.",
          [this] { return static_cast<double>(state_.wanted().services.size()); });
    gauge("candela_lighthouse_instances", "Instances placed.",
          [this] { return static_cast<double>(state_.wanted().instances.size()); });
    gauge("candela_lighthouse_nodes", "Nodes known.",
          [this] { return static_cast<double>(state_.seen().nodes.size()); });
    gauge("candela_lighthouse_hosts_waited_for", "Hosts that vanished and are waited for.",
          [this] { return static_cast<double>(state_.holding().size()); });
    if (acme_ != nullptr) {
        gauge("candela_lighthouse_acme_hosts_failing", "Hosts whose last order failed.",
              [this] { return static_cast<double>(acme_->failing_count()); });
        gauge("candela_lighthouse_acme_paused",
              "1 while the certificate authority can't be used, and is tried again later.",
              [this] { return acme_->error().empty() ? 0.0 : 1.0; });
    }
    gauge("candela_lighthouse_log_bytes", "Services' logs on the disk.",
          [this] { return static_cast<double>(logs_.disk_bytes()); });
    gauge("candela_lighthouse_log_lines", "Log lines taken since the start.",
          [this] { return static_cast<double>(logs_.lines_taken()); });
    gauge("candela_lighthouse_log_lines_lost",
          "Log lines since the start that nodes had no room for until they could be sent.",
          [this] { return static_cast<double>(logs_.lines_lost()); });
    gauge("candela_lighthouse_log_files_dropped",
          "Files of the oldest lines that went to make room since the start.",
          [this] { return static_cast<double>(logs_.files_dropped()); });
    gauge("candela_lighthouse_dead_letters", "Messages moved to where dead letters go.",
          [this] { return static_cast<double>(spaces_.moved()); });
}

}  // namespace candela::lighthouse
