// `candela ctl deploy DIR`: reads service.toml, packs and signs the folder, sends the bundle where
// the lighthouse lacks it, makes a release, and follows it until it serves.

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/deploying.h"
#include "ctl/rollout.h"
#include "ctl/show.h"
#include "ctl/signer.h"
#include "ctl/verb.h"

namespace candela::ctl {

namespace {

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

}  // namespace

Task<Result<int>> deploy_folder(Session& session, DeployOptions options, std::string& service) {
    auto key = signing_key(session.api);
    if (!key) co_return fail(key.error());
    auto prepared = co_await prepare(session, std::move(options.prepare));
    if (!prepared) co_return fail(prepared.error());
    const service::Manifest* const manifest = &prepared->manifest;
    service = manifest->name;
    const service::BundleInfo* const bundle = &prepared->info;
    session.terminal.note(fmt::format("packed {}: {} file{}, {}", manifest->name, bundle->files,
                                      bundle->files == 1 ? "" : "s",
                                      format_size(bundle->size_bytes)));
    const Secret seed = key->seed();
    auto signature = service::sign_digest(bundle->digest, seed.reveal());
    if (!signature) co_return fail(signature.error());
    auto uploaded =
        co_await upload(session, *bundle, prepared->bundle.string(), *signature, key->public_key());
    if (!uploaded) co_return fail(uploaded.error());
    prepared->cache.reset();

    Json wanted = {{"manifest", service::to_json(*manifest)},
                   {"bundle", bundle->digest},
                   {"signature", *signature},
                   {"signer", key->public_key()}};
    if (!options.idempotency_key.empty()) wanted["idempotency_key"] = options.idempotency_key;
    auto created = co_await session.api.post(
        service_path(session.space, manifest->name) + "/releases", std::move(wanted));
    if (!created) co_return fail(created.error());
    const uint64_t number = release_view(*created).number;
    session.terminal.note(fmt::format("{} release {} created", manifest->name, number));
    if (!options.is_followed) {
        if (session.json)
            session.terminal.out_json(*created);
        else
            session.terminal.out(fmt::format("{} release {}\n", manifest->name, number));
        co_return kOk;
    }
    auto followed = co_await follow_rollout(session, manifest->name, number, options.timeout);
    co_return followed;
}

namespace {

constexpr std::string_view kAnyNode = "any";

Task<Result<int>> run(Session& session, Arguments arguments) {
    DeployOptions options;
    auto timeout = arguments.duration("--timeout", options.timeout);
    if (!timeout) co_return fail(timeout.error());
    options.timeout = *timeout;
    options.prepare.folder = arguments.text("DIR");
    options.prepare.builds = !arguments.has("--no-build");
    options.prepare.builds_anew = arguments.has("--rebuild");
    if (arguments.has("--build-on")) {
        const std::string node = arguments.text("--build-on");
        options.prepare.build_on = node == kAnyNode ? "" : node;
    }
    options.is_followed = !arguments.has("--detach");
    options.idempotency_key = arguments.text("--idempotency-key");
    std::string service;
    auto deployed = co_await deploy_folder(session, std::move(options), service);
    co_return deployed;
}

}  // namespace

Verb deploy_verb() {
    return Verb{"",
                "deploy",
                "Deploys the service in a folder, built if need be, and waits until it serves",
                {{"DIR", "The folder with service.toml, or with sources."}},
                {{"--timeout", "", "TIME", "How long to wait for it to serve (5m)"},
                 {"--no-build", "", "", "Packs the folder as it is"},
                 {"--build-on", "", "NODE", "Has that host build it; any: one with little to do"},
                 {"--rebuild", "", "", "Builds anew, without what earlier builds left"},
                 {"--detach", "", "", "Do not wait for the rollout"},
                 {"--idempotency-key", "", "KEY", "Asked for twice by this key, done once"}},
                true,
                run};
}

}  // namespace candela::ctl
