#include "ctl/packing.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "loop/file.h"
#include "loop/flow.h"

namespace candela::ctl {

namespace {

constexpr Duration kProgressInterval = 100ms;

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

}  // namespace

Result<ScratchFolder> ScratchFolder::make() {
    const char* base = std::getenv("TMPDIR");
    std::string path =
        fmt::format("{}/candela-XXXXXX", base != nullptr && base[0] == '/' ? base : "/tmp");
    if (::mkdtemp(path.data()) == nullptr) return fail_errno("making " + path, errno);
    return ScratchFolder(path);
}

ScratchFolder::~ScratchFolder() {
    // What can't be removed lies in the temporary folder, which the system empties.
    if (!path_.empty()) static_cast<void>(remove_tree(path_));
}

Result<service::Manifest> read_manifest_of(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "service.toml";
    auto text = read_file(file, service::kManifestSizeMax + 1);
    if (!text && text.error().code() == Code::kNotFound) {
        return fail(Code::kNotFound,
                    "{} is not there: it says what the service is\n"
                    "try: candela ctl deploy DIR, where DIR has a service.toml, or sources that "
                    "candela can build: package.json, requirements.txt, pom.xml, composer.json, "
                    "CMakeLists.txt, meson.build, Makefile",
                    file.string());
    }
    if (!text) return fail(text.error());
    CANDELA_TRY_ASSIGN(auto manifest, service::parse_manifest(*text, file.string()));
    CANDELA_TRY(read_error_pages(manifest, folder));
    return manifest;
}

Result<> read_error_pages(service::Manifest& manifest, const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "service.toml";
    for (const auto& [status, name] : manifest.errors) {
        auto page = read_file(folder / name, service::kErrorPageBytesMax + 1);
        if (!page)
            return fail(page.error().in(fmt::format("{}: [errors] {}", file.string(), status)));
        manifest.error_pages[status] = std::move(*page);
    }
    // With the pages, by the same rules.
    CANDELA_TRY(service::manifest_from_json(service::to_json(manifest)));
    return {};
}

Task<Result<service::BundleInfo>> pack_folder(Session& session, std::filesystem::path folder,
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

}  // namespace candela::ctl
