#include "assignment_puller.h"

#include <algorithm>

#include "loop/file.h"

namespace candela::host {

AssignmentPuller::AssignmentPuller(Loop& loop, bus::Client& client, std::string node,
                                   std::string boot_id, std::filesystem::path file, Logger log,
                                   OnAssignments on_assignments)
    : loop_(loop),
      client_(client),
      node_(std::move(node)),
      boot_id_(std::move(boot_id)),
      file_(std::move(file)),
      log_(std::move(log)),
      on_assignments_(std::move(on_assignments)) {}

AssignmentPuller::~AssignmentPuller() = default;

Result<> AssignmentPuller::start() {
    CANDELA_TRY_ASSIGN(
        nudges_, client_.subscribe(proto::nudge_subject(node_), [this](const bus::MessageView& m) {
            const auto nudge = proto::decode_nudge(m.payload);
            if (nudge && nudge->version != version_) pull_soon();
        }));
    tasks_.spawn(pull_forever());
    tasks_.spawn(fall_back_to_disk());
    return {};
}

Task<void> AssignmentPuller::pull_forever() {
    Duration retry = kRetryMin;
    for (;;) {
        wake_.reset();
        // Without a bus there is nothing to ask; its coming back wakes us.
        bool is_well = true;
        if (client_.is_connected()) is_well = co_await pull();
        const Duration pause = is_well ? kPullInterval : retry;
        retry = is_well ? kRetryMin : std::min(kRetryMax, retry * 2);
        co_await wait_for_wake(pause);
    }
}

Task<void> AssignmentPuller::wait_for_wake(Duration at_most) {
    Timer timer(loop_.timers(), [this] { wake_.set(); });
    timer.start(at_most);
    co_await wake_.wait();
}

Task<bool> AssignmentPuller::pull() {
    proto::AssignmentsPull wanted;
    wanted.node = node_;
    wanted.version = version_;
    wanted.boot_id = boot_id_;
    auto reply = co_await client_.request(std::string(proto::kAssignmentsSubject),
                                          proto::encode(wanted), kPullTimeout);
    Result<proto::Assignments> assignments = fail(Code::kInternal, "no answer");
    if (reply)
        assignments = proto::decode_assignments(reply->payload);
    else
        assignments = fail(reply.error());
    if (assignments && assignments->failure) assignments = fail(assignments->failure.to_error());
    if (!assignments) {
        const std::string& error = assignments.error().message();
        if (error != last_error_) log_.warn("assignments_not_pulled", {{"error", error}});
        last_error_ = error;
        co_return false;
    }
    last_error_.clear();
    if (assignments->epoch < epoch_) {
        // A lighthouse that lost its lease and has not noticed.
        log_.warn("assignments_of_old_epoch", {{"epoch", assignments->epoch}, {"known", epoch_}});
        co_return false;
    }
    if (has_assignments_ && assignments->version == version_) {
        epoch_ = assignments->epoch;
        co_return true;
    }
    save(reply->payload);
    accept(*assignments);
    co_return true;
}

void AssignmentPuller::accept(const proto::Assignments& assignments) {
    version_ = assignments.version;
    epoch_ = assignments.epoch;
    has_assignments_ = true;
    log_.info("assignments", {{"version", version_}, {"instances", assignments.instances.size()}});
    on_assignments_(assignments);
}

Task<void> AssignmentPuller::fall_back_to_disk() {
    co_await sleep_for(loop_, kDiskAfter);
    if (has_assignments_) co_return;
    auto work = [file = file_] { return read_file(file, proto::kMessageBytesMax); };
    const auto bytes = co_await offload(loop_, std::move(work));
    if (has_assignments_) co_return;
    if (!bytes) {
        if (bytes.error().code() != Code::kNotFound) {
            log_.error("assignments_unreadable", {{"error", bytes.error()}});
        }
        co_return;
    }
    auto assignments = proto::decode_assignments(*bytes);
    if (!assignments) {
        log_.error("assignments_unreadable", {{"error", assignments.error()}});
        co_return;
    }
    log_.warn("assignments_from_disk", {{"reason", "the lighthouse does not answer"}});
    accept(*assignments);
    // What a restarted lighthouse has may differ under the same number: ask for all of it.
    version_ = 0;
}

void AssignmentPuller::save(std::string bytes) {
    to_save_ = std::move(bytes);
    if (is_saving_) return;
    is_saving_ = true;
    tasks_.spawn([](AssignmentPuller& self) -> Task<void> {
        while (!self.to_save_.empty()) {
            std::string content = std::exchange(self.to_save_, {});
            auto work = [file = self.file_, text = std::move(content)] {
                return write_file(file, text, 0600);
            };
            const auto written = co_await offload(self.loop_, std::move(work));
            if (!written) self.log_.error("assignments_not_saved", {{"error", written.error()}});
        }
        self.is_saving_ = false;
    }(*this));
}

}  // namespace candela::host
