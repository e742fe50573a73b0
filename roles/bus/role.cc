#include "role.h"

#include "base/text.h"
#include "loop/file.h"
#include "loop/flow.h"
#include "streams/disk.h"
#include "streams/jetstream.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kInProcessName = "bus";
constexpr Duration kDrainPoll = 20ms;
constexpr size_t kWorkersForLoops = 8;

const ConfigSchema& schema() {
    static const ConfigSchema schema({
        config_address("listen", "127.0.0.1:4222", "Where NATS clients connect."),
        config_string("operator", "",
                      "The operator's JWT. Default: DATA_DIR/identity/operator.jwt."),
        config_string("accounts", "",
                      "A folder with the JWTs of the accounts to start with. Default: "
                      "DATA_DIR/identity/accounts."),
        config_size("max_payload", "1MiB", "The largest message.").range("1KiB", "64MiB"),
        config_size("max_pending", "64MiB",
                    "What may wait for one client; beyond it, it is closed.")
            .range("1MiB", "1GiB"),
        config_size("max_account_pending", "256MiB",
                    "What may wait for all clients of one account; beyond it, those furthest "
                    "behind are closed.")
            .range("1MiB", "64GiB"),
        config_int("max_connections", "65536", "Clients at a time.").range("1", "1000000"),
        config_duration("auth_timeout", "2s", "How long a client may take to log in.")
            .range("100ms", "1m"),
        config_duration("ping_interval", "2m", "How often a client is asked whether it is there.")
            .range("1s", "1h"),
        config_int(
            "loops", "0",
            "On how many of the node's event loops (workers) clients are served. One costs the "
            "least CPU for each message; more carry more messages than one core can. 0: one, "
            "and from eight workers on a quarter of them.")
            .range("0", "64"),
        config_int("publish_rate", "0",
                   "Messages that a user may publish in a second, where neither its JWT nor its "
                   "account's says otherwise; it is read no faster. 0: any number.")
            .range("0", "1000000000"),
        config_size("publish_bytes", "0B", "The same in bytes."),
        advertise_key(),
        config_string("monitor", "",
                      "HOST:PORT where the state of the bus is shown over HTTP, as nats-server "
                      "shows it (/varz, /connz, ...). Default: nowhere."),
        config_bool("monitor_open", "false",
                    "monitor may be an address that other machines reach. Whoever asks there is "
                    "told who is connected, and to what."),
        tls_key(),
        websocket_key(),
    });
    return schema;
}

void check_monitor(const Config& config, ConfigProblems& problems) {
    const std::string_view text = config.string("monitor");
    if (text.empty()) return;
    const Result<Address> address = Address::parse(text);
    if (!address) {
        problems.add(config.position("monitor"), "monitor: " + address.error().message());
    } else if (!address->is_loopback() && !config.boolean("monitor_open")) {
        problems.add(config.position("monitor"),
                     "monitor: not a loopback address; monitor_open = true allows it");
    }
}

void check(const Config& config, ConfigProblems& problems) {
    if (config.size_bytes("max_payload") > config.size_bytes("max_pending") / 2) {
        problems.add(config.position("max_payload"),
                     "max_payload: two messages of that size do not fit into max_pending");
    }
    check_listening(config, problems);
    check_monitor(config, problems);
}

std::unique_ptr<Role> create(NodeContext& context, const Config& config) {
    return std::make_unique<BusRole>(context, config);
}

struct Files {
    std::string operator_jwt;
    std::vector<std::string> accounts;
    TlsFiles tls;
};

Result<Files> read_files(const BusConfig& config) {
    Files out;
    CANDELA_TRY_ASSIGN(const std::string text, read_file(config.operator_jwt));
    out.operator_jwt = text.substr(0, text.find_last_not_of("\r\n") + 1);
    CANDELA_TRY_ASSIGN(out.tls, read_tls_files(config.listening));
    CANDELA_TRY(make_directories(config.store, 0700));
    for (const std::filesystem::path& folder : {config.accounts, config.store}) {
        CANDELA_TRY_ASSIGN(const std::vector<std::string> jwts, read_jwts(folder));
        out.accounts.insert(out.accounts.end(), jwts.begin(), jwts.end());
    }
    return out;
}

