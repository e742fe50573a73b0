#include "settings.h"

#include "base/check.h"
#include "http/proxy_config.h"

namespace candela::gateway {

const ConfigSchema& settings_schema() {
    static const ConfigSchema schema = [] {
        ConfigSchema made(
            {config_address("listen", "127.0.0.1:8080", "Where clients are served over HTTP."),
             tls_key(), access_log_key()});
        http::add_proxy_keys(made);
        return made;
    }();
    return schema;
}

void check_settings(const Config& config, ConfigProblems& problems) {
    http::check_proxy_keys(config, problems);
    check_tls_settings(config, problems);
}

Settings read_settings(const Config& config) {
    Settings settings;
    auto listen = Address::parse(config.string("listen"));
    CANDELA_CHECK(listen.has_value());
    settings.listen = std::move(*listen);
    settings.tls = read_tls_settings(config);
    settings.access_log = read_access_log_settings(config);
    settings.proxy = http::read_proxy_options(config);
    return settings;
}

}  // namespace candela::gateway
