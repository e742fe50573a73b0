#include "monitoring/monitor.h"

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "cloud.h"
#include "monitoring/monitor_api.h"

using namespace test;

namespace {

class WatchedCloud : public Cloud {
public:
    explicit WatchedCloud(ServerOptions options = {})
        : Cloud(std::move(options)), monitor(*server, nullptr, facts()), monitor_api(monitor) {}
    // What stands in the server's accounts outlives them.
    ~WatchedCloud() {
        raw.clear();
        clients.clear();
        world.run_for(10ms);
        server.reset();
    }

    Monitor::Facts facts() const {
        Monitor::Facts out;
        out.listen = Address::tcp("10.0.0.1", 4222);
        out.system_account = system.public_key();
        return out;
    }
    Result<Json> ask(std::string_view what, Monitor::Parameters parameters = {}) {
        std::optional<Result<Json>> answer;
        monitor.ask(what, parameters, [&](Result<Json> found) { answer = std::move(found); });
        REQUIRE(world.run_until([&] { return answer.has_value(); }, 1s));
        return std::move(*answer);
    }
    std::vector<uint64_t> ids(Monitor::Parameters parameters) {
        std::vector<uint64_t> out;
        const Result<Json> found = ask("connz", std::move(parameters));
        REQUIRE(found);
        for (const Json& row : (*found)["connections"]) out.push_back(row["cid"]);
        return out;
    }
    RawClient& watcher(std::string_view subject) {
        RawClient& client = log_in(mint(system));
        talk(client, fmt::format("SUB {} 1\r\n", subject));
        return client;
    }
    std::string next(RawClient& client, Duration time = 20ms) {
        world.run_for(time);
        return client.take();
    }

    Monitor monitor;
    MonitorApi monitor_api;
};

size_t count(const std::string& text, std::string_view what) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
    return found;
}

// The payload of the only message there.
Json payload_of(const std::string& message) {
    const size_t start = message.find("\r\n");
    REQUIRE(start != std::string::npos);
    const Result<Json> json = parse_json(message.substr(start + 2, message.size() - start - 4));
    REQUIRE(json);
    return *json;
}

}  // namespace

TEST_CASE("durations_are_written_as_nats_server_writes_them") {
    CHECK(format_uptime(0s) == "0s");
    CHECK(format_uptime(61s) == "1m1s");
    CHECK(format_uptime(25h + 3s) == "1d1h0m3s");
    CHECK(format_uptime(24h * 366) == "1y1d0h0m0s");
    CHECK(format_go_duration(0ns) == "0s");
    CHECK(format_go_duration(591us) == "591µs");
    CHECK(format_go_duration(33'367'029ns) == "33.367029ms");
    CHECK(format_go_duration(1500ms) == "1.5s");
    CHECK(format_go_duration(61min + 500ms) == "1h1m0.5s");
    CHECK(format_go_duration(7ns) == "7ns");
}

TEST_CASE("clients_that_come_and_go_are_told_of") {
    WatchedCloud cloud;
    RawClient& watcher = cloud.watcher("$SYS.ACCOUNT." + cloud.shop.public_key() + ".*");
    const auth::Credentials credentials = cloud.mint(cloud.shop);
    RawClient& client = cloud.log_in(credentials, "\"headers\":true,\"name\":\"till\"");
    const std::string came = cloud.next(watcher);
    REQUIRE(came.starts_with("MSG $SYS.ACCOUNT." + cloud.shop.public_key() + ".CONNECT 1 "));
    const Json connect = payload_of(came);
    CHECK(connect["type"] == "io.nats.server.advisory.v1.client_connect");
    CHECK(connect["client"]["user"] == credentials.key.public_key());
    CHECK(connect["client"]["name"] == "till");
    CHECK(connect["server"]["id"] == cloud.server->id());
    cloud.talk(client, "PUB a 5\r\nhello\r\n");
    client.stream->end();
    const std::string went = cloud.next(watcher);
    REQUIRE(went.starts_with("MSG $SYS.ACCOUNT." + cloud.shop.public_key() + ".DISCONNECT 1 "));
    const Json disconnect = payload_of(went);
    CHECK(disconnect["reason"] == "Client Closed");
    CHECK(disconnect["sent"] == Json{{"msgs", 1}, {"bytes", 5}});
    CHECK(disconnect["received"] == Json{{"msgs", 0}, {"bytes", 0}});
}