std::filesystem::path path_or(std::string_view text, std::filesystem::path fallback) {
    return text.empty() ? std::move(fallback) : std::filesystem::path(text);
}

}  // namespace

const RoleSpec kRole{
    .name = "bus",
    .summary = "The bus: a NATS server for the cloud's accounts.",
    .schema = schema,
    .check = check,
    .create = create,
};

BusConfig::BusConfig(const Config& config, const NodeInfo& node)
    : listening(config),
      operator_jwt(path_or(config.string("operator"), node.data_dir / "identity" / "operator.jwt")),
      accounts(path_or(config.string("accounts"), node.data_dir / "identity" / "accounts")),
      store(node.data_dir / "bus" / "accounts"),
      streams(node.data_dir / "bus" / "streams") {
    loops = static_cast<size_t>(config.integer("loops"));
    if (const Result<Address> address = Address::parse(config.string("monitor"))) {
        monitor = *address;
    }
    options.name = node.name;
    options.payload_max = config.size_bytes("max_payload");
    options.pending_bytes_max = config.size_bytes("max_pending");
    options.account_pending_bytes_max = config.size_bytes("max_account_pending");
    options.publish_rate.messages = static_cast<uint64_t>(config.integer("publish_rate"));
    options.publish_rate.bytes = config.size_bytes("publish_bytes");
    options.connections_max = static_cast<size_t>(config.integer("max_connections"));
    options.auth_timeout = config.duration("auth_timeout");
    options.ping_interval = config.duration("ping_interval");
}

BusRole::BusRole(NodeContext& context, const Config& config)
    : context_(context), config_(config, context.node) {}

// The services stand in the server's accounts: the server goes first, and calls none of them then.
BusRole::~BusRole() {
    metrics_.clear();
    monitor_http_.reset();
    // Streams take their subscriptions off the server, and write to the store.
    jetstream_.reset();
    servers_.reset();
    streams_.reset();
}

Task<Result<>> BusRole::start() {
    auto work = [config = config_] { return read_files(config); };
    Result<Files> files = co_await offload(context_.loop, std::move(work));
    if (!files) co_return fail(files.error().in("bus"));
    Result<> streams = co_await open_streams();
    if (!streams) co_return fail(streams.error().in("bus: streams"));
    Result<> opened = co_await start_servers(files->operator_jwt);
    if (opened) opened = open(files->accounts, files->tls);
    if (opened) opened = co_await listen();
    if (opened) opened = watch();
    if (!opened) {
        metrics_.clear();
        monitor_http_.reset();
        jetstream_.reset();
        server_ = nullptr;
        servers_.reset();
        monitor_api_.reset();
        monitor_.reset();
    }
    co_return std::move(opened).in("bus");
}

// One server a loop, before there is anything that they would tell each other.
Task<Result<>> BusRole::start_servers(std::string_view operator_jwt) {
    Result<auth::OperatorClaims> claims = auth::decode_operator(operator_jwt);
    if (!claims) co_return fail(claims.error().in(config_.operator_jwt.string()));
    const std::span<Loop* const> loops = loops_to_use();
    servers_.emplace(context_.loop, loops);
    const std::vector<Loop*> seats(loops.begin(), loops.end());
    const std::shared_ptr<Mesh> mesh = Mesh::create(seats);
    for (size_t i = 0; i < servers_->size(); ++i) {
        auto work = [&loop = servers_->loop(i), &log = context_.log, options = config_.options,
                     operator_claims = *claims, mesh, i](std::unique_ptr<Server>& server) {
            server =
                std::make_unique<Server>(loop, options, Accounts(operator_claims), log, mesh, i);
            return Result<>();
        };
        Result<> made = co_await servers_->run(i, std::move(work));
        if (!made) co_return fail(made.error());
    }
    server_ = &servers_->at(0);
    co_return Result<>();
}

std::span<Loop* const> BusRole::loops_to_use() const {
    const size_t workers = context_.loops.size();
    size_t count = config_.loops;
    if (count == 0) count = workers < kWorkersForLoops ? 1 : workers / 4;
    if (count > workers) {
        context_.log.warn("bus_loops_limited", {{"loops", count}, {"workers", workers}});
        count = workers;
    }
    return context_.loops.first(std::min(count, kLoopsMax));
}

