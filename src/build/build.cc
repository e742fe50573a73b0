#include "build/build.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/text.h"
#include "build/bundle_rules.h"
#include "build/last_lines.h"
#include "build/source_tree.h"
#include "crypto/hash.h"

namespace candela::build {

namespace fs = std::filesystem;

namespace {

constexpr Duration kLockRetry = 200ms;
constexpr size_t kIgnoreFileMax = 256 * 1024;

constexpr const char* kPassed[] = {
    "HTTP_PROXY",          "HTTPS_PROXY",       "ALL_PROXY",           "NO_PROXY",
    "http_proxy",          "https_proxy",       "all_proxy",           "no_proxy",
    "SSL_CERT_FILE",       "SSL_CERT_DIR",      "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",      "PIP_CERT",          "PIP_INDEX_URL",       "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",      "PIP_NO_INDEX",      "PIP_TRUSTED_HOST",    "NPM_CONFIG_REGISTRY",
    "npm_config_registry", "NPM_CONFIG_CAFILE", "npm_config_cafile",   "COMPOSER_REPO_PACKAGIST",
    "MAVEN_OPTS",          "GOPROXY",
};

// Its first line, for people.
std::string shown_command(std::string_view command) {
    const size_t end = command.find('\n');
    return printable(command.substr(0, end), 200) + (end == std::string_view::npos ? "" : " …");
}

// What of the commands is shown, and kept: the log, and the last lines for an error.
class Output final : public WorkListener {
public:
    Output(BuildListener& listener, const fs::path& log_file)
        : listener_(listener), log_(log_file, std::ios::binary | std::ios::trunc) {}

    void on_output(OutputKind, std::string_view bytes) override {
        listener_.on_output(bytes);
        last_.add(bytes);
        const uint64_t room = kBuildLogMax - std::min(kBuildLogMax, written_);
        const std::string_view kept =
            bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(room, bytes.size())));
        log_.write(kept.data(), static_cast<std::streamsize>(kept.size()));
        log_.flush();
        written_ += kept.size();
    }
    void begin(std::string_view command) {
        last_ = LastLines(kLastLinesMax);
        log_ << "$ " << command << std::endl;
    }
    std::string last_lines() const { return last_.text(); }

private:
    BuildListener& listener_;
    std::ofstream log_;
    LastLines last_{kLastLinesMax};
    uint64_t written_ = 0;
};

// One build, so that its steps need not hand everything on. Steps that block work on values of
// their own, and are awaited: the object is there until the last one has ended, or the flow is
// gone.
class Flow {
public:
    Flow(Loop& loop, Workshop& workshop, BuildRequest request, BuildListener& listener)
        : loop_(loop), workshop_(workshop), request_(std::move(request)), listener_(listener) {}

