// What a stream's configuration must satisfy, with nats-server's errors.

#include <algorithm>

#include "auth/permissions.h"
#include "base/json.h"
#include "bus/subject.h"
#include "stream_config.h"
#include "subject_transform.h"

namespace candela::bus_role {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDuplicateWindow = 120 * kSecond;
constexpr int64_t kDuplicateWindowMin = kSecond / 10;

using Problem = SubjectTransform::Problem;

JsResult<void> refuse(std::string text) {
    return js_fail(js_errors::stream_config(std::move(text)));
}

// A stream that acknowledges what it takes would answer for others where it takes their requests.
JsResult<void> check_acknowledged(std::string_view subject) {
    const auto is_within = [&](std::string_view pattern) {
        return auth::pattern_contains(pattern, subject);
    };
    if (subject == ">") return refuse("capturing all subjects requires no-ack to be true");
    if ((is_within("$JS.>") || is_within("$JSC.>")) && !is_within("$JS.EVENT.>")) {
        return refuse("subjects that overlap with jetstream api require no-ack to be true");
    }
    if (is_within("$SYS.>") && !is_within("$SYS.ACCOUNT.>")) {
        return refuse("subjects that overlap with system api require no-ack to be true");
    }
    return {};
}

JsResult<void> check_subjects(const StreamConfig& config) {
    for (size_t i = 0; i < config.subjects.size(); ++i) {
        const std::string& subject = config.subjects[i];
        if (!bus::is_valid_pattern(subject)) return refuse("invalid subject");
        if (!config.no_ack) {
            if (JsResult<void> allowed = check_acknowledged(subject); !allowed) return allowed;
        }
        for (size_t j = 0; j < i; ++j) {
            if (subject == config.subjects[j]) return refuse("duplicate subjects detected");
            if (auth::patterns_overlap(subject, config.subjects[j])) {
                return refuse(fmt::format("subject \"{}\" overlaps with \"{}\"", subject,
                                          config.subjects[j]));
            }
        }
    }
    return {};
}

JsResult<void> check_times(StreamConfig& config) {
    // A negative age fails at the window that it would make, or at the one that is given.
    if (config.age_max > 0 && config.age_max < kDuplicateWindowMin) {
        return refuse("max age needs to be >= 100ms");
    }
    if (config.duplicate_window == 0 && !config.mirror) {
        config.duplicate_window = kDuplicateWindow;
        if (config.age_max != 0)
            config.duplicate_window = std::min(config.age_max, kDuplicateWindow);
    }
    if (config.duplicate_window < 0) return refuse("duplicates window can not be negative");
    if (config.age_max != 0 && config.duplicate_window > config.age_max) {
        return refuse("duplicates window can not be larger then max age");
    }
    if (config.duplicate_window != 0 && config.duplicate_window < kDuplicateWindowMin) {
        return refuse("duplicates window needs to be >= 100ms");
    }
    if (config.marker_ttl < 0) return refuse("subject delete marker TTL must not be negative");
    if (config.marker_ttl == 0) return {};
    if (config.marker_ttl < kSecond) {
        return refuse("subject delete marker TTL must be at least 1 second");
    }
    if (config.mirror) return refuse("subject delete markers forbidden on mirrors");
    // What nats-server sets along with it.
    config.allow_ttl = config.allow_rollup = true;
    return {};
}

JsResult<void> check_transform(const StreamConfig& config) {
    if (!config.transform) return {};
    if (config.mirror) {
        return js_fail(js_errors::stream_config("stream mirrors can not have subject transforms"));
    }
    const auto made =
        SubjectTransform::create(config.transform->source, config.transform->destination);
    if (made) return {};
    const Problem& problem = made.error();
    if (problem.is_of_source) {
        return js_fail({400, 10155, "stream transform source: " + problem.text});
    }
    return js_fail({400, 10156, "stream transform: " + problem.text});
}

JsResult<void> check_republish(const StreamConfig& config) {
    if (!config.republish) return {};
    const std::string& destination = config.republish->destination;
    const auto made = SubjectTransform::create(config.republish->source, destination);
    if (!made) {
        return refuse("stream configuration for republish with transform from \"" +
                      config.republish->source + "\" to \"" + destination + "\" not valid");
    }
    // The text of a destination with functions in it may be any subject.
    const bool has_functions = destination.find("{{") != std::string::npos;
    for (const std::string& subject : config.subjects) {
        const bool cycles = !has_functions && bus::is_valid_pattern(destination) &&
                            auth::patterns_overlap(subject, destination);
        if (cycles) return refuse("stream configuration for republish destination forms a cycle");
    }
    return {};
}

struct SourceErrors {
    int name, filter, transform_source, transform_destination, overlap;
    const char* word;
    const char* name_text;
    const char* filter_text;
    const char* overlap_text;
};
constexpr SourceErrors kOfMirror{10142,
                                 10150,
                                 10151,
                                 10154,
                                 10152,
                                 "mirror",
                                 "mirrored stream name is invalid",
                                 "mirror with multiple subject transforms cannot also have a "
                                 "single subject filter",
                                 "mirror subject filters can not overlap"};
constexpr SourceErrors kOfSource{10141,
                                 10144,
                                 10145,
                                 10146,
                                 10147,
                                 "source",
                                 "sourced stream name is invalid",
                                 "source with multiple subject transforms cannot also have a "
                                 "single subject filter",
                                 "source filters can not overlap"};

JsResult<void> check_source(const StreamConfig& config, const SourceConfig& source,
                            const SourceErrors& errors) {
    if (!is_valid_js_name(source.name) || source.name == config.name) {
        return js_fail({400, errors.name, errors.name_text});
    }
    if (!source.filter.empty() && !source.transforms.empty()) {
        return js_fail({400, errors.filter, errors.filter_text});
    }
    if (source.start_sequence != 0 && source.start_time != 0) {
        return js_fail({400, 10032,
                        fmt::format("stream {}s can not have both start seq and start "
                                    "time configured",
                                    errors.word)});
    }
    if (!source.filter.empty() && !bus::is_valid_pattern(source.filter)) {
        return js_fail({400, errors.transform_source,
                        fmt::format("{} transform source: invalid subject", errors.word)});
    }
    for (size_t i = 0; i < source.transforms.size(); ++i) {
        const TransformConfig& transform = source.transforms[i];
        for (size_t j = 0; j < i; ++j) {
            const std::string& other = source.transforms[j].source;
            if (!auth::patterns_overlap(transform.source, other)) continue;
            return js_fail({400, errors.overlap, errors.overlap_text});
        }
        if (transform.destination.empty()) {
            if (transform.source.empty() || bus::is_valid_pattern(transform.source)) continue;
            return js_fail({400, errors.transform_source,
                            fmt::format("{} transform source: invalid subject", errors.word)});
        }
        const auto made = SubjectTransform::create(transform.source, transform.destination);
        if (made) continue;
        const Problem& problem = made.error();
        if (problem.is_of_source) {
            return js_fail({400, errors.transform_source,
                            fmt::format("{} transform source: {}", errors.word, problem.text)});
        }
        return js_fail({400, errors.transform_destination,
                        fmt::format("{} transform: {}", errors.word, problem.text)});
    }
    return {};
}

JsResult<void> check_sources(const StreamConfig& config) {
    if (config.mirror) {
        if (!config.subjects.empty()) {
            return js_fail({400, 10034, "stream mirrors can not contain subjects"});
        }
        if (!config.sources.empty()) {
            return js_fail({400, 10031, "stream mirrors can not also contain other sources"});
        }
        if (config.first_sequence != 0) {
            return js_fail({400, 10143, "stream mirrors can not have first sequence configured"});
        }
        if (config.allow_schedules) {
            return js_fail({400, 10186, "stream mirrors can not also schedule messages"});
        }
        return check_source(config, *config.mirror, kOfMirror);
    }
    if (config.sources.size() > kSourcesMax) {
        return refuse(fmt::format("a stream has at most {} sources", kSourcesMax));
    }
    if (!config.sources.empty() && config.allow_schedules) {
        return js_fail({400, 10187, "stream source can not also schedule messages"});
    }
    for (size_t i = 0; i < config.sources.size(); ++i) {
        if (JsResult<void> checked = check_source(config, config.sources[i], kOfSource); !checked) {
            return checked;
        }
        for (size_t j = 0; j < i; ++j) {
            if (config.sources[i].index_name() != config.sources[j].index_name()) continue;
            return js_fail({400, 10140, "duplicate source configuration detected"});
        }
    }
    return {};
}

// A sealed stream changes no more.
void seal(StreamConfig& config) {
    config.age_max = 0;
    config.discard = Discard::kNew;
    config.deny_delete = config.deny_purge = true;
    config.allow_rollup = false;
}

}  // namespace

