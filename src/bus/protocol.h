#pragma once

// The lines of the NATS client protocol, and reading them from a stream of bytes. A reader keeps
// only what is incomplete: a message that lies whole in the input is handed on as views into it,
// without a copy; nothing is allocated per message once the carry buffer has grown to the largest
// that was split. Cutting the input elsewhere never changes what is read. One reader a connection;
// not for several threads.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace candela::bus {

inline constexpr size_t kControlLineMax = 4096;  // of what follows the verb, as nats-server counts
inline constexpr size_t kDefaultPayloadMax = 1024 * 1024;
inline constexpr std::string_view kLineEnd = "\r\n";

enum class ReadError : uint8_t {
    kUnknownOperation,  // 'Unknown Protocol Operation'
    kControlLine,       // 'maximum control line exceeded'
    kPayload,           // 'Maximum Payload Violation'
    kArguments,  // a known operation with arguments that make no sense: nats-server just closes
};

// One line, and the payload that belongs to it. What is meant depends on the operation.
enum class Operation : uint8_t {
    kConnect,
    kPub,
    kHpub,
    kSub,
    kUnsub,
    kPing,
    kPong,  // from clients
    kInfo,
    kMsg,
    kHmsg,
    kOk,
    kErr,  // from servers
};

struct Line {
    Operation operation{};
    std::string_view text;     // CONNECT, INFO: the JSON; -ERR: what follows
    std::string_view subject;  // PUB, HPUB, SUB, MSG, HMSG
    std::string_view reply;    // PUB, HPUB, MSG, HMSG
    std::string_view queue;    // SUB
    std::string_view sid;      // SUB, UNSUB, MSG, HMSG
    std::string_view max;      // UNSUB; empty: at once
    size_t header_bytes = 0;   // HPUB, HMSG
    size_t total_bytes = 0;    // headers and payload together
    bool has_payload = false;
};

// Parses one line without its line end. The views point into it. A server reads what clients send
// and tolerates +OK, -ERR and INFO from them; a client reads what servers send.
std::optional<ReadError> parse_client_line(std::string_view line, Line& out);
std::optional<ReadError> parse_server_line(std::string_view line, Line& out);

// A decimal of up to nine digits, or -1.
inline int64_t parse_count(std::string_view digits) {
    if (digits.empty() || digits.size() > 9) return -1;
    int64_t value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return -1;
        value = value * 10 + (c - '0');
    }
    return value;
}

using LineParser = std::optional<ReadError> (*)(std::string_view line, Line& out);

template <LineParser kParse, size_t kLineMax>
class Reader {
public:
    explicit Reader(size_t payload_max = kDefaultPayloadMax) : payload_max_(payload_max) {}

    void set_payload_max(size_t payload_max) { payload_max_ = payload_max; }

    // Calls handler.on_line(const Line&, std::string_view headers, std::string_view payload) for
    // each operation; it returns false to stop, for instance because the connection was closed: the
    // rest of the input is then dropped. It must not destroy the reader or feed it. An error ends
    // the reader's use.
    template <class Handler>
    std::optional<ReadError> feed(std::string_view input, Handler& handler) {
        while (!input.empty()) {
            bool goes_on = true;
            const std::optional<ReadError> error = carry_.empty()
                                                       ? read_straight(input, handler, goes_on)
                                                       : read_carried(input, handler, goes_on);
            if (error || !goes_on) return error;
        }
        return std::nullopt;
    }

    // Gives back what a large operation has needed; for one that has nothing to read for long.
    void trim() {
        if (carry_.empty()) carry_.shrink_to_fit();
    }

    // Bytes of an operation that is not complete yet.
    size_t carried_bytes() const { return carry_.size(); }

private:
    static constexpr size_t kCarryKept = 64 * 1024;

    static std::string_view without_line_end(std::string_view line) {
        line.remove_suffix(1);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        return line;
    }

    // The length of the line in front, with its line end; 0 where that has not come yet.
    static std::optional<ReadError> find_line(std::string_view text, size_t& length) {
        const size_t searched = text.size() < kLineMax + 2 ? text.size() : kLineMax + 2;
        const void* end = std::memchr(text.data(), '\n', searched);
        length = 0;
        if (end != nullptr) {
            length = static_cast<size_t>(static_cast<const char*>(end) - text.data()) + 1;
        }
        const size_t body =
            length != 0 ? without_line_end(text.substr(0, length)).size() : without_cr(text).size();
        if (body > kLineMax) return too_long(text);
        return std::nullopt;
    }

