#include "training/peak_memory.hpp"
#include "training/scratch.hpp"

#include <tutti/training/safetensors.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <csignal>
#include <sys/resource.h>
#include <sys/stat.h>

namespace st = tutti::safetensors;
using st::dtype;

namespace {

/// Writes a file whose data is the bytes 0, 1, 2... of each tensor.
void save_counting(const std::string& path, const st::layout& layout) {
  st::writer file{path, layout};
  for (const st::entry& tensor : layout.tensors()) {
    std::vector<std::byte> bytes(tensor.end - tensor.begin);
    for (std::size_t k = 0; k < bytes.size(); ++k) bytes[k] = std::byte(k);
    file.write_bytes(tensor, 0, bytes);
  }
  file.publish();
}

std::string opened(const std::string& path) {
  return thrown_by([&] { st::reader{path}; });
}

/// What is said of a file with these bytes: it must be bad_data, and name the file.
std::string said_of(const scratch& folder, std::string_view bytes) {
  const std::string path = folder / "said_of";
  put_file(path, bytes);
  const std::string said = opened(path);
  const bool named =
      said.starts_with("bad_data: tutti: safetensors::reader: bad_data: " + path + ": ");
  BOOST_CHECK_MESSAGE(named, said);
  return said;
}

const std::string one_float = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

std::string tensor_json(std::string_view shape, std::string_view offsets,
                        std::string_view name = "w", std::string_view type = "F32") {
  return "\"" + std::string{name} + R"(":{"dtype":")" + std::string{type} + R"(","shape":)" +
         std::string{shape} + R"(,"data_offsets":)" + std::string{offsets} + "}";
}

} // namespace

BOOST_AUTO_TEST_SUITE(safetensors)

BOOST_AUTO_TEST_CASE(a_file_is_written_byte_for_byte_as_the_format_says) {
  const scratch folder;
  st::writer file{folder / "x",
                  st::layout{{{"a", dtype::uint8, {2}}, {"b", dtype::float32, {}}}, {{"k", "v"}}}};
  file.write("b", 0, std::array{1.0f});
  file.write("a", 0, std::array<std::uint8_t, 2>{7, 8});
  file.publish();

  // Spaces until the data begins at a multiple of 8; the greater alignment first.
  std::string header =
      R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("a":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string wanted =
      little_endian(header.size()) + header + std::string{"\0\0\x80\x3f\7\10", 6};
  BOOST_CHECK(file_bytes(folder / "x") == wanted);
  BOOST_CHECK_EQUAL(folder.listing(), "x ");
}

BOOST_AUTO_TEST_CASE(every_type_goes_round) {
  const scratch folder;
  const std::string path = folder / "types";
  const auto values = std::tuple{std::array<bool, 2>{true, false},
                                 std::array<std::uint8_t, 2>{1, 255},
                                 std::array<std::int8_t, 2>{-128, 1},
                                 std::array<std::int16_t, 2>{-32768, 1},
                                 std::array<std::uint16_t, 2>{65535, 1},
                                 std::array{tutti::half{.5f}, tutti::half{-65504.f}},
                                 std::array{tutti::bfloat16{1.5f}, tutti::bfloat16{-3e38f}},
                                 std::array<std::int32_t, 2>{INT32_MIN, 1},
                                 std::array<std::uint32_t, 2>{UINT32_MAX, 1},
                                 std::array{.1f, -3e38f},
                                 std::array{.1, -1e308},
                                 std::array<std::int64_t, 2>{INT64_MIN, 1},
                                 std::array<std::uint64_t, 2>{UINT64_MAX, 1}};
  const char* names[] = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                         "I32",  "U32", "F32", "F64", "I64", "U64"};

  std::vector<st::description> tensors;
  for (int k = 0; k < 13; ++k) tensors.push_back({names[k], dtype(k), {2}});
  const auto each = [&](auto&& use) {
    int k = 0;
    std::apply([&](const auto&... array) { (use(names[k++], array), ...); }, values);
  };
  st::writer out{path, st::layout{tensors}};
  each([&](const char* name, const auto& array) { out.write(name, 0, array); });
  out.publish();

  const st::reader in{path};
  each([&](const char* name, const auto& array) {
    auto back = array;
    std::fill(back.begin(), back.end(), typename std::decay_t<decltype(array)>::value_type{});
    in.read(name, 0, back);
    BOOST_CHECK_MESSAGE(back == array, name << " came back as something else");
    const st::entry found = in.expect(name, st::dtype_of<std::decay_t<decltype(array[0])>>, {2});
    BOOST_CHECK_EQUAL(st::name(found.type), name);
    BOOST_CHECK_EQUAL(found.begin % st::bytes_of(found.type), 0u);
  });
}

