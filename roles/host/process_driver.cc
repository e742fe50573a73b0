#include "process_driver.h"

#include <signal.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "base/ids.h"
#include "keeper_client.h"
#include "keeper_folder.h"
#include "keeper_image.h"
#include "keeper_session.h"
#include "leftovers.h"
#include "loop/file.h"
#include "loop/move_stream.h"
#include "loop/process.h"
#include "network_doors.h"

namespace candela::host {

using keeper::Message;

namespace {

struct Made {
    Result<KeeperSocket> socket = fail(Code::kInternal, "not made yet");
};

// What a keeper that was killed is said to have ended with: whatever it kept was killed too.
constexpr ExitStatus kLostStatus{0, SIGKILL};

}  // namespace

// One instance from its start, or its adoption, until its end is known; or a program beside one.
class ProcessDriver::Kept final : public std::enable_shared_from_this<Kept>,
                                  private KeeperHandler,
                                  private ProcessHandler {
public:
    Kept(ProcessDriver& driver, std::string instance, std::filesystem::path folder,
         RunningHandler* handler)
        : driver_(driver),
          instance_(std::move(instance)),
          folder_(std::move(folder)),
          handler_(handler),
          later_(driver.loop_.timers(), [this] { finish(); }) {}

    const std::string& instance() const { return instance_; }
    const std::string& note() const { return note_; }
    int pid() const { return pid_; }
    bool is_running() const { return client_ != nullptr && pid_ != 0; }

    // Socket and folder on the pool, then the keeper, then the connection, then the plan.
    void start(const StartRequest& request) {
        const WallSettings& walls = driver_.walls_;
        if (!walls.cgroups.folder.empty()) cgroup_ = cgroup_of(walls.cgroups, instance_);
        plan_ = encode_plan(request, driver_.options_.ends_with_host, &walls,
                            instance_uid(driver_.options_.run_id, instance_), cgroup_);
        program_ = request.command.front();
        has_doors_ = !request.has_network && request.port != 0;
        begins_with_ = Message::kStart;
        auto made = std::make_shared<Made>();
        auto work = [folder = folder_, cgroup = cgroup_, base = walls.cgroups,
                     limits = limits_for(request.limits, walls.limits), made] {
            const auto group = cgroup.empty() ? Result<>() : make_cgroup(base, cgroup, limits);
            made->socket =
                group ? KeeperSocket::make(folder) : Result<KeeperSocket>(fail(group.error()));
        };
        driver_.loop_.offload(std::move(work), [weak = weak_from_this(), made] {
            if (const auto self = weak.lock()) self->on_socket(*made);
        });
    }

    // Beside one that runs: its keeper takes a second connection.
    void start_beside(const StartRequest& request) {
        plan_ = encode_plan(request, true, nullptr);
        program_ = request.command.front();
        begins_with_ = Message::kExec;
        is_beside_ = true;
        auto made = std::make_shared<Made>();
        driver_.loop_.offload(
            [folder = folder_, made] { made->socket = KeeperSocket::find(folder); },
            [weak = weak_from_this(), made] {
                if (const auto self = weak.lock()) self->on_socket(*made);
            });
    }

    // The same, with descriptors of its own.
    void start_session(const StartRequest& request, SessionFds fds) {
        program_ = request.command.front();
        is_beside_ = true;
        auto held = std::make_shared<SessionFds>(std::move(fds));
        auto sent = std::make_shared<Result<Fd>>(fail(Code::kInternal, "not sent yet"));
        auto work = [folder = folder_, plan = encode_plan(request, true, nullptr), held, sent] {
            *sent = send_session(folder, plan, *held);
        };
        driver_.loop_.offload(std::move(work), [weak = weak_from_this(), sent] {
            if (const auto self = weak.lock()) self->on_session(std::move(*sent));
        });
    }

    // One that was there before us. Its messages wait until adopt().
    Task<Result<>> attach(Duration timeout) {
        auto work = [folder = folder_] { return KeeperSocket::find(folder); };
        auto socket = co_await offload(driver_.loop_, std::move(work));
        if (!socket) co_return fail(socket.error());
        const auto address = Address::unix_socket(socket->path());
        auto stream = co_await connect(driver_.loop_, address, timeout);
        if (!stream) co_return fail(stream.error());
        is_attaching_ = true;
        open_client(std::move(*stream));
        client_->send(Message::kAttach);
        auto answered = with_timeout(driver_.loop_, timeout, "keeper", wait_for_hello());
        co_return co_await std::move(answered);
    }

    // It ended while nobody looked.
    void set_ended(const ExitStatus& status) {
        status_ = status;
        is_started_ = true;
    }

    void adopt(RunningHandler& handler) {
        handler_ = &handler;
        const CgroupBase& groups = driver_.walls_.cgroups;
        if (!groups.folder.empty()) cgroup_ = cgroup_of(groups, instance_);
        if (client_ != nullptr && !is_lost_) {
            open_doors(false);
            const std::weak_ptr<Kept> weak = weak_from_this();
            driver_.loop_.defer([weak] {
                if (const auto self = weak.lock(); self && self->client_) self->client_->resume();
            });
            return;
        }
        if (!status_) status_ = kLostStatus;
        later_.start(Duration(0));
    }

    void terminate() { order(Message::kTerminate); }
    void kill() { order(Message::kKill); }
    void set_note(std::string_view note) {
        if (note_ == note) return;
        note_ = note;
        is_note_new_ = !plan_.empty() || client_ != nullptr;
        if (client_ != nullptr && is_started_) client_->send(Message::kNote, note_);
    }
    void acknowledge(uint64_t position) {
        if (client_ != nullptr && !is_lost_) client_->send(Message::kAck, bytes_of(position));
    }
    std::optional<Task<Result<StreamPtr>>> reach() const {
        if (doors_ == nullptr || (!has_doors_ && !doors_->is_open())) return std::nullopt;
        return reach_within(driver_.loop_, folder_);
    }
    void stop_accepting() {
        if (doors_) doors_->stop_accepting();
    }
    // Nobody listens any more.
    void abandon() {
        handler_ = nullptr;
        if (is_beside_) {
            client_.reset();  // which ends it
            later_.start(Duration(0));
            return;
        }
        order(Message::kEnd);
    }
    std::unique_ptr<Running> run_beside(const StartRequest& request, RunningHandler& handler);
    std::unique_ptr<Running> run_session(const StartRequest& request, SessionFds fds,
                                         RunningHandler& handler);

private:
    void on_socket(Made& made) {
        if (!made.socket) return fail_start(made.socket.error());
        socket_ = std::move(*made.socket);
        if (begins_with_ == Message::kStart) {
            if (wish_ == Message::kEnd)
                return fail_start(Error(Code::kCancelled, "it is not wanted any more"));
            const auto spawned = spawn_keeper();
            socket_.close_listener();
            if (!spawned) return fail_start(spawned.error());
        }
        const std::weak_ptr<Kept> weak = weak_from_this();
        connecting_ = driver_.loop_.connect(Address::unix_socket(socket_.path()),
                                            [weak](Result<StreamPtr> stream) {
                                                if (const auto self = weak.lock())
                                                    self->on_connected(std::move(stream));
                                            });
    }

    void on_session(Result<Fd> sent) {
        if (!sent) return fail_start(sent.error());
        auto stream = adopt_unix_socket(driver_.loop_, std::move(*sent));
        if (!stream) return fail_start(stream.error());
        open_client(std::move(*stream));
    }

    Result<> spawn_keeper() {
        SpawnOptions options;
        options.command = {fmt::format("/proc/self/fd/{}", driver_.image_)};
        options.directory = folder_.native();
        options.input = socket_.listener();
        options.capture_output = false;
        CANDELA_TRY_ASSIGN(process_, Process::spawn(driver_.loop_, options, *this));
        return {};
    }
    // The keeper's first process is gone as soon as it has made the second.
    void on_output(OutputKind, std::string_view) override {}
    void on_exit(const ExitStatus&) override { process_.reset(); }

    void on_connected(Result<StreamPtr> stream) {
        const std::weak_ptr<Kept> weak = weak_from_this();
        driver_.loop_.defer([weak] {
            if (const auto self = weak.lock()) self->connecting_.reset();
        });
        socket_ = KeeperSocket();
        if (!stream) return fail_start(stream.error());
        open_client(std::move(*stream));
        client_->send(begins_with_, plan_);
        plan_ = std::string();
    }

    void open_client(StreamPtr stream) {
        KeeperHandler& self = *this;
        client_ = std::make_unique<KeeperClient>(std::move(stream), self);
    }

    void order(Message message) {
        if (status_ || is_over_) return;
        wish_ = message;
        if (client_ != nullptr && is_started_) client_->send(message);
    }

    void on_message(Message message, std::string_view payload) override {
        switch (message) {
            case Message::kHello: return on_hello(payload);
            case Message::kStarted: return on_started(number_at<int32_t>(payload, 0));
            case Message::kFailed: {
                const auto error = number_at<int32_t>(payload, 0);
                const auto what = payload.substr(std::min(payload.size(), sizeof(error)));
                return fail_start(Error::system(fmt::format("{}: {}", program_, what), error));
            }
            case Message::kOutput: return on_bytes(payload);
            case Message::kDropped:
                if (handler_ != nullptr) handler_->on_output_lost(number_at<uint64_t>(payload, 0));
                return;
            case Message::kExited:
                status_ =
                    ExitStatus{number_at<int32_t>(payload, 0), number_at<int32_t>(payload, 4)};
                // Later: the client must not be destroyed here.
                later_.start(Duration(0));
                return;
            default: return;  // from a newer keeper
        }
    }

    void on_started(int pid) {
        pid_ = pid;
        is_started_ = true;
        if (wish_) client_->send(*wish_);
        if (is_note_new_) client_->send(Message::kNote, note_);
        if (has_doors_) open_doors(true);
        if (handler_ != nullptr) handler_->on_started(pid_);
    }

    // Of one that is found again nobody but its keeper knows.
    void open_doors(bool is_expected) {
        doors_ = std::make_unique<NetworkDoors>(driver_.loop_, folder_, instance_,
                                                driver_.options_.bus, driver_.log_);
        doors_->open(is_expected);
    }

    void on_hello(std::string_view payload) {
        const auto hello = number_at<keeper::Hello>(payload, 0);
        pid_ = hello.state == static_cast<uint8_t>(keeper::State::kRunning) ? hello.pid : 0;
        note_ = payload.substr(std::min(payload.size(), sizeof(hello)));
        is_started_ = true;
        is_attaching_ = false;
        client_->pause();
        hello_.set();
    }
    Task<Result<>> wait_for_hello() {
        co_await hello_.wait();
        if (is_lost_) co_return fail(Code::kUnreachable, "the keeper has ended");
        co_return Result<>();
    }

    void on_bytes(std::string_view payload) {
        constexpr size_t kHeadSize = sizeof(uint64_t) + 1;
        if (payload.size() < kHeadSize) return;
        const bool is_stdout = payload[sizeof(uint64_t)] == 1;
        const auto position = number_at<uint64_t>(payload, 0);
        const auto bytes = payload.substr(kHeadSize);
        const auto kind = is_stdout ? OutputKind::kStdout : OutputKind::kStderr;
        if (handler_ == nullptr || handler_->on_output_at(kind, bytes, position))
            acknowledge(position);
    }

    void on_lost(const Error& error) override {
        is_lost_ = true;
        if (is_attaching_) {
            is_attaching_ = false;
            return hello_.set();
        }
        if (status_ || is_over_) return;
        if (!is_started_) return fail_start(error);
        // Somebody killed the keeper. Where it had no namespace that died with it, something may be
        // left.
        status_ = kLostStatus;
        const std::weak_ptr<Kept> weak = weak_from_this();
        auto work = [run_id = driver_.options_.run_id, instance = instance_] {
            end_leftovers(run_id, instance);
        };
        if (is_beside_) return later_.start(Duration(0));
        driver_.loop_.offload(std::move(work), [weak] {
            if (const auto self = weak.lock()) self->finish();
        });
    }

    void fail_start(Error error) {
        if (std::exchange(is_over_, true)) return;
        start_error_ = std::move(error);
        later_.start(Duration(0));
    }

    // The group goes first, and only then is the end told: who starts it again makes one of the
    // same name, which must not be taken for this one. It knows whether memory was what ended it.
    void finish() {
        is_over_ = true;
        if (is_beside_ || cgroup_.empty()) return finish_without_group();
        auto detail = std::make_shared<std::string>();
        auto left = std::make_shared<Result<>>();
        auto work = [cgroup = std::exchange(cgroup_, {}), detail, left] {
            *detail = why_ended(cgroup);
            *left = remove_cgroup(cgroup);
        };
        driver_.loop_.offload(std::move(work), [weak = weak_from_this(), detail, left] {
            const auto self = weak.lock();
            if (!self) return;
            if (!*left) self->driver_.log_.warn("group_not_removed", {{"error", left->error()}});
            self->end_detail_ = std::move(*detail);
            self->finish_without_group();
        });
    }

    // The last thing that happens. Destroys this.
    void finish_without_group() {
        const auto self = shared_from_this();
        RunningHandler* const handler = std::exchange(handler_, nullptr);
        doors_.reset();
        if (client_ != nullptr && !is_lost_ && status_) client_->send(Message::kRelease);
        client_.reset();
        if (!is_beside_) driver_.discard(folder_);
        driver_.forget(*this);
        if (handler == nullptr) return;
        if (start_error_) return handler->on_start_failed(*start_error_);
        if (!status_) return;
        if (!end_detail_.empty()) handler->on_end_detail(end_detail_);
        handler->on_exit(*status_);
    }

    ProcessDriver& driver_;
    std::string instance_;
    std::filesystem::path folder_;
    RunningHandler* handler_;  // null once nobody listens, and before somebody does
    Timer later_;
    KeeperSocket socket_;
    std::unique_ptr<Process> process_;
    std::unique_ptr<ConnectAttempt> connecting_;
    std::unique_ptr<KeeperClient> client_;
    std::unique_ptr<NetworkDoors> doors_;  // of a network of its own
    Message begins_with_ = Message::kAttach;
    std::string plan_;
    std::string program_;
    std::string end_detail_;
    std::string note_;
    std::string cgroup_;
    std::optional<Message> wish_;  // to be told when it has started
    std::optional<Error> start_error_;
    std::optional<ExitStatus> status_;
    Event hello_;
    int pid_ = 0;
    bool is_note_new_ = false;  // than the plan's
    bool has_doors_ = false;    // surely
    bool is_beside_ = false;
    bool is_attaching_ = false;
    bool is_started_ = false;
    bool is_lost_ = false;
    bool is_over_ = false;
};

// What the driver's user holds; the instance may be gone before it, or live on after it.
class ProcessDriver::Handle final : public Running {
public:
    Handle(ProcessDriver& driver, const std::shared_ptr<Kept>& kept)
        : driver_(driver), kept_(kept), pid_(kept->pid()) {}
    ~Handle() override {
        const auto kept = kept_.lock();
        if (kept && !driver_.has_let_go_) kept->abandon();
    }
    int pid() const override {
        if (const auto kept = kept_.lock()) pid_ = kept->pid();
        return pid_;
    }
    std::optional<Task<Result<StreamPtr>>> reach() const override {
        if (const auto kept = kept_.lock()) return kept->reach();
        return std::nullopt;
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
    void acknowledge(uint64_t position) override {
        if (const auto kept = kept_.lock()) kept->acknowledge(position);
    }
    Result<std::unique_ptr<Running>> run_beside(const StartRequest& request,
                                                RunningHandler& handler) override {
        if (request.command.empty()) return fail(Code::kInvalid, "there is no command to start");
        if (const auto kept = kept_.lock()) return kept->run_beside(request, handler);
        return fail(Code::kNotFound, "the instance has ended");
    }

    Result<std::unique_ptr<Running>> run_session(const StartRequest& request, SessionFds fds,
                                                 RunningHandler& handler) override {
        if (request.command.empty()) return fail(Code::kInvalid, "there is no command to start");
        if (const auto kept = kept_.lock())
            return kept->run_session(request, std::move(fds), handler);
        return fail(Code::kNotFound, "the instance has ended");
    }

private:
    ProcessDriver& driver_;
    std::weak_ptr<Kept> kept_;
    mutable int pid_;
};

std::unique_ptr<Running> ProcessDriver::Kept::run_beside(const StartRequest& request,
                                                         RunningHandler& handler) {
    auto beside = std::make_shared<Kept>(driver_, instance_, folder_, &handler);
    beside->start_beside(request);
    driver_.kept_.push_back(beside);
    return std::make_unique<Handle>(driver_, beside);
}

std::unique_ptr<Running> ProcessDriver::Kept::run_session(const StartRequest& request,
                                                          SessionFds fds, RunningHandler& handler) {
    auto beside = std::make_shared<Kept>(driver_, instance_, folder_, &handler);
    beside->start_session(request, std::move(fds));
    driver_.kept_.push_back(beside);
    return std::make_unique<Handle>(driver_, beside);
}

ProcessDriver::ProcessDriver(Loop& loop, Logger log) : loop_(loop), log_(std::move(log)) {}

ProcessDriver::~ProcessDriver() {
    if (!has_let_go_) {
        for (const auto& kept : kept_) kept->abandon();
    }
    kept_.clear();
    found_.clear();
    if (image_ >= 0) ::close(image_);
}

Result<> ProcessDriver::open(ProcessDriverOptions options) {
    options_ = std::move(options);
    CANDELA_TRY_ASSIGN(image_, open_keeper_image());
    return {};
}

namespace {

// A program that prints what we want to know, and ends.
struct Printing final : ProcessHandler {
    std::string text;
    std::optional<ExitStatus> status;
    bool has_output_ended = false;
    Event done;

