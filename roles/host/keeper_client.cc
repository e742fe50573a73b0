#include "keeper_client.h"

#include <utility>

#include "loop/loop.h"

namespace candela::host {

KeeperClient::KeeperClient(StreamPtr stream, KeeperHandler& handler)
    : stream_(std::move(stream)), handler_(handler) {
    stream_->start(*this);
}

KeeperClient::~KeeperClient() {
    if (is_destroyed_ != nullptr) *is_destroyed_ = true;
}

void KeeperClient::send(keeper::Message message, std::string_view payload) {
    keeper::FrameHead head;
    head.size = static_cast<uint32_t>(payload.size());
    head.message = static_cast<uint8_t>(message);
    const std::string_view parts[] = {bytes_of(head), payload};
    stream_->write(parts);
}

void KeeperClient::pause() {
    is_paused_ = true;
    stream_->pause();
}

void KeeperClient::resume() {
    is_paused_ = false;
    stream_->resume();
    deliver();
}

void KeeperClient::on_data(std::string_view bytes) {
    buffer_ += bytes;
    deliver();
}

bool KeeperClient::deliver() {
    if (is_destroyed_ != nullptr) return true;  // the turn that is under way goes on
    bool is_destroyed = false;
    is_destroyed_ = &is_destroyed;
    size_t at = 0;
    while (!is_paused_ && buffer_.size() - at >= sizeof(keeper::FrameHead)) {
        const auto head = number_at<keeper::FrameHead>(buffer_, at);
        if (head.size > kFrameMax) {
            is_destroyed_ = nullptr;
            on_error(Error(Code::kInvalid, "the keeper sent a frame that is too long"));
            return false;
        }
        if (buffer_.size() - at < sizeof(head) + head.size) break;
        const auto payload = std::string_view(buffer_).substr(at + sizeof(head), head.size);
        at += sizeof(head) + head.size;
        handler_.on_message(static_cast<keeper::Message>(head.message), payload);
        if (is_destroyed) return false;
    }
    is_destroyed_ = nullptr;
    buffer_.erase(0, at);
    return true;
}

void KeeperClient::on_end() { on_error(Error(Code::kUnreachable, "the keeper has ended")); }

void KeeperClient::on_error(const Error& error) { handler_.on_lost(error); }

std::string encode_plan(const StartRequest& request, bool ends_with_host, const WallSettings* walls,
                        uint32_t uid, const std::string& cgroup) {
    using keeper::Entry;
    PlanWriter plan;
    for (const std::string& argument : request.command) plan.add_text(Entry::kArgument, argument);
    for (const std::string& variable : request.environment) {
        plan.add_text(Entry::kVariable, variable);
    }
    if (!request.directory.empty()) plan.add_text(Entry::kDirectory, request.directory);
    if (!request.executable.empty()) plan.add_text(Entry::kExecutable, request.executable);
    plan.add(Entry::kNote, request.note);
    const auto grace = std::chrono::duration_cast<std::chrono::milliseconds>(request.grace);
    const auto grace_ms = static_cast<uint32_t>(grace.count());
    plan.add(Entry::kGraceMs, bytes_of(grace_ms));
    if (ends_with_host) plan.add(Entry::kEndWithHost);
    if (walls != nullptr) add_walls(plan, request, *walls, uid, cgroup);
    return plan.take();
}

}  // namespace candela::host
