#include "base/log_line.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "base/time.h"

namespace candela {

namespace {

enum class Meaning : uint8_t { kNone, kLevel, kOtelLevel, kPythonLevel, kMessage, kTrace, kTime };

struct KnownName {
    std::string_view name;
    Meaning meaning;
};

// In lower case, without '.', '_', '-' and a leading '@'.
constexpr std::array kNames{
    KnownName{"l", Meaning::kLevel},
    KnownName{"level", Meaning::kLevel},
    KnownName{"lvl", Meaning::kLevel},
    KnownName{"severity", Meaning::kLevel},
    KnownName{"severitytext", Meaning::kLevel},
    KnownName{"levelname", Meaning::kLevel},
    KnownName{"loglevel", Meaning::kLevel},
    KnownName{"severitynumber", Meaning::kOtelLevel},
    KnownName{"levelno", Meaning::kPythonLevel},
    KnownName{"m", Meaning::kMessage},
    KnownName{"msg", Meaning::kMessage},
    KnownName{"message", Meaning::kMessage},
    KnownName{"body", Meaning::kMessage},
    KnownName{"event", Meaning::kMessage},
    KnownName{"mt", Meaning::kMessage},
    KnownName{"shortmessage", Meaning::kMessage},
    KnownName{"traceid", Meaning::kTrace},
    KnownName{"oteltraceid", Meaning::kTrace},
    KnownName{"xtraceid", Meaning::kTrace},
    KnownName{"traceparent", Meaning::kTrace},
    KnownName{"tr", Meaning::kTrace},
    KnownName{"logginggoogleapiscom/trace", Meaning::kTrace},
    KnownName{"t", Meaning::kTime},
    KnownName{"ts", Meaning::kTime},
    KnownName{"time", Meaning::kTime},
    KnownName{"timestamp", Meaning::kTime},
    KnownName{"timeunixnano", Meaning::kTime},
};
constexpr size_t kNameMax = 26;

Meaning meaning_of(std::string_view name) {
    if (name.size() > kNameMax + 6) return Meaning::kNone;
    char plain[kNameMax];
    size_t size = 0;
    for (const char c : name) {
        if (c == '.' || c == '_' || c == '-' || (c == '@' && size == 0)) continue;
        if (size == sizeof plain) return Meaning::kNone;
        plain[size++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    const std::string_view wanted(plain, size);
    for (const KnownName& known : kNames) {
        if (known.name == wanted) return known.meaning;
    }
    return Meaning::kNone;
}

bool is_quoted(std::string_view value) {
    return value.size() >= 2 && value.front() == '"' && value.back() == '"';
}
std::string_view inner(std::string_view quoted) { return quoted.substr(1, quoted.size() - 2); }

std::optional<double> number_of(std::string_view text) {
    if (text.empty() || text.size() > 30) return std::nullopt;
    double value = 0;
    double scale = 1;
    bool has_point = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c >= '0' && c <= '9') {
            value = value * 10 + (c - '0');
            if (has_point) scale *= 10;
        } else if (c == '.' && !has_point && i > 0) {
            has_point = true;
        } else if ((c == 'e' || c == 'E') && i > 0) {
            // zap writes seconds as 1.7e9 at times.
            const bool is_minus = i + 1 < text.size() && text[i + 1] == '-';
            const bool has_sign = is_minus || (i + 1 < text.size() && text[i + 1] == '+');
            const auto power = parse_uint(text.substr(i + (has_sign ? 2 : 1)));
            if (!power || *power > 20) return std::nullopt;
            const double by = std::pow(10.0, static_cast<double>(*power));
            return is_minus ? value / scale / by : value / scale * by;
        } else {
            return std::nullopt;
        }
    }
    return value / scale;
}

LineLevel level_of_number(double number, Meaning meaning) {
    constexpr std::array kLevels{LineLevel::kTrace, LineLevel::kDebug, LineLevel::kInfo,
                                 LineLevel::kWarn,  LineLevel::kError, LineLevel::kFatal};
    const int n = static_cast<int>(std::min(number, 1000.0));
    if (meaning == Meaning::kOtelLevel) {  // four numbers each, from 1
        return n >= 1 && n <= 24 ? kLevels[static_cast<size_t>((n - 1) / 4)] : LineLevel::kUnknown;
    }
    if (meaning == Meaning::kPythonLevel) {  // DEBUG is 10, CRITICAL 50
        if (n < 10) return LineLevel::kTrace;
        return n < 60 ? kLevels[static_cast<size_t>(n / 10)] : LineLevel::kFatal;
    }
    if (n < 8) {  // RFC 5424 §6.2.1
        constexpr std::array kSyslog{LineLevel::kFatal, LineLevel::kFatal, LineLevel::kFatal,
                                     LineLevel::kError, LineLevel::kWarn,  LineLevel::kInfo,
                                     LineLevel::kInfo,  LineLevel::kDebug};
        return kSyslog[static_cast<size_t>(n)];
    }
    if (n < 10) return LineLevel::kUnknown;
    return n < 70 ? kLevels[static_cast<size_t>(std::min(n / 10 - 1, 5))] : LineLevel::kUnknown;
}

LineLevel level_of_value(std::string_view value, Meaning meaning) {
    if (is_quoted(value)) {
        const std::string_view text = inner(value);
        if (const auto level = parse_line_level(text)) return *level;
        // slog: "INFO+2".
        return parse_line_level(text.substr(0, text.find_first_of("+-")))
            .value_or(LineLevel::kUnknown);
    }
    const auto number = number_of(value);
    return number ? level_of_number(*number, meaning) : LineLevel::kUnknown;
}

// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
std::optional<int64_t> time_of_value(std::string_view value) {
    const std::string_view text = is_quoted(value) ? inner(value) : value;
    if (auto number = number_of(text)) {
        while (*number > 4e12) *number /= 1000;
        if (*number < 4e9) *number *= 1000;
        return *number < 1e11 ? std::nullopt : std::optional(static_cast<int64_t>(*number));
    }
    const auto time = parse_rfc3339(text);
    if (!time) return std::nullopt;
    return unix_millis(*time);
}

bool is_hex(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    });
}

