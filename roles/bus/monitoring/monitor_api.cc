#include "monitoring/monitor_api.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "crypto/entropy.h"

namespace candela::bus_role {

namespace {

constexpr std::string_view kServerPrefix = "$SYS.REQ.SERVER.";
constexpr std::string_view kAccountPrefix = "$SYS.REQ.ACCOUNT.";
constexpr std::string_view kPing = "PING";
constexpr std::string_view kConnsType = "io.nats.server.advisory.v1.account_connections";
constexpr Duration kFirstStatsz = 1s;  // a newcomer need not wait half a minute for the first one

// Options of a request, by the names that the same ones have in a URL.
Result<Monitor::Parameters> parameters_of(std::string_view payload) {
    Monitor::Parameters out;
    if (payload.empty()) return out;
    CANDELA_TRY_ASSIGN(const Json json, parse_json(payload));
    if (!json.is_object()) return fail(Code::kInvalid, "the options are not an object");
    for (const auto& [key, value] : json.items()) {
        std::string text;
        if (value.is_string())
            text = value.get<std::string>();
        else if (value.is_boolean())
            text = value.get<bool>() ? "1" : "0";
        else if (value.is_number_integer())
            text = std::to_string(value.get<int64_t>());
        else
            continue;
        if (key == "subscriptions_detail") {
            if (text == "1") out["subs"] = "detail";
        } else if (key == "subscriptions") {
            out.try_emplace("subs", text);
        } else if (key == "account") {
            out["acc"] = text;
        } else if (key == "consumer") {
            out["consumers"] = text;
        } else if (key == "state" && value.is_number()) {
            out["state"] = text == "1" ? "closed" : text == "2" ? "any" : "open";
        } else {
            out[key] = text;
        }
    }
    return out;
}

// Only servers that a request means answer it.
bool is_meant(const Monitor::Parameters& parameters, const Server& server) {
    const auto differs = [&](std::string_view key, const std::string& own) {
        const auto found = parameters.find(key);
        if (found == parameters.end() || found->second.empty()) return false;
        return own.find(found->second) == std::string::npos;
    };
    return !differs("server_name", server.options().name) && !differs("cluster", "");
}

}  // namespace

MonitorApi::MonitorApi(Monitor& monitor)
    : monitor_(monitor),
      server_(monitor.server()),
      system_(server_.accounts().operator_claims().system_account),
      statsz_timer_(server_.loop().timers(), [this] { send_statsz(); }),
      conns_timer_(server_.loop().timers(), [this] { send_conns(); }) {
    server_.on_account([this](Account& account) { add_to(account); });
    server_.events().on_change([this](const std::string& account) {
        changed_.insert(account);
        if (!conns_timer_.is_active()) conns_timer_.start(kConnsDelay);
    });
    statsz_timer_.start(kFirstStatsz);
}

MonitorApi::~MonitorApi() { *alive_ = false; }

void MonitorApi::on_message(const Origin&, const Message& message) { take(system_, message); }

void MonitorApi::add_to(Account& account) {
    if (account.key() == system_) {
        account.add_service("$SYS.REQ.SERVER.PING", *this);
        account.add_service("$SYS.REQ.SERVER.PING.*", *this);
        account.add_service(fmt::format("$SYS.REQ.SERVER.{}.*", server_.id()), *this);
        for (const std::string_view what :
             {"CONNS", "INFO", "SUBSZ", "CONNZ", "JSZ", "LEAFZ", "STATZ"}) {
            account.add_service(fmt::format("$SYS.REQ.ACCOUNT.*.{}", what), *this);
        }
        return;
    }
    std::unique_ptr<Ear>& ear = ears_[account.key()];
    if (ear == nullptr) ear = std::make_unique<Ear>(*this, account.key());
    for (const std::string_view subject :
         {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ",
          "$SYS.REQ.SERVER.PING.CONNZ"}) {
        account.add_service(subject, *ear);
    }
}

void MonitorApi::take(const std::string& account, const Message& message) {
    if (message.reply.empty() || waiting_ >= kWaitingMax) return;
    ++waiting_;
    server_.later([this, alive = alive_,
                   request = Request{account, std::string(message.subject),
                                     std::string(message.reply), std::string(message.payload())}] {
        if (!*alive) return;
        --waiting_;
        handle(request);
    });
}

void MonitorApi::handle(const Request& request) {
    std::string_view rest = request.subject;
    // Whoever is not of the system account asks about its own one.
    if (request.account != system_) {
        return ask(request, rest.ends_with(".STATZ") ? "STATZ" : "CONNZ", request.account);
    }
    if (rest.starts_with(kServerPrefix)) {
        rest.remove_prefix(kServerPrefix.size());
        const size_t dot = rest.find('.');
        return ask(request, dot == std::string_view::npos ? "STATSZ" : rest.substr(dot + 1), {});
    }
    rest.remove_prefix(kAccountPrefix.size());
    const size_t dot = rest.find('.');
    const std::string_view account = rest.substr(0, dot);
    const std::string_view what = rest.substr(dot + 1);
    // "PING" stands for all accounts.
    if (account == kPing) return ask(request, what, {});
    if (what == "CONNS") return answer_conns(request, std::string(account));
    ask(request, what == "INFO" ? "ACCOUNTZ" : what, account);
}

void MonitorApi::ask(const Request& request, std::string_view what, std::string_view about) {
    Result<Monitor::Parameters> parameters = parameters_of(request.payload);
    if (!parameters) {
        return answer(request,
                      {{"error", {{"code", 400}, {"description", parameters.error().message()}}}});
    }
    if (!is_meant(*parameters, server_)) return;
    if (!about.empty()) (*parameters)["acc"] = std::string(about);
    // As nats-server: these have the list without being asked for it.
    if (what == "SUBSZ" && !about.empty()) (*parameters)["subs"] = "1";
    // Of one account its own block is the answer.
    std::string block;
    if (request.subject.ends_with(".INFO") && what == "ACCOUNTZ") block = "account_detail";
    if (what == "JSZ" && !about.empty()) block = "account_details";
    const bool is_statistics = what == "STATSZ";
    std::string name = ascii_lower(what == "STATZ" ? std::string_view("ACCSTATZ") : what);
    monitor_.ask(
        name, *parameters,
        [this, alive = alive_, request, block, is_statistics](Result<Json> found) {
            if (!*alive) return;
            if (!found) {
                // What there is not, another server may have.
                if (found.error().code() == Code::kNotFound) return;
                answer(request,
                       {{"data", nullptr},
                        {"error", {{"code", 500}, {"description", found.error().message()}}}});
                return;
            }
            Json data = block.empty() ? std::move(*found) : (*found)[block];
            if (data.is_array() && !data.empty()) data = Json(data[0]);
            answer(request, Json{{is_statistics ? "statsz" : "data", std::move(data)}});
        });
}

void MonitorApi::answer(const Request& request, Json body) {
    body["server"] = server_info(server_);
    server_.publish_later(request.account, request.reply, dump_json(body));
}

void MonitorApi::answer_conns(const Request& request, const std::string& account) {
    monitor_.ask_account(account, [this, alive = alive_, request, account](AccountReport report) {
        if (!*alive) return;
        server_.publish_later(request.account, request.reply,
                              dump_json(conns_event(account, report)));
    });
}

Json MonitorApi::conns_event(std::string_view account, const AccountReport& report) {
    Json out = Monitor::account_statistics(account, report);
    out["type"] = kConnsType;
    out["id"] = crypto::random_token(16);
    out["timestamp"] = format_rfc3339(server_.loop().wall());
    out["server"] = server_info(server_);
    return out;
}

void MonitorApi::send_statsz() {
    statsz_timer_.start(kStatszInterval);
    const std::string subject = fmt::format("$SYS.SERVER.{}.STATSZ", server_.id());
    Account* system = server_.accounts().system();
    if (system == nullptr || !server_.has_interest(*system, subject)) return;
    monitor_.ask("statsz", {}, [this, alive = alive_, subject](Result<Json> found) {
        if (!*alive || !found) return;
        const Json body = {{"server", server_info(server_)}, {"statsz", std::move(*found)}};
        server_.publish_later(system_, subject, dump_json(body));
    });
}

void MonitorApi::send_conns() {
    const std::set<std::string> changed = std::exchange(changed_, {});
    Account* system = server_.accounts().system();
    if (system == nullptr) return;
    std::vector<std::string> told;
    for (const std::string& account : changed) {
        const bool is_heard =
            server_.has_interest(*system, fmt::format("$SYS.ACCOUNT.{}.SERVER.CONNS", account)) ||
            server_.has_interest(*system, fmt::format("$SYS.SERVER.ACCOUNT.{}.CONNS", account));
        if (!is_heard) continue;
        if (told.size() < kConnsMax)
            told.push_back(account);
        else
            changed_.insert(account);
    }
    if (!changed_.empty()) conns_timer_.start(kConnsDelay);
    for (const std::string& account : told) {
        monitor_.ask_account(account, [this, alive = alive_, account](AccountReport report) {
            if (!*alive) return;
            const std::string body = dump_json(conns_event(account, report));
            server_.publish_later(system_, fmt::format("$SYS.ACCOUNT.{}.SERVER.CONNS", account),
                                  body);
            server_.publish_later(system_, fmt::format("$SYS.SERVER.ACCOUNT.{}.CONNS", account),
                                  body);
        });
    }
}

}  // namespace candela::bus_role
