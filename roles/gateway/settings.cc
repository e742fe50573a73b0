#include "settings.h"

#include "base/check.h"

namespace candela::gateway {

const ConfigSchema& settings_schema() {
    static const ConfigSchema schema({
        config_address("listen", "127.0.0.1:8080", "Where clients are served over HTTP."),
        config_strings("trusted_proxies", {},
                       "Networks of proxies in front of the gateway whose X-Forwarded-* is believed."),
        config_int("connections_max", "16384", "Client connections of one worker.")
            .range("1", "1000000"),
        config_size("head_max", "32KiB", "The largest head of a request.").range("1KiB", "1MiB"),
        config_size("body_max", "", "The largest body of a request; none where absent."),
        config_duration("head_timeout", "15s", "For a request's head to arrive.").range("1s", "10m"),
        config_duration("idle_timeout", "75s", "Between requests of one connection.")
            .range("3s", "1h"),
        config_duration("send_timeout", "60s", "For a client to take anything of its answer.")
            .range("1s", "1h"),
        config_size("upload_rate_min", "256", "Bytes a second that a body must arrive at."),
        config_duration("connect_timeout", "5s", "For a connection to an instance.")
            .range("100ms", "1m"),
        config_duration("response_timeout", "2m", "For an instance to begin its answer.")
            .range("1s", "24h"),
        config_duration("stream_timeout", "1h", "Of silence within an answer.").range("1s", "24h"),
        config_duration("relay_timeout", "1h", "Of silence on a WebSocket.").range("1s", "24h"),
        config_int("held_requests_max", "4096", "Requests of one worker that wait for an instance.")
            .range("0", "1000000"),
    });
    return schema;
}

void check_settings(const Config& config, ConfigProblems& problems) {
    for (const ConfigItem& network : config.items("trusted_proxies")) {
        http::TrustedPeers peers;
        if (const auto added = peers.add(network.value); !added) {
            problems.add(network.at, std::string(added.error().message()));
        }
    }
}

Settings read_settings(const Config& config) {
    Settings settings;
    auto listen = Address::parse(config.string("listen"));
    CANDELA_CHECK(listen.has_value());
    settings.listen = std::move(*listen);
    http::ProxyOptions& proxy = settings.proxy;
    proxy.request_limits.head_bytes_max = config.size_bytes("head_max");
    proxy.connections_max = static_cast<size_t>(config.integer("connections_max"));
    proxy.held_requests_max = static_cast<size_t>(config.integer("held_requests_max"));
    proxy.body_bytes_max = config.size_bytes("body_max");
    proxy.head_timeout = config.duration("head_timeout");
    proxy.idle_timeout = config.duration("idle_timeout");
    proxy.send_timeout = config.duration("send_timeout");
    proxy.body_rate_bytes_min = config.size_bytes("upload_rate_min");
    proxy.connect_timeout = config.duration("connect_timeout");
    proxy.response_timeout = config.duration("response_timeout");
    proxy.stream_timeout = config.duration("stream_timeout");
    proxy.relay_timeout = config.duration("relay_timeout");
    for (const ConfigItem& network : config.items("trusted_proxies")) {
        CANDELA_CHECK(proxy.trusted_peers.add(network.value).has_value());
    }
    return settings;
}

}  // namespace candela::gateway
