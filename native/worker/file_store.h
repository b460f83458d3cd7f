// Files by their SHA-256 in a folder, kept between sessions.
//
// A file is written under another name and gets its own when its hash is right, so a name that is
// there stands for the whole file. When the folder would grow beyond kMaxStore, the files that were
// longest not used go; a library that is loaded from one lives on. A file on its way goes when
// nothing has come for an hour. Throws ffi errors.
#ifndef LCP_TVM_WORKER_FILE_STORE_H_
#define LCP_TVM_WORKER_FILE_STORE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace lcp_tvm::worker {

/*! \brief Most bytes of all files of a folder; a larger file is refused. */
constexpr uint64_t kMaxStore = uint64_t{1} << 30;

class FileStore {
 public:
  /*! \brief `folder` is made when the first file comes. */
  explicit FileStore(std::string folder);
  ~FileStore();

  bool Has(const std::string& sha256) const;

  /*!
   * \brief Take a piece of a file of `size` bytes; the last one checks the hash.
   *
   * One file comes at a time: a piece at offset 0 begins it, in place of one that is not complete.
   * An error forgets what has come of it.
   */
  void Put(const std::string& sha256, uint64_t offset, uint64_t size, const char* data,
           uint64_t bytes);

  /*! \brief Path of a file that is held; it counts as used now. */
  std::string Use(const std::string& sha256) const;

 private:
  class Upload;
  std::string PathOf(const std::string& sha256) const;
  void MakeRoom(uint64_t size) const;

  const std::string folder_;
  std::mutex mutex_;
  std::unique_ptr<Upload> upload_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_FILE_STORE_H_