TEST_CASE("why_a_client_was_closed_is_told") {
    ServerOptions options;
    options.pending_bytes_max = 1024 * 1024;
    WatchedCloud cloud(options);
    RawClient& watcher = cloud.watcher("$SYS.ACCOUNT.*.DISCONNECT");
    RawClient& slow = cloud.log_in();
    cloud.talk(slow, "SUB flood 1\r\n");
    slow.stream->pause();
    RawClient& publisher = cloud.log_in();
    const std::string message = "PUB flood 65536\r\n" + std::string(65536, 'x') + "\r\n";
    for (int i = 0; i < 40; ++i) cloud.talk(publisher, message);
    CHECK(payload_of(cloud.next(watcher))["reason"] == "Slow Consumer (Pending Bytes)");
    CHECK((*cloud.ask("varz"))["slow_consumers"] == 1);
    CHECK((*cloud.ask("varz"))["slow_consumer_stats"]["clients"] == 1);
    RawClient& rude = cloud.log_in();
    cloud.talk(rude, "HELLO\r\n");
    cloud.world.run_for(2s);
    CHECK(watcher.take().find("\"reason\":\"Protocol Violation\"") != std::string::npos);
}

TEST_CASE("a_refused_login_is_told_of") {
    WatchedCloud cloud;
    RawClient& watcher = cloud.watcher("$SYS.SERVER.*.CLIENT.AUTH.ERR");
    RawClient& client = cloud.dial();
    const auth::Credentials credentials = cloud.mint(cloud.shop);
    const auth::Credentials forged{credentials.jwt, auth::KeyPair::generate(auth::KeyKind::kUser)};
    client.send(cloud.connect_line(client, forged));
    const Json event = payload_of(cloud.next(watcher));
    CHECK(event["reason"] == "Authentication Failure");
    CHECK(event["client"]["user"] == credentials.key.public_key());
}

TEST_CASE("a_flood_of_events_is_cut") {
    ServerOptions options;
    options.auth_timeout = 1min;
    WatchedCloud cloud(options);
    RawClient& watcher = cloud.watcher("$SYS.ACCOUNT.*.CONNECT");
    const auth::Credentials credentials = cloud.mint(cloud.shop);
    for (unsigned i = 0; i < Events::kEventsPerSecondMax + 50; ++i) {
        std::unique_ptr<ConnectAttempt> attempt =
            cloud.loop->connect(Address::tcp("10.0.0.1", 4222), [&](Result<StreamPtr> stream) {
                cloud.raw.push_back(std::make_unique<RawClient>(std::move(*stream)));
            });
        const size_t before = cloud.raw.size();
        cloud.world.run_until(
            [&] { return cloud.raw.size() > before && cloud.raw.back()->has("INFO"); }, 1s);
    }
    // All of them log in at the same moment.
    for (const auto& client : cloud.raw) {
        if (client.get() != &watcher) client->send(cloud.connect_line(*client, credentials));
    }
    cloud.world.run_for(100ms);
    CHECK(count(watcher.take(), "MSG ") <= Events::kEventsPerSecondMax);
    CHECK(cloud.server->events().dropped() > 0);
    cloud.world.run_for(2s);
    watcher.take();
    cloud.log_in();
    CHECK(count(cloud.next(watcher), "MSG ") == 1);
}

TEST_CASE("connections_of_an_account_are_told_once_for_many_changes") {
    WatchedCloud cloud;
    RawClient& watcher = cloud.watcher("$SYS.ACCOUNT." + cloud.shop.public_key() + ".SERVER.CONNS");
    cloud.log_in();
    cloud.log_in();
    cloud.log_in();
    const std::string told = cloud.next(watcher, 300ms);
    CHECK(count(told, "MSG ") == 1);
    const Json event = payload_of(told);
    CHECK(event["conns"] == 3);
    CHECK(event["type"] == "io.nats.server.advisory.v1.account_connections");
}

TEST_CASE("statsz_comes_now_and_then") {
    WatchedCloud cloud;
    RawClient& watcher = cloud.watcher("$SYS.SERVER.*.STATSZ");
    const std::string first = cloud.next(watcher, 1500ms);
    CHECK(count(first, ".STATSZ 1 ") == 1);
    CHECK(payload_of(first)["statsz"]["connections"] == 1);
    CHECK(count(cloud.next(watcher, 61s), ".STATSZ 1 ") == 2);
}