size_t size_of(const std::map<std::string, std::string>& metadata) {
    size_t out = 0;
    for (const auto& [key, value] : metadata) out += key.size() + value.size();
    return out;
}

JsResult<void> complete(StreamConfig& config) {
    for (int64_t* limit : {&config.consumers_max, &config.messages_max, &config.bytes_max,
                           &config.messages_per_subject_max, &config.message_size_max}) {
        if (*limit == 0 || *limit < -1) *limit = -1;
    }
    if (config.description.size() > kDescriptionMax) {
        return refuse("stream description is too long, maximum allowed is 4096");
    }
    if (size_of(config.metadata) > kMetadataMax) {
        return refuse("stream metadata exceeds maximum size of 128 KiB");
    }
    if (config.first_sequence > static_cast<uint64_t>(INT64_MAX)) {
        return refuse("first sequence is too large");
    }
    if (config.consumer_ack_pending_max < -1 || config.consumer_inactive_threshold < 0) {
        return refuse("consumer limits can not be negative");
    }
    if (JsResult<void> checked = check_sources(config); !checked) return checked;
    if (JsResult<void> checked = check_times(config); !checked) return checked;
    if (config.sealed) seal(config);
    if (config.deny_purge && config.allow_rollup) {
        return refuse("roll-ups require the purge permission");
    }
    if (config.discard_new_per_subject) {
        if (config.discard != Discard::kNew) {
            return refuse("discard new per subject requires discard new policy to be set");
        }
        if (config.messages_per_subject_max <= 0) {
            return refuse("discard new per subject requires max msgs per subject > 0");
        }
    }
    if (config.subjects.empty() && !config.mirror && config.sources.empty()) {
        config.subjects.push_back(config.name);
    }
    if (JsResult<void> checked = check_subjects(config); !checked) return checked;
    if (JsResult<void> checked = check_transform(config); !checked) return checked;
    return check_republish(config);
}

