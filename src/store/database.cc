#include "store/database.h"

#include "store/sqlite.h"

namespace candela::store {

namespace {

const Value kNull;
const std::string kEmpty;

Result<std::unique_ptr<Connection>> open_connection(const std::string& dsn) {
    constexpr std::string_view kSqlite = "sqlite:";
    std::string_view path = dsn;
    if (path.starts_with(kSqlite)) {
        path.remove_prefix(kSqlite.size());
    } else if (const size_t colon = path.find("://"); colon != std::string_view::npos) {
        return fail(Code::kUnsupported,
                    "databases of the kind '{}' are not built in; use sqlite:PATH",
                    path.substr(0, colon));
    }
    return open_sqlite(std::string(path));
}

}  // namespace

const Value& Row::at(size_t column) const {
    return column < values_.size() ? values_[column] : kNull;
}
int64_t Row::integer(size_t column) const {
    const auto* value = std::get_if<int64_t>(&at(column));
    return value != nullptr ? *value : 0;
}
double Row::number(size_t column) const {
    if (const auto* value = std::get_if<double>(&at(column))) return *value;
    return static_cast<double>(integer(column));
}
const std::string& Row::text(size_t column) const {
    const auto* value = std::get_if<std::string>(&at(column));
    return value != nullptr ? *value : kEmpty;
}
const std::string& Row::blob(size_t column) const {
    const auto* value = std::get_if<Blob>(&at(column));
    return value != nullptr ? value->bytes : kEmpty;
}

Result<> migrate(Connection& connection, std::span<const Migration> migrations) {
    CANDELA_TRY(connection.execute_script(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"));
    CANDELA_TRY_ASSIGN(const auto rows,
                       connection.query("SELECT COALESCE(MAX(version), 0) FROM schema_version"));
    const int64_t present = rows.empty() ? 0 : rows[0].integer(0);
    const int64_t newest = migrations.empty() ? 0 : migrations.back().version;
    if (present > newest) {
        return fail(Code::kUnsupported,
                    "the database has schema {}, this candela knows {}: it was made by a newer one",
                    present, newest);
    }
    for (const Migration& migration : migrations) {
        if (migration.version <= present) continue;
        auto step = [&]() -> Result<> {
            CANDELA_TRY(connection.execute_script(migration.sql));
            CANDELA_TRY(connection.execute("INSERT INTO schema_version (version) VALUES ($1)",
                                           {int64_t{migration.version}}));
            return {};
        };
        auto done = connection.transaction(step);
        if (!done) return std::move(done).in(fmt::format("schema step {}", migration.version));
    }
    return {};
}

Task<Result<std::unique_ptr<Database>>> Database::open(Loop& loop, std::string dsn,
                                                       std::span<const Migration> migrations) {
    auto work = [dsn, migrations]() -> Result<std::unique_ptr<Connection>> {
        auto connection = open_connection(dsn);
        if (!connection) return fail(connection.error().in(dsn));
        auto migrated = migrate(**connection, migrations);
        if (!migrated) return fail(migrated.error().in(dsn));
        return connection;
    };
    auto connection = co_await offload(loop, std::move(work));
    if (!connection) co_return fail(std::move(connection).error());
    auto database = std::make_unique<Database>(loop);
    Database* self = database.get();
    self->connection_ = std::move(*connection);
    self->thread_ = std::thread([self] { self->serve(); });
    co_return database;
}

Database::Database(Loop& loop) : loop_(loop) {}

Database::~Database() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

bool Database::enqueue(Job job) {
    {
        const std::lock_guard lock(mutex_);
        if (queue_.size() >= kQueueMax) return false;
        queue_.push_back(std::move(job));
    }
    wake_.notify_one();
    return true;
}

void Database::serve() {
    while (true) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (stopping_) return;
            job = std::move(queue_.front());
            queue_.pop_front();
        }
        job(*connection_);
    }
}

}  // namespace candela::store
