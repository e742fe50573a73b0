#include "node/log_delivery.h"

namespace candela {

LogDelivery::LogDelivery(NodeContext& context, bus::Client& client, LogStreamsSettings settings,
                         const std::string& role)
    : context_(context),
      client_(client),
      role_(role),
      inbox_(client.new_inbox()),
      streams_(
          context.loop, std::move(settings),
          [this](std::string_view subject, std::string_view payload) {
              return send(subject, payload);
          },
          context.log) {}

Task<Result<>> LogDelivery::start() {
    auto subscription = client_.subscribe(inbox_, [this](const bus::MessageView& message) {
        const auto ack = proto::decode_log_ack(message.payload);
        if (!ack) return context_.log.warn("log_ack_refused", {{"error", ack.error()}});
        streams_.on_ack(*ack);
    });
    if (!subscription) co_return fail(subscription.error());
    acks_ = std::move(*subscription);
    dropped_ = context_.metrics.sampled_gauge(
        "candela_" + role_ + "_log_lines_dropped",
        "Log lines that were given up because there was no room for them.", {},
        [this] { return static_cast<double>(streams_.dropped_lines()); });
    bytes_ = context_.metrics.sampled_gauge(
        "candela_" + role_ + "_log_buffer_bytes",
        "Log lines on this node's disk that the lighthouse may not have yet.", {},
        [this] { return static_cast<double>(streams_.disk_bytes()); });
    co_return co_await streams_.open();
}

bool LogDelivery::send(std::string_view subject, std::string_view payload) {
    // Half of what the client queues is left to heartbeats and tunnels.
    constexpr size_t kPendingBytesMax = 4 << 20;
    if (!client_.is_connected() || client_.pending_bytes() > kPendingBytesMax) return false;
    bus::PublishOptions options;
    options.reply = inbox_;
    return client_.publish(subject, payload, options).has_value();
}

}  // namespace candela
