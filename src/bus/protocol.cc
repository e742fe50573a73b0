#include "bus/protocol.h"

namespace candela::bus {

namespace {

constexpr size_t kTokensMax = 5;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Up to kTokensMax tokens between blanks; more are counted, not kept.
struct Tokens {
    explicit Tokens(std::string_view text) {
        const char* at = text.data();
        const char* const end = at + text.size();
        while (true) {
            while (at != end && is_blank(*at)) ++at;
            if (at == end) return;
            const char* const start = at;
            while (at != end && !is_blank(*at)) ++at;
            if (count < kTokensMax) item[count] = {start, static_cast<size_t>(at - start)};
            ++count;
        }
    }
    std::array<std::string_view, kTokensMax> item;
    size_t count = 0;
};

bool is_verb(std::string_view text, std::string_view upper) {
    if (text.size() != upper.size()) return false;
    for (size_t i = 0; i < upper.size(); ++i) {
        char c = text[i];
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
        if (c != upper[i]) return false;
    }
    return true;
}

std::string_view skip_blanks(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    return text;
}

bool read_sizes(std::string_view headers, std::string_view total, Line& out) {
    const int64_t total_bytes = parse_count(total);
    const int64_t header_bytes = headers.empty() ? 0 : parse_count(headers);
    if (total_bytes < 0 || header_bytes < 0 || header_bytes > total_bytes) return false;
    out.total_bytes = static_cast<size_t>(total_bytes);
    out.header_bytes = static_cast<size_t>(header_bytes);
    out.has_payload = true;
    return true;
}

// subject [sid] [reply] [headers] total: what PUB, HPUB, MSG and HMSG have in common.
std::optional<ReadError> read_message(std::string_view arguments, Operation operation, Line& out) {
    const bool has_headers = operation == Operation::kHpub || operation == Operation::kHmsg;
    const bool has_sid = operation == Operation::kMsg || operation == Operation::kHmsg;
    const Tokens tokens(arguments);
    const size_t least = 2u + (has_headers ? 1u : 0u) + (has_sid ? 1u : 0u);
    if (tokens.count != least && tokens.count != least + 1) return ReadError::kArguments;
    size_t next = 0;
    out.operation = operation;
    out.subject = tokens.item[next++];
    if (has_sid) out.sid = tokens.item[next++];
    if (tokens.count == least + 1) out.reply = tokens.item[next++];
    const std::string_view headers = has_headers ? tokens.item[next++] : std::string_view();
    if (!read_sizes(headers, tokens.item[next], out)) return ReadError::kArguments;
    return std::nullopt;
}

std::optional<ReadError> read_sub(std::string_view arguments, Line& out) {
    const Tokens tokens(arguments);
    if (tokens.count != 2 && tokens.count != 3) return ReadError::kArguments;
    out.operation = Operation::kSub;
    out.subject = tokens.item[0];
    if (tokens.count == 3) out.queue = tokens.item[1];
    out.sid = tokens.item[tokens.count - 1];
    return std::nullopt;
}

std::optional<ReadError> read_unsub(std::string_view arguments, Line& out) {
    const Tokens tokens(arguments);
    if (tokens.count != 1 && tokens.count != 2) return ReadError::kArguments;
    out.operation = Operation::kUnsub;
    out.sid = tokens.item[0];
    if (tokens.count == 2) out.max = tokens.item[1];
    return std::nullopt;
}

// The verb ends at the first blank; CONNECT and INFO of some clients have none before the JSON.
std::string_view take_verb(std::string_view line) {
    size_t length = 0;
    while (length < line.size() && !is_blank(line[length]) && line[length] != '{') ++length;
    return line.substr(0, length);
}

std::optional<ReadError> read_bare(Operation operation, Line& out) {
    out.operation = operation;
    return std::nullopt;
}

std::optional<ReadError> read_text(std::string_view text, Operation operation, Line& out) {
    out.operation = operation;
    out.text = text;
    return std::nullopt;
}

}  // namespace

std::optional<ReadError> parse_client_line(std::string_view line, Line& out) {
    const std::string_view verb = take_verb(line);
    const std::string_view rest = skip_blanks(line.substr(verb.size()));
    if (verb.empty()) return ReadError::kUnknownOperation;
    // nats-server knows a verb that takes arguments by the blank behind it.
    const bool is_bare = verb.size() == line.size();
    if (is_bare && !is_verb(verb, "PING") && !is_verb(verb, "PONG") && !is_verb(verb, "+OK")) {
        return ReadError::kUnknownOperation;
    }
    switch (verb[0] | 0x20) {
        case 'p':
            if (is_verb(verb, "PUB")) return read_message(rest, Operation::kPub, out);
            if (is_verb(verb, "PING")) return read_bare(Operation::kPing, out);
            if (is_verb(verb, "PONG")) return read_bare(Operation::kPong, out);
            break;
        case 'h':
            if (is_verb(verb, "HPUB")) return read_message(rest, Operation::kHpub, out);
            break;
        case 's':
            if (is_verb(verb, "SUB")) return read_sub(rest, out);
            break;
        case 'u':
            if (is_verb(verb, "UNSUB")) return read_unsub(rest, out);
            break;
        case 'c':
            if (is_verb(verb, "CONNECT")) return read_text(rest, Operation::kConnect, out);
            break;
        case 'i':
            if (is_verb(verb, "INFO")) return read_text(rest, Operation::kInfo, out);
            break;
        case '+' | 0x20:
            if (is_verb(verb, "+OK")) return read_bare(Operation::kOk, out);
            break;
        case '-' | 0x20:
            if (is_verb(verb, "-ERR")) return read_text(rest, Operation::kErr, out);
            break;
        default: break;
    }
    return ReadError::kUnknownOperation;
}

std::optional<ReadError> parse_server_line(std::string_view line, Line& out) {
    const std::string_view verb = take_verb(line);
    const std::string_view rest = skip_blanks(line.substr(verb.size()));
    if (verb.empty()) return ReadError::kUnknownOperation;
    switch (verb[0] | 0x20) {
        case 'm':
            if (is_verb(verb, "MSG")) return read_message(rest, Operation::kMsg, out);
            break;
        case 'h':
            if (is_verb(verb, "HMSG")) return read_message(rest, Operation::kHmsg, out);
            break;
        case 'p':
            if (is_verb(verb, "PING")) return read_bare(Operation::kPing, out);
            if (is_verb(verb, "PONG")) return read_bare(Operation::kPong, out);
            break;
        case 'i':
            if (is_verb(verb, "INFO")) return read_text(rest, Operation::kInfo, out);
            break;
        case '+' | 0x20:
            if (is_verb(verb, "+OK")) return read_bare(Operation::kOk, out);
            break;
        case '-' | 0x20:
            if (is_verb(verb, "-ERR")) return read_text(rest, Operation::kErr, out);
            break;
        default: break;
    }
    return ReadError::kUnknownOperation;
}

}  // namespace candela::bus
