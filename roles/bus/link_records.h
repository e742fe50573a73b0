#pragma once

// What loops send each other through channels: a head and the texts that it names, one behind the
// other. Within one process only, so that no form is checked.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace candela::bus_role {

enum class LinkKind : uint8_t {
    kMessage,       // for all plain subscriptions of the loop
    kQueued,        // for one member of a queue group
    kInterest,      // the loop that sends it has so many subscriptions of that subject and queue
    kHold,          // a reader is behind: its publisher `client` waits a little
    kRelease,       // it need not wait any longer
    kNoResponders,  // nobody was there any more: `subject` is where `client` wanted the answer
    kBacklog,       // so much waits for the slowest of those who hear `subject`
    kNudge,         // nothing but the news that records were consumed
    kAgain,         // as the last of the first two kinds in its block, but for headers and payload
};

namespace link_flags {
constexpr uint8_t kWantsAnswer = 1;   // kNoResponders, where nobody takes it
constexpr uint8_t kWantsBacklog = 2;  // kBacklog, where much waits
}  // namespace link_flags

struct LinkHead {
    uint32_t size = 0;  // of the whole record
    LinkKind kind = LinkKind::kNudge;
    uint8_t flags = 0;
    uint8_t hops = 0;  // how often it was sent on
    uint8_t reserved = 0;
    uint16_t subject_bytes = 0;
    uint16_t reply_bytes = 0;
    uint16_t route_bytes = 0;  // who hears it, where that is not the subject
    uint16_t queue_bytes = 0;
    uint32_t header_bytes = 0;
    uint32_t body_bytes = 0;
    uint64_t count = 0;    // kInterest, kBacklog
    uint64_t account = 0;  // Account::number
    uint64_t client = 0;   // the publisher's connection; 0: the server
};

// The head of kAgain: publishers mostly repeat themselves, and what is small is quick.
struct AgainHead {
    uint32_t size = 0;
    LinkKind kind = LinkKind::kAgain;
    uint32_t header_bytes = 0;
};
static_assert(offsetof(AgainHead, kind) == offsetof(LinkHead, kind));

struct LinkRecord {
    LinkHead head;
    std::string_view subject;
    std::string_view reply;
    std::string_view route;
    std::string_view queue;
    std::string_view body;

    static constexpr size_t kTextMax = UINT16_MAX;  // of each but the body

    // Sets the head's sizes; false where a text is too long to be sent.
    bool measure() {
        for (const std::string_view text : {subject, reply, route, queue}) {
            if (text.size() > kTextMax) return false;
        }
        head.subject_bytes = static_cast<uint16_t>(subject.size());
        head.reply_bytes = static_cast<uint16_t>(reply.size());
        head.route_bytes = static_cast<uint16_t>(route.size());
        head.queue_bytes = static_cast<uint16_t>(queue.size());
        head.body_bytes = static_cast<uint32_t>(body.size());
        head.size = static_cast<uint32_t>(sizeof head + subject.size() + reply.size() +
                                          route.size() + queue.size() + body.size());
        return true;
    }

    // Writes head.size bytes; after measure().
    void write(char* to) const {
        std::memcpy(to, &head, sizeof head);
        to += sizeof head;
        for (const std::string_view text : {subject, reply, route, queue, body}) {
            if (!text.empty()) std::memcpy(to, text.data(), text.size());
            to += text.size();
        }
    }

    // Takes the first record off, into one of the two: `message` keeps what kAgain repeats.
    static const LinkRecord& read(std::string_view& bytes, LinkRecord& message, LinkRecord& other) {
        const auto kind = static_cast<LinkKind>(bytes[offsetof(LinkHead, kind)]);
        if (kind == LinkKind::kAgain) {
            AgainHead again;
            std::memcpy(&again, bytes.data(), sizeof again);
            message.body = bytes.substr(sizeof again, again.size - sizeof again);
            message.head.header_bytes = again.header_bytes;
            bytes.remove_prefix(again.size);
            return message;
        }
        const bool is_message = kind == LinkKind::kMessage || kind == LinkKind::kQueued;
        LinkRecord& out = is_message ? message : other;
        std::memcpy(&out.head, bytes.data(), sizeof out.head);
        const char* at = bytes.data() + sizeof out.head;
        const auto next = [&at](size_t size) {
            const std::string_view text(at, size);
            at += size;
            return text;
        };
        out.subject = next(out.head.subject_bytes);
        out.reply = next(out.head.reply_bytes);
        out.route = next(out.head.route_bytes);
        out.queue = next(out.head.queue_bytes);
        out.body = next(out.head.body_bytes);
        bytes.remove_prefix(out.head.size);
        return out;
    }
};

}  // namespace candela::bus_role