// On every loop in this order: reload() counts on it.
Task<Result<>> BusRole::listen() {
    Address nats = config_.listening.nats;
    std::optional<Address> websocket = config_.listening.websocket;
    const bool reuse_port = servers_->size() > 1;
    for (size_t i = 0; i < servers_->size(); ++i) {
        auto work = [nats, websocket, reuse_port, entrances = entrances_](
                        std::unique_ptr<Server>& server) -> Result<std::vector<Address>> {
            ListenOptions options;
            options.reuse_port = reuse_port;
            server->set_has_streams();
            CANDELA_TRY(server->listen(nats, entrances.nats, options));
            if (websocket) CANDELA_TRY(server->listen(*websocket, entrances.websocket, options));
            return server->addresses();
        };
        Result<std::vector<Address>> bound = co_await servers_->run(i, std::move(work));
        if (!bound) co_return fail(bound.error());
        // A port of 0 has become a real one, which the others share.
        nats = bound->front();
        if (websocket) websocket = bound->back();
    }
    const EntrancePtr in_process = plain_entrance(ConnectionType::kInProcess);
    Result<> listening = server_->listen(Address::in_process(kInProcessName), in_process);
    if (!listening) co_return fail(listening.error());
    is_listening_ = true;
    context_.log.info("bus_listening", {{"address", nats.to_string()},
                                        {"accounts", server_->accounts().all().size()},
                                        {"loops", servers_->size()}});
    if (websocket) {
        context_.log.info("bus_websocket_listening", {{"address", websocket->to_string()}});
    }
    co_return Result<>();
}

// Reads what is on disk, on a pool thread; nobody uses the store before it is there.
Task<Result<>> BusRole::open_streams() {
    Result<> folder = make_directories(config_.streams, 0700);
    if (!folder) co_return fail(folder.error());
    disk_ = std::make_unique<PosixDisk>(config_.streams);
    const uint64_t seed = system_seeded_random().next();
    auto work = [loop = &context_.loop, disk = disk_.get(), seed, log = context_.log] {
        return Store::open(*loop, *disk, StoreOptions(), seed, log);
    };
    Result<std::unique_ptr<Store>> opened = co_await offload(context_.loop, std::move(work));
    if (!opened) co_return fail(opened.error());
    streams_ = std::move(*opened);
    co_return Result<>();
}

Result<> BusRole::open(const std::vector<std::string>& accounts, const TlsFiles& tls) {
    store_ = std::make_unique<AccountStore>(context_.loop, config_.store);
    for (const std::string& jwt : accounts) {
        const Result<> put = server_->put_account(jwt);
        if (put) continue;
        // Of the two places one may hold what is older, or what an earlier operator had signed.
        context_.log.debug("bus_account_skipped", {{"reason", put.error()}});
    }
    if (server_->accounts().system() == nullptr) {
        return fail(Code::kNotFound, "the system account's JWT is not in {}",
                    config_.accounts.string());
    }
    system_api_ = std::make_unique<SystemApi>(*server_, store_.get());
    jetstream_ = std::make_unique<JetStream>(*server_, *streams_);
    CANDELA_TRY_ASSIGN(entrances_, make_entrances(config_.listening, tls, nullptr));
    add_metrics();
    return {};
}

Result<> BusRole::watch() {
    Monitor::Facts facts;
    facts.listen = server_->addresses().front();
    facts.http = config_.monitor;
    facts.system_account = server_->accounts().operator_claims().system_account;
    facts.streams_folder = config_.streams.string();
    monitor_ = std::make_unique<Monitor>(*server_, jetstream_.get(), std::move(facts));
    monitor_api_ = std::make_unique<MonitorApi>(*monitor_);
    if (!config_.monitor) return {};
    CANDELA_TRY_ASSIGN(monitor_http_, MonitorHttp::open(*monitor_, *config_.monitor));
    context_.log.info("bus_monitor_listening", {{"address", monitor_http_->address().to_string()}});
    return {};
}

