#include "instance_values.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "base/encoding.h"
#include "base/text.h"
#include "loop/file.h"
#include "service/value_use.h"

namespace candela::host {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles = "files";
constexpr const char* kVariables = "variables";
constexpr const char* kVersions = "versions";

bool is_in_memory(const fs::path& folder) {
    struct statfs info{};
    if (::statfs(folder.c_str(), &info) != 0) return false;
    return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC;
}

std::vector<fs::path> usual_places() {
    std::vector<fs::path> places;
    for (const char* name : {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
        const char* const value = std::getenv(name);
        if (value == nullptr || value[0] != '/') continue;
        const std::string_view all(value);
        places.emplace_back(all.substr(0, all.find(':')));
    }
    places.emplace_back("/run");
    places.emplace_back("/dev/shm");
    return places;
}

// Ours alone: in a place where everybody may make folders, somebody may have been there before.
Result<> make_own_folder(const fs::path& folder) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return fail_errno(folder.native(), errno);
    }
    struct stat info{};
    if (::lstat(folder.c_str(), &info) != 0) return fail_errno(folder.native(), errno);
    if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077U) != 0) {
        return fail(Code::kDenied, "{} is not a folder of ours alone", folder.native());
    }
    return {};
}

// The first place that is in memory and takes a folder of ours.
Result<fs::path> find_root(const std::vector<fs::path>& places, const std::string& name) {
    std::string why = "none of the places is a file system in memory (tmpfs)";
    for (const fs::path& place : places) {
        if (!is_in_memory(place) || ::access(place.c_str(), W_OK) != 0) continue;
        const fs::path root = place / name;
        const auto made = make_own_folder(root);
        if (made) return root;
        why = made.error().message();
    }
    return fail(Code::kUnsupported, "secrets and config have nowhere to be: {}", why);
}

// Whole, with mode and owner, before it takes the old one's place.
Result<> put_file(const fs::path& path, std::string_view content, uint32_t mode,
                  std::optional<uint32_t> owner) {
    const fs::path made = path.native() + ".new";
    CANDELA_TRY(remove_file(made));
    CANDELA_TRY(write_file(made, content, 0600));
    if (::chmod(made.c_str(), mode) != 0 || (owner && ::chown(made.c_str(), *owner, *owner) != 0) ||
        ::rename(made.c_str(), path.c_str()) != 0) {
        return fail_errno(path.native(), errno);
    }
    return {};
}

// What is there, by which it is known whether anything has to be asked for: a line a use.
std::string version_line(const proto::ValueUse& use) {
    return fmt::format("{} {} {} {} {} {:o}", use.kind, use.name, use.version, use.env, use.file,
                       use.mode);
}

std::string versions_of(const proto::InstanceSpec& spec) {
    std::string text;
    for (const proto::ValueUse& use : spec.values) text += version_line(use) + "\n";
    return text;
}

// A spec comes from elsewhere: its names become names of files.
Result<> check_names(const proto::InstanceSpec& spec) {
    for (const proto::ValueUse& use : spec.values) {
        const bool is_well_named = service::is_value_name(use.name) &&
                                   (use.env.empty() || service::is_value_name(use.env)) &&
                                   (use.file.empty() || service::is_value_name(use.file)) &&
                                   use.env.empty() != use.file.empty();
        if (!is_well_named) {
            return fail(Code::kInvalid, "'{}' is no use of a secret or config value",
                        printable(use.name));
        }
    }
    return {};
}

struct Folder {
    fs::path path;  // of the instance
    std::optional<uint32_t> owner;
};

// Signals of files whose version is another than what `before` says; none where it says nothing.
std::vector<int> signals_due(const proto::InstanceSpec& spec, const std::string& before) {
    std::vector<int> due;
    if (before.empty()) return due;
    std::set<std::string, std::less<>> known;
    for (const std::string_view line : split(before, '\n')) known.emplace(line);
    for (const proto::ValueUse& use : spec.values) {
        const int number = service::signal_number(use.signal);
        if (number == 0 || known.contains(version_line(use))) continue;
        if (std::ranges::find(due, number) == due.end()) due.push_back(number);
    }
    return due;
}

std::string read_versions(const Folder& folder) {
    auto text = read_file(folder.path / kVersions, 64 << 10);
    return text ? std::move(*text) : std::string();
}

Result<InstanceValueSet> load(const Folder& folder, const proto::InstanceSpec& spec) {
    InstanceValueSet set;
    set.folder = folder.path / kFiles;
    for (const proto::ValueUse& use : spec.values) {
        if (use.env.empty()) continue;
        CANDELA_TRY_ASSIGN(const std::string value,
                           read_file(folder.path / kVariables / use.env, service::kValueBytesMax));
        if (value.find('\0') != std::string::npos) {
            return fail(Code::kInvalid,
                        "the {} {} has a NUL byte and can't be a variable; let it be a file",
                        use.kind, use.name);
        }
        set.environment.push_back(fmt::format("{}={}", use.env, value));
    }
    return set;
}