    // What is no operation at all is that first, however long it is.
    static ReadError too_long(std::string_view text) {
        Line ignored;
        const auto error = kParse(text.substr(0, kLineMax), ignored);
        return error == ReadError::kUnknownOperation ? *error : ReadError::kControlLine;
    }

    static std::string_view without_cr(std::string_view text) {
        if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
        return text;
    }

    std::optional<ReadError> parse(std::string_view line, Line& out) const {
        const std::optional<ReadError> error = kParse(line, out);
        if (error) return error;
        if (out.has_payload && out.total_bytes > payload_max_) return ReadError::kPayload;
        return std::nullopt;
    }

    // `body` is headers, payload and line end.
    template <class Handler>
    std::optional<ReadError> hand_on(const Line& line, std::string_view body, Handler& handler,
                                     bool& goes_on) {
        if (body.substr(line.total_bytes, 2) != kLineEnd) return ReadError::kUnknownOperation;
        goes_on =
            handler.on_line(line, body.substr(0, line.header_bytes),
                            body.substr(line.header_bytes, line.total_bytes - line.header_bytes));
        return std::nullopt;
    }

    template <class Handler>
    std::optional<ReadError> read_straight(std::string_view& input, Handler& handler,
                                           bool& goes_on) {
        size_t length = 0;
        if (const auto error = find_line(input, length)) return error;
        if (length == 0) {
            carry_.assign(input);
            input = {};
            return std::nullopt;
        }
        Line line;
        if (const auto error = parse(without_line_end(input.substr(0, length)), line)) return error;
        if (!line.has_payload) {
            input.remove_prefix(length);
            goes_on = handler.on_line(line, {}, {});
            return std::nullopt;
        }
        const size_t needed = length + line.total_bytes + 2;
        if (input.size() < needed) {
            line_length_ = length;
            needed_ = needed;
            carry_.reserve(needed);
            carry_.assign(input);
            input = {};
            return std::nullopt;
        }
        const std::string_view body = input.substr(length, line.total_bytes + 2);
        input.remove_prefix(needed);
        return hand_on(line, body, handler, goes_on);
    }

    // Completes what was carried over with the front of the input.
    template <class Handler>
    std::optional<ReadError> read_carried(std::string_view& input, Handler& handler,
                                          bool& goes_on) {
        if (needed_ == 0) {
            const size_t end = input.find('\n');
            const size_t taken = end == std::string_view::npos ? input.size() : end + 1;
            // Never more than a line may have: what is beyond is an error all the same.
            const size_t room = kLineMax + 2 > carry_.size() ? kLineMax + 2 - carry_.size() : 0;
            carry_.append(input.substr(0, taken < room ? taken : room));
            input.remove_prefix(taken);
            size_t length = 0;
            if (const auto error = find_line(carry_, length)) return error;
            if (length == 0) return std::nullopt;
            line_length_ = length;
            Line line;
            if (const auto error = parse(without_line_end(carry_), line)) return error;
            if (!line.has_payload) {
                goes_on = handler.on_line(line, {}, {});
                reset();
                return std::nullopt;
            }
            needed_ = length + line.total_bytes + 2;
            carry_.reserve(needed_);
        }
        const size_t missing = needed_ - carry_.size();
        const size_t taken = missing < input.size() ? missing : input.size();
        carry_.append(input.substr(0, taken));
        input.remove_prefix(taken);
        if (carry_.size() < needed_) return std::nullopt;
        // The views of the first parse moved with the buffer; parsing again is cheaper than keeping
        // offsets.
        const std::string_view all(carry_);
        Line line;
        if (const auto error = parse(without_line_end(all.substr(0, line_length_)), line))
            return error;
        const auto error = hand_on(line, all.substr(line_length_), handler, goes_on);
        reset();
        return error;
    }

    void reset() {
        carry_.clear();
        if (carry_.capacity() > kCarryKept) carry_.shrink_to_fit();
        needed_ = 0;
        line_length_ = 0;
    }

    std::string carry_;
    size_t line_length_ = 0;  // of the line in carry_, once it is whole
    size_t needed_ = 0;       // size that carry_ must reach; 0 while the line is incomplete
    size_t payload_max_;
};

// On a server, of what clients send: 8 is "CONNECT ".
using ServerReader = Reader<parse_client_line, kControlLineMax + 8>;
// On a client, of what the server sends: INFO lists the whole cluster.
using ClientReader = Reader<parse_server_line, 64 * 1024>;

}  // namespace candela::bus
