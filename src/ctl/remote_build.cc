#include "ctl/remote_build.h"

#include <fcntl.h>

#include <utility>

#include "base/text.h"
#include "build/source_tree.h"
#include "ctl/show.h"
#include "loop/fd.h"
#include "loop/file.h"
#include "loop/flow.h"
#include "service/build_wish.h"
#include "service/session_frame.h"

namespace candela::ctl {

namespace fs = std::filesystem;
using service::SessionFrame;

namespace {

constexpr size_t kQueueBytesMax = 1 << 20;
constexpr size_t kReadBytes = 256 * 1024;
constexpr size_t kIgnoreFileMax = 256 * 1024;

struct Sources {
    fs::path archive;
    service::BundleInfo info;
    std::string ignore_file;
};

// What would be built here, in an archive. Blocks.
Result<Sources> pack_sources(const fs::path& folder, const fs::path& scratch,
                             const std::vector<std::string>& made) {
    Sources sources;
    const fs::path copy = scratch / "sources";
    CANDELA_TRY(make_directories(copy, 0700));
    build::SourceOptions options;
    options.left_out = made;
    CANDELA_TRY(build::read_sources(folder, copy, options));
    // It says what of the result goes into the bundle, not what is needed to get there.
    auto text = read_file(copy / ".candelaignore", kIgnoreFileMax);
    if (text)
        sources.ignore_file = std::move(*text);
    else if (text.error().code() != Code::kNotFound)
        return fail(text.error());
    CANDELA_TRY(remove_file(copy / ".candelaignore"));
    sources.archive = scratch / "sources.tar.zst";
    CANDELA_TRY_ASSIGN(sources.info, service::pack_bundle(copy, sources.archive));
    CANDELA_TRY(remove_tree(copy));
    return sources;
}

// The stream to the host, until the build has ended there.
class BuildFlow final : private StreamHandler {
public:
    BuildFlow(Session& session, StreamPtr remote, fs::path bundle)
        : session_(session), remote_(std::move(remote)), bundle_(std::move(bundle)) {}

    Task<Result<service::BuildResult>> run(std::string first_bytes, std::string order,
                                           fs::path archive) {
        reader_.add(first_bytes);
        remote_->start(*this);
        send(SessionFrame::kBuild, order);
        sending_.spawn(send_file(std::move(archive)));
        read_frames();
        Completion<Result<>>& end = end_;
        const auto ended = co_await end;
        sending_.cancel();
        if (!ended) co_return fail(ended.error());
        if (!result_) co_return fail(Code::kCorrupt, "the host told nothing of what it built");
        auto look = [path = bundle_] { return service::digest_file(path); };
        const auto digest = co_await offload(session_.loop, std::move(look));
        if (!digest) co_return fail(digest.error());
        if (*digest != result_->info.digest)
            co_return fail(Code::kCorrupt, "what came from the host is not what it built");
        co_return std::move(*result_);
    }

private:
    Task<void> send_file(fs::path path) {
        auto file = std::make_shared<Fd>(-1);
        for (;;) {
            auto read = [file, path]() -> Result<std::string> {
                if (file->get() < 0) *file = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
                if (file->get() < 0) return fail_errno(path.native(), errno);
                std::string bytes(kReadBytes, '\0');
                const ssize_t count = ::read(file->get(), bytes.data(), bytes.size());
                if (count < 0) return fail_errno(path.native(), errno);
                bytes.resize(static_cast<size_t>(count));
                return bytes;
            };
            const auto bytes = co_await offload(session_.loop, std::move(read));
            if (!bytes) {
                end_.complete(fail(bytes.error()));
                co_return;
            }
            if (bytes->empty()) break;
            send(SessionFrame::kInput, *bytes);
            while (remote_->queued_bytes() > kQueueBytesMax) {
                drained_.reset();
                co_await drained_.wait();
            }
        }
        send(SessionFrame::kInputEnd);
    }

    void send(SessionFrame type, std::string_view payload = {}) {
        std::string frame;
        service::add_session_frame(frame, type, payload);
        remote_->write(frame);
    }