using Opened = std::map<std::pair<std::string, std::string>, Secret>;

Result<InstanceValueSet> store(const Folder& folder, const proto::InstanceSpec& spec,
                               const Opened& opened) {
    const std::string before = read_versions(folder);
    CANDELA_TRY(make_directories(folder.path, 0700));
    CANDELA_TRY(make_directories(folder.path / kVariables, 0700));
    // The instance may be another user, who finds it by a mount of its own.
    CANDELA_TRY(make_directories(folder.path / kFiles, 0755));
    for (const proto::ValueUse& use : spec.values) {
        const auto value = opened.find({use.kind, use.name});
        if (value == opened.end()) {
            return fail(Code::kNotFound, "the lighthouse did not send the {} {}", use.kind,
                        use.name);
        }
        const std::string_view bytes = value->second.reveal();
        if (!use.env.empty()) {
            CANDELA_TRY(put_file(folder.path / kVariables / use.env, bytes, 0600, {}));
        } else {
            CANDELA_TRY(put_file(folder.path / kFiles / use.file, bytes, use.mode, folder.owner));
        }
    }
    CANDELA_TRY(put_file(folder.path / kVersions, versions_of(spec), 0600, {}));
    CANDELA_TRY_ASSIGN(InstanceValueSet set, load(folder, spec));
    set.signals = signals_due(spec, before);
    return set;
}

}  // namespace

InstanceValues::InstanceValues(Loop& loop, ValueSource& source, std::string node, Logger log)
    : loop_(loop),
      source_(source),
      node_(std::move(node)),
      log_(std::move(log)),
      box_(crypto::BoxKey::generate()) {}

void InstanceValues::open(std::string run_id, std::vector<fs::path> places) {
    run_id_ = std::move(run_id);
    places_ = places.empty() ? usual_places() : std::move(places);
}

Task<Result<InstanceValueSet>> InstanceValues::provide(proto::InstanceSpec spec,
                                                       std::optional<uint32_t> owner) {
    if (spec.values.empty()) co_return InstanceValueSet();
    CO_TRY(check_names(spec));
    auto shared = std::make_shared<const proto::InstanceSpec>(std::move(spec));
    auto look = [places = places_, name = "candela-" + run_id_, shared,
                 owner]() -> Result<std::pair<Folder, bool>> {
        CANDELA_TRY_ASSIGN(const fs::path root, find_root(places, name));
        Folder folder{root / shared->instance, owner};
        const bool is_there = read_versions(folder) == versions_of(*shared);
        return std::pair(std::move(folder), is_there);
    };
    auto found = co_await offload(loop_, std::move(look));
    if (!found) co_return fail(found.error());
    const Folder folder = found->first;
    if (found->second) {
        auto work = [folder, shared] { return load(folder, *shared); };
        auto loaded = co_await offload(loop_, std::move(work));
        if (loaded) co_return loaded;
    }
    proto::ValuesPull pull;
    pull.node = node_;
    pull.instance = shared->instance;
    pull.box_key = as_text(box_.public_key());
    auto table = co_await source_.fetch(std::move(pull));
    if (table && table->failure) table = fail(table->failure.to_error());
    if (!table) co_return fail(table.error().in("secrets and config"));
    auto opened = std::make_shared<Opened>();
    for (const proto::ValueContent& content : table->values) {
        auto plain = box_.open(as_bytes(content.sealed));
        if (!plain) co_return fail(plain.error().in(content.name));
        opened->insert_or_assign(std::pair(content.kind, content.name), std::move(*plain));
    }
    auto work = [folder, shared, opened] { return store(folder, *shared, *opened); };
    auto stored = co_await offload(loop_, std::move(work));
    co_return stored;
}

void InstanceValues::forget(const std::string& instance) {
    auto result = std::make_shared<Result<>>();
    auto work = [places = places_, name = "candela-" + run_id_, instance, result] {
        for (const fs::path& place : places) {
            const auto removed = remove_tree(place / name / instance);
            if (!removed) *result = fail(removed.error());
        }
    };
    loop_.offload(std::move(work), [log = log_, instance, result] {
        if (*result) return;
        log.warn("values_not_removed", {{"instance", instance}, {"error", result->error()}});
    });
}

void InstanceValues::keep_only(std::vector<std::string> instances) {
    const std::set<std::string> kept(instances.begin(), instances.end());
    std::set<std::string> old;
    for (const fs::path& place : places_) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(place / ("candela-" + run_id_), error)) {
            const std::string name = entry.path().filename().native();
            if (!kept.contains(name)) old.insert(name);
        }
    }
    for (const std::string& name : old) forget(name);
}

}  // namespace candela::host
