#include "build_workshop.h"

#include <unistd.h>

#include "base/text.h"
#include "protections.h"
#include "role.h"
#include "seccomp_filter.h"

namespace candela::host {

namespace {

// By which the uid of a build is drawn: another one than that of any instance of a host here.
constexpr std::string_view kRunId = "candela-build";

// One command until its end.
class Command final : public RunningHandler {
public:
    explicit Command(build::WorkListener& listener) : listener_(listener) {}

    Result<> start(Driver& driver, const StartRequest& request) {
        CANDELA_TRY_ASSIGN(running_, driver.start(request, *this));
        return {};
    }
    Completion<Result<ExitStatus>>& ended() { return ended_; }

    void on_started(int) override {}
    void on_start_failed(const Error& error) override { ended_.complete(fail(error)); }
    void on_output(OutputKind kind, std::string_view bytes) override {
        listener_.on_output(kind, bytes);
    }
    void on_output_lost(uint64_t bytes) override {
        const std::string note = fmt::format("[{} of output were lost here]\n", format_size(bytes));
        listener_.on_output(OutputKind::kStderr, note);
    }
    void on_exit(const ExitStatus& status) override { ended_.complete(status); }

private:
    build::WorkListener& listener_;
    Completion<Result<ExitStatus>> ended_;
    std::unique_ptr<Running> running_;  // last: its end is what ends the rest
};

}  // namespace

Task<Result<>> BuildWorkshop::open(std::string project, std::filesystem::path run_folder) {
    project_ = std::move(project);
    ProcessDriverOptions options;
    options.run_folder = std::move(run_folder);
    options.ends_with_host = true;
    options.run_id = kRunId;
    CO_TRY(driver_.open(std::move(options)));
    auto abilities = co_await driver_.examine();
    if (!abilities) co_return fail(abilities.error());
    const std::vector<std::string> off;
    walls_.walls = plan_walls(*abilities, geteuid() == 0, off);
    walls_.walls.no_cgroup = "a build has none";
    if (walls_.walls.has_seccomp) {
        auto filter = co_await offload(loop_, make_seccomp_filter);
        if (!filter) co_return fail(filter.error());
        walls_.seccomp = std::move(*filter);
    }
    walls_.limits.scratch_bytes = kBuildScratchBytes;
    driver_.set_walls(walls_);
    co_return Result<>();
}

std::optional<uint32_t> BuildWorkshop::owner() const {
    if (!walls_.walls.has_own_uid) return std::nullopt;
    return instance_uid(kRunId, project_);
}

std::string BuildWorkshop::describe() const {
    std::string on, off;
    for (const Protection& protection : list_protections(walls_.walls)) {
        const bool is_limit = protection.name == "memory" || protection.name == "cpu" ||
                              protection.name == "pids" || protection.name == "io";
        // That a network can be shut says the build itself, of each step.
        if (is_limit || protection.name == "network") continue;
        std::string& list = protection.is_on ? on : off;
        list += (list.empty() ? "" : ", ") + protection.name;
    }
    if (on.empty()) on = "nothing";
    return off.empty() ? on : fmt::format("{} (off here: {})", on, off);
}

Task<Result<ExitStatus>> BuildWorkshop::run(build::WorkOrder order, build::WorkListener& listener) {
    StartRequest request;
    request.instance = project_;
    request.command = std::move(order.command);
    request.environment = std::move(order.environment);
    request.directory = std::move(order.directory);
    request.readable = std::move(order.readable);
    request.writable = std::move(order.writable);
    request.has_network = order.has_network;
    Command command(listener);
    const auto started = command.start(driver_, request);
    if (!started) co_return fail(started.error());
    Completion<Result<ExitStatus>>& ended = command.ended();
    auto status = co_await ended;
    co_return status;
}

std::unique_ptr<build::Workshop> make_build_workshop(Loop& loop) {
    return std::make_unique<BuildWorkshop>(loop);
}

}  // namespace candela::host
