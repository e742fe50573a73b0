// Writing segments and their index files.

#include <algorithm>

#include "base/random.h"
#include "pack.h"
#include "segments.h"

namespace candela::bus_role {

namespace {

constexpr size_t kFlushBufferBytes = 1024 * 1024;

class Flusher {
public:
    Flusher(Disk& disk, FlushJob& job, uint64_t segment_bytes_max)
        : disk_(disk), job_(job), segment_bytes_max_(segment_bytes_max), random_(job.seed) {}

    Result<> run() {
        CANDELA_TRY(disk_.make_folder(stream_folder(job_.stream)));
        for (const FlushJob::Item& item : job_.items) {
            if (item.record != nullptr) {
                CANDELA_TRY(add(item, item.record));
                continue;
            }
            CANDELA_TRY_ASSIGN(const RecordPtr record, read(item));
            if (record != nullptr) {
                CANDELA_TRY(add(item, record));
            } else {
                job_.places.push_back(SegmentPlace());
            }
        }
        CANDELA_TRY(end_file());
        if (made_file_) CANDELA_TRY(disk_.sync_folder(stream_folder(job_.stream)));
        return {};
    }

private:
    // Null: it does not verify. Most that are moved lie next to each other, and come with one read.
    Result<RecordPtr> read(const FlushJob::Item& item) {
        const auto is_it = [&](const auto& found) { return found.first == item.sequence; };
        auto found = std::find_if(last_read_.begin(), last_read_.end(), is_it);
        if (found == last_read_.end() || item.from.segment != last_segment_) {
            auto read = read_messages(disk_, job_.stream, item.from, item.sequence, item.size);
            if (!read && !is_of_medium(read.error())) return fail(read.error());
            if (!read) return RecordPtr();
            last_read_ = std::move(*read);
            last_segment_ = item.from.segment;
            found = last_read_.begin();
        }
        RecordPtr out = found->second;
        last_read_.erase(last_read_.begin(), found + 1);
        return out;
    }

    Result<> add(const FlushJob::Item& item, const RecordPtr& record) {
        RecordView view;
        if (!decode_record(record->body, view)) {
            job_.places.push_back(SegmentPlace());
            return {};
        }
        if (file_ == nullptr || at() >= segment_bytes_max_) CANDELA_TRY(next_file());
        const uint64_t block = item.sequence >> kBlockBits;
        if (!chunk_.is_empty() && chunk_.block() != block) end_chunk();
        if (chunk_.is_empty()) chunk_.begin(block, job_.segment, static_cast<uint32_t>(at()));
        const auto offset = static_cast<uint32_t>(at());
        job_.places.push_back({job_.segment, offset});
        chunk_.add({item.sequence, view.timestamp, 0, item.size, offset, item.previous},
                   view.subject);
        if (job_.is_packed) {
            packer_.add(*record);
            if (packer_.bytes() >= kPackBytesMax) end_pack();
        } else {
            append_record(buffer_, *record, salt_, 0);
        }
        if (buffer_.size() >= kFlushBufferBytes) return write();
        return {};
    }
    uint64_t at() const { return job_.file_bytes + buffer_.size(); }

    void end_pack() {
        if (packer_.bytes() != 0) append_record(buffer_, *packer_.finish(job_.stream), salt_, 0);
    }
    void end_chunk() {
        end_pack();
        if (chunk_.is_empty()) return;
        const uint64_t block = chunk_.block();
        const size_t begin = index_buffer_.size();
        append_record(index_buffer_, *chunk_.finish(job_.stream, static_cast<uint32_t>(at())),
                      salt_, 0);
        ChunkRef ref;
        ref.segment = job_.segment;
        ref.offset = static_cast<uint32_t>(job_.index_bytes + begin);
        ref.size = static_cast<uint32_t>(index_buffer_.size() - begin);
        job_.chunks.emplace_back(block, ref);
    }

    Result<> next_file() {
        CANDELA_TRY(end_file());
        if (job_.segment != 0 && job_.file_bytes != 0 && job_.file_bytes < segment_bytes_max_) {
            CANDELA_TRY_ASSIGN(file_, disk_.open(segment_path(job_.stream, job_.segment), false));
            Result<FileSalt> salt = segment_salt(disk_, job_.stream, *file_, job_.segment);
            if (salt) {
                salt_ = *salt;
                CANDELA_TRY(open_index());
                // What a flush that failed had left.
                return file_->truncate(job_.file_bytes);
            }
            if (!is_of_medium(salt.error())) return fail(salt.error());
        }
        ++job_.segment;
        CANDELA_TRY_ASSIGN(file_, disk_.open(segment_path(job_.stream, job_.segment), true));
        CANDELA_TRY(file_->truncate(0));
        made_file_ = true;
        salt_.value = random_.next();
        buffer_ = file_header(salt_, job_.segment);
        job_.file_bytes = 0;
        job_.index_bytes = 0;
        return open_index();
    }
    // One that is missing or rotten is begun: its gap is seen at the next start, and filled.
    Result<> open_index() {
        CANDELA_TRY_ASSIGN(index_, disk_.open(index_path(job_.stream, job_.segment), true));
        if (job_.index_bytes == 0) made_file_ = true;
        CANDELA_TRY(index_->truncate(job_.index_bytes));
        if (job_.index_bytes == 0) index_buffer_ = file_header(salt_, job_.segment);
        return {};
    }
    Result<> write() {
        CANDELA_TRY(file_->write(job_.file_bytes, buffer_));
        job_.file_bytes += buffer_.size();
        buffer_.clear();
        return {};
    }
    // The index never speaks of what is not on the medium.
    Result<> end_file() {
        if (file_ == nullptr) return {};
        end_chunk();
        CANDELA_TRY(write());
        CANDELA_TRY(file_->sync());
        CANDELA_TRY(index_->write(job_.index_bytes, index_buffer_));
        CANDELA_TRY(index_->sync());
        job_.index_bytes += index_buffer_.size();
        index_buffer_.clear();
        SegmentInfo& info = job_.files[job_.segment];
        info.file_bytes = job_.file_bytes;
        info.index_bytes = job_.index_bytes;
        file_.reset();
        index_.reset();
        return {};
    }

    Disk& disk_;
    FlushJob& job_;
    const uint64_t segment_bytes_max_;
    SeededRandom random_;
    std::unique_ptr<DiskFile> file_;
    std::unique_ptr<DiskFile> index_;
    FileSalt salt_;
    std::string buffer_;
    std::string index_buffer_;
    ChunkWriter chunk_;
    Packer packer_;
    std::vector<std::pair<uint64_t, RecordPtr>> last_read_;
    uint32_t last_segment_ = 0;
    bool made_file_ = false;
};

}  // namespace

Result<> flush(Disk& disk, FlushJob& job, uint64_t segment_bytes_max) {
    return Flusher(disk, job, segment_bytes_max).run();
}

}  // namespace candela::bus_role
