#include "node/endpoint.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;

namespace {
Readiness readiness(bool started, std::vector<Readiness::Entry> roles) {
    Readiness out;
    out.started = started;
    out.roles = std::move(roles);
    return out;
}
}  // namespace

TEST_CASE("a_node_is_ready_when_it_has_started_and_every_role_is") {
    CHECK(readiness(true, {{"bus", {true, ""}}, {"host", {true, ""}}}).is_ready());
    CHECK_FALSE(readiness(false, {{"bus", {true, ""}}}).is_ready());
    CHECK_FALSE(readiness(true, {{"bus", {true, ""}}, {"host", {false, "x"}}}).is_ready());
    Readiness draining = readiness(true, {{"bus", {true, ""}}});
    draining.draining = true;
    CHECK_FALSE(draining.is_ready());
    CHECK(draining.summary() == "stopping");
}

TEST_CASE("the_summary_names_what_is_not_ready") {
    CHECK(readiness(
              true,
              {{"bus", {true, ""}}, {"host", {false, "no lighthouse"}}, {"gateway", {false, ""}}})
              .summary() == "host: no lighthouse; gateway: not ready");
    CHECK(readiness(false, {}).summary() == "starting");
    CHECK(readiness(true, {}).summary() == "ready");
}
