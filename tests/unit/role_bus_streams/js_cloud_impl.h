#pragma once

// A bus with durable streams on a simulated loop and disk, and a client that speaks the JetStream
// API to it. It can be killed, or lose its power, and be started again on what its disk holds.

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "role_bus/cloud.h"
#include "sim_disk.h"
#include "streams/jetstream.h"
#include "streams/store.h"

namespace test {

class JsCloud {
public:
    explicit JsCloud(uint64_t seed = 1) : random_(seed), disk(std::make_unique<SimDisk>()) {
        start();
    }
    ~JsCloud() { stop(); }

    void kill() {
        stop();
        disk = disk->after_kill();
        start();
    }
    void cut_power() {
        stop();
        disk = disk->after_power_cut(random_);
        start();
    }
    void checkpoint() {
        store->checkpoint();
        run_for(1s);
        REQUIRE_FALSE(store->is_checkpointing());
    }
    void run_for(Duration duration) { cloud.world.run_for(duration); }
    bool run_until(const std::function<bool()>& condition, Duration limit = 10s) {
        return cloud.world.run_until(condition, limit);
    }

    // The answer; null where there is none.
    // Configurations of streams may leave out the name, which the subject says.
    Json api(const std::string& verb, Json body = Json::object(), const std::string& headers = {}) {
        for (const std::string_view prefix : {"STREAM.CREATE.", "STREAM.UPDATE."}) {
            if (verb.starts_with(prefix) && !body.contains("name"))
                body["name"] = verb.substr(prefix.size());
        }
        return request("$JS.API." + verb, dump_json(body), headers);
    }
    Json request(const std::string& subject, const std::string& payload,
                 const std::string& headers = {}) {
        const auto answer = cloud.run(client().request(subject, payload, 2s, headers));
        if (!answer) return {};
        auto json = parse_json(answer->payload);
        return json ? *json : Json();
    }
    // Makes it, or fails.
    Json stream(const std::string& name, Json config = Json::object()) {
        config["name"] = name;
        Json made = api("STREAM.CREATE." + name, config);
        INFO(made.dump());
        REQUIRE_FALSE(made.contains("error"));
        return made;
    }
    Json consumer(const std::string& stream, const std::string& name, Json config = Json::object(),
                  const std::string& action = {}) {
        config["durable_name"] = name;
        if (!config.contains("ack_policy")) config["ack_policy"] = "explicit";
        return api("CONSUMER.CREATE." + stream + "." + name,
                   {{"stream_name", stream}, {"config", config}, {"action", action}});
    }
    Json publish(const std::string& subject, const std::string& payload,
                 std::initializer_list<std::pair<const char*, std::string>> headers = {}) {
        bus::HeaderBuilder builder;
        for (const auto& [key, value] : headers) builder.add(key, value);
        return request(subject, payload, headers.size() == 0 ? std::string() : builder.text());
    }
    Json state(const std::string& stream) { return api("STREAM.INFO." + stream)["state"]; }
    Json consumer_info(const std::string& stream, const std::string& name) {
        return api("CONSUMER.INFO." + stream + "." + name);
    }
    static int code(const Json& answer) {
        return answer.contains("error") ? answer["error"]["err_code"].get<int>() : 0;
    }

    // Whether a publish was acknowledged.
    static bool is_kept(const Json& answer) {
        return answer.contains("seq") && !answer.contains("error");
    }

    // What comes to a subject, kept.
    struct Inbox {
        std::vector<bus::OwnedMessage> messages;
        bus::Subscription subscription;
        std::string subject;
        int status(size_t at) const { return bus::header_status(messages.at(at).headers); }
    };
    std::unique_ptr<Inbox> listen(const std::string& subject) {
        auto inbox = std::make_unique<Inbox>();
        inbox->subject = subject;
        auto subscription = client().subscribe(
            subject,
            [to = inbox.get()](const bus::MessageView& view) { to->messages.emplace_back(view); });
        REQUIRE(subscription);
        inbox->subscription = std::move(*subscription);
        REQUIRE(cloud.run(client().flush(1s)));
        return inbox;
    }
    // Asks a pull consumer for messages; they come as time goes on.
    std::unique_ptr<Inbox> pull(const std::string& stream, const std::string& name,
                                const Json& request) {
        auto inbox = listen(client().new_inbox());
        pull_to(*inbox, stream, name, request);
        return inbox;
    }
    void pull_to(Inbox& inbox, const std::string& stream, const std::string& name,
                 const Json& request) {
        bus::PublishOptions options;
        options.reply = inbox.subject;
        const std::string subject = "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name;
        REQUIRE(client().publish(subject, dump_json(request), options));
        run_for(50ms);
    }
    void ack(const bus::OwnedMessage& message, const std::string& word = "+ACK") {
        REQUIRE(client().publish(message.reply, word));
        REQUIRE(cloud.run(client().flush(1s)));
    }
    // The ack is on the disk when this returns.
    void ack_durably(const bus::OwnedMessage& message, const std::string& word = "+ACK") {
        REQUIRE(cloud.run(client().request(message.reply, word, 2s)));
    }
    bus::Client& client() { return *cloud.clients.front(); }
    std::vector<std::string> contents(const std::string& stream) {
        std::vector<std::string> out;
        const Json found = state(stream);
        const uint64_t first = found["first_seq"], last = found["last_seq"];
        for (uint64_t i = first; i <= last && last != 0; ++i) {
            const Json got = api("STREAM.MSG.GET." + stream, {{"seq", i}});
            if (got.contains("error")) continue;
            const auto bytes = base64_decode(got["message"].value("data", ""));
            out.push_back(got["message"]["subject"].get<std::string>() + "=" +
                          std::string(bytes->begin(), bytes->end()));
        }
        return out;
    }

private:
    SeededRandom random_;

public:
    Cloud cloud;
    std::unique_ptr<SimDisk> disk;
    std::unique_ptr<Store> store;
    std::unique_ptr<JetStream> js;

private:
    void start() {
        if (cloud.server == nullptr) {
            auth::OperatorClaims claims;
            claims.subject = cloud.operator_key.public_key();
            claims.system_account = cloud.system.public_key();
            cloud.server =
                std::make_unique<Server>(*cloud.loop, ServerOptions(), Accounts(claims), Logger());
            for (const auth::Account* account : {&cloud.system, &cloud.shop, &cloud.other}) {
                REQUIRE(cloud.server->put_account(account->jwt));
            }
            REQUIRE(cloud.server->listen(Address::tcp("10.0.0.1", 4222)));
        }
        StoreOptions options;
        options.has_thread = false;
        auto opened = Store::open(*cloud.loop, *disk, options, random_.next(), Logger());
        REQUIRE(opened);
        store = std::move(*opened);
        js = std::make_unique<JetStream>(*cloud.server, *store);
        cloud.server->set_has_streams();
        cloud.connect();
        REQUIRE(client().is_connected());
    }
    void stop() {
        cloud.clients.clear();
        cloud.raw.clear();
        js.reset();
        cloud.api.reset();
        cloud.server.reset();
        store.reset();
        cloud.world.run_for(10ms);
    }
};

}  // namespace test