    Task<Result<Built>> run() {
        CO_TRY(co_await open_cache());
        auto sources = co_await read(std::nullopt);
        if (!sources) co_return fail(sources.error());
        key_ = key_of(*sources);
        if (!request_.is_anew) {
            auto look = [cache = cache_, key = key_] { return cache->find(key); };
            auto found = co_await offload(loop_, std::move(look));
            if (found) co_return finish(std::move(*found), true);
        }
        CO_TRY(co_await make_copy());
        auto work = run_commands();
        const Duration timeout = request_.spec.timeout;
        auto worked = with_timeout(loop_, timeout, "the build", std::move(work));
        auto ended = co_await std::move(worked);
        Result<BuildOutcome> outcome = fail(Code::kInternal, "nothing was packed");
        if (ended) outcome = co_await pack();
        const auto tidied = co_await tidy_up();
        if (!ended && ended.error().code() == Code::kTimeout) {
            co_return fail(Code::kInternal,
                           "the build took longer than {}\ntry: [build] timeout in service.toml",
                           format_duration(timeout));
        }
        if (!ended) co_return fail(ended.error());
        if (!outcome) co_return fail(outcome.error());
        if (!tidied) co_return fail(tidied.error());
        co_return finish(std::move(*outcome), false);
    }

private:
    Task<Result<>> open_cache() {
        auto root = cache_folder(request_.environment);
        if (!root) co_return fail(root.error());
        bool has_said = false;
        for (;;) {
            auto open = [root = *root, project = project()] {
                return ProjectCache::open(root, project);
            };
            auto opened = co_await offload(loop_, std::move(open));
            if (opened) {
                cache_ = std::make_shared<ProjectCache>(std::move(*opened));
                break;
            }
            if (opened.error().code() != Code::kConflict) co_return fail(opened.error());
            if (!std::exchange(has_said, true)) {
                listener_.on_note(opened.error().message() + "; waiting for that to end");
            }
            co_await sleep_for(loop_, kLockRetry);
        }
        auto opening = workshop_.open(cache_->folder().filename().native(), cache_->run());
        auto is_open = co_await std::move(opening);
        if (!is_open) co_return fail(is_open.error());
        if (!request_.spec.has_network && !workshop_.can_shut_network()) {
            co_return fail(Code::kUnsupported,
                           "[build] network = false: this machine lets nobody make namespaces, so "
                           "that the network can't be kept from the build");
        }
        co_return Result<>();
    }

    const fs::path& project() const {
        return request_.project.empty() ? request_.folder : request_.project;
    }

    Task<Result<SourceInfo>> read(std::optional<fs::path> to) {
        SourceOptions options;
        options.left_out = request_.recipe.made;
        options.owner = workshop_.owner();
        auto work = [from = request_.folder, to, options] {
            return read_sources(from, to, options);
        };
        auto info = co_await offload(loop_, std::move(work));
        co_return info;
    }

    // By what the result is known again: sources, what is done with them, and by which tools.
    std::string key_of(const SourceInfo& sources) const {
        std::string text = fmt::format("candela {}\n{}\n", CANDELA_VERSION, sources.digest);
        const Recipe& recipe = request_.recipe;
        for (const auto& list :
             {recipe.commands, recipe.left_out, recipe.output, recipe.made, recipe.cache}) {
            text += join(list, "\n") + "\n-\n";
        }
        text += fmt::format("{} {} {}\n", recipe.programs_folder, request_.finds_command,
                            request_.service_name);
        for (const std::string& variable : environment()) text += variable + "\n";
        text += request_.spec.has_network ? "network\n" : "no network\n";
        for (const Tool& tool : recipe.tools) {
            for (const std::string_view folder : split(kSystemPath, ':')) {
                struct stat look{};
                const std::string path = fmt::format("{}/{}", folder, tool.name);
                if (stat(path.c_str(), &look) != 0) continue;
                text += fmt::format("{} {} {}\n", path, look.st_size, look.st_mtim.tv_sec);
                break;
            }
        }
        return crypto::sha256_hex(as_bytes(text)).substr(0, 32);
    }

    std::vector<std::string> environment() const {
        const std::string home = cache_->home().native();
        std::vector<std::string> out = {
            fmt::format("PATH={}", kSystemPath),
            "HOME=" + home,
            "TMPDIR=" + cache_->temporary().native(),
            "LANG=C.UTF-8",
            "CI=true",
            "NO_COLOR=1",
            // 1980, before which zip archives know no time.
            "SOURCE_DATE_EPOCH=315532800",
            "PYTHONDONTWRITEBYTECODE=1",
            "NEXT_TELEMETRY_DISABLED=1",
            fmt::format("JAVA_OPTS=-Duser.home={}", home),
        };
        for (std::string& variable :
             passed_variables(request_.environment, request_.spec.pass_env)) {
            if (variable.starts_with("MAVEN_OPTS=")) continue;
            out.push_back(std::move(variable));
        }
        out.push_back(
            fmt::format("MAVEN_OPTS=-Duser.home={} {}", home, request_.environment("MAVEN_OPTS")));
        for (const auto& [name, value] : request_.spec.env) {
            std::erase_if(out, [&](const std::string& other) {
                return other.starts_with(name) && other[name.size()] == '=';
            });
            out.push_back(fmt::format("{}={}", name, value));
        }
        return out;
    }

