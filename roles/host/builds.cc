#include "builds.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "build/build.h"
#include "loop/fd.h"
#include "loop/file.h"
#include "service/session_frame.h"

namespace candela::host {

namespace fs = std::filesystem;
using service::SessionFrame;

namespace {

constexpr size_t kReadBytes = 256 * 1024;

// A file of ours that flows on the pool add to.
struct Archive {
    Fd fd{-1};
    fs::path path;
    uint64_t size = 0;

    Result<> open(const fs::path& folder) {
        CANDELA_TRY(make_directories(folder, 0700));
        path = folder / "sources.tar.zst";
        fd = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (fd.get() < 0) return fail_errno(path.native(), errno);
        return {};
    }
    Result<> add(std::string_view bytes) {
        size += bytes.size();
        if (size > Builds::kSourceBytesMax) {
            return fail(Code::kExhausted, "the sources have more than {}",
                        format_size(Builds::kSourceBytesMax));
        }
        return write_all(fd.get(), bytes, path);
    }
};

// A part of the file, which is opened for the first.
Result<std::string> read_part(Fd& fd, const fs::path& path, uint64_t at) {
    if (fd.get() < 0) fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return fail_errno(path.native(), errno);
    std::string bytes(kReadBytes, '\0');
    const ssize_t count = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0) return fail_errno(path.native(), errno);
    bytes.resize(static_cast<size_t>(count));
    return bytes;
}

// What a build reads of our environment: never what it names itself.
std::function<std::string(const char*)> environment_of(const service::BuildOrder& order,
                                                       const service::BuildSpec& spec,
                                                       const fs::path& folder) {
    return [sent = order.environment, own = spec.pass_env, folder](const char* name) {
        if (std::string_view(name) == "XDG_CACHE_HOME") return folder.native();
        if (const auto found = sent.find(name); found != sent.end()) return found->second;
        if (std::ranges::find(own, name) != own.end()) return std::string();
        const char* value = std::getenv(name);
        return value == nullptr ? std::string() : std::string(value);
    };
}

// By the sources, as ctl does it; the manifest is ctl's to make.
Result<build::BuildRequest> make_request(const fs::path& sources, const service::BuildOrder& order,
                                         const service::BuildTarget& target) {
    if (!order.ignore_file.empty())
        CANDELA_TRY(write_file(sources / ".candelaignore", order.ignore_file, 0600));
    auto toml = read_file(sources / "service.toml", service::kManifestSizeMax + 1);
    if (!toml && toml.error().code() != Code::kNotFound) return fail(toml.error());
    build::BuildRequest request;
    request.folder = sources;
    request.spec = service::read_build_spec(toml ? *toml : "");
    if (!request.spec.paths.empty()) {
        return fail(Code::kDenied,
                    "[build] paths: of a host a build sees nothing more\ntry: build it here, "
                    "without --build-on");
    }
    request.spec.timeout = std::min(request.spec.timeout, Builds::kTimeMax);
    CANDELA_TRY_ASSIGN(auto recipe, build::find_recipe(build::Project(sources), request.spec));
    if (!recipe) return fail(Code::kInvalid, "nothing in these sources says how they are built");
    CANDELA_TRY(build::check_tools(*recipe));
    request.recipe = std::move(*recipe);
    request.service_name = target.service;
    request.finds_command = order.finds_command;
    request.is_anew = order.is_anew;
    return request;
}

}  // namespace

class Builds::Work final : private StreamHandler, private build::BuildListener {
public:
    Work(Builds& builds, StreamPtr person, service::BuildTarget target, fs::path folder)
        : builds_(builds),
          person_(std::move(person)),
          target_(std::move(target)),
          folder_(std::move(folder)),
          idle_timer_(builds.loop_.timers(), [this] { note_idle(); }),
          later_(builds.loop_.timers(), [this] { builds_.end(*this); }) {}

    ~Work() {
        flow_.cancel();
        // What is still at work on the pool is done before: it takes its turn.
        builds_.loop_.offload([folder = folder_] { static_cast<void>(remove_tree(folder)); },
                              [] {});
    }