TEST_CASE("the_bus_is_asked_over_itself") {
    WatchedCloud cloud;
    cloud.log_in();
    bus::Client& sys = cloud.connect(cloud.mint(cloud.system));
    const auto request = [&](std::string subject, std::string payload = {}) {
        const Result<bus::OwnedMessage> answer =
            cloud.run(sys.request(std::move(subject), std::move(payload), 1s));
        REQUIRE(answer);
        return *parse_json(answer->payload);
    };
    const std::string id = cloud.server->id();
    CHECK(request("$SYS.REQ.SERVER.PING")["statsz"]["connections"] == 2);
    CHECK(request("$SYS.REQ.SERVER.PING.IDZ")["data"]["id"] == id);
    CHECK(request("$SYS.REQ.SERVER." + id + ".VARZ")["data"]["server_id"] == id);
    CHECK(request("$SYS.REQ.SERVER." + id + ".HEALTHZ")["data"]["status"] == "ok");
    CHECK(request("$SYS.REQ.SERVER.PING.CONNZ", R"({"limit":1})")["data"]["num_connections"] == 1);
    CHECK(request("$SYS.REQ.SERVER.PING.CONNZ", "[")["error"]["code"] == 400);
    CHECK(request("$SYS.REQ.SERVER.PING.CONNZ", R"({"sort":"zz"})")["error"]["code"] == 500);
    const std::string shop = "$SYS.REQ.ACCOUNT." + cloud.shop.public_key();
    CHECK(request(shop + ".CONNS")["conns"] == 1);
    CHECK(request(shop + ".CONNZ")["data"]["total"] == 1);
    CHECK(request(shop + ".INFO")["data"]["account_name"] == cloud.shop.public_key());
    CHECK(request(shop + ".SUBSZ")["data"].contains("subscriptions_list"));
    CHECK(request(shop + ".STATZ")["data"]["account_statz"].size() == 1);
    CHECK(request("$SYS.REQ.ACCOUNT.PING.STATZ")["data"]["account_statz"].size() == 2);
    // Another server is meant.
    CHECK_FALSE(cloud.run(sys.request("$SYS.REQ.SERVER.PING", R"({"server_name":"x"})", 100ms)));
}

TEST_CASE("an_account_asks_about_itself_only") {
    WatchedCloud cloud;
    cloud.connect(cloud.mint(cloud.other));
    bus::Client& shop = cloud.connect();
    const std::string payload = R"({"acc":")" + cloud.other.public_key() + "\"}";
    for (const std::string subject :
         {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"}) {
        const Result<bus::OwnedMessage> answer = cloud.run(shop.request(subject, payload, 1s));
        REQUIRE(answer);
        const Json json = *parse_json(answer->payload);
        CHECK(json["data"]["num_connections"] == 1);
    }
    const Result<bus::OwnedMessage> answer =
        cloud.run(shop.request("$SYS.REQ.ACCOUNT.PING.STATZ", payload, 1s));
    REQUIRE(answer);
    CHECK((*parse_json(answer->payload))["data"]["account_statz"][0]["acc"] ==
          cloud.shop.public_key());
}

TEST_CASE("requests_of_one_round_are_bounded") {
    WatchedCloud cloud;
    RawClient& client = cloud.log_in(cloud.mint(cloud.system));
    cloud.talk(client, "SUB in 1\r\n");
    std::string flood;
    for (size_t i = 0; i < MonitorApi::kWaitingMax + 100; ++i) {
        flood += "PUB $SYS.REQ.SERVER.PING.IDZ in 0\r\n\r\n";
    }
    const std::string answers = cloud.talk(client, flood) + cloud.next(client);
    CHECK(count(answers, "MSG in 1 ") <= MonitorApi::kWaitingMax + 100);
    CHECK(count(answers, "MSG in 1 ") >= MonitorApi::kWaitingMax);
    CHECK(
        count(cloud.talk(client, "PUB $SYS.REQ.SERVER.PING.IDZ in 0\r\n\r\n") + cloud.next(client),
              "MSG in 1 ") == 1);
}

