#include "service/manifest_schema.h"

#include <string>

#include "service/manifest.h"

namespace candela::service {

namespace {

const std::string kCount = std::to_string(kInstancesMax);

ConfigSchema probe_schema() {
    return ConfigSchema({
        config_string("path", "", "GET this path on $PORT; 200 to 399 is well."),
        config_bool("tcp", "false", "Connect to $PORT; the default of http and static services."),
        config_strings("exec", {}, "Run this in the bundle's folder; exit status 0 is well."),
        config_duration("interval", "1s", "From one probe to the next."),
        config_duration("timeout", "500ms", "How long one probe may take."),
        config_duration("start_timeout", "30s", "From the start until the first success."),
    });
}

ConfigSchema stop_schema() {
    return ConfigSchema({
        config_duration("grace", "10s", "From SIGTERM to SIGKILL."),
    });
}

ConfigSchema sandbox_schema() {
    return ConfigSchema({
        config_string("level", "none",
                      "The walls that a host must have to run it; elsewhere it does not run.")
            .one_of({"none", "isolated", "strict"}),
    });
}

ConfigSchema limits_schema() {
    return ConfigSchema({
        config_size("memory", "0B", "Memory of an instance; 0B: what the host gives everyone."),
        config_int("cpu_percent", "0", "Of one core; 0: what the host gives everyone.")
            .range("0", "100000"),
        config_int("pids", "0", "Processes and threads; 0: what the host gives everyone.")
            .range("0", "1000000"),
        config_size(
            "scratch", "0B",
            "What it may write to /tmp and its home, which lie in memory; 0B: what the host "
            "gives everyone."),
    });
}

ConfigSchema update_schema() {
    return ConfigSchema({
        config_string("strategy", "rolling", "How a new release takes over.").one_of({"rolling"}),
        config_int("max_surge", "1", "Instances beyond the wanted number while updating.")
            .range("0", kCount),
        config_int("max_unavailable", "0", "Instances that may be missing while updating.")
            .range("0", kCount),
    });
}

ConfigSchema maintenance_schema() {
    return ConfigSchema({
        config_strings("allow", {}, "Networks that are served all the same.")
            .at_most(kAllowedNetworksMax),
        config_duration("retry_after", "1m", "What the others are told.").range("1s", "24h"),
    });
}

}  // namespace

const ConfigSchema& manifest_schema() {
    static const ConfigSchema schema({
        config_string("name", "", "[a-z][a-z0-9-]{0,62}, unique in its space."),
        config_string("kind", "http", "What it is.").one_of({"http", "bus", "job", "static"}),
        config_strings("command", {}, "Program and arguments, run in the bundle's folder."),
        config_string("root", ".", "Of a static service: the folder that is served."),
        config_string("protocol", "http1",
                      "Of an http service: what it speaks on $PORT; h2c is HTTP/2 without TLS.")
            .one_of({"http1", "h2c"}),
        config_int("instances", "1", "How many copies run.").range("0", kCount),
        config_string_map("env", "Environment of the program."),
        config_table("probe", probe_schema(), "How candela knows that an instance is well."),
        config_table("stop", stop_schema(), "How an instance is stopped."),
        config_table("sandbox", sandbox_schema(), "The walls around an instance."),
        config_table("limits", limits_schema(), "What an instance may take."),
        config_table("update", update_schema(), "How a new release replaces the old."),
        config_string_map("errors", "Pages for the gateway's own answers: status and file.")
            .at_most(kErrorPagesMax),
        config_string_map("error_pages", "The same, status and page.").at_most(kErrorPagesMax),
        config_table("maintenance", maintenance_schema(), "While ctl maintenance is on."),
        config_tables("route", route_schema(), "Where requests come from; may be repeated."),
    });
    return schema;
}

}  // namespace candela::service
