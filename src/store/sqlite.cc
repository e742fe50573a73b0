#include "store/sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <map>

#include "loop/file.h"

namespace candela::store {

namespace {

constexpr int kBusyTimeoutMs = 5000;
constexpr size_t kStatementsMax = 256;  // prepared ones kept; beyond that they are made anew

class Sqlite final : public Connection {
public:
    Sqlite(sqlite3* db, FileLock lock) : lock_(std::move(lock)), db_(db) {}
    ~Sqlite() override {
        for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
        sqlite3_close(db_);
    }

    Result<uint64_t> execute(std::string_view sql, std::span<const Value> parameters) override {
        CANDELA_TRY(step_all(sql, parameters, nullptr));
        return static_cast<uint64_t>(sqlite3_changes64(db_));
    }
    Result<std::vector<Row>> query(std::string_view sql,
                                   std::span<const Value> parameters) override {
        std::vector<Row> rows;
        CANDELA_TRY(step_all(sql, parameters, &rows));
        return rows;
    }
    Result<> execute_script(std::string_view sql) override {
        const std::string text(sql);
        if (sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
            return fail(last_error());
        }
        return {};
    }
    Result<> maintain() override {
        return execute_script(
            "PRAGMA incremental_vacuum(256); PRAGMA optimize; PRAGMA wal_checkpoint(PASSIVE)");
    }

    Result<> prepare_file();

protected:
    // IMMEDIATE: a transaction that will write takes its lock at once rather than fail halfway.
    Result<> begin() override { return execute_script("BEGIN IMMEDIATE"); }
    Result<> commit() override { return execute_script("COMMIT"); }
    void rollback() override {
        // After some errors (disk full) SQLite has rolled back by itself.
        if (sqlite3_get_autocommit(db_) == 0) {
            sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
        }
    }

private:
    Error last_error() const;
    Result<sqlite3_stmt*> prepare(std::string_view sql);
    Result<> bind(sqlite3_stmt* statement, std::span<const Value> parameters) const;
    Result<> step_all(std::string_view sql, std::span<const Value> parameters,
                      std::vector<Row>* rows);
    Result<bool> passes_quick_check();

    FileLock lock_;
    sqlite3* db_;
    std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

Error Sqlite::last_error() const {
    const char* message = sqlite3_errmsg(db_);
    switch (sqlite3_errcode(db_) & 0xff) {
        case SQLITE_CONSTRAINT: return Error(Code::kConflict, message);
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return Error(Code::kUnreachable, message);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return Error(Code::kCorrupt, message);
        case SQLITE_FULL: return Error(Code::kIo, message, ENOSPC);
        case SQLITE_IOERR:
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
        case SQLITE_PERM: return Error(Code::kIo, message, sqlite3_system_errno(db_));
        case SQLITE_TOOBIG: return Error(Code::kExhausted, message);
        default: return Error(Code::kInternal, message);
    }
}

Result<sqlite3_stmt*> Sqlite::prepare(std::string_view sql) {
    if (auto known = statements_.find(sql); known != statements_.end()) return known->second;
    if (statements_.size() >= kStatementsMax) {
        for (auto& [text, statement] : statements_) sqlite3_finalize(statement);
        statements_.clear();
    }
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    if (sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                           &statement, &tail) != SQLITE_OK) {
        return fail(last_error().in(sql));
    }
    statements_.emplace(std::string(sql), statement);
    return statement;
}

Result<> Sqlite::bind(sqlite3_stmt* statement, std::span<const Value> parameters) const {
    for (size_t i = 0; i < parameters.size(); ++i) {
        // "$2" is a name to SQLite and a number to PostgreSQL; asking for the name makes them
        // agree.
        const std::string name = fmt::format("${}", i + 1);
        const int index = sqlite3_bind_parameter_index(statement, name.c_str());
        if (index == 0) continue;  // given and not used
        int code = SQLITE_OK;
        const Value& value = parameters[i];
        if (const auto* integer = std::get_if<int64_t>(&value)) {
            code = sqlite3_bind_int64(statement, index, *integer);
        } else if (const auto* number = std::get_if<double>(&value)) {
            code = sqlite3_bind_double(statement, index, *number);
        } else if (const auto* text = std::get_if<std::string>(&value)) {
            code = sqlite3_bind_text64(statement, index, text->data(), text->size(),
                                       SQLITE_TRANSIENT, SQLITE_UTF8);
        } else if (const auto* blob = std::get_if<Blob>(&value)) {
            code = sqlite3_bind_blob64(statement, index, blob->bytes.data(), blob->bytes.size(),
                                       SQLITE_TRANSIENT);
        } else {
            code = sqlite3_bind_null(statement, index);
        }
        if (code != SQLITE_OK) return fail(last_error());
    }
    return {};
}

Row read_row(sqlite3_stmt* statement) {
    std::vector<Value> values;
    const int columns = sqlite3_column_count(statement);
    values.reserve(static_cast<size_t>(columns));
    for (int i = 0; i < columns; ++i) {
        const auto size = [&] { return static_cast<size_t>(sqlite3_column_bytes(statement, i)); };
        switch (sqlite3_column_type(statement, i)) {
            case SQLITE_INTEGER:
                values.emplace_back(static_cast<int64_t>(sqlite3_column_int64(statement, i)));
                break;
            case SQLITE_FLOAT: values.emplace_back(sqlite3_column_double(statement, i)); break;
            case SQLITE_TEXT: {
                const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
                values.emplace_back(std::string(text, size()));
                break;
            }
            case SQLITE_BLOB: {
                const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, i));
                values.emplace_back(
                    Blob(bytes == nullptr ? std::string() : std::string(bytes, size())));
                break;
            }
            default: values.emplace_back();
        }
    }
    return Row(std::move(values));
}

