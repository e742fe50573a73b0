// `candela ctl deploy DIR`: reads service.toml, packs and signs the folder, sends the bundle where
// the lighthouse lacks it, makes a release, and follows it until it serves.

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/rollout.h"
#include "ctl/show.h"
#include "ctl/signer.h"
#include "ctl/verb.h"
#include "loop/file.h"
#include "loop/flow.h"
#include "service/bundle.h"
#include "service/manifest.h"

namespace candela::ctl {

namespace {

constexpr Duration kTimeoutDefault = 5min;
constexpr Duration kProgressInterval = 100ms;

// A folder of our own for the packed bundle; gone with this object.
class ScratchFolder {
public:
    static Result<ScratchFolder> make() {
        const char* base = std::getenv("TMPDIR");
        std::string path =
            fmt::format("{}/candela-XXXXXX", base != nullptr && base[0] == '/' ? base : "/tmp");
        if (::mkdtemp(path.data()) == nullptr) return fail_errno("making " + path, errno);
        return ScratchFolder(path);
    }
    ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    ScratchFolder& operator=(ScratchFolder&&) = delete;
    ~ScratchFolder() {
        // What can't be removed lies in the temporary folder, which the system empties.
        if (!path_.empty()) static_cast<void>(remove_tree(path_));
    }
    std::filesystem::path bundle() const { return path_ / "bundle.tar.zst"; }

private:
    explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
    std::filesystem::path path_;
};

struct PackCounters {
    std::atomic<uint64_t> files{0};
    std::atomic<uint64_t> bytes{0};
};

Task<void> show_packing(Session& session, std::shared_ptr<PackCounters> counters) {
    for (;;) {
        co_await sleep_for(session.loop, kProgressInterval);
        session.terminal.live(fmt::format("packing  {} files, {}", counters->files.load(),
                                          format_size(counters->bytes.load())));
    }
}

Task<Result<service::BundleInfo>> pack(Session& session, std::filesystem::path folder,
                                       std::filesystem::path out) {
    auto counters = std::make_shared<PackCounters>();
    TaskGroup display;
    display.spawn(show_packing(session, counters));
    auto work = [folder, out, counters] {
        return service::pack_bundle(folder, out, service::BundleLimits(),
                                    [counters](uint64_t files, uint64_t bytes) {
                                        counters->files = files;
                                        counters->bytes = bytes;
                                        return true;
                                    });
    };
    auto packed = co_await offload(session.loop, std::move(work));
    session.terminal.end_live();
    co_return packed;
}

Task<Result<>> upload(Session& session, service::BundleInfo bundle, std::string file,
                      std::string signature, std::string signer) {
    auto known = co_await session.api.has_bundle(bundle.digest);
    if (!known) co_return fail(known.error());
    const std::string name = bundle.digest.substr(0, 12);
    if (*known) {
        session.terminal.note(fmt::format("bundle {} is already there", name));
        co_return Result<>();
    }
    auto show = [&session, bundle](uint64_t sent) {
        const uint64_t percent = bundle.size_bytes == 0 ? 100 : sent * 100 / bundle.size_bytes;
        session.terminal.live(fmt::format("uploading  {}% of {}", std::min<uint64_t>(percent, 100),
                                          format_size(bundle.size_bytes)));
    };
    auto sent =
        co_await session.api.put_bundle(bundle.digest, file, signature, signer, std::move(show));
    session.terminal.end_live();
    if (!sent) co_return fail(sent.error());
    session.terminal.note(
        fmt::format("bundle {} uploaded ({})", name, format_size(bundle.size_bytes)));
    co_return Result<>();
}

Result<service::Manifest> read_manifest(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "service.toml";
    auto text = read_file(file, service::kManifestSizeMax + 1);
    if (!text && text.error().code() == Code::kNotFound) {
        return fail(Code::kNotFound,
                    "{} is not there: it says what the service is\n"
                    "try: candela ctl deploy DIR, where DIR has a service.toml",
                    file.string());
    }
    if (!text) return fail(text.error());
    CANDELA_TRY_ASSIGN(auto manifest, service::parse_manifest(*text, file.string()));
    for (const auto& [status, name] : manifest.errors) {
        auto page = read_file(folder / name, service::kErrorPageBytesMax + 1);
        if (!page)
            return fail(page.error().in(fmt::format("{}: [errors] {}", file.string(), status)));
        manifest.error_pages[status] = std::move(*page);
    }
    // With the pages, by the same rules.
    CANDELA_TRY(service::manifest_from_json(service::to_json(manifest)));
    return manifest;
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    auto timeout = arguments.duration("--timeout", kTimeoutDefault);
    if (!timeout) co_return fail(timeout.error());
    const std::filesystem::path folder = arguments.text("DIR");
    auto manifest = read_manifest(folder);
    if (!manifest) co_return fail(manifest.error());
    auto key = signing_key(session.api);
    if (!key) co_return fail(key.error());
    auto scratch = ScratchFolder::make();
    if (!scratch) co_return fail(scratch.error());

    auto bundle = co_await pack(session, folder, scratch->bundle());
    if (!bundle) co_return fail(bundle.error());
    session.terminal.note(fmt::format("packed {}: {} file{}, {}", manifest->name, bundle->files,
                                      bundle->files == 1 ? "" : "s",
                                      format_size(bundle->size_bytes)));
    const Secret seed = key->seed();
    auto signature = service::sign_digest(bundle->digest, seed.reveal());
    if (!signature) co_return fail(signature.error());
    auto uploaded = co_await upload(session, *bundle, scratch->bundle().string(), *signature,
                                    key->public_key());
    if (!uploaded) co_return fail(uploaded.error());

    Json wanted = {{"manifest", service::to_json(*manifest)},
                   {"bundle", bundle->digest},
                   {"signature", *signature},
                   {"signer", key->public_key()}};
    auto created = co_await session.api.post(
        service_path(session.space, manifest->name) + "/releases", std::move(wanted));
    if (!created) co_return fail(created.error());
    const uint64_t number = release_view(*created).number;
    session.terminal.note(fmt::format("{} release {} created", manifest->name, number));
    if (arguments.has("--detach")) {
        if (session.json)
            session.terminal.out_json(*created);
        else
            session.terminal.out(fmt::format("{} release {}\n", manifest->name, number));
        co_return kOk;
    }
    auto followed = co_await follow_rollout(session, manifest->name, number, *timeout);
    co_return followed;
}

}  // namespace

Verb deploy_verb() {
    return Verb{"",
                "deploy",
                "Deploys the service in a folder and waits until it serves",
                {{"DIR", "The folder with service.toml."}},
                {{"--timeout", "", "TIME", "How long to wait (5m)"},
                 {"--detach", "", "", "Do not wait for the rollout"}},
                true,
                run};
}

}  // namespace candela::ctl