// ---- plain lines

bool is_of_timestamp(std::string_view token) {
    bool has_digit = false;
    for (const char c : token) {
        if (c >= '0' && c <= '9') {
            has_digit = true;
        } else if (std::string_view("-:./,TZ+[]()").find(c) == std::string_view::npos) {
            return false;
        }
    }
    return has_digit;
}

bool is_upper_word(std::string_view word) {
    return std::ranges::all_of(word, [](char c) { return c >= 'A' && c <= 'Z'; });
}

LineLevel level_of_prefix(std::string_view line) {
    constexpr size_t kLookAt = 120;
    std::string_view rest = line.substr(0, kLookAt);
    // sd-daemon(3): "<4>text".
    if (rest.size() > 3 && rest[0] == '<' && rest[2] == '>' && rest[1] >= '0' && rest[1] <= '7') {
        return level_of_number(rest[1] - '0', Meaning::kLevel);
    }
    // glog: "W0102 15:04:05.678 …".
    if (rest.size() > 6 && rest[5] == ' ' && is_of_timestamp(rest.substr(1, 4))) {
        switch (rest[0]) {
            case 'I': return LineLevel::kInfo;
            case 'W': return LineLevel::kWarn;
            case 'E': return LineLevel::kError;
            case 'F': return LineLevel::kFatal;
            default: break;
        }
    }
    for (int tokens = 0; tokens < 4; ++tokens) {
        rest = trim(rest);
        const size_t end = std::min(rest.find(' '), rest.size());
        std::string_view token = rest.substr(0, end);
        if (token.empty()) break;
        if (is_of_timestamp(token)) {
            rest.remove_prefix(end);
            continue;
        }
        const bool is_marked = token.front() == '[' || token.front() == '(' || token.back() == ':';
        while (!token.empty() && (token.front() == '[' || token.front() == '('))
            token.remove_prefix(1);
        // "[ERROR]", "error:", "WARN|", "[info]:".
        token = token.substr(0, token.find_first_of(":]|)"));
        if (!is_marked && !is_upper_word(token)) break;
        const auto level = parse_line_level(token);
        if (level && (is_marked || token.size() > 1)) return *level;
        break;
    }
    return LineLevel::kUnknown;
}

// What follows "name=" in a logfmt line; empty where it has none.
std::string_view logfmt_value(std::string_view line, std::string_view name) {
    size_t at = 0;
    while ((at = line.find(name, at)) != std::string_view::npos) {
        const bool begins = at == 0 || line[at - 1] == ' ';
        at += name.size();
        if (!begins || at >= line.size() || line[at] != '=') continue;
        std::string_view value = line.substr(at + 1);
        if (value.starts_with('"')) value.remove_prefix(1);
        return value.substr(0, value.find_first_of(" \"\t"));
    }
    return {};
}

