#include "access_shipper.h"

#include <algorithm>

#include "http/trace.h"

namespace candela::gateway {

namespace {

struct Folder {
    std::filesystem::path path;
    FileLock lock;
};

// The first folder that no other gateway of this data folder uses; what those left that are gone
// is moved to it.
Result<Folder> take_folder(const std::filesystem::path& logs) {
    constexpr int kFoldersMax = 8;
    CANDELA_TRY(make_directories(logs, 0700));
    std::optional<Folder> ours;
    uint64_t moved = 0;
    for (int i = 0; i < kFoldersMax; ++i) {
        const auto path = logs / std::to_string(i);
        if (ours && !std::filesystem::exists(path)) continue;
        CANDELA_TRY(make_directories(path, 0700));
        auto lock = FileLock::acquire(logs / fmt::format("{}.lock", i));
        if (!lock && lock.error().code() == Code::kConflict) continue;
        if (!lock) return fail(lock.error());
        if (!ours) {
            ours.emplace(path, std::move(*lock));
            continue;
        }
        std::error_code failed;
        for (const auto& entry : std::filesystem::directory_iterator(path, failed)) {
            const std::string name = entry.path().filename().string();
            const auto target = ours->path / fmt::format("{}~{}~{}", name, i, ++moved);
            std::filesystem::rename(entry.path(), target, failed);
            if (failed) return fail(Code::kUnreachable, "{}: {}", name, failed.message());
        }
    }
    if (!ours) return fail(Code::kConflict, "{}: too many gateways use it", logs.string());
    return std::move(*ours);
}

}  // namespace

bool AccessSampler::takes(int status, std::string_view traceparent, MonoTime now) {
    if (rate_ == 0) return false;
    const double seconds = std::chrono::duration<double>(now - filled_at_).count();
    filled_at_ = now;
    tokens_ = std::min<double>(rate_, tokens_ + seconds * rate_);
    // The client went away, or got an error.
    if (status == 0 || status >= 400) return true;
    if (http::is_traceparent(traceparent) && (traceparent[54] & 1) == 1) return true;
    if (tokens_ < 1) {
        ++left_out_;
        return false;
    }
    tokens_ -= 1;
    return true;
}

AccessShipper::AccessShipper(NodeContext& context)
    : context_(context), idle_timer_(context.loop.timers(), [this] { close_idle(); }) {}

AccessShipper::~AccessShipper() { services_.clear(); }

Task<Result<>> AccessShipper::start() {
    auto work = [logs = context_.node.data_dir / "gateway" / "logs"] { return take_folder(logs); };
    auto folder = co_await offload(context_.loop, std::move(work));
    if (!folder) co_return fail(folder.error().in("access log"));
    lock_.emplace(std::move(folder->lock));
    LogStreamsSettings settings;
    settings.folder = folder->path;
    settings.node = context_.node.name;
    settings.disk_bytes_max = kDiskBytesMax;
    client_ = context_.make_bus_client(context_.loop, "gateway");
    delivery_ = std::make_unique<LogDelivery>(context_, *client_, std::move(settings), "gateway");
    client_->on_state([this](bus::ClientState state) {
        if (state == bus::ClientState::kConnected) delivery_->on_connected();
    });
    co_return co_await delivery_->start();
}

void AccessShipper::take(std::vector<AccessLine> lines) {
    if (delivery_ == nullptr) return;
    for (const AccessLine& line : lines) {
        Service& service = services_[line.service];
        if (service.channel == nullptr) {
            const size_t slash = line.service.find('/');
            LogSource source;
            source.space = line.service.substr(0, slash);
            source.service = line.service.substr(slash + 1);
            source.name = source.space + "@" + source.service;
            source.instance = "gateway";
            service.channel = delivery_->streams().open_channel(source);
        }
        service.used_at = context_.loop.now();
        service.channel->add(proto::LogStream::kAccess, line.text, line.level, line.trace_id);
    }
    if (!idle_timer_.is_active()) idle_timer_.start(kIdleMax);
}

void AccessShipper::close_idle() {
    const MonoTime now = context_.loop.now();
    std::erase_if(services_,
                  [&](const auto& each) { return now - each.second.used_at > kIdleMax; });
    if (!services_.empty()) idle_timer_.start(kIdleMax);
}

}  // namespace candela::gateway