    void on_output(OutputKind, std::string_view bytes) override { text += bytes; }
    void on_exit(const ExitStatus& s) override {
        status = s;
        if (has_output_ended) done.set();
    }
    void on_output_end() override {
        has_output_ended = true;
        if (status) done.set();
    }
};

}  // namespace

Task<Result<Abilities>> ProcessDriver::examine() {
    Printing printing;
    SpawnOptions options;
    options.command = {fmt::format("/proc/self/fd/{}", image_), "abilities"};
    auto process = Process::spawn(loop_, options, printing);
    if (!process) co_return fail(process.error().in("keeper"));
    co_await printing.done.wait();
    co_return parse_abilities(printing.text);
}

void ProcessDriver::let_go() {
    has_let_go_ = true;
    for (const auto& kept : kept_) kept->stop_accepting();
}

void ProcessDriver::forget(Kept& kept) {
    kept_.remove_if([&](const auto& other) { return other.get() == &kept; });
}

void ProcessDriver::discard(const std::filesystem::path& folder) {
    auto result = std::make_shared<Result<>>();
    auto work = [folder, result] { *result = remove_tree(folder); };
    loop_.offload(std::move(work), [log = log_, result] {
        if (!*result) log.warn("folder_not_removed", {{"error", result->error()}});
    });
}

Result<std::unique_ptr<Running>> ProcessDriver::start(const StartRequest& request,
                                                      RunningHandler& handler) {
    if (loop_.uv() == nullptr) return fail(Code::kUnsupported, "a simulated loop has no processes");
    if (request.command.empty()) return fail(Code::kInvalid, "there is no command to start");
    if (!request.has_network && !walls_.walls.has_own_network)
        return fail(Code::kUnsupported, "this host can't make a network of its own for it");
    const std::string name = std::string(kKeeperFolderPrefix) + make_id(loop_.random());
    auto kept = std::make_shared<Kept>(*this, request.instance,
                                       options_.run_folder / request.instance / name, &handler);
    kept->set_note(request.note);
    kept->start(request);
    kept_.push_back(kept);
    return std::unique_ptr<Running>(std::make_unique<Handle>(*this, kept));
}

Task<void> ProcessDriver::find_one(std::string instance, std::filesystem::path folder) {
    auto kept = std::make_shared<Kept>(*this, instance, folder, nullptr);
    auto attaching = kept->attach(kAnswerTimeout);
    const auto attached = co_await std::move(attaching);
    if (!attached) {
        // It is gone: it wrote how it ended, or was killed.
        struct Remains {
            std::optional<ExitStatus> status;
        };
        auto work = [folder, run_id = options_.run_id, instance] {
            Remains remains;
            remains.status = read_exit_file(folder);
            if (!remains.status) end_leftovers(run_id, instance);
            return remains;
        };
        const auto remains = co_await offload(loop_, std::move(work));
        kept->set_ended(remains.status.value_or(kLostStatus));
        log_.warn("keeper_gone", {{"instance", instance}, {"error", attached.error()}});
    }
    add_found(kept);
}

// More than one of an instance are those between which the host died: the one that runs counts.
void ProcessDriver::add_found(const std::shared_ptr<Kept>& kept) {
    auto& known = found_[kept->instance()];
    std::shared_ptr<Kept> surplus = kept;
    if (known == nullptr || (!known->is_running() && kept->is_running())) {
        surplus = std::exchange(known, kept);
    }
    if (surplus == nullptr) return;
    kept_.push_back(surplus);
    struct Nobody final : RunningHandler {
        void on_started(int) override {}
        void on_start_failed(const Error&) override {}
        void on_output(OutputKind, std::string_view) override {}
        void on_output_lost(uint64_t) override {}
        void on_exit(const ExitStatus&) override {}
    };
    static Nobody nobody;
    surplus->adopt(nobody);
    surplus->abandon();
}

Task<Result<std::vector<FoundInstance>>> ProcessDriver::find() {
    auto work = [folder = options_.run_folder] { return list_keepers(folder); };
    const auto places = co_await offload(loop_, std::move(work));
    TaskGroup looking;
    for (const KeeperPlace& place : places) {
        auto one = find_one(place.instance, place.folder);
        looking.spawn(std::move(one));
    }
    co_await looking.wait_empty();
    std::vector<FoundInstance> found;
    for (const auto& [instance, kept] : found_) found.push_back({instance, kept->note()});
    co_return found;
}

std::unique_ptr<Running> ProcessDriver::adopt(const std::string& instance,
                                              RunningHandler& handler) {
    const auto found = found_.find(instance);
    if (found == found_.end()) return nullptr;
    const auto kept = std::move(found->second);
    found_.erase(found);
    kept_.push_back(kept);
    kept->adopt(handler);
    return std::make_unique<Handle>(*this, kept);
}

}  // namespace candela::host
