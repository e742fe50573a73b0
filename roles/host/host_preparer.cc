#include "host_preparer.h"

#include <memory>
#include <optional>

#include "loop/file.h"

namespace candela::host {

namespace {

Result<> make_folders(const std::filesystem::path& own) {
    CANDELA_TRY(make_directories(own, 0700));
    CANDELA_TRY(make_directories(own / "home", 0700));
    return make_directories(own / "tmp", 0700);
}

Task<void> provide(Credentials& credentials, std::string instance, std::string space,
                   std::filesystem::path file, std::shared_ptr<Result<>> result) {
    *result = co_await credentials.provide(std::move(instance), std::move(space), std::move(file));
}

}  // namespace

HostPreparer::HostPreparer(Loop& loop, BundleStore& bundles, Credentials& credentials,
                           std::filesystem::path run_folder, Logger log)
    : loop_(loop),
      bundles_(bundles),
      credentials_(credentials),
      run_folder_(std::move(run_folder)),
      log_(std::move(log)) {}

Task<Result<Prepared>> HostPreparer::prepare(proto::InstanceSpec spec) {
    const std::filesystem::path own = run_folder_ / spec.instance;
    auto work = [own] { return make_folders(own); };
    CO_TRY(co_await offload(loop_, std::move(work)));

    Prepared prepared;
    prepared.home_folder = own / "home";
    prepared.temporary_folder = own / "tmp";
    prepared.credentials_file = own / "bus.creds";
    TaskGroup side;
    auto provided = std::make_shared<Result<>>();
    side.spawn(
        provide(credentials_, spec.instance, spec.space, prepared.credentials_file, provided));
    auto folder =
        co_await bundles_.acquire(spec.bundle, spec.bundle_bytes, spec.signature, spec.signer);
    if (!folder) co_return fail(folder.error());
    prepared.bundle_folder = std::move(*folder);
    co_await side.wait_empty();
    if (!*provided) {
        // Only what lives on the bus can't do without; the others get theirs as soon as there is
        // one.
        if (spec.kind == "bus") co_return fail(provided->error());
        log_.warn("started_without_credential",
                  {{"instance", spec.instance}, {"error", provided->error()}});
    }
    co_return prepared;
}

void HostPreparer::clean_up(const std::string& instance) {
    credentials_.forget(instance);
    auto result = std::make_shared<Result<>>();
    loop_.offload([folder = run_folder_ / instance, result] { *result = remove_tree(folder); },
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
}

}  // namespace candela::host