BOOST_AUTO_TEST_CASE(the_order_of_description_does_not_matter) {
  std::vector<st::description> tensors{
      {"b", dtype::float32, {3}}, {"a", dtype::float32, {3}}, {"c", dtype::uint8, {3}},
      {"A", dtype::float64, {1}}, {"d", dtype::uint8, {0}},   {"\xc3\xa9", dtype::bfloat16, {2}}};
  std::sort(tensors.begin(), tensors.end(), [](auto& x, auto& y) { return x.name < y.name; });
  const std::string first{st::layout{tensors}.header()};
  while (std::next_permutation(tensors.begin(), tensors.end(),
                               [](auto& x, auto& y) { return x.name < y.name; })) {
    if (st::layout{tensors}.header() != first) {
      BOOST_ERROR("another order gives another file");
      break;
    }
  }
}

// safetensors/safetensors#235, ruvnet/RuView#1522
BOOST_AUTO_TEST_CASE(the_header_is_padded_with_spaces_to_a_multiple_of_8) {
  for (std::size_t letters = 1; letters <= 8; ++letters) {
    const st::layout layout{{{std::string(letters, 'n'), dtype::float32, {1}}}};
    const std::string_view header = layout.header();
    BOOST_CHECK_EQUAL(header.size() % 8, 0u);
    BOOST_CHECK(header.back() == ' ' || header.back() == '}');
    BOOST_CHECK_LT(header.size() - header.find_last_of('}'), 9u);
    BOOST_CHECK_EQUAL(layout.file_bytes(), header.size() + 4);
  }
  const scratch folder;
  BOOST_CHECK(has(said_of(folder, with_header(one_float + std::string(3, '\0'), 4)),
                  "byte 54 of the header: something other than spaces follows"));
}

// safetensors/safetensors#226, #205, promptfoo/modelaudit#1607
BOOST_AUTO_TEST_CASE(empty_tensors_and_single_elements_are_ordinary) {
  const scratch folder;
  std::array<int, 4> order{0, 1, 2, 3};
  do { // as one writes them in any order, and as others lay them out: first, last, side by side
    std::string json = "{";
    std::uint64_t at = 0;
    for (const int k : order) {
      const char* shapes[] = {"[0]", "[2,0]", "[]", "[3]"};
      const std::uint64_t bytes[] = {0, 0, 4, 12};
      json += (json.size() > 1 ? "," : "") +
              tensor_json(shapes[k],
                          "[" + std::to_string(at) + "," + std::to_string(at + bytes[k]) + "]",
                          std::string(1, char('a' + k)));
      at += bytes[k];
    }
    put_file(folder / "x", with_header(json + "}", 16));
    const st::reader in{folder / "x"};
    in.expect("a", dtype::float32, {0});
    in.expect("b", dtype::float32, {2, 0});
    BOOST_CHECK_EQUAL(in.expect("c", dtype::float32, {}).elements(), 1u);
    in.read("a", 0, std::span<float>{});
  } while (std::next_permutation(order.begin(), order.end()));

  save_counting(folder / "y", st::layout{{{"a", dtype::float32, {0}},
                                          {"b", dtype::int64, {2, 0}},
                                          {"c", dtype::boolean, {0, UINT64_MAX}},
                                          {"d", dtype::uint8, {}}}});
  BOOST_CHECK_EQUAL(opened(folder / "y"), "nothing");
  save_counting(folder / "z", st::layout{{}});
  BOOST_CHECK_EQUAL(st::reader{folder / "z"}.size(), 0u);

  BOOST_CHECK(has(said_of(folder, with_header("{" + tensor_json("[1]", "[0,0]") + "}", 0)),
                  "tensor 'w' has 0 bytes, and its type and shape take 4"));
}

