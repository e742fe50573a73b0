#include "docker_driver.h"

#include <cerrno>

#include "base/ids.h"
#include "base/text.h"
#include "docker_kept.h"
#include "docker_session.h"

namespace candela::host {

// What the driver's user holds; the container may be gone before it, or live on after it.
class DockerDriver::Handle final : public Running {
public:
    Handle(DockerDriver& driver, const KeptPtr& kept) : driver_(driver), kept_(kept) {}
    ~Handle() override {
        const auto kept = kept_.lock();
        if (kept && !driver_.has_let_go_) kept->abandon();
    }
    int pid() const override {
        const auto kept = kept_.lock();
        return kept ? kept->pid() : 0;
    }
    // A published port has a listener of the engine's, which is there before anybody's within.
    Address probe_address(uint16_t port) const override {
        const auto kept = kept_.lock();
        if (!kept || kept->inner_port() == 0 || kept->address().empty())
            return Running::probe_address(port);
        return Address::tcp(kept->address(), kept->inner_port());
    }
    std::optional<uint64_t> memory_bytes() const override {
        const auto kept = kept_.lock();
        return kept ? kept->memory_bytes() : std::nullopt;
    }
    void terminate() override {
        if (const auto kept = kept_.lock()) kept->terminate();
    }
    void kill() override {
        if (const auto kept = kept_.lock()) kept->kill();
    }
    void set_note(std::string_view note) override {
        if (const auto kept = kept_.lock()) kept->set_note(note);
    }
    Result<> signal(int number) override {
        const auto kept = kept_.lock();
        if (!kept) return fail_errno("sending a signal", ESRCH);
        return kept->signal(number);
    }
    Result<std::unique_ptr<Running>> run_beside(const StartRequest& request,
                                                RunningHandler& handler) override {
        if (request.command.empty()) return fail(Code::kInvalid, "there is no command to start");
        const auto kept = kept_.lock();
        if (!kept || !kept->is_started()) return fail(Code::kNotFound, "the instance has ended");
        auto beside = std::make_unique<Beside>(driver_, kept->id(), handler);
        beside->start(request);
        return beside;
    }
    Result<std::unique_ptr<Running>> run_session(const StartRequest& request, SessionFds fds,
                                                 RunningHandler& handler) override {
        if (request.command.empty()) return fail(Code::kInvalid, "there is no command to start");
        const auto kept = kept_.lock();
        if (!kept || !kept->is_started()) return fail(Code::kNotFound, "the instance has ended");
        auto session = std::make_unique<Session>(driver_, kept->id(), handler);
        CANDELA_TRY(session->start(request, std::move(fds)));
        return session;
    }

private:
    DockerDriver& driver_;
    std::weak_ptr<Kept> kept_;
};

DockerDriver::DockerDriver(Loop& loop, DockerEngine& engine, Logger log)
    : loop_(loop), engine_(engine), log_(std::move(log)) {}

DockerDriver::~DockerDriver() = default;

void DockerDriver::let_go() {
    has_let_go_ = true;
    tasks_.cancel();
    for (const KeptPtr& kept : kept_) kept->let_go();
}

void DockerDriver::forget(Kept& kept) {
    kept_.remove_if([&](const KeptPtr& other) { return other.get() == &kept; });
}

Result<std::unique_ptr<Running>> DockerDriver::start(const StartRequest& request,
                                                     RunningHandler& handler) {
    if (!request.container) return fail(Code::kInvalid, "there is no image to start");
    ContainerNote note;
    note.instance = request.instance;
    note.note = request.note;
    note.name = fmt::format("candela-{}-{}", request.instance, make_id(loop_.random()));
    const ContainerWish& wish = *request.container;
    if (!wish.is_host_network) note.inner_port = wish.port != 0 ? wish.port : request.port;
    auto kept = std::make_shared<Kept>(*this, std::move(note));
    kept_.push_back(kept);
    kept->start(request, handler);
    return std::unique_ptr<Running>(std::make_unique<Handle>(*this, kept));
}

Task<void> DockerDriver::remove(std::string id) {
    auto removed = co_await engine_.api().remove(id);
    // What somebody else removes at this moment goes, too; what is left is swept later.
    if (removed || removed.error().code() == Code::kConflict) co_return;
    engine_.on_failure(removed.error());
    log_.warn("container_not_removed", {{"container", id}, {"error", removed.error()}});
}

Task<Result<std::vector<FoundInstance>>> DockerDriver::find() {
    std::vector<FoundInstance> found;
    if (!options_.ends_with_host) {
        auto work = [folder = options_.run_folder] { return read_container_notes(folder); };
        const auto notes = co_await offload(loop_, std::move(work));
        for (const ContainerNote& note : notes) co_await find_one(note);
        for (const auto& [instance, kept] : found_)
            found.push_back({instance, kept->container_note().note});
    }
    has_looked_ = true;
    if (engine_.is_on()) co_await sweep();
    co_return std::move(found);
}

Task<void> DockerDriver::find_one(ContainerNote note) {
    auto kept = std::make_shared<Kept>(*this, note);
    if (note.end || !engine_.is_on()) {
        kept->set_found(std::nullopt);
    } else {
        const std::string id = note.id.empty() ? note.name : note.id;
        auto state = co_await engine_.api().inspect(id);
        const bool is_gone = !state && state.error().code() == Code::kNotFound;
        // We died before it had run.
        if (is_gone && note.id.empty()) co_return;
        if (state && state->status == "created") co_return;
        if (is_gone) {
            kept->set_lost();
        } else if (state) {
            kept->set_found(*state);
        } else {
            engine_.on_failure(state.error());
            kept->set_found(std::nullopt);
        }
    }
    found_[note.instance] = kept;
}

std::unique_ptr<Running> DockerDriver::adopt(const std::string& instance, RunningHandler& handler) {
    const auto found = found_.find(instance);
    if (found == found_.end()) return nullptr;
    const KeptPtr kept = std::move(found->second);
    found_.erase(found);
    kept_.push_back(kept);
    kept->adopt(handler);
    return std::make_unique<Handle>(*this, kept);
}

void DockerDriver::on_engine_change() {
    if (has_looked_ && engine_.is_on()) tasks_.spawn(sweep());
}

// What has ended, and is noted to have, is not needed any more.
bool DockerDriver::knows(const ContainerEntry& entry) const {
    const auto is_it = [&](const Kept& kept) {
        return !kept.container_note().end &&
               (kept.name() == entry.name || (!kept.id().empty() && kept.id() == entry.id));
    };
    for (const KeptPtr& kept : kept_) {
        if (is_it(*kept)) return true;
    }
    for (const auto& [instance, kept] : found_) {
        if (is_it(*kept)) return true;
    }
    return false;
}

Task<void> DockerDriver::sweep() {
    auto entries = co_await engine_.api().list(fmt::format("{}={}", kRunLabel, options_.run_id));
    if (!entries) {
        engine_.on_failure(entries.error());
        co_return;
    }
    for (const ContainerEntry& entry : *entries) {
        if (knows(entry)) continue;
        log_.info("orphan_removed",
                  {{"container", entry.id.substr(0, 12)}, {"instance", printable(entry.instance)}});
        co_await remove(entry.id);
    }
}

}  // namespace candela::host
