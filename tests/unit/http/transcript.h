#pragma once

// What a parser made of some bytes, as text, so that two runs can be compared.

#include <string>
#include <string_view>

#include "http/h1_parser.h"

namespace candela::http::test {

inline std::string describe(const RequestHead& head) {
    std::string out =
        head.method + " " + head.target + (head.version == Version::kHttp10 ? " 1.0" : " 1.1");
    for (const Headers::Field field : head.headers) {
        out.append("|").append(field.name).append("=").append(field.value);
    }
    return out;
}

inline std::string describe(const ResponseHead& head) {
    std::string out = std::to_string(head.status) + " " + head.reason;
    for (const Headers::Field field : head.headers) {
        out.append("|").append(field.name).append("=").append(field.value);
    }
    return out;
}

// "<head> BODY(<bytes>) END <head> … ERROR 400"; the input is given in pieces of `step` bytes.
template <class Parser>
std::string transcript(Parser& parser, std::string_view input, size_t step, bool finish = false) {
    std::string out;
    std::string body;
    const auto flush = [&] {
        if (!body.empty()) out += "BODY(" + body + ") ";
        body.clear();
    };
    while (!input.empty()) {
        std::string_view piece = input.substr(0, step);
        input.remove_prefix(piece.size());
        for (bool more = true; more;) {
            switch (parser.parse(piece)) {
                case ParseEvent::kNeedMore:
                    if (!piece.empty()) return out + "LEFT OVER";
                    more = false;
                    break;
                case ParseEvent::kHead: out += describe(parser.head()) + " "; break;
                case ParseEvent::kBody: body += parser.body(); break;
                case ParseEvent::kComplete:
                    flush();
                    out += parser.framing().upgrade ? "UPGRADE " : "END ";
                    if (parser.framing().upgrade) return out;
                    break;
                case ParseEvent::kError:
                    flush();
                    return out + "ERROR " + std::to_string(parser.error().status);
            }
        }
    }
    if (finish) {
        const ParseEvent event = parser.finish();
        flush();
        if (event == ParseEvent::kComplete) out += "END ";
        if (event == ParseEvent::kError) out += "CUT OFF";
    }
    flush();
    return out;
}

inline std::string request_transcript(std::string_view input, size_t step = SIZE_MAX) {
    RequestParser parser;
    return transcript(parser, input, step, true);
}

inline std::string response_transcript(std::string_view input, size_t step = SIZE_MAX,
                                       bool head_request = false, bool upgrade = false) {
    ResponseParser parser;
    parser.expect(head_request, upgrade);
    return transcript(parser, input, step, true);
}

}  // namespace candela::http::test
