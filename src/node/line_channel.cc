#include "node/line_channel.h"

namespace candela {

LineChannel::LineChannel(StreamPtr stream) : stream_(std::move(stream)) { stream_->start(*this); }

void LineChannel::write(std::string_view line) {
    if (has_ended_ || stream_->queued_bytes() + line.size() > kQueuedBytesMax) return;
    const std::string_view parts[] = {line, "\n"};
    stream_->write(parts);
}

Task<Result<std::string>> LineChannel::next() {
    while (lines_.empty()) {
        if (has_ended_) co_return fail(Code::kUnreachable, "the other process has ended");
        changed_.reset();
        co_await changed_.wait();
    }
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    co_return line;
}

void LineChannel::on_data(std::string_view bytes) {
    for (;;) {
        const size_t end = bytes.find('\n');
        partial_.append(bytes.substr(0, end));
        if (partial_.size() > kLineBytesMax || lines_.size() > kLinesMax) {
            on_end();
            return;
        }
        if (end == std::string_view::npos) break;
        lines_.push_back(std::exchange(partial_, std::string()));
        bytes.remove_prefix(end + 1);
    }
    if (!lines_.empty()) changed_.set();
}

void LineChannel::on_end() {
    if (has_ended_) return;
    has_ended_ = true;
    stream_->pause();
    changed_.set();
}

void LineChannel::on_error(const Error&) { on_end(); }

}  // namespace candela
