#include "network_doors.h"

#include "base/text.h"
#include "keeper_doors.h"
#include "loop/move_stream.h"
#include "loop/relay.h"

namespace candela::host {

namespace {

constexpr std::string_view kScheme = "nats://";
constexpr uint16_t kUsualBusPort = 4222;

bool is_number_address(std::string_view host) {
    return host.contains(':') || host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

Result<Address> bus_address(std::string_view bus_url) {
    if (!bus_url.starts_with(kScheme))
        return fail(Code::kInvalid, "\"{}\" is not the URL of a bus", printable(bus_url));
    std::string_view place = bus_url.substr(kScheme.size());
    while (place.ends_with('/')) place.remove_suffix(1);
    const bool has_port = place.rfind(':') != std::string_view::npos && !place.ends_with(']');
    return Address::parse(has_port ? std::string(place)
                                   : fmt::format("{}:{}", place, kUsualBusPort));
}

InnerBus inner_bus(std::string_view bus_url, uint16_t own_port) {
    const auto outside = bus_address(bus_url);
    InnerBus bus;
    bus.port = outside ? outside->port : kUsualBusPort;
    if (bus.port == own_port) ++bus.port;
    if (bus.port == 0) bus.port = kUsualBusPort;
    const bool has_name = outside && !is_number_address(outside->host);
    if (has_name && outside->host != "localhost") bus.name = outside->host;
    bus.url = fmt::format("nats://{}:{}", has_name ? outside->host : "127.0.0.1", bus.port);
    return bus;
}

Task<Result<StreamPtr>> reach_within(Loop& loop, std::filesystem::path keeper_folder) {
    auto work = [folder = std::move(keeper_folder)] { return ask_connection(folder); };
    auto fd = co_await offload(loop, std::move(work));
    if (!fd) co_return fail(fd.error());
    co_return adopt_tcp_socket(loop, std::move(*fd));
}

NetworkDoors::NetworkDoors(Loop& loop, std::filesystem::path keeper_folder, std::string instance,
                           Address bus, Logger log)
    : loop_(loop),
      folder_(std::move(keeper_folder)),
      instance_(std::move(instance)),
      bus_(std::move(bus)),
      log_(std::move(log)) {}

void NetworkDoors::open(bool is_expected) { opening_.spawn(open_soon(is_expected)); }

void NetworkDoors::stop_accepting() {
    opening_.cancel();
    inward_.reset();
    outward_.reset();
}

Task<void> NetworkDoors::open_soon(bool is_expected) {
    for (int attempt = 1;; ++attempt) {
        auto taken = co_await take_doors();
        if (taken && (is_open() || !is_expected)) co_return;
        // A keeper of an older candela knows nothing of doors, and has none.
        if (!is_expected) co_return;
        if (attempt == kAttemptsMax) {
            const Error why = taken ? Error(Code::kInternal, "its keeper has none") : taken.error();
            log_.error("doors_not_open", {{"instance", instance_}, {"error", why}});
            co_return;
        }
        co_await sleep_for(loop_, kPause);
    }
}

Task<Result<>> NetworkDoors::take_doors() {
    auto work = [folder = folder_] { return ask_doors(folder); };
    auto doors = co_await offload(loop_, std::move(work));
    if (!doors) co_return fail(doors.error());
    if (doors->outer.get() >= 0) {
        auto accept = [this](StreamPtr stream) {
            if (inwards_.size() >= kInwardMax) return note_full("in");  // closes it
            inwards_.spawn(carry_in(std::move(stream)));
        };
        auto listener = adopt_listener(loop_, std::move(doors->outer), std::move(accept));
        if (!listener) co_return fail(listener.error());
        inward_ = std::move(*listener);
    }
    if (doors->inner.get() >= 0) {
        auto accept = [this](StreamPtr stream) {
            if (outwards_.size() >= kOutwardMax) return note_full("out");
            outwards_.spawn(carry_out(std::move(stream)));
        };
        auto listener = adopt_listener(loop_, std::move(doors->inner), std::move(accept));
        if (!listener) co_return fail(listener.error());
        outward_ = std::move(*listener);
    }
    co_return Result<>();
}

// Once, however many it tries: it may be hostile, and logs are for people.
void NetworkDoors::note_full(std::string_view door) {
    if (std::exchange(was_full_, true)) return;
    log_.warn("door_full", {{"instance", instance_}, {"door", door}});
}

Task<void> NetworkDoors::carry_in(StreamPtr from) {
    auto reaching = with_timeout(loop_, kConnectTimeout, "instance", reach_within(loop_, folder_));
    auto to = co_await std::move(reaching);
    if (!to) co_return;
    Relay relay(loop_, std::move(from), std::move(*to), std::string(), kQueueBytesMax);
    // However it ends: both sides have seen it.
    static_cast<void>(co_await relay.wait());
}

Task<void> NetworkDoors::carry_out(StreamPtr from) {
    auto connecting = connect(loop_, bus_, kConnectTimeout);
    auto to = co_await std::move(connecting);
    if (!to) co_return;
    Relay relay(loop_, std::move(from), std::move(*to), std::string(), kQueueBytesMax);
    static_cast<void>(co_await relay.wait());
}

}  // namespace candela::host
