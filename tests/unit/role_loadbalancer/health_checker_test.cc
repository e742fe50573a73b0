#include "health_checker.h"

#include <catch2/catch_test_macros.hpp>

#include "loop/sim_loop.h"

using namespace candela;
using namespace candela::loadbalancer;

namespace {

// An upstream that answers every connection with one status, or not at all.
class ScriptedUpstream final : public StreamHandler {
public:
    ScriptedUpstream(SimLoop& loop, const Address& address) {
        listener_ = *loop.listen(address, ListenOptions(), [this](StreamPtr stream) {
            stream->start(*this);
            if (status > 0) {
                stream->write("HTTP/1.1 " + std::to_string(status) +
                              " X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
            streams_.push_back(std::move(stream));
        });
    }
    int status = 200;

private:
    void on_data(std::string_view) override {}
    void on_end() override {}
    void on_error(const Error&) override {}
    std::unique_ptr<Listener> listener_;
    std::vector<StreamPtr> streams_;
};

}  // namespace

TEST_CASE("single answers do not change the state, rows of them do") {
    CheckSettings settings;
    HealthState state(settings);
    CHECK_FALSE(state.note(false));
    CHECK_FALSE(state.note(false));
    CHECK_FALSE(state.note(true));
    CHECK_FALSE(state.note(false));
    CHECK_FALSE(state.note(false));
    CHECK(state.is_healthy());
    CHECK(state.note(false));
    CHECK_FALSE(state.is_healthy());
    CHECK_FALSE(state.note(true));
    CHECK(state.note(true));
    CHECK(state.is_healthy());
}

TEST_CASE("an upstream that fails or falls silent is unhealthy until it answers again") {
    SimWorld world(11);
    SimLoop& loop = world.add_loop("balancer");
    const Address address = Address::tcp("10.0.0.2", 80);
    ScriptedUpstream upstream(world.add_loop("upstream"), address);
    CheckSettings settings;
    settings.path = "/healthz";
    std::vector<bool> changes;
    HealthChecker checker(loop, {address}, settings, Logger(),
                          [&](const Address&, bool healthy) { changes.push_back(healthy); });
    world.run_for(20s);
    CHECK(changes.empty());
    upstream.status = 503;
    world.run_for(20s);
    CHECK(changes == std::vector<bool>{false});
    CHECK(checker.healthy_count() == 0);
    upstream.status = 404;  // it answers: what it says is between it and its clients
    world.run_for(20s);
    CHECK(changes == std::vector<bool>{false, true});
    upstream.status = 0;
    world.run_for(20s);
    CHECK(changes == std::vector<bool>{false, true, false});
}

TEST_CASE("an upstream that refuses connections is unhealthy") {
    SimWorld world(12);
    SimLoop& loop = world.add_loop("balancer");
    CheckSettings settings;
    settings.path = "/";
    std::vector<bool> changes;
    HealthChecker checker(loop, {Address::tcp("10.0.0.3", 80)}, settings, Logger(),
                          [&](const Address&, bool healthy) { changes.push_back(healthy); });
    world.run_for(10s);
    CHECK(changes == std::vector<bool>{false});
}