// "trace_id=…", "traceId: …", "trace-id …", or a traceparent anywhere.
TraceId trace_in_text(std::string_view line) {
    TraceId found;
    for (size_t at = 0; (at = line.find("race", at)) != std::string_view::npos;) {
        at += 4;
        std::string_view rest = line.substr(at);
        if (rest.starts_with("parent"))
            rest.remove_prefix(6);
        else {
            if (rest.starts_with('_') || rest.starts_with('-') || rest.starts_with('.'))
                rest.remove_prefix(1);
            const bool is_id =
                rest.starts_with("id") || rest.starts_with("ID") || rest.starts_with("Id");
            if (!is_id) continue;
            rest.remove_prefix(2);
        }
        const size_t begin = rest.find_first_not_of("\"'\\ :=[(");
        if (begin == 0 || begin == std::string_view::npos || begin > 4) continue;
        rest.remove_prefix(begin);
        const size_t end =
            std::min(rest.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
                     rest.size());
        found = parse_trace_id(rest.substr(0, end));
        if (found.size > 0) return found;
    }
    constexpr size_t kParentSize = 55;
    for (size_t at = 0; (at = line.find("00-", at)) != std::string_view::npos; ++at) {
        const std::string_view rest = line.substr(at, kParentSize);
        if (rest.size() < kParentSize) break;
        if (rest[35] == '-' && rest[52] == '-' && is_hex(rest.substr(3, 32)) &&
            is_hex(rest.substr(36, 16)) && is_hex(rest.substr(53))) {
            return parse_trace_id(rest);
        }
    }
    return found;
}

LineFacts read_plain(std::string_view line) {
    LineFacts facts;
    facts.level = level_of_prefix(line);
    for (const std::string_view name : {"level", "lvl", "severity"}) {
        if (facts.level != LineLevel::kUnknown) break;
        facts.level = parse_line_level(logfmt_value(line, name)).value_or(LineLevel::kUnknown);
    }
    facts.trace_id = trace_in_text(line);
    return facts;
}

// ---- structured lines

TraceId trace_of_value(std::string_view value) {
    if (!is_quoted(value)) return {};
    std::string_view text = inner(value);
    // projects/<project>/traces/<id>.
    if (const size_t slash = text.rfind('/'); slash != std::string_view::npos)
        text.remove_prefix(slash + 1);
    return parse_trace_id(text);
}

// Elastic's {"log": {"level": …}} and {"trace": {"id": …}}; Zipkin's and Datadog's nest alike.
void read_nested(std::string_view name, std::string_view value, LineFacts& facts) {
    if (value.front() != '{') return;
    const bool is_log = name == "log";
    const bool is_trace = name == "trace" || name == "trace_context" || name == "span";
    if (!is_log && !is_trace) return;
    JsonMembers members(value);
    while (members.next()) {
        if (is_log && members.name() == "level" && facts.level == LineLevel::kUnknown)
            facts.level = level_of_value(members.value(), Meaning::kLevel);
        const bool is_id = (name == "trace" && members.name() == "id") ||
                           meaning_of(members.name()) == Meaning::kTrace;
        if (is_trace && is_id && facts.trace_id.size == 0)
            facts.trace_id = trace_of_value(members.value());
    }
}

void take_fact(std::string_view name, std::string_view value, LineFacts& facts) {
    if (value.empty()) return;
    const Meaning meaning = meaning_of(name);
    switch (meaning) {
        case Meaning::kLevel:
        case Meaning::kOtelLevel:
        case Meaning::kPythonLevel:
            if (facts.level == LineLevel::kUnknown) facts.level = level_of_value(value, meaning);
            break;
        case Meaning::kTrace:
            if (facts.trace_id.size == 0) facts.trace_id = trace_of_value(value);
            break;
        case Meaning::kTime:
            if (!facts.time_ms) facts.time_ms = time_of_value(value);
            break;
        case Meaning::kMessage: break;
        case Meaning::kNone: read_nested(name, value, facts); break;
    }
}

// Of several members that may be one the plainest name wins: an "event" is a message only where
// nothing else is.
int message_rank(std::string_view name) {
    if (name == "msg" || name == "message") return 3;
    if (name == "event" || name == "@mt") return 1;
    return 2;
}

// OpenTelemetry's body: {"stringValue": "…"}.
std::string_view message_of_value(std::string_view value) {
    if (is_quoted(value)) return value;
    if (value.empty() || value.front() != '{') return {};
    JsonMembers members(value);
    while (members.next()) {
        if (members.name() == "stringValue" && is_quoted(members.value())) return members.value();
    }
    return {};
}

}  // namespace

