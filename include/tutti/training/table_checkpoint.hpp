// Checkpoints of tables of rows: one file, from which a table goes on with the same bits, on any number of servers.
//
//   table.finish();                                  // whatever was pushed is applied
//   table.save("runs/items-100.safetensors");        // first, so that whoever finds the trainer's finds this
//   trainer.save("runs/step-100");
//   ...
//   trainer.load(last), table.load("runs/items-" + std::to_string(trainer.steps()) + ".safetensors");
//
//   items-100.safetensors   keys [n], ascending; steps [n]; rows [n, columns]; and slot.NAME [n, columns] for each slot
//                           of the optimizer. metadata: format, and the options that unwritten rows follow from
//
// Only rows that were pushed to are in it. Servers own ranges in the order of keys, so the file is in that order
// whoever has written it, and each server writes, and finds, what is its own in one piece.
#pragma once

#include <tutti/carriers/control.hpp>
#include <tutti/carriers/sparse_rows.hpp>
#include <tutti/core/error.hpp>
#include <tutti/training/joint_call.hpp>
#include <tutti/training/safetensors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tutti::detail {

/// Which tensors the file of n rows has, and what is said of them.
template <class T, class Optimizer>
struct table_layout {
  std::uint64_t rows, columns;

  std::vector<safetensors::description> tensors() const {
    std::vector<safetensors::description> all{{"keys", safetensors::dtype::uint64, {rows}},
                                              {"steps", safetensors::dtype::int64, {rows}}};
    for (std::size_t k = 0; k <= slots_of<Optimizer>; ++k)
      all.push_back({name(k), safetensors::dtype_of<T>, {rows, columns}});
    return all;
  }
  /// Of the values of a row, and behind them of its slots.
  static std::string name(std::size_t k) {
    return k == 0 ? std::string{"rows"} : "slot." + std::string{Optimizer::slots[k - 1]};
  }
  static std::map<std::string, std::string> notes(const sparse_options& how) {
    char scale[32];
    std::snprintf(scale, sizeof scale, "%.17g", how.scale);
    const std::string keys = std::to_string(how.keys), seed = std::to_string(how.seed);
    return {{"tutti.table", "1"}, {"keys", keys}, {"scale", scale}, {"seed", seed}};
  }
};

/// What sparse_table calls: a template, so that nothing of it is compiled where nothing is saved. A rank without rows
/// takes part in the meetings alone. Errors are every rank's: `invalid_argument` where a rank has asked for rows since
/// finish(); `mismatch` for a file of a table with other options; `bad_data` for one that is damaged, or of something
/// else; `transport` for what the system refuses.
template <class Path>
struct table_files {
  template <class Kept>
  static void save(control& ranks, const Kept& table, const std::string& path) {
    using rows_type = std::remove_reference_t<decltype(*table.rows)>;
    using layout_type = table_layout<typename rows_type::value_type, typename rows_type::optimizer_type>;
    joint_call call{ranks, "save", path};
    std::vector<std::uint64_t> keys;
    const auto counts = call.step(1, [&](std::span<std::uint64_t> words) {
      require_rest(call, table);
      if (table.rows) keys = table.rows->sorted_keys();
      words[0] = keys.size();
    });
    std::uint64_t first = 0, all = 0;
    for (std::size_t r = 0; r < counts.size(); all += counts[r++])
      if (r == std::size_t(call.rank())) first = all;

    const layout_type layout{all, table.options.columns};
    const safetensors::layout wanted{layout.tensors(), layout.notes(table.options)};
    std::optional<safetensors::writer> file;
    call.step(0, [&](std::span<std::uint64_t>) {
      if (call.rank() == 0) file.emplace(path, wanted);
    });
    const auto written = call.step(1, [&](std::span<std::uint64_t> words) {
      if (!file && keys.empty()) return;
      if (!file) file.emplace(safetensors::writer::join(path, wanted));
      write(*file, *table.rows, layout, keys, first);
      file->flush();
      words[0] = file->written();
    });
    call.step(0, [&](std::span<std::uint64_t>) {
      std::uint64_t by_others = 0;
      for (std::size_t r = 1; r < written.size(); ++r) by_others += written[r];
      if (call.rank() == 0) file->publish(by_others);
    });
  }

  template <class Kept>
  static void load(control& ranks, const Kept& table, const std::string& path) {
    using rows_type = std::remove_reference_t<decltype(*table.rows)>;
    joint_call call{ranks, "load", path};
    std::unordered_map<std::uint64_t, typename rows_type::entry> found;
    call.step(0, [&](std::span<std::uint64_t>) { require_rest(call, table); });
    call.step(0, [&](std::span<std::uint64_t>) {
      if (table.rows) found = read<rows_type>(table, path, call.rank());
    });
    if (table.rows) table.rows->replace(std::move(found));
  }

private:
  static constexpr std::size_t block = std::size_t{1} << 16; ///< values that are read or written at once

