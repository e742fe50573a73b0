#include "route_source.h"

#include "loop/file.h"
#include "proto/messages.h"

namespace candela::gateway {
namespace {

constexpr Duration kPullInterval = 10s;
constexpr Duration kRetryInterval = 500ms;  // until the first answer
constexpr Duration kPullTimeout = 5s;

}  // namespace

RouteSource::RouteSource(NodeContext& context, OnTable on_table)
    : context_(context),
      on_table_(std::move(on_table)),
      folder_(context.node.data_dir / "gateway"),
      timer_(context.loop.timers(), [this] { wake_.set(); }) {}

void RouteSource::load() {
    const std::filesystem::path file = folder_ / "routes";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return;
    const auto bytes = read_file(file);
    if (!bytes) {
        context_.log.warn("routes_unreadable", {{"error", bytes.error()}});
        return;
    }
    auto table = proto::decode_route_table(*bytes);
    if (!table) {
        context_.log.warn("routes_unreadable", {{"file", file.string()}, {"error", table.error()}});
        return;
    }
    context_.log.info("routes_loaded",
                      {{"version", table->version}, {"services", table->services.size()}});
    table_ = std::make_shared<const RouteTable>(std::move(*table));
    on_table_(table_);
}

void RouteSource::start() {
    client_ = context_.make_bus_client(context_.loop, "gateway");
    client_->on_state([this](bus::ClientState) { wake_.set(); });
    auto nudges =
        client_->subscribe(proto::kRoutesNudgeSubject, [this](const bus::MessageView& message) {
            const auto nudge = proto::decode_nudge(message.payload);
            if (!nudge) {
                context_.log.warn("nudge_malformed", {{"error", nudge.error()}});
                return;
            }
            if (table_ == nullptr || nudge->version != table_->version()) wake_.set();
        });
    if (nudges) nudges_ = std::move(*nudges);
    flows_.spawn(run());
}

Task<void> RouteSource::run() {
    for (;;) {
        wake_.reset();
        if (client_->is_connected()) {
            const auto pulled = co_await pull();
            if (pulled) {
                was_refused_ = false;
            } else if (!was_refused_) {
                was_refused_ = true;
                context_.log.warn("routes_pull_failed", {{"error", pulled.error()}});
            }
        }
        timer_.start(is_live_ && !was_refused_ ? kPullInterval : kRetryInterval);
        co_await wake_.wait();
    }
}

Task<Result<>> RouteSource::pull() {
    proto::RoutesPull ask;
    ask.node = context_.node.name;
    ask.version = is_live_ && table_ != nullptr ? table_->version() : 0;
    ask.boot_id = context_.node.boot_id;
    std::string payload = proto::encode(ask);
    auto reply = co_await client_->request(std::string(proto::kRoutesSubject), std::move(payload),
                                           kPullTimeout);
    if (!reply) co_return fail(reply.error().in("the lighthouse"));
    auto table = proto::decode_route_table(reply->payload);
    if (!table) co_return fail(table.error().in("the lighthouse's route table"));
    if (table->failure) co_return fail(table->failure.to_error().in("the lighthouse"));
    if (table->epoch < epoch_seen_) {
        co_return fail(Code::kConflict, "a lighthouse of epoch {} answers, after one of {}",
                       table->epoch, epoch_seen_);
    }
    epoch_seen_ = table->epoch;
    const bool is_same = is_live_ && table_ != nullptr && table->version == table_->version();
    is_live_ = true;
    if (!is_same) adopt(std::move(*table));
    co_return Result<>();
}

void RouteSource::adopt(proto::RouteTable table) {
    std::string bytes = proto::encode(table);
    table_ = std::make_shared<const RouteTable>(std::move(table), table_.get());
    context_.log.info("routes_changed",
                      {{"version", table_->version()}, {"services", table_->services().size()}});
    for (const std::string& problem : table_->problems()) {
        context_.log.warn("route_ignored", {{"cause", problem}});
    }
    on_table_(table_);
    flows_.spawn(keep(std::move(bytes)));
}

Task<void> RouteSource::keep(std::string bytes) {
    const AsyncMutex::Guard guard = co_await disk_.lock();
    auto write = [folder = folder_, content = std::move(bytes)]() -> Result<> {
        CANDELA_TRY(make_directories(folder, 0700));
        return write_file(folder / "routes", content, 0600);
    };
    const auto written = co_await offload(context_.loop, std::move(write));
    // The table is served all the same; only a start without lighthouse would serve an older one.
    if (!written) context_.log.warn("routes_not_kept", {{"error", written.error()}});
}

}  // namespace candela::gateway
