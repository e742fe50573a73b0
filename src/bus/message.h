#pragma once

// A message as the bus carries it, and its header block (NATS ADR-4): "NATS/1.0[ status[
// text]]\r\n", "Key: value\r\n" lines, an empty line. Keys keep their case; lookups ignore it.
// Values; any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "base/result.h"

namespace candela::bus {

// Points into the connection's buffers: valid during the handler's call only.
struct MessageView {
    std::string_view subject;
    std::string_view reply;    // empty: no answer is wanted
    std::string_view headers;  // the whole block; empty: none
    std::string_view payload;

    ByteView bytes() const { return as_bytes(payload); }
};

struct OwnedMessage {
    OwnedMessage() = default;
    explicit OwnedMessage(const MessageView& view)
        : subject(view.subject), reply(view.reply), headers(view.headers), payload(view.payload) {}

    MessageView view() const { return MessageView{subject, reply, headers, payload}; }

    std::string subject;
    std::string reply;
    std::string headers;
    std::string payload;
};

// The first value of a key; nothing where it is absent or the block is malformed.
std::optional<std::string_view> find_header(std::string_view block, std::string_view key);
// The number behind "NATS/1.0 ", such as 503 (no responders); 0 where there is none.
int header_status(std::string_view block);

// Builds a block: HeaderBuilder().add("Nats-Msg-Id", id).text().
class HeaderBuilder {
public:
    HeaderBuilder() : text_("NATS/1.0\r\n") {}
    // Line ends and NUL in key or value, which would forge other headers, become spaces.
    HeaderBuilder& add(std::string_view key, std::string_view value);
    std::string text() const { return text_ + "\r\n"; }

private:
    std::string text_;
};

}  // namespace candela::bus
