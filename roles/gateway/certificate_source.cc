#include "certificate_source.h"

#include "base/encoding.h"
#include "loop/file.h"

namespace candela::gateway {
namespace {

constexpr size_t kPageBytes = 512 * 1024;
constexpr size_t kLengthBytes = 4;
constexpr size_t kFileBytesMax = 512 << 20;

std::string sealed_for(const crypto::BoxKey& box) { return std::string(as_text(box.public_key())); }

void append_page(const proto::CertificateTable& page, std::string& out) {
    const std::string bytes = proto::encode(page);
    for (size_t i = 0; i < kLengthBytes; ++i) {
        out += static_cast<char>((bytes.size() >> (8 * i)) & 0xff);
    }
    out += bytes;
}

}  // namespace

std::string encode_pages(const std::vector<proto::Certificate>& certificates) {
    std::string out;
    proto::CertificateTable page;
    size_t bytes = 0;
    for (const proto::Certificate& certificate : certificates) {
        bytes += certificate.chain.size() + certificate.key.size() + certificate.name.size();
        if (bytes > kPageBytes && !page.certificates.empty()) {
            append_page(page, out);
            page.certificates.clear();
            bytes = certificate.chain.size() + certificate.key.size();
        }
        page.certificates.push_back(certificate);
    }
    append_page(page, out);
    return out;
}

Result<std::vector<proto::Certificate>> decode_pages(std::string_view bytes) {
    std::vector<proto::Certificate> out;
    while (!bytes.empty()) {
        size_t size = 0;
        for (size_t i = 0; i < kLengthBytes && i < bytes.size(); ++i) {
            size |= static_cast<size_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
        }
        if (bytes.size() < kLengthBytes || bytes.size() - kLengthBytes < size) {
            return fail(Code::kCorrupt, "the certificates kept on disk are cut off");
        }
        CANDELA_TRY_ASSIGN(proto::CertificateTable page,
                           proto::decode_certificate_table(bytes.substr(kLengthBytes, size)));
        std::move(page.certificates.begin(), page.certificates.end(), std::back_inserter(out));
        bytes.remove_prefix(kLengthBytes + size);
    }
    return out;
}

CertificateSource::CertificateSource(NodeContext& context, OnSet on_set)
    : context_(context),
      on_set_(std::move(on_set)),
      file_(context.node.data_dir / "gateway" / "certificates"),
      box_(crypto::BoxKey::generate()),
      puller_(context,
              {.nudge_subject = proto::kCertificatesNudgeSubject,
               .failure = "certificates_pull_failed",
               .has_version =
                   [this](uint64_t version) { return set_ != nullptr && version == set_->version; },
               .pull = [this] { return pull(); }}) {}

void CertificateSource::load() {
    std::error_code ignored;
    if (!std::filesystem::exists(file_, ignored)) return;
    const auto bytes = read_file(file_, kFileBytesMax);
    auto certificates =
        bytes ? decode_pages(*bytes) : Result<std::vector<proto::Certificate>>(fail(bytes.error()));
    if (!certificates) {
        context_.log.warn("certificates_unreadable",
                          {{"file", file_.string()}, {"error", certificates.error()}});
        return;
    }
    context_.log.info("certificates_loaded", {{"certificates", certificates->size()}});
    CertificateSet set;
    set.certificates =
        std::make_shared<const std::vector<proto::Certificate>>(std::move(*certificates));
    set_ = std::make_shared<const CertificateSet>(std::move(set));
    on_set_(set_);
}

Task<Result<proto::CertificateTable>> CertificateSource::ask(proto::CertificatesPull pull) {
    std::string payload = proto::encode(pull);
    auto reply = co_await puller_.client().request(std::string(proto::kCertificatesSubject),
                                                   std::move(payload), LighthousePuller::kTimeout);
    if (!reply) co_return fail(reply.error().in("the lighthouse"));
    auto table = proto::decode_certificate_table(reply->payload);
    if (!table) co_return fail(table.error().in("the lighthouse's certificates"));
    if (table->failure) co_return fail(table->failure.to_error().in("the lighthouse"));
    co_return table;
}

Task<Result<>> CertificateSource::pull() {
    proto::CertificatesPull wanted;
    wanted.node = context_.node.name;
    wanted.boot_id = context_.node.boot_id;
    wanted.version = set_ != nullptr ? set_->version : 0;
    wanted.certificates_version = certificates_version_;
    wanted.box_key = sealed_for(box_);
    CertificateSet set;
    std::vector<proto::Certificate> gathered;
    for (;;) {
        proto::CertificatesPull copy = wanted;
        auto page = co_await ask(std::move(copy));
        if (!page) co_return fail(page.error());
        const Result<> noted = puller_.note_answer(page->epoch);
        if (!noted) co_return fail(noted.error());
        if (page->version == wanted.version) co_return Result<>();
        if (set.version != 0 && set.version != page->version) {
            puller_.pull_soon();
            co_return fail(Code::kConflict, "the certificates changed while they were read");
        }
        set.version = page->version;
        set.challenges = std::move(page->challenges);
        const Result<> opened = take_ticket_keys(std::move(page->ticket_keys), set);
        if (!opened) co_return fail(opened.error());
        for (proto::Certificate& certificate : page->certificates) {
            auto key = box_.open(as_bytes(certificate.key));
            if (!key) co_return fail(key.error().in("the key of " + certificate.name));
            certificate.key = std::string(key->reveal());
            wanted.after = certificate.name;
            gathered.push_back(std::move(certificate));
        }
        if (gathered.size() > kCertificatesMax || (page->has_more && page->certificates.empty())) {
            co_return fail(Code::kInvalid, "more certificates than the {} that there may be",
                           kCertificatesMax);
        }
        if (page->has_more) continue;
        if (page->certificates_version != certificates_version_) {
            set.certificates =
                std::make_shared<const std::vector<proto::Certificate>>(std::move(gathered));
        }
        adopt(std::move(set), page->certificates_version);
        co_return Result<>();
    }
}

Result<> CertificateSource::take_ticket_keys(std::vector<proto::TicketKey> sealed,
                                             CertificateSet& set) const {
    if (sealed.empty()) return {};
    auto keys = std::make_shared<std::vector<tls::TicketKey>>();
    for (proto::TicketKey& taken : sealed) {
        CANDELA_TRY_ASSIGN(Secret secret, box_.open(as_bytes(taken.secret)));
        tls::TicketKey key;
        key.name = std::move(taken.name);
        key.secret = std::move(secret);
        key.from = from_unix_millis(static_cast<int64_t>(taken.from_ms));
        key.until = from_unix_millis(static_cast<int64_t>(taken.until_ms));
        CANDELA_TRY(tls::check_ticket_key(key));
        keys->push_back(std::move(key));
    }
    set.ticket_keys = std::move(keys);
    return {};
}

void CertificateSource::adopt(CertificateSet set, uint64_t certificates_version) {
    certificates_version_ = certificates_version;
    const bool is_new = set.certificates != nullptr;
    if (!is_new) set.certificates = set_->certificates;
    set_ = std::make_shared<const CertificateSet>(std::move(set));
    context_.log.info("certificates_changed", {{"version", set_->version},
                                               {"certificates", set_->certificates->size()},
                                               {"challenges", set_->challenges.size()}});
    on_set_(set_);
    if (is_new) flows_.spawn(keep(set_->certificates));
}

Task<void> CertificateSource::keep(CertificatesPtr certificates) {
    const AsyncMutex::Guard guard = co_await disk_.lock();
    auto write = [file = file_, certificates]() -> Result<> {
        CANDELA_TRY(make_directories(file.parent_path(), 0700));
        return write_file(file, encode_pages(*certificates), 0600);
    };
    const auto written = co_await offload(context_.loop, std::move(write));
    // They are served all the same; only a start without lighthouse would serve older ones.
    if (!written) context_.log.warn("certificates_not_kept", {{"error", written.error()}});
}

}  // namespace candela::gateway
