#include "settings.h"

#include "base/check.h"
#include "http/proxy_config.h"

namespace candela::gateway {

const ConfigSchema& settings_schema() {
    static const ConfigSchema schema = [] {
        ConfigSchema made(
            {config_address("listen", "127.0.0.1:8080", "Where clients are served over HTTP."),
             config_int(
                 "https_port", "0",
                 "Where https_only routes lead; 0: the port of [gateway.tls] listen, or 443.")
                 .range("0", "65535"),
             config_size("cache_size", "64MiB",
                         "Of answers kept for routes that say `cache`, in memory; 0: none.")
                 .range("0", "1TiB"),
             config_duration("jwks_refetch", "1m",
                             "How often at most the keys of tokens are fetched again because a "
                             "token names one that is not known.")
                 .range("1s", "1h"),
             tls_key(), access_log_key()});
        http::add_proxy_keys(made);
        return made;
    }();
    return schema;
}

void check_settings(const Config& config, ConfigProblems& problems) {
    http::check_proxy_keys(config, problems);
}

Settings read_settings(const Config& config) {
    Settings settings;
    auto listen = Address::parse(config.string("listen"));
    CANDELA_CHECK(listen.has_value());
    settings.listen = std::move(*listen);
    settings.jwks_refetch = config.duration("jwks_refetch");
    settings.tls = read_tls_settings(config);
    settings.access_log = read_access_log_settings(config);
    settings.cache_bytes_max = config.size_bytes("cache_size");
    settings.proxy = http::read_proxy_options(config);
    const auto https_port = static_cast<uint16_t>(config.integer("https_port"));
    if (https_port != 0) {
        settings.proxy.https_port = https_port;
    } else if (settings.tls.listen) {
        settings.proxy.https_port = settings.tls.listen->port;
    }
    return settings;
}

}  // namespace candela::gateway
