// What is handed over as data: what every call says of what it cannot use.
#include <tutti/tutti.hpp>

#include <array>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using numbers = std::vector<float>;

/// Has a vector in it: no copy of its bytes is another one.
struct owner {
  std::vector<int> all;
};

} // namespace

void all_reduces(tutti::self& comm, numbers& data, const numbers& read_only, std::deque<float>& ends,
                 std::vector<bool>& bits, float* pointer, const float& constant, owner& o) {
  // REJECT const_vector: tutti: the result is written to this data, which is const - give .* all_reduce\(comm, in, out\)
  // REJECT const_span: tutti: the result is written to this data, which is const
  // REJECT const_value: tutti: the result is written to this data, which is const
  // REJECT deque: tutti: these elements do not stand one behind the other in memory.* - copy them into a std::vector
  // REJECT bits: tutti: these elements do not stand one behind the other in memory
  // REJECT pointer: tutti: a pointer or iterator does not say how many elements there are - give std::span\{pointer, n\}
  // REJECT iterator: tutti: a pointer or iterator does not say how many
  // REJECT temporary: tutti: this is a temporary, which is gone when .* - give it a name
  // REJECT moved: tutti: this is a temporary
  // REJECT number: tutti: this is a temporary
  // REJECT owner_of_others: tutti: this is neither elements in contiguous memory nor one trivially copyable value
  // REJECT part_first: tutti: a part stands where the data should be - give the data first
  // REJECT symmetric_temporary: tutti: this is a temporary
#if defined REJECT_const_vector
  tutti::all_reduce(comm, read_only);
#elif defined REJECT_const_span
  tutti::all_reduce(comm, std::span{read_only});
#elif defined REJECT_const_value
  tutti::all_reduce(comm, constant);
#elif defined REJECT_deque
  tutti::all_reduce(comm, ends);
#elif defined REJECT_bits
  tutti::all_reduce(comm, bits, tutti::max{});
#elif defined REJECT_pointer
  tutti::all_reduce(comm, pointer);
#elif defined REJECT_iterator
  tutti::all_reduce(comm, data.begin());
#elif defined REJECT_temporary
  tutti::all_reduce(comm, numbers(3, 1.0f));
#elif defined REJECT_moved
  tutti::all_reduce(comm, std::move(data));
#elif defined REJECT_number
  tutti::all_reduce(comm, 2.0f);
#elif defined REJECT_owner_of_others
  tutti::all_reduce(comm, o);
#elif defined REJECT_part_first
  tutti::all_reduce(comm, tutti::max{}, data);
#elif defined REJECT_symmetric_temporary
  tutti::all_reduce(comm, tutti::symmetric_buffer<float>{});
#else
  tutti::all_reduce(comm, data);
  tutti::all_reduce(comm, std::span{data}.first(1));
  tutti::all_reduce(comm, read_only, data);
  float value = constant;
  tutti::all_reduce(comm, value, tutti::mean{});
  tutti::all_reduce(comm, std::span{pointer, data.size()});
  (void)ends, (void)bits, (void)o;
#endif
}

void all_reduces_beside(tutti::self& comm, const numbers& in, numbers& out, const numbers& read_only,
                        std::vector<double>& doubles, std::deque<float>& ends) {
  // REJECT result_const: tutti: the result is written to this data, which is const
  // REJECT result_temporary: tutti: this is a temporary
  // REJECT result_deque: tutti: these elements do not stand one behind the other
  // REJECT input_deque: tutti: these elements do not stand one behind the other
  // REJECT result_of_other_type: tutti: the elements of the two buffers are of different types - give both the same
  // REJECT input_gone: tutti: this is a temporary
  // REJECT persistent_input_gone: tutti: this is a temporary
#if defined REJECT_result_const
  tutti::all_reduce(comm, in, read_only);
#elif defined REJECT_result_temporary
  tutti::all_reduce(comm, in, numbers(3));
#elif defined REJECT_result_deque
  tutti::all_reduce(comm, in, ends, tutti::sum{});
#elif defined REJECT_input_deque
  tutti::all_reduce(comm, ends, out, tutti::sum{});
#elif defined REJECT_result_of_other_type
  tutti::all_reduce(comm, in, doubles);
#elif defined REJECT_input_gone
  tutti::async_all_reduce(comm, numbers(3), out).wait();
#elif defined REJECT_persistent_input_gone
  tutti::persistent_all_reduce(comm, numbers(3), out).start();
#else
  tutti::all_reduce(comm, numbers(3), out, tutti::max{}); // read before the call returns
  tutti::async_all_reduce(comm, in, out).wait();
  tutti::persistent_all_reduce(comm, std::span{in}, std::span{out}).start();
  float least = 0;
  tutti::all_reduce(comm, 2.0f, least, tutti::min{});
  (void)doubles, (void)ends, (void)read_only;
#endif
}

