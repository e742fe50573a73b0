#include "route_source.h"

#include "loop/file.h"
#include "proto/messages.h"

namespace candela::gateway {
RouteSource::RouteSource(NodeContext& context, KeysOf keys_of, OnTable on_table)
    : context_(context),
      keys_of_(std::move(keys_of)),
      on_table_(std::move(on_table)),
      folder_(context.node.data_dir / "gateway"),
      puller_(context, {.nudge_subject = proto::kRoutesNudgeSubject,
                        .failure = "routes_pull_failed",
                        .has_version =
                            [this](uint64_t version) {
                                return table_ != nullptr && version == table_->version();
                            },
                        .pull = [this] { return pull(); }}) {}

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
    table_ = std::make_shared<const RouteTable>(std::move(*table), nullptr, keys_of_);
    on_table_(table_);
}

Task<Result<>> RouteSource::pull() {
    proto::RoutesPull ask;
    ask.node = context_.node.name;
    // What is on disk may be of a cloud that is no more: its number says nothing.
    ask.version = is_live() ? table_->version() : 0;
    ask.boot_id = context_.node.boot_id;
    std::string payload = proto::encode(ask);
    auto reply = co_await puller_.client().request(std::string(proto::kRoutesSubject),
                                                   std::move(payload), LighthousePuller::kTimeout);
    if (!reply) co_return fail(reply.error().in("the lighthouse"));
    auto table = proto::decode_route_table(reply->payload);
    if (!table) co_return fail(table.error().in("the lighthouse's route table"));
    if (table->failure) co_return fail(table->failure.to_error().in("the lighthouse"));
    const Result<> noted = puller_.note_answer(table->epoch);
    if (!noted) co_return fail(noted.error());
    const bool is_same = is_live() && table->version == table_->version();
    if (!is_same) adopt(std::move(*table));
    co_return Result<>();
}

void RouteSource::adopt(proto::RouteTable table) {
    std::string bytes = proto::encode(table);
    table_ = std::make_shared<const RouteTable>(std::move(table), table_.get(), keys_of_);
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
