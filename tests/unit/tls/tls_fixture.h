#pragma once

// Two simulated machines, a certificate authority, and a server's certificate.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "loop/in_process.h"
#include "loop/sim_loop.h"
#include "tls/authority.h"
#include "tls/stream.h"

namespace candela::tls::test {

// Certificates are checked against the real clock, whatever the simulation's says.
inline WallTime real_now() { return std::chrono::system_clock::now(); }

inline Authority make_authority(std::string_view name = "test authority") {
    return Authority::create(name, real_now(), 24h * 365).value();
}

inline KeyPair issue(const Authority& authority, WallTime now = real_now(),
                     Duration lifetime = 24h) {
    CertificateRequest request;
    request.common_name = "server";
    request.names = {"server.test", "10.0.0.1"};
    request.now = now;
    request.lifetime = lifetime;
    return authority.issue(request).value();
}

struct Collector final : StreamHandler {
    void on_data(std::string_view bytes) override {
        received += bytes;
        if (on_bytes) on_bytes();
    }
    void on_end() override { ended = true; }
    void on_error(const Error& error) override { failure = error.message(); }
    void on_drained() override { ++drained; }

    std::string received;
    std::string failure;
    bool ended = false;
    int drained = 0;
    std::function<void()> on_bytes;
};

struct TlsWorld {
    explicit TlsWorld(ServerOptions options = ServerOptions())
        : server_options(std::move(options)) {
        server_context = ServerContext::create(issue(authority), server_options).value();
        auto listening = server_loop.listen(
            address, ListenOptions(), [this](StreamPtr stream) { accepted = std::move(stream); });
        listener = std::move(*listening);
    }

    ClientOptions trusting() const {
        ClientOptions options;
        options.ca_pem = authority.ca_pem();
        return options;
    }
    bool run_until(const std::function<bool()>& condition) {
        return world.run_until(condition, 100s);
    }
    // A plain connection: `plain` at the client, `accepted` at the server.
    void connect_plain() {
        const auto attempt = client_loop.connect(
            address, [this](Result<StreamPtr> stream) { plain = std::move(*stream); });
        REQUIRE(run_until([this] { return plain != nullptr && accepted != nullptr; }));
    }
    void start_server() {
        server_task.emplace(wrap_server(std::move(accepted), server_context, 10s));
        server_task->start([](void*) {}, nullptr);
    }
    // Both handshakes; the results are in `server` and `client`.
    void connect(const ClientOptions& options, std::string name = "server.test") {
        connect_plain();
        start_server();
        client_context = ClientContext::create(options).value();
        client_task.emplace(wrap_client(std::move(plain), client_context, std::move(name), 10s));
        client_task->start([](void*) {}, nullptr);
        REQUIRE(run_until([this] { return client_task->is_done(); }));
        client.emplace(client_task->take());
        client_task.reset();
        REQUIRE(run_until([this] { return server_task->is_done(); }));
        server.emplace(server_task->take());
        server_task.reset();
        if (!*client || !*server) return;
        (**client)->start(at_client);
        (**server)->start(at_server);
    }
    Stream& client_stream() { return ***client; }
    Stream& server_stream() { return ***server; }

    const Address address = Address::tcp("10.0.0.1", 443);
    const Authority authority = make_authority();
    const ServerOptions server_options;
    std::shared_ptr<ServerContext> server_context;
    std::shared_ptr<ClientContext> client_context;
    SimWorld world{11};
    SimLoop& server_loop = world.add_loop("server");
    SimLoop& client_loop = world.add_loop("client");
    std::unique_ptr<Listener> listener;
    StreamPtr plain;
    StreamPtr accepted;
    Collector at_client;
    Collector at_server;
    std::optional<Task<Result<StreamPtr>>> server_task;
    std::optional<Task<Result<StreamPtr>>> client_task;
    std::optional<Result<StreamPtr>> client;
    std::optional<Result<StreamPtr>> server;
};

}  // namespace candela::tls::test
