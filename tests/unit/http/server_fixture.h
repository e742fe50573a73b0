#pragma once

// A FlowServer in a simulated world, and clients that speak raw bytes to it.

#include <functional>
#include <memory>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "http/flow_server.h"
#include "loop/sim_loop.h"

namespace candela::http::test {

struct RawClient final : StreamHandler {
    void on_data(std::string_view bytes) override { received += bytes; }
    void on_end() override { ended = true; }
    void on_error(const Error& error) override { failure = error.message(); }
    bool is_closed() const { return ended || !failure.empty(); }

    StreamPtr stream;
    std::string received;
    std::string failure;
    bool ended = false;
};

// Handlers as plain functions that return a Task; what they capture must outlive the test's server.
class FunctionHandler final : public Handler {
public:
    using Function = std::function<Task<void>(ServerRequest&)>;
    explicit FunctionHandler(Function f) : function(std::move(f)) {}
    Task<void> handle(ServerRequest& request) override { return function(request); }
    Function function;
};

struct ServerFixture {
    explicit ServerFixture(FunctionHandler::Function function,
                           ServerOptions options = ServerOptions())
        : handler(std::move(function)),
          server(std::make_unique<FlowServer>(server_loop, handler, std::move(options), Logger())) {
        auto listening = server_loop.listen(address, ListenOptions(), [this](StreamPtr stream) {
            if (server != nullptr) server->accept(std::move(stream));
        });
        REQUIRE(listening.has_value());
        listener = std::move(*listening);
    }

    std::unique_ptr<RawClient> connect() {
        auto client = std::make_unique<RawClient>();
        const auto attempt = client_loop.connect(address, [&](Result<StreamPtr> stream) {
            REQUIRE(stream.has_value());
            client->stream = std::move(*stream);
            client->stream->start(*client);
        });
        REQUIRE(run_until([&] { return client->stream != nullptr; }));
        return client;
    }
    bool run_until(const std::function<bool()>& condition) {
        return world.run_until(condition, 100s);
    }
    // Sends the bytes and returns all that comes until the server has closed.
    std::string exchange(std::string_view bytes) {
        const auto client = connect();
        client->stream->write(bytes);
        REQUIRE(run_until([&] { return client->is_closed(); }));
        return client->received;
    }

    const Address address = Address::tcp("10.0.0.1", 80);
    SimWorld world{7};
    SimLoop& server_loop = world.add_loop("server");
    SimLoop& client_loop = world.add_loop("client");
    FunctionHandler handler;
    std::unique_ptr<FlowServer> server;
    std::unique_ptr<Listener> listener;
};

}  // namespace candela::http::test
