// Physically contiguous memory: what the accelerator reads and writes.
//
// A board has one of several sources of it, depending on its image. The CPU's cache lies between:
// what the CPU wrote is flushed before the accelerator reads it, what the accelerator wrote is
// invalidated before the CPU reads it.
#ifndef LCP_TVM_DRIVER_CONTIGUOUS_H_
#define LCP_TVM_DRIVER_CONTIGUOUS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "root.h"

namespace lcp_tvm::driver {

/*! \brief A stretch of memory, mapped; it goes back when this goes. Sources outlive it. */
class Contiguous {
 public:
  Contiguous(const Contiguous&) = delete;
  Contiguous& operator=(const Contiguous&) = delete;
  virtual ~Contiguous() = default;

  uint8_t* data() const { return data_; }
  uint64_t physical() const { return physical_; }

  /*! \brief Of [offset, offset + size), which the caller keeps inside. */
  virtual void Flush(uint64_t offset, uint64_t size) = 0;
  virtual void Invalidate(uint64_t offset, uint64_t size) = 0;

 protected:
  Contiguous(uint8_t* data, uint64_t physical) : data_(data), physical_(physical) {}

 private:
  uint8_t* const data_;
  const uint64_t physical_;
};

class ContiguousSource {
 public:
  ContiguousSource() = default;
  ContiguousSource(const ContiguousSource&) = delete;
  ContiguousSource& operator=(const ContiguousSource&) = delete;
  virtual ~ContiguousSource() = default;

  virtual const char* name() const = 0;
  /*! \brief Null when there is not so much; the start is a page's. */
  virtual std::unique_ptr<Contiguous> Allocate(uint64_t size) = 0;
  /*! \brief What to do when memory is short, as a sentence's end. */
  virtual const char* cure() const = 0;
};

/*! \brief The source of one kind, or null and why not. */
using OpenSource = std::unique_ptr<ContiguousSource> (*)(const Root& root, std::string* why);

/*! \brief PYNQ's libcma, in images up to 2.6. */
std::unique_ptr<ContiguousSource> OpenCma(const Root& root, std::string* why);
/*! \brief Buffer objects of XRT, in PYNQ's images from 2.7 on. */
std::unique_ptr<ContiguousSource> OpenXrt(const Root& root, std::string* why);
/*! \brief The kernel module u-dma-buf, in any image. */
std::unique_ptr<ContiguousSource> OpenUdmabuf(const Root& root, std::string* why);

/*!
 * \brief The first source that this board has, or the named one.
 * \param name "auto", "cma", "xrt" or "udmabuf".
 * \throws [vta-board] saying of each why not.
 */
std::unique_ptr<ContiguousSource> OpenContiguous(const Root& root, const std::string& name);

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_CONTIGUOUS_H_
