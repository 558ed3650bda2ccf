// The peer of event-loop.bench.ts: the same M/M/c queue, with the same generator, on
// std::priority_queue. Arguments: servers, load, jobs. Prints: events, nanoseconds, total wait.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <queue>
#include <vector>

struct Event {
  double at;
  uint64_t rank;  // priority and sequence, folded as in sim/heap.ts
  int32_t kind, a, b;
};

struct Later {
  bool operator()(const Event& x, const Event& y) const {
    return x.at > y.at || (x.at == y.at && x.rank > y.rank);
  }
};

static uint32_t state = 12345;

static uint32_t next_word() {
  state += 0x6d2b79f5u;
  uint32_t t = (state ^ (state >> 15)) * (state | 1u);
  t ^= t + (t ^ (t >> 7)) * (t | 61u);
  return t ^ (t >> 14);
}

static double exponential(double mean) {
  return -std::log((next_word() + 0.5) / 4294967296.0) * mean;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int servers = std::atoi(argv[1]);
  const double mean_gap = 1.0 / (servers * std::atof(argv[2]));
  const int jobs = std::atoi(argv[3]);
  const auto begin = std::chrono::steady_clock::now();

  std::priority_queue<Event, std::vector<Event>, Later> heap;
  std::deque<double> waiting;
  uint64_t sequence = 0;
  int busy = 0, arrived = 0;
  double total_wait = 0;
  long events = 0;
  auto push = [&](double at, uint64_t priority, int32_t kind, int32_t a, int32_t b) {
    heap.push({at, (priority << 46) + sequence++, kind, a, b});
  };
  push(exponential(mean_gap), 1, 0, 0, 0);
  while (!heap.empty()) {
    const Event event = heap.top();
    heap.pop();
    events++;
    if (event.kind == 0) {
      if (++arrived < jobs) push(event.at + exponential(mean_gap), 1, 0, arrived, 0);
      if (busy < servers) {
        busy++;
        push(event.at + exponential(1), 0, 1, event.a, 0);
      } else {
        waiting.push_back(event.at);
      }
    } else if (!waiting.empty()) {
      total_wait += event.at - waiting.front();
      waiting.pop_front();
      push(event.at + exponential(1), 0, 1, event.a, 0);
    } else {
      busy--;
    }
  }
  const auto end = std::chrono::steady_clock::now();
  const long ns = std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
  std::printf("%ld %ld %.17g\n", events, ns, total_wait);
}
