#pragma once
#include <tutti/carriers/reducing.hpp>
namespace tutti { template <class T, class Comm, class Topology, class Reducer, class Codec> struct serving : carrier<T> {
 serving(const carrying_parts<Comm,Topology,Reducer,Codec>&, std::size_t, int) {}
 place owned(std::size_t) const override { return {}; } std::span<T> room(std::size_t) override { return {}; }
 void offer(std::size_t, std::span<const double>) override {} void settle(std::size_t) override {} bool serves() const override { return true; } }; }
