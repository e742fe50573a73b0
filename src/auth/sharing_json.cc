#include "auth/sharing_json.h"

#include <nlohmann/json.hpp>

#include "auth/claims_json.h"
#include "base/text.h"

namespace candela::auth {

namespace {

constexpr size_t kSharesMax = 1024;  // exports, imports or mappings of one account

Result<ShareKind> read_kind(const Json& object) {
    CANDELA_TRY_ASSIGN(const std::string text, read_string(object, "type"));
    if (text == "stream") return ShareKind::kStream;
    if (text == "service") return ShareKind::kService;
    return fail(Code::kInvalid, "type: neither stream nor service");
}

Result<ResponseType> read_response_type(const Json& object) {
    CANDELA_TRY_ASSIGN(const std::string text, read_string(object, "response_type"));
    for (const ResponseType type :
         {ResponseType::kSingleton, ResponseType::kStream, ResponseType::kChunked}) {
        if (text == to_string(type)) return type;
    }
    if (text.empty()) return ResponseType::kSingleton;
    return fail(Code::kInvalid, "response_type: not Singleton, Stream or Chunked");
}

Result<Export> read_export(const Json& object) {
    Export out;
    if (!object.is_object()) return fail(Code::kInvalid, "not an object");
    CANDELA_TRY_ASSIGN(out.name, read_string(object, "name"));
    CANDELA_TRY_ASSIGN(out.subject, read_string(object, "subject"));
    CANDELA_TRY_ASSIGN(out.kind, read_kind(object));
    CANDELA_TRY_ASSIGN(out.token_required, read_bool(object, "token_req"));
    CANDELA_TRY_ASSIGN(out.revocations, read_revocations(object));
    CANDELA_TRY_ASSIGN(out.response_type, read_response_type(object));
    CANDELA_TRY_ASSIGN(const int64_t threshold, read_int(object, "response_threshold", 0));
    out.response_threshold = Duration(threshold);
    CANDELA_TRY_ASSIGN(const int64_t position, read_int(object, "account_token_position", 0));
    if (position < 0 || position > INT32_MAX) {
        return fail(Code::kInvalid, "account_token_position: out of range");
    }
    out.account_token_position = static_cast<unsigned>(position);
    CANDELA_TRY_ASSIGN(out.advertise, read_bool(object, "advertise"));
    CANDELA_TRY_ASSIGN(out.description, read_string(object, "description"));
    CANDELA_TRY_ASSIGN(out.info_url, read_string(object, "info_url"));
    const Json* latency = find_member(object, "service_latency");
    if (latency == nullptr) return out;
    if (!latency->is_object()) return fail(Code::kInvalid, "service_latency: not an object");
    Export::Latency read;
    // Written as a number of percent, or as "headers".
    const Json* sampling = find_member(*latency, "sampling");
    if (sampling != nullptr && sampling->is_number_integer()) {
        CANDELA_TRY_ASSIGN(const int64_t percent, read_int(*latency, "sampling", 0));
        read.sampling = std::to_string(percent);
    } else {
        CANDELA_TRY_ASSIGN(read.sampling, read_string(*latency, "sampling"));
    }
    CANDELA_TRY_ASSIGN(read.results, read_string(*latency, "results"));
    out.latency = std::move(read);
    return out;
}

Result<Import> read_import(const Json& object) {
    Import out;
    if (!object.is_object()) return fail(Code::kInvalid, "not an object");
    CANDELA_TRY_ASSIGN(out.name, read_string(object, "name"));
    CANDELA_TRY_ASSIGN(out.subject, read_string(object, "subject"));
    CANDELA_TRY_ASSIGN(out.account, read_string(object, "account"));
    CANDELA_TRY_ASSIGN(out.token, read_string(object, "token"));
    CANDELA_TRY_ASSIGN(out.to, read_string(object, "to"));
    CANDELA_TRY_ASSIGN(out.local_subject, read_string(object, "local_subject"));
    CANDELA_TRY_ASSIGN(out.kind, read_kind(object));
    CANDELA_TRY_ASSIGN(out.share, read_bool(object, "share"));
    return out;
}

Result<WeightedMapping> read_mapping(const Json& object) {
    WeightedMapping out;
    if (!object.is_object()) return fail(Code::kInvalid, "not an object");
    CANDELA_TRY_ASSIGN(out.subject, read_string(object, "subject"));
    CANDELA_TRY_ASSIGN(const int64_t weight, read_int(object, "weight", 0));
    if (weight < 0 || weight > 100) return fail(Code::kInvalid, "weight: not within 0 and 100");
    if (weight != 0) out.weight = static_cast<unsigned>(weight);
    CANDELA_TRY_ASSIGN(out.cluster, read_string(object, "cluster"));
    return out;
}

template <class T>
Result<std::vector<T>> read_list(const Json& nats, std::string_view key,
                                 Result<T> (*read)(const Json&)) {
    std::vector<T> out;
    const Json* list = find_member(nats, key);
    if (list == nullptr) return out;
    if (!list->is_array()) return fail(Code::kInvalid, "{}: not a list", key);
    if (list->size() > kSharesMax) {
        return fail(Code::kInvalid, "{}: more than {}", key, kSharesMax);
    }
    for (const Json& element : *list) {
        Result<T> one = read(element);
        if (!one) return fail(one.error().in(key));
        out.push_back(std::move(*one));
    }
    return out;
}

// Texts that are empty are left out.
void put(Json& out, std::string_view key, const std::string& text) {
    if (!text.empty()) out[std::string(key)] = text;
}

Json to_json(const Export& share) {
    Json out = {{"subject", share.subject}, {"type", to_string(share.kind)}};
    put(out, "name", share.name);
    put(out, "description", share.description);
    put(out, "info_url", share.info_url);
    if (share.token_required) out["token_req"] = true;
    if (!share.revocations.empty()) out["revocations"] = share.revocations;
    if (share.kind == ShareKind::kService) out["response_type"] = to_string(share.response_type);
    if (share.response_threshold != 0ns) {
        out["response_threshold"] = share.response_threshold.count();
    }
    if (share.account_token_position != 0) {
        out["account_token_position"] = share.account_token_position;
    }
    if (share.advertise) out["advertise"] = true;
    if (share.latency) {
        out["service_latency"] = {{"sampling", share.latency->sampling},
                                  {"results", share.latency->results}};
        const Result<uint64_t> percent = parse_uint(share.latency->sampling);
        if (percent && *percent <= 100 && std::to_string(*percent) == share.latency->sampling) {
            out["service_latency"]["sampling"] = *percent;
        }
    }
    return out;
}

Json to_json(const Import& share) {
    Json out = {
        {"subject", share.subject}, {"account", share.account}, {"type", to_string(share.kind)}};
    put(out, "name", share.name);
    put(out, "token", share.token);
    put(out, "to", share.to);
    put(out, "local_subject", share.local_subject);
    if (share.share) out["share"] = true;
    return out;
}

template <class T>
Json list_to_json(const std::vector<T>& list) {
    Json out = Json::array();
    for (const T& element : list) out.push_back(to_json(element));
    return out;
}

}  // namespace

std::string_view to_string(ShareKind kind) {
    return kind == ShareKind::kStream ? "stream" : "service";
}

std::string_view to_string(ResponseType type) {
    switch (type) {
        case ResponseType::kSingleton: return "Singleton";
        case ResponseType::kStream: return "Stream";
        case ResponseType::kChunked: return "Chunked";
    }
    return "Singleton";
}

Json exports_to_json(const std::vector<Export>& exports) { return list_to_json(exports); }
Json imports_to_json(const std::vector<Import>& imports) { return list_to_json(imports); }

Json mappings_to_json(const SubjectMappings& mappings) {
    Json out = Json::object();
    for (const auto& [from, destinations] : mappings) {
        Json list = Json::array();
        for (const WeightedMapping& mapping : destinations) {
            Json one = {{"subject", mapping.subject}, {"weight", mapping.weight}};
            put(one, "cluster", mapping.cluster);
            list.push_back(std::move(one));
        }
        out[from] = std::move(list);
    }
    return out;
}

Result<std::vector<Export>> exports_from_json(const Json& nats) {
    return read_list<Export>(nats, "exports", read_export);
}

Result<std::vector<Import>> imports_from_json(const Json& nats) {
    return read_list<Import>(nats, "imports", read_import);
}

Result<SubjectMappings> mappings_from_json(const Json& nats) {
    SubjectMappings out;
    const Json* mappings = find_member(nats, "mappings");
    if (mappings == nullptr) return out;
    if (!mappings->is_object()) return fail(Code::kInvalid, "mappings: not an object");
    if (mappings->size() > kSharesMax) {
        return fail(Code::kInvalid, "mappings: more than {}", kSharesMax);
    }
    for (const auto& [from, list] : mappings->items()) {
        CANDELA_TRY_ASSIGN(out[from], read_list<WeightedMapping>(*mappings, from, read_mapping));
    }
    return out;
}

}  // namespace candela::auth