    void begin() {
        person_->start(*this);
        idle_timer_.start(kIdleMax);
        flow_.spawn(run());
    }

private:
    Task<void> run() {
        auto working = work();
        const auto done = co_await std::move(working);
        idle_timer_.stop();
        if (done) {
            send(SessionFrame::kExit, service::session_numbers32(0, 0));
        } else {
            const std::string& message = done.error().message();
            send(SessionFrame::kFailed, message.substr(0, service::kSessionFrameMax));
            builds_.log_.info("build_failed", {{"space", target_.space},
                                               {"service", target_.service},
                                               {"error", message.substr(0, message.find('\n'))}});
        }
        is_done_ = true;
        person_->resume();
        person_->end();
    }

    Task<Result<>> work() {
        if (!service::is_valid_name(target_.space) || !service::is_valid_name(target_.service)) {
            co_return fail(Code::kInvalid, "a build is of a space and a service");
        }
        if (builds_.size() > kBuildsMax) {
            co_return fail(Code::kExhausted, "{} builds are under way on this host", kBuildsMax);
        }
        CO_TRY(co_await receive());
        on_note(fmt::format("on {}", builds_.node_));
        builds_.log_.info("build_started", {{"space", target_.space},
                                            {"service", target_.service},
                                            {"sources", order_->digest.substr(0, 12)}});
        const fs::path sources = folder_ / "sources";
        auto unpack = [archive = archive_->path, sources, order = *order_,
                       target = target_]() -> Result<build::BuildRequest> {
            CANDELA_TRY(service::unpack_bundle(archive, order.digest, sources));
            return make_request(sources, order, target);
        };
        auto request = co_await offload(builds_.loop_, std::move(unpack));
        if (!request) co_return fail(request.error());
        request->environment = environment_of(*order_, request->spec, builds_.folder_);
        request->project = builds_.folder_ / "projects" / target_.space / target_.service;
        auto make = [project = request->project] { return make_directories(project, 0700); };
        CO_TRY(co_await offload(builds_.loop_, std::move(make)));
        const std::unique_ptr<build::Workshop> workshop = builds_.make_workshop_(builds_.loop_);
        build::BuildListener& self = *this;
        auto building = build::build(builds_.loop_, *workshop, std::move(*request), self);
        auto built = co_await std::move(building);
        if (!built) co_return fail(built.error());
        service::BuildResult result;
        result.info = built->outcome.info;
        result.command = built->outcome.command;
        result.was_there = built->was_there;
        send(SessionFrame::kBuilt, service::to_text(result));
        auto sending = send_file(built->outcome.bundle);
        const auto sent = co_await std::move(sending);
        builds_.log_.info("build_ended", {{"space", target_.space},
                                          {"service", target_.service},
                                          {"bundle", result.info.digest.substr(0, 12)}});
        co_return sent;
    }

    // The order, then the archive of the sources.
    Task<Result<>> receive() {
        archive_ = std::make_shared<Archive>();
        auto open = [archive = archive_, folder = folder_] { return archive->open(folder); };
        CO_TRY(co_await offload(builds_.loop_, std::move(open)));
        for (;;) {
            if (failed_) co_return fail(*failed_);
            if (pending_.empty() && has_all_) break;
            if (pending_.empty()) {
                changed_.reset();
                person_->resume();
                co_await changed_.wait();
                continue;
            }
            auto add = [archive = archive_, bytes = std::exchange(pending_, {})] {
                return archive->add(bytes);
            };
            CO_TRY(co_await offload(builds_.loop_, std::move(add)));
            idle_timer_.start(kIdleMax);
        }
        idle_timer_.stop();
        if (!order_) co_return fail(Code::kInvalid, "sources without an order");
        co_return Result<>();
    }

