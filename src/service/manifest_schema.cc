#include "service/manifest_schema.h"

#include <string>

#include "service/build_spec.h"
#include "service/job_read.h"
#include "service/manifest.h"
#include "service/value_read.h"

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
        config_string("network", "host",
                      "host: the machine's; none: a loopback of its own, at which it is served as "
                      "ever and finds the bus, and from which it reaches nothing else.")
            .one_of({"host", "none"}),
    });
}

ConfigSchema container_schema() {
    return ConfigSchema({
        config_string("network", "",
                      "own: a network of its own, of which $PORT is published on loopback; host: "
                      "the machine's. Default: own; host of a bus service, which needs the bus.")
            .one_of({"", "own", "host"}),
        config_int("port", "0", "Where it listens in its own network; 0: on $PORT.")
            .range("0", "65535"),
        config_string("user", "", "Whom it runs as, such as 1000; empty: whom the image says."),
        config_bool("read_only", "true", "Its root can't be written to."),
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

ConfigSchema analysis_schema() {
    return ConfigSchema({
        config_int("requests_min", "100",
                   "How many each of the two must have answered before anything is concluded.")
            .range("10", "1000000"),
        config_float("error_rate_max", "100",
                     "The percent of the canary's answers that may be failures; 100: any.")
            .range("0", "100"),
        config_float("error_rate_above_old_max", "1",
                     "By how many percent points it may lie above the old release's; 100: any.")
            .range("0", "100"),
        config_duration("p99_max", "0s", "In what time 99 of 100 answers begin; 0s: any."),
        config_int("p99_above_old_max", "100",
                   "By how many percent that may lie above the old release's; 0: any.")
            .range("0", "10000"),
        config_duration("timeout", "1h",
                        "How long it may take; what is not proven by then is rolled back."),
    });
}

ConfigSchema update_schema() {
    return ConfigSchema({
        config_string("strategy", "rolling", "How a new release takes over.")
            .one_of({"rolling", "blue-green", "canary"}),
        config_int("canary_percent", "10", "Of a canary: the share of instances, at least one.")
            .range("1", "100"),
        config_int("canary_weight", "0",
                   "Of a canary: its percent of the requests; 0: as its number of instances.")
            .range("0", "99"),
        config_string("promote", "auto", "Who lets a canary, or green, take over.")
            .one_of({"auto", "hand"}),
        config_duration("promote_after", "",
                        "How long it must have been well before it does by itself. Default: 5m "
                        "of a canary, 0s of green."),
        config_table("analysis", analysis_schema(),
                     "Of a canary: it is judged by its own error rate and latency."),
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

ConfigSchema resources_schema() {
    return ConfigSchema({
        config_float("cpu", "0", "Cores that one instance takes, such as 0.5; 0: none set aside.")
            .range("0", "1024"),
        config_size("memory", "0", "Memory that one instance takes; 0: none set aside."),
    });
}

ConfigSchema placement_schema() {
    return ConfigSchema({
        config_strings("constraints", {},
                       "What a host's labels must be: \"disk=ssd\", \"zone!=b\", \"gpu\", "
                       "\"!gpu\".")
            .at_most(kLabelRulesMax),
        config_strings("affinities", {}, "The same, of the hosts to be preferred.")
            .at_most(kLabelRulesMax),
        config_string("spread", "", "The label over whose values instances are spread evenly."),
    });
}

}  // namespace

const ConfigSchema& manifest_schema() {
    static const ConfigSchema schema({
        config_string("name", "", "[a-z][a-z0-9-]{0,62}, unique in its space."),
        config_string("kind", "http", "What it is.").one_of({"http", "bus", "job", "static"}),
        config_strings("command", {}, "Program and arguments, run in the bundle's folder."),
        config_string("driver", "process", "What runs it.").one_of({"process", "docker"}),
        config_string("image", "", "Of driver docker: the image, such as nginx:1.27."),
        config_string("root", ".", "Of a static service: the folder that is served."),
        config_string("protocol", "http1",
                      "Of an http service: what it speaks on $PORT; h2c is HTTP/2 without TLS.")
            .one_of({"http1", "h2c"}),
        config_string("proxy_protocol", "none",
                      "What tells an http service who the client is, first on each connection.")
            .one_of({"none", "v1", "v2"}),
        config_int("instances", "1", "How many copies run.").range("0", kCount),
        config_string_map("env", "Environment of the program."),
        config_table("probe", probe_schema(), "How candela knows that an instance is well."),
        config_table("stop", stop_schema(), "How an instance is stopped."),
        config_table("sandbox", sandbox_schema(), "The walls around an instance."),
        config_table("container", container_schema(), "Of driver docker: the container."),
        config_table("limits", limits_schema(), "What an instance may take."),
        config_table("update", update_schema(), "How a new release replaces the old."),
        config_string_map("errors", "Pages for the gateway's own answers: status and file.")
            .at_most(kErrorPagesMax),
        config_string_map("error_pages", "The same, status and page.").at_most(kErrorPagesMax),
        config_table("maintenance", maintenance_schema(), "While ctl maintenance is on."),
        config_table("resources", resources_schema(), "What one instance takes of its host."),
        config_table("placement", placement_schema(), "Where instances may and should run."),
        config_table("build", build_schema(), "How ctl deploy makes the bundle of the folder."),
        config_tables("job", job_schema(), "What runs to its end, by hand or a schedule."),
        config_tables("secret", value_schema(), "A secret of the space; may be repeated."),
        config_tables("config", value_schema(), "A config value of the space; may be repeated."),
        config_tables("route", route_schema(), "Where requests come from; may be repeated."),
    });
    return schema;
}

}  // namespace candela::service