    Task<Result<>> make_copy() {
        const auto owner = workshop_.owner();
        auto prepare = [cache = cache_, is_anew = request_.is_anew]() -> Result<> {
            if (is_anew) CANDELA_TRY(cache->forget());
            return cache->prepare();
        };
        CO_TRY(co_await offload(loop_, std::move(prepare)));
        auto copied = co_await read(cache_->work());
        if (!copied) co_return fail(copied.error());
        key_ = key_of(*copied);
        auto lend = [cache = cache_, folders = request_.recipe.cache, owner]() -> Result<> {
            CANDELA_TRY(cache->lend(folders));
            if (!owner) return {};
            // home/ may be of an earlier owner: of a restored backup, say.
            CANDELA_TRY(give_tree(cache->home(), *owner));
            CANDELA_TRY(give_tree(cache->temporary(), *owner));
            return give_tree(cache->work(), *owner);
        };
        CO_TRY(co_await offload(loop_, std::move(lend)));
        auto look = [work = cache_->work()] { return find_programs(Project(work), ""); };
        before_ = co_await offload(loop_, std::move(look));
        co_return Result<>();
    }

    Task<Result<>> run_commands() {
        Output output(listener_, cache_->log_file());
        listener_.on_note(fmt::format("building {} ({}) in a sandbox: {}; {}", project().native(),
                                      request_.recipe.language, workshop_.describe(),
                                      request_.spec.has_network
                                          ? "network open, [build] network = false shuts it"
                                          : "no network"));
        for (const std::string& command : request_.recipe.commands) {
            const std::string shown = shown_command(command);
            listener_.on_note("$ " + shown);
            output.begin(command);
            WorkOrder order;
            order.command = {"/bin/sh", "-ec", command};
            order.environment = environment();
            order.directory = cache_->work().native();
            order.writable = {cache_->work().native(), cache_->home().native(),
                              cache_->temporary().native()};
            order.readable = readable();
            order.has_network = request_.spec.has_network;
            auto running = workshop_.run(std::move(order), output);
            auto status = co_await std::move(running);
            if (!status) co_return fail(status.error().in(shown));
            if (status->ok()) continue;
            co_return fail(explain(shown, *status, output.last_lines()));
        }
        co_return Result<>();
    }

    // Files that passed variables name, and what service.toml says.
    std::vector<std::string> readable() const {
        std::vector<std::string> paths = request_.spec.paths;
        for (const char* name :
             {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
              "PIP_CERT", "PIP_FIND_LINKS", "NPM_CONFIG_CAFILE", "npm_config_cafile"}) {
            const std::string path = request_.environment(name);
            std::error_code ignored;
            if (path.starts_with('/') && fs::exists(path, ignored)) paths.push_back(path);
        }
        return paths;
    }

    Error explain(const std::string& command, const ExitStatus& status,
                  const std::string& last) const {
        std::string hint = fmt::format("all of it is in {}", cache_->log_file().native());
        const auto says = [&](std::initializer_list<std::string_view> words) {
            return std::ranges::any_of(
                words, [&](std::string_view word) { return last.find(word) != std::string::npos; });
        };
        if (says({"EAI_AGAIN", "ENOTFOUND", "Temporary failure in name resolution",
                  "Could not resolve host", "Network is unreachable", "ENETUNREACH",
                  "UnknownHostException"})) {
            hint += request_.spec.has_network
                        ? "\ntry: is the network there? HTTPS_PROXY and NPM_CONFIG_REGISTRY, "
                          "PIP_INDEX_URL and their like reach the build"
                        : "\ntry: [build] network = true: it wants to fetch something";
        } else if (status.code == 127) {
            hint += "\ntry: install what was not found, or [build] commands in service.toml";
        } else if (says({"No space left on device", "ENOSPC"})) {
            hint += fmt::format("\ntry: make room below {}", cache_->folder().native());
        } else if (status.signal == 9) {
            hint += "\ntry: was memory short? See dmesg";
        } else {
            hint +=
                "\ntry: the same command in the folder by hand; [build] in service.toml says "
                "how it is built";
        }
        return Error(Code::kInternal, fmt::format("the build failed: {}: {}\n{}{}", command,
                                                  status.to_string(), last, hint));
    }

