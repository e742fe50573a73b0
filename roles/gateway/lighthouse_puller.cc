#include "lighthouse_puller.h"

#include "proto/messages.h"

namespace candela::gateway {
namespace {

constexpr Duration kPullInterval = 10s;
constexpr Duration kRetryInterval = 500ms;  // until the first answer, and after a failure

}  // namespace

LighthousePuller::LighthousePuller(NodeContext& context, Options options)
    : context_(context),
      options_(std::move(options)),
      timer_(context.loop.timers(), [this] { wake_.set(); }) {}

void LighthousePuller::start() {
    client_ = context_.make_bus_client(context_.loop, "gateway");
    client_->on_state([this](bus::ClientState) { wake_.set(); });
    auto nudges =
        client_->subscribe(options_.nudge_subject, [this](const bus::MessageView& message) {
            const auto nudge = proto::decode_nudge(message.payload);
            if (!nudge) {
                context_.log.warn("nudge_malformed", {{"error", nudge.error()}});
                return;
            }
            if (!options_.has_version(nudge->version)) wake_.set();
        });
    if (nudges) nudges_ = std::move(*nudges);
    flows_.spawn(run());
}

Task<void> LighthousePuller::run() {
    for (;;) {
        wake_.reset();
        if (client_->is_connected()) {
            const auto pulled = co_await options_.pull();
            if (pulled) {
                is_live_ = true;
                was_refused_ = false;
            } else if (!was_refused_) {
                was_refused_ = true;
                context_.log.warn(options_.failure, {{"error", pulled.error()}});
            }
        }
        timer_.start(is_live_ && !was_refused_ ? kPullInterval : kRetryInterval);
        co_await wake_.wait();
    }
}

Result<> LighthousePuller::note_answer(uint64_t epoch) {
    if (epoch < epoch_seen_) {
        return fail(Code::kConflict, "a lighthouse of epoch {} answers, after one of {}", epoch,
                    epoch_seen_);
    }
    epoch_seen_ = epoch;
    return {};
}

}  // namespace candela::gateway
