#include "ctl/building.h"

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/remote_build.h"
#include "loop/file.h"

namespace candela::ctl {

namespace {

// Stands in for a command that the build will tell, so that all else can be checked before.
constexpr const char* kUnknownCommand = "(built)";

std::string own_environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// Shows what a build does, on stderr as it comes.
class ShownBuild final : public build::BuildListener {
public:
    explicit ShownBuild(Terminal& terminal) : terminal_(terminal) {}
    void on_note(std::string_view line) override { terminal_.note(line); }
    void on_output(std::string_view bytes) override { terminal_.pass_through(bytes); }

private:
    Terminal& terminal_;
};

// The text of service.toml; "" where there is none.
Result<std::string> read_toml(const std::filesystem::path& file) {
    auto text = read_file(file, service::kManifestSizeMax + 1);
    if (!text && text.error().code() == Code::kNotFound) return std::string();
    return text;
}

std::string folder_name(const std::filesystem::path& folder) {
    std::error_code error;
    const auto real = std::filesystem::canonical(folder, error);
    return build::service_name_of(real.filename().native());
}

service::ManifestDefaults defaults_for(const Intention& intention,
                                       const std::filesystem::path& folder) {
    service::ManifestDefaults defaults = intention.recipe->defaults;
    if (defaults.name.empty()) defaults.name = folder_name(folder);
    defaults.host = defaults.name + ".localhost";
    const bool is_site = defaults.kind == service::Kind::kStatic;
    if (defaults.command.empty() && intention.recipe->product != build::Product::kNone &&
        !is_site) {
        defaults.command = {kUnknownCommand};
    }
    return defaults;
}

Task<Result<build::Built>> build_here(Session& session, const PrepareOptions& options,
                                      const Intention& intention, const Prepared& prepared) {
    if (!session.make_workshop) {
        co_return fail(Code::kUnsupported, "this candela can't build; try --no-build");
    }
    const std::unique_ptr<build::Workshop> workshop = session.make_workshop(session.loop);
    ShownBuild shown(session.terminal);
    build::BuildRequest request;
    request.folder = options.folder;
    request.spec = intention.spec;
    request.recipe = *intention.recipe;
    request.service_name = prepared.manifest.name;
    request.finds_command = intention.finds_command;
    request.is_anew = options.builds_anew;
    request.environment = own_environment;
    auto building = build::build(session.loop, *workshop, std::move(request), shown);
    auto built = co_await std::move(building);
    co_return built;
}

Task<Result<build::Built>> build_there(Session& session, const PrepareOptions& options,
                                       const Intention& intention, Prepared& prepared) {
    auto scratch = ScratchFolder::make();
    if (!scratch) co_return fail(scratch.error());
    prepared.scratch.emplace(std::move(*scratch));
    RemoteBuild wanted;
    wanted.node = *options.build_on;
    wanted.service = prepared.manifest.name;
    wanted.folder = options.folder;
    wanted.recipe = *intention.recipe;
    wanted.spec = intention.spec;
    wanted.finds_command = intention.finds_command;
    wanted.is_anew = options.builds_anew;
    wanted.environment = own_environment;
    auto building = build_remotely(session, std::move(wanted), *prepared.scratch);
    auto built = co_await std::move(building);
    co_return built;
}

}  // namespace

Result<Intention> read_intention(const PrepareOptions& options) {
    Intention intention;
    const std::filesystem::path file = options.folder / "service.toml";
    CANDELA_TRY_ASSIGN(const std::string text, read_toml(file));
    std::error_code ignored;
    const bool has_file = std::filesystem::exists(file, ignored);
    intention.spec = service::read_build_spec(text);
    // Told once the file itself is known to be well.
    Result<> found;
    if (options.builds && intention.spec.is_enabled) {
        const build::Project project(options.folder);
        auto recipe = build::find_recipe(project, intention.spec);
        if (recipe)
            intention.recipe = std::move(*recipe);
        else
            found = fail(recipe.error());
    }
    if (!intention.recipe) {
        CANDELA_TRY_ASSIGN(intention.manifest, read_manifest_of(options.folder));
        CANDELA_TRY(found);
        return intention;
    }
    service::ManifestDefaults defaults = defaults_for(intention, options.folder);
    if (has_file) defaults.host.clear();  // who writes one says by its routes what is reached
    CANDELA_TRY_ASSIGN(intention.manifest, service::parse_manifest(text, file.string(), defaults));
    CANDELA_TRY(read_error_pages(intention.manifest, options.folder));
    intention.finds_command =
        intention.manifest.command == std::vector<std::string>{kUnknownCommand};
    build::Recipe& recipe = *intention.recipe;
    const bool is_no_site = recipe.defaults.kind == service::Kind::kStatic &&
                            intention.manifest.kind != service::Kind::kStatic;
    if (is_no_site && intention.spec.output.empty()) recipe.output.clear();
    if (recipe.commands.empty() && intention.spec.output.empty() && !intention.finds_command) {
        // Nothing is to be done: what the recipe knew of the service was all.
        intention.recipe.reset();
        return intention;
    }
    if (!options.build_on) CANDELA_TRY(build::check_tools(recipe));
    return intention;
}

Task<Result<Prepared>> prepare(Session& session, PrepareOptions options) {
    auto read = read_intention(options);
    if (!read) co_return fail(read.error());
    Intention intention = std::move(*read);
    Prepared prepared;
    prepared.manifest = std::move(intention.manifest);
    if (!intention.recipe) {
        auto scratch = ScratchFolder::make();
        if (!scratch) co_return fail(scratch.error());
        prepared.scratch.emplace(std::move(*scratch));
        prepared.bundle = prepared.scratch->bundle();
        auto packed = co_await pack_folder(session, options.folder, prepared.bundle);
        if (!packed) co_return fail(packed.error());
        prepared.info = *packed;
        co_return prepared;
    }
    if (!intention.recipe->note.empty()) session.terminal.note(intention.recipe->note);
    auto building = options.build_on ? build_there(session, options, intention, prepared)
                                     : build_here(session, options, intention, prepared);
    auto built = co_await std::move(building);
    if (!built) co_return fail(built.error());
    if (built->was_there) {
        session.terminal.note(
            fmt::format("{} was built before from these sources; --rebuild builds it anew",
                        prepared.manifest.name));
    }
    if (intention.finds_command) prepared.manifest.command = built->outcome.command;
    // With what the build has told, by the same rules.
    auto checked = service::manifest_from_json(service::to_json(prepared.manifest));
    if (!checked) co_return fail(checked.error());
    prepared.info = built->outcome.info;
    prepared.bundle = built->outcome.bundle;
    prepared.cache = std::move(built->lock);
    co_return prepared;
}

}  // namespace candela::ctl
