#include "settings.h"

#include <algorithm>

#include "base/check.h"
#include "http/proxy_config.h"
#include "http/target.h"

namespace candela::loadbalancer {
namespace {

Address address_in(const Config& config, std::string_view key) {
    auto address = Address::parse(config.string(key));
    CANDELA_CHECK(address.has_value());
    return std::move(*address);
}

}  // namespace

const ConfigSchema& settings_schema() {
    static const ConfigSchema schema = [] {
        ConfigSchema made({
            config_address("listen", "127.0.0.1:8090", "Where clients are served over HTTP."),
            config_tables(
                "upstream",
                ConfigSchema({config_address("address", "", "Where it is reached.").required()}),
                "One upstream; may be repeated."),
            config_table(
                "check",
                ConfigSchema({
                    config_string("path", "/", "What is asked for; \"\" asks for nothing."),
                    config_duration("interval", "2s", "Between two checks.").range("100ms", "1h"),
                    config_duration("timeout", "1s", "For the answer.").range("10ms", "1m"),
                    config_int("healthy_after", "2", "Good answers in a row until it is used.")
                        .range("1", "100"),
                    config_int("unhealthy_after", "3", "Failures in a row until it is not.")
                        .range("1", "100"),
                }),
                "How upstreams are checked. Any status below 500 is a good answer."),
            config_duration("hold_timeout", "30s", "How long a request waits for an upstream.")
                .range("0s", "10m"),
            config_int("hold_requests_max", "1000", "How many wait at a time, for each worker.")
                .range("0", "1000000"),
        });
        http::add_proxy_keys(made);
        return made;
    }();
    return schema;
}

void check_settings(const Config& config, ConfigProblems& problems) {
    http::check_proxy_keys(config, problems);
    std::vector<std::string> seen;
    for (const Config& upstream : config.tables("upstream")) {
        const std::string address(upstream.string("address"));
        if (std::find(seen.begin(), seen.end(), address) != seen.end()) {
            problems.add(upstream.position("address"), "upstream {} is listed twice", address);
        }
        seen.push_back(address);
    }
    const Config& check = config.table("check");
    const std::string_view path = check.string("path");
    if (!path.empty() && !http::is_normal_path(http::split_target(path).path)) {
        problems.add(check.position("path"),
                     "path \"{}\" is not a normal path such as \"/healthz\"", path);
    }
}

Settings read_settings(const Config& config) {
    Settings settings;
    settings.listen = address_in(config, "listen");
    for (const Config& upstream : config.tables("upstream")) {
        settings.upstreams.push_back(address_in(upstream, "address"));
    }
    const Config& check = config.table("check");
    settings.check.path = check.string("path");
    settings.check.interval = check.duration("interval");
    settings.check.timeout = check.duration("timeout");
    settings.check.healthy_after = static_cast<int>(check.integer("healthy_after"));
    settings.check.unhealthy_after = static_cast<int>(check.integer("unhealthy_after"));
    settings.pool.hold_timeout = config.duration("hold_timeout");
    settings.pool.hold_requests_max = static_cast<size_t>(config.integer("hold_requests_max"));
    settings.proxy = http::read_proxy_options(config);
    return settings;
}

}  // namespace candela::loadbalancer
