#pragma once

// A bus of several loops, simulated, with clients on a loop of their own that pick the loop of the
// bus they connect to.

#include <map>

#include "cloud.h"
#include "mesh.h"

namespace test {

class LoopsCloud {
public:
    explicit LoopsCloud(size_t count = 3, ServerOptions options = {}, uint64_t seed = 1)
        : world(seed) {
        client_loop = &world.add_loop("clients");
        for (size_t i = 0; i < count; ++i)
            loops.push_back(&world.add_loop(fmt::format("bus{}", i)));
        mesh = Mesh::create(std::vector<Loop*>(loops.begin(), loops.end()));
        auth::OperatorClaims claims;
        claims.subject = operator_key.public_key();
        claims.name = "test";
        claims.system_account = system.public_key();
        for (size_t i = 0; i < count; ++i) {
            servers.push_back(
                std::make_unique<Server>(*loops[i], options, Accounts(claims), Logger(), mesh, i));
        }
        api = std::make_unique<SystemApi>(*servers[0], nullptr);
        for (const auth::Account* account : {&system, &shop, &other}) {
            if (!servers[0]->put_account(account->jwt)) std::abort();
        }
        for (size_t i = 0; i < count; ++i) {
            if (!servers[i]->listen(address(i))) std::abort();
        }
        world.run_for(10ms);
    }
    ~LoopsCloud() {
        clients.clear();
        world.run_for(50ms);
        api.reset();
        for (auto& server : servers) server.reset();
    }

    static Address address(size_t loop) {
        return Address::tcp(fmt::format("10.0.0.{}", loop + 1), 4222);
    }

    auth::Credentials mint(const auth::Account& account, auth::Permissions permissions = {}) {
        auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
        auth::UserRequest request;
        request.public_key = key.public_key();
        request.name = "tester";
        request.permissions = std::move(permissions);
        std::string jwt = *auth::mint_user(account, request, Cloud::start());
        return auth::Credentials{std::move(jwt), std::move(key)};
    }

    // Connected to that loop, with nothing but INFO read.
    RawClient& dial(size_t loop) {
        const size_t before = clients.size();
        std::unique_ptr<ConnectAttempt> attempt =
            client_loop->connect(address(loop), [this](Result<StreamPtr> stream) {
                clients.push_back(std::make_unique<RawClient>(std::move(*stream)));
            });
        world.run_until([&] { return clients.size() > before && clients.back()->has("INFO"); }, 1s);
        return *clients.back();
    }
    RawClient& log_in(size_t loop, const auth::Credentials& credentials,
                      std::string_view options = "\"headers\":true,\"no_responders\":true") {
        RawClient& client = dial(loop);
        const size_t at = client.text.find("\"nonce\":\"") + 9;
        const std::string nonce = client.text.substr(at, client.text.find('"', at) - at);
        client.send(
            fmt::format("CONNECT {{\"jwt\":\"{}\",\"sig\":\"{}\",\"verbose\":false,"
                        "\"pedantic\":false,{}}}\r\nPING\r\n",
                        credentials.jwt, base64url_encode(credentials.key.sign(nonce)), options));
        world.run_until([&] { return client.has("PONG") || client.is_ended; }, 1s);
        return client;
    }
    // Logged in to the account "shop", with nothing left to read.
    RawClient& log_in(size_t loop) {
        RawClient& client = log_in(loop, mint(shop));
        client.take();
        return client;
    }

    // Sends, and returns what came back until the answer to a PING.
    std::string talk(RawClient& client, std::string_view text) {
        client.send(std::string(text) + "PING\r\n");
        if (!world.run_until([&] { return client.text.ends_with("PONG\r\n") || client.is_ended; },
                             5s)) {
            return "no answer to PING";
        }
        std::string answer = client.take();
        if (answer.ends_with("PONG\r\n")) answer.resize(answer.size() - 6);
        return answer;
    }
    // Until the client has what it was sent, in full or in part.
    bool wait_for(RawClient& client, std::string_view part, Duration limit = 1s) {
        return world.run_until([&] { return client.has(part); }, limit);
    }

    SimWorld world;
    SimLoop* client_loop = nullptr;
    std::vector<SimLoop*> loops;
    std::shared_ptr<Mesh> mesh;
    auth::KeyPair operator_key = auth::KeyPair::generate(auth::KeyKind::kOperator);
    auth::Account system = *auth::make_account(operator_key, "SYS", Cloud::start());
    auth::Account shop = *auth::make_account(operator_key, "shop", Cloud::start());
    auth::Account other = *auth::make_account(operator_key, "other", Cloud::start());
    std::vector<std::unique_ptr<Server>> servers;
    std::unique_ptr<SystemApi> api;
    std::vector<std::unique_ptr<RawClient>> clients;
};

}  // namespace test