JsResult<void> check_update(const StreamConfig& from, const StreamConfig& to) {
    const auto cannot = [](const char* what) {
        return refuse(fmt::format("stream configuration update can not {}", what));
    };
    if (from.is_file != to.is_file) return cannot("change storage type");
    if (from.retention != to.retention &&
        (from.retention == Retention::kWorkQueue || to.retention == Retention::kWorkQueue)) {
        return cannot("change retention policy to/from workqueue");
    }
    if (from.consumers_max != to.consumers_max) return cannot("change MaxConsumers");
    if (from.sealed && !to.sealed) return cannot("unseal a sealed stream");
    if (from.deny_delete && !to.deny_delete) return cannot("cancel deny message deletes");
    if (from.deny_purge && !to.deny_purge) return cannot("cancel deny purge");
    if (from.allow_ttl && !to.allow_ttl) return cannot("disable message TTL");
    if (from.allow_schedules && !to.allow_schedules) return cannot("disable message schedules");
    if (from.mirror != to.mirror) {
        // It may be promoted, to a stream of its own, and never be turned back.
        if (to.mirror) {
            return js_fail({400, 10055, "stream mirror configuration can not be updated"});
        }
    }
    return {};
}

bool is_valid_js_name(std::string_view name) {
    return !name.empty() && name.size() <= 255 &&
           name.find_first_of(" \t\r\n\f.*>/\\") == std::string_view::npos;
}

std::string format_nanos(int64_t nanos) {
    if (nanos == 0) return "0001-01-01T00:00:00Z";
    std::string out = format_rfc3339(WallTime(Duration(nanos)));
    out.resize(out.size() - 4);  // milliseconds and Z
    return out + fmt::format("{:09}Z", nanos % 1'000'000'000);
}

}  // namespace candela::bus_role