  template <class Kept>
  static void require_rest(const joint_call& call, const Kept& table) {
    if (table.asked)
      call.refuse(error_code::invalid_argument, "this rank has pulled or pushed since finish() - call that first, on "
                                                "every rank");
  }

  template <class Rows, class Layout>
  static void write(safetensors::writer& file, const Rows& rows, const Layout& layout,
                    std::span<const std::uint64_t> keys, std::uint64_t first) {
    file.write("keys", first, keys);
    std::vector<std::int64_t> steps;
    for (const std::uint64_t key : keys) steps.push_back(rows.at(key).steps);
    file.write("steps", first, steps);
    const std::size_t columns = std::size_t(layout.columns), at_once = 1 + block / columns;
    std::vector<typename Rows::value_type> values;
    for (std::size_t k = 0; k <= Rows::slots; ++k)
      for (std::size_t from = 0; from < keys.size(); from += at_once) {
        values.clear();
        for (const std::uint64_t key : keys.subspan(from, (std::min)(at_once, keys.size() - from))) {
          const auto row = std::span{rows.at(key).values}.subspan(k * columns, columns);
          values.insert(values.end(), row.begin(), row.end());
        }
        file.write(layout.name(k), (first + from) * columns, values);
      }
  }

  /// The rows of this server.
  template <class Rows, class Kept>
  static auto read(const Kept& table, const std::string& path, int server) {
    using layout_type = table_layout<typename Rows::value_type, typename Rows::optimizer_type>;
    const safetensors::reader file{path};
    const auto damaged = [&](const std::string& why) -> void {
      throw error{{.code = error_code::bad_data, .call = "load", .detail = path + ": " + why}};
    };
    const auto keys_there = file.find("keys");
    if (const auto notes = file.metadata(); !keys_there || !notes.contains("tutti.table"))
      damaged("holds no table of rows");
    const layout_type layout{keys_there->elements(), table.options.columns};
    require_options(file, layout.notes(table.options), path);
    for (const auto& one : layout.tensors()) file.expect(one.name, one.type, one.shape);

    std::vector<std::uint64_t> keys(std::size_t(layout.rows));
    file.read("keys", 0, keys);
    for (std::size_t k = 0; k < keys.size(); ++k)
      if (keys[k] > table.last_key || (k > 0 && keys[k] <= keys[k - 1]))
        damaged("key " + std::to_string(keys[k]) + " is out of range, or not behind the one before it");
    const auto before = [&](int s) {
      return std::size_t(std::partition_point(keys.begin(), keys.end(),
                                              [&](std::uint64_t key) { return table.ranges.owner(key) < s; }) -
                         keys.begin());
    };
    const std::size_t begin = before(server), end = before(server + 1), columns = table.options.columns;

    std::vector<std::int64_t> steps(end - begin);
    file.read("steps", begin, steps);
    std::unordered_map<std::uint64_t, typename Rows::entry> found;
    for (std::size_t k = 0; k < steps.size(); ++k) {
      if (steps[k] < 1) damaged("key " + std::to_string(keys[begin + k]) + " was pushed to " +
                                std::to_string(steps[k]) + " times");
      found[keys[begin + k]] = {steps[k], std::vector<typename Rows::value_type>(columns * (1 + Rows::slots))};
    }
    std::vector<typename Rows::value_type> values;
    const std::size_t at_once = 1 + block / columns;
    for (std::size_t k = 0; k <= Rows::slots; ++k)
      for (std::size_t from = begin; from < end; from += at_once) {
        const std::size_t n = (std::min)(at_once, end - from);
        values.resize(n * columns);
        file.read(layout.name(k), from * columns, values);
        for (std::size_t i = 0; i < n; ++i)
          std::copy_n(values.begin() + std::ptrdiff_t(i * columns), columns,
                      found[keys[from + i]].values.begin() + std::ptrdiff_t(k * columns));
      }
    return found;
  }
  /// As rows that are not in the file follow from them.
  static void require_options(const safetensors::reader& file, const std::map<std::string, std::string>& wanted,
                              const std::string& path) {
    const auto there = file.metadata();
    for (const auto& [name, text] : wanted)
      if (const auto found = there.find(name); found == there.end() || found->second != text)
        throw error{{.code = error_code::mismatch,
                     .call = "load",
                     .detail = path + ": was saved by a table whose " + name + " is " +
                               (found == there.end() ? "not said" : found->second) + ", and here it is " + text +
                               " - make the table with the options that it was saved with"}};
  }
};

} // namespace tutti::detail
