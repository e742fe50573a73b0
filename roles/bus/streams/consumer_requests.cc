// Pull requests: who waits for messages, for how many and how long, and what they are told when
// nothing comes.

#include <algorithm>

#include "base/text.h"
#include "consumer.h"
#include "js_members_impl.h"

namespace candela::bus_role {

namespace {
constexpr uint64_t kBatchMax = 1'000'000;  // of a request that is a number alone

std::string go_duration(int64_t nanos) { return format_duration(Duration(nanos)); }
}  // namespace

// An object, or how many; whatever else it is asks for one, as on nats-server.
bool Consumer::read_request(const std::string& body, Request& out, int64_t& expires,
                            std::string& group) {
    const std::string_view text = trim(body);
    if (!text.starts_with('{')) {
        const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
        const Result<uint64_t> count = parse_uint(digits);
        out.left = count ? static_cast<int64_t>(std::min<uint64_t>(*count, kBatchMax)) : 1;
        return true;
    }
    const Result<Json> json = parse_json(text);
    if (!json) return false;
    out.left = 0;
    Members members(*json);
    members.number("batch", out.left);
    members.number("max_bytes", out.bytes_left);
    members.flag("no_wait", out.no_wait);
    members.number("idle_heartbeat", out.heartbeat);
    members.number("expires", expires);
    members.number("min_pending", out.waiting_min);
    members.number("min_ack_pending", out.unacknowledged_min);
    members.number("priority", out.priority);
    members.text("id", out.pin);
    members.text("group", group);
    return members.ok();
}

void Consumer::request(const std::string& reply, const std::string& body) {
    if (reply.empty()) return;
    const int64_t now = mono();
    last_active_ = now;
    if (config_.is_push()) {
        send_status(reply, "409 Consumer is push based");
        return;
    }
    Request request;
    request.reply = reply;
    int64_t expires = 0;
    std::string group;
    if (!read_request(body, request, expires, group)) {
        send_status(reply, "400 Bad Request - invalid JSON");
        return;
    }
    if (expires < 0) {
        send_status(reply, "408 Request Timeout", pending_headers(request));
        return;
    }
    if (request.left <= 0) request.left = 1;
    if (const char* status = check_group(group, request)) {
        send_status(reply, status);
        return;
    }
    request.has_bytes = request.bytes_left > 0;
    if (config_.batch_max > 0 && request.left > config_.batch_max) {
        send_status(reply, fmt::format("409 Exceeded MaxRequestBatch of {}", config_.batch_max));
        return;
    }
    if (config_.expires_max > 0 && expires > config_.expires_max) {
        send_status(reply, fmt::format("409 Exceeded MaxRequestExpires of {}",
                                       go_duration(config_.expires_max)));
        return;
    }
    if (config_.request_bytes_max > 0 && request.bytes_left > config_.request_bytes_max) {
        send_status(
            reply, fmt::format("409 Exceeded MaxRequestMaxBytes of {}", config_.request_bytes_max));
        return;
    }
    if (request.heartbeat != 0 && (expires <= 0 || request.heartbeat > expires / 2)) {
        send_status(reply, "400 Bad Request - heartbeat value too large");
        return;
    }
    if (expires > 0) request.expires = now + std::min(expires, kDelayMax);
    if (request.heartbeat != 0) request.next_heartbeat = now + request.heartbeat;
    if (request.no_wait && expires <= 0 && waiting_messages_ + again_.size() == 0) {
        send_status(reply, "404 No Messages");
        return;
    }
    drop_requests_without_interest();
    if (requests_.size() >= static_cast<size_t>(config_.waiting_max)) {
        send_status(reply, "409 Exceeded MaxWaiting");
        return;
    }
    queue_request(std::move(request));
    js_.wake(stream_);
    arm();
}

// Behind those of the same priority; lower numbers go first.
void Consumer::queue_request(Request request) {
    const auto at = std::find_if(requests_.rbegin(), requests_.rend(), [&](const Request& other) {
                        return other.priority <= request.priority;
                    }).base();
    requests_.insert(at, std::move(request));
}

// The request that the next message is for, brought to the front.
Consumer::Request* Consumer::next_request() {
    for (size_t i = 0; i < requests_.size();) {
        const Request& request = requests_[i];
        if (request.left <= 0 || !js_.has_interest(stream_.account(), request.reply)) {
            requests_.erase(requests_.begin() + static_cast<ptrdiff_t>(i));
        } else if (!is_eligible(request)) {
            ++i;
        } else {
            if (i != 0) {
                Request chosen = std::move(requests_[i]);
                requests_.erase(requests_.begin() + static_cast<ptrdiff_t>(i));
                requests_.push_front(std::move(chosen));
            }
            return &requests_.front();
        }
    }
    return nullptr;
}

void Consumer::drop_requests_without_interest() {
    std::erase_if(requests_, [this](const Request& request) {
        return !js_.has_interest(stream_.account(), request.reply);
    });
}

std::string Consumer::pending_headers(const Request& request) const {
    return fmt::format("Nats-Pending-Messages: {}\r\nNats-Pending-Bytes: {}\r\n", request.left,
                       request.bytes_left);
}

bool Consumer::deliver_pull(std::string_view subject, const std::string& ack,
                            std::string_view headers, std::string_view payload) {
    Request& request = requests_.front();
    std::string with_pin;
    if (config_.priority == PriorityPolicy::kPinned) {
        pin_to(request);
        with_pin = with_header(headers, "Nats-Pin-Id", pin_);
        headers = with_pin;
    }
    const auto size =
        static_cast<int64_t>(subject.size() + ack.size() + headers.size() + payload.size());
    if (request.has_bytes && size > request.bytes_left) {
        send_status(request.reply, "409 Message Size Exceeds MaxBytes", pending_headers(request));
        requests_.pop_front();
        return false;
    }
    if (!js_.send(stream_.account(), subject, ack, headers, payload, request.reply)) {
        requests_.pop_front();
        return false;
    }
    last_active_ = pin_used_at_ = mono();
    --request.left;
    ++request.delivered;
    request.bytes_left -= request.has_bytes ? size : 0;
    if (request.heartbeat != 0) request.next_heartbeat = last_active_ + request.heartbeat;
    const bool is_full = request.left <= 0 || (request.has_bytes && request.bytes_left <= 0);
    if (is_full) {
        requests_.pop_front();
    } else if (requests_.size() > 1) {
        // Those who wait take turns.
        Request turn = std::move(requests_.front());
        requests_.pop_front();
        queue_request(std::move(turn));
    }
    return true;
}

// Nothing more can be handed out now: those who would not wait are told so. One with an end waits
// for its first message until then, and for no other.
void Consumer::finish_no_wait() {
    std::erase_if(requests_, [this](const Request& request) {
        if (!request.no_wait || (request.expires != 0 && request.delivered == 0)) return false;
        if (request.delivered == 0) {
            send_status(request.reply, "404 No Messages");
        } else {
            send_status(request.reply, "408 Request Timeout", pending_headers(request));
        }
        return true;
    });
}

void Consumer::check_requests(int64_t now) {
    std::erase_if(requests_, [&](Request& request) {
        if (request.expires != 0 && request.expires <= now) {
            send_status(request.reply, "408 Request Timeout", pending_headers(request));
            return true;
        }
        if (request.heartbeat != 0 && request.next_heartbeat <= now) {
            send_status(request.reply, "100 Idle Heartbeat", heartbeat_headers());
            request.next_heartbeat = now + request.heartbeat;
        }
        return false;
    });
}

}  // namespace candela::bus_role
