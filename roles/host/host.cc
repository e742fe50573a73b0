#include "host.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "docker_container.h"
#include "leftovers.h"
#include "loop/file.h"
#include "network_doors.h"
#include "role.h"
#include "seccomp_filter.h"

namespace candela::host {

namespace {

BundleStoreOptions bundle_options(const std::filesystem::path& folder, const Config& config) {
    BundleStoreOptions options;
    options.folder = folder / "bundles";
    options.bytes_max = config.size_bytes("bundles_size_max");
    options.disk_reserve = config.size_bytes("disk_reserve");
    options.keep = config.duration("bundle_keep");
    options.signers = config.strings("signers");
    options.limits.bundle_bytes_max = config.size_bytes("bundle_size_max");
    return options;
}

LogStreamsSettings log_settings(const NodeInfo& node, const Config& config) {
    LogStreamsSettings settings;
    settings.folder = node.data_dir / "host" / "logs";
    settings.node = node.name;
    settings.disk_bytes_max = config.size_bytes("log_buffer");
    return settings;
}

WallSettings wall_settings(const Config& config) {
    WallSettings settings;
    settings.paths = config.strings("sandbox_paths");
    settings.limits.memory_bytes = config.size_bytes("memory_max");
    settings.limits.pids = static_cast<uint32_t>(config.integer("pids_max"));
    settings.limits.scratch_bytes = config.size_bytes("scratch_max");
    settings.limits.io_bytes = config.size_bytes("io_max");
    return settings;
}

Result<CgroupBase> find_groups(const std::string& named) {
    if (!named.empty()) return use_cgroup_folder(named);
    // Files of /proc have no size.
    std::ifstream file("/proc/self/cgroup");
    const std::string own{std::istreambuf_iterator<char>(file), {}};
    return find_cgroup_base("/sys/fs/cgroup", own, getpid());
}

// The groups, with the disk that services' bundles are read from.
Result<CgroupBase> find_groups_and_disk(const std::string& named, const std::filesystem::path& data,
                                        std::string& no_disk) {
    auto groups = find_groups(named);
    if (!groups || !groups->has_io) return groups;
    auto disk = disk_of(data, "/sys/dev/block");
    if (disk)
        groups->disk = std::move(*disk);
    else
        no_disk = disk.error().message();
    return groups;
}

void add_groups(Walls& walls, const CgroupBase& groups) {
    walls.has_memory = groups.has_memory;
    walls.has_cpu = groups.has_cpu;
    walls.has_pids = groups.has_pids;
    walls.has_io = groups.has_io && !groups.disk.empty();
}

// The file that we were started from, also after an upgrade has replaced it; as a keeper sees it.
std::string own_executable() { return fmt::format("/proc/{}/exe", getpid()); }

// Empty: there shall be no engine.
std::string engine_socket(std::string_view named) {
    if (named == "off") return {};
    if (!named.empty()) return std::string(named);
    constexpr std::string_view kScheme = "unix://";
    const char* host = std::getenv("DOCKER_HOST");
    if (host != nullptr && std::string_view(host).starts_with(kScheme))
        return host + kScheme.size();
    return "/var/run/docker.sock";
}

std::string service_path() {
    const char* path = std::getenv("PATH");
    if (path != nullptr && path[0] != '\0') return path;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

}  // namespace

Host::Host(NodeContext& context, const Config& config)
    : context_(context),
      log_(context.log),
      folder_(context.node.data_dir / "host"),
      keeps_instances_(config.boolean("keep_instances")),
      sandbox_off_(config.strings("sandbox_off")),
      cgroup_folder_(config.string("cgroup_folder")),
      walls_(wall_settings(config)),
      client_(context.make_bus_client(context.loop, "host")),
      engine_(context.loop, engine_socket(config.string("docker_socket")), log_,
              [this] { on_engine_change(); }),
      driver_(context.loop, log_),
      containers_(context.loop, engine_, log_),
      drivers_(driver_, containers_),
      ports_(static_cast<uint16_t>(config.integer("ports_first")),
             static_cast<uint16_t>(config.integer("ports_last")), context.loop.random()),
      logs_(context, *client_, log_settings(context.node, config), "host"),
      bundles_(context.loop, *this, bundle_options(folder_, config), log_),
      credentials_(context.loop, *this, context.node.name, log_),
      values_(context.loop, *this, context.node.name, log_),
      preparer_(context.loop, bundles_, credentials_, values_, engine_, folder_ / "run", log_),
      jobs_(context.loop, folder_ / "jobs", log_),
      instances_{context.loop,
                 drivers_,
                 preparer_,
                 ports_,
                 logs_.streams(),
                 log_,
                 context.node.name,
                 std::string(config.string("bus_url")),
                 "",
                 own_executable(),
                 service_path(),
                 Walls(),
                 &engine_},
      supervisor_(instances_, jobs_, static_cast<size_t>(config.integer("instances_max")),
                  [this] { on_change(); }),
      tunnels_(
          context.loop,
          [this](std::string_view name) -> std::optional<uint16_t> {
              const Instance* instance = supervisor_.find(name);
              if (instance == nullptr || instance->pid() == 0) return std::nullopt;
              return instance->port();
          },
          log_),
      builds_(context.loop, folder_ / "builds", context.node.name, make_build_workshop, log_),
      sessions_(
          context.loop, [this](std::string_view name) { return supervisor_.find(name); },
          [this](StreamPtr person, const service::BuildTarget& target) {
              builds_.accept(std::move(person), target);
          },
          log_),
      puller_(context.loop, *client_, context.node.name, context.node.boot_id,
              folder_ / "assignments", log_,
              [this](const proto::Assignments& assignments) { on_assignments(assignments); }),
      collect_timer_(context.loop.timers(), [this] { collect(); }),
      instances_max_(static_cast<uint32_t>(config.integer("instances_max"))),
      capacity_(config),
      meter_(context.loop),
      instance_metrics_(context.metrics) {}

Host::~Host() = default;

Task<Result<>> Host::start() {
    CO_TRY(co_await prepare_folder());
    client_->on_state([this](bus::ClientState state) {
        if (state != bus::ClientState::kConnected) return;
        puller_.pull_soon();
        logs_.on_connected();
    });
    CO_TRY(tunnels_.start(*client_, context_.node.name));
    CO_TRY(sessions_.start(*client_, context_.node.name));
    CO_TRY(puller_.start());
    collect_timer_.start(kCollectInterval);
    heartbeat_ = context_.heartbeats.add(*this);
    co_return Result<>();
}

Task<Result<>> Host::prepare_folder() {
    auto work = [folder = folder_]() -> Result<std::string> {
        CANDELA_TRY(make_directories(folder / "run", 0700));
        return load_run_id(folder);
    };
    auto run_id = co_await offload(context_.loop, std::move(work));
    if (!run_id) co_return fail(run_id.error().in("host"));
    CO_TRY(jobs_.load());
    CO_TRY(co_await logs_.start());
    CO_TRY(bundles_.open());
    CO_TRY(co_await builds_.open());
    instances_.run_id = *run_id;
    values_.open(*run_id);
    ProcessDriverOptions options;
    options.run_folder = folder_ / "run";
    options.ends_with_host = !keeps_instances_;
    options.run_id = *run_id;
    CO_TRY_ASSIGN(options.bus, bus_address(instances_.bus_url));
    CO_TRY(driver_.open(std::move(options)));
    CO_TRY(co_await build_walls(*run_id));
    DockerDriverOptions containers;
    containers.run_folder = folder_ / "run";
    containers.run_id = *run_id;
    containers.ends_with_host = !keeps_instances_;
    containers.limits = walls_.limits;
    containers_.open(std::move(containers));
    co_await engine_.start();
    auto found = co_await find_instances();
    co_return found;
}

Task<Result<>> Host::build_walls(std::string run_id) {
    auto abilities = co_await driver_.examine();
    if (!abilities) co_return fail(abilities.error().in("host"));
    walls_.walls = plan_walls(*abilities, geteuid() == 0, sandbox_off_);
    if (walls_.walls.has_seccomp) {
        auto filter = co_await offload(context_.loop, make_seccomp_filter);
        if (!filter) co_return fail(filter.error().in("host"));
        walls_.seccomp = std::move(*filter);
    }
    const bool wants_groups = std::ranges::find(sandbox_off_, "cgroup") == sandbox_off_.end();
    if (wants_groups) {
        auto no_disk = std::make_shared<std::string>();
        auto find = [named = cgroup_folder_, data = context_.node.data_dir, no_disk] {
            return find_groups_and_disk(named, data, *no_disk);
        };
        auto groups = co_await offload(context_.loop, std::move(find));
        if (groups)
            walls_.cgroups = std::move(*groups);
        else if (!cgroup_folder_.empty())
            co_return fail(groups.error().in("[host] cgroup_folder"));
        else
            walls_.walls.no_cgroup = groups.error().message();
        walls_.walls.no_disk = std::move(*no_disk);
        add_groups(walls_.walls, walls_.cgroups);
    }
    for (const Protection& protection : list_protections(walls_.walls)) {
        log_.info(
            "protection",
            {{"name", protection.name}, {"on", protection.is_on}, {"detail", protection.detail}});
    }
    instances_.walls = walls_.walls;
    preparer_.set_walls(walls_.walls, std::move(run_id));
    driver_.set_walls(walls_);
    co_return Result<>();
}

Task<Result<>> Host::find_instances() {
    auto found = co_await drivers_.find();
    if (!found) co_return fail(found.error().in("host"));
    std::map<std::string, std::string, std::less<>> notes;
    for (const FoundInstance& each : *found) notes[each.instance] = each.note;
    for (const auto& [name, note] : notes) found_.insert(name);
    supervisor_.set_found(std::move(notes));
    co_return Result<>();
}

void Host::on_assignments(const proto::Assignments& assignments) {
    const bool is_first = assignments_.version == 0;
    assignments_ = assignments;
    if (is_first) {
        std::set<std::string> names = std::exchange(found_, {});
        for (const proto::InstanceSpec& spec : assignments.instances) names.insert(spec.instance);
        preparer_.keep_only(names);
    }
    supervisor_.apply(assignments);
    on_change();
}

void Host::on_change() {
    context_.heartbeats.beat_soon();
    std::set<std::string> wanted = supervisor_.bundles();
    for (const proto::InstanceSpec& spec : assignments_.instances) wanted.insert(spec.bundle);
    bundles_.set_wanted(std::move(wanted));
}

void Host::on_engine_change() {
    context_.heartbeats.beat_soon();
    containers_.on_engine_change();
}

void Host::collect() {
    bundles_.collect();
    collect_timer_.start(kCollectInterval);
}

void Host::add_to_heartbeat(proto::NodeHeartbeat& beat) {
    beat.assignments_version = puller_.version();
    beat.instances_max = instances_max_;
    capacity_.add_to(beat);
    beat.instances = supervisor_.statuses();
    meter_.add_to(beat, [this](const std::string& instance) {
        if (walls_.cgroups.folder.empty()) return std::filesystem::path();
        return cgroup_of(walls_.cgroups, instance);
    });
    instance_metrics_.update(beat.instances);
    for (const Protection& each : list_protections(walls_.walls)) {
        beat.protections.push_back(proto::Protection{each.name, each.is_on, each.detail});
    }
    beat.sandbox_level = to_string(level_of(walls_.walls));
    beat.trouble = bundles_.trouble();
    beat.drivers.push_back(proto::HostDriver{
        "docker", engine_.is_on(), engine_.detail(),
        engine_.is_on() ? std::string(container_level(engine_.info())) : std::string()});
    beat.instances_complete = puller_.has_assignments();
}

Task<Result<proto::BundleChunk>> Host::read(proto::BundleRead request) {
    auto reply = co_await client_->request(std::string(proto::kBundleSubject),
                                           proto::encode(request), kBundleReadTimeout);
    if (!reply) co_return fail(reply.error());
    co_return proto::decode_bundle_chunk(reply->payload);
}

Task<Result<proto::Credential>> Host::issue(proto::CredentialRequest request) {
    // Nobody would be served by waiting: it is asked for again soon.
    if (!client_->is_connected()) co_return fail(Code::kUnreachable, "the bus is away");
    auto reply = co_await client_->request(std::string(proto::kCredentialSubject),
                                           proto::encode(request), kCredentialTimeout);
    if (!reply) co_return fail(reply.error());
    co_return proto::decode_credential(reply->payload);
}

Task<Result<proto::ValueTable>> Host::fetch(proto::ValuesPull pull) {
    if (!client_->is_connected()) co_return fail(Code::kUnreachable, "the bus is away");
    auto reply = co_await client_->request(std::string(proto::kValuesSubject), proto::encode(pull),
                                           kValuesTimeout);
    if (!reply) co_return fail(reply.error());
    co_return proto::decode_value_table(reply->payload);
}

Task<Result<>> Host::reload(const Config& config) {
    instances_max_ = static_cast<uint32_t>(config.integer("instances_max"));
    capacity_ = Capacity(config);
    supervisor_.set_instances_max(instances_max_);
    on_change();
    co_return Result<>();
}

Task<void> Host::drain(MonoTime deadline) {
    is_draining_ = true;
    if (keeps_instances_) {
        supervisor_.let_go();
        drivers_.let_go();
        logs_.streams().let_go();
    } else {
        co_await supervisor_.drain(deadline);
    }
    // Their last lines, and the heartbeat that says how they ended.
    co_await logs_.streams().write_all();
    context_.heartbeats.beat_soon();
    constexpr Duration kFlushMax = 1s;
    if (client_->is_connected()) static_cast<void>(co_await client_->flush(kFlushMax));
}

RoleStatus Host::status() const {
    RoleStatus status;
    status.ready = puller_.has_assignments() && !is_draining_;
    if (is_draining_)
        status.detail =
            keeps_instances_ ? "ending; its instances run on" : "stopping its instances";
    else if (!client_->is_connected())
        status.detail = "the bus is away: " + client_->last_error();
    else if (!puller_.has_assignments())
        status.detail = "waiting for the lighthouse";
    else
        status.detail = fmt::format("{} instances", supervisor_.running_count());
    return status;
}

}  // namespace candela::host
