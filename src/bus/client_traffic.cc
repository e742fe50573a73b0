// What a client sends and receives: publishing, subscriptions, requests and flushes. The connection
// itself is in client_core.cc.

#include <algorithm>
#include <charconv>

#include "base/ids.h"
#include "base/text.h"
#include "bus/client_core.h"
#include "bus/subject.h"

namespace candela::bus {

namespace {

constexpr size_t kWriteEarlyBytes = 64 * 1024;  // more than this is not kept until the round ends

void append_number(std::string& out, uint64_t value) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, static_cast<size_t>(end - digits));
}

void append_publish(std::string& out, std::string_view subject, std::string_view payload,
                    const PublishOptions& options) {
    out += options.headers.empty() ? "PUB " : "HPUB ";
    out += subject;
    out += ' ';
    if (!options.reply.empty()) {
        out += options.reply;
        out += ' ';
    }
    if (!options.headers.empty()) {
        append_number(out, options.headers.size());
        out += ' ';
    }
    append_number(out, options.headers.size() + payload.size());
    out += kLineEnd;
    out += options.headers;
    out += payload;
    out += kLineEnd;
}

}  // namespace

size_t ClientCore::pending_bytes() const {
    return out_.size() + offline_.size() + (stream_ != nullptr ? stream_->queued_bytes() : 0);
}

Result<> ClientCore::publish(std::string_view subject, std::string_view payload,
                             const PublishOptions& options) {
    if (state_ == ClientState::kClosed) return fail(Code::kCancelled, "the bus client was closed");
    if (!is_valid_subject(subject)) {
        return fail(Code::kInvalid, "\"{}\" is not a subject to publish to", printable(subject));
    }
    if (!options.reply.empty() && !is_valid_subject(options.reply)) {
        return fail(Code::kInvalid, "\"{}\" is not a subject to answer to",
                    printable(options.reply));
    }
    const size_t size = options.headers.size() + payload.size();
    if (size > payload_max_) {
        return fail(Code::kInvalid, "a message of {} bytes; the bus takes {}", size, payload_max_);
    }
    const size_t needed = size + subject.size() + options.reply.size() + 32;
    if (pending_bytes() + needed > options_.pending_bytes_max) {
        return fail(Code::kExhausted, "more than {} bytes wait for the bus",
                    options_.pending_bytes_max);
    }
    if (state_ != ClientState::kConnected) {
        append_publish(offline_, subject, payload, options);
        return {};
    }
    append_publish(out_, subject, payload, options);
    if (out_.size() >= kWriteEarlyBytes)
        flush_out();
    else
        schedule_flush();
    return {};
}

void ClientCore::append_sub(uint64_t sid, const Entry& entry) {
    out_ += "SUB ";
    out_ += entry.subject;
    out_ += ' ';
    if (!entry.queue.empty()) {
        out_ += entry.queue;
        out_ += ' ';
    }
    append_number(out_, sid);
    out_ += kLineEnd;
    if (entry.max == 0) return;
    out_ += "UNSUB ";
    append_number(out_, sid);
    out_ += ' ';
    append_number(out_, entry.max - entry.delivered);
    out_ += kLineEnd;
}

Result<uint64_t> ClientCore::subscribe(std::string_view subject, std::string_view queue,
                                       Client::Handler handler) {
    if (state_ == ClientState::kClosed) return fail(Code::kCancelled, "the bus client was closed");
    if (!is_valid_pattern(subject)) {
        return fail(Code::kInvalid, "\"{}\" is not a subject to subscribe to", printable(subject));
    }
    if (!queue.empty() && !is_valid_subject(queue)) {
        return fail(Code::kInvalid, "\"{}\" is not a name for a queue", printable(queue));
    }
    const uint64_t sid = next_sid_++;
    auto entry = std::make_shared<Entry>();
    entry->subject = std::string(subject);
    entry->queue = std::string(queue);
    entry->handler = std::move(handler);
    if (state_ == ClientState::kConnected) {
        append_sub(sid, *entry);
        schedule_flush();
    }
    entries_.emplace(sid, std::move(entry));
    return sid;
}

void ClientCore::unsubscribe(uint64_t sid) {
    const auto node = entries_.extract(sid);
    if (node.empty() || state_ != ClientState::kConnected) return;
    out_ += "UNSUB ";
    append_number(out_, sid);
    out_ += kLineEnd;
    schedule_flush();
}

