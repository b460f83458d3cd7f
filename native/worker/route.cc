#include "route.h"

#include <algorithm>
#include <limits>

#include "json_values.h"

namespace lcp_tvm::worker {

namespace {

Policy PolicyOf(const std::string& text) {
  if (text == "static") {
    return Policy::kStatic;
  }
  if (text == "sharing") {
    return Policy::kSharing;
  }
  if (text == "stealing") {
    return Policy::kStealing;
  }
  FailNode("route: policy '" + text + "'; known are static, sharing, stealing");
}

}  // namespace

Route ReadRoute(const std::string& text, const Program& program) {
  const auto json = vta::JsonReader::Parse(text, "route", FailNode);
  const auto last = static_cast<int64_t>(program.nodes.size()) - 1;
  Route route;
  route.id = static_cast<uint32_t>(json.Int("id", 0, std::numeric_limits<uint32_t>::max()));
  route.source = static_cast<int>(json.Int("source", 0, last));
  route.policy = PolicyOf(json.Text("policy"));
  const bool is_stealing = route.policy == Policy::kStealing;
  for (const int64_t place : json.Ints("places", is_stealing ? kAnywhere : 0, last)) {
    route.places.push_back(static_cast<int>(place));
  }
  if (route.places.size() != program.tasks.size()) {
    FailNode("route: " + std::to_string(route.places.size()) + " places for " +
             std::to_string(program.tasks.size()) + " tasks");
  }
  route.takes.resize(program.nodes.size());
  for (const int64_t device : json.Ints("devices", 0, last)) {
    route.takes[device] = true;
  }
  const bool has_open = std::count(route.places.begin(), route.places.end(), kAnywhere) > 0;
  if (has_open && std::count(route.takes.begin(), route.takes.end(), true) == 0) {
    FailNode("route: it has tasks for whoever is free, and no devices");
  }
  return route;
}

}  // namespace lcp_tvm::worker
