#include "http/proxy_config.h"

#include "base/check.h"

namespace candela::http {

void add_proxy_keys(ConfigSchema& schema) {
    schema.add(config_strings(
        "trusted_proxies", {},
        "Networks of proxies in front of the gateway whose X-Forwarded-* is believed."));
    schema.add(config_bool(
        "proxy_protocol", "false",
        "Whether each connection begins with a PROXY header, which trusted_proxies alone may send."));
    schema.add(config_int("connections_max", "16384", "Client connections of one worker.")
                   .range("1", "1000000"));
    schema.add(
        config_size("head_max", "32KiB", "The largest head of a request.").range("1KiB", "1MiB"));
    schema.add(config_size("body_max", "", "The largest body of a request; none where absent."));
    schema.add(config_duration("head_timeout", "15s", "For a request's head to arrive.")
                   .range("1s", "10m"));
    schema.add(config_duration("idle_timeout", "75s", "Between requests of one connection.")
                   .range("3s", "1h"));
    schema.add(
        config_duration("send_timeout", "60s", "For a client to take anything of its answer.")
            .range("1s", "1h"));
    schema.add(config_size("upload_rate_min", "256", "Bytes a second that a body must arrive at."));
    schema.add(config_duration("connect_timeout", "5s", "For a connection to an instance.")
                   .range("100ms", "1m"));
    schema.add(config_duration("response_timeout", "2m", "For an instance to begin its answer.")
                   .range("1s", "24h"));
    schema.add(
        config_duration("stream_timeout", "1h", "Of silence within an answer.").range("1s", "24h"));
    schema.add(
        config_duration("relay_timeout", "1h", "Of silence on a WebSocket.").range("1s", "24h"));
    schema.add(
        config_int("held_requests_max", "4096", "Requests of one worker that wait for an instance.")
            .range("0", "1000000"));
}

void check_proxy_keys(const Config& config, ConfigProblems& problems) {
    for (const ConfigItem& network : config.items("trusted_proxies")) {
        TrustedPeers peers;
        if (const auto added = peers.add(network.value); !added) {
            problems.add(network.at, std::string(added.error().message()));
        }
    }
    if (config.boolean("proxy_protocol") && config.items("trusted_proxies").empty()) {
        problems.add(config.position("proxy_protocol"),
                     "proxy_protocol needs trusted_proxies: who may say where a client comes from");
    }
}

ProxyOptions read_proxy_options(const Config& config) {
    ProxyOptions options;
    options.request_limits.head_bytes_max = config.size_bytes("head_max");
    options.proxy_protocol = config.boolean("proxy_protocol");
    options.connections_max = static_cast<size_t>(config.integer("connections_max"));
    options.held_requests_max = static_cast<size_t>(config.integer("held_requests_max"));
    options.body_bytes_max = config.size_bytes("body_max");
    options.head_timeout = config.duration("head_timeout");
    options.idle_timeout = config.duration("idle_timeout");
    options.send_timeout = config.duration("send_timeout");
    options.body_rate_bytes_min = config.size_bytes("upload_rate_min");
    options.connect_timeout = config.duration("connect_timeout");
    options.response_timeout = config.duration("response_timeout");
    options.stream_timeout = config.duration("stream_timeout");
    options.relay_timeout = config.duration("relay_timeout");
    for (const ConfigItem& network : config.items("trusted_proxies")) {
        CANDELA_CHECK(options.trusted_peers.add(network.value).has_value());
    }
    return options;
}

}  // namespace candela::http
