#include "network_doors.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::host {
namespace {

TEST_CASE("a_bus_is_where_its_url_says") {
    CHECK(bus_address("nats://127.0.0.1:4333").value() == Address::tcp("127.0.0.1", 4333));
    CHECK(bus_address("nats://bus.example").value() == Address::tcp("bus.example", 4222));
    CHECK(bus_address("nats://[::1]:4333/").value() == Address::tcp("::1", 4333));
    CHECK(bus_address("nats://[::1]").value() == Address::tcp("::1", 4222));
    CHECK_FALSE(bus_address("http://127.0.0.1:4222").has_value());
}

TEST_CASE("within_the_bus_is_on_its_own_loopback_at_a_port_that_is_not_its_own") {
    const InnerBus plain = inner_bus("nats://10.0.0.7:4222", 20000);
    CHECK(plain.url == "nats://127.0.0.1:4222");
    CHECK(plain.port == 4222);
    CHECK(plain.name.empty());
    CHECK(inner_bus("nats://10.0.0.7:20000", 20000).port == 20001);
    CHECK(inner_bus("nats://10.0.0.7:65535", 65535).port != 65535);
    CHECK(inner_bus("nats://10.0.0.7:65535", 65535).port != 0);
    CHECK(inner_bus("nats://[fd00::7]:4222", 20000).url == "nats://127.0.0.1:4222");
}

TEST_CASE("a_bus_with_a_name_keeps_it_within") {
    const InnerBus named = inner_bus("nats://bus.example:4333", 20000);
    CHECK(named.url == "nats://bus.example:4333");
    CHECK(named.name == "bus.example");
    CHECK(inner_bus("nats://localhost:4222", 20000).name.empty());
}

}  // namespace
}  // namespace candela::host