// Every other call, each with one mistake.
void others(tutti::self& comm, numbers& data, const numbers& read_only, std::list<float>& links,
            numbers& whole) {
  // REJECT reduce_scatter_const: tutti: the result is written to this data, which is const
  // REJECT async_reduce_scatter_list: tutti: these elements do not stand one behind the other
  // REJECT persistent_reduce_const: tutti: the result is written to this data, which is const
  // REJECT reduce_pointer: tutti: a pointer or iterator does not say how many
  // REJECT async_reduce_temporary: tutti: this is a temporary
  // REJECT broadcast_const: tutti: the result is written to this data, which is const
  // REJECT async_broadcast_const: tutti: the result is written to this data, which is const
  // REJECT persistent_broadcast_list: tutti: these elements do not stand one behind the other
  // REJECT broadcast_map: tutti: these elements do not stand one behind the other
  // REJECT broadcast_unique: tutti: this is neither elements in contiguous memory nor one
  // REJECT all_gather_const: tutti: the result is written to this data, which is const
  // REJECT async_all_gather_list: tutti: these elements do not stand one behind the other
  // REJECT all_gather_other_type: tutti: the elements of the two buffers are of different types
  // REJECT persistent_all_gather_blocks: tutti::persistent_all_gather: it gathers in place - give the whole
  // REJECT gather_const: tutti: the result is written to this data, which is const
  // REJECT async_gather_gone: tutti: this is a temporary
  // REJECT scatter_const: tutti: the result is written to this data, which is const
  // REJECT async_scatter_gone: tutti: this is a temporary
  // REJECT all_to_all_list: tutti: these elements do not stand one behind the other
  // REJECT async_all_to_all_const: tutti: the result is written to this data, which is const
#if defined REJECT_reduce_scatter_const
  tutti::reduce_scatter(comm, read_only);
#elif defined REJECT_async_reduce_scatter_list
  tutti::async_reduce_scatter(comm, links).wait();
#elif defined REJECT_persistent_reduce_const
  tutti::persistent_reduce(comm, read_only).start();
#elif defined REJECT_reduce_pointer
  tutti::reduce(comm, data.data());
#elif defined REJECT_async_reduce_temporary
  tutti::async_reduce(comm, numbers(3)).wait();
#elif defined REJECT_broadcast_const
  tutti::broadcast(comm, read_only);
#elif defined REJECT_async_broadcast_const
  tutti::async_broadcast(comm, read_only).wait();
#elif defined REJECT_persistent_broadcast_list
  tutti::persistent_broadcast(comm, links).start();
#elif defined REJECT_broadcast_map
  std::map<int, int> pairs;
  tutti::broadcast(comm, pairs);
#elif defined REJECT_broadcast_unique
  std::unique_ptr<float> one;
  tutti::broadcast(comm, one);
#elif defined REJECT_all_gather_const
  tutti::all_gather(comm, read_only);
#elif defined REJECT_async_all_gather_list
  tutti::async_all_gather(comm, links).wait();
#elif defined REJECT_all_gather_other_type
  std::vector<int> counts(1);
  tutti::all_gather(comm, data, counts);
#elif defined REJECT_persistent_all_gather_blocks
  tutti::persistent_all_gather(comm, data, whole).start();
#elif defined REJECT_gather_const
  tutti::gather(comm, data, read_only);
#elif defined REJECT_async_gather_gone
  tutti::async_gather(comm, numbers(3), whole).wait();
#elif defined REJECT_scatter_const
  tutti::scatter(comm, whole, read_only);
#elif defined REJECT_async_scatter_gone
  tutti::async_scatter(comm, numbers(3), data).wait();
#elif defined REJECT_all_to_all_list
  tutti::all_to_all(comm, links, whole);
#elif defined REJECT_async_all_to_all_const
  tutti::async_all_to_all(comm, data, read_only).wait();
#else
  tutti::reduce_scatter(comm, data);
  tutti::async_reduce_scatter(comm, data).wait();
  tutti::persistent_reduce(comm, data).start();
  tutti::async_reduce(comm, std::span{data}).wait();
  std::string text(3, 'x');
  tutti::broadcast(comm, text);
  tutti::persistent_broadcast(comm, data).start();
  int count = 3;
  std::array<int, 1> counts{};
  tutti::all_gather(comm, count, counts);
  tutti::async_all_gather(comm, 4, counts).wait();
  tutti::persistent_all_gather(comm, whole).start();
  tutti::gather(comm, numbers(3), whole); // over when it returns
  tutti::async_gather(comm, read_only, whole).wait();
  tutti::scatter(comm, read_only, data);
  tutti::async_all_to_all(comm, read_only, data).wait();
  (void)links;
#endif
}