// ztxz16/fastllm#713, ml-explore/mlx#3364, 0xShug0/audio.cpp#138, antirez/h3.c#48
BOOST_AUTO_TEST_CASE(lengths_and_offsets_that_lie_are_named_before_memory_is_taken) {
  const scratch folder;
  const std::string good = with_header(one_float, 4);
  BOOST_CHECK(good.size() == 66);
  const auto length = [&](std::uint64_t n) { return little_endian(n) + good.substr(8); };
  const auto one = [](std::string_view shape, std::string_view offsets, std::size_t data = 4) {
    return with_header("{" + tensor_json(shape, offsets) + "}", data);
  };
  const auto two = [](std::string_view a, std::string_view b, std::size_t data) {
    return with_header("{" + tensor_json("[2]", a, "a") + "," + tensor_json("[2]", b, "b") + "}",
                       data);
  };
  const std::string many_dimensions = [] {
    std::string out = "[1";
    for (int k = 0; k < 64; ++k) out += ",1";
    return out + "]";
  }();
  const std::pair<std::string, std::string_view> cases[] = {
      {"", "is 0 bytes long, and a header takes 8"},
      {good.substr(0, 7), "is 7 bytes long, and a header takes 8"},
      {length(UINT64_MAX), "header of 18446744073709551615 bytes, and 100,000,000 is the most"},
      {length(std::uint64_t{1} << 63), "header of 9223372036854775808 bytes"},
      {length(100'000'001), "header of 100000001 bytes"},
      {length(100'000'000), "is 66 bytes long, and its header alone 100000000"},
      {length(good.size() - 7), "is 66 bytes long, and its header alone 59: the file is cut short"},
      {length(0), "has no header"},
      {length(1), "byte 1 of the header: expected \""},
      {length(53), "byte 53 of the header: expected }"},
      {length(55), "byte 54 of the header: something other than spaces"},
      {one("[1]", "[8,4]"), "tensor 'w' is at bytes [8,4), which end before they begin"},
      {one("[1]", "[-1,3]"), "of the header: a number is below 0"},
      {one("[1]", "[0,9223372036854775808]"),
       "has 9223372036854775808 bytes, and its type and shape take 4"},
      {one("[2305843009213693952]", "[0,9223372036854775808]"),
       "tensor 'w' is at bytes [0,9223372036854775808) of the data, of which there are 4"},
      {one("[4611686018427387904]", "[0,4]"), "has a shape of more than 2^64 - 1 bytes"},
      {one("[4611686018427387904,4,4294967296]", "[0,0]"),
       "has a shape of more than 2^64 - 1 bytes"},
      {one("[9223372036854775808,0,4]", "[0,0]", 0), "has a shape of more than 2^64 - 1 bytes"},
      {one("[1]", "[18446744073709551612,0]"), "which end before they begin"},
      {one("[1]", "[18446744073709551616,4]"), "a number is above 2^64 - 1"},
      {one("[2]", "[0,4]"), "has 4 bytes, and its type and shape take 8"},
      {one("[1]", "[0,4]", 3),
       "is at bytes [0,4) of the data, of which there are 3: the file is cut short"},
      {one("[1]", "[0,4]", 5), "there are 5 bytes of data, and tensors end at 4"},
      {one("[1]", "[4]"), "tensor 'w' has 1 offsets, and two mark a place"},
      {one("[1]", "[0,2,4]"), "tensor 'w' has 3 offsets"},
      {one("[1]", "[]"), "tensor 'w' has 0 offsets"},
      {one(many_dimensions, "[0,4]"), "tensor 'w' has 65 dimensions"},
      {two("[0,8]", "[4,12]", 12),
       "tensor 'b' begins at byte 4 and overlaps another, which ends at 8"},
      {two("[0,8]", "[0,8]", 8), "overlaps another"},
      {two("[0,8]", "[12,20]", 20),
       "tensor 'b' begins at byte 12, and bytes from 8 on are no tensor's"},
      {two("[4,12]", "[12,20]", 20),
       "tensor 'a' begins at byte 4, and bytes from 0 on are no tensor's"},
      {with_header("{}", 1), "there are 1 bytes of data, and tensors end at 0"},
  };
  for (const auto& [bytes, wanted] : cases) {
    put_file(folder / "lies", bytes);
    const std::string path = folder / "lies";
    begin_peak_memory();
    const std::string said = opened(path);
    const std::size_t peak = peak_memory();
    BOOST_CHECK_MESSAGE(has(said, wanted) && has(said, path + ": ") && said.starts_with("bad_data"),
                        "expected " << wanted << ", got " << said);
    BOOST_CHECK_MESSAGE(peak < 1 << 20, peak << " bytes were allocated: " << wanted);
  }
  BOOST_CHECK(has(said_of(folder, good.substr(0, good.size() - 1)), "cut short"));
  put_file(folder / "good", good);
  BOOST_CHECK_EQUAL(opened(folder / "good"), "nothing");
}

