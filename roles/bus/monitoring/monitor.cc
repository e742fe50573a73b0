#include "monitoring/monitor.h"

#include <algorithm>
#include <array>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "monitoring/inspect.h"
#include "streams/jetstream.h"
#include "streams/store.h"

namespace candela::bus_role {

namespace {

constexpr Duration kCpuWindow = 1s;  // what is shown is of at least so long

std::string_view text_of(const Monitor::Parameters& parameters, std::string_view name) {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string_view() : std::string_view(found->second);
}

Json sublist_json(const SublistReport& report) {
    const auto part = [&](uint64_t value) {
        return report.matches == 0
                   ? 0.0
                   : static_cast<double>(value) / static_cast<double>(report.matches);
    };
    return {{"num_subscriptions", report.subscriptions},
            {"num_cache", report.cached},
            {"num_inserts", report.inserts},
            {"num_removes", report.removes},
            {"num_matches", report.matches},
            {"cache_hit_rate", part(report.cache_hits)},
            {"max_fanout", report.fanout_max},
            {"avg_fanout", part(report.fanout_sum)}};
}

}  // namespace

Monitor::Monitor(Server& server, JetStream* streams, Facts facts)
    : server_(server),
      streams_(streams),
      facts_(std::move(facts)),
      started_at_(server.loop().wall()),
      cpu_at_(server.loop().now()),
      cpu_seconds_(process_usage().cpu_seconds) {}

Monitor::~Monitor() { *alive_ = false; }

void Monitor::ask(std::string_view what, const Parameters& parameters, Done done) {
    struct Question {
        std::string_view name;
        void (Monitor::*answer)(const Parameters&, Done);
    };
    static constexpr std::array<Question, 9> kQuestions{{
        {"varz", &Monitor::varz},
        {"connz", &Monitor::connz},
        {"subsz", &Monitor::subsz},
        {"subscriptionsz", &Monitor::subsz},
        {"jsz", &Monitor::jsz},
        {"accountz", &Monitor::accountz},
        {"accstatz", &Monitor::accstatz},
        {"healthz", &Monitor::healthz},
        {"statsz", &Monitor::statsz},
    }};
    for (const Question& question : kQuestions) {
        if (question.name == what) return (this->*question.answer)(parameters, std::move(done));
    }
    Json out = head();
    if (what == "routez") {
        out.update({{"server_name", server_.options().name},
                    {"num_routes", 0},
                    {"routes", Json::array()}});
    } else if (what == "gatewayz") {
        out.update({{"outbound_gateways", Json::object()}, {"inbound_gateways", Json::object()}});
    } else if (what == "leafz") {
        out.update({{"leafnodes", 0}, {"leafs", Json::array()}});
    } else if (what == "idz") {
        out = {{"name", server_.options().name},
               {"host", facts_.listen.host},
               {"id", server_.id()},
               {"ver", CANDELA_VERSION}};
    } else {
        return done(fail(Code::kNotFound, "there is no {}", printable(what)));
    }
    done(std::move(out));
}

Json Monitor::head() const {
    return {{"server_id", server_.id()}, {"now", format_rfc3339(server_.loop().wall())}};
}

Duration Monitor::uptime() const {
    return std::max<Duration>(server_.loop().wall() - started_at_, 0ns);
}

unsigned Monitor::cpu_percent() {
    const MonoTime now = server_.loop().now();
    if (now - cpu_at_ < kCpuWindow) return cpu_percent_;
    const double seconds = process_usage().cpu_seconds;
    const double passed = std::chrono::duration<double>(now - cpu_at_).count();
    cpu_percent_ = static_cast<unsigned>(std::max(0.0, (seconds - cpu_seconds_) / passed * 100));
    cpu_seconds_ = seconds;
    cpu_at_ = now;
    return cpu_percent_;
}

void Monitor::ask_totals(std::string account, std::move_only_function<void(TotalsReport)> done) {
    gather<TotalsReport>(
        [account = std::move(account)](Server& server) { return inspect::totals(server, account); },
        [done = std::move(done)](std::vector<TotalsReport> parts) mutable {
            TotalsReport sum;
            for (const TotalsReport& part : parts) {
                sum.add(part);
                sum.active_accounts = std::max(sum.active_accounts, part.active_accounts);
            }
            done(std::move(sum));
        });
}

void Monitor::ask_account(const std::string& account,
                          std::move_only_function<void(AccountReport)> done) {
    ask_totals(account, [account, done = std::move(done)](TotalsReport totals) mutable {
        done(totals.accounts[account]);
    });
}

void Monitor::varz(const Parameters&, Done done) {
    ask_totals("", [this, done = std::move(done)](TotalsReport totals) mutable {
        done(varz_json(totals));
    });
}

Json Monitor::varz_json(const TotalsReport& totals) {
    const ServerOptions& options = server_.options();
    const ProcessUsage usage = process_usage();
    Json out = head();
    out.update({{"server_name", options.name},
                {"version", CANDELA_VERSION},
                {"proto", 1},
                {"host", facts_.listen.host},
                {"port", facts_.listen.port},
                {"auth_required", true},
                {"max_connections", options.connections_max},
                {"max_subscriptions", options.subscriptions_max},
                {"ping_interval", options.ping_interval.count()},
                {"ping_max", options.pings_unanswered_max},
                {"http_host", facts_.http ? facts_.http->host : ""},
                {"http_port", facts_.http ? facts_.http->port : 0},
                {"http_base_path", ""},
                {"https_port", 0},
                {"auth_timeout", std::chrono::duration<double>(options.auth_timeout).count()},
                {"max_control_line", bus::kControlLineMax},
                {"max_payload", options.payload_max},
                {"max_pending", options.pending_bytes_max},
                {"tls_timeout", 2},
                {"write_deadline", options.write_deadline.count()},
                {"start", format_rfc3339(started_at_)},
                {"uptime", format_uptime(uptime())},
                {"mem", usage.resident_bytes},
                {"cores", machine_cpus()},
                {"gomaxprocs", machine_cpus()},
                {"cpu", cpu_percent()},
                {"connections", totals.connections},
                {"total_connections", totals.connections_total},
                {"routes", 0},
                {"remotes", 0},
                {"leafnodes", 0},
                {"in_msgs", totals.traffic.in_messages},
                {"out_msgs", totals.traffic.out_messages},
                {"in_bytes", totals.traffic.in_bytes},
                {"out_bytes", totals.traffic.out_bytes},
                {"slow_consumers", totals.traffic.slow_consumers},
                {"slow_consumer_stats", slow_consumers_json(totals)},
                {"subscriptions", totals.sublist.subscriptions},
                {"http_req_stats", http_requests_},
                {"config_load_time", format_rfc3339(started_at_)},
                {"system_account", facts_.system_account}});
    for (const std::string_view none : {"cluster", "gateway", "leaf", "mqtt", "websocket"}) {
        out[std::string(none)] = Json::object();
    }
    out["jetstream"] = streams_json();
    return out;
}

// The streams' numbers without the time and the lists; an object without members where there are
// no streams.
Json Monitor::streams_json() {
    Json streams = Json::object();
    if (streams_ != nullptr) {
        if (Result<Json> stats = jsz_json({})) {
            const Json config = (*stats)["config"];
            for (const std::string_view key :
                 {"server_id", "now", "config", "streams", "consumers", "messages", "bytes"}) {
                stats->erase(std::string(key));
            }
            streams = {{"config", config}, {"stats", std::move(*stats)}};
        }
    }
    return streams;
}

void Monitor::statsz(const Parameters&, Done done) {
    ask_totals("", [this, done = std::move(done)](TotalsReport totals) mutable {
        done(statsz_json(totals));
    });
}

// By kind: all of ours are clients.
Json Monitor::slow_consumers_json(const TotalsReport& totals) {
    return {
        {"clients", totals.traffic.slow_consumers}, {"routes", 0}, {"gateways", 0}, {"leafs", 0}};
}

Json Monitor::statsz_json(const TotalsReport& totals) {
    return {
        {"start", format_rfc3339(started_at_)},
        {"mem", process_usage().resident_bytes},
        {"cores", machine_cpus()},
        {"cpu", cpu_percent()},
        {"connections", totals.connections},
        {"total_connections", totals.connections_total},
        {"active_accounts", totals.active_accounts},
        {"subscriptions", totals.sublist.subscriptions},
        {"sent", {{"msgs", totals.traffic.out_messages}, {"bytes", totals.traffic.out_bytes}}},
        {"received", {{"msgs", totals.traffic.in_messages}, {"bytes", totals.traffic.in_bytes}}},
        {"slow_consumers", totals.traffic.slow_consumers},
        {"slow_consumer_stats", slow_consumers_json(totals)},
        {"jetstream", streams_json()},
        {"active_servers", 1}};
}

Json Monitor::account_statistics(std::string_view key, const AccountReport& report) {
    return {
        {"acc", key},
        {"conns", report.connections},
        {"leafnodes", 0},
        {"total_conns", report.connections},
        {"num_subscriptions", report.sublist.subscriptions},
        {"sent", {{"msgs", report.traffic.out_messages}, {"bytes", report.traffic.out_bytes}}},
        {"received", {{"msgs", report.traffic.in_messages}, {"bytes", report.traffic.in_bytes}}},
        {"slow_consumers", report.traffic.slow_consumers}};
}

void Monitor::accstatz(const Parameters& parameters, Done done) {
    std::string account(text_of(parameters, "acc"));
    if (account.empty()) account = "*";
    ask_totals(std::move(account), [this, done = std::move(done)](TotalsReport totals) mutable {
        Json out = head();
        Json list = Json::array();
        for (const auto& [key, report] : totals.accounts) {
            if (list.size() == kRowsMax) break;
            list.push_back(account_statistics(key, report));
        }
        out["account_statz"] = std::move(list);
        done(std::move(out));
    });
}

void Monitor::accountz(const Parameters& parameters, Done done) {
    std::string account(text_of(parameters, "acc"));
    Json out = head();
    out["system_account"] = facts_.system_account;
    if (account.empty()) {
        Json list = Json::array();
        for (const auto& [key, known] : server_.accounts().all()) list.push_back(key);
        out["accounts"] = std::move(list);
        return done(std::move(out));
    }
    if (server_.accounts().find(account) == nullptr) {
        return done(fail(Code::kInvalid, "Account {} does not exist", printable(account)));
    }
    ask_totals(account, [this, account, out = std::move(out),
                         done = std::move(done)](TotalsReport totals) mutable {
        const Account* found = server_.accounts().find(account);
        if (found == nullptr) return done(fail(Code::kInvalid, "the account is gone"));
        out["account_detail"] = account_json(*found, totals.accounts[account]);
        done(std::move(out));
    });
}

Json Monitor::account_json(const Account& account, const AccountReport& report) {
    const auth::AccountClaims& claims = account.claims;
    Json imports = Json::array();
    for (const auth::Import& share : claims.imports) {
        imports.push_back({{"subject", share.subject},
                           {"account", share.account},
                           {"local_subject", share.local_subject},
                           {"to", share.to},
                           {"type", auth::to_string(share.kind)},
                           {"share", share.share}});
    }
    Json exports = Json::array();
    for (const auth::Export& share : claims.exports) {
        exports.push_back({{"subject", share.subject},
                           {"type", auth::to_string(share.kind)},
                           {"token_req", share.token_required}});
    }
    Json out = {
        {"account_name", account.key()},
        {"name_tag", claims.name},
        {"issuer_key", claims.issuer},
        {"update_time", format_rfc3339(from_unix_millis(claims.issued_at * 1000))},
        {"expired", claims.is_expired(server_.loop().wall())},
        {"complete", server_.imports().active(account) == claims.imports.size()},
        {"jetstream_enabled", claims.limits.disk_storage != 0 || claims.limits.memory_storage != 0},
        {"leafnode_connections", 0},
        {"client_connections", report.connections},
        {"subscriptions", report.sublist.subscriptions},
        {"imports", std::move(imports)},
        {"exports", std::move(exports)},
        {"jwt", account.jwt},
        {"sublist_stats", sublist_json(report.sublist)}};
    if (!claims.mappings.empty()) out["mappings"] = mappings_json(claims.mappings);
    return out;
}

Json Monitor::mappings_json(const auth::SubjectMappings& mappings) {
    Json out = Json::object();
    for (const auto& [source, destinations] : mappings) {
        Json& list = out[source] = Json::array();
        for (const auth::WeightedMapping& destination : destinations) {
            Json item = {{"subject", destination.subject}, {"weight", destination.weight}};
            if (!destination.cluster.empty()) item["cluster"] = destination.cluster;
            list.push_back(std::move(item));
        }
    }
    return out;
}

// Streams that can't keep what is published make the bus ill.
void Monitor::healthz(const Parameters&, Done done) {
    std::optional<Error> problem;
    if (streams_ != nullptr) problem = streams_->store().refusal();
    if (!problem) return done(Json({{"status", "ok"}, {"status_code", 200}}));
    done(Json({{"status", "unavailable"}, {"status_code", 503}, {"error", problem->message()}}));
}

}  // namespace candela::bus_role
