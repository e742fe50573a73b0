#include "http/content_coding.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "http/message.h"

namespace candela::http {
namespace {

// "0.5" in thousandths (RFC 9110 §12.4.2); what is none counts as 0.
int weight_of(std::string_view text) {
    if (text.empty() || (text[0] != '0' && text[0] != '1')) return 0;
    int weight = (text[0] - '0') * 1000;
    if (text.size() == 1) return weight;
    if (text[1] != '.' || text.size() > 5) return 0;
    int unit = 100;
    for (const char c : text.substr(2)) {
        if (c < '0' || c > '9') return 0;
        weight += (c - '0') * unit;
        unit /= 10;
    }
    return std::min(weight, 1000);
}

// The name and the weight of "gzip;q=0.5".
std::pair<std::string_view, int> split_weight(std::string_view element) {
    const auto parts = split_once(element, ';');
    if (!parts) return {element, 1000};
    const std::string_view parameter = trim(parts->second);
    if (parameter.size() < 2 || (parameter[0] != 'q' && parameter[0] != 'Q') ||
        parameter[1] != '=') {
        return {trim(parts->first), 0};
    }
    return {trim(parts->first), weight_of(parameter.substr(2))};
}

size_t place_of(ContentCoding coding) {
    return static_cast<size_t>(std::ranges::find(kContentCodings, coding) -
                               kContentCodings.begin());
}

}  // namespace

std::string_view to_string(ContentCoding coding) {
    switch (coding) {
        case ContentCoding::kIdentity: return "identity";
        case ContentCoding::kGzip: return "gzip";
        case ContentCoding::kBrotli: return "br";
        case ContentCoding::kZstd: return "zstd";
    }
    return "identity";
}

ContentCoding choose_coding(const Headers& request, std::span<const ContentCoding> offered) {
    std::array<int, kContentCodings.size()> weights;
    weights.fill(-1);
    int any = 0;
    int identity = -1;
    for (const Headers::Field field : request) {
        if (!ascii_iequals(field.name, "accept-encoding")) continue;
        for_each_list_element(field.value, [&](std::string_view element) {
            const auto [name, weight] = split_weight(element);
            if (name == "*") any = weight;
            if (ascii_iequals(name, "identity")) identity = weight;
            for (const ContentCoding coding : kContentCodings) {
                const bool is_it =
                    ascii_iequals(name, to_string(coding)) ||
                    (coding == ContentCoding::kGzip && ascii_iequals(name, "x-gzip"));
                if (is_it) weights[place_of(coding)] = weight;
            }
        });
    }
    ContentCoding best = ContentCoding::kIdentity;
    // A client that prefers it plain gets it plain.
    int best_weight = std::max(identity, 0);
    for (const ContentCoding coding : offered) {
        const int own = weights[place_of(coding)];
        const int weight = own >= 0 ? own : any;
        const bool is_better = best == ContentCoding::kIdentity
                                   ? weight > 0 && weight >= best_weight
                                   : weight > best_weight;
        if (!is_better) continue;
        best = coding;
        best_weight = weight;
    }
    return best;
}

bool is_compressible(std::string_view content_type) {
    const std::string_view type = trim(content_type.substr(0, content_type.find(';')));
    constexpr std::array<std::string_view, 12> kTypes = {"application/javascript",
                                                         "application/json",
                                                         "application/ld+json",
                                                         "application/wasm",
                                                         "application/xml",
                                                         "application/x-ndjson",
                                                         "application/graphql",
                                                         "application/manifest+json",
                                                         "image/svg+xml",
                                                         "image/bmp",
                                                         "font/ttf",
                                                         "font/otf"};
    if (type.size() > 5 && ascii_iequals(type.substr(0, 5), "text/")) return true;
    const auto ends_with = [&](std::string_view end) {
        return type.size() > end.size() &&
               ascii_iequals(type.substr(type.size() - end.size()), end);
    };
    if (ends_with("+json") || ends_with("+xml")) return true;
    return std::ranges::any_of(kTypes,
                               [&](std::string_view known) { return ascii_iequals(known, type); });
}

bool is_changed_by_coding(std::string_view name) {
    return ascii_iequals(name, "content-length") || ascii_iequals(name, "etag") ||
           ascii_iequals(name, "accept-ranges") || ascii_iequals(name, "content-digest");
}

CodedAnswer code_answer(const RequestHead& request, const ResponseHead& answer,
                        const Framing& framing, bool may_encode, Headers& added) {
    CodedAnswer out{ContentCoding::kIdentity, framing};
    const Headers& fields = answer.headers;
    const bool may_be = answer.status >= 200 && answer.status < 300 && answer.status != 204 &&
                        answer.status != 206 && !framing.upgrade &&
                        request.version != Version::kHttp10 &&
                        !fields.contains("content-encoding") &&
                        !fields.has_token("cache-control", "no-transform") &&
                        is_compressible(fields.get(FieldId::kContentType).value_or(""));
    const bool is_small =
        framing.body == BodyKind::kNone ||
        (framing.body == BodyKind::kLength && framing.content_length < kCompressedBytesMin);
    if (!may_be || is_small) return out;
    if (!fields.has_token("vary", "accept-encoding") && !fields.has_token("vary", "*")) {
        added.add("Vary", "Accept-Encoding");
    }
    // What HEAD would say of the coded body's length is not known.
    if (request.method == "HEAD" || !may_encode) return out;
    out.coding = choose_coding(request.headers);
    if (out.coding == ContentCoding::kIdentity) return out;
    out.framing.body = BodyKind::kChunked;
    added.add("Content-Encoding", to_string(out.coding));
    // The same content, but not the same bytes (RFC 9110 §8.8.1).
    if (const auto tag = fields.get("etag")) {
        added.add("ETag", tag->starts_with("W/") ? std::string(*tag) : "W/" + std::string(*tag));
    }
    return out;
}

}  // namespace candela::http
