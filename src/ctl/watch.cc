// `candela ctl watch DIR`: deploys the folder, shows what the service writes, and deploys it again
// whenever its sources change. A build or a release that fails leaves what runs, and the next
// change is waited for. `candela dev --watch DIR` is this beside a cloud of its own.

#include <sys/stat.h>

#include <map>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "build/source_tree.h"
#include "ctl/api_model.h"
#include "ctl/deploying.h"
#include "ctl/show.h"
#include "ctl/watch.h"
#include "loop/flow.h"
#include "loop/folder_watcher.h"

namespace candela::ctl {

namespace {

// Editors write a file in several steps, and several files one after the other.
constexpr Duration kQuietTime = 150ms;
// Where the kernel does not tell of all folders.
constexpr Duration kLookInterval = 5s;
constexpr Duration kForEver = 24h * 365;
constexpr size_t kFoldersMax = 4096;
constexpr Duration kWaitMax = 60s;
constexpr Duration kRetryInterval = 200ms;

class Watch {
public:
    Watch(Session& session, std::filesystem::path folder, PrepareOptions prepare)
        : session_(session), folder_(std::move(folder)), prepare_(std::move(prepare)) {}

    Task<Result<int>> run() {
        std::string deployed;
        for (;;) {
            changed_.reset();
            auto sources = co_await read();
            if (sources && sources->digest != deployed) {
                // Noted first: what changes while it is built is another change.
                deployed = sources->digest;
                follow(sources->folders);
                const auto deploying = co_await deploy();
                if (!deploying) co_return fail(deploying.error());
                continue;
            }
            if (!sources && deployed.empty()) co_return fail(sources.error());
            // What came into a folder before it was watched shows by another look.
            if (sources && follow(sources->folders)) continue;
            co_await wait_for_change();
        }
    }

private:
    using Place = std::pair<uint64_t, std::string>;  // an inode and the name that it has

    Task<Result<build::SourceInfo>> read() {
        build::SourceOptions options;
        // What is built leaves out what builds make; what is packed, what it would not pack.
        auto intention = read_intention(prepare_);
        if (intention && intention->recipe)
            options.left_out = intention->recipe->made;
        else
            options.ignore_file = ".candelaignore";
        auto work = [folder = folder_, options] {
            return build::read_sources(folder, std::nullopt, options);
        };
        auto info = co_await offload(session_.loop, std::move(work));
        co_return info;
    }

    // Fails only where no change of the sources would help.
    Task<Result<>> deploy() {
        Terminal& terminal = session_.terminal;
        DeployOptions options;
        options.prepare = prepare_;
        std::string service;
        auto deploying = deploy_folder(session_, std::move(options), service);
        auto ended = co_await std::move(deploying);
        terminal.end_live();
        if (!ended) {
            const Code code = ended.error().code();
            const bool is_hopeless = code == Code::kDenied || code == Code::kUnreachable;
            if (is_hopeless && service_.empty()) co_return fail(ended.error());
            terminal.note(fmt::format("{} {}", terminal.paint_note(Style::kRed, "error:"),
                                      ended.error().message()));
        }
        const bool is_well = ended && *ended == kOk;
        terminal.note(is_well ? "watching for changes; Ctrl-C ends it"
                              : "what ran before runs on; watching for changes");
        if (is_well && service_ != service) {
            service_ = service;
            logs_.cancel();
            logs_.spawn(show_logs(service_));
        }
        co_return Result<>();
    }

    Task<void> show_logs(std::string service) {
        const std::string path = fmt::format("/v1/spaces/{}/logs?service={}&tail=20&follow=1",
                                             path_part(session_.space), path_part(service));
        auto print = [this](std::string_view line) {
            const auto entry = parse_json(line);
            if (!entry) return true;
            if (session_.json) return session_.terminal.out_json(*entry);
            return session_.terminal.out(fmt::format(
                "{} {}\n", session_.terminal.paint(Style::kDim, json_string_or(*entry, "instance")),
                json_string_or(*entry, "text")));
        };
        auto followed = co_await session_.api.follow(path, std::move(print));
        if (!followed)
            session_.terminal.note("its log is not shown any more: " + followed.error().message());
    }

    // Watches these folders and no others. True where one is new: also one that has taken the place
    // of another of its name, which a watcher would not tell.
    bool follow(const std::vector<std::string>& folders) {
        bool has_new = false;
        is_all_watched_ = folders.size() <= kFoldersMax;
        std::map<Place, std::unique_ptr<FolderWatcher>> watchers;
        for (const std::string& name : folders) {
            struct stat look{};
            const std::filesystem::path path = folder_ / name;
            if (watchers.size() >= kFoldersMax || stat(path.c_str(), &look) != 0) continue;
            const Place place(look.st_ino, name);
            if (const auto known = watchers_.find(place); known != watchers_.end()) {
                watchers.insert(watchers_.extract(known));
                continue;
            }
            auto watcher = FolderWatcher::watch(session_.loop, path,
                                                [this](std::string_view) { changed_.set(); });
            if (watcher) {
                watchers.emplace(place, std::move(*watcher));
                has_new = true;
            } else {
                is_all_watched_ = false;  // beyond what the kernel lets us watch
            }
        }
        watchers_ = std::move(watchers);
        return has_new;
    }

    Task<Result<>> wait_changed() {  // for with_timeout()
        co_await changed_.wait();
        co_return Result<>();
    }
    // Until something has changed, and nothing more does for a moment.
    Task<void> wait_for_change() {
        const Duration limit = is_all_watched_ ? kForEver : kLookInterval;
        auto waiting = with_timeout(session_.loop, limit, "a change", wait_changed());
        const auto came = co_await std::move(waiting);
        if (!came) co_return;
        while (changed_.is_set()) {
            changed_.reset();
            co_await sleep_for(session_.loop, kQuietTime);
        }
    }

    Session& session_;
    const std::filesystem::path folder_;
    const PrepareOptions prepare_;
    Event changed_;
    std::map<Place, std::unique_ptr<FolderWatcher>> watchers_;
    bool is_all_watched_ = false;
    std::string service_;
    TaskGroup logs_;
};

// A cloud that is just being started.
Task<Result<>> wait_for_lighthouse(Session& session) {
    const MonoTime end = session.loop.now() + kWaitMax;
    for (;;) {
        auto answer = co_await session.api.get("/v1/status");
        if (answer) co_return Result<>();
        if (session.loop.now() > end) co_return fail(answer.error());
        co_await sleep_for(session.loop, kRetryInterval);
    }
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    PrepareOptions prepare;
    prepare.folder = arguments.text("DIR");
    prepare.builds = !arguments.has("--no-build");
    const auto intention = read_intention(prepare);
    if (!intention) co_return fail(intention.error());
    if (arguments.has("--wait")) CO_TRY(co_await wait_for_lighthouse(session));
    const std::filesystem::path folder = prepare.folder;
    Watch watch(session, folder, std::move(prepare));
    auto running = watch.run();
    auto ended = co_await std::move(running);
    co_return ended;
}

}  // namespace

Verb watch_verb() {
    return Verb{"",
                "watch",
                "Deploys a folder, and again whenever its sources change; shows its log",
                {{"DIR", "The folder with service.toml, or with sources."}},
                {{"--no-build", "", "", "Packs the folder as it is"},
                 {"--wait", "", "", "Waits for a lighthouse that is being started"}},
                true,
                run};
}

}  // namespace candela::ctl