Result<> Sqlite::step_all(std::string_view sql, std::span<const Value> parameters,
                          std::vector<Row>* rows) {
    CANDELA_TRY_ASSIGN(sqlite3_stmt * statement, prepare(sql));
    auto work = [&]() -> Result<> {
        CANDELA_TRY(bind(statement, parameters));
        while (true) {
            const int code = sqlite3_step(statement);
            if (code == SQLITE_DONE) return {};
            if (code != SQLITE_ROW) return fail(last_error());
            if (rows == nullptr) continue;
            if (rows->size() >= kRowsMax) {
                return fail(Code::kExhausted, "a query gives more than {} rows", kRowsMax);
            }
            rows->push_back(read_row(statement));
        }
    };
    auto result = work();
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result;
}

Result<bool> Sqlite::passes_quick_check() {
    CANDELA_TRY_ASSIGN(const auto rows, query("PRAGMA quick_check(1)", {}));
    return rows.size() == 1 && rows[0].text(0) == "ok";
}

Result<> Sqlite::prepare_file() {
    sqlite3_busy_timeout(db_, kBusyTimeoutMs);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    // auto_vacuum counts only before the first table is made, and before the journal mode is set.
    // The log is capped, so that a crash in a busy hour leaves no gigabyte behind.
    CANDELA_TRY(execute_script(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 16777216;"
        "PRAGMA cache_size = -2000"));
    auto sound = passes_quick_check();
    if (sound && *sound) return {};
    // Indexes can be made anew from the tables; nothing else is invented.
    if (sound && execute_script("REINDEX")) {
        sound = passes_quick_check();
        if (sound && *sound) return {};
    }
    return fail(Code::kCorrupt, "the file is damaged; stop the node, put a backup in its place{}",
                sound ? "" : fmt::format(" ({})", sound.error().message()));
}

}  // namespace

Result<std::unique_ptr<Connection>> open_sqlite(const std::string& path) {
    CANDELA_TRY_ASSIGN(FileLock lock, FileLock::acquire(path + ".lock"));
    sqlite3* db = nullptr;
    const int code =
        sqlite3_open_v2(path.c_str(), &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    auto connection = std::make_unique<Sqlite>(db, std::move(lock));
    if (code != SQLITE_OK) return fail(Code::kIo, "{}", sqlite3_errstr(code));
    ::chmod(path.c_str(), 0600);
    CANDELA_TRY(connection->prepare_file());
    return connection;
}

Result<> copy_sqlite(const std::string& path, const std::string& to) {
    constexpr int kWaitMillis = 10'000;  // for a checkpoint that has the file
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &opened,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(opened, sqlite3_close_v2);
    if (code != SQLITE_OK) return fail(Code::kIo, "{}: {}", path, sqlite3_errstr(code));
    sqlite3_busy_timeout(db.get(), kWaitMillis);
    sqlite3_stmt* prepared = nullptr;
    int status = sqlite3_prepare_v2(db.get(), "VACUUM INTO $1", -1, &prepared, nullptr);
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared,
                                                                          sqlite3_finalize);
    if (status == SQLITE_OK)
        status = sqlite3_bind_text(prepared, 1, to.c_str(), -1, SQLITE_TRANSIENT);
    if (status == SQLITE_OK) status = sqlite3_step(prepared);
    if (status == SQLITE_DONE) return {};
    if (status == SQLITE_FULL)
        return fail(Error(Code::kIo, fmt::format("{}: the disk is full", to), ENOSPC));
    return fail(Code::kIo, "copying {}: {}", path, sqlite3_errmsg(db.get()));
}

}  // namespace candela::store
