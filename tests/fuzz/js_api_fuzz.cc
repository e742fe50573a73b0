// What the JetStream API reads: configurations as JSON, schedules, times to live and subject
// mappings. The first byte says which. Whatever passes is echoed, and the echo means the same.

#include <cstdint>
#include <cstdlib>
#include <string>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "bus/subject.h"
#include "streams/consumer_config.h"
#include "streams/message_times.h"
#include "streams/schedule_pattern.h"
#include "streams/stream_config.h"
#include "subject_transform.h"

using namespace candela;
using namespace candela::bus_role;

namespace {

void check(bool condition) {
    if (!condition) std::abort();
}

void read_stream(std::string_view input) {
    const Result<Json> json = parse_json(input);
    if (!json) return;
    const JsResult<StreamConfig> config = parse_stream_config(*json, "S");
    if (!config) {
        check(config.error().number >= 10000 && !config.error().text.empty());
        return;
    }
    const Json echo = to_json(*config);
    const JsResult<StreamConfig> again = parse_stream_config(echo, "S");
    check(again.has_value());
    check(to_json(*again) == echo);
    check(check_update(*config, *again).has_value());
}

void read_consumer(std::string_view input) {
    const Result<Json> json = parse_json(input);
    if (!json) return;
    StreamConfig stream;
    stream.name = "S";
    stream.subjects = {"s.>"};
    JsResult<ConsumerConfig> config = parse_consumer_config(*json);
    if (!config || !complete(*config, stream)) return;
    const Json echo = to_json(*config);
    JsResult<ConsumerConfig> again = parse_consumer_config(echo);
    check(again.has_value() && complete(*again, stream).has_value());
    check(to_json(*again) == echo);
    check(what_differs(*config, *again) == nullptr);
}

void read_schedule(std::string_view input) {
    parse_message_ttl(input);
    const auto pattern = SchedulePattern::parse(input);
    if (!pattern || pattern->is_once()) return;
    constexpr int64_t kStart = 1'767'225'600'000'000'000;
    int64_t at = kStart;
    for (int i = 0; i < 5; ++i) {
        const int64_t next = pattern->next(kStart, at);
        if (next == 0) return;  // too far ahead
        check(next > at);
        at = next;
    }
}

// Pattern, destination and subject between line ends.
void read_mapping(std::string_view input) {
    const size_t first = input.find('\n');
    if (first == std::string_view::npos) return;
    const size_t second = input.find('\n', first + 1);
    if (second == std::string_view::npos) return;
    const auto made = SubjectTransform::create(input.substr(0, first),
                                               input.substr(first + 1, second - first - 1));
    const std::string_view subject = input.substr(second + 1);
    if (!made || !bus::is_valid_subject(subject)) return;
    const std::optional<std::string> mapped = made->apply(subject);
    if (mapped) check(bus::is_valid_subject(*mapped));
}

void read_times(std::string_view input) {
    MessageTimes times;
    if (!times.decode(input)) return;
    std::string bytes;
    times.encode(bytes);
    std::string_view rest = bytes;
    MessageTimes again;
    check(again.decode(rest) && rest.empty() && again.size() == times.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 5) {
        case 0: read_stream(input); break;
        case 1: read_consumer(input); break;
        case 2: read_schedule(input); break;
        case 3: read_mapping(input); break;
        default: read_times(input); break;
    }
    return 0;
}
