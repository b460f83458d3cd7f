// What the C++ tests need: a check that says where and what, and a way to run them by name.
#ifndef LCP_TVM_TESTS_CHECK_H_
#define LCP_TVM_TESTS_CHECK_H_

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

/*! \brief End the program unless the condition holds; what follows it in the macro is printed. */
#define CHECK(condition, ...) \
  lcp_tvm::tests::Check((condition), #condition, __FILE__, __LINE__, std::string{__VA_ARGS__})

#define CHECK_EQ(left, right) \
  lcp_tvm::tests::CheckEqual((left), (right), #left " == " #right, __FILE__, __LINE__)

namespace lcp_tvm::tests {

inline void Check(bool holds, const char* text, const char* file, int line,
                  const std::string& more) {
  if (!holds) {
    std::cerr << file << ":" << line << ": not true: " << text << " " << more << "\n";
    std::abort();
  }
}

inline std::string Show(const std::string& text) { return "'" + text + "'"; }
template <typename T>
std::string Show(T number) {
  return std::to_string(number);
}

template <typename Left, typename Right>
void CheckEqual(const Left& left, const Right& right, const char* text, const char* file,
                int line) {
  Check(left == right, text, file, line, "(" + Show(left) + ", " + Show(right) + ")");
}

struct Test {
  const char* name;
  void (*run)();
};

/*! \brief Run all tests, or those named on the command line. */
inline int Main(const std::vector<Test>& tests, int argc, char** argv) {
  const std::vector<std::string> wanted(argv + 1, argv + argc);
  int runs = 0;
  for (const Test& test : tests) {
    bool named = wanted.empty();
    for (const std::string& name : wanted) {
      named = named || name == test.name;
    }
    if (named) {
      std::cout << test.name << "\n" << std::flush;
      test.run();
      ++runs;
    }
  }
  return runs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace lcp_tvm::tests
#endif  // LCP_TVM_TESTS_CHECK_H_
