// The NATS protocol of both sides: input cut anywhere is read as the whole is, and nothing crashes.
// The first byte says how it is cut.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "auth/permissions.h"
#include "bus/message.h"
#include "bus/protocol.h"
#include "bus/subject.h"
#include "bus/tunnel_frame.h"

using namespace candela;
using namespace candela::bus;

namespace {

struct Recorder {
    bool on_line(const Line& line, std::string_view headers, std::string_view payload) {
        text += std::to_string(static_cast<int>(line.operation));
        for (const std::string_view part : {line.text, line.subject, line.reply, line.queue,
                                            line.sid, line.max, headers, payload}) {
            text += '|';
            text += part;
        }
        find_header(headers, "A");
        header_status(headers);
        decode_tunnel_frame(payload);
        return ++count < 1000;
    }
    std::string text;
    int count = 0;
};

template <class R>
std::string read(std::string_view input, size_t piece) {
    R reader(64 * 1024);
    Recorder recorder;
    while (!input.empty()) {
        const std::string_view part = input.substr(0, piece);
        input.remove_prefix(part.size());
        if (const auto error = reader.feed(part, recorder)) {
            return recorder.text + "!" + std::to_string(static_cast<int>(*error));
        }
        if (recorder.count >= 1000) break;
    }
    return recorder.text;
}

void check(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const size_t piece = size_t{data[0]} + 1;
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    check(read<ServerReader>(input, piece) == read<ServerReader>(input, SIZE_MAX));
    check(read<ClientReader>(input, piece) == read<ClientReader>(input, SIZE_MAX));
    const size_t middle = input.find('\n');
    if (middle != std::string_view::npos) {
        const std::string_view a = input.substr(0, middle), b = input.substr(middle + 1, 256);
        // What lies within something overlaps with it, and matching agrees where there are no
        // wildcards.
        if (is_valid_pattern(a) && is_valid_pattern(b)) {
            if (auth::pattern_contains(a, b)) check(auth::patterns_overlap(a, b));
            check(auth::patterns_overlap(a, b) == auth::patterns_overlap(b, a));
            if (!has_wildcard(b))
                check(auth::pattern_contains(a, b) == auth::subject_matches(a, b));
        }
    }
    return 0;
}
