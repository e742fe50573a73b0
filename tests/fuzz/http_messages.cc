// Requests and responses: whole input and split input must give the same events, and nothing may
// crash.

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "http/transcript.h"

using namespace candela::http;

namespace {

// In pieces whose sizes follow from the input's own bytes.
template <class Parser>
std::string split_transcript(Parser& parser, std::string_view input, uint8_t seed) {
    return test::transcript(parser, input, 1 + seed % 17, true);
}

// Which limit a message meets first may depend on the pieces; that it is refused may not.
std::string verdict(std::string transcript) {
    for (const std::string_view limit : {"ERROR 414", "ERROR 431"}) {
        const size_t at = transcript.find(limit);
        if (at != std::string::npos) transcript.replace(at, limit.size(), "ERROR 400");
    }
    return transcript;
}

void check(const std::string& whole, const std::string& split) {
    if (verdict(whole) == verdict(split)) return;
    std::fprintf(stderr, "whole: %s\nsplit: %s\n", whole.c_str(), split.c_str());
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const uint8_t mode = data[0];
    const uint8_t seed = data[1];
    const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
    ParserLimits limits;
    if ((mode & 1) != 0) {
        limits.head_bytes_max = 200;
        limits.target_bytes_max = 40;
        limits.field_count_max = 5;
        limits.chunk_overhead_bytes_max = 100;
    }
    if ((mode & 2) != 0) {
        RequestParser whole(limits);
        RequestParser split(limits);
        check(test::transcript(whole, input, SIZE_MAX, true), split_transcript(split, input, seed));
    } else {
        ResponseParser whole(limits);
        ResponseParser split(limits);
        whole.expect((mode & 4) != 0, (mode & 8) != 0);
        split.expect((mode & 4) != 0, (mode & 8) != 0);
        check(test::transcript(whole, input, SIZE_MAX, true), split_transcript(split, input, seed));
    }
    return 0;
}