    Task<Result<>> send_file(fs::path path) {
        auto file = std::make_shared<Fd>(-1);
        for (uint64_t at = 0;;) {
            auto read = [file, path, at] { return read_part(*file, path, at); };
            const auto bytes = co_await offload(builds_.loop_, std::move(read));
            if (!bytes) co_return fail(bytes.error());
            if (bytes->empty()) co_return Result<>();
            at += bytes->size();
            send(SessionFrame::kStdout, *bytes);
            idle_timer_.start(kIdleMax);
            while (person_->queued_bytes() > kQueueBytesMax && !failed_) {
                drained_.reset();
                co_await drained_.wait();
            }
            if (failed_) co_return fail(*failed_);
        }
    }

    void send(SessionFrame type, std::string_view payload = {}) {
        std::string frame;
        service::add_session_frame(frame, type, payload);
        person_->write(frame);
    }

    // ---- the build's

    void on_note(std::string_view line) override { send(SessionFrame::kNote, line); }
    // Who reads too slowly misses some: a build does not wait for its reader.
    void on_output(std::string_view bytes) override {
        if (person_->queued_bytes() > kQueueBytesMax) {
            lost_bytes_ += bytes.size();
            return;
        }
        if (lost_bytes_ > 0) {
            on_note(fmt::format("[{} of output were lost here]",
                                format_size(std::exchange(lost_bytes_, 0))));
        }
        send(SessionFrame::kStderr, bytes);
    }

    // ---- the person's

    void on_data(std::string_view bytes) override {
        if (is_done_) return;
        reader_.add(bytes);
        SessionFrame type{};
        std::string_view payload;
        for (;;) {
            const auto next = reader_.next(type, payload);
            if (!next) {
                failed_ = next.error();
                return changed_.set();
            }
            if (!*next) break;
            on_frame(type, payload);
        }
        if (pending_.size() > kQueueBytesMax) person_->pause();
        changed_.set();
    }
    void on_frame(SessionFrame type, std::string_view payload) {
        switch (type) {
            case SessionFrame::kBuild: {
                auto order = service::parse_build_order(payload);
                if (order)
                    order_ = std::move(*order);
                else
                    failed_ = order.error();
                return;
            }
            case SessionFrame::kInput: pending_ += payload; return;
            case SessionFrame::kInputEnd: has_all_ = true; return;
            default: return;
        }
    }
    void on_drained() override { drained_.set(); }
    void on_end() override { later_.start(Duration(0)); }
    void on_error(const Error&) override { later_.start(Duration(0)); }
    void note_idle() {
        failed_ = Error(Code::kTimeout, fmt::format("nothing went over the connection for {}",
                                                    format_duration(kIdleMax)));
        changed_.set();
        drained_.set();
    }

    Builds& builds_;
    StreamPtr person_;
    const service::BuildTarget target_;
    const fs::path folder_;
    service::SessionReader reader_;
    std::optional<service::BuildOrder> order_;
    std::shared_ptr<Archive> archive_;
    std::string pending_;  // of the sources, for the disk
    bool has_all_ = false;
    bool is_done_ = false;
    std::optional<Error> failed_;
    uint64_t lost_bytes_ = 0;
    Event changed_;
    Event drained_;
    Timer idle_timer_;
    Timer later_;
    TaskGroup flow_;  // last: it uses the others
};

Builds::Builds(Loop& loop, fs::path folder, std::string node, build::MakeWorkshop make_workshop,
               Logger log)
    : loop_(loop),
      folder_(std::move(folder)),
      node_(std::move(node)),
      make_workshop_(std::move(make_workshop)),
      log_(std::move(log)) {}

Builds::~Builds() = default;

Task<Result<>> Builds::open() {
    auto work = [folder = folder_]() -> Result<> {
        CANDELA_TRY(make_directories(folder, 0700));
        return remove_tree(folder / "incoming");
    };
    auto opened = co_await offload(loop_, std::move(work));
    co_return opened;
}

void Builds::accept(StreamPtr person, const service::BuildTarget& target) {
    works_.push_back(std::make_unique<Work>(*this, std::move(person), target,
                                            folder_ / "incoming" / std::to_string(++next_)));
    works_.back()->begin();
}

void Builds::end(Work& work) {
    std::erase_if(works_, [&](const auto& each) { return each.get() == &work; });
}

}  // namespace candela::host