BOOST_AUTO_TEST_CASE(what_is_no_header_of_the_format_is_named_where_it_is) {
  const scratch folder;
  const std::string deep = "{\"w\":" + std::string(200'000, '[');
  const std::string t = tensor_json("[1]", "[0,4]");
  const std::pair<std::string, std::string_view> cases[] = {
      {" " + one_float, "byte 0 of the header: expected {"},
      {"[]", "byte 0 of the header: expected {"},
      {"{" + t, "expected }"},
      {"{" + t + ",}", "expected \""},
      {"{" + t + "}}", "something other than spaces follows"},
      {"{" + t + "}\n", "something other than spaces follows"},
      {"{" + t + "," + t + "}", "overlaps another"}, // and where it could not:
      {"{" + t + "," + tensor_json("[0]", "[0,0]") + "}", "tensor 'w' is there twice"},
      {R"({"\u0077":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)" + t + "}",
       "tensor 'w' is there twice"},
      {R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       "'dtype' is there twice"},
      {R"({"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})",
       "'shape' is there twice"},
      {R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})",
       "'data_offsets' is there twice"},
      {R"({"w":{"shape":[1],"data_offsets":[0,4]}})", "tensor 'w' has no dtype"},
      {R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", "tensor 'w' has no shape"},
      {R"({"w":{"dtype":"F32","shape":[1]}})", "tensor 'w' has no data_offsets"},
      {R"({"w":{}})", "tensor 'w' has no dtype"},
      {R"({"w":{"offsets":[0,4]}})", "tensor 'w' 'offsets' is no field of a tensor"},
      {R"({"w":null})", "expected {"},
      {R"({"w":[]})", "expected {"},
      {R"({"__metadata__":null})", "expected {"},
      {R"({"__metadata__":{"a":1}})", "expected \""},
      {R"({"__metadata__":{"a":{}}})", "expected \""},
      {R"({"__metadata__":{"a":"b","a":"c"},)" + t + "}", "metadata 'a' is there twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "__metadata__ is there twice"},
      {"{" + tensor_json("[1]", "[0,4]", "w", "F8_E4M3") + "}",
       "tensor 'w' has elements of type 'F8_E4M3'"},
      {"{" + tensor_json("[1]", "[0,4]", "w", "f32") + "}", "has elements of type 'f32'"},
      {R"({"w":{"dtype":5,"shape":[1],"data_offsets":[0,4]}})", "expected \""},
      {"{" + tensor_json("[01]", "[0,4]") + "}", "a number begins with 0"},
      {"{" + tensor_json("[1.0]", "[0,4]") + "}", "a number is no integer"},
      {"{" + tensor_json("[1e0]", "[0,4]") + "}", "a number is no integer"},
      {"{" + tensor_json("[+1]", "[0,4]") + "}", "expected a number"},
      {"{" + tensor_json("[1,]", "[0,4]") + "}", "expected a number"},
      {"{" + tensor_json("[[1]]", "[0,4]") + "}", "expected a number"},
      {"{" + tensor_json("[1 1]", "[0,4]") + "}", "expected ]"},
      {"{" + tensor_json("1", "[0,4]") + "}", "expected ["},
      {"{\"a\xff\":", "no UTF-8"},
      {"{\"\xc0\xaf\":", "no UTF-8"},         // overlong
      {"{\"\xe0\x80\xaf\":", "no UTF-8"},     // overlong
      {"{\"\xed\xa0\x80\":", "no UTF-8"},     // a surrogate
      {"{\"\xf4\x90\x80\x80\":", "no UTF-8"}, // above U+10FFFF
      {"{\"\xe2\x82", "no UTF-8"},
      {"{\"a\nb\":", "a control character in a string"},
      {std::string{"{\"a\0b\":", 7}, "a control character in a string"},
      {R"({"\x41":)", "no escape of JSON"},
      {R"({"\u00g0":)", "four hexadecimal digits"},
      {R"({"\ud83d":)", "half a surrogate pair"},
      {R"({"\ud83dA":)", "half a surrogate pair"},
      {R"({"\ud83d\u0041":)", "half a surrogate pair"},
      {R"({"\ude00":)", "half a surrogate pair"},
      {"{\"\\", "no escape of JSON"},
      {"{\"\\u00", "four hexadecimal digits"},
      {"{\"a", "a string has no end"},
      {deep, "byte 5 of the header: expected {"},
      {"{\"w\":{\"shape\":" + std::string(200'000, '['), "expected a number"},
      {"\xef\xbb\xbf" + one_float, "byte 0 of the header: expected {"},
  };
  for (const auto& [json, wanted] : cases) {
    const std::string said = said_of(folder, with_header(json, 4));
    BOOST_CHECK_MESSAGE(has(said, wanted), "expected " << wanted << ", got " << said);
  }
}

BOOST_AUTO_TEST_CASE(what_the_format_allows_is_read) {
  const scratch folder;
  const std::string json =
      "{ \"__metadata__\" :\t{\"k\\n\" : \"\\u00e9\\ud83d\\ude00\\/\"},\r\n"
      "\"\\u20ac\\\"\" : { \"data_offsets\":[ 4 , 6 ],\"shape\" :[ 1 , 2 ],\"dtype\":\"U8\"},"
      "\"\": {\"shape\":[1],\"dtype\":\"F32\",\"data_offsets\":[0,4]} }   ";
  put_file(folder / "x", with_header(json, 6));
  const st::reader in{folder / "x"};

  BOOST_CHECK_EQUAL(in.size(), 2u);
  in.expect("\xe2\x82\xac\"", dtype::uint8, {1, 2});
  in.expect("", dtype::float32, {1});
  const auto metadata = in.metadata();
  BOOST_CHECK(metadata.size() == 1 && metadata.at("k\n") == "\xc3\xa9\xf0\x9f\x98\x80/");
}

BOOST_AUTO_TEST_CASE(strange_names_and_texts_go_round) {
  const scratch folder;
  std::string all;
  for (int c = 0; c < 128; ++c) all += char(c);
  all += "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf";
  save_counting(folder / "x", st::layout{{{all, dtype::uint8, {3}}, {"", dtype::uint8, {1}}},
                                         {{all, all}, {"", ""}}});
  const st::reader in{folder / "x"};
  in.expect(all, dtype::uint8, {3});
  in.expect("", dtype::uint8, {1});
  BOOST_CHECK(in.metadata() == (std::map<std::string, std::string>{{all, all}, {"", ""}}));
}

BOOST_AUTO_TEST_CASE(a_long_hostile_header_takes_little_more_memory_than_it_is_long) {
  const scratch folder;
  const std::string entry = tensor_json("[0]", "[0,0]", "x", "U8") + ",";
  std::string tensors = "{", notes = "{\"__metadata__\":{";
  for (int k = 0; k < 40'000; ++k) tensors += entry;
  for (int k = 0; k < 200'000; ++k) notes += "\"" + std::to_string(k) + "\":\"\",";
  std::string ones = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1";
  for (int k = 0; k < 1'000'000; ++k) ones += ",1";
  std::string long_name = "{\"" + std::string(2'000'000, 'n');

  for (const auto& [json, most] : {std::pair{&tensors, 2.0}, std::pair{&notes, 3.0},
                                   std::pair{&ones, 1.0}, std::pair{&long_name, 1.0}}) {
    put_file(folder / "x", with_header(*json, 1));
    const std::string path = folder / "x";
    begin_peak_memory();
    const std::string said = opened(path);
    const std::size_t peak = peak_memory();
    BOOST_CHECK_MESSAGE(said.starts_with("bad_data"), said);
    BOOST_CHECK_MESSAGE(double(peak) < most * double(json->size()) + (1 << 20),
                        peak << " bytes for a header of " << json->size());
    BOOST_CHECK_LT(said.size(), 1000u);
  }
}

// sgl-project/sglang#32279, osaurus-ai/vmlx-swift#217
BOOST_AUTO_TEST_CASE(a_file_that_is_cut_or_too_long_or_no_file_is_refused) {
  const scratch folder;
  const st::layout layout{{{"a", dtype::float32, {5}}, {"b", dtype::uint8, {3}}}};
  save_counting(folder / "x", layout);
  const std::string whole = file_bytes(folder / "x");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    put_file(folder / "cut", whole.substr(0, n));
    if (!opened(folder / "cut").starts_with("bad_data")) BOOST_ERROR(n << " bytes of it are taken");
  }
  BOOST_CHECK(
      has(said_of(folder, whole.substr(0, whole.size() - 1)), "tensor 'b' is at bytes [20,23)"));
  BOOST_CHECK(
      has(said_of(folder, whole + '\0'), "there are 24 bytes of data, and tensors end at 23"));

  mkdir((folder / "folder").c_str(), 0777);
  mkfifo((folder / "pipe").c_str(), 0666);
  BOOST_CHECK(has(opened(folder / "folder"), "folder: is no file"));
  BOOST_CHECK(has(opened(folder / "pipe"), "pipe: is no file"));
  BOOST_CHECK(opened("/dev/zero").starts_with("bad_data"));
  const std::string missing = opened(folder / "missing");
  BOOST_CHECK_MESSAGE(missing.starts_with("transport") &&
                          has(missing, "missing: cannot be opened [No such file or directory]"),
                      missing);

  // A file that is cut while it is open.
  const st::reader in{folder / "x"};
  put_file(folder / "x", whole.substr(0, whole.size() - 10));
  std::array<std::uint8_t, 3> b{};
  const std::string said = thrown_by([&] { in.read("b", 0, b); });
  BOOST_CHECK_MESSAGE(said.starts_with("bad_data") && has(said, "was longer when it was opened"),
                      said);
}

// pytorch/pytorch#8282
BOOST_AUTO_TEST_CASE(a_shape_or_type_that_is_close_enough_is_not_enough) {
  const scratch folder;
  save_counting(folder / "x", st::layout{{{"row", dtype::float32, {1, 4}},
                                          {"flat", dtype::float32, {12}},
                                          {"turned", dtype::float32, {4, 3}},
                                          {"other", dtype::int32, {3, 4}}}});
  const st::reader in{folder / "x"};
  for (const auto& [name, text] :
       {std::pair{"row", "F32 [1,4]"}, std::pair{"flat", "F32 [12]"},
        std::pair{"turned", "F32 [4,3]"}, std::pair{"other", "I32 [3,4]"}}) {
    const std::string said = thrown_by([&] { in.expect(name, dtype::float32, {3, 4}); });
    const std::string wanted =
        "x: tensor '" + std::string{name} + "' is " + text + ", and F32 [3,4] was expected";
    BOOST_CHECK_MESSAGE(said.starts_with("bad_data") && has(said, wanted), said);
  }
  BOOST_CHECK(has(thrown_by([&] {
                    in.expect("none", dtype::float32, {3, 4});
                  }),
                  "has no tensor 'none'"));

  std::array<float, 12> kept{};
  kept.fill(3);
  const auto untouched = [&] { return std::count(kept.begin(), kept.end(), 3.f) == 12; };
  BOOST_CHECK(has(thrown_by([&] { in.read("other", 0, kept); }), "is of I32, and is read as F32"));
  BOOST_CHECK(has(thrown_by([&] { in.read("none", 0, kept); }), "has no tensor 'none'"));
  BOOST_CHECK(
      has(thrown_by([&] { in.read("row", 0, kept); }), "outside of tensor 'row', which has 4"));
  BOOST_CHECK(has(thrown_by([&] { in.read("flat", 1, kept); }), "outside of tensor 'flat'"));
  BOOST_CHECK(
      has(thrown_by([&] { in.read("flat", UINT64_MAX / 4 + 2, kept); }), "outside of tensor"));
  BOOST_CHECK(untouched());
  in.read("flat", 12, std::span<float>{});
}

BOOST_AUTO_TEST_CASE(a_bool_of_a_file_is_0_or_1) {
  const scratch folder;
  put_file(folder / "x",
           with_header("{" + tensor_json("[2]", "[0,2]", "w", "BOOL") + "}", 0) + "\1\2");
  const st::reader in{folder / "x"};
  std::array<bool, 2> values{true, true};
  BOOST_CHECK(
      has(thrown_by([&] { in.read("w", 0, values); }), "holds a BOOL that is neither 0 nor 1"));
  in.read("w", 0, std::span{values}.first(1));
  BOOST_CHECK(values[0] && !values[1]);
}

// safetensors/safetensors#98, #202, huggingface/transformers#22437
BOOST_AUTO_TEST_CASE(tied_tensors_are_written_once_and_found_by_both_names) {
  const scratch folder;
  const st::layout layout{{{"embed", dtype::float32, {2, 2}}},
                          {{"head", "embed"}, {"format", "pt"}}};
  BOOST_CHECK_EQUAL(layout.data_bytes(), 16u);
  save_counting(folder / "x", layout);

  const st::reader in{folder / "x"};
  BOOST_CHECK_EQUAL(in.size(), 1u);
  for (const char* name : {"embed", "head"}) {
    const auto found = in.find(name);
    BOOST_CHECK(found && found->name == "embed" && found->begin == 0 && found->end == 16);
    in.expect(name, dtype::float32, {2, 2});
  }
  BOOST_CHECK(!in.find("format") && !in.find("pt") && !in.find("hea"));
}

BOOST_AUTO_TEST_CASE(a_layout_that_cannot_be_written_is_refused) {
  using tensors = std::vector<st::description>;
  using notes = std::map<std::string, std::string>;
  const std::vector<std::uint64_t> long_shape(65, 1);
  const std::tuple<tensors, notes, std::string_view> cases[] = {
      {{{"a", dtype::float32, {1}}, {"b", dtype::uint8, {}}, {"a", dtype::uint8, {}}},
       {},
       "tensor 'a' is given twice"},
      {{{"__metadata__", dtype::float32, {1}}}, {}, "is a word of the format"},
      {{{"a\xff", dtype::float32, {1}}}, {}, "is no UTF-8"},
      {{{"a", dtype::float32, {1}}}, {{"k\xff", "v"}}, "is no UTF-8"},
      {{{"a", dtype::float32, {1}}}, {{"k", "\xed\xa0\x80"}}, "'k' in the metadata is no UTF-8"},
      {{{"a", dtype::float32, {std::uint64_t{1} << 62}}}, {}, "is more than a file can hold"},
      {{{"a", dtype::float32, {std::uint64_t{1} << 33, std::uint64_t{1} << 33}}},
       {},
       "more than a file"},
      {{{"a", dtype::uint8, {INT64_MAX}}}, {}, "more than a file"},
      {{{"a", dtype::uint8, {INT64_MAX / 2}}, {"b", dtype::uint8, {INT64_MAX / 2 + 1}}},
       {},
       "'b' [4611686018427387904] is more than a file"},
      {{{"a", dtype::uint8, long_shape}}, {}, "more than 64 dimensions"},
  };
  for (const auto& [described, metadata, wanted] : cases) {
    const std::string said = thrown_by([&] { st::layout{described, metadata}; });
    BOOST_CHECK_MESSAGE(said.starts_with("invalid_argument") && has(said, wanted), said);
  }
  const std::string said = thrown_by([] {
    st::layout{{}, {{"k", std::string(100'000'000, 'v')}}};
  });
  BOOST_CHECK_MESSAGE(has(said, "a header of more than 100 MB"), said);
}

BOOST_AUTO_TEST_SUITE_END()
