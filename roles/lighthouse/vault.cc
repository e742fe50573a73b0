#include "vault.h"

#include <array>

#include "base/check.h"
#include "base/encoding.h"
#include "base/text.h"
#include "crypto/entropy.h"
#include "crypto/hash.h"
#include "loop/file.h"

namespace candela::lighthouse {

namespace {

constexpr size_t kSeedBytes = 32;

Result<Secret> load_or_make(const std::filesystem::path& file) {
    auto text = read_file(file, 4096);
    if (text) {
        const Secret kept(std::move(*text));
        std::string_view line = kept.reveal();
        while (line.ends_with('\n')) line.remove_suffix(1);
        const auto seed = base64_decode(line);
        if (!seed || seed->size() != kSeedBytes) {
            return fail(Code::kCorrupt, "{} is not a sealing key", file.string());
        }
        return Secret(std::string_view(*seed));
    }
    if (text.error().code() != Code::kNotFound) return fail(text.error());
    std::array<uint8_t, kSeedBytes> seed{};
    crypto::random_bytes(seed);
    CANDELA_TRY(make_directories(file.parent_path(), 0700));
    CANDELA_TRY(write_file(file, base64_encode(seed) + "\n", 0600));
    return Secret(as_text(seed));
}

}  // namespace

Vault::Vault(Loop& loop, const std::filesystem::path& folder)
    : loop_(loop), file_(folder / "sealing.key") {}

Task<Result<>> Vault::open() {
    auto work = [file = file_] { return load_or_make(file); };
    auto opened = co_await offload(loop_, std::move(work));
    if (!opened) co_return fail(opened.error());
    CO_TRY_ASSIGN(crypto::BoxKey key, crypto::BoxKey::from_seed(as_bytes(opened->reveal())));
    key_.emplace(std::move(key));
    seed_ = std::move(*opened);
    co_return Result<>();
}

Secret Vault::derive_key(std::string_view purpose) const {
    CANDELA_CHECK(key_.has_value());
    const crypto::Digest key = crypto::keyed_hash(seed_, as_bytes(purpose));
    return Secret(as_text(key));
}

Result<std::string> Vault::seal(const Secret& plain) const {
    CANDELA_CHECK(key_.has_value());
    CANDELA_TRY_ASSIGN(const std::string sealed,
                       crypto::seal(key_->public_key(), as_bytes(plain.reveal())));
    return base64_encode(as_bytes(sealed));
}

Result<Secret> Vault::unseal(std::string_view sealed) const {
    CANDELA_CHECK(key_.has_value());
    CANDELA_TRY_ASSIGN(const std::string bytes, base64_decode(sealed));
    return key_->open(as_bytes(bytes));
}

}  // namespace candela::lighthouse
