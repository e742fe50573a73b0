#include "value_delivery.h"

#include <algorithm>

#include "base/encoding.h"
#include "value_storage.h"

namespace candela::lighthouse {

namespace {

// The instance's release, where this node may have its values.
Result<const Release*> release_for(const Wanted& wanted, const proto::ValuesPull& pull) {
    const auto instance = wanted.instances.find(pull.instance);
    if (instance == wanted.instances.end() || instance->second.node != pull.node ||
        instance->second.stage == Stage::kStopping) {
        return fail(Code::kDenied, "{} is not an instance of {}", pull.instance, pull.node);
    }
    const auto service = wanted.services.find(instance->second.service);
    const Release* release =
        service == wanted.services.end() ? nullptr : service->second.find(instance->second.release);
    if (release == nullptr) return fail(Code::kNotFound, "{} has no release", pull.instance);
    return release;
}

}  // namespace

Task<proto::ValueTable> ValueDelivery::answer(proto::ValuesPull pull) {
    auto table = co_await table_for(std::move(pull));
    if (table) co_return std::move(*table);
    proto::ValueTable refused;
    refused.failure = proto::Failure(table.error());
    co_return refused;
}

Task<Result<proto::ValueTable>> ValueDelivery::table_for(proto::ValuesPull pull) {
    crypto::BoxPublicKey box{};
    if (pull.box_key.size() != box.size()) {
        co_return fail(Code::kInvalid, "a pull of values needs a key to seal them for");
    }
    std::copy(pull.box_key.begin(), pull.box_key.end(), box.begin());
    CO_TRY_ASSIGN(const Release* release, release_for(state_.wanted(), pull));
    const std::string space = state_.wanted().instances.at(pull.instance).service.first;
    std::vector<ValueAt> wanted;
    for (const auto& [use, version] : release->values) {
        wanted.push_back(ValueAt(ValueKey{space, use.first, use.second}, version));
    }
    auto work = [wanted](store::Connection& db) { return read_values(db, wanted); };
    auto contents = co_await state_.database().run(std::move(work));
    if (!contents) co_return fail(contents.error());
    proto::ValueTable table;
    for (size_t i = 0; i < wanted.size(); ++i) {
        const ValueKey& key = wanted[i].key;
        Secret plain;
        if (key.kind == service::ValueKind::kSecret) {
            auto opened = vault_.unseal((*contents)[i]);
            if (!opened) co_return fail(opened.error().in(to_string(key)));
            plain = std::move(*opened);
        } else {
            CO_TRY_ASSIGN(std::string bytes, base64_decode((*contents)[i]));
            plain = Secret(std::move(bytes));
        }
        proto::ValueContent content;
        content.kind = service::to_string(key.kind);
        content.name = key.name;
        content.version = wanted[i].version;
        CO_TRY_ASSIGN(content.sealed, crypto::seal(box, as_bytes(plain.reveal())));
        table.values.push_back(std::move(content));
    }
    co_return table;
}

}  // namespace candela::lighthouse
