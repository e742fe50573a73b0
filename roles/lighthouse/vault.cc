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
constexpr size_t kFileBytesMax = 4096;
constexpr std::string_view kOrigin = "origin ";

struct KeyFile {
    std::vector<Secret> seeds;
    Secret origin;
};

Secret make_seed() {
    std::array<uint8_t, kSeedBytes> seed{};
    crypto::random_bytes(seed);
    return Secret(as_text(seed));
}

std::string line_of(const Secret& seed) { return base64_encode(as_bytes(seed.reveal())) + "\n"; }

// Newest key first, then the origin where it is not the last of them.
Result<> save(const std::filesystem::path& file, const KeyFile& keys) {
    std::string text;
    for (const Secret& seed : keys.seeds) text += line_of(seed);
    if (keys.origin.reveal() != keys.seeds.back().reveal()) {
        text += std::string(kOrigin) + line_of(keys.origin);
    }
    const Secret kept(std::move(text));
    return write_file(file, kept.reveal(), 0600);
}

Result<KeyFile> read(const std::filesystem::path& file, const Secret& text) {
    KeyFile keys;
    for (std::string_view line : split(text.reveal(), '\n')) {
        if (line.empty()) continue;
        const bool is_origin = line.starts_with(kOrigin);
        if (is_origin) line.remove_prefix(kOrigin.size());
        auto seed = base64_decode(line);
        if (!seed || seed->size() != kSeedBytes) {
            return fail(Code::kCorrupt, "{} is not a sealing key", file.string());
        }
        Secret kept(std::move(*seed));
        if (is_origin) {
            keys.origin = std::move(kept);
        } else {
            keys.seeds.push_back(std::move(kept));
        }
    }
    if (keys.seeds.empty()) return fail(Code::kCorrupt, "{} has no sealing key", file.string());
    if (keys.origin.empty()) keys.origin = keys.seeds.back().clone();
    return keys;
}

Result<KeyFile> load_or_make(const std::filesystem::path& file) {
    auto text = read_file(file, kFileBytesMax);
    if (text) return read(file, Secret(std::move(*text)));
    if (text.error().code() != Code::kNotFound) return fail(text.error());
    KeyFile keys;
    keys.seeds.push_back(make_seed());
    keys.origin = keys.seeds.back().clone();
    CANDELA_TRY(make_directories(file.parent_path(), 0700));
    CANDELA_TRY(save(file, keys));
    return keys;
}

}  // namespace

Vault::Vault(Loop& loop, const std::filesystem::path& folder)
    : loop_(loop), file_(folder / "sealing.key") {}

Task<Result<>> Vault::open() {
    auto work = [file = file_] { return load_or_make(file); };
    auto opened = co_await offload(loop_, std::move(work));
    if (!opened) co_return fail(opened.error());
    for (const Secret& seed : opened->seeds) {
        CO_TRY_ASSIGN(crypto::BoxKey key, crypto::BoxKey::from_seed(as_bytes(seed.reveal())));
        keys_.push_back(std::move(key));
    }
    seeds_ = std::move(opened->seeds);
    origin_ = std::move(opened->origin);
    co_return Result<>();
}

Task<Result<>> Vault::rotate() {
    CANDELA_CHECK(!keys_.empty());
    auto next = std::make_shared<KeyFile>();
    next->seeds.push_back(make_seed());
    for (const Secret& seed : seeds_) {
        if (next->seeds.size() < kKeysMax) next->seeds.push_back(seed.clone());
    }
    next->origin = origin_.clone();
    CO_TRY_ASSIGN(crypto::BoxKey key,
                  crypto::BoxKey::from_seed(as_bytes(next->seeds.front().reveal())));
    // On disk before anything is sealed with it.
    auto work = [file = file_, next] { return save(file, *next); };
    CO_TRY(co_await offload(loop_, std::move(work)));
    keys_.insert(keys_.begin(), std::move(key));
    if (keys_.size() > kKeysMax) keys_.pop_back();
    seeds_ = std::move(next->seeds);
    co_return Result<>();
}

Secret Vault::derive_key(std::string_view purpose) const {
    CANDELA_CHECK(!keys_.empty());
    const crypto::Digest key = crypto::keyed_hash(origin_, as_bytes(purpose));
    return Secret(as_text(key));
}

Result<std::string> Vault::seal(const Secret& plain) const {
    CANDELA_CHECK(!keys_.empty());
    CANDELA_TRY_ASSIGN(const std::string sealed,
                       crypto::seal(keys_.front().public_key(), as_bytes(plain.reveal())));
    return base64_encode(as_bytes(sealed));
}

Result<Secret> Vault::unseal(std::string_view sealed) const {
    CANDELA_CHECK(!keys_.empty());
    CANDELA_TRY_ASSIGN(const std::string bytes, base64_decode(sealed));
    for (const crypto::BoxKey& key : keys_) {
        auto opened = key.open(as_bytes(bytes));
        if (opened || opened.error().code() != Code::kCorrupt || &key == &keys_.back())
            return opened;
    }
    return fail(Code::kCorrupt, "sealed with another key");
}

bool Vault::is_stale(std::string_view sealed) const {
    CANDELA_CHECK(!keys_.empty());
    const auto bytes = base64_decode(sealed);
    return bytes && !keys_.front().open(as_bytes(*bytes));
}

}  // namespace candela::lighthouse