TEST_CASE("connections_are_listed_page_by_page_in_the_order_asked_for") {
    WatchedCloud cloud;
    std::vector<uint64_t> all;
    std::vector<RawClient*> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(&cloud.log_in());
    cloud.talk(*clients[2], "PUB a 3\r\nxyz\r\nPUB a 3\r\nxyz\r\n");
    cloud.talk(*clients[1], "SUB a 1\r\nSUB b q 2\r\nPUB a 1\r\nx\r\n");
    all = cloud.ids({});
    REQUIRE(all.size() == 4);
    CHECK(std::is_sorted(all.begin(), all.end()));
    CHECK(cloud.ids({{"offset", "1"}, {"limit", "2"}}) == std::vector{all[1], all[2]});
    CHECK(cloud.ids({{"offset", "9"}}).empty());
    CHECK(cloud.ids({{"sort", "msgs_from"}, {"limit", "2"}}) == std::vector{all[2], all[1]});
    CHECK(cloud.ids({{"sort", "bytes_from"}, {"limit", "1"}}) == std::vector{all[2]});
    CHECK(cloud.ids({{"sort", "subs"}, {"limit", "1"}}) == std::vector{all[1]});
    CHECK(cloud.ids({{"sort", "msgs_to"}, {"limit", "1"}}) == std::vector{all[1]});
    CHECK(cloud.ids({{"cid", std::to_string(all[3])}}) == std::vector{all[3]});
    CHECK(cloud.ids({{"acc", cloud.other.public_key()}}).empty());
    CHECK(cloud.ids({{"filter_subject", "a"}}) == std::vector{all[1]});
    for (const auto& [name, value] : Monitor::Parameters{{"sort", "zz"},
                                                         {"state", "zz"},
                                                         {"cid", "x"},
                                                         {"subs", "maybe"},
                                                         {"filter_subject", "a..b"}}) {
        CHECK(cloud.ask("connz", {{name, value}}).error().code() == Code::kInvalid);
    }
    CHECK(cloud.ask("connz", {{"sort", "stop"}}).error().code() == Code::kInvalid);
    const Json row = (*cloud.ask(
        "connz",
        {{"cid", std::to_string(all[1])}, {"subs", "detail"}, {"auth", "1"}}))["connections"][0];
    CHECK(row["subscriptions_list_detail"].size() == 2);
    CHECK(row["account"] == cloud.shop.public_key());
    CHECK(row["in_msgs"] == 1);
    CHECK(row["in_bytes"] == 1);
    CHECK((*cloud.ask("connz", {{"limit", "100000"}}))["limit"] == Monitor::kRowsMax);
    const Json subs = *cloud.ask(
        "subsz", {{"subs", "1"}, {"acc", cloud.shop.public_key()}, {"test", "b"}, {"limit", "1"}});
    CHECK(subs["total"] == 1);
    CHECK(subs["subscriptions_list"][0]["qgroup"] == "q");
    CHECK(cloud.ask("subsz", {{"test", "a.*"}}).error().code() == Code::kInvalid);
    CHECK(cloud.ask("nothing").error().code() == Code::kNotFound);
    CHECK(cloud.ask("accountz", {{"acc", "x"}}).error().code() == Code::kInvalid);
}

TEST_CASE("closed_connections_are_remembered_up_to_a_number") {
    WatchedCloud cloud;
    const auth::Credentials credentials = cloud.mint(cloud.shop);
    for (size_t i = 0; i < Events::kClosedMax + 3; ++i) {
        RawClient& client = cloud.log_in(credentials);
        client.stream->end();
        cloud.world.run_for(10ms);
        cloud.raw.clear();
    }
    CHECK(cloud.server->events().closed().size() == Events::kClosedMax);
    const Json found = *cloud.ask("connz", {{"state", "closed"}, {"sort", "stop"}, {"limit", "1"}});
    CHECK(found["total"] == Events::kClosedMax);
    CHECK(found["connections"][0]["reason"] == "Client Closed");
    CHECK(cloud.ids({{"state", "any"}, {"limit", "4"}}).size() == 4);
    CHECK(cloud.ids({}).empty());
}

TEST_CASE("what_has_passed_is_counted_also_of_those_who_are_gone") {
    WatchedCloud cloud;
    RawClient& reader = cloud.log_in();
    cloud.talk(reader, "SUB a 1\r\n");
    RawClient& writer = cloud.log_in();
    cloud.talk(writer, "PUB a 4\r\nabcd\r\n");
    cloud.next(reader);
    writer.stream->end();
    reader.stream->end();
    cloud.world.run_for(50ms);
    const Json varz = *cloud.ask("varz");
    CHECK(varz["in_msgs"] == 1);
    CHECK(varz["in_bytes"] == 4);
    CHECK(varz["out_msgs"] == 1);
    CHECK(varz["out_bytes"] == 4);
    CHECK(varz["connections"] == 0);
    CHECK(varz["total_connections"] == 2);
    cloud.server->remove_account(cloud.shop.public_key());
    cloud.world.run_for(50ms);
    CHECK((*cloud.ask("varz"))["in_msgs"] == 1);
}

TEST_CASE("the_buss_own_services_do_not_count_against_an_accounts_limit") {
    WatchedCloud cloud;
    auth::AccountClaims claims = *auth::decode_account(cloud.shop.jwt);
    claims.limits.subscriptions = 1;
    REQUIRE(cloud.server->put_account(
        *auth::encode_account(claims, cloud.operator_key, cloud.loop->wall())));
    RawClient& client = cloud.log_in();
    CHECK(cloud.talk(client, "SUB a 1\r\n").empty());
    CHECK(cloud.talk(client, "SUB b 2\r\n") == "-ERR 'maximum subscriptions exceeded'\r\n");
}
