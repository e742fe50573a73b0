#pragma once

// A bus on a simulated loop, with its operator and accounts, and clients that log in to it.

#include <memory>
#include <string>
#include <vector>

#include "auth/identity.h"
#include "bus/client.h"
#include "loop/flow.h"
#include "loop/sim_loop.h"
#include "server.h"
#include "system_api.h"

namespace test {

using namespace candela;
using namespace candela::bus_role;

// Speaks raw protocol and keeps what comes back.
class RawClient final : public StreamHandler {
public:
    explicit RawClient(StreamPtr s) : stream(std::move(s)) { stream->start(*this); }
    void on_data(std::string_view bytes) override { text += bytes; }
    void on_end() override { is_ended = true; }
    void on_error(const Error&) override { is_ended = true; }
    void send(std::string_view bytes) { stream->write(bytes); }
    bool has(std::string_view part) const { return text.find(part) != std::string::npos; }
    std::string take() { return std::exchange(text, {}); }

    StreamPtr stream;
    std::string text;
    bool is_ended = false;
};

class Cloud {
public:
    explicit Cloud(ServerOptions options = {}, uint64_t seed = 1) : world(seed) {
        loop = &world.add_loop("bus");
        auth::OperatorClaims claims;
        claims.subject = operator_key.public_key();
        claims.name = "test";
        claims.system_account = system.public_key();
        server = std::make_unique<Server>(*loop, std::move(options), Accounts(claims), Logger());
        for (const auth::Account* account : {&system, &shop, &other}) {
            if (!server->put_account(account->jwt)) std::abort();
        }
        api = std::make_unique<SystemApi>(*server, nullptr);
        if (!server->listen(Address::tcp("10.0.0.1", 4222))) std::abort();
    }
    ~Cloud() {
        raw.clear();
        clients.clear();
        world.run_for(10ms);
    }

    static WallTime start() { return from_unix_millis(1'760'000'000'000); }

    auth::Credentials mint(const auth::Account& account, auth::Permissions permissions = {},
                           int64_t expires_at = 0) {
        auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
        auth::UserRequest request;
        request.public_key = key.public_key();
        request.name = "tester";
        request.permissions = std::move(permissions);
        request.expires_at = expires_at;
        std::string jwt = *auth::mint_user(account, request, start());
        return auth::Credentials{std::move(jwt), std::move(key)};
    }

    // A client that is connected, or has had time to.
    bus::Client& connect(const auth::Credentials& credentials) {
        bus::ClientOptions options;
        options.servers.push_back(Address::tcp("10.0.0.1", 4222));
        options.credentials = [jwt = credentials.jwt,
                               seed = std::make_shared<Secret>(
                                   credentials.key.seed())]() -> Result<auth::Credentials> {
            return auth::Credentials{jwt, *auth::KeyPair::from_seed(seed->reveal())};
        };
        clients.push_back(std::make_unique<bus::Client>(*loop, std::move(options), Logger()));
        bus::Client& client = *clients.back();
        world.run_until([&] { return client.is_connected(); }, 1s);
        return client;
    }
    bus::Client& connect() { return connect(mint(shop)); }

    RawClient& dial() {
        std::unique_ptr<ConnectAttempt> attempt =
            loop->connect(Address::tcp("10.0.0.1", 4222), [this](Result<StreamPtr> stream) {
                raw.push_back(std::make_unique<RawClient>(std::move(*stream)));
            });
        const size_t before = raw.size();
        world.run_until([&] { return raw.size() > before && raw.back()->has("INFO"); }, 1s);
        return *raw.back();
    }
    std::string connect_line(const RawClient& client, const auth::Credentials& credentials,
                             std::string_view options = "\"headers\":true,\"no_responders\":true") {
        const size_t at = client.text.find("\"nonce\":\"") + 9;
        const std::string nonce = client.text.substr(at, client.text.find('"', at) - at);
        const crypto::Signature signature = credentials.key.sign(nonce);
        return fmt::format(
            "CONNECT {{\"jwt\":\"{}\",\"sig\":\"{}\",\"verbose\":false,\"pedantic\":false,{}}}\r\n",
            credentials.jwt, base64url_encode(signature), options);
    }
    // Logged in, with nothing left to read.
    RawClient& log_in(const auth::Credentials& credentials,
                      std::string_view options = "\"headers\":true,\"no_responders\":true") {
        RawClient& client = dial();
        client.send(connect_line(client, credentials, options) + "PING\r\n");
        world.run_until([&] { return client.has("PONG") || client.is_ended; }, 1s);
        client.take();
        return client;
    }
    RawClient& log_in() { return log_in(mint(shop)); }

    // Sends, and returns what came back until the answer to a PING.
    std::string talk(RawClient& client, std::string_view text) {
        client.send(std::string(text) + "PING\r\n");
        world.run_until([&] { return client.text.ends_with("PONG\r\n") || client.is_ended; }, 1s);
        std::string answer = client.take();
        if (answer.ends_with("PONG\r\n")) answer.resize(answer.size() - 6);
        return answer;
    }

    // Runs a task to its end.
    template <class T>
    T run(Task<T> task) {
        bool done = false;
        task.start([](void* flag) { *static_cast<bool*>(flag) = true; }, &done);
        if (!world.run_until([&] { return done; }, 1h)) std::abort();
        return task.take();
    }

    SimWorld world;
    SimLoop* loop = nullptr;
    auth::KeyPair operator_key = auth::KeyPair::generate(auth::KeyKind::kOperator);
    auth::Account system = *auth::make_account(operator_key, "SYS", start());
    auth::Account shop = *auth::make_account(operator_key, "shop", start());
    auth::Account other = *auth::make_account(operator_key, "other", start());
    std::unique_ptr<Server> server;
    std::unique_ptr<SystemApi> api;
    std::vector<std::unique_ptr<bus::Client>> clients;
    std::vector<std::unique_ptr<RawClient>> raw;
};

}  // namespace test