void ClientCore::unsubscribe_after(uint64_t sid, uint64_t messages) {
    const auto found = entries_.find(sid);
    if (found == entries_.end()) return;
    if (messages <= found->second->delivered) {
        unsubscribe(sid);
        return;
    }
    found->second->max = messages;
    if (state_ != ClientState::kConnected) return;
    out_ += "UNSUB ";
    append_number(out_, sid);
    out_ += ' ';
    append_number(out_, messages);
    out_ += kLineEnd;
    schedule_flush();
}

void ClientCore::unsubscribe_all() {
    if (state_ != ClientState::kConnected) return;
    for (const auto& [sid, entry] : entries_) {
        out_ += "UNSUB ";
        append_number(out_, sid);
        out_ += kLineEnd;
    }
    schedule_flush();
}

void ClientCore::dispatch(const Line& line, std::string_view headers, std::string_view payload) {
    const int64_t sid = parse_count(line.sid);
    const auto found = entries_.find(static_cast<uint64_t>(sid));
    if (found == entries_.end()) return;  // unsubscribed meanwhile
    const std::shared_ptr<Entry> entry = found->second;
    ++entry->delivered;
    if (entry->max != 0 && entry->delivered >= entry->max) entries_.erase(found);
    const MessageView message{line.subject, line.reply, headers, payload};
    entry->handler(message);
}

Result<> ClientCore::start_inbox() {
    inbox_ = new_inbox() + ".";
    Result<uint64_t> sid =
        subscribe(inbox_ + "*", {}, [this](const MessageView& message) { on_reply(message); });
    if (!sid) return fail(sid.error());
    inbox_sid_ = *sid;
    return {};
}

std::string ClientCore::new_inbox() {
    if (inbox_prefix_.empty()) {
        // Before the first login the key is not known from it; it decides what may be subscribed
        // to.
        inbox_prefix_ = options_.inbox_prefix;
        if (inbox_prefix_.empty() && options_.credentials) {
            const Result<auth::Credentials> credentials = options_.credentials();
            if (credentials) inbox_prefix_ = "_INBOX." + credentials->key.public_key();
        }
    }
    const std::string prefix = inbox_prefix_.empty() ? "_INBOX" : inbox_prefix_;
    return prefix + "." + make_id(loop_.random());
}

void ClientCore::on_reply(const MessageView& message) {
    // What a stream hands out shows the subject under which it was kept: no answer to a request.
    if (!message.subject.starts_with(inbox_)) return;
    const auto found = waiting_.find(std::string(message.subject.substr(inbox_.size())));
    if (found == waiting_.end()) return;  // nobody waits any more
    Waiting* waiting = found->second;
    waiting_.erase(found);
    if (message.payload.empty() && header_status(message.headers) == 503) {
        waiting->done.complete(
            fail(Code::kUnreachable, "nobody on the bus answers to this subject"));
        return;
    }
    waiting->done.complete(OwnedMessage(message));
}

ClientCore::Waiting::Waiting(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {
    if (core_->state() == ClientState::kClosed) {
        done.complete(fail(Code::kCancelled, "the bus client was closed"));
        return;
    }
    if (core_->inbox_.empty()) {
        const Result<> started = core_->start_inbox();
        if (!started) {
            core_->inbox_.clear();
            done.complete(fail(started.error()));
            return;
        }
    }
    token_ = std::to_string(core_->next_token_++);
    reply = core_->inbox_ + token_;
    core_->waiting_.emplace(token_, this);
}

ClientCore::Waiting::~Waiting() {
    const auto found = core_->waiting_.find(token_);
    if (found != core_->waiting_.end() && found->second == this) core_->waiting_.erase(found);
}

ClientCore::FlushWaiting::FlushWaiting(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {
    switch (core_->state()) {
        case ClientState::kClosed:
            done.complete(fail(Code::kCancelled, "the bus client was closed"));
            break;
        case ClientState::kConnected: core_->send_ping(this); break;
        case ClientState::kConnecting: core_->flushes_.push_back(this); break;
    }
}

ClientCore::FlushWaiting::~FlushWaiting() {
    std::erase(core_->flushes_, this);
    std::replace(core_->pongs_.begin(), core_->pongs_.end(), this,
                 static_cast<FlushWaiting*>(nullptr));
}

}  // namespace candela::bus