    Task<Result<BuildOutcome>> pack() {
        auto work = [cache = cache_, recipe = request_.recipe, folder = request_.folder,
                     before = before_, name = request_.service_name, key = key_,
                     finds = request_.finds_command]() -> Result<BuildOutcome> {
            const Project built(cache->work());
            BuildOutcome outcome;
            if (finds) {
                CANDELA_TRY_ASSIGN(outcome.command, find_command(recipe, built, before, name));
            }
            std::string own;
            std::error_code ignored;
            if (fs::exists(folder / ".candelaignore", ignored)) {
                CANDELA_TRY_ASSIGN(own, read_file(folder / ".candelaignore", kIgnoreFileMax));
            }
            CANDELA_TRY_ASSIGN(const std::string rules, bundle_rules(recipe, built, own));
            // Replaces the name, wherever a build may have made it lead.
            CANDELA_TRY(write_file(cache->work() / ".candelaignore", rules));
            CANDELA_TRY_ASSIGN(outcome.bundle, cache->place_for(key));
            CANDELA_TRY_ASSIGN(outcome.info, service::pack_bundle(cache->work(), outcome.bundle));
            CANDELA_TRY(cache->keep(key, outcome));
            return outcome;
        };
        auto outcome = co_await offload(loop_, std::move(work));
        co_return outcome;
    }

    Task<Result<>> tidy_up() {
        auto work = [cache = cache_, folders = request_.recipe.cache,
                     bytes_max =
                         request_.spec.cache_bytes_max]() -> Result<std::vector<std::string>> {
            CANDELA_TRY(cache->take_back(folders));
            CANDELA_TRY(cache->clear_work());
            return cache->bound(bytes_max);
        };
        auto dropped = co_await offload(loop_, std::move(work));
        if (!dropped) co_return fail(dropped.error());
        for (const std::string& what : *dropped) listener_.on_note("dropped " + what);
        co_return Result<>();
    }

    Built finish(BuildOutcome outcome, bool was_there) {
        Built built;
        built.outcome = std::move(outcome);
        built.was_there = was_there;
        built.lock = std::make_unique<ProjectCache>(std::move(*cache_));
        return built;
    }

    Loop& loop_;
    Workshop& workshop_;
    BuildRequest request_;
    BuildListener& listener_;
    // Shared with what runs on the pool when the flow is cancelled: the lock is held until then.
    std::shared_ptr<ProjectCache> cache_;
    std::string key_;
    std::vector<std::string> before_;  // programs that were among the sources
};

}  // namespace

std::vector<std::string> passed_variables(
    const std::function<std::string(const char* name)>& environment,
    const std::vector<std::string>& also) {
    std::vector<std::string> out;
    const auto pass = [&](const char* name) {
        const std::string value = environment(name);
        if (!value.empty()) out.push_back(fmt::format("{}={}", name, value));
    };
    for (const char* name : kPassed) pass(name);
    for (const std::string& name : also) pass(name.c_str());
    return out;
}

Task<Result<Built>> build(Loop& loop, Workshop& workshop, BuildRequest request,
                          BuildListener& listener) {
    Flow flow(loop, workshop, std::move(request), listener);
    auto running = flow.run();
    auto built = co_await std::move(running);
    co_return built;
}

}  // namespace candela::build
