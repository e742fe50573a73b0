// Pull requests: who waits for messages, for how many and how long, and what they are told when
// nothing comes.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "consumer.h"

namespace candela::bus_role {

namespace {
std::string go_duration(int64_t nanos) { return format_duration(Duration(nanos)); }
}  // namespace

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
    if (!body.empty() && body.front() == '{') {
        const Result<Json> json = parse_json(body);
        if (!json) {
            send_status(reply, "400 Bad Request - invalid JSON");
            return;
        }
        request.left = json_int_or(*json, "batch", 1);
        request.bytes_left = json_int_or(*json, "max_bytes", 0);
        request.no_wait = json_bool_or(*json, "no_wait", false);
        request.heartbeat = json_int_or(*json, "idle_heartbeat", 0);
        expires = json_int_or(*json, "expires", 0);
        request.waiting_min = json_int_or(*json, "min_pending", 0);
        request.unacknowledged_min = json_int_or(*json, "min_ack_pending", 0);
        request.priority = json_int_or(*json, "priority", 0);
        request.pin = json_string_or(*json, "id");
        group = json_string_or(*json, "group");
    } else if (!body.empty()) {
        const Result<uint64_t> count = parse_uint(trim(body));
        if (!count) {
            send_status(reply, "400 Bad Request");
            return;
        }
        request.left = static_cast<int64_t>(std::min<uint64_t>(*count, 1'000'000));
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