void BusRole::add_metrics() {
    Server* server = server_;
    const auto add = [&](std::string_view name, std::string_view help, auto read) {
        metrics_.push_back(context_.metrics.sampled_gauge(
            name, help, {}, [server, read] { return static_cast<double>(read(*server)); }));
    };
    const auto add_sum = [&](std::string_view name, std::string_view help,
                             Tally ServerCounters::* counter) {
        metrics_.push_back(context_.metrics.sampled_gauge(
            name, help, {}, [this, counter] { return static_cast<double>(sum(counter)); }));
    };
    add_sum("candela_bus_connections", "Clients connected.", &ServerCounters::connections_open);
    add("candela_bus_accounts", "Accounts known.",
        [](Server& s) { return s.accounts().all().size(); });
    add_sum("candela_bus_messages_in", "Messages taken from publishers.",
            &ServerCounters::messages_in);
    add_sum("candela_bus_messages_out", "Messages handed to subscribers.",
            &ServerCounters::messages_out);
    add_sum("candela_bus_in_bytes", "Bytes read from clients.", &ServerCounters::bytes_in);
    add_sum("candela_bus_out_bytes", "Bytes written to clients.", &ServerCounters::bytes_out);
    add_sum("candela_bus_logins_refused", "Logins refused.", &ServerCounters::logins_refused);
    JetStream* streams = jetstream_.get();
    Store* store = streams_.get();
    add("candela_bus_streams", "Durable streams.",
        [streams](Server&) { return streams->stream_count(); });
    add("candela_bus_streams_bytes", "What durable streams hold on disk.",
        [store](Server&) { return store->durable_bytes(); });
    add("candela_bus_streams_records", "Records made durable.",
        [store](Server&) { return store->counters().records; });
    add("candela_bus_streams_syncs", "Groups of records synced to disk.",
        [store](Server&) { return store->counters().commits; });
    add("candela_bus_streams_damaged", "Damaged places found on disk.",
        [store](Server&) { return store->counters().damaged_places; });
    add_sum("candela_bus_slow_consumers", "Clients closed because they did not keep up.",
            &ServerCounters::slow_consumers);
}

uint64_t BusRole::sum(Tally ServerCounters::* counter) const {
    uint64_t out = 0;
    for (size_t i = 0; i < servers_->size(); ++i) out += servers_->at(i).counters().*counter;
    return out;
}

Task<Result<>> BusRole::reload(const Config& config) {
    BusConfig fresh(config, context_.node);
    const bool is_elsewhere = fresh.listening.nats != config_.listening.nats ||
                              fresh.listening.websocket != config_.listening.websocket ||
                              fresh.monitor != config_.monitor;
    if (is_elsewhere) {
        co_return fail(Code::kUnsupported,
                       "where the bus listens can't change while the node runs");
    }
    if (fresh.loops != config_.loops) {
        co_return fail(Code::kUnsupported, "[bus] loops can't change while the node runs");
    }
    auto work = [listening = fresh.listening] { return read_tls_files(listening); };
    Result<TlsFiles> files = co_await offload(context_.loop, std::move(work));
    if (!files) co_return fail(files.error().in("[bus.tls]"));
    if (!is_listening_) co_return Result<>();
    fresh.options.publish_budgets = config_.options.publish_budgets;
    Result<Entrances> entrances = make_entrances(fresh.listening, *files, &entrances_);
    if (!entrances) co_return fail(entrances.error());
    entrances_ = std::move(*entrances);
    config_ = std::move(fresh);
    servers_->post_to_all([options = config_.options, shared = entrances_](Server& server) {
        server.set_entrance(0, shared.nats);
        if (shared.websocket != nullptr) server.set_entrance(1, shared.websocket);
        server.set_options(options);
    });
    co_return Result<>();
}

Task<void> BusRole::drain(MonoTime deadline) {
    if (server_ == nullptr) co_return;
    servers_->post_to_all([deadline](Server& server) { server.announce_end(deadline); });
    while (context_.loop.now() < deadline) {
        co_await sleep_for(context_.loop, kDrainPoll);
        bool is_flushed = true;
        for (size_t i = 0; i < servers_->size(); ++i) {
            auto ask = [](std::unique_ptr<Server>& server) { return server->is_flushed(); };
            const bool is_empty = co_await servers_->run(i, std::move(ask));
            is_flushed = is_flushed && is_empty;
        }
        if (is_flushed) co_return;
    }
}

RoleStatus BusRole::status() const {
    RoleStatus status;
    status.ready = is_listening_;
    status.detail = status.ready ? fmt::format("{} clients", sum(&ServerCounters::connections_open))
                                 : "not listening yet";
    return status;
}

}  // namespace candela::bus_role