    void on_data(std::string_view bytes) override {
        reader_.add(bytes);
        read_frames();
    }
    void read_frames() {
        SessionFrame type{};
        std::string_view payload;
        while (!end_.is_complete()) {
            const auto next = reader_.next(type, payload);
            if (!next) return end_.complete(fail(next.error()));
            if (!*next) return;
            const auto taken = take(type, payload);
            if (!taken) return end_.complete(fail(taken.error()));
        }
    }
    Result<> take(SessionFrame type, std::string_view payload) {
        switch (type) {
            case SessionFrame::kNote: session_.terminal.note(printable(payload, 2000)); return {};
            case SessionFrame::kStderr: session_.terminal.pass_through(payload); return {};
            case SessionFrame::kBuilt: {
                CANDELA_TRY_ASSIGN(result_, service::parse_build_result(payload));
                constexpr mode_t kOwn = 0600;
                file_ = Fd(::open(bundle_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOwn));
                if (file_.get() < 0) return fail_errno(bundle_.native(), errno);
                return {};
            }
            case SessionFrame::kStdout:
                if (file_.get() < 0) return fail(Code::kCorrupt, "a bundle before its digest");
                return write_all(file_.get(), payload, bundle_);
            case SessionFrame::kExit: end_.complete(Result<>()); return {};
            case SessionFrame::kFailed:
                return fail(Code::kInternal, "{}", printable_lines(payload));
            default: return {};
        }
    }
    // An error's further lines are what the build said, and what to try.
    static std::string printable_lines(std::string_view text) {
        std::string out;
        for (const std::string_view line : split(text, '\n')) {
            if (!out.empty()) out += '\n';
            out += printable(line, 2000);
        }
        return out;
    }
    void on_drained() override { drained_.set(); }
    void on_end() override {
        if (end_.is_complete()) return;
        end_.complete(fail(Code::kUnreachable, "the connection to the build ended"));
    }
    void on_error(const Error& error) override {
        if (!end_.is_complete()) end_.complete(fail(error));
    }

    Session& session_;
    StreamPtr remote_;
    const fs::path bundle_;
    service::SessionReader reader_;
    std::optional<service::BuildResult> result_;
    Fd file_{-1};
    Event drained_;
    Completion<Result<>> end_;
    TaskGroup sending_;  // last: it uses the others
};

}  // namespace

Task<Result<build::Built>> build_remotely(Session& session, RemoteBuild wanted,
                                          const ScratchFolder& scratch) {
    auto pack = [folder = wanted.folder, to = scratch.bundle().parent_path(),
                 made = wanted.recipe.made] { return pack_sources(folder, to, made); };
    auto sources = co_await offload(session.loop, std::move(pack));
    if (!sources) co_return fail(sources.error());
    service::BuildOrder order;
    order.digest = sources->info.digest;
    order.finds_command = wanted.finds_command;
    order.is_anew = wanted.is_anew;
    order.ignore_file = sources->ignore_file;
    for (const std::string& name : wanted.spec.pass_env) {
        std::string value = wanted.environment(name.c_str());
        if (!value.empty()) order.environment[name] = std::move(value);
    }
    auto text = service::to_text(order);
    if (!text) co_return fail(text.error());
    session.terminal.note(fmt::format("sending the sources of {}: {} file{}, {}", wanted.service,
                                      sources->info.files, sources->info.files == 1 ? "" : "s",
                                      format_size(sources->info.size_bytes)));
    std::string path = service_path(session.space, wanted.service) + "/build";
    if (!wanted.node.empty()) path += "?node=" + path_part(wanted.node);
    auto joining = session.api.join(std::move(path));
    auto joined = co_await std::move(joining);
    if (!joined) co_return fail(joined.error());
    BuildFlow flow(session, std::move(joined->stream), scratch.bundle());
    auto running = flow.run(std::move(joined->first_bytes), std::move(*text), sources->archive);
    auto result = co_await std::move(running);
    if (!result) co_return fail(result.error());
    build::Built built;
    built.outcome.bundle = scratch.bundle();
    built.outcome.info = result->info;
    built.outcome.command = std::move(result->command);
    built.was_there = result->was_there;
    co_return built;
}

}  // namespace candela::ctl