std::string_view to_string(LineLevel level) {
    constexpr std::array<std::string_view, 7> kTexts{"",     "trace", "debug", "info",
                                                     "warn", "error", "fatal"};
    return kTexts[static_cast<size_t>(level)];
}

std::optional<LineLevel> parse_line_level(std::string_view text) {
    struct Known {
        std::string_view name;
        LineLevel level;
    };
    static constexpr std::array kKnown{
        Known{"trace", LineLevel::kTrace},        Known{"trc", LineLevel::kTrace},
        Known{"verbose", LineLevel::kTrace},      Known{"finest", LineLevel::kTrace},
        Known{"debug", LineLevel::kDebug},        Known{"dbg", LineLevel::kDebug},
        Known{"fine", LineLevel::kDebug},         Known{"info", LineLevel::kInfo},
        Known{"inf", LineLevel::kInfo},           Known{"information", LineLevel::kInfo},
        Known{"informational", LineLevel::kInfo}, Known{"notice", LineLevel::kInfo},
        Known{"warn", LineLevel::kWarn},          Known{"warning", LineLevel::kWarn},
        Known{"wrn", LineLevel::kWarn},           Known{"error", LineLevel::kError},
        Known{"err", LineLevel::kError},          Known{"severe", LineLevel::kError},
        Known{"fatal", LineLevel::kFatal},        Known{"critical", LineLevel::kFatal},
        Known{"crit", LineLevel::kFatal},         Known{"alert", LineLevel::kFatal},
        Known{"emerg", LineLevel::kFatal},        Known{"emergency", LineLevel::kFatal},
        Known{"panic", LineLevel::kFatal},        Known{"dpanic", LineLevel::kFatal},
        Known{"ftl", LineLevel::kFatal},
    };
    if (text.size() < 3 || text.size() > 13) return std::nullopt;
    for (const Known& known : kKnown) {
        if (ascii_iequals(known.name, text)) return known.level;
    }
    return std::nullopt;
}

TraceId parse_trace_id(std::string_view text) {
    TraceId id;
    constexpr size_t kParentSize = 55;
    if (text.size() >= kParentSize && text[2] == '-' && text[35] == '-' && text[52] == '-')
        text = text.substr(3, 32);
    if (text.size() < 8 || text.size() > TraceId::kSizeMax) return id;
    const bool is_uuid = text.size() == 36 && text[8] == '-' && text[13] == '-' &&
                         text[18] == '-' && text[23] == '-';
    bool is_all_zeros = true;
    for (const char c : text) {
        const bool is_digit = c >= '0' && c <= '9';
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_digit && !is_letter && c != '-' && c != '_') return TraceId();
        if (c != '0' && c != '-') is_all_zeros = false;
        if (is_uuid && c == '-') continue;
        id.text[id.size++] = c;
    }
    if (is_all_zeros) return TraceId();  // "there is none", in several loggers
    if (id.size == 32 && is_hex(id.view())) {
        for (char& c : id.text) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
    }
    return id;
}

LineFacts read_line(std::string_view line) {
    const std::string_view text = trim(line);
    if (text.starts_with('{') && text.ends_with('}')) {
        LineFacts facts;
        JsonMembers members(text);
        while (members.next()) take_fact(members.name(), members.value(), facts);
        if (members.is_whole()) {
            facts.is_structured = true;
            return facts;
        }
    }
    return read_plain(line);
}

std::optional<LineParts> split_line(std::string_view line) {
    const std::string_view text = trim(line);
    if (!text.starts_with('{') || !text.ends_with('}') || !is_valid_utf8(text)) return std::nullopt;
    std::string_view message;
    std::string_view message_name;
    JsonMembers looking(text);
    while (looking.next()) {
        if (meaning_of(looking.name()) != Meaning::kMessage) continue;
        const std::string_view found = message_of_value(looking.value());
        if (found.empty()) continue;
        if (!message_name.empty() && message_rank(looking.name()) <= message_rank(message_name))
            continue;
        message = found;
        message_name = looking.name();
    }
    if (!looking.is_whole()) return std::nullopt;
    LineParts parts;
    parts.message = message;
    JsonMembers members(text);
    while (members.next()) {
        const Meaning meaning = meaning_of(members.name());
        const bool is_told = (meaning != Meaning::kNone && meaning != Meaning::kMessage) ||
                             members.name().data() == message_name.data();
        if (is_told) continue;
        if (!parts.fields.empty()) parts.fields += ',';
        parts.fields += '"';
        parts.fields += members.name();
        parts.fields += "\":";
        parts.fields += members.value();
    }
    return parts;
}

}  // namespace candela
