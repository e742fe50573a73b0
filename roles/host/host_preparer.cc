#include "host_preparer.h"

#include <ctime>
#include <memory>
#include <optional>

#include "loop/file.h"
#include "walls_plan.h"

namespace candela::host {

namespace {

constexpr const char* kCredentialsFolder = "credentials";

Result<> make_folders(const std::filesystem::path& own) {
    CANDELA_TRY(make_directories(own, 0700));
    CANDELA_TRY(make_directories(own / "home", 0700));
    CANDELA_TRY(make_directories(own / "tmp", 0700));
    // The instance may be another user, who finds it by a mount of its own: nobody else comes past
    // the folders above.
    return make_directories(own / kCredentialsFolder, 0755);
}

// The keeper's folder in it may be going at the same moment, by another hand.
Result<> remove_own(const std::filesystem::path& folder) {
    constexpr int kTriesMax = 10;
    Result<> removed = remove_tree(folder);
    for (int i = 1; i < kTriesMax && !removed; ++i) {
        const timespec pause{0, 10'000'000};
        nanosleep(&pause, nullptr);
        removed = remove_tree(folder);
    }
    return removed;
}

Task<void> provide(Credentials& credentials, std::string instance, std::string space,
                   CredentialFile file, std::shared_ptr<Result<>> result) {
    *result = co_await credentials.provide(std::move(instance), std::move(space), std::move(file));
}

}  // namespace

HostPreparer::HostPreparer(Loop& loop, BundleStore& bundles, Credentials& credentials,
                           InstanceValues& values, DockerEngine& engine,
                           std::filesystem::path run_folder, Logger log)
    : loop_(loop),
      bundles_(bundles),
      credentials_(credentials),
      values_(values),
      engine_(engine),
      run_folder_(std::move(run_folder)),
      log_(std::move(log)) {}

void HostPreparer::set_walls(const Walls& walls, std::string run_id) {
    walls_ = walls;
    run_id_ = std::move(run_id);
}

Task<Result<Prepared>> HostPreparer::prepare(proto::InstanceSpec spec, OnProgress on_progress) {
    const std::filesystem::path own = run_folder_ / spec.instance;
    auto work = [own] { return make_folders(own); };
    CO_TRY(co_await offload(loop_, std::move(work)));

    Prepared prepared;
    prepared.home_folder = walls_.has_namespaces ? kInnerHome : (own / "home").native();
    prepared.temporary_folder = walls_.has_namespaces ? kInnerTemporary : (own / "tmp").native();
    prepared.credentials_folder = own / kCredentialsFolder;
    prepared.credentials_file = own / kCredentialsFolder / kCredentialsFile;
    CredentialFile file;
    file.path = prepared.credentials_file;
    const bool in_container = !spec.container.image.empty();
    if (in_container)
        file.is_readable_by_all = true;
    else if (walls_.has_own_uid)
        file.owner = instance_uid(run_id_, spec.instance);
    TaskGroup side;
    auto provided = std::make_shared<Result<>>();
    side.spawn(provide(credentials_, spec.instance, spec.space, std::move(file), provided));
    auto folder =
        co_await bundles_.acquire(spec.bundle, spec.bundle_bytes, spec.signature, spec.signer);
    if (!folder) co_return fail(folder.error());
    prepared.bundle_folder = std::move(*folder);
    if (in_container)
        CO_TRY(co_await engine_.provide_image(spec.container.image, std::move(on_progress)));
    co_await side.wait_empty();
    if (!*provided) {
        // Only what lives on the bus can't do without; the others get theirs as soon as there is
        // one.
        if (spec.kind == "bus") co_return fail(provided->error());
        log_.warn("started_without_credential",
                  {{"instance", spec.instance}, {"error", provided->error()}});
    }
    auto refreshed = co_await refresh(std::move(spec), std::move(prepared));
    co_return refreshed;
}

Task<Result<Prepared>> HostPreparer::refresh(proto::InstanceSpec spec, Prepared prepared) {
    std::optional<uint32_t> owner;
    prepared.values = spec.values;
    if (!spec.container.image.empty()) {
        // Nobody but the container comes to them, and which of its users does we can't know.
        for (proto::ValueUse& use : spec.values) use.mode |= 0444;
    } else if (walls_.has_own_uid) {
        owner = instance_uid(run_id_, spec.instance);
    }
    auto set = co_await values_.provide(std::move(spec), owner);
    if (!set) co_return fail(set.error());
    prepared.environment = std::move(set->environment);
    prepared.values_folder = set->folder;
    prepared.signals = std::move(set->signals);
    co_return prepared;
}

void HostPreparer::clean_up(const std::string& instance) {
    credentials_.forget(instance);
    values_.forget(instance);
    auto result = std::make_shared<Result<>>();
    loop_.offload([folder = run_folder_ / instance, result] { *result = remove_own(folder); },
                  [log = log_, instance, result] {
                      if (*result) return;
                      log.warn("folder_not_removed",
                               {{"instance", instance}, {"error", result->error()}});
                  });
}

void HostPreparer::keep_only(const std::set<std::string>& instances) {
    std::error_code error;
    std::vector<std::string> old;
    for (const auto& entry : std::filesystem::directory_iterator(run_folder_, error)) {
        const std::string name = entry.path().filename().native();
        if (!instances.contains(name)) old.push_back(name);
    }
    for (const std::string& name : old) clean_up(name);
    values_.keep_only(std::vector<std::string>(instances.begin(), instances.end()));
}

}  // namespace candela::host
