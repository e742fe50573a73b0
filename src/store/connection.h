#pragma once

// One SQL connection as the work on a database's thread sees it (database.h). SQL is written for
// SQLite and PostgreSQL alike: parameters are $1, $2, …; types INTEGER (BIGINT in keys that need
// it), TEXT and BLOB; upserts by ON CONFLICT. A connection is used by one thread at a time.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace candela::store {

struct Blob {
    std::string bytes;
    bool operator==(const Blob&) const = default;
};

using Value = std::variant<std::monostate, int64_t, double, std::string, Blob>;

// A row of a result. Asking for a column as another type gives 0 or "" (as SQL's NULL does): what
// the columns hold is the schema's promise, and a database that breaks it is refused at start.
class Row {
public:
    explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
    size_t size() const { return values_.size(); }
    bool is_null(size_t column) const { return std::holds_alternative<std::monostate>(at(column)); }
    int64_t integer(size_t column) const;
    double number(size_t column) const;
    const std::string& text(size_t column) const;
    const std::string& blob(size_t column) const;

private:
    const Value& at(size_t column) const;
    std::vector<Value> values_;
};

class Connection {
public:
    // A query that would give more rows is kExhausted: ask in pages.
    static constexpr size_t kRowsMax = 1'000'000;

    virtual ~Connection() = default;

    // One statement; returns how many rows it changed. kConflict where a constraint refuses it, kIo
    // where the disk does (full, say), kCorrupt where the file is damaged.
    virtual Result<uint64_t> execute(std::string_view sql, std::span<const Value> parameters) = 0;
    virtual Result<std::vector<Row>> query(std::string_view sql,
                                           std::span<const Value> parameters) = 0;
    // Several statements separated by semicolons, without parameters: migrations.
    virtual Result<> execute_script(std::string_view sql) = 0;
    // Gives space back to the disk and keeps the log short; quick, to be called now and then.
    virtual Result<> maintain() = 0;

    Result<uint64_t> execute(std::string_view sql, std::initializer_list<Value> parameters = {}) {
        return execute(sql, std::span<const Value>(parameters.begin(), parameters.size()));
    }
    Result<std::vector<Row>> query(std::string_view sql,
                                   std::initializer_list<Value> parameters = {}) {
        return query(sql, std::span<const Value>(parameters.begin(), parameters.size()));
    }

    // Runs `work` (Result<T>()) between BEGIN and COMMIT; a failure of it or of the commit undoes
    // all.
    template <class Work>
    auto transaction(Work work) -> decltype(work()) {
        if (auto begun = begin(); !begun) return fail(std::move(begun).error());
        auto result = work();
        if (!result) {
            rollback();
            return result;
        }
        if (auto committed = commit(); !committed) {
            rollback();
            return fail(std::move(committed).error());
        }
        return result;
    }

protected:
    virtual Result<> begin() = 0;
    virtual Result<> commit() = 0;
    virtual void rollback() = 0;
};

}  // namespace candela::store
