#include "service/session_frame.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela::service {

namespace {

constexpr size_t kHeadBytes = 5;

void put_number(std::string& out, uint32_t number, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(number >> (8 * i) & 0xff);
}

uint32_t get_number(std::string_view bytes, size_t at, size_t size) {
    if (bytes.size() < at + size) return 0;
    uint32_t number = 0;
    for (size_t i = 0; i < size; ++i) {
        number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
    }
    return number;
}

}  // namespace

void add_session_frame(std::string& out, SessionFrame type, std::string_view payload) {
    do {
        const std::string_view part = payload.substr(0, kSessionFrameMax);
        out += static_cast<char>(type);
        put_number(out, static_cast<uint32_t>(part.size()), 4);
        out += part;
        payload.remove_prefix(part.size());
    } while (!payload.empty());
}

std::string session_numbers16(uint16_t first, uint16_t second) {
    std::string out;
    put_number(out, first, 2);
    put_number(out, second, 2);
    return out;
}
std::string session_numbers32(int32_t first, int32_t second) {
    std::string out;
    put_number(out, static_cast<uint32_t>(first), 4);
    put_number(out, static_cast<uint32_t>(second), 4);
    return out;
}
uint16_t session_number16(std::string_view payload, size_t index) {
    return static_cast<uint16_t>(get_number(payload, 2 * index, 2));
}
int32_t session_number32(std::string_view payload, size_t index) {
    return static_cast<int32_t>(get_number(payload, 4 * index, 4));
}

Result<bool> SessionReader::next(SessionFrame& type, std::string_view& payload) {
    const std::string_view rest = std::string_view(buffer_).substr(used_);
    if (rest.size() >= kHeadBytes) {
        const size_t size = get_number(rest, 1, 4);
        if (size > kSessionFrameMax) {
            return fail(Code::kCorrupt, "a frame of {} bytes; at most {}", size, kSessionFrameMax);
        }
        if (rest.size() >= kHeadBytes + size) {
            type = static_cast<SessionFrame>(rest[0]);
            payload = rest.substr(kHeadBytes, size);
            used_ += kHeadBytes + size;
            return true;
        }
    }
    buffer_.erase(0, used_);
    used_ = 0;
    return false;
}

std::string to_text(const SessionWish& wish) {
    const Json json = {{"instance", wish.instance},      {"command", wish.command},
                       {"terminal", wish.has_terminal},  {"rows", wish.window.rows},
                       {"columns", wish.window.columns}, {"kind", wish.terminal_kind}};
    return dump_json(json);
}

Result<SessionWish> parse_session_wish(std::string_view text) {
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    SessionWish wish;
    CANDELA_TRY_ASSIGN(wish.instance, json_string(json, "instance"));
    if (!json.contains("command") || !json["command"].is_array()) {
        return fail(Code::kInvalid, "the command is missing");
    }
    for (const Json& word : json["command"]) {
        if (!word.is_string()) return fail(Code::kInvalid, "the command is no list of texts");
        wish.command.push_back(word.get<std::string>());
    }
    const bool has_nul = std::ranges::any_of(
        wish.command, [](const std::string& word) { return word.find('\0') != std::string::npos; });
    if (wish.command.empty() || wish.command.front().empty() || has_nul ||
        wish.command.size() > kSessionCommandMax) {
        return fail(Code::kInvalid, "the command must have 1 to {} words, without NUL bytes",
                    kSessionCommandMax);
    }
    wish.has_terminal = json_bool_or(json, "terminal", false);
    const auto bounded = [&](const char* key, int64_t fallback) {
        constexpr int64_t kMax = 10'000;
        return static_cast<uint16_t>(
            std::clamp<int64_t>(json_int_or(json, key, fallback), 1, kMax));
    };
    wish.window.rows = bounded("rows", 24);
    wish.window.columns = bounded("columns", 80);
    wish.terminal_kind = json_string_or(json, "kind");
    return wish;
}

}  // namespace candela::service
