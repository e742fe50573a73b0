#include "loop/move_stream.h"

#include <catch2/catch_test_macros.hpp>
#include <thread>

#include "loop/runtime.h"
#include "loop/sim_loop.h"

using namespace candela;

namespace {

struct Echo final : StreamHandler {
    void on_data(std::string_view bytes) override { stream->write(bytes); }
    void on_end() override { stream->end(); }
    void on_error(const Error&) override {}
    StreamPtr stream;
    std::thread::id thread;
};

struct Client final : StreamHandler {
    void on_data(std::string_view bytes) override { received += bytes; }
    void on_end() override { ended = true; }
    void on_error(const Error&) override { ended = true; }
    StreamPtr stream;
    std::string received;
    bool ended = false;
};

}  // namespace

TEST_CASE("a_connection_moves_to_another_loop_with_what_was_sent_to_it") {
    InProcessHub hub;
    UvLoop here(hub);
    UvLoop there(hub);
    std::thread thread([&] { there.run(); });
    Echo echo;
    bool is_moved = false;
    auto listener = here.listen(Address::tcp("127.0.0.1", 0), ListenOptions(), [&](StreamPtr s) {
        is_moved = move_stream(s, there, [&](Result<StreamPtr> moved) {
            echo.stream = std::move(*moved);
            echo.thread = std::this_thread::get_id();
            echo.stream->start(echo);
        });
    });
    REQUIRE(listener);
    Client client;
    auto attempt = here.connect((*listener)->address(), [&](Result<StreamPtr> s) {
        client.stream = std::move(*s);
        client.stream->start(client);
        client.stream->write("before and after");
    });
    CHECK(here.run_until([&] { return client.received == "before and after"; }, 20s));
    CHECK(is_moved);
    const std::thread::id moved_to = thread.get_id();
    client.stream->end();
    CHECK(here.run_until([&] { return client.ended; }, 20s));
    there.post([&] {
        echo.stream.reset();
        there.stop();
    });
    thread.join();
    CHECK(echo.thread == moved_to);
}

TEST_CASE("streams_without_a_socket_stay_where_they_are") {
    SimWorld world(1);
    SimLoop& a = world.add_loop("a");
    SimLoop& b = world.add_loop("b");
    bool is_moved = true;
    StreamPtr accepted;
    auto listener = a.listen(Address::tcp("10.0.0.1", 1), ListenOptions(), [&](StreamPtr s) {
        is_moved = move_stream(s, b, [](Result<StreamPtr>) {});
        accepted = std::move(s);
    });
    Client client;
    auto attempt = b.connect((*listener)->address(), [&](Result<StreamPtr> s) {
        client.stream = std::move(*s);
        client.stream->start(client);
    });
    CHECK(world.run_until([&] { return accepted != nullptr; }, 1s));
    CHECK_FALSE(is_moved);
}
